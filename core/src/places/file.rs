//! The index file: the one place that knows its bytes.
//!
//! The line `herd places 1`, the length of the body (eight bytes, little end first), and the body as a
//! zlib stream, whose checksum finds damage. The body is a list of columns rather than of rows, sorted so that
//! neighbours look alike, because that compresses to a sixth of the text it was made from. Numbers are of variable
//! length, seven bits a byte; strings are their length and their bytes.
//!
//! ```text
//! attributions: count, strings      areas: count, strings      kinds: count, strings
//! places: count, unit of coordinates in ten-millionths of a degree, then column by column: latitude and
//! longitude (as differences to the place before), whether the next area begins, kinds, length of name, length
//! of identifier; at the end all text in one string
//! ```

use std::fmt;

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::gazetteer::{Entry, Gazetteer, Place};
use super::spot::Spot;

const MAGIC: &[u8] = b"herd places 1\n";

/// The longest body read, in bytes: more than a list of places can fill.
const BODY_MAX: u64 = 1 << 33;

/// The level of compression; over 9 nothing is gained but minutes.
const LEVEL: u8 = 9;

/// The coarsest unit of coordinates, in ten-millionths of a degree.
const UNIT_MAX: i32 = 10_000;

/// Why bytes are not an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// They do not begin as an index does.
    Foreign,
    /// They are an index of another version of herd.
    Version,
    /// The stream does not unpack to the length and checksum it states.
    Stream,
    /// The body ends before its columns do.
    Short,
    /// A number is out of its range.
    Number,
    /// A string is not UTF-8.
    Text,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Foreign => "this is not an index of places: make one with `herd places import`",
            Damage::Version => "the index is of another version: make it again with `herd places import`",
            Damage::Stream => "the index is damaged (it does not unpack): make or copy it again",
            Damage::Short => "the index is damaged (it ends too early): make or copy it again",
            Damage::Number => "the index is damaged (a number is out of range): make or copy it again",
            Damage::Text => "the index is damaged (a name is not UTF-8): make or copy it again",
        })
    }
}

impl std::error::Error for Damage {}

/// Writes a list of places as the bytes of an index file.
pub fn encode(list: &Gazetteer) -> Vec<u8> {
    let body = body(list);
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&compress_to_vec_zlib(&body, LEVEL));
    bytes
}

fn body(list: &Gazetteer) -> Vec<u8> {
    let entries = list.sorted();
    let mut body = Vec::new();
    write_strings(&mut body, list.attributions());
    // Areas are numbered in the order of their places, which makes nearly every difference nought.
    let mut order: Vec<u32> = entries.iter().map(|entry| entry.area).collect();
    order.dedup();
    write_strings(&mut body, order.iter().map(|&area| &list.areas.words[area as usize]));
    write_strings(&mut body, &list.kinds.words);
    write_number(&mut body, entries.len() as u64);
    let unit = unit(&entries);
    write_number(&mut body, unit.unsigned_abs().into());
    write_differences(&mut body, entries.iter().map(|entry| i64::from(entry.spot.latitude_e7 / unit)));
    write_differences(&mut body, entries.iter().map(|entry| i64::from(entry.spot.longitude_e7 / unit)));
    let changes = entries.windows(2).map(|pair| u64::from(pair[0].area != pair[1].area));
    let changes = std::iter::once(0).chain(changes).take(entries.len());
    changes.for_each(|change| write_number(&mut body, change));
    write_numbers(&mut body, entries.iter().map(|entry| entry.kinds));
    write_numbers(&mut body, entries.iter().map(|entry| entry.name_len));
    write_numbers(&mut body, entries.iter().map(|entry| entry.id_len));
    for entry in &entries {
        body.extend_from_slice(list.name(entry).as_bytes());
        body.extend_from_slice(list.id(entry).as_bytes());
    }
    body
}

/// Returns the greatest power of ten that all coordinates are whole multiples of: few are given to the centimetre.
fn unit(entries: &[Entry]) -> i32 {
    let fits = |unit: i32| {
        entries.iter().all(|entry| entry.spot.latitude_e7 % unit == 0 && entry.spot.longitude_e7 % unit == 0)
    };
    [UNIT_MAX, 1000, 100, 10].into_iter().find(|&unit| fits(unit)).unwrap_or(1)
}

