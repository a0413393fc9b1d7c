//! A herd of real servers on a simulated network, and whatever is done to it.

use crate::disk::{Drive, LATENCY_MS};
use crate::invariants::Invariant;
use crate::phones::{Job, Phones};
use crate::server::{Life, Orders, Server};
use crate::trace::{self, Trace};
use herd_core::limits::Limits;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// The herd of topology.json.
pub const NAMES: [&str; 5] = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];
pub const LINKS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 4), (1, 4), (2, 3), (2, 4)];

pub const CLIENTS_PORT: u16 = 11645;
pub const PEERS_PORT: u16 = 12645;

/// The host on which all clients are.
const PHONES: &str = "phones";

/// When the right time begins, in nanoseconds since 1970.
pub const EPOCH: u64 = 1_520_023_934_000_000_000;

/// Pieces that one direction of any connection holds. Never reached: what turmoil does with an end that follows a
/// full buffer is to lose it. What a server may have on its way to another is bounded by `window`.
const TCP_CAPACITY: usize = 4096;

/// What a herd is like.
#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub limits: Limits,
    /// How long a piece of a connection between servers is on its way, at most.
    pub latency_ms: u64,
    /// How far the simulation goes in one step.
    pub tick_ms: u64,
    /// How many bytes one direction of a connection between servers holds before a write waits.
    pub window: usize,
    /// The same for a connection with a client.
    pub client_window: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            limits: Limits::default(),
            latency_ms: 20,
            tick_ms: 1,
            window: 64 * 1024,
            client_window: 2_000,
        }
    }
}

/// Servers, clients, and the network between them.
pub struct Herd {
    sim: turmoil::Sim<'static>,
    pub plan: Plan,
    pub trace: Trace,
    pub servers: Vec<Server>,
    /// How each server is told what to do.
    orders: Vec<Rc<Orders>>,
    /// The disk of each server.
    pub drives: Vec<Drive>,
    /// What is wrong between two servers.
    troubles: BTreeMap<(usize, usize), Trouble>,
    /// The servers that never reach each other again.
    parted: BTreeSet<(usize, usize)>,
    phones: Phones,
    /// Panics on this thread before this herd.
    panics: u32,
}

/// What is wrong between two servers.
#[derive(Clone, Copy)]
enum Trouble {
    /// Nothing gets from one to the other, nor back.
    Cut,
    /// Nothing gets from this one to that one.
    OneWay(usize, usize),
    /// Everything waits.
    Held,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// A server of the default herd.
pub fn server(at: usize) -> Server {
    let other = |&(here, there): &(usize, usize)| match at {
        _ if here == at => Some(NAMES[there]),
        _ if there == at => Some(NAMES[here]),
        _ => None,
    };
    Server { name: NAMES[at], neighbours: LINKS.iter().filter_map(other).collect(), ..Server::default() }
}

impl Herd {
    /// The herd of topology.json, about to start.
    pub fn new(plan: Plan) -> Self {
        Self::of(plan, (0..NAMES.len()).map(server).collect())
    }

    pub fn of(plan: Plan, servers: Vec<Server>) -> Self {
        let sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .simulation_duration(Duration::from_secs(100_000))
            .tick_duration(Duration::from_millis(plan.tick_ms))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(plan.latency_ms))
            .tcp_capacity(TCP_CAPACITY)
            .enable_random_order()
            .build();
        let trace = Trace::new(&plan.limits);
        let panics = trace::panics();
        let mut herd = Self {
            sim,
            plan,
            trace,
            servers: vec![],
            orders: vec![],
            drives: vec![],
            troubles: BTreeMap::new(),
            parted: BTreeSet::new(),
            phones: Phones::default(),
            panics,
        };
        let phones = herd.phones.clone();
        herd.sim.host(PHONES, move || phones.clone().serve());
        for server in servers {
            herd.add(server);
        }
        herd
    }

