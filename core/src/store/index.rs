//! Where the record of a client is: many small tables, of which one at a time grows.
//!
//! One large table would be rebuilt whole each time it has doubled, and everybody would wait for that. With a slot goes
//! half of its hash, so that a table grows without a look at the records.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Slots by client ID.
pub struct Index {
    tables: Box<[HashTable<Entry>]>,
    hasher: DefaultHashBuilder,
}

/// A slot, and half of the hash of its client.
#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    slot: u32,
}

/// How many tables there are. With a million clients one of them has four thousand, and grows in some ten microseconds.
const TABLES: usize = 256;

impl Default for Index {
    fn default() -> Self {
        let tables = (0..TABLES).map(|_| HashTable::new()).collect();
        Self { tables, hasher: DefaultHashBuilder::default() }
    }
}

impl Index {
    /// The hash that the other functions want.
    #[inline]
    pub fn hash(&self, client: &[u8]) -> u64 {
        self.hasher.hash_one(client)
    }

    /// The slot with a hash that `is_it`.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (table, tag) = parts(hash);
        let is_it = |entry: &Entry| entry.tag == tag && is_it(entry.slot);
        self.tables[table].find(spread(tag), is_it).map(|entry| entry.slot)
    }

    /// Adds a slot that is not there.
    pub fn add(&mut self, hash: u64, slot: u32) {
        let (table, tag) = parts(hash);
        self.tables[table].insert_unique(spread(tag), Entry { tag, slot }, |entry| spread(entry.tag));
    }

    /// Removes a slot, of which the hash is given.
    pub fn remove(&mut self, hash: u64, slot: u32) {
        let (table, tag) = parts(hash);
        if let Ok(entry) = self.tables[table].find_entry(spread(tag), |entry| entry.slot == slot) {
            entry.remove();
        }
    }
}

/// What a hash tells: the table, and the tag there.
#[inline]
fn parts(hash: u64) -> (usize, u32) {
    let [.., a, b] = hash.to_be_bytes();
    let tag = u32::try_from(hash >> u32::BITS).unwrap_or_default();
    (usize::from(u16::from_be_bytes([a, b])) % TABLES, tag)
}

/// What a table wants to know of a tag: it places by the lowest bits and tells apart by the highest.
#[inline]
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Of few hashes, so that many slots share a table, a tag, or both.
        #[test]
        fn what_was_added_is_found_by_its_hash_until_it_is_removed(
            steps in prop::collection::vec((0..3_u64, 0..3_u64, 0..40_u32, any::<bool>()), 0..300),
        ) {
            let (mut index, mut known) = (Index::default(), BTreeSet::new());
            for (table, tag, slot, is_removal) in steps {
                let hash = tag << u32::BITS | table;
                if is_removal {
                    index.remove(hash, slot);
                    known.remove(&(hash, slot));
                } else if known.insert((hash, slot)) {
                    index.add(hash, slot);
                }
                for slot in 0..40 {
                    let found = index.find(hash, |candidate| candidate == slot);
                    prop_assert_eq!(found.is_some(), known.contains(&(hash, slot)));
                }
            }
        }
    }
}
