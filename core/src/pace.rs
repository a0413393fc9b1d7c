//! How often a link writes: at once while it has little to say, once per millisecond while it has much.
//!
//! On a busy link, what comes within a millisecond goes over it in one write and is read at once; on an idle one,
//! nobody would gain by waiting.

/// How long a busy link waits from one write to the next, in microseconds.
const WINDOW_US: u64 = 1_000;

/// Writes that follow each other faster than this, in microseconds, make a link busy.
const CLOSE_US: u64 = 100;

/// So many bytes in a write mean that more than a few updates came since the last.
const BUSY_BYTES: usize = 1024;

/// So many are worth a write, whenever they come.
const AMPLE_BYTES: usize = 16 * 1024;

/// When a link wrote last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last_us: Option<u64>,
}

impl Pace {
    /// Notes a write; tells how long to wait before the next, in microseconds. `now_us` is a clock of any origin.
    #[must_use]
    pub fn wrote(&mut self, bytes: usize, now_us: u64) -> u64 {
        let last_us = self.last_us.replace(now_us);
        let is_close = last_us.is_some_and(|last_us| now_us.saturating_sub(last_us) < CLOSE_US);
        let is_busy = is_close || bytes >= BUSY_BYTES;
        if is_busy && bytes < AMPLE_BYTES { WINDOW_US } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_link_never_waits() {
        let mut pace = Pace::default();
        for turn in 0..100 {
            assert_eq!(pace.wrote(100, turn * CLOSE_US), 0);
        }
    }

    #[test]
    fn a_busy_link_waits_as_long_as_it_is_busy() {
        let mut pace = Pace::default();
        assert_eq!(pace.wrote(100, 0), 0);
        assert_eq!(pace.wrote(100, 50), WINDOW_US);
        assert_eq!(pace.wrote(2_000, 1_050), WINDOW_US);
        assert_eq!(pace.wrote(100, 2_050), 0);
    }

    #[test]
    fn a_link_with_more_than_enough_for_a_write_does_not_wait() {
        let mut pace = Pace::default();
        assert_eq!(pace.wrote(64 * 1024, 0), 0);
        assert_eq!(pace.wrote(64 * 1024, 50), 0);
    }
}
