//! What happened in a simulation, what must not have happened, and what did happen at least once.

use crate::records::Record;
use herd_actors::messages::Census;
use herd_core::limits::Limits;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::task::Waker;
use uuid::Uuid;

/// Everything that is noted about one simulation. Shared by its hosts, which take turns on one thread.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Notes>>);

#[derive(Default)]
pub struct Notes {
    /// Grows with everything that happened, in order.
    hash: DefaultHasher,
    /// Frames said over links, but for heartbeats.
    pub frames: u64,
    /// Who asked whom in which search: server, its incarnation, neighbour.
    asked: BTreeSet<(String, u32, String, Uuid)>,
    /// What a client said to a server, whether or not it was heard.
    pub said: BTreeSet<String>,
    /// The records that a server acknowledged, and in which incarnation.
    pub acknowledged: Vec<(usize, u32, Record)>,
    pub servers: Vec<Server>,
    /// Connections that a server has to another since their handshake.
    pub links: BTreeMap<(String, String), i32>,
    /// What is on its way in each direction of each connection between servers.
    pub flights: BTreeMap<(SocketAddr, SocketAddr), Flight>,
    /// Handshakes begun, counted at each end.
    pub calls: u64,
    /// What was violated.
    pub broken: Vec<String>,
    /// What happened at least once.
    pub probes: BTreeSet<&'static str>,
}

/// What is on its way in one direction of a connection.
#[derive(Default)]
pub struct Flight {
    /// Bytes that were written and not read.
    pub bytes: usize,
    /// Who waits for some of them to be read.
    pub writer: Option<Waker>,
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
    /// Its record lines by client.
    pub known: BTreeMap<String, Record>,
    pub census: Census,
    /// How far its clock is ahead of the right time, in nanoseconds.
    pub ahead: i64,
}

impl Trace {
    pub fn new() -> Self {
        watch_panics();
        Self::default()
    }

    /// Notes that there is one more server; its number is returned.
    pub fn begin(&self, name: &str) -> usize {
        let mut notes = self.notes();
        notes.servers.push(Server { name: name.to_owned(), ..Server::default() });
        notes.servers.len() - 1
    }

    /// Notes that a server begins with an empty memory; the number of this life is returned.
    pub fn revive(&self, server: usize) -> u32 {
        let server = &mut self.notes().servers[server];
        server.incarnation += 1;
        server.is_leaving = false;
        server.known.clear();
        server.incarnation
    }

    /// Nobody panics while holding it, and if somebody did, the simulation has failed anyway.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn hit(&self, probe: &'static str) {
        self.notes().probes.insert(probe);
    }

    pub fn happened(&self, what: &str) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        (at.as_nanos(), what).hash(&mut self.notes().hash);
        if is_shown() {
            println!("{:>9.3} {what}", at.as_secs_f64());
        }
    }

    pub fn broke(&self, what: String) {
        self.happened(&what);
        self.notes().broken.push(what);
    }

    pub fn ensure(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broke(what());
        }
    }

    pub fn hash(&self) -> u64 {
        self.notes().hash.finish()
    }

    /// Notes that a server asked a neighbour in a search.
    pub fn asked(&self, from: &str, to: &str, search: Uuid) {
        let mut notes = self.notes();
        let incarnation =
            notes.servers.iter().find(|server| server.name == from).map_or(0, |server| server.incarnation);
        let is_first = notes.asked.insert((from.to_owned(), incarnation, to.to_owned(), search));
        drop(notes);
        self.ensure(is_first, || format!("{from} asked {to} twice in search {search}"));
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

    /// Looks at what a server knows: no record of one life of a server may go backwards before its time is up by the
    /// server's clock, and no limit be passed.
    pub fn looked_at(&self, server: usize, dump: &[Box<[u8]>], census: Census, limits: &Limits, clock: u64) {
        let lines = dump.iter().filter_map(|line| Record::of_line(std::str::from_utf8(line).ok()?));
        let known: BTreeMap<String, Record> = lines.map(|record| (record.client.clone(), record)).collect();
        let load = census.load;
        let mut notes = self.notes();
        let before = std::mem::replace(&mut notes.servers[server].known, known.clone());
        let name = notes.servers[server].name.clone();
        if census.counts.stale > 0 {
            notes.probes.insert("a stale record was told");
        }
        notes.servers[server].census = census;
        drop(notes);
        self.ensure(known.len() == dump.len(), || format!("{name} knows what is no record"));
        let lifetime = limits.record_ttl_ms.map_or(i128::MAX, |ms| i128::from(ms) * 1_000_000);
        for (client, record) in before {
            if i128::from(clock) - record.received >= lifetime {
                continue;
            }
            let is_kept = known.get(&client).is_some_and(|now| now.cmp_age(&record).is_ge());
            self.ensure(is_kept, || format!("{name} went back from {record:?} to {:?}", known.get(&client)));
        }
        let is_within = load.ring_bytes <= limits.ring_bytes
            && load.outbox_bytes <= limits.outbox_bytes
            && load.seen <= 2 * limits.seen_max
            && load.missing <= limits.missing_max
            && load.sources <= limits.sources_max
            && load.searches <= limits.searches_max;
        self.ensure(is_within, || format!("{name} is over its limits: {load:?}"));
    }
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
