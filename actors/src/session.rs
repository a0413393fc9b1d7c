//! The session: it owns one client's connection, from the first byte to the last answer.
//!
//! It says [`Execute`] for all whole lines of a read at once, and [`Find`] and [`Near`] where a line needs them. It reads
//! nothing while it owes answers, so a client that does not read its answers is not read either: what one client can make
//! a server hold is bounded. It ends when the client has hung up and has every answer, when it says no line or does not
//! take its answers for too long, when the [`Bell`] of all sessions rings because the server stops, when the store is
//! gone, or when whoever was asked has panicked.

use crate::attendance::Seat;
use crate::messages::{Execute, Executed, Find, Near};
use crate::net::{Clock, Socket, read};
use crate::panics::Panicked;
use crate::waiting::{Bell, FOREVER, Hourglass, drain, write_out};
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, MailboxError, Recipient, WrapFuture};
use herd_core::batch::{Batch, OUTPUT_MAX, Pause};
use herd_core::decimal::Nanos;
use herd_core::faults::{self, Fault};
use herd_core::limits::Limits;
use herd_core::session::Session;
use log::{info, log_enabled, trace, warn};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::futures::Notified;
use tokio::time::timeout;

/// Talks to one client.
pub struct SessionActor {
    /// The conversation, until it starts.
    talk: Option<Talk>,
    /// Who the client is, for the log.
    client: Rc<str>,
    /// Rung once, when all are to stop.
    stop: Arc<Bell>,
    /// Its seat among the sessions of the server.
    _seat: Seat,
}

/// Whom a session asks.
#[derive(Clone)]
pub struct Desk {
    /// The store, to execute lines.
    pub execute: Recipient<Execute>,
    /// The store, to search the herd.
    pub find: Recipient<Find>,
    /// The places.
    pub near: Recipient<Near>,
    /// The time of day.
    pub clock: Clock,
}

impl SessionActor {
    /// A session on a connection from a client, which lasts until `stop` rings at most, and holds `seat` as long as it does.
    pub fn new(
        socket: Socket,
        client: SocketAddr,
        desk: Desk,
        limits: &Limits,
        stop: Arc<Bell>,
        seat: Seat,
    ) -> Self {
        let from = client.ip();
        let client: Rc<str> = client.to_string().into();
        let talk = Talk {
            socket,
            client: Rc::clone(&client),
            desk,
            lines: 0,
            told: 0,
            first_line: Duration::from_millis(limits.first_line_ms),
            idle: Duration::from_millis(limits.idle_ms),
            write_stall: Duration::from_millis(limits.write_stall_ms),
            session: Session::new(limits.line_max).with(from),
            read_size: READ_MIN.min(limits.in_flight_bytes),
            read_max: limits.in_flight_bytes,
        };
        Self { talk: Some(talk), client, stop, _seat: seat }
    }
}

impl Actor for SessionActor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(mut talk) = self.talk.take() else { return };
        info!("session {} opened", self.client);
        let stop = Arc::clone(&self.stop);
        // A task of its own: this actor is woken at the end, and not for every command.
        let talking = actix_rt::spawn(async move {
            let end = talk.run(&stop).await;
            (talk.lines, end)
        });
        ctx.spawn(talking.into_actor(self).map(|ended, session, ctx| {
            match ended {
                Ok((lines, end)) => info!("session {} closed lines={lines} reason={end}", session.client),
                Err(_) => warn!("session {} closed reason={Panicked}", session.client),
            }
            ctx.stop();
        }));
    }
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// The client has sent all it wanted and has every answer.
    Eof,
    /// The server stops.
    Stopped,
    /// The client said no line in time.
    Silent,
    /// The client has taken none of its answers for too long.
    Stalled,
    /// The connection broke.
    Broken(io::Error),
    /// An actor that was asked is gone.
    Gone,
    /// Whoever was asked has panicked over the question.
    Panicked,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("eof"),
            Self::Stopped => f.write_str("stopped"),
            Self::Silent => f.write_str("silent"),
            Self::Stalled => f.write_str("stalled"),
            Self::Broken(error) => write!(f, "broken ({error})"),
            Self::Gone => f.write_str("gone"),
            Self::Panicked => Panicked.fmt(f),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<MailboxError> for End {
    fn from(_: MailboxError) -> Self {
        Self::Gone
    }
}

