//! Everything that one actor says to another.
//!
//! | message | said by | heard by | answer |
//! |---|---|---|---|
//! | [`Execute`] | session | store | the batch, with answers, and why it paused |
//! | [`Find`] | session | store | nothing, once the search is over |
//! | [`Recall`] | gate | store | a record line, if the client is known |
//! | [`Near`] | session | places | JSON for the first few queries, unless that panicked |
//! | [`LinkUp`] | peer, dialect | store | nothing |
//! | [`LinkDown`] | peer, dialect, node for a peer that panicked | store | nothing |
//! | [`Hear`] | peer, dialect, gate | store | nothing, once it was heard: back-pressure |
//! | [`Take`] | peer, dialect | store | the bytes to write next |
//! | [`Flood`] | store | peer, dialect | nothing: a doorbell |
//! | [`Overhear`] | gate | dialect | nothing |
//! | [`Ask`] | gate | dialect | a record line, if anybody in the herd knows the client |
//! | [`Look`] | node | dialect | whether the neighbour answers: [`Standing`] |
//! | [`Join`] | node, once somebody has shaken hands at the door | peer | nothing |
//! | [`Count`] | node | store | a [`Census`] |
//! | [`Browse`] | node, for whoever asks for all clients | store | a [`Page`] of record lines |
//! | [`Flush`] | node | store | nothing, once all is on disk |
//! | [`Stop`] | node, and whoever started it | listener, peer, dialect; places | nothing |
//!
//! The node ([`crate::node`]) and the gate ([`crate::dialect::gate`]) are no actors, but objects on the server's own thread
//! that hold mailboxes of actors. The store ends with the server, and the places when nobody has their mailbox any more.
//! Sessions hear nothing but answers: one bell, which all of them share with the gate, tells them to end.

use crate::door::Shaken;
use crate::panics::Panicked;
use actix::{Message, MessageResponse, Recipient};
use herd_core::batch::{Batch, Pause};
use herd_core::decimal::Nanos;
use herd_core::dialect::gate::Overheard;
use herd_core::frame::{Frame, Vocabulary};
use herd_core::places::Query;
use herd_core::replica::{Counts, Load};
use herd_core::store::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Execute a client's lines.
#[derive(Debug, Message)]
#[rtype(result = "Executed")]
pub struct Execute {
    /// The lines, some of which may be done.
    pub batch: Box<Batch>,
    /// When they were read.
    pub received: Nanos,
}

/// A batch on its way back.
#[derive(Debug, MessageResponse)]
pub struct Executed {
    /// The batch, with the answers to the lines that are done.
    pub batch: Box<Batch>,
    /// Why it is back.
    pub pause: Pause,
}

/// Search the herd for clients that are unknown here, for all of them at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Find {
    /// The clients' IDs.
    pub clients: Vec<Vec<u8>>,
}

/// What is known of a client, here and now?
#[derive(Debug, Message)]
#[rtype(result = "Option<Vec<u8>>")]
pub struct Recall {
    /// The client's ID.
    pub client: Vec<u8>,
}

/// A neighbour of another make said something that concerns this one, or was this one.
#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Overhear(pub Overheard);

/// This neighbour of another make asks for a client that is unknown here: does anybody else know it?
#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "Option<Vec<u8>>")]
pub struct Ask {
    /// The search.
    pub uuid: Uuid,
    /// The client's ID.
    pub client: Vec<u8>,
}

/// Look whether this neighbour of another make answers.
#[derive(Clone, Copy, Debug, PartialEq, Message)]
#[rtype(result = "Standing")]
pub struct Look;

/// How it stands with a neighbour of another make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it answers.
    pub answers: bool,
    /// How many messages were not said to it because it would not have read all of them.
    pub too_long: u64,
}

/// What is near some spots? The answer is JSON in the form of a Google Nearby Search, without a newline at its end, for
/// as many of the first as need no waiting, and at least for one.
#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "Result<Vec<Vec<u8>>, Panicked>")]
pub struct Near {
    /// The spots, how far to look, and how many places at most: one query at least.
    pub queries: Vec<Query>,
}

/// A link to a neighbour is there, in the place of any that was.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LinkUp {
    /// The neighbour's name.
    pub link: Arc<str>,
    /// What the neighbour may be told.
    pub vocabulary: Vocabulary,
    /// Where to ring when there is something to [`Take`].
    pub flood: Recipient<Flood>,
}

/// A link to a neighbour is gone.
#[derive(Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct LinkDown {
    /// The neighbour's name.
    pub link: Arc<str>,
}

/// What a neighbour said.
#[derive(Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Hear {
    /// The neighbour's name.
    pub link: Arc<str>,
    /// What it said, in order.
    pub frames: Vec<Frame>,
}

/// What is there to write to a neighbour? When there is more, [`Flood`] will tell.
#[derive(Debug, PartialEq, Message)]
#[rtype(result = "Vec<u8>")]
pub struct Take {
    /// The neighbour's name.
    pub link: Arc<str>,
    /// An empty buffer, which comes back with the bytes.
    pub chunk: Vec<u8>,
}

/// A doorbell: there is something to [`Take`]. Said once, until somebody takes. What is flooded is the answer to that, and
/// comes from [`herd_core::replica::Replica::take`].
#[derive(Clone, Copy, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Flood;

/// Whom a peer or a dialect tells and asks about its link: the store, for each of these.
#[derive(Clone)]
pub struct LinkDesk {
    /// That the link is there.
    pub link_up: Recipient<LinkUp>,
    /// That it is gone.
    pub link_down: Recipient<LinkDown>,
    /// What the neighbour said.
    pub hear: Recipient<Hear>,
    /// What to write next.
    pub take: Recipient<Take>,
}

/// A neighbour has dialled, and the handshake is done.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join(pub Shaken);

/// How much is known?
#[derive(Clone, Copy, Debug, PartialEq, Message)]
#[rtype(result = "Census")]
pub struct Count;

/// The answer to [`Count`].
#[derive(Clone, Debug, Default, PartialEq, MessageResponse)]
pub struct Census {
    /// Clients with a location.
    pub clients: usize,
    /// The neighbours with a link, by name, each with how many milliseconds ago it was last found to know the same.
    pub links: BTreeMap<String, Option<u64>>,
    /// What the store has done so far.
    pub counts: Counts,
    /// How much it holds of what has a limit.
    pub load: Load,
}

/// What is known, from a place in the store on? One page after the other, so that others have their turn.
#[derive(Clone, Copy, Debug, PartialEq, Message)]
#[rtype(result = "Page")]
pub struct Browse {
    /// The place, at first 0.
    pub from: Slot,
}

/// The answer to [`Browse`].
#[derive(Clone, Debug, Default, PartialEq, MessageResponse)]
pub struct Page {
    /// Record lines, each with its end.
    pub lines: Vec<u8>,
    /// Where to go on, unless this was the last page.
    pub next: Option<Slot>,
}

/// Make everything last that was applied so far.
#[derive(Clone, Copy, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// Finish what was begun, then end.
#[derive(Clone, Copy, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Stop;
