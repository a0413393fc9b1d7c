//! The store: it owns what this server knows of all clients, the seen UUIDs, and what links are to be told.
//!
//! It hears [`Execute`] and [`Find`] from sessions, [`LinkUp`], [`LinkDown`], [`Hear`] and [`Take`] from peers and
//! dialects, [`Recall`] and [`Hear`] from the gate, and [`Count`], [`Browse`] and [`Flush`] from the node, which says
//! [`LinkDown`] for a peer that panicked. It says [`Flood`] to a peer or a dialect when there is more than that took.
//! Every rule is in [`Replica`]; here is its mailbox, in `alarm` its timer, in `turn` what it executes together, and in
//! [`keeper`] its disk. It never ends alone: a store that panics, or whose disk fails, ends the whole server, which must
//! not go on answering.

mod alarm;
pub mod keeper;
mod turn;

use crate::complaints;
use crate::journal::Journal;
use crate::messages::{
    Browse, Census, Count, Execute, Find, Flood, Flush, Hear, LinkDown, LinkUp, Page, Recall, Take,
};
use crate::net::{Abort, Clock, Dice, fresh, roll};
use crate::panics::OnPanic;
use crate::reason::reason;
use crate::waiting::ms_since;
use actix::{Actor, AsyncContext, Context, Handler, MessageResult, Recipient, ResponseFuture};
use alarm::Alarm;
use herd_core::decimal::NANOS_PER_SECOND;
use herd_core::faults::{self, Fault};
use herd_core::replica::Replica;
use herd_core::store::Scope;
use keeper::Keeper;
use log::{debug, warn};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use turn::{Enlisted, Turn, TurnsEnd};
use uuid::Uuid;

/// How many bytes of record lines a page has, about: clients wait for as long as it takes to print them.
const PAGE_SIZE: usize = 32 * 1024;

/// Owns the memory of one server.
pub struct StoreActor {
    replica: Replica,
    /// What is executed when the mailbox is empty.
    turn: Turn,
    /// Where to ring when a link has something to take.
    doorbells: BTreeMap<Arc<str>, Recipient<Flood>>,
    /// Sessions that wait for the end of a search.
    waiting: HashMap<Uuid, Vec<oneshot::Sender<()>>>,
    /// Rings when something is to be done though nothing happens.
    alarm: Alarm,
    /// True while a timer runs for the next piece of the replica's work.
    works: bool,
    /// What the time of day is, by which records expire.
    clock: Clock,
    /// Where the replica's milliseconds count from.
    began: Instant,
    dice: Dice,
    /// The disk, unless this server keeps everything in memory alone.
    keeper: Option<Keeper>,
    abort: Abort,
    /// The end of the server: without its memory it would go on and answer wrongly.
    _on_panic: OnPanic,
    /// How many records were refused by the last warning of that.
    refused: u64,
    /// When that was.
    warned: Option<Instant>,
}

impl StoreActor {
    /// The memory of a server, and the journal it was read from and is to be kept in, if any.
    pub fn new(
        mut replica: Replica,
        journal: Option<Journal>,
        clock: Clock,
        dice: Dice,
        abort: Abort,
    ) -> Self {
        if journal.is_some() {
            replica.keep_applied();
        }
        Self {
            replica,
            turn: Turn::default(),
            doorbells: BTreeMap::new(),
            waiting: HashMap::new(),
            alarm: Alarm::default(),
            works: false,
            clock,
            began: Instant::now(),
            dice,
            keeper: journal.map(Keeper::new),
            _on_panic: OnPanic::abort(&abort, "the store"),
            abort,
            refused: 0,
            warned: None,
        }
    }

    fn now_ms(&self) -> u64 {
        ms_since(self.began)
    }

    fn fresh(&self) -> Uuid {
        fresh(&self.dice)
    }

