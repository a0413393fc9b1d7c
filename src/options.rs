//! The whole command line: commands, flags, environment, and the help that people read.
//!
//! A flag wins over the environment, that over the topology file's `settings`, that over the default.
//! Secrets come from the environment only: a flag would show them to everybody who may list processes.

use crate::arguments::{give, text};
use crate::failure::{Failure, reason};
use crate::places;
use crate::topology::object;
use herd_actors::journal::Durability;
use herd_core::limits::{Limits, WORKERS_MAX};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use structopt::StructOpt;
use structopt::clap::{AppSettings, Error, ErrorKind};

/// What the program was asked to do.
#[derive(Debug, StructOpt)]
#[structopt(
    name = "herd",
    about = "A herd of servers that tell each other where their clients are.",
    global_setting(AppSettings::DeriveDisplayOrder),
    global_setting(AppSettings::UnifiedHelpMessage),
    global_setting(AppSettings::VersionlessSubcommands),
    after_help = "\
EXAMPLES:
    herd up                          start every server of topology.json; Ctrl-C stops them
    herd status                      ask every server how it is
    herd send Goloman 'IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997'
    herd send Welsh 'WHATSAT kiwi.cs.ucla.edu 10 5'
    herd serve Goloman               run one server in the foreground
    herd bench Goloman               load a running server and tell its rate and latencies
    herd check topologies/hill.json  validate a topology and draw it
    herd places import US.txt -o us.index   make an index of places of your own

ENVIRONMENT:
    HERD_SECRET            servers link only with those that have the same secret
    GOOGLE_PLACES_API_KEY  the key for places near a client
    RUST_LOG               what is logged, as in info or info,herd::wire=trace

Each command explains itself: herd up --help"
)]
pub struct Options {
    /// The file that names the servers and who talks to whom
    #[structopt(long, value_name = "FILE", env = "HERD_TOPOLOGY", default_value = DEFAULT_TOPOLOGY, global = true, parse(from_os_str))]
    pub topology: PathBuf,
    /// The command.
    #[structopt(subcommand)]
    pub command: Command,
}

const DEFAULT_TOPOLOGY: &str = "topology.json";

// The commands. (Documentation here would replace what the help says of the whole program.)
#[derive(Debug, StructOpt)]
pub enum Command {
    /// Start the servers of the topology, each in a process of its own, and watch them
    #[structopt(after_help = "\
EXAMPLES:
    herd up                                  every server of topology.json
    herd up Goloman Hands                    these two only
    herd up --topology topologies/hill.json  another herd

A server that dies is named and started again, ever later while it keeps dying, and the others go on; one that could not
even start is named only. Ctrl-C, SIGTERM or a terminal that closes stops all of them; a second signal does so at once. No
server outlives the launcher, not even when it is killed.")]
    Up(Up),
    /// Run one server in the foreground
    #[structopt(after_help = "\
EXAMPLES:
    herd serve Goloman
    herd serve Newcomer --topology mine.json     join a running herd: name its neighbours in mine.json;
                                                 they take it if their file names it or they run with --open
    RUST_LOG=debug herd serve Hands                  log what neighbours say and searches, too
    RUST_LOG=info,herd::wire=trace herd serve Hands  log every line in and out, too

Ctrl-C, SIGTERM or a terminal that closes stops it when it has finished what was begun; a second signal stops it at
once.")]
    Serve(Serve),
    /// Send commands to a server and print the answers
    #[structopt(after_help = "\
EXAMPLES:
    herd send Goloman 'IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997'
    herd send Hands 'WHATSAT kiwi.cs.ucla.edu 10 5'
    herd send 10.0.0.7:11645 'WHATSAT kiwi.cs.ucla.edu 10 5'
    herd send Hands                  type commands, one a line; Ctrl-D ends
    herd send Hands < commands.txt

A server that has been told all and answers nothing for 60 s is given up.")]
    Send(Send),
    /// Load a running server, verify every answer, and tell rate and latencies
    #[structopt(after_help = "\
EXAMPLES:
    herd bench                       the first server of topology.json, for 10 seconds
    herd bench Hands -c 64 -d 16     64 connections, 16 commands in flight on each
    herd bench Hands -c 64 -r 20000  20000 commands a second, whatever the server does: latencies count from when
                                     a command was due
    herd bench 10.0.0.7:11645 -s 60 --json

Its commands are IAMAT of clients called herd-bench-0, herd-bench-1 and so on. The whole herd knows them
afterwards, until they expire (--record-ttl-ms) or for ever. The last line tells how much of the time herd bench
itself was busy or had no core: a generator without time measures itself. Ctrl-C ends it early and prints what was
measured. The exit code is 1 if an answer was wrong, missing or never asked for.

JSON: server, address, connections, depth, rate, seconds, commands (answered), per_second, latency_us (p50, p90,
p99, p99_9, max), wrong, unanswered, trouble (null, or why the exit code is 1), own (busy and waited, parts of the
time from 0 to 1, null where the system does not tell).")]
    Bench(Bench),
    /// Ask every server how it is
    #[structopt(after_help = "\
EXAMPLES:
    herd status
    herd status --json
    herd status > /dev/null && echo all up

The exit code is 1 if any server is down.")]
    Status(Status),
    /// Validate a topology and draw who talks to whom
    #[structopt(after_help = "\
EXAMPLES:
    herd check topologies/hill.json
    herd check                       the one that herd up would take")]
    Check(Check),
    /// Make an index of places of your own
    Places(places::Command),
}

