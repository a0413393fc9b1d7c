//! Stories that were drawn: every seed is a herd, what its clients say, and what is done to it.
//!
//! `HERD_SEEDS` says how many seeds a run has, `HERD_FIRST` with which it begins, and `HERD_SEED` that it has only
//! this one. After each story its faults are undone, but for a partition that is for ever; then the herd must come to
//! rest in time, agree, and go on serving: `invariants` has a list of all that must hold. docs/simulator.md tells more.

use crate::dice::Dice;
use crate::disk::Trouble;
use crate::herd::{Herd, NAMES, Plan, server};
use crate::invariants::{Ending, Invariant, Violation};
use crate::phones::Conversation;
use crate::records::Record;
use crate::server::Server;
use crate::trace::Notes;
use herd_actors::journal::Durability;
use herd_core::faults::{self, Fault};
use herd_core::limits::Limits;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Which healing layers a herd has to live with. With all of them, each would hide the bugs of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    All,
    /// Only new links bring news.
    NoFlood,
    /// Only the flood does, so no link may be lost.
    NoCatchUp,
    /// Nobody compares but when a link begins, or has missed something.
    NoRegularDigests,
}

impl Mode {
    fn draw(dice: &Dice) -> Self {
        *dice.pick(&[Self::All, Self::All, Self::NoFlood, Self::NoCatchUp, Self::NoRegularDigests])
    }

    fn faults(self) -> &'static [Fault] {
        match self {
            Self::All => &[],
            Self::NoFlood => &[Fault::NoFlood],
            Self::NoCatchUp => &[Fault::NoCatchUp],
            Self::NoRegularDigests => &[Fault::NoRegularDigests],
        }
    }
}

/// What became of a seed.
struct Outcome {
    seed: u64,
    mode: Mode,
    hash: u64,
    broken: Vec<Violation>,
    probes: BTreeSet<&'static str>,
    checks: BTreeMap<Invariant, u64>,
    simulated_ms: u64,
}

/// A story as it is told.
struct Story {
    herd: Herd,
    dice: Dice,
    mode: Mode,
    /// What is to be undone, and when.
    undo: Vec<(u64, Undo)>,
    /// When the herd is parted for ever, if it is.
    parted_ms: Option<u64>,
    /// True if that is only in one direction between some servers, which goes on dialling for ever.
    is_parted_one_way: bool,
}

#[derive(Clone, Copy)]
enum Undo {
    Start(usize),
    Heal(usize, usize),
    Latency(usize, usize),
    Thaw(usize),
    SlowDisk(usize),
    Disk(usize),
}

/// Lives through a seed, with some bugs put in.
fn live(seed: u64, bugs: &[Fault]) -> Outcome {
    let dice = Dice::new(seed);
    let mode = Mode::draw(&dice);
    let faults = [mode.faults(), bugs].concat();
    faults::with(&faults, || {
        let mut story = Story::begin(seed, mode, dice);
        story.tell();
        story.end();
        story.outcome(seed)
    })
}

impl Story {
    fn begin(seed: u64, mode: Mode, dice: Dice) -> Self {
        let limits = draw_limits(&dice, mode);
        let window = *dice.pick(&[500, 2_000, 64 * 1024]);
        let client_window = *dice.pick(&[300, 2_000]);
        let plan = Plan { seed, limits, latency_ms: dice.between(2, 60), tick_ms: 5, window, client_window };
        let servers = (0..NAMES.len()).map(|at| Server { durability: draw_durability(&dice), ..server(at) });
        let mut herd = Herd::of(plan, servers.collect());
        for server in 0..NAMES.len() {
            let ahead_ms = if dice.is(50) { 0 } else { dice.between(0, 40_000) };
            herd.set_clock(server, i64::try_from(ahead_ms).unwrap_or_default() - 20_000);
        }
        if mode == Mode::NoCatchUp {
            let is_linked = herd.until(10_000, Herd::is_linked);
            herd.trace.ensure(Invariant::Agreement, is_linked, || "the herd never linked".to_owned());
            herd.run_ms(1_000); // A link may yet take the place of another, made at the same time.
        }
        let is_parted = mode != Mode::NoCatchUp && dice.is(15);
        let parted_ms = is_parted.then(|| dice.between(1_000, STORY_MS.start));
        Self { herd, dice, mode, undo: Vec::new(), parted_ms, is_parted_one_way: false }
    }

