//! What the store writes to disk, and when it has to wait for it.
//!
//! ```text
//! data/<NAME>/log-7        records as they were applied
//! data/<NAME>/log-8        the same, since the last snapshot was begun
//! data/<NAME>/snapshot-7   what was known when log-8 was begun, or a little later, and is not in log-7
//! data/<NAME>/snapshot.tmp a snapshot that is being written, or was when the server ended
//! data/<NAME>/spare        a log that is not needed any more, which the next one is written over
//! data/<NAME>/unsynced     nothing: a sync has failed
//! data/<NAME>/lock         nothing: whoever holds a lock on it has the directory
//! ```
//!
//! The snapshot of a number and all logs from that number on are the whole memory. A new snapshot goes like this: a
//! new log is begun, what is known is written to a file with another name, that is synced and renamed, and then
//! what is older is removed. Wherever that is broken off, the files that are there still add up: a record that is
//! in two of them is applied once.
//!
//! Where most of what is known was told since the last snapshot, it is in the log that has just ended. Then that log is
//! kept and the snapshot has its number, and only what is not in it: of a million clients who all report now and then, a
//! few in a hundred. Otherwise the snapshot has everything, and the number of the new log.
//!
//! Nothing here is tried again when it fails. A disk that has failed once cannot be trusted with what it said before: after
//! a sync that failed the next life of the server writes its logs anew before it does anything else. How it begins is in
//! `recall`.

mod recall;

use crate::disk::{Appendable, Disk};
use crate::waiting::Step;
use herd_core::faults::{self, Fault};
use herd_core::journal::{END, entries_length, print_entries};
use herd_core::store::Scope;
use std::fmt;
use std::io;
use std::sync::Arc;

/// When a client's update counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the operating system has it: it survives the end of the process, and soon after a loss of power.
    #[default]
    Write,
    /// When the disk has it: it survives a loss of power.
    Sync,
    /// At once. It is written all the same, and the operating system decides when the disk gets it.
    None,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::None => "none",
        })
    }
}

impl std::str::FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "write" => Ok(Self::Write),
            "sync" => Ok(Self::Sync),
            "none" => Ok(Self::None),
            _ => Err("write one of write, sync, none".to_owned()),
        }
    }
}

/// Where a server keeps what it knows, and how surely.
#[derive(Clone)]
pub struct Keep {
    /// The place for its files.
    pub disk: Arc<dyn Disk>,
    /// When an update counts as kept.
    pub durability: Durability,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("durability", &self.durability).finish_non_exhaustive()
    }
}

/// The files of one server.
pub struct Journal {
    disk: Arc<dyn Disk>,
    log: Box<dyn Appendable>,
    /// The log before it, until a snapshot has taken its place: the end of it may not be synced yet.
    previous: Option<Box<dyn Appendable>>,
    /// The number of the present log.
    number: u64,
    /// When an update counts as kept.
    pub durability: Durability,
    /// The number of the last snapshot, or of the one that is being written.
    first: u64,
    /// Bytes in the present log.
    log_length: u64,
    /// Bytes in the logs before it that are kept with the snapshot.
    kept_length: u64,
    /// A snapshot is not worth its trouble before there are so many bytes.
    log_bytes_min: u64,
    /// Bytes in the last snapshot.
    snapshot_length: u64,
    /// How many appends there were.
    appends: u64,
}

/// The number of an append, to ask later whether it was synced.
pub type Mark = u64;

/// How many times what is worth keeping may be on disk. A snapshot takes as much writing as all that is in it: with 5 that is
/// a fifth of what a busy server writes, with 3 a third. With more a start would take longer.
const GROWTH: u64 = 5;

impl Journal {
    /// Appends entries to the log.
    pub fn append(&mut self, entries: &[u8]) -> io::Result<Mark> {
        self.log.append(entries)?;
        self.log_length += entries.len() as u64;
        self.appends += 1;
        Ok(self.appends)
    }

    /// The last append.
    pub fn last(&self) -> Mark {
        self.appends
    }

    /// Bytes in the present log.
    pub fn log_length(&self) -> u64 {
        self.log_length
    }

