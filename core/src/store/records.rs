//! The records themselves, by slot: a cell each, a place for a client ID that is long, and the few that fit neither as
//! lines.

use super::cell::{CLIENT_MAX, Cell, Numbers};
use super::chunks::Chunks;
use super::ids::{ID_MAX, Ids};
use super::lines::Lines;
use super::names::Names;
use crate::decimal::Nanos;
use crate::digest::{Addend, Key};
use crate::faults::{self, Fault};
use crate::record::Record;
use memchr::memchr;
use std::cmp::Ordering;

/// Records by slot. Slots are numbered from 0; those that have become free are taken again first.
#[derive(Default)]
pub struct Records {
    cells: Chunks<Cell>,
    /// The client IDs that cells have no room for.
    ids: Ids,
    /// The lines of the slots whose cells say that they are elsewhere.
    lines: Lines,
    /// How many slots there are.
    slots: u32,
    /// The slot that became free last.
    free: Option<u32>,
    /// How many slots are free.
    frees: u32,
    names: Names,
    /// True if of two records of a client the newer was received first.
    has_crossed: bool,
    /// How long all record lines are together, with their ends.
    bytes: u64,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        (self.slots - self.frees) as usize
    }

    /// How many slots there are, those that are free included.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// How long all record lines are together, with their ends.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the record of a new client, which is in a bucket, and tells its slot; `None` if all numbers of slots are taken.
    pub fn add(&mut self, record: &Record<'_>, bucket: u16) -> Option<u32> {
        let numbers = self.pack(record);
        let client = record.said.client;
        let kept = if is_long(client) { &self.ids.add(client)?.to_le_bytes()[..] } else { client };
        let cell = Cell::new(numbers, bucket, kept);
        let slot = match self.free {
            Some(slot) => {
                self.free = self.cells.get(slot).and_then(Cell::next_free);
                self.frees -= 1;
                self.set_cell(slot, cell);
                slot
            }
            None => self.push(cell)?,
        };
        if cell.is_elsewhere() {
            self.lines.add(slot, line(record));
        }
        self.bytes += record.line_bytes();
        Some(slot)
    }

    fn push(&mut self, cell: Cell) -> Option<u32> {
        let slot = self.slots;
        self.slots = slot.checked_add(1)?;
        self.cells.push(cell);
        Some(slot)
    }

    /// Removes the record of a slot, which becomes free.
    pub fn remove(&mut self, slot: u32) {
        let Some(cell) = self.cells.get(slot).filter(|cell| !cell.is_free()) else { return };
        let (number, _) = cell.long_client();
        if is_long(self.client(slot)) {
            self.ids.remove(number);
        }
        self.bytes -= self.line_bytes(slot);
        self.lines.remove(slot);
        self.set_cell(slot, Cell::free(self.free));
        self.free = Some(slot);
        self.frees += 1;
    }

    /// When the record of a slot was received; `None` if there is none.
    pub fn received(&self, slot: u32) -> Option<Nanos> {
        self.cells.get(slot).filter(|cell| !cell.is_free()).map(|cell| cell.numbers().received())
    }

    /// The bucket of the client whose record is in a slot.
    #[inline]
    pub fn bucket(&self, slot: u32) -> u16 {
        self.cells.get(slot).map_or(0, Cell::bucket)
    }

    /// Compares a record with the one in a slot by age, and takes its place there if it is newer; `None` if it is and there
    /// is no room for a longer line. What was received before the horizon counts as older than anything.
    #[inline]
    pub fn replace_if_newer(
        &mut self,
        slot: u32,
        record: &Record<'_>,
        horizon: Nanos,
        has_room: bool,
    ) -> Option<Ordering> {
        let numbers = self.pack(record);
        let Some(known) = self.cells.get(slot) else { return Some(Ordering::Less) };
        let received = known.numbers().received();
        let age = if received < horizon { Ordering::Greater } else { self.compare(slot, &numbers, record) };
        self.has_crossed |= if age.is_gt() { record.received < received } else { record.received > received };
        let age = if age.is_lt() && faults::is_on(Fault::LastComeStays) { Ordering::Greater } else { age };
        if age.is_gt() && !self.replace(slot, numbers, record, has_room) {
            return None;
        }
        Some(age)
    }

    /// Puts a record in the place of another; false if there is no room for it.
    #[inline]
    fn replace(&mut self, slot: u32, numbers: Numbers, record: &Record<'_>, has_room: bool) -> bool {
        let Some(cell) = self.cells.get_mut(slot) else { return true };
        let known = *cell.numbers();
        if known.are_elsewhere() || numbers.are_elsewhere() {
            return self.replace_line(slot, record, has_room);
        }
        cell.replace(numbers);
        self.bytes = self.bytes + record.line_bytes() - self.bytes_of(&known);
        true
    }

    /// The same for the line of a record that does not fit a cell, or did not. One that fits takes no more memory than what
    /// it replaces, whose cell it takes.
    #[cold]
    fn replace_line(&mut self, slot: u32, record: &Record<'_>, has_room: bool) -> bool {
        let numbers = self.pack(record); // Handed over, they would be in memory for those, too, that come no further.
        let before = self.line_bytes(slot);
        if !has_room && numbers.are_elsewhere() && record.line_bytes() > before {
            return false;
        }
        self.lines.remove(slot);
        if numbers.are_elsewhere() {
            self.lines.add(slot, line(record));
        }
        self.bytes = self.bytes + record.line_bytes() - before;
        if let Some(cell) = self.cells.get_mut(slot) {
            cell.replace(numbers);
        }
        true
    }

    /// True if there were two records of a client of which the newer was received first, since this was last asked.
    pub fn take_crossed(&mut self) -> bool {
        std::mem::take(&mut self.has_crossed)
    }

    /// Compares a record, of which the numbers are at hand, with the one in a slot by age.
    #[inline]
    fn compare(&self, slot: u32, numbers: &Numbers, record: &Record<'_>) -> Ordering {
        let Some(known) = self.cells.get(slot).map(Cell::numbers) else { return Ordering::Less };
        match (numbers.rank(), known.rank()) {
            (Some(rank), Some(known)) if rank != known => rank.cmp(&known),
            _ if !numbers.are_elsewhere() && numbers == known => Ordering::Equal,
            _ => self.compare_lines(slot, record),
        }
    }

    #[cold]
    fn compare_lines(&self, slot: u32, record: &Record<'_>) -> Ordering {
        let line = self.line(slot);
        Record::parse(&line).map_or(Ordering::Greater, |known| record.cmp_age(&known))
    }

    /// True if a slot has the record of a client.
    #[inline]
    pub fn is_of(&self, slot: u32, client: &[u8]) -> bool {
        self.client(slot) == client
    }

    /// The client whose record is in a slot.
    #[inline]
    pub fn client(&self, slot: u32) -> &[u8] {
        match self.whole(slot) {
            Some(cell) => self.client_of(cell),
            None => self.odd_client(slot),
        }
    }

    #[inline]
    fn client_of<'a>(&'a self, cell: &'a Cell) -> &'a [u8] {
        cell.client().unwrap_or_else(|| {
            let (number, length) = cell.long_client();
            self.ids.get(number, length)
        })
    }

    #[cold]
    fn odd_client(&self, slot: u32) -> &[u8] {
        self.lines.get(slot).map_or(&[][..], |line| &line[..memchr(b' ', line).unwrap_or(line.len())])
    }

    /// Appends the record line of a slot, with a line feed.
    pub fn print(&self, slot: u32, out: &mut Vec<u8>) {
        if let Some(cell) = self.whole(slot) {
            cell.print(self.client_of(cell), self.names.name(cell.numbers().server()), out);
        } else {
            out.extend_from_slice(self.lines.get(slot).unwrap_or_default());
            out.push(b'\n');
        }
    }

    /// Appends the answer to a client, with a line feed.
    pub fn print_at(&self, slot: u32, out: &mut Vec<u8>) {
        if let Some(cell) = self.whole(slot) {
            cell.print_at(self.client_of(cell), self.names.name(cell.numbers().server()), out);
        } else if let Some(record) = self.odd(slot) {
            record.print_at(out);
        }
    }

    /// Where the client of a slot is: degrees north and east, rounded to the nearest `f64`.
    pub fn degrees(&self, slot: u32) -> (f64, f64) {
        match self.whole(slot) {
            Some(cell) => cell.degrees(),
            None => self.odd(slot).map(|record| record.said.location.degrees()).unwrap_or_default(),
        }
    }

    /// The record line of a slot, without its end.
    pub fn line(&self, slot: u32) -> Vec<u8> {
        let mut line = Vec::with_capacity(LINE_GUESS);
        self.print(slot, &mut line);
        line.pop();
        line
    }

    /// What a slot adds to the sum of its bucket. Its record line is printed for that, into a buffer.
    pub fn sum(&self, slot: u32, key: Key, line: &mut Vec<u8>) -> Addend {
        line.clear();
        self.print(slot, line);
        line.pop();
        Addend { sum: key.sum(line), bytes: line.len() }
    }

    /// Has the cell of a slot fetched. Nobody waits for that.
    #[inline]
    pub fn fetch(&self, slot: u32) {
        self.cells.fetch(slot);
    }

    /// Has the client ID of a slot fetched, if it is a long one. That may be waited for: the cell tells where it is.
    #[inline]
    pub fn fetch_long(&self, slot: u32) {
        if let Some(cell) = self.cells.get(slot)
            && cell.client().is_none()
        {
            self.ids.fetch(cell.long_client().0);
        }
    }

    /// True if any client ID is a long one.
    #[inline]
    pub fn has_long(&self) -> bool {
        self.ids.len() > 0
    }

    /// How long the record line of a slot is, with its end.
    fn line_bytes(&self, slot: u32) -> u64 {
        match self.whole(slot) {
            Some(cell) => self.bytes_of(cell.numbers()),
            None => self.lines.get(slot).map_or(0, |line| line.len() as u64 + 1),
        }
    }

    /// How long the record line is, with its end, that some numbers stand for.
    #[inline]
    fn bytes_of(&self, numbers: &Numbers) -> u64 {
        numbers.line_bytes(self.names.name(numbers.server()))
    }

    /// The cell of a slot, if all of the record is there.
    #[inline]
    fn whole(&self, slot: u32) -> Option<&Cell> {
        self.cells.get(slot).filter(|cell| !cell.is_elsewhere())
    }

    fn set_cell(&mut self, slot: u32, cell: Cell) {
        if let Some(place) = self.cells.get_mut(slot) {
            *place = cell;
        }
    }

    fn odd(&self, slot: u32) -> Option<Record<'_>> {
        Record::parse(self.lines.get(slot)?)
    }

    #[inline]
    fn pack(&mut self, record: &Record<'_>) -> Numbers {
        let numbers = self.names.number(record.server).and_then(|server| Numbers::new(record, server));
        numbers.unwrap_or_else(|| Numbers::elsewhere(record.received))
    }
}

