//! One server of the herd: the real actors, on what is simulated.

use crate::dice::Dice;
use crate::disk::Drive;
use crate::herd::{CLIENTS_PORT, EPOCH, PEERS_PORT, Plan};
use crate::invariants::Invariant;
use crate::network::Simulated;
use crate::trace::Trace;
use actix::{Actor, Context, Handler};
use herd_actors::door::Credentials;
use herd_actors::journal::{Durability, Keep};
use herd_actors::messages::Near;
use herd_actors::net::Seams;
use herd_actors::node::{Neighbour, Node, Settings};
use herd_actors::panics::Panicked;
use herd_core::handshake::Secret;
use herd_core::record;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// What one server is like.
#[derive(Clone, Default)]
pub struct Server {
    pub name: &'static str,
    pub neighbours: Vec<&'static str>,
    pub open: bool,
    pub secret: &'static str,
    /// How it keeps what it knows; `None` keeps everything in memory alone.
    pub durability: Option<Durability>,
}

/// What a server is to do.
#[derive(Default)]
pub struct Orders {
    /// To stop, as SIGTERM says it.
    pub stop: Notify,
    /// To sleep for so long when it is next looked at.
    pub oversleep_ms: Cell<u64>,
}

/// How often each server is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A life of a server, from its start to its stop, or one after the other.
#[derive(Clone)]
pub struct Life {
    pub at: usize,
    pub server: Server,
    pub plan: Plan,
    pub trace: Trace,
    pub drive: Drive,
    pub orders: Rc<Orders>,
}

impl Life {
    /// Lives until the server has ended by itself; then it waits for whoever buries it.
    pub async fn live(self) -> turmoil::Result {
        let incarnation = self.trace.revive(self.at);
        let started = Node::start(self.settings(), Places.start().recipient(), self.seams(incarnation)).await;
        match started {
            Err(error) => {
                let is_excused = self.drive.has_failed();
                self.trace.ensure(Invariant::DeadDiskIsLeft, is_excused, || {
                    format!("{} did not start: {error}", self.server.name)
                });
                self.trace.hit("a server did not start");
            }
            Ok(node) => self.run(node).await,
        }
        self.end();
        std::future::pending().await
    }

    /// Notes that the process is gone, though its tasks go on until somebody buries it.
    fn end(&self) {
        self.drive.end();
        let server = &mut self.trace.notes().servers[self.at];
        server.is_up = false;
        server.has_ended = true;
    }

    async fn run(&self, node: Node) {
        self.trace.happened(&format!("{} is up", self.server.name));
        self.trace.notes().servers[self.at].is_up = true;
        loop {
            let (dump, census) = (dump(&node).await, node.census().await);
            if self.trace.notes().servers[self.at].has_ended {
                return std::future::pending().await; // Who answered is no process any more.
            }
            self.trace.looked_at(self.at, &dump, census, &self.plan.limits);
            let is_told = timeout(LOOK, self.orders.stop.notified()).await.is_ok();
            if is_told && self.trace.notes().servers[self.at].is_leaving {
                break; // Told otherwise was a life before this one, which did not hear it.
            }
            let overslept = Duration::from_millis(self.orders.oversleep_ms.take());
            if !overslept.is_zero() {
                self.trace.hinder(self.at, true);
                self.trace.hinder(self.at, false);
                tokio::time::advance(overslept).await;
            }
        }
        let began = Instant::now();
        node.stop().await;
        if self.trace.notes().servers[self.at].has_ended {
            return; // Its disk failed at the last sync, and the process did not end well.
        }
        self.trace.hit("a server was stopped");
        let (took, limit) = (began.elapsed(), Duration::from_millis(self.plan.limits.stop_ms));
        let is_done = took < limit;
        let is_hindered = self.trace.notes().servers[self.at].is_hindered();
        let may_give_up = is_hindered && took <= limit + Duration::from_millis(1);
        self.trace.ensure(Invariant::StopsInTime, is_done || may_give_up, || {
            format!("{} took {took:?} to stop", self.server.name)
        });
        if is_done {
            self.trace.settled(self.at); // A disk that was too slow for that has made sure of nothing.
        }
    }

    fn settings(&self) -> Settings {
        let Self { server, plan, .. } = self;
        let neighbour =
            |name: &&str| Neighbour { name: (*name).to_owned(), peers: format!("{name}:{PEERS_PORT}") };
        let keep = |durability| Keep { disk: self.drive.attach(), durability };
        Settings {
            name: server.name.to_owned(),
            clients: format!("0.0.0.0:{CLIENTS_PORT}"),
            peers: format!("0.0.0.0:{PEERS_PORT}"),
            neighbours: server.neighbours.iter().map(neighbour).collect(),
            strangers: Vec::new(),
            open: server.open,
            credentials: Credentials { secret: Secret::new(server.secret.as_bytes()), tls: None },
            limits: plan.limits.clone(),
            keep: server.durability.map(keep),
        }
    }

    fn seams(&self, incarnation: u32) -> Seams {
        let Self { at, server, plan, .. } = self.clone();
        let network = Simulated {
            here: server.name.to_owned(),
            window: plan.window,
            client_window: plan.client_window,
            peers_port: PEERS_PORT,
            trace: self.trace.clone(),
        };
        let dice = Dice::new(plan.seed ^ ((at as u64) << 32) ^ (u64::from(incarnation) << 48));
        let trace = self.trace.clone();
        let clock = move || {
            let right = Duration::from_nanos(EPOCH) + turmoil::sim_elapsed().unwrap_or_default();
            let right = u64::try_from(right.as_nanos()).unwrap_or(u64::MAX);
            right.saturating_add_signed(trace.notes().servers[at].ahead)
        };
        Seams {
            network: Arc::new(network),
            clock: Arc::new(clock),
            dice: Arc::new(move || dice.throw_128()),
            abort: self.abort(),
            panics: Arc::default(),
        }
    }

    /// What happens when the server cannot go on.
    fn abort(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let (at, name, drive, trace) = (self.at, self.server.name, self.drive.clone(), self.trace.clone());
        Arc::new(move |reason| {
            if drive.has_ended() {
                return; // It has stopped already: its disk is out of reach, and nobody is there to be ended.
            }
            trace.ensure(Invariant::DeadDiskIsLeft, drive.has_failed(), || {
                format!("{name} cannot go on: {reason}")
            });
            trace.hit("a server ended because its disk had failed");
            drive.end();
            let server = &mut trace.notes().servers[at];
            server.is_up = false;
            server.has_ended = true;
        })
    }
}

/// Every record line that a server knows, sorted: equal for two that know the same.
async fn dump(node: &Node) -> Vec<Box<[u8]>> {
    let (mut dump, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let page = node.browse(from).await;
        dump.extend(record::lines(&page.lines).map(Box::from));
        next = page.next;
    }
    dump.sort_unstable();
    dump
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
