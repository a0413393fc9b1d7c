//! What two servers say to each other over a link, once they have shaken hands.
//!
//! A frame is a line of words, for some followed by as many bytes as the line says:
//!
//! ```text
//! PING
//! CLIENTAT <uuid> <length>       then record lines of that length: an update, which goes to everybody
//! CLIENTAT <uuid> <length> <source> <hops>    the same along the tree of a source; with this link it has come over so many
//! HAVE <uuid> …                  these updates came or began here
//! WANT <uuid> …                  send these, which did not come
//! PRUNE <source>                 send me no updates of a source any more: say that you have them
//! GRAFT <source>                 send me updates of a source again
//! WHICHCLIENT <uuid> <client>    a search
//! FOUND <uuid> <length>          then one record line: the answer to a search
//! NOTFOUND <uuid>                the other answer
//! DIGEST <root>                  what all I know sums up to, in hexadecimal
//! SUMS? <node>                   what do its 256 children sum up to? A number, or `-`: the root, whose children the nodes are
//! SUMS <node> <length>           then that many bytes, always 2048: 256 sums of 8 bytes, the most significant byte first
//! RECORDS? <buckets> …           what do you know of these? A bucket, or the first and the last of many: 7 12-300
//! RECORDS <done> <length>        then record lines; with them so many more of the buckets asked for are done
//! BYE <reason>
//! ```
//!
//! Lengths are in bytes. `HAVE` and `WANT` name one to [`UUIDS_MAX`] updates, `RECORDS?` one to [`SPANS_MAX`] buckets or runs of
//! buckets. Trees are what `tree` is about; a neighbour with a [`Vocabulary`] without them is
//! sent none of those frames. Digest, sums and buckets are what [`crate::digest`] and `healing` are about. `CLIENTAT`
//! and `WHICHCLIENT` are the prototypes' words. A record line is what [`crate::record::Record`] prints.

use crate::decimal::{parse_number, print_number};
use crate::digest::{FAN_OUT, Node, Root, Sums};
use crate::fields::fields;
use crate::record;
use crate::topology::NAME_MAX;
use uuid::Uuid;

mod inbox;

pub use self::inbox::{Inbox, Malformed};

/// One thing said over a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// I am still here.
    Ping,
    /// Records that are news to the sender's neighbourhood.
    Update(Update),
    /// These updates came or began here, if anybody misses them.
    Have {
        /// The updates, no more than [`UUIDS_MAX`].
        uuids: Vec<Uuid>,
    },
    /// These updates did not come.
    Want {
        /// The updates, no more than [`UUIDS_MAX`].
        uuids: Vec<Uuid>,
    },
    /// Another link brings the updates of a source.
    Prune {
        /// The name of the server with which they begin.
        source: String,
    },
    /// This link is to bring the updates of a source.
    Graft {
        /// The name of the server with which they begin.
        source: String,
    },
    /// Does anybody know this client?
    Which {
        /// The search, the same on every server it visits.
        uuid: Uuid,
        /// The client searched for.
        client: Vec<u8>,
    },
    /// The answer to a search: this is its record.
    Found {
        /// The search.
        uuid: Uuid,
        /// The record line.
        line: Vec<u8>,
    },
    /// The answer to a search: nobody behind me knows.
    NotFound {
        /// The search.
        uuid: Uuid,
    },
    /// What everything sums up to that the sender knows.
    Digest {
        /// The sum.
        root: Root,
    },
    /// What do the children of a node sum up to?
    AskSums {
        /// The node.
        node: Node,
    },
    /// The answer to that.
    Sums {
        /// The node.
        node: Node,
        /// The sums of its children.
        sums: Box<Sums>,
    },
    /// What is known of the clients in some buckets?
    AskRecords {
        /// The buckets, no more than [`SPANS_MAX`] spans of them.
        spans: Vec<Span>,
    },
    /// A part of the answer to that.
    Records {
        /// How many of the buckets asked for are done with this.
        done: usize,
        /// Record lines.
        lines: Vec<u8>,
    },
    /// The sender closes the link.
    Bye {
        /// Why.
        reason: String,
    },
}

