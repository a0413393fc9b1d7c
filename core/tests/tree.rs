//! Herds of any shape on a network with latency: that updates go along trees, the shortest way, and that trees mend.
//!
//! Nobody compares digests here, which would hide what a broken tree loses; and servers are only asked for what they
//! have to say when they ring, or when their deadline is there.

use herd_core::batch::{Batch, Pause};
use herd_core::faults::{self, Fault};
use herd_core::frame::{Frame, Inbox, Vocabulary};
use herd_core::limits::Limits;
use herd_core::replica::Replica;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use uuid::Uuid;

/// A herd, and how long it takes over its links.
#[derive(Clone, Debug)]
struct Shape {
    servers: usize,
    /// Each link with its latency in milliseconds.
    links: Vec<(usize, usize, u64)>,
}

/// Any connected herd of some servers: each but the first has a link to one before it, and there are some more.
fn shape() -> impl Strategy<Value = Shape> {
    let latency = 1..5_u64;
    (2..8_usize).prop_flat_map(move |servers| {
        let tree = prop::collection::vec((any::<prop::sample::Index>(), latency.clone()), servers - 1);
        let more = prop::collection::vec((0..servers, 0..servers, latency.clone()), 0..2 * servers);
        (tree, more).prop_map(move |(tree, more)| {
            let tree = (1..).zip(tree).map(|(server, (other, ms))| (other.index(server), server, ms));
            let mut links: Vec<(usize, usize, u64)> = tree.collect();
            for (a, b, ms) in more {
                let (a, b) = (a.min(b), a.max(b));
                if a != b && links.iter().all(|&(x, y, _)| (x, y) != (a, b)) {
                    links.push((a, b, ms));
                }
            }
            Shape { servers, links }
        })
    })
}

impl Shape {
    /// The links without which the herd is still connected, each alone.
    fn spare(&self) -> Vec<(usize, usize)> {
        let ends = self.links.iter().map(|&(a, b, _)| (a, b));
        ends.filter(|&link| self.distances(0, Some(link)).len() == self.servers).collect()
    }

    /// How long the fastest way from a server to each other takes, without a link.
    fn distances(&self, from: usize, without: Option<(usize, usize)>) -> BTreeMap<usize, u64> {
        let mut known = BTreeMap::new();
        let mut next = BinaryHeap::from([Reverse((0, from))]);
        while let Some(Reverse((distance, server))) = next.pop() {
            if known.contains_key(&server) {
                continue;
            }
            known.insert(server, distance);
            for &(a, b, ms) in self.links.iter().filter(|&&(a, b, _)| without != Some((a, b))) {
                if a == server || b == server {
                    next.push(Reverse((distance + ms, if a == server { b } else { a })));
                }
            }
        }
        known
    }
}

fn name(server: usize) -> String {
    format!("server-{server}")
}

/// Bytes on their way: when they arrive, in which order they were sent, from whom and to whom.
type Piece = (u64, u64, usize, usize, Vec<u8>);

struct Herd {
    shape: Shape,
    replicas: Vec<Replica>,
    flying: BinaryHeap<Reverse<Piece>>,
    inboxes: BTreeMap<(usize, usize), Inbox>,
    /// Links on which everything is lost and nobody is told.
    dead: BTreeSet<(usize, usize)>,
    now_ms: u64,
    last: u64,
    /// Updates that went over links, and announcements.
    payloads: usize,
    announcements: usize,
    /// When a server learned of a client.
    learned: BTreeMap<(usize, String), u64>,
    said: Vec<(String, usize, u64)>,
}

