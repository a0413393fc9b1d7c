//! The courier: it carries messages to a neighbour of another make, a connection for each, each within its time.

use super::Stranger;
use crate::net::{Seams, Socket, reach};
use crate::waiting::in_time;
use herd_core::dialect::gps;
use herd_core::limits::Limits;
use log::trace;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The most of an answer to a question that is read.
const ANSWER_MAX: u64 = 4096;

/// Makes connections to one neighbour, one for each message.
pub(super) struct Courier {
    pub(super) there: Arc<Stranger>,
    pub(super) seams: Seams,
    pub(super) limits: Limits,
}

impl Courier {
    /// Connects within so many milliseconds.
    pub(super) async fn connect(&self, limit_ms: u64) -> io::Result<Socket> {
        reach(&*self.seams.network, &self.there.clients, limit_ms).await
    }

    /// Says a message on a connection of its own.
    async fn say(&self, spare: Option<Socket>, message: &[u8]) -> io::Result<Socket> {
        let mut socket = match spare {
            Some(socket) => socket,
            None => self.connect(self.limits.connect_ms).await?,
        };
        trace!(target: "herd::wire", "link {} < {}", self.there.name, message.escape_ascii());
        in_time(self.limits.dialect_message_ms, socket.write_all(message)).await?;
        Ok(socket)
    }

    /// Tells an update; true if the neighbour then closed its end, for which it is given a while if `waits`.
    ///
    /// Until it does, it may not have read the message, and the connection is one of those that it has open.
    pub(super) async fn tell(&self, spare: Option<Socket>, message: &[u8], waits: bool) -> io::Result<bool> {
        let mut socket = self.say(spare, message).await?;
        let (speaks, linger) = (self.there.speaks, Duration::from_millis(self.limits.dialect_linger_ms));
        // A neighbour that has closed the connection already has had the message; nor does its answer matter.
        if !speaks.closes() {
            let _ = socket.shutdown().await;
        }
        let (mut answer, mut rest) = (Vec::new(), (&mut socket).take(ANSWER_MAX));
        let is_closed = waits && timeout(linger, rest.read_to_end(&mut answer)).await.is_ok();
        if speaks.closes() {
            let _ = socket.shutdown().await;
        }
        Ok(is_closed)
    }

    /// Asks for a client, until the answer is whole or the connection ends.
    pub(super) async fn ask(&self, question: &[u8], client: &[u8]) -> io::Result<gps::Answer> {
        let mut socket = self.say(None, question).await?;
        let limit = Duration::from_millis(self.limits.search_ms);
        let answer = async {
            let mut answer = Vec::new();
            let mut whole = (&mut socket).take(ANSWER_MAX);
            while whole.read_buf(&mut answer).await? > 0 {
                let heard = gps::parse(&answer, client, &self.there.name);
                if heard != gps::Answer::Unreadable {
                    return Ok(heard);
                }
            }
            Ok(gps::Answer::Unreadable)
        };
        // One that is slow to answer may be asking others: it is there.
        timeout(limit, answer).await.unwrap_or(Ok(gps::Answer::NotFound))
    }
}