    fn tell(&mut self) {
        let end = self.herd.now_ms() + self.dice.between(STORY_MS.start, STORY_MS.end);
        let fault_percent = self.dice.between(2, 20);
        while self.herd.now_ms() < end && !self.herd.is_broken() {
            self.undo_what_is_due();
            if self.parted_ms.is_some_and(|at| at <= self.herd.now_ms()) {
                self.part();
            }
            if self.dice.is(fault_percent) {
                self.fault();
            } else {
                self.talk();
            }
            self.herd.run_ms(self.dice.between(2, 250));
        }
        self.undo_what_is_due();
    }

    fn talk(&mut self) {
        let server = self.dice.index(NAMES.len());
        let (now_ms, plan) = (self.herd.now_ms(), &self.herd.plan);
        let talk = Conversation::draw(&self.dice, (server, NAMES[server]), now_ms, plan, &self.herd.trace);
        self.herd.send(Box::pin(talk.hold()));
    }

    /// Lets something go wrong. Where only the flood brings news, nothing may that could cost a link.
    fn fault(&mut self) {
        let (a, b) = *self.dice.pick(&self.herd.pairs());
        let until = self.herd.now_ms() + self.dice.between(100, 8_000);
        match self.dice.below(if self.mode == Mode::NoCatchUp { 30 } else { 120 }) {
            0..8 => self.jump(a),
            8..15 => {
                let ms = self.dice.between(1, 300);
                self.herd.set_latency(a, b, ms);
                self.undo.push((until, Undo::Latency(a, b)));
                self.herd.trace.hit("a connection was slow");
            }
            15..22 => self.get_stuck(a, b, until),
            22..30 => self.slow_disk(a, self.dice.between(50, 600), until),
            30..40 => self.kill(a, until),
            40..52 => self.cut_power(a, until),
            52..60 => self.stop(a, until),
            60..68 => self.break_disk(a, until),
            68..72 => self.freeze(a, until),
            72..75 => self.oversleep(a),
            75..87 => self.cut_one_way(a, b, until),
            87..100 => self.cut(&[(a, b)], until, "two servers were cut off from each other"),
            100..110 => {
                let others = self.herd.pairs().into_iter().filter(|&(x, y)| x == a || y == a);
                self.cut(&others.collect::<Vec<_>>(), until, "a server was isolated");
            }
            _ => {
                let across = self.across();
                self.cut(&across, until, "the herd was split");
            }
        }
    }

    /// The pairs of servers that are on different sides of a line through the herd.
    fn across(&self) -> Vec<(usize, usize)> {
        let side = self.dice.throw();
        let is_across = |&(x, y): &(usize, usize)| (side >> x ^ side >> y) & 1 == 1;
        self.herd.pairs().into_iter().filter(is_across).collect()
    }

    /// Parts the herd for ever. A side may be a server alone, and everybody goes on.
    fn part(&mut self) {
        self.parted_ms = None;
        self.is_parted_one_way = self.dice.is(30);
        for (a, b) in self.across() {
            self.herd.part(a, b, self.is_parted_one_way);
        }
        self.herd.trace.hit("the herd was parted for ever");
    }

    fn jump(&mut self, server: usize) {
        // Where records expire, a clock that is off by more than they live leaves nothing to look at.
        let far = if self.herd.plan.limits.record_ttl_ms.is_some() { 5_000 } else { 400_000 };
        let by_ms = *self.dice.pick(&[-far, -3_000, -1, 0, 1, 3_000, far]);
        self.herd.set_clock(server, by_ms);
        self.herd.trace.hit("a clock jumped");
    }

    fn freeze(&mut self, server: usize, until: u64) {
        self.herd.freeze(server);
        self.undo.push((until, Undo::Thaw(server)));
        self.herd.trace.hit("a server stood still");
    }

    fn oversleep(&mut self, server: usize) {
        if self.herd.is_up(server) {
            self.herd.oversleep(server, self.dice.between(50, 10_000));
            self.herd.trace.hit("a server overslept");
        }
    }

