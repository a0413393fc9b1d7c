//! Servers that compare what they know: that each learns what it lacks, and how many bytes that takes.
//!
//! In release mode the stores hold a million records, and the figures are those of the budgets. Run it with
//! `cargo test --release -p herd-core --test healing -- --nocapture` to see them.

use herd_core::batch::{Batch, Pause};
use herd_core::digest::Key;
use herd_core::faults::{self, Fault};
use herd_core::frame::{Frame, Inbox, Update, Vocabulary};
use herd_core::limits::Limits;
use herd_core::replica::{Counts, Replica};
use std::time::{Duration, Instant};
use uuid::Uuid;

const NAMES: [&str; 3] = ["Goloman", "Hands", "Wilkes"];

/// How many records a full store holds.
const RECORDS: u32 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// More rounds than any healing takes.
const ROUNDS_MAX: usize = 100_000;

/// Servers, two mostly, and links that lose nothing.
struct Herd {
    replicas: Vec<Replica>,
    /// Who talks to whom.
    links: Vec<(usize, usize)>,
    limits: Limits,
    now_ms: u64,
    /// The last UUID that was used.
    last: u128,
    /// How many bytes went over the links.
    sent: usize,
    /// How long it took to make what was sent, piece by piece.
    steps: Vec<Duration>,
    /// How long it took to hear it.
    hearing: Duration,
}

impl Herd {
    fn new(limits: Limits) -> Self {
        Self {
            replicas: NAMES.map(|name| Replica::new(name, &limits)).into(),
            links: Vec::new(),
            limits,
            now_ms: 0,
            last: 0,
            sent: 0,
            steps: Vec::new(),
            hearing: Duration::ZERO,
        }
    }

    /// Both know the same.
    fn equal(records: u32) -> Self {
        let mut pair = Self::new(Limits::default());
        pair.tell_both(0..records, 1);
        pair
    }

    fn fresh(&mut self) -> Uuid {
        self.last += 1;
        Uuid::from_u128(self.last)
    }

    fn tell(&mut self, server: usize, clients: impl Iterator<Item = u32>, time: u32) {
        let clients: Vec<u32> = clients.collect();
        for clients in clients.chunks(500) {
            let lines: Vec<String> = clients.iter().map(|&client| record(client, time)).collect();
            let update = Frame::Update(Update::new(self.fresh(), lines.concat().as_bytes()));
            let fresh = self.fresh();
            self.replicas[server].hear("Welsh", update, self.now_ms, fresh);
        }
    }

    fn tell_both(&mut self, clients: impl Iterator<Item = u32> + Clone, time: u32) {
        self.tell(0, clients.clone(), time);
        self.tell(1, clients, time);
    }

    fn link(&mut self, here: usize, there: usize) {
        self.links.push((here, there));
        self.replicas[here].link_up(NAMES[there], Vocabulary::Trees);
        self.replicas[there].link_up(NAMES[here], Vocabulary::Trees);
    }

    fn unlink(&mut self) {
        for (here, there) in std::mem::take(&mut self.links) {
            self.replicas[here].link_down(NAMES[there]);
            self.replicas[there].link_down(NAMES[here]);
        }
    }

