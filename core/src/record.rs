//! One record: what a client said ([`CheckIn`]), which server heard it, and when. And which of two is the newer.
//!
//! A check-in is what the client said. Told to two servers it is two records, of which one is the newer. A record line that
//! is kept alone has no end; where there may be several in one buffer, each has.

use crate::checkin::CheckIn;
use crate::decimal::{
    Decimal, NANOS_PER_SECOND, Nanos, compare_with_nanos, number_length, print_number, print_skew,
    scan_number,
};
use crate::faults::{self, Fault};
use crate::fields::fields;
use crate::topology::NAME_MAX;
use memchr::memchr;
use std::cmp::Ordering;

/// How far a client's clock may be ahead of the receiving server's before its time is not believed, in seconds.
///
/// It is part of the order that all servers must share, so it is no setting.
pub const FUTURE_MAX_S: u64 = 300;

/// The most that the receipt adds to what a client said: a time of 20 digits and a name, with a space before each.
pub const RECEIPT_MAX: usize = 22 + NAME_MAX;

/// A client's check-in as one server heard it. Borrowed: the store and the wire own the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the client said.
    pub said: CheckIn<'a>,
    /// When the server heard it, by the server's clock.
    pub received: Nanos,
    /// The name of the server that the client told.
    pub server: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record line, `<client> <location> <time> <received> <server>`, without its end.
    ///
    /// This is the one validator for what a neighbour or a file says; it asks no less than is asked of a client. How long
    /// a neighbour's line may be, and what its server may be called, is up to whoever hears it.
    #[inline]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = fields(line);
        let said = CheckIn::read(&mut fields)?;
        let received = fields.read(scan_number)?;
        let server = fields.next()?;
        fields.is_over().then_some(Self { said, received, server })
    }

    /// Appends the record line that [`Record::parse`] reads, with a line feed.
    pub fn print(&self, out: &mut Vec<u8>) {
        self.said.print(out);
        print_receipt(self.received, self.server, out);
    }

    /// The same with the line at hand that it was read from, which mostly need only be copied.
    pub(crate) fn print_again(&self, line: &[u8], out: &mut Vec<u8>) {
        if self.is_written_as(line) {
            out.extend_from_slice(line);
            out.push(b'\n');
        } else {
            self.print(out);
        }
    }

    /// True for the line that [`Record::print`] appends, of all that the record can be read from: one byte between two
    /// fields is all that there is room for, and it is a space.
    fn is_written_as(&self, line: &[u8]) -> bool {
        let first = self.said.length();
        let second = line.len().checked_sub(self.server.len() + 1);
        self.said.is_written_plainly()
            && self.line_bytes() == line.len() as u64 + 1
            && line.get(first) == Some(&b' ')
            && second.and_then(|second| line.get(second)) == Some(&b' ')
    }

    /// How long the line is that [`Record::print`] appends, with its line feed.
    pub fn line_bytes(&self) -> u64 {
        line_bytes(self.said.length(), self.received, self.server)
    }

    /// Appends the answer to a client, `AT <server> <skew> <client> <location> <time>`, with a line feed.
    pub fn print_at(&self, out: &mut Vec<u8>) {
        print_voice(self.server, out);
        self.print_at_end(out);
    }

    /// Appends what is behind [`print_voice`] in the answer to a client.
    #[inline]
    pub(crate) fn print_at_end(&self, out: &mut Vec<u8>) {
        print_skew(self.received, self.said.time.value(), out);
        out.push(b' ');
        self.said.print(out);
        out.push(b'\n');
    }

    /// The server's time of receipt minus the client's time, as an answer to a client has it.
    pub(crate) fn skew(&self) -> Vec<u8> {
        let mut skew = Vec::new();
        print_skew(self.received, self.said.time.value(), &mut skew);
        skew
    }

    /// Compares two records of one client by age, the newer being the greater: one total order on every server.
    ///
    /// Effective time, then receipt time, server, client time, and last the bytes of time and location, so that
    /// two records are equal only if they are the same.
    #[must_use]
    pub fn cmp_age(&self, other: &Record<'_>) -> Ordering {
        self.effective()
            .cmp(&other.effective())
            .then_with(|| self.received.cmp(&other.received))
            .then_with(|| self.server.cmp(other.server))
            .then_with(|| self.said.time.value().cmp(&other.said.time.value()))
            .then_with(|| self.cmp_bytes(other))
    }

    /// Compares what is left to tell two records apart: the bytes of time and location.
    fn cmp_bytes(&self, other: &Record<'_>) -> Ordering {
        if faults::is_on(Fault::ComparesNumbersOnly) {
            return Ordering::Equal;
        }
        self.said
            .time
            .text()
            .cmp(other.said.time.text())
            .then_with(|| self.said.location.text().cmp(other.said.location.text()))
    }

    /// The client's time, unless that is too far ahead of the clock of the server that heard it.
    fn effective(&self) -> Effective<'a> {
        let sent = self.said.time.value();
        let is_ahead = is_ahead(self.received, |latest| compare_with_nanos(sent, latest).is_gt());
        if is_ahead { Effective::Received(self.received) } else { Effective::Sent(sent) }
    }
}