    fn slow_disk(&mut self, server: usize, ms: u64, until: u64) {
        self.herd.set_disk_latency(server, Some(ms));
        self.undo.push((until, Undo::SlowDisk(server)));
        self.herd.trace.hit("a disk was slow");
    }

    /// Lets a disk fail, or get full.
    fn break_disk(&mut self, server: usize, until: u64) {
        let drive = &self.herd.drives[server];
        match self.dice.below(10) {
            0..3 => drive.fail(Trouble::Append),
            3..6 => drive.fail(Trouble::Sync),
            6 => drive.fail(Trouble::SyncNames),
            7 => drive.fail(Trouble::Create),
            _ => drive.fill(self.dice.index(500)),
        }
        self.undo.push((until, Undo::Disk(server)));
    }

    /// Damages what is on the disk of a server that is down, now and then.
    fn damage(&mut self, server: usize) {
        if self.dice.is(20)
            && let Some(costs) = self.herd.drives[server].flip()
        {
            self.herd.trace.damaged(server, &costs);
        }
    }

    /// Without the exchange on new links, a neighbour must not be stuck for so long that its link is given up.
    fn get_stuck(&mut self, a: usize, b: usize, until: u64) {
        let now = self.herd.now_ms();
        let shortly = now + self.dice.between(100, self.herd.plan.limits.silent_ms / 3);
        self.herd.hold(a, b);
        let until = if self.mode == Mode::NoCatchUp { shortly } else { until };
        self.undo.push((until, Undo::Heal(a, b)));
        self.herd.trace.hit("a neighbour was stuck");
    }

    fn kill(&mut self, server: usize, until: u64) {
        if self.herd.is_up(server) {
            self.herd.crash(server);
            self.damage(server);
            self.undo.push((until, Undo::Start(server)));
            self.herd.trace.hit("a server was killed");
        }
    }

    /// Power fails for one server; it may be down already, or about to stop.
    fn cut_power(&mut self, server: usize, until: u64) {
        self.herd.cut_power(server);
        self.damage(server);
        self.undo.push((until, Undo::Start(server)));
        self.herd.trace.hit("a server lost its power");
    }

    /// Lets clients talk until a server is in the middle of a snapshot, or has had its time for that.
    fn await_snapshot(&mut self, server: usize) {
        for _ in 0..30 {
            if self.herd.until(100, |herd| herd.drives[server].is_copying()) {
                return;
            }
            self.undo_what_is_due();
            self.talk();
        }
    }

    /// Stops a server, now and then in the middle of a snapshot.
    fn stop(&mut self, server: usize, until: u64) {
        if self.dice.is(40) {
            self.slow_disk(server, self.dice.between(50, 200), until);
            self.await_snapshot(server);
        }
        if self.herd.is_up(server) {
            if self.herd.drives[server].is_copying() {
                self.herd.trace.hit("a server was stopped in the middle of a snapshot");
            }
            self.herd.stop(server);
            let stopped_by = self.herd.now_ms() + self.herd.plan.limits.stop_ms + 1_000;
            self.undo.push((until.max(stopped_by), Undo::Start(server)));
        }
    }

    fn cut_one_way(&mut self, a: usize, b: usize, until: u64) {
        let (from, to) = if self.dice.is(50) { (a, b) } else { (b, a) };
        self.herd.cut_one_way(from, to);
        self.undo.push((until, Undo::Heal(a, b)));
        self.herd.trace.hit("a server was not heard");
    }

    fn cut(&mut self, pairs: &[(usize, usize)], until: u64, probe: &'static str) {
        for &(a, b) in pairs {
            self.herd.cut(a, b);
            self.undo.push((until, Undo::Heal(a, b)));
        }
        self.herd.trace.hit(probe);
    }

    /// Undoes all faults but those that are for ever.
    fn undo_all(&mut self) {
        self.undo_what_is_due_by(u64::MAX);
        self.herd.heal_network();
    }

    fn undo_what_is_due(&mut self) {
        self.undo_what_is_due_by(self.herd.now_ms());
    }