impl Herd {
    fn new(shape: &Shape, vocabulary: impl Fn(usize) -> Vocabulary) -> Self {
        let limits = Limits::default();
        let mut replicas: Vec<Replica> =
            (0..shape.servers).map(|server| Replica::new(&name(server), &limits)).collect();
        for (link, &(a, b, _)) in shape.links.iter().enumerate() {
            replicas[a].link_up(&name(b), vocabulary(link));
            replicas[b].link_up(&name(a), vocabulary(link));
        }
        let mut herd = Self {
            shape: shape.clone(),
            replicas,
            flying: BinaryHeap::new(),
            inboxes: BTreeMap::new(),
            dead: BTreeSet::new(),
            now_ms: 1_000_000,
            last: 0,
            payloads: 0,
            announcements: 0,
            learned: BTreeMap::new(),
            said: Vec::new(),
        };
        (0..shape.servers).for_each(|server| herd.take_all(server));
        herd
    }

    fn fresh(&mut self) -> Uuid {
        self.last += 1;
        Uuid::from_u128(self.last.into())
    }

    /// A client that nobody knows says to a server where it is.
    fn say(&mut self, server: usize) {
        let fresh = self.fresh();
        let client = format!("client-{}", self.last);
        let mut batch = Batch::new(format!("IAMAT {client} +1-2 3\n").into_bytes(), 100);
        assert_eq!(self.replicas[server].execute(&mut batch, 4, self.now_ms, || fresh), Pause::Done);
        self.said.push((client, server, self.now_ms));
        self.ring(server);
    }

    /// All that rings takes what there is.
    fn ring(&mut self, server: usize) {
        for there in self.replicas[server].bells(self.now_ms) {
            self.take(server, &there);
        }
    }

    fn take_all(&mut self, server: usize) {
        for there in self.replicas[server].links().map(str::to_owned).collect::<Vec<_>>() {
            self.take(server, &there);
        }
    }

    fn take(&mut self, from: usize, there: &str) {
        loop {
            let mut chunk = Vec::new();
            self.replicas[from].take(there, self.now_ms, &mut chunk);
            if chunk.is_empty() {
                return;
            }
            let to: usize = there.rsplit('-').next().unwrap().parse().unwrap();
            let ends = (from.min(to), from.max(to));
            let latency_ms = self.shape.links.iter().find(|&&(a, b, _)| (a, b) == ends).unwrap().2;
            self.last += 1;
            if !self.dead.contains(&ends) {
                self.flying.push(Reverse((self.now_ms + latency_ms, self.last, from, to, chunk)));
            }
        }
    }