impl From<Panicked> for End {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

/// How much is read at a time at first: an idle session should cost little.
const READ_MIN: usize = 2 * 1024;

/// How long answers that are ready wait for one that is not, so that they need only one write.
const PATIENCE: Duration = Duration::from_millis(1);

/// A client that has said nothing for so long has nothing on its way any more.
const LINGER: Duration = Duration::from_millis(200);

/// So much its system takes for a client that does not read. Of more, some may wait in ours, and is lost if the client says
/// anything after the connection is closed here.
const TAKEN_UNREAD: u64 = 64 * 1024;

/// The conversation with one client.
struct Talk {
    socket: Socket,
    client: Rc<str>,
    desk: Desk,
    /// Lines answered so far.
    lines: u64,
    /// Bytes of answers so far.
    told: u64,
    first_line: Duration,
    idle: Duration,
    write_stall: Duration,
    session: Session,
    /// How much the next read may bring; it grows to `read_max` while a client fills every read.
    read_size: usize,
    read_max: usize,
}

impl Talk {
    async fn run(&mut self, stop: &Bell) -> End {
        match self.converse(stop).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn converse(&mut self, stop: &Bell) -> Result<End, End> {
        // One waiting for the bell serves all reads.
        let stopped = pin!(stop.rung());
        let mut vigil = Vigil::new(stopped, self.first_line);
        let end = loop {
            if stop.rang_last() {
                break End::Stopped;
            }
            let read = read(&mut self.socket, self.session.buffer(), self.read_size);
            let read = match vigil.watch(read).await {
                Watched::Event(read) => read?,
                Watched::Stop => break End::Stopped,
                Watched::Silence => break End::Silent,
            };
            if read == self.read_size {
                self.read_size = (self.read_size * 2).min(self.read_max);
            }
            let received = (self.desk.clock)();
            while let Some(batch) = self.session.batch() {
                self.answer(batch, received).await?;
                vigil.hourglass.turn(self.idle);
            }
            if read == 0 {
                break End::Eof;
            }
        };
        let quiet = vigil.hourglass.elapsed();
        if !matches!(end, End::Stopped) {
            self.finish().await?;
        }
        self.hang_up(end, quiet).await
    }

    /// Has a batch executed and writes its answers, in their order.
    async fn answer(&mut self, mut batch: Box<Batch>, received: Nanos) -> Result<(), End> {
        trace_lines(&self.client, '>', batch.input());
        loop {
            let Executed { batch: back, pause } = self.desk.execute.send(Execute { batch, received }).await?;
            batch = back;
            match pause {
                Pause::Done => break,
                Pause::Full => {} // It is written below, and others have their turn before this client's next lines.
                Pause::Search { clients } => {
                    let found = self.desk.find.send(Find { clients });
                    let owes = !batch.output.is_empty();
                    self.meanwhile(&mut batch.output, owes, found).await??;
                }
                Pause::Places => {
                    self.add_places(&mut batch).await?;
                    if batch.is_done() {
                        break;
                    }
                }
            }
            if batch.output.len() >= OUTPUT_MAX {
                self.write(&mut batch.output).await?;
            }
        }
        self.write(&mut batch.output).await?;
        self.lines += batch.lines();
        self.session.reuse(batch);
        Ok(())
    }

    /// Adds all places that a batch waits for, and writes what is ready while they are not.
    async fn add_places(&mut self, batch: &mut Batch) -> Result<(), End> {
        loop {
            let queries = batch.wanted();
            if queries.is_empty() {
                return Ok(());
            }
            let places = self.desk.near.send(Near { queries });
            let owes = has_more_than_a_line(&batch.output);
            let answers = self.meanwhile(&mut batch.output, owes, places).await???;
            if answers.is_empty() {
                return Err(End::Gone);
            }
            for json in answers {
                batch.add_places(&json);
                if batch.output.len() >= OUTPUT_MAX {
                    self.write(&mut batch.output).await?;
                }
            }
        }
    }

    /// Waits for an answer; if it is not there at once and the client is owed others, it gets those first.
    async fn meanwhile<T>(
        &mut self,
        output: &mut Vec<u8>,
        owes: bool,
        answer: impl Future<Output = T>,
    ) -> Result<T, End> {
        if !owes {
            return Ok(answer.await);
        }
        let mut answer = pin!(answer);
        if let Ok(ready) = timeout(PATIENCE, &mut answer).await {
            return Ok(ready);
        }
        self.write(output).await?;
        Ok(answer.await)
    }

    /// Writes answers out and forgets them.
    async fn write(&mut self, output: &mut Vec<u8>) -> Result<(), End> {
        if output.is_empty() {
            return Ok(());
        }
        trace_lines(&self.client, '<', output);
        let stall = if faults::is_on(Fault::BearsStalling) { FOREVER } else { self.write_stall };
        write_out(&mut self.socket, output, stall).await.map_err(|_| End::Stalled)??;
        self.told += output.len() as u64;
        output.clear();
        Ok(())
    }

    /// Answers what has no end of a line, as nothing more is waited for. There are clients that end a line with nothing but
    /// the wait for its answer.
    async fn finish(&mut self) -> Result<(), End> {
        if let Some(batch) = self.session.finish() {
            let received = (self.desk.clock)();
            self.answer(batch, received).await?;
        }
        Ok(())
    }

    /// Tells the client that no more will come, `quiet` after its last answer. If it was told much lately, nothing but its
    /// own hanging up shows that it has taken it.
    async fn hang_up(&mut self, end: End, quiet: Duration) -> Result<End, End> {
        self.socket.shutdown().await?;
        if !matches!(end, End::Eof) {
            let may_owe = self.told > TAKEN_UNREAD && quiet < self.write_stall;
            drain(&mut self.socket, if may_owe { self.write_stall } else { LINGER }, self.write_stall).await;
        }
        Ok(end)
    }
}

/// Whether there is anything before the last line, which is the beginning of the answer that is waited for.
fn has_more_than_a_line(output: &[u8]) -> bool {
    output.iter().position(|&byte| byte == b'\n').is_some_and(|end| end + 1 < output.len())
}

/// What a session waits for besides its client.
struct Vigil<'v, 'n> {
    stopped: Pin<&'v mut Notified<'n>>,
    hourglass: Hourglass,
    /// True once both know whom to wake.
    is_kept: bool,
}

/// How a wait ended.
enum Watched<T> {
    /// With what was waited for.
    Event(T),
    /// The session is to stop.
    Stop,
    /// The client said no line in time.
    Silence,
}

impl<'v, 'n> Vigil<'v, 'n> {
    fn new(stopped: Pin<&'v mut Notified<'n>>, limit: Duration) -> Self {
        Self { stopped, hourglass: Hourglass::new(limit), is_kept: false }
    }

