//! Telling the neighbours: one ring of recent updates that all links share, with a cursor for each.
//!
//! A link takes what it can write when it can write it. A slow neighbour therefore costs a cursor and no queue;
//! with one that falls out of the ring digests are compared again ([`crate::healing`]).

use crate::faults::{self, Fault};
use crate::limits::Limits;
use crate::link::{Frame, Update};
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
}

/// One update in the ring.
#[derive(Debug)]
struct Entry {
    /// The link it came by, which need not be told.
    from: Option<String>,
    update: Update,
}

/// An update of this server's own does not grow beyond this, in bytes, while nobody has taken it.
const GROWTH_MAX: usize = 16 * 1024;

/// Whether what a link took is all that was for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It is.
    AllOfIt,
    /// It fell out of the ring: nobody knows what it missed.
    NotAll,
}

/// What one link is still to be sent.
#[derive(Debug)]
struct Link {
    /// The number of the next entry of the ring.
    cursor: u64,
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
        }
    }

    /// Begins to tell a neighbour what is news from now on.
    pub fn link_up(&mut self, name: &str) {
        let link = Link { cursor: self.end(), outbox: VecDeque::new(), outbox_length: 0, waits: false };
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

    /// Puts record lines of this server's own on their way to every neighbour, under a fresh UUID; false if they went
    /// into the update before them instead, because nobody has taken that yet.
    pub fn say(&mut self, fresh: Uuid, lines: &[u8]) -> bool {
        let end = self.end();
        let is_untaken = self.links.values().all(|link| link.cursor < end);
        let has_room = self.ring_length + lines.len() <= self.ring_bytes;
        if let Some(Entry { from: None, update }) = self.ring.back_mut()
            && is_untaken
            && has_room
            && update.len() + lines.len() <= GROWTH_MAX
        {
            update.append(lines);
            self.ring_length += lines.len();
            return false;
        }
        self.push(None, Update::new(fresh, lines));
        true
    }

    /// Puts an update on its way to every neighbour but the one it came from.
    pub fn push(&mut self, from: Option<&str>, update: Update) {
        if self.links.is_empty() || faults::is_on(Fault::NoFlood) {
            return;
        }
        self.ring_length += update.len();
        self.ring.push_back(Entry { from: from.map(str::to_owned), update });
        while self.ring_length > self.ring_bytes && !faults::is_on(Fault::EndlessRing) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.ring_length -= oldest.update.len();
            self.first += 1;
        }
    }

    /// Drops what every link has taken.
    fn drop_taken(&mut self) {
        let taken = self.links.values().map(|link| link.cursor).min().unwrap_or_default();
        while self.first < taken && !self.ring.is_empty() && !faults::is_on(Fault::EndlessRing) {
            self.drop_oldest();
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

    /// Appends what a link is to write next, until there are about `bytes_max` bytes.
    pub fn take(&mut self, name: &str, bytes_max: usize, out: &mut Vec<u8>) -> Taken {
        let end = self.end();
        let Some(link) = self.links.get_mut(name) else { return Taken::AllOfIt };
        let mut taken = Taken::AllOfIt;
        if link.cursor < self.first {
            let is_mended = !faults::is_on(Fault::NoResync);
            link.cursor = if is_mended { end } else { self.first };
            taken = if is_mended { Taken::NotAll } else { Taken::AllOfIt };
        }
        link.take_outbox(bytes_max, out);
        while link.cursor < end && out.len() < bytes_max {
            let at = usize::try_from(link.cursor - self.first).unwrap_or(usize::MAX);
            link.cursor += 1;
            match self.ring.get(at) {
                Some(entry) if entry.is_for(name) => entry.update.print(out),
                _ => {}
            }
        }
        self.drop_taken();
        taken
    }

    /// Notes whether a link took everything there was, and is to be told when there is more.
    pub fn wait(&mut self, name: &str, waits: bool) {
        if let Some(link) = self.links.get_mut(name) {
            link.waits = waits;
        }
    }

    /// The neighbours that took everything and now have more to take, also of what others say there is; each is
    /// named once, until it takes again.
    pub fn bells(&mut self, has_more: impl Fn(&str) -> bool) -> Vec<String> {
        let end = self.end();
        let rings = |link: &Link| link.cursor < end || !link.outbox.is_empty();
        let named =
            self.links.iter_mut().filter(|(name, link)| link.waits && (rings(link) || has_more(name)));
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 120;

    fn flood(ring_bytes: usize, links: &[&str]) -> Flood {
        let limits = Limits { ring_bytes, outbox_bytes: 100, ..Limits::default() };
        let mut flood = Flood::new(&limits);
        for link in links {
            flood.link_up(link);
            assert_eq!(taken(&mut flood, link), "");
        }
        flood
    }

    fn update(number: u128) -> Update {
        Update::new(Uuid::from_u128(number), format!("k{number} +1-2 3 4 A\n").as_bytes())
    }

    fn taken(flood: &mut Flood, link: &str) -> String {
        let mut out = Vec::new();
        let _ = flood.take(link, CHUNK, &mut out);
        flood.wait(link, out.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_update_goes_to_every_neighbour_but_the_one_it_came_by() {
        let mut flood = flood(1000, &["a", "b", "c"]);
        flood.push(Some("b"), update(1));
        assert!(taken(&mut flood, "a").ends_with("k1 +1-2 3 4 A\n"));
        assert_eq!(taken(&mut flood, "b"), "");
        assert!(taken(&mut flood, "c").ends_with("k1 +1-2 3 4 A\n"));
        assert_eq!(taken(&mut flood, "a"), "");
    }

    #[test]
    fn a_neighbour_that_took_everything_is_called_once_when_there_is_more() {
        let mut flood = flood(1000, &["a"]);
        assert!(flood.bells(|_| false).is_empty());
        flood.push(None, update(1));
        assert_eq!(flood.bells(|_| false), ["a"]);
        flood.push(None, update(2));
        assert!(flood.bells(|_| false).is_empty());
        assert_ne!(taken(&mut flood, "a"), "");
        assert!(flood.bells(|_| false).is_empty());
    }

    #[test]
    fn what_nobody_has_taken_goes_together_under_one_uuid() {
        let mut flood = flood(1000, &["a", "b"]);
        assert!(flood.say(Uuid::from_u128(1), b"k1 +1-2 3 4 A\n"));
        assert!(!flood.say(Uuid::from_u128(2), b"k2 +1-2 3 4 A\n"));
        let both = Update::new(Uuid::from_u128(1), b"k1 +1-2 3 4 A\nk2 +1-2 3 4 A\n");
        assert_eq!(taken(&mut flood, "a").as_bytes(), Frame::Update(both).to_bytes());
        assert!(flood.say(Uuid::from_u128(3), b"k3 +1-2 3 4 A\n"));
        assert!(!taken(&mut flood, "a").contains("k2"));
        assert_eq!(taken(&mut flood, "b").matches('k').count(), 3);
    }

    #[test]
    fn what_everybody_has_taken_is_not_kept() {
        let mut flood = flood(1000, &["a", "b"]);
        flood.push(None, update(1));
        assert_ne!(taken(&mut flood, "a"), "");
        assert_ne!(flood.ring_length(), 0);
        assert_ne!(taken(&mut flood, "b"), "");
        assert_eq!(flood.ring_length(), 0);
    }

    #[test]
    fn a_neighbour_is_called_for_what_others_have_for_it() {
        let mut flood = flood(1000, &["a", "b"]);
        assert_eq!(flood.bells(|name| name == "b"), ["b"]);
        assert!(flood.bells(|name| name == "b").is_empty());
    }

    #[test]
    fn a_neighbour_that_falls_out_of_the_ring_goes_on_at_its_end() {
        let mut flood = flood(200, &["slow"]);
        for number in 0..100 {
            flood.push(None, update(number));
            assert!(flood.ring_length <= 200);
        }
        let mut out = Vec::new();
        assert_eq!(flood.take("slow", CHUNK, &mut out), Taken::NotAll);
        flood.push(None, update(100));
        assert_eq!(flood.take("slow", CHUNK, &mut out), Taken::AllOfIt);
        assert_eq!(out, Frame::Update(update(100)).to_bytes());
    }

    #[test]
    fn what_waits_for_one_neighbour_is_bounded() {
        let mut flood = flood(1000, &["a"]);
        let question = Frame::NotFound { uuid: Uuid::nil() };
        assert!(flood.tell("a", &question));
        assert!(flood.tell("a", &question));
        assert!(!flood.tell("a", &question));
        assert!(!flood.tell("nobody", &question));
        assert_eq!(taken(&mut flood, "a").lines().count(), 2);
        assert!(flood.tell("a", &question));
    }
}
