//! The commands of one read from a client on their way through the store, and their answers on the way back.

use crate::decimal::Nanos;
use crate::line::Opening;
use crate::places::Query;
use memchr::memchr;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::slice;

/// Whole lines of one client, and the answers to those that are done.
///
/// A batch travels as one message, so that a pipelining client costs one message per read and not one per line; it
/// comes back with its buffers, so that a line allocates nothing. It travels in a box, because it changes hands often.
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
    /// The herd was searched for what the lines that begin before this ask about.
    searched_to: usize,
    /// What was answered and is not in the output yet.
    answers: Answers,
    /// The answers so far, in order, up to the first that waits for places. Whoever writes them to the client empties
    /// this.
    pub output: Vec<u8>,
}

/// Answers in the making: text, with gaps that places are put into.
///
/// What is near is asked for after the lines were executed, and for several lines at once: nothing that a later line
/// does changes it.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The text of all answers behind those that are in the output.
    pub text: Vec<u8>,
    /// How much of the text is in the output already.
    shown: usize,
    /// Where in the text places go, and which.
    gaps: VecDeque<(usize, Query)>,
    /// How long the text may be when another line is executed.
    room: usize,
}

impl Answers {
    /// True if there is so much text that no more lines are to be executed.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.text.len() >= self.room
    }

    /// Has the text go on behind the places that this query is about.
    pub fn leave_gap(&mut self, query: Query) {
        self.gaps.push_back((self.text.len(), query));
    }
}

/// When there are so many bytes of answers, they are written before any more lines are executed: a client that reads
/// none of them makes a server hold no more than these and one answer, which may be as long as a line.
pub const OUTPUT_MAX: usize = 64 * 1024;

/// A buffer that has grown beyond this is given back when its batch is done. A client that sends 16 KiB of updates at a
/// time is answered 22 KiB, and a buffer that grows by doubling may have twice the room that is needed.
pub(crate) const KEPT_MAX: usize = 48 * 1024;

/// Why the execution of a batch stopped.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Pause {
    /// Every line is done.
    Done,
    /// The next line asks about a client that is unknown here, and those behind it perhaps about others: search the herd
    /// for all of them at once, then go on.
    Search {
        /// The clients to search for.
        clients: Vec<Vec<u8>>,
    },
    /// The output ends with an AT line that places must follow: add all that are [`Batch::wanted`], then go on.
    Places,
    /// There are [`OUTPUT_MAX`] bytes of output: write them, then go on.
    Full,
}

/// A batch to execute among others.
#[derive(Debug)]
pub struct Order {
    /// The lines, some of which may be done.
    pub batch: Box<Batch>,
    /// When they were heard.
    pub received: Nanos,
    /// Why their execution stopped.
    pub pause: Pause,
}

/// How many lines are looked at before the first of them is executed: as many as there is memory fetched for at once. The
/// processor forgets about some of what it is asked for beyond, and with 24 an update took a fifth longer.
pub(crate) const GROUP: usize = 16;

/// When so many answers wait for places, those come before any more lines are executed.
const GAPS_MAX: usize = 16;

/// A line of a batch.
#[derive(Clone, Copy, Debug)]
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

