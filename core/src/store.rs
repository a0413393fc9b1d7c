//! Where every client was last seen: one record per client, the newest.

mod cell;
mod chunks;
mod ids;
mod index;
mod lines;
mod names;
mod recent;
mod records;

use crate::decimal::Nanos;
use crate::digest::{Digest, Key, Node, Pass, Sums};
use crate::faults::{self, Fault};
use crate::record::Record;
use index::Index;
use recent::Recent;
use records::Records;
use std::cmp::Ordering;

/// Where a record is in the store. Slots are numbered from 0; a record stays in its own, and one that was removed leaves it
/// to another client.
pub type Slot = u32;

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
    /// There is no room for it: its client is new, or it is longer than what it would replace.
    Refused,
    /// It had expired before it came.
    Expired,
}

/// What a record makes the store grow by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// A client.
    Client,
    /// A line that fits no cell and is longer than the one before.
    Line,
}

/// The newest record of every client, in memory.
///
/// Records are numbers in cells of one cache line each, found by an index; the time that an update takes is that
/// of the two places in memory, or of three with a client ID of over 26 bytes. Whoever has several updates says so first, with [`Store::hints`].
#[derive(Default)]
pub struct Store {
    records: Records,
    index: Index,
    /// What the record lines sum up to.
    digest: Digest,
    /// What was received before this has expired.
    horizon: Nanos,
    /// The slot that is looked at next for what has expired.
    sweep_at: Slot,
    /// How many slots are still to be looked at.
    sweep_left: Slot,
    /// The slots whose records came since the last call of [`Store::begin_recent`].
    recent: Recent,
    /// Those whose records had come until then, since the call before.
    recent_before: Recent,
}

/// Which records are printed of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of clients of whom none came between the last two calls of [`Store::begin_recent`], the first of which counts
    /// from the beginning.
    NotRecent,
}

/// A record in the store.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    records: &'a Records,
    slot: Slot,
}

/// What was found out beforehand about where a client's record is. It holds whatever happens meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    hash: u64,
    /// The slot to look at first.
    slot: Option<Slot>,
}

impl Store {
    /// An empty store of a herd that hashes with a key of its own.
    pub fn keyed(key: Key) -> Self {
        Self { digest: Digest::new(key), ..Self::default() }
    }

    /// Takes a record if it is newer than what is known of its client.
    #[cfg(test)]
    pub fn learn(&mut self, record: &Record<'_>) -> Learned {
        self.learn_if(record, |_, _| true)
    }

    /// The same, but asks whether the store may grow.
    #[cfg(test)]
    pub fn learn_if(&mut self, record: &Record<'_>, may_grow: impl FnOnce(&Self, Growth) -> bool) -> Learned {
        let hash = self.index.hash(record.said.client);
        self.learn_at(Hint { hash, slot: None }, record, may_grow)
    }

    /// Takes a record if it is newer than what is known of its client, about which there is a hint, and if the store may
    /// grow where that makes it grow.
    pub fn learn_at(
        &mut self,
        hint: Hint,
        record: &Record<'_>,
        may_grow: impl FnOnce(&Self, Growth) -> bool,
    ) -> Learned {
        if record.received < self.horizon && !faults::is_on(Fault::RaisesTheDead) {
            return Learned::Expired;
        }
        if let Some(slot) = self.find_at(hint, record.said.client) {
            let has_room = may_grow(self, Growth::Line);
            return self.replace_if_newer(slot, record, has_room);
        }
        if !may_grow(self, Growth::Client) {
            return Learned::Refused;
        }
        let bucket = self.digest.key().bucket(record.said.client);
        let Some(slot) = self.records.add(record, bucket) else { return Learned::Refused };
        self.digest.add(slot, bucket);
        self.index.add(hint.hash, slot);
        self.recent.insert(slot);
        Learned::News
    }