    /// Does what follows from whatever the replica was just told.
    fn follow_up(&mut self, now_ms: u64, ctx: &mut Context<Self>) {
        self.work(ctx);
        for link in self.replica.bells(now_ms) {
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
        self.warn_of_refusals();
        self.set_alarm(ctx);
    }

    /// Does the replica's own work, forgetting and healing, a little at a time, and lets everybody else have a turn in
    /// between.
    fn work(&mut self, ctx: &mut Context<Self>) {
        if self.works || !self.replica.has_work() {
            return;
        }
        let began = Instant::now();
        while self.replica.has_work() && began.elapsed() < WORK {
            self.replica.work(self.now_ms());
        }
        if self.replica.has_work() {
            self.works = true;
            ctx.run_later(PAUSE, |store, ctx| {
                store.works = false;
                store.follow_up(store.now_ms(), ctx);
            });
        }
    }

    /// Compares with all neighbours every now and then.
    fn compare_later(&mut self, ctx: &mut Context<Self>) {
        let delay = Duration::from_millis(self.replica.compare_in_ms(roll(&self.dice)));
        ctx.run_later(delay, |store, ctx| {
            let now_ms = store.now_ms();
            store.replica.compare(now_ms);
            store.follow_up(now_ms, ctx);
            store.warn_of_clocks();
            store.compare_later(ctx);
        });
    }

    /// Tells the replica what the time is, as often as it wants to know, so that it forgets what has expired.
    fn tell_time(&mut self, ctx: &mut Context<Self>) {
        self.replica.set_clock((self.clock)());
        let Some(next_ms) = self.replica.clock_in_ms((self.clock)()) else { return };
        self.follow_up(self.now_ms(), ctx);
        self.consider_snapshot(ctx);
        ctx.run_later(Duration::from_millis(next_ms), Self::tell_time);
    }

    /// Says that records are refused, when that begins and then every now and then, not for each of them.
    fn warn_of_refusals(&mut self) {
        let refused = self.replica.counts().refused;
        if refused > self.refused && self.warned.is_none_or(|at| at.elapsed() >= complaints::EVERY) {
            let (more, clients) = (refused - self.refused, self.replica.store().len());
            warn!("{more} records refused for want of room, {clients} clients are known");
            (self.refused, self.warned) = (refused, Some(Instant::now()));
        }
    }

    /// Says whose clock is far ahead of this server's, as often as servers compare.
    fn warn_of_clocks(&mut self) {
        if let Some((server, ahead)) = self.replica.whose_clock_is_ahead((self.clock)()) {
            let seconds = ahead / NANOS_PER_SECOND;
            warn!("the clock of {server} is {seconds} s ahead of this server's: one of them is wrong");
        }
    }
}

impl Actor for StoreActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Sessions and links wait for an answer before they say more, so the mailbox needs no limit of its own.
        ctx.set_mailbox_capacity(0);
        ctx.spawn(TurnsEnd);
        self.compare_later(ctx);
        self.tell_time(ctx);
    }
}

/// How long everybody else waits for one piece of work.
const WORK: Duration = Duration::from_millis(1);

/// How long everybody else has between two pieces of work: as short as a timer can be.
const PAUSE: Duration = Duration::from_millis(1);

impl Handler<Execute> for StoreActor {
    type Result = Enlisted;

    fn handle(&mut self, execute: Execute, _: &mut Self::Context) -> Enlisted {
        self.turn.enlist(execute)
    }
}

impl Handler<Find> for StoreActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Find { clients }: Find, ctx: &mut Self::Context) -> ResponseFuture<()> {
        let now_ms = self.now_ms();
        let mut waits = Vec::new();
        for client in &clients {
            let fresh = self.fresh();
            let Some(search) = self.replica.find(client, now_ms, fresh) else { continue };
            debug!("search {search} for {}", client.escape_ascii());
            let (over, wait) = oneshot::channel();
            self.waiting.entry(search).or_default().push(over);
            waits.push(wait);
        }
        self.follow_up(now_ms, ctx);
        Box::pin(async {
            for wait in waits {
                let _ = wait.await; // A store that is gone answers nothing; the session finds out by itself.
            }
        })
    }
}

impl Handler<Recall> for StoreActor {
    type Result = Option<Vec<u8>>;

    fn handle(&mut self, Recall { client }: Recall, _: &mut Self::Context) -> Option<Vec<u8>> {
        let store = self.replica.store();
        Some(store.find(&client)?.line())
    }
}

impl Handler<LinkUp> for StoreActor {
    type Result = ();

    fn handle(&mut self, LinkUp { link, vocabulary, flood }: LinkUp, ctx: &mut Self::Context) {
        self.replica.link_up(&link, vocabulary);
        self.doorbells.insert(link, flood);
        self.follow_up(self.now_ms(), ctx);
    }
}

impl Handler<LinkDown> for StoreActor {
    type Result = ();

