//! The command line of the bench.

use std::path::PathBuf;

use structopt::StructOpt;

/// What the bench is asked to do.
#[derive(Debug, StructOpt)]
#[structopt(
    name = "herd-bench",
    about = "Measures a herd against Redis, a plain echo and chains of relays. Every reply is verified.",
    after_help = "EXAMPLES:\n    herd-bench run --quick\n    herd-bench run --rows 1,3,5 --herd target/release/herd\n    \
                  herd-bench drive --to 127.0.0.1:11645 --name Goloman -c 16 -d 128"
)]
pub enum Options {
    /// Measures the rows of the table of targets
    Run(Run),
    /// Loads one running server and prints rate, latencies and cost
    Drive(Drive),
    /// (started by `run`) Serves a plain echo
    Echo {
        /// Where to listen, as host:port
        address: String,
    },
    /// (started by `run`) Serves IAMAT without actors: a bare epoll loop over the same memory
    Bare {
        /// The server's name
        name: String,
        /// Where to listen, as host:port
        address: String,
        /// Where to keep its log
        directory: PathBuf,
    },
    /// (started by `run`) Passes lines on
    Relay {
        /// Where to listen, as host:port
        address: String,
        /// Whom to pass lines on to, as host:port
        next: Option<String>,
    },
    /// (started by `run`) Serves in a herd with one message and one write per update and neighbour
    Naive {
        /// The server's name
        name: String,
        /// Where clients reach it, as host:port
        clients: String,
        /// Where neighbours reach it, as host:port
        peers: String,
        /// How many links it has, dialled by either end
        links: usize,
        /// The neighbours it dials, as host:port
        dials: Vec<String>,
    },
}

/// How to measure the rows.
#[derive(Debug, StructOpt)]
pub struct Run {
    /// Only these rows, such as 1,3,5; 0 is the plot
    #[structopt(long, use_delimiter = true)]
    pub rows: Vec<u8>,
    /// Shorter and fewer runs: to see that all works, not to quote
    #[structopt(long)]
    pub quick: bool,
    /// Runs of each measurement (5, or 3 with --quick)
    #[structopt(long)]
    pub runs: Option<usize>,
    /// Seconds of one run (2, or 0.4 with --quick)
    #[structopt(long)]
    pub seconds: Option<f64>,
    /// The program to measure
    #[structopt(long, default_value = "target/release/herd")]
    pub herd: PathBuf,
    /// More arguments for every `herd serve`, as one string
    #[structopt(long, default_value = "")]
    pub herd_args: String,
    /// Where servers keep what they write (default: the system's directory for temporary files)
    #[structopt(long)]
    pub scratch: Option<PathBuf>,
    /// Writes the results here as JSON
    #[structopt(long)]
    pub json: Option<PathBuf>,
    /// Draws the plot into this file
    #[structopt(long)]
    pub svg: Option<PathBuf>,
}

/// How to load one server.
#[derive(Debug, StructOpt)]
pub struct Drive {
    /// The server's address for clients
    #[structopt(long, default_value = "127.0.0.1:11645")]
    pub to: String,
    /// The server's name, which its replies must bear
    #[structopt(long, default_value = "Goloman")]
    pub name: String,
    /// What to speak: iamat, whatsat, echo, set, geoadd or geosearch
    #[structopt(long, default_value = "iamat")]
    pub speech: String,
    /// Connections
    #[structopt(short = "c", long, default_value = "16")]
    pub connections: usize,
    /// Commands in flight on each connection
    #[structopt(short = "d", long, default_value = "1")]
    pub depth: usize,
    /// Commands per second instead, whatever the server does
    #[structopt(long)]
    pub rate: Option<f64>,
    /// Clients that report
    #[structopt(long, default_value = "100000")]
    pub clients: u32,
    /// Client IDs of 36 bytes in place of 16, with iamat
    #[structopt(long)]
    pub uuids: bool,
    /// Seconds
    #[structopt(long, default_value = "5")]
    pub seconds: f64,
    /// Spin while there is nothing to read: takes a core, but the server does not pay for waking the generator
    #[structopt(long)]
    pub spin: bool,
    /// The server's process, to read its CPU time
    #[structopt(long)]
    pub pid: Option<u32>,
}
