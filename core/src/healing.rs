//! Healing: neighbours compare what they know, and each asks the other for what differs.
//!
//! When a link begins, when it fell out of the ring of recent updates, and every now and then, each side says its
//! DIGEST. Who hears one that is not its own asks down the tree: which nodes differ, which of their buckets, and what
//! records are in those. Both sides do, each for itself; the records go the way of every record from a neighbour. Since
//! the state itself is compared, this also heals what a bug, a lost tail or a full queue left behind.
//!
//! What a neighbour has told, it is not asked for again: where its sums are still those of the last time, it knows nothing
//! that is of use here, even if it knows more, such as what has expired here and not yet there.
//!
//! The side that asks (`asking`) has a bounded number of questions on their way, and asks one neighbour at a time, whose
//! *turn* it is: what one has told, the others need not be asked for. The side that answers (`answering`) remembers no more
//! than what it was asked, and makes answers when the link can take them. Here is whose turn it is, and when a digest is
//! said and compared. Sums are renewed a piece at a time ([`Healing::work`]).

mod answering;
mod asking;

use self::answering::{Answering, NODE_RECORDS};
use self::asking::{Asking, Awaited, BUCKETS_WINDOW, NODES_WINDOW};
use crate::digest::{Node, Pass, Root, Sums};
use crate::faults::{self, Fault};
use crate::frame::{Frame, Span, Vocabulary};
use crate::limits::Limits;
use crate::store::Store;
use std::collections::{BTreeMap, VecDeque};

/// How many records one call sums for a pass over all: a fraction of a millisecond of work, where they are spread evenly.
const STEP_RECORDS: usize = 512;

/// Comparing and asking, with all neighbours of one server.
#[derive(Debug)]
pub struct Healing {
    links: BTreeMap<String, Link>,
    /// The digests that were not yet compared, in the order in which their links first said one: of each link the last, with
    /// the sums that it is to be compared with.
    heard: VecDeque<(String, Root, Pass)>,
    /// The link that is asked now.
    turn: Option<Turn>,
    turn_ms: u64,
    /// How much that was told in one turn goes on to the other neighbours at once.
    onward_bytes: usize,
    /// The longest record line that a neighbour takes. What is on disk may be longer, from when the limit was another.
    record_max: usize,
}

/// The time in which one neighbour is asked.
#[derive(Debug)]
struct Turn {
    link: String,
    root: Root,
    asking: Asking,
    began_ms: u64,
    /// When the neighbour last answered.
    answered_ms: u64,
    /// How many bytes of records it has told that were news.
    told: usize,
    /// The sums that it said.
    sums: Vec<(Node, Box<Sums>)>,
    /// True if some of what it told was of no use then and may be of use now: there was no room for it, or the clock was set.
    is_in_vain: bool,
}

/// What is to be said and heard over one link.
#[derive(Debug, Default)]
struct Link {
    /// False for one of another make: it is to hear a digest only when it missed something, and at once.
    compares: bool,
    offer: Offer,
    /// Also what was asked in a turn that is over: it is answered all the same.
    awaited: Awaited,
    answering: Answering,
    heeded: Heeded,
    equal_ms: Option<u64>,
}

/// The sums of a neighbour when it had last told all that they stand for: nothing it knew then is of use now.
#[derive(Debug, Default)]
struct Heeded {
    root: Option<Root>,
    nodes: BTreeMap<Node, Box<Sums>>,
}

/// How far one's own digest is.
#[derive(Debug, Default)]
struct Offer {
    /// It is to be said once the sums are those of this pass ([`crate::digest`]).
    wanted: Option<Pass>,
    /// And another after it, since meanwhile something else was lost.
    is_wanted_again: bool,
    /// It is to be said when the link takes next.
    is_due: bool,
}