/// What `herd up` is asked.
#[derive(Debug, StructOpt)]
pub struct Up {
    /// The servers to start; all of the topology when none is named
    #[structopt(value_name = "NAME", parse(try_from_os_str = text))]
    pub names: Vec<String>,
    /// What every server is started with.
    #[structopt(flatten)]
    pub flags: Flags,
}

/// What `herd serve` is asked.
#[derive(Debug, StructOpt)]
pub struct Serve {
    /// The server to run, by its name in the topology
    #[structopt(value_name = "NAME", parse(try_from_os_str = text))]
    pub name: String,
    /// Stop when standard input ends: how the launcher makes sure that nothing outlives it.
    #[structopt(long, hidden = true)]
    pub until_stdin_ends: bool,
    /// What it is started with.
    #[structopt(flatten)]
    pub flags: Flags,
}

/// What `herd send` is asked.
#[derive(Debug, StructOpt)]
pub struct Send {
    /// The server, by its name in the topology or as host:port
    #[structopt(value_name = "NAME|HOST:PORT", parse(try_from_os_str = text))]
    pub server: String,
    /// Commands, each a line in quotes; without any, lines are read from standard input
    #[structopt(value_name = "COMMAND", parse(from_os_str))]
    pub commands: Vec<OsString>,
}

/// What `herd bench` is asked.
#[derive(Debug, StructOpt)]
pub struct Bench {
    /// The server, by its name in the topology or as host:port [default: the first of the topology]
    #[structopt(value_name = "NAME|HOST:PORT", parse(try_from_os_str = text))]
    pub server: Option<String>,
    /// Connections
    #[structopt(short = "c", long, value_name = "N", default_value = "16")]
    pub connections: usize,
    /// Commands in flight on each connection: so many are sent at once, and the next when all are answered
    #[structopt(short = "d", long, value_name = "N", default_value = "1")]
    pub depth: usize,
    /// Send so many commands a second over all connections instead; keeps a core busy
    #[structopt(short = "r", long, value_name = "N", conflicts_with = "depth")]
    pub rate: Option<f64>,
    /// How long
    #[structopt(short = "s", long, value_name = "S", default_value = "10")]
    pub seconds: f64,
    /// Clients that report, one after the other
    #[structopt(long, value_name = "N", default_value = "10000")]
    pub clients: u64,
    /// Print JSON for programs
    #[structopt(long)]
    pub json: bool,
}

/// What `herd status` is asked.
#[derive(Debug, StructOpt)]
pub struct Status {
    /// Print JSON for programs
    #[structopt(long)]
    pub json: bool,
    /// Ask over TLS, with the certificates in this directory
    #[structopt(long, value_name = "DIR", env = "HERD_PEER_TLS", parse(from_os_str))]
    pub peer_tls: Option<PathBuf>,
}

/// What `herd check` is asked.
#[derive(Debug, StructOpt)]
pub struct Check {
    /// The topology to validate instead of --topology
    #[structopt(value_name = "FILE", parse(from_os_str))]
    pub file: Option<PathBuf>,
}

