//! Counts the instructions of the core's hot paths, so that a slower one is seen on a machine that is not quiet.
//!
//! `make instructions` compares them with those in `core/instructions.txt`, `make instructions-record` writes that
//! file anew. It starts itself under callgrind, once with and once without the operations; the difference counts.

use herd_core::batch::Batch;
use herd_core::limits::Limits;
use herd_core::line::Command;
use herd_core::link::{Frame, Update};
use herd_core::record::Record;
use herd_core::replica::Replica;
use std::fmt::Write;
use std::hint::black_box;
use std::process::{Command as Process, ExitCode};
use uuid::Uuid;

/// A path by name, and what goes it so many times.
type Path = (&'static str, fn(usize));

/// The hot paths.
const PATHS: [Path; 6] = [
    ("parse a command", parse),
    ("parse a record line", parse_record),
    ("print a record line", print),
    ("execute IAMAT of known clients, 128 to a batch", execute),
    ("execute IAMAT of new clients, 128 to a batch", fill),
    ("hear a record from a neighbour, 128 to a frame", hear),
];

/// Where the counts are that are compared with.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// How often each path is gone.
const OPERATIONS: usize = 128 * 80;

/// By how much a count may grow, in percent: hashes are seeded, so that it is never quite the same.
const TOLERANCE: u64 = 3;

const RECEIVED: u64 = 1_520_023_935_182_837_383;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--path", at, operations] => go(at, operations),
        ["--record"] => report(true),
        _ => report(false),
    }
}

fn go(at: &str, operations: &str) -> ExitCode {
    if let (Ok(at), Ok(operations)) = (at.parse::<usize>(), operations.parse()) {
        PATHS[at].1(operations);
    }
    ExitCode::SUCCESS
}

/// Prints all counts beside those recorded; fails if one has grown too much.
fn report(is_to_be_recorded: bool) -> ExitCode {
    let recorded = std::fs::read_to_string(RECORDED).unwrap_or_default();
    let mut lines = String::new();
    let mut has_grown = false;
    for (at, (name, _)) in PATHS.iter().enumerate() {
        let Some(count) = count(at) else {
            println!("instructions are not counted: there is no valgrind (apt-get install valgrind)");
            return ExitCode::SUCCESS;
        };
        let before =
            recorded.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        let is_more = before.is_some_and(|before: u64| count * 100 > before * (100 + TOLERANCE));
        has_grown |= is_more;
        let verdict = if is_more { "MORE" } else { "" };
        println!("{name:50} {count:6} was {:6} {verdict}", before.unwrap_or_default());
        let _ = writeln!(lines, "{name}: {count}"); // Writing to a string does not fail.
    }
    if is_to_be_recorded && let Err(error) = std::fs::write(RECORDED, lines) {
        eprintln!("{RECORDED} cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    if has_grown && !is_to_be_recorded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Instructions per operation of a path.
fn count(at: usize) -> Option<u64> {
    let with = collected(at, OPERATIONS)?;
    Some(with.saturating_sub(collected(at, 0)?) / OPERATIONS as u64)
}

fn collected(at: usize, operations: usize) -> Option<u64> {
    let itself = std::env::current_exe().ok()?;
    let mut valgrind = Process::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(itself);
    let output = valgrind.args(["--path", &at.to_string(), &operations.to_string()]).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn parse(operations: usize) {
    for _ in 0..operations {
        let line = b"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997";
        black_box(Command::parse(black_box(line)));
    }
}

const LINE: &[u8] =
    b"kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 1520023935182837383 Goloman";

fn parse_record(operations: usize) {
    for _ in 0..operations {
        black_box(Record::parse(black_box(LINE)));
    }
}

fn print(operations: usize) {
    let record = Record::parse(LINE);
    let mut out = Vec::new();
    for _ in 0..operations {
        out.clear();
        if let Some(record) = black_box(record) {
            record.print(&mut out);
        }
        black_box(&out);
    }
}

/// How many clients report when those known report again.
const CLIENTS: usize = 1000;

/// Lines of which each is later than the last.
fn lines(range: std::ops::Range<usize>, clients: usize, end: &str, start: &str) -> Vec<u8> {
    let line = |number: usize| {
        let (client, second) = (number % clients, 1_520_000_000 + number);
        format!("{start}client-{client:09} +34.068930-118.445127 {second}.918963997{end}\n")
    };
    range.map(line).collect::<String>().into_bytes()
}

fn replica() -> Replica {
    let mut replica = Replica::new("Goloman", &Limits::default());
    replica.link_up("Hands");
    replica
}

fn execute_in(replica: &mut Replica, operations: usize, clients: usize) {
    for at in (0..operations).step_by(128) {
        let mut batch = Batch::new(lines(at..at + 128, clients, "", "IAMAT "), 1000);
        let _ = black_box(replica.execute(&mut batch, RECEIVED, 0, Uuid::from_u128(at as u128)));
    }
}

fn execute(operations: usize) {
    execute_in(&mut replica(), 2048 + operations, CLIENTS);
}

fn fill(operations: usize) {
    execute_in(&mut replica(), operations, usize::MAX);
}

fn hear(operations: usize) {
    let mut replica = replica();
    for at in (0..operations).step_by(128) {
        let uuid = Uuid::from_u128(at as u128);
        let lines = lines(at..at + 128, CLIENTS, " 1520023935182837383 Hands", "");
        replica.hear("Hands", Frame::Update(Update::new(uuid, &lines)), 0, uuid);
    }
}