    fn run_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        loop {
            let lands_ms = self.flying.peek().map(|Reverse((at_ms, ..))| *at_ms);
            let deadlines_ms = self.replicas.iter().filter_map(Replica::deadline_ms);
            let Some(next_ms) =
                lands_ms.into_iter().chain(deadlines_ms).min().filter(|at_ms| *at_ms <= end_ms)
            else {
                self.now_ms = end_ms;
                return;
            };
            self.now_ms = self.now_ms.max(next_ms);
            if lands_ms == Some(next_ms) {
                self.land();
            } else {
                (0..self.shape.servers).for_each(|server| {
                    self.replicas[server].expire(self.now_ms);
                    self.ring(server);
                });
            }
        }
    }

    fn land(&mut self) {
        let Some(Reverse((_, _, from, to, chunk))) = self.flying.pop() else { return };
        let mut inbox = self.inboxes.remove(&(from, to)).unwrap_or_default();
        inbox.buffer().extend_from_slice(&chunk);
        while let Some(frame) = inbox.next(1 << 20).unwrap() {
            if let Frame::Update(update) = &frame {
                self.payloads += 1;
                for client in update.lines().filter_map(|line| line.split(|&byte| byte == b' ').next()) {
                    let client = String::from_utf8_lossy(client).into_owned();
                    self.learned.entry((to, client)).or_insert(self.now_ms);
                }
            }
            self.announcements += usize::from(matches!(frame, Frame::Have { .. }));
            let fresh = self.fresh();
            self.replicas[to].hear(&name(from), frame, self.now_ms, fresh);
        }
        self.inboxes.insert((from, to), inbox);
        self.ring(to);
    }

    /// Lets every server say something several times, so that all trees are there.
    fn warm_up(&mut self) {
        for _ in 0..3 {
            self.say_everywhere();
            self.run_ms(500);
        }
        self.forget();
    }

    fn forget(&mut self) {
        (self.payloads, self.announcements) = (0, 0);
        self.said.clear();
        self.learned.clear();
    }

    fn say_everywhere(&mut self) {
        (0..self.shape.servers).for_each(|server| self.say(server));
    }

    /// How long after it was said each server knew what: what was said, where, and where it was learned.
    fn delays_ms(&self) -> Vec<(usize, usize, Option<u64>)> {
        let mut delays = Vec::new();
        for (client, server, said_ms) in &self.said {
            for other in (0..self.shape.servers).filter(|other| other != server) {
                let learned_ms = self.learned.get(&(other, client.clone()));
                delays.push((*server, other, learned_ms.map(|learned_ms| learned_ms - said_ms)));
            }
        }
        delays
    }

    /// How long it took until everybody knew everything, at most.
    fn slowest_ms(&self) -> u64 {
        self.delays_ms()
            .into_iter()
            .map(|(.., delay_ms)| delay_ms.unwrap_or(u64::MAX))
            .max()
            .unwrap_or_default()
    }

    fn lose(&mut self, (a, b): (usize, usize)) {
        self.dead.insert((a, b));
        self.flying.retain(|Reverse((_, _, from, to, _))| (*from.min(to), *from.max(to)) != (a, b));
        self.inboxes.retain(|&(from, to), _| (from.min(to), from.max(to)) != (a, b));
    }

    fn take_down(&mut self, (a, b): (usize, usize)) {
        self.replicas[a].link_down(&name(b));
        self.replicas[b].link_down(&name(a));
        (0..self.shape.servers).for_each(|server| self.ring(server));
    }
}

/// With digests off, so that nothing but the flood brings anything.
fn flood_alone<T>(faults: &[Fault], body: impl FnOnce() -> T) -> T {
    let off = [&[Fault::NoCatchUp, Fault::NoRegularDigests], faults].concat();
    faults::with(&off, body)
}

fn trees(_: usize) -> Vocabulary {
    Vocabulary::Trees
}

/// What a round in which every server says something costs once the trees are there: payloads, and the slowest of it.
fn steady_round(shape: &Shape) -> (usize, u64) {
    let mut herd = Herd::new(shape, trees);
    herd.warm_up();
    herd.say_everywhere();
    herd.run_ms(500);
    (herd.payloads, herd.slowest_ms())
}

