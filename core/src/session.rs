//! One client's conversation, as bytes: what was read becomes batches of whole lines.

use crate::batch::Batch;
use memchr::{memchr, memrchr};
use std::net::IpAddr;

/// The bytes that a client has sent and that no batch carries yet. Bounded by the longest line and one read.
#[derive(Debug)]
pub struct Session {
    /// Bytes of a line whose end has not come.
    pending: Vec<u8>,
    /// How many of those were searched for an end already.
    scanned: usize,
    /// True while the rest of a line over the limit goes by.
    skipping: bool,
    line_max: usize,
    from: Option<IpAddr>,
    /// A batch that is done, for its buffers.
    spare: Option<Box<Batch>>,
}

impl Session {
    /// A conversation in which nothing has been said.
    pub fn new(line_max: usize) -> Self {
        Self { pending: Vec::new(), scanned: 0, skipping: false, line_max, from: None, spare: None }
    }

    /// Says from where the client talks, for what is limited by address.
    #[must_use]
    pub fn with(self, from: IpAddr) -> Self {
        Self { from: Some(from), ..self }
    }

    /// Where the next read goes: append to it, then ask for batches until there is none.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// All lines that are complete, or a line that is over the limit already.
    pub fn batch(&mut self) -> Option<Box<Batch>> {
        if self.skipping {
            self.skip();
        }
        let unscanned = &self.pending[self.scanned..];
        if let Some(last) = memrchr(b'\n', unscanned) {
            return Some(self.cut(self.scanned + last + 1));
        }
        self.scanned = self.pending.len();
        self.is_over_limit().then(|| {
            self.skipping = true;
            let batch = self.cut(self.line_max + 1);
            self.skip();
            batch
        })
    }

    /// What was read of a last line whose end never came: the end of the input ends it.
    pub fn finish(&mut self) -> Option<Box<Batch>> {
        (!self.pending.is_empty() && !self.skipping).then(|| self.cut(self.pending.len()))
    }

    /// Takes a batch back that is done, so that the next one need not allocate.
    pub fn reuse(&mut self, mut batch: Box<Batch>) {
        batch.release(&mut self.pending);
        self.spare = Some(batch);
    }

    /// Makes a batch of the first bytes; the others stay.
    fn cut(&mut self, length: usize) -> Box<Batch> {
        let mut batch = self.spare.take().unwrap_or_default();
        let length = length.min(self.pending.len());
        batch.refill(&mut self.pending, length, self.line_max);
        batch.from = self.from;
        self.scanned = 0;
        batch
    }

    /// A carriage return after the last byte that fits may be half of the line's end, so it alone decides nothing.
    fn is_over_limit(&self) -> bool {
        let over = self.pending.len().saturating_sub(self.line_max);
        over > 1 || (over == 1 && self.pending.last() != Some(&b'\r'))
    }

