//! The session: it owns one client's connection, from the first byte to the last answer.
//!
//! It says [`Execute`] for all whole lines of a read at once, [`Find`] and [`Near`] where a line needs them, and
//! hears [`Stop`]. It reads nothing while it owes answers, so a client that does not read its answers is not read
//! either: what one client can make a server hold is bounded. It ends when the client has hung up and has every
//! answer, when it does not take its answers, or when the store is gone.

use crate::attendance::Seat;
use crate::messages::{Execute, Executed, Find, Near, Stop};
use crate::net::{Clock, Socket};
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, Recipient, WrapFuture,
};
use herd_core::batch::{Batch, Nearby, Pause};
use herd_core::decimal::Nanos;
use herd_core::limits::Limits;
use herd_core::session::Session;
use log::{info, log_enabled, trace};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Talks to one client.
pub struct SessionActor {
    /// The conversation, until it starts.
    talk: Option<Talk>,
    /// Who the client is, for the log.
    client: Rc<str>,
    /// Set off once: finish and end.
    stop: Rc<Notify>,
    /// Its place among the sessions of the server.
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
    /// A session on a connection from `client`, which holds `seat` as long as it lasts.
    pub fn new(socket: Socket, client: &str, desk: Desk, limits: &Limits, seat: Seat) -> Self {
        let client: Rc<str> = client.into();
        let talk = Talk {
            socket,
            client: Rc::clone(&client),
            desk,
            lines: 0,
            write_stall: Duration::from_millis(limits.write_stall_ms),
            session: Session::new(limits.line_max),
            read_size: READ_MIN,
        };
        Self { talk: Some(talk), client, stop: Rc::default(), _seat: seat }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(mut talk) = self.talk.take() else { return };
        info!("session {} opened", self.client);
        let stop = Rc::clone(&self.stop);
        let talking = async move {
            let end = talk.run(&stop).await;
            (talk.lines, end)
        };
        ctx.spawn(talking.into_actor(self).map(|(lines, end), session, ctx| {
            info!("session {} closed lines={lines} reason={end}", session.client);
            ctx.stop();
        }));
    }
}

impl Handler<Stop> for SessionActor {
    type Result = ();

    fn handle(&mut self, Stop: Stop, _: &mut Self::Context) {
        self.stop.notify_one();
    }
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// The client has sent all it wanted and has every answer.
    Eof,
    /// The server stops.
    Stopped,
    /// The client did not take its answers in time.
    Stalled,
    /// The connection broke.
    Broken(io::Error),
    /// An actor that was asked is gone.
    Gone,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("eof"),
            Self::Stopped => f.write_str("stopped"),
            Self::Stalled => f.write_str("stalled"),
            Self::Broken(error) => write!(f, "broken ({error})"),
            Self::Gone => f.write_str("gone"),
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

/// How much is read at a time at first: an idle session should cost little.
const READ_MIN: usize = 2 * 1024;

/// How much is read at a time once a client fills every read.
const READ_MAX: usize = 64 * 1024;

/// Answers are written when there are so many bytes of them, though the batch is not done.
const OUTPUT_MAX: usize = 64 * 1024;

/// How long answers that are ready wait for one that is not, so that they need only one write.
const PATIENCE: Duration = Duration::from_millis(1);

/// The conversation with one client.
struct Talk {
    socket: Socket,
    client: Rc<str>,
    desk: Desk,
    /// Lines answered so far.
    lines: u64,
    write_stall: Duration,
    session: Session,
    /// How much the next read may bring.
    read_size: usize,
}

impl Talk {
    async fn run(&mut self, stop: &Notify) -> End {
        match self.converse(stop).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn converse(&mut self, stop: &Notify) -> Result<End, End> {
        loop {
            let read = tokio::select! {
                biased;
                () = stop.notified() => return self.hang_up(End::Stopped).await,
                read = read(&mut self.socket, self.session.buffer(), self.read_size) => read?,
            };
            if read == self.read_size {
                self.read_size = (self.read_size * 2).min(READ_MAX);
            }
            let received = (self.desk.clock)();
            while let Some(batch) = self.session.batch() {
                self.answer(batch, received).await?;
            }
            if read == 0 {
                if let Some(batch) = self.session.finish() {
                    self.answer(batch, received).await?;
                }
                return self.hang_up(End::Eof).await;
            }
        }
    }

    /// Has a batch executed and writes its answers, in their order.
    async fn answer(&mut self, mut batch: Batch, received: Nanos) -> Result<(), End> {
        trace_lines(&self.client, '>', batch.input());
        loop {
            let executed = self.desk.execute.send(Execute { batch, received }).await?;
            let Executed { pause, .. } = executed;
            batch = executed.batch;
            match pause {
                Pause::Done => break,
                Pause::Search { client } => {
                    let found = self.desk.find.send(Find { client });
                    self.meanwhile(&mut batch.output, found).await??;
                }
                Pause::Places(nearby) => {
                    let places = self.desk.near.send(near(nearby));
                    let json = self.meanwhile(&mut batch.output, places).await??;
                    batch.add_places(&json);
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

    /// Waits for an answer; if it is not there at once, the client gets those before it first.
    async fn meanwhile<T>(
        &mut self,
        output: &mut Vec<u8>,
        answer: impl Future<Output = T>,
    ) -> Result<T, End> {
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
        timeout(self.write_stall, self.socket.write_all(output)).await.map_err(|_| End::Stalled)??;
        output.clear();
        Ok(())
    }

    /// Tells the client that no more will come.
    async fn hang_up(&mut self, end: End) -> Result<End, End> {
        self.socket.shutdown().await?;
        Ok(end)
    }
}

/// Reads some bytes behind those that a buffer holds, at most `size`; 0 is the end of the input.
async fn read(socket: &mut Socket, buffer: &mut Vec<u8>, size: usize) -> io::Result<usize> {
    buffer.reserve(size);
    socket.take(size as u64).read_buf(buffer).await
}

fn near(Nearby { latitude, longitude, radius_km, bound }: Nearby) -> Near {
    Near { latitude, longitude, radius_m: radius_km * 1000.0, bound }
}

/// Every line in and out, at the finest level, under a target of its own.
fn trace_lines(client: &str, direction: char, bytes: &[u8]) {
    if log_enabled!(target: "herd::wire", log::Level::Trace) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            trace!(target: "herd::wire", "session {client} {direction} {}", line.escape_ascii());
        }
    }
}
