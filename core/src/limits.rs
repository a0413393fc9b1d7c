//! Every limit of a server, by name, with its default.

use crate::frame::FRAME_EXTRA;
use crate::record::RECEIPT_MAX;

/// More threads than any machine has cores: a server starts no more for its sessions, whatever it is told.
pub const WORKERS_MAX: usize = 1024;

/// The limits of one server. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line of a client, without its end. Longer lines are answered with their first bytes.
    pub line_max: usize,
    /// Threads that talk to clients. With one, everything of a server is done on one thread.
    pub workers: usize,
    /// Client connections open at once. One more is closed as soon as it is accepted.
    pub sessions_max: usize,
    /// Client connections open at once from one address; IPv6 addresses count by the 64 bits of their network. One more
    /// is closed as soon as it is accepted.
    pub sessions_per_address_max: usize,
    /// Clients that are new to the server and told to it in one second from one address, which counts as above. One more
    /// is answered as invalid.
    pub new_clients_per_s: u64,
    /// How long a client may take for its first line.
    pub first_line_ms: u64,
    /// How long a client may take for each later line, once it has the answer to the one before.
    pub idle_ms: u64,
    /// The most that is read from a client at once. Its next commands are read when these are answered, so no more of
    /// them are under way, but for a line that is longer. Clients are served in turn, each so much of them: whoever says
    /// little waits the less beside those who say much, the smaller this is.
    pub in_flight_bytes: usize,
    /// How long a client may leave its answers unread before it is disconnected.
    pub write_stall_ms: u64,
    /// How long a search through the herd for an unknown client may take.
    pub search_ms: u64,
    /// Searches under way at once, one's own and neighbours'. One more finds nothing.
    pub searches_max: usize,
    /// Searches begun in one second, one's own and neighbours'. One more finds nothing.
    pub searches_per_s: u64,
    /// Clients that a server knows. One more is answered as invalid if a client tells it, and left out if a neighbour
    /// does; those that are known are updated as ever.
    pub records_max: usize,
    /// The records of those clients, in bytes of their lines. A client that is new when there are so many is refused
    /// as above, and so is an update that is longer than what it replaces and fits no cell of the store.
    pub records_bytes: u64,
    /// How long a record lives from its receipt on, and a sixteenth of that more at most; `None` is for ever. What has
    /// expired is forgotten, and refused from whoever tells it.
    pub record_ttl_ms: Option<u64>,
    /// The least that logs and snapshot have together, in bytes, when a new snapshot is begun, however little there is to
    /// keep; a log that is kept with the new one counts twice. And how much of a log is spared for the next to be written
    /// over.
    pub log_bytes_min: u64,
    /// Seen UUIDs in one generation; two generations are kept.
    pub seen_max: usize,
    /// How long a generation of seen UUIDs grows before the next begins.
    pub seen_ms: u64,
    /// Recent updates kept for links to take, in bytes. A link that falls behind them compares digests again.
    pub ring_bytes: usize,
    /// How long a server waits before it tells a neighbour that gets an update elsewhere that it has it too.
    pub announce_ms: u64,
    /// How long an update may fail to come that a neighbour has, before the neighbour is asked for it.
    pub pull_ms: u64,
    /// How long an update stays in the ring that neighbours may yet ask for.
    pub recall_ms: u64,
    /// Updates that neighbours have and that did not come yet. One more is left to digests.
    pub missing_max: usize,
    /// Servers whose updates go along trees of their own. Those of one more go over every link.
    pub sources_max: usize,
    /// Questions and answers waiting for one link, in bytes. What does not fit is not sent.
    pub outbox_bytes: usize,
    /// The most that a link takes for one write.
    pub chunk_bytes: usize,
    /// The largest frame taken from a neighbour. A larger one ends the link.
    pub frame_bytes: usize,
    /// How long a connection to a neighbour may take to be made.
    pub connect_ms: u64,
    /// How long the handshake may take, on either side.
    pub handshake_ms: u64,
    /// Neighbours, those that joined by themselves included. One more cannot join. Those of another make count apart, up to
    /// the same number.
    pub neighbours_max: usize,
    /// Inbound handshakes under way at once. For one more the one gives way that was begun first, of those from the network
    /// that most are from.
    pub handshakes_max: usize,
    /// How many callers are told all clients at once.
    pub listings_max: usize,
    /// How often a link with nothing to say says so.
    pub heartbeat_ms: u64,
    /// How long a neighbour may say nothing, or take nothing, before its link is given up.
    pub silent_ms: u64,
    /// How often neighbours compare what all they know sums up to, give or take a fifth.
    pub digest_ms: u64,
    /// The first delay before a lost link is dialled again; it doubles with each failure.
    pub redial_min_ms: u64,
    /// The longest delay before a lost link is dialled again.
    pub redial_max_ms: u64,
    /// How long a neighbour of another make says nothing before its message counts as ended.
    pub dialect_silence_ms: u64,
    /// How long one message of a neighbour of another make may take, either way.
    pub dialect_message_ms: u64,
    /// How long a neighbour of another make is given to close its end of the connection of an update.
    pub dialect_linger_ms: u64,
    /// Connections with updates to one neighbour of another make open at once, and as many with questions.
    pub dialect_connections_max: usize,
    /// How often it is looked whether a neighbour of another make takes connections, if nothing was said to it meanwhile.
    pub dialect_look_ms: u64,
    /// Updates that wait for one neighbour of another make; one that takes over 1 KiB counts once for each. More stay in
    /// the store. Half of them may be such as answer something older; what more it says is not answered.
    pub dialect_letters_max: usize,
    /// Clients of which is remembered what a neighbour of another make holds; one of which that takes over 1 KiB counts
    /// once for each. What is forgotten is said again.
    pub dialect_beliefs_max: usize,
    /// How long an update that began with a server of the same make waits, so that its own kind tells it first; and how
    /// long a neighbour that said something older is left to fall silent before it is told the newer, the first time.
    pub dialect_settle_ms: u64,
    /// How long after something was said to a neighbour of another make what it says may have crossed it.
    pub dialect_crossing_ms: u64,
    /// How often one thing that a neighbour of another make says is answered with something newer.
    pub dialect_corrections_max: u32,
    /// How long a server that is told to stop waits at most: for its sessions and links, and last for its disk.
    pub stop_ms: u64,
}