/// True for a client ID that has a place among the long ones. One that is longer still is kept with its record line.
fn is_long(client: &[u8]) -> bool {
    (CLIENT_MAX + 1..=ID_MAX).contains(&client.len())
}

/// Most record lines are shorter than this.
const LINE_GUESS: usize = 128;

fn line(record: &Record<'_>) -> Box<[u8]> {
    let mut line = Vec::with_capacity(LINE_GUESS);
    record.print(&mut line);
    line.pop();
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Records of which some fit a cell and some do not, and which differ in little.
    fn any_line() -> impl Strategy<Value = String> {
        let location =
            "[+-](0{0,6}|0{9,20})[0-8]?[0-9](\\.[0-9]{1,19})?[+-](0{0,6}|0{9,20})[0-9]{1,2}(\\.[0-9]{1,19})?";
        let time = prop_oneof!["[0-9]{1,3}(\\.[0-9]{1,2})?", "[0-9]{1,20}(\\.[0-9]{1,12})?"];
        let received = prop_oneof![0..3_u64, any::<u64>(), (0..400_u64).prop_map(|s| s * 1_000_000_000)];
        let server = prop::sample::select(vec!["A", "B", "Goloman"]);
        let client = prop_oneof!["k", "[a-z]{25,28}", "[a-z]{36}", "[a-z]{63,66}"];
        (client, location, time, received, server).prop_map(|(c, l, t, r, s)| format!("{c} {l} {t} {r} {s}"))
    }

    proptest! {
        #[test]
        fn a_record_comes_out_byte_for_byte(lines in prop::collection::vec(any_line(), 1..5)) {
            let mut records = Records::default();
            for (slot, line) in (0..).zip(&lines) {
                let bucket = 65_535 - u16::try_from(slot).unwrap();
                prop_assert_eq!(records.add(&Record::parse(line.as_bytes()).unwrap(), bucket), Some(slot));
            }
            for (slot, line) in (0..).zip(&lines) {
                let record = Record::parse(line.as_bytes()).unwrap();
                prop_assert_eq!(String::from_utf8(records.line(slot)).unwrap(), &**line);
                prop_assert!(records.is_of(slot, record.said.client));
                prop_assert_eq!(u32::from(records.bucket(slot)), 65_535 - slot);
                prop_assert_eq!(records.degrees(slot), record.said.location.degrees());
                prop_assert_eq!(records.line_bytes(slot), line.len() as u64 + 1);
                prop_assert_eq!(record.line_bytes(), line.len() as u64 + 1);
                let (mut known, mut told) = (Vec::new(), Vec::new());
                records.print_at(slot, &mut known);
                record.print_at(&mut told);
                prop_assert_eq!(known, told);
            }
        }

        #[test]
        fn a_record_is_compared_as_if_it_were_a_line(a in any_line(), b in any_line()) {
            let of_another = b.split_once(' ').unwrap().1;
            let b = format!("{} {of_another}", a.split(' ').next().unwrap());
            let (known, told) = (Record::parse(a.as_bytes()).unwrap(), Record::parse(b.as_bytes()).unwrap());
            for (known, told) in [(known, told), (told, known), (known, known)] {
                let mut records = Records::default();
                assert_eq!(records.add(&known, 7), Some(0));
                let expected = told.cmp_age(&known);
                prop_assert_eq!(records.replace_if_newer(0, &told, 0, true), Some(expected));
                let newest = if expected.is_gt() { told } else { known };
                prop_assert_eq!(records.line(0), &*line(&newest));
                prop_assert_eq!(records.bytes(), newest.line_bytes());
                prop_assert_eq!(records.lines.len(), usize::from(records.cells.get(0).unwrap().is_elsewhere()));
                prop_assert_eq!((records.received(0), records.bucket(0)), (Some(newest.received), 7));
                prop_assert!(records.is_of(0, newest.said.client));
            }
        }

        #[test]
        fn a_coordinate_fits_a_cell_in_all_the_digits_that_a_float_prints(
            // Between 7.2 and 8 it may print one digit more than there is room for.
            latitude in prop_oneof![0.02..7.2_f64, 8.0..90.0_f64],
            longitude in prop_oneof![-7.2..-0.02_f64, -180.0..-8.0_f64],
        ) {
            let mut records = Records::default();
            let line = format!("k +{latitude}{longitude} 1 1 A");
            prop_assert_eq!(records.add(&Record::parse(line.as_bytes()).unwrap(), 7), Some(0));
            prop_assert_eq!(records.lines.len(), 0, "{}", line);
            prop_assert_eq!(records.degrees(0), (latitude, longitude));
        }

        #[test]
        fn slots_that_became_free_are_taken_again_before_there_are_more(
            steps in prop::collection::vec((any_line(), any::<prop::sample::Index>(), any::<bool>()), 1..40),
        ) {
            let (mut records, mut known) = (Records::default(), BTreeMap::new());
            let mut most = 0;
            for (line, at, is_removal) in &steps {
                if *is_removal && !known.is_empty() {
                    let slot = *known.keys().nth(at.index(known.len())).unwrap();
                    known.remove(&slot);
                    records.remove(slot);
                    prop_assert_eq!((records.received(slot), records.client(slot)), (None, &[][..]));
                } else {
                    let slot = records.add(&Record::parse(line.as_bytes()).unwrap(), 7).unwrap();
                    prop_assert_eq!(known.insert(slot, line), None);
                }
                most = most.max(known.len());
                prop_assert_eq!((records.len(), records.slots() as usize), (known.len(), most));
                let long = known.values().filter(|line| is_long(line.split(' ').next().unwrap().as_bytes()));
                prop_assert_eq!(records.ids.len(), long.count());
                prop_assert_eq!(records.bytes(), known.values().map(|line| line.len() as u64 + 1).sum::<u64>());
            }
            for (slot, line) in known {
                prop_assert_eq!(String::from_utf8(records.line(slot)).unwrap(), &**line);
            }
        }
    }

    #[test]
    fn what_clients_usually_send_fits_a_cell() {
        for line in [
            "kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 1520023935182837383 Goloman",
            "26-bytes.of-some-host.edu. -90+180 0 0 A",
            "k +51.50735091237411-0.12762345678901234 1520023934 1520023935182837383 A",
            "507f1f77bcf86cd799439011 +34.06893012345678-118.44512701234567 1520023934.9189640 1520023935182837383 A",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6 +34.068930-118.445127 1520023934.9 1520023935182837383 Hands",
            "64-bytes-of-the-longest-client-ID-that-has-a-place-among-the-ids +34.068930-118.445127 0 0 A",
            "k +34.0689301-118.4451271 1520023934.5 1520023935182837383 A",
        ] {
            let mut records = Records::default();
            assert_eq!(records.add(&Record::parse(line.as_bytes()).unwrap(), 7), Some(0));
            assert_eq!(records.lines.len(), 0, "{line}");
        }
    }
}
