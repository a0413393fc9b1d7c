//! The words of the dialects: reading what a neighbour says into records, and saying records its way.

use super::Dialect;
use super::figure::{Figure, receipt, skew};
use crate::decimal::{Nanos, seconds_of};
use crate::fields::fields;
use crate::record::{Record, line_of};
use crate::topology::is_name;
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::fmt;
use uuid::{Builder, Uuid};

/// What a neighbour said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Where a client is.
    Update(Told),
    /// Does anybody know this client?
    Which {
        /// The client asked for.
        client: Vec<u8>,
        /// The search.
        uuid: Uuid,
    },
}

/// A record as a neighbour told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it spoke.
    pub dialect: Dialect,
    /// The record line.
    pub line: Vec<u8>,
    /// How the neighbour wrote what a record does not keep.
    pub spelling: Spelling,
    /// Who has the record already, as far as the message says; the last of them told it, if that is known at all.
    pub holders: Vec<Vec<u8>>,
    /// How exactly the time was written, in nanoseconds.
    time_unit: u128,
    /// How exactly the skew or the time of receipt was written, in nanoseconds.
    second_unit: u128,
}

/// What a message carries besides the record, so that the same record can be said in the same bytes again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// The digits of the skew.
    pub skew: Option<Vec<u8>>,
    /// The UUID under which the update goes round.
    pub uuid: Option<Uuid>,
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No dialect that may be spoken here begins with this word.
    Word,
    /// There are too few fields, or too many, or two differ that must be equal.
    Fields,
    /// The location is none, or a time or the skew is no number.
    Value,
    /// The time of receipt is out of range.
    Receipt,
    /// The server that the client told has a name that no server may have.
    Name,
    /// It is too long or took too long, so that what there is of it may be cut within a number.
    Endless,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word => "its first word is none that may be spoken here",
            Self::Fields => "its fields are not those of its dialect",
            Self::Value => "a location, a time or a skew in it cannot be read exactly",
            Self::Receipt => "its time of receipt is out of range",
            Self::Name => "the name of a server in it is none",
            Self::Endless => "it does not end in time or before the longest line does",
        })
    }
}

/// Reads one message where some dialects may be spoken. Its end may have come with it.
pub fn parse(message: &[u8], spoken: &[Dialect]) -> Result<Speech, Unreadable> {
    let words: Vec<&[u8]> = fields(message).collect();
    let dialect = dialect_of(&words, spoken).ok_or(Unreadable::Word)?;
    let parts = match (dialect, words.as_slice()) {
        (Dialect::Clientat, [b"WHICHCLIENT", client, search]) => {
            return Ok(Speech::Which { client: client.to_vec(), uuid: uuid_of(search) });
        }
        (Dialect::Changeloc, [_, client, location, time, received, server]) => {
            Parts { client, location, time, second: Second::Receipt(received), server }.told(
                dialect,
                None,
                &[],
            )
        }
        (Dialect::Clientat, [b"CLIENTAT", client, location, uuid, skew, time, forwarder]) => {
            let uuid = Some(uuid_of(uuid));
            let parts = Parts { client, location, time, second: Second::Skew(skew), server: forwarder };
            parts.told(dialect, uuid, &[])
        }
        (Dialect::Update, [_, named, b"AT", server, skew, client, location, time]) if named == client => {
            Parts { client, location, time, second: Second::Skew(skew), server }.told(dialect, None, &[])
        }
        (Dialect::Trail | Dialect::At, [_, server, skew, client, location, time, visited @ ..])
            if dialect == Dialect::Trail || visited.is_empty() =>
        {
            Parts { client, location, time, second: Second::Skew(skew), server }.told(dialect, None, visited)
        }
        _ => return Err(Unreadable::Fields),
    };
    parts.map(Speech::Update)
}

