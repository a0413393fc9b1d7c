//! Where every client was last seen: one record per client, the newest.

use crate::digest::{Digest, Key, Node, Pass, Sums};
use crate::faults::{self, Fault};
use crate::record::Record;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::cmp::Ordering;
use std::hash::BuildHasher;

/// Where a record is in the store. Slots are numbered from 0 without gaps, in the order in which clients came.
pub type Slot = usize;

/// What became of a record that the store was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Learned {
    /// It is now the record of its client: tell the others.
    News,
    /// It is the record that the store has.
    Known,
    /// The store has a newer one.
    Stale,
    /// Its client is new, and there is no room for new ones.
    Refused,
}

/// The newest record of every client, in memory.
#[derive(Default)]
pub struct Store {
    /// One record line per client. A line is a single allocation, and what a neighbour is sent.
    lines: Vec<Line>,
    /// How long those lines are together, with their ends.
    bytes: u64,
    /// Slots by client ID.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// What the lines sum up to.
    digest: Digest,
}

/// A record line without its end, and where its first field ends.
struct Line {
    text: Box<[u8]>,
    client_length: u32,
}

impl Line {
    fn new(record: &Record<'_>) -> Self {
        let mut text = Vec::with_capacity(LINE_GUESS);
        record.print(&mut text);
        text.pop();
        Self { client_length: u32::try_from(record.client.len()).unwrap_or(u32::MAX), text: text.into() }
    }

    /// Its length with its end.
    fn bytes(&self) -> u64 {
        self.text.len() as u64 + 1
    }

    fn client(&self) -> &[u8] {
        self.text.get(..self.client_length as usize).unwrap_or_default()
    }

    /// The record; every line in the store was printed from one.
    fn record(&self) -> Option<Record<'_>> {
        Record::parse(&self.text)
    }
}

/// Most record lines are shorter than this.
const LINE_GUESS: usize = 128;

impl Store {
    /// An empty store of a herd that hashes with a key of its own.
    pub fn keyed(key: Key) -> Self {
        Self { digest: Digest::new(key), ..Self::default() }
    }

    /// Takes a record if it is newer than what is known of its client.
    pub fn learn(&mut self, record: &Record<'_>) -> Learned {
        self.learn_if(record, |_| true)
    }

    /// The same, but asks whether a client may be added that is new.
    pub fn learn_if(&mut self, record: &Record<'_>, may_add: impl FnOnce(&Self) -> bool) -> Learned {
        if let Some(slot) = self.find(record.client) {
            return self.replace_if_newer(slot, record);
        }
        let Ok(slot) = u32::try_from(self.lines.len()) else { return Learned::Refused };
        if !may_add(self) {
            return Learned::Refused;
        }
        let hash = self.hasher.hash_one(record.client);
        let line = Line::new(record);
        self.bytes += line.bytes();
        self.lines.push(line);
        self.digest.add(record.client);
        let (lines, hasher) = (&self.lines, &self.hasher);
        self.index.insert_unique(hash, slot, |&slot| hasher.hash_one(lines[slot as usize].client()));
        Learned::News
    }

    fn replace_if_newer(&mut self, slot: Slot, record: &Record<'_>) -> Learned {
        match self.record(slot).map(|known| record.cmp_age(&known)) {
            Some(Ordering::Less) if !faults::is_on(Fault::LastComeStays) => Learned::Stale,
            Some(Ordering::Equal) => Learned::Known,
            Some(Ordering::Less | Ordering::Greater) | None => {
                let old = std::mem::replace(&mut self.lines[slot], Line::new(record));
                self.bytes = self.bytes - old.bytes() + self.lines[slot].bytes();
                if !faults::is_on(Fault::DigestMissesChanges) {
                    self.digest.change(record.client);
                }
                Learned::News
            }
        }
    }

    /// Where a client's record is.
    pub fn find(&self, client: &[u8]) -> Option<Slot> {
        let hash = self.hasher.hash_one(client);
        let found = self.index.find(hash, |&slot| self.lines[slot as usize].client() == client)?;
        Some(*found as usize)
    }

