//! What may stand on a command line: commands and their flags, and the help that people read.
//!
//! Secrets come from the environment only: a flag would show them to everybody who may list processes.

use crate::arguments::{directory, text, whole};
use crate::flags::Flags;
use crate::places;
use std::ffi::OsString;
use std::path::PathBuf;
use structopt::StructOpt;
use structopt::clap::AppSettings;

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
    herd list                        list all clients, and where each was last seen
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

/// What help says of itself where its short form leaves something out.
const HELP: &str = "Print help: -h what is wanted most, --help the limits and the rest too";

/// The topology where none is named.
pub const DEFAULT_TOPOLOGY: &str = "topology.json";

// The commands. (Documentation here would replace what the help says of the whole program.)
#[derive(Debug, StructOpt)]
pub enum Command {
    /// Start the servers of the topology, each in a process of its own, and watch them
    #[structopt(help_message = HELP, after_help = "\
EXAMPLES:
    herd up                                  every server of topology.json
    herd up Goloman Hands                    these two only
    herd up --topology topologies/hill.json  another herd

A server that dies is named and started again, ever later while it keeps dying, and the others go on; one that could not
even start is named only. Ctrl-C, SIGTERM or a terminal that closes stops all of them; a second signal does so at once.
No server outlives the launcher for longer than --stop-ms, not even when it is killed.")]
    Up(Up),
    /// Run one server in the foreground
    #[structopt(help_message = HELP, after_help = "\
EXAMPLES:
    herd serve Goloman
    herd serve Newcomer --topology mine.json     join a running herd: name its neighbours in mine.json;
                                                 they take it if their file names it or they run with --open
    RUST_LOG=debug herd serve Hands                  log searches and counts, too
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
                                     a command was due, though it waits while a million have no answer
    herd bench 10.0.0.7:11645 -s 60 --json

Its commands are IAMAT of clients called herd-bench-0, herd-bench-1 and so on. The whole herd knows them
afterwards, until they expire (--record-ttl-ms) or for ever. The last line tells how much of the time herd bench
itself was busy or had no core: a generator without time measures itself. Ctrl-C ends it early and prints what was
measured. The exit code is 1 if an answer was wrong, missing or never asked for, or a command was never sent.

JSON: server, address, connections, depth, rate, seconds, commands (answered), per_second, latency_us (p50, p90,
p99, p99_9, max), wrong, unanswered, unsent (due, and never sent), trouble (null, or why the exit code is 1), own (busy
and waited, parts of the time from 0 to 1, null where the system does not tell).")]
    Bench(Bench),
    /// Ask every server how it is
    #[structopt(after_help = "\
EXAMPLES:
    herd status
    herd status --json
    herd status > /dev/null && echo all up and linked

A server refuses where HERD_SECRET or --peer-tls is not as it has them, and is silent while it is too busy to answer, or
stuck. The exit code is 1 if any server is not up, or has no link to a neighbour that is.")]
    Status(Status),
    /// List all clients, and where each was last seen
    #[structopt(after_help = "\
EXAMPLES:
    herd list                        ask the servers of topology.json, one after the other until one answers
    herd list Hands | grep kiwi      what one server knows
    herd list --geojson > herd.json  a map: open it in QGIS, geojson.io or any other program that draws GeoJSON

Lines are those that a server answers, in no order. On a map, client_hex has the bytes of an ID that is not UTF-8.
Whoever has the HERD_SECRET of the herd may list; where --peer-tls is used, whoever has a certificate of its CA, but
that of status. The exit code is 1 if no server answered, or one broke off.")]
    List(List),
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
    #[structopt(
        short = "c",
        long,
        value_name = "N",
        default_value = "16",
        parse(try_from_str = whole::<_, 1, CONNECTIONS_MAX>)
    )]
    pub connections: usize,
    /// Commands in flight on each connection: so many are sent at once, and the next when all are answered
    #[structopt(
        short = "d",
        long,
        value_name = "N",
        default_value = "1",
        parse(try_from_str = whole::<_, 1, { IN_FLIGHT_MAX as u64 }>)
    )]
    pub depth: usize,
    /// Send so many commands a second over all connections instead; keeps a core busy
    #[structopt(short = "r", long, value_name = "N", conflicts_with = "depth", parse(try_from_str = rate))]
    pub rate: Option<f64>,
    /// How long
    #[structopt(short = "s", long, value_name = "S", default_value = "10", parse(try_from_str = seconds))]
    pub seconds: f64,
    /// Clients that report, one after the other
    #[structopt(
        long,
        value_name = "N",
        default_value = "10000",
        parse(try_from_str = whole::<_, 1, { u64::MAX }>)
    )]
    pub clients: u64,
    /// Print JSON for programs
    #[structopt(long)]
    pub json: bool,
}

/// The most connections of `herd bench`: Linux has 28,232 ports for them by default, and others want some.
const CONNECTIONS_MAX: u64 = 20_000;

/// The most commands of `herd bench` in flight on all connections together. All of them are in memory, with the answers that
/// are awaited: 300 bytes each.
pub const IN_FLIGHT_MAX: usize = 1_000_000;

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate| (1e-3..=1e7).contains(rate));
    rate.ok_or("write 0.001 commands per second at least, and 10000000 at most")
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    let seconds = text.parse().ok().filter(|&seconds| seconds > 0.0 && seconds <= 86_400.0);
    seconds.ok_or("write more than 0, and a day, 86400, at most")
}

/// What `herd status` is asked.
#[derive(Debug, StructOpt)]
pub struct Status {
    /// Print JSON for programs
    #[structopt(long)]
    pub json: bool,
    /// Ask over TLS, with the certificates in this directory
    #[structopt(long, value_name = "DIR", env = "HERD_PEER_TLS", parse(try_from_os_str = directory))]
    pub peer_tls: Option<PathBuf>,
}

/// What `herd list` is asked.
#[derive(Debug, StructOpt)]
pub struct List {
    /// The server to ask, by its name in the topology [default: the first that answers]
    #[structopt(value_name = "NAME", parse(try_from_os_str = text))]
    pub name: Option<String>,
    /// Print GeoJSON: a map
    #[structopt(long)]
    pub geojson: bool,
    /// Ask over TLS, with the certificates in this directory
    #[structopt(long, value_name = "DIR", env = "HERD_PEER_TLS", parse(try_from_os_str = directory))]
    pub peer_tls: Option<PathBuf>,
}

/// What `herd check` is asked.
#[derive(Debug, StructOpt)]
pub struct Check {
    /// The topology to validate instead of --topology
    #[structopt(value_name = "FILE", parse(from_os_str))]
    pub file: Option<PathBuf>,
}
