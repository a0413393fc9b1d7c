//! What a whole store sums up to, so that two stores can be compared by a few bytes.
//!
//! Every client falls into one of 65,536 buckets, by a hash that is the same on all servers of a herd. A bucket sums up
//! to the keyed hashes of its record lines, added; 256 buckets make a node, 256 nodes the root. Sums do not depend on
//! the order in which records came, and a bucket that changed changes its node and the root by the difference.
//!
//! To hash a record costs more than to take it, so a change only marks its bucket; what is marked is summed when
//! somebody asks, a few buckets at a time ([`Digest::step`]). A [`Pass`] over all buckets is what somebody waits for
//! who wants sums that cover what is known now. Sums that were not renewed are those of an earlier store, and
//! a store only ever learns, but for what has expired: a neighbour whose old sums equal one's own knows at least that much.

use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128};
use std::fmt;
use std::hash::Hasher;

/// How many children a node of the tree has.
pub const FAN_OUT: usize = 256;

/// How many buckets there are.
pub const BUCKETS: usize = FAN_OUT * FAN_OUT;

/// What everything sums up to.
pub type Root = u128;

/// What the children of one node sum up to: as much of it as is sent.
pub type Sums = [u64; FAN_OUT];

/// A place in the tree whose children have sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The root; its children are the 256 nodes.
    Root,
    /// One of the nodes; its children are 256 buckets.
    Inner(u8),
}

/// What all servers of a herd hash with. Who does not know it cannot choose records whose sums deceive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// A key of any bytes that the herd shares.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bucket of a client.
    pub fn bucket(&self, client: &[u8]) -> u16 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(client);
        let [high, low, ..] = hasher.finish().to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// What a record line adds to the sum of its bucket.
    pub fn sum(&self, line: &[u8]) -> u128 {
        let mut hasher = sip128::SipHasher13::new_with_key(&self.0);
        hasher.write(line);
        hasher.finish128().as_u128()
    }
}

impl Default for Key {
    /// The key of herds that share no secret: everybody knows it.
    fn default() -> Self {
        Self(*b"herds are public")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// When somebody can be told sums: after the pass of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pass(u64);

/// The sums over one store, and which of its records are in which bucket.
///
/// The store names its records by slots: the next number, or one whose record was removed.
pub struct Digest {
    key: Key,
    /// The newest slot of each bucket, plus 1; 0 if it has none.
    heads: Vec<u32>,
    /// For each slot the one before and the one behind it in its bucket, which is a chain.
    links: Vec<Links>,
    buckets: Vec<u128>,
    nodes: Vec<u128>,
    root: u128,
    /// A bit for each bucket that changed since it was summed.
    marks: Vec<u64>,
    marked: usize,
    /// The next bucket that the pass under way looks at. It never goes back: whoever changes the same records again and
    /// again would keep it from its end.
    at: usize,
    /// How many passes are over.
    passes: u64,
    /// The number of the last pass that somebody waits for.
    wanted: u64,
}

/// The slots of a bucket before and behind one, each plus 1; 0 if there is none.
#[derive(Clone, Copy, Default)]
struct Links {
    newer: u32,
    older: u32,
}

/// How many buckets one word of marks is for.
const WORD: usize = u64::BITS as usize;

/// So many bytes of a record line take as long to sum as a record that is short.
const BYTES_OF_ONE: usize = 256;

/// What one record adds to the sum of its bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addend {
    /// The keyed hash of its line.
    pub sum: u128,
    /// How long the line is.
    pub bytes: usize,
}

impl Default for Digest {
    fn default() -> Self {
        Self::new(Key::default())
    }
}

impl Digest {
    /// The sums over nothing.
    pub fn new(key: Key) -> Self {
        Self {
            key,
            heads: vec![0; BUCKETS],
            links: Vec::new(),
            buckets: vec![0; BUCKETS],
            nodes: vec![0; FAN_OUT],
            root: 0,
            marks: vec![0; BUCKETS / WORD],
            marked: 0,
            at: 0,
            passes: 0,
            wanted: 0,
        }
    }

