//! The peer: it keeps the link to one neighbour.
//!
//! It dials, shakes hands, tells the store [`LinkUp`], and then both reads what the neighbour says
//! ([`Hear`](crate::messages::Hear)) and writes what the store has for it ([`Take`](crate::messages::Take)), until the link
//! is lost: [`LinkDown`], a delay, and it dials again. A peer that cannot dial, because the neighbour came by itself, ends
//! with its link: the neighbour dials, and has a new one. It hears [`Join`] when the neighbour dialled instead, [`Flood`] when
//! there is something to take, and [`Stop`], upon which it says goodbye and ends. Reader and writer, which are in `talk`, wait
//! for nothing of each other; what is written next is taken only once the socket has taken the last, so a slow neighbour
//! holds up nobody and fills no queue. Here is when to dial, and which connection is the link. A peer that panics is started
//! again by the node, after a rest.

mod talk;

use self::talk::{End, Talk};
use crate::complaints::{Complaints, LastReason};
use crate::door::{Credentials, NoLink, Shaken, call};
use crate::messages::{Flood, Join, LinkDesk, LinkDown, LinkUp, Stop};
use crate::net::{Seams, roll};
use crate::panics::OnPanic;
use crate::waiting::Bell;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use herd_core::faults::{self, Fault};
use herd_core::handshake::{Hello, Purpose};
use herd_core::limits::Limits;
use herd_core::redial::{Backoff, Made, courtesy_ms, replaces};
use log::{debug, info};
use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Keeps the link to one neighbour.
pub struct PeerActor {
    here: Arc<str>,
    there: Arc<str>,
    /// Where the neighbour can be dialled; one that came by itself has no address and dials itself.
    address: Option<String>,
    desk: LinkDesk,
    credentials: Credentials,
    limits: Limits,
    seams: Seams,
    backoff: Backoff,
    /// What this side does to get a link, if anything.
    dialling: Option<Dialling>,
    link: Option<Link>,
    /// True once it is to end: there is no new link any more.
    is_stopping: bool,
    /// Of calls though there is a link.
    doubled: Complaints,
    /// Why there was no link.
    last_failure: LastReason,
    /// What happens if it panics.
    _on_panic: OnPanic,
    /// Its seat among the peers of the server, and what follows once it is left.
    _seat: Box<dyn Any>,
}

/// The two ends of a link.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The name of this server.
    pub here: Arc<str>,
    /// The name of the neighbour.
    pub there: Arc<str>,
    /// Where the neighbour can be dialled, `host:port`; `None` if it dials itself.
    pub address: Option<String>,
}

/// A link that is up.
struct Link {
    made: Made,
    began: Instant,
    /// The reader and the writer.
    talking: SpawnHandle,
    bell: Rc<Bell>,
}

/// What a peer does to get a link.
enum Dialling {
    /// It waits, and then dials.
    Later(SpawnHandle),
    /// It calls, and may be a word away from a link.
    Now(SpawnHandle),
}

impl PeerActor {
    /// A peer that keeps a link, and `seat` as long as it lasts; `on_panic` tells what happens if it panics.
    pub fn new(
        ends: Ends,
        desk: LinkDesk,
        credentials: Credentials,
        limits: &Limits,
        seams: Seams,
        on_panic: OnPanic,
        seat: impl Any,
    ) -> Self {
        Self {
            here: ends.here,
            there: ends.there,
            address: ends.address,
            desk,
            credentials,
            limits: limits.clone(),
            seams,
            backoff: Backoff::new(limits),
            dialling: None,
            link: None,
            is_stopping: false,
            doubled: Complaints::default(),
            last_failure: LastReason::default(),
            _on_panic: on_panic,
            _seat: Box::new(seat),
        }
    }

    /// Dials after a delay, unless the neighbour has dialled by then.
    fn dial_later(&mut self, delay_ms: u64, ctx: &mut Context<Self>) {
        if self.address.is_some() {
            let delay = delay_ms.saturating_add(courtesy_ms(&self.limits, &self.here, &self.there));
            let later = ctx.run_later(Duration::from_millis(delay), Self::dial);
            self.dialling = Some(Dialling::Later(later));
        }
    }

