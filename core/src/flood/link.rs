//! What one link is still to be sent: its cursor in the ring, what it announces, and what is for it alone.

use super::{Entry, Ring};
use crate::faults::{self, Fault};
use crate::frame::{Frame, UUIDS_MAX, Vocabulary};
use crate::tree::{Arrival, Trees, Way};
use std::collections::VecDeque;
use uuid::Uuid;

/// The most updates that a neighbour may have asked for and not been sent yet. What it asks for beyond is not sent.
const RECALLED_MAX: usize = 4096;

/// The most updates that are to be announced over one link. Of one more the first is left to digests.
const ANNOUNCED_MAX: usize = 16_384;

/// What one link is still to be sent.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) way: Way,
    pub(super) vocabulary: Vocabulary,
    /// The number of the next entry of the ring.
    pub(super) cursor: u64,
    /// Updates to announce.
    uuids: VecDeque<Uuid>,
    /// Since when there is something to announce.
    announces_since_ms: Option<u64>,
    /// The numbers of entries that the neighbour has asked for.
    recalled: VecDeque<u64>,
    /// Searches and answers for this link alone.
    outbox: VecDeque<Vec<u8>>,
    pub(super) outbox_length: usize,
    /// True from when it takes until it is told that there is more.
    pub(super) waits: bool,
}

impl Link {
    pub(super) fn new(way: Way, vocabulary: Vocabulary, cursor: u64) -> Self {
        Self {
            way,
            vocabulary,
            cursor,
            uuids: VecDeque::new(),
            announces_since_ms: None,
            recalled: VecDeque::new(),
            outbox: VecDeque::new(),
            outbox_length: 0,
            waits: false,
        }
    }

    /// Puts a frame on its way; false if too much is waiting already.
    pub(super) fn tell(&mut self, frame: &Frame, outbox_bytes: usize) -> bool {
        let bytes = frame.to_bytes();
        let has_room = self.outbox_length + bytes.len() <= outbox_bytes;
        if has_room {
            self.outbox_length += bytes.len();
            self.outbox.push_back(bytes);
        }
        has_room
    }

    /// True if an update goes over this link, and is not just announced or known at its other end.
    pub(super) fn carries(&self, arrival: &Arrival, trees: &Trees) -> bool {
        let is_in_tree = || arrival.source.is_none_or(|source| trees.carries(source, self.way));
        arrival.is_for(self.way) && (self.vocabulary != Vocabulary::Trees || is_in_tree())
    }

    /// Goes past an entry that this link does not carry.
    pub(super) fn pass(&mut self, entry: &mut Entry) {
        self.cursor += 1;
        if entry.arrival.is_for(self.way) && !faults::is_on(Fault::LosesAnnouncements) {
            entry.is_announced = true;
            if self.uuids.len() >= ANNOUNCED_MAX {
                self.uuids.pop_front();
            }
            self.uuids.push_back(entry.update.uuid);
            self.announces_since_ms.get_or_insert(entry.arrival.at_ms);
        }
    }

    /// Notes that the neighbour has asked for an entry.
    pub(super) fn recall(&mut self, number: u64) {
        if self.recalled.len() < RECALLED_MAX {
            self.recalled.push_back(number);
        }
    }

    /// True if there is something to take now, from a ring with this end or from elsewhere.
    pub(super) fn has_more(&self, end: u64, now_ms: u64, announce_ms: u64) -> bool {
        // What it has not passed is either for it, or behind what is.
        self.cursor < end
            || !self.outbox.is_empty()
            || !self.recalled.is_empty()
            || self.announces(now_ms, announce_ms)
    }

    pub(super) fn take_outbox(&mut self, bytes_max: usize, out: &mut Vec<u8>) {
        while out.len() < bytes_max
            && let Some(frame) = self.outbox.pop_front()
        {
            self.outbox_length -= frame.len();
            out.extend_from_slice(&frame);
        }
    }

    /// Appends what the neighbour asked for; false if some of it fell out of the ring since.
    pub(super) fn take_recalled(&mut self, ring: &mut Ring<'_>, bytes_max: usize, out: &mut Vec<u8>) -> bool {
        let mut is_all = true;
        while out.len() < bytes_max
            && let Some(number) = self.recalled.pop_front()
        {
            let trees = ring.trees;
            match ring.entry(number) {
                Some(entry) => entry.print(self.vocabulary, trees, out),
                None => is_all = false,
            }
        }
        is_all
    }

    /// Appends what is to go over this link; true if anything is.
    pub(super) fn take_ring(&mut self, ring: &mut Ring<'_>, bytes_max: usize, out: &mut Vec<u8>) -> bool {
        let trees = ring.trees;
        let length = out.len();
        while out.len() < bytes_max
            && let Some(entry) = ring.entry(self.cursor)
        {
            if self.carries(&entry.arrival, trees) {
                self.cursor += 1;
                entry.print(self.vocabulary, trees, out);
            } else {
                self.pass(entry);
            }
        }
        out.len() > length
    }

    /// When it is time to announce, if there is something.
    pub(super) fn announces_at_ms(&self, announce_ms: u64) -> Option<u64> {
        Some(self.announces_since_ms?.saturating_add(announce_ms))
    }

    /// True if it is time to announce.
    pub(super) fn announces(&self, now_ms: u64, announce_ms: u64) -> bool {
        self.announces_at_ms(announce_ms).is_some_and(|at_ms| now_ms >= at_ms)
    }

    pub(super) fn announce(&mut self, bytes_max: usize, out: &mut Vec<u8>) {
        while out.len() < bytes_max && !self.uuids.is_empty() {
            let some = self.uuids.len().min(UUIDS_MAX);
            Frame::Have { uuids: self.uuids.drain(..some).collect() }.print(out);
        }
        if self.uuids.is_empty() {
            self.announces_since_ms = None;
        }
    }
}

impl Arrival {
    /// True for every link but the one it came by.
    fn is_for(&self, way: Way) -> bool {
        self.way != way || faults::is_on(Fault::FloodsBack)
    }
}