    /// What it hashes with.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Notes that a slot was taken, for a client of a bucket that is new: the next one, or one that was removed.
    pub fn add(&mut self, slot: u32, bucket: u16) {
        let bucket = usize::from(bucket);
        // The store leaves out the last number that a slot could have.
        let older = std::mem::replace(&mut self.heads[bucket], slot + 1);
        let links = Links { newer: 0, older };
        match self.links.get_mut(slot as usize) {
            Some(place) => *place = links,
            None => self.links.push(links),
        }
        if let Some(older) = self.linked(older) {
            older.newer = slot + 1;
        }
        self.mark(bucket);
    }

    /// Notes that the record in a slot was removed, of a client of a bucket.
    pub fn remove(&mut self, slot: u32, bucket: u16) {
        let bucket = usize::from(bucket);
        let Some(Links { newer, older }) = self.linked(slot + 1).map(|links| *links) else { return };
        match self.linked(newer) {
            Some(newer) => newer.older = older,
            None => self.heads[bucket] = older,
        }
        if let Some(older) = self.linked(older) {
            older.newer = newer;
        }
        self.mark(bucket);
    }

    /// The place of a slot that is given plus 1.
    fn linked(&mut self, link: u32) -> Option<&mut Links> {
        self.links.get_mut(link.checked_sub(1)? as usize)
    }

    /// Notes that a client of a bucket that is known has another record.
    #[inline]
    pub fn change(&mut self, bucket: u16) {
        self.mark(usize::from(bucket));
    }

