//! The dialect: it speaks to one neighbour of another make, and to the store as if that were a peer.
//!
//! It says [`LinkUp`] when the neighbour takes connections and [`LinkDown`] when it does not, and says everything the
//! store has for it ([`Take`]) in the neighbour's own words, one connection per message. It hears [`Flood`] when there
//! is something to take, [`Overhear`] and [`Ask`] when the gate took something from there, [`Look`] when somebody
//! wants to know, and [`Stop`], upon which it says what is left to say and ends. While the neighbour is away it dials
//! after growing delays. What is said and when is decided by the [`Mailbag`]; `courier` has the connections, one for each
//! message. What happens is noted, and then `go_on` does what that made possible. What the neighbour says comes in at the
//! [`gate`], on the address for clients, and from there to this actor or past it to the store.
//!
//! A neighbour that was away is told everything, since it may have forgotten everything: on the digest with which the
//! store begins a link the actor asks for all records, as a peer asks for some. It does so again on each further digest,
//! which the store has for it when it missed something: when it could not take news as fast as it came, or when so much
//! was news at once that it did not go on. One that was there before this server is told nothing that was received before
//! this server began, if it overwrites: while this server was away it may have learned what is newer, and would believe what
//! is older.

use self::courier::Courier;
use crate::attendance::Seat;
use crate::complaints::{Complaints, LastReason};
use crate::messages::{Ask, Flood, Hear, LinkDesk, LinkDown, LinkUp, Look, Overhear, Standing, Stop, Take};
use crate::net::{Seams, Socket, roll};
use crate::panics::{OnPanic, caught_waiting};
use crate::waiting::ms_since;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, ResponseActFuture,
    ResponseFuture, SpawnHandle, WrapFuture,
};
use herd_core::decimal::Nanos;
use herd_core::dialect::mailbag::Mailbag;
use herd_core::dialect::{Dialect, gps, speech};
use herd_core::frame::{Frame, Inbox, Span, Vocabulary};
use herd_core::limits::Limits;
use herd_core::record::{self, Record};
use herd_core::redial::Backoff;
use log::info;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

mod courier;
pub mod gate;

/// Speaks to one neighbour of another make.
pub struct DialectActor {
    here: Arc<str>,
    there: Arc<Stranger>,
    desk: LinkDesk,
    limits: Limits,
    seams: Seams,
    backoff: Backoff,
    bag: Mailbag,
    /// The neighbour, while it takes connections.
    presence: Option<Presence>,
    /// Counts up when the neighbour comes or goes: what began in an earlier era is void.
    era: u64,
    /// The delay before the next attempt, while the neighbour is away.
    redial: Option<SpawnHandle>,
    /// When this server began, until the neighbour was found to be away: it may know better than this server did then.
    may_know_better: Option<Nanos>,
    /// When it last became clear whether the neighbour takes connections.
    looked: Option<Instant>,
    /// When a letter is to be carried that waits for its time.
    due: Option<SpawnHandle>,
    /// Where milliseconds count from.
    began: Instant,
    /// True once it is to end.
    stopping: bool,
    /// Why the neighbour was away.
    last_failure: LastReason,
    /// The end of the server: the gate knows this actor, and no other in its place.
    _on_panic: OnPanic,
    /// Messages that were not said because the neighbour would not have read all of them.
    too_long: u64,
    /// Of those messages.
    unsaid: Complaints,
    /// Of its answers that could not be read.
    unreadable: Complaints,
    /// Its place among the neighbours of another make, which are counted apart from the peers.
    _seat: Seat,
}

/// A stranger: a neighbour of another make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its name.
    pub name: String,
    /// Its only address, `host:port`.
    pub clients: String,
    /// What it speaks.
    pub speaks: Dialect,
    /// The names of all servers of the herd that speak the same.
    pub kin: Vec<String>,
}

/// What is known of the neighbour, and under way, as long as it takes connections.
#[derive(Default)]
struct Presence {
    /// The connection that showed that it is there; the first message goes over it.
    spare: Option<Socket>,
    /// True until the store has answered what there is to say.
    is_asking: bool,
    /// True while the store may have more than that: it is asked for it once there is room.
    wants_more: bool,
    /// Buckets of records that the store has still to tell of all that it was asked for.
    buckets_awaited: usize,
    /// True once the link missed something that the store was not asked for yet.
    is_behind: bool,
    manner: Manner,
    /// Questions to it under way.
    questions: usize,
    /// Its own questions.
    asked: HashMap<Uuid, oneshot::Sender<Option<Vec<u8>>>>,
}

/// Whether the neighbour closes the connections of updates, as far as it was seen.
#[derive(Default)]
struct Manner {
    /// True once it has closed one: then it closes them.
    closes: bool,
    /// How many it left open.
    left_open: u32,
}