    /// Lets all talk until they have no more to say.
    fn talk(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_silent = true;
            (0..self.replicas.len()).for_each(|server| self.work(server));
            for (here, there) in self.links.clone() {
                is_silent &= !(self.bring(here, there) | self.bring(there, here));
            }
            if is_silent && !self.replicas.iter().any(Replica::has_work) {
                return;
            }
        }
        panic!("they talk and talk");
    }

    fn work(&mut self, server: usize) {
        let began = Instant::now();
        self.replicas[server].work(self.now_ms);
        self.steps.push(began.elapsed());
    }

    /// Brings the next bytes of one server to the other; false if there are none.
    fn bring(&mut self, from: usize, to: usize) -> bool {
        let (mut out, now_ms) = (Vec::new(), self.now_ms);
        let began = Instant::now();
        self.replicas[from].take(NAMES[to], now_ms, &mut out);
        self.steps.push(began.elapsed());
        self.sent += out.len();
        let is_something = !out.is_empty();
        let mut inbox = Inbox::new(out);
        let began = Instant::now();
        while let Some(frame) = inbox.next(self.limits.frame_bytes).unwrap() {
            let fresh = self.fresh();
            self.replicas[to].hear(NAMES[from], frame, now_ms, fresh);
        }
        self.hearing += began.elapsed();
        is_something
    }

    fn compare(&mut self) {
        self.now_ms += self.limits.digest_ms;
        self.replicas.iter_mut().for_each(|replica| replica.compare(self.now_ms));
    }

    fn counts(&self) -> Vec<Counts> {
        self.replicas.iter().map(Replica::counts).collect()
    }

    fn are_equal(&self) -> bool {
        self.replicas[0].store().dump() == self.replicas[1].store().dump()
    }

    /// Links the two, lets them talk, and tells the bytes that took.
    fn reconnect(&mut self) -> usize {
        self.link(0, 1);
        self.talk();
        assert!(self.are_equal());
        self.sent
    }
}

/// A record line of some 75 bytes.
fn record(client: u32, time: u32) -> String {
    format!("client-{client:07} +34.068930-118.445127 {time}.918963997 1520023935182837383 Goloman\n")
}

fn report(what: &str, pair: &mut Herd) {
    pair.steps.sort_unstable();
    let (made, steps): (Duration, usize) = (pair.steps.iter().sum(), pair.steps.len());
    println!(
        "{RECORDS} records, {what}: {} bytes, made in {made:?}, heard in {:?}, steps of {:?} (p50), {:?} (p99)",
        pair.sent,
        pair.hearing,
        pair.steps[steps / 2],
        pair.steps[steps * 99 / 100],
    );
}

#[test]
fn equal_stores_find_that_out_by_one_message_each() {
    let mut pair = Herd::equal(RECORDS);
    let counts = pair.counts();
    assert!(pair.reconnect() < 100);
    report("nothing differs", &mut pair);
    assert_eq!(pair.counts(), counts);
    assert_eq!(
        (pair.replicas[0].equal_ms("Hands"), pair.replicas[1].equal_ms("Goloman")),
        (Some(0), Some(0))
    );
    pair.sent = 0;
    pair.compare();
    pair.talk();
    assert!((1..100).contains(&pair.sent), "{}", pair.sent);
}

#[test]
fn for_one_record_one_bucket_is_asked_for() {
    let mut pair = Herd::equal(RECORDS);
    pair.tell(0, 7..8, 2);
    let counts = pair.counts();
    assert!(pair.reconnect() < 25_000, "{}", pair.sent);
    report("one record differs", &mut pair);
    assert_eq!(pair.counts()[0].applied, counts[0].applied);
    assert_eq!(pair.counts()[1].applied, counts[1].applied + 1);
}

#[test]
fn for_a_thousand_records_no_more_than_their_buckets_are_asked_for() {
    let mut pair = Herd::equal(RECORDS);
    pair.tell(0, (0..500).map(|client| client * 17), 2);
    pair.tell(1, (0..500).map(|client| client * 19 + 1), 2);
    assert!(pair.reconnect() < 5_000_000, "{}", pair.sent);
    report("a thousand records differ", &mut pair);
}

#[test]
fn an_empty_server_is_told_everything_once() {
    let mut pair = Herd::new(Limits::default());
    pair.tell(0, 0..RECORDS, 1);
    pair.reconnect();
    report("one store is empty", &mut pair);
    let lines = RECORDS as usize * record(0, 1).len();
    assert!(pair.sent < lines + lines / 20 + 10_000, "{} for {lines}", pair.sent);
    assert_eq!(pair.counts()[1], Counts { applied: RECORDS.into(), ..Counts::default() });
}