/// The buckets from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first bucket.
    pub first: u16,
    /// The last bucket, which is not before the first.
    pub last: u16,
}

/// The most spans of buckets that one frame asks for.
pub const SPANS_MAX: usize = 64;

impl Span {
    /// All buckets there are.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// How many buckets it is.
    pub fn buckets(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut ends = text.splitn(2, |&byte| byte == b'-');
        let first = u16::try_from(parse_number(ends.next()?)?).ok()?;
        let last = ends.next().map_or(Some(first), |last| u16::try_from(parse_number(last)?).ok())?;
        (first <= last).then_some(Self { first, last })
    }

    fn print(self, out: &mut Vec<u8>) {
        print_number(u64::from(self.first), out);
        if self.last > self.first {
            out.push(b'-');
            print_number(u64::from(self.last), out);
        }
    }
}

/// The most updates that one frame names.
pub const UUIDS_MAX: usize = 64;

/// The most that a frame has besides record lines: its first line, or all of it where there are none, as with 64 UUIDs. The
/// client that a search is for counts as a record line: it has the room of one.
pub const FRAME_EXTRA: usize = 4096;

/// Which frames a neighbour knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// Those that tell records and ask for clients: it is of another make, and compares nothing. A DIGEST says no more than
    /// that it missed something.
    Foreign,
    /// Those without trees: it is of a version before them.
    Plain,
    /// All.
    Trees,
}

/// Where an update began, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name of the server with which it began.
    pub source: String,
    /// Over how many links it has come.
    pub hops: u16,
}

/// Record lines under one UUID, in the bytes that came, so that they can be passed on as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The update, the same on every server it visits.
    pub uuid: Uuid,
    /// Along which tree it came, if along any.
    pub route: Option<Route>,
    lines: Vec<u8>,
}

impl Update {
    /// Some record lines under a UUID of their own.
    pub fn new(uuid: Uuid, lines: impl Into<Vec<u8>>) -> Self {
        Self { uuid, route: None, lines: lines.into() }
    }

    /// One record line under a UUID of its own.
    pub fn of_line(uuid: Uuid, line: &[u8]) -> Self {
        Self { uuid, route: None, lines: [line, b"\n"].concat() }
    }

    /// Adds lines to an update that nobody has been told yet.
    pub fn append(&mut self, lines: &[u8]) {
        self.lines.extend_from_slice(lines);
    }

    /// The record lines without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        record::lines(&self.lines)
    }

    /// The record lines with their ends.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.lines
    }

    /// The bytes of the record lines with their ends.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True if there are no record lines.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends the frame as it goes over the link.
    pub fn print(&self, out: &mut Vec<u8>) {
        self.print_along(self.route.as_ref().map(|route| (&*route.source, route.hops)), out);
    }

    /// Appends the frame as it goes over the link, on another route than it came, if on any.
    pub fn print_along(&self, route: Option<(&str, u16)>, out: &mut Vec<u8>) {
        print_start(b"CLIENTAT", self.uuid, out);
        out.push(b' ');
        print_number(self.lines.len() as u64, out);
        if let Some((source, hops)) = route {
            out.push(b' ');
            out.extend_from_slice(source.as_bytes());
            out.push(b' ');
            print_number(hops.into(), out);
        }
        out.push(b'\n');
        out.extend_from_slice(&self.lines);
    }
}

/// How much is told of a header that makes no sense, in bytes, or of a goodbye, in characters.
const HEADER_SHOWN: usize = 128;

/// The bytes of one sum.
const SUM_LENGTH: usize = 8;

/// The bytes of the sums of one node.
const SUMS_LENGTH: usize = FAN_OUT * SUM_LENGTH;

/// Appends `<word> <uuid>`, which many frames begin with.
fn print_start(word: &[u8], uuid: Uuid, out: &mut Vec<u8>) {
    out.extend_from_slice(word);
    print_uuid(uuid, out);
}

