//! What must hold whatever happens, by number; and what is checked when a story is over.
//!
//! 2 to 5, 7, 10 to 12, 14 and 15 are checked all along, by whoever sees what they are about: the look that is taken at
//! every server ten times a second (`trace`), the clients (`phones`), the ears on every link (`network`), the disks
//! (`disk`), and the servers' own lives (`server`). The others, and 2 and 3 once more, are checked here, once all faults
//! are undone but a partition that is for ever, and the herd has had the time that it is given to come to rest.

use crate::disk::Drive;
use crate::herd::{Herd, LINKS, NAMES};
use crate::records::{Record, nanos};
use crate::trace::{Acknowledged, Server};
use herd_core::digest::{Key, Root};
use herd_core::replica::Counts;
use std::collections::BTreeSet;
use std::fmt;

/// What must hold. The numbers are those by which a violation is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// All servers that can reach each other find each other, and dump the same bytes.
    Agreement = 1,
    /// Every acknowledged IAMAT is at or below the final record of its client on every server, and what a server has
    /// promised to know survives what it has promised to survive.
    Kept = 2,
    /// No record is known, and none is answered, that no client said.
    NothingInvented = 3,
    /// On one server no record goes backwards, restarts included.
    NeverBackwards = 4,
    /// Queues, rings, sets and buffers stay within their limits.
    WithinLimits = 5,
    /// The digest that a server says is the one that a stranger computes from its dump.
    TrueDigest = 6,
    /// Each command gets exactly one answer, in order and in time, or its connection closes.
    OneAnswerEach = 7,
    /// Once servers know the same, nothing is applied, written, dialled or said but heartbeats and equal digests.
    Silence = 8,
    /// A record from a future clock never outlives a later sane one.
    FutureYields = 9,
    /// Searches end in time, and ask each server at most once over a connection.
    SearchesEnd = 10,
    /// No task panics, and nobody says what a neighbour cannot read.
    NoPanic = 11,
    /// A server that is told to stop has stopped in time, and has made sure of all that it knows.
    StopsInTime = 12,
    /// Servers on the living side of a partition that is for ever go on serving.
    LivingSideServes = 13,
    /// A server ends when its disk has failed, does not touch it again, and ends for no other reason.
    DeadDiskIsLeft = 14,
    /// What has expired is not told.
    ExpiredIsForgotten = 15,
    /// Where nothing is wrong an update comes to each server once, and nobody has to ask for it.
    TreesSettle = 16,
    /// A link that is stuck keeps updates from nobody for whom there is another way.
    DetoursAreTaken = 17,
}

impl Invariant {
    /// All of them, by number.
    pub const ALL: [Self; 17] = [
        Self::Agreement,
        Self::Kept,
        Self::NothingInvented,
        Self::NeverBackwards,
        Self::WithinLimits,
        Self::TrueDigest,
        Self::OneAnswerEach,
        Self::Silence,
        Self::FutureYields,
        Self::SearchesEnd,
        Self::NoPanic,
        Self::StopsInTime,
        Self::LivingSideServes,
        Self::DeadDiskIsLeft,
        Self::ExpiredIsForgotten,
        Self::TreesSettle,
        Self::DetoursAreTaken,
    ];
}

/// One that does not hold.
#[derive(Clone)]
pub struct Violation {
    pub invariant: Invariant,
    pub what: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, what } = self;
        write!(f, "{} {invariant:?}: {what}", *invariant as u8)
    }
}

/// A herd whose story is over: its faults are undone, and it is left alone.
pub struct Ending<'a> {
    pub herd: &'a mut Herd,
    /// True if updates are passed on as they come.
    pub floods: bool,
    /// True if servers compare what they know every now and then.
    pub compares: bool,
    /// True if some server hears a neighbour that does not hear it, so that they call each other for ever.
    pub is_deaf: bool,
}