    /// Makes everything last that was appended to the present log so far.
    pub fn sync(&self) -> Step<'static, ()> {
        self.log.sync()
    }

    /// Bytes in the last snapshot and all logs that are kept with it.
    fn length(&self) -> u64 {
        self.snapshot_length + self.kept_length + self.log_length
    }

    /// Whether the files have more than what is alive, which is that many records and bytes.
    pub fn has_dead(&self, records: u64, bytes: u64) -> bool {
        self.length() > entries_length(records, bytes)
    }

    /// What the next snapshot is to have, once it is due: when the files have grown past `GROWTH` times what is worth
    /// keeping, which is `records` with `bytes` of lines. `recent` of the records were told since the last snapshot was
    /// begun, and are in the present log.
    ///
    /// Where these are over half of them, the next snapshot has the others alone, and the present log is kept with it. That
    /// log counts twice, so such a snapshot is due when it is half as long.
    pub fn due(&self, records: u64, bytes: u64, recent: u64) -> Option<Scope> {
        let length_max = self.log_bytes_min.max(GROWTH * entries_length(records, bytes));
        let scope = if recent > records / 2 { Scope::NotRecent } else { Scope::All };
        let next = if scope == Scope::NotRecent { self.log_length } else { 0 };
        (self.snapshot_length + self.log_length + next.max(self.kept_length) > length_max).then_some(scope)
    }

    /// Makes the log that follows a new snapshot, over a spare one if there is any. It must have a lasting name before it is
    /// begun.
    pub fn prepare(&mut self) -> io::Result<(Box<dyn Appendable>, Step<'static, ()>)> {
        let number = self.number.checked_add(1);
        let name = log(number.ok_or_else(|| io::Error::other("a log has the last number that there is"))?);
        let next = match self.disk.reuse(SPARE, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(&name)?,
            reused => reused?,
        };
        Ok((next, unless(Fault::SkipsNameSync, self.disk.sync_names())))
    }

    /// Appends to the next log from now on; returned are the last log's last sync and the file for a snapshot, which is to
    /// have what is in a scope.
    pub fn begin(
        &mut self,
        next: Box<dyn Appendable>,
        scope: Scope,
    ) -> io::Result<(Step<'static, ()>, Snapshot)> {
        let previous = std::mem::replace(&mut self.log, next);
        let synced = previous.sync();
        self.previous = Some(previous);
        let last = self.number;
        self.number += 1; // Which there is: the log of that number is prepared.
        let last_length = std::mem::take(&mut self.log_length);
        (self.first, self.kept_length) = match scope {
            Scope::All => (self.number, 0),
            Scope::NotRecent => (last, last_length),
        };
        Ok((synced, Snapshot { file: self.disk.create(UNFINISHED)?, length: 0, entries: Vec::new() }))
    }

    /// Puts a snapshot that was synced in the place of everything before it, and makes that last.
    pub fn finish(&mut self, snapshot_length: u64) -> io::Result<Step<'static, ()>> {
        self.disk.rename(UNFINISHED, &snapshot(self.first))?;
        self.snapshot_length = snapshot_length;
        Ok(unless(Fault::SkipsNameSync, unless(Fault::RemovesTooEarly, self.disk.sync_names())))
    }

    /// Removes what the last snapshot made superfluous; the last log of that may stay for the next one to be written over.
    pub fn tidy(&mut self, may_spare: bool) -> io::Result<Step<'static, ()>> {
        self.previous = None;
        let names = self.disk.names()?;
        let mut logs: Vec<u64> = below(&names, "log-", self.first).collect();
        let last = logs.pop_if(|_| may_spare);
        let spared = last.map(|last| self.disk.spare(&log(last), SPARE, self.log_bytes_min));
        let present = faults::is_on(Fault::RemovesPresentLog).then_some(self.number);
        let snapshots = below(&names, "snapshot-", self.first);
        let files = logs.into_iter().chain(present).map(log).chain(snapshots.map(snapshot));
        let removed = self.disk.remove(files.collect());
        Ok(Box::pin(async {
            if let Some(spared) = spared {
                spared.await?;
            }
            removed.await
        }))
    }

    /// Makes everything last that was ever appended, as the last thing that is done.
    pub fn finish_all(&self) -> Step<'static, ()> {
        let previous = self.previous.as_ref().filter(|_| !faults::is_on(Fault::SyncsLastLogOnly));
        let (previous, present) = (previous.map(|log| log.finish()), self.log.finish());
        Box::pin(async {
            if let Some(previous) = previous {
                previous.await?;
            }
            present.await
        })
    }
}

