//! What a server has promised, by its answers and by the time that has passed, to know when it comes back.

use crate::records::Record;
use herd_actors::journal::Durability;
use std::collections::{BTreeMap, VecDeque};

/// Records by their clients.
pub type Memory = BTreeMap<String, Record>;

/// What one server has to know after whatever happens to it.
#[derive(Clone, Debug, Default)]
pub struct Pledges {
    /// How it keeps what it knows; `None` keeps everything in memory alone.
    pub durability: Option<Durability>,
    /// What must survive the end of the process.
    written: Memory,
    /// What must survive a loss of power.
    lasting: Memory,
    /// What must survive it soon, and since when it is known, in milliseconds.
    young: VecDeque<(u64, Record)>,
    /// Since when everything that was known at that time must survive a loss of power.
    lasting_ms: u64,
}

/// How long what was written may take to become lasting: the time that herd gives itself for it, twice, as a sync may
/// just be under way, and that of two syncs.
const BEHIND_MS: u64 = 250;

impl Pledges {
    pub fn new(durability: Option<Durability>) -> Self {
        Self { durability, ..Self::default() }
    }

    /// Notes a record that a client was told is kept, or that was seen to be known.
    pub fn note(&mut self, record: &Record, is_acknowledged: bool, now_ms: u64) {
        let Some(durability) = self.durability else { return };
        keep(&mut self.written, record);
        match durability {
            Durability::Sync if is_acknowledged => keep(&mut self.lasting, record),
            Durability::Sync | Durability::Write => self.young.push_back((now_ms, record.clone())),
            Durability::None => {}
        }
    }

    /// Lets time pass in which the disk was as fast as it should be.
    pub fn age(&mut self, now_ms: u64) {
        while self.young.front().is_some_and(|(since, _)| since + BEHIND_MS <= now_ms) {
            let Some((since, record)) = self.young.pop_front() else { return };
            keep(&mut self.lasting, &record);
            self.lasting_ms = self.lasting_ms.max(since);
        }
    }

    /// Notes that everything must be lasting now: it was read from disk and made sure of, or flushed to it.
    pub fn settle(&mut self, now_ms: u64) {
        self.young.clear();
        self.lasting.clone_from(&self.written);
        self.lasting_ms = now_ms;
    }

    /// The process has ended: what the operating system has it writes in its own time.
    pub fn end(&mut self) {
        self.young.clear();
    }

    /// Power is lost. Returned is the time up to which an acknowledged record must have survived, in milliseconds.
    pub fn lose_power(&mut self) -> u64 {
        self.young.clear();
        self.written.clone_from(&self.lasting);
        match self.durability {
            Some(Durability::Sync) => u64::MAX,
            Some(_) => self.lasting_ms,
            None => 0,
        }
    }

    /// A record may have been lost by a damage of the disk.
    pub fn excuse(&mut self, record: &Record) {
        for memory in [&mut self.written, &mut self.lasting] {
            if memory.get(&record.client).is_some_and(|kept| kept.cmp_age(record).is_le()) {
                memory.remove(&record.client);
            }
        }
    }

    /// What must be known that is not.
    pub fn missed(&self, known: &Memory) -> Vec<Record> {
        let is_missed =
            |record: &&Record| known.get(&record.client).is_none_or(|known| known.cmp_age(record).is_lt());
        self.written.values().filter(is_missed).cloned().collect()
    }
}

fn keep(memory: &mut Memory, record: &Record) {
    match memory.get_mut(&record.client) {
        Some(kept) if kept.cmp_age(record).is_ge() => {}
        Some(kept) => kept.clone_from(record),
        None => {
            memory.insert(record.client.clone(), record.clone());
        }
    }
}
