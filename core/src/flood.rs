//! Telling the neighbours: one ring of recent updates that all links share, with a cursor for each.
//!
//! A link takes what it can write when it can write it. A slow neighbour therefore costs a cursor and no queue;
//! with one that falls out of the ring digests are compared again ([`crate::healing`]). A link that is not part of an
//! update's tree ([`crate::tree`]) takes its UUID instead, and says those a little later, all at once. What was so
//! announced stays in the ring for a while, for neighbours whom it fails to reach.

mod link;

use self::link::Link;
use crate::faults::{self, Fault};
use crate::frame::{Frame, Route, UUIDS_MAX, Update, Vocabulary};
use crate::limits::Limits;
use crate::tree::{Arrival, Source, Trees, Way};
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
    /// The number of an update of this server's own that may grow while it is the last, since nobody was told of it.
    growing: Option<u64>,
    links: BTreeMap<String, Link>,
    trees: Trees,
    /// The way that was made last.
    last_way: Way,
    ring_bytes: usize,
    growth_max: usize,
    outbox_bytes: usize,
    announce_ms: u64,
    recall_ms: u64,
}

/// One update in the ring.
#[derive(Debug)]
struct Entry {
    /// Which link need not be told, along which tree it goes and how far it has come.
    arrival: Arrival,
    update: Update,
    /// True once a neighbour was told that it is here, and may ask for it.
    is_announced: bool,
}

/// An update of this server's own does not grow beyond this, in bytes, while nobody was told of it; nor beyond what a
/// link takes for one write.
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

impl Flood {
    /// Nothing on its way from a server of a name, to nobody.
    pub fn new(here: &str, limits: &Limits) -> Self {
        Self {
            ring: VecDeque::new(),
            ring_length: 0,
            first: 0,
            growing: None,
            links: BTreeMap::new(),
            trees: Trees::new(here, limits.sources_max),
            last_way: Way::HERE,
            ring_bytes: limits.ring_bytes,
            growth_max: GROWTH_MAX.min(limits.chunk_bytes),
            outbox_bytes: limits.outbox_bytes,
            announce_ms: limits.announce_ms,
            recall_ms: limits.recall_ms,
        }
    }

    /// Begins to tell a neighbour what is news from now on.
    pub fn link_up(&mut self, name: &str, vocabulary: Vocabulary) {
        self.last_way.0 += 1;
        self.growing = None; // What it grew by would not reach this link.
        self.links.insert(name.to_owned(), Link::new(self.last_way, vocabulary, self.end()));
    }

    /// Forgets a neighbour that cannot be told, and with the last of them what there was to tell. Updates that came by
    /// that link are to come by the others now.
    pub fn link_down(&mut self, name: &str) -> Option<Way> {
        let way = self.links.remove(name)?.way;
        if self.links.is_empty() {
            self.first = self.end();
            self.ring_length = 0;
            self.ring.clear();
        }
        for source in self.trees.lose(way) {
            self.graft_all(source, way);
        }
        Some(way)
    }

    /// True if there is anybody to tell.
    pub fn has_links(&self) -> bool {
        !self.links.is_empty()
    }