/// The dialect of a message. Where both are spoken that begin with `AT`, the one with visited servers is the trail.
fn dialect_of(words: &[&[u8]], spoken: &[Dialect]) -> Option<Dialect> {
    let word = words.first()?;
    let speaks = |dialect: &Dialect| dialect.manners().words.iter().any(|known| known.as_bytes() == *word);
    let is_bare = words.len() <= AT_FIELDS;
    spoken.iter().copied().filter(speaks).max_by_key(|&dialect| (dialect == Dialect::At) == is_bare)
}

/// The fields of a plain `AT`.
const AT_FIELDS: usize = 6;

/// The fields of a record in a message.
struct Parts<'a> {
    client: &'a [u8],
    location: &'a [u8],
    time: &'a [u8],
    second: Second<'a>,
    server: &'a [u8],
}

/// What tells when a server heard of a record.
#[derive(Clone, Copy)]
enum Second<'a> {
    Skew(&'a [u8]),
    Receipt(&'a [u8]),
}

impl Parts<'_> {
    fn told(self, dialect: Dialect, uuid: Option<Uuid>, visited: &[&[u8]]) -> Result<Told, Unreadable> {
        let Self { client, location, time, second, server } = self;
        if !is_name(server) {
            return Err(Unreadable::Name);
        }
        let (figure, text) = match second {
            Second::Skew(text) => (skew(text), Some(text.to_vec())),
            Second::Receipt(text) => (Figure::parse(text), None),
        };
        let (sent, other) = (Figure::parse(time).ok_or(Unreadable::Value)?, figure.ok_or(Unreadable::Value)?);
        let received = match second {
            Second::Skew(_) => receipt(&sent, &other),
            Second::Receipt(_) => other.floor_nanos().and_then(|nanos| Nanos::try_from(nanos).ok()),
        };
        let line = line_of([client, location, time], received.ok_or(Unreadable::Receipt)?, server);
        Record::parse(&line).ok_or(Unreadable::Value)?;
        let holders = std::iter::once(server).chain(visited.iter().copied()).map(<[u8]>::to_vec).collect();
        let spelling = Spelling { skew: text, uuid };
        let (time_unit, second_unit) = (sent.unit_nanos(), other.unit_nanos());
        Ok(Told { dialect, line, spelling, holders, time_unit, second_unit })
    }
}

/// A UUID in any of its spellings; another text stands for the UUID that is made of it.
fn uuid_of(text: &[u8]) -> Uuid {
    Uuid::try_parse_ascii(text).unwrap_or_else(|_| derived(&[text]))
}

/// The UUID that every server makes of the same bytes.
pub fn derived(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// What becomes of a record that a neighbour told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is newer than what is known: the store is to be told.
    News,
    /// It is what is known, perhaps less exactly written: it ends here.
    Known,
    /// Something newer is known: it ends here, and the neighbour may need to be told.
    Stale,
}

impl Told {
    /// The record.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parse(&self.line)
    }

    /// Which of some servers told it, if that can be known: the only one, or the one that the message says.
    pub fn teller<'a>(&self, candidates: &[&'a str]) -> Option<&'a str> {
        if let [only] = candidates {
            return Some(only);
        }
        let says = matches!(self.dialect, Dialect::Trail | Dialect::Clientat);
        let last = self.holders.last().filter(|_| says)?;
        candidates.iter().copied().find(|name| name.as_bytes() == last)
    }

    /// Compares it with what is known of its client.
    pub fn verdict(&self, known: Option<&Record<'_>>) -> Verdict {
        let (Some(told), Some(known)) = (self.record(), known) else { return Verdict::News };
        if self.is_echo(&told, known) {
            return Verdict::Known;
        }
        match told.cmp_age(known) {
            Ordering::Greater => Verdict::News,
            Ordering::Equal => Verdict::Known,
            Ordering::Less => Verdict::Stale,
        }
    }

    /// Whether it is the same check-in as one that is known, less exactly written or under the name of another server.
    ///
    /// Servers of other makes may pass times on through a double, or with fewer digits, and `clientat` servers put their
    /// own names in. Taking such a copy for a record of its own would let one check-in go round between two makes that
    /// correct each other for ever.
    fn is_echo(&self, told: &Record<'_>, known: &Record<'_>) -> bool {
        are_same(told, known, |told, known| {
            told.sent.is_near(&known.sent, self.time_unit)
                && match self.spelling.skew {
                    Some(_) => told.skew().abs_diff(known.skew()) < self.second_unit,
                    None => told.received.is_near(&known.received, self.second_unit),
                }
        })
    }
}

