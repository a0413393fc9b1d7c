//! Complaints that anybody outside can give cause for as often as they like: the log has them now and then.

use log::warn;
use std::cell::Cell;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How often the log says the same of whoever is refused, while that goes on.
pub const EVERY: Duration = Duration::from_secs(10);

/// One kind of complaint. The first is logged at once, those that follow soon are only counted.
#[derive(Debug, Default)]
pub struct Complaints {
    logged: Cell<Option<Instant>>,
    /// How many there were since then.
    unsaid: Cell<u64>,
}

impl Complaints {
    /// Logs a complaint, or counts it.
    pub fn make(&self, complaint: fmt::Arguments<'_>) {
        match self.others() {
            None => {}
            Some(0) => warn!("{complaint}"),
            Some(others) => warn!("{complaint} ({others} more were not logged)"),
        }
    }

    /// How many were counted before one that is to be logged.
    fn others(&self) -> Option<u64> {
        if self.logged.get().is_some_and(|logged| logged.elapsed() < EVERY) {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.logged.set(Some(Instant::now()));
        Some(self.unsaid.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
