//! Telling the neighbours: one ring of recent updates that all links share, with a cursor for each.
//!
//! A link takes what it can write when it can write it. A slow neighbour therefore costs a cursor and no queue;
//! one that falls out of the ring is sent the whole store again instead, piece by piece.

use crate::faults::{self, Fault};
use crate::limits::Limits;
use crate::link::{Frame, Update};
use crate::store::{Slot, Store};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// What is on its way to the neighbours.
#[derive(Debug)]
pub struct Flood {
    ring: VecDeque<Entry>,
    /// The bytes in the ring.
    ring_length: usize,
    /// The number of the first entry in the ring; entries are numbered from 0 for ever.
    first: u64,
    links: BTreeMap<String, Link>,
    ring_bytes: usize,
    outbox_bytes: usize,
    chunk_bytes: usize,
}

/// One update in the ring.
#[derive(Debug)]
struct Entry {
    /// The link it came by, which need not be told.
    from: Option<String>,
    frame: Vec<u8>,
}

/// What one link is still to be sent.
#[derive(Debug)]
struct Link {
    /// The number of the next entry of the ring.
    cursor: u64,
    /// The next slot of the store, while it is being sent whole.
    catching_up: Option<Slot>,
    /// Searches and answers for this link alone.
    outbox: VecDeque<Vec<u8>>,
    outbox_length: usize,
    /// True once it took everything: it is to be told when there is more.
    waits: bool,
}

impl Flood {
    /// Nothing on its way, to nobody.
    pub fn new(limits: &Limits) -> Self {
        Self {
            ring: VecDeque::new(),
            ring_length: 0,
            first: 0,
            links: BTreeMap::new(),
            ring_bytes: limits.ring_bytes,
            outbox_bytes: limits.outbox_bytes,
            chunk_bytes: limits.chunk_bytes,
        }
    }

    /// Begins to tell a neighbour: first everything that is known, since nobody knows what it missed.
    pub fn link_up(&mut self, name: &str) {
        let link = Link {
            cursor: self.end(),
            catching_up: if faults::is_on(Fault::NoCatchUp) { None } else { Some(0) },
            outbox: VecDeque::new(),
            outbox_length: 0,
            waits: false,
        };
        self.links.insert(name.to_owned(), link);
    }

    /// Forgets a neighbour that cannot be told, and with the last of them what there was to tell.
    pub fn link_down(&mut self, name: &str) {
        self.links.remove(name);
        if self.links.is_empty() {
            self.first = self.end();
            self.ring_length = 0;
            self.ring.clear();
        }
    }

    /// True if there is anybody to tell.
    pub fn has_links(&self) -> bool {
        !self.links.is_empty()
    }

    /// The neighbours that are told, by name.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.links.keys().map(String::as_str)
    }

    /// Puts an update on its way to every neighbour but the one it came from.
    pub fn push(&mut self, from: Option<&str>, update: Update) {
        if self.links.is_empty() || faults::is_on(Fault::NoFlood) {
            return;
        }
        let frame = update.into_bytes();
        self.ring_length += frame.len();
        self.ring.push_back(Entry { from: from.map(str::to_owned), frame });
        while self.ring_length > self.ring_bytes && !faults::is_on(Fault::EndlessRing) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_length -= oldest.frame.len();
            self.first += 1;
        }
    }

    /// Puts a frame on its way to one neighbour; false if that has no link or too much is waiting for it.
    #[must_use]
    pub fn tell(&mut self, name: &str, frame: &Frame) -> bool {
        let Some(link) = self.links.get_mut(name) else { return false };
        let bytes = frame.to_bytes();
        if link.outbox_length + bytes.len() > self.outbox_bytes {
            return false;
        }
        link.outbox_length += bytes.len();
        link.outbox.push_back(bytes);
        true
    }

    /// Appends what a link is to write next, about one chunk of it. Nothing means that it will be told when there is more.
    ///
    /// `fresh` is a UUID that nobody has used.
    pub fn take(&mut self, name: &str, store: &Store, fresh: Uuid, out: &mut Vec<u8>) {
        let end = self.end();
        let Some(link) = self.links.get_mut(name) else { return };
        if link.cursor < self.first {
            if faults::is_on(Fault::NoResync) {
                link.cursor = self.first;
            } else {
                link.cursor = end;
                link.catching_up = Some(0);
            }
        }
        link.take_outbox(self.chunk_bytes, out);
        while link.cursor < end && out.len() < self.chunk_bytes {
            let at = usize::try_from(link.cursor - self.first).unwrap_or(usize::MAX);
            link.cursor += 1;
            match self.ring.get(at) {
                Some(entry) if entry.is_for(name) => out.extend_from_slice(&entry.frame),
                _ => {}
            }
        }
        link.catch_up(store, fresh, self.chunk_bytes, out);
        link.waits = out.is_empty();
    }

    /// The neighbours that took everything and now have more to take; each is named once, until it takes again.
    pub fn bells(&mut self) -> Vec<String> {
        let end = self.end();
        let rings = |link: &Link| link.waits && (link.cursor < end || !link.outbox.is_empty());
        let named = self.links.iter_mut().filter(|(_, link)| rings(link));
        named
            .map(|(name, link)| {
                link.waits = false;
                name.clone()
            })
            .collect()
    }

    /// How many bytes the ring holds.
    pub fn ring_length(&self) -> usize {
        self.ring_length
    }

    /// How many bytes wait for the link for which most do.
    pub fn outbox_length(&self) -> usize {
        self.links.values().map(|link| link.outbox_length).max().unwrap_or_default()
    }

    /// The number of the entry that comes next.
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }
}