    fn dial(&mut self, ctx: &mut Context<Self>) {
        let Some(address) = self.address.clone() else { return };
        let hello = Hello { purpose: Purpose::Link, from: self.here.to_string(), to: self.there.to_string() };
        let (seams, credentials, limits) =
            (self.seams.clone(), self.credentials.clone(), self.limits.clone());
        let calling =
            async move { call(&*seams.network, &address, &hello, &credentials, &seams.dice, &limits).await };
        self.dialling = Some(Dialling::Now(ctx.spawn(calling.into_actor(self).map(Self::dialled))));
    }

    fn dialled(result: Result<Shaken, NoLink>, peer: &mut Self, ctx: &mut Context<Self>) {
        peer.dialling = None;
        match result {
            Ok(shaken) => peer.adopt(shaken, Made::Here, ctx),
            Err(failure) => {
                peer.log_failure(&failure);
                if peer.link.is_none() {
                    peer.redial(ctx);
                }
            }
        }
    }

    fn log_failure(&mut self, failure: &NoLink) {
        let (there, address) = (&self.there, self.address.as_deref().unwrap_or_default());
        self.last_failure.log(&failure.to_string(), format_args!("no link to {there} at {address}"));
    }

    fn redial(&mut self, ctx: &mut Context<Self>) {
        if faults::is_on(Fault::GivesUpDialling) {
            return;
        }
        let delay_ms = self.backoff.delay_ms(roll(&self.seams.dice));
        self.dial_later(delay_ms, ctx);
    }

    /// Makes a connection the link, unless the present one is to be kept.
    fn adopt(&mut self, shaken: Shaken, made: Made, ctx: &mut Context<Self>) {
        if self.is_stopping {
            // What actix cancels is polled once more, and a call that was cancelled may have come to its end.
            return debug!("a link to {} comes too late", self.there);
        }
        if let Some(link) = &self.link {
            self.warn_if_doubled(link, made);
            if !replaces(made, link.made, &self.here, &self.there) {
                return debug!("a second link to {} is not needed", self.there);
            }
        }
        self.dial_no_more(made, ctx);
        if let Some(link) = self.link.take() {
            ctx.cancel_future(link.talking);
            self.log_loss("replaced by a new one"); // The store learns that by the next message.
        }
        info!("link to {} up made={made:?}", self.there);
        self.last_failure.clear();
        // A store that is gone is found out by the reader and the writer, which ask it and wait.
        self.desk.link_up.do_send(LinkUp {
            link: Arc::clone(&self.there),
            vocabulary: shaken.vocabulary,
            flood: ctx.address().recipient(),
        });
        self.link = Some(self.talk(shaken, made, ctx));
    }

    /// Says so if a neighbour calls that has a link, unless both sides have only just dialled at once.
    fn warn_if_doubled(&self, link: &Link, made: Made) {
        let is_old = link.began.elapsed() >= Duration::from_millis(self.limits.silent_ms);
        if made == Made::There && (link.made == Made::There || is_old) {
            let there = &self.there;
            self.doubled.make(format_args!(
                "{there} calls though it has a link: it has lost that, or two servers have the name {there}"
            ));
        }
    }

    /// Stops dialling, as there is a link. But where both sides dialled at once and this side's call is to be preferred,
    /// the neighbour may have given up its own for it: hanging up now would leave neither.
    fn dial_no_more(&mut self, made: Made, ctx: &mut Context<Self>) {
        let is_calling = matches!(self.dialling, Some(Dialling::Now(_)));
        if !(is_calling && replaces(Made::Here, made, &self.here, &self.there)) {
            self.cancel_dialling(ctx);
        }
    }

    fn cancel_dialling(&mut self, ctx: &mut Context<Self>) {
        if let Some(Dialling::Now(dialling) | Dialling::Later(dialling)) = self.dialling.take() {
            ctx.cancel_future(dialling);
        }
    }