    fn undo_what_is_due_by(&mut self, now: u64) {
        let (due, later) = self.undo.drain(..).partition(|(at, _)| *at <= now);
        self.undo = later;
        let due: Vec<(u64, Undo)> = due;
        for (_, undo) in due {
            match undo {
                Undo::Start(server) => self.start(server),
                Undo::Heal(a, b) => self.herd.heal(a, b),
                Undo::Latency(a, b) => self.herd.set_latency(a, b, self.herd.plan.latency_ms),
                Undo::Thaw(server) => self.herd.thaw(server),
                Undo::SlowDisk(server) => self.herd.set_disk_latency(server, None),
                Undo::Disk(server) => {
                    self.herd.drives[server].mend();
                    self.start(server);
                }
            }
        }
    }

    /// Starts a server that is down. Its power may have failed meanwhile, and what it had made sure of is there.
    fn start(&mut self, server: usize) {
        if self.herd.is_gone(server) {
            if self.dice.is(30) {
                self.herd.cut_power(server);
                self.herd.trace.hit("a server lost its power while it was down");
            }
            self.herd.start(server);
        }
    }

    /// Undoes all faults, and checks what must be true of a herd that is left alone. Where records expire clocks are put
    /// right as well: servers know the same only as far as they agree on what the time is.
    fn end(&mut self) {
        self.undo_all();
        if self.herd.plan.limits.record_ttl_ms.is_some() {
            (0..NAMES.len()).for_each(|server| self.herd.set_clock(server, 0));
        }
        self.herd.run_ms(self.herd.plan.limits.stop_ms + 100); // Who was told to stop must have.
        self.herd.start_all();
        let floods = self.mode != Mode::NoFlood;
        let compares = matches!(self.mode, Mode::All | Mode::NoFlood);
        Ending { herd: &mut self.herd, floods, compares, is_deaf: self.is_parted_one_way }.check();
    }

    fn outcome(self, seed: u64) -> Outcome {
        let (hash, simulated_ms) = (self.herd.trace.hash(), self.herd.now_ms());
        let mut notes = self.herd.trace.notes();
        if notes.servers.iter().any(|server| server.known.values().any(Record::is_from_the_future)) {
            notes.probes.insert("a record from the future stayed");
        }
        let Notes { broken, probes, checks, .. } = &*notes;
        let (broken, probes, checks) = (broken.clone(), probes.clone(), checks.clone());
        Outcome { seed, mode: self.mode, hash, broken, probes, checks, simulated_ms }
    }
}

/// How a server keeps what it knows.
fn draw_durability(dice: &Dice) -> Option<Durability> {
    *dice.pick(&[
        Some(Durability::Write),
        Some(Durability::Write),
        Some(Durability::Sync),
        Some(Durability::Sync),
        Some(Durability::None),
        None,
    ])
}

/// The limits of a server, as they are, or brisk, or tight.
fn draw_limits(dice: &Dice, mode: Mode) -> Limits {
    let mut limits = Limits {
        write_stall_ms: dice.between(1_000, 3_000),
        log_bytes_min: dice.between(500, 4_000),
        ..Limits::default()
    };
    if mode != Mode::NoCatchUp && dice.is(60) {
        limits = Limits {
            heartbeat_ms: 200,
            silent_ms: 1_500,
            redial_max_ms: 1_000,
            connect_ms: 700,
            handshake_ms: 1_500,
            stop_ms: 1_500,
            ..limits
        };
    }
    if matches!(mode, Mode::All | Mode::NoFlood) && dice.is(50) {
        // Clocks differ by less than a record lives. Who refused what had expired by its own asks for it again.
        let record_ttl_ms = Some(dice.between(20_000, 60_000)).filter(|_| dice.is(60));
        limits = Limits { record_ttl_ms, digest_ms: dice.between(1_000, 4_000), ..limits };
    }
    if dice.is(50) {
        limits = Limits { ring_bytes: 600, chunk_bytes: 300, seen_max: 2_000, seen_ms: 5_000, ..limits };
    }
    limits
}

/// How long a story is, from its beginning to the end of its faults.
const STORY_MS: Range<u64> = 30_000..55_000;