    /// Waits for an event, a stop, or the end of patience.
    ///
    /// The last two are asked once, and after that only when the session was woken and not by the event: they go on
    /// knowing whom to wake, and to ask them took 240 of the 7,150 instructions of a command. A bell that rang while
    /// nobody waited here says so, too, and an hourglass that ran out meanwhile tells.
    async fn watch<T>(&mut self, event: impl Future<Output = T>) -> Watched<T> {
        let mut event = pin!(event);
        let mut is_kept = self.is_kept && !self.hourglass.has_rung();
        poll_fn(|context| {
            if let Poll::Ready(event) = event.as_mut().poll(context) {
                return Poll::Ready(Watched::Event(event));
            }
            if std::mem::take(&mut is_kept) {
                return Poll::Pending;
            }
            if self.stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Watched::Stop);
            }
            self.is_kept = true;
            self.hourglass.poll(context).map(|()| Watched::Silence)
        })
        .await
    }
}

/// Every line in and out, at the finest level, under a target of its own.
fn trace_lines(client: &str, direction: char, bytes: &[u8]) {
    if log_enabled!(target: "herd::wire", log::Level::Trace) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            trace!(target: "herd::wire", "session {client} {direction} {}", line.escape_ascii());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attendance::Attendance;
    use crate::testing::{NOON, answering, recording};
    use actix::{Handler, ResponseActFuture, ResponseFuture};
    use herd_core::places::Query;
    use herd_core::replica::Replica;
    use std::cell::RefCell;
    use std::net::{IpAddr, Ipv4Addr};
    use tokio::io::{AsyncReadExt, DuplexStream};
    use tokio::sync::Notify;
    use tokio::sync::mpsc::UnboundedReceiver;
    use tokio::time::Instant;
    use uuid::Uuid;

    const IAMAT: &[u8] = b"IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n";
    const AT: &str = "AT Goloman +0.263873386 kiwi +34.068930-118.445127 1520023934.918963997\n";

    /// Where the client is.
    const NC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    /// The batches that a store was asked to execute.
    type Asked = Rc<RefCell<Vec<Vec<u8>>>>;

    /// A store that follows the rules.
    fn store() -> (Recipient<Execute>, Asked) {
        let mut replica = Replica::new("Goloman", &Limits::default());
        let asked = Asked::default();
        let kept = Rc::clone(&asked);
        let execute = answering(move |Execute { mut batch, received }| {
            kept.borrow_mut().push(batch.input().to_vec());
            let pause = replica.execute(&mut batch, received, 0, Uuid::nil);
            Executed { batch, pause }
        });
        (execute, asked)
    }

    struct Bench {
        client: DuplexStream,
        stop: Arc<Bell>,
        asked: Asked,
        finds: UnboundedReceiver<Find>,
    }

    fn bench_with(near: Recipient<Near>, capacity: usize) -> Bench {
        let limits = Limits { line_max: 100, in_flight_bytes: 4096, ..Limits::default() };
        bench_within(&limits, near, capacity)
    }

    fn bench_within(limits: &Limits, near: Recipient<Near>, capacity: usize) -> Bench {
        let (execute, asked) = store();
        let (find, finds) = recording();
        let desk = Desk { execute, find, near, clock: Arc::new(|| NOON) };
        let (client, socket) = tokio::io::duplex(capacity);
        let seat = Attendance::default().enter(1).unwrap();
        let stop = Arc::<Bell>::default();
        SessionActor::new(Box::new(socket), NC, desk, limits, Arc::clone(&stop), seat).start();
        Bench { client, stop, asked, finds }
    }

    fn bench() -> Bench {
        let radius = |query: &Query| format!("{{{}}}", query.radius_m).into_bytes();
        bench_with(answering(move |near: Near| Ok(near.queries.iter().map(radius).collect())), 1 << 20)
    }

    impl Bench {
        /// Says all of something and hangs up on that side; what comes back until the session hangs up too.
        async fn say(&mut self, input: &[u8]) -> String {
            self.client.write_all(input).await.unwrap();
            self.client.shutdown().await.unwrap();
            let mut output = String::new();
            self.client.read_to_string(&mut output).await.unwrap();
            output
        }

        async fn hear(&mut self, length: usize) -> String {
            let mut output = vec![0; length];
            self.client.read_exact(&mut output).await.unwrap();
            String::from_utf8(output).unwrap()
        }
    }

    #[actix::test]
    async fn a_client_that_hangs_up_on_its_side_gets_every_answer() {
        assert_eq!(bench().say(IAMAT).await, AT);
        assert_eq!(bench().say(IAMAT.trim_ascii_end()).await, AT);
        assert_eq!(bench().say(b"what\nis\r\n\nthis").await, "? what\n? is\n? this\n");
        assert_eq!(bench().say(b"").await, "");
    }

    #[actix::test]
    async fn a_session_stays_open_for_any_number_of_commands() {
        let mut bench = bench();
        for _ in 0..100 {
            bench.client.write_all(IAMAT).await.unwrap();
            assert_eq!(bench.hear(AT.len()).await, AT);
        }
    }

    #[actix::test]
    async fn all_lines_of_a_read_travel_as_one_message() {
        let mut bench = bench();
        let answers = bench.say(&IAMAT.repeat(10)).await;
        assert_eq!(answers, AT.repeat(10));
        assert_eq!(*bench.asked.borrow(), [IAMAT.repeat(10)]);
    }

    #[actix::test]
    async fn a_line_may_come_in_pieces() {
        let mut bench = bench();
        for byte in IAMAT {
            bench.client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.hear(AT.len()).await, AT);
    }

    #[actix::test]
    async fn of_a_line_over_the_limit_the_first_bytes_come_back() {
        let answer = bench().say(&[&b"x".repeat(1000)[..], b"\nshort"].concat()).await;
        assert_eq!(answer, format!("? {}\n? short\n", "x".repeat(100)));
    }

    #[actix::test]
    async fn answers_that_are_too_many_for_one_write_come_in_their_order() {
        let limits = Limits { in_flight_bytes: 1 << 20, ..Limits::default() };
        let near = answering(|near: Near| Ok(vec![b"{}".to_vec(); near.queries.len()]));
        let mut bench = bench_within(&limits, near, 1 << 20);
        let lines: Vec<String> = (0..30_000).map(|number| number.to_string()).collect();
        let answers = bench.say(lines.join("\n").as_bytes()).await;
        assert!(answers == format!("? {}\n", lines.join("\n? ")));
        // Others have their turn between the parts.
        let asked = bench.asked.borrow();
        assert!(asked.windows(2).any(|pair| pair[0] == pair[1]));
    }

    #[actix::test]
    async fn an_unknown_client_is_searched_for_before_the_line_is_invalid() {
        let mut bench = bench();
        assert_eq!(bench.say(b"WHATSAT kiwi 10 5\n").await, "? WHATSAT kiwi 10 5\n");
        assert_eq!(bench.finds.recv().await.unwrap().clients, [b"kiwi"]);
        assert!(bench.finds.try_recv().is_err());
    }

    #[actix::test]
    async fn unknown_clients_of_one_read_are_searched_for_together_and_the_answers_keep_their_order() {
        let lines = ["a", "WHATSAT kiwi 1 1", "IAMAT", "WHATSAT plum 1 1", "b"];
        let mut bench = bench();
        let answers = bench.say(lines.join("\n").as_bytes()).await;
        assert_eq!(answers, format!("? {}\n", lines.join("\n? ")));
        assert_eq!(bench.finds.recv().await.unwrap().clients, [b"kiwi", b"plum"]);
        assert!(bench.finds.try_recv().is_err());
    }

    #[actix::test]
    async fn places_follow_the_at_line_and_two_newlines_follow_them() {
        let answers = bench().say(&[IAMAT, b"WHATSAT kiwi 0.5 5\nend"].concat()).await;
        assert_eq!(answers, format!("{AT}{AT}{{500}}\n\n? end\n"));
    }

    #[actix::test]
    async fn places_of_several_lines_are_asked_for_together_and_come_in_their_order() {
        let asked = Rc::<RefCell<Vec<usize>>>::default();
        let kept = Rc::clone(&asked);
        // Three answers come at once, and the others are asked for again.
        let near = answering(move |near: Near| {
            kept.borrow_mut().push(near.queries.len());
            let json = |query: &Query| format!("{{{}}}", query.bound).into_bytes();
            Ok(near.queries.iter().take(3).map(json).collect())
        });
        let each = |text: &dyn Fn(usize) -> String| (1..=5).map(text).collect::<Vec<_>>().concat();
        let lines = each(&|bound| format!("WHATSAT kiwi 1 {bound}\n"));
        let answers = bench_with(near, 1 << 20).say(&[IAMAT, lines.as_bytes(), b"end\n"].concat()).await;
        let wanted = each(&|bound| format!("{AT}{{{bound}}}\n\n"));
        assert_eq!(answers, format!("{AT}{wanted}? end\n"));
        assert_eq!(*asked.borrow(), [5, 2]);
    }

    /// Places that answer when a test says so.
    struct Slow(Rc<Notify>);

    impl Actor for Slow {
        type Context = actix::Context<Self>;
    }

    impl Handler<Near> for Slow {
        type Result = ResponseFuture<Result<Vec<Vec<u8>>, Panicked>>;

        fn handle(&mut self, _: Near, _: &mut Self::Context) -> Self::Result {
            let go = Rc::clone(&self.0);
            Box::pin(async move {
                go.notified().await;
                Ok(vec![b"{}".to_vec()])
            })
        }
    }

    #[actix::test]
    async fn answers_do_not_wait_for_the_places_of_a_later_one_but_later_ones_do() {
        let go: Rc<Notify> = Rc::default();
        let mut bench = bench_with(Slow(Rc::clone(&go)).start().recipient(), 1 << 20);
        bench.client.write_all(&[IAMAT, b"WHATSAT kiwi 1 1\nlater\n"].concat()).await.unwrap();
        assert_eq!(bench.hear(AT.len() * 2).await, AT.repeat(2));
        go.notify_one();
        assert_eq!(bench.hear(12).await, "{}\n\n? later\n");
    }

    #[actix::test]
    async fn a_client_that_takes_no_answers_is_disconnected() {
        tokio::time::pause();
        let mut bench = bench_with(answering(|_: Near| Ok(Vec::new())), 10);
        // The write ends with an error once the session has hung up, long before all of it was read.
        let written = bench.client.write_all(&b"nobody reads this\n".repeat(10_000)).await;
        assert!(written.is_err());
        assert!(bench.asked.borrow().len() < 1000);
    }

    #[actix::test]
    async fn a_client_that_takes_its_answers_just_in_time_gets_all_and_one_that_does_not_is_cut_off() {
        tokio::time::pause();
        let limit_ms = Limits::default().write_stall_ms;
        let line = b"read late\n";
        for (wait_ms, is_in_time) in [(limit_ms - 2, true), (limit_ms + 2, false)] {
            let mut bench = bench_with(answering(|_: Near| Ok(Vec::new())), line.len());
            bench.client.write_all(line).await.unwrap();
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let mut answer = Vec::new();
            bench.client.shutdown().await.unwrap();
            bench.client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer.len() == line.len() + 2, is_in_time, "{answer:?}");
        }
    }

    #[actix::test]
    async fn a_client_that_takes_its_answers_slowly_but_all_the_time_gets_all() {
        tokio::time::pause();
        let near = answering(|_: Near| Ok(vec![vec![b'x'; 5000]]));
        let mut bench = bench_with(near, 256);
        bench.client.write_all(&[IAMAT, b"WHATSAT kiwi 1 1\n"].concat()).await.unwrap();
        let slow = Duration::from_millis(Limits::default().write_stall_ms - 1);
        let mut answers = bench.hear(AT.len() * 2).await;
        // All of them take twenty times as long as a client may take none.
        for _ in 0..20 {
            tokio::time::sleep(slow).await;
            answers += &bench.hear(250).await;
        }
        answers += &bench.hear(2).await;
        assert_eq!(answers, format!("{AT}{AT}{}\n\n", "x".repeat(5000)));
    }

    #[actix::test]
    async fn a_client_that_ends_no_line_is_answered_and_disconnected_when_its_time_is_up_and_not_before() {
        tokio::time::pause();
        let (mut bench, began) = (bench(), Instant::now());
        bench.client.write_all(b"no end of the line").await.unwrap();
        let mut answer = Vec::new();
        bench.client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"? no end of the line\n");
        let (limit, took) = (Duration::from_millis(Limits::default().first_line_ms), began.elapsed());
        assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?}");
    }

    #[actix::test]
    async fn a_client_that_was_answered_may_be_idle_for_as_long_as_the_limit_after_each_line() {
        tokio::time::pause();
        let mut bench = bench();
        let nearly = Duration::from_millis(Limits::default().idle_ms - 1000);
        for _ in 0..3 {
            bench.client.write_all(IAMAT).await.unwrap();
            assert_eq!(bench.hear(AT.len()).await, AT);
            tokio::time::sleep(nearly).await;
        }
        let began = Instant::now();
        assert_eq!(bench.client.read(&mut [0]).await.unwrap(), 0);
        assert!(began.elapsed() <= Duration::from_secs(2), "{:?}", began.elapsed());
    }

    /// A session that waits for places while something else happens that it waits for as well; then they come.
    async fn kept_waiting(meanwhile: impl AsyncFnOnce(&mut Bench)) -> Bench {
        let go: Rc<Notify> = Rc::default();
        let mut bench = bench_with(Slow(Rc::clone(&go)).start().recipient(), 1 << 20);
        bench.client.write_all(IAMAT).await.unwrap();
        assert_eq!(bench.hear(AT.len()).await, AT);
        tokio::time::sleep(Duration::from_millis(1)).await; // It has to wait for what the client says next.
        bench.client.write_all(&[IAMAT, b"WHATSAT kiwi 1 1\n"].concat()).await.unwrap();
        assert_eq!(bench.hear(AT.len() * 2).await, AT.repeat(2));
        meanwhile(&mut bench).await;
        go.notify_one();
        assert_eq!(bench.hear(4).await, "{}\n\n");
        bench
    }

    #[actix::test]
    async fn a_client_whose_time_ran_out_while_it_was_kept_waiting_has_as_much_again_and_no_more() {
        tokio::time::pause();
        let Limits { first_line_ms, idle_ms, .. } = Limits::default();
        let longer = Duration::from_millis(first_line_ms + 2 * idle_ms);
        let mut bench = kept_waiting(async |_| tokio::time::sleep(longer).await).await;
        let (limit, began) = (Duration::from_millis(idle_ms), Instant::now());
        assert_eq!(timeout(2 * limit, bench.client.read(&mut [0])).await.unwrap().unwrap(), 0);
        assert!(began.elapsed() >= limit, "{:?}", began.elapsed());
    }

    #[actix::test]
    async fn a_session_that_is_stopped_while_its_client_is_kept_waiting_hangs_up_behind_the_answer() {
        tokio::time::pause();
        let mut bench = kept_waiting(async |bench| bench.stop.ring_last()).await;
        let soon = Duration::from_secs(1);
        assert_eq!(timeout(soon, bench.client.read(&mut [0])).await.unwrap().unwrap(), 0);
    }

    #[actix::test]
    async fn no_more_of_a_client_is_read_than_may_be_in_flight() {
        tokio::time::pause();
        let mut bench = bench_with(Slow(Rc::default()).start().recipient(), 1 << 20);
        let line = b"WHATSAT kiwi 1 1\n";
        bench.client.write_all(&[IAMAT, &line.repeat(10_000)].concat()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let asked = bench.asked.borrow();
        // A line that places are waited for is executed again with the rest of its batch, so batches repeat.
        assert!(asked.iter().all(|batch| batch.len() < 4096 + line.len()), "{:?}", asked.len());
        assert!(asked.iter().map(Vec::len).sum::<usize>() < 4 * 4096);
    }

    /// It was closed over answers that had not left yet, and the next word of the client had them thrown away.
    #[actix::test]
    async fn a_client_that_was_told_much_lately_has_time_to_take_it_when_its_session_is_stopped() {
        tokio::time::pause();
        let limit = Duration::from_millis(Limits::default().write_stall_ms);
        for (lines, quiet, has_time) in
            [(1, Duration::ZERO, false), (1000, Duration::ZERO, true), (1000, 2 * limit, false)]
        {
            let mut bench = bench();
            bench.client.write_all(&IAMAT.repeat(lines)).await.unwrap();
            tokio::time::sleep(quiet + Duration::from_millis(1)).await;
            bench.stop.ring_last();
            tokio::time::sleep(limit / 2).await;
            assert_eq!(bench.client.write_all(IAMAT).await.is_ok(), has_time, "{lines} {quiet:?}");
            bench.client.shutdown().await.unwrap();
            assert_eq!(bench.hear(AT.len() * lines).await, AT.repeat(lines));
            assert_eq!(bench.client.read(&mut [0]).await.unwrap(), 0);
        }
    }

    #[actix::test]
    async fn a_session_that_is_stopped_hangs_up() {
        let mut bench = bench();
        bench.client.write_all(IAMAT).await.unwrap();
        assert_eq!(bench.hear(AT.len()).await, AT);
        bench.stop.ring_last();
        let mut rest = Vec::new();
        assert_eq!(bench.client.read_to_end(&mut rest).await.unwrap(), 0);
    }

    /// It came out of the gate, say, or had just arrived on its thread.
    #[actix::test]
    async fn a_session_that_begins_when_all_were_stopped_hangs_up() {
        let mut bench = bench();
        bench.stop.ring_last(); // Nothing of it has run yet.
        assert_eq!(bench.say(IAMAT).await, "");
    }

    #[actix::test]
    async fn a_session_without_a_store_says_nothing_rather_than_something() {
        let near = answering(|_: Near| Ok(Vec::new()));
        let (find, _) = recording();
        let execute = Dead.start().recipient();
        let desk = Desk { execute, find, near, clock: Arc::new(|| NOON) };
        let (mut client, socket) = tokio::io::duplex(1000);
        let seat = Attendance::default().enter(1).unwrap();
        SessionActor::new(Box::new(socket), NC, desk, &Limits::default(), Arc::default(), seat).start();
        client.write_all(IAMAT).await.unwrap();
        let mut answer = Vec::new();
        assert_eq!(client.read_to_end(&mut answer).await.unwrap(), 0);
    }

    /// A store that ends when it is asked.
    struct Dead;

    impl Actor for Dead {
        type Context = actix::Context<Self>;
    }

    impl Handler<Execute> for Dead {
        type Result = ResponseActFuture<Self, Executed>;

        fn handle(&mut self, _: Execute, ctx: &mut Self::Context) -> Self::Result {
            ctx.terminate();
            Box::pin(std::future::pending().into_actor(self))
        }
    }
}
