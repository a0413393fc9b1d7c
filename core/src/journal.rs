//! What a server writes to disk: one record to a line, with a checksum before it.
//!
//! ```text
//! <checksum of the record line, 8 hexadecimal digits> <client> <location> <time> <received> <server>
//! ```
//!
//! The checksum is the lower half of the line's XXH3 (the 64-bit hash of xxHash 0.8, without a seed). In the files of older
//! programs it is the line's CRC-32C, which is read as well.
//!
//! A log and a snapshot look the same; a log is only longer. Reading goes on behind what is damaged: a flipped bit
//! costs one record, and one that was flipped in a line's end costs none.
//!
//! Whoever is killed in the middle of a write leaves the beginning of it, as far as some page of the file, and no more. Such
//! a line at the end was told to nobody, and is no damage.
//!
//! A snapshot ends with [`END`]: one without was cut. A log that is appended to may have *filling* behind it: empty lines,
//! which are written ahead so that appends find their pages, and then [`END`]. A log may also be written over another. Then
//! [`END`] follows it, perhaps behind filling, and behind that is what is left of the other. Where the mark was lost with
//! the power, that is read as well, which costs time and nothing else: it is what a snapshot has taken the place of.

use crate::faults::{self, Fault};
use crate::record;
use crate::word::each;
use memchr::memchr;
use xxhash_rust::xxh3::xxh3_64;

/// Appends entries for some record lines, each of which ends with a line feed.
pub fn print_entries(lines: &[u8], out: &mut Vec<u8>) {
    for record in record::lines(lines) {
        print_entry(out, |out| {
            out.extend_from_slice(record);
            out.push(b'\n');
        });
    }
}

/// Appends the entry for a record line, which `print` appends with its end. Returned is that line.
#[inline]
pub fn print_entry(out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
    let start = out.len();
    out.extend_from_slice(&[b' '; CHECKSUM + 1]);
    print(out);
    let (checksum, line) = out[start..].split_at_mut(CHECKSUM + 1);
    let record = line.split_last().map_or(&[][..], |(_, record)| record);
    checksum[..CHECKSUM].copy_from_slice(&hex(checksum_of(record)));
    line
}

/// Ends a snapshot, and a log that has filling or the rest of another log behind it: an entry of no record, with the
/// checksum that older programs look for.
pub const END: &[u8] = b"afc15d22 end\n";

/// How long the entries of so many records are, whose lines have so many bytes with their ends.
pub fn entries_length(records: u64, bytes: u64) -> u64 {
    bytes + records * (CHECKSUM as u64 + 1)
}

/// Reads entries piece by piece and passes over what is damaged.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Bytes before that.
    read: u64,
    /// True after a line that was torn off, if nothing follows it.
    is_torn: bool,
    summary: Summary,
}

/// A write that is broken off has written whole pages, each of so many bytes or a multiple of that.
const PAGE: u64 = 4096;

/// What a file of entries turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were read.
    pub entries: u64,
    /// Lines in which something was damaged. They are lost but for the entries that could be told apart.
    pub damaged: u64,
    /// Lines at the end of a file that were not written to their end. In the last log of a server that was killed nobody
    /// was told of them.
    pub torn: u64,
    /// True if [`END`] was found: nothing that follows was looked at.
    pub has_end: bool,
    /// Bytes that are worth keeping: what is behind them was torn off or is filling or of another log, and is to be cut.
    pub length: u64,
    /// True if the last of those lacks its line's end, which must be appended first.
    pub lacks_end: bool,
}

impl Summary {
    /// The same of a file that was written to its end: what is torn was cut off later.
    #[must_use]
    pub fn of_old(self) -> Self {
        Self { damaged: self.damaged + self.torn, torn: 0, ..self }
    }

    /// Adds another file's.
    pub fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.damaged += other.damaged;
        self.torn += other.torn;
    }
}