    /// Starts one more server.
    pub fn add(&mut self, server: Server) {
        let at = self.trace.begin(server.name, server.durability);
        let drive = Drive::new(server.name, self.plan.seed ^ (at as u64 + 1) << 40, self.trace.clone());
        let orders = Rc::new(Orders::default());
        let life = Life {
            at,
            server: server.clone(),
            plan: self.plan.clone(),
            trace: self.trace.clone(),
            drive: drive.clone(),
            orders: Rc::clone(&orders),
        };
        self.sim.host(server.name, move || life.clone().live());
        self.sim.set_link_latency(PHONES, server.name, Duration::from_millis(1));
        self.servers.push(server);
        self.drives.push(drive);
        self.orders.push(orders);
    }

    /// Lets time pass.
    pub fn run_ms(&mut self, ms: u64) {
        self.until(ms, |_| false);
    }

    /// Lets time pass until something is so; false if it is not so in time. Once anything is broken no time passes
    /// any more: what is broken may storm.
    pub fn until(&mut self, ms: u64, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let end = self.sim.elapsed() + Duration::from_millis(ms);
        while self.sim.elapsed() < end && !self.is_broken() {
            if is_so(self) {
                return true;
            }
            self.step();
        }
        is_so(self)
    }

    fn step(&mut self) {
        if let Err(error) = self.sim.step() {
            self.trace.broke(Invariant::NoPanic, format!("the simulation ended: {error}"));
        }
        self.trace.notes().now = self.sim.elapsed();
        for server in 0..self.servers.len() {
            self.bury(server);
        }
        let before = std::mem::replace(&mut self.panics, trace::panics());
        self.trace.ensure(Invariant::NoPanic, before == self.panics, || "somebody panicked".to_owned());
    }

    /// Clears up after a server that has ended by itself.
    fn bury(&mut self, server: usize) {
        let has_ended = std::mem::take(&mut self.trace.notes().servers[server].has_ended);
        if has_ended {
            // The operating system has what it was given, whatever became of its disk.
            self.end(server, false);
        }
    }

    /// Ends a server's process, and loses what its disk does not have if the power is lost.
    fn end(&mut self, server: usize, is_power_lost: bool) {
        self.drives[server].detach();
        self.trace.ended(server, is_power_lost);
        self.sim.crash(self.servers[server].name);
        if is_power_lost {
            self.drives[server].lose_power();
        }
    }

    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Has a client do something.
    pub fn send(&self, job: Job) {
        self.phones.send(job);
    }

    /// What a client is answered that sends some bytes to a server and then no more.
    pub fn ask(&mut self, server: usize, input: &str) -> String {
        let (answer, input) = (Rc::new(RefCell::new(None)), input.to_owned());
        let (slot, name) = (Rc::clone(&answer), self.servers[server].name);
        self.send(Box::pin(async move {
            let all = crate::phones::exchange(name, input.as_bytes()).await;
            *slot.borrow_mut() = Some(all.unwrap_or_else(|error| format!("({error})")));
        }));
        self.until(20_000, |_| answer.borrow().is_some());
        answer.take().unwrap_or_else(|| "(no end)".to_owned())
    }

    /// Has a client tell a server where it is; the herd must acknowledge it.
    pub fn tell(&mut self, server: usize, client: &str, location: &str) {
        let time = crate::records::seconds(i128::from(EPOCH) + i128::from(self.now_ms()) * 1_000_000);
        let answer = self.ask(server, &format!("IAMAT {client} {location} {time}\n"));
        let told = answer.starts_with("AT ") && answer.ends_with(&format!(" {client} {location} {time}\n"));
        self.trace.ensure(Invariant::LivingSideServes, told, || format!("{client} was answered {answer:?}"));
    }

    /// Kills a server's process.
    pub fn crash(&mut self, server: usize) {
        self.trace.happened(&format!("{} crashes", self.servers[server].name));
        self.end(server, false);
    }

    /// Cuts a server's power: nobody hears that it is gone, and what was not synced is at the mercy of the dice.
    pub fn cut_power(&mut self, server: usize) {
        self.trace.happened(&format!("{} has no power", self.servers[server].name));
        let name = self.servers[server].name;
        let others: Vec<&str> =
            self.servers.iter().map(|server| server.name).filter(|other| *other != name).collect();
        for other in others.iter().copied().chain([PHONES]) {
            self.sim.partition(name, other);
        }
        self.end(server, true);
        self.sim.release(name, PHONES);
        for other in (0..self.servers.len()).filter(|&other| other != server) {
            self.set_trouble(pair(server, other));
        }
    }