    fn talk(&self, shaken: Shaken, made: Made, ctx: &mut Context<Self>) -> Link {
        let bell = Rc::new(Bell::default());
        let talk = Talk {
            link: Arc::clone(&self.there),
            bell: Rc::clone(&bell),
            hear: self.desk.hear.clone(),
            take: self.desk.take.clone(),
            limits: self.limits.clone(),
        };
        let (whose, talking) = (Rc::clone(&bell), talk.over(shaken).into_actor(self));
        let talking = ctx.spawn(talking.map(move |end, peer, ctx| peer.ended(&end, &whose, ctx)));
        Link { made, began: Instant::now(), talking, bell }
    }

    /// Does what follows from the end of a link, known by its bell. One that was replaced may still say that it ended:
    /// what actix cancels is polled once more if it was woken at the same time.
    fn ended(&mut self, end: &End, whose: &Rc<Bell>, ctx: &mut Context<Self>) {
        let Some(link) = self.link.take_if(|link| Rc::ptr_eq(&link.bell, whose)) else { return };
        if link.began.elapsed() >= Duration::from_millis(self.limits.heartbeat_ms) {
            self.backoff.reset();
        }
        self.log_loss(end);
        // A store that is gone has no links to forget.
        self.desk.link_down.do_send(LinkDown { link: Arc::clone(&self.there) });
        // When both sides stop, the other's goodbye may come before this one's is said.
        let is_stopping = matches!(end, End::Stopped) || link.bell.rang_last();
        match self.dialling {
            // A new connection that is in the mailbox has been made the link before: the mailbox is polled first.
            _ if is_stopping || self.address.is_none() => ctx.stop(),
            None => self.redial(ctx),
            Some(_) => {} // The call that is under way may become the link; if not, it is made again.
        }
    }

    fn log_loss(&self, reason: impl fmt::Display) {
        info!("link to {} down reason={reason}", self.there);
    }
}

impl Actor for PeerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.dial_later(0, ctx);
    }
}

impl Handler<Flood> for PeerActor {
    type Result = ();

    fn handle(&mut self, Flood: Flood, _: &mut Self::Context) {
        if let Some(link) = &self.link {
            link.bell.ring();
        }
    }
}

impl Handler<Join> for PeerActor {
    type Result = ();

    fn handle(&mut self, Join(shaken): Join, ctx: &mut Self::Context) {
        self.adopt(shaken, Made::There, ctx);
    }
}

impl Handler<Stop> for PeerActor {
    type Result = ();