/// How many seeds a run has, unless `HERD_SEEDS` says otherwise: what an unoptimised build tells in half a minute.
const SEEDS: u64 = 10;

/// With so many seeds everything must have happened that ever does.
const SEEDS_FOR_PROBES: u64 = 400;

/// How often a run says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

/// The number that a variable has, if it is set. With anything else in it there would be another run than was wanted.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?.into_string().unwrap_or_default();
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: write a whole number")))
}

/// How many seeds a run has that was told so.
fn wanted_seeds() -> Option<u64> {
    setting("HERD_SEEDS")
        .inspect(|&seeds| assert!(seeds > 0, "HERD_SEEDS is 0, which tells no story; write more"))
}

/// Lives through seeds on all cores, until one of them is enough. What became of each is told when it is known.
fn live_all(seeds: &Range<u64>, bugs: &[Fault], mut tell: impl FnMut(Outcome) -> bool + Send) {
    let next = AtomicU64::new(seeds.start);
    let tell = Mutex::new(&mut tell);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = |alive: Sender<u64>| {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed))
        {
            let _ = alive.send(seed); // Who listens stays as long as anybody works.
            let outcome = live(seed, bugs);
            if tell.lock().unwrap()(outcome) {
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let ((alive, heard), work) = (channel(), &work);
            scope.spawn(move || work(alive));
            scope.spawn(move || watch_over(&heard));
        }
    });
}

/// Ends everything if a seed never ends: what goes round for ever cannot be stopped in any other way.
fn watch_over(heard: &Receiver<u64>) {
    let mut seed = 0;
    loop {
        match heard.recv_timeout(STUCK) {
            Ok(next) => seed = next,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                println!("seed {seed} does not end");
                print_replay(seed);
                std::process::exit(1);
            }
        }
    }
}

/// A seed that takes so long does not end.
const STUCK: Duration = Duration::from_secs(300);

/// Says how to see a seed again.
fn print_replay(seed: u64) {
    println!(
        "    HERD_SEED={seed} HERD_TRACE=1 cargo test --profile sim -p herd-actors --test simulation every_seed -- --nocapture"
    );
}

/// What came of many seeds.
struct Tally {
    began: Instant,
    told: Instant,
    seeds: u64,
    simulated_ms: u64,
    broken: u64,
    /// In how many seeds each of these happened.
    probes: BTreeMap<&'static str, u64>,
    /// How often each invariant was checked.
    checks: BTreeMap<Invariant, u64>,
}

impl Tally {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            told: now,
            seeds: 0,
            simulated_ms: 0,
            broken: 0,
            probes: BTreeMap::new(),
            checks: BTreeMap::new(),
        }
    }

    /// Adds a seed, and says how far the run is every now and then.
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.simulated_ms += outcome.simulated_ms;
        for probe in &outcome.probes {
            *self.probes.entry(probe).or_default() += 1;
        }
        for (&invariant, checks) in &outcome.checks {
            *self.checks.entry(invariant).or_default() += checks;
        }
        if !outcome.broken.is_empty() {
            self.broken += 1;
            outcome.print();
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            println!("{self}");
        }
    }

    fn print(&self) {
        println!("{self}\nseeds in which it happened:");
        self.probes.iter().for_each(|(probe, seeds)| println!("{seeds:>12} {probe}"));
        println!("how often it was checked:");
        for (invariant, checks) in &self.checks {
            println!("{checks:>12} {:>2} {invariant:?}", *invariant as u8);
        }
    }

    /// What should have happened and did not, and what did that nobody knows of.
    fn surprises(&self) -> Vec<String> {
        let missed = PROBES.iter().filter(|probe| !self.probes.contains_key(**probe));
        let is_unlisted = |probe: &&&str| !PROBES.contains(probe) && !RARE.contains(probe);
        let unlisted = self.probes.keys().filter(is_unlisted);
        let unchecked = Invariant::ALL.iter().filter(|invariant| !self.checks.contains_key(invariant));
        let unchecked = unchecked.map(|invariant| format!("never checked: {invariant:?}"));
        let missed = missed.map(|probe| format!("never happened: {probe}")).chain(unchecked);
        missed.chain(unlisted.map(|probe| format!("not listed: {probe}"))).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, simulated_ms, broken, probes, began, .. } = self;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let (hours, minutes) = (simulated_ms / 3_600_000, simulated_ms / 60_000 % 60);
        let (per_second, each_s) = (simulated_ms / elapsed_ms, simulated_ms / 1000 / (*seeds).max(1));
        let (took_s, probes) = (elapsed_ms / 1000, probes.len());
        write!(
            f,
            "{seeds} seeds of {each_s} s, {hours} h {minutes:02} min simulated in {took_s} s \
             ({per_second} s a second), {broken} broken, {probes} probes hit"
        )
    }
}

