//! The flags of a server, and the limits that they make.
//!
//! A flag wins over the environment, that over the topology file's `settings`, that over the default. A switch is on where any
//! of them sets it.

use crate::arguments::{Whole, directory, give, written_directory};
use crate::failure::Failure;
use crate::object::object;
use crate::places;
use herd_actors::journal::Durability;
use herd_core::limits::{Limits, WORKERS_MAX};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use structopt::StructOpt;

/// What the help says of a limit, with its default. Clap wants it to last, so it is made once and kept.
macro_rules! with_default {
    ($help:literal, $name:ident) => {{
        static HELP: OnceLock<String> = OnceLock::new();
        HELP.get_or_init(|| format!("{} [default: {}]", $help, Limits::default().$name)).as_str()
    }};
}

/// Declares the flags of a server: those written out below, and one line for each of the limits, with the most that it may
/// be where that is less than its type has.
macro_rules! flags {
    ($($name:ident: $kind:ty $([..=$most:expr])?, $unit:literal, $variable:literal, $help:literal;)*) => {
        /// What a server is started with, from a command line and its environment, or from the settings of a file.
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, StructOpt)]
        #[serde(default, deny_unknown_fields)]
        pub struct Flags {
            /// Accept neighbours that the topology does not name
            #[structopt(long)]
            pub open: bool,
            /// Where servers append their logs, each to a file of its name [default: logs]
            #[structopt(long, value_name = "DIR", env = "HERD_LOG_DIR", parse(try_from_os_str = directory))]
            #[serde(deserialize_with = "written_directory")]
            pub log_dir: Option<PathBuf>,
            /// Talk to other servers over TLS, with the certificates in this directory; see docs/security.md
            #[structopt(long, value_name = "DIR", env = "HERD_PEER_TLS", parse(try_from_os_str = directory))]
            #[serde(deserialize_with = "written_directory")]
            pub peer_tls: Option<PathBuf>,
            /// Where servers keep what they know, each in a directory of its name; relative paths, those of the settings too,
            /// begin where herd is started [default: data]
            #[structopt(long, value_name = "DIR", env = "HERD_DATA_DIR", parse(try_from_os_str = directory))]
            #[serde(deserialize_with = "written_directory")]
            pub data_dir: Option<PathBuf>,
            /// Keep everything in memory alone: a server that ends forgets, and asks its neighbours
            #[structopt(long)]
            pub memory_only: bool,
            /// When an update counts as kept: write (survives kill -9), sync (survives a loss of power), none [default: write]
            #[structopt(long, value_name = "WHEN", env = "HERD_DURABILITY")]
            #[serde(deserialize_with = "from_text")]
            pub durability: Option<Durability>,
            /// How places are found.
            #[structopt(flatten)]
            #[serde(deserialize_with = "object")]
            pub places: places::Flags,
            /// How long a record lives: milliseconds, or forever [default: forever]
            #[structopt(
                long, value_name = "MS", env = "HERD_RECORD_TTL_MS", hide_env_values = true, hidden_short_help = true
            )]
            pub record_ttl_ms: Option<Lifetime>,
            $(
                #[doc = $help]
                #[structopt(
                    long, value_name = $unit, env = $variable, hide_env_values = true, hidden_short_help = true,
                    help = with_default!($help, $name)
                )]
                pub $name: Option<Whole<$kind, 1, { [$($most,)? <$kind>::MAX][0] as u64 }>>,
            )*
        }

        impl Flags {
            /// Fills what is not given from `file`.
            #[must_use]
            pub fn or(self, file: Flags) -> Flags {
                Flags {
                    open: self.open || file.open,
                    log_dir: self.log_dir.or(file.log_dir),
                    peer_tls: self.peer_tls.or(file.peer_tls),
                    data_dir: self.data_dir.or(file.data_dir),
                    memory_only: self.memory_only || file.memory_only,
                    durability: self.durability.or(file.durability),
                    places: self.places.or(file.places),
                    record_ttl_ms: self.record_ttl_ms.or(file.record_ttl_ms),
                    $($name: self.$name.or(file.$name),)*
                }
            }

            /// Makes the limits, the defaults where nothing is given.
            pub fn limits(&self) -> Result<Limits, Failure> {
                let mut limits = Limits::default();
                limits.record_ttl_ms = self.record_ttl_ms.and_then(|Lifetime(ms)| ms);
                $(if let Some(Whole(limit)) = self.$name {
                    limits.$name = limit;
                })*
                fitting(limits)
            }

            /// Writes the flags as the command line that gives them.
            pub fn arguments(&self) -> Vec<OsString> {
                let mut arguments = Vec::new();
                if self.open {
                    arguments.push("--open".into());
                }
                if self.memory_only {
                    arguments.push("--memory-only".into());
                }
                give(&mut arguments, "log_dir", self.log_dir.as_ref());
                give(&mut arguments, "peer_tls", self.peer_tls.as_ref());
                give(&mut arguments, "data_dir", self.data_dir.as_ref());
                give(&mut arguments, "durability", self.durability.map(|when| when.to_string()).as_ref());
                self.places.arguments(&mut arguments);
                give(&mut arguments, "record_ttl_ms", self.record_ttl_ms.map(|ttl| ttl.to_string()).as_ref());
                $(give(&mut arguments, stringify!($name), self.$name.map(|limit| limit.to_string()).as_ref());)*
                arguments
            }
        }
    };
}