#[test]
fn what_one_neighbour_has_told_no_other_is_asked_for_or_told() {
    let mut herd = Herd::equal(RECORDS);
    herd.link(0, 2);
    herd.link(1, 2);
    herd.talk();
    assert_eq!(herd.replicas[2].store().dump(), herd.replicas[0].store().dump());
    assert_eq!(herd.counts()[2], Counts { applied: RECORDS.into(), ..Counts::default() });
    let lines = RECORDS as usize * record(0, 1).len();
    // A little goes on to the other neighbour before it shows that it is much.
    let onward = herd.limits.ring_bytes / 8;
    assert!(herd.sent < lines + lines / 20 + onward + 20_000, "{} for {lines}", herd.sent);
}

#[test]
fn what_is_told_at_length_goes_on_from_server_to_server() {
    let mut herd = Herd::new(Limits { ring_bytes: 16_000, ..Limits::default() });
    herd.tell(0, 0..5000, 1);
    herd.tell(2, 4000..6000, 2);
    herd.link(0, 1);
    herd.link(1, 2);
    herd.talk();
    assert_eq!(herd.replicas[1].store().len(), 6000);
    assert!(herd.replicas.iter().all(|replica| replica.store().dump() == herd.replicas[1].store().dump()));
}

#[test]
fn what_the_flood_loses_the_next_comparison_brings() {
    let mut pair = Herd::equal(1000);
    pair.reconnect();
    faults::with(&[Fault::NoFlood], || {
        pair.tell(0, 0..10, 2);
        pair.tell(1, 990..1010, 2);
    });
    pair.talk();
    assert!(!pair.are_equal());
    pair.compare();
    pair.talk();
    assert!(pair.are_equal());
}

#[test]
fn without_regular_comparisons_what_the_flood_loses_stays_lost() {
    let mut pair = Herd::equal(10);
    pair.reconnect();
    faults::with(&[Fault::NoFlood, Fault::NoRegularDigests], || {
        pair.tell(0, 0..10, 2);
        pair.compare();
        pair.talk();
    });
    assert!(!pair.are_equal());
}

#[test]
fn a_digest_that_misses_a_change_hides_it() {
    let mut pair = Herd::equal(10);
    pair.reconnect();
    faults::with(&[Fault::NoFlood, Fault::DigestMissesChanges], || pair.tell(0, 0..10, 2));
    pair.compare();
    pair.talk();
    assert!(!pair.are_equal());
}

#[test]
fn a_link_that_fell_out_of_the_ring_compares_again() {
    let mut pair = Herd::new(Limits { ring_bytes: 2000, ..Limits::default() });
    pair.reconnect();
    for time in 1..50 {
        pair.tell(0, 0..30, time);
        pair.tell(1, 20..40, time);
    }
    pair.talk();
    assert!(pair.are_equal());
    pair.sent = 0;
    pair.talk();
    assert_eq!(pair.sent, 0);
}

/// How many digests there are now for Welsh, a neighbour of Goloman.
fn digests(herd: &mut Herd) -> usize {
    let mut out = Vec::new();
    herd.replicas[0].take("Welsh", herd.now_ms, &mut out);
    let mut inbox = Inbox::new(out);
    let frames = std::iter::from_fn(|| inbox.next(usize::MAX).unwrap());
    frames.filter(|frame| matches!(frame, Frame::Digest { .. })).count()
}

/// It compares nothing, so each digest has it told everything.
#[test]
fn a_neighbour_of_another_make_hears_a_digest_when_it_missed_something_and_else_none() {
    let mut herd = Herd::new(Limits { ring_bytes: 16_000, ..Limits::default() });
    herd.replicas[0].link_up("Welsh", Vocabulary::Foreign);
    assert_eq!((digests(&mut herd), digests(&mut herd)), (1, 0), "nobody knows what it missed before");
    herd.tell(0, 0..10, 1);
    herd.compare();
    herd.talk();
    assert_eq!(digests(&mut herd), 0, "it was told what there is");
    herd.link(0, 2);
    herd.talk();
    herd.tell(2, 0..1000, 2);
    herd.talk();
    assert_eq!((digests(&mut herd), digests(&mut herd)), (1, 0), "it fell out of the ring");
    herd.unlink();
    herd.tell(2, 0..5000, 3);
    herd.link(0, 2);
    herd.talk();
    assert_eq!((digests(&mut herd), digests(&mut herd)), (1, 0), "what is told at length does not go on");
}