    /// The record in a slot.
    pub fn record(&self, slot: Slot) -> Option<Record<'_>> {
        self.lines.get(slot)?.record()
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// How long all record lines are together, with their ends.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True while no client is known.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends the record lines from a slot on until `bytes_max` is reached, at least one of them if there is
    /// any; tells the next slot, or `None` at the end.
    pub fn print_from(&self, slot: Slot, bytes_max: usize, out: &mut Vec<u8>) -> Option<Slot> {
        let start = out.len();
        for (at, line) in self.lines.iter().enumerate().skip(slot) {
            out.extend_from_slice(&line.text);
            out.push(b'\n');
            if out.len() - start >= bytes_max {
                return (at + 1 < self.lines.len()).then_some(at + 1);
            }
        }
        None
    }

    /// Appends the record lines of a bucket, or what is left of them from a slot on, until `bytes_max` is reached, at
    /// least one of them if there is any; tells the slot to go on with, or `None` at the end.
    pub fn print_bucket(
        &self,
        bucket: u16,
        from: Option<Slot>,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Option<Slot> {
        let start = out.len();
        let mut slots = self.digest.slots(bucket, from);
        while let Some(line) = slots.next().and_then(|slot| self.lines.get(slot)) {
            out.extend_from_slice(&line.text);
            out.push(b'\n');
            if out.len() - start >= bytes_max {
                return slots.next();
            }
        }
        None
    }

    /// What the lines sum up to, as far as they have been summed.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Asks for sums that cover everything that is known now.
    pub fn want_sums(&mut self) -> Pass {
        self.digest.want()
    }

    /// Sums on for whoever wants sums, about so many records.
    pub fn sum_some(&mut self, records: usize) {
        let (key, lines) = (self.digest.key(), &self.lines);
        self.digest.step(records, |slot| lines.get(slot).map_or(0, |line| key.sum(&line.text)));
    }

    /// The sums of the children of a node, renewed as far as `records_max` records allow; and how many that took.
    pub fn sums(&mut self, node: Node, records_max: usize) -> (Box<Sums>, usize) {
        let (key, lines) = (self.digest.key(), &self.lines);
        let sum = |slot: Slot| lines.get(slot).map_or(0, |line| key.sum(&line.text));
        let records = self.digest.renew_node(node, records_max, sum);
        (self.digest.sums(node), records)
    }

    /// Every record line, sorted: equal for two stores that know the same.
    pub fn dump(&self) -> Vec<&[u8]> {
        let mut lines: Vec<&[u8]> = self.lines.iter().map(|line| &*line.text).collect();
        lines.sort_unstable();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn learn(store: &mut Store, line: &str) -> Learned {
        store.learn(&Record::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn a_record_is_news_only_once() {
        let mut store = Store::default();
        assert_eq!(learn(&mut store, "k +1-2 5 6 A"), Learned::News);
        assert_eq!(learn(&mut store, "k +1-2 5 6 A"), Learned::Known);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn an_older_record_changes_nothing() {
        let mut store = Store::default();
        assert_eq!(learn(&mut store, "k +1-2 5 6 A"), Learned::News);
        assert_eq!(learn(&mut store, "k +3-4 4 7 A"), Learned::Stale);
        assert_eq!(store.dump(), [b"k +1-2 5 6 A"]);
    }

    #[test]
    fn only_a_client_that_is_new_may_be_refused() {
        let mut store = Store::default();
        let record = |line| Record::parse(line).unwrap();
        assert_eq!(store.learn_if(&record(b"k +1-2 5 6 A"), |_| false), Learned::Refused);
        assert_eq!(store.learn_if(&record(b"k +1-2 5 6 A"), Store::is_empty), Learned::News);
        assert_eq!(store.learn_if(&record(b"k +1-2 6 6 A"), |_| false), Learned::News);
        assert_eq!(store.dump(), [b"k +1-2 6 6 A"]);
    }

    #[test]
    fn the_lines_come_out_in_pieces_of_a_size_and_at_least_one_at_a_time() {
        let mut store = Store::default();
        for client in ["a", "b", "c"] {
            assert_eq!(learn(&mut store, &format!("{client} +1-2 5 6 A")), Learned::News);
        }
        let mut out = Vec::new();
        assert_eq!(store.print_from(0, 1, &mut out), Some(1));
        assert_eq!(store.print_from(1, 1000, &mut out), None);
        assert_eq!(out, b"a +1-2 5 6 A\nb +1-2 5 6 A\nc +1-2 5 6 A\n");
        assert_eq!(store.print_from(3, 1000, &mut out), None);
    }

    #[test]
    fn the_lines_of_a_bucket_come_out_in_pieces_and_those_of_all_buckets_are_all() {
        let mut store = Store::default();
        // So many clients that some buckets have more than one.
        for client in 0..2000 {
            assert_eq!(learn(&mut store, &format!("k{client} +1-2 5 6 A")), Learned::News);
        }
        let mut out = Vec::new();
        for bucket in 0..=u16::MAX {
            let mut from = store.print_bucket(bucket, None, 1, &mut out);
            while from.is_some() {
                from = store.print_bucket(bucket, from, 1, &mut out);
            }
        }
        let mut lines: Vec<&[u8]> =
            out.split_inclusive(|&byte| byte == b'\n').map(|line| &line[..line.len() - 1]).collect();
        lines.sort_unstable();
        assert_eq!(lines, store.dump());
    }

    /// What the lines of a store sum up to if nobody kept it up.
    fn sums_afresh(store: &Store) -> (u128, Vec<Sums>) {
        let mut afresh = Store::default();
        for line in store.dump() {
            let _ = afresh.learn(&Record::parse(line).unwrap());
        }
        sums(&mut afresh)
    }

    fn sums(store: &mut Store) -> (u128, Vec<Sums>) {
        let pass = store.want_sums();
        store.sum_some(usize::MAX);
        assert!(store.digest().covers(pass));
        let nodes = std::iter::once(Node::Root).chain((0..=255).map(Node::Inner));
        (store.digest().root(), nodes.map(|node| *store.digest().sums(node)).collect())
    }

    proptest! {
        #[test]
        fn the_digest_of_a_store_is_that_of_its_lines(
            updates in prop::collection::vec((0..9_u8, 0..9_u8, 0..4_usize), 1..40),
        ) {
            let mut store = Store::default();
            for (client, time, records) in updates {
                let _ = learn(&mut store, &format!("c{client} +1-2 {time} 5 A"));
                let _ = store.want_sums();
                store.sum_some(records);
            }
            let afresh = sums_afresh(&store);
            prop_assert!(sums(&mut store) == afresh);
        }

        #[test]
        fn the_store_is_the_same_for_any_order_and_repetition(
            mut updates in prop::collection::vec((0..3_u8, 0..4_u8, 0..3_u8, 0..2_u8), 1..20),
            seed: usize,
        ) {
            let line = |(client, time, received, server): (u8, u8, u8, u8)| {
                format!("c{client} +1-2 {time}.{} {received} s{server}", "0".repeat(usize::from(server) + 1))
            };
            let mut first = Store::default();
            for &update in &updates {
                let _ = learn(&mut first, &line(update));
            }
            updates.extend(updates.clone());
            let length = updates.len();
            for at in 0..length {
                updates.swap(at, seed.wrapping_mul(at + 31) % length);
            }
            let mut second = Store::default();
            for &update in &updates {
                let _ = learn(&mut second, &line(update));
            }
            prop_assert_eq!(first.dump(), second.dump());
            let bytes: usize = first.dump().iter().map(|line| line.len() + 1).sum();
            prop_assert_eq!(first.bytes(), bytes as u64);
        }
    }
}