impl Outcome {
    /// Says what is broken, and how to see it again.
    fn print(&self) {
        let Self { seed, mode, broken, .. } = self;
        println!("seed {seed} ({mode:?}): {:#?}", &broken[..broken.len().min(5)]);
        print_replay(*seed);
    }
}

#[test]
fn every_seed_ends_well() {
    let first = setting("HERD_SEED").or(setting("HERD_FIRST")).unwrap_or(1);
    let count = if setting("HERD_SEED").is_some() { 1 } else { wanted_seeds().unwrap_or(SEEDS) };
    let mut all = Tally::new();
    live_all(&(first..first + count), &[], |outcome| {
        all.add(&outcome);
        false
    });
    all.print();
    assert_eq!(all.broken, 0, "of {count} seeds");
    if count >= SEEDS_FOR_PROBES {
        assert_eq!(all.surprises(), [""; 0]);
    }
}

/// What may happen, but seldom: a server is called by one that it takes for stopped.
const RARE: [&str; 1] = ["a handshake was refused"];

/// What must happen at least once in a run: a fault that is never drawn, or an answer that is never given, is not
/// tested.
const PROBES: [&str; 76] = [
    "a bit flipped",
    "a client broke off",
    "a client changed the order",
    "a client did not read",
    "a client found nobody",
    "a client left out the last newline",
    "a client lived in the future",
    "a client lost its server",
    "a client of another server was known",
    "a client read in sips",
    "a client repeated itself",
    "a client split its commands",
    "a client was cut off",
    "a client was known",
    "a client was not found",
    "a clock jumped",
    "a connection was slow",
    "a disk was full",
    "a disk was slow",
    "a file could not be made",
    "a heartbeat was sent",
    "a link began",
    "a link was grafted",
    "a link was pruned",
    "a log was kept with a snapshot",
    "a log was written anew",
    "a log was written over another",
    "a neighbour was stuck",
    "a record expired",
    "a record from the future stayed",
    "a search found its client",
    "a search found nothing",
    "a search was passed on",
    "a server dialled",
    "a server did not start",
    "a server ended because its disk had failed",
    "a server lost its power",
    "a server lost its power while it was down",
    "a server overslept",
    "a server remembered",
    "a server said goodbye",
    "a server stood still",
    "a server was dialled",
    "a server was isolated",
    "a server was killed",
    "a server was not heard",
    "a server was stopped",
    "a server was stopped in the middle of a snapshot",
    "a snapshot was written",
    "a stale record was told",
    "a sync failed",
    "a sync of names failed",
    "a torn tail was cut",
    "a write failed",
    "a write waited for a client",
    "a write waited for a neighbour",
    "an update was pulled",
    "an update was sent",
    "many records went in one frame",
    "names were lost with the power",
    "records were asked for",
    "records were told",
    "sums were asked for",
    "sums were told",
    "the herd was parted for ever",
    "the herd was split",
    "there were two links for a moment",
    "two servers were cut off from each other",
    "unsynced bytes had a hole",
    "unsynced bytes were filling again",
    "unsynced bytes were lost",
    "unsynced bytes were there after all",
    "unsynced bytes were torn",
    "unsynced bytes were what had been there before",
    "updates were announced",
    "what is known was compared",
];

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [1, 2] {
        let (first, second, other) = (live(seed, &[]), live(seed, &[]), live(seed + 1, &[]));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_ne!(first.hash, other.hash, "seed {seed}");
    }
}