/// Declares the flags of a server: those written out below, and one line for each of the limits.
macro_rules! flags {
    ($($name:ident: $kind:ty = $default:literal, $unit:literal, $variable:literal, $help:literal;)*) => {
        /// What a server is started with, from a command line and its environment, or from the settings of a file.
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, StructOpt)]
        #[serde(default, deny_unknown_fields)]
        pub struct Flags {
            /// Accept neighbours that the topology does not name
            #[structopt(long)]
            pub open: bool,
            /// Where servers append their logs, each to a file of its name [default: logs]
            #[structopt(long, value_name = "DIR", env = "HERD_LOG_DIR", parse(from_os_str))]
            pub log_dir: Option<PathBuf>,
            /// Talk to other servers over TLS, with the certificates in this directory; see docs/security.md
            #[structopt(long, value_name = "DIR", env = "HERD_PEER_TLS", parse(from_os_str))]
            pub peer_tls: Option<PathBuf>,
            /// Where servers keep what they know, each in a directory of its name [default: data]
            #[structopt(long, value_name = "DIR", env = "HERD_DATA_DIR", parse(from_os_str))]
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
                    help = concat!($help, " [default: ", $default, "]")
                )]
                pub $name: Option<$kind>,
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

            /// Makes the limits, the defaults where nothing is given. None may be 0, and the workers are not endless.
            pub fn limits(&self) -> Result<Limits, Failure> {
                not_too_many(self.workers)?;
                let mut limits = Limits::default();
                limits.record_ttl_ms = self.record_ttl_ms.and_then(|Lifetime(ms)| ms);
                $(match self.$name {
                    Some(0) => return Err(nothing(stringify!($name))),
                    Some(limit) => limits.$name = limit,
                    None => {}
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

        #[cfg(test)]
        const LIMITS: &[(&str, fn(&Limits) -> bool)] = &[$((stringify!($name), |limits| limits.$name == $default)),*];
    };
}

flags! {
    line_max: usize = 65_536, "BYTES", "HERD_LINE_MAX", "Longest line of a client";
    workers: usize = 1, "N", "HERD_WORKERS", "Threads that talk to clients";
    sessions_max: usize = 10_000, "N", "HERD_SESSIONS_MAX", "Clients connected at once";
    sessions_per_address_max: usize = 10_000, "N", "HERD_SESSIONS_PER_ADDRESS_MAX", "Clients connected at once from one address";
    new_clients_per_s: u64 = 1_000_000, "N", "HERD_NEW_CLIENTS_PER_S", "Clients told for the first time in a second from one address";
    first_line_ms: u64 = 300_000, "MS", "HERD_FIRST_LINE_MS", "How long a client may take for its first line";
    idle_ms: u64 = 86_400_000, "MS", "HERD_IDLE_MS", "How long a client may take for each later line";
    in_flight_bytes: usize = 16_384, "BYTES", "HERD_IN_FLIGHT_BYTES", "Commands of one client worked on at once";
    write_stall_ms: u64 = 10_000, "MS", "HERD_WRITE_STALL_MS", "How long a client may leave answers unread";
    search_ms: u64 = 500, "MS", "HERD_SEARCH_MS", "How long the herd is searched for an unknown client";
    searches_max: usize = 1024, "N", "HERD_SEARCHES_MAX", "Searches under way at once";
    searches_per_s: u64 = 10_000, "N", "HERD_SEARCHES_PER_S", "Searches begun in a second";
    records_max: usize = 10_000_000, "N", "HERD_RECORDS_MAX", "Clients known at once";
    records_bytes: u64 = 4_294_967_296, "BYTES", "HERD_RECORDS_BYTES", "Records of all clients together";
    log_bytes_min: u64 = 268_435_456, "BYTES", "HERD_LOG_BYTES_MIN", "Log on disk before a snapshot replaces it";
    seen_max: usize = 65_536, "N", "HERD_SEEN_MAX", "Updates remembered as seen, twice over";
    seen_ms: u64 = 60_000, "MS", "HERD_SEEN_MS", "How long an update is remembered as seen, at least";
    ring_bytes: usize = 8_388_608, "BYTES", "HERD_RING_BYTES", "Recent updates kept for links";
    announce_ms: u64 = 50, "MS", "HERD_ANNOUNCE_MS", "Delay before neighbours hear what others send them";
    pull_ms: u64 = 100, "MS", "HERD_PULL_MS", "How long an update that a neighbour has may fail to come";
    recall_ms: u64 = 2_000, "MS", "HERD_RECALL_MS", "How long updates are kept that neighbours may ask for";
    missing_max: usize = 16_384, "N", "HERD_MISSING_MAX", "Updates waited for that neighbours have";
    sources_max: usize = 1_024, "N", "HERD_SOURCES_MAX", "Servers whose updates go along trees of their own";
    outbox_bytes: usize = 1_048_576, "BYTES", "HERD_OUTBOX_BYTES", "Questions and answers waiting for one link";
    chunk_bytes: usize = 65_536, "BYTES", "HERD_CHUNK_BYTES", "The most that a link writes at once";
    frame_bytes: usize = 16_777_216, "BYTES", "HERD_FRAME_BYTES", "The largest frame taken from a neighbour";
    connect_ms: u64 = 2_000, "MS", "HERD_CONNECT_MS", "How long dialling a neighbour may take";
    handshake_ms: u64 = 2_000, "MS", "HERD_HANDSHAKE_MS", "How long a handshake may take";
    neighbours_max: usize = 256, "N", "HERD_NEIGHBOURS_MAX", "Neighbours, those that joined included";
    handshakes_max: usize = 64, "N", "HERD_HANDSHAKES_MAX", "Handshakes of callers under way at once";
    heartbeat_ms: u64 = 1_000, "MS", "HERD_HEARTBEAT_MS", "How often an idle link shows that it lives";
    silent_ms: u64 = 5_000, "MS", "HERD_SILENT_MS", "How long a neighbour may be silent";
    digest_ms: u64 = 30_000, "MS", "HERD_DIGEST_MS", "How often neighbours compare all they know";
    redial_min_ms: u64 = 100, "MS", "HERD_REDIAL_MIN_MS", "First delay before a lost link is dialled again";
    redial_max_ms: u64 = 5_000, "MS", "HERD_REDIAL_MAX_MS", "Longest delay before a lost link is dialled again";
    dialect_silence_ms: u64 = 50, "MS", "HERD_DIALECT_SILENCE_MS", "Silence that ends a message of another make";
    dialect_message_ms: u64 = 2_000, "MS", "HERD_DIALECT_MESSAGE_MS", "How long a message of another make may take";
    dialect_linger_ms: u64 = 200, "MS", "HERD_DIALECT_LINGER_MS", "How long another make may take to close a connection";
    dialect_connections_max: usize = 8, "N", "HERD_DIALECT_CONNECTIONS_MAX", "Connections to a server of another make";
    dialect_look_ms: u64 = 2_000, "MS", "HERD_DIALECT_LOOK_MS", "How often to look whether a server of another make is there";
    dialect_letters_max: usize = 1_024, "N", "HERD_DIALECT_LETTERS_MAX", "Updates that wait for a server of another make";
    dialect_beliefs_max: usize = 16_384, "N", "HERD_DIALECT_BELIEFS_MAX", "Clients that another make is known to know";
    dialect_settle_ms: u64 = 300, "MS", "HERD_DIALECT_SETTLE_MS", "How long another make is left to tell its own kind";
    dialect_crossing_ms: u64 = 500, "MS", "HERD_DIALECT_CROSSING_MS", "How long messages of two makes may cross";
    dialect_corrections_max: u32 = 8, "N", "HERD_DIALECT_CORRECTIONS_MAX", "How often one older thing from another make is answered";
    stop_ms: u64 = 5_000, "MS", "HERD_STOP_MS", "How long a stopping server lets clients finish";
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
            Err(_) => Err(format!("write a number of milliseconds, or {FOREVER}")),
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
        directory(self.log_dir.as_deref(), "logs")
    }

    /// Tells where what is known goes.
    pub fn data_dir(&self) -> &Path {
        directory(self.data_dir.as_deref(), "data")
    }
}

