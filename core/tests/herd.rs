//! A whole herd in memory: replicas, and a network of which every step is drawn.
//!
//! There is no time, no socket and no actor here, so hundreds of herds live through cuts, restarts, and pieces
//! that arrive late, split or never, in a second. After each of these lives the links that are left are healed,
//! and then all servers must know the same, must know what they were told, and must be silent.

use herd_core::batch::{Batch, Pause};
use herd_core::faults::{self, Fault};
use herd_core::frame::{Frame, Inbox, Route, Update, Vocabulary};
use herd_core::limits::Limits;
use herd_core::record;
use herd_core::replica::Replica;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use uuid::Uuid;

const NAMES: [&str; 5] = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];

/// The links of the default topology.
const LINKS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 4), (1, 4), (2, 3), (2, 4)];

/// Links of which any one may be lost for good: the others still connect the herd.
const SPARE: [usize; 5] = [0, 1, 2, 3, 5];

/// One thing that happens to the herd.
#[derive(Clone, Debug)]
enum Event {
    /// Clients say something to a server, all in one read.
    Say { server: usize, checkins: Vec<Checkin> },
    /// A client asks a server for another, and waits.
    Ask { server: usize, client: u8 },
    /// A writer takes what there is for a link, and the network has it.
    Take { link: usize, back: bool },
    /// The network brings the next piece.
    Bring { link: usize, back: bool },
    /// The network loses all it has of a link, and both sides find out.
    Cut { link: usize },
    /// The two sides of a link are connected anew.
    Heal { link: usize },
    /// A server begins again with an empty memory.
    Restart { server: usize },
    /// Time passes.
    Wait { ms: u64 },
    /// A server compares what it knows with its neighbours.
    Compare { server: usize },
}

/// What a client says of itself. The domains are small, so that every rule of the order is reached.
#[derive(Clone, Debug)]
struct Checkin {
    client: u8,
    location: &'static str,
    time: &'static str,
}

/// The life of a herd.
#[derive(Clone, Debug)]
struct Life {
    events: Vec<Event>,
    /// How many bytes a ring keeps: mostly few, so that links fall out of it.
    ring_bytes: usize,
    /// The link that is lost in the end and for ever.
    lost: Option<usize>,
    /// How long a record lives, if not for ever.
    ttl_ms: Option<u64>,
    /// By how much each server's clock is ahead, in milliseconds.
    ahead_ms: [u64; NAMES.len()],
}

fn checkin() -> impl Strategy<Value = Checkin> {
    let location = prop::sample::select(vec!["+1+1", "+1.0+1", "-2-2"]);
    let time = prop::sample::select(vec!["1", "1.0", "1.000000001", "2", "3", "299", "350", "9999999999"]);
    (0..4_u8, location, time).prop_map(|(client, location, time)| Checkin { client, location, time })
}

fn event() -> impl Strategy<Value = Event> {
    let checkins = prop::collection::vec(checkin(), 1..4);
    let link = 0..LINKS.len();
    prop_oneof![
        4 => (0..NAMES.len(), checkins).prop_map(|(server, checkins)| Event::Say { server, checkins }),
        1 => (0..NAMES.len(), 0..5_u8).prop_map(|(server, client)| Event::Ask { server, client }),
        12 => (link.clone(), any::<bool>()).prop_map(|(link, back)| Event::Take { link, back }),
        12 => (link.clone(), any::<bool>()).prop_map(|(link, back)| Event::Bring { link, back }),
        1 => link.clone().prop_map(|link| Event::Cut { link }),
        2 => link.prop_map(|link| Event::Heal { link }),
        1 => (0..NAMES.len()).prop_map(|server| Event::Restart { server }),
        1 => (0..400_u64).prop_map(|ms| Event::Wait { ms }),
        1 => (0..NAMES.len()).prop_map(|server| Event::Compare { server }),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let ring_bytes = prop::sample::select(vec![60, 300, RING_AMPLE]);
    let lost = prop::option::of(prop::sample::select(SPARE.to_vec()));
    let events = prop::collection::vec(event(), 0..250);
    let ttl_ms = prop::option::of(prop::sample::select(vec![160, 800, 3200]));
    let ahead_ms = prop::array::uniform(prop::sample::select(vec![0, 0, 5, 60, 300]));
    (events, ring_bytes, lost, ttl_ms, ahead_ms).prop_map(|(events, ring_bytes, lost, ttl_ms, ahead_ms)| {
        Life { events, ring_bytes, lost, ttl_ms, ahead_ms }
    })
}

/// A ring out of which no link of these lives falls.
const RING_AMPLE: usize = 1 << 20;

/// Which healing layers a herd has to live with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    All,
    /// Only links that begin bring news.
    NoFlood,
    /// Only the flood does; nothing may be lost then.
    NoCatchUp,
    /// Only digests compared every now and then do.
    OnlyDigests,
}