/// What somebody could write, and the simulation would notice: each is a rule that is broken on purpose, some together
/// with what would hide them.
const BUGS: [&[Fault]; 39] = [
    &[Fault::NoFlood],
    &[Fault::ForgetsSeen],
    &[Fault::LastComeStays],
    &[Fault::SearchesForEver],
    &[Fault::EndlessRing],
    &[Fault::SkipsSync],
    &[Fault::GivesUpDialling],
    &[Fault::NoCatchUp],
    &[Fault::BelievesFuture],
    &[Fault::ComparesNumbersOnly],
    &[Fault::NoResync],
    &[Fault::NoPruning],
    &[Fault::PrunesBothWays, Fault::NoPulling],
    &[Fault::NoPulling],
    &[Fault::NoGrafting],
    &[Fault::LosesAnnouncements],
    &[Fault::PanicsWhenLate],
    &[Fault::DigestMissesChanges],
    &[Fault::RaisesTheDead],
    &[Fault::ForgetsTooSoon],
    &[Fault::TrustsDamage],
    &[Fault::ReadsLastLogOnly],
    &[Fault::WritesFirstOnly],
    &[Fault::AnswersBeforeWrite],
    &[Fault::AnswersTheWrong],
    &[Fault::SyncCoversLater],
    &[Fault::NeverSyncs],
    &[Fault::SyncsLastLogOnly],
    &[Fault::SkipsNameSync],
    &[Fault::SkipsSnapshotSync],
    &[Fault::RemovesTooEarly],
    &[Fault::RemovesPresentLog],
    &[Fault::StaysRecent],
    &[Fault::SkipsFlush],
    &[Fault::OutlivesItsDisk],
    &[Fault::TrustsFailedDisk],
    &[Fault::BearsSilence],
    &[Fault::BearsStalling],
    &[Fault::NoRegularDigests],
];

#[test]
fn the_document_has_every_bug_and_every_invariant() {
    let document = include_str!("../../../docs/simulator.md");
    let rows = |head: &str| document.lines().filter_map(|line| line.strip_prefix(head)).collect::<Vec<_>>();
    let named = |row: &str| row.split(" | ").next().unwrap_or_default().replace('`', "");
    let bugs =
        BUGS.map(|bug| bug.iter().map(|fault| format!("{fault:?}")).collect::<Vec<_>>().join(" with "));
    let (said, bugs) = (rows("| `").into_iter().map(named).collect(), BTreeSet::from(bugs));
    assert_eq!(bugs.symmetric_difference(&said).collect::<Vec<_>>(), [""; 0]);
    for invariant in Invariant::ALL {
        let row = format!("| {} | {invariant:?} | ", invariant as u8);
        assert_eq!(rows(&row).len(), 1, "{row}");
    }
}

/// So many of them, which show at once, are tried by a plain `cargo test`, which is built without optimisation.
const BUGS_IN_HASTE: usize = 6;

/// In so many seeds a bug must show.
const SEEDS_FOR_BUG: u64 = 2_000;

#[test]
fn every_bug_that_is_put_in_is_caught() {
    let wanted = std::env::var("HERD_BUG").unwrap_or_default();
    let is_all = wanted_seeds().is_some() || !wanted.is_empty();
    let bugs = if is_all { &BUGS[..] } else { &BUGS[..BUGS_IN_HASTE] };
    let bugs: Vec<_> = bugs.iter().filter(|bug| format!("{bug:?}").contains(&wanted)).collect();
    assert!(!bugs.is_empty(), "HERD_BUG is {wanted:?}: no bug has such a name");
    let mut unnoticed = Vec::new();
    for bug in bugs {
        let mut caught = None;
        let mut seeds = 0;
        live_all(&(1..1 + SEEDS_FOR_BUG), bug, |outcome| {
            seeds += 1;
            caught = outcome.broken.into_iter().next().or(caught.take());
            caught.is_some()
        });
        match caught {
            Some(Violation { invariant, what }) => {
                let what = what.get(..100).unwrap_or(&what);
                println!("{bug:?} was caught in {seeds} seeds by {} {invariant:?}: {what}", invariant as u8);
            }
            None => unnoticed.push(bug),
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?} go unnoticed");
}