impl Healing {
    /// No neighbours yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            links: BTreeMap::new(),
            heard: VecDeque::new(),
            turn: None,
            turn_ms: limits.digest_ms / 2,
            onward_bytes: limits.ring_bytes / 8,
            record_max: limits.record_max(),
        }
    }

    /// Notes a link that can be talked over.
    pub fn link_up(&mut self, name: &str, vocabulary: Vocabulary) {
        let compares = vocabulary != Vocabulary::Foreign;
        self.links.insert(name.to_owned(), Link { compares, ..Link::default() });
    }

    /// Forgets a link.
    pub fn link_down(&mut self, name: &str, store: &mut Store) {
        self.links.remove(name);
        self.heard.retain(|(link, ..)| link != name);
        if let Some(turn) = self.turn.take_if(|turn| turn.link == name) {
            self.compare_with_others(&turn, store);
        }
    }

    /// Lets a neighbour compare that missed something: it is to hear a digest that covers all that is known now.
    pub fn offer(&mut self, name: &str, store: &mut Store) {
        let Some(Link { offer, compares, .. }) = self.links.get_mut(name) else { return };
        if !*compares {
            offer.is_due = true;
        } else if offer.wanted.is_some() {
            offer.is_wanted_again = true;
        } else {
            offer.wanted = Some(store.want_sums());
        }
    }

    /// Lets all neighbours compare.
    pub fn offer_all(&mut self, store: &mut Store, now_ms: u64) {
        let comparing = self.links.iter().filter(|(_, link)| link.compares);
        for name in comparing.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.offer(&name, store);
        }
        self.cut_turn_short(store, now_ms);
    }

    /// Takes the turn from a neighbour that does not answer or keeps others waiting; it has another later.
    fn cut_turn_short(&mut self, store: &mut Store, now_ms: u64) {
        let (turn_ms, heard) = (self.turn_ms, &self.heard);
        let has_passed = |since: u64| now_ms.saturating_sub(since) >= turn_ms;
        let are_others_waiting = |turn: &Turn| heard.iter().any(|(link, ..)| *link != turn.link);
        let is_over = |turn: &mut Turn| {
            has_passed(turn.answered_ms) || has_passed(turn.began_ms) && are_others_waiting(turn)
        };
        if let Some(turn) = self.turn.take_if(is_over) {
            self.compare_with_others(&turn, store);
            // What it has said since then is newer.
            if !self.heard.iter().any(|(link, ..)| *link == turn.link) {
                self.hear_digest(&turn.link, turn.root, store);
            }
        }
    }

    /// Hears what a neighbour's store sums up to.
    pub fn hear_digest(&mut self, name: &str, root: Root, store: &mut Store) {
        if !self.links.contains_key(name) {
            return;
        }
        // One's own sums may be older than the neighbour's: it costs at most questions that were not needed.
        match self.heard.iter_mut().find(|(link, ..)| link == name) {
            Some((_, heard, _)) => *heard = root,
            None => self.heard.push_back((name.to_owned(), root, store.want_sums())),
        }
    }

    /// Hears that a neighbour wants to know sums. A question too many is not answered.
    pub fn hear_sums_question(&mut self, name: &str, node: Node) {
        if let Some(Link { answering, .. }) = self.links.get_mut(name)
            && answering.nodes.len() < NODES_WINDOW
        {
            answering.nodes.push_back(node);
        }
    }

    /// Hears that a neighbour wants to know records. A question too many is not answered.
    pub fn hear_records_question(&mut self, name: &str, spans: &[Span]) {
        // Whoever keeps to the window has no more spans on their way than buckets. One span may be all buckets that there
        // are, as from a dialect: it takes no more room for that.
        if let Some(Link { answering, .. }) = self.links.get_mut(name)
            && answering.spans.len() + spans.len() <= BUCKETS_WINDOW
        {
            answering.spans.extend(spans);
        }
    }

    /// Hears a neighbour's sums, and finds out what to ask next.
    pub fn hear_sums(&mut self, name: &str, node: Node, theirs: Box<Sums>, store: &mut Store, now_ms: u64) {
        let Some(link) = self.links.get_mut(name) else { return };
        if link.awaited.nodes.front() != Some(&node) {
            return;
        }
        link.awaited.nodes.pop_front();
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.link == name) {
            turn.answered_ms = now_ms;
            let (ours, _) = store.sums(node, NODE_RECORDS);
            turn.asking.compare(node, &ours, &theirs, link.heeded.nodes.get(&node).map(|sums| &**sums));
            turn.sums.push((node, theirs));
        }
        self.end_turn(store);
    }

    /// Whether what is news of the records that a neighbour tells is to go on to others as news usually does.
    ///
    /// From one that tells much news it would push all other news out of the ring, and others mostly know it. They are to
    /// compare instead, once everything was told.
    pub fn goes_on(&self, name: &str) -> bool {
        self.turn.as_ref().is_none_or(|turn| turn.link != name || turn.told < self.onward_bytes)
    }

    /// Hears that a neighbour has told all it knows of some more buckets, how many bytes of it were news, and whether there
    /// was room for it.
    pub fn hear_records(
        &mut self,
        name: &str,
        done: usize,
        news: usize,
        had_room: bool,
        store: &mut Store,
        now_ms: u64,
    ) {
        let Some(Link { awaited, .. }) = self.links.get_mut(name) else { return };
        awaited.buckets = awaited.buckets.saturating_sub(done);
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.link == name) {
            turn.answered_ms = now_ms;
            turn.told += news;
            turn.is_in_vain |= !had_room;
        }
        self.end_turn(store);
    }

    /// Ends a turn in which everything was asked and answered.
    fn end_turn(&mut self, store: &mut Store) {
        let links = &self.links;
        let is_over =
            |turn: &mut Turn| links.get(&turn.link).is_some_and(|link| turn.asking.is_over(&link.awaited));
        if let Some(turn) = self.turn.take_if(is_over) {
            self.compare_with_others(&turn, store);
            self.heed(turn);
        }
    }

    /// Remembers the sums of a neighbour that has told all they stand for, if there was room for that.
    fn heed(&mut self, turn: Turn) {
        if let Some(Link { heeded, .. }) = self.links.get_mut(&turn.link)
            && !turn.is_in_vain
            && !faults::is_on(Fault::AsksAgain)
        {
            heeded.root = Some(turn.root);
            heeded.nodes.extend(turn.sums);
        }
    }

    /// Asks all neighbours again for what they have told, since what was of no use may be of use now.
    pub fn ask_all_again(&mut self) {
        self.links.values_mut().for_each(|link| link.heeded = Heeded::default());
        if let Some(turn) = &mut self.turn {
            turn.is_in_vain = true;
        }
    }

    /// Has what was told in a turn compared with what the others know: digests that they have said wait for sums that cover
    /// it, and where it was too much to go on, they are to hear this server's digest.
    fn compare_with_others(&mut self, turn: &Turn, store: &mut Store) {
        if turn.told == 0 {
            return;
        }
        for (_, _, pass) in &mut self.heard {
            *pass = store.want_sums();
        }
        if turn.told >= self.onward_bytes {
            for name in self.links.keys().filter(|&name| *name != turn.link).cloned().collect::<Vec<_>>() {
                self.offer(&name, store);
            }
        }
    }

    /// True if [`Healing::work`] has something to do.
    pub fn has_work(&self) -> bool {
        let compares = self.turn.is_none() && !self.heard.is_empty();
        compares || self.links.values().any(|link| link.offer.wanted.is_some())
    }

    /// Renews some sums, and does what can be done once they are there. Brief: call it again while there is work.
    pub fn work(&mut self, store: &mut Store, now_ms: u64) {
        if !self.has_work() {
            return;
        }
        store.sum_some(STEP_RECORDS);
        for Link { offer, .. } in self.links.values_mut() {
            offer.is_due |= offer.wanted.take_if(|pass| store.digest().covers(*pass)).is_some();
            if offer.wanted.is_none() && std::mem::take(&mut offer.is_wanted_again) {
                offer.wanted = Some(store.want_sums());
            }
        }
        while self.turn.is_none() && self.compare_next(store, now_ms) {}
    }

    /// Compares the digest that was heard first; false if there is none, or one's own sums are not ready.
    fn compare_next(&mut self, store: &Store, now_ms: u64) -> bool {
        if !self.heard.front().is_some_and(|&(_, _, pass)| store.digest().covers(pass)) {
            return false;
        }
        let Some((name, root, _)) = self.heard.pop_front() else { return false };
        let Some(link) = self.links.get_mut(&name) else { return true };
        if root == store.digest().root() {
            link.equal_ms = Some(now_ms);
            link.heeded = Heeded::default(); // Equal sums need no memory of others.
        } else if link.heeded.root != Some(root) {
            self.turn = Some(Turn {
                link: name,
                root,
                asking: Asking::from_root(),
                began_ms: now_ms,
                answered_ms: now_ms,
                told: 0,
                sums: Vec::new(),
                is_in_vain: false,
            });
        }
        true
    }

    /// True if a link has something to take.
    pub fn has_more(&self, name: &str) -> bool {
        let turn = self.turn.as_ref().filter(|turn| turn.link == name);
        self.links.get(name).is_some_and(|link| {
            link.offer.is_due || turn.is_some_and(|turn| turn.asking.has_more(&link.awaited)) || link.owes()
        })
    }

    /// True while a neighbour is owed answers.
    pub fn owes(&self, name: &str) -> bool {
        self.links.get(name).is_some_and(Link::owes)
    }

    /// Appends what a link is to write next: questions, then answers until `out` has about `bytes_max` bytes, those that it
    /// had before included.
    pub fn take(&mut self, name: &str, store: &mut Store, bytes_max: usize, out: &mut Vec<u8>) {
        let Some(link) = self.links.get_mut(name) else { return };
        if std::mem::take(&mut link.offer.is_due) {
            Frame::Digest { root: store.digest().root() }.print(out);
        }
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.link == name) {
            turn.asking.ask(&mut link.awaited, out);
        }
        link.answering.tell_sums(store, bytes_max, out);
        link.answering.tell_records(store, self.record_max, bytes_max, out);
    }

    /// When a neighbour's digest was last heard that equalled one's own, in milliseconds.
    pub fn equal_ms(&self, name: &str) -> Option<u64> {
        self.links.get(name)?.equal_ms
    }

    /// How many questions of one neighbour wait for an answer, where most do.
    pub fn questions(&self) -> usize {
        let questions = |link: &Link| link.answering.nodes.len() + link.answering.spans.len();
        self.links.values().map(questions).max().unwrap_or_default()
    }
}

