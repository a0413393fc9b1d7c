//! What must hold for any bytes at all: the bodies of the fuzz targets, which plain tests replay.
//!
//! Each returns normally whatever it is given, or panics because a rule was broken. `fuzz/` feeds them with what
//! libFuzzer thinks of; `core/tests/corpus.rs` feeds them with what once failed.

#![allow(clippy::missing_panics_doc, reason = "to panic is how a fuzz target says that a rule was broken")]

use crate::batch::{Batch, Pause};
use crate::dialect::speech::{Letter, Speech, Verdict, parse};
use crate::dialect::{Dialect, gps};
use crate::fields::fields;
use crate::frame::{Frame, Inbox, Vocabulary};
use crate::journal::{Recovery, Summary, print_entries};
use crate::limits::Limits;
use crate::line::Command;
use crate::places::import::{Format, Importer, Wishes};
use crate::places::{Gazetteer, Index, Provider, Query, Reply, file, remote};
use crate::replica::Replica;
use crate::session::Session;
use crate::topology::{Server, Topology};
use uuid::Uuid;

/// A body, by the name of its target.
pub type Body = (&'static str, fn(&[u8]));

/// Every body.
pub const BODIES: [Body; 6] = [
    ("client_lines", client_lines),
    ("peer_frames", peer_frames),
    ("log_recovery", log_recovery),
    ("topology", topology),
    ("dialects", dialects),
    ("places", places),
];

/// The time at which everything is received.
const NOW: u64 = 1_520_023_935_182_837_383;

/// Short enough that a fuzzer finds the edge.
const LINE_MAX: usize = 64;

/// However a client's bytes are cut into reads, the answers are the same, one to each line that is not blank: a line,
/// and after the line of a WHATSAT perhaps places and an empty line.
pub fn client_lines(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let whole = answers(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(piece).max(1)).collect();
    assert_eq!(answers(&pieces), whole, "the answers depend on how the bytes came");
    let owed = |line: &[u8]| match Command::parse(line) {
        Command::Blank => usize::from(line.len() > LINE_MAX),
        Command::Whatsat { .. } => 3,
        Command::Iamat { .. } | Command::Invalid => 1,
    };
    let at_most: usize = bytes.split(|&byte| byte == b'\n').map(owed).sum();
    assert!(whole.split(|&byte| byte == b'\n').count() <= at_most + 1, "more answers than lines");
}

fn answers(reads: &[&[u8]]) -> Vec<u8> {
    let mut replica = Replica::new("Goloman", &Limits::default());
    let mut session = Session::new(LINE_MAX);
    let mut out = Vec::new();
    for read in reads {
        session.buffer().extend_from_slice(read);
        while let Some(batch) = session.batch() {
            session.reuse(executed(&mut replica, batch, &mut out));
        }
    }
    if let Some(batch) = session.finish() {
        executed(&mut replica, batch, &mut out);
    }
    out
}

/// Executes a batch to its end; nobody is found, and what is near is always the same.
fn executed(replica: &mut Replica, mut batch: Box<Batch>, out: &mut Vec<u8>) -> Box<Batch> {
    while replica.execute(&mut batch, NOW, 0, Uuid::nil) != Pause::Done {
        for _ in batch.wanted() {
            batch.add_places(b"{}");
        }
    }
    out.append(&mut batch.output);
    batch
}

/// Whatever a neighbour says, frames print as they were read, and what is known is only ever replaced by newer.
pub fn peer_frames(bytes: &[u8]) {
    let mut replica = Replica::new("Goloman", &Limits::default());
    replica.link_up("Hands", Vocabulary::Trees);
    let mut inbox = Inbox::new(bytes.to_vec());
    while let Ok(Some(frame)) = inbox.next(1 << 16) {
        let mut again = Inbox::new(frame.to_bytes());
        assert_eq!(again.next(1 << 17), Ok(Some(frame.clone())), "a frame is read as it is printed");
        replica.hear("Hands", frame, 0, Uuid::nil());
    }
    let mut chunk = Vec::new();
    replica.take("Hands", 0, &mut chunk);
    let mut told = Inbox::new(chunk);
    while let Some(frame) = told.next(1 << 24).expect("what is said to a neighbour is frames") {
        assert!(!matches!(frame, Frame::Bye { .. }), "nobody said goodbye");
    }
}

/// Whatever is on disk, the same entries are found however it is read, and they are found again when written anew.
pub fn log_recovery(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let (lines, summary) = recovered(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(piece).max(1)).collect();
    assert_eq!(recovered(&pieces), (lines.clone(), summary));
    assert!(summary.length <= bytes.len() as u64 && summary.entries == lines.len() as u64);
    let mut written = Vec::new();
    print_entries(
        &lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect::<Vec<u8>>(),
        &mut written,
    );
    let (again, undamaged) = recovered(&[&written]);
    assert_eq!((again, undamaged.damaged), (lines, 0));
}

fn recovered(reads: &[&[u8]]) -> (Vec<Vec<u8>>, Summary) {
    let mut lines = Vec::new();
    let mut recovery = Recovery::default();
    let mut replica = Replica::new("Goloman", &Limits::default());
    let mut each = |line: &[u8]| {
        let _ = replica.restore(line);
        lines.push(line.to_vec());
    };
    for read in reads {
        recovery.feed(read, &mut each);
    }
    let summary = recovery.finish(&mut each);
    (lines, summary)
}

/// Whatever a neighbour of another make says, it is refused or is a record that it can be told again as it is.
pub fn dialects(bytes: &[u8]) {
    for dialect in Dialect::ALL {
        let Ok(Speech::Update(told)) = parse(bytes, &[dialect]) else { continue };
        let Some(record) = told.record() else { panic!("what was taken is no record") };
        assert_eq!(told.verdict(Some(&record)), Verdict::Known);
        let letter = Letter { line: told.line.clone(), spelling: told.spelling.clone(), correction: None };
        let here = String::from_utf8_lossy(record.server).into_owned();
        let Some(message) = letter.print(dialect, &here, "There") else { continue };
        let again = parse(&message, &[dialect]);
        let Ok(Speech::Update(again)) = again else { panic!("what was said cannot be read: {again:?}") };
        let is_utf8 = here.as_bytes() == record.server;
        assert!(!is_utf8 || again.line == told.line, "what was said is another record");
    }
    let _ = gps::parse(bytes, b"kiwi", "There"); // Any answer is read without panic.
}

/// Whatever servers and links are named, a topology is refused or can be drawn and walked.
///
/// A line of three words is a server, one of two a link.
pub fn topology(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (mut servers, mut links) = (Vec::new(), Vec::new());
    for line in text.lines().take(40) {
        let words: Vec<String> =
            fields(line.as_bytes()).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        match <[String; 3]>::try_from(words) {
            Ok([name, clients, peers]) => servers.push(Server { name, clients, peers, speaks: None }),
            Err(words) => {
                if let Ok([one, other]) = <[String; 2]>::try_from(words) {
                    links.push((one, other));
                }
            }
        }
    }
    let count = servers.len();
    if let Ok(topology) = Topology::new(servers, &links) {
        assert!(topology.longest_route() < count.max(1));
        assert_eq!(topology.islands().concat().len(), count);
        assert_eq!(topology.drawing().is_empty(), count == 0);
    }
}

/// Whatever a provider replies, and whatever a file of places or an index holds, clients get JSON without an empty line
/// in it, and what was imported is in the index that is made of it.
pub fn places(bytes: &[u8]) {
    let reply = Reply { code: 200, retry_after: None, body: bytes };
    for provider in [Provider::Google, Provider::GoogleLegacy, Provider::Overpass] {
        if let Ok(answer) = remote::answer(provider, &EVERYWHERE, &reply, usize::MAX) {
            assert_is_answer(&answer);
        }
    }
    let mut importer = Importer::new(Wishes::default());
    for format in [Format::GeoNames, Format::Csv, Format::GeoJsonLines] {
        importer.begin("rows");
        bytes.split_inclusive(|&byte| byte == b'\n').for_each(|line| importer.line(format, line));
        importer.end();
    }
    importer.document(bytes, |_, _| {});
    let (list, _) = importer.finish();
    let count = list.len();
    let again = file::decode(&file::encode(&list)).expect("an index is read as it was written");
    assert_eq!(again.len(), count);
    assert_are_found(again);
    if let Ok(list) = file::decode_body(bytes) {
        assert_are_found(list);
    }
}

/// Half of the globe's circumference is 20,004 km.
const EVERYWHERE: Query = Query { latitude: 34.0, longitude: -118.0, radius_m: 20_100_000.0, bound: 20 };

fn assert_are_found(list: Gazetteer) {
    let count = list.len();
    let index = Index::new(vec![list]);
    assert_eq!(index.len(), count);
    let answer = assert_is_answer(&index.answer(&EVERYWHERE));
    let found = answer["results"].as_array().expect("a list of results").len();
    assert_eq!(found, count.min(EVERYWHERE.bound), "every place is somewhere");
}

fn assert_is_answer(answer: &[u8]) -> serde_json::Value {
    assert!(!answer.windows(2).any(|pair| pair == b"\n\n"), "an empty line ends an answer");
    assert!(!answer.starts_with(b"\n") && !answer.ends_with(b"\n"), "an empty line ends an answer");
    serde_json::from_slice(answer).expect("an answer is JSON")
}