/// How far the execution of some lines came.
#[derive(Debug, PartialEq)]
#[must_use]
pub(crate) struct Progress {
    /// How many lines are done; their answers, if any, are among the answers.
    pub done: usize,
    /// Whom to search the herd for before the next line is executed: the clients that it and those behind it ask about.
    pub search: Option<Vec<Vec<u8>>>,
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
        self.searched_to = 0;
        self.input.clear();
        self.input.extend_from_slice(&bytes[length..]);
        bytes.truncate(length);
        std::mem::swap(&mut self.input, bytes);
    }

    /// Ends the use of a batch that is done. What comes next goes into the buffers that were just used, which are near,
    /// and not into those beside them.
    pub(crate) fn release(&mut self, bytes: &mut Vec<u8>) {
        give_back(&mut self.input);
        give_back(&mut self.output);
        give_back(&mut self.answers.text);
        if bytes.is_empty() {
            std::mem::swap(&mut self.input, bytes);
            bytes.clear();
        }
        if self.answers.text.is_empty() {
            self.output.clear();
            std::mem::swap(&mut self.output, &mut self.answers.text);
        }
    }

    /// The buffers, for whoever counts what they take.
    #[cfg(test)]
    pub(crate) fn buffers(&self) -> [&Vec<u8>; 3] {
        [&self.input, &self.output, &self.answers.text]
    }

    /// The lines as they came.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// How many lines are done, blank ones included.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The client that the next line seems to be about: a guess, to fetch memory by. Where that line is too short to name one,
    /// it is a word of those behind it, or nothing.
    pub(crate) fn next_client(&self) -> &[u8] {
        Opening::read(&self.input[self.next..]).client
    }

    /// True if every line is done, and every answer is in the output.
    pub fn is_done(&self) -> bool {
        self.next >= self.input.len() && self.answers.gaps.is_empty()
    }

    /// What the answers wait for, in their order.
    pub fn wanted(&self) -> Vec<Query> {
        self.answers.gaps.iter().map(|(_, query)| *query).collect()
    }

    /// Adds the places that are wanted first: the JSON and two newlines, which end an answer.
    pub fn add_places(&mut self, json: &[u8]) {
        self.answers.gaps.pop_front();
        self.output.extend_from_slice(json);
        self.output.extend_from_slice(b"\n\n");
        self.show();
    }

    /// Moves answers to the output, up to the first that waits for places.
    fn show(&mut self) {
        let Answers { text, shown, gaps, .. } = &mut self.answers;
        let end = gaps.front().map_or(text.len(), |(at, _)| *at);
        let is_all = end == text.len();
        if is_all && self.output.is_empty() && *shown == 0 {
            // Nearly always there are no gaps, or there is one at the end, and nothing is copied.
            std::mem::swap(&mut self.output, text);
        } else {
            self.output.extend_from_slice(&text[*shown..end]);
            *shown = end;
            if is_all {
                give_back(text);
            }
        }
        if is_all {
            text.clear();
            *shown = 0;
            // Those that are left are all at the end of the text, which is no longer there.
            for (at, _) in gaps {
                *at = 0;
            }
        }
    }

    /// Executes group after group of lines until a line asks for a pause.
    ///
    /// `execute` is given the next lines, and for how many of them the herd was searched. It does at least one of them or asks
    /// for a search, and no more once the answers are full.
    pub(crate) fn run(
        &mut self,
        mut execute: impl FnMut(&[Line<'_>], usize, &mut Answers) -> Progress,
    ) -> Pause {
        self.answers.room = OUTPUT_MAX.saturating_sub(self.output.len());
        let pause = self.execute(&mut execute);
        self.show();
        pause
    }

    fn execute(&mut self, execute: &mut impl FnMut(&[Line<'_>], usize, &mut Answers) -> Progress) -> Pause {
        while self.next < self.input.len() && self.answers.gaps.len() < GAPS_MAX {
            let first = line_at(&self.input, self.next, self.line_max);
            let mut room;
            // To prepare room for a group takes a hundred instructions and more, which a line alone need not wait for.
            let lines = if first.end < self.input.len() {
                room = [first; GROUP];
                let count = look_ahead(&self.input, self.line_max, &mut room);
                &room[..count]
            } else {
                slice::from_ref(&first)
            };
            let searched = lines.iter().take_while(|line| line.start < self.searched_to).count();
            let Progress { done, search } = execute(lines, searched, &mut self.answers);
            let end = lines[lines.len() - 1].end;
            self.lines += done as u64;
            self.next = lines.get(done).map_or(end, |line| line.start);
            if let Some(clients) = search {
                if !self.answers.gaps.is_empty() {
                    return Pause::Places; // Those that were answered before are owed these first; then the line asks again.
                }
                self.searched_to = end;
                return Pause::Search { clients };
            }
            if self.answers.is_full() {
                break;
            }
        }
        if !self.answers.gaps.is_empty() {
            Pause::Places
        } else if self.next < self.input.len() {
            Pause::Full
        } else {
            Pause::Done
        }
    }
}

/// Lets a buffer go that one large batch has made large.
#[inline]
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_MAX {
        *buffer = Vec::new();
    }
}

/// Finds the lines behind the first of some; tells how many there are with it.
fn look_ahead<'a>(input: &'a [u8], line_max: usize, lines: &mut [Line<'a>]) -> usize {
    let mut count = 1;
    while lines[count - 1].end < input.len() && count < lines.len() {
        lines[count] = line_at(input, lines[count - 1].end, line_max);
        count += 1;
    }
    count
}

/// The line that begins somewhere. It ends with LF or CR LF, or with the input.
fn line_at(input: &[u8], start: usize, line_max: usize) -> Line<'_> {
    let rest = &input[start..];
    let (text, end) = match memchr(b'\n', rest) {
        Some(length) => {
            let line = &rest[..length];
            (line.strip_suffix(b"\r").unwrap_or(line), start + length + 1)
        }
        None => (rest, input.len()),
    };
    let is_whole = text.len() <= line_max;
    Line { text: if is_whole { text } else { &text[..line_max] }, is_whole, start, end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::print_invalid;

    fn lines_of(input: &[u8], line_max: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut lines = Vec::new();
        let mut batch = Batch::new(input.to_vec(), line_max);
        let pause = batch.run(|group, _, answers| {
            for line in group {
                if line.is_whole {
                    lines.push(line.text.to_vec());
                } else {
                    print_invalid(line.text, &mut answers.text);
                }
            }
            Progress { done: group.len(), search: None }
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
    fn a_line_that_must_wait_is_executed_again_and_those_after_it_wait_with_it() {
        let input: Vec<u8> = (0..GROUP + 4).flat_map(|number| format!("?{number}\n").into_bytes()).collect();
        let mut batch = Batch::new(input.clone(), 5);
        let searched = |batch: &mut Batch| match run(batch) {
            Pause::Search { clients } => clients.len(),
            other => unreachable!("{other:?}"),
        };
        assert_eq!((searched(&mut batch), batch.output.len()), (GROUP, 0));
        assert_eq!((searched(&mut batch), batch.lines()), (4, GROUP as u64));
        assert_eq!(run(&mut batch), Pause::Done);
        assert_eq!(batch.output, input.into_iter().filter(|&byte| byte != b'\n').collect::<Vec<_>>());
    }

    /// Executes lines of which those with a number want so many places, those with `?` a search, and the others nothing.
    fn run(batch: &mut Batch) -> Pause {
        batch.run(|lines, searched, answers| {
            for (at, line) in lines.iter().enumerate() {
                if line.text.starts_with(b"?") && at >= searched {
                    let behind = lines[at..].iter().filter(|line| line.text.starts_with(b"?"));
                    let clients = behind.map(|line| line.text.to_vec()).collect();
                    return Progress { done: at, search: Some(clients) };
                }
                answers.text.extend_from_slice(line.text);
                if let Some(bound) = std::str::from_utf8(line.text).ok().and_then(|text| text.parse().ok()) {
                    answers.leave_gap(Query { latitude: 0.0, longitude: 0.0, radius_m: 0.0, bound });
                }
                if answers.is_full() {
                    return Progress { done: at + 1, search: None };
                }
            }
            Progress { done: lines.len(), search: None }
        })
    }

    fn bounds(batch: &Batch) -> Vec<usize> {
        batch.wanted().iter().map(|query| query.bound).collect()
    }

    #[test]
    fn answers_behind_one_that_waits_for_places_wait_with_it() {
        let mut batch = Batch::new(b"a\n1\nb\n2\n3\nc".to_vec(), 5);
        assert_eq!((run(&mut batch), bounds(&batch)), (Pause::Places, vec![1, 2, 3]));
        assert_eq!(batch.output, b"a1");
        batch.add_places(b"{}");
        assert_eq!((&batch.output[..], bounds(&batch)), (&b"a1{}\n\nb2"[..], vec![2, 3]));
        batch.output.clear();
        batch.add_places(b"{}");
        assert_eq!(batch.output, b"{}\n\n3");
        assert!(!batch.is_done());
        batch.add_places(b"{}");
        assert_eq!(batch.output, b"{}\n\n3{}\n\nc");
        assert!(batch.is_done());
        assert_eq!((run(&mut batch), batch.lines()), (Pause::Done, 6));
    }

    #[test]
    fn places_come_before_a_search_and_the_search_before_what_follows() {
        let mut batch = Batch::new(b"1\n?x\n2\n".to_vec(), 5);
        assert_eq!((run(&mut batch), bounds(&batch)), (Pause::Places, vec![1]));
        batch.add_places(b"{}");
        assert_eq!(run(&mut batch), Pause::Search { clients: vec![b"?x".to_vec()] });
        assert_eq!((run(&mut batch), bounds(&batch)), (Pause::Places, vec![2]));
        batch.add_places(b"{}");
        assert_eq!(batch.output, b"1{}\n\n?x2{}\n\n");
        assert!(batch.is_done());
    }

    /// A thousand lines of a thousand bytes, every one of them another.
    fn long_lines() -> Vec<u8> {
        (0..1000).flat_map(|number| format!("x{number:0999}\n").into_bytes()).collect()
    }

    #[test]
    fn no_more_lines_are_executed_while_there_is_much_output_and_then_they_are() {
        let mut batch = Batch::new(long_lines(), 1000);
        let mut written = Vec::new();
        while run(&mut batch) == Pause::Full {
            assert!((OUTPUT_MAX..OUTPUT_MAX + 1000).contains(&batch.output.len()), "{}", batch.output.len());
            written.append(&mut batch.output);
        }
        assert!(batch.output.len() < OUTPUT_MAX);
        written.append(&mut batch.output);
        assert!(written.iter().eq(long_lines().iter().filter(|&&byte| byte != b'\n')));
        assert_eq!((batch.is_done(), batch.lines()), (true, 1000));
    }

    #[test]
    fn whoever_leaves_the_output_where_it_is_gets_on_a_line_at_a_time() {
        let mut batch = Batch::new(long_lines(), 1000);
        let rounds =
            std::iter::repeat_with(|| run(&mut batch)).take_while(|pause| *pause == Pause::Full).count();
        assert_eq!((batch.output.len(), batch.lines()), (1000 * 1000, 1000));
        assert_eq!(rounds, 1000 - OUTPUT_MAX.div_ceil(1000));
    }

    #[test]
    fn what_waits_for_the_last_places_is_held_once() {
        let mut batch = Batch::new(b"1\n2".to_vec(), 5);
        assert_eq!((run(&mut batch), bounds(&batch)), (Pause::Places, vec![1, 2]));
        assert_eq!((&batch.output[..], &batch.answers.text[..]), (&b"1"[..], &b"12"[..]));
        batch.add_places(b"{}");
        assert_eq!((&batch.output[..], &batch.answers.text[..]), (&b"1{}\n\n2"[..], &b""[..]));
        batch.output.clear();
        batch.add_places(b"{}");
        assert_eq!((&batch.output[..], batch.is_done()), (&b"{}\n\n"[..], true));
    }

    #[test]
    fn no_more_lines_are_executed_while_many_answers_wait() {
        let mut batch = Batch::new(b"7\n".repeat(1000), 5);
        let mut rounds = 0;
        while run(&mut batch) == Pause::Places {
            assert!(batch.wanted().len() < GAPS_MAX + GROUP);
            for _ in batch.wanted() {
                batch.add_places(b"{}");
            }
            rounds += 1;
        }
        assert_eq!((batch.output, rounds), (b"7{}\n\n".repeat(1000), 63));
    }
}