    pub fn start(&mut self, server: usize) {
        self.trace.happened(&format!("{} starts", self.servers[server].name));
        self.sim.bounce(self.servers[server].name);
    }

    /// Tells a server to stop as SIGTERM does.
    pub fn stop(&mut self, server: usize) {
        self.trace.notes().servers[server].is_leaving = true;
        self.orders[server].stop.notify_one();
    }

    /// Lets a server's process sleep for a while: for itself, all that time passes at once.
    pub fn oversleep(&mut self, server: usize, ms: u64) {
        self.orders[server].oversleep_ms.set(ms);
        self.trace.happened(&format!("{} oversleeps {ms} ms", self.servers[server].name));
    }

    /// Lets a server hear nobody and be heard by nobody, as if its process stood still.
    pub fn freeze(&mut self, server: usize) {
        for other in (0..self.servers.len()).filter(|&other| other != server) {
            self.hold(server, other);
        }
        self.sim.hold(self.servers[server].name, PHONES);
        self.trace.hinder(server, true);
    }

    /// Undoes that.
    pub fn thaw(&mut self, server: usize) {
        for other in (0..self.servers.len()).filter(|&other| other != server) {
            self.heal(server, other);
        }
        self.sim.release(self.servers[server].name, PHONES);
        self.trace.hinder(server, false);
    }

    /// Lets a server's disk take its time, or be as fast as it was.
    pub fn set_disk_latency(&mut self, server: usize, ms: Option<u64>) {
        self.drives[server].set_latency(ms.unwrap_or(LATENCY_MS));
        self.trace.hinder(server, ms.is_some());
    }

    /// True if a server neither runs nor is about to.
    pub fn is_gone(&mut self, server: usize) -> bool {
        !self.sim.is_host_running(self.servers[server].name)
    }

    pub fn is_up(&self, server: usize) -> bool {
        self.trace.notes().servers[server].is_up
    }