/// A snapshot that is being written.
pub struct Snapshot {
    file: Box<dyn Appendable>,
    length: u64,
    entries: Vec<u8>,
}

impl Snapshot {
    /// Appends some record lines, each of which ends with a line feed.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.entries.clear();
        print_entries(lines, &mut self.entries);
        self.length += self.entries.len() as u64;
        self.file.append(&self.entries)
    }

    /// Ends it and makes it last; its length is returned too.
    pub fn finish(&mut self) -> io::Result<(u64, Step<'static, ()>)> {
        self.file.append(END)?;
        Ok((self.length, unless(Fault::SkipsSnapshotSync, self.file.finish())))
    }
}

/// A step of the disk; one that is forgotten if a test wants that.
fn unless(fault: Fault, step: Step<'static, ()>) -> Step<'static, ()> {
    if faults::is_on(fault) { Box::pin(std::future::ready(Ok(()))) } else { step }
}

/// The name of a log that is not needed any more and that the next one is written over.
const SPARE: &str = "spare";

/// The name of a snapshot that is not whole yet.
pub const UNFINISHED: &str = "snapshot.tmp";

fn log(number: u64) -> String {
    format!("log-{number}")
}

fn snapshot(number: u64) -> String {
    format!("snapshot-{number}")
}

/// The numbers of the files whose names begin so, in order. A number that is written in another way, as in `log-01`, makes
/// no name that was given here.
fn numbers(names: &[String], prefix: &str) -> Vec<u64> {
    let number = |name: &String| {
        let digits = name.strip_prefix(prefix)?;
        digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// The numbers below one of the files whose names begin so, in order.
fn below(names: &[String], prefix: &str, number: u64) -> impl Iterator<Item = u64> {
    numbers(names, prefix).into_iter().filter(move |&below| below < number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Directory, UNSYNCED};
    use crate::testing::{MemoryDisk, Scratch};
    use herd_core::journal::{Recovery, Summary};
    use std::io::Read;

    /// So long is a log before it is long.
    const LOG_BYTES_MIN: u64 = 1024 * 1024;

    struct Bench {
        scratch: Scratch,
    }

    impl Bench {
        fn new() -> Self {
            Self { scratch: Scratch::new() }
        }

        /// Opens the journal; the record lines that it had are returned.
        async fn open(&self) -> (Journal, Vec<String>, Summary) {
            let disk = Arc::new(Directory::open(self.scratch.path()).unwrap());
            let mut lines = Vec::new();
            let keep = Keep { disk, durability: Durability::Write };
            let each = |line: &[u8]| lines.push(String::from_utf8(line.to_vec()).unwrap());
            let (journal, summary) = Journal::open(keep, LOG_BYTES_MIN, each).await.unwrap();
            (journal, lines, summary)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.scratch.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn entries(lines: &[u8]) -> Vec<u8> {
        let mut entries = Vec::new();
        print_entries(lines, &mut entries);
        entries
    }

    /// A server that was stopped in the middle of a snapshot made sure of the new log alone, and the end of the old one
    /// was lost with the power; so it was when a server was killed there and came back.
    #[actix::test]
    async fn the_log_before_the_present_one_is_synced_at_the_end_and_at_the_beginning() {
        let disk = MemoryDisk::default();
        let keep = Keep { disk: Arc::new(disk.clone()), durability: Durability::Write };
        let (mut journal, _) = Journal::open(keep.clone(), LOG_BYTES_MIN, |_| {}).await.unwrap();
        journal.append(&entries(b"kiwi +1-2 3 4 Goloman\n")).unwrap();
        let (next, named) = journal.prepare().unwrap();
        named.await.unwrap();
        let (_broken_off, _) = journal.begin(next, Scope::All).unwrap();
        let before = disk.syncs();
        journal.finish_all().await.unwrap();
        assert_eq!(disk.syncs(), before + 2);
        let before = disk.syncs();
        Journal::open(keep, LOG_BYTES_MIN, |_| {}).await.unwrap();
        assert_eq!(disk.syncs(), before + 3, "both logs and the names");
    }

    /// Takes a snapshot of some lines, which are all that is known, as far as a crash lets it: so many steps of it.
    async fn snapshot(journal: &mut Journal, lines: &[u8], steps: usize) {
        snapshot_of(journal, Scope::All, lines, steps).await;
    }

    async fn snapshot_of(journal: &mut Journal, scope: Scope, lines: &[u8], steps: usize) {
        if steps == 0 {
            return;
        }
        let (next, named) = journal.prepare().unwrap();
        named.await.unwrap();
        if steps == 1 {
            return;
        }
        let (synced, mut snapshot) = journal.begin(next, scope).unwrap();
        synced.await.unwrap();
        snapshot.append(lines).unwrap();
        if steps == 2 {
            return;
        }
        let (length, synced) = snapshot.finish().unwrap();
        synced.await.unwrap();
        journal.finish(length).unwrap().await.unwrap();
        if steps > 3 {
            journal.tidy(true).unwrap().await.unwrap();
        }
    }

    #[actix::test]
    async fn what_was_appended_is_read_again() {
        let bench = Bench::new();
        for round in 0..3 {
            let (mut journal, lines, _) = bench.open().await;
            assert_eq!(lines.len(), round * 2);
            journal.append(&entries(b"first\nsecond\n")).unwrap();
        }
    }

    /// What a disk failed to take Linux shows nevertheless, and takes for written. A server that was started again
    /// acknowledged it once more, and it was lost with the power.
    #[actix::test]
    async fn after_a_sync_that_failed_all_logs_are_written_anew() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        journal.append(&entries(b"first\n")).unwrap();
        snapshot_of(&mut journal, Scope::NotRecent, b"rest\n", 4).await;
        journal.append(&entries(b"second\n")).unwrap();
        drop(journal);
        let path = |name: &str| bench.scratch.path().join(name);
        let old = ["log-0", "log-1"].map(|name| (name, std::fs::File::open(path(name)).unwrap()));
        std::fs::write(path(UNSYNCED), "").unwrap();
        let (journal, lines, summary) = bench.open().await;
        drop(journal);
        assert_eq!((&lines[..], summary.damaged), (&["rest", "first", "second"].map(String::from)[..], 0));
        assert_eq!(bench.names(), ["lock", "log-0", "log-1", "snapshot-0"]);
        for (name, mut old) in old {
            std::fs::write(path(name), "").unwrap();
            assert_ne!(old.read_to_end(&mut Vec::new()).unwrap(), 0, "{name} is another file now");
        }
    }

    #[actix::test]
    async fn a_torn_tail_is_cut_and_appended_behind() {
        let bench = Bench::new();
        let whole = entries(b"first\nsecond\n");
        std::fs::write(bench.scratch.path().join("log-0"), &whole[..whole.len() - 2]).unwrap();
        let (mut journal, lines, summary) = bench.open().await;
        assert_eq!((&lines[..], summary.damaged, summary.torn), (&["first".to_owned()][..], 0, 1));
        journal.append(&entries(b"third\n")).unwrap();
        drop(journal);
        assert_eq!(bench.open().await.1, ["first", "third"]);
    }

    #[actix::test]
    async fn a_snapshot_takes_the_place_of_what_is_older() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        journal.append(&entries(b"old\n")).unwrap();
        snapshot(&mut journal, b"new\n", 4).await;
        journal.append(&entries(b"newer\n")).unwrap();
        drop(journal);
        assert_eq!(bench.names(), ["lock", "log-1", "snapshot-1", "spare"]);
        assert_eq!(bench.open().await.1, ["new", "newer"]);
        assert_eq!(
            bench.names(),
            ["lock", "log-1", "snapshot-1"],
            "a spare log is of this life of the server"
        );
    }

    #[actix::test]
    async fn a_log_that_has_what_a_snapshot_lacks_is_kept_with_it() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        journal.append(&entries(b"first\n")).unwrap();
        snapshot_of(&mut journal, Scope::NotRecent, b"", 4).await;
        assert_eq!(bench.names(), ["lock", "log-0", "log-1", "snapshot-0"]);
        journal.append(&entries(b"second\n")).unwrap();
        snapshot_of(&mut journal, Scope::NotRecent, b"rest\n", 4).await;
        journal.append(&entries(b"third\n")).unwrap();
        assert_eq!(bench.names(), ["lock", "log-1", "log-2", "snapshot-1", "spare"]);
        drop(journal);
        let (mut journal, lines, summary) = bench.open().await;
        assert_eq!((&lines[..], summary.damaged), (&["rest", "second", "third"].map(String::from)[..], 0));
        snapshot(&mut journal, b"all\n", 4).await;
        assert_eq!(bench.names(), ["lock", "log-3", "snapshot-3", "spare"]);
        snapshot_of(&mut journal, Scope::NotRecent, b"again\n", 4).await;
        assert_eq!(bench.names(), ["lock", "log-3", "log-4", "snapshot-3"], "it has the name of the last");
        drop(journal);
        assert_eq!(bench.open().await.1, ["again"]);
    }

    #[actix::test]
    async fn a_log_is_written_over_the_last_but_one_and_nothing_of_that_is_read() {
        for is_killed in [true, false] {
            let bench = Bench::new();
            let (mut journal, ..) = bench.open().await;
            journal.append(&entries(&b"old\n".repeat(100_000))).unwrap();
            snapshot(&mut journal, b"first\n", 4).await;
            snapshot(&mut journal, b"second\n", 4).await;
            assert_eq!(bench.names(), ["lock", "log-2", "snapshot-2", "spare"]);
            let length = || std::fs::metadata(bench.scratch.path().join("log-2")).unwrap().len();
            assert_eq!(
                length(),
                LOG_BYTES_MIN,
                "it is the first log, and no longer than may be kept of that"
            );
            journal.append(&entries(b"third\n")).unwrap();
            if !is_killed {
                journal.finish_all().await.unwrap();
            }
            drop(journal);
            let (_, lines, summary) = bench.open().await;
            assert_eq!((&lines[..], summary.damaged), (&["second".to_owned(), "third".to_owned()][..], 0));
            assert_eq!(length(), entries(b"third\n").len() as u64);
        }
    }

    #[actix::test]
    async fn a_spare_log_that_somebody_removed_is_not_missed() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        snapshot(&mut journal, b"first\n", 4).await;
        std::fs::remove_file(bench.scratch.path().join(SPARE)).unwrap();
        snapshot(&mut journal, b"second\n", 4).await;
        drop(journal);
        assert_eq!(bench.open().await.1, ["second"]);
    }

    #[actix::test]
    async fn no_log_is_spared_where_it_may_not_be() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        snapshot(&mut journal, b"new\n", 3).await;
        journal.tidy(false).unwrap().await.unwrap();
        assert_eq!(bench.names(), ["lock", "log-1", "snapshot-1"]);
    }

    /// The first kept the server from starting, the second was read in the place of another, which was then read twice.
    #[actix::test]
    async fn a_number_that_is_written_in_another_way_is_no_number_of_a_file() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        journal.append(&entries(b"first\n")).unwrap();
        drop(journal);
        for name in ["log-01", "log-+0", "snapshot-+1", "snapshot-01"] {
            std::fs::write(bench.scratch.path().join(name), entries(b"other\n")).unwrap();
        }
        assert_eq!(bench.open().await.1, ["first"]);
    }

    /// The next was number 0, and at the next start the least of all.
    #[actix::test]
    async fn behind_the_last_number_there_is_no_log() {
        let bench = Bench::new();
        std::fs::write(bench.scratch.path().join(log(u64::MAX)), "").unwrap();
        let (mut journal, ..) = bench.open().await;
        let error = journal.prepare().map(drop).unwrap_err();
        assert_eq!(error.to_string(), "a log has the last number that there is");
    }

    #[actix::test]
    async fn a_snapshot_that_was_cut_lacks_its_end() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        snapshot(&mut journal, b"first\nsecond\n", 4).await;
        drop(journal);
        let path = bench.scratch.path().join("snapshot-1");
        let whole = std::fs::read(&path).unwrap();
        let has_end = |bytes: &[u8]| {
            let mut recovery = Recovery::default();
            recovery.feed(bytes, |_| {});
            recovery.finish(|_| {}).has_end
        };
        let cut = &whole[..entries(b"first\n").len()];
        assert!(has_end(&whole) && !has_end(cut));
        std::fs::write(&path, cut).unwrap();
        assert_eq!(bench.open().await.1, ["first"]);
        // The server was killed before it had removed what the snapshot took the place of.
        std::fs::write(bench.scratch.path().join("log-0"), entries(b"first\nsecond\n")).unwrap();
        for _ in 0..2 {
            assert_eq!(bench.open().await.1, ["first", "first", "second"], "it is read, and stays");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(bench.open().await.1, ["first", "second"]);
        assert_eq!(bench.names(), ["lock", "log-1", "snapshot-1"]);
    }

    #[actix::test]
    async fn a_snapshot_may_be_broken_off_anywhere() {
        for (scope, steps) in (0..=4).flat_map(|steps| [(Scope::All, steps), (Scope::NotRecent, steps)]) {
            let bench = Bench::new();
            let (mut journal, ..) = bench.open().await;
            journal.append(&entries(b"first\n")).unwrap();
            let lines = if scope == Scope::All { &b"first\n"[..] } else { b"" };
            snapshot_of(&mut journal, scope, lines, steps).await;
            journal.append(&entries(b"second\n")).unwrap();
            drop(journal);
            let (mut journal, lines, _) = bench.open().await;
            assert!(lines.contains(&"first".to_owned()), "{scope:?} {steps}: {lines:?}");
            assert_eq!(lines.last().unwrap(), "second", "{scope:?} {steps}: {lines:?}");
            let names: &[&str] = match (steps, scope) {
                (0, _) => &["lock", "log-0"],
                (1 | 2, _) => &["lock", "log-0", "log-1"],
                (_, Scope::All) => &["lock", "log-1", "snapshot-1"],
                (_, Scope::NotRecent) => &["lock", "log-0", "log-1", "snapshot-0"],
            };
            assert_eq!(bench.names(), names, "what is of no use any more is removed");
            let lines = match (scope, steps) {
                (Scope::NotRecent, 0) => &b""[..],
                (Scope::NotRecent, 2..) => b"first\n",
                _ => b"first\nsecond\n",
            };
            snapshot_of(&mut journal, scope, lines, 4).await;
            drop(journal);
            assert_eq!(bench.open().await.1, ["first", "second"], "{scope:?} {steps}");
        }
    }

    #[actix::test]
    async fn a_snapshot_is_due_once_the_files_are_several_times_what_is_worth_keeping() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let mut appended = 0;
        let mut append_until = |journal: &mut Journal, recent: u64, due: Scope| {
            let before = appended;
            while journal.due(0, 0, recent).is_none() {
                journal.append(&entries(&line)).unwrap();
                appended += 1;
            }
            assert_eq!(journal.due(0, 0, recent), Some(due));
            appended - before
        };
        let half = append_until(&mut journal, 1, Scope::NotRecent);
        assert!(half > 500 && half < 525, "{half}");
        assert_eq!(journal.due(10, 0, 5), None, "half of them is not most of them");
        let half = append_until(&mut journal, 0, Scope::All);
        assert!(half > 500 && half < 525, "{half}");
        assert_eq!(journal.due(1000, 1000 * 1024, 0), None, "nothing of it is superfluous");
        snapshot(&mut journal, b"", 4).await;
        assert_eq!(journal.due(0, 0, 0), None);
        append_until(&mut journal, 1, Scope::NotRecent);
        snapshot_of(&mut journal, Scope::NotRecent, b"", 4).await;
        let half = append_until(&mut journal, 0, Scope::All);
        assert!(half > 500 && half < 525, "the log that is kept counts: {half}");
        drop(journal);
        assert_eq!(bench.open().await.0.due(0, 0, 0), Some(Scope::All), "and it does at the next start");
    }

    #[actix::test]
    async fn a_snapshot_is_due_without_a_log_once_what_the_last_one_has_has_expired() {
        let bench = Bench::new();
        let (mut journal, ..) = bench.open().await;
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        snapshot(&mut journal, &line.repeat(5000), 4).await;
        assert_eq!((journal.due(5000, 5000 * 1024, 0), journal.due(1020, 1020 * 1024, 0)), (None, None));
        assert_eq!(journal.due(980, 980 * 1024, 0), Some(Scope::All));
        drop(journal);
        assert_eq!(bench.open().await.0.due(0, 0, 0), Some(Scope::All), "though it was begun anew");
    }
}
