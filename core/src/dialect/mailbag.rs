//! What is to be said to one neighbour of another make, and what it is believed to hold.
//!
//! Of each client only the newest record waits, and only one is on its way at a time: two connections may overtake
//! each other, and half the dialects believe whoever speaks last. The bag holds what was taken from the store and
//! not more than a bound; while the neighbour is away nothing is taken, so the newest record of every client waits
//! in the store, which gives all of them again when the neighbour is back. What is said again because the neighbour said
//! something older was not taken from the store, and would wait here without end where it says much of that: half of the
//! bag is for it, so that news goes on, and what finds no room there is not said. It cannot wait in the store, which would
//! have to tell everything again, and as often as the neighbour likes.
//!
//! A bag sends a record only if its neighbour is not believed to hold that check-in or a newer one. Neighbours are told a
//! record again when they said something older: all of them take whatever a client of their own says. Those that take
//! what their neighbours say, too, are told it again when what they said may have crossed something older on its way to them.
//!
//! **No storm.** A letter has one of two causes. Either the store gave the record, which it does once for each that
//! becomes news here (and once more whenever everything is to be told again); or a neighbour's kind said something
//! that is to be answered, and each record that they say is answered at most `dialect_corrections_max` times, however
//! often it is said, as long as that is remembered. So over one link goes at most one letter for each record that
//! became news here, and so many for each different record heard. Both are finite: what becomes news grows in one
//! total order, and a check-in has as many records as there are servers that may be named in it and ways to round it,
//! of which every make has one. Whoever repeats itself for ever is answered no more, unless it says more different
//! things at a time than answers are remembered (`dialect_beliefs_max`): then once more for as many of those. What is
//! believed only spares letters, so none of this depends on how much of it is remembered.
//!
//! `queue` has the letters that wait, `beliefs` what is believed, and each knows what share of its room that takes.

mod beliefs;
mod queue;

use self::beliefs::Beliefs;
use self::queue::{Queue, Waiting};
use super::Dialect;
use super::gate::Overheard;
use super::speech::{Letter, Spelling, derived, is_same_check_in};
use crate::limits::Limits;
use crate::record::Record;
use crate::seen::Seen;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

/// A client's ID.
type Client = Vec<u8>;

/// A record line.
type Line = Vec<u8>;

/// What waits for one neighbour, and what it holds.
#[derive(Debug)]
pub struct Mailbag {
    dialect: Dialect,
    /// The servers of the neighbour's make: what began with one of them most likely reaches it without us.
    kin: BTreeSet<Vec<u8>>,
    waiting: Queue,
    /// What is being said right now.
    carried: HashMap<Client, Line>,
    beliefs: Beliefs,
    /// What was answered, and for which time.
    answered: Seen,
    connections_max: usize,
    letters_max: usize,
    settle_ms: u64,
    crossing_ms: u64,
    corrections_max: u32,
}

impl Mailbag {
    /// An empty bag for a neighbour, `kin` being the servers of its make.
    pub fn new(dialect: Dialect, kin: &[String], limits: &Limits) -> Self {
        Self {
            dialect,
            kin: kin.iter().map(|name| name.clone().into_bytes()).collect(),
            waiting: Queue::default(),
            carried: HashMap::new(),
            beliefs: Beliefs::new(limits.dialect_beliefs_max.max(1)),
            answered: Seen::new(limits.dialect_beliefs_max.max(1), u64::MAX),
            connections_max: limits.dialect_connections_max,
            letters_max: limits.dialect_letters_max,
            settle_ms: limits.dialect_settle_ms,
            crossing_ms: limits.dialect_crossing_ms,
            corrections_max: limits.dialect_corrections_max,
        }
    }

    /// Whether more may be taken from the store.
    pub fn has_room(&self) -> bool {
        self.waiting.shares < self.letters_max
    }

