//! Where the record of a client is: many small tables, of which one at a time grows.
//!
//! One large table would be rebuilt whole each time it is full, and everybody would wait for that. A table is made of
//! lines, each of which is one of the processor's: to look a client up, one place in memory is waited for. Which that
//! is can be told beforehand, so that the processor fetches many of them at a time; no library's table tells it. With a
//! slot goes half of its hash, so that a table grows without a look at the records.

use hashbrown::DefaultHashBuilder;
use prefetch_index::prefetch_index;
use std::hash::BuildHasher;

/// Slots by client ID.
pub struct Index {
    tables: Box<[Table]>,
    hasher: DefaultHashBuilder,
}

/// How many tables there are. With a million clients one of them has a thousand, and grows in some microseconds.
const TABLES: usize = 1024;

/// How many slots a line has room for.
const ROOM: usize = 8;

/// How many slots there are to a line, removed ones included, when a table grows.
const FILL: usize = ROOM / 4 * 3;

/// Some slots, each with its tag, in any order.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    tags: [u32; ROOM],
    slots: [u32; ROOM],
}

const _: () = assert!(size_of::<Line>() == 64);

/// The tag of a place that is empty, and was ever since its table grew.
const EMPTY: u32 = 0;

/// The tag of a place whose slot was removed. A search goes on behind a line that is full of such places.
const REMOVED: u32 = 1;

/// The least tag of a slot.
const TAG_MIN: u32 = 2;

/// Some lines, over which slots are spread by their tags: a slot is in the line that its tag tells, or, where that was
/// full, in the next that was not.
#[derive(Default)]
struct Table {
    lines: Box<[Line]>,
    /// How many places are not empty.
    used: usize,
    /// How many slots there are.
    slots: usize,
}

impl Default for Index {
    fn default() -> Self {
        let tables = (0..TABLES).map(|_| Table::default()).collect();
        Self { tables, hasher: DefaultHashBuilder::default() }
    }
}

impl Index {
    /// The hash that the other functions want.
    #[inline]
    pub fn hash(&self, client: &[u8]) -> u64 {
        self.hasher.hash_one(client)
    }

    /// Has what tells the slots with a hash fetched. Nobody waits for that.
    #[inline]
    pub fn fetch(&self, hash: u64) {
        let (table, tag) = parts(hash);
        let table = &self.tables[table];
        prefetch_index(&table.lines, table.line_of(tag));
    }

    /// The slot with a hash that `is_it`.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (table, tag) = parts(hash);
        let table = &self.tables[table];
        let (at, place) = table.find(tag, is_it)?;
        Some(table.lines[at].slots[place])
    }

    /// Adds a slot that is not there.
    pub fn add(&mut self, hash: u64, slot: u32) {
        let (table, tag) = parts(hash);
        self.tables[table].add(tag, slot);
    }

    /// Removes a slot, of which the hash is given.
    pub fn remove(&mut self, hash: u64, slot: u32) {
        let (table, tag) = parts(hash);
        self.tables[table].remove(tag, slot);
    }
}

/// What a hash tells: the table, and the tag there.
#[inline]
fn parts(hash: u64) -> (usize, u32) {
    let [.., a, b] = hash.to_be_bytes();
    let tag = u32::try_from(hash >> u32::BITS).unwrap_or_default();
    (usize::from(u16::from_be_bytes([a, b])) % TABLES, tag.max(TAG_MIN))
}

impl Line {
    const EMPTY: Self = Self { tags: [EMPTY; ROOM], slots: [0; ROOM] };

    /// A bit for each place with a tag, the lowest for the first.
    #[inline]
    fn places(&self, tag: u32) -> u32 {
        let bits = self.tags.iter().enumerate().map(|(place, &known)| u32::from(known == tag) << place);
        bits.fold(0, |places, bit| places | bit)
    }
}

impl Table {
    /// The line that a tag tells.
    #[inline]
    fn line_of(&self, tag: u32) -> usize {
        // As far into the table as the tag is into all tags.
        ((u64::from(tag) * self.lines.len() as u64) >> u32::BITS) as usize
    }

