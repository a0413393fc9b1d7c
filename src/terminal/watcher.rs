//! Whoever watches standard error: a pipe that nobody reads, or a terminal that was told to wait, delays nobody here.
//!
//! Lines queue for a thread of their own. When the queue is full they are left out, and the next that comes out says
//! how many were.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines on their way to whoever watches.
#[derive(Default)]
pub struct Watcher {
    queue: Mutex<Queue>,
    /// Told when there are lines to write.
    came: Condvar,
    /// Told when all that were taken are written.
    went: Condvar,
}

/// What waits, in the order in which it was said.
#[derive(Default)]
struct Queue {
    /// Whole lines, at most [`QUEUED_BYTES_MAX`].
    lines: Vec<u8>,
    /// How many came after those and found no room.
    left_out: u64,
    /// Whether lines were taken and are not all written yet.
    is_writing: bool,
    /// Whether the last wait was in vain, and nothing has moved since.
    is_stuck: bool,
}

/// How much may wait: about ten thousand lines, more than a burst of connections brings, and little beside what a
/// server has in memory anyhow.
const QUEUED_BYTES_MAX: usize = 1 << 20;

/// How long an end may wait for lines to come out: much longer than it takes where somebody reads, and not long
/// enough to look stuck where nobody does.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

impl Watcher {
    /// Begins to write to `out` what will be said.
    pub fn start(mut out: impl Write + Send + 'static) -> io::Result<Arc<Watcher>> {
        let watcher = Arc::new(Watcher::default());
        let source = Arc::clone(&watcher);
        let write = move || {
            let mut lines = Vec::new();
            loop {
                source.take(&mut lines);
                // One by one, so that a line of another process on the same terminal tears none.
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    // Nobody may be watching any more.
                    let _ = out.write_all(line);
                }
            }
        };
        thread::Builder::new().name("standard error".to_owned()).spawn(write)?;
        Ok(watcher)
    }

    /// Says a line, with its end, unless too much waits already. It never waits itself.
    pub fn say(&self, line: &[u8]) {
        let mut queue = self.queue();
        // Once a line was left out all later ones are, so that it is said at one place how many.
        if queue.left_out > 0 || queue.lines.len() + line.len() > QUEUED_BYTES_MAX {
            queue.left_out += 1;
        } else {
            queue.lines.extend_from_slice(line);
            self.came.notify_one();
        }
    }

    /// Waits until all is written, for a short time at most: where that passed in vain nobody reads, and it is not
    /// waited again until something moves.
    pub fn settle(&self) {
        let queue = self.queue();
        if queue.is_stuck {
            return;
        }
        let is_under_way = |queue: &mut Queue| queue.is_writing || !queue.lines.is_empty();
        let waited = self.went.wait_timeout_while(queue, SETTLE_LIMIT, is_under_way);
        let (mut queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_stuck = waited.timed_out();
    }

    /// Waits for lines and takes all that there are, in place of those that are written now.
    fn take(&self, lines: &mut Vec<u8>) {
        lines.clear();
        let mut queue = self.queue();
        queue.is_writing = false;
        queue.is_stuck = false;
        self.went.notify_all();
        let waited = self.came.wait_while(queue, |queue| queue.lines.is_empty() && queue.left_out == 0);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_writing = true;
        std::mem::swap(lines, &mut queue.lines);
        if queue.left_out > 0 {
            lines.extend_from_slice(gap(queue.left_out).as_bytes());
            queue.left_out = 0;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how many lines are not there.
fn gap(left_out: u64) -> String {
    format!("... {left_out} more, left out here because nobody read\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, pipe};
    use std::time::Instant;

    fn line(number: usize) -> String {
        format!("{number:099}\n")
    }

    #[test]
    fn what_is_said_comes_out_in_order_before_an_end_goes_on() {
        let (mut reader, writer) = pipe().unwrap();
        let watcher = Watcher::start(writer).unwrap();
        (0..100).for_each(|number| watcher.say(line(number).as_bytes()));
        watcher.settle();
        let mut written = vec![0; 100 * line(0).len()];
        reader.read_exact(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), (0..100).map(line).collect::<String>());
    }

    #[test]
    fn what_nobody_reads_is_left_out_and_counted_when_somebody_reads_again() {
        let (reader, writer) = pipe().unwrap();
        let watcher = Watcher::start(writer).unwrap();
        let said = 3 * QUEUED_BYTES_MAX / line(0).len();
        (0..said).for_each(|number| watcher.say(line(number).as_bytes()));
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let mut come = 0;
        let told = loop {
            let next = lines.next().unwrap();
            if next != line(come).trim_end() {
                break next;
            }
            come += 1;
        };
        assert!(come * line(0).len() > QUEUED_BYTES_MAX - line(0).len(), "{come}");
        assert_eq!(told, gap((said - come) as u64).trim_end());
        watcher.say(b"again\n");
        assert_eq!(lines.next().unwrap(), "again");
    }

    #[test]
    fn an_end_waits_once_where_nobody_reads() {
        let (reader, writer) = pipe().unwrap();
        let watcher = Watcher::start(writer).unwrap();
        watcher.say(&vec![b'x'; QUEUED_BYTES_MAX]);
        watcher.settle();
        let start = Instant::now();
        (0..100).for_each(|_| watcher.settle());
        assert!(start.elapsed() < SETTLE_LIMIT, "{:?}", start.elapsed());
        drop(reader);
    }
}