    fn handle(&mut self, Stop: Stop, ctx: &mut Self::Context) {
        self.is_stopping = true;
        self.cancel_dialling(ctx); // A new link would be one more to say goodbye to.
        match &self.link {
            None => ctx.stop(),
            Some(link) => link.bell.ring_last(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attendance::Attendance;
    use crate::door::greet;
    use crate::messages::{Hear, Take};
    use crate::net::Socket;
    use crate::testing::{Switchboard, answering, counting, recording, seams};
    use actix::Addr;
    use herd_core::frame::{Frame, Update, Vocabulary};
    use herd_core::handshake::Acceptor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use uuid::Uuid;

    /// A peer at Goloman between a mocked store and a neighbour that the test plays.
    struct Bench {
        peer: Addr<PeerActor>,
        ups: UnboundedReceiver<LinkUp>,
        downs: UnboundedReceiver<LinkDown>,
        heard: UnboundedReceiver<Hear>,
        /// What the peer takes next.
        give: UnboundedSender<Vec<u8>>,
        calls: UnboundedReceiver<DuplexStream>,
        there: &'static str,
    }

    fn bench_with(there: &'static str, answers: bool, capacity: usize) -> Bench {
        bench_at(there, Some("there:1"), answers, capacity)
    }

    fn bench_at(there: &'static str, address: Option<&str>, answers: bool, capacity: usize) -> Bench {
        let (link_up, ups) = recording();
        let (link_down, downs) = recording();
        let (hear, heard) = recording();
        let (give, mut given) = unbounded_channel();
        let take = answering(move |_: Take| given.try_recv().unwrap_or_default());
        let (network, calls) = Switchboard::new(answers, capacity);
        let ends = Ends { here: "Goloman".into(), there: there.into(), address: address.map(str::to_owned) };
        let desk = LinkDesk { link_up, link_down, hear, take };
        let seat = Attendance::default().enter(1).unwrap();
        let peer = PeerActor::new(
            ends,
            desk,
            Credentials::default(),
            &Limits::default(),
            seams(network),
            OnPanic::new(|| {}),
            seat,
        )
        .start();
        Bench { peer, ups, downs, heard, give, calls, there }
    }

    /// A neighbour that answers calls; its name is the greater, so that this side dials at once and is preferred.
    fn bench() -> Bench {
        tokio::time::pause();
        bench_with("Hands", true, 1 << 20)
    }

    impl Bench {
        /// Answers the next call and shakes hands; the far end of the link is returned.
        async fn pick_up(&mut self) -> Socket {
            let far = Box::new(self.calls.recv().await.unwrap());
            let (hello, shaken) =
                greet(far, &Credentials::default(), &counting(), &Limits::default(), |_| Ok(()), |_| Ok(()))
                    .await
                    .unwrap();
            assert_eq!((&*hello.from, &*hello.to), ("Goloman", self.there));
            shaken.socket
        }

        async fn link(&mut self) -> Socket {
            let far = self.pick_up().await;
            assert_eq!(&*self.ups.recv().await.unwrap().link, self.there);
            far
        }

        async fn is_down(&mut self) {
            assert_eq!(&*self.downs.recv().await.unwrap().link, self.there);
        }

        fn has_changed(&mut self) -> bool {
            self.ups.try_recv().is_ok() || self.downs.try_recv().is_ok()
        }
    }

    async fn line(far: &mut Socket) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(far.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap()
    }

    fn join() -> (Join, DuplexStream) {
        let (near, far) = tokio::io::duplex(1 << 20);
        (Join(Shaken { socket: Box::new(near), rest: Vec::new(), vocabulary: Vocabulary::Plain }), far)
    }

    #[actix::test]
    async fn it_dials_shakes_hands_and_tells_the_store() {
        let mut bench = bench();
        bench.link().await;
        assert!(!bench.has_changed());
    }

    #[actix::test]
    async fn it_writes_what_the_store_gives_at_once_and_when_the_bell_rings() {
        let mut bench = bench();
        bench.give.send(b"first\n".to_vec()).unwrap();
        let mut far = bench.link().await;
        assert_eq!(line(&mut far).await, "first\n");
        let began = Instant::now();
        bench.give.send(b"second\n".to_vec()).unwrap();
        bench.peer.do_send(Flood);
        assert_eq!(line(&mut far).await, "second\n");
        assert!(began.elapsed() < Duration::from_millis(Limits::default().heartbeat_ms));
    }

    #[actix::test]
    async fn it_tells_the_store_what_the_neighbour_says_frame_by_frame() {
        let mut bench = bench();
        let mut far = bench.link().await;
        let frames: Vec<Frame> =
            (1..4).map(|uuid| Frame::Update(Update::new(Uuid::from_u128(uuid), b"k +1-2 3 4 A\n"))).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        for piece in bytes.chunks(7) {
            far.write_all(piece).await.unwrap();
        }
        let mut heard = Vec::new();
        while heard.len() < frames.len() {
            heard.extend(bench.heard.recv().await.unwrap().frames);
        }
        assert_eq!(heard, frames);
    }

    #[actix::test]
    async fn a_link_with_nothing_to_say_says_so() {
        let mut bench = bench();
        let mut far = bench.link().await;
        for _ in 0..3 {
            assert_eq!(line(&mut far).await, "PING\n");
        }
    }

    #[actix::test]
    async fn a_silent_neighbour_is_given_up_and_dialled_again() {
        let mut bench = bench();
        let began = Instant::now();
        let _far = bench.link().await;
        bench.is_down().await;
        assert!(began.elapsed() >= Duration::from_millis(Limits::default().silent_ms));
        bench.link().await;
    }

    #[actix::test]
    async fn a_neighbour_that_says_anything_is_kept() {
        let mut bench = bench();
        let mut far = bench.link().await;
        for _ in 0..30 {
            assert_eq!(line(&mut far).await, "PING\n");
            far.write_all(b"PING\n").await.unwrap();
        }
        assert!(!bench.has_changed());
    }

    #[actix::test]
    async fn a_neighbour_that_takes_nothing_is_given_up() {
        tokio::time::pause();
        let mut bench = bench_with("Hands", true, 256);
        bench.give.send(vec![b'x'; 10_000]).unwrap();
        let mut far = bench.link().await;
        let pinging = actix_rt::spawn(async move {
            while far.write_all(b"PING\n").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        bench.is_down().await;
        pinging.await.unwrap();
    }

    #[actix::test]
    async fn a_neighbour_that_takes_a_little_at_a_time_is_kept() {
        tokio::time::pause();
        let mut bench = bench_with("Hands", true, 256);
        bench.give.send(vec![b'x'; 5000]).unwrap();
        let mut far = bench.link().await;
        let mut taken = [0; 250];
        // All of it takes twenty times as long as a neighbour may take nothing.
        for _ in 0..20 {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(Limits::default().silent_ms / 4 - 1)).await;
                far.write_all(b"PING\n").await.unwrap();
            }
            far.read_exact(&mut taken).await.unwrap();
            assert_eq!(taken, [b'x'; 250]);
        }
        assert!(!bench.has_changed());
    }

    #[actix::test]
    async fn what_is_no_frame_ends_the_link() {
        let mut bench = bench();
        let mut far = bench.link().await;
        far.write_all(b"IAMAT kiwi +1-2 3\n").await.unwrap();
        bench.is_down().await;
        assert!(bench.heard.try_recv().is_err());
    }

    #[actix::test]
    async fn a_neighbour_that_hangs_up_or_says_goodbye_is_dialled_again() {
        let mut bench = bench();
        drop(bench.link().await);
        bench.is_down().await;
        let mut far = bench.link().await;
        far.write_all(b"BYE we close\n").await.unwrap();
        bench.is_down().await;
        bench.link().await;
    }

    #[actix::test]
    async fn while_nobody_answers_the_delays_grow_to_the_longest_and_no_longer() {
        tokio::time::pause();
        let mut bench = bench_with("Hands", false, 1);
        let mut delays = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            bench.calls.recv().await.unwrap();
            delays.push(began.elapsed());
        }
        let max = Duration::from_millis(Limits::default().redial_max_ms);
        assert!(delays[1] < max / 10 && delays[19] >= max / 2, "{delays:?}");
        assert!(delays.iter().all(|&delay| delay <= max + Duration::from_millis(1)), "{delays:?}");
        assert!(!bench.has_changed());
    }

    #[actix::test]
    async fn a_neighbour_that_dials_is_not_dialled() {
        tokio::time::pause();
        let mut bench = bench_with("Campbell", true, 1 << 20);
        let (join, mut far) = join();
        bench.peer.send(join).await.unwrap();
        assert_eq!(&*bench.ups.recv().await.unwrap().link, "Campbell");
        for _ in 0..10 {
            far.write_all(b"PING\n").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(bench.calls.try_recv().is_err());
    }

    #[actix::test]
    async fn of_two_connections_the_one_of_the_lesser_name_is_the_link() {
        let mut bench = bench();
        let _far = bench.link().await;
        let (join, mut unneeded) = join();
        bench.peer.send(join).await.unwrap();
        assert_eq!(unneeded.read(&mut [0]).await.unwrap(), 0);
        assert!(!bench.has_changed());
    }

    #[actix::test]
    async fn a_neighbour_that_dials_again_has_lost_its_link() {
        tokio::time::pause();
        let mut bench = bench_with("Campbell", false, 1);
        let (first, mut lost) = join();
        bench.peer.send(first).await.unwrap();
        let (second, mut far) = join();
        bench.peer.send(second).await.unwrap();
        bench.is_down().await;
        assert_eq!(lost.read(&mut [0]).await.unwrap(), 0);
        let mut line = [0; 5];
        far.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"PING\n");
    }

    /// A neighbour that came by itself, and its link.
    async fn newcomer() -> (Bench, DuplexStream) {
        tokio::time::pause();
        let mut bench = bench_at("Newcomer", None, false, 1);
        let (join, far) = join();
        bench.peer.send(join).await.unwrap();
        assert_eq!(&*bench.ups.recv().await.unwrap().link, "Newcomer");
        (bench, far)
    }

    /// Peers of names that joined once stayed for ever, each on a seat that nobody else got.
    #[actix::test]
    async fn a_peer_that_cannot_dial_ends_with_its_link() {
        let (mut bench, far) = newcomer().await;
        drop(far);
        bench.is_down().await;
        assert!(bench.peer.send(Flood).await.is_err());
    }

    #[actix::test]
    async fn a_newcomer_that_dials_again_while_its_link_ends_has_a_link() {
        let (mut bench, far) = newcomer().await;
        drop(far);
        let (again, mut far) = join();
        bench.peer.do_send(again);
        bench.is_down().await;
        assert_eq!(&*bench.ups.recv().await.unwrap().link, "Newcomer");
        let mut line = [0; 5];
        far.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"PING\n");
    }

    #[actix::test]
    async fn told_to_stop_it_writes_what_is_left_and_says_goodbye() {
        let mut bench = bench();
        let mut far = bench.link().await;
        bench.give.send(b"last\n".to_vec()).unwrap();
        bench.peer.do_send(Stop);
        let mut rest = String::new();
        far.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "last\nBYE this server stops\n");
        bench.is_down().await;
        assert!(bench.calls.try_recv().is_err());
    }