    #[inline]
    fn mark(&mut self, bucket: usize) {
        let (word, bit) = (&mut self.marks[bucket / WORD], 1 << (bucket % WORD));
        self.marked += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// The slots of a bucket, or what is left of them from one on.
    pub fn slots(&self, bucket: u16, from: Option<u32>) -> impl Iterator<Item = u32> {
        let first = from.map_or(self.heads[usize::from(bucket)], |slot| slot + 1);
        let next = |&link: &u32| self.links.get(link.checked_sub(1)? as usize).map(|links| links.older);
        std::iter::successors(Some(first), next).take_while(|&link| link > 0).map(|link| link - 1)
    }

    /// Asks for sums that cover everything there is now; [`Digest::covers`] tells when that is so.
    pub fn want(&mut self) -> Pass {
        let is_under_way = self.passes < self.wanted && self.at > 0;
        let pass = self.passes + 1 + u64::from(is_under_way);
        self.wanted = self.wanted.max(pass);
        Pass(pass)
    }

    /// Whether the sums cover all that was known when somebody wanted them.
    pub fn covers(&self, Pass(pass): Pass) -> bool {
        self.passes >= pass || self.marked == 0
    }

    /// Goes on with the passes that are wanted until about so many records were summed, where a long one counts as many;
    /// `sum` tells what one adds. A bucket is summed whole, however many records it has.
    pub fn step(&mut self, records: usize, mut sum: impl FnMut(u32) -> Addend) {
        let mut left = records;
        while self.passes < self.wanted {
            if self.marked == 0 {
                self.passes = self.wanted;
                self.at = 0;
                return;
            }
            while let Some(bucket) = self.marked_from(self.at) {
                if left == 0 {
                    return;
                }
                left = left.saturating_sub(1 + self.renew(bucket, &mut sum));
                self.at = bucket + 1;
            }
            self.passes += 1;
            self.at = 0;
        }
    }

    /// Renews the sums of the children of a node that changed, until about so many records were summed; tells how
    /// many were. Both count as in [`Digest::step`].
    ///
    /// The children of the root are left as they are: only a pass renews so much.
    pub fn renew_node(
        &mut self,
        node: Node,
        records_max: usize,
        mut sum: impl FnMut(u32) -> Addend,
    ) -> usize {
        let Node::Inner(node) = node else { return 0 };
        let first = usize::from(node) * FAN_OUT;
        let (mut at, mut records) = (first, 0);
        while records < records_max
            && let Some(bucket) = self.marked_from(at).filter(|&bucket| bucket < first + FAN_OUT)
        {
            records += 1 + self.renew(bucket, &mut sum);
            at = bucket + 1;
        }
        records
    }

    /// The first bucket from one on that changed since it was summed.
    fn marked_from(&self, bucket: usize) -> Option<usize> {
        let mut mask = u64::MAX << (bucket % WORD);
        for (word, marks) in self.marks.iter().enumerate().skip(bucket / WORD) {
            if marks & mask != 0 {
                return Some(word * WORD + (marks & mask).trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Sums a bucket anew; tells how many records that took.
    fn renew(&mut self, bucket: usize, mut sum: impl FnMut(u32) -> Addend) -> usize {
        let (mut total, mut records) = (0_u128, 0);
        for slot in self.slots(u16::try_from(bucket).unwrap_or_default(), None) {
            let Addend { sum, bytes } = sum(slot);
            total = total.wrapping_add(sum);
            records += 1 + bytes / BYTES_OF_ONE;
        }
        let difference = total.wrapping_sub(self.buckets[bucket]);
        self.buckets[bucket] = total;
        let node = &mut self.nodes[bucket / FAN_OUT];
        *node = node.wrapping_add(difference);
        self.root = self.root.wrapping_add(difference);
        self.marks[bucket / WORD] &= !(1 << (bucket % WORD));
        self.marked -= 1;
        records
    }

    /// What everything summed up to when it was last summed.
    pub fn root(&self) -> Root {
        self.root
    }

    /// What the children of a node summed up to when they were last summed.
    pub fn sums(&self, node: Node) -> Box<Sums> {
        let children = match node {
            Node::Root => &self.nodes[..],
            Node::Inner(node) => &self.buckets[usize::from(node) * FAN_OUT..][..FAN_OUT],
        };
        let mut sums = Box::new([0; FAN_OUT]);
        for (sum, child) in sums.iter_mut().zip(children) {
            *sum = folded(*child);
        }
        sums
    }
}

/// As much of a sum as is sent: its lower half, and never 0 but for 0, which says that there is nothing.
fn folded(sum: u128) -> u64 {
    let half = u64::try_from(sum & u128::from(u64::MAX)).unwrap_or_default();
    if sum == 0 { 0 } else { half.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: usize = usize::MAX;

    /// A store that is as simple as can be: the client is a number, the record another.
    #[derive(Default)]
    struct Simple {
        digest: Digest,
        records: Vec<Option<(u16, u64)>>,
    }

    impl Simple {
        fn learn(&mut self, client: u16, record: u64) {
            if let Some(slot) = self.find(client) {
                self.records[slot] = Some((client, record));
                self.digest.change(self.bucket(client));
                return;
            }
            let free = self.records.iter().position(Option::is_none);
            let slot = free.unwrap_or_else(|| {
                self.records.push(None);
                self.records.len() - 1
            });
            self.records[slot] = Some((client, record));
            self.digest.add(u32::try_from(slot).unwrap(), self.bucket(client));
        }

        fn forget(&mut self, client: u16) {
            if let Some(slot) = self.find(client) {
                self.records[slot] = None;
                self.digest.remove(u32::try_from(slot).unwrap(), self.bucket(client));
            }
        }

        fn bucket(&self, client: u16) -> u16 {
            self.digest.key().bucket(&client.to_be_bytes())
        }

        fn find(&self, client: u16) -> Option<usize> {
            self.records.iter().position(|record| record.is_some_and(|(known, _)| known == client))
        }

        fn step(&mut self, records: usize) {
            let (key, known) = (self.digest.key(), &self.records);
            let sum =
                |slot: u32| known[slot as usize].map_or(0, |(_, record)| key.sum(&record.to_be_bytes()));
            self.digest.step(records, |slot| Addend { sum: sum(slot), bytes: 0 });
        }

        fn root(&mut self) -> Root {
            let wanted = self.digest.want();
            self.step(ALL);
            assert!(self.digest.covers(wanted));
            self.digest.root()
        }
    }

    #[test]
    fn nothing_sums_up_to_nothing() {
        let mut digest = Digest::default();
        let wanted = digest.want();
        assert!(digest.covers(wanted));
        assert_eq!((digest.root(), digest.sums(Node::Root)), (0, Box::new([0; FAN_OUT])));
    }

    #[test]
    fn a_sum_that_is_sent_is_0_only_for_nothing() {
        assert_eq!([0, 1, 1 << 64, (1 << 64) + 7].map(folded), [0, 1, 1, 7]);
    }

    #[test]
    fn what_changes_during_a_pass_waits_for_the_next_one() {
        let mut simple = Simple::default();
        (0..1000).for_each(|client| simple.learn(client, 1));
        let first = simple.digest.want();
        simple.step(300);
        simple.learn(0, 2);
        let second = simple.digest.want();
        assert!(first < second && !simple.digest.covers(first));
        while !simple.digest.covers(first) {
            simple.step(300);
        }
        let mut steps = 0;
        while !simple.digest.covers(second) {
            simple.step(300);
            steps += 1;
        }
        assert!(steps <= 1);
        assert_eq!(simple.digest.marked, 0);
    }

    /// They were all summed again in each step, none of the others was, and no neighbour heard a digest.
    #[test]
    fn a_pass_ends_though_the_same_records_change_all_the_time() {
        let mut simple = Simple::default();
        (0..5000).for_each(|client| simple.learn(client, 0));
        let first: Vec<u16> = (0..5000).filter(|&client| simple.bucket(client) < 64).collect();
        assert!(first.len() > 1, "{first:?}");
        let wanted = simple.digest.want();
        let mut steps = 0;
        while !simple.digest.covers(wanted) {
            for &client in &first {
                simple.learn(client, steps);
            }
            simple.step(first.len());
            steps += 1;
            assert!(steps < 10_000);
        }
    }

    #[test]
    fn a_long_record_counts_as_many() {
        let mut digest = Digest::default();
        (0..3_u16).for_each(|slot| digest.add(slot.into(), slot));
        let wanted = digest.want();
        let steps = |digest: &mut Digest, bytes: usize| {
            digest.step(4, |_| Addend { sum: 1, bytes });
            digest.marked
        };
        assert_eq!([steps(&mut digest, 4 * BYTES_OF_ONE), steps(&mut digest, 0)], [2, 0]);
        assert!(digest.covers(wanted));
    }

    #[test]
    fn a_herd_with_another_key_has_other_buckets_and_sums() {
        let (own, other) = (Key::default(), Key::new([7; 16]));
        assert_ne!(own.sum(b"kiwi"), other.sum(b"kiwi"));
        assert!((0..9_u8).any(|client| own.bucket(&[client]) != other.bucket(&[client])));
    }

    proptest! {
        #[test]
        fn sums_that_were_kept_up_equal_sums_made_afresh(
            updates in prop::collection::vec((0..40_u16, prop::option::weighted(0.7, any::<u64>()), 0..6_usize), 0..80),
        ) {
            let mut kept_up = Simple::default();
            for &(client, record, records) in &updates {
                match record {
                    Some(record) => kept_up.learn(client, record),
                    None => kept_up.forget(client),
                }
                let _ = kept_up.digest.want();
                kept_up.step(records);
            }
            let mut afresh = Simple::default();
            for &(client, record) in kept_up.records.iter().rev().flatten() {
                afresh.learn(client, record);
            }
            prop_assert_eq!(kept_up.root(), afresh.root());
            for node in std::iter::once(Node::Root).chain((0..=255).map(Node::Inner)) {
                prop_assert_eq!(kept_up.digest.sums(node), afresh.digest.sums(node));
            }
        }

        #[test]
        fn one_other_record_is_another_root(records in prop::collection::btree_map(0..40_u16, any::<u64>(), 1..40)) {
            let mut one = Simple::default();
            let mut other = Simple::default();
            for (at, (&client, &record)) in records.iter().enumerate() {
                one.learn(client, record);
                other.learn(client, record ^ u64::from(at == 0));
            }
            prop_assert_ne!(one.root(), other.root());
        }
    }
}