fn print_uuid(uuid: Uuid, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(uuid.simple().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

/// Appends a word, some UUIDs and a line feed.
fn print_uuids(word: &[u8], uuids: &[Uuid], out: &mut Vec<u8>) {
    out.extend_from_slice(word);
    for &uuid in uuids {
        print_uuid(uuid, out);
    }
    out.push(b'\n');
}

impl Frame {
    /// Appends the frame as it goes over the link.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ping => out.extend_from_slice(b"PING\n"),
            Self::Update(update) => update.print(out),
            Self::Have { uuids } => print_uuids(b"HAVE", uuids, out),
            Self::Want { uuids } => print_uuids(b"WANT", uuids, out),
            Self::Prune { source } => out.extend(format!("PRUNE {source}\n").bytes()),
            Self::Graft { source } => out.extend(format!("GRAFT {source}\n").bytes()),
            Self::Which { uuid, client } => {
                print_start(b"WHICHCLIENT", *uuid, out);
                out.push(b' ');
                out.extend_from_slice(client);
                out.push(b'\n');
            }
            Self::Found { uuid, line } => {
                print_start(b"FOUND", *uuid, out);
                out.push(b' ');
                print_number(line.len() as u64 + 1, out);
                out.push(b'\n');
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            Self::NotFound { uuid } => {
                print_start(b"NOTFOUND", *uuid, out);
                out.push(b'\n');
            }
            Self::Digest { root } => out.extend(format!("DIGEST {root:032x}\n").bytes()),
            Self::AskSums { node } => {
                out.extend_from_slice(b"SUMS? ");
                print_node(*node, out);
                out.push(b'\n');
            }
            Self::Sums { node, sums } => {
                out.extend_from_slice(b"SUMS ");
                print_node(*node, out);
                out.extend(format!(" {SUMS_LENGTH}\n").bytes());
                out.extend(sums.iter().flat_map(|sum| sum.to_be_bytes()));
            }
            Self::AskRecords { spans } => {
                out.extend_from_slice(b"RECORDS?");
                for span in spans {
                    out.push(b' ');
                    span.print(out);
                }
                out.push(b'\n');
            }
            Self::Records { done, lines } => {
                out.extend(format!("RECORDS {done} {}\n", lines.len()).bytes());
                out.extend_from_slice(lines);
            }
            Self::Bye { reason } => {
                out.extend_from_slice(b"BYE ");
                out.extend(reason.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
                out.push(b'\n');
            }
        }
    }

    /// The frame as it goes over the link.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.print(&mut out);
        out
    }
}

/// The first line of a frame.
enum Header {
    Alone(Frame),
    Update { uuid: Uuid, length: usize, route: Option<Route> },
    Found { uuid: Uuid, length: usize },
    Sums { node: Node },
    Records { done: usize, length: usize },
}

impl Header {
    fn parse(line: &[u8]) -> Option<Self> {
        if let Some(reason) = line.strip_prefix(b"BYE ") {
            // A character has four bytes at most. What is none counts as one, or what is shown would be cut anew when it is read.
            let reason = String::from_utf8_lossy(&reason[..reason.len().min(4 * HEADER_SHOWN)]);
            return Some(Self::Alone(Frame::Bye { reason: reason.chars().take(HEADER_SHOWN).collect() }));
        }
        let mut fields = fields(line);
        let header = match fields.next()? {
            b"PING" => Self::Alone(Frame::Ping),
            b"CLIENTAT" => {
                let (uuid, length) = (uuid(fields.next()?)?, length(fields.next()?)?);
                let route = match fields.next() {
                    None => None,
                    Some(name) => Some(Route { source: source(name)?, hops: hops(fields.next()?)? }),
                };
                Self::Update { uuid, length, route }
            }
            b"HAVE" => Self::Alone(Frame::Have { uuids: uuids(&mut fields)? }),
            b"WANT" => Self::Alone(Frame::Want { uuids: uuids(&mut fields)? }),
            b"PRUNE" => Self::Alone(Frame::Prune { source: source(fields.next()?)? }),
            b"GRAFT" => Self::Alone(Frame::Graft { source: source(fields.next()?)? }),
            b"FOUND" => Self::Found { uuid: uuid(fields.next()?)?, length: length(fields.next()?)? },
            b"NOTFOUND" => Self::Alone(Frame::NotFound { uuid: uuid(fields.next()?)? }),
            b"WHICHCLIENT" => {
                Self::Alone(Frame::Which { uuid: uuid(fields.next()?)?, client: fields.next()?.to_vec() })
            }
            b"DIGEST" => Self::Alone(Frame::Digest { root: root(fields.next()?)? }),
            b"SUMS?" => Self::Alone(Frame::AskSums { node: node(fields.next()?)? }),
            b"SUMS" => {
                let node = node(fields.next()?)?;
                length(fields.next()?).filter(|&length| length == SUMS_LENGTH)?;
                Self::Sums { node }
            }
            b"RECORDS?" => Self::Alone(Frame::AskRecords { spans: spans(&mut fields)? }),
            b"RECORDS" => Self::Records { done: length(fields.next()?)?, length: length(fields.next()?)? },
            _ => return None,
        };
        fields.next().is_none().then_some(header)
    }

    /// The frame, with what follows its first line.
    fn with(self, payload: &[u8]) -> Frame {
        match self {
            Self::Alone(frame) => frame,
            Self::Update { uuid, route, .. } => Frame::Update(Update { route, ..Update::new(uuid, payload) }),
            Self::Found { uuid, .. } => {
                Frame::Found { uuid, line: payload.strip_suffix(b"\n").unwrap_or(payload).to_vec() }
            }
            Self::Sums { node } => Frame::Sums { node, sums: sums(payload) },
            Self::Records { done, .. } => Frame::Records { done, lines: payload.to_vec() },
        }
    }

    fn payload_length(&self) -> usize {
        if let Self::Sums { .. } = self { SUMS_LENGTH } else { self.lines_length() }
    }

    /// How long the record lines are that follow.
    fn lines_length(&self) -> usize {
        match self {
            Self::Alone(_) | Self::Sums { .. } => 0,
            Self::Update { length, .. } | Self::Found { length, .. } | Self::Records { length, .. } => {
                *length
            }
        }
    }
}

fn uuid(text: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(text).ok()
}

fn uuids<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Option<Vec<Uuid>> {
    let uuids: Vec<Uuid> = fields.take(UUIDS_MAX + 1).map(uuid).collect::<Option<_>>()?;
    (1..=UUIDS_MAX).contains(&uuids.len()).then_some(uuids)
}

/// The name of a server, which is no longer than a topology allows.
fn source(text: &[u8]) -> Option<String> {
    std::str::from_utf8(text).ok().filter(|name| name.len() <= NAME_MAX).map(str::to_owned)
}

fn hops(text: &[u8]) -> Option<u16> {
    u16::try_from(parse_number(text)?).ok()
}

fn print_node(node: Node, out: &mut Vec<u8>) {
    match node {
        Node::Root => out.push(b'-'),
        Node::Inner(number) => print_number(u64::from(number), out),
    }
}

fn node(text: &[u8]) -> Option<Node> {
    if text == b"-" {
        return Some(Node::Root);
    }
    Some(Node::Inner(u8::try_from(parse_number(text)?).ok()?))
}

fn root(text: &[u8]) -> Option<Root> {
    let is_hexadecimal = text.iter().all(u8::is_ascii_hexdigit);
    Root::from_str_radix(std::str::from_utf8(text).ok().filter(|_| is_hexadecimal)?, 16).ok()
}

/// The sums in some bytes; those that are missing are 0.
fn sums(bytes: &[u8]) -> Box<Sums> {
    let mut sums = Box::new([0; FAN_OUT]);
    for (sum, bytes) in sums.iter_mut().zip(bytes.as_chunks::<SUM_LENGTH>().0) {
        *sum = u64::from_be_bytes(*bytes);
    }
    sums
}

fn spans<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Option<Vec<Span>> {
    let spans: Vec<Span> = fields.take(SPANS_MAX + 1).map(Span::parse).collect::<Option<_>>()?;
    (1..=SPANS_MAX).contains(&spans.len()).then_some(spans)
}

fn length(text: &[u8]) -> Option<usize> {
    usize::try_from(parse_number(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME_MAX: usize = 1 << 20;

    fn all_of(inbox: &mut Inbox) -> Vec<Frame> {
        std::iter::from_fn(|| inbox.next(FRAME_MAX).unwrap()).collect()
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let uuid = any::<u128>().prop_map(Uuid::from_u128);
        let bytes = prop::collection::vec(any::<u8>(), 0..50);
        let client = prop::collection::vec(33_u8..=255, 1..50);
        prop_oneof![
            Just(Frame::Ping),
            (uuid.clone(), bytes.clone()).prop_map(|(uuid, lines)| Frame::Update(Update::new(uuid, lines))),
            (uuid.clone(), bytes.clone(), "[!-~]{1,9}", any::<u16>()).prop_map(
                |(uuid, lines, source, hops)| {
                    let route = Some(Route { source, hops });
                    Frame::Update(Update { route, ..Update::new(uuid, lines) })
                }
            ),
            prop::collection::vec(uuid.clone(), 1..=UUIDS_MAX).prop_map(|uuids| Frame::Have { uuids }),
            prop::collection::vec(uuid.clone(), 1..=UUIDS_MAX).prop_map(|uuids| Frame::Want { uuids }),
            "[!-~]{1,9}".prop_map(|source| Frame::Prune { source }),
            "[!-~]{1,9}".prop_map(|source| Frame::Graft { source }),
            (uuid.clone(), client).prop_map(|(uuid, client)| Frame::Which { uuid, client }),
            (uuid.clone(), bytes).prop_map(|(uuid, line)| Frame::Found { uuid, line }),
            uuid.prop_map(|uuid| Frame::NotFound { uuid }),
            any::<u128>().prop_map(|root| Frame::Digest { root }),
            any_node().prop_map(|node| Frame::AskSums { node }),
            (any_node(), any::<u64>())
                .prop_map(|(node, sum)| Frame::Sums { node, sums: Box::new([sum; FAN_OUT]) }),
            prop::collection::vec(any_span(), 1..=SPANS_MAX).prop_map(|spans| Frame::AskRecords { spans }),
            (any::<u16>(), prop::collection::vec(any::<u8>(), 0..50))
                .prop_map(|(done, lines)| Frame::Records { done: done.into(), lines }),
            "[ -~]{0,40}".prop_map(|reason| Frame::Bye { reason }),
        ]
    }

    fn any_node() -> impl Strategy<Value = Node> {
        prop::option::of(any::<u8>()).prop_map(|number| number.map_or(Node::Root, Node::Inner))
    }

    fn any_span() -> impl Strategy<Value = Span> {
        any::<(u16, u16)>().prop_map(|(a, b)| Span { first: a.min(b), last: a.max(b) })
    }

    #[test]
    fn an_update_is_a_line_and_the_record_lines_after_it() {
        let update = Update::new(Uuid::from_u128(0xabc), b"k +1-2 3 4 A\nl +1-2 3 4 A\n");
        let lines: Vec<&[u8]> = update.lines().collect();
        assert_eq!(lines, [b"k +1-2 3 4 A", b"l +1-2 3 4 A"]);
        let expected = b"CLIENTAT 00000000000000000000000000000abc 26\nk +1-2 3 4 A\nl +1-2 3 4 A\n";
        assert_eq!(Frame::Update(update.clone()).to_bytes(), expected);
        let expected = b"CLIENTAT 00000000000000000000000000000abc 26 Hands 2\nk +1-2 3 4 A\nl +1-2 3 4 A\n";
        let route = Some(Route { source: "Hands".to_owned(), hops: 2 });
        assert_eq!(Frame::Update(Update { route, ..update }).to_bytes(), expected);
    }

    #[test]
    fn the_answer_to_a_search_is_a_line_and_a_record_line_with_its_end() {
        let found = Frame::Found { uuid: Uuid::from_u128(0xabc), line: b"k +1-2 3 4 A".to_vec() };
        assert_eq!(found.to_bytes(), b"FOUND 00000000000000000000000000000abc 13\nk +1-2 3 4 A\n");
        assert_eq!(all_of(&mut Inbox::new(found.to_bytes())), [found]);
    }

    #[test]
    fn what_is_no_frame_ends_the_link() {
        for line in [
            "",
            "IAMAT k +1-2 3",
            "PING 1",
            "CLIENTAT x 5",
            "NOTFOUND",
            "CLIENTAT 00000000000000000000000000000abc -1",
            "CLIENTAT 00000000000000000000000000000abc 0 Hands",
            "CLIENTAT 00000000000000000000000000000abc 0 Hands 65536",
            "CLIENTAT 00000000000000000000000000000abc 0 Hands 1 1",
            &format!("CLIENTAT 00000000000000000000000000000abc 0 {} 1", "x".repeat(NAME_MAX + 1)),
            "HAVE",
            "HAVE 1",
            "WANT 00000000000000000000000000000abc x",
            &format!("HAVE{}", " 00000000000000000000000000000abc".repeat(UUIDS_MAX + 1)),
            "PRUNE",
            "PRUNE a b",
            "GRAFT",
            "WHICHCLIENT 00000000000000000000000000000abc",
            "WHICHCLIENT 00000000000000000000000000000abc a b",
            "DIGEST",
            "DIGEST +1",
            "DIGEST 100000000000000000000000000000000",
            "SUMS? 256",
            "SUMS - 2047",
            "RECORDS?",
            "RECORDS? 65536",
            "RECORDS? 2-1",
            "RECORDS? 1-2-3",
            "RECORDS -1 5",
            &format!("RECORDS?{}", " 1".repeat(SPANS_MAX + 1)),
        ] {
            let mut inbox = Inbox::default();
            inbox.buffer().extend_from_slice(format!("{line}\n").as_bytes());
            let start = line.bytes().take(HEADER_SHOWN).collect();
            assert_eq!(inbox.next(FRAME_MAX), Err(Malformed::Header(start)), "{line}");
        }
    }

    #[test]
    fn what_a_frame_has_besides_record_lines_fits_what_is_left_for_it() {
        let name = "x".repeat(NAME_MAX);
        let (uuid, uuids) = (Uuid::max(), vec![Uuid::max(); UUIDS_MAX]);
        let route = Some(Route { source: name.clone(), hops: u16::MAX });
        let span = Span { first: u16::MAX - 1, last: u16::MAX };
        for frame in [
            Frame::Update(Update { route, ..Update::new(uuid, []) }),
            Frame::Have { uuids: uuids.clone() },
            Frame::Want { uuids },
            Frame::Graft { source: name },
            Frame::Sums { node: Node::Inner(u8::MAX), sums: Box::new([u64::MAX; FAN_OUT]) },
            Frame::AskRecords { spans: vec![span; SPANS_MAX] },
            Frame::Records { done: usize::MAX, lines: Vec::new() },
        ] {
            // The digits of the length of the record lines.
            assert!(frame.to_bytes().len() + 20 <= FRAME_EXTRA, "{frame:?}");
        }
    }

    #[test]
    fn of_a_long_goodbye_the_beginning_is_heard() {
        let mut inbox = Inbox::new([b"BYE ", &[7; 10_000][..], b"\n"].concat());
        let Ok(Some(Frame::Bye { reason })) = inbox.next(FRAME_MAX) else { panic!("it is no goodbye") };
        assert_eq!(reason.len(), HEADER_SHOWN);
        assert_eq!(inbox.next(FRAME_MAX), Ok(None));
        for bytes in [&[0xd1; 1000][..], "\u{1f300}".repeat(200).as_bytes(), "\u{fc}x".repeat(100).as_bytes()]
        {
            let Ok(Some(heard)) = Inbox::new([b"BYE ", bytes, b"\n"].concat()).next(FRAME_MAX) else {
                panic!("{bytes:?} is no goodbye")
            };
            assert_eq!(Inbox::new(heard.to_bytes()).next(FRAME_MAX), Ok(Some(heard)));
        }
    }

    proptest! {
        #[test]
        fn frames_survive_print_and_parse_however_they_are_split(
            frames in prop::collection::vec(any_frame(), 0..6), piece in 1_usize..40,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
            let mut inbox = Inbox::default();
            let mut heard = Vec::new();
            for read in bytes.chunks(piece) {
                inbox.buffer().extend_from_slice(read);
                heard.extend(all_of(&mut inbox));
            }
            prop_assert_eq!(heard, frames);
            prop_assert!(inbox.buffer().is_empty());
        }
    }
}
