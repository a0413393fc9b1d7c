//! What happened in a simulation, what must not have happened, and what did happen at least once.

use crate::herd::EPOCH;
use crate::invariants::{Invariant, Violation};
use crate::pledges::{Memory, Pledges};
use crate::records::Record;
use herd_actors::journal::Durability;
use herd_actors::messages::Census;
use herd_core::digest::Root;
use herd_core::limits::Limits;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::task::Waker;
use std::time::Duration;

/// Everything that is noted about one simulation. Shared by its hosts, which take turns on one thread.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Notes>>);

#[derive(Default)]
pub struct Notes {
    /// Grows with everything that happened, in order.
    hash: DefaultHasher,
    /// The simulated time, as of the last step.
    pub now: Duration,
    /// Frames said over links, but for heartbeats.
    pub frames: u64,
    /// What a client said to a server, whether or not it was heard.
    pub said: BTreeSet<String>,
    pub acknowledged: Vec<Acknowledged>,
    pub servers: Vec<Server>,
    /// Connections that a server has to another since their handshake.
    pub links: BTreeMap<(String, String), i32>,
    /// What is on its way in each direction of each connection between servers.
    pub flights: BTreeMap<(SocketAddr, SocketAddr), Flight>,
    /// Handshakes begun, counted at each end.
    pub calls: u64,
    /// The digests that servers said last.
    pub roots: BTreeMap<String, Root>,
    /// How often updates were said over links, and asked for.
    pub updates: Updates,
    /// How long a record lives, in nanoseconds, if not for ever.
    ttl: Option<i128>,
    /// How much later than its time is up a record may be told: it waited for a neighbour that was stuck.
    told_late_ms: u64,
    /// The furthest that any clock was ahead of the right time.
    ahead_max: i64,
    /// Every record that was seen or told, where records expire.
    seen: BTreeMap<String, Vec<Record>>,
    /// What was violated.
    pub broken: Vec<Violation>,
    /// How often each invariant was checked.
    pub checks: BTreeMap<Invariant, u64>,
    /// What happened at least once.
    pub probes: BTreeSet<&'static str>,
}

/// How often something was done for updates.
#[derive(Clone, Copy, Default)]
pub struct Updates {
    pub said: u64,
    pub wanted: u64,
}

impl Notes {
    /// True if a record may be forgotten: by some clock its time was up, or that of a newer one which took its place.
    pub fn may_be_forgotten(&self, record: &Record) -> bool {
        let newer = self.seen.get(&record.client).into_iter().flatten();
        self.has_expired(record)
            || newer.filter(|newer| newer.cmp_age(record).is_ge()).any(|newer| self.has_expired(newer))
    }

    fn has_expired(&self, record: &Record) -> bool {
        self.ttl.is_some_and(|ttl| record.received + ttl <= self.clock(self.ahead_max))
    }

    /// What a clock shows that is so far ahead of the right time.
    fn clock(&self, ahead: i64) -> i128 {
        let since = turmoil::sim_elapsed().unwrap_or(self.now).as_nanos();
        i128::from(EPOCH) + i128::try_from(since).unwrap_or(i128::MAX) + i128::from(ahead)
    }

    /// Remembers that there was a record, where records expire.
    fn saw(&mut self, record: &Record) {
        if self.ttl.is_some() {
            let seen = self.seen.entry(record.client.clone()).or_default();
            if !seen.contains(record) {
                seen.push(record.clone());
            }
        }
    }
}

/// A record that a server has told a client it took.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub server: usize,
    pub at_ms: u64,
    pub record: Record,
    /// True if it may be lost all the same.
    pub is_excused: bool,
}

/// What is on its way in one direction of a connection.
#[derive(Default)]
pub struct Flight {
    /// Bytes that were written and not read.
    pub bytes: usize,
    /// Who waits for some of them to be read.
    pub writer: Option<Waker>,
    /// True once nobody will read them.
    pub is_gone: bool,
}