    fn handle(&mut self, LinkDown { link }: LinkDown, ctx: &mut Self::Context) {
        self.doorbells.remove(&link);
        self.replica.link_down(&link);
        self.follow_up(self.now_ms(), ctx);
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
        // Nobody waits for a neighbour's records to be synced: the server that took them answers for them.
        let _ = self.keep(ctx);
        self.follow_up(now_ms, ctx);
    }
}

impl Handler<Take> for StoreActor {
    type Result = Vec<u8>;

    fn handle(&mut self, Take { link, mut chunk }: Take, ctx: &mut Self::Context) -> Vec<u8> {
        let now_ms = self.now_ms();
        self.replica.take(&link, now_ms, &mut chunk);
        self.follow_up(now_ms, ctx);
        chunk
    }
}

impl Handler<Flush> for StoreActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Flush: Flush, _: &mut Self::Context) -> Self::Result {
        let flushed = self.flush().filter(|_| !faults::is_on(Fault::SkipsFlush));
        let abort = Arc::clone(&self.abort);
        Box::pin(async move {
            if let Some(flushed) = flushed
                && let Err(error) = flushed.await
            {
                abort(&format!("the disk failed at the end: {}", reason(&error)));
            }
        })
    }
}

impl Handler<Count> for StoreActor {
    type Result = MessageResult<Count>;

    fn handle(&mut self, Count: Count, _: &mut Self::Context) -> Self::Result {
        let now_ms = self.now_ms();
        let ago_ms = |link| self.replica.equal_ms(link).map(|at_ms| now_ms.saturating_sub(at_ms));
        MessageResult(Census {
            clients: self.replica.store().len(),
            links: self.replica.links().map(|link| (link.to_owned(), ago_ms(link))).collect(),
            counts: self.replica.counts(),
            load: self.replica.load(),
        })
    }
}

impl Handler<Browse> for StoreActor {
    type Result = Page;