impl Manner {
    /// Whether to wait until the neighbour has closed the next connection of an update.
    fn is_waited_for(&self) -> bool {
        self.closes || self.left_open < LEFT_OPEN_MAX || self.left_open.is_multiple_of(LEFT_OPEN_LOOK)
    }

    /// Notes whether it closed one.
    fn note_close(&mut self, is_closed: bool) {
        if is_closed {
            self.closes = true;
        } else {
            self.left_open = self.left_open.saturating_add(1);
        }
    }
}

impl Presence {
    /// Where the answer to a question of the neighbour comes; `None` while it asks the same already.
    fn await_answer(&mut self, uuid: Uuid) -> Option<oneshot::Receiver<Option<Vec<u8>>>> {
        self.asked.retain(|_, asker| !asker.is_closed()); // It waited long enough.
        let Entry::Vacant(place) = self.asked.entry(uuid) else { return None };
        let (answer, answered) = oneshot::channel();
        place.insert(answer);
        Some(answered)
    }
}

impl DialectActor {
    /// An actor that speaks to a neighbour, and keeps `seat` as long as it lasts.
    pub fn new(
        here: Arc<str>,
        there: Stranger,
        desk: LinkDesk,
        limits: &Limits,
        seams: Seams,
        seat: Seat,
    ) -> Self {
        Self {
            here,
            bag: Mailbag::new(there.speaks, &there.kin, limits),
            may_know_better: there.speaks.overwrites().then(|| (seams.clock)()),
            there: Arc::new(there),
            desk,
            limits: limits.clone(),
            _on_panic: OnPanic::abort(&seams.abort, "the speaker to a neighbour of another make"),
            seams,
            backoff: Backoff::new(limits),
            presence: None,
            era: 0,
            redial: None,
            looked: None,
            due: None,
            began: Instant::now(),
            stopping: false,
            last_failure: LastReason::default(),
            too_long: 0,
            unsaid: Complaints::default(),
            unreadable: Complaints::default(),
            _seat: seat,
        }
    }

    fn now_ms(&self) -> u64 {
        ms_since(self.began)
    }

    fn link(&self) -> Arc<str> {
        self.there.name.as_str().into()
    }

    fn is_there(&self) -> bool {
        self.presence.is_some()
    }

    fn courier(&self) -> Courier {
        Courier { there: Arc::clone(&self.there), seams: self.seams.clone(), limits: self.limits.clone() }
    }

