//! When to dial a neighbour, and which of two connections to it is the link.

use crate::limits::Limits;

/// Exponential back-off with jitter: how long to wait before the next attempt.
#[derive(Clone, Debug)]
pub struct Backoff {
    min_ms: u64,
    max_ms: u64,
    /// Attempts since the last success.
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(limits: &Limits) -> Self {
        Self { min_ms: limits.redial_min_ms, max_ms: limits.redial_max_ms, failures: 0 }
    }

    /// The delay before the next attempt, in milliseconds: between half and the whole of a span that doubles with
    /// each call, up to the longest. `dice` is any random number; it keeps servers that failed together apart.
    #[must_use]
    pub fn delay_ms(&mut self, dice: u64) -> u64 {
        let doubled = self.min_ms.saturating_mul(1 << self.failures);
        self.failures = (self.failures + 1).min(u64::BITS - 1);
        let span = doubled.clamp(1, self.max_ms.max(1));
        span - dice % (span / 2 + 1)
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Which side made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// This server dialled.
    Here,
    /// The neighbour dialled.
    There,
}

/// Whether a new connection takes the place of the present one.
///
/// Where both sides dialled at once, both keep the one that the server with the lesser name made. Where the same
/// side dialled again, it has lost the present one, whether or not this side has noticed.
#[must_use]
pub fn replaces(new: Made, present: Made, here: &str, there: &str) -> bool {
    let preferred = if here < there { Made::Here } else { Made::There };
    new == present || new == preferred
}

/// How much longer this side waits than its back-off says: the server with the greater name lets the other dial
/// first, so that both seldom do.
#[must_use]
pub fn courtesy_ms(limits: &Limits, here: &str, there: &str) -> u64 {
    if here < there { 0 } else { limits.redial_min_ms.saturating_mul(2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again_after_a_success() {
        let mut backoff = Backoff { min_ms: 100, max_ms: 1000, failures: 0 };
        let delays: Vec<u64> = (0..6).map(|_| backoff.delay_ms(0)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.delay_ms(0), 100);
    }

    #[test]
    fn both_sides_choose_the_same_of_two_connections() {
        for (first, second) in [("A", "B"), ("B", "A")] {
            // `first` and `second` both dialled; each hears of its own connection first, then of the other's.
            let first_changes = replaces(Made::There, Made::Here, first, second);
            let second_changes = replaces(Made::There, Made::Here, second, first);
            assert_ne!(first_changes, second_changes);
        }
    }

    #[test]
    fn a_server_that_dials_again_has_lost_what_it_had() {
        assert!(replaces(Made::Here, Made::Here, "B", "A"));
        assert!(replaces(Made::There, Made::There, "A", "B"));
    }

    proptest! {
        #[test]
        fn a_delay_is_at_least_half_its_span_and_never_nothing(
            min_ms in 1_u64..10_000, max_ms: u64, failures in 0_usize..200, dice: u64,
        ) {
            let mut backoff = Backoff { min_ms, max_ms, failures: 0 };
            for _ in 0..failures {
                let _ = backoff.delay_ms(dice);
            }
            let span = backoff.clone().delay_ms(0);
            let delay = backoff.delay_ms(dice);
            prop_assert!(delay >= 1 && delay <= span && delay >= span / 2);
        }
    }
}
