//! What a neighbour has asked, answered as its link can take it.

use crate::digest::Node;
use crate::frame::{Frame, Span};
use crate::store::{Slot, Store};
use std::collections::VecDeque;

/// How many records are summed anew at a time: for the one node that a neighbour's sums are compared with, or for all the
/// nodes that one write tells of. Beyond that older sums are good enough.
pub(super) const NODE_RECORDS: usize = 2048;

/// How many buckets one answer tells of at most, however few records they have.
const ANSWER_BUCKETS: usize = 4096;

/// What the other side wants to know.
#[derive(Debug, Default)]
pub(super) struct Answering {
    pub(super) nodes: VecDeque<Node>,
    pub(super) spans: VecDeque<Span>,
    /// Where to go on in the first bucket.
    from: Option<Slot>,
}

impl Answering {
    pub(super) fn tell_sums(&mut self, store: &mut Store, bytes_max: usize, out: &mut Vec<u8>) {
        let mut summed = 0;
        while out.len() < bytes_max
            && summed < NODE_RECORDS
            && let Some(node) = self.nodes.pop_front()
        {
            let (sums, records) = store.sums(node, NODE_RECORDS - summed);
            summed += records;
            Frame::Sums { node, sums }.print(out);
        }
    }

    pub(super) fn tell_records(
        &mut self,
        store: &Store,
        line_max: usize,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) {
        if self.spans.is_empty() || out.len() >= bytes_max {
            return;
        }
        let bytes_max = bytes_max - out.len();
        let (mut lines, mut done) = (Vec::with_capacity(bytes_max.min(ROOM_MAX) + LINE_GUESS), 0);
        while lines.len() < bytes_max
            && done < ANSWER_BUCKETS
            && let Some(span) = self.spans.front().copied()
        {
            let left = bytes_max - lines.len();
            self.from = store.print_bucket(span.first, self.from, line_max, left, &mut lines);
            if self.from.is_none() {
                done += 1;
                self.leave_bucket(span);
            }
        }
        Frame::Records { done, lines }.print(out);
    }

    /// Goes on behind the first bucket of the first span.
    fn leave_bucket(&mut self, span: Span) {
        match self.spans.front_mut() {
            Some(rest) if span.first < span.last => rest.first += 1,
            _ => drop(self.spans.pop_front()),
        }
    }
}

/// For no more than this is room made beforehand: a limit may be any number, and there may not be so much memory.
const ROOM_MAX: usize = 64 * 1024;

/// The last line of an answer may go over its size by this much without moving it.
const LINE_GUESS: usize = 256;
