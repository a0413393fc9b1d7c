//! The conversation over one connection to a neighbour: a reader and a writer, which wait for nothing of each other.

use crate::door::Shaken;
use crate::messages::{Hear, Take};
use crate::net::Socket;
use crate::waiting::{Bell, FOREVER, Hourglass, write_out};
use actix::{MailboxError, Recipient};
use herd_core::faults::{self, Fault};
use herd_core::frame::{Frame, Inbox, Malformed};
use herd_core::limits::Limits;
use herd_core::pace::Pace;
use log::trace;
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep};

/// What a conversation takes beside its connection.
pub(super) struct Talk {
    /// The name of the neighbour.
    pub(super) link: Arc<str>,
    /// Wakes the writer when there is something to say; at its last ring it says goodbye.
    pub(super) bell: Rc<Bell>,
    pub(super) hear: Recipient<Hear>,
    pub(super) take: Recipient<Take>,
    pub(super) limits: Limits,
}

impl Talk {
    /// Talks until the link ends, and tells why it did.
    pub(super) async fn over(self, Shaken { socket, rest, .. }: Shaken) -> End {
        let Self { link, bell, hear, take, limits } = self;
        let (from, to) = tokio::io::split(socket);
        let inbox = Inbox::new(rest);
        let reader = Reader { link: Arc::clone(&link), from, inbox, hear, limits: limits.clone() };
        let writer = Writer { link, to, bell, take, limits };
        let mut reading = pin!(reader.run());
        let end = tokio::select! {
            biased; // No dice but those that were handed in.
            end = &mut reading => end,
            end = writer.run() => end,
        };
        if matches!(end, End::Stopped) {
            // A connection that is closed while the neighbour says something is reset, and with that goes what it has not
            // taken yet. It closes when it has heard the goodbye, and whoever stops the server waits for so long.
            reading.await;
        }
        end
    }
}

/// Why a link ended.
#[derive(Debug)]
pub(super) enum End {
    /// The neighbour closed it without a word.
    Eof,
    /// The neighbour said goodbye.
    Bye(String),
    /// The neighbour has said nothing for too long.
    Silent,
    /// The neighbour has taken nothing for too long.
    Stalled,
    /// The neighbour said what is no frame.
    Malformed(Malformed),
    /// The connection broke.
    Broken(io::Error),
    /// The store is gone.
    Gone,
    /// This server stops.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("eof"),
            Self::Bye(reason) => write!(f, "bye {reason:?}"),
            Self::Silent => f.write_str("silent"),
            Self::Stalled => f.write_str("stalled"),
            Self::Malformed(malformed) => write!(f, "malformed ({malformed})"),
            Self::Broken(error) => write!(f, "broken ({error})"),
            Self::Gone => f.write_str("store gone"),
            Self::Stopped => f.write_str("stopped"),
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

/// How much is read from a neighbour at a time.
const READ_SIZE: usize = 64 * 1024;

/// Hears what the neighbour says.
struct Reader {
    link: Arc<str>,
    from: ReadHalf<Socket>,
    inbox: Inbox,
    hear: Recipient<Hear>,
    limits: Limits,
}

impl Reader {
    async fn run(mut self) -> End {
        match self.read().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn read(&mut self) -> Result<End, End> {
        let is_borne = faults::is_on(Fault::BearsSilence);
        let silent = if is_borne { FOREVER } else { Duration::from_millis(self.limits.silent_ms) };
        let mut hourglass = Hourglass::new(silent);
        loop {
            if let Some(reason) = self.tell().await? {
                return Ok(End::Bye(reason));
            }
            self.inbox.buffer().reserve(READ_SIZE);
            hourglass.turn(silent);
            let reading = self.from.read_buf(self.inbox.buffer());
            match hourglass.watch(reading).await.ok_or(End::Silent)? {
                Ok(0) => return Ok(End::Eof),
                read => read?,
            };
        }
    }

    /// Tells the store all whole frames, and waits until it has heard them. Tells the neighbour's goodbye.
    async fn tell(&mut self) -> Result<Option<String>, End> {
        let mut frames = Vec::new();
        let mut goodbye = None;
        while let Some(frame) = self.inbox.next(self.limits.frame_bytes).map_err(End::Malformed)? {
            trace!(target: "herd::wire", "link {} > {}", self.link, frame.to_bytes().escape_ascii());
            match frame {
                Frame::Ping => {}
                Frame::Bye { reason } => goodbye = Some(reason),
                frame => frames.push(frame),
            }
        }
        if !frames.is_empty() {
            self.hear.send(Hear { link: Arc::clone(&self.link), frames }).await?;
        }
        Ok(goodbye)
    }
}

/// Says to the neighbour what the store has for it.
struct Writer {
    link: Arc<str>,
    to: WriteHalf<Socket>,
    bell: Rc<Bell>,
    take: Recipient<Take>,
    limits: Limits,
}

impl Writer {
    async fn run(mut self) -> End {
        match self.write().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn write(&mut self) -> Result<End, End> {
        let heartbeat = Duration::from_millis(self.limits.heartbeat_ms);
        let mut hourglass = Hourglass::new(heartbeat);
        let mut chunk = Vec::new();
        let (began, mut pace) = (Instant::now(), Pace::default());
        loop {
            chunk.clear();
            chunk = self.take.send(Take { link: Arc::clone(&self.link), chunk }).await?;
            if !chunk.is_empty() {
                self.say(&chunk).await?;
                let now_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                let wait_us = pace.wrote(chunk.len(), now_us);
                if wait_us > 0 {
                    sleep(Duration::from_micros(wait_us)).await;
                }
            } else if self.bell.rang_last() {
                return self.say_goodbye().await;
            }
            while !self.bell.rang_last() {
                hourglass.turn(heartbeat);
                if hourglass.watch(self.bell.rung()).await.is_some() {
                    break;
                }
                self.say(&Frame::Ping.to_bytes()).await?;
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), End> {
        trace!(target: "herd::wire", "link {} < {}", self.link, bytes.escape_ascii());
        let stall = Duration::from_millis(self.limits.silent_ms);
        write_out(&mut self.to, bytes, stall).await.map_err(|_| End::Stalled)??;
        Ok(())
    }

    async fn say_goodbye(&mut self) -> Result<End, End> {
        let bye = Frame::Bye { reason: "this server stops".to_owned() };
        self.say(&bye.to_bytes()).await?;
        self.to.shutdown().await?;
        Ok(End::Stopped)
    }
}