    /// True while nothing waits and nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.waiting.letters.is_empty() && self.carried.is_empty()
    }

    /// True while something is on its way.
    pub fn is_carrying(&self) -> bool {
        !self.carried.is_empty()
    }

    /// Takes a record line that the store wants told.
    pub fn put(&mut self, line: &[u8], now_ms: u64) {
        let Some(record) = Record::parse(line) else { return };
        let held = self.beliefs.of(record.said.client).and_then(|belief| belief.holds.as_ref());
        let on_its_way = self.carried.get(record.said.client);
        if [held, on_its_way].into_iter().flatten().any(|known| !is_news(line, known)) {
            return;
        }
        let settles = self.dialect.overwrites() && self.kin.contains(record.server);
        let from_ms = if settles { now_ms.saturating_add(self.settle_ms) } else { now_ms };
        let letter = Waiting { line: line.to_vec(), correction: None, from_ms };
        self.waiting.post(record.said.client, letter);
    }

    /// Hears of what a neighbour of this make said.
    pub fn overhear(&mut self, Overheard { line, spelling, is_held, newer }: &Overheard, now_ms: u64) {
        if let Some(spelling) = spelling {
            self.spell(line, spelling);
        }
        if *is_held {
            self.note(line, now_ms);
        }
        if let Some(newer) = newer {
            let _ = self.correct(newer, line, now_ms); // What finds no room or was answered often enough ends here.
        }
    }

    /// Notes how the neighbour's own kind writes a record.
    pub fn spell(&mut self, line: &[u8], spelling: &Spelling) {
        self.beliefs.learn(line, |belief| {
            if belief.spelled.as_ref().is_none_or(|(spelled, _)| !is_newer(spelled, line)) {
                belief.spelled = Some((line.to_vec(), spelling.clone()));
            }
        });
    }

    /// Notes that the neighbour holds a record, from what it or another of its kind said.
    pub fn note(&mut self, line: &[u8], now_ms: u64) {
        let Some(record) = Record::parse(line) else { return };
        let client = record.said.client;
        if self.may_have_crossed(client, line, now_ms) {
            let _ = self.correct(line, line, now_ms); // As when something older is heard.
        } else if self.waiting.letters.get(client).is_some_and(|waiting| waiting.is_answered_by(line)) {
            self.waiting.remove(client);
        }
        self.beliefs.learn(line, |belief| belief.holds = Some(line.to_vec()));
    }

    /// Takes a record that the neighbour must be told because it said `heard`; false if there is no room, or that was
    /// answered often enough.
    ///
    /// It goes out once the neighbours have had time to fall silent, and each further time they are given twice as
    /// long: said into the middle of what two of them shout at each other, it would only be one voice more.
    #[must_use]
    pub fn correct(&mut self, line: &[u8], heard: &[u8], now_ms: u64) -> bool {
        let Some(record) = Record::parse(line) else { return false };
        if self.waiting.letters.get(record.said.client).is_some_and(|waiting| waiting.corrects(line)) {
            return true;
        }
        if self.waiting.correcting >= self.letters_max.div_ceil(2) {
            return false;
        }
        let mut left =
            (0..self.corrections_max).map(|times| (times, derived(&[heard, &times.to_be_bytes()])));
        let Some((times, uuid)) = left.find(|&(_, uuid)| self.answered.insert(uuid, (), now_ms)) else {
            return false;
        };
        self.beliefs.learn(line, |belief| belief.holds = None);
        let from_ms = now_ms.saturating_add(self.settle_ms.saturating_mul(2_u64.saturating_pow(times)));
        let letter = Waiting { line: line.to_vec(), correction: Some(uuid), from_ms };
        self.waiting.post(record.said.client, letter);
        true
    }

    /// The next letter to be carried, if there is one and a connection for it.
    pub fn next(&mut self, now_ms: u64) -> Option<Letter> {
        if self.carried.len() >= self.connections_max {
            return None;
        }
        let ready = |&(client, waiting): &(&Client, &Waiting)| {
            waiting.from_ms <= now_ms && !self.carried.contains_key(client)
        };
        let client = self.waiting.letters.iter().find(ready)?.0.clone();
        let Waiting { line, correction, .. } = self.waiting.remove(&client)?;
        let spelled = self.beliefs.of(&client).and_then(|belief| belief.spelled.as_ref());
        let mut spelling = spelled.filter(|(spelled, _)| *spelled == line).map(|(_, how)| how.clone());
        if correction.is_some() {
            spelling = spelling.map(|spelling| Spelling { uuid: None, ..spelling });
        }
        self.carried.insert(client, line.clone());
        Some(Letter { line, spelling: spelling.unwrap_or_default(), correction })
    }

    /// Notes that a letter was carried: the neighbour holds its record now.
    pub fn carried(&mut self, line: &[u8], now_ms: u64) {
        let Some(record) = Record::parse(line) else { return };
        self.carried.remove(record.said.client);
        self.beliefs.learn(line, |belief| {
            belief.holds = Some(line.to_vec());
            belief.told = Some((line.to_vec(), now_ms));
        });
    }

    /// When the next letter may be carried that may not yet, if it is not for other reasons that none is.
    pub fn due_ms(&self) -> Option<u64> {
        let free = self.waiting.letters.iter().filter(|(client, _)| !self.carried.contains_key(*client));
        let first = free.map(|(_, waiting)| waiting.from_ms).min();
        first.filter(|_| self.carried.len() < self.connections_max)
    }

    /// Lets everything that waits go out now: there will be no later.
    pub fn hurry(&mut self) {
        self.waiting.letters.values_mut().for_each(|waiting| waiting.from_ms = 0);
    }

    /// Forgets everything: the neighbour is away, and whether it remembers anything nobody knows.
    pub fn forget(&mut self) {
        self.answered.clear();
        self.waiting = Queue::default();
        self.carried.clear();
        self.beliefs.clear();
    }

    /// Whether the neighbour may have been told something older after it took what it now said.
    fn may_have_crossed(&self, client: &[u8], line: &[u8], now_ms: u64) -> bool {
        let told = self.beliefs.of(client).and_then(|belief| belief.told.as_ref());
        let lately = told
            .filter(|(_, told_ms)| now_ms < told_ms.saturating_add(self.crossing_ms))
            .map(|(line, _)| line);
        let on_its_way = self.carried.get(client);
        self.dialect.overwrites()
            && [lately, on_its_way].into_iter().flatten().any(|said| is_news(line, said))
    }
}