/// Whether two records of one client are of one check-in, as far as a double is exact: only the name of the server
/// that the client told, and digits, may differ.
pub fn is_same_check_in(one: &Record<'_>, other: &Record<'_>) -> bool {
    are_same(one, other, |one, other| {
        one.sent.double == other.sent.double
            && (one.skew() == other.skew() || one.received.double == other.received.double)
    })
}

/// Whether two records are of one place and, by a rule, of the same times.
fn are_same(one: &Record<'_>, other: &Record<'_>, rule: impl Fn(Times, Times) -> bool) -> bool {
    let times = || Times::of(one).zip(Times::of(other));
    one.said.location.degrees() == other.said.location.degrees()
        && times().is_some_and(|(one, other)| rule(one, other))
}

/// When a client said a record, and when the server heard it.
struct Times {
    sent: Moment,
    received: Moment,
}

impl Times {
    fn of(record: &Record<'_>) -> Option<Self> {
        let (sent, received) = (record.said.time.text(), seconds_of(record.received));
        Some(Self { sent: Moment::parse(sent)?, received: Moment::parse(&received)? })
    }

    fn skew(&self) -> i128 {
        self.received.nanos - self.sent.nanos
    }
}

/// A time.
struct Moment {
    nanos: i128,
    /// The double that another make may have made of it, in bits.
    double: u64,
}

impl Moment {
    fn parse(text: &[u8]) -> Option<Self> {
        let double = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?.to_bits();
        Some(Self { nanos: Figure::parse(text)?.floor_nanos()?, double })
    }

    /// Whether it may be another one that is written so exactly, in nanoseconds, or was a double.
    fn is_near(&self, other: &Self, unit: u128) -> bool {
        self.nanos.abs_diff(other.nanos) < unit || self.double == other.double
    }
}

/// One record to be said to one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The record line.
    pub line: Vec<u8>,
    /// How the neighbour's own kind wrote it, if it did.
    pub spelling: Spelling,
    /// What makes it another message than the last with the same record, if it corrects something that was said since.
    pub correction: Option<Uuid>,
}

impl Letter {
    /// Says the record in a dialect, as `here` to `there`; `None` if that server would not read all of it.
    pub fn print(&self, dialect: Dialect, here: &str, there: &str) -> Option<Vec<u8>> {
        let record = Record::parse(&self.line)?;
        let mut out = match dialect {
            Dialect::Changeloc => changeloc(&record),
            Dialect::Trail => return self.trail(&record, here, there),
            Dialect::Clientat => self.clientat(&record, here),
            Dialect::Update => [b"UPDATE ", record.said.client, b" ", &self.at(&record)].concat(),
            Dialect::At => self.at(&record),
        };
        out.extend_from_slice(dialect.manners().end.as_bytes());
        (out.len() <= dialect.manners().read_max).then_some(out)
    }

    fn skew(&self, record: &Record<'_>) -> Vec<u8> {
        self.spelling.skew.clone().unwrap_or_else(|| record.skew())
    }

    fn at(&self, record: &Record<'_>) -> Vec<u8> {
        let skew = self.skew(record);
        [
            b"AT",
            record.server,
            &skew,
            record.said.client,
            record.said.location.text(),
            record.said.time.text(),
        ]
        .join(&b' ')
    }

