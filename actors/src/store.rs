//! The store: it owns what this server knows of all clients, the seen UUIDs, and what links are to be told.
//!
//! It hears [`Execute`] and [`Find`] from sessions, [`LinkUp`], [`LinkDown`], [`Hear`] and [`Take`] from peers, and
//! [`Count`] from the door. It says [`Flood`] to a peer that took everything when there is more. Every rule is in
//! [`Replica`]; here are its mailbox and its timer.

use crate::messages::{Census, Count, Execute, Executed, Find, Flood, Hear, LinkDown, LinkUp, Take};
use crate::net::Dice;
use actix::{Actor, AsyncContext, Context, Handler, MessageResult, Recipient, ResponseFuture};
use herd_core::limits::Limits;
use herd_core::replica::{Finding, Replica};
use log::debug;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// Owns the memory of one server.
pub struct StoreActor {
    replica: Replica,
    /// Where to ring when a link has something to take.
    doorbells: BTreeMap<Arc<str>, Recipient<Flood>>,
    /// Sessions that wait for the end of a search.
    waiting: HashMap<Uuid, Vec<oneshot::Sender<()>>>,
    /// True while a timer runs for the next search to be given up.
    timed: bool,
    /// Where the replica's milliseconds count from.
    began: Instant,
    dice: Dice,
}

impl StoreActor {
    /// The empty memory of a server.
    pub fn new(name: &str, limits: &Limits, dice: Dice) -> Self {
        Self {
            replica: Replica::new(name, limits),
            doorbells: BTreeMap::new(),
            waiting: HashMap::new(),
            timed: false,
            began: Instant::now(),
            dice,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn fresh(&self) -> Uuid {
        uuid::Builder::from_random_bytes((self.dice)().to_be_bytes()).into_uuid()
    }

    /// Does what follows from whatever the replica was just told.
    fn follow_up(&mut self, ctx: &mut Context<Self>) {
        for link in self.replica.bells() {
            if let Some(flood) = self.doorbells.get(link.as_str()) {
                // A doorbell that nobody hears belongs to a peer that is gone and takes nothing any more.
                flood.do_send(Flood);
            }
        }
        for search in self.replica.ended() {
            for session in self.waiting.remove(&search).into_iter().flatten() {
                let _ = session.send(()); // The session may have hung up meanwhile.
            }
        }
        self.time_searches(ctx);
    }

    fn time_searches(&mut self, ctx: &mut Context<Self>) {
        let Some(deadline_ms) = self.replica.deadline_ms().filter(|_| !self.timed) else { return };
        self.timed = true;
        let delay = Duration::from_millis(deadline_ms.saturating_sub(self.now_ms()));
        ctx.run_later(delay, |store, ctx| {
            store.timed = false;
            store.replica.expire(store.now_ms());
            store.follow_up(ctx);
        });
    }
}

impl Actor for StoreActor {
    type Context = Context<Self>;
}

impl Handler<Execute> for StoreActor {
    type Result = Executed;

    fn handle(&mut self, Execute { mut batch, received }: Execute, ctx: &mut Self::Context) -> Executed {
        let (now_ms, fresh) = (self.now_ms(), self.fresh());
        let pause = self.replica.execute(&mut batch, received, now_ms, fresh);
        self.follow_up(ctx);
        Executed { batch, pause }
    }
}

impl Handler<Find> for StoreActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Find { client }: Find, ctx: &mut Self::Context) -> ResponseFuture<()> {
        let (now_ms, fresh) = (self.now_ms(), self.fresh());
        let Finding::Search(search) = self.replica.find(&client, now_ms, fresh) else {
            return Box::pin(std::future::ready(()));
        };
        debug!("search {search} for {}", client.escape_ascii());
        let (over, wait) = oneshot::channel();
        self.waiting.entry(search).or_default().push(over);
        self.follow_up(ctx);
        Box::pin(async {
            let _ = wait.await; // A store that is gone answers nothing; the session finds out by itself.
        })
    }
}

impl Handler<LinkUp> for StoreActor {
    type Result = ();

    fn handle(&mut self, LinkUp { link, flood }: LinkUp, ctx: &mut Self::Context) {
        self.replica.link_up(&link);
        self.doorbells.insert(link, flood);
        self.follow_up(ctx);
    }
}

impl Handler<LinkDown> for StoreActor {
    type Result = ();

    fn handle(&mut self, LinkDown { link }: LinkDown, ctx: &mut Self::Context) {
        self.doorbells.remove(&link);
        self.replica.link_down(&link);
        self.follow_up(ctx);
    }
}

impl Handler<Hear> for StoreActor {
    type Result = ();

    fn handle(&mut self, Hear { link, frames }: Hear, ctx: &mut Self::Context) {
        let now_ms = self.now_ms();
        for frame in frames {
            let fresh = self.fresh();
            self.replica.hear(&link, frame, now_ms, fresh);
        }
        debug!("heard {link}: {:?}", self.replica.counts());
        self.follow_up(ctx);
    }
}

impl Handler<Take> for StoreActor {
    type Result = Vec<u8>;

    fn handle(&mut self, Take { link, mut chunk }: Take, _: &mut Self::Context) -> Vec<u8> {
        let fresh = self.fresh();
        self.replica.take(&link, fresh, &mut chunk);
        chunk
    }
}

impl Handler<Count> for StoreActor {
    type Result = MessageResult<Count>;

    fn handle(&mut self, Count: Count, _: &mut Self::Context) -> Self::Result {
        MessageResult(Census {
            clients: self.replica.store().len(),
            links: self.replica.links().map(str::to_owned).collect(),
            counts: self.replica.counts(),
        })
    }
}
