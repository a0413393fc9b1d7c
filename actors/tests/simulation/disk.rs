//! A simulated disk: what is written is in the operating system's hands, and only what is synced outlives a loss of
//! power.
//!
//! A server's disk outlives the server, and serves one life of it at a time. What the operating system has and the
//! disk does not is at the mercy of the dice when power is lost: of every file some, all or nothing is there that was
//! appended since its last sync, torn at any byte, with a hole in it or with filling in its place, or with what was there
//! before if the file is written over another; of names that were
//! made, changed or removed, the first few, or any of them. A sync takes its time. A disk that is to fail does so once,
//! and notes whoever goes on using it, and whoever writes at all when its life is over: destructors run even where a
//! process was killed. What a sync that failed was to make last the disk never gets, and later syncs of the file say
//! nothing of it, as on Linux.

use crate::dice::Dice;
use crate::invariants::Invariant;
use crate::records::Record;
use crate::trace::Trace;
use herd_actors::disk::{Appendable, Disk, UNSYNCED};
use herd_actors::waiting::Step;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The disk of one server.
#[derive(Clone)]
pub struct Drive(Arc<Mutex<Platter>>);

struct Platter {
    server: &'static str,
    dice: Dice,
    trace: Trace,
    /// Every file that there ever was.
    files: Vec<File>,
    /// The files by their names, as the operating system has them.
    names: BTreeMap<String, usize>,
    /// The same, as the disk has them.
    lasting_names: BTreeMap<String, usize>,
    /// What the operating system has done to names and the disk has not, numbered from `named` on.
    renaming: VecDeque<Naming>,
    named: usize,
    /// Whose turn it is.
    life: u32,
    phase: Phase,
    /// How long a sync takes, at most.
    latency_ms: u64,
    /// What is to fail next.
    trouble: Option<Trouble>,
    has_failed: bool,
    /// How many bytes there is room for, if that is limited.
    room: Option<usize>,
    /// Bytes appended so far.
    pub appended: u64,
}

#[derive(Clone, Default)]
struct File {
    /// What the operating system has.
    bytes: Vec<u8>,
    /// What the disk has.
    lasting: Vec<u8>,
    /// Where it has what the operating system takes for written since a sync failed, and the disk has not.
    lost: Range<usize>,
    /// What it was that is written over: a spare file, or nothing.
    old: Vec<u8>,
    /// True if it was damaged before.
    is_worn: bool,
}

/// How far one life of the server is.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Alive,
    /// It has ended itself, and what it seems to do yet never happens.
    Ended,
    /// All of it is gone.
    Over,
}

/// Something that was done to names.
#[derive(Clone, Debug)]
enum Naming {
    Made(String, usize),
    Moved(String, String),
    Removed(String),
}

/// What a disk fails to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Some of the next bytes are appended, and then none.
    Append,
    /// The next sync of a file fails.
    Sync,
    /// The next sync of names fails.
    SyncNames,
    /// The next file cannot be made.
    Create,
}

impl Drive {
    pub fn new(server: &'static str, seed: u64, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            server,
            dice: Dice::new(seed),
            trace,
            files: Vec::new(),
            names: BTreeMap::new(),
            lasting_names: BTreeMap::new(),
            renaming: VecDeque::new(),
            named: 0,
            life: 0,
            phase: Phase::Over,
            latency_ms: LATENCY_MS,
            trouble: None,
            has_failed: false,
            room: None,
            appended: 0,
        })))
    }

    /// Nobody panics while holding it, and if somebody did, the simulation has failed anyway.
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to serve another life of the server.
    pub fn attach(&self) -> Arc<dyn Disk> {
        let mut platter = self.platter();
        platter.life += 1;
        platter.phase = Phase::Alive;
        platter.has_failed = false;
        Arc::new(Attached { drive: self.clone(), life: platter.life })
    }

    /// The server ends its own life: what it does from now on does not happen.
    pub fn end(&self) {
        self.platter().phase = Phase::Ended;
    }

    /// True once the server has ended its own life.
    pub fn has_ended(&self) -> bool {
        self.platter().phase == Phase::Ended
    }

    /// The server's life is over: from now on it must not even try to write.
    pub fn detach(&self) {
        let mut platter = self.platter();
        platter.phase = Phase::Over;
        platter.trouble = None;
    }

    /// Power is lost, once the server's life is over.
    pub fn lose_power(&self) {
        self.platter().lose_power();
    }

    /// Lets something fail, once.
    pub fn fail(&self, trouble: Trouble) {
        self.platter().trouble = Some(trouble);
    }

    /// Lets nothing fail any more, and has room and time for everything.
    pub fn mend(&self) {
        let mut platter = self.platter();
        platter.trouble = None;
        platter.room = None;
        platter.latency_ms = LATENCY_MS;
    }

    /// Limits the room for more.
    pub fn fill(&self, room: usize) {
        self.platter().room = Some(room);
    }

    pub fn set_latency(&self, ms: u64) {
        self.platter().latency_ms = ms;
    }

    /// True once something failed in this life of the server.
    pub fn has_failed(&self) -> bool {
        self.platter().has_failed
    }

    /// Bytes appended so far.
    pub fn appended(&self) -> u64 {
        self.platter().appended
    }

    /// True while a snapshot is being written.
    pub fn is_copying(&self) -> bool {
        let platter = self.platter();
        platter.names.get("snapshot.tmp").is_some_and(|&file| file + 1 == platter.files.len())
    }

    /// Flips a bit of a file; told is what that may cost: the record of one line, or of more where a neighbour of it was
    /// damaged before.
    pub fn flip(&self) -> Option<Vec<Record>> {
        self.platter().flip()
    }
}