impl Recovery {
    /// Reads some more bytes; `each` is given every record line, without its end.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        if self.summary.has_end {
            return;
        }
        while let Some(end) = memchr(b'\n', bytes) {
            self.rest.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.read += self.rest.len() as u64 + 1;
            if self.rest == END.trim_ascii_end() {
                self.rest.clear();
                self.summary.has_end = true;
                return;
            }
            if !self.rest.is_empty() {
                self.end_line(&mut each);
            }
        }
        self.rest.extend_from_slice(bytes);
    }

    /// True if nothing that follows belongs to the file.
    pub fn has_ended(&self) -> bool {
        self.summary.has_end
    }

    /// Ends the file. A last line without an end is kept if there is an entry in it.
    pub fn finish(mut self, mut each: impl FnMut(&[u8])) -> Summary {
        let length = self.rest.len() as u64;
        if length > 0 {
            self.settle();
            let taken = self.take_line(&mut each);
            self.is_torn = taken == Taken::Nothing;
            if !self.is_torn {
                self.keep(taken, self.read + length);
                self.summary.lacks_end = true;
            }
        }
        self.summary.torn = u64::from(self.is_torn);
        self.summary
    }

    /// Reads a line that has an end. Where it was torn off, that is the first byte of the filling.
    fn end_line(&mut self, each: &mut impl FnMut(&[u8])) {
        self.settle();
        let taken = self.take_line(each);
        self.is_torn = taken == Taken::Nothing && (self.read - 1).is_multiple_of(PAGE);
        if !self.is_torn {
            self.keep(taken, self.read);
        }
    }

    /// Counts a line as part of the file, which is so long with it.
    fn keep(&mut self, taken: Taken, length: u64) {
        self.summary.length = length;
        self.summary.damaged += u64::from(taken != Taken::Whole);
    }

    /// Counts a line that seemed torn off as damaged, since another follows it.
    fn settle(&mut self) {
        self.summary.damaged += u64::from(std::mem::take(&mut self.is_torn));
    }

    /// Reads a line and counts the entries in it.
    fn take_line(&mut self, each: &mut impl FnMut(&[u8])) -> Taken {
        let (taken, entries) = match record_of(&self.rest) {
            Some(record) => {
                each(record);
                (Taken::Whole, 1)
            }
            None => match salvage(&self.rest, each) {
                0 => (Taken::Nothing, 0),
                entries => (Taken::Part, entries),
            },
        };
        self.summary.entries += entries;
        self.rest.clear();
        taken
    }
}

/// What was in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// One entry, and nothing else.
    Whole,
    /// Entries beside what was damaged.
    Part,
    /// No entry.
    Nothing,
}

/// The record line of an entry, if the checksum is that of the line.
fn record_of(entry: &[u8]) -> Option<&[u8]> {
    let (digits, record) = entry.split_at_checked(CHECKSUM)?;
    let record = record.strip_prefix(b" ")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None; // A line of megabytes is no file of ours; it is not summed at each of its spaces.
    }
    let is_whole = digits == hex(checksum_of(record))
        || digits == hex(crc32c::crc32c(record))
        || faults::is_on(Fault::TrustsDamage);
    // The CRC of nothing is zeros, which a disk may well hold; nothing is no record.
    (!record.is_empty() && is_whole).then_some(record)
}

/// The checksum of a record line. Of 90 bytes a CRC takes three times as long: each step of it waits for the one before.
#[inline]
fn checksum_of(record: &[u8]) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(record).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Finds entries within a damaged line: where a line's end was damaged, two entries stand in one line.
fn salvage(line: &[u8], each: &mut impl FnMut(&[u8])) -> u64 {
    let whole = (1..line.len()).find_map(|at| Some((at, record_of(line.get(at..)?)?)));
    let Some((at, second)) = whole else { return 0 };
    let first = record_of(&line[..at - 1]);
    first.into_iter().chain([second]).map(each).count() as u64
}

/// Hexadecimal digits of a checksum.
const CHECKSUM: usize = 8;