/// One server, as it was when it was last looked at.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pub name: String,
    /// How often it has begun.
    pub incarnation: u32,
    pub is_up: bool,
    /// True once it was told to stop.
    pub is_leaving: bool,
    /// True once it ends by itself: it stopped, or could not go on.
    pub has_ended: bool,
    /// What it is slowed by now.
    pub hindered: u32,
    /// How often it was slowed by something, and when that changed last.
    pub hindrances: u32,
    pub hindered_ms: u64,
    /// How often it has lost its power.
    pub losses: u32,
    /// The records that damages of its disk may have cost.
    damaged: Vec<Record>,
    /// Its record lines, and the same by client.
    pub dump: Vec<Box<[u8]>>,
    pub known: Memory,
    /// How often it was looked at in this life.
    looks: u64,
    pub pledges: Pledges,
    pub census: Census,
    /// How far its clock is ahead of the right time, in nanoseconds, and since when, in milliseconds.
    pub ahead: i64,
    ahead_since_ms: u64,
}

impl Server {
    /// True while something slows it down, or did a moment ago: what a slow disk has begun goes on for a while.
    pub fn is_hindered(&self) -> bool {
        self.hindered > 0 || (self.hindrances > 0 && self.hindered_ms + HINDERED_MS >= now_ms())
    }

    /// True if a record may have been lost by a damage of the disk.
    fn has_damaged(&self, record: &Record) -> bool {
        let is_it = |cost: &Record| cost.client == record.client && record.cmp_age(cost).is_le();
        self.damaged.iter().any(is_it)
    }
}

impl Trace {
    /// Nothing has happened yet to servers with some limits.
    pub fn new(limits: &Limits) -> Self {
        watch_panics();
        let trace = Self::default();
        let mut notes = trace.notes();
        notes.ttl = limits.record_ttl_ms.map(|ms| i128::from(ms) * 1_000_000);
        notes.told_late_ms = limits.silent_ms + CLOCK_LATE_MS;
        drop(notes);
        trace
    }

    /// Sets a server's clock ahead of the right time by some nanoseconds, or behind.
    pub fn set_clock(&self, server: usize, ahead: i64) {
        let mut notes = self.notes();
        let now_ms = millis(notes.now);
        notes.ahead_max = notes.ahead_max.max(ahead);
        notes.servers[server].ahead = ahead;
        notes.servers[server].ahead_since_ms = now_ms;
    }

    /// Notes a record line that a server told: by its own clock it has not expired for long.
    pub fn told(&self, server: &str, line: &[u8]) {
        let record = std::str::from_utf8(line).ok().and_then(Record::of_line);
        let mut notes = self.notes();
        // Who hears it may forget both it and what it knew before anybody has looked at who told it, or was answered.
        if let Some(record) = &record {
            notes.saw(record);
        }
        let Some(ttl) = notes.ttl else { return };
        let Some(teller) = notes.servers.iter().find(|known| known.name == server) else { return };
        // Records expire in steps, the clock is looked at every now and then, and a neighbour may have been stuck.
        let dies = ttl + ttl / 16 + i128::from(notes.told_late_ms) * 1_000_000;
        let now = notes.clock(teller.ahead);
        let is_clock_steady = teller.ahead_since_ms + notes.told_late_ms < now_ms();
        drop(notes);
        let is_alive = record.as_ref().is_some_and(|record| record.received + dies > now);
        self.ensure(Invariant::ExpiredIsForgotten, is_alive || !is_clock_steady, || {
            format!("{server} tells {record:?} at {now}")
        });
    }

    /// Notes that there is one more server; its number is returned.
    pub fn begin(&self, name: &str, durability: Option<Durability>) -> usize {
        let mut notes = self.notes();
        let pledges = Pledges::new(durability);
        notes.servers.push(Server { name: name.to_owned(), pledges, ..Server::default() });
        notes.servers.len() - 1
    }

    /// Notes that a server begins; the number of this life is returned.
    pub fn revive(&self, server: usize) -> u32 {
        let server = &mut self.notes().servers[server];
        server.incarnation += 1;
        server.is_leaving = false;
        server.has_ended = false;
        server.looks = 0;
        server.known.clear();
        server.dump.clear();
        server.incarnation
    }

