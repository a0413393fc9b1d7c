//! The commands of one read from a client on their way through the store, and their answers on the way back.

use crate::line::print_invalid;
use memchr::memchr;
use std::net::IpAddr;

/// Whole lines of one client, and the answers to those that are done.
///
/// A batch travels as one message, so that a pipelining client costs one message per read and not one per line;
/// it comes back with its buffers, so that a line allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// Lines with their ends; only the last may lack one.
    input: Vec<u8>,
    /// Where the first line begins that has not been executed.
    next: usize,
    line_max: usize,
    /// Where the lines come from, if that is known.
    pub(crate) from: Option<IpAddr>,
    /// How many lines are done.
    lines: u64,
    /// True once the herd was searched for the client that the next line asks about.
    pub(crate) searched: bool,
    /// The answers so far, in order. Whoever writes them to the client empties this.
    pub output: Vec<u8>,
}

/// Why the execution of a batch stopped.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Pause {
    /// Every line is done.
    Done,
    /// The next line asks about a client that is unknown here: search the herd, then go on.
    Search {
        /// The client to search for.
        client: Vec<u8>,
    },
    /// The output ends with an AT line that places must follow: add them, then go on.
    Places(Nearby),
}

/// Which places a client asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearby {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// How far to look, in kilometres.
    pub radius_km: f64,
    /// How many places at most.
    pub bound: usize,
}

/// What one line led to.
#[derive(Debug, PartialEq)]
#[must_use]
pub(crate) enum Step {
    /// The line is done; its answer, if any, is in the output.
    Next,
    /// The line is done but for what the pause asks for.
    NextAfter(Pause),
    /// The line is to be executed again after the pause.
    AgainAfter(Pause),
}

impl Batch {
    /// A batch of lines, none of them executed. Lines over `line_max` bytes are answered as invalid.
    pub fn new(input: Vec<u8>, line_max: usize) -> Self {
        Self { input, line_max, ..Self::default() }
    }

    /// Takes the first `length` of some bytes into a batch that is done. The others stay, in the batch's old buffer.
    pub(crate) fn refill(&mut self, bytes: &mut Vec<u8>, length: usize, line_max: usize) {
        self.next = 0;
        self.lines = 0;
        self.line_max = line_max;
        self.searched = false;
        self.input.clear();
        self.input.extend_from_slice(&bytes[length..]);
        bytes.truncate(length);
        std::mem::swap(&mut self.input, bytes);
    }

    /// The lines as they came.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// How many lines are done, blank ones included.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Adds the places that a [`Pause::Places`] asked for: the JSON and two newlines, which end an answer.
    pub fn add_places(&mut self, json: &[u8]) {
        self.output.extend_from_slice(json);
        self.output.extend_from_slice(b"\n\n");
    }

    /// Executes line after line until one asks for a pause.
    pub(crate) fn run(&mut self, mut execute: impl FnMut(&[u8], bool, &mut Vec<u8>) -> Step) -> Pause {
        while self.next < self.input.len() {
            let (line, next) = line_at(&self.input, self.next);
            let step = if line.len() > self.line_max {
                print_invalid(&line[..self.line_max], &mut self.output);
                Step::Next
            } else {
                execute(line, self.searched, &mut self.output)
            };
            if let Step::AgainAfter(pause) = step {
                self.searched = true;
                return pause;
            }
            self.searched = false;
            self.next = next;
            self.lines += 1;
            if let Step::NextAfter(pause) = step {
                return pause;
            }
        }
        Pause::Done
    }
}

/// The line that begins somewhere, without its LF or CR LF, and where the next one begins.
fn line_at(input: &[u8], start: usize) -> (&[u8], usize) {
    let rest = &input[start..];
    let Some(length) = memchr(b'\n', rest) else { return (rest, input.len()) };
    let line = &rest[..length];
    (line.strip_suffix(b"\r").unwrap_or(line), start + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(input: &[u8], line_max: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut lines = Vec::new();
        let mut batch = Batch::new(input.to_vec(), line_max);
        let pause = batch.run(|line, _, _| {
            lines.push(line.to_vec());
            Step::Next
        });
        assert_eq!(pause, Pause::Done);
        (lines, batch.output)
    }

    #[test]
    fn a_line_ends_with_lf_or_cr_lf_or_the_input() {
        let (lines, _) = lines_of(b"a\nb\r\n\r\r\nc\r", 10);
        assert_eq!(lines, [&b"a"[..], b"b", b"\r", b"c\r"]);
    }

    #[test]
    fn of_a_line_over_the_limit_the_first_bytes_come_back() {
        let (lines, output) = lines_of(b"12345\n123456\n1234\r\n12345\r\n", 5);
        assert_eq!(lines, [&b"12345"[..], b"1234", b"12345"]);
        assert_eq!(output, b"? 12345\n");
    }

    #[test]
    fn a_line_that_must_wait_is_executed_again_and_those_after_it_wait() {
        let mut seen = Vec::new();
        let mut batch = Batch::new(b"a\nb\n".to_vec(), 5);
        let mut run = |batch: &mut Batch| {
            batch.run(|line, searched, _| {
                seen.push((line.to_vec(), searched));
                if searched { Step::Next } else { Step::AgainAfter(Pause::Search { client: line.to_vec() }) }
            })
        };
        assert_eq!(run(&mut batch), Pause::Search { client: b"a".to_vec() });
        assert_eq!(run(&mut batch), Pause::Search { client: b"b".to_vec() });
        assert_eq!(run(&mut batch), Pause::Done);
        let expected = [(b"a", false), (b"a", true), (b"b", false), (b"b", true)];
        assert_eq!(seen, expected.map(|(line, searched)| (line.to_vec(), searched)));
    }
}