#[test]
fn a_neighbour_of_another_make_misses_nothing_of_what_a_full_server_is_told_in_vain() {
    let limits = Limits { ring_bytes: 16_000, ..Limits::default() };
    let mut herd = Herd::new(limits.clone());
    herd.replicas[0] = Replica::new(NAMES[0], &Limits { records_max: 10, ..limits });
    herd.replicas[0].link_up("Welsh", Vocabulary::Foreign);
    assert_eq!(digests(&mut herd), 1);
    herd.tell(2, 0..5000, 1);
    herd.link(0, 2);
    for _ in 0..3 {
        herd.talk();
        herd.compare();
    }
    assert!(herd.counts()[0].refused > 10_000, "it asks in vain again and again");
    assert_eq!((digests(&mut herd), digests(&mut herd)), (0, 0));
}

#[test]
fn records_that_come_while_a_store_is_told_come_too() {
    let mut pair = Herd::new(Limits::default());
    pair.tell(0, 0..5000, 1);
    pair.link(0, 1);
    for round in 0..40 {
        pair.tell(0, (0..100).map(|client| client * 50 + round), 2);
        pair.tell(1, (0..100).map(|client| client * 60 + round), 3);
        (0..2).for_each(|server| pair.work(server));
        pair.bring(0, 1);
        pair.bring(1, 0);
    }
    pair.talk();
    assert!(pair.are_equal());
}

#[test]
fn a_link_that_is_lost_while_a_store_is_told_begins_anew() {
    let mut pair = Herd::new(Limits::default());
    pair.tell(0, 0..5000, 1);
    for _ in 0..3 {
        pair.link(0, 1);
        for round in 0..16 {
            pair.work(round % 2);
            pair.bring(round % 2, 1 - round % 2);
        }
        pair.unlink();
    }
    assert!(!pair.replicas[1].store().is_empty() && !pair.are_equal());
    pair.reconnect();
}

#[test]
fn a_neighbour_that_does_not_answer_keeps_no_other_from_being_asked() {
    let mut pair = Herd::new(Limits::default());
    pair.tell(0, 0..100, 1);
    pair.replicas[1].link_up("Silent", Vocabulary::Trees);
    let fresh = pair.fresh();
    pair.replicas[1].hear("Silent", Frame::Digest { root: 5 }, 0, fresh);
    pair.replicas[1].work(0);
    pair.replicas[1].take("Silent", 0, &mut Vec::new());
    pair.link(0, 1);
    pair.talk();
    assert!(!pair.are_equal());
    pair.compare();
    pair.talk();
    assert!(pair.are_equal());
}

/// How long a record lives where records expire, and one of its epochs.
const TTL_MS: u64 = 16_000;
const EPOCH: u64 = 1_000_000_000;

/// The time at which everybody hears of everything in these tests, where records expire.
const NOON: u64 = 1_520_023_935 * EPOCH;

/// Two servers that know the same, each client with a record of an epoch of its own out of two, and the link between them.
fn mortal(clients: u32) -> Herd {
    let mut pair = Herd::new(Limits { record_ttl_ms: Some(TTL_MS), ..Limits::default() });
    pair.tell_at(0, 0..clients, 0);
    pair.tell_at(1, 0..clients, 0);
    pair.reconnect();
    pair
}

impl Herd {
    /// Tells records of clients, heard in one of two epochs after a number of them.
    fn tell_at(&mut self, server: usize, clients: impl Iterator<Item = u32>, epochs: u64) {
        let line = |client: u32| {
            let received = NOON + (epochs + u64::from(client % 2)) * EPOCH;
            format!("client-{client:07} +34.068930-118.445127 5 {received} Goloman\n")
        };
        let lines: String = clients.map(line).collect();
        let update = Frame::Update(Update::new(self.fresh(), lines.as_bytes()));
        let fresh = self.fresh();
        self.replicas[server].hear("Welsh", update, self.now_ms, fresh);
    }

