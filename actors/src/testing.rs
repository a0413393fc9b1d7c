//! Mocked mailboxes, and ends of connections that a test holds.

use crate::disk::{Appendable, Disk};
use crate::net::{Clock, Dice, Network, Seams, Socket};
use crate::waiting::Step;
use actix::actors::mocker::Mocker;
use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Context, Handler, Message, Recipient};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Whoever a mocked mailbox stands for.
pub struct Nobody;

/// A mocked mailbox that answers.
pub fn answering<M>(mut answer: impl FnMut(M) -> M::Result + 'static) -> Recipient<M>
where
    M: Message + Send + 'static,
    M::Result: MessageResponse<Mocker<Nobody>, M> + Send + 'static,
    Mocker<Nobody>: Handler<M>,
    Context<Mocker<Nobody>>: ToEnvelope<Mocker<Nobody>, M>,
{
    let mock = Mocker::<Nobody>::mock(Box::new(move |message, _| match message.downcast::<M>() {
        Ok(message) => Box::new(Some(answer(*message))),
        Err(_) => Box::new(None::<M::Result>),
    }));
    mock.start().recipient()
}

/// A mocked mailbox that keeps what reaches it, for a message without an answer.
pub fn recording<M>() -> (Recipient<M>, UnboundedReceiver<M>)
where
    M: Message<Result = ()> + Send + 'static,
{
    let (keep, kept) = mpsc::unbounded_channel();
    // A test that looks no more has dropped the other end.
    (answering(move |message| keep.send(message).unwrap_or_default()), kept)
}

/// A network on which a test is everybody else: it gets the far end of each connection that is made.
pub struct Switchboard {
    /// The far ends, or nothing while nobody answers.
    calls: UnboundedSender<DuplexStream>,
    answers: bool,
    /// How much a connection holds before a write waits.
    capacity: usize,
}

impl Switchboard {
    /// A network on which calls are answered, or not.
    pub fn new(answers: bool, capacity: usize) -> (Self, UnboundedReceiver<DuplexStream>) {
        let (calls, answered) = mpsc::unbounded_channel();
        (Self { calls, answers, capacity }, answered)
    }
}

impl Network for Switchboard {
    fn bind<'a>(&'a self, _: &'a str) -> Step<'a, Box<dyn crate::net::Incoming>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn connect<'a>(&'a self, _: &'a str, _: Duration) -> Step<'a, Socket> {
        Box::pin(async {
            let (near, far) = tokio::io::duplex(self.capacity);
            self.calls.send(far).map_err(io::Error::other)?;
            let near: Socket = Box::new(near);
            if self.answers { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        })
    }
}

/// A clock that stands still and dice that count, around some network.
pub fn seams(network: impl Network + 'static) -> Seams {
    Seams {
        network: Arc::new(network),
        clock: Arc::new(|| NOON),
        dice: counting(),
        abort: Arc::new(|_| {}),
        panics: Arc::default(),
    }
}

/// The time that tests go by, in nanoseconds.
pub const NOON: u64 = 1_520_023_935_182_837_383;

/// A clock that goes on from noon as the time of the test does, paused or not.
pub fn running() -> Clock {
    let began = tokio::time::Instant::now();
    Arc::new(move || NOON + u64::try_from(began.elapsed().as_nanos()).unwrap_or_default())
}

/// Dice that throw 1, 2, 3 and so on.
pub fn counting() -> Dice {
    let last = AtomicU64::new(0);
    Arc::new(move || u128::from(last.fetch_add(1, Ordering::Relaxed) + 1))
}

/// A directory of a test's own, which goes when the test is over.
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    /// A new empty directory.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("herd-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // What is left behind lies among the temporary files.
    }
}

/// A disk in memory whose syncs are done when a test says so, and which fails when a test says so.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Memory>);

#[derive(Default)]
struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    appends: AtomicU64,
    /// Syncs that were asked for.
    syncs: AtomicU64,
    /// True while syncs wait.
    is_slow: AtomicBool,
    is_broken: AtomicBool,
    go_on: Notify,
}

impl MemoryDisk {
    /// How many appends there were.
    pub fn appends(&self) -> u64 {
        self.0.appends.load(Ordering::Relaxed)
    }

    /// How many syncs were asked for.
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }

    /// Lets syncs wait from now on, or lets them be done.
    pub fn set_slow(&self, is_slow: bool) {
        self.0.is_slow.store(is_slow, Ordering::Relaxed);
        self.0.go_on.notify_waiters();
    }

    /// Lets everything fail from now on.
    pub fn break_down(&self) {
        self.0.is_broken.store(true, Ordering::Relaxed);
    }

    /// The names of its files.
    pub fn list(&self) -> Vec<String> {
        self.0.files.lock().unwrap().keys().cloned().collect()
    }

    /// What is in a file.
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.0.files.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn checked(&self) -> io::Result<()> {
        if self.0.is_broken.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn step(&self) -> Step<'static, ()> {
        let disk = self.clone();
        disk.0.syncs.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            while disk.0.is_slow.load(Ordering::Relaxed) {
                disk.0.go_on.notified().await;
            }
            disk.checked()
        })
    }
}

impl Disk for MemoryDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.list())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(io::Cursor::new(self.content(name))))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        self.checked()?;
        self.0.files.lock().unwrap().insert(name.to_owned(), Vec::new());
        Ok(Box::new(MemoryLog(self.clone(), name.to_owned())))
    }

    fn reopen(&self, name: &str, length: u64) -> io::Result<Box<dyn Appendable>> {
        let mut files = self.0.files.lock().unwrap();
        files.get_mut(name).ok_or(io::ErrorKind::NotFound)?.truncate(usize::try_from(length).unwrap());
        Ok(Box::new(MemoryLog(self.clone(), name.to_owned())))
    }

    fn spare(&self, from: &str, to: &str, _: u64) -> Step<'static, ()> {
        Box::pin(std::future::ready(self.rename(from, to)))
    }

    fn reuse(&self, spare: &str, name: &str) -> io::Result<Box<dyn Appendable>> {
        self.rename(spare, name)?;
        self.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.files.lock().unwrap();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, names: Vec<String>) -> Step<'static, ()> {
        let disk = self.clone();
        Box::pin(async move {
            let mut files = disk.0.files.lock().unwrap();
            names
                .iter()
                .try_for_each(|name| files.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into()))
        })
    }

    fn sync_names(&self) -> Step<'static, ()> {
        self.step()
    }
}

/// A file of a disk in memory. It keeps its content when it is renamed only if nothing is appended after that.
struct MemoryLog(MemoryDisk, String);

impl Appendable for MemoryLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.checked()?;
        self.0.0.appends.fetch_add(1, Ordering::Relaxed);
        self.0.0.files.lock().unwrap().entry(self.1.clone()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Step<'static, ()> {
        self.0.step()
    }
}