    fn replace_if_newer(&mut self, slot: Slot, record: &Record<'_>, has_room: bool) -> Learned {
        match self.records.replace_if_newer(slot, record, self.horizon, has_room) {
            None => Learned::Refused,
            Some(Ordering::Less) => Learned::Stale,
            Some(Ordering::Equal) => Learned::Known,
            Some(Ordering::Greater) => {
                if !faults::is_on(Fault::DigestMissesChanges) {
                    self.digest.change(self.records.bucket(slot));
                }
                self.recent.insert(slot);
                Learned::News
            }
        }
    }

    /// What was received before this has expired.
    pub fn horizon(&self) -> Nanos {
        self.horizon
    }

    /// Says that what was received before the horizon has expired: it is as if it had never been, and [`Store::sweep`]
    /// makes room of it. A sweep that goes on is not begun anew, so that it has an end: what it has passed by is left to
    /// the next.
    pub fn set_horizon(&mut self, horizon: Nanos) {
        if horizon > self.horizon && !self.is_sweeping() {
            self.sweep_left = self.records.slots();
        }
        self.horizon = horizon;
    }

    /// True if there were two records of a client of which the newer was received first, since this was last asked.
    ///
    /// When that expires, the older one is of use again to whoever told it or was told it.
    #[must_use]
    pub fn take_crossed(&mut self) -> bool {
        self.records.take_crossed()
    }

    /// True while there may be something that has expired and takes room.
    pub fn is_sweeping(&self) -> bool {
        self.sweep_left > 0
    }

    /// Removes some of what has expired; tells how much. Brief: a record that is removed counts as much as many that are
    /// only looked at, and there are not more of these than `looks`.
    pub fn sweep(&mut self, looks: usize) -> usize {
        let (mut left, mut removed) = (looks, 0);
        while left > 0 && self.sweep_left > 0 {
            let slot = if self.sweep_at < self.records.slots() { self.sweep_at } else { 0 };
            let has_expired = self.remove_if_expired(slot);
            removed += usize::from(has_expired);
            left = left.saturating_sub(if has_expired { LOOKS_OF_REMOVAL } else { 1 });
            self.sweep_at = slot + 1;
            self.sweep_left -= 1;
        }
        removed
    }

    fn remove_if_expired(&mut self, slot: Slot) -> bool {
        if self.records.received(slot).is_none_or(|received| received >= self.horizon) {
            return false;
        }
        let client = self.records.client(slot);
        self.index.remove(self.index.hash(client), slot);
        self.digest.remove(slot, self.records.bucket(slot));
        self.records.remove(slot);
        true
    }

    /// Finds out where the records of some clients are, and has them near when they are needed.
    ///
    /// First what the index needs is fetched for all, then all records, then long IDs: the processor waits for many at a time, and not
    /// for one after the other. With a million clients that would be most of the time that an update takes.
    pub fn hints<const N: usize>(&self, clients: [&[u8]; N], count: usize) -> [Hint; N] {
        let mut hints = [Hint::default(); N];
        for (hint, client) in hints.iter_mut().zip(clients).take(count) {
            hint.hash = self.index.hash(client);
            self.index.fetch(hint.hash);
        }
        for hint in hints.iter_mut().take(count) {
            hint.slot = self.index.find(hint.hash, |_| true);
            if let Some(slot) = hint.slot {
                self.records.fetch(slot);
            }
        }
        if self.records.has_long() {
            for slot in hints.iter().take(count).filter_map(|hint| hint.slot) {
                self.records.fetch_long(slot);
            }
        }
        hints
    }

