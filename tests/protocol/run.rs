//! Runs one case against a server.

use super::case::{Case, Piece, Step};
use super::harness::Client;
use super::nanoseconds::Nanoseconds;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the runs of this process, so that each has client IDs of its own.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// A group of steps is written byte by byte only if it has at most so many bytes.
const MOST_SINGLE_BYTES: usize = 4096;

/// How the bytes of a case are cut into segments. The answers must not depend on it.
#[derive(Clone, Copy)]
pub enum Way {
    /// As the file has them.
    AsWritten,
    /// All that is said before the next answer is read, at once.
    Together,
    /// Each byte alone.
    ByteByByte,
    /// In two parts: so many bytes, and the others.
    SplitAt(usize),
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::AsWritten => formatter.write_str("in segments as written"),
            Way::Together => formatter.write_str("in one segment"),
            Way::ByteByByte => formatter.write_str("byte by byte"),
            Way::SplitAt(offset) => write!(formatter, "split at byte {offset}"),
        }
    }
}

/// Every way in which the bytes of a case may be cut.
pub fn every_way(case: &Case, server: &str) -> Vec<Way> {
    let mut ways = vec![Way::AsWritten, Way::Together];
    let longest = Run::new(server).segments(&case.steps, Way::Together)[0].len();
    if longest <= MOST_SINGLE_BYTES {
        ways.push(Way::ByteByByte);
    }
    if case.split {
        ways.extend((1..longest).map(Way::SplitAt));
    }
    ways
}

/// Runs a case on a new connection, and says what went wrong.
pub fn failure(case: &Case, way: Way, address: &str, server: &str) -> Option<String> {
    let problem = run(case, way, address, server).err()?;
    Some(format!("line {}: {} ({way}): {problem}", case.line, case.name))
}

fn run(case: &Case, way: Way, address: &str, server: &str) -> Result<(), String> {
    let mut run = Run::new(server);
    let mut client = Client::connect(address)?;
    let mut ended = false;
    let mut steps = &case.steps[..];
    while let Some(step) = steps.first() {
        let mut taken = 1;
        match step {
            Step::Say(_) => {
                taken = steps.iter().take_while(|step| matches!(step, Step::Say(_))).count();
                for segment in run.segments(&steps[..taken], way) {
                    client.say(segment)?;
                }
            }
            Step::Hear(pieces) => run.hear(&mut client, pieces)?,
            Step::End => {
                client.end()?;
                ended = true;
            }
        }
        steps = &steps[taken..];
    }
    if !ended {
        client.end()?;
    }
    match client.rest()? {
        rest if rest.is_empty() => Ok(()),
        rest => Err(format!("after the last answer came {}", quoted(&rest))),
    }
}

/// What a run knows: who it is, when it began, and what it heard so far.
struct Run<'a> {
    server: &'a str,
    number: u32,
    start: Nanoseconds,
    skews: HashMap<String, String>,
}

/// A part of an answer, after the placeholders that are known beforehand were filled in.
enum Expected {
    Bytes(Vec<u8>),
    /// A skew, the name to remember it by, and the client's time that stands on its line.
    Skew(Option<String>, String),
    Places(usize),
}

impl<'a> Run<'a> {
    fn new(server: &'a str) -> Self {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        Run { server, number, start: Nanoseconds::now(), skews: HashMap::new() }
    }

    /// The bytes of the steps at the start that only say something, cut into segments.
    fn segments(&self, steps: &[Step], way: Way) -> Vec<Vec<u8>> {
        let said =
            steps.iter().map_while(|step| if let Step::Say(pieces) = step { Some(pieces) } else { None });
        let written: Vec<Vec<u8>> =
            said.map(|pieces| pieces.iter().flat_map(|piece| self.bytes(piece)).collect()).collect();
        let mut together = written.concat();
        match way {
            Way::AsWritten => written,
            Way::ByteByByte if together.len() <= MOST_SINGLE_BYTES => {
                together.chunks(1).map(<[u8]>::to_vec).collect()
            }
            Way::SplitAt(offset) if offset < together.len() => {
                let second = together.split_off(offset);
                vec![together, second]
            }
            Way::Together | Way::ByteByByte | Way::SplitAt(_) => vec![together],
        }
    }