fn directory<'a>(given: Option<&'a Path>, default: &'static str) -> &'a Path {
    given.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(default))
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

fn not_too_many(workers: Option<usize>) -> Result<(), Failure> {
    match workers {
        Some(workers) if workers > WORKERS_MAX => Err(Failure::Usage(format!(
            "workers is {workers}, more threads than any machine has cores; write at most {WORKERS_MAX}"
        ))),
        _ => Ok(()),
    }
}

fn nothing(limit: &str) -> Failure {
    Failure::Usage(format!("{limit} is 0, which lets nothing through; write at least 1"))
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

/// What was asked for ends before any command: help, the version, or wrong usage.
#[derive(Debug)]
pub enum Early {
    /// Text for standard output.
    Shown(String),
    /// Help for somebody who gave no command.
    Lost(String),
    /// Wrong usage, and what to do.
    Refused(Failure),
}

/// Reads the command line, whose first word is the program.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Early> {
    let words: Vec<OsString> = arguments.into_iter().collect();
    if words.iter().any(|word| word.to_str().is_none()) {
        // At a flag that it does not know clap panics if that, or a word behind it, is not UTF-8.
        let readable = words.iter().map(|word| OsString::from(word.to_string_lossy().into_owned()));
        Options::from_iter_safe(readable).map_err(|error| early(&error, &words))?;
    }
    let mut options = Options::from_iter_safe(&words).map_err(|error| early(&error, &words))?;
    if options.topology.as_os_str().is_empty() {
        options.topology = PathBuf::from(DEFAULT_TOPOLOGY);
    }
    Ok(options)
}