    /// The record of a client, if it is known.
    pub fn find(&self, client: &[u8]) -> Option<Known<'_>> {
        let hint = Hint { hash: self.index.hash(client), slot: None };
        self.record(self.find_at(hint, client)?)
    }

    fn find_at(&self, hint: Hint, client: &[u8]) -> Option<Slot> {
        let is_it = |slot: Slot| self.records.is_of(slot, client);
        hint.slot.filter(|&slot| is_it(slot)).or_else(|| self.index.find(hint.hash, is_it))
    }

    /// The record in a slot, if there is one that has not expired.
    fn record(&self, slot: Slot) -> Option<Known<'_>> {
        self.is_alive(slot).then_some(Known { records: &self.records, slot })
    }

    fn is_alive(&self, slot: Slot) -> bool {
        self.records.received(slot).is_some_and(|received| received >= self.horizon)
    }

    /// How many clients are known, and are yet to be forgotten.
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

    /// Appends the record lines from a slot on until `bytes_max` is reached or many slots were looked at; tells the next
    /// slot, or `None` at the end. A client that comes meanwhile may be missed, but none that was known at the beginning.
    pub fn print_from(&self, slot: Slot, scope: Scope, bytes_max: usize, out: &mut Vec<u8>) -> Option<Slot> {
        let (start, mut at) = (out.len(), slot);
        let end = self.records.slots();
        while at < end && at - slot < LOOKS_OF_PRINT && out.len() - start < bytes_max {
            let is_left_out = scope == Scope::NotRecent && self.recent_before.contains(at);
            if let Some(known) = self.record(at).filter(|_| !is_left_out) {
                known.print(out);
            }
            at += 1;
        }
        (at < end).then_some(at)
    }

    /// Has the records be recent that come from now on, and no others.
    pub fn begin_recent(&mut self) {
        self.recent_before = if faults::is_on(Fault::StaysRecent) {
            self.recent.clone()
        } else {
            std::mem::take(&mut self.recent)
        };
    }

    /// How many records are recent, those counted in that have expired since.
    pub fn recent(&self) -> usize {
        self.recent.len()
    }

    /// Appends the record lines of a bucket, or what is left of them from a slot on, until `bytes_max` is reached, at
    /// least one of them if there is any; tells the slot to go on with, or `None` at the end. If that slot has another
    /// client meanwhile, the bucket is told from its beginning. Lines of over `line_max` bytes without their end are left out.
    pub fn print_bucket(
        &self,
        bucket: u16,
        from: Option<Slot>,
        line_max: usize,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Option<Slot> {
        let start = out.len();
        let mut slots = self.digest.slots(bucket, from.filter(|&slot| self.is_in_bucket(slot, bucket)));
        while let Some(slot) = slots.next() {
            let line = out.len();
            if let Some(known) = self.record(slot) {
                known.print(out);
            }
            if out.len() - line > line_max.saturating_add(1) {
                out.truncate(line);
            }
            if out.len() - start >= bytes_max {
                return slots.next();
            }
        }
        None
    }

    fn is_in_bucket(&self, slot: Slot, bucket: u16) -> bool {
        self.records.received(slot).is_some() && self.records.bucket(slot) == bucket
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
        let (key, mut line) = (self.digest.key(), Vec::new());
        self.digest.step(records, |slot| self.records.sum(slot, key, &mut line));
    }

    /// The sums of the children of a node, renewed as far as `records_max` records allow; and how many that took.
    pub fn sums(&mut self, node: Node, records_max: usize) -> (Box<Sums>, usize) {
        let (key, mut line) = (self.digest.key(), Vec::new());
        let sum = |slot| self.records.sum(slot, key, &mut line);
        let records = self.digest.renew_node(node, records_max, sum);
        (self.digest.sums(node), records)
    }

    /// Every record line, sorted: equal for two stores that know the same.
    pub fn dump(&self) -> Vec<Vec<u8>> {
        let slots = 0..self.records.slots();
        let mut lines: Vec<_> = slots.filter_map(|slot| Some(self.record(slot)?.line())).collect();
        lines.sort_unstable();
        lines
    }
}

/// How many looks at records take as long as one removal.
const LOOKS_OF_REMOVAL: usize = 64;