    /// Sets a server's clock to the beginning of an epoch, so many after all records that were heard in the first expired.
    fn set_clock(&mut self, server: usize, epochs: u64) {
        self.replicas[server].set_clock(NOON + TTL_MS * 1_000_000 + (epochs + 1) * EPOCH);
    }

    /// Has all compare and talk, and tells the bytes that took.
    fn comparison(&mut self) -> usize {
        self.sent = 0;
        self.compare();
        self.talk();
        self.sent
    }

    fn known(&self) -> Vec<usize> {
        self.replicas.iter().map(|replica| replica.store().dump().len()).collect()
    }
}

#[test]
fn servers_whose_clocks_differ_tell_each_other_once_and_are_silent_then() {
    let mut pair = mortal(5000);
    pair.set_clock(0, 0);
    pair.talk();
    assert!(pair.comparison() > 50_000, "{}", pair.sent);
    assert_eq!((pair.known(), pair.counts()[0].late), (vec![2500, 5000, 0], 2500));
    for _ in 0..3 {
        assert!(pair.comparison() < 100, "{}", pair.sent);
    }
    assert_eq!((pair.known(), pair.counts()[0].late), (vec![2500, 5000, 0], 2500));
    pair.set_clock(1, 0);
    pair.talk();
    assert!(pair.comparison() < 100, "{}", pair.sent);
    assert_eq!((pair.known(), pair.are_equal()), (vec![2500, 2500, 0], true));
}

/// That is what the memory of what was told is for.
#[test]
fn without_a_memory_of_what_was_told_all_that_expired_is_told_again_and_again() {
    let mut pair = mortal(5000);
    pair.set_clock(0, 0);
    faults::with(&[Fault::AsksAgain], || {
        for _ in 0..3 {
            assert!(pair.comparison() > 50_000, "{}", pair.sent);
        }
    });
    assert_eq!((pair.known(), pair.counts()[0].late), (vec![2500, 5000, 0], 7500));
}

#[test]
fn servers_whose_clocks_differ_still_learn_what_is_new() {
    let mut pair = mortal(5000);
    pair.set_clock(0, 0);
    pair.comparison();
    for round in 1..5 {
        faults::with(&[Fault::NoFlood], || {
            pair.tell_at(0, 10 * round..10 * round + 2, u64::from(round));
            pair.tell_at(1, 500 * round..500 * round + 2, u64::from(round));
        });
        // Each side asks for the buckets that changed, and for nothing else.
        assert!((1000..30_000).contains(&pair.comparison()), "{}", pair.sent);
    }
    pair.set_clock(0, 1);
    pair.set_clock(1, 1);
    pair.talk();
    assert!(pair.comparison() < 100, "{}", pair.sent);
    assert_eq!((pair.known(), pair.are_equal()), (vec![14, 14, 0], true));
}

#[test]
fn a_full_store_that_expires_is_forgotten_in_brief_pieces() {
    let mut pair = Herd::new(Limits { record_ttl_ms: Some(TTL_MS), ..Limits::default() });
    pair.tell_at(0, 0..RECORDS, 0);
    pair.set_clock(0, 1);
    let mut most = 0;
    while pair.replicas[0].has_work() {
        let before = pair.counts()[0].expired;
        pair.work(0);
        most = most.max(pair.counts()[0].expired - before);
    }
    report("all expire", &mut pair);
    println!("longest step {:?}", pair.steps.last());
    assert_eq!((pair.counts()[0].expired, pair.replicas[0].store().len()), (RECORDS.into(), 0));
    assert!(most < 1000, "{most} are forgotten at once");
}

/// A server remembered that a neighbour had told all it knew, and never asked for what had been older than its own record
/// when that had expired: the newer by the client's time had been received first.
#[test]
fn an_older_record_that_outlives_the_newer_is_asked_for_when_that_has_expired() {
    let mut pair = Herd::new(Limits { record_ttl_ms: Some(TTL_MS), ..Limits::default() });
    for (server, time, epochs) in [(0, 7, 0), (1, 6, 3)] {
        let line = format!("kiwi +1-2 {time} {} Goloman\n", NOON + epochs * EPOCH);
        let (update, fresh) = (Frame::Update(Update::new(pair.fresh(), line.as_bytes())), pair.fresh());
        pair.replicas[server].hear("Welsh", update, 0, fresh);
    }
    pair.set_clock(1, 1);
    pair.link(0, 1);
    pair.talk();
    assert!(!pair.are_equal(), "one has the newer, the other refuses it");
    pair.set_clock(0, 1);
    pair.comparison();
    assert_eq!((pair.known(), pair.are_equal()), (vec![1, 1, 0], true));
}

