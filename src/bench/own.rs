//! What `herd bench` itself needs: a generator that has no time tells how slow it is, and not the server.

use std::fs;
use std::time::Duration;

/// How long this thread has run, and how long it could have run and had no core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    ran: Duration,
    waited: Duration,
}

/// The parts of a measurement that the thread ran and waited for, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// It ran.
    pub busy: f64,
    /// It could have run, and others had the core.
    pub waited: f64,
}

impl Own {
    /// Reads what the kernel counts; `None` where it does not.
    pub fn now() -> Option<Own> {
        Own::parse(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    fn parse(schedstat: &str) -> Option<Own> {
        let mut times =
            schedstat.split_ascii_whitespace().map(|nanos| nanos.parse().map(Duration::from_nanos));
        Some(Own { ran: times.next()?.ok()?, waited: times.next()?.ok()? })
    }

    /// Tells which part of a time that began at `before` went by in each way.
    pub fn share(self, before: Own, took: Duration) -> Share {
        let part = |now: Duration, before| {
            now.saturating_sub(before).as_secs_f64() / took.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        Share { busy: part(self.ran, before.ran).min(1.0), waited: part(self.waited, before.waited).min(1.0) }
    }
}

impl Share {
    /// Tells whether the figures may be those of the generator. One that keeps to a rate is always busy, as it looks
    /// at the clock again and again.
    pub fn is_doubtful(self, has_rate: bool) -> bool {
        self.waited > WAITED_MAX || (!has_rate && self.busy > BUSY_MAX)
    }

    /// Says it in a line for people.
    pub fn said(self, has_rate: bool) -> String {
        let doubt =
            if self.is_doubtful(has_rate) { ": the server may be faster than this shows" } else { "" };
        let (busy, waited) = (self.busy * 100.0, self.waited * 100.0);
        format!(
            "herd bench itself was busy {busy:.0} % and waited for a core {waited:.0} % of the time{doubt}\n"
        )
    }
}

/// A generator that waits more than this for its core is late too often.
const WAITED_MAX: f64 = 0.05;

/// A generator that is busier than this hardly waits for the server.
const BUSY_MAX: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts_becomes_parts_of_the_time() {
        let [before, after] = ["1000 500 3\n", "2000500 1000500 9\n"].map(|text| Own::parse(text).unwrap());
        let share = after.share(before, Duration::from_millis(4));
        assert!((share.busy - 0.5).abs() < 0.001 && (share.waited - 0.25).abs() < 0.001, "{share:?}");
        assert!(["", "1", "x 2"].into_iter().all(|text| Own::parse(text).is_none()));
    }

    #[test]
    fn a_generator_without_time_is_doubted_and_one_that_watches_the_clock_is_not() {
        let (busy, late) = (Share { busy: 0.95, waited: 0.0 }, Share { busy: 0.5, waited: 0.2 });
        assert!(busy.is_doubtful(false) && !busy.is_doubtful(true));
        assert!(late.is_doubtful(false) && late.is_doubtful(true));
        assert!(
            late.said(true).contains("waited for a core 20 %") && late.said(true).contains("may be faster")
        );
        assert!(!Share { busy: 0.5, waited: 0.01 }.said(false).contains("may be faster"));
    }
}