    /// Notes that something slows a server down, or no longer does: nobody looks at the time then.
    pub fn hinder(&self, server: usize, is_hindered: bool) {
        let mut notes = self.notes();
        let now_ms = millis(notes.now);
        let server = &mut notes.servers[server];
        server.hindrances += 1;
        server.hindered_ms = now_ms;
        server.hindered = if is_hindered { server.hindered + 1 } else { server.hindered.saturating_sub(1) };
        let what = format!("{} is hindered by {}", server.name, server.hindered);
        drop(notes);
        self.happened(&what);
    }

    /// Notes that a client heard that a server took its record. It may have been said by a life before the present one.
    pub fn acknowledged(&self, server: usize, then: &Server, record: Record) {
        let mut notes = self.notes();
        let now = &mut notes.servers[server];
        let is_of_before = now.incarnation != then.incarnation || !now.is_up;
        let is_lost = now.losses != then.losses && now.pledges.durability != Some(Durability::Sync);
        let is_excused =
            if now.pledges.durability.is_none() { is_of_before } else { is_lost || now.has_damaged(&record) };
        let at_ms = now_ms();
        if !is_excused && (now.looks == 0 || !is_of_before) {
            now.pledges.note(&record, true, at_ms);
        }
        notes.saw(&record);
        let what = format!("{} has acknowledged {record:?}, excused: {is_excused}", then.name);
        notes.acknowledged.push(Acknowledged { server, at_ms, record, is_excused });
        drop(notes);
        self.happened(&what);
    }

    /// Notes that a server's process is gone, and perhaps the power with it.
    pub fn ended(&self, server: usize, is_power_lost: bool) {
        let mut notes = self.notes();
        let Notes { servers, acknowledged, .. } = &mut *notes;
        let gone = &mut servers[server];
        gone.is_up = false;
        gone.pledges.end();
        let mut must_have_survived = if gone.pledges.durability.is_none() { 0 } else { u64::MAX };
        if is_power_lost {
            gone.losses += 1;
            must_have_survived = gone.pledges.lose_power();
        }
        for record in acknowledged.iter_mut().filter(|record| record.server == server) {
            record.is_excused |= record.at_ms > must_have_survived;
        }
    }

    /// Notes that a server has stopped as it should, and made sure of all that it knows.
    pub fn settled(&self, server: usize) {
        self.notes().servers[server].pledges.settle(now_ms());
    }

    /// Notes that a server's disk was damaged, which may have cost some records.
    pub fn damaged(&self, server: usize, costs: &[Record]) {
        let mut notes = self.notes();
        let Notes { servers, acknowledged, .. } = &mut *notes;
        servers[server].damaged.extend_from_slice(costs);
        for cost in costs {
            servers[server].pledges.excuse(cost);
        }
        for told in acknowledged.iter_mut().filter(|told| told.server == server) {
            told.is_excused |= servers[server].has_damaged(&told.record);
        }
    }