fn early(error: &Error, words: &[OsString]) -> Early {
    match error.kind {
        ErrorKind::ValueValidation => Early::Refused(Failure::Usage(blame(&one_line(&error.message), words))),
        ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => Early::Shown(error.message.clone() + "\n"),
        // The version is all that clap writes itself. Written once more, it fails with words of this program.
        ErrorKind::Io => Early::Shown(concat!("herd ", env!("CARGO_PKG_VERSION"), "\n").to_owned()),
        ErrorKind::MissingArgumentOrSubcommand => Early::Lost(error.message.clone() + "\n"),
        _ => Early::Refused(Failure::Usage(one_line(&error.message))),
    }
}

/// Makes one line of what clap writes in several, its usage left out.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let said = words.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{}; see --help", reason(&said))
}

/// Says whose value is wrong: clap names the flag, also where the value comes from the variable that stands for it.
fn blame(said: &str, words: &[OsString]) -> String {
    let named = said.split_once("'--").and_then(|(_, rest)| rest.split_once('\''));
    let Some((argument, _)) = named else { return said.to_owned() };
    let name = argument.split(' ').next().unwrap_or_default();
    let variable = match name {
        "places-url" => "GOOGLE_PLACES_URL".to_owned(),
        _ => format!("HERD_{}", name.replace('-', "_").to_ascii_uppercase()),
    };
    if std::env::var_os(&variable).is_none() || words.iter().any(|word| may_give(word, name)) {
        return said.to_owned();
    }
    said.replacen(&format!("'--{argument}'"), &variable, 1)
}

