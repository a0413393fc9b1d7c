//! Counts the instructions of the core's hot paths, so that a slower one is seen on a machine that is not quiet.
//!
//! `make instructions` compares them with those in `core/instructions/counts.txt`; `make instructions-record` writes that
//! file anew. It starts itself under callgrind, twice for each path: the second time it does twice as many
//! operations, with everything else the same, so that the difference is what operations cost.

use herd_core::batch::Batch;
use herd_core::frame::{Frame, Update, Vocabulary};
use herd_core::journal::print_entries;
use herd_core::limits::Limits;
use herd_core::line::Command;
use herd_core::record::Record;
use herd_core::replica::Replica;
use std::fmt::Write;
use std::hint::black_box;
use std::process::{Command as Process, ExitCode};
use uuid::Uuid;

/// What one path does, groups of lines at a time.
type Go = fn(&mut Replica, &str);

/// The hot paths: name, what it does, what is before and behind the record in its lines, whether clients come again.
const PATHS: [(&str, Go, &str, &str, bool); 8] = [
    ("parse a command", parse_commands, "IAMAT ", "", true),
    ("parse a record line", parse_records, "", " 1520023935182837383 Hands", true),
    ("parse and print a record line", print_records, "", " 1520023935182837383 Hands", true),
    ("execute IAMAT of a known client", execute, "IAMAT ", "", true),
    ("execute IAMAT of a known client with a long ID", execute, "IAMAT f81d4fae-7dec-11d0-", "", true),
    ("execute IAMAT of a new client", execute, "IAMAT ", "", false),
    ("hear a record of a known client", hear, "", " 1520023935182837383 Hands", true),
    ("print a record for the journal", print_entry, "", " 1520023935182837383 Hands", true),
];

/// How many lines come in one read or one frame.
const GROUP: usize = 128;

/// How many operations there are at first; then there are twice as many.
const OPERATIONS: usize = 80 * GROUP;

/// By how much a count may grow, in percent: hashes are seeded, so that it is never quite the same.
const TOLERANCE: u64 = 3;

/// Where the counts are that are compared with.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--path", at, groups] => go(at.parse().unwrap_or_default(), groups.parse().unwrap_or_default()),
        ["--record"] => report(true),
        _ => report(false),
    }
}

/// Goes one path; all lines are made, whether or not they are needed.
fn go(at: usize, groups: usize) -> ExitCode {
    let Some((_, go, start, end, do_return)) = PATHS.get(at) else { return ExitCode::FAILURE };
    let clients = if *do_return { OPERATIONS } else { 2 * OPERATIONS };
    let line = |number: usize| {
        let client = number % clients;
        format!("{start}client-{client:09} +34.068930-118.445127 1520023934.{number:09}{end}\n")
    };
    let group = |at: usize| (at * GROUP..(at + 1) * GROUP).map(line).collect::<String>();
    let inputs: Vec<String> = (0..2 * OPERATIONS / GROUP).map(group).collect();
    let mut replica = Replica::new("Goloman", &Limits::default());
    replica.link_up("Hands", Vocabulary::Trees);
    replica.keep_applied();
    for input in inputs.iter().take(groups) {
        go(&mut replica, input);
        replica.applied().map(Vec::clear);
    }
    ExitCode::SUCCESS
}

fn each_line(input: &str, each: impl FnMut(&[u8])) {
    input.lines().map(str::as_bytes).for_each(each);
}

fn parse_commands(_: &mut Replica, input: &str) {
    each_line(input, |line| {
        black_box(Command::parse(line));
    });
}

fn parse_records(_: &mut Replica, input: &str) {
    each_line(input, |line| {
        black_box(Record::parse(line));
    });
}

fn print_records(_: &mut Replica, input: &str) {
    let mut out = Vec::with_capacity(input.len());
    each_line(input, |line| {
        if let Some(record) = Record::parse(line) {
            record.print(&mut out);
        }
    });
    assert_eq!(out, input.as_bytes());
}

fn execute(replica: &mut Replica, input: &str) {
    let mut batch = Batch::new(input.as_bytes().to_vec(), 1000);
    let _ = black_box(replica.execute(&mut batch, 1_520_023_935_182_837_383, 0, Uuid::nil));
    assert_eq!(batch.lines(), GROUP as u64);
}

fn hear(replica: &mut Replica, input: &str) {
    let uuid = Uuid::from_u128(replica.counts().applied.into());
    replica.hear("Hands", Frame::Update(Update::new(uuid, input.as_bytes())), 0, uuid);
}

fn print_entry(_: &mut Replica, input: &str) {
    let mut out = Vec::new();
    print_entries(input.as_bytes(), &mut out);
    black_box(out);
}

/// Prints all counts beside those recorded; fails if one has grown too much.
fn report(is_to_be_recorded: bool) -> ExitCode {
    let recorded = std::fs::read_to_string(RECORDED).unwrap_or_default();
    let mut lines = String::new();
    let mut has_grown = false;
    for (at, (name, ..)) in PATHS.iter().enumerate() {
        let Some(count) = count(at) else {
            println!("instructions are not counted: valgrind is not here (apt-get install valgrind)");
            return ExitCode::SUCCESS;
        };
        let before =
            recorded.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        let is_more = before.is_some_and(|before: u64| count * 100 > before * (100 + TOLERANCE));
        has_grown |= is_more;
        let verdict = if is_more { "  MORE" } else { "" };
        println!("{name:36}{count:6}   recorded {:6}{verdict}", before.unwrap_or_default());
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
    let groups = OPERATIONS / GROUP;
    let difference = instructions(at, 2 * groups)?.saturating_sub(instructions(at, groups)?);
    Some(difference / OPERATIONS as u64)
}

fn instructions(at: usize, groups: usize) -> Option<u64> {
    let mut valgrind = Process::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().ok()?);
    let output = valgrind.args(["--path", &at.to_string(), &groups.to_string()]).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}