    /// Nobody panics while holding it, and if somebody did, the simulation has failed anyway.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn hit(&self, probe: &'static str) {
        self.notes().probes.insert(probe);
    }

    pub fn happened(&self, what: &str) {
        let mut notes = self.notes();
        let at = turmoil::sim_elapsed().unwrap_or(notes.now);
        (at.as_nanos(), what).hash(&mut notes.hash);
        drop(notes);
        if is_shown() {
            println!("{:>9.3} {what}", at.as_secs_f64());
        }
    }

    pub fn broke(&self, invariant: Invariant, what: String) {
        self.happened(&what);
        self.notes().broken.push(Violation { invariant, what });
    }

    /// Notes a violation unless something holds.
    pub fn ensure(&self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        *self.notes().checks.entry(invariant).or_default() += 1;
        if !holds {
            self.broke(invariant, what());
        }
    }

    pub fn hash(&self) -> u64 {
        self.notes().hash.finish()
    }

    /// Notes that a server has one link more to a neighbour, or one less.
    pub fn linked(&self, here: &str, there: &str, more: i32) {
        let mut notes = self.notes();
        let links = notes.links.entry((here.to_owned(), there.to_owned())).or_default();
        *links += more;
        if *links > 1 {
            notes.probes.insert("there were two links for a moment");
        }
        drop(notes);
        self.happened(&format!("{here} has {more:+} link to {there}"));
    }

    /// Looks at what a server knows: no record of a server may go backwards before its time is up, and no limit be
    /// passed.
    pub fn looked_at(&self, server: usize, dump: &[Box<[u8]>], census: Census, limits: &Limits) {
        let lines = dump.iter().filter_map(|line| Record::of_line(std::str::from_utf8(line).ok()?));
        let known: Memory = lines.map(|record| (record.client.clone(), record)).collect();
        let load = census.load;
        let mut notes = self.notes();
        if census.counts.stale > 0 {
            notes.probes.insert("a stale record was told");
        }
        let seen = &mut notes.servers[server];
        let name = seen.name.clone();
        let before = std::mem::replace(&mut seen.known, known.clone());
        seen.dump = dump.to_vec();
        seen.looks += 1;
        let is_first = seen.looks == 1;
        let mut missed = if is_first { seen.pledges.missed(&known) } else { Vec::new() };
        let news = known.values().filter(|record| before.get(&record.client) != Some(record));
        let news: Vec<Record> = news.cloned().collect();
        for record in &news {
            seen.pledges.note(record, false, now_ms());
        }
        if is_first {
            seen.pledges.settle(now_ms());
        } else if !seen.is_hindered() {
            seen.pledges.age(now_ms());
        }
        seen.census = census;
        if is_first && !known.is_empty() {
            notes.probes.insert("a server remembered");
        }
        if before.keys().any(|client| !known.contains_key(client)) {
            notes.probes.insert("a record expired");
        }
        for record in &news {
            notes.saw(record);
        }
        missed.retain(|record| !notes.may_be_forgotten(record));
        let is_kept =
            |record: &Record| known.get(&record.client).is_some_and(|now| now.cmp_age(record).is_ge());
        let back = before.into_values().filter(|record| !is_kept(record));
        let back: Vec<Record> = back.filter(|record| !notes.may_be_forgotten(record)).collect();
        drop(notes);
        self.ensure(Invariant::Kept, missed.is_empty(), || {
            format!("{name} has forgotten {missed:?}, and knows {known:?}")
        });
        self.ensure(Invariant::NothingInvented, known.len() == dump.len(), || {
            format!("{name} knows what is no record")
        });
        self.ensure(Invariant::NeverBackwards, back.is_empty(), || {
            format!("{name} went back from {back:?} to {known:?}")
        });
        let is_within = load.ring_bytes <= limits.ring_bytes
            && load.outbox_bytes <= limits.outbox_bytes
            && load.seen <= 2 * limits.seen_max
            && load.missing <= limits.missing_max
            && load.sources <= limits.sources_max
            && load.searches <= limits.searches_max
            && load.questions <= QUESTIONS_MAX;
        self.ensure(Invariant::WithinLimits, is_within, || format!("{name} is over its limits: {load:?}"));
    }
}

/// Questions about what is known that one neighbour may have waiting: 16 for sums, 1024 for buckets, on either side.
const QUESTIONS_MAX: usize = 2 * (16 + 1024);

/// How long after a record's time is up its server may not know that.
const CLOCK_LATE_MS: u64 = 2_000;

/// How long what a slow disk has begun may go on when it is slow no more: two syncs.
const HINDERED_MS: u64 = 1_500;

/// The simulated time, in milliseconds.
fn now_ms() -> u64 {
    millis(turmoil::sim_elapsed().unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether somebody wants to see all that happens.
pub fn is_shown() -> bool {
    std::env::var_os("HERD_TRACE").is_some()
}

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Panics on this thread so far: a simulation has a thread to itself.
pub fn panics() -> u32 {
    PANICS.get()
}

fn watch_panics() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
        if is_shown() && log::set_logger(&Shown).is_ok() {
            log::set_max_level(log::LevelFilter::Debug);
        }
    });
}

/// Shows what servers log, with the simulated time.
struct Shown;

impl log::Log for Shown {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("herd")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) && turmoil::in_simulation() {
            let at = turmoil::sim_elapsed().unwrap_or_default();
            println!("{:>9.3}     {} {}", at.as_secs_f64(), record.level(), record.args());
        }
    }

    fn flush(&self) {}
}