flags! {
    line_max: usize, "BYTES", "HERD_LINE_MAX", "Longest line of a client";
    workers: usize [..=WORKERS_MAX], "N", "HERD_WORKERS", "Threads that talk to clients";
    sessions_max: usize, "N", "HERD_SESSIONS_MAX", "Clients connected at once";
    sessions_per_address_max: usize, "N", "HERD_SESSIONS_PER_ADDRESS_MAX", "Clients connected at once from one address";
    new_clients_per_s: u64, "N", "HERD_NEW_CLIENTS_PER_S", "Clients told for the first time in a second from one address";
    first_line_ms: u64, "MS", "HERD_FIRST_LINE_MS", "How long a client may take for its first line";
    idle_ms: u64, "MS", "HERD_IDLE_MS", "How long a client may take for each later line";
    in_flight_bytes: usize, "BYTES", "HERD_IN_FLIGHT_BYTES", "Commands of one client worked on at once";
    write_stall_ms: u64, "MS", "HERD_WRITE_STALL_MS", "How long a client may leave answers unread";
    search_ms: u64, "MS", "HERD_SEARCH_MS", "How long the herd is searched for an unknown client";
    searches_max: usize, "N", "HERD_SEARCHES_MAX", "Searches under way at once";
    searches_per_s: u64, "N", "HERD_SEARCHES_PER_S", "Searches begun in a second";
    records_max: usize, "N", "HERD_RECORDS_MAX", "Clients known at once";
    records_bytes: u64, "BYTES", "HERD_RECORDS_BYTES", "Records of all clients together";
    log_bytes_min: u64, "BYTES", "HERD_LOG_BYTES_MIN", "Log on disk before a snapshot replaces it";
    seen_max: usize, "N", "HERD_SEEN_MAX", "Updates remembered as seen, twice over";
    seen_ms: u64, "MS", "HERD_SEEN_MS", "How long an update is remembered as seen, at least";
    ring_bytes: usize, "BYTES", "HERD_RING_BYTES", "Recent updates kept for links";
    announce_ms: u64, "MS", "HERD_ANNOUNCE_MS", "Delay before neighbours hear what others send them";
    pull_ms: u64, "MS", "HERD_PULL_MS", "How long an update that a neighbour has may fail to come";
    recall_ms: u64, "MS", "HERD_RECALL_MS", "How long updates are kept that neighbours may ask for";
    missing_max: usize, "N", "HERD_MISSING_MAX", "Updates waited for that neighbours have";
    sources_max: usize, "N", "HERD_SOURCES_MAX", "Servers whose updates go along trees of their own";
    outbox_bytes: usize, "BYTES", "HERD_OUTBOX_BYTES", "Questions and answers waiting for one link";
    chunk_bytes: usize, "BYTES", "HERD_CHUNK_BYTES", "The most that a link writes at once";
    frame_bytes: usize, "BYTES", "HERD_FRAME_BYTES", "The largest frame taken from a neighbour";
    connect_ms: u64, "MS", "HERD_CONNECT_MS", "How long dialling a neighbour may take";
    handshake_ms: u64, "MS", "HERD_HANDSHAKE_MS", "How long a handshake may take";
    neighbours_max: usize, "N", "HERD_NEIGHBOURS_MAX", "Neighbours, those that joined included";
    handshakes_max: usize, "N", "HERD_HANDSHAKES_MAX", "Handshakes of callers under way at once";
    listings_max: usize, "N", "HERD_LISTINGS_MAX", "Callers told all clients at once";
    heartbeat_ms: u64, "MS", "HERD_HEARTBEAT_MS", "How often an idle link shows that it lives";
    silent_ms: u64, "MS", "HERD_SILENT_MS", "How long a neighbour may be silent";
    digest_ms: u64, "MS", "HERD_DIGEST_MS", "How often neighbours compare all they know";
    redial_min_ms: u64, "MS", "HERD_REDIAL_MIN_MS", "First delay before a lost link is dialled again";
    redial_max_ms: u64, "MS", "HERD_REDIAL_MAX_MS", "Longest delay before a lost link is dialled again";
    dialect_silence_ms: u64, "MS", "HERD_DIALECT_SILENCE_MS", "Silence that ends a message of another make";
    dialect_message_ms: u64, "MS", "HERD_DIALECT_MESSAGE_MS", "How long a message of another make may take";
    dialect_linger_ms: u64, "MS", "HERD_DIALECT_LINGER_MS", "How long another make may take to close a connection";
    dialect_connections_max: usize, "N", "HERD_DIALECT_CONNECTIONS_MAX", "Connections to a server of another make";
    dialect_look_ms: u64, "MS", "HERD_DIALECT_LOOK_MS", "How often to look whether a server of another make is there";
    dialect_letters_max: usize, "N", "HERD_DIALECT_LETTERS_MAX", "Updates that wait for a server of another make";
    dialect_beliefs_max: usize, "N", "HERD_DIALECT_BELIEFS_MAX", "Clients that another make is known to know";
    dialect_settle_ms: u64, "MS", "HERD_DIALECT_SETTLE_MS", "How long another make is left to tell its own kind";
    dialect_crossing_ms: u64, "MS", "HERD_DIALECT_CROSSING_MS", "How long messages of two makes may cross";
    dialect_corrections_max: u32, "N", "HERD_DIALECT_CORRECTIONS_MAX", "How often one older thing from another make is answered";
    stop_ms: u64, "MS", "HERD_STOP_MS",
        "How long a stop waits for clients, neighbours and the disk, and a start for data that another process has";
}