    #[actix::test]
    async fn told_to_stop_without_a_link_it_ends() {
        tokio::time::pause();
        let bench = bench_with("Hands", false, 1);
        bench.peer.send(Stop).await.unwrap();
        assert!(bench.peer.send(Flood).await.is_err());
    }

    /// Both sides have dialled, and this side's call is answered in the moment in which it is told to stop.
    #[actix::test]
    async fn told_to_stop_while_its_call_is_answered_it_says_goodbye_to_the_link_that_it_has() {
        let mut bench = bench();
        let mut called: Socket = Box::new(bench.calls.recv().await.unwrap());
        let hello = line(&mut called).await;
        let (_, answer) = Acceptor::greeted(hello.trim_end(), None, 1).unwrap();
        called.write_all(answer.as_bytes()).await.unwrap();
        line(&mut called).await; // The proof.
        let (join, far) = join();
        bench.peer.send(join).await.unwrap();
        bench.ups.recv().await.unwrap();
        bench.peer.do_send(Stop);
        called.write_all(b"WELCOME\n").await.unwrap();
        let mut far: Socket = Box::new(far);
        assert_eq!(line(&mut far).await, "BYE this server stops\n");
        bench.is_down().await;
        assert!(bench.ups.try_recv().is_err());
        assert!(bench.peer.send(Flood).await.is_err());
    }

    /// A neighbour that was behind and said something lost what it had not taken: the connection was reset.
    #[actix::test]
    async fn told_to_stop_it_hangs_up_when_the_neighbour_has_heard_it() {
        let (mut bench, mut far) = newcomer().await;
        bench.give.send(b"last\n".to_vec()).unwrap();
        bench.peer.do_send(Stop);
        let mut rest = String::new();
        far.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("last\nBYE this server stops\n"));
        far.write_all(b"PING\n").await.unwrap();
        assert!(!bench.has_changed());
        drop(far);
        bench.is_down().await;
    }
}