    /// Drops the rest of a line over the limit, as far as it has come.
    fn skip(&mut self) {
        let end = memchr(b'\n', &self.pending);
        self.skipping = end.is_none();
        self.pending.drain(..end.map_or(self.pending.len(), |at| at + 1));
        self.scanned = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{KEPT_MAX, Pause, Progress};
    use crate::limits::Limits;
    use crate::line::print_invalid;
    use crate::replica::Replica;
    use proptest::prelude::*;
    use uuid::Uuid;

    /// What the lines of some reads are, in the form of answers: `? ` and a copy.
    fn echoes(reads: &[&[u8]], line_max: usize) -> Vec<u8> {
        let mut session = Session::new(line_max);
        let mut out = Vec::new();
        let mut echo = |session: &mut Session, mut batch: Box<Batch>| {
            let pause = batch.run(|lines, _, answers| {
                for line in lines {
                    print_invalid(line.text, &mut answers.text);
                }
                Progress { done: lines.len(), search: None }
            });
            assert_eq!(pause, Pause::Done);
            out.append(&mut batch.output);
            session.reuse(batch);
        };
        for read in reads {
            session.buffer().extend_from_slice(read);
            while let Some(batch) = session.batch() {
                echo(&mut session, batch);
            }
            assert!(session.pending.len() <= line_max + 1);
        }
        if let Some(batch) = session.finish() {
            echo(&mut session, batch);
        }
        out
    }

    #[test]
    fn the_end_of_the_input_ends_the_last_line() {
        assert_eq!(echoes(&[b"a\nb"], 10), b"? a\n? b\n");
        assert_eq!(echoes(&[b"a\n"], 10), b"? a\n");
    }

    #[test]
    fn every_read_goes_into_the_buffer_that_the_last_one_went_into() {
        let mut session = Session::new(10);
        let mut places = Vec::new();
        for _ in 0..3 {
            session.buffer().extend_from_slice(b"a\n");
            places.push(session.buffer().as_ptr());
            let batch = session.batch().unwrap();
            session.reuse(batch);
            assert!(session.buffer().is_empty());
        }
        assert!(places.iter().all(|place| *place == places[0]));
    }

    /// Where the buffers of a session are and how large, after as much of these commands as comes at a time.
    fn buffers_after(session: &mut Session, commands: &[u8]) -> [(*const u8, usize); 4] {
        let mut replica = Replica::new("Goloman", &Limits::default());
        session.buffer().reserve(commands.len());
        session.buffer().extend_from_slice(commands);
        let mut batch = session.batch().unwrap();
        while replica.execute(&mut batch, 1, 0, Uuid::nil) != Pause::Done {
            while !batch.wanted().is_empty() {
                batch.add_places(&[b' '; 1000]);
            }
        }
        session.reuse(batch);
        let spare = session.spare.as_ref().unwrap();
        let buffers = spare.buffers();
        [&session.pending, buffers[0], buffers[1], buffers[2]]
            .map(|buffer| (buffer.as_ptr(), buffer.capacity()))
    }

    /// As much as is read at a time of one command again and again.
    fn as_many(command: &[u8]) -> Vec<u8> {
        command.repeat(Limits::default().in_flight_bytes / command.len())
    }

    #[test]
    fn a_client_that_sends_all_it_may_at_once_has_the_same_buffers_every_time() {
        let updates = as_many(b"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n");
        let mut session = Session::new(1 << 16);
        let first = buffers_after(&mut session, &updates);
        assert_eq!(buffers_after(&mut session, &updates), first);
        assert!(first.iter().any(|&(_, size)| size > 16 * 1024), "{first:?}");
    }

    #[test]
    fn buffers_that_one_batch_has_made_large_are_given_back() {
        // Thirty questions about a client with a time of 64,000 decimals left an idle session with 1.2 MiB of them.
        let mut session = Session::new(1 << 16);
        let time = "7".repeat(64_000);
        let long = format!("IAMAT kiwi +1-2 1.{time}\n{}", "WHATSAT kiwi 1 0\n".repeat(30)).into_bytes();
        let many = [b"IAMAT kiwi +1-2 1\n".to_vec(), as_many(b"WHATSAT kiwi 50 20\n")].concat();
        for commands in [long, many, as_many(b"unknown\n").repeat(8)] {
            let buffers = buffers_after(&mut session, &commands);
            assert!(buffers.iter().all(|&(_, size)| size <= KEPT_MAX), "{buffers:?}");
        }
    }

    #[test]
    fn the_rest_of_a_line_over_the_limit_is_skipped_and_the_session_goes_on() {
        assert_eq!(echoes(&[b"123", b"456", b"789", b"0\nab\n"], 5), b"? 12345\n? ab\n");
        assert_eq!(echoes(&[b"1234567890\nab\n"], 5), b"? 12345\n? ab\n");
        assert_eq!(echoes(&[b"1234567890"], 5), b"? 12345\n");
    }

    #[test]
    fn a_line_at_the_limit_may_end_with_cr_lf() {
        assert_eq!(echoes(&[b"12345\r", b"\nab\n"], 5), b"? 12345\n? ab\n");
        assert_eq!(echoes(&[b"12345\r", b"6\nab\n"], 5), b"? 12345\n? ab\n");
        assert_eq!(echoes(&[b"12345\r"], 5), b"? 12345\n");
    }

    proptest! {
        #[test]
        fn how_a_line_is_split_over_reads_does_not_matter(
            input in prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'\r', b'\n']), 0..60),
            at in prop::collection::vec(0_usize..60, 0..6),
            line_max in 1_usize..8,
        ) {
            let mut cuts: Vec<usize> = at.iter().map(|&cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            prop_assert_eq!(echoes(&reads, line_max), echoes(&[&input], line_max));
        }
    }
}