/// How long a record lives, in milliseconds; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lifetime(Option<u64>);

/// The word for [`Lifetime`] without an end.
const FOREVER: &str = "forever";

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == FOREVER => Ok(Self(None)),
            Ok(0) => Err(format!("0 lets no record live; write at least 1, or {FOREVER}")),
            Ok(ms) => Ok(Self(Some(ms))),
            Err(_) => {
                Err(format!("write a whole number of milliseconds, at most {}, or {FOREVER}", u64::MAX))
            }
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ms) => ms.fmt(f),
            None => f.write_str(FOREVER),
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    /// Reads a number, or a text as the flag has it.
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(value)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.parse().map_err(D::Error::custom)
    }
}

impl Flags {
    /// Tells where the logs go.
    pub fn log_dir(&self) -> &Path {
        self.log_dir.as_deref().unwrap_or(Path::new("logs"))
    }

    /// Tells where what is known goes.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new("data"))
    }

    /// When an update counts as kept; `None` if everything is kept in memory alone. Both at once cannot be meant.
    pub fn durability(&self) -> Result<Option<Durability>, Failure> {
        match self.durability {
            Some(durability) if self.memory_only && durability != Durability::None => {
                Err(Failure::Usage(format!(
                    "memory_only keeps nothing on disk, and durability is {durability}; leave out one of them"
                )))
            }
            durability => Ok((!self.memory_only).then(|| durability.unwrap_or_default())),
        }
    }
}