#[test]
fn a_clock_that_outran_all_and_is_set_right_has_everything_told_again() {
    let mut pair = mortal(1000);
    pair.set_clock(0, 1000);
    pair.comparison();
    assert_eq!(pair.known(), [0, 1000, 0]);
    pair.set_clock(0, 0);
    pair.set_clock(1, 0);
    pair.comparison();
    assert_eq!(pair.known(), [500, 500, 0]);
}

/// What was refused in a turn that went on when the clock was set counted as told, and was never asked for again.
#[test]
fn a_clock_that_is_set_right_while_much_is_told_has_that_told_again() {
    let mut pair = mortal(1000);
    pair.unlink();
    pair.set_clock(0, 1000);
    pair.work(0);
    assert_eq!(pair.known(), [0, 1000, 0]);
    pair.link(0, 1);
    while pair.counts()[0].late < 100 {
        (0..2).for_each(|server| pair.work(server));
        pair.bring(0, 1);
        pair.bring(1, 0);
    }
    pair.replicas[0].set_clock(NOON + TTL_MS * 1_000_000);
    pair.talk();
    pair.comparison();
    assert_eq!(pair.known(), [1000, 1000, 0]);
}

#[test]
fn what_found_no_room_is_told_when_there_is_some() {
    let limits = Limits { record_ttl_ms: Some(TTL_MS), records_max: 600, ..Limits::default() };
    let mut pair = Herd::new(Limits { record_ttl_ms: Some(TTL_MS), ..Limits::default() });
    pair.replicas[1] = Replica::new("Hands", &limits);
    pair.tell_at(0, 0..1000, 0);
    pair.link(0, 1);
    pair.talk();
    assert_eq!(pair.known(), [1000, 600, 0]);
    pair.set_clock(0, 0);
    pair.set_clock(1, 0);
    pair.talk();
    pair.comparison();
    assert_eq!((pair.known(), pair.are_equal()), (vec![500, 500, 0], true));
}

#[test]
fn records_that_expire_while_a_store_is_told_are_told_to_nobody() {
    let mut pair = Herd::new(Limits { record_ttl_ms: Some(TTL_MS), ..Limits::default() });
    pair.tell_at(0, 0..20_000, 0);
    pair.link(0, 1);
    for round in 0..12 {
        if round == 8 {
            pair.set_clock(0, 0);
        }
        pair.work(round % 2);
        pair.bring(0, 1);
        pair.bring(1, 0);
    }
    assert!(pair.replicas[0].has_work() || !pair.are_equal(), "it is in the midst of that");
    pair.talk();
    pair.set_clock(1, 0);
    pair.comparison();
    assert_eq!((pair.known(), pair.are_equal()), (vec![10_000, 10_000, 0], true));
}

#[test]
fn a_batch_of_a_client_is_part_of_the_digest_and_the_key_of_the_herd_too() {
    let digest = |key: Key| {
        let mut replica = Replica::keyed("Goloman", &Limits::default(), key);
        let mut batch = Batch::new(b"IAMAT kiwi +1-2 3\n".to_vec(), 100);
        assert_eq!(replica.execute(&mut batch, 4, 0, Uuid::nil), Pause::Done);
        replica.link_up("Hands", Vocabulary::Trees);
        replica.work(0);
        let mut out = Vec::new();
        replica.take("Hands", 0, &mut out);
        out
    };
    let with_default = digest(Key::default());
    assert!(with_default.starts_with(b"DIGEST ") && with_default == digest(Key::default()));
    assert_ne!(with_default, digest(Key::new([1; 16])));
}