impl Mode {
    fn faults(self) -> &'static [Fault] {
        match self {
            Self::All => &[],
            Self::NoFlood => &[Fault::NoFlood],
            Self::NoCatchUp => &[Fault::NoCatchUp, Fault::NoRegularDigests],
            Self::OnlyDigests => &[Fault::NoFlood, Fault::NoCatchUp],
        }
    }

    /// Without the exchange on new links no link may end.
    fn allows(self, event: &Event) -> bool {
        let loses = matches!(event, Event::Cut { .. } | Event::Heal { .. } | Event::Restart { .. });
        self != Self::NoCatchUp || !loses
    }
}

/// What was violated, and how.
type Broken = String;

fn ensure(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// One direction of a link: pieces on their way, and what arrived of them.
#[derive(Default)]
struct Pipe {
    pieces: VecDeque<Vec<u8>>,
    inbox: Inbox,
}

struct Herd {
    limits: Limits,
    replicas: Vec<Replica>,
    /// The pipes of the links that are up, there and back.
    pipes: BTreeMap<usize, [Pipe; 2]>,
    now_ms: u64,
    /// What a clock shows that is right.
    time_ms: u64,
    /// By how much each server's clock is ahead.
    ahead_ms: [u64; NAMES.len()],
    /// For each server, what was received before has expired, in nanoseconds.
    horizons: [u64; NAMES.len()],
    dice: u128,
    /// Every record line that a server has acknowledged.
    said: BTreeSet<Vec<u8>>,
    /// Those that each server has acknowledged since it began.
    acknowledged: Vec<Vec<Vec<u8>>>,
    /// Who asked whom in which search.
    asked: BTreeSet<(usize, usize, Uuid)>,
    /// By whom a server heard of an update first.
    heard: BTreeMap<(usize, Uuid), usize>,
    /// Searches that clients of a server wait for, and since when.
    awaited: Vec<(usize, Uuid, u64)>,
}

/// A UUID for a server to use, of which is noted that it came by no link.
fn fresh(dice: &mut u128, heard: &mut BTreeMap<(usize, Uuid), usize>, server: usize) -> Uuid {
    *dice += 1;
    let fresh = Uuid::from_u128(*dice);
    heard.insert((server, fresh), server);
    fresh
}

impl Herd {
    fn new(life: &Life, mode: Mode) -> Self {
        let ring_bytes = if mode == Mode::NoCatchUp { RING_AMPLE } else { life.ring_bytes };
        // Who alone has what an expired record outdid elsewhere tells it by comparing only.
        let record_ttl_ms = life.ttl_ms.filter(|_| mode != Mode::NoCatchUp);
        let limits =
            Limits { ring_bytes, record_ttl_ms, chunk_bytes: 150, outbox_bytes: 4096, ..Limits::default() };
        let mut herd = Self {
            replicas: NAMES.iter().map(|name| Replica::new(name, &limits)).collect(),
            limits,
            pipes: BTreeMap::new(),
            now_ms: 0,
            time_ms: 0,
            ahead_ms: life.ahead_ms,
            horizons: [0; NAMES.len()],
            dice: 0,
            said: BTreeSet::new(),
            acknowledged: vec![Vec::new(); NAMES.len()],
            asked: BTreeSet::new(),
            heard: BTreeMap::new(),
            awaited: Vec::new(),
        };
        (0..LINKS.len()).for_each(|link| herd.heal(link));
        herd
    }

    /// A UUID for a server to use: what goes under it came by no link.
    fn fresh(&mut self, server: usize) -> Uuid {
        fresh(&mut self.dice, &mut self.heard, server)
    }

    fn live_through(&mut self, event: &Event) -> Result<(), Broken> {
        match event {
            Event::Say { server, checkins } => self.say(*server, checkins)?,
            Event::Ask { server, client } => self.ask(*server, *client),
            Event::Take { link, back } => self.take(*link, *back).map(|_| ())?,
            Event::Bring { link, back } => self.bring(*link, *back).map(|_| ())?,
            Event::Cut { link } => self.cut(*link),
            Event::Heal { link } => self.heal(*link),
            Event::Restart { server } => self.restart(*server),
            Event::Wait { ms } => {
                self.set_clocks(self.time_ms + ms);
                self.wait(*ms);
            }
            Event::Compare { server } => self.replicas[*server].compare(self.now_ms),
        }
        self.check_limits()?;
        self.check_searches()
    }

    fn say(&mut self, server: usize, checkins: &[Checkin]) -> Result<(), Broken> {
        let received = self.clock(server);
        let mut input = String::new();
        for Checkin { client, location, time } in checkins {
            input.extend(["IAMAT k", &client.to_string(), " ", location, " ", time, "\n"]);
            let record = format!("k{client} {location} {time} {received} {}", NAMES[server]);
            self.said.insert(record.clone().into_bytes());
            self.acknowledged[server].push(record.into_bytes());
        }
        let mut batch = Batch::new(input.into_bytes(), self.limits.line_max);
        let fresh = || fresh(&mut self.dice, &mut self.heard, server);
        let pause = self.replicas[server].execute(&mut batch, received, self.now_ms, fresh);
        let answers = batch.output.split_inclusive(|&byte| byte == b'\n').count();
        ensure(pause == Pause::Done && answers == checkins.len(), || format!("{answers} for {checkins:?}"))
    }

    /// What a server's clock shows, in nanoseconds.
    fn clock(&self, server: usize) -> u64 {
        NANOS_PER_MS * (self.time_ms + self.ahead_ms[server])
    }

    /// Sets what a clock shows that is right, and has each server look at its own.
    fn set_clocks(&mut self, time_ms: u64) {
        self.time_ms = time_ms;
        for (server, replica) in self.replicas.iter_mut().enumerate() {
            let clock = NANOS_PER_MS * (time_ms + self.ahead_ms[server]);
            replica.set_clock(clock);
            if let Some(ttl_ms) = self.limits.record_ttl_ms {
                let epoch = NANOS_PER_MS * ttl_ms / 16;
                self.horizons[server] = clock.saturating_sub(NANOS_PER_MS * ttl_ms) / epoch * epoch;
            }
        }
    }

    fn ask(&mut self, server: usize, client: u8) {
        let (fresh, client) = (self.fresh(server), format!("k{client}"));
        if let Some(uuid) = self.replicas[server].find(client.as_bytes(), self.now_ms, fresh) {
            self.awaited.push((server, uuid, self.now_ms));
        }
    }

    fn take(&mut self, link: usize, back: bool) -> Result<bool, Broken> {
        let (from, to) = ends(link, back);
        let mut piece = Vec::new();
        if !self.pipes.contains_key(&link) {
            return Ok(false);
        }
        self.replicas[from].work(self.now_ms);
        self.replicas[from].take(NAMES[to], self.now_ms, &mut piece);
        for frame in frames(&mut Inbox::new(piece.clone()))? {
            self.check_frame(from, to, &frame)?;
        }
        let was_silent = piece.is_empty();
        if let Some(pipes) = self.pipes.get_mut(&link).filter(|_| !was_silent) {
            pipes[usize::from(back)].pieces.push_back(piece);
        }
        Ok(!was_silent)
    }

    fn check_frame(&mut self, from: usize, to: usize, frame: &Frame) -> Result<(), Broken> {
        match frame {
            Frame::Update(update) => {
                let came_by = self.heard.get(&(from, update.uuid));
                ensure(came_by != Some(&to), || format!("{} went back to {to}", update.uuid))
            }
            Frame::Which { uuid, .. } => {
                ensure(self.asked.insert((from, to, *uuid)), || format!("{from} asked {to} twice in {uuid}"))
            }
            _ => Ok(()),
        }
    }

    fn bring(&mut self, link: usize, back: bool) -> Result<bool, Broken> {
        let (from, to) = ends(link, back);
        let Some(pipes) = self.pipes.get_mut(&link) else { return Ok(false) };
        let pipe = &mut pipes[usize::from(back)];
        let Some(piece) = pipe.pieces.pop_front() else { return Ok(false) };
        let (sooner, later) = piece.split_at(piece.len() / 2);
        let mut heard = Vec::new();
        for part in [sooner, later] {
            pipe.inbox.buffer().extend_from_slice(part);
            heard.extend(frames(&mut pipe.inbox)?);
        }
        for frame in heard {
            if let Frame::Update(update) = &frame {
                self.heard.entry((to, update.uuid)).or_insert(from);
            }
            let fresh = self.fresh(to);
            let (alive, applied) = (alive(&frame, self.horizons[to]), self.replicas[to].counts().applied);
            self.replicas[to].hear(NAMES[from], frame, self.now_ms, fresh);
            let applied = self.replicas[to].counts().applied - applied;
            ensure(applied <= alive, || format!("{to} took {applied} records, of which {alive} are alive"))?;
        }
        Ok(true)
    }

    fn cut(&mut self, link: usize) {
        if self.pipes.remove(&link).is_some() {
            let (here, there) = LINKS[link];
            self.replicas[here].link_down(NAMES[there]);
            self.replicas[there].link_down(NAMES[here]);
        }
    }

    fn heal(&mut self, link: usize) {
        self.cut(link);
        let (here, there) = LINKS[link];
        self.replicas[here].link_up(NAMES[there], Vocabulary::Trees);
        self.replicas[there].link_up(NAMES[here], Vocabulary::Trees);
        self.pipes.insert(link, <[Pipe; 2]>::default());
    }

    fn restart(&mut self, server: usize) {
        let links = (0..LINKS.len()).filter(|&link| LINKS[link].0 == server || LINKS[link].1 == server);
        links.for_each(|link| self.cut(link));
        self.replicas[server] = Replica::new(NAMES[server], &self.limits);
        let clock = self.clock(server);
        self.replicas[server].set_clock(clock);
        self.acknowledged[server].clear();
        self.awaited.retain(|&(asker, ..)| asker != server);
        self.heard.retain(|&(hearer, _), _| hearer != server);
        self.asked.retain(|&(asker, ..)| asker != server);
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.replicas.iter_mut().for_each(|replica| replica.expire(self.now_ms));
    }

    fn check_limits(&self) -> Result<(), Broken> {
        for (replica, name) in self.replicas.iter().zip(NAMES) {
            let load = replica.load();
            let is_within = load.ring_bytes <= self.limits.ring_bytes
                && load.outbox_bytes <= self.limits.outbox_bytes
                && load.seen <= 2 * self.limits.seen_max
                && load.missing <= self.limits.missing_max
                && load.sources <= NAMES.len()
                && load.searches <= self.limits.searches_max
                && load.questions <= QUESTIONS_MAX;
            ensure(is_within, || format!("{name} is over its limits: {load:?}"))?;
        }
        Ok(())
    }

    fn check_searches(&mut self) -> Result<(), Broken> {
        for (server, replica) in self.replicas.iter_mut().enumerate() {
            let ended = replica.ended();
            self.awaited.retain(|(asker, uuid, _)| *asker != server || !ended.contains(uuid));
        }
        let late = self.awaited.iter().find(|(.., since)| self.now_ms >= since + self.limits.search_ms);
        ensure(late.is_none(), || format!("a search goes on and on: {late:?}"))
    }

    /// Lets the network do all it can until nobody has anything to say. Tells whether there was anything.
    fn settle(&mut self) -> Result<bool, Broken> {
        for round in 0..ROUNDS_MAX {
            let mut is_silent = true;
            self.replicas.iter_mut().for_each(|replica| replica.work(self.now_ms));
            for (link, back) in (0..LINKS.len()).flat_map(|link| [(link, false), (link, true)]) {
                is_silent &= !(self.take(link, back)? | self.bring(link, back)?);
            }
            self.check_limits()?;
            if is_silent && !self.replicas.iter().any(Replica::has_work) && !self.pass_time() {
                return Ok(round > 0);
            }
        }
        Err("the herd never falls silent".to_owned())
    }

    /// Lets time pass until something is to be done for which nothing happens; false if there is no such thing.
    fn pass_time(&mut self) -> bool {
        let Some(deadline_ms) = self.replicas.iter().filter_map(Replica::deadline_ms).min() else {
            return false;
        };
        self.wait(deadline_ms.saturating_sub(self.now_ms));
        true
    }

    /// Heals the links that are left, and checks what must hold once nothing happens any more.
    fn end(&mut self, lost: Option<usize>, mode: Mode) -> Result<(), Broken> {
        let left: Vec<usize> = (0..LINKS.len()).filter(|&link| Some(link) != lost).collect();
        if mode != Mode::NoCatchUp {
            if let Some(lost) = lost {
                self.cut(lost);
            }
            for &link in &left {
                if !self.pipes.contains_key(&link) {
                    self.heal(link);
                }
            }
        }
        self.settle()?;
        self.agree_on_time()?;
        match mode {
            Mode::All | Mode::NoCatchUp => {}
            Mode::NoFlood => self.heal_hop_by_hop(&left)?,
            Mode::OnlyDigests => self.compare_hop_by_hop()?,
        }
        self.wait(self.limits.search_ms);
        self.check_searches()?;
        self.settle()?;
        self.check_silence()?;
        if !mode.faults().contains(&Fault::NoRegularDigests) {
            self.check_equal_digests()?;
            self.check_silence()?;
        }
        self.check_memory()
    }

    /// Sets all clocks to the one that is most ahead; before that, nobody may tell again and again what has expired there.
    fn agree_on_time(&mut self) -> Result<(), Broken> {
        if self.limits.record_ttl_ms.is_none() {
            return Ok(());
        }
        self.compare_hop_by_hop()?;
        self.check_equal_digests()?;
        self.check_silence()?;
        self.ahead_ms = [self.ahead_ms.into_iter().max().unwrap_or_default(); NAMES.len()];
        self.set_clocks(self.time_ms);
        self.settle()?;
        self.compare_hop_by_hop()
    }

    /// Without a flood, news goes one hop with every new set of links.
    fn heal_hop_by_hop(&mut self, left: &[usize]) -> Result<(), Broken> {
        for _ in NAMES {
            for &link in left {
                self.heal(link);
            }
            self.settle()?;
        }
        Ok(())
    }

    /// With nothing but digests, news goes one hop with every comparison.
    fn compare_hop_by_hop(&mut self) -> Result<(), Broken> {
        for _ in NAMES {
            self.now_ms += self.limits.digest_ms;
            self.replicas.iter_mut().for_each(|replica| replica.compare(self.now_ms));
            self.settle()?;
        }
        Ok(())
    }

    /// Once all is said, nobody speaks; and when digests are compared, they are equal and nothing else is said.
    fn check_equal_digests(&mut self) -> Result<(), Broken> {
        self.now_ms += self.limits.digest_ms;
        self.replicas.iter_mut().for_each(|replica| replica.compare(self.now_ms));
        for (link, back) in (0..LINKS.len()).flat_map(|link| [(link, false), (link, true)]) {
            let (from, to) = ends(link, back);
            let mut piece = Vec::new();
            self.replicas[from].work(self.now_ms);
            self.replicas[from].take(NAMES[to], self.now_ms, &mut piece);
            for frame in frames(&mut Inbox::new(piece))? {
                ensure(matches!(frame, Frame::Digest { .. }), || format!("{frame:?} though all is said"))?;
                let fresh = self.fresh(to);
                self.replicas[to].hear(NAMES[from], frame, self.now_ms, fresh);
            }
        }
        Ok(())
    }

    fn check_silence(&mut self) -> Result<(), Broken> {
        let counts: Vec<_> = self.replicas.iter().map(Replica::counts).collect();
        ensure(!self.settle()?, || "somebody speaks though all is said".to_owned())?;
        for (replica, counts) in self.replicas.iter_mut().zip(counts) {
            ensure(replica.bells(self.now_ms).is_empty(), || "somebody is called for nothing".to_owned())?;
            ensure(replica.load().searches == 0, || "a search has not ended".to_owned())?;
            ensure(replica.counts() == counts && counts.malformed == 0, || format!("{counts:?}"))?;
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), Broken> {
        let first = self.replicas[0].store().dump();
        for (replica, name) in self.replicas.iter().zip(NAMES) {
            let dump = replica.store().dump();
            ensure(dump == first, || format!("{} knows {first:?}, {name} {dump:?}", NAMES[0]))?;
        }
        let invented = first.iter().find(|line| !self.said.contains(*line));
        ensure(invented.is_none(), || format!("nobody said {invented:?}"))?;
        let kept: BTreeMap<&[u8], Age> = first.iter().map(|line| (client_of(line), age(line))).collect();
        let has_expired = |line: &[u8]| received(line) < self.horizons[0];
        ensure(!first.iter().any(|line| has_expired(line)), || format!("some is dead of {first:?}"))?;
        let outdid = |dead: &Vec<u8>, line: &[u8]| {
            has_expired(dead) && client_of(dead) == client_of(line) && age(dead) > age(line)
        };
        for line in self.acknowledged.iter().flatten().filter(|line| !has_expired(line)) {
            let is_kept = kept.get(client_of(line)).is_some_and(|kept| *kept >= age(line));
            // What was older than another when it came is forgotten with that.
            let is_forgotten = || self.said.iter().any(|dead| outdid(dead, line));
            ensure(is_kept || is_forgotten(), || format!("{} was lost", line.escape_ascii()))?;
        }
        Ok(())
    }
}

/// As many questions as one neighbour may have on their way: nodes and buckets.
const QUESTIONS_MAX: usize = 16 + 1024;

/// More rounds than any herd of these lives needs.
const ROUNDS_MAX: usize = 2000;

/// The sender and the receiver of one direction of a link.
fn ends(link: usize, back: bool) -> (usize, usize) {
    let (here, there) = LINKS[link];
    if back { (there, here) } else { (here, there) }
}

fn frames(inbox: &mut Inbox) -> Result<Vec<Frame>, Broken> {
    let mut frames = Vec::new();
    while let Some(frame) = inbox.next(1 << 20).map_err(|malformed| malformed.to_string())? {
        frames.push(frame);
    }
    Ok(frames)
}

const NANOS_PER_MS: u64 = 1_000_000;

/// How many of the records in a frame were not received before the horizon.
fn alive(frame: &Frame, horizon: u64) -> u64 {
    let is_alive = |line: &&[u8]| received(line) >= horizon;
    let count = match frame {
        Frame::Update(update) => update.lines().filter(is_alive).count(),
        Frame::Found { line, .. } => usize::from(is_alive(&&line[..])),
        Frame::Records { lines, .. } => record::lines(lines).filter(is_alive).count(),
        _ => 0,
    };
    count as u64
}

fn received(line: &[u8]) -> u64 {
    String::from_utf8_lossy(line).split(' ').nth(3).unwrap().parse().unwrap()
}

fn client_of(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b' ').next().unwrap_or_default()
}

/// The order of records once more, written from the protocol and not from the code: effective time, receipt,
/// server, client time, then the bytes of time and location.
type Age = (i128, i128, String, i128, String, String);

fn age(line: &[u8]) -> Age {
    let line = String::from_utf8_lossy(line);
    let fields: Vec<&str> = line.split(' ').collect();
    let (seconds, decimals) = fields[2].split_once('.').unwrap_or((fields[2], ""));
    let nanos: i128 = format!("{seconds}{decimals:0<9}").parse().unwrap();
    let received: i128 = fields[3].parse().unwrap();
    let effective = if nanos > received + 300_000_000_000 { received } else { nanos };
    (effective, received, fields[4].to_owned(), nanos, fields[2].to_owned(), fields[1].to_owned())
}

fn live(life: &Life, mode: Mode) -> Result<(), Broken> {
    let mut herd = Herd::new(life, mode);
    for event in life.events.iter().filter(|event| mode.allows(event)) {
        herd.live_through(event)?;
    }
    herd.end(life.lost, mode)
}

proptest! {
    #[test]
    fn a_herd_that_is_healed_knows_the_same_and_falls_silent(life in life()) {
        prop_assert_eq!(live(&life, Mode::All), Ok(()));
    }

    #[test]
    fn new_links_alone_bring_everybody_everything(life in life()) {
        let mode = Mode::NoFlood;
        prop_assert_eq!(faults::with(mode.faults(), || live(&life, mode)), Ok(()));
    }

    #[test]
    fn the_flood_alone_brings_everybody_everything_while_no_link_is_lost(life in life()) {
        let mode = Mode::NoCatchUp;
        prop_assert_eq!(faults::with(mode.faults(), || live(&life, mode)), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn digests_alone_bring_everybody_everything(life in life()) {
        let mode = Mode::OnlyDigests;
        prop_assert_eq!(faults::with(mode.faults(), || live(&life, mode)), Ok(()));
    }
}

/// A server that passed a part of an update on under the UUID of the whole, and then lost its link before the
/// rest had gone over it, kept its neighbour from hearing the rest of anybody else: the neighbour had seen that UUID.
#[test]
fn a_part_of_an_update_goes_on_under_a_uuid_of_its_own() {
    let mut replica = Replica::new("Hands", &Limits::default());
    replica.link_up("Goloman", Vocabulary::Trees);
    replica.link_up("Wilkes", Vocabulary::Trees);
    let (known, whole) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (uuid, lines) in
        [(known, "a +1+1 1 0 Goloman\n"), (whole, "a +1+1 1 0 Goloman\nb +1+1 1 0 Goloman\n")]
    {
        let update = Frame::Update(Update::new(uuid, lines.as_bytes()));
        replica.hear("Goloman", update, 0, Uuid::from_u128(3));
    }
    let mut taken = Vec::new();
    replica.work(0);
    replica.take("Wilkes", 0, &mut taken);
    let mut part = Update::new(Uuid::from_u128(3), b"b +1+1 1 0 Goloman\n");
    part.route = Some(Route { source: "Hands".to_owned(), hops: 1 });
    assert!(frames(&mut Inbox::new(taken)).unwrap().contains(&Frame::Update(part)));
}

/// How many lives are drawn to catch a bug.
const LIVES_MAX: usize = 1000;

#[test]
fn every_bug_that_is_put_in_is_caught() {
    for bug in [
        Fault::NoFlood,
        Fault::NoCatchUp,
        Fault::FloodsBack,
        Fault::ForgetsSeen,
        Fault::LastComeStays,
        Fault::BelievesFuture,
        Fault::ComparesNumbersOnly,
        Fault::SearchesForEver,
        Fault::EndlessRing,
    ] {
        assert_is_caught(&[bug], Mode::All);
    }
    // Regular comparisons would heal that as well.
    assert_is_caught(&[Fault::NoResync, Fault::NoRegularDigests], Mode::All);
    for bug in [Fault::NoRegularDigests, Fault::DigestMissesChanges, Fault::RaisesTheDead, Fault::AsksAgain] {
        assert_is_caught(&[bug], Mode::OnlyDigests);
    }
}

fn assert_is_caught(bugs: &[Fault], mode: Mode) {
    let mut dice = TestRunner::deterministic();
    let lives = std::iter::repeat_with(|| life().new_tree(&mut dice).unwrap().current());
    let faults = [mode.faults(), bugs].concat();
    let is_caught =
        lives.take(LIVES_MAX).position(|life| faults::with(&faults, || live(&life, mode)).is_err());
    println!("{bugs:?} is caught in life {is_caught:?}");
    assert!(is_caught.is_some(), "{bugs:?} goes unnoticed");
}