/// Splits record lines at their ends; empty ones are left out.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let lines = std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let (line, behind) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |end| end + 1));
            rest = behind;
            line.strip_suffix(b"\n").unwrap_or(line)
        })
    });
    lines.filter(|line| !line.is_empty())
}

/// Splits record lines into pieces, each of which ends with the line that brings it to `bytes` at least.
pub fn pieces(lines: &[u8], bytes: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let last = rest.get(bytes.saturating_sub(1)..).and_then(|behind| memchr(b'\n', behind));
        let (piece, behind) = rest.split_at(last.map_or(rest.len(), |last| bytes.max(1) + last));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Appends the end of a record line: who heard the client, and when.
pub(crate) fn print_receipt(received: Nanos, server: &[u8], out: &mut Vec<u8>) {
    out.push(b' ');
    print_number(received, out);
    out.push(b' ');
    out.extend_from_slice(server);
    out.push(b'\n');
}

/// The record line, without its end, of a client ID, a location and a time as they are written.
pub(crate) fn line_of(said: [&[u8]; 3], received: Nanos, server: &[u8]) -> Vec<u8> {
    let mut line = said.join(&b' ');
    print_receipt(received, server, &mut line);
    line.pop();
    line
}

/// Appends the beginning of an answer to a client: who speaks.
pub(crate) fn print_voice(server: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"AT ");
    out.extend_from_slice(server);
    out.push(b' ');
}

/// How long a record line is, with its line feed, in which a check-in has a length.
pub(crate) fn line_bytes(said: usize, received: Nanos, server: &[u8]) -> u64 {
    (said + number_length(received) + server.len() + 3) as u64
}

/// What decides first which of two records is the newer, where the client's time is a number of nanoseconds: the
/// client's time, unless it is too far ahead, and the receipt. Only between equals need more be looked at.
pub(crate) fn rank(sent: Nanos, received: Nanos) -> (Nanos, Nanos) {
    if is_ahead(received, |latest| sent > latest) { (received, received) } else { (sent, received) }
}

/// True if a time, such as a client's, is too far ahead of the receipt to be believed, where `is_over` tells if it is over a time.
#[inline]
pub(crate) fn is_ahead(received: Nanos, is_over: impl FnOnce(Nanos) -> bool) -> bool {
    is_over(received.saturating_add(FUTURE_MAX_S * NANOS_PER_SECOND)) && !faults::is_on(Fault::BelievesFuture)
}

/// The time that decides which record is the newer.
#[derive(Clone, Copy)]
enum Effective<'a> {
    Sent(Decimal<'a>),
    Received(Nanos),
}