    /// Goes on with what some work comes to, unless the neighbour has come or gone meanwhile.
    fn spawn_in_era<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        let era = self.era;
        ctx.spawn(work.into_actor(self).map(move |result, dialect, ctx| {
            if era == dialect.era {
                then(dialect, result, ctx);
            }
        }));
    }

    /// Attempts to make a connection within so many milliseconds. A panic in it is a failure like others.
    fn attempt(&self, limit_ms: u64) -> impl Future<Output = io::Result<Socket>> + 'static {
        let courier = self.courier();
        async move { caught_waiting(courier.connect(limit_ms)).await? }
    }

    fn dial(&mut self, ctx: &mut Context<Self>) {
        self.redial = None;
        // Whoever asked whether the neighbour is there may have found it meanwhile.
        self.spawn_in_era(self.attempt(self.limits.connect_ms), ctx, Self::note_attempt);
    }

    /// Looks whether the neighbour is still there, if nothing has shown that lately: one that was away has forgotten.
    fn look_again(&mut self, ctx: &mut Context<Self>) {
        let pause = Duration::from_millis(self.limits.dialect_look_ms.max(1));
        let left = self.looked.map_or(Duration::ZERO, |looked| pause.saturating_sub(looked.elapsed()));
        ctx.run_later(if left.is_zero() { pause } else { left }, Self::look_again);
        if self.is_there() && left.is_zero() && !self.bag.is_carrying() {
            self.spawn_in_era(self.attempt(self.limits.connect_ms), ctx, Self::note_attempt);
        }
    }

    /// Notes how an attempt to make a connection ended.
    fn note_attempt(&mut self, result: io::Result<Socket>, ctx: &mut Context<Self>) {
        self.looked = Some(Instant::now());
        match result {
            Ok(socket) => self.arrive(socket, ctx),
            Err(error) if self.is_there() => self.depart(&error, ctx),
            Err(error) => self.dial_later(&error, ctx),
        }
    }

    /// The neighbour takes connections: the store gives everything, since nobody knows what the neighbour has.
    fn arrive(&mut self, socket: Socket, ctx: &mut Context<Self>) {
        if let Some(redial) = self.redial.take() {
            ctx.cancel_future(redial);
        }
        if self.is_there() {
            return;
        }
        info!("link to {} up speaks={}", self.there.name, self.there.speaks);
        self.last_failure.clear();
        self.backoff.reset();
        self.change_presence(Some(Presence { spare: Some(socket), wants_more: true, ..Presence::default() }));
        // A store that is gone is found out when it is asked what there is to say.
        self.desk.link_up.do_send(LinkUp {
            link: self.link(),
            vocabulary: Vocabulary::Foreign,
            flood: ctx.address().recipient(),
        });
        self.go_on(ctx);
    }

    /// The neighbour takes no connections: what waits for it waits in the store.
    fn depart(&mut self, error: &io::Error, ctx: &mut Context<Self>) {
        info!("link to {} down reason={error}", self.there.name);
        self.change_presence(None);
        // A store that is gone has no links to forget.
        self.desk.link_down.do_send(LinkDown { link: self.link() });
        self.dial_later(error, ctx);
    }

    /// Has the store tell everything if something was missed, once it has told all that it was asked for before: of that
    /// a part was told earlier.
    fn catch_up(&mut self) {
        let Some(presence) = &mut self.presence else { return };
        if presence.is_behind && presence.buckets_awaited == 0 {
            presence.buckets_awaited = Span::ALL.buckets();
            presence.is_behind = false;
            self.tell_store(Frame::AskRecords { spans: vec![Span::ALL] });
        }
    }

    fn change_presence(&mut self, presence: Option<Presence>) {
        self.presence = presence;
        self.era += 1;
        self.bag.forget();
    }

    fn dial_later(&mut self, error: &io::Error, ctx: &mut Context<Self>) {
        self.may_know_better = None;
        let Stranger { name, clients, .. } = &*self.there;
        self.last_failure.log(&error.to_string(), format_args!("no link to {name} at {clients}"));
        if self.stopping {
            return ctx.stop();
        }
        let delay = Duration::from_millis(self.backoff.delay_ms(roll(&self.seams.dice)));
        // A call of another cause may have failed meanwhile: there is one next attempt.
        if let Some(other) = self.redial.replace(ctx.run_later(delay, Self::dial)) {
            ctx.cancel_future(other);
        }
    }

    /// Does all that can be done by now. Whatever may bring letters, or make room for them, ends here.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.carry_all(ctx);
        self.set_timer(ctx);
        let Some(presence) = &mut self.presence else { return };
        if presence.is_asking {
            return;
        }
        if presence.wants_more && self.bag.has_room() {
            (presence.is_asking, presence.wants_more) = (true, false);
            let taking = self.desk.take.send(Take { link: self.link(), chunk: Vec::new() });
            self.spawn_in_era(taking, ctx, Self::taken);
        } else if !presence.wants_more && self.bag.is_empty() {
            presence.spare = None;
            if self.stopping {
                ctx.stop();
            }
        }
    }

    fn taken(&mut self, chunk: Result<Vec<u8>, MailboxError>, ctx: &mut Context<Self>) {
        let Some(presence) = &mut self.presence else { return };
        let Ok(chunk) = chunk else { return ctx.stop() };
        presence.is_asking = false;
        presence.wants_more |= !chunk.is_empty();
        let mut inbox = Inbox::new(chunk);
        while let Ok(Some(frame)) = inbox.next(usize::MAX) {
            self.sort(frame, ctx);
            self.catch_up();
        }
        self.go_on(ctx);
    }

    /// Puts what the store has for the neighbour where it belongs: records into the bag, a search on its way, and an answer
    /// to whoever asked. Nothing of it is said here.
    fn sort(&mut self, frame: Frame, ctx: &mut Context<Self>) {
        let now_ms = self.now_ms();
        let Some(presence) = &mut self.presence else { return };
        match frame {
            Frame::Update(update) => update.lines().for_each(|line| self.bag.put(line, now_ms)),
            Frame::Records { done, lines } => {
                presence.buckets_awaited = presence.buckets_awaited.saturating_sub(done);
                let since = self.may_know_better;
                let lines = record::lines(&lines).filter(|line| is_since(line, since));
                lines.for_each(|line| self.bag.put(line, now_ms));
            }
            Frame::Digest { .. } => presence.is_behind = true,
            Frame::Which { uuid, client } => self.ask(uuid, client, ctx),
            Frame::Found { uuid, line } => self.answer(uuid, Some(line)),
            Frame::NotFound { uuid } => self.answer(uuid, None),
            // Over a link of this vocabulary the store says nothing else.
            _ => {}
        }
    }

    fn answer(&mut self, uuid: Uuid, record: Option<Vec<u8>>) {
        if let Some(asker) = self.presence.as_mut().and_then(|presence| presence.asked.remove(&uuid)) {
            let _ = asker.send(record); // Who asked may have given up waiting.
        }
    }

    /// Carries what may be carried now.
    fn carry_all(&mut self, ctx: &mut Context<Self>) {
        if self.stopping {
            self.bag.hurry();
        }
        while let Some(letter) = self.bag.next(self.now_ms()) {
            if let Some(message) = letter.print(self.there.speaks, &self.here, &self.there.name) {
                self.carry(letter.line, message, ctx);
            } else {
                let (name, length) = (&self.there.name, letter.line.len());
                self.unsaid.make(format_args!("{name} cannot be told a record of {length} bytes: too long"));
                self.too_long += 1;
                self.bag.carried(&letter.line, self.now_ms());
            }
        }
    }

    /// Sees to it that it goes on when the next letter may be carried.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(due) = self.due.take() {
            ctx.cancel_future(due);
        }
        if let Some(due_ms) = self.bag.due_ms() {
            let delay = Duration::from_millis(due_ms.saturating_sub(self.now_ms()).max(1));
            self.due = Some(ctx.run_later(delay, Self::go_on));
        }
    }

    fn carry(&mut self, line: Vec<u8>, message: Vec<u8>, ctx: &mut Context<Self>) {
        let courier = self.courier();
        let Some(presence) = &mut self.presence else { return };
        let (spare, waits) = (presence.spare.take(), presence.manner.is_waited_for());
        let carrying = async move { caught_waiting(courier.tell(spare, &message, waits)).await? };
        self.spawn_in_era(carrying, ctx, move |dialect, result, ctx| dialect.carried(&line, result, ctx));
    }

    fn carried(&mut self, line: &[u8], result: io::Result<bool>, ctx: &mut Context<Self>) {
        let is_closed = match result {
            Ok(is_closed) => is_closed,
            Err(error) => return self.depart(&error, ctx),
        };
        if let Some(presence) = &mut self.presence {
            presence.manner.note_close(is_closed);
        }
        self.looked = Some(Instant::now());
        self.bag.carried(line, self.now_ms());
        self.go_on(ctx);
    }

    /// Asks the neighbour for a client, if its kind can be asked.
    fn ask(&mut self, uuid: Uuid, client: Vec<u8>, ctx: &mut Context<Self>) {
        let question = speech::question(self.there.speaks, &client, uuid);
        let courier = self.courier();
        let max = self.limits.dialect_connections_max;
        let presence = self.presence.as_mut().filter(|presence| presence.questions < max);
        let (Some(question), Some(presence)) = (question, presence) else {
            return self.tell_store(Frame::NotFound { uuid });
        };
        presence.questions += 1;
        let asking = async move { caught_waiting(courier.ask(&question, &client)).await? };
        self.spawn_in_era(asking, ctx, move |dialect, answer, ctx| dialect.heard(uuid, answer, ctx));
    }

    fn heard(&mut self, uuid: Uuid, answer: io::Result<gps::Answer>, ctx: &mut Context<Self>) {
        if let Some(presence) = &mut self.presence {
            presence.questions -= 1;
        }
        match answer {
            Ok(gps::Answer::Found(line)) => self.tell_store(Frame::Found { uuid, line }),
            Ok(gps::Answer::NotFound) => self.tell_store(Frame::NotFound { uuid }),
            Ok(gps::Answer::Unreadable) => {
                let name = &self.there.name;
                self.unreadable.make(format_args!("{name} gave an answer that cannot be read exactly"));
                self.tell_store(Frame::NotFound { uuid });
            }
            Err(error) => {
                self.tell_store(Frame::NotFound { uuid });
                self.depart(&error, ctx);
            }
        }
    }

    fn standing(&self) -> Standing {
        Standing { answers: self.is_there(), too_long: self.too_long }
    }

    fn tell_store(&self, frame: Frame) {
        // A store that is gone is found out when it is asked what there is to say.
        self.desk.hear.do_send(Hear { link: self.link(), frames: vec![frame] });
    }
}