/// What is kept of one client counts once for each of so many bytes: nearly all of it is shorter than that. Were clients
/// counted alone, some thousands with IDs of 60 KB would take gigabytes.
const SHARE_BYTES: usize = 1024;

fn shares(bytes: usize) -> usize {
    bytes.div_ceil(SHARE_BYTES).max(1)
}

fn is_newer(line: &[u8], than: &[u8]) -> bool {
    compare(line, than).is_gt()
}

/// Whether a record line tells more than another: it is newer, and not the same check-in in other words.
fn is_news(line: &[u8], than: &[u8]) -> bool {
    let is_same = || match (Record::parse(line), Record::parse(than)) {
        (Some(line), Some(than)) => is_same_check_in(&line, &than),
        _ => false,
    };
    is_newer(line, than) && !is_same()
}

/// Compares two record lines of one client by age; what is no record is older than all.
fn compare(line: &[u8], other: &[u8]) -> Ordering {
    match (Record::parse(line), Record::parse(other)) {
        (Some(line), Some(other)) => line.cmp_age(&other),
        (line, other) => line.is_some().cmp(&other.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: &[u8] = b"k +1-2 5 6 Ours";
    const NEW: &[u8] = b"k +1-2 7 8 Ours";

    fn bag(dialect: Dialect) -> Mailbag {
        let limits = Limits {
            dialect_connections_max: 2,
            dialect_letters_max: 3,
            dialect_beliefs_max: 3,
            dialect_settle_ms: 300,
            dialect_crossing_ms: 500,
            dialect_corrections_max: 2,
            ..Limits::default()
        };
        Mailbag::new(dialect, &["Kin".to_owned(), "There".to_owned()], &limits)
    }

    fn next(bag: &mut Mailbag, now_ms: u64) -> Option<Line> {
        bag.next(now_ms).map(|letter| letter.line)
    }

    #[test]
    fn of_each_client_only_the_newest_waits() {
        let mut bag = bag(Dialect::At);
        bag.put(OLD, 0);
        bag.put(NEW, 0);
        bag.put(OLD, 0);
        assert_eq!(next(&mut bag, 0).as_deref(), Some(NEW));
        assert_eq!(next(&mut bag, 0), None);
    }

    #[test]
    fn one_letter_of_a_client_is_on_its_way_at_a_time_and_no_more_than_the_limit_in_all() {
        let mut bag = bag(Dialect::Update);
        bag.put(OLD, 0);
        assert_eq!(next(&mut bag, 0).as_deref(), Some(OLD));
        bag.put(NEW, 0);
        assert_eq!(next(&mut bag, 0), None);
        bag.put(b"l +1-2 5 6 Ours", 0);
        bag.put(b"m +1-2 5 6 Ours", 0);
        assert!(next(&mut bag, 0).is_some_and(|line| line.starts_with(b"l ")));
        assert_eq!(next(&mut bag, 0), None);
        bag.carried(OLD, 0);
        assert_eq!(next(&mut bag, 0).as_deref(), Some(NEW));
    }

    #[test]
    fn a_full_bag_has_no_room() {
        let mut bag = bag(Dialect::At);
        for client in ["k", "l", "m"] {
            assert!(bag.has_room());
            bag.put(format!("{client} +1-2 5 6 Ours").as_bytes(), 0);
        }
        assert!(!bag.has_room());
    }

    #[test]
    fn a_long_letter_takes_the_room_of_several() {
        let mut bag = bag(Dialect::At);
        bag.put(format!("{} +1-2 5 6 Ours", "k".repeat(2_000)).as_bytes(), 0);
        assert!(!bag.has_room());
        assert!(bag.next(0).is_some() && bag.has_room());
    }

    /// A neighbour said 100,000 things that were older. So many letters waited, each event looked at all of them, and for
    /// twenty minutes nothing else was told.
    #[test]
    fn corrections_take_half_of_the_room_and_leave_the_rest_to_news() {
        let mut bag = bag(Dialect::Update);
        let stale = |number: u32| format!("k{number} +1-2 5 6 Ours").into_bytes();
        let known = |number: u32| format!("k{number} +1-2 7 8 Ours").into_bytes();
        let room = (0..100).filter(|&number| bag.correct(&known(number), &stale(number), 0)).count();
        assert_eq!((room, bag.waiting.letters.len(), bag.has_room()), (2, 2, true));
        bag.put(NEW, 0);
        assert_eq!(next(&mut bag, 0).as_deref(), Some(NEW));
        assert_eq!(next(&mut bag, 300), Some(known(0)));
        assert!(bag.correct(&known(99), &stale(99), 300), "it is said again, and there is room");
    }

    #[test]
    fn what_the_neighbour_holds_is_not_said() {
        let mut bag = bag(Dialect::Update);
        bag.note(NEW, 0);
        bag.put(NEW, 0);
        bag.put(OLD, 0);
        assert_eq!(next(&mut bag, 9999), None);
        assert!(bag.is_empty());
    }

    #[test]
    fn what_began_with_its_own_kind_waits_for_its_own_kind_to_tell() {
        let kin = b"k +1-2 5 6 Kin";
        let mut told = bag(Dialect::Trail);
        told.put(kin, 100);
        assert_eq!((told.next(399), told.due_ms()), (None, Some(400)));
        told.note(kin, 399);
        assert_eq!((told.next(400), told.due_ms()), (None, None));
        let mut untold = bag(Dialect::Trail);
        untold.put(kin, 100);
        assert_eq!(next(&mut untold, 400).as_deref(), Some(&kin[..]));
    }

    #[test]
    fn a_record_of_its_own_kind_is_said_in_the_bytes_of_its_own_kind() {
        let line = b"k +1-2 5 5263873338 Kin";
        let mut bag = bag(Dialect::Update);
        let spelling = Spelling { skew: Some(b"+0.26387333869934082".to_vec()), uuid: None };
        bag.spell(line, &spelling);
        bag.put(line, 0);
        assert_eq!(bag.next(300).map(|letter| letter.spelling), Some(spelling));
        bag.put(b"k +1-2 6 7000000000 Ours", 0);
        bag.carried(line, 300);
        assert_eq!(bag.next(300).map(|letter| letter.spelling), Some(Spelling::default()));
    }

    #[test]
    fn something_older_makes_nobody_forget_the_bytes_of_the_newest() {
        let line = b"k +1-2 5 5263873338 Kin";
        let mut bag = bag(Dialect::Update);
        let spelling = Spelling { skew: Some(b"+0.26387333869934082".to_vec()), uuid: None };
        bag.spell(line, &spelling);
        bag.spell(b"k +1-2 4 6000000000 Kin", &Spelling::default());
        assert!(bag.correct(line, OLD, 0));
        assert_eq!(bag.next(300).map(|letter| letter.spelling), Some(spelling));
    }

    #[test]
    fn who_overwrites_and_says_something_older_is_told_again_so_often_and_no_more() {
        let mut bag = bag(Dialect::Update);
        bag.put(NEW, 0);
        assert!(bag.next(0).is_some());
        bag.carried(NEW, 0);
        let mut corrections = BTreeSet::new();
        for due_ms in [1300, 1600] {
            bag.note(OLD, 1000);
            assert!(bag.correct(NEW, OLD, 1000));
            assert_eq!((bag.next(due_ms - 1), bag.due_ms()), (None, Some(due_ms)));
            let letter = bag.next(due_ms).unwrap();
            assert_eq!(letter.line, NEW);
            corrections.insert(letter.correction);
            bag.carried(NEW, due_ms);
        }
        assert_eq!(corrections.len(), 2);
        assert!(!bag.correct(NEW, OLD, 1000));
        assert!(!bag.correct(b"k +1-2 9 9 Ours", OLD, 1000));
        assert!(bag.correct(NEW, b"k +1-2 4 6 Ours", 1000));
    }

    #[test]
    fn a_correction_that_waits_is_the_answer_to_all_that_is_said_meanwhile() {
        let mut bag = bag(Dialect::Update);
        assert!((0..9).all(|_| bag.correct(NEW, OLD, 0)));
        assert_eq!(next(&mut bag, 300).as_deref(), Some(NEW));
        bag.carried(NEW, 300);
        assert_eq!(next(&mut bag, 9999), None);
        assert!(bag.correct(NEW, OLD, 9999));
    }

    /// Ours heard one check-in from an `update` server and, under the name of a `clientat` server, from another way
    /// round. They told it to two neighbours under both names, which passed both to and fro: each differed.
    #[test]
    fn a_check_in_that_is_held_is_not_said_under_the_name_of_another_server() {
        let first = b"k +1-2 1520000001.918964 1520000002182837338 Far";
        let renamed = b"k +1.0-2 1520000001.918963997 1520000002182837335 Ours";
        let mut bag = bag(Dialect::Update);
        bag.note(first, 0);
        bag.put(renamed, 0);
        bag.note(renamed, 10);
        assert_eq!(next(&mut bag, 9999), None);
        bag.put(b"k +1-2 1520000001.918965 1520000002182837339 Ours", 0);
        assert!(next(&mut bag, 0).is_some());
    }

    #[test]
    fn who_keeps_the_greater_time_of_what_neighbours_say_is_told_again_what_its_own_client_made_older() {
        for dialect in [Dialect::Changeloc, Dialect::At] {
            let mut bag = bag(dialect);
            bag.note(NEW, 0);
            assert!(bag.correct(NEW, OLD, 0), "{dialect}");
            assert_eq!(next(&mut bag, 9999).as_deref(), Some(NEW), "{dialect}");
        }
    }

    #[test]
    fn what_may_have_crossed_something_older_is_said_back() {
        let theirs = b"k +1-2 7 8 There";
        let mut bag = bag(Dialect::Trail);
        bag.put(OLD, 0);
        assert!(bag.next(0).is_some());
        bag.note(theirs, 10);
        bag.carried(OLD, 20);
        assert_eq!(next(&mut bag, 310).as_deref(), Some(&theirs[..]));
        bag.carried(theirs, 310);
        bag.note(b"k +1-2 9 9 There", 810);
        assert_eq!(next(&mut bag, 9999), None);
    }

    /// The neighbour had said something newest before it was told something newer than what it said first. The two
    /// came in the wrong order, and the older made forget when it was told: it was left with the middle one.
    #[test]
    fn something_older_that_comes_between_hides_no_crossing() {
        let newest = b"k +1-2 9 9 There";
        let mut bag = bag(Dialect::Update);
        bag.put(NEW, 0);
        assert!(bag.next(0).is_some());
        bag.carried(NEW, 0);
        bag.note(NEW, 10);
        bag.note(OLD, 20);
        bag.note(newest, 30);
        assert_eq!(next(&mut bag, 330).as_deref(), Some(&newest[..]));
    }

    /// The neighbour had taken the newest and then, from another of ours, something older. What it said of the two
    /// came in the wrong order, and the newest made the correction seem not needed.
    #[test]
    fn a_correction_is_made_though_the_neighbour_seems_to_hold_the_record() {
        let mut bag = bag(Dialect::Clientat);
        bag.note(OLD, 0);
        assert!(bag.correct(NEW, OLD, 0));
        bag.note(NEW, 0);
        bag.put(NEW, 0);
        assert!(bag.next(300).is_some_and(|letter| letter.line == NEW && letter.correction.is_some()));
    }

    #[test]
    fn a_neighbour_that_was_away_is_believed_to_hold_nothing() {
        let mut bag = bag(Dialect::At);
        bag.put(NEW, 0);
        assert!(bag.next(0).is_some());
        bag.carried(NEW, 0);
        bag.forget();
        assert!(bag.is_empty());
        bag.put(NEW, 0);
        assert_eq!(next(&mut bag, 0).as_deref(), Some(NEW));
    }

    #[test]
    fn whoever_is_in_a_hurry_does_not_wait() {
        let mut bag = bag(Dialect::Update);
        bag.put(b"k +1-2 5 6 Kin", 0);
        bag.hurry();
        assert!(bag.next(0).is_some());
    }

    #[test]
    fn what_is_believed_is_bounded() {
        let mut bag = bag(Dialect::At);
        for number in 0..100 {
            bag.note(format!("k{number} +1-2 5 6 There").as_bytes(), 0);
            assert!(bag.beliefs.by_client.len() <= 3);
        }
    }

    /// Two thousand clients with IDs of 60 KB had half a GB believed of them, of each as much as of any other client.
    #[test]
    fn what_is_believed_is_bounded_in_bytes_too() {
        let mut bag = bag(Dialect::Update);
        let line = |number: u32| format!("{}{number} +1-2 5 6 There", "k".repeat(400)).into_bytes();
        let spelling = Spelling { skew: Some(vec![b'0'; 1_000]), uuid: None };
        for number in 0..100 {
            bag.spell(&line(number), &spelling);
            bag.note(&line(number), 0);
            assert!(bag.beliefs.shares <= 3 && bag.beliefs.by_client.len() == 1);
        }
        bag.put(&line(98), 0);
        bag.put(&line(99), 0);
        assert_eq!(next(&mut bag, 300), Some(line(98)));
        assert_eq!(next(&mut bag, 300), None);
    }

    #[test]
    fn what_was_believed_last_is_kept_however_long_it_is() {
        let long = format!("{} +1-2 5 6 There", "k".repeat(60_000)).into_bytes();
        let mut bag = bag(Dialect::Update);
        bag.note(b"k +1-2 5 6 There", 0);
        bag.note(&long, 0);
        bag.put(&long, 0);
        assert!(bag.is_empty());
        bag.note(b"k +1-2 5 6 There", 0);
        assert_eq!((bag.beliefs.shares, bag.beliefs.by_client.len()), (1, 1));
    }

    /// With more clients than beliefs an overwriting neighbour stayed on an older check-in: what it had just been told was
    /// forgotten, because something had been believed of that client for longer than of all others.
    #[test]
    fn what_was_told_last_is_remembered_of_many_clients() {
        let theirs = b"k +1-2 9 9 There";
        let mut bag = bag(Dialect::Trail);
        for client in ["k", "l", "m"] {
            bag.note(format!("{client} +1-2 1 2 There").as_bytes(), 0);
        }
        bag.put(NEW, 0);
        assert_eq!(next(&mut bag, 0).as_deref(), Some(NEW));
        bag.carried(NEW, 0);
        bag.note(b"n +1-2 1 2 There", 0);
        bag.note(theirs, 10);
        assert_eq!(next(&mut bag, 310).as_deref(), Some(&theirs[..]));
    }

    proptest! {
        #[test]
        fn whatever_happens_the_shares_are_those_of_what_is_kept(
            events in prop::collection::vec((0..6_u8, 0..4_usize, 1..4_usize, 1..1_200_usize), 0..60),
        ) {
            let mut bag = bag(Dialect::Update);
            for (now_ms, (event, client, time, length)) in (0..).step_by(200).zip(events) {
                let line = format!("{}{client} +1-2 {time} 9 There", "k".repeat(length / 400 * 400)).into_bytes();
                let older = line.iter().map(|&byte| if byte == b'9' { b'8' } else { byte }).collect::<Vec<_>>();
                match event {
                    0 => bag.put(&line, now_ms),
                    1 => bag.note(&line, now_ms),
                    2 => drop(bag.correct(&line, &older, now_ms)),
                    3 => bag.spell(&line, &Spelling { skew: Some(vec![b'0'; length]), uuid: None }),
                    4 => drop(bag.next(now_ms)),
                    _ => bag.carried.clone().into_values().for_each(|line| bag.carried(&line, now_ms)),
                }
                let taken: usize = bag.waiting.letters.iter().map(|(client, letter)| letter.shares(client)).sum();
                let correcting: usize = bag.waiting.letters.iter().map(|(client, letter)| letter.correcting(client)).sum();
                let believed: usize = bag.beliefs.by_client.iter().map(|(client, belief)| belief.shares(client)).sum();
                prop_assert_eq!((bag.waiting.shares, bag.waiting.correcting, bag.beliefs.shares), (taken, correcting, believed));
                prop_assert!(believed <= 3 || bag.beliefs.by_client.len() == 1);
            }
        }
    }
}