impl Limits {
    /// The longest record line, without its end: the longest line of a client and its receipt.
    pub fn record_max(&self) -> usize {
        self.line_max.saturating_add(RECEIPT_MAX)
    }

    /// The least that `frame_bytes` must be, or links of servers with these limits break over what one of them says, and
    /// break again whenever they are made.
    ///
    /// Record lines are gathered until there are `chunk_bytes`, so a frame may have so much and the longest of them, and
    /// what a frame has besides.
    pub fn frame_bytes_min(&self) -> usize {
        self.chunk_bytes.saturating_add(self.record_max()).saturating_add(FRAME_EXTRA)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_max: 64 * 1024,
            workers: 1,
            sessions_max: 10_000,
            sessions_per_address_max: 10_000,
            new_clients_per_s: 1_000_000,
            first_line_ms: 300_000,
            idle_ms: 86_400_000,
            in_flight_bytes: 16 * 1024,
            write_stall_ms: 10_000,
            search_ms: 500,
            searches_max: 1024,
            searches_per_s: 10_000,
            records_max: 10_000_000,
            records_bytes: 4 * 1024 * 1024 * 1024,
            record_ttl_ms: None,
            log_bytes_min: 256 * 1024 * 1024,
            seen_max: 65_536,
            seen_ms: 60_000,
            ring_bytes: 8 * 1024 * 1024,
            announce_ms: 50,
            pull_ms: 100,
            recall_ms: 2_000,
            missing_max: 16_384,
            sources_max: 1024,
            outbox_bytes: 1024 * 1024,
            chunk_bytes: 64 * 1024,
            frame_bytes: 16 * 1024 * 1024,
            connect_ms: 2_000,
            handshake_ms: 2_000,
            neighbours_max: 256,
            handshakes_max: 64,
            listings_max: 4,
            heartbeat_ms: 1_000,
            silent_ms: 5_000,
            digest_ms: 30_000,
            redial_min_ms: 100,
            redial_max_ms: 5_000,
            dialect_silence_ms: 50,
            dialect_message_ms: 2_000,
            dialect_linger_ms: 200,
            dialect_connections_max: 8,
            dialect_look_ms: 2_000,
            dialect_letters_max: 1024,
            dialect_beliefs_max: 16_384,
            dialect_settle_ms: 300,
            dialect_crossing_ms: 500,
            dialect_corrections_max: 8,
            stop_ms: 5_000,
        }
    }
}