impl Actor for DialectActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.dial(ctx);
        self.look_again(ctx);
    }
}

impl Handler<Flood> for DialectActor {
    type Result = ();

    fn handle(&mut self, Flood: Flood, ctx: &mut Self::Context) {
        if let Some(presence) = &mut self.presence {
            presence.wants_more = true;
            self.go_on(ctx);
        }
    }
}

impl Handler<Overhear> for DialectActor {
    type Result = ();

    fn handle(&mut self, Overhear(overheard): Overhear, ctx: &mut Self::Context) {
        if self.is_there() {
            self.bag.overhear(&overheard, self.now_ms());
            self.go_on(ctx);
        } else if let Some(redial) = self.redial.take_if(|_| overheard.is_held) {
            ctx.cancel_future(redial); // It may be the one that spoke, so it is back.
            self.dial(ctx);
        }
    }
}

impl Handler<Ask> for DialectActor {
    type Result = ResponseFuture<Option<Vec<u8>>>;

    fn handle(&mut self, Ask { uuid, client }: Ask, _: &mut Self::Context) -> Self::Result {
        let answered = self.presence.as_mut().and_then(|presence| presence.await_answer(uuid));
        let Some(answered) = answered else { return Box::pin(std::future::ready(None)) };
        self.tell_store(Frame::Which { uuid, client });
        let limit = Duration::from_millis(self.limits.search_ms.saturating_mul(2));
        Box::pin(async move { timeout(limit, answered).await.ok()?.ok()? })
    }
}