impl Link {
    fn owes(&self) -> bool {
        !(self.answering.nodes.is_empty() && self.answering.spans.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Inbox;
    use crate::record::Record;

    const CHUNK: usize = 64 * 1024;

    fn store(clients: u32) -> Store {
        let mut store = Store::default();
        for client in 0..clients {
            let line = format!("k{client} +1-2 3 4 A");
            let _ = store.learn(&Record::parse(line.as_bytes()).unwrap());
        }
        store
    }

    fn healing(links: &[&str]) -> Healing {
        let mut healing = Healing::new(&Limits::default());
        for link in links {
            healing.link_up(link, Vocabulary::Trees);
        }
        healing
    }

    fn taken(healing: &mut Healing, link: &str, store: &mut Store) -> Vec<Frame> {
        let mut out = Vec::new();
        healing.take(link, store, CHUNK, &mut out);
        let mut inbox = Inbox::new(out);
        std::iter::from_fn(|| inbox.next(1 << 20).unwrap()).collect()
    }

    fn work(healing: &mut Healing, store: &mut Store) {
        while healing.has_work() {
            healing.work(store, 0);
        }
    }

    #[test]
    fn no_more_is_asked_at_once_than_the_window_allows() {
        let mut store = Store::default();
        let mut healing = healing(&["a"]);
        healing.hear_digest("a", 5, &mut store);
        work(&mut healing, &mut store);
        assert_eq!(taken(&mut healing, "a", &mut store), [Frame::AskSums { node: Node::Root }]);
        healing.hear_sums("a", Node::Root, Box::new([1; 256]), &mut store, 0);
        let first = Span { first: 0, last: 1023 };
        assert_eq!(taken(&mut healing, "a", &mut store), [Frame::AskRecords { spans: vec![first] }]);
        assert!(!healing.has_more("a"));
        healing.hear_records("a", 10, 0, true, &mut store, 0);
        let next = Span { first: 1024, last: 1033 };
        assert_eq!(taken(&mut healing, "a", &mut store), [Frame::AskRecords { spans: vec![next] }]);
    }

    #[test]
    fn no_more_nodes_are_asked_about_than_the_window_allows() {
        // So many clients that no node is empty.
        let mut store = store(5000);
        let mut healing = healing(&["a"]);
        healing.hear_digest("a", 5, &mut store);
        work(&mut healing, &mut store);
        let _ = taken(&mut healing, "a", &mut store);
        healing.hear_sums("a", Node::Root, Box::new([1; 256]), &mut store, 0);
        assert_eq!(taken(&mut healing, "a", &mut store).len(), NODES_WINDOW);
        healing.hear_sums("a", Node::Inner(0), Box::new([0; 256]), &mut store, 0);
        assert_eq!(taken(&mut healing, "a", &mut store), [Frame::AskSums { node: Node::Inner(16) }]);
    }

    #[test]
    fn one_neighbour_is_asked_at_a_time() {
        let mut store = Store::default();
        let mut healing = healing(&["a", "b"]);
        healing.hear_digest("b", 5, &mut store);
        healing.hear_digest("a", 6, &mut store);
        work(&mut healing, &mut store);
        assert!(healing.has_more("b") && !healing.has_more("a"));
        healing.link_down("b", &mut store);
        work(&mut healing, &mut store);
        assert!(healing.has_more("a"));
    }

    /// Its own next digest counted as somebody who waits, and a long answer began anew with each.
    #[test]
    fn a_neighbour_that_answers_has_its_turn_until_another_waits() {
        let mut store = Store::default();
        let mut healing = healing(&["a", "b"]);
        healing.hear_digest("a", 5, &mut store);
        work(&mut healing, &mut store);
        let _ = taken(&mut healing, "a", &mut store);
        healing.hear_sums("a", Node::Root, Box::new([1; 256]), &mut store, 0);
        let _ = taken(&mut healing, "a", &mut store);
        let now_ms = Limits::default().digest_ms;
        for (waiting, goes_on) in [("a", true), ("b", false)] {
            healing.hear_digest(waiting, 6, &mut store);
            healing.hear_records("a", 10, 0, true, &mut store, now_ms);
            healing.offer_all(&mut store, now_ms);
            let asked = taken(&mut healing, "a", &mut store);
            assert_eq!(
                asked.iter().any(|frame| matches!(frame, Frame::AskRecords { .. })),
                goes_on,
                "{waiting}"
            );
        }
    }

    #[test]
    fn an_answer_comes_in_pieces_and_a_question_too_many_is_not_answered() {
        let mut store = store(5000);
        let mut healing = healing(&["a"]);
        for _ in 0..10_000 {
            healing.hear_sums_question("a", Node::Root);
            healing.hear_records_question("a", &[Span::ALL, Span::ALL]);
        }
        assert_eq!(healing.questions(), NODES_WINDOW + BUCKETS_WINDOW);
        let mut out = Vec::new();
        healing.take("a", &mut store, CHUNK, &mut out);
        assert!(out.len() < CHUNK + 1000, "{}", out.len());
        assert!(healing.owes("a"));
    }

    /// It ended the process: no allocator has room for a terabyte.
    #[test]
    fn room_is_made_for_what_there_is_to_tell_and_not_for_what_there_may_be() {
        let mut store = store(10);
        let mut healing = healing(&["a"]);
        healing.hear_records_question("a", &[Span { first: 0, last: 999 }]);
        let mut out = Vec::new();
        healing.take("a", &mut store, usize::MAX, &mut out);
        assert!(out.starts_with(b"RECORDS 1000 ") && out.capacity() < 1_000_000);
    }

    #[test]
    fn sums_that_nobody_asked_for_are_not_heard() {
        let mut store = Store::default();
        let mut healing = healing(&["a"]);
        healing.hear_sums("a", Node::Root, Box::new([1; 256]), &mut store, 0);
        healing.hear_records("a", usize::MAX, 0, true, &mut store, 0);
        assert!(!healing.has_more("a") && !healing.has_work());
    }

    #[test]
    fn a_digest_is_not_forgotten_over_an_older_one_of_the_same_neighbour() {
        let mut later = store(1);
        let pass = later.want_sums();
        later.sum_some(10);
        assert!(later.digest().covers(pass));
        let (root, mut store) = (later.digest().root(), Store::default());
        let mut healing = healing(&["a", "b"]);
        healing.hear_digest("a", root, &mut store);
        work(&mut healing, &mut store);
        let _ = taken(&mut healing, "a", &mut store);
        let _ = store.learn(&Record::parse(b"k0 +1-2 3 4 A").unwrap());
        healing.hear_digest("a", root + 1, &mut store); // It has learned more meanwhile.
        healing.offer_all(&mut store, 1_000_000); // And its answer has taken too long.
        work(&mut healing, &mut store);
        assert_eq!(healing.equal_ms("a"), None);
        assert!(healing.has_more("a"));
    }
}
