//! Where the record of a client is: many small tables, of which one at a time grows.
//!
//! One large table would be rebuilt whole each time it has doubled, and everybody would wait for that.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Slots by client ID.
pub struct Index {
    shards: Box<[HashTable<u32>]>,
    hasher: DefaultHashBuilder,
}

/// How many tables there are. With a million clients one of them has a thousand, and grows in some microseconds.
const SHARDS: usize = 1024;

/// Which bits of a hash tell the table: neither the lowest nor the highest, by which a table places and tells.
const SHARD_SHIFT: u32 = 40;

impl Default for Index {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, hasher: DefaultHashBuilder::default() }
    }
}

impl Index {
    /// The hash that the other functions want.
    pub fn hash(&self, client: &[u8]) -> u64 {
        self.hasher.hash_one(client)
    }

    /// The slot with a hash that `is_it`.
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash, |&slot| is_it(slot)).copied()
    }

    /// Adds a slot that is not there. When a table grows, `client` tells the IDs in its slots.
    pub fn add<'a>(&mut self, hash: u64, slot: u32, client: impl Fn(u32) -> &'a [u8]) {
        let hasher = &self.hasher;
        self.shards[shard(hash)].insert_unique(hash, slot, |&slot| hasher.hash_one(client(slot)));
    }

    /// Removes a slot, of which the hash is given.
    pub fn remove(&mut self, hash: u64, slot: u32) {
        if let Ok(entry) = self.shards[shard(hash)].find_entry(hash, |&known| known == slot) {
            entry.remove();
        }
    }
}

fn shard(hash: u64) -> usize {
    // The remainder is less than the number of tables.
    ((hash >> SHARD_SHIFT) % SHARDS as u64) as usize
}