    fn handle(&mut self, Browse { from }: Browse, _: &mut Self::Context) -> Self::Result {
        let mut lines = Vec::new();
        let next = self.replica.store().print_from(from, Scope::All, PAGE_SIZE, &mut lines);
        Page { lines, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Executed;
    use crate::testing::{NOON, counting, recording, running};
    use actix::Addr;
    use herd_core::batch::{Batch, Pause};
    use herd_core::frame::{Frame, Inbox, Span, Update, Vocabulary};
    use herd_core::limits::Limits;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::mpsc::UnboundedReceiver;

    fn store() -> Addr<StoreActor> {
        StoreActor::new(replica(), None, Arc::new(|| NOON), counting(), Arc::new(|_| {})).start()
    }

    fn replica() -> Replica {
        Replica::new("Goloman", &Limits::default())
    }

    /// Brings a link up that has taken all there was; its doorbell is returned.
    async fn link(store: &Addr<StoreActor>, name: &str) -> UnboundedReceiver<Flood> {
        let (flood, bell) = recording();
        store.send(LinkUp { link: name.into(), vocabulary: Vocabulary::Trees, flood }).await.unwrap();
        while !take(store, name).await.is_empty() {}
        bell
    }

    async fn take(store: &Addr<StoreActor>, name: &str) -> Vec<Frame> {
        let chunk = store.send(Take { link: name.into(), chunk: Vec::new() }).await.unwrap();
        let mut inbox = Inbox::new(chunk);
        std::iter::from_fn(|| inbox.next(1 << 20).unwrap()).collect()
    }

    async fn execute(store: &Addr<StoreActor>, lines: &str) -> (String, Pause) {
        let batch = Box::new(Batch::new(lines.into(), 1000));
        let Executed { batch, pause } = store.send(Execute { batch, received: NOON }).await.unwrap();
        (String::from_utf8(batch.output).unwrap(), pause)
    }

    async fn hear(store: &Addr<StoreActor>, name: &str, frame: Frame) {
        store.send(Hear { link: name.into(), frames: vec![frame] }).await.unwrap();
    }

    /// True before a search that nobody answers would end.
    fn is_before_the_limit(began: Instant) -> bool {
        began.elapsed() < Duration::from_millis(Limits::default().search_ms)
    }

    fn update(uuid: u128, line: &str) -> Frame {
        Frame::Update(Update::new(Uuid::from_u128(uuid), line.as_bytes()))
    }

    /// The record lines of some frames.
    fn lines(frames: &[Frame]) -> Vec<String> {
        let updates = frames.iter().filter_map(|frame| match frame {
            Frame::Update(update) => Some(update),
            _ => None,
        });
        updates.flat_map(|update| update.lines().map(|line| String::from_utf8_lossy(line).into())).collect()
    }

    #[actix::test]
    async fn a_check_in_is_answered_and_rings_every_link_once() {
        let store = store();
        let (mut hands, mut wilkes) = (link(&store, "Hands").await, link(&store, "Wilkes").await);
        let (answer, pause) = execute(&store, "IAMAT kiwi +1-2 1520023935.182837383\n").await;
        assert_eq!(
            (answer.as_str(), pause),
            ("AT Goloman +0.000000000 kiwi +1-2 1520023935.182837383\n", Pause::Done)
        );
        for (bell, name) in [(&mut hands, "Hands"), (&mut wilkes, "Wilkes")] {
            assert_eq!(bell.recv().await, Some(Flood));
            assert_eq!(
                lines(&take(&store, name).await),
                [format!("kiwi +1-2 1520023935.182837383 {NOON} Goloman")]
            );
            assert!(bell.try_recv().is_err());
        }
    }

    #[actix::test]
    async fn an_update_goes_on_to_other_links_in_the_same_bytes_and_not_back() {
        let store = store();
        let (mut hands, mut wilkes) = (link(&store, "Hands").await, link(&store, "Wilkes").await);
        let news = update(77, "kiwi +1-2 3 4 Welsh\n");
        hear(&store, "Hands", news.clone()).await;
        assert_eq!(wilkes.recv().await, Some(Flood));
        assert_eq!(take(&store, "Wilkes").await, std::slice::from_ref(&news));
        assert_eq!(take(&store, "Hands").await, []);
        assert!(hands.try_recv().is_err());
        hear(&store, "Wilkes", news).await;
        assert_eq!(take(&store, "Hands").await, []);
    }

    #[actix::test]
    async fn a_new_link_hears_a_digest_and_is_told_what_it_asks_for() {
        let store = store();
        let _ = execute(&store, "IAMAT kiwi +1-2 3\nIAMAT plum +1-2 3\n").await;
        let (flood, mut bell) = recording();
        store.send(LinkUp { link: "Hands".into(), vocabulary: Vocabulary::Trees, flood }).await.unwrap();
        assert!(matches!(take(&store, "Hands").await[..], [Frame::Digest { root: 1.. }]));
        assert_eq!(take(&store, "Hands").await, []);
        hear(&store, "Hands", Frame::AskRecords { spans: vec![Span::ALL] }).await;
        assert_eq!(bell.recv().await, Some(Flood));
        let mut told = String::new();
        loop {
            let frames = take(&store, "Hands").await;
            let [Frame::Records { lines, .. }] = &frames[..] else { break };
            told.extend(String::from_utf8_lossy(lines).chars());
        }
        assert_eq!(told.lines().count(), 2);
    }

    #[actix::test]
    async fn neighbours_compare_every_now_and_then() {
        tokio::time::pause();
        let store = store();
        let mut bell = link(&store, "Hands").await;
        let began = Instant::now();
        for _ in 0..3 {
            assert_eq!(bell.recv().await, Some(Flood));
            assert_eq!(take(&store, "Hands").await, [Frame::Digest { root: 0 }]);
            assert_eq!(take(&store, "Hands").await, []);
        }
        let limit = Duration::from_millis(Limits::default().digest_ms);
        assert!(began.elapsed() > limit * 2 && began.elapsed() < limit * 4, "{:?}", began.elapsed());
    }

    #[actix::test]
    async fn a_record_is_forgotten_when_its_time_is_up_and_not_before() {
        tokio::time::pause();
        let limits = Limits { record_ttl_ms: Some(16_000), ..Limits::default() };
        let store =
            StoreActor::new(Replica::new("Goloman", &limits), None, running(), counting(), Arc::new(|_| {}))
                .start();
        let _ = execute(&store, "IAMAT kiwi +1-2 3\n").await;
        tokio::time::sleep(Duration::from_millis(15_999)).await;
        assert_eq!(store.send(Count).await.unwrap().clients, 1);
        let (answer, _) = execute(&store, "WHATSAT kiwi 1 1\n").await;
        assert!(answer.starts_with("AT "), "{answer}");
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let Census { clients, counts, .. } = store.send(Count).await.unwrap();
        assert_eq!((clients, counts.expired), (0, 1));
        let (_, pause) = execute(&store, "WHATSAT kiwi 1 1\n").await;
        assert_eq!(pause, Pause::Search { clients: vec![b"kiwi".to_vec()] });
    }

    #[actix::test]
    async fn an_unknown_client_with_nobody_to_ask_is_not_waited_for() {
        let store = store();
        let (_, pause) = execute(&store, "WHATSAT kiwi 1 1\n").await;
        assert_eq!(pause, Pause::Search { clients: vec![b"kiwi".to_vec()] });
        store.send(Find { clients: vec![b"kiwi".to_vec()] }).await.unwrap();
    }

    #[actix::test]
    async fn sessions_that_look_for_one_client_share_a_search_and_its_answer_is_kept() {
        tokio::time::pause();
        let store = store();
        let _bell = link(&store, "Hands").await;
        let began = Instant::now();
        let first = store.send(Find { clients: vec![b"kiwi".to_vec()] });
        let second = store.send(Find { clients: vec![b"kiwi".to_vec()] });
        let both = actix_rt::spawn(async { (first.await, second.await) });
        tokio::task::yield_now().await;
        let asked = take(&store, "Hands").await;
        let [Frame::Which { uuid, client }] = &asked[..] else { unreachable!("{asked:?}") };
        assert_eq!(client, b"kiwi");
        hear(&store, "Hands", Frame::Found { uuid: *uuid, line: b"kiwi +1-2 3 4 Welsh".to_vec() }).await;
        assert!(matches!(both.await.unwrap(), (Ok(()), Ok(()))));
        assert!(is_before_the_limit(began), "{:?}", began.elapsed());
        let (answer, pause) = execute(&store, "WHATSAT kiwi 1 1\n").await;
        assert!(answer.starts_with("AT Welsh ") && pause == Pause::Places, "{answer}");
    }

    /// Each of them was searched for when the one before it was given up, half a second later.
    #[actix::test]
    async fn unknown_clients_of_one_batch_are_searched_for_at_once() {
        tokio::time::pause();
        let store = store();
        let _bell = link(&store, "Hands").await;
        let began = Instant::now();
        let lines =
            "IAMAT fig +1-2 3\nWHATSAT kiwi 1 1\nIAMAT plum +1-2 3\nWHATSAT fig 1 1\nWHATSAT lime 1 1\n";
        let (answer, pause) = execute(&store, lines).await;
        let clients = vec![b"kiwi".to_vec(), b"lime".to_vec()];
        assert!(answer.starts_with("AT ") && answer.lines().count() == 1, "{answer}");
        assert_eq!(pause, Pause::Search { clients: clients.clone() });
        let find = actix_rt::spawn(store.send(Find { clients: clients.clone() }));
        tokio::task::yield_now().await;
        let mut asked = Vec::new();
        for frame in take(&store, "Hands").await {
            let Frame::Which { uuid, client } = frame else { continue };
            asked.push(client);
            hear(&store, "Hands", Frame::NotFound { uuid }).await;
        }
        assert_eq!(asked, clients);
        find.await.unwrap().unwrap();
        assert!(is_before_the_limit(began), "{:?}", began.elapsed());
    }

    #[actix::test]
    async fn a_search_ends_when_everybody_has_said_no() {
        tokio::time::pause();
        let store = store();
        let (_hands, _wilkes) = (link(&store, "Hands").await, link(&store, "Wilkes").await);
        let began = Instant::now();
        let find = actix_rt::spawn(store.send(Find { clients: vec![b"kiwi".to_vec()] }));
        tokio::task::yield_now().await;
        for name in ["Hands", "Wilkes"] {
            assert!(!find.is_finished());
            let asked = take(&store, name).await;
            let [Frame::Which { uuid, .. }] = asked[..] else { unreachable!("{asked:?}") };
            hear(&store, name, Frame::NotFound { uuid }).await;
        }
        find.await.unwrap().unwrap();
        assert!(is_before_the_limit(began), "{:?}", began.elapsed());
    }

    #[actix::test]
    async fn a_search_that_nobody_answers_ends_in_time() {
        tokio::time::pause();
        let store = store();
        let _bell = link(&store, "Hands").await;
        let began = Instant::now();
        store.send(Find { clients: vec![b"kiwi".to_vec()] }).await.unwrap();
        let limit = Duration::from_millis(Limits::default().search_ms);
        assert!(began.elapsed() >= limit && began.elapsed() < limit * 2, "{:?}", began.elapsed());
    }

    /// One timer serves all deadlines: what is due before it was set for puts it forward, and what is due later is
    /// not forgotten over that.
    #[actix::test]
    async fn what_is_due_is_done_in_time_in_whatever_order_it_came_up() {
        tokio::time::pause();
        let (limits, store) = (Limits::default(), store());
        let mut bell = link(&store, "Hands").await;
        let began = Instant::now();
        let took = |began: Instant| u64::try_from(began.elapsed().as_millis()).unwrap();
        let find = actix_rt::spawn(store.send(Find { clients: vec![b"kiwi".to_vec()] }));
        assert_eq!(bell.recv().await, Some(Flood));
        assert!(matches!(take(&store, "Hands").await[..], [Frame::Which { .. }]));
        assert_eq!(take(&store, "Hands").await, []);
        for number in 1..=3 {
            let (began, uuids) = (Instant::now(), vec![Uuid::from_u128(number)]);
            hear(&store, "Hands", Frame::Have { uuids: uuids.clone() }).await;
            assert_eq!(bell.recv().await, Some(Flood));
            assert!((limits.pull_ms..limits.pull_ms + 5).contains(&took(began)), "{:?}", began.elapsed());
            assert_eq!(take(&store, "Hands").await, [Frame::Want { uuids }]);
            assert_eq!(take(&store, "Hands").await, []);
        }
        find.await.unwrap().unwrap();
        assert!((limits.search_ms..limits.search_ms + 5).contains(&took(began)), "{:?}", began.elapsed());
    }

    #[actix::test]
    async fn a_neighbours_search_is_answered_or_passed_on() {
        let store = store();
        let (_hands, _wilkes) = (link(&store, "Hands").await, link(&store, "Wilkes").await);
        let question = Frame::Which { uuid: Uuid::from_u128(7), client: b"kiwi".to_vec() };
        hear(&store, "Hands", question.clone()).await;
        assert_eq!(take(&store, "Wilkes").await, std::slice::from_ref(&question));
        hear(&store, "Wilkes", question).await;
        let no = Frame::NotFound { uuid: Uuid::from_u128(7) };
        assert_eq!(take(&store, "Wilkes").await, std::slice::from_ref(&no));
        hear(&store, "Wilkes", no.clone()).await;
        assert_eq!(take(&store, "Hands").await, [no]);
    }

    /// It was refused as expired for up to a second, until the time was told again.
    #[actix::test]
    async fn what_a_client_says_after_the_clock_was_set_back_is_kept() {
        let clock = Arc::new(AtomicU64::new(NOON * 2));
        let limits = Limits { record_ttl_ms: Some(1000), ..Limits::default() };
        let shown = Arc::clone(&clock);
        let read = Arc::new(move || shown.load(Ordering::Relaxed));
        let replica = Replica::new("Goloman", &limits);
        let store = StoreActor::new(replica, None, read, counting(), Arc::new(|_| {})).start();
        store.send(Count).await.unwrap(); // It has heard what the time is.
        clock.store(NOON, Ordering::Relaxed);
        assert!(execute(&store, "IAMAT kiwi +1-2 3\n").await.0.starts_with("AT "));
        assert_eq!(store.send(Count).await.unwrap().clients, 1);
    }

    #[actix::test]
    async fn what_is_no_record_is_counted_and_costs_nothing_else() {
        let store = store();
        hear(&store, "Hands", update(1, "rubbish\nkiwi +1-2 3 4 Welsh\n")).await;
        let Census { clients, counts, .. } = store.send(Count).await.unwrap();
        assert_eq!((clients, counts.malformed, counts.applied), (1, 1, 1));
    }

    #[actix::test]
    async fn a_link_that_is_down_is_told_nothing() {
        let store = store();
        let mut bell = link(&store, "Hands").await;
        store.send(LinkDown { link: "Hands".into() }).await.unwrap();
        let _ = execute(&store, "IAMAT kiwi +1-2 3\n").await;
        assert!(bell.try_recv().is_err());
        assert_eq!(take(&store, "Hands").await, []);
        assert!(store.send(Count).await.unwrap().links.is_empty());
    }
}