/// How many slots are looked at for one piece of all lines: if most are free, that takes longer than to print the lines.
const LOOKS_OF_PRINT: Slot = 16 * 1024;

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
    fn what_makes_the_store_grow_may_be_refused_and_nothing_else() {
        let mut store = Store::default();
        let record = |line| Record::parse(line).unwrap();
        assert_eq!(store.learn_if(&record(b"k +1-2 5 6 A"), |_, _| false), Learned::Refused);
        assert_eq!(store.learn_if(&record(b"k +1-2 5 6 A"), |store, _| store.is_empty()), Learned::News);
        assert_eq!(store.learn_if(&record(b"k +1-2 6 6 A"), |_, _| false), Learned::News);
        assert_eq!(store.dump(), [b"k +1-2 6 6 A"]);
    }

    #[test]
    fn the_lines_come_out_in_pieces_of_a_size_and_at_least_one_at_a_time() {
        let mut store = Store::default();
        for client in ["a", "b", "c"] {
            assert_eq!(learn(&mut store, &format!("{client} +1-2 5 6 A")), Learned::News);
        }
        let mut out = Vec::new();
        assert_eq!(store.print_from(0, Scope::All, 1, &mut out), Some(1));
        assert_eq!(store.print_from(1, Scope::All, 1000, &mut out), None);
        assert_eq!(out, b"a +1-2 5 6 A\nb +1-2 5 6 A\nc +1-2 5 6 A\n");
        assert_eq!(store.print_from(3, Scope::All, 1000, &mut out), None);
    }

    fn not_recent(store: &Store) -> String {
        let mut out = Vec::new();
        assert_eq!(store.print_from(0, Scope::NotRecent, 1000, &mut out), None);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_was_recent_may_be_left_out() {
        let mut store = Store::default();
        for line in ["a +1-2 5 6 A", "b +1-2 5 6 A", "c +1-2 5 6 A"] {
            assert_eq!(learn(&mut store, line), Learned::News);
        }
        assert_eq!(store.recent(), 3);
        store.begin_recent();
        assert_eq!((store.recent(), not_recent(&store).as_str()), (0, ""));
        assert_eq!(learn(&mut store, "a +1-2 4 7 A"), Learned::Stale);
        assert_eq!(learn(&mut store, "b +1-2 6 7 A"), Learned::News);
        assert_eq!(learn(&mut store, "b +1-2 7 8 A"), Learned::News);
        assert_eq!(store.recent(), 1);
        store.begin_recent();
        assert_eq!((store.recent(), not_recent(&store).as_str()), (0, "a +1-2 5 6 A\nc +1-2 5 6 A\n"));
        store.begin_recent();
        assert_eq!(not_recent(&store).lines().count(), 3);
    }

    /// What came while a snapshot was being written was left out of it, as if it were in the log before. It was in the next,
    /// which the disk did not have when the power went, and the one before it had gone with the snapshot before.
    #[test]
    fn what_is_recent_is_not_left_out_for_that() {
        let mut store = Store::default();
        assert_eq!(learn(&mut store, "a +1-2 5 6 A"), Learned::News);
        store.begin_recent();
        store.begin_recent();
        assert_eq!(learn(&mut store, "a +1-2 6 7 A"), Learned::News);
        assert_eq!(not_recent(&store), "a +1-2 6 7 A\n");
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
            let mut from = store.print_bucket(bucket, None, usize::MAX, 1, &mut out);
            while from.is_some() {
                from = store.print_bucket(bucket, from, usize::MAX, 1, &mut out);
            }
        }
        let mut lines: Vec<&[u8]> =
            out.split_inclusive(|&byte| byte == b'\n').map(|line| &line[..line.len() - 1]).collect();
        lines.sort_unstable();
        assert_eq!(lines, store.dump());
    }

    /// Removes all that has expired.
    fn sweep(store: &mut Store) {
        while store.is_sweeping() {
            let _ = store.sweep(10);
        }
    }

    #[test]
    fn what_was_received_before_the_horizon_is_as_if_it_had_never_been() {
        let mut store = Store::default();
        for line in ["old +1-2 5 99 A", "kept +1-2 5 100 A"] {
            assert_eq!(learn(&mut store, line), Learned::News);
        }
        store.set_horizon(100);
        assert!(store.find(b"old").is_none() && store.find(b"kept").is_some());
        assert_eq!(store.dump(), [b"kept +1-2 5 100 A"]);
        let mut out = Vec::new();
        assert_eq!(store.print_from(0, Scope::All, 1000, &mut out), None);
        (0..=u16::MAX).for_each(|bucket| {
            assert_eq!(store.print_bucket(bucket, None, usize::MAX, 1000, &mut out), None);
        });
        assert_eq!(out, b"kept +1-2 5 100 A\nkept +1-2 5 100 A\n");
        assert_eq!(learn(&mut store, "old +1-2 6 99 A"), Learned::Expired);
        sweep(&mut store);
        assert_eq!((store.len(), store.bytes()), (1, 18));
    }

    #[test]
    fn an_older_record_is_news_to_whom_the_newer_has_expired() {
        for is_swept in [false, true] {
            let mut store = Store::default();
            assert_eq!(learn(&mut store, "k +1-2 5 99 A"), Learned::News);
            store.set_horizon(100);
            if is_swept {
                sweep(&mut store);
            }
            assert_eq!(learn(&mut store, "k +1-2 4 100 A"), Learned::News);
            sweep(&mut store);
            assert_eq!((store.dump(), store.len()), (vec![b"k +1-2 4 100 A".to_vec()], 1));
        }
    }

    #[test]
    fn clients_that_come_and_go_take_no_more_room_than_those_that_live_at_once() {
        let mut store = Store::default();
        for now in 0..500 {
            for client in 0..10 {
                let long = "x".repeat(client * 5);
                assert_eq!(learn(&mut store, &format!("{long}{now}-{client} +1-2 5 {now} A")), Learned::News);
            }
            store.set_horizon(now);
            sweep(&mut store);
        }
        assert_eq!((store.len(), store.records.slots()), (10, 20));
        assert_eq!(store.bytes(), store.dump().iter().map(|line| line.len() as u64 + 1).sum::<u64>());
    }

    #[test]
    fn a_sweep_is_done_in_pieces_of_a_size() {
        let mut store = Store::default();
        (0..1000)
            .for_each(|client| assert_eq!(learn(&mut store, &format!("{client} +1-2 5 6 A")), Learned::News));
        store.set_horizon(7);
        let mut removed = 0;
        while store.is_sweeping() {
            let now = store.sweep(100);
            assert!(now <= 100 / LOOKS_OF_REMOVAL + 1, "{now}");
            removed += now;
        }
        assert_eq!((removed, store.len()), (1000, 0));
    }

    #[test]
    fn whatever_is_alive_comes_out_though_others_go_and_come_meanwhile() {
        let mut store = Store::default();
        // So many clients that some buckets have several.
        for client in 0..60_000_u64 {
            assert_eq!(learn(&mut store, &format!("k{client} +1-2 5 {} A", client % 3)), Learned::News);
        }
        let buckets: Vec<u16> =
            (0..=u16::MAX).filter(|&bucket| store.digest.slots(bucket, None).count() > 2).collect();
        let (mut file, mut told) = (Vec::new(), Vec::new());
        let mut slot = store.print_from(0, Scope::All, 300_000, &mut file);
        let began: Vec<_> = buckets
            .iter()
            .map(|&bucket| (bucket, store.print_bucket(bucket, None, usize::MAX, 1, &mut told)))
            .collect();
        store.set_horizon(2);
        sweep(&mut store);
        for client in 0..30_000 {
            assert_eq!(learn(&mut store, &format!("new{client} +1-2 5 9 A")), Learned::News);
        }
        while let Some(from) = slot {
            slot = store.print_from(from, Scope::All, 300_000, &mut file);
        }
        for (bucket, mut from) in began {
            while from.is_some() {
                from = store.print_bucket(bucket, from, usize::MAX, 1, &mut told);
            }
        }
        let lines = |out: &[u8]| -> std::collections::HashSet<Vec<u8>> {
            out.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let (file, told) = (lines(&file), lines(&told));
        for line in store.dump().iter().filter(|line| line.starts_with(b"k")) {
            assert!(file.contains(line), "{}", line.escape_ascii());
            let client = Record::parse(line).unwrap().said.client;
            let is_to_be_told = buckets.contains(&store.digest.key().bucket(client));
            assert!(!is_to_be_told || told.contains(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_hole_without_end_is_looked_through_in_pieces() {
        let mut store = Store::default();
        let clients = LOOKS_OF_PRINT + 5;
        for client in 0..clients {
            let received = if client + 1 == clients { 9 } else { 0 };
            assert_eq!(learn(&mut store, &format!("k{client} +1-2 5 {received} A")), Learned::News);
        }
        store.set_horizon(9);
        let mut out = Vec::new();
        assert_eq!(store.print_from(0, Scope::All, 100, &mut out), Some(LOOKS_OF_PRINT));
        assert!(out.is_empty());
        assert_eq!(store.print_from(LOOKS_OF_PRINT, Scope::All, 100, &mut out), None);
        assert!(!out.is_empty());
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
        fn a_store_that_forgets_is_as_simple_as_a_list_that_does(
            steps in prop::collection::vec((0..12_u8, 0..9_u8, 0..9_u64, 0..3_u64, 0..200_usize), 1..120),
        ) {
            let mut store = Store::default();
            let mut list: Vec<String> = Vec::new();
            let (mut horizon, mut most) = (0_u64, 0);
            let received = |line: &str| Record::parse(line.as_bytes()).unwrap().received;
            for (client, time, age, pace, looks) in steps {
                // Some IDs are too long for a cell, and one is for those that are.
                let name = format!("c{client}{}", "x".repeat(usize::from(client) * 6));
                let line = format!("{name} +1-2 {time} {} A", (horizon + 5).saturating_sub(age));
                let known = list.iter().position(|known| known.starts_with(&format!("{name} ")));
                let record = Record::parse(line.as_bytes()).unwrap();
                let expected = match known.map(|at| record.cmp_age(&Record::parse(list[at].as_bytes()).unwrap())) {
                    _ if record.received < horizon => Learned::Expired,
                    Some(Ordering::Less) => Learned::Stale,
                    Some(Ordering::Equal) => Learned::Known,
                    Some(Ordering::Greater) | None => Learned::News,
                };
                if expected == Learned::News {
                    known.map(|at| list.remove(at));
                    list.push(line.clone());
                }
                prop_assert_eq!(store.learn(&record), expected, "{}", line);
                horizon += pace / 2;
                list.retain(|line| received(line) >= horizon);
                store.set_horizon(horizon);
                let _ = store.sweep(looks);
                let _ = store.want_sums();
                store.sum_some(looks / 50);
                most = most.max(store.len());
                let mut lines: Vec<Vec<u8>> = list.iter().map(|line| line.clone().into_bytes()).collect();
                lines.sort();
                prop_assert_eq!(store.dump(), lines);
                let is_known = list.iter().any(|line| line.starts_with(&format!("{name} ")));
                prop_assert_eq!(store.find(name.as_bytes()).is_some(), is_known);
            }
            sweep(&mut store);
            store.set_horizon(horizon + 1);
            store.set_horizon(horizon);
            sweep(&mut store);
            prop_assert_eq!(store.len(), list.len());
            prop_assert_eq!(store.bytes(), list.iter().map(|line| line.len() as u64 + 1).sum::<u64>());
            prop_assert!(store.records.slots() as usize <= most + 1);
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
