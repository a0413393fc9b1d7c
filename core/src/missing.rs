//! Updates that neighbours have and that did not come here: whom to ask for them, and when.
//!
//! What is announced comes along its tree a moment sooner or later. If it does not, the tree is broken somewhere, and
//! those who announced it are asked for it, one after the other. If none of them sends it, digests bring it.

use crate::faults::{self, Fault};
use crate::limits::Limits;
use crate::tree::Way;
use hashbrown::HashMap;
use std::collections::VecDeque;
use uuid::Uuid;

/// The updates that are missing.
#[derive(Debug)]
pub struct Missing {
    open: HashMap<Uuid, Wait>,
    /// When something is to be done for an update, in that order. The first of them is open.
    due: VecDeque<(u64, Uuid)>,
    pull_ms: u64,
    most: usize,
}

/// One that is waited for.
#[derive(Debug)]
struct Wait {
    /// Those who announced it and were not asked.
    announcers: VecDeque<Way>,
    /// Who was asked last.
    asked: Option<Way>,
}

impl Missing {
    /// Nothing is missing.
    pub fn new(limits: &Limits) -> Self {
        Self { open: HashMap::new(), due: VecDeque::new(), pull_ms: limits.pull_ms, most: limits.missing_max }
    }

    /// Notes that a neighbour has an update that did not come yet.
    pub fn announced(&mut self, uuid: Uuid, way: Way, now_ms: u64) {
        if let Some(wait) = self.open.get_mut(&uuid) {
            if wait.asked != Some(way) && !wait.announcers.contains(&way) {
                wait.announcers.push_back(way);
            }
            return;
        }
        if self.due.len() < self.most && !faults::is_on(Fault::NoPulling) {
            self.open.insert(uuid, Wait { announcers: VecDeque::from([way]), asked: None });
            self.due.push_back((now_ms.saturating_add(self.pull_ms), uuid));
        }
    }

    /// Notes that an update came; tells who was asked for it.
    pub fn came(&mut self, uuid: &Uuid) -> Option<Way> {
        let wait = self.open.remove(uuid)?;
        self.forget_done();
        wait.asked
    }

    /// Whom to ask for what, now.
    #[must_use]
    pub fn pull(&mut self, now_ms: u64) -> Vec<(Way, Uuid)> {
        let mut asked = Vec::new();
        while let Some(&(at_ms, uuid)) = self.due.front()
            && at_ms <= now_ms
        {
            self.due.pop_front();
            let Some(wait) = self.open.get_mut(&uuid) else { continue };
            match wait.announcers.pop_front() {
                Some(way) => {
                    wait.asked = Some(way);
                    self.due.push_back((now_ms.saturating_add(self.pull_ms), uuid));
                    asked.push((way, uuid));
                }
                None => drop(self.open.remove(&uuid)),
            }
        }
        self.forget_done();
        asked
    }

    /// When the next is to be asked for.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.due.front().map(|&(at_ms, _)| at_ms)
    }

    /// Forgets that a neighbour has anything.
    pub fn lose(&mut self, way: Way) {
        for wait in self.open.values_mut() {
            wait.announcers.retain(|announcer| *announcer != way);
        }
    }

    /// How many are missing, and some that came a moment ago.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    fn forget_done(&mut self) {
        while self.due.front().is_some_and(|(_, uuid)| !self.open.contains_key(uuid)) {
            self.due.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PULL_MS: u64 = 100;

    fn missing() -> Missing {
        Missing::new(&Limits { pull_ms: PULL_MS, missing_max: 3, ..Limits::default() })
    }

    fn uuid(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn those_who_have_what_is_missing_are_asked_one_after_the_other() {
        let mut missing = missing();
        missing.announced(uuid(1), Way(7), 0);
        missing.announced(uuid(1), Way(8), 50);
        assert_eq!((missing.deadline_ms(), missing.pull(PULL_MS - 1)), (Some(PULL_MS), vec![]));
        assert_eq!(missing.pull(PULL_MS), [(Way(7), uuid(1))]);
        assert_eq!(missing.pull(2 * PULL_MS), [(Way(8), uuid(1))]);
        assert_eq!(missing.pull(3 * PULL_MS), []);
        assert_eq!((missing.deadline_ms(), missing.len()), (None, 0));
    }

    #[test]
    fn what_comes_is_not_asked_for_and_who_was_asked_is_told() {
        let mut missing = missing();
        missing.announced(uuid(1), Way(7), 0);
        missing.announced(uuid(2), Way(7), 10);
        assert_eq!(missing.came(&uuid(1)), None);
        assert_eq!(missing.deadline_ms(), Some(10 + PULL_MS));
        assert_eq!(missing.pull(10 + PULL_MS), [(Way(7), uuid(2))]);
        assert_eq!(missing.came(&uuid(2)), Some(Way(7)));
        assert_eq!(missing.deadline_ms(), None);
    }

    #[test]
    fn a_neighbour_that_is_lost_is_not_asked() {
        let mut missing = missing();
        missing.announced(uuid(1), Way(7), 0);
        missing.announced(uuid(1), Way(8), 0);
        missing.lose(Way(7));
        assert_eq!(missing.pull(PULL_MS), [(Way(8), uuid(1))]);
    }

    #[test]
    fn no_more_are_waited_for_than_the_limit_allows() {
        let mut missing = missing();
        for number in 0..100 {
            missing.announced(uuid(number), Way(7), 0);
        }
        assert_eq!(missing.len(), 3);
        assert!((0..3).all(|number| missing.came(&uuid(number)).is_none()));
        missing.announced(uuid(100), Way(7), 0);
        assert_eq!(missing.len(), 1);
    }
}