fn hex(checksum: u32) -> [u8; CHECKSUM] {
    // The eight digits are moved apart until each is alone in its byte, halves first.
    let halves = u64::from(checksum);
    let quarters = (halves | (halves << 16)) & 0x0000_ffff_0000_ffff;
    let bytes = (quarters | (quarters << 8)) & 0x00ff_00ff_00ff_00ff;
    let digits = (bytes | (bytes << 4)) & each(0x0f);
    // Those over 9, which 6 more carry over 15, are letters.
    let letters = ((digits + each(6)) >> 4) & each(1);
    (digits + each(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Summary) {
        let mut lines = Vec::new();
        let mut recovery = Recovery::default();
        for read in bytes.chunks(piece) {
            recovery.feed(read, |line| lines.push(line.to_vec()));
        }
        let summary = recovery.finish(|line| lines.push(line.to_vec()));
        (lines, summary)
    }

    fn file(lines: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        print_entries(
            &lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect::<Vec<u8>>(),
            &mut bytes,
        );
        bytes
    }

    fn any_lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = any::<u8>().prop_map(|byte| if byte == b'\n' { b' ' } else { byte });
        prop::collection::vec(prop::collection::vec(byte, 1..30), 1..12)
    }

    #[test]
    fn an_entry_is_a_checksum_and_a_record_line() {
        for checksum in [0, 1, 0x0123_4567, 0x89ab_cdef, 0xa0f9_9f0a, u32::MAX] {
            assert_eq!(hex(checksum), format!("{checksum:08x}").as_bytes());
        }
        // `printf 123456789 | xxhsum -H3` says 72dcb18b67a17dff.
        assert_eq!(file(&[b"123456789".to_vec()]), b"67a17dff 123456789\n");
    }

    #[test]
    fn entries_of_older_programs_have_another_checksum_and_are_read() {
        // The check value of CRC-32C in RFC 3720, appendix B.4, for 32 bytes of zeros is aa36918a, least byte first.
        assert_eq!(hex(crc32c::crc32c(&[0; 32])), *b"8a9136aa");
        let (lines, summary) =
            read(b"e3069283 123456789\n67a17dff 123456789\ne3069283 12345678\n00000000 \n", 100);
        assert_eq!(lines, [b"123456789"; 2]);
        assert_eq!((summary.entries, summary.damaged), (2, 2));
    }

    #[test]
    fn entries_and_damage_of_several_files_add_up_and_their_ends_do_not() {
        let mut whole = Summary { entries: 2, damaged: 3, torn: 1, ..Summary::default() };
        let other = Summary { entries: 5, damaged: 7, torn: 1, has_end: true, length: 11, lacks_end: true };
        whole.add(other);
        assert_eq!(whole, Summary { entries: 7, damaged: 10, torn: 2, ..Summary::default() });
        assert_eq!(other.of_old(), Summary { damaged: 8, torn: 0, ..other });
    }

    #[test]
    fn a_torn_tail_is_cut_and_is_no_damage() {
        let mut bytes = file(&[b"first".to_vec(), b"second".to_vec()]);
        bytes.truncate(bytes.len() - 3);
        let (lines, summary) = read(&bytes, 100);
        assert_eq!(lines, [b"first"]);
        assert_eq!(summary, Summary { entries: 1, torn: 1, length: 15, ..Summary::default() });
    }

    /// Of a write that is broken off a server that was killed leaves whole pages, and behind them its filling.
    #[test]
    fn what_was_torn_at_the_end_of_a_page_is_cut_and_is_no_damage_but_at_the_end_alone() {
        let first = file(&[vec![b'x'; 4000]]);
        let torn = &file(&[vec![b'y'; 200]])[..4096 - first.len()];
        let summary = |rest: &[u8]| read(&[&first, torn, rest].concat(), 100).1;
        let whole = Summary { entries: 1, length: first.len() as u64, ..Summary::default() };
        assert_eq!(summary(b"\n\n\n"), Summary { torn: 1, ..whole });
        assert_eq!(summary(&[b"\n", END].concat()), Summary { torn: 1, has_end: true, ..whole });
        let followed = [b"\n", &first[..]].concat();
        let length = 4097 + first.len() as u64;
        assert_eq!(summary(&followed), Summary { entries: 2, damaged: 1, length, ..whole });
        let damaged = read(&[&first, &torn[1..], b"\n\n"].concat(), 100).1;
        assert_eq!(damaged, Summary { damaged: 1, length: 4096, ..whole }, "it ends within a page");
    }

    /// A server that is killed leaves the filling of its log.
    #[test]
    fn filling_is_cut_and_is_no_damage() {
        let first = file(&[b"first".to_vec()]);
        let filled = [&first[..], b"\n\n\n"].concat();
        let whole = Summary { entries: 1, length: 15, ..Summary::default() };
        assert_eq!(read(&filled, 4), (vec![b"first".to_vec()], whole));
        let torn = [&filled[..], &first[..3], b"\n\n"].concat();
        assert_eq!(read(&torn, 4), (vec![b"first".to_vec()], Summary { damaged: 1, length: 22, ..whole }));
        assert_eq!(read(&[&filled[..], &first].concat(), 4).1, Summary { entries: 2, length: 33, ..whole });
        assert_eq!(read(b"\n\n\n", 2), (Vec::new(), Summary::default()));
    }

    #[test]
    fn what_is_behind_the_end_is_of_another_log_and_is_not_read() {
        assert_eq!(
            record_of(END.trim_ascii_end()),
            Some(&b"end"[..]),
            "an older program has to find it as well"
        );
        let first = file(&[b"first".to_vec()]);
        let whole = Summary { entries: 1, length: 15, has_end: true, ..Summary::default() };
        for (filling, rest) in [("", &first[..]), ("\n\n", &first[3..]), ("\n", b"\n\0"), ("", b"")] {
            let bytes = [&first, filling.as_bytes(), END, rest, END, rest].concat();
            for piece in [1, 4, 100] {
                assert_eq!(read(&bytes, piece), (vec![b"first".to_vec()], whole), "{filling:?} {rest:?}");
            }
        }
        assert_eq!(
            read(&[END, &first].concat(), 4),
            (Vec::new(), Summary { has_end: true, ..Summary::default() })
        );
        let torn = [&first[..], &END[..END.len() - 2], &first].concat();
        assert_eq!(
            read(&torn, 4),
            (
                vec![b"first".to_vec(); 2],
                Summary { entries: 2, damaged: 1, length: 41, has_end: false, ..whole }
            )
        );
    }

    #[test]
    fn a_last_line_that_lacks_only_its_end_is_kept() {
        let mut bytes = file(&[b"first".to_vec()]);
        bytes.pop();
        let (lines, summary) = read(&bytes, 100);
        assert_eq!(lines, [b"first"]);
        assert_eq!(summary, Summary { entries: 1, length: 14, lacks_end: true, ..Summary::default() });
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(lines in any_lines(), piece in 1_usize..40) {
            let bytes = file(&lines);
            let length = lines.iter().map(|line| line.len() as u64 + 1).sum();
            prop_assert_eq!(entries_length(lines.len() as u64, length), bytes.len() as u64);
            let (read, summary) = read(&bytes, piece);
            prop_assert_eq!(summary, Summary { entries: lines.len() as u64, length: bytes.len() as u64, ..Summary::default() });
            prop_assert_eq!(read, lines);
        }

        #[test]
        fn a_flipped_bit_costs_one_record_at_most(lines in any_lines(), at: prop::sample::Index, bit in 0..8_u32) {
            let mut bytes = file(&lines);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (read, summary) = read(&bytes, 100);
            let lost = lines.iter().filter(|line| !read.contains(line)).count();
            prop_assert!(lost <= 1 && summary.damaged + summary.torn <= 2, "{lost} lost, {summary:?}");
            prop_assert!(read.iter().all(|line| lines.contains(line)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, piece in 1_usize..9) {
            read(&bytes, piece);
        }
    }
}
