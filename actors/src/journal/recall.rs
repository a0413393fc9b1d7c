//! What a server finds on its disk when it begins: it is read and made last, and what is of no use any more is removed.

use super::{Journal, Keep, SPARE, UNFINISHED, below, log, numbers, snapshot};
use crate::disk::{Appendable, Disk, UNSYNCED};
use herd_core::faults::{self, Fault};
use herd_core::journal::{Recovery, Summary};
use log::warn;
use std::io::{self, Read};
use tokio::task::yield_now;

/// How much is read from a file at a time.
const READ_SIZE: usize = 64 * 1024;

impl Journal {
    /// Reads what is there, `each` record line being told, and begins to append behind it.
    pub async fn open(
        Keep { disk, durability }: Keep,
        log_bytes_min: u64,
        each: impl FnMut(&[u8]),
    ) -> io::Result<(Self, Summary)> {
        let names = disk.names()?;
        // First of all: a disk may be full, and these take room.
        disk.remove(left_behind(&names).collect()).await?;
        let mut reading = Reading { disk: &*disk, each, whole: Summary::default() };
        let last_snapshot = numbers(&names, "snapshot-").pop();
        let (snapshot_length, is_cut) = match last_snapshot {
            Some(number) => reading.snapshot(number, &names).await?,
            None => (0, false),
        };
        let first = last_snapshot.unwrap_or_default();
        let logs = logs_from(last_snapshot, &names);
        let number = logs.last().copied().unwrap_or(first);
        let is_doubted = is_doubted(&names);
        let mut kept = reading.logs(&logs, is_doubted).await?;
        let last = kept.pop();
        let whole = reading.whole;
        let log = open_log(&*disk, number, last).await?;
        disk.sync_names().await?;
        let doubt = is_doubted.then(|| UNSYNCED.to_owned());
        disk.remove(older(&names, if is_cut { 0 } else { first }).chain(doubt).collect()).await?;
        let journal = Self {
            disk,
            log,
            previous: None,
            number,
            durability,
            first,
            log_length: last.unwrap_or_default().length,
            kept_length: kept.iter().map(|log| log.length).sum(),
            log_bytes_min,
            snapshot_length,
            appends: 0,
        };
        Ok((journal, whole))
    }
}

/// What is of no use when a server begins: a snapshot that was broken off, and a spare log, of which a server that is busy
/// has another soon.
fn left_behind(names: &[String]) -> impl Iterator<Item = String> {
    names.iter().filter(|name| [SPARE, UNFINISHED].contains(&name.as_str())).cloned()
}

/// The files that the snapshot of a number took the place of, as far as they are still there.
fn older(names: &[String], number: u64) -> impl Iterator<Item = String> {
    below(names, "snapshot-", number).map(snapshot).chain(below(names, "log-", number).map(log))
}

/// The first file that is missing where the last snapshot has a number, if there is one, and these are the numbers of the
/// logs from there on.
fn missing(last_snapshot: Option<u64>, logs: &[u64]) -> Option<String> {
    match (last_snapshot, logs) {
        (None, []) => None,
        (None, [least, ..]) if *least > 0 => Some(snapshot(*least)),
        (Some(first), []) => Some(log(first)),
        _ => (last_snapshot.unwrap_or_default()..=u64::MAX)
            .zip(logs)
            .find(|(number, there)| number != *there)
            .map(|(number, _)| log(number)),
    }
}

/// The numbers of the logs that are to be read after the last snapshot, in order. Says if one is missing.
fn logs_from(last_snapshot: Option<u64>, names: &[String]) -> Vec<u64> {
    let mut logs = numbers(names, "log-");
    logs.retain(|&number| number >= last_snapshot.unwrap_or_default());
    if let Some(missing) = missing(last_snapshot, &logs) {
        warn!("{missing} is missing: what it had is lost here");
    }
    if faults::is_on(Fault::ReadsLastLogOnly) {
        logs.drain(..logs.len().saturating_sub(1));
    }
    logs
}

/// Whether the disk may not have what is read of the logs. Says if so.
fn is_doubted(names: &[String]) -> bool {
    let is_doubted = names.iter().any(|name| name == UNSYNCED) && !faults::is_on(Fault::TrustsFailedDisk);
    if is_doubted {
        warn!("a sync failed in the last life of this server: its logs are written anew");
    }
    is_doubted
}