/// Tells whether a word may be the flag of this name, or its short form. No flag with a variable has one.
fn may_give(word: &OsStr, name: &str) -> bool {
    let word = word.to_string_lossy();
    match word.strip_prefix("--") {
        Some(long) => long.split('=').next() == Some(name),
        None => word.starts_with('-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;

    fn asked(words: &[&str]) -> Result<Options, Early> {
        read(std::iter::once("herd").chain(words.iter().copied()).map(OsString::from))
    }

    fn serve(words: &[OsString]) -> Flags {
        let line = ["herd", "serve", "A"].map(OsString::from);
        match read(line.into_iter().chain(words.iter().cloned())).expect("a command").command {
            Command::Serve(serve) => serve.flags,
            other => panic!("not serve: {other:?}"),
        }
    }

    fn refused(words: &[&str]) -> String {
        match asked(words) {
            Err(Early::Refused(failure)) => {
                assert_eq!(failure.exit_code(), 2);
                failure.to_string()
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn help(words: &[&str]) -> String {
        match asked(words) {
            Err(Early::Shown(text)) => text,
            other => panic!("no help: {other:?}"),
        }
    }

    #[test]
    fn the_topology_may_be_given_before_or_after_the_command() {
        for words in [["--topology", "x.json", "status"], ["status", "--topology", "x.json"]] {
            assert_eq!(asked(&words).expect("a command").topology, Path::new("x.json"));
        }
    }

    #[test]
    fn wrong_usage_is_one_line_that_leads_to_help() {
        let cases: [(&[&str], &str); 5] = [
            (&["serve"], "the following required arguments were not provided: <NAME>; see --help"),
            (
                &["status", "--jsn"],
                "found argument '--jsn' which wasn't expected, or isn't valid in this context; see --help",
            ),
            (
                &["serve", "A", "--line-max", "x"],
                "invalid value for '--line-max <BYTES>': invalid digit found in string; see --help",
            ),
            (
                &["serve", "A", "B"],
                "found argument 'B' which wasn't expected, or isn't valid in this context; see --help",
            ),
            (
                &["serve", "A", "--line-max"],
                "the argument '--line-max <BYTES>' requires a value but none was supplied; see --help",
            ),
        ];
        for (words, expected) in cases {
            assert_eq!(refused(words), expected);
        }
    }

    #[test]
    fn no_command_is_answered_with_help() {
        assert!(matches!(asked(&[]), Err(Early::Lost(text)) if text.contains("EXAMPLES")));
    }

    #[test]
    fn help_has_examples_everywhere_and_hides_what_is_for_the_launcher() {
        let commands: [&[&str]; 7] =
            [&[], &["up"], &["serve"], &["send"], &["bench"], &["status"], &["check"]];
        for command in commands {
            let text = help(&[command, &["--help"]].concat());
            assert!(text.contains("EXAMPLES:"), "{text}");
            assert!(!text.contains("until-stdin-ends"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        }
    }

    #[test]
    fn short_help_leaves_the_limits_out() {
        assert!(help(&["serve", "--help"]).contains("--line-max <BYTES>"));
        assert!(!help(&["serve", "-h"]).contains("--line-max"));
    }

    #[test]
    fn help_tells_the_default_of_every_limit_truly() {
        let text = help(&["serve", "--help"]);
        for (name, is_default) in LIMITS {
            assert!(is_default(&Limits::default()), "the default of {name} in the help is another");
            assert!(text.contains(&format!("--{} <", name.replace('_', "-"))), "{text}");
        }
        assert!(text.contains("[default: 65536]"), "{text}");
    }

    #[test]
    fn secrets_are_not_flags() {
        let text = help(&["serve", "--help"]) + &help(&["--help"]);
        assert!(!text.contains("--secret") && !text.contains("--key"), "{text}");
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let flags = Flags { line_max: Some(1), search_ms: Some(2), ..Flags::default() };
        let file = Flags { line_max: Some(3), sessions_max: Some(4), ..Flags::default() };
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
        assert_eq!(at("").log_dir(), Path::new("logs"));
    }

    #[test]
    fn a_record_lives_for_ever_or_for_so_long_and_never_for_nothing() {
        let flags = |ttl: &str| serve(&[format!("--record-ttl-ms={ttl}").into()]);
        assert_eq!(Flags::default().limits().expect("limits").record_ttl_ms, None);
        assert_eq!(flags("1").limits().expect("limits").record_ttl_ms, Some(1));
        let file = |json: &str| serde_json::from_str::<Flags>(json);
        let month = file(r#"{"record_ttl_ms": 2592000000}"#).expect("settings");
        assert_eq!(month.limits().expect("limits").record_ttl_ms, Some(2_592_000_000));
        assert_eq!(file(r#"{"record_ttl_ms": "2592000000"}"#).expect("settings"), month);
        assert_eq!(flags("forever").or(month.clone()).limits().expect("limits").record_ttl_ms, None);
        assert_eq!(serve(&month.arguments()), month);
        for wrong in ["0", "-1", "1.5", "never", ""] {
            assert!(
                wrong.parse::<Lifetime>().is_err()
                    && file(&format!(r#"{{"record_ttl_ms": "{wrong}"}}"#)).is_err()
            );
        }
        let expected = "invalid value for '--record-ttl-ms <MS>': 0 lets no record live; write at least 1, or forever; see --help";
        assert_eq!(refused(&["serve", "A", "--record-ttl-ms", "0"]), expected);
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let flags = Flags { frame_bytes: Some(0), ..Flags::default() };
        let expected = "frame_bytes is 0, which lets nothing through; write at least 1";
        assert_eq!(flags.limits().expect_err("a refusal").to_string(), expected);
    }

    /// The servers linked, one said what the other would not hear, and they linked again, for ever.
    #[test]
    fn limits_with_which_a_neighbour_says_more_than_is_heard_are_refused() {
        let flags = |frame: usize, chunk, line| Flags {
            frame_bytes: Some(frame),
            chunk_bytes: Some(chunk),
            line_max: Some(line),
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

    #[test]
    fn links_that_break_before_they_show_that_they_live_are_refused() {
        let flags = |silent| Flags { silent_ms: Some(silent), heartbeat_ms: Some(300), ..Flags::default() };
        assert!(flags(301).limits().is_ok());
        let expected = "silent_ms is 300, so that a link breaks that shows every 300 ms that it lives; write more than \
                        heartbeat_ms";
        assert_eq!(flags(300).limits().expect_err("a refusal").to_string(), expected);
    }

    /// Bytes as a shell passes them on, behind what makes something of them.
    fn word() -> impl Strategy<Value = OsString> {
        let known = "|-|--|up|serve|send|bench|check|places|import|--topology=|--topology|--places=|--types=|-o|-c|--line-max=";
        let begin = proptest::sample::select(known.split('|').collect::<Vec<_>>());
        let end = prop_oneof![Just(Vec::new()), proptest::collection::vec(1..=u8::MAX, 0..8)];
        (begin, end).prop_map(|(begin, end)| OsString::from_vec([begin.as_bytes(), &end].concat()))
    }

    /// `herd send $'\xff' x` ended in a panic, where other wrong usage is answered in one line.
    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_the_name_of_what_they_were_given_for() {
        let byte = || OsString::from_vec(vec![0xff]);
        let refused = |words: &[&str], last: OsString| match read(
            std::iter::once("herd").chain(words.iter().copied()).map(OsString::from).chain([last]),
        ) {
            Err(Early::Refused(failure)) if failure.exit_code() == 2 => failure.to_string(),
            other => panic!("not refused: {other:?}"),
        };
        let cases: [(&[&str], &str); 7] = [
            (&["up"], "<NAME>..."),
            (&["serve"], "<NAME>"),
            (&["send"], "<NAME|HOST:PORT>"),
            (&["bench"], "<NAME|HOST:PORT>"),
            (&["up", "--places"], "--places <LIST>"),
            (&["places", "import", "x.csv", "-o", "x", "--types"], "--types <TYPES>..."),
            (&["places", "import", "x.csv", "-o", "x", "--attribution"], "--attribution <HTML>..."),
        ];
        for (words, argument) in cases {
            let expected = format!("invalid value for '{argument}': it is not UTF-8; see --help");
            assert_eq!(refused(words, byte()), expected);
        }
        let unknown =
            "found argument '--jsn' which wasn't expected, or isn't valid in this context; see --help";
        assert_eq!(refused(&["status", "--jsn"], byte()), unknown);
    }

    #[test]
    fn paths_may_be_any_bytes() {
        let path = || PathBuf::from(OsString::from_vec(vec![b'x', 0xff]));
        let mut line = OsString::from("--topology=");
        line.push(path());
        let options = read(["herd".into(), "check".into(), path().into(), line]).expect("a command");
        assert_eq!(options.topology, path());
        assert!(matches!(options.command, Command::Check(Check { file: Some(file) }) if file == path()));
    }

    #[test]
    fn more_workers_than_are_started_are_refused() {
        let flags = |workers| Flags { workers: Some(workers), ..Flags::default() };
        assert_eq!(flags(1024).limits().expect("limits").workers, 1024);
        let expected = "workers is 1025, more threads than any machine has cores; write at most 1024";
        assert_eq!(flags(1025).limits().expect_err("a refusal").to_string(), expected);
    }

    proptest! {
        #[test]
        fn flags_survive_the_command_line_to_a_child(
            open: bool,
            log_dir in proptest::option::of("[^\0]{1,12}"),
            peer_tls in proptest::option::of("[^\0]{1,12}"),
            url in proptest::option::of("[^\0]{1,12}"),
            line_max: Option<usize>,
            redial_max_ms: Option<u64>,
        ) {
            let (log_dir, peer_tls) = (log_dir.map(PathBuf::from), peer_tls.map(PathBuf::from));
            let places = places::Flags { url, ..places::Flags::default() };
            let flags = Flags { open, log_dir, peer_tls, places, line_max, redial_max_ms, ..Flags::default() };
            prop_assert_eq!(serve(&flags.arguments()), flags);
        }

        #[test]
        fn no_command_line_panics(words in proptest::collection::vec(word(), 0..6)) {
            drop(read(std::iter::once("herd".into()).chain(words)));
        }
    }
}