/// How long a sync takes, at most, on a disk that is well.
pub const LATENCY_MS: u64 = 10;

impl Platter {
    /// Checks whether a life of the server may do something.
    fn admit(&mut self, life: u32, what: &str) -> io::Result<()> {
        if self.phase == Phase::Ended {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if life != self.life || self.phase == Phase::Over {
            let what = format!("{} {what} when its life was over", self.server);
            self.trace.broke(Invariant::DeadDiskIsLeft, what);
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.trace.ensure(Invariant::DeadDiskIsLeft, !self.has_failed, || {
            format!("{} {what} after its disk had failed", self.server)
        });
        Ok(())
    }

    /// Fails if that is what is to fail.
    fn falter(&mut self, trouble: Trouble) -> io::Result<()> {
        if self.trouble != Some(trouble) {
            return Ok(());
        }
        self.trouble = None;
        if matches!(trouble, Trouble::Sync | Trouble::SyncNames) {
            self.make(UNSYNCED);
        }
        self.trace.hit(match trouble {
            Trouble::Append => "a write failed",
            Trouble::Sync => "a sync failed",
            Trouble::SyncNames => "a sync of names failed",
            Trouble::Create => "a file could not be made",
        });
        Err(self.failed(io::ErrorKind::Other))
    }

    fn failed(&mut self, kind: io::ErrorKind) -> io::Error {
        self.has_failed = true;
        self.trace.happened(&format!("the disk of {} fails", self.server));
        kind.into()
    }

    fn append(&mut self, file: usize, bytes: &[u8]) -> io::Result<()> {
        let faltered = self.falter(Trouble::Append);
        let room = self.room.unwrap_or(usize::MAX);
        let taken = if faltered.is_err() { self.dice.index(bytes.len() + 1) } else { bytes.len().min(room) };
        self.files[file].bytes.extend_from_slice(&bytes[..taken]);
        self.appended += taken as u64;
        self.room = self.room.map(|room| room - taken.min(room));
        faltered?;
        if taken < bytes.len() {
            self.trace.hit("a disk was full");
            return Err(self.failed(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Makes an empty file.
    fn make(&mut self, name: &str) -> usize {
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.note(Naming::Made(name.to_owned(), file));
        file
    }

    fn note(&mut self, naming: Naming) {
        self.trace.happened(&format!("{}: {naming:?}", self.server));
        naming.apply(&mut self.names);
        self.renaming.push_back(naming);
    }

    /// Makes names last up to some number of what was done to them.
    fn sync_names(&mut self, upto: usize) {
        while self.named < upto
            && let Some(naming) = self.renaming.pop_front()
        {
            naming.apply(&mut self.lasting_names);
            self.named += 1;
        }
        self.trace.happened(&format!("{}: names synced", self.server));
    }

    fn lose_power(&mut self) {
        let ordered = self.dice.is(70).then(|| self.dice.index(self.renaming.len() + 1));
        if !self.renaming.is_empty() {
            self.trace.hit("names were lost with the power");
        }
        for (at, naming) in std::mem::take(&mut self.renaming).into_iter().enumerate() {
            self.named += 1;
            if ordered.map_or_else(|| self.dice.is(50), |kept| at < kept) {
                self.trace.happened(&format!("{}: {naming:?} lasts", self.server));
                naming.apply(&mut self.lasting_names);
            }
        }
        self.names = self.lasting_names.clone();
        for at in 0..self.files.len() {
            if self.files[at].bytes != self.files[at].lasting {
                self.tear(at);
            }
        }
    }

    /// Loses what the operating system has of a file and the disk has not, or some of it.
    fn tear(&mut self, at: usize) {
        let File { bytes, lasting, lost, old, is_worn } = &mut self.files[at];
        *lost = 0..0;
        let synced = synced_length(bytes, lasting);
        let unsynced = bytes.len() - synced;
        let probe = match self.dice.below(if unsynced > 0 { 10 } else { 5 }) {
            0..2 if old.len() > synced => {
                // The mark before it was lost, too.
                bytes.truncate(synced + self.dice.index(unsynced + 1));
                bytes.extend_from_slice(old.get(bytes.len()..).unwrap_or_default());
                *is_worn = true;
                "unsynced bytes were what had been there before"
            }
            0..3 => {
                bytes.clone_from(lasting);
                "unsynced bytes were lost"
            }
            3..5 => "unsynced bytes were there after all",
            5..8 => {
                let end = synced + self.dice.index(unsynced);
                if self.dice.is(50) {
                    // What a log is filled with got to the disk, and what was written over it did not.
                    bytes[end..].fill(b'\n');
                    *is_worn = true;
                    "unsynced bytes were filling again"
                } else {
                    bytes.truncate(end);
                    "unsynced bytes were torn"
                }
            }
            _ => {
                let hole = synced + self.dice.index(unsynced);
                let end = bytes.len().min(hole + 1 + self.dice.index(300));
                bytes[hole..end].fill(*self.dice.pick(b"\0\n"));
                *is_worn = true;
                "unsynced bytes had a hole"
            }
        };
        lasting.clone_from(bytes);
        self.trace.hit(probe);
        self.trace.happened(&format!("{}: of file {at}, {probe}, {unsynced} of them", self.server));
    }

    fn flip(&mut self) -> Option<Vec<Record>> {
        let is_in_use = |&at: &usize| !self.files[at].bytes.is_empty();
        let files: Vec<usize> = self.names.values().copied().filter(is_in_use).collect();
        if files.is_empty() {
            return None;
        }
        let file = &mut self.files[*self.dice.pick(&files)];
        let at = self.dice.index(file.bytes.len());
        let bit = 1 << self.dice.below(8);
        let costs = file.lines_at(at);
        file.bytes[at] ^= bit;
        if let Some(byte) = file.lasting.get_mut(at) {
            *byte ^= bit;
        }
        file.is_worn = true;
        let server = self.server;
        self.trace.happened(&format!("bit {bit} of byte {at} flips on the disk of {server}"));
        self.trace.hit("a bit flipped");
        Some(costs)
    }
}

/// How much of what the operating system has of a file the disk has, too.
fn synced_length(bytes: &[u8], lasting: &[u8]) -> usize {
    bytes.iter().zip(lasting).take_while(|(byte, lasting)| byte == lasting).count()
}

impl File {
    /// The records that may be lost if a byte changes: that of the line which the byte is in. If it is the end of a line
    /// and not of the last, none; but where something was damaged before, the lines around it are in doubt as well.
    fn lines_at(&self, at: usize) -> Vec<Record> {
        let mut start = 0;
        let lines: Vec<(usize, &[u8])> = self
            .bytes
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| {
                start += line.len();
                (start, line)
            })
            .collect();
        let number = lines.partition_point(|&(end, _)| end <= at);
        let around = if self.is_worn { number.saturating_sub(2)..number + 3 } else { number..number + 1 };
        let hit =
            lines.iter().enumerate().filter(|(line, _)| around.contains(line)).map(|(_, (_, line))| line);
        let record =
            |line: &&[u8]| Record::of_line(std::str::from_utf8(line.get(CHECKSUM..)?).ok()?.trim_end());
        if self.bytes[at] == b'\n' && at + 1 < self.bytes.len() && !self.is_worn {
            return Vec::new();
        }
        hit.filter_map(record).collect()
    }
}

/// What stands before a record in a line of a log, in bytes.
const CHECKSUM: usize = 9;

impl Naming {
    /// Does it, as far as there is what it is done to.
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Made(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Moved(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

/// The disk as one life of the server has it.
struct Attached {
    drive: Drive,
    life: u32,
}

impl Attached {
    fn open(&self, file: usize) -> Box<dyn Appendable> {
        Box::new(Log { drive: self.drive.clone(), life: self.life, file })
    }
}

impl Disk for Attached {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.drive.platter().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let platter = self.drive.platter();
        let file = *platter.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(platter.files[file].bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        let mut platter = self.drive.platter();
        platter.admit(self.life, "made a file")?;
        platter.falter(Trouble::Create)?;
        let file = platter.make(name);
        Ok(self.open(file))
    }

    fn reopen(&self, name: &str, length: u64) -> io::Result<Box<dyn Appendable>> {
        let mut platter = self.drive.platter();
        platter.admit(self.life, "opened a file")?;
        let file = *platter.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let File { bytes, old, .. } = &mut platter.files[file];
        old.clear();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < bytes.len() {
            bytes.truncate(length);
            platter.trace.hit("a torn tail was cut");
        }
        Ok(self.open(file))
    }

    fn spare(&self, from: &str, to: &str, length_max: u64) -> Step<'static, ()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.drive.later(self.life, "spared a file", move |platter| {
            let file = *platter.names.get(&from).ok_or(io::ErrorKind::NotFound)?;
            platter.files[file].bytes.truncate(usize::try_from(length_max).unwrap_or(usize::MAX));
            platter.note(Naming::Moved(from, to));
            Ok(())
        })
    }

    fn reuse(&self, spare: &str, name: &str) -> io::Result<Box<dyn Appendable>> {
        let mut platter = self.drive.platter();
        platter.admit(self.life, "wrote over a file")?;
        platter.falter(Trouble::Create)?;
        let at = *platter.names.get(spare).ok_or(io::ErrorKind::NotFound)?;
        let file = &mut platter.files[at];
        file.old = std::mem::take(&mut file.bytes);
        platter.trace.hit("a log was written over another");
        platter.note(Naming::Moved(spare.to_owned(), name.to_owned()));
        Ok(self.open(at))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut platter = self.drive.platter();
        platter.admit(self.life, "renamed a file")?;
        if !platter.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        platter.note(Naming::Moved(from.to_owned(), to.to_owned()));
        if to.starts_with("log-") {
            platter.trace.hit("a log was written anew");
            return Ok(());
        }
        platter.trace.hit("a snapshot was written");
        let number = to.strip_prefix("snapshot-").and_then(|number| number.parse::<u64>().ok());
        if number.is_some_and(|number| platter.names.contains_key(&format!("log-{}", number + 1))) {
            platter.trace.hit("a log was kept with a snapshot");
        }
        Ok(())
    }

    fn remove(&self, names: Vec<String>) -> Step<'static, ()> {
        self.drive.later(self.life, "removed files", move |platter| {
            for name in names {
                if !platter.names.contains_key(&name) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                platter.note(Naming::Removed(name));
            }
            Ok(())
        })
    }

    fn sync_names(&self) -> Step<'static, ()> {
        let upto = {
            let platter = self.drive.platter();
            platter.named + platter.renaming.len()
        };
        self.drive.later(self.life, "synced names", move |platter| {
            platter.falter(Trouble::SyncNames)?;
            platter.sync_names(upto);
            Ok(())
        })
    }
}

impl Drive {
    /// Something that was begun now, takes its time, and then is done.
    fn later(
        &self,
        life: u32,
        what: &str,
        done: impl FnOnce(&mut Platter) -> io::Result<()> + 'static,
    ) -> Step<'static, ()> {
        let drive = self.clone();
        let mut platter = self.platter();
        let begun = platter.admit(life, what);
        let latency = Duration::from_millis(platter.dice.below(platter.latency_ms + 1));
        drop(platter);
        Box::pin(async move {
            begun?;
            tokio::time::sleep(latency).await;
            let mut platter = drive.platter();
            if life != platter.life || platter.phase != Phase::Alive {
                return Err(io::ErrorKind::NotConnected.into());
            }
            done(&mut platter)
        })
    }
}

/// A file that one life of the server appends to.
struct Log {
    drive: Drive,
    life: u32,
    file: usize,
}

impl Appendable for Log {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.drive.platter();
        platter.admit(self.life, "appended to a file")?;
        platter.append(self.file, bytes)
    }

    fn sync(&self) -> Step<'static, ()> {
        let (file, length) = (self.file, self.drive.platter().files[self.file].bytes.len());
        self.drive.later(self.life, "synced a file", move |platter| {
            let faltered = platter.falter(Trouble::Sync);
            let File { bytes, lasting, lost, .. } = &mut platter.files[file];
            let length = length.min(bytes.len()); // It may have been begun anew meanwhile.
            if faltered.is_err() {
                *lost = synced_length(bytes, lasting)..length;
                return faltered;
            }
            if lasting.len() < length || !bytes.starts_with(lasting) {
                lasting.clear();
                lasting.extend_from_slice(&bytes[..length]);
                let lost = lost.start.min(length)..lost.end.min(length);
                lasting[lost].fill(0);
            }
            platter.trace.happened(&format!("{}: file {file} synced to {length}", platter.server));
            Ok(())
        })
    }
}