    /// The line behind one.
    #[inline]
    fn behind(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }

    /// The line and the place of a slot with a tag that `is_it`.
    #[inline]
    fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        let mut at = self.line_of(tag);
        // There is always an empty place somewhere, unless there is no line.
        while let Some(line) = self.lines.get(at) {
            let mut places = line.places(tag);
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                if is_it(line.slots[place]) {
                    return Some((at, place));
                }
                places &= places - 1;
            }
            if line.places(EMPTY) != 0 {
                return None;
            }
            at = self.behind(at);
        }
        None
    }

    fn add(&mut self, tag: u32, slot: u32) {
        if self.used >= self.lines.len() * FILL {
            self.grow();
        }
        self.put(tag, slot);
        self.slots += 1;
    }

    /// Puts a slot where it belongs.
    fn put(&mut self, tag: u32, slot: u32) {
        let mut at = self.line_of(tag);
        loop {
            let line = &mut self.lines[at];
            if let Some(place) = line.tags.iter().position(|&known| known < TAG_MIN) {
                self.used += usize::from(line.tags[place] == EMPTY);
                (line.tags[place], line.slots[place]) = (tag, slot);
                return;
            }
            at = self.behind(at);
        }
    }

    /// Makes room for half as many slots again as there are, and forgets those that were removed.
    fn grow(&mut self) {
        let lines = (self.slots + self.slots / 2).div_ceil(FILL).max(1);
        let before = std::mem::replace(&mut self.lines, vec![Line::EMPTY; lines].into());
        self.used = 0;
        for Line { tags, slots } in before {
            for (tag, slot) in tags.into_iter().zip(slots).filter(|&(tag, _)| tag >= TAG_MIN) {
                self.put(tag, slot);
            }
        }
    }

    fn remove(&mut self, tag: u32, slot: u32) {
        if let Some((at, place)) = self.find(tag, |known| known == slot) {
            self.lines[at].tags[place] = REMOVED;
            self.slots -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Few hashes, so that many slots share one, a line or a table.
    fn hashes() -> impl Strategy<Value = u64> {
        (0..2_u64, prop::sample::select(vec![0, 1, 2, 3, 1 << 31, u32::MAX]))
            .prop_map(|(low, high)| u64::from(high) << u32::BITS | low)
    }

    proptest! {
        #[test]
        fn what_was_added_is_found_until_it_is_removed(
            steps in prop::collection::vec((hashes(), 0..60_u32, any::<bool>()), 0..300),
        ) {
            let (mut index, mut known) = (Index::default(), BTreeSet::new());
            for (hash, slot, is_removal) in steps {
                if is_removal {
                    if known.remove(&(hash, slot)) {
                        index.remove(hash, slot);
                    }
                } else if known.insert((hash, slot)) {
                    index.add(hash, slot);
                }
                for slot in 0..60 {
                    let found = index.find(hash, |candidate| candidate == slot);
                    prop_assert_eq!(found.is_some(), known.iter().any(|&(other, known)| {
                        known == slot && parts(other) == parts(hash)
                    }));
                }
            }
            prop_assert_eq!(index.tables.iter().map(|table| table.slots).sum::<usize>(), known.len());
        }
    }

    #[test]
    fn a_table_that_is_used_again_and_again_does_not_grow() {
        let mut table = Table::default();
        for slot in 0..100_000_u32 {
            table.add(slot.wrapping_mul(0x9e37_79b9).max(TAG_MIN), slot);
            if let Some(old) = slot.checked_sub(100) {
                table.remove(old.wrapping_mul(0x9e37_79b9).max(TAG_MIN), old);
            }
        }
        assert_eq!(table.slots, 100);
        assert!(table.lines.len() <= 40, "{} lines", table.lines.len());
    }

    #[test]
    fn there_is_always_an_empty_place_so_that_a_search_ends() {
        let mut table = Table::default();
        for slot in 0..1000 {
            table.add(TAG_MIN, slot);
            assert!(table.used < table.lines.len() * ROOM);
            assert_eq!(table.find(TAG_MIN, |_| false), None);
        }
    }
}