    /// The neighbours that are told, by name.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.links.keys().map(String::as_str)
    }

    /// The way that the link to a neighbour is.
    pub fn way(&self, name: &str) -> Option<Way> {
        self.links.get(name).map(|link| link.way)
    }

    /// How an update came over a link, or began here.
    pub fn arrival(&mut self, name: &str, route: Option<&Route>, now_ms: u64) -> Arrival {
        let way = self.way(name).unwrap_or(Way::HERE);
        let source = route.and_then(|route| self.trees.source(&route.source));
        Arrival { way, source, hops: route.map_or(0, |route| route.hops), at_ms: now_ms }
    }

    /// Puts record lines of this server's own on their way to every neighbour, under a fresh UUID. Tells the number of
    /// their entry; none if they went into the update before them, because nobody was told of that yet.
    pub fn say(&mut self, fresh: Uuid, lines: &[u8], now_ms: u64) -> Option<u64> {
        let may_grow = self.growing.is_some_and(|number| number + 1 == self.end());
        let has_room = self.ring_length + lines.len() <= self.ring_bytes;
        if may_grow
            && has_room
            && let Some(Entry { update, .. }) = self.ring.back_mut()
            && update.len() + lines.len() <= self.growth_max
        {
            update.append(lines);
            self.ring_length += lines.len();
            return None;
        }
        self.growing = self.push(Arrival::here(now_ms), Update::new(fresh, lines));
        self.growing
    }

    /// Puts an update on its way to every neighbour but the one it came from. Tells the number of its entry.
    pub fn push(&mut self, arrival: Arrival, update: Update) -> Option<u64> {
        if self.links.is_empty() || faults::is_on(Fault::NoFlood) {
            return None;
        }
        let number = self.end();
        let mut entry = Entry { arrival, update, is_announced: false };
        for link in self.links.values_mut() {
            // Over a link that is behind it is announced when its turn comes, and no sooner: where all links are full,
            // neighbours would ask over one for what is on its way over another, and make both fuller. That was tried.
            if link.cursor == number && !link.carries(&arrival, &self.trees) {
                link.pass(&mut entry);
            }
        }
        self.ring_length += entry.update.len();
        self.ring.push_back(entry);
        while self.ring_length > self.ring_bytes && !faults::is_on(Fault::EndlessRing) {
            self.drop_oldest();
        }
        Some(number)
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.ring_length -= oldest.update.len();
            self.first += 1;
        }
    }

    /// Drops what every link has taken, and nobody is to ask for any more.
    pub fn drop_taken(&mut self, now_ms: u64) {
        let taken = self.taken();
        while self.first < taken
            && let Some(Entry { arrival, is_announced, .. }) = self.ring.front()
            && (!is_announced || arrival.at_ms.saturating_add(self.recall_ms) <= now_ms)
            && !faults::is_on(Fault::EndlessRing)
        {
            self.drop_oldest();
        }
    }

    /// The number behind the last entry that every link has taken.
    fn taken(&self) -> u64 {
        self.links.values().map(|link| link.cursor).min().unwrap_or_default()
    }

    /// Puts a frame on its way to one neighbour; false if that has no link or too much is waiting for it.
    #[must_use]
    pub fn tell(&mut self, name: &str, frame: &Frame) -> bool {
        let Some(link) = self.links.get_mut(name) else { return false };
        link.tell(frame, self.outbox_bytes)
    }

    /// Puts a frame on its way over a link; false if that is gone or too much is waiting for it.
    fn tell_over(&mut self, way: Way, frame: &Frame) -> bool {
        let link = self.links.values_mut().find(|link| link.way == way);
        link.is_some_and(|link| link.tell(frame, self.outbox_bytes))
    }

    /// Notes an update that came for the first time, over a link. `is_pulled` says that it was news and that the neighbour
    /// at the other end had been asked for it, because it failed to come by itself.
    pub fn came(&mut self, arrival: &Arrival, is_pulled: bool) {
        let Some(source) = arrival.source else { return };
        if is_pulled {
            self.trees.pulled(arrival);
            self.graft(source, arrival.way);
        }
        for way in self.trees.came(arrival) {
            self.graft(source, way);
        }
    }

    /// Notes an update that came again.
    pub fn came_again(&mut self, first: &Arrival, again: &Arrival) {
        let is_there = first.way == Way::HERE || self.links.values().any(|link| link.way == first.way);
        if is_there && let Some((source, way)) = again.source.zip(self.trees.came_again(first, again)) {
            let frame = Frame::Prune { source: self.trees.name(source).to_owned() };
            let _ = self.tell_over(way, &frame); // Without room it goes on bringing updates, and is told again.
            if faults::is_on(Fault::PrunesBothWays) {
                let other = if way == first.way { again.way } else { first.way };
                let _ = self.tell_over(other, &frame);
            }
        }
    }

    fn graft(&mut self, source: Source, way: Way) {
        if faults::is_on(Fault::NoGrafting) {
            return;
        }
        let frame = Frame::Graft { source: self.trees.name(source).to_owned() };
        let _ = self.tell_over(way, &frame); // Without room updates fail to come, are pulled, and it is told again.
    }

    /// Grafts every link but one.
    fn graft_all(&mut self, source: Source, but: Way) {
        let knowing =
            self.links.values().filter(|link| link.vocabulary == Vocabulary::Trees && link.way != but);
        for way in knowing.map(|link| link.way).collect::<Vec<_>>() {
            self.graft(source, way);
        }
    }

    /// Asks for updates over links.
    pub fn pull(&mut self, mut wanted: Vec<(Way, Uuid)>) {
        wanted.sort_by_key(|&(way, _)| way);
        for wanted in wanted.chunk_by(|(one, _), (other, _)| one == other) {
            for some in wanted.chunks(UUIDS_MAX) {
                let frame = Frame::Want { uuids: some.iter().map(|&(_, uuid)| uuid).collect() };
                let _ = self.tell_over(some[0].0, &frame); // The next that has it is asked in a while.
            }
        }
    }

    /// Hears that a neighbour does not want the updates of a source.
    pub fn hear_prune(&mut self, name: &str, source: &str) {
        if let Some(way) = self.way(name) {
            self.trees.hear_prune(source, way);
        }
    }

    /// Hears that a neighbour wants the updates of a source.
    pub fn hear_graft(&mut self, name: &str, source: &str) {
        if let Some(way) = self.way(name)
            && let Some(source) = self.trees.hear_graft(source, way)
        {
            self.graft_all(source, way);
        }
    }

    /// Hears that a neighbour misses an update; false if it is no more in the ring.
    #[must_use]
    pub fn hear_want(&mut self, name: &str, number: u64) -> bool {
        let is_here = (self.first..self.end()).contains(&number);
        debug_assert!(is_here || !faults::is_on(Fault::PanicsWhenLate), "update {number} is late");
        if is_here && let Some(link) = self.links.get_mut(name) {
            link.recall(number);
        }
        is_here
    }

    /// Appends what a link is to write next, until `out` has about `bytes_max` bytes, those that it had before included.
    pub fn take(&mut self, name: &str, bytes_max: usize, now_ms: u64, out: &mut Vec<u8>) -> Taken {
        let end = self.end();
        let Some(link) = self.links.get_mut(name) else { return Taken::AllOfIt };
        let mut taken = Taken::AllOfIt;
        if link.cursor < self.first {
            let is_mended = !faults::is_on(Fault::NoResync);
            link.cursor = if is_mended { end } else { self.first };
            self.growing = None;
            taken = if is_mended { Taken::NotAll } else { Taken::AllOfIt };
        }
        let ring = &mut Ring { entries: &mut self.ring, first: self.first, trees: &self.trees };
        link.take_outbox(bytes_max, out);
        if !link.take_recalled(ring, bytes_max, out) {
            taken = Taken::NotAll;
        }
        // Behind the ring, announcements would wait while that has more than fits a write. They cannot keep it waiting: where
        // nothing is taken from it, nothing more is to be announced.
        if link.announces(now_ms, self.announce_ms) {
            link.announce(bytes_max, out);
            self.growing = None;
        }
        if link.take_ring(ring, bytes_max, out) && link.cursor == end {
            self.growing = None;
        }
        link.waits = true;
        self.drop_taken(now_ms);
        taken
    }

    /// The neighbours that have more to take than they took, also of what others say there is; each is named once, until
    /// it takes again.
    pub fn bells(&mut self, now_ms: u64, has_more: impl Fn(&str) -> bool) -> Vec<String> {
        let (end, mut named) = (self.end(), Vec::new());
        for (name, link) in &mut self.links {
            if link.waits && (link.has_more(end, now_ms, self.announce_ms) || has_more(name)) {
                link.waits = false;
                named.push(name.clone());
            }
        }
        named
    }

    /// When the next link is to be told though nothing happens, or what was announced is to be dropped.
    pub fn deadline_ms(&self) -> Option<u64> {
        let waiting = self.links.values().filter(|link| link.waits);
        let announced = waiting.filter_map(|link| link.announces_at_ms(self.announce_ms)).min();
        let is_kept = self.taken() == self.end() && !faults::is_on(Fault::EndlessRing);
        let newest = self.ring.back().filter(|_| is_kept);
        let forgotten = newest.map(|entry| entry.arrival.at_ms.saturating_add(self.recall_ms));
        announced.into_iter().chain(forgotten).min()
    }

    /// How many bytes the ring holds.
    pub fn ring_length(&self) -> usize {
        self.ring_length
    }

    /// How many bytes wait for the link for which most do.
    pub fn outbox_length(&self) -> usize {
        self.links.values().map(|link| link.outbox_length).max().unwrap_or_default()
    }

    /// How many servers are known with which updates begin.
    pub fn sources(&self) -> usize {
        self.trees.count()
    }

    /// The number of the entry that comes next.
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }
}

