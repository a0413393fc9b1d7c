//! Where every client was last seen: one record per client, the newest.

mod cell;
mod index;
mod names;
mod records;

use crate::digest::{Digest, Key, Node, Pass, Sums};
use crate::faults::{self, Fault};
use crate::record::Record;
use index::Index;
use records::Records;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::hint::black_box;

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
///
/// Records are numbers in cells of one cache line each, found by an index; the time that an update takes is that
/// of the two places in memory. Whoever has several updates says so first, with [`Store::hints`].
#[derive(Default)]
pub struct Store {
    records: Records,
    index: Index,
    /// What the record lines sum up to.
    digest: Digest,
}

/// A record in the store.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    records: &'a Records,
    slot: u32,
}

/// What was found out beforehand about where a client's record is. It holds whatever happens meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    hash: u64,
    /// The slot to look at first.
    slot: Option<u32>,
}

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
        let hash = self.index.hash(record.client);
        self.learn_at(Hint { hash, slot: None }, record, may_add)
    }

    /// The same with a hint.
    pub fn learn_at(
        &mut self,
        hint: Hint,
        record: &Record<'_>,
        may_add: impl FnOnce(&Self) -> bool,
    ) -> Learned {
        if let Some(slot) = self.find_at(hint, record.client) {
            return self.replace_if_newer(slot, record);
        }
        let slot = u32::try_from(self.records.len()).ok().filter(|&slot| slot < u32::MAX && may_add(self));
        let Some(slot) = slot else { return Learned::Refused };
        self.records.push(slot, record);
        self.digest.add(record.client);
        let records = &self.records;
        self.index.add(hint.hash, slot, |slot| records.client(slot));
        Learned::News
    }

    fn replace_if_newer(&mut self, slot: u32, record: &Record<'_>) -> Learned {
        let is_to_be_taken =
            |age: Ordering| age.is_gt() || (age.is_lt() && faults::is_on(Fault::LastComeStays));
        match self.records.replace_if(slot, record, is_to_be_taken) {
            Ordering::Equal => Learned::Known,
            age if is_to_be_taken(age) => {
                if !faults::is_on(Fault::DigestMissesChanges) {
                    self.digest.change(record.client);
                }
                Learned::News
            }
            _ => Learned::Stale,
        }
    }

    /// Finds out where the records of some clients are, and has them near when they are needed.
    ///
    /// First all places of the index are looked at, then all records: the processor waits for many at a time, and
    /// not for one after the other. With a million clients that is most of the time that an update takes.
    pub fn hints<const N: usize>(&self, clients: [&[u8]; N], count: usize) -> [Hint; N] {
        let mut hints = [Hint::default(); N];
        for (hint, client) in hints.iter_mut().zip(clients).take(count) {
            hint.hash = self.index.hash(client);
        }
        for hint in hints.iter_mut().take(count) {
            hint.slot = self.index.find(hint.hash, |_| true);
        }
        for slot in hints.iter().take(count).filter_map(|hint| hint.slot) {
            black_box(self.records.touch(slot));
        }
        hints
    }

    /// Where a client's record is.
    pub fn find(&self, client: &[u8]) -> Option<Slot> {
        let hint = Hint { hash: self.index.hash(client), slot: None };
        self.find_at(hint, client).map(|slot| slot as usize)
    }

    fn find_at(&self, hint: Hint, client: &[u8]) -> Option<u32> {
        let is_it = |slot: u32| self.records.is_of(slot, client);
        hint.slot.filter(|&slot| is_it(slot)).or_else(|| self.index.find(hint.hash, is_it))
    }

    /// The record in a slot.
    pub fn record(&self, slot: Slot) -> Option<Known<'_>> {
        let slot = u32::try_from(slot).ok().filter(|_| slot < self.len())?;
        Some(Known { records: &self.records, slot })
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// How long all record lines are together, with their ends.
    pub fn bytes(&self) -> u64 {
        self.records.bytes()
    }

    /// True while no client is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the record lines from a slot on until `bytes_max` is reached, at least one of them if there is
    /// any; tells the next slot, or `None` at the end.
    pub fn print_from(&self, slot: Slot, bytes_max: usize, out: &mut Vec<u8>) -> Option<Slot> {
        let start = out.len();
        for at in slot..self.len() {
            self.record(at)?.print(out);
            if out.len() - start >= bytes_max {
                return (at + 1 < self.len()).then_some(at + 1);
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
        while let Some(known) = slots.next().and_then(|slot| self.record(slot)) {
            known.print(out);
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
        let summer = Summer::new(self.digest.key(), &self.records);
        self.digest.step(records, |slot| summer.sum(slot));
    }

    /// The sums of the children of a node, renewed as far as `records_max` records allow; and how many that took.
    pub fn sums(&mut self, node: Node, records_max: usize) -> (Box<Sums>, usize) {
        let summer = Summer::new(self.digest.key(), &self.records);
        let records = self.digest.renew_node(node, records_max, |slot| summer.sum(slot));
        (self.digest.sums(node), records)
    }

    /// Every record line, sorted: equal for two stores that know the same.
    pub fn dump(&self) -> Vec<Vec<u8>> {
        let mut lines: Vec<_> = (0..self.len()).filter_map(|slot| Some(self.record(slot)?.line())).collect();
        lines.sort_unstable();
        lines
    }
}

/// Sums up record lines, which are printed for that.
struct Summer<'a> {
    key: Key,
    records: &'a Records,
    line: RefCell<Vec<u8>>,
}

impl<'a> Summer<'a> {
    fn new(key: Key, records: &'a Records) -> Self {
        Self { key, records, line: RefCell::default() }
    }

    fn sum(&self, slot: Slot) -> u128 {
        let Ok(slot) = u32::try_from(slot) else { return 0 };
        let mut line = self.line.borrow_mut();
        line.clear();
        self.records.print(slot, &mut line);
        line.pop();
        self.key.sum(&line)
    }
}

impl Known<'_> {
    /// Appends the record line, with a line feed.
    pub fn print(self, out: &mut Vec<u8>) {
        self.records.print(self.slot, out);
    }

    /// Appends the answer to a client, with a line feed.
    pub fn print_at(self, out: &mut Vec<u8>) {
        self.records.print_at(self.slot, out);
    }

    /// Degrees north and east, rounded to the nearest `f64`: for geometry only.
    pub fn degrees(self) -> (f64, f64) {
        self.records.degrees(self.slot)
    }

    /// The record line without its end, for [`Record::parse`].
    #[must_use]
    pub fn line(self) -> Vec<u8> {
        self.records.line(self.slot)
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
            let _ = afresh.learn(&Record::parse(&line).unwrap());
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