/// How much longer than the fastest way an update may take whose tree is broken: it is announced, waited for, pulled.
fn mending_ms(shape: &Shape) -> u64 {
    let Limits { announce_ms, pull_ms, .. } = Limits::default();
    let across_ms: u64 = shape.links.iter().map(|&(_, _, ms)| ms).sum();
    // One server after the other may have to wait for it, and each may ask a second one.
    (announce_ms + 2 * pull_ms) * shape.servers as u64 + 4 * across_ms
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn once_the_trees_are_there_an_update_goes_to_each_other_server_once(shape in shape()) {
        let (payloads, slowest_ms) = flood_alone(&[], || steady_round(&shape));
        prop_assert!(slowest_ms < 100);
        prop_assert_eq!(payloads, shape.servers * (shape.servers - 1));
    }

    #[test]
    fn updates_go_the_fastest_way_or_one_over_fewer_links(mut shape in shape()) {
        shape.links.iter_mut().for_each(|link| link.2 = 3);
        flood_alone(&[], || {
            let mut herd = Herd::new(&shape, trees);
            herd.warm_up();
            for server in 0..shape.servers {
                herd.say(server);
                herd.run_ms(500);
            }
            for (from, to, delay_ms) in herd.delays_ms() {
                prop_assert_eq!(delay_ms, shape.distances(from, None).get(&to).copied());
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_link_that_is_slow_is_no_part_of_a_tree_with_a_faster_way(shape in shape()) {
        flood_alone(&[], || {
            let mut slow = shape.clone();
            let spare = shape.spare();
            for link in slow.links.iter_mut().filter(|link| spare.first() == Some(&(link.0, link.1))) {
                link.2 = 400;
            }
            let mut herd = Herd::new(&slow, trees);
            herd.warm_up();
            herd.say_everywhere();
            herd.run_ms(2_000);
            prop_assert!(herd.slowest_ms() < 100, "{}", herd.slowest_ms());
            Ok(())
        })?;
    }

    #[test]
    fn when_a_link_falls_silent_everything_still_arrives_in_time(
        shape in shape(), which in any::<prop::sample::Index>(),
    ) {
        flood_alone(&[], || {
            let spare = shape.spare();
            prop_assume!(!spare.is_empty());
            let mut herd = Herd::new(&shape, trees);
            herd.warm_up();
            herd.say_everywhere();
            herd.lose(spare[which.index(spare.len())]);
            for _ in 0..50 {
                herd.run_ms(20);
                herd.say_everywhere();
            }
            herd.run_ms(5_000);
            prop_assert!(herd.slowest_ms() <= mending_ms(&shape), "{}", herd.slowest_ms());
            // And once the trees are mended, it comes as fast as it can again.
            herd.forget();
            herd.say_everywhere();
            herd.run_ms(500);
            prop_assert!(herd.slowest_ms() < 100, "{}", herd.slowest_ms());
            Ok(())
        })?;
    }

    #[test]
    fn when_a_link_is_lost_the_next_update_comes_by_another_at_once(
        shape in shape(), which in any::<prop::sample::Index>(),
    ) {
        flood_alone(&[], || {
            let spare = shape.spare();
            prop_assume!(!spare.is_empty());
            let link = spare[which.index(spare.len())];
            let mut herd = Herd::new(&shape, trees);
            herd.warm_up();
            herd.lose(link);
            herd.take_down(link);
            herd.run_ms(50);
            herd.say_everywhere();
            herd.run_ms(500);
            prop_assert!(herd.slowest_ms() < 100, "{}", herd.slowest_ms());
            herd.warm_up();
            herd.say_everywhere();
            herd.run_ms(500);
            prop_assert_eq!(herd.payloads, shape.servers * (shape.servers - 1));
            Ok(())
        })?;
    }

    #[test]
    fn links_to_those_who_know_no_trees_carry_everything_and_no_new_words(
        shape in shape(), plain in any::<u32>(),
    ) {
        flood_alone(&[], || {
            let vocabulary = |link: usize| if plain >> (link % 32) & 1 == 1 { Vocabulary::Plain } else { Vocabulary::Trees };
            let mut herd = Herd::new(&shape, vocabulary);
            for _ in 0..4 {
                herd.forget();
                herd.say_everywhere();
                herd.run_ms(2_000);
                prop_assert!(herd.slowest_ms() < 100 + mending_ms(&shape), "{}", herd.slowest_ms());
            }
            if (0..shape.links.len()).all(|link| vocabulary(link) == Vocabulary::Plain) {
                prop_assert_eq!(herd.announcements, 0);
            }
            Ok(())
        })?;
    }

    #[test]
    fn whatever_happens_at_once_in_the_end_all_is_said_and_nobody_speaks(shape in shape(), times in prop::collection::vec((0..8_usize, 0..6_u64), 1..80)) {
        flood_alone(&[], || {
            let mut herd = Herd::new(&shape, trees);
            for (server, ms) in times {
                herd.say(server % shape.servers);
                herd.run_ms(ms);
            }
            herd.run_ms(5_000);
            prop_assert!(herd.slowest_ms() < mending_ms(&shape), "{}", herd.slowest_ms());
            herd.forget();
            herd.run_ms(60_000);
            prop_assert!(herd.flying.is_empty() && herd.payloads + herd.announcements == 0);
            prop_assert!(herd.replicas.iter().all(|replica| replica.load().ring_bytes == 0));
            Ok(())
        })?;
    }
}

/// The herd of topology.json.
fn five() -> Shape {
    let links = [(0, 1), (0, 2), (0, 4), (1, 4), (2, 3), (2, 4)];
    Shape { servers: 5, links: links.iter().map(|&(a, b)| (a, b, 2)).collect() }
}

#[test]
fn without_pruning_updates_go_over_links_for_nothing() {
    assert_eq!(flood_alone(&[], || steady_round(&five())).0, 20);
    assert!(flood_alone(&[Fault::NoPruning], || steady_round(&five())).0 > 20);
}

#[test]
fn without_pulling_what_a_silent_link_loses_stays_lost() {
    let slowest_ms = |faults: &[Fault]| {
        flood_alone(faults, || {
            let mut herd = Herd::new(&five(), trees);
            herd.warm_up();
            herd.lose((0, 2));
            herd.say(0);
            herd.run_ms(2_000);
            herd.slowest_ms()
        })
    };
    assert!(slowest_ms(&[]) < 200);
    assert_eq!(slowest_ms(&[Fault::NoPulling]), u64::MAX);
}

#[test]
fn links_compete_again_every_now_and_then() {
    flood_alone(&[], || {
        let mut shape = five();
        // From the first server to the third it takes long at first, and goes over the fifth.
        shape.links[1].2 = 300;
        let mut herd = Herd::new(&shape, trees);
        herd.warm_up();
        herd.shape.links[1].2 = 1;
        let direct = |herd: &mut Herd| {
            herd.forget();
            herd.say(0);
            herd.run_ms(1_000);
            herd.learned.get(&(2, herd.said[0].0.clone())).map(|at_ms| at_ms - herd.said[0].2)
        };
        assert_eq!(direct(&mut herd), Some(4));
        herd.run_ms(60_000);
        assert_eq!(direct(&mut herd), Some(4));
        assert_eq!(direct(&mut herd), Some(1));
        assert_eq!(direct(&mut herd), Some(1));
        assert_eq!(herd.payloads, 4);
    });
}

/// The neighbour that asks gets nothing out of a ring that has moved on; then digests are compared, at once.
#[test]
fn what_is_pulled_too_late_is_found_by_comparing() {
    let mut replica = Replica::new("Goloman", &Limits { recall_ms: 10, ..Limits::default() });
    replica.link_up("Hands", Vocabulary::Trees);
    let taken = |replica: &mut Replica, now_ms: u64| {
        let mut out = Vec::new();
        replica.work(now_ms);
        replica.take("Hands", now_ms, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert!(taken(&mut replica, 0).starts_with("DIGEST "));
    replica.hear("Hands", Frame::Prune { source: "Goloman".to_owned() }, 0, Uuid::nil());
    let say = |replica: &mut Replica, client: &str, number: u128| {
        let mut batch = Batch::new(format!("IAMAT {client} +1-2 3\n").into_bytes(), 100);
        assert_eq!(replica.execute(&mut batch, 4, 0, || Uuid::from_u128(number)), Pause::Done);
    };
    say(&mut replica, "kiwi", 1);
    assert_eq!(taken(&mut replica, 0), "");
    assert_eq!(taken(&mut replica, 50), "HAVE 00000000000000000000000000000001\n");
    say(&mut replica, "plum", 2);
    let want = |number| Frame::Want { uuids: vec![Uuid::from_u128(number)] };
    replica.hear("Hands", want(2), 50, Uuid::nil());
    assert!(taken(&mut replica, 50).contains("\nplum "));
    replica.expire(100);
    replica.hear("Hands", want(1), 100, Uuid::nil());
    assert!(taken(&mut replica, 100).contains("DIGEST "));
}