    /// Nothing gets from one server to another, nor back.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.trouble(a, b, Trouble::Cut);
    }

    /// Nothing gets from one server to another.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.trouble(from, to, Trouble::OneWay(from, to));
    }

    /// Everything between two servers waits.
    pub fn hold(&mut self, a: usize, b: usize) {
        self.trouble(a, b, Trouble::Held);
    }

    /// Two servers can reach each other again, if they are not parted; what waited arrives now.
    pub fn heal(&mut self, a: usize, b: usize) {
        if !self.parted.contains(&pair(a, b)) {
            self.troubles.remove(&pair(a, b));
            self.set_trouble(pair(a, b));
        }
    }

    /// Nothing gets from one server to another for ever, and nothing back but where it is one way.
    pub fn part(&mut self, from: usize, to: usize, is_one_way: bool) {
        if is_one_way {
            self.cut_one_way(from, to);
        } else {
            self.cut(from, to);
        }
        self.parted.insert(pair(from, to));
    }

    fn trouble(&mut self, a: usize, b: usize, trouble: Trouble) {
        if !self.parted.contains(&pair(a, b)) {
            self.troubles.insert(pair(a, b), trouble);
            self.set_trouble(pair(a, b));
        }
    }

    /// Has the network be between two servers as it is said to be.
    fn set_trouble(&mut self, (a, b): (usize, usize)) {
        let name = |server: usize| self.servers[server].name;
        match self.troubles.get(&(a, b)) {
            None => self.sim.release(name(a), name(b)),
            Some(Trouble::Cut) => self.sim.partition(name(a), name(b)),
            Some(Trouble::Held) => self.sim.hold(name(a), name(b)),
            Some(Trouble::OneWay(from, to)) => {
                self.sim.release(name(a), name(b));
                self.sim.partition_oneway(name(*from), name(*to));
            }
        }
    }

    pub fn set_latency(&mut self, a: usize, b: usize, ms: u64) {
        self.sim.set_link_max_message_latency(
            self.servers[a].name,
            self.servers[b].name,
            Duration::from_millis(ms),
        );
    }

    /// Sets a server's clock ahead of the right time, or behind.
    pub fn set_clock(&mut self, server: usize, ahead_ms: i64) {
        self.trace.set_clock(server, ahead_ms * 1_000_000);
    }

    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.servers.len();
        (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()
    }

    /// Undoes all that was done to the network.
    pub fn heal_network(&mut self) {
        for (a, b) in self.pairs() {
            self.heal(a, b);
            self.set_latency(a, b, self.plan.latency_ms);
        }
    }

    /// Starts who is down.
    pub fn start_all(&mut self) {
        for server in 0..self.servers.len() {
            if self.is_gone(server) {
                self.start(server);
            }
        }
    }

    /// The servers by who can reach whom, through others too, when nothing is wrong but what stays wrong for ever.
    pub fn sides(&self) -> Vec<Vec<usize>> {
        let mut sides: Vec<Vec<usize>> = Vec::new();
        for server in 0..self.servers.len() {
            let is_near = |side: &Vec<usize>| side.iter().any(|&other| self.are_neighbours(server, other));
            let (near, far): (Vec<_>, Vec<_>) = sides.into_iter().partition(is_near);
            sides = far;
            sides.push(near.into_iter().flatten().chain([server]).collect());
        }
        sides
    }

    /// True if two servers are to have a link, and can.
    fn are_neighbours(&self, a: usize, b: usize) -> bool {
        let (one, other) = (&self.servers[a], &self.servers[b]);
        let is_wanted = one.neighbours.contains(&other.name) || other.neighbours.contains(&one.name);
        is_wanted && !self.parted.contains(&pair(a, b))
    }

    /// True if all servers that are up know the same as those that they can reach, as far as was looked.
    pub fn is_equal(&self) -> bool {
        let notes = self.trace.notes();
        self.sides().into_iter().all(|side| {
            let mut up = side.into_iter().map(|server| &notes.servers[server]).filter(|server| server.is_up);
            let Some(first) = up.next() else { return true };
            up.all(|server| server.dump == first.dump)
        })
    }

    /// What is not known alike by all servers that are up, and by whom it is known.
    pub fn difference(&self) -> String {
        let notes = self.trace.notes();
        let up: Vec<_> = notes.servers.iter().filter(|server| server.is_up).collect();
        let mut knowers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for server in &up {
            for record in server.known.values() {
                knowers.entry(format!("{record:?}")).or_default().push(&server.name);
            }
        }
        knowers.retain(|_, servers| servers.len() < up.len());
        format!("{knowers:?}")
    }

    /// True if a server knows where a client is.
    pub fn knows(&self, server: usize, client: &str) -> bool {
        self.trace.notes().servers[server].known.contains_key(client)
    }

    /// True if every server knows where a client is.
    pub fn all_know(&self, client: &str) -> bool {
        (0..self.servers.len()).all(|server| self.knows(server, client))
    }

    /// True if two servers have one link, and both of them think so.
    pub fn are_linked(&self, a: usize, b: usize) -> bool {
        let notes = self.trace.notes();
        let (a, b) = (&notes.servers[a], &notes.servers[b]);
        let one = |here: &str, there: &str| notes.links.get(&(here.to_owned(), there.to_owned())) == Some(&1);
        let think = a.census.links.contains_key(&b.name) && b.census.links.contains_key(&a.name);
        think && one(&a.name, &b.name) && one(&b.name, &a.name)
    }

    /// True if every server is up, and every pair of neighbours that can reach each other has one link.
    pub fn is_linked(&self) -> bool {
        let are_up = (0..self.servers.len()).all(|server| self.is_up(server));
        are_up && self.pairs().into_iter().all(|(a, b)| !self.are_neighbours(a, b) || self.are_linked(a, b))
    }

    /// True if anything was violated.
    pub fn is_broken(&self) -> bool {
        !self.trace.notes().broken.is_empty()
    }

    /// Fails the test if anything was violated.
    pub fn assert_sound(&self) {
        let broken = self.trace.notes().broken.clone();
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