impl Ending<'_> {
    /// Checks all that is left to be checked. What is broken may storm, so nothing follows the first violation.
    pub fn check(&mut self) {
        let checks: [fn(&mut Self); 9] = [
            Self::find_each_other,
            Self::agree,
            Self::fall_silent,
            Self::tell_the_truth,
            Self::remember,
            Self::serve,
            Self::settle,
            Self::take_detours,
            Self::overrun,
        ];
        for check in checks {
            if !self.herd.is_broken() {
                check(self);
            }
        }
    }

    /// The longest that a herd needs to have all its links again: a neighbour is noticed to be lost, perhaps only
    /// by one side, which is refused while the other side has not noticed, and dials again.
    fn bound_ms(&self) -> u64 {
        let limits = &self.herd.plan.limits;
        2 * limits.silent_ms + 2 * limits.redial_max_ms + limits.connect_ms + limits.handshake_ms + 3_000
    }

    fn find_each_other(&mut self) {
        self.converge();
        if !self.floods {
            self.heal_hop_by_hop();
        }
    }

    fn converge(&mut self) {
        let is_linked = self.herd.until(self.bound_ms(), Herd::is_linked);
        self.herd
            .trace
            .ensure(Invariant::Agreement, is_linked, || "the servers do not find each other".to_owned());
    }

    /// Without a flood, news goes one hop with every new set of links. The herd is three hops wide.
    fn heal_hop_by_hop(&mut self) {
        for _ in 0..3 {
            for (a, b) in self.herd.pairs() {
                self.herd.cut(a, b);
            }
            self.herd.run_ms(self.herd.plan.limits.silent_ms + 2_000);
            self.herd.heal_network();
            self.converge();
            self.come_to_rest();
        }
    }

    /// Waits until nobody has anything to say any more, but that all is well.
    fn come_to_rest(&mut self) {
        for _ in 0..40 {
            let before = self.herd.trace.notes().frames;
            self.herd.run_ms(500);
            if self.herd.trace.notes().frames == before {
                return;
            }
        }
    }

    fn agree(&mut self) {
        let is_equal = self.herd.until(self.bound_ms(), Herd::is_equal);
        let Herd { trace, .. } = &self.herd;
        trace.ensure(Invariant::Agreement, is_equal, || {
            format!("the servers do not agree: {}", self.herd.difference())
        });
    }

    /// Where records expire, servers may have to talk about that: then there is to be silence before long.
    fn fall_silent(&mut self) {
        self.herd.run_ms(self.herd.plan.limits.search_ms + 1_000);
        let tries = if self.herd.plan.limits.record_ttl_ms.is_some() { 5 } else { 1 };
        let mut activity = None;
        for _ in 0..tries {
            activity = self.activity();
            if activity.is_none() {
                break;
            }
        }
        let trace = self.herd.trace.clone();
        trace.ensure(Invariant::Silence, activity.is_none(), || format!("no silence: {activity:?}"));
        let censuses: Vec<_> = trace.notes().servers.iter().map(|server| server.census.clone()).collect();
        for census in censuses {
            let load = census.load;
            let is_idle = load.searches == 0 && load.outbox_bytes == 0 && census.counts.malformed == 0;
            trace.ensure(Invariant::Silence, is_idle, || format!("not at rest: {census:?}"));
        }
    }

    /// What changes in four heartbeats, if anything does.
    fn activity(&mut self) -> Option<String> {
        let is_deaf = self.is_deaf;
        let activity = move |herd: &Herd| {
            let notes = herd.trace.notes();
            // What expires does so at any time.
            let quiet = |server: &Server| Counts { expired: 0, ..server.census.counts };
            let counts: Vec<Counts> = notes.servers.iter().map(quiet).collect();
            let appended: Vec<u64> = herd.drives.iter().map(Drive::appended).collect();
            (notes.frames, if is_deaf { 0 } else { notes.calls }, counts, appended)
        };
        let before = activity(self.herd);
        self.herd.run_ms(4 * self.herd.plan.limits.heartbeat_ms);
        let after = activity(self.herd);
        (before != after).then(|| format!("{before:?}, then {after:?}"))
    }

    /// Has every server that has neighbours say its digest, and computes it again.
    fn tell_the_truth(&mut self) {
        let limits = &self.herd.plan.limits;
        if !self.compares || limits.digest_ms > DIGEST_MS_MAX || limits.record_ttl_ms.is_some() {
            return;
        }
        let bound_ms = 2 * limits.digest_ms + 1_000;
        let talkers: BTreeSet<&str> =
            self.herd.sides().iter().filter(|side| side.len() > 1).flatten().map(|&at| NAMES[at]).collect();
        self.herd.trace.notes().roots.clear();
        let have_said = |herd: &Herd| talkers.iter().all(|name| herd.trace.notes().roots.contains_key(*name));
        let is_said = self.herd.until(bound_ms, have_said);
        let trace = &self.herd.trace;
        let (servers, roots) = {
            let notes = trace.notes();
            (notes.servers.clone(), notes.roots.clone())
        };
        trace.ensure(Invariant::TrueDigest, is_said, || format!("not everybody compares: {roots:?}"));
        for server in servers.iter().filter(|server| talkers.contains(&*server.name)) {
            let lines = server.dump.iter();
            let root = lines.fold(0, |sum: Root, line| sum.wrapping_add(Key::default().sum(line)));
            let said = roots.get(&server.name);
            trace.ensure(Invariant::TrueDigest, said == Some(&root), || {
                format!("{} says {said:x?}, and its dump sums up to {root:x}", server.name)
            });
        }
    }

    fn remember(&mut self) {
        let trace = &self.herd.trace;
        let (servers, said, acknowledged) = {
            let notes = trace.notes();
            (notes.servers.clone(), notes.said.clone(), notes.acknowledged.clone())
        };
        for record in servers.iter().flat_map(|server| server.known.values()) {
            let is_said = said.contains(&record.saying());
            trace.ensure(Invariant::NothingInvented, is_said, || format!("{record:?} was invented"));
        }
        for side in self.herd.sides() {
            let known = &servers[side[0]].known;
            let told = acknowledged.iter().filter(|told| side.contains(&told.server) && !told.is_excused);
            for Acknowledged { record, at_ms, .. } in told {
                let kept = known.get(&record.client);
                let is_kept = kept.is_some_and(|kept| kept.cmp_age(record).is_ge());
                let may_be_gone = trace.notes().may_be_forgotten(record);
                trace.ensure(Invariant::Kept, is_kept || may_be_gone, || {
                    format!("{record:?} was acknowledged at {at_ms} ms, {kept:?} is known")
                });
                let is_outlived = kept.is_some_and(|kept| is_wrongly_outlived(record, kept));
                trace.ensure(Invariant::FutureYields, !is_outlived || may_be_gone, || {
                    format!("{kept:?} is from the future and outlives {record:?}")
                });
            }
        }
    }

    /// Every server takes check-ins, and the others on its side of a partition hear of them.
    fn serve(&mut self) {
        for side in self.herd.sides() {
            for &server in &side {
                self.tell(&side, server, 0);
            }
        }
    }

    /// Tells a server of a new client; all on its side are to hear of it.
    fn tell(&mut self, side: &[usize], server: usize, number: u32) {
        let client = format!("new-at-{}-{number}", NAMES[server]);
        let hearers = if self.floods { side } else { &[server] };
        let is_known = self.gets_round(hearers, server, &client, 3_000);
        self.herd
            .trace
            .ensure(Invariant::LivingSideServes, is_known, || format!("{client} did not get round {side:?}"));
    }

    /// Tells a server of a client; true if all hearers know it in time.
    fn gets_round(&mut self, hearers: &[usize], server: usize, client: &str, ms: u64) -> bool {
        self.herd.tell(server, client, "+1-1");
        self.herd.until(ms, |herd| hearers.iter().all(|&hearer| herd.knows(hearer, client)))
    }

    /// After some updates of a server each of the others gets the next one once. Links compete every now and then, so
    /// that not every update must go round like that.
    fn settle(&mut self) {
        if !self.floods {
            return;
        }
        for side in self.herd.sides() {
            for &server in &side {
                let mut said = BTreeSet::new();
                let is_settled = (1..=UPDATES_TO_SETTLE).any(|number| {
                    let before = self.herd.trace.notes().updates;
                    self.tell(&side, server, number);
                    self.herd.run_ms(2 * self.herd.plan.latency_ms + CROSSING_MS);
                    let after = self.herd.trace.notes().updates;
                    said.insert((after.said - before.said, after.wanted - before.wanted));
                    self.herd.is_broken() || said.contains(&(side.len() as u64 - 1, 0))
                });
                self.herd.trace.ensure(Invariant::TreesSettle, is_settled, || {
                    format!("updates of {} are said and asked for so often: {said:?}", NAMES[server])
                });
            }
        }
    }

    /// Holds one link after the other, for less than it takes to be given up, where there is another way round.
    fn take_detours(&mut self) {
        let sides = self.herd.sides();
        if !self.floods || sides.len() > 1 {
            return;
        }
        for (a, b) in LINKS.into_iter().filter(|link| *link != DEAD_END) {
            let client = format!("not-from-{}-to-{}", NAMES[a], NAMES[b]);
            self.herd.hold(a, b);
            let is_known = self.gets_round(&sides[0], a, &client, DETOUR_MS);
            self.herd.heal(a, b);
            self.herd.trace.ensure(Invariant::DetoursAreTaken, is_known, || {
                format!("{client} came late: {}", self.herd.difference())
            });
            self.herd.run_ms(2 * self.herd.plan.limits.heartbeat_ms);
        }
    }

    /// Tells a server more at once than a small ring holds: what a link has missed of it is brought by comparing.
    fn overrun(&mut self) {
        if !self.floods {
            return;
        }
        for side in self.herd.sides() {
            let clients: Vec<String> = (0..CROWD).map(|number| format!("one-of-many-{number}")).collect();
            let lines: Vec<String> =
                clients.iter().map(|client| format!("IAMAT {client} +1-1 1\n")).collect();
            let answers = self.herd.ask(side[0], &lines.concat());
            let know_all = |herd: &Herd| {
                side.iter().all(|&hearer| clients.iter().all(|client| herd.knows(hearer, client)))
            };
            let is_known = self.herd.until(self.bound_ms(), know_all);
            self.herd.trace.ensure(Invariant::Agreement, is_known, || {
                format!("not all got round {side:?} that was answered by {answers}")
            });
        }
    }
}

/// So many clients are heard of at once.
const CROWD: usize = 30;

/// The only link to a server.
const DEAD_END: (usize, usize) = (2, 3);

/// How long an update may take over every other way: it is announced, asked for and sent once or twice, or digests are
/// compared because it is gone from the ring. A link that is silent for longer may be given up.
const DETOUR_MS: u64 = 1_000;

/// Where servers compare more seldom, nobody waits for it.
const DIGEST_MS_MAX: u64 = 5_000;

/// After so many updates a tree has settled.
const UPDATES_TO_SETTLE: u32 = 8;

/// How long an update that came to all may still be on its way over some link, or be announced or asked for.
const CROSSING_MS: u64 = 250;

/// True if a sane record came after the clock at which one from the future was received, and lost against it.
fn is_wrongly_outlived(sane: &Record, future: &Record) -> bool {
    let is_later = nanos(&sane.time).is_some_and(|time| time > future.received);
    future.is_from_the_future() && !sane.is_from_the_future() && is_later
}
