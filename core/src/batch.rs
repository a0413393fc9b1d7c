//! The commands of one read from a client on their way through the store, and their answers on the way back.

use crate::decimal::Nanos;
use crate::line::fields;
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

/// A batch to execute among others.
#[derive(Debug)]
pub struct Order {
    /// The lines, some of which may be done.
    pub batch: Batch,
    /// When they were heard.
    pub received: Nanos,
    /// Why their execution stopped.
    pub pause: Pause,
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

/// How many lines are looked at before the first of them is executed: enough to keep the memory busy.
pub(crate) const GROUP: usize = 16;

/// A line of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line<'a> {
    /// The line without its end; of one over the limit, as much as the limit allows.
    pub text: &'a [u8],
    /// False if it is over the limit, and therefore invalid.
    pub is_whole: bool,
    /// Where it begins.
    start: usize,
    /// Where the next one begins.
    end: usize,
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

    /// The client that the next line seems to be about; nothing if there is none.
    pub(crate) fn next_client(&self) -> &[u8] {
        fields(&self.input[self.next..]).nth(1).unwrap_or_default()
    }

    /// Adds the places that a [`Pause::Places`] asked for: the JSON and two newlines, which end an answer.
    pub fn add_places(&mut self, json: &[u8]) {
        self.output.extend_from_slice(json);
        self.output.extend_from_slice(b"\n\n");
    }

    /// Executes group after group of lines until a line asks for a pause.
    ///
    /// `execute` is given the next lines, and whether the herd was searched for the client of the first of them. It
    /// tells which line it came to, and what that one led to; those before it are done.
    pub(crate) fn run(
        &mut self,
        mut execute: impl FnMut(&[Line<'_>], bool, &mut Vec<u8>) -> (usize, Step),
    ) -> Pause {
        while self.next < self.input.len() {
            let mut lines = [Line::default(); GROUP];
            let count = look_ahead(&self.input, self.next, self.line_max, &mut lines);
            let (at, step) = execute(&lines[..count], self.searched, &mut self.output);
            let line = lines[at.min(count - 1)];
            self.lines += at as u64;
            if let Step::AgainAfter(pause) = step {
                self.next = line.start;
                self.searched = true;
                return pause;
            }
            self.searched = false;
            self.next = line.end;
            self.lines += 1;
            if let Step::NextAfter(pause) = step {
                return pause;
            }
        }
        Pause::Done
    }
}

/// Finds the lines that begin somewhere; tells how many there are.
fn look_ahead<'a>(input: &'a [u8], mut start: usize, line_max: usize, lines: &mut [Line<'a>]) -> usize {
    let mut count = 0;
    while start < input.len() && count < lines.len() {
        let (text, end) = line_at(input, start);
        let is_whole = text.len() <= line_max;
        let text = if is_whole { text } else { &text[..line_max] };
        lines[count] = Line { text, is_whole, start, end };
        start = end;
        count += 1;
    }
    count
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
    use crate::line::print_invalid;

    fn lines_of(input: &[u8], line_max: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut lines = Vec::new();
        let mut batch = Batch::new(input.to_vec(), line_max);
        let pause = batch.run(|group, _, output| {
            for line in group {
                if line.is_whole {
                    lines.push(line.text.to_vec());
                } else {
                    print_invalid(line.text, output);
                }
            }
            (group.len() - 1, Step::Next)
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
            batch.run(|lines, searched, _| {
                let line = lines[0].text.to_vec();
                seen.push((line.clone(), searched));
                (0, if searched { Step::Next } else { Step::AgainAfter(Pause::Search { client: line }) })
            })
        };
        assert_eq!(run(&mut batch), Pause::Search { client: b"a".to_vec() });
        assert_eq!(run(&mut batch), Pause::Search { client: b"b".to_vec() });
        assert_eq!(run(&mut batch), Pause::Done);
        let expected = [(b"a", false), (b"a", true), (b"b", false), (b"b", true)];
        assert_eq!(seen, expected.map(|(line, searched)| (line.to_vec(), searched)));
    }
}