/// Reads a setting that a file writes as the flag does.
fn from_text<'de, T, D>(value: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err = String>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(value)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// The limits, if what servers with them say to each other is what they hear.
fn fitting(limits: Limits) -> Result<Limits, Failure> {
    let Limits { frame_bytes, chunk_bytes, line_max, silent_ms, heartbeat_ms, .. } = limits;
    let least = limits.frame_bytes_min();
    if frame_bytes < least {
        return Err(Failure::Usage(format!(
            "frame_bytes is {frame_bytes}, less than a neighbour may send at once with chunk_bytes {chunk_bytes} and \
             line_max {line_max}; write at least {least}, or less for those"
        )));
    }
    if silent_ms <= heartbeat_ms {
        return Err(Failure::Usage(format!(
            "silent_ms is {silent_ms}, so that a link breaks that shows every {heartbeat_ms} ms that it lives; write more \
             than heartbeat_ms"
        )));
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let flags = Flags { line_max: Some(Whole(1)), search_ms: Some(Whole(2)), ..Flags::default() };
        let file = Flags { line_max: Some(Whole(3)), sessions_max: Some(Whole(4)), ..Flags::default() };
        let limits = flags.or(file).limits().expect("limits");
        let expected = Limits { line_max: 1, search_ms: 2, sessions_max: 4, ..Limits::default() };
        assert_eq!(limits, expected);
    }

    #[test]
    fn logs_go_where_flag_file_or_default_say() {
        let at = |dir: &str| Flags { log_dir: Some(dir.into()), ..Flags::default() };
        assert_eq!(at("a").or(at("b")).log_dir(), Path::new("a"));
        assert_eq!(Flags::default().or(at("b")).log_dir(), Path::new("b"));
        assert_eq!(Flags::default().log_dir(), Path::new("logs"));
    }

    /// The servers linked, one said what the other would not hear, and they linked again, for ever.
    #[test]
    fn limits_with_which_a_neighbour_says_more_than_is_heard_are_refused() {
        let flags = |frame: usize, chunk, line| Flags {
            frame_bytes: Some(Whole(frame)),
            chunk_bytes: Some(Whole(chunk)),
            line_max: Some(Whole(line)),
            ..Flags::default()
        };
        assert!(flags(2000 + 100 + 86 + 4096, 2000, 100).limits().is_ok());
        let expected = "frame_bytes is 6281, less than a neighbour may send at once with chunk_bytes 2000 and line_max \
                        100; write at least 6282, or less for those";
        let refused = flags(2000 + 100 + 86 + 4095, 2000, 100).limits().expect_err("a refusal");
        assert_eq!(refused.to_string(), expected);
        for (frame, chunk, line) in [(16_777_216, 1 << 40, 65_536), (16_777_216, 65_536, usize::MAX)] {
            assert!(flags(frame, chunk, line).limits().is_err(), "{chunk} {line}");
        }
    }

    /// Whoever asked for the stronger got the weaker, and no word of it but in the log.
    #[test]
    fn memory_alone_and_a_durability_of_the_disk_are_refused_together_wherever_they_come_from() {
        let flags = |durability| Flags { durability: Some(durability), ..Flags::default() };
        let file = Flags { memory_only: true, ..Flags::default() };
        let refused = flags(Durability::Sync).or(file.clone()).durability().expect_err("a refusal");
        let expected = "memory_only keeps nothing on disk, and durability is sync; leave out one of them";
        assert_eq!(refused.to_string(), expected);
        assert_eq!(flags(Durability::None).or(file.clone()).durability().expect("no refusal"), None);
        assert_eq!(file.durability().expect("no refusal"), None);
        assert_eq!(flags(Durability::Sync).durability().expect("no refusal"), Some(Durability::Sync));
        assert_eq!(Flags::default().durability().expect("no refusal"), Some(Durability::Write));
    }

    #[test]
    fn links_that_break_before_they_show_that_they_live_are_refused() {
        let flags = |silent| Flags {
            silent_ms: Some(Whole(silent)),
            heartbeat_ms: Some(Whole(300)),
            ..Flags::default()
        };
        assert!(flags(301).limits().is_ok());
        let expected = "silent_ms is 300, so that a link breaks that shows every 300 ms that it lives; write more than \
                        heartbeat_ms";
        assert_eq!(flags(300).limits().expect_err("a refusal").to_string(), expected);
    }
}
