//! Complaints that anybody outside can give cause for as often as they like: the log has them now and then. Why something
//! fails again and again it has when that changes.

use log::{Level, log};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How often the log says the same of whoever is refused, while that goes on.
pub const EVERY: Duration = Duration::from_secs(10);

/// One kind of complaint. The first are logged at once, those that follow soon are only counted.
#[derive(Debug)]
pub struct Complaints {
    /// How many are logged in a while.
    most: u64,
    /// When the first of the last while was logged, and how many were since.
    began: Cell<Option<Instant>>,
    logged: Cell<u64>,
    /// How many were not.
    unsaid: Cell<u64>,
}

impl Default for Complaints {
    fn default() -> Self {
        Self::some(1)
    }
}

impl Complaints {
    /// Complaints that are not all about the same: so many are logged in a while.
    pub fn some(most: u64) -> Self {
        Self { most, began: Cell::default(), logged: Cell::default(), unsaid: Cell::default() }
    }

    /// Logs a complaint, or counts it.
    pub fn make(&self, complaint: fmt::Arguments<'_>) {
        self.log(Level::Warn, complaint);
    }

    /// Logs what is no complaint, or counts it.
    pub fn mention(&self, event: fmt::Arguments<'_>) {
        self.log(Level::Info, event);
    }

    fn log(&self, level: Level, event: fmt::Arguments<'_>) {
        match self.others() {
            None => {}
            Some(0) => log!(level, "{event}"),
            Some(others) => log!(level, "{event} ({others} more were not logged)"),
        }
    }

    /// How many were counted before one that is to be logged.
    fn others(&self) -> Option<u64> {
        let is_new = self.began.get().is_none_or(|began| began.elapsed() >= EVERY);
        if is_new {
            self.began.set(Some(Instant::now()));
            self.logged.set(0);
        } else if self.logged.get() >= self.most {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.logged.set(self.logged.get() + 1);
        Some(self.unsaid.take())
    }
}

/// Why something failed the last time that is tried again and again.
#[derive(Debug, Default)]
pub struct LastReason(String);

impl LastReason {
    /// Logs that it failed again, as a warning if that has another reason: the same is no news each second.
    pub fn log(&mut self, reason: &str, event: fmt::Arguments<'_>) {
        let level = if self.changes_to(reason) { Level::Warn } else { Level::Debug };
        log!(level, "{event}: {reason}");
    }

    /// Takes the next reason, and tells whether it is another, by more than its numbers, such as for how many seconds a
    /// certificate has not been valid.
    fn changes_to(&mut self, reason: &str) -> bool {
        let without_numbers = reason.replace(|sign: char| sign.is_ascii_digit(), "");
        let is_other = without_numbers != self.0;
        self.0 = without_numbers;
        is_other
    }

    /// Forgets it: it has not failed.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_another_when_more_than_its_numbers_has_changed_or_it_has_not_failed_meanwhile() {
        let mut last = LastReason::default();
        assert!(last.changes_to("late by 9 s"));
        assert!(!last.changes_to("late by 10 s"));
        assert!(last.changes_to("refused"));
        last.clear();
        assert!(last.changes_to("refused"));
    }

    #[actix::test]
    async fn the_first_is_logged_and_later_one_with_how_many_there_were() {
        tokio::time::pause();
        let complaints = Complaints::default();
        let made: Vec<_> = (0..3).map(|_| complaints.others()).collect();
        assert_eq!(made, [Some(0), None, None]);
        tokio::time::advance(EVERY).await;
        assert_eq!([complaints.others(), complaints.others()], [Some(2), None]);
        tokio::time::advance(EVERY).await;
        assert_eq!(complaints.others(), Some(1));
    }

    #[actix::test]
    async fn of_different_complaints_some_are_logged_at_once() {
        tokio::time::pause();
        let complaints = Complaints::some(2);
        let made: Vec<_> = (0..4).map(|_| complaints.others()).collect();
        assert_eq!(made, [Some(0), Some(0), None, None]);
        tokio::time::advance(EVERY).await;
        assert_eq!([complaints.others(), complaints.others(), complaints.others()], [Some(2), Some(0), None]);
    }
}