impl Handler<Look> for DialectActor {
    type Result = ResponseActFuture<Self, Standing>;

    fn handle(&mut self, Look: Look, _: &mut Self::Context) -> Self::Result {
        let is_known = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_PAUSE);
        if is_known || (!self.is_there() && self.redial.is_none()) {
            return Box::pin(std::future::ready(self.standing()).into_actor(self));
        }
        let era = self.era;
        let looking = self.attempt(self.limits.search_ms.min(self.limits.connect_ms));
        Box::pin(looking.into_actor(self).map(move |result, dialect: &mut Self, ctx| {
            // Whoever asks does not wait longer. That is no reason to give the neighbour up, which may only be slow.
            if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                return Standing { answers: false, ..dialect.standing() };
            }
            if era == dialect.era {
                dialect.note_attempt(result, ctx);
            }
            dialect.standing()
        }))
    }
}

impl Handler<Stop> for DialectActor {
    type Result = ();

    fn handle(&mut self, Stop: Stop, ctx: &mut Self::Context) {
        self.stopping = true;
        let Some(presence) = &mut self.presence else { return ctx.stop() };
        presence.wants_more = true; // What the store heard before this it may not have rung for yet.
        self.go_on(ctx);
    }
}

/// A neighbour that left so many connections open and never closed one is waited for every now and then only.
const LEFT_OPEN_MAX: u32 = 3;

/// Of so many connections to such a neighbour it is waited for on one: it may have been busy, as when it has just started.
const LEFT_OPEN_LOOK: u32 = 8;

