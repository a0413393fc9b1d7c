//! A budget of requests for each 24 hours.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Counts requests. A day begins with the first request after the last day ended; a restart begins anew.
#[derive(Debug)]
pub struct Budget {
    per_day: u32,
    spent: u32,
    day_began: Duration,
}

impl Budget {
    /// Starts with nothing spent.
    pub fn new(per_day: u32) -> Budget {
        Budget { per_day, spent: 0, day_began: Duration::ZERO }
    }

    /// Spends one request, or says for how long there is none left.
    pub fn spend(&mut self, now: Duration) -> Result<(), Duration> {
        let ends = self.day_began + DAY;
        if self.spent == 0 || now >= ends {
            self.day_began = now;
            self.spent = 0;
        }
        if self.spent >= self.per_day {
            return Err((self.day_began + DAY).saturating_sub(now));
        }
        self.spent += 1;
        Ok(())
    }

    /// Says for how long there is none left, spending nothing.
    pub fn check(&self, now: Duration) -> Result<(), Duration> {
        let ends = self.day_began + DAY;
        if self.spent >= self.per_day && now < ends { Err(ends.saturating_sub(now)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn a_spent_budget_comes_back_a_day_after_it_was_begun() {
        let mut budget = Budget::new(2);
        assert_eq!(budget.spend(hours(5)), Ok(()));
        assert_eq!(budget.spend(hours(6)), Ok(()));
        assert_eq!(budget.check(hours(7)), Err(hours(22)));
        assert_eq!(budget.spend(hours(7)), Err(hours(22)));
        assert_eq!(budget.check(hours(29)), Ok(()));
        assert_eq!(budget.spend(hours(29)), Ok(()));
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        assert!(Budget::new(0).spend(hours(0)).is_err());
        assert!(Budget::new(0).spend(hours(50)).is_err());
    }
}