impl Effective<'_> {
    fn cmp(&self, other: &Effective<'_>) -> Ordering {
        match (*self, *other) {
            (Self::Sent(a), Effective::Sent(b)) => a.cmp(&b),
            (Self::Sent(a), Effective::Received(b)) => compare_with_nanos(a, b),
            (Self::Received(a), Effective::Sent(b)) => compare_with_nanos(b, a).reverse(),
            (Self::Received(a), Effective::Received(b)) => a.cmp(&b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(line: &str) -> Record<'_> {
        Record::parse(line.as_bytes()).unwrap()
    }

    fn newer(a: &str, b: &str) {
        assert_eq!(record(a).cmp_age(&record(b)), Ordering::Greater, "{a} against {b}");
        assert_eq!(record(b).cmp_age(&record(a)), Ordering::Less, "{b} against {a}");
    }

    #[test]
    fn an_answer_carries_the_clients_own_bytes() {
        let mut out = Vec::new();
        record("kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 1520023935182837383 Goloman")
            .print_at(&mut out);
        assert_eq!(
            out,
            b"AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n"
        );
    }

    #[test]
    fn the_later_client_time_is_the_newer_to_the_last_decimal() {
        newer("k +0+0 5.0000000000000000001 9 A", "k +0+0 5 9 A");
        newer("k +0+0 10 10000000000 A", "k +0+0 9.999999999 99000000000 B");
    }

    #[test]
    fn equal_client_times_go_by_receipt_then_server_then_bytes() {
        newer("k +0+0 5 2 A", "k +0+0 5 1 B");
        newer("k +0+0 5 1 B", "k +0+0 5 1 A");
        newer("k +0+0 5.00 1 A", "k +0+0 5.0 1 A");
        newer("k +1+0 5 1 A", "k +0+0 5 1 A");
    }

    #[test]
    fn a_time_over_300_s_ahead_counts_as_the_time_of_receipt() {
        newer("k +0+0 1001 1001000000000 A", "k +0+0 2208988800 1000000000000 A");
        newer("k +0+0 1300 1000000000000 A", "k +0+0 1301 1000500000000 A");
        newer("k +0+0 1300.000000001 1000000000000 A", "k +0+0 1000 1000000000000 A");
        newer("k +0+0 1300 1000000000000 A", "k +0+0 1300.0000000001 1000000000000 A");
    }

    #[test]
    fn a_record_line_has_five_fields_that_all_hold() {
        for line in ["", "k", "k +0+0 5 1", "k +0+0 5 1 A B", "k 0+0 5 1 A", "k +0+0 x 1 A", "k +0+0 5 -1 A"]
        {
            assert_eq!(Record::parse(line.as_bytes()), None, "{line}");
        }
    }

    /// Records of one client that differ in little, so that every rule of the order is reached.
    fn close_records() -> impl Strategy<Value = String> {
        let time = prop::sample::select(vec![
            "0",
            "0.0",
            "1",
            "1.00",
            "1.0000000001",
            "301",
            "302",
            "99999999999999999999",
        ]);
        let received = prop::sample::select(vec![0_u64, 1, 1_000_000_000, 2_000_000_000]);
        let location = prop::sample::select(vec!["+0+0", "+0-0"]);
        let server = prop::sample::select(vec!["A", "B"]);
        (location, time, received, server).prop_map(|(l, t, r, s)| format!("k {l} {t} {r} {s}"))
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_print_back(line: Vec<u8>) {
            if let Some(record) = Record::parse(&line) {
                let (mut printed, mut copied) = (Vec::new(), Vec::new());
                record.print(&mut printed);
                record.print_again(&line, &mut copied);
                prop_assert_eq!(&printed, &copied);
                prop_assert_eq!(Record::parse(&printed[..printed.len() - 1]), Some(record));
            }
        }

        #[test]
        fn a_record_is_copied_only_from_what_would_be_printed(
            record in close_records(),
            spaces in prop::collection::vec(prop::sample::select(vec![" ", " ", " ", "\t", "  "]), 4),
            (start, end) in ("[ 0]?", " ?"),
        ) {
            let words: Vec<&str> = record.split(' ').collect();
            let line = format!(
                "{}{}{}{}{}{}{start}{}{}{}{end}",
                words[0], spaces[0], words[1], spaces[1], words[2], spaces[2], words[3], spaces[3], words[4]
            );
            let record = Record::parse(line.as_bytes()).unwrap();
            let (mut printed, mut copied) = (Vec::new(), Vec::new());
            record.print(&mut printed);
            record.print_again(line.as_bytes(), &mut copied);
            prop_assert_eq!(copied, printed);
        }

        #[test]
        fn pieces_are_all_lines_and_no_longer_than_need_be(
            words in prop::collection::vec("[a-z]{0,9}", 0..20), bytes in 0_usize..40,
        ) {
            let lines: String = words.iter().flat_map(|word| [word, "\n"]).collect();
            let cut: Vec<&[u8]> = pieces(lines.as_bytes(), bytes).collect();
            prop_assert_eq!(cut.concat(), lines.as_bytes());
            for piece in &cut {
                prop_assert!(piece.ends_with(b"\n") && piece.len() < bytes.max(1) + 10);
            }
            prop_assert!(cut.iter().rev().skip(1).all(|piece| piece.len() >= bytes));
        }

        #[test]
        fn the_order_is_total(a in close_records(), b in close_records(), c in close_records()) {
            let (a, b, c) = (record(&a), record(&b), record(&c));
            prop_assert_eq!(a.cmp_age(&b), b.cmp_age(&a).reverse());
            prop_assert_eq!(a.cmp_age(&b) == Ordering::Equal, a == b);
            if a.cmp_age(&b).is_le() && b.cmp_age(&c).is_le() {
                prop_assert!(a.cmp_age(&c).is_le());
            }
        }
    }
}