/// How long what is known of a neighbour is good enough for somebody who wants to know whether it answers.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Whether a record was received since a time, if there is one.
fn is_since(line: &[u8], since: Option<Nanos>) -> bool {
    since.is_none_or(|since| Record::parse(line).is_some_and(|record| record.received >= since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attendance::Attendance;
    use crate::net::{Incoming, Network};
    use crate::testing::{NOON, Switchboard, answering, recording, seams};
    use crate::waiting::Step;
    use actix::Addr;
    use herd_core::dialect::gate::Overheard;
    use herd_core::frame::Update;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::mpsc::UnboundedReceiver;

    /// What the actor says to the store, and what the store has for it.
    struct Store {
        ups: UnboundedReceiver<LinkUp>,
        downs: UnboundedReceiver<LinkDown>,
        heard: UnboundedReceiver<Hear>,
        /// How often it was asked for that.
        asked: Rc<Cell<usize>>,
    }

    fn speak(
        speaks: Dialect,
        answers: bool,
        chunks: Vec<Vec<u8>>,
    ) -> (Store, UnboundedReceiver<DuplexStream>) {
        let (network, calls) = Switchboard::new(answers, 1024);
        let (store, _) = speak_over(network, speaks, chunks);
        (store, calls)
    }

    fn speak_over(
        network: impl Network + 'static,
        speaks: Dialect,
        chunks: Vec<Vec<u8>>,
    ) -> (Store, Addr<DialectActor>) {
        speak_within(&Limits { dialect_connections_max: 2, ..Limits::default() }, network, speaks, chunks)
    }

    fn speak_within(
        limits: &Limits,
        network: impl Network + 'static,
        speaks: Dialect,
        chunks: Vec<Vec<u8>>,
    ) -> (Store, Addr<DialectActor>) {
        let ((link_up, ups), (link_down, downs), (hear, heard)) = (recording(), recording(), recording());
        let chunks = Rc::new(RefCell::new(VecDeque::from(chunks)));
        let asked = Rc::<Cell<usize>>::default();
        let asks = Rc::clone(&asked);
        let take = answering(move |_: Take| {
            asks.set(asks.get() + 1);
            chunks.borrow_mut().pop_front().unwrap_or_default()
        });
        let desk = LinkDesk { link_up, link_down, hear, take };
        let there = Stranger {
            name: "Theirs".to_owned(),
            clients: "there:1".to_owned(),
            speaks,
            kin: vec!["Theirs".to_owned()],
        };
        let seat = Attendance::default().enter(1).unwrap();
        let dialect = DialectActor::new("Ours".into(), there, desk, limits, seams(network), seat).start();
        (Store { ups, downs, heard, asked }, dialect)
    }

    /// A network on which it takes a while until a call is answered or refused.
    struct Slow {
        calls: Arc<AtomicUsize>,
        takes: Duration,
        answers: bool,
    }

    impl Network for Slow {
        fn bind<'a>(&'a self, _: &'a str) -> Step<'a, Box<dyn Incoming>> {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }

        fn connect<'a>(&'a self, _: &'a str, _: Duration) -> Step<'a, Socket> {
            Box::pin(async {
                self.calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(self.takes).await;
                let socket: Socket = Box::new(tokio::io::duplex(1024).0);
                self.answers.then_some(socket).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
            })
        }
    }

    /// A network on which the first call is answered, and whoever makes another panics.
    #[derive(Default)]
    struct Faulty(AtomicUsize);

    impl Network for Faulty {
        fn bind<'a>(&'a self, _: &'a str) -> Step<'a, Box<dyn Incoming>> {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }

        fn connect<'a>(&'a self, _: &'a str, _: Duration) -> Step<'a, Socket> {
            Box::pin(async {
                assert!(self.0.fetch_add(1, Ordering::Relaxed) == 0, "as the test wants");
                Ok(Box::new(tokio::io::duplex(1024).0) as Socket)
            })
        }
    }

    fn update(lines: &str) -> Vec<u8> {
        Frame::Update(Update::new(Uuid::nil(), lines.as_bytes())).to_bytes()
    }

    /// What the store says where the link missed something.
    fn missed() -> Frame {
        Frame::Digest { root: 0 }
    }

    async fn message(call: &mut DuplexStream) -> String {
        let mut bytes = vec![0; 1024];
        let read = call.read(&mut bytes).await.unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    #[actix::test]
    async fn no_more_connections_are_open_than_the_limit() {
        tokio::time::pause();
        let lines: String =
            ["k", "l", "m"].map(|client| format!("{client} +1-2 5 6000000000 Ours\n")).concat();
        let (mut store, mut calls) = speak(Dialect::At, true, vec![update(&lines)]);
        assert!(store.ups.recv().await.is_some());
        let (mut first, mut second) = (calls.recv().await.unwrap(), calls.recv().await.unwrap());
        assert_eq!(message(&mut first).await, "AT Ours +1.000000000 k +1-2 5\n");
        assert_eq!(message(&mut second).await, "AT Ours +1.000000000 l +1-2 5\n");
        assert!(calls.try_recv().is_err());
        drop(first);
        let mut third = calls.recv().await.unwrap();
        assert_eq!(message(&mut third).await, "AT Ours +1.000000000 m +1-2 5\n");
    }

    /// It was asked for more after each.
    #[actix::test]
    async fn the_store_is_asked_again_for_what_it_had_and_not_for_each_letter_that_was_carried() {
        tokio::time::pause();
        let lines: Vec<String> =
            (0..10).map(|number| format!("k{number} +1-2 5 6000000000 Ours\n")).collect();
        let (store, mut calls) = speak(Dialect::At, true, vec![update(&lines.concat())]);
        for _ in 0..10 {
            drop(calls.recv().await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(store.asked.get(), 2);
    }

    /// What was only sent waits among the connections of the neighbour: thousands at once, when it was away for a while.
    #[actix::test]
    async fn a_connection_counts_until_the_neighbour_has_closed_it_if_it_does_that_at_all() {
        tokio::time::pause();
        let line = |number| format!("k{number} +1-2 5 6000000000 Ours\n");
        let lines: String = (0..10).map(line).collect();
        let (_store, mut calls) = speak(Dialect::Changeloc, true, vec![update(&lines)]);
        let began = Instant::now();
        let mut open = vec![calls.recv().await.unwrap(), calls.recv().await.unwrap()];
        assert!(message(&mut open[0]).await.starts_with("CHANGELOC k0 "));
        assert!(message(&mut open[1]).await.starts_with("CHANGELOC k1 "));
        assert!(calls.try_recv().is_err());
        for _ in 2..10 {
            open.push(calls.recv().await.unwrap());
        }
        let linger = Duration::from_millis(Limits::default().dialect_linger_ms);
        assert!(began.elapsed() >= linger && began.elapsed() < linger * 3);
    }

    /// It was only busy when it started, and was flooded with connections ever after.
    #[actix::test]
    async fn a_neighbour_that_was_slow_to_close_its_first_connections_is_waited_for_when_it_closes_others() {
        tokio::time::pause();
        let line = |number| format!("k{number} +1-2 5 6000000000 Ours\n");
        let lines: String = (0..100).map(line).collect();
        let (_store, mut calls) = speak(Dialect::Changeloc, true, vec![update(&lines)]);
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(calls.recv().await.unwrap());
        }
        for _ in 0..40 {
            drop(calls.recv().await.unwrap());
        }
        for _ in 0..2 {
            open.push(calls.recv().await.unwrap());
        }
        assert!(message(open.last_mut().unwrap()).await.starts_with("CHANGELOC k"));
        assert!(calls.try_recv().is_err());
    }

    /// It forgets everything while it is away, and nobody who says nothing to it would find out.
    #[actix::test]
    async fn a_neighbour_that_goes_away_is_missed_though_nothing_is_said_to_it() {
        tokio::time::pause();
        let (mut store, mut calls) = speak(Dialect::At, true, Vec::new());
        assert!(calls.recv().await.is_some() && store.ups.recv().await.is_some());
        let mut look = calls.recv().await.unwrap();
        assert_eq!(message(&mut look).await, "");
        assert!(store.downs.try_recv().is_err());
        drop(calls);
        assert!(store.downs.recv().await.is_some());
    }

    #[actix::test]
    async fn a_neighbour_that_is_away_is_dialled_again_and_no_link() {
        tokio::time::pause();
        let (mut store, mut calls) = speak(Dialect::At, false, Vec::new());
        for _ in 0..3 {
            assert!(calls.recv().await.is_some());
        }
        assert!(store.ups.try_recv().is_err() && store.downs.try_recv().is_err());
    }

    /// Each of its messages took longer to be taken than anybody waits for an answer, and was said all the same.
    #[actix::test]
    async fn a_neighbour_that_is_slow_does_not_answer_whoever_asks_and_is_not_given_up() {
        tokio::time::pause();
        let takes = Duration::from_millis(Limits::default().search_ms * 2);
        let slow = Slow { calls: Arc::default(), takes, answers: true };
        let (mut store, dialect) = speak_over(slow, Dialect::At, Vec::new());
        assert!(store.ups.recv().await.is_some());
        assert!(dialect.send(Look).await.unwrap().answers, "it just did");
        tokio::time::advance(LOOK_PAUSE).await;
        assert!(!dialect.send(Look).await.unwrap().answers);
        tokio::time::sleep(takes * 10).await;
        assert!(store.downs.try_recv().is_err());
    }

    /// Of all that calls a neighbour this alone ended the server.
    #[actix::test]
    async fn a_panic_over_a_call_for_whoever_asks_ends_nothing_but_the_call() {
        tokio::time::pause();
        let (mut store, dialect) = speak_over(Faulty::default(), Dialect::At, Vec::new());
        assert!(store.ups.recv().await.is_some());
        tokio::time::advance(LOOK_PAUSE).await;
        assert!(!dialect.send(Look).await.unwrap().answers);
        assert!(dialect.connected());
    }

    #[actix::test]
    async fn however_often_it_is_asked_for_a_neighbour_that_is_away_is_dialled_by_one() {
        tokio::time::pause();
        let calls = Arc::new(AtomicUsize::new(0));
        let takes = Duration::from_millis(Limits::default().search_ms * 9 / 10);
        let slow = Slow { calls: Arc::clone(&calls), takes, answers: false };
        let (_store, dialect) = speak_over(slow, Dialect::At, Vec::new());
        for _ in 0..100 {
            tokio::time::sleep(LOOK_PAUSE).await;
            assert!(!dialect.send(Look).await.unwrap().answers);
        }
        let before = calls.load(Ordering::Relaxed);
        let longest = Duration::from_millis(Limits::default().redial_max_ms);
        tokio::time::sleep(longest * 20).await;
        let dialled = calls.load(Ordering::Relaxed) - before;
        assert!((10..=21).contains(&dialled), "{dialled} times");
    }

    /// What a client says between the start and the link is as new as what it says after.
    #[actix::test]
    async fn who_overwrites_and_may_know_better_is_told_all_but_what_was_kept_on_disk() {
        tokio::time::pause();
        let lines = format!("k +1-2 5 {} Ours\nl +1-2 5 {NOON} Ours\n", NOON - 1).into_bytes();
        let records = [missed(), Frame::Records { done: 9, lines }].map(|frame| frame.to_bytes()).concat();
        for (speaks, expected) in [(Dialect::Update, " l +1-2 5"), (Dialect::At, " k +1-2 5\n")] {
            let (mut store, mut calls) = speak(speaks, true, vec![records.clone()]);
            let said = message(&mut calls.recv().await.unwrap()).await;
            assert!(said.ends_with(expected), "{said}");
            let spans = vec![Span::ALL];
            assert_eq!(store.heard.recv().await.unwrap().frames, [Frame::AskRecords { spans }]);
        }
    }

    #[actix::test]
    async fn what_the_store_tells_when_asked_is_said() {
        tokio::time::pause();
        let lines = b"k +1-2 5 6000000000 Ours\n".to_vec();
        let (_store, mut calls) =
            speak(Dialect::At, true, vec![Frame::Records { done: 9, lines }.to_bytes()]);
        let said = message(&mut calls.recv().await.unwrap()).await;
        assert_eq!(said, "AT Ours +1.000000000 k +1-2 5\n");
    }

    /// A part of all may have been told before something was missed, and a neighbour that is told more than it can be told
    /// at once misses something again and again.
    #[actix::test]
    async fn what_was_missed_while_all_is_told_is_asked_for_once_when_that_is_done() {
        tokio::time::pause();
        let told = |done| Frame::Records { done, lines: Vec::new() };
        let all = Frame::AskRecords { spans: vec![Span::ALL] };
        let frames = [missed(), missed(), told(Span::ALL.buckets() - 1), missed()];
        let first = frames.map(|frame| frame.to_bytes()).concat();
        let (mut store, _calls) = speak(Dialect::At, true, vec![first, told(1).to_bytes()]);
        assert_eq!(store.heard.recv().await.unwrap().frames, [all]);
        let flood = store.ups.recv().await.unwrap().flood;
        flood.send(Flood).await.unwrap();
        assert!(store.heard.recv().await.is_some());
        flood.send(Flood).await.unwrap();
        assert!(store.heard.try_recv().is_err());
    }

    /// One that has room for one letter, and one that waits, as the neighbour's own kind wrote it. The store has another.
    async fn full(
        network: Switchboard,
        calls: &mut UnboundedReceiver<DuplexStream>,
    ) -> (Store, DuplexStream, Addr<DialectActor>) {
        let chunks = ["k", "l"].map(|client| update(&format!("{client} +1-2 5 6000000000 Theirs\n")));
        let limits = Limits { dialect_letters_max: 1, ..Limits::default() };
        let (store, dialect) = speak_within(&limits, network, Dialect::Update, chunks.into());
        let mut first = calls.recv().await.unwrap();
        assert!(timeout(Duration::from_millis(1), message(&mut first)).await.is_err());
        (store, first, dialect)
    }

    /// Room came, and nobody asked the store again, which rings once until somebody does.
    #[actix::test]
    async fn what_found_no_room_is_said_when_the_neighbour_turns_out_to_hold_what_was_in_the_way() {
        tokio::time::pause();
        let (network, mut calls) = Switchboard::new(true, 1024);
        let (_store, mut first, dialect) = full(network, &mut calls).await;
        let line = b"k +1-2 5 6000000000 Theirs".to_vec();
        dialect.send(Overhear(Overheard { line, spelling: None, is_held: true, newer: None })).await.unwrap();
        let said = timeout(Duration::from_secs(1), message(&mut first)).await;
        assert!(said.as_ref().is_ok_and(|said| said.contains(" l ")), "{said:?}");
    }

    #[actix::test]
    async fn one_that_stops_while_there_is_no_room_says_all_at_once() {
        tokio::time::pause();
        let (network, mut calls) = Switchboard::new(true, 1024);
        let (_store, mut first, dialect) = full(network, &mut calls).await;
        let began = Instant::now();
        dialect.send(Stop).await.unwrap();
        assert!(message(&mut first).await.contains(" k "));
        assert!(message(&mut calls.recv().await.unwrap()).await.contains(" l "));
        assert!(began.elapsed() < Duration::from_millis(Limits::default().dialect_settle_ms));
    }

    #[actix::test]
    async fn a_neighbour_that_cannot_be_asked_knows_nobody() {
        tokio::time::pause();
        let question = Frame::Which { uuid: Uuid::nil(), client: b"k".to_vec() }.to_bytes();
        let (mut store, _calls) = speak(Dialect::Trail, true, vec![question]);
        let heard = store.heard.recv().await.unwrap();
        assert_eq!(heard.frames, [Frame::NotFound { uuid: Uuid::nil() }]);
    }

    #[actix::test]
    async fn the_answer_to_a_question_is_told_to_the_store() {
        tokio::time::pause();
        let question = Frame::Which { uuid: Uuid::nil(), client: b"k".to_vec() }.to_bytes();
        let (mut store, mut calls) = speak(Dialect::Clientat, true, vec![question]);
        let _spare = calls.recv().await;
        let mut call = calls.recv().await.unwrap();
        assert_eq!(message(&mut call).await, format!("WHICHCLIENT k {}", Uuid::nil().hyphenated()));
        call.write_all(br#"{"gps": [1.0, -2.0], "skew": "+1", "time": 5}"#).await.unwrap();
        let heard = store.heard.recv().await.unwrap();
        let line = b"k +1.0-2.0 5 6000000000 Theirs".to_vec();
        assert_eq!(heard.frames, [Frame::Found { uuid: Uuid::nil(), line }]);
    }
}