    fn clientat(&self, record: &Record<'_>, here: &str) -> Vec<u8> {
        let salt = self.correction.as_ref().map_or(&[][..], |uuid| uuid.as_bytes());
        let uuid = self.spelling.uuid.unwrap_or_else(|| derived(&[&self.line, salt]));
        let uuid = uuid.hyphenated().to_string();
        let (skew, location) = (self.skew(record), record.said.location.text());
        let words =
            [b"CLIENTAT", record.said.client, location, uuid.as_bytes(), &skew, record.said.time.text()];
        [&words.join(&b' ')[..], b" ", here.as_bytes()].concat()
    }

    /// The visited are the server that heard the client and this one; the first is left out where there is no room.
    fn trail(&self, record: &Record<'_>, here: &str, there: &str) -> Option<Vec<u8>> {
        let at = self.at(record);
        let is_third = record.server != here.as_bytes() && record.server != there.as_bytes();
        let long = is_third.then(|| [&at, record.server, here.as_bytes()].join(&b' '));
        let short = [&at, here.as_bytes()].join(&b' ');
        let read_max = Dialect::Trail.manners().read_max;
        long.into_iter().chain([short]).find(|message| message.len() <= read_max)
    }
}

fn changeloc(record: &Record<'_>) -> Vec<u8> {
    let received = seconds_of(record.received);
    let words = [
        b"CHANGELOC",
        record.said.client,
        record.said.location.text(),
        record.said.time.text(),
        &received,
        record.server,
    ];
    words.join(&b' ')
}

/// Says the question for a client; `None` if that server cannot be asked, or would not read all of it.
pub fn question(dialect: Dialect, client: &[u8], uuid: Uuid) -> Option<Vec<u8>> {
    let uuid = uuid.hyphenated().to_string();
    let out = [b"WHICHCLIENT", client, uuid.as_bytes()].join(&b' ');
    (dialect.searches() && out.len() <= dialect.manners().read_max).then_some(out)
}

