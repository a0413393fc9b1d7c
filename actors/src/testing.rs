//! Mocked mailboxes, and ends of connections that a test holds.

use crate::net::{Dice, Network, Seams, Socket, Step};
use actix::actors::mocker::Mocker;
use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Context, Handler, Message, Recipient};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::DuplexStream;
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

    fn connect<'a>(&'a self, _: &'a str) -> Step<'a, Socket> {
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
    Seams { network: Arc::new(network), clock: Arc::new(|| NOON), dice: counting() }
}

/// The time that tests go by, in nanoseconds.
pub const NOON: u64 = 1_520_023_935_182_837_383;

/// Dice that throw 1, 2, 3 and so on.
pub fn counting() -> Dice {
    let last = AtomicU64::new(0);
    Arc::new(move || u128::from(last.fetch_add(1, Ordering::Relaxed) + 1))
}