impl Entry {
    /// True for every neighbour but the one it came from.
    fn is_for(&self, name: &str) -> bool {
        self.from.as_deref() != Some(name) || faults::is_on(Fault::FloodsBack)
    }
}

impl Link {
    fn take_outbox(&mut self, bytes_max: usize, out: &mut Vec<u8>) {
        while out.len() < bytes_max
            && let Some(frame) = self.outbox.pop_front()
        {
            self.outbox_length -= frame.len();
            out.extend_from_slice(&frame);
        }
    }

    fn catch_up(&mut self, store: &Store, fresh: Uuid, bytes_max: usize, out: &mut Vec<u8>) {
        let Some(slot) = self.catching_up else { return };
        if out.len() >= bytes_max {
            return;
        }
        let mut lines = Vec::new();
        self.catching_up = store.print_from(slot, bytes_max - out.len(), &mut lines);
        if !lines.is_empty() {
            out.extend_from_slice(&Update::new(fresh, &lines).into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    fn flood(ring_bytes: usize, links: &[&str]) -> Flood {
        let limits = Limits { ring_bytes, outbox_bytes: 100, chunk_bytes: 120, ..Limits::default() };
        let mut flood = Flood::new(&limits);
        for link in links {
            flood.link_up(link);
            assert_eq!(taken(&mut flood, link, &Store::default()), "");
        }
        flood
    }

    fn update(number: u128) -> Update {
        Update::new(Uuid::from_u128(number), format!("k{number} +1-2 3 4 A\n").as_bytes())
    }

    fn taken(flood: &mut Flood, link: &str, store: &Store) -> String {
        let mut out = Vec::new();
        flood.take(link, store, Uuid::nil(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_update_goes_to_every_neighbour_but_the_one_it_came_by() {
        let mut flood = flood(1000, &["a", "b", "c"]);
        flood.push(Some("b"), update(1));
        assert!(taken(&mut flood, "a", &Store::default()).ends_with("k1 +1-2 3 4 A\n"));
        assert_eq!(taken(&mut flood, "b", &Store::default()), "");
        assert!(taken(&mut flood, "c", &Store::default()).ends_with("k1 +1-2 3 4 A\n"));
        assert_eq!(taken(&mut flood, "a", &Store::default()), "");
    }

    #[test]
    fn a_neighbour_that_took_everything_is_called_once_when_there_is_more() {
        let mut flood = flood(1000, &["a"]);
        assert!(flood.bells().is_empty());
        flood.push(None, update(1));
        assert_eq!(flood.bells(), ["a"]);
        flood.push(None, update(2));
        assert!(flood.bells().is_empty());
        assert_ne!(taken(&mut flood, "a", &Store::default()), "");
        assert!(flood.bells().is_empty());
    }

    #[test]
    fn a_neighbour_that_falls_out_of_the_ring_is_sent_the_store_instead() {
        let mut store = Store::default();
        let mut flood = flood(200, &["slow"]);
        for number in 0..100 {
            let update = update(number);
            for line in update.lines() {
                let _ = store.learn(&Record::parse(line).unwrap());
            }
            flood.push(None, update);
            assert!(flood.ring_length <= 200);
        }
        let mut all = String::new();
        loop {
            let chunk = taken(&mut flood, "slow", &store);
            if chunk.is_empty() {
                break;
            }
            all += &chunk;
        }
        for number in 0..100 {
            assert!(all.contains(&format!("\nk{number} ")), "{number}");
        }
    }

    #[test]
    fn what_waits_for_one_neighbour_is_bounded() {
        let mut flood = flood(1000, &["a"]);
        let question = Frame::NotFound { uuid: Uuid::nil() };
        assert!(flood.tell("a", &question));
        assert!(flood.tell("a", &question));
        assert!(!flood.tell("a", &question));
        assert!(!flood.tell("nobody", &question));
        assert_eq!(taken(&mut flood, "a", &Store::default()).lines().count(), 2);
        assert!(flood.tell("a", &question));
    }
}
