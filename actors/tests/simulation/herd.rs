//! A herd of real servers on a simulated network, and whatever is done to it.

use crate::dice::Dice;
use crate::network::Simulated;
use crate::phones::{Job, Phones};
use crate::trace::{self, Trace};
use actix::{Actor, Context, Handler};
use herd_actors::door::Credentials;
use herd_actors::messages::Near;
use herd_actors::net::Seams;
use herd_actors::node::{Neighbour, Node, Settings};
use herd_actors::panics::Panicked;
use herd_core::handshake::Secret;
use herd_core::limits::Limits;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

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

/// How often each server is looked at.
const LOOK: Duration = Duration::from_millis(100);

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
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, limits: Limits::default(), latency_ms: 20, tick_ms: 1, window: 64 * 1024 }
    }
}

/// What one server is like.
#[derive(Clone, Default)]
pub struct Server {
    pub name: &'static str,
    pub neighbours: Vec<&'static str>,
    pub open: bool,
    pub secret: &'static str,
}

/// Servers, clients, and the network between them.
pub struct Herd {
    sim: turmoil::Sim<'static>,
    pub plan: Plan,
    pub trace: Trace,
    pub servers: Vec<Server>,
    /// How each server is told to stop.
    stops: Vec<Rc<Notify>>,
    phones: Phones,
    /// Panics on this thread before this herd.
    panics: u32,
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
        let trace = Trace::new();
        let panics = trace::panics();
        let mut herd =
            Self { sim, plan, trace, servers: vec![], stops: vec![], phones: Phones::default(), panics };
        let phones = herd.phones.clone();
        herd.sim.host(PHONES, move || phones.clone().serve());
        for server in servers {
            herd.add(server);
        }
        herd
    }

    /// Starts one more server.
    pub fn add(&mut self, server: Server) {
        let at = self.trace.begin(server.name);
        let stop = Rc::new(Notify::new());
        let (plan, trace) = (self.plan.clone(), self.trace.clone());
        let (told, settled) = (Rc::clone(&stop), server.clone());
        self.sim.host(server.name, move || {
            serve(at, settled.clone(), plan.clone(), trace.clone(), Rc::clone(&told))
        });
        self.sim.set_link_latency(PHONES, server.name, Duration::from_millis(1));
        self.servers.push(server);
        self.stops.push(stop);
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
            self.trace.broke(format!("the simulation ended: {error}"));
        }
        let panics = trace::panics();
        if panics != self.panics {
            self.panics = panics;
            self.trace.broke("somebody panicked".to_owned());
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
        self.trace.ensure(told, || format!("{client} was answered {answer:?}"));
    }

    pub fn crash(&mut self, server: usize) {
        self.trace.happened(&format!("{} crashes", self.servers[server].name));
        self.trace.notes().servers[server].is_up = false;
        self.sim.crash(self.servers[server].name);
    }

    pub fn start(&mut self, server: usize) {
        self.trace.happened(&format!("{} starts", self.servers[server].name));
        self.sim.bounce(self.servers[server].name);
    }

    /// Tells a server to stop as SIGTERM does.
    pub fn stop(&mut self, server: usize) {
        self.trace.notes().servers[server].is_leaving = true;
        self.stops[server].notify_one();
    }

    pub fn is_up(&self, server: usize) -> bool {
        self.trace.notes().servers[server].is_up
    }

    /// Nothing gets from one server to another, nor back.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.sim.partition(self.servers[a].name, self.servers[b].name);
    }

    /// Nothing gets from one server to another.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.sim.partition_oneway(self.servers[from].name, self.servers[to].name);
    }

    /// Everything between two servers waits.
    pub fn hold(&mut self, a: usize, b: usize) {
        self.sim.hold(self.servers[a].name, self.servers[b].name);
    }

    /// Two servers can reach each other again; what waited arrives now.
    pub fn heal(&mut self, a: usize, b: usize) {
        self.sim.release(self.servers[a].name, self.servers[b].name);
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
        self.trace.notes().servers[server].ahead = ahead_ms * 1_000_000;
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
            if !self.is_up(server) {
                self.start(server);
            }
        }
    }

    /// True if all servers that are up know the same, as far as was looked.
    pub fn is_equal(&self) -> bool {
        let notes = self.trace.notes();
        let mut up = notes.servers.iter().filter(|server| server.is_up);
        let Some(first) = up.next() else { return true };
        up.all(|server| server.known == first.known)
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
        let think = a.census.links.contains(&b.name) && b.census.links.contains(&a.name);
        think && one(&a.name, &b.name) && one(&b.name, &a.name)
    }

    /// True if every server is up, and every pair of neighbours has one link.
    pub fn is_linked(&self) -> bool {
        let is_wanted = |a: usize, b: usize| {
            let (a, b) = (&self.servers[a], &self.servers[b]);
            a.neighbours.contains(&b.name) || b.neighbours.contains(&a.name)
        };
        let are_up = (0..self.servers.len()).all(|server| self.is_up(server));
        are_up && self.pairs().into_iter().all(|(a, b)| !is_wanted(a, b) || self.are_linked(a, b))
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

/// Stands for the places: every answer is the same.
struct Places;

/// What they answer.
pub const PLACES: &str = r#"{"html_attributions":[],"results":[],"status":"ZERO_RESULTS"}"#;

impl Actor for Places {
    type Context = Context<Self>;
}

impl Handler<Near> for Places {
    type Result = Result<Vec<Vec<u8>>, Panicked>;

    fn handle(&mut self, _: Near, _: &mut Self::Context) -> Self::Result {
        Ok(vec![PLACES.into()])
    }
}

/// One life of a server, from its start to its stop.
async fn serve(at: usize, server: Server, plan: Plan, trace: Trace, stop: Rc<Notify>) -> turmoil::Result {
    let incarnation = trace.revive(at);
    let seams = seams(at, &server, incarnation, &plan, &trace);
    let clock = Arc::clone(&seams.clock);
    let node = Node::start(settings(&server, &plan), Places.start().recipient(), seams).await?;
    trace.happened(&format!("{} is up", server.name));
    trace.notes().servers[at].is_up = true;
    while tokio::time::timeout(LOOK, stop.notified()).await.is_err() {
        trace.looked_at(at, &node.dump().await, node.census().await, &plan.limits, clock());
    }
    let began = Instant::now();
    node.stop().await;
    trace.notes().servers[at].is_up = false;
    trace.hit("a server was stopped");
    let took = began.elapsed();
    let is_late = took > Duration::from_millis(plan.limits.stop_ms);
    trace.ensure(!is_late, || format!("{} took {took:?} to stop", server.name));
    Ok(())
}

fn settings(server: &Server, plan: &Plan) -> Settings {
    let neighbour =
        |name: &&str| Neighbour { name: (*name).to_owned(), peers: format!("{name}:{PEERS_PORT}") };
    Settings {
        name: server.name.to_owned(),
        clients: format!("0.0.0.0:{CLIENTS_PORT}"),
        peers: format!("0.0.0.0:{PEERS_PORT}"),
        neighbours: server.neighbours.iter().map(neighbour).collect(),
        strangers: Vec::new(),
        open: server.open,
        credentials: Credentials { secret: Secret::new(server.secret.as_bytes()), tls: None },
        limits: plan.limits.clone(),
        keep: None,
    }
}

fn seams(at: usize, server: &Server, incarnation: u32, plan: &Plan, trace: &Trace) -> Seams {
    let network = Simulated {
        here: server.name.to_owned(),
        window: plan.window,
        peers_port: PEERS_PORT,
        trace: trace.clone(),
    };
    let dice = Dice::new(plan.seed ^ ((at as u64) << 32) ^ (u64::from(incarnation) << 48));
    let (aborted, name) = (trace.clone(), server.name);
    let abort = move |reason: &str| aborted.broke(format!("{name} cannot go on: {reason}"));
    let trace = trace.clone();
    let clock = move || {
        let right = Duration::from_nanos(EPOCH) + turmoil::sim_elapsed().unwrap_or_default();
        let right = u64::try_from(right.as_nanos()).unwrap_or(u64::MAX);
        right.saturating_add_signed(trace.notes().servers[at].ahead)
    };
    Seams {
        network: Arc::new(network),
        clock: Arc::new(clock),
        dice: Arc::new(move || dice.throw_128()),
        abort: Arc::new(abort),
        panics: Arc::default(),
    }
}
