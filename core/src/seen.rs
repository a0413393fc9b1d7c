//! The UUIDs of updates and searches that came by already, so that each is handled once.

use crate::faults::{self, Fault};
use hashbrown::HashMap;
use uuid::Uuid;

/// A bounded set that forgets: two generations, the older dropped when the younger is full or has had its time. With
/// each UUID goes what is to be remembered of it.
///
/// What it forgets too early costs repeated work: an update that comes again changes nothing, because the store takes a record
/// only once, and a search is made once more.
#[derive(Debug)]
pub struct Seen<T = ()> {
    young: HashMap<Uuid, T>,
    old: HashMap<Uuid, T>,
    /// When the young generation began, in milliseconds.
    began_ms: u64,
    generation_max: usize,
    generation_ms: u64,
}

impl<T> Seen<T> {
    /// An empty set with so many UUIDs to a generation, and so many milliseconds.
    pub fn new(generation_max: usize, generation_ms: u64) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), began_ms: 0, generation_max, generation_ms }
    }

    /// Remembers a UUID, and something of it if it is new; true if it is.
    #[must_use]
    pub fn insert(&mut self, uuid: Uuid, what: T, now_ms: u64) -> bool {
        let is_old = now_ms.saturating_sub(self.began_ms) >= self.generation_ms;
        if is_old || self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
            self.began_ms = now_ms;
        }
        let is_new = !self.old.contains_key(&uuid) && self.young.try_insert(uuid, what).is_ok();
        is_new || faults::is_on(Fault::ForgetsSeen)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// What is remembered of a UUID.
    pub fn find(&mut self, uuid: &Uuid) -> Option<&mut T> {
        self.young.get_mut(uuid).or_else(|| self.old.get_mut(uuid))
    }

    /// How many UUIDs it holds: never more than two generations of them.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// True while it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_new_only_once() {
        let mut seen = Seen::new(10, 1000);
        assert!(seen.insert(Uuid::from_u128(1), (), 0));
        assert!(!seen.insert(Uuid::from_u128(1), (), 1500));
    }

    #[test]
    fn what_came_first_is_remembered() {
        let mut seen = Seen::new(1, 1000);
        let uuid = Uuid::from_u128(1);
        assert!(seen.insert(uuid, "first", 0));
        assert!(!seen.insert(uuid, "second", 0));
        assert_eq!(seen.find(&uuid), Some(&mut "first"));
        assert_eq!(seen.find(&Uuid::nil()), None);
    }

    #[test]
    fn no_more_than_two_generations_are_kept() {
        let mut seen = Seen::new(10, 1000);
        for number in 0..1000 {
            assert!(seen.insert(Uuid::from_u128(number), (), 0));
            assert!(seen.len() <= 20);
        }
        assert!(!seen.insert(Uuid::from_u128(999), (), 0));
        assert!(seen.insert(Uuid::from_u128(1), (), 0));
    }

    #[test]
    fn a_generation_ends_when_it_is_full_and_not_before() {
        let mut seen = Seen::new(2, 1000);
        for (number, length) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3)] {
            assert!(seen.insert(Uuid::from_u128(number), (), 0));
            assert_eq!(seen.len(), length);
        }
        assert!(!seen.insert(Uuid::from_u128(3), (), 0), "it is of the generation before");
        assert!(seen.insert(Uuid::from_u128(2), (), 0), "it is of the one before that");
    }

    #[test]
    fn a_generation_ends_when_its_time_is_up_and_not_before() {
        let mut seen = Seen::new(10, 1000);
        for (number, now_ms, length) in [(1, 999, 1), (2, 1000, 2), (3, 1999, 3), (4, 2000, 3)] {
            assert!(seen.insert(Uuid::from_u128(number), (), now_ms));
            assert_eq!(seen.len(), length, "{now_ms}");
        }
    }

    #[test]
    fn a_uuid_is_remembered_for_at_least_one_generation_and_at_most_two() {
        let mut seen = Seen::new(10, 1000);
        assert!(seen.insert(Uuid::from_u128(1), (), 0));
        assert!(!seen.insert(Uuid::from_u128(1), (), 1999));
        assert!(seen.insert(Uuid::from_u128(2), (), 3000));
        assert!(seen.insert(Uuid::from_u128(1), (), 3001));
    }
}