    /// The bytes of a piece that is known beforehand.
    fn bytes(&self, piece: &Piece) -> Vec<u8> {
        match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Name(name) => format!("{name}-{}.cs.ucla.edu", self.number).into_bytes(),
            Piece::Now(shift) => self.start.shifted(*shift).to_seconds().into_bytes(),
            Piece::Server => self.server.as_bytes().to_vec(),
            Piece::Skew(_) | Piece::Places(_) => Vec::new(),
        }
    }

    fn hear(&mut self, client: &mut Client, pieces: &[Piece]) -> Result<(), String> {
        for expected in self.expected(pieces) {
            match expected {
                Expected::Bytes(bytes) => hear_bytes(client, &bytes)?,
                Expected::Skew(name, time) => self.hear_skew(client, name, &time)?,
                Expected::Places(bound) => hear_places(client, bound)?,
            }
        }
        Ok(())
    }

    /// Fills in all that is known beforehand, and gives each skew the time at the end of its line.
    fn expected(&self, pieces: &[Piece]) -> Vec<Expected> {
        let mut expected: Vec<Expected> = Vec::new();
        for piece in pieces {
            match (piece, expected.last_mut()) {
                (Piece::Skew(name), _) => expected.push(Expected::Skew(name.clone(), String::new())),
                (Piece::Places(bound), _) => expected.push(Expected::Places(*bound)),
                (known, Some(Expected::Bytes(before))) => before.extend(self.bytes(known)),
                (known, _) => expected.push(Expected::Bytes(self.bytes(known))),
            }
        }
        for index in 1..expected.len() {
            let (before, after) = expected.split_at_mut(index);
            if let (Some(Expected::Skew(_, time)), Expected::Bytes(bytes)) =
                (before.last_mut(), &mut after[0])
            {
                *time = last_field(bytes);
                // What hears a skew hears the space after it too.
                assert_eq!(bytes.remove(0), b' ', "a case has something else than a space after a skew");
            }
        }
        expected
    }

    /// Hears a skew, and checks that it leads from the client's time to a moment of this run.
    fn hear_skew(&mut self, client: &mut Client, name: Option<String>, time: &str) -> Result<(), String> {
        let mut heard = client.until(b" ")?;
        heard.pop();
        let skew = String::from_utf8_lossy(&heard).into_owned();
        let receipt = Nanoseconds::of_seconds(time)?.plus_skew(&skew)?;
        let now = Nanoseconds::now();
        if receipt < self.start || receipt > now {
            let (receipt, start, now) = (receipt.to_seconds(), self.start.to_seconds(), now.to_seconds());
            return Err(format!("the skew {skew} says received at {receipt}, not from {start} to {now}"));
        }
        let Some(name) = name else { return Ok(()) };
        match self.skews.get(&name) {
            Some(before) if *before != skew => Err(format!("the skew {name} was {before} and is now {skew}")),
            _ => {
                self.skews.insert(name, skew);
                Ok(())
            }
        }
    }
}

/// The last field of the first line: the client's time, when the bytes follow a skew.
fn last_field(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let field = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    String::from_utf8_lossy(field).into_owned()
}

/// Hears exactly these bytes.
fn hear_bytes(client: &mut Client, expected: &[u8]) -> Result<(), String> {
    let heard = client
        .exactly(expected.len())
        .map_err(|problem| format!("wanted {}, {problem}", quoted(expected)))?;
    if heard == expected {
        return Ok(());
    }
    let same = heard.iter().zip(expected).take_while(|(one, other)| one == other).count();
    Err(format!("wanted {}, heard {}, different from byte {same} on", quoted(expected), quoted(&heard)))
}

fn hear_places(client: &mut Client, bound: usize) -> Result<(), String> {
    let heard = client.until(b"\n\n")?;
    let wrong = |why: &str| Err(format!("{why}: {}", quoted(&heard)));
    let Ok(places) = serde_json::from_slice::<Value>(&heard) else { return wrong("the places are no JSON") };
    match (places.get("results").and_then(Value::as_array), places.get("status").and_then(Value::as_str)) {
        (Some(results), Some(_)) if results.len() <= bound => Ok(()),
        (Some(_), Some(_)) => wrong("more results than asked for"),
        _ => wrong("the places have no list of results or no status"),
    }
}

/// Bytes as a person can read them, and no more of them than a person wants to.
fn quoted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(300)];
    let more = if shown.len() < bytes.len() { format!(" … {} bytes", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", shown.escape_ascii())
}