/// The answer to an update, if a dialect has one.
pub fn acknowledgement(dialect: Dialect, is_new: bool) -> Option<&'static [u8]> {
    (dialect == Dialect::Clientat).then_some(if is_new { b"1" } else { b"0" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIWI: &str = "kiwi +34.068930-118.445127 1520023934.918963997 1520023935182837383 Goloman";
    const UUID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

    fn said(line: &str, dialect: Dialect, here: &str, there: &str) -> Option<String> {
        let uuid = Uuid::parse_str(UUID).ok();
        let letter = Letter { line: line.into(), spelling: Spelling { uuid, skew: None }, correction: None };
        letter.print(dialect, here, there).map(|message| String::from_utf8(message).unwrap())
    }

    fn told(message: &str, spoken: &[Dialect]) -> Told {
        match parse(message.as_bytes(), spoken) {
            Ok(Speech::Update(told)) => told,
            other => panic!("{other:?}"),
        }
    }

    fn line(message: &str, dialect: Dialect) -> String {
        String::from_utf8(told(message, &[dialect]).line).unwrap()
    }

    fn verdict(message: &str, dialect: Dialect, known: &str) -> Verdict {
        told(message, &[dialect]).verdict(Record::parse(known.as_bytes()).as_ref())
    }

    #[test]
    fn an_update_is_said_as_the_table_has_it() {
        let at = "Goloman +0.263873386 kiwi +34.068930-118.445127 1520023934.918963997";
        let kiwi = "kiwi +34.068930-118.445127";
        for (dialect, expected) in [
            (
                Dialect::Changeloc,
                format!("CHANGELOC {kiwi} 1520023934.918963997 1520023935.182837383 Goloman\n"),
            ),
            (Dialect::Trail, format!("AT {at} Goloman Ours")),
            (Dialect::Clientat, format!("CLIENTAT {kiwi} {UUID} +0.263873386 1520023934.918963997 Ours")),
            (Dialect::Update, format!("UPDATE kiwi AT {at}")),
            (Dialect::At, format!("AT {at}\n")),
        ] {
            assert_eq!(said(KIWI, dialect, "Ours", "Theirs"), Some(expected));
        }
    }

    #[test]
    fn a_trail_names_this_server_and_the_first_but_never_whom_it_goes_to() {
        let visited = |here, there| said(KIWI, Dialect::Trail, here, there).map(|said| said[71..].to_owned());
        assert_eq!(visited("Ours", "Theirs").as_deref(), Some(" Goloman Ours"));
        assert_eq!(visited("Goloman", "Theirs").as_deref(), Some(" Goloman"));
        assert_eq!(visited("Ours", "Goloman").as_deref(), Some(" Ours"));
    }

    #[test]
    fn what_a_server_would_not_read_to_the_end_is_not_said() {
        let long = |length: usize| format!("{} +34-118 5 6000000000 Goloman", "k".repeat(length));
        let length = |bytes, dialect| said(&long(bytes), dialect, "Ours", "Theirs").map(|said| said.len());
        assert_eq!(length(153, Dialect::Trail), Some(200));
        assert_eq!(length(161, Dialect::Trail), Some(200));
        assert_eq!(length(162, Dialect::Trail), None);
        assert_eq!(length(126, Dialect::Clientat), Some(200));
        assert_eq!(length(127, Dialect::Clientat), None);
        assert!(length(60_000, Dialect::At).is_some_and(|length| length > 60_000));
        assert_eq!(question(Dialect::Clientat, &[b'k'; 151], Uuid::nil()).map(|said| said.len()), Some(200));
        assert_eq!(question(Dialect::Clientat, &[b'k'; 152], Uuid::nil()), None);
    }

    #[test]
    fn an_update_is_read_as_the_table_has_it() {
        let at = "Goloman +0.263873386 kiwi +34.068930-118.445127 1520023934.918963997";
        let kiwi = "kiwi +34.068930-118.445127";
        let changeloc = format!("CHANGELOC {kiwi} 1520023934.918963997 1520023935.182837383 Goloman\n");
        assert_eq!(line(&changeloc, Dialect::Changeloc), KIWI);
        assert_eq!(line(&format!("AT {at} Goloman Hands"), Dialect::Trail), KIWI);
        assert_eq!(line(&format!("UPDATE kiwi AT {at}"), Dialect::Update), KIWI);
        assert_eq!(line(&format!("AT {at}\n"), Dialect::At), KIWI);
        let clientat = format!("CLIENTAT {kiwi} {UUID} +0.263873386 1520023934.918963997 Goloman");
        assert_eq!(line(&clientat, Dialect::Clientat), KIWI);
    }

    #[test]
    fn a_search_is_read_and_said() {
        let search = Uuid::parse_str(UUID).unwrap();
        let text = format!("WHICHCLIENT kiwi {UUID}");
        let expected = Speech::Which { client: b"kiwi".to_vec(), uuid: search };
        assert_eq!(parse(text.as_bytes(), &[Dialect::Clientat]), Ok(expected));
        assert_eq!(question(Dialect::Clientat, b"kiwi", search).as_deref(), Some(text.as_bytes()));
        assert_eq!(question(Dialect::At, b"kiwi", search), None);
        let odd = parse(b"WHICHCLIENT kiwi no-uuid", &[Dialect::Clientat]);
        assert_eq!(odd, Ok(Speech::Which { client: b"kiwi".to_vec(), uuid: derived(&[b"no-uuid"]) }));
    }

    #[test]
    fn numbers_with_any_digits_or_an_exponent_are_read_exactly() {
        assert_eq!(line("AT P +1e-05 k +1-2 5", Dialect::At), "k +1-2 5 5000010000 P");
        assert_eq!(line("AT P -0.5 k +1-2 5.25", Dialect::At), "k +1-2 5.25 4750000000 P");
        assert_eq!(line("AT P +0.26387333869934082 k +1-2 5", Dialect::At), "k +1-2 5 5263873338 P");
        let changeloc = "CHANGELOC k +1-2 5 1520023935.1828373830001 P";
        assert_eq!(line(changeloc, Dialect::Changeloc), "k +1-2 5 1520023935182837383 P");
    }

    #[test]
    fn what_cannot_be_read_exactly_is_refused() {
        for (text, why) in [
            ("", Unreadable::Word),
            ("IAMAT k +1-2 5", Unreadable::Word),
            ("AT", Unreadable::Fields),
            ("AT P +1 k +1-2", Unreadable::Fields),
            ("UPDATE k AT P +1 l +1-2 5", Unreadable::Fields),
            ("UPDATE k at P +1 k +1-2 5", Unreadable::Fields),
            ("CHANGELOC k +1-2 5 6", Unreadable::Fields),
            ("CLIENTAT k +1-2 u +1 5", Unreadable::Fields),
            ("WHICHCLIENT k", Unreadable::Fields),
            ("AT P nan k +1-2 5", Unreadable::Value),
            ("AT P +1 k 1-2 5", Unreadable::Value),
            ("AT P +1 k +91-2 5", Unreadable::Value),
            ("AT P +1 k +1-2 5e0", Unreadable::Value),
            ("AT P +9 k +1-2 -5", Unreadable::Value),
            ("AT P -6 k +1-2 5", Unreadable::Receipt),
            ("CHANGELOC k +1-2 5 99999999999999999999 P", Unreadable::Receipt),
            ("AT \u{1b}[31m +1 k +1-2 5", Unreadable::Name),
            (&format!("CLIENTAT k +1-2 u +1 5 {}", "x".repeat(65)), Unreadable::Name),
            ("CHANGELOC k +1-2 5 6 a/b", Unreadable::Name),
        ] {
            assert_eq!(parse(text.as_bytes(), &Dialect::ALL), Err(why), "{text}");
        }
        assert_eq!(parse(b"AT P +1 k +1-2 5 P", &[Dialect::At]), Err(Unreadable::Fields));
    }

    #[test]
    fn where_both_are_spoken_the_visited_tell_a_trail_from_a_bare_at() {
        let both = [Dialect::At, Dialect::Trail];
        assert_eq!(told("AT P +1 k +1-2 5", &both).dialect, Dialect::At);
        assert_eq!(told("AT P +1 k +1-2 5 P", &both).dialect, Dialect::Trail);
        assert_eq!(told("AT P +1 k +1-2 5", &[Dialect::Trail]).dialect, Dialect::Trail);
    }

    #[test]
    fn who_told_is_the_only_candidate_or_the_one_the_message_says() {
        let trail = told("AT P +1 k +1-2 5 P Q", &[Dialect::Trail]);
        assert_eq!(trail.teller(&["P", "Q"]), Some("Q"));
        assert_eq!(trail.teller(&["P"]), Some("P"));
        assert_eq!(trail.teller(&["P", "R"]), None);
        let clientat = told("CLIENTAT k +1-2 u +1 5 P", &[Dialect::Clientat]);
        assert_eq!(clientat.teller(&["P", "Q"]), Some("P"));
        let at = told("AT P +1 k +1-2 5", &[Dialect::At]);
        assert_eq!((at.teller(&["P", "Q"]), at.teller(&["Q"])), (None, Some("Q")));
    }

    #[test]
    fn the_total_order_decides_what_is_news() {
        let message = "AT P +1 k +1-2 5 P";
        assert_eq!(told(message, &[Dialect::Trail]).verdict(None), Verdict::News);
        assert_eq!(verdict(message, Dialect::Trail, "k +1-2 4 9 P"), Verdict::News);
        assert_eq!(verdict(message, Dialect::Trail, "k +1-2 6 9 P"), Verdict::Stale);
        assert_eq!(verdict(message, Dialect::Trail, "k +1-2 5 6000000000 P"), Verdict::Known);
        assert_eq!(verdict(message, Dialect::Trail, "k +1-1 5 6000000000 P"), Verdict::News);
    }

    #[test]
    fn a_check_in_that_comes_back_less_exact_is_no_other() {
        for (skew, time) in [
            ("+0.263873386", "1520023934.918964"),
            ("+0.26387338600000003", "1520023934.918964"),
            ("+0.264", "1520023934.92"),
            ("+0.263873", "1520023935"),
        ] {
            let message = format!("AT Goloman {skew} kiwi +34.06893-118.445127 {time}");
            assert_eq!(verdict(&message, Dialect::At, KIWI), Verdict::Known, "{message}");
        }
        let renamed = "AT Hands +0.263873386 kiwi +34.06893-118.445127 1520023934.918964";
        assert_eq!(verdict(renamed, Dialect::At, KIWI), Verdict::Known);
        for (server, skew, place, time) in [
            ("Hands", "+0.263873387", "+34.06893-118.445127", "1520023934.918964"),
            ("Goloman", "+0.263873387", "+34.06893-118.445127", "1520023934.918964"),
            ("Goloman", "+0.263873386", "+34.06894-118.445127", "1520023934.918964"),
            ("Goloman", "+0.263873386", "+34.06893-118.445127", "1520023934.919965"),
        ] {
            let message = format!("AT {server} {skew} kiwi {place} {time}");
            assert_eq!(verdict(&message, Dialect::At, KIWI), Verdict::News, "{message}");
        }
        let forwarded =
            format!("CLIENTAT kiwi +34.06893-118.445127 {UUID} +0.263873386 1520023934.918964 Hands");
        assert_eq!(verdict(&forwarded, Dialect::Clientat, KIWI), Verdict::Known);
        let received = "CHANGELOC kiwi +34.06893-118.445127 1520023934.918964 1520023935.1828375 Goloman";
        assert_eq!(verdict(received, Dialect::Changeloc, KIWI), Verdict::Known);
    }

    /// Servers of several versions may tell one neighbour, which throws away what it has seen the UUID of.
    #[test]
    fn the_uuid_of_a_record_that_came_without_one_never_changes() {
        let uuids = [None, Uuid::parse_str(UUID).ok()].map(|correction| {
            let letter = Letter { line: KIWI.into(), spelling: Spelling::default(), correction };
            let said = letter.print(Dialect::Clientat, "Ours", "Theirs").unwrap();
            String::from_utf8(said).unwrap().split(' ').nth(3).unwrap().to_owned()
        });
        assert_eq!(uuids, ["e6c7775a-a385-481c-8a1c-36983f814c8a", "6321cc45-c917-4954-9836-fbda1f7405ed"]);
    }

    #[test]
    fn only_clientat_answers_an_update() {
        assert_eq!(acknowledgement(Dialect::Clientat, true), Some(&b"1"[..]));
        assert_eq!(acknowledgement(Dialect::Clientat, false), Some(&b"0"[..]));
        assert_eq!(acknowledgement(Dialect::At, true), None);
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_panic(message: Vec<u8>, text in "(AT|UPDATE|CLIENTAT|CHANGELOC|WHICHCLIENT)( [!-~]{0,12}){0,9}") {
            let _ = (parse(&message, &Dialect::ALL), parse(text.as_bytes(), &Dialect::ALL));
        }

        #[test]
        fn a_record_survives_every_dialect(
            client in "[!-~]{1,30}", time in "[0-9]{1,20}(\\.[0-9]{1,12})?", received: u64, server in "[A-Z][a-z]{0,9}",
            at in 0..5_usize,
        ) {
            let dialect = Dialect::ALL[at];
            let line = format!("{client} +34.068930-118.445127 {time} {received} {server}");
            let letter = Letter { line: line.clone().into_bytes(), spelling: Spelling::default(), correction: None };
            let message = letter.print(dialect, &server, "Theirs").unwrap();
            let Ok(Speech::Update(told)) = parse(&message, &[dialect]) else { panic!("{message:?}") };
            prop_assert_eq!(told.verdict(Record::parse(line.as_bytes()).as_ref()), Verdict::Known);
            prop_assert_eq!(String::from_utf8(told.line).unwrap(), line);
        }
    }
}
