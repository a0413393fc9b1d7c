//! What one side asks of a neighbour: down the tree of sums to the buckets that differ, a bounded number at a time.

use crate::digest::{Node, Sums};
use crate::frame::{Frame, SPANS_MAX, Span};
use std::collections::VecDeque;

/// How many nodes are asked about at once.
pub(super) const NODES_WINDOW: usize = 16;

/// How many buckets are asked for at once. Of a million records, some 15,000 are in so many.
pub(super) const BUCKETS_WINDOW: usize = 1024;

/// What is to be asked in one turn.
#[derive(Debug)]
pub(super) struct Asking {
    /// Nodes to ask about.
    nodes: VecDeque<Node>,
    /// Buckets to ask for.
    spans: VecDeque<Span>,
}

/// What was asked over one link and is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// Nodes that were asked about; they are answered in this order.
    pub(super) nodes: VecDeque<Node>,
    /// How many buckets were asked for.
    pub(super) buckets: usize,
}

impl Asking {
    /// What is to be asked first.
    pub(super) fn from_root() -> Self {
        Self { nodes: [Node::Root].into(), spans: VecDeque::new() }
    }

    /// Notes what is to be asked of the children of a node: nothing where the neighbour has nothing, or the same, or what
    /// it has told.
    pub(super) fn compare(&mut self, node: Node, ours: &Sums, theirs: &Sums, heeded: Option<&Sums>) {
        for (child, (ours, theirs)) in (0..=u8::MAX).zip(ours.iter().zip(theirs)) {
            let is_heeded = heeded.is_some_and(|heeded| heeded[usize::from(child)] == *theirs);
            if ours == theirs || *theirs == 0 || is_heeded {
                continue;
            }
            match node {
                Node::Root if *ours != 0 => self.nodes.push_back(Node::Inner(child)),
                // Of a node that is empty here, all is wanted.
                Node::Root => self.want(Span {
                    first: u16::from_be_bytes([child, 0]),
                    last: u16::from_be_bytes([child, u8::MAX]),
                }),
                Node::Inner(node) => {
                    let bucket = u16::from_be_bytes([node, child]);
                    self.want(Span { first: bucket, last: bucket });
                }
            }
        }
    }

    fn want(&mut self, span: Span) {
        match self.spans.back_mut() {
            Some(last) if last.last.checked_add(1) == Some(span.first) => last.last = span.last,
            _ => self.spans.push_back(span),
        }
    }

    /// True if everything was asked and answered.
    pub(super) fn is_over(&self, awaited: &Awaited) -> bool {
        self.nodes.is_empty() && self.spans.is_empty() && awaited.nodes.is_empty() && awaited.buckets == 0
    }

    /// True if there is something that may be asked now.
    pub(super) fn has_more(&self, awaited: &Awaited) -> bool {
        self.may_ask_node(awaited) || self.may_ask_bucket(awaited)
    }

    /// No more is asked about nodes while there are so many buckets to ask for.
    fn may_ask_node(&self, awaited: &Awaited) -> bool {
        let has_room = awaited.nodes.len() < NODES_WINDOW && self.spans.len() < BUCKETS_WINDOW;
        has_room && !self.nodes.is_empty()
    }

    fn may_ask_bucket(&self, awaited: &Awaited) -> bool {
        awaited.buckets < BUCKETS_WINDOW && !self.spans.is_empty()
    }

    pub(super) fn ask(&mut self, awaited: &mut Awaited, out: &mut Vec<u8>) {
        while self.may_ask_node(awaited)
            && let Some(node) = self.nodes.pop_front()
        {
            Frame::AskSums { node }.print(out);
            awaited.nodes.push_back(node);
        }
        while self.may_ask_bucket(awaited) {
            let mut spans = Vec::new();
            while self.may_ask_bucket(awaited) && spans.len() < SPANS_MAX {
                spans.extend(self.next_span(awaited));
            }
            Frame::AskRecords { spans }.print(out);
        }
    }

    /// The next span to ask for, as much of it as there is room for.
    fn next_span(&mut self, awaited: &mut Awaited) -> Option<Span> {
        let room = BUCKETS_WINDOW.saturating_sub(awaited.buckets);
        let span = self.spans.pop_front()?;
        let last = u16::try_from(usize::from(span.first) + room - 1).unwrap_or(u16::MAX).min(span.last);
        if last < span.last {
            self.spans.push_front(Span { first: last + 1, last: span.last });
        }
        let asked = Span { first: span.first, last };
        awaited.buckets += asked.buckets();
        Some(asked)
    }
}