/// Files that are read when a server begins.
struct Reading<'d, F> {
    disk: &'d dyn Disk,
    /// It is told each record line.
    each: F,
    /// What all of them turned out to be.
    whole: Summary,
}

impl<F: FnMut(&[u8])> Reading<'_, F> {
    /// Reads a file that was written to its end.
    async fn old(&mut self, name: &str) -> io::Result<Summary> {
        let summary = read(self.disk, name, &mut self.each).await?;
        self.whole.add(summary.of_old());
        Ok(summary)
    }

    /// Reads a snapshot and, if it was cut, what it was to take the place of. Tells its length and whether it was.
    async fn snapshot(&mut self, number: u64, names: &[String]) -> io::Result<(u64, bool)> {
        let summary = self.old(&snapshot(number)).await?;
        if !summary.has_end {
            warn!("snapshot-{number} lacks its end: it was cut, unless an earlier version of herd wrote it");
            for name in older(names, number) {
                self.old(&name).await?;
            }
        }
        Ok((summary.length, !summary.has_end))
    }

    /// Reads logs and makes all but the last of them last. Those that are doubted are written anew.
    async fn logs(&mut self, numbers: &[u64], is_doubted: bool) -> io::Result<Vec<Summary>> {
        let mut summaries = Vec::new();
        for &number in numbers {
            let (name, is_last) = (log(number), numbers.last() == Some(&number));
            let summary = read(self.disk, &name, &mut self.each).await?;
            self.whole.add(if is_last { summary } else { summary.of_old() });
            if is_doubted {
                write_anew(self.disk, &name, summary.length).await?;
            }
            if !is_last && !faults::is_on(Fault::SyncsLastLogOnly) {
                self.disk.reopen(&name, summary.length)?.sync().await?; // It may have been broken off before that.
            }
            summaries.push(summary);
        }
        Ok(summaries)
    }
}

/// Opens the log of a number behind what it has, if it is there, and makes that last.
async fn open_log(disk: &dyn Disk, number: u64, present: Option<Summary>) -> io::Result<Box<dyn Appendable>> {
    let name = log(number);
    let mut log = match present {
        Some(Summary { length, .. }) => disk.reopen(&name, length)?,
        None => disk.create(&name)?,
    };
    if present.is_some_and(|summary| summary.lacks_end) {
        log.append(b"\n")?;
    }
    log.sync().await?;
    Ok(log)
}

/// Reads a file, and lets others have a turn now and then: a server that is told to stop need not read all before.
async fn read(disk: &dyn Disk, name: &str, mut each: impl FnMut(&[u8])) -> io::Result<Summary> {
    let mut file = disk.read(name)?;
    let mut recovery = Recovery::default();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(recovery.finish(each)),
            Ok(length) => {
                recovery.feed(&buffer[..length], &mut each);
                if recovery.has_ended() {
                    return Ok(recovery.finish(each));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        yield_now().await;
    }
}

/// Writes a file anew, and makes it last, as far as it means something: the disk may not have what is read of it.
async fn write_anew(disk: &dyn Disk, name: &str, length: u64) -> io::Result<()> {
    let mut old = disk.read(name)?.take(length);
    let mut new = disk.create(UNFINISHED)?;
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = old.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        new.append(&buffer[..read])?;
        yield_now().await;
    }
    new.finish().await?;
    disk.rename(UNFINISHED, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server without neighbours began without half its clients, and its log said that all was well.
    #[test]
    fn a_file_that_is_missing_is_missed() {
        for (first, logs, expected) in [
            (None, &[][..], None),
            (None, &[0, 1], None),
            (Some(0), &[0, 1], None),
            (Some(2), &[2, 3], None),
            (None, &[1, 2], Some("snapshot-1")),
            (Some(0), &[], Some("log-0")),
            (Some(0), &[1], Some("log-0")),
            (Some(2), &[], Some("log-2")),
            (Some(2), &[3], Some("log-2")),
            (None, &[0, 2], Some("log-1")),
            (None, &[0, u64::MAX], Some("log-1")),
        ] {
            assert_eq!(missing(first, logs).as_deref(), expected, "{first:?} {logs:?}");
        }
    }
}