/// The ring while a link takes from it.
struct Ring<'a> {
    entries: &'a mut VecDeque<Entry>,
    first: u64,
    trees: &'a Trees,
}

impl Ring<'_> {
    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

impl Entry {
    fn print(&self, vocabulary: Vocabulary, trees: &Trees, out: &mut Vec<u8>) {
        let source = self.arrival.source.filter(|_| vocabulary == Vocabulary::Trees);
        let route = source.map(|source| (trees.name(source), self.arrival.hops.saturating_add(1)));
        self.update.print_along(route, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Inbox;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const CHUNK: usize = 120;

    fn flood(ring_bytes: usize, links: &[&str]) -> Flood {
        let limits = Limits { ring_bytes, outbox_bytes: 100, ..Limits::default() };
        let mut flood = Flood::new("Goloman", &limits);
        for link in links {
            flood.link_up(link, Vocabulary::Plain);
            assert_eq!(taken(&mut flood, link), "");
        }
        flood
    }

    fn update(number: u128) -> Update {
        Update::new(Uuid::from_u128(number), format!("k{number} +1-2 3 4 A\n").as_bytes())
    }

    fn from(flood: &Flood, link: &str) -> Arrival {
        Arrival { way: flood.way(link).unwrap(), ..Arrival::here(0) }
    }

    fn taken(flood: &mut Flood, link: &str) -> String {
        let mut out = Vec::new();
        let _ = flood.take(link, CHUNK, 0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_update_goes_to_every_neighbour_but_the_one_it_came_by() {
        let mut flood = flood(1000, &["a", "b", "c"]);
        let _ = flood.push(from(&flood, "b"), update(1));
        assert!(taken(&mut flood, "a").ends_with("k1 +1-2 3 4 A\n"));
        assert_eq!(taken(&mut flood, "b"), "");
        assert!(taken(&mut flood, "c").ends_with("k1 +1-2 3 4 A\n"));
        assert_eq!(taken(&mut flood, "a"), "");
    }

    #[test]
    fn a_neighbour_that_took_something_is_called_once_when_there_is_more() {
        let mut flood = flood(1000, &["a"]);
        assert!(flood.bells(0, |_| false).is_empty());
        let _ = flood.push(Arrival::here(0), update(1));
        assert_eq!(flood.bells(0, |_| false), ["a"]);
        let _ = flood.push(Arrival::here(0), update(2));
        assert!(flood.bells(0, |_| false).is_empty());
        assert_ne!(taken(&mut flood, "a"), "");
        assert!(flood.bells(0, |_| false).is_empty());
    }

    #[test]
    fn what_nobody_has_taken_goes_together_under_one_uuid() {
        let mut flood = flood(1000, &["a", "b"]);
        assert!(flood.say(Uuid::from_u128(1), b"k1 +1-2 3 4 A\n", 0).is_some());
        assert!(flood.say(Uuid::from_u128(2), b"k2 +1-2 3 4 A\n", 0).is_none());
        let both = Update::new(Uuid::from_u128(1), b"k1 +1-2 3 4 A\nk2 +1-2 3 4 A\n");
        assert_eq!(taken(&mut flood, "a").as_bytes(), Frame::Update(both).to_bytes());
        assert!(flood.say(Uuid::from_u128(3), b"k3 +1-2 3 4 A\n", 0).is_some());
        assert!(!taken(&mut flood, "a").contains("k2"));
        assert_eq!(taken(&mut flood, "b").matches('k').count(), 3);
    }

    #[test]
    fn what_everybody_has_taken_is_not_kept() {
        let mut flood = flood(1000, &["a", "b"]);
        let _ = flood.push(Arrival::here(0), update(1));
        assert_ne!(taken(&mut flood, "a"), "");
        assert_ne!(flood.ring_length(), 0);
        assert_ne!(taken(&mut flood, "b"), "");
        assert_eq!(flood.ring_length(), 0);
    }

    #[test]
    fn a_neighbour_is_called_for_what_others_have_for_it() {
        let mut flood = flood(1000, &["a", "b"]);
        assert_eq!(flood.bells(0, |name| name == "b"), ["b"]);
        assert!(flood.bells(0, |name| name == "b").is_empty());
    }

    #[test]
    fn a_neighbour_that_falls_out_of_the_ring_goes_on_at_its_end() {
        let mut flood = flood(200, &["slow"]);
        for number in 0..100 {
            let _ = flood.push(Arrival::here(0), update(number));
            assert!(flood.ring_length <= 200);
        }
        let mut out = Vec::new();
        assert_eq!(flood.take("slow", CHUNK, 0, &mut out), Taken::NotAll);
        let _ = flood.push(Arrival::here(0), update(100));
        assert_eq!(flood.take("slow", CHUNK, 0, &mut out), Taken::AllOfIt);
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

    /// A link to a neighbour that gets what begins here elsewhere.
    fn pruned() -> Flood {
        let mut flood = flood(1000, &[]);
        flood.link_up("a", Vocabulary::Trees);
        flood.hear_prune("a", "Goloman");
        assert_eq!(taken(&mut flood, "a"), "");
        flood
    }

    fn taken_at(flood: &mut Flood, now_ms: u64) -> String {
        let mut out = Vec::new();
        assert_eq!(flood.take("a", CHUNK, now_ms, &mut out), Taken::AllOfIt);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn over_a_pruned_link_updates_are_announced_all_at_once_a_little_later() {
        let mut flood = pruned();
        for number in 1..=2 {
            let _ = flood.push(Arrival::here(5), update(number));
        }
        let due_ms = 5 + Limits::default().announce_ms;
        assert!(flood.bells(due_ms - 1, |_| false).is_empty());
        assert_eq!((taken_at(&mut flood, due_ms - 1), flood.deadline_ms()), (String::new(), Some(due_ms)));
        assert_eq!(flood.bells(due_ms, |_| false), ["a"]);
        let have = Frame::Have { uuids: vec![Uuid::from_u128(1), Uuid::from_u128(2)] };
        assert_eq!(taken_at(&mut flood, due_ms).into_bytes(), have.to_bytes());
        assert_eq!(taken_at(&mut flood, due_ms * 2), "");
    }

    /// They came behind all that the ring had, after tens of seconds on a slow link: it is such links that others replace.
    #[test]
    fn updates_are_announced_in_time_over_a_link_that_is_behind() {
        let mut flood = pruned();
        let _ = flood.push(Arrival::here(0), update(1));
        for number in 2..20 {
            let _ = flood.push(Arrival { source: None, ..Arrival::here(0) }, update(number));
        }
        let due_ms = Limits::default().announce_ms;
        assert!(taken_at(&mut flood, due_ms - 1).starts_with("CLIENTAT "));
        let have = Frame::Have { uuids: vec![Uuid::from_u128(1)] };
        let next = taken_at(&mut flood, due_ms).into_bytes();
        assert!(next.starts_with(&have.to_bytes()) && next.len() > CHUNK);
    }

    #[test]
    fn what_was_announced_can_be_asked_for_until_its_time_is_up() {
        let mut flood = pruned();
        let number = flood.push(Arrival::here(0), update(1)).unwrap();
        let Limits { announce_ms, recall_ms, .. } = Limits::default();
        assert!(taken_at(&mut flood, announce_ms).starts_with("HAVE "));
        assert!(flood.hear_want("a", number));
        assert_eq!(flood.bells(announce_ms, |_| false), ["a"]);
        assert!(taken_at(&mut flood, announce_ms).contains("Goloman 1\nk1 "));
        assert_eq!(flood.deadline_ms(), Some(recall_ms));
        flood.drop_taken(recall_ms);
        assert_eq!((flood.ring_length(), flood.hear_want("a", number)), (0, false));
        assert_eq!(flood.deadline_ms(), None);
    }

    #[test]
    fn an_update_that_was_announced_does_not_grow() {
        let mut flood = pruned();
        assert!(flood.say(Uuid::from_u128(1), b"k1 +1-2 3 4 A\n", 0).is_some());
        assert!(flood.say(Uuid::from_u128(2), b"k2 +1-2 3 4 A\n", 0).is_none());
        assert!(taken_at(&mut flood, Limits::default().announce_ms).starts_with("HAVE "));
        assert!(flood.say(Uuid::from_u128(3), b"k3 +1-2 3 4 A\n", 0).is_some());
    }

    #[test]
    fn a_grafted_link_carries_updates_again() {
        let mut flood = pruned();
        flood.hear_graft("a", "Goloman");
        let _ = flood.push(Arrival::here(0), update(1));
        assert_eq!(flood.bells(0, |_| false), ["a"]);
        assert!(taken_at(&mut flood, 0).contains("Goloman 1\nk1 "));
    }

    #[test]
    fn a_neighbour_that_knows_no_trees_is_told_nothing_of_them() {
        let mut flood = flood(1000, &["a"]);
        let _ = flood.push(Arrival::here(0), update(1));
        assert_eq!(taken_at(&mut flood, 0).into_bytes(), Frame::Update(update(1)).to_bytes());
    }

    /// What is behind a write that was full was neither announced nor, once the neighbour wanted it, told, before the next
    /// update that went over the link; and the ring kept all that came meanwhile.
    #[test]
    fn what_a_link_does_not_carry_is_passed_though_a_write_was_full_before_it() {
        let mut flood = flood(10_000, &["up"]);
        flood.link_up("a", Vocabulary::Trees);
        flood.hear_prune("a", "Wilkes");
        assert_eq!(taken(&mut flood, "a"), "");
        let long = format!("k{} +1-2 3 4 A\n", "x".repeat(CHUNK));
        let _ = flood.say(Uuid::from_u128(1), long.as_bytes(), 0);
        let arrival = flood.arrival("up", Some(&Route { source: "Wilkes".into(), hops: 1 }), 0);
        let _ = flood.push(arrival, update(2));
        assert_eq!(flood.bells(0, |_| false), ["a", "up"]);
        assert!(!taken(&mut flood, "a").contains("k2"));
        flood.hear_graft("a", "Wilkes");
        assert_eq!(flood.bells(0, |_| false), ["a"]);
        assert!(taken(&mut flood, "a").contains("k2"));
    }

    /// What may happen to a ring with three links, each of which has all that there is announced or told in the end.
    #[derive(Clone, Debug)]
    enum Event {
        Say { length: usize },
        Push { by: usize, source: usize },
        Prune { link: usize, source: usize },
        Graft { link: usize, source: usize },
        Take { link: usize, bytes_max: usize },
        Pass { ms: u64 },
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let (link, source) = (0..LINKS.len(), 0..SOURCES.len());
        let event = prop_oneof![
            (0..200_usize).prop_map(|length| Event::Say { length }),
            (link.clone(), 1..SOURCES.len()).prop_map(|(by, source)| Event::Push { by, source }),
            (link.clone(), source.clone()).prop_map(|(link, source)| Event::Prune { link, source }),
            (link.clone(), source).prop_map(|(link, source)| Event::Graft { link, source }),
            (link, 1..200_usize).prop_map(|(link, bytes_max)| Event::Take { link, bytes_max }),
            (0..60_u64).prop_map(|ms| Event::Pass { ms }),
        ];
        prop::collection::vec(event, 1..60)
    }

    const LINKS: [&str; 3] = ["a", "b", "c"];
    const SOURCES: [&str; 3] = ["Goloman", "Hands", "Wilkes"];

    /// A ring, and of which updates each neighbour has not heard yet.
    struct Ledger {
        flood: Flood,
        owed: [BTreeSet<u128>; LINKS.len()],
        now_ms: u64,
        last: u128,
    }

    impl Ledger {
        fn happen(&mut self, event: &Event) {
            match *event {
                Event::Say { length } => {
                    let line = format!("k{} +1-2 3 4 A\n", "x".repeat(length));
                    let uuid = Uuid::from_u128(self.last + 1);
                    // What has grown goes under a UUID that nobody was told of.
                    if self.flood.say(uuid, line.as_bytes(), self.now_ms).is_some() {
                        self.note(None);
                    }
                }
                Event::Push { by, source } => {
                    let route = Route { source: SOURCES[source].into(), hops: 1 };
                    let arrival = self.flood.arrival(LINKS[by], Some(&route), self.now_ms);
                    let _ = self.flood.push(arrival, update(self.last + 1));
                    self.note(Some(by));
                }
                Event::Prune { link, source } => self.flood.hear_prune(LINKS[link], SOURCES[source]),
                Event::Graft { link, source } => self.flood.hear_graft(LINKS[link], SOURCES[source]),
                Event::Take { link, bytes_max } => self.take(link, bytes_max),
                Event::Pass { ms } => self.now_ms += ms,
            }
        }

        fn note(&mut self, by: Option<usize>) {
            self.last += 1;
            let others = (0..LINKS.len()).filter(|&link| Some(link) != by);
            for link in others {
                self.owed[link].insert(self.last);
            }
        }

        fn take(&mut self, link: usize, bytes_max: usize) {
            let (mut out, owed) = (Vec::new(), &mut self.owed[link]);
            if self.flood.take(LINKS[link], bytes_max, self.now_ms, &mut out) == Taken::NotAll {
                owed.clear(); // What it missed is compared.
            }
            let mut inbox = Inbox::new(out);
            while let Some(frame) = inbox.next(usize::MAX).unwrap() {
                match frame {
                    Frame::Update(update) => {
                        owed.remove(&update.uuid.as_u128());
                    }
                    Frame::Have { uuids } => owed.retain(|uuid| !uuids.contains(&Uuid::from_u128(*uuid))),
                    other => panic!("{other:?}"),
                }
            }
        }

        /// Does what falls due until nothing does.
        fn settle(&mut self) {
            (0..LINKS.len()).for_each(|link| self.take(link, CHUNK));
            for _ in 0..10_000 {
                let bells = self.flood.bells(self.now_ms, |_| false);
                for bell in &bells {
                    self.take(LINKS.iter().position(|link| link == bell).unwrap(), CHUNK);
                }
                if bells.is_empty() {
                    let Some(due_ms) = self.flood.deadline_ms() else { return };
                    self.now_ms = self.now_ms.max(due_ms);
                    self.flood.drop_taken(self.now_ms);
                }
            }
            panic!("it never comes to an end");
        }
    }

    proptest! {
        #[test]
        fn every_update_is_told_announced_or_compared_and_nothing_is_kept(events in events(), ring_bytes in 300..2000_usize) {
            let limits = Limits { ring_bytes, ..Limits::default() };
            let flood = Flood::new(SOURCES[0], &limits);
            let mut ledger = Ledger { flood, owed: Default::default(), now_ms: 0, last: 0 };
            for link in LINKS {
                ledger.flood.link_up(link, Vocabulary::Trees);
            }
            for event in &events {
                ledger.happen(event);
            }
            ledger.settle();
            prop_assert!(ledger.owed.iter().all(BTreeSet::is_empty), "{:?}", ledger.owed);
            prop_assert_eq!(ledger.flood.ring_length(), 0);
        }
    }
}