fn write_strings<'a>(body: &mut Vec<u8>, strings: impl IntoIterator<Item = &'a String>) {
    let strings: Vec<_> = strings.into_iter().collect();
    write_number(body, strings.len() as u64);
    for string in strings {
        write_number(body, string.len() as u64);
        body.extend_from_slice(string.as_bytes());
    }
}

fn write_number(body: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        body.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    body.push((number & 0x7f) as u8);
}

fn write_numbers(body: &mut Vec<u8>, numbers: impl Iterator<Item = impl Into<u64>>) {
    numbers.for_each(|number| write_number(body, number.into()));
}

fn write_differences(body: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0;
    for number in numbers {
        let difference = number - before;
        write_number(body, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        before = number;
    }
}

/// As many bytes of a file as [`opened`] wants to see.
pub const HEAD: usize = MAGIC.len();

/// What is behind the first line of an index file, of which the others need not be there.
pub fn opened(bytes: &[u8]) -> Result<&[u8], Damage> {
    let version_at = MAGIC.len() - 2;
    if !bytes.starts_with(&MAGIC[..version_at]) {
        return Err(Damage::Foreign);
    }
    bytes.strip_prefix(MAGIC).ok_or(Damage::Version)
}

/// Reads the bytes of an index file.
pub fn decode(bytes: &[u8]) -> Result<Gazetteer, Damage> {
    let rest = opened(bytes)?;
    let (length, stream) = rest.split_first_chunk::<8>().ok_or(Damage::Short)?;
    let length = u64::from_le_bytes(*length);
    let limit = usize::try_from(length.min(BODY_MAX)).map_err(|_| Damage::Number)?;
    let body = decompress_to_vec_zlib_with_limit(stream, limit).map_err(|_| Damage::Stream)?;
    if body.len() as u64 != length {
        return Err(Damage::Stream);
    }
    decode_body(&body)
}

/// Reads the body of an index file, unpacked.
pub(crate) fn decode_body(body: &[u8]) -> Result<Gazetteer, Damage> {
    Reader { rest: body }.list()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn list(mut self) -> Result<Gazetteer, Damage> {
        let mut list = Gazetteer::default();
        self.strings()?.iter().for_each(|attribution| list.attribute(attribution));
        let areas = self.strings()?;
        let kinds: Vec<Vec<&str>> = self.strings()?.iter().map(|words| words.lines().collect()).collect();
        let rows = self.rows()?;
        for row in rows {
            let name = self.text(row.name_len.into())?;
            let id = self.text(row.id_len.into())?;
            let area = areas.get(row.area as usize).ok_or(Damage::Number)?;
            let kinds = kinds.get(row.kinds as usize).ok_or(Damage::Number)?;
            let place = Place { spot: row.spot, name, area, kinds, id };
            list.add(&place).map_err(|_| Damage::Text)?;
        }
        Ok(list)
    }

    fn rows(&mut self) -> Result<Vec<Entry>, Damage> {
        let count = self.count()?;
        let unit =
            Some(self.small::<i32>()?).filter(|unit| (1..=UNIT_MAX).contains(unit)).ok_or(Damage::Number)?;
        let latitudes = self.coordinates(count, unit)?;
        let longitudes = self.coordinates(count, unit)?;
        let mut area = 0;
        let mut rows = Vec::with_capacity(count);
        for (latitude_e7, longitude_e7) in latitudes.into_iter().zip(longitudes) {
            area += self.small::<u32>()?.min(1);
            let spot = Spot { latitude_e7, longitude_e7 };
            let spot = Spot::new(spot.latitude(), spot.longitude()).ok_or(Damage::Number)?;
            rows.push(Entry { spot, area, start: 0, name_len: 0, id_len: 0, kinds: 0 });
        }
        rows.iter_mut().try_for_each(|row| self.small().map(|number| row.kinds = number))?;
        rows.iter_mut().try_for_each(|row| self.small().map(|number| row.name_len = number))?;
        rows.iter_mut().try_for_each(|row| self.small().map(|number| row.id_len = number))?;
        Ok(rows)
    }

    fn byte(&mut self) -> Result<u8, Damage> {
        let (&byte, rest) = self.rest.split_first().ok_or(Damage::Short)?;
        self.rest = rest;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damage::Number)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Damage> {
        T::try_from(self.number()?).map_err(|_| Damage::Number)
    }

    /// Reads a count, which cannot be over what is left: each thing counted takes a byte at least.
    fn count(&mut self) -> Result<usize, Damage> {
        let count = self.small::<usize>()?;
        if count > self.rest.len() { Err(Damage::Short) } else { Ok(count) }
    }

    fn coordinates(&mut self, count: usize, unit: i32) -> Result<Vec<i32>, Damage> {
        let mut before = 0_i64;
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let folded = self.number()?;
            let difference = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
            before = before.checked_add(difference).ok_or(Damage::Number)?;
            let coordinate = i32::try_from(before).ok().and_then(|number| number.checked_mul(unit));
            numbers.push(coordinate.ok_or(Damage::Number)?);
        }
        Ok(numbers)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Damage> {
        let (text, rest) = self.rest.split_at_checked(length).ok_or(Damage::Short)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Damage::Text)
    }

    fn strings(&mut self) -> Result<Vec<&'a str>, Damage> {
        let count = self.count()?;
        (0..count).map(|_| self.small().and_then(|length| self.text(length))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Gazetteer {
        let mut list = Gazetteer::default();
        list.attribute("<a href=\"https://www.geonames.org/\">GeoNames</a>");
        let rows = [
            (-90.0, 0.0, "Pole", "", "", &["natural_feature"][..]),
            (34.01945, -118.49119, "Santa Monica", "California, US", "5393212", &["locality", "political"]),
            (35.6895, 139.69171, "東京", "Tokyo, JP", "", &["locality", "political"]),
            (34.07362, -118.40036, "Beverly \"Hills\"", "California, US", "", &[]),
        ];
        for (latitude, longitude, name, area, id, kinds) in rows {
            let spot = Spot::new(latitude, longitude).unwrap();
            list.add(&Place { spot, name, area, kinds, id }).unwrap();
        }
        list
    }

    fn rows(list: &Gazetteer) -> Vec<(Spot, String, String, String, String)> {
        let row = |entry: &Entry| {
            let kinds = list.kinds.words[entry.kinds as usize].clone();
            (entry.spot, list.name(entry).into(), list.area(entry).into(), list.id(entry).into(), kinds)
        };
        list.sorted().iter().map(row).collect()
    }

    #[test]
    fn a_list_that_was_written_reads_back_the_same() {
        let read = decode(&encode(&list())).unwrap();
        assert_eq!(rows(&read), rows(&list()));
        assert_eq!(read.attributions(), list().attributions());
    }

    #[test]
    fn an_empty_list_reads_back_empty() {
        assert!(decode(&encode(&Gazetteer::default())).unwrap().is_empty());
    }

    #[test]
    fn a_file_written_twice_is_the_same_file() {
        assert_eq!(encode(&decode(&encode(&list())).unwrap()), encode(&list()));
    }

    #[test]
    fn bytes_of_something_else_are_told_from_an_older_index_and_from_a_damaged_one() {
        assert_eq!(decode(b"lat,lon,name\n").unwrap_err(), Damage::Foreign);
        assert_eq!(decode(b"").unwrap_err(), Damage::Foreign);
        assert_eq!(decode(b"herd places 2\n").unwrap_err(), Damage::Version);
        assert_eq!(decode(b"herd places 1\nab").unwrap_err(), Damage::Short);
    }

    #[test]
    fn an_index_cut_anywhere_or_with_any_byte_changed_is_refused_or_read_but_never_panics() {
        let whole = encode(&list());
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            assert!(decode(&bytes).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_body_that_lies_about_its_counts_is_refused_without_taking_memory() {
        let bodies: [&[u8]; 4] =
            [&[0xff; 12], &[0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 1], &[1, 9, b'x'], &[0, 0, 0, 1, 1]];
        for body in bodies {
            assert!(Reader { rest: body }.list().is_err(), "{body:?}");
        }
    }
}
