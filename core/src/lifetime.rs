//! How long a record lives: the rule by which servers forget the same, however their clocks go.
//!
//! A record lives for a time from its receipt on, which it carries with it. To go by each server's clock to the
//! nanosecond would make two servers that know the same differ at nearly every moment, and each would fetch
//! in vain what the other is about to forget. So they forget in steps: time is cut into epochs of a sixteenth of the
//! lifetime, counted from 1970, and a record has expired when the lifetime has passed since the end of the
//! epoch in which it was received. It lives for the lifetime at least and a sixteenth of it more at most. What is alive
//! depends on the epoch alone, so two servers differ only for as long after an epoch's end as their clocks do.
//!
//! What has expired is as if it had never been: it is answered as unknown, refused on receipt, and replaced by whatever
//! comes for its client, even if the client's time is older.

use crate::decimal::Nanos;
use crate::faults::{self, Fault};

/// What is alive by a clock that is told every now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetime {
    /// How long a record lives; `None` is for ever.
    ttl: Option<Nanos>,
}

/// How many epochs a lifetime has.
const EPOCHS: u64 = 16;

/// How often the clock is to be told at least, since a clock may be set.
const CLOCK_MAX_MS: u64 = 1000;

/// And how often at most.
const CLOCK_MIN_MS: u64 = 10;

const NANOS_PER_MS: Nanos = 1_000_000;

impl Lifetime {
    /// Records live for so many milliseconds, or for ever.
    pub fn new(ttl_ms: Option<u64>) -> Self {
        Self { ttl: ttl_ms.map(|ms| ms.saturating_mul(NANOS_PER_MS)) }
    }

    /// How long a record lives, in milliseconds; `None` is for ever.
    pub fn ttl_ms(&self) -> Option<u64> {
        self.ttl.map(|ttl| ttl / NANOS_PER_MS)
    }

    /// The horizon, before which what was received has expired, at a time, where it has been another until now.
    ///
    /// A clock that was set back by two epochs or more is followed: what it had outrun may be told again. One that goes
    /// back by less than one, as clocks do that are kept right, raises nothing.
    pub fn horizon(self, now: Nanos, before: Nanos) -> Nanos {
        let Some(ttl) = self.ttl else { return before };
        let life = if faults::is_on(Fault::ForgetsTooSoon) { ttl / 2 } else { ttl };
        let horizon = begin_of_epoch(now.saturating_sub(life), ttl);
        if horizon > before || before - horizon > epoch(ttl) { horizon } else { before }
    }

    /// In how many milliseconds the time is to be told again; never if records live for ever.
    pub fn clock_in_ms(&self, now: Nanos) -> Option<u64> {
        let epoch = epoch(self.ttl?);
        let left = epoch - now.saturating_sub(self.ttl?) % epoch;
        Some((left / NANOS_PER_MS + 1).clamp(CLOCK_MIN_MS, CLOCK_MAX_MS))
    }
}

fn epoch(ttl: Nanos) -> Nanos {
    (ttl / EPOCHS).max(1)
}

fn begin_of_epoch(time: Nanos, ttl: Nanos) -> Nanos {
    time - time % epoch(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: Nanos = 1_520_023_935_182_837_383;

    /// The horizon of who begins at a time.
    fn horizon(ttl_ms: u64, now: Nanos) -> Nanos {
        Lifetime::new(Some(ttl_ms)).horizon(now, 0)
    }

    #[test]
    fn what_lives_for_ever_never_expires() {
        let lifetime = Lifetime::new(None);
        assert_eq!((lifetime.horizon(u64::MAX, 0), lifetime.clock_in_ms(NOON)), (0, None));
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_raises_nothing_and_one_that_is_set_right_is_followed() {
        let (lifetime, before) = (Lifetime::new(Some(1600)), horizon(1600, NOON));
        assert_eq!(lifetime.horizon(NOON - 100 * NANOS_PER_MS, before), before);
        let far = lifetime.horizon(4_000_000_000_000_000_000, before);
        assert_eq!(lifetime.horizon(NOON, far), before);
    }

    #[test]
    fn a_clock_that_begins_in_1970_expires_nothing() {
        assert_eq!(horizon(1000, 999 * NANOS_PER_MS), 0);
    }

    proptest! {
        #[test]
        fn a_record_lives_for_its_lifetime_and_an_epoch_more_at_most(
            ttl_ms in prop_oneof![1..100_000_u64, Just(u64::MAX)],
            now: u64,
            age: u64,
        ) {
            let (horizon, ttl) = (horizon(ttl_ms, now), ttl_ms.saturating_mul(NANOS_PER_MS));
            let is_alive = |age: u64| now.saturating_sub(age) >= horizon;
            prop_assert!(is_alive(ttl) && is_alive(age.min(ttl)));
            prop_assert!(now < ttl.saturating_add(epoch(ttl)) || !is_alive(ttl.saturating_add(epoch(ttl))));
        }

        #[test]
        fn servers_in_one_epoch_agree_to_the_nanosecond(ttl_ms in 1..100_000_u64, now in NOON..NOON * 2, ahead in 0..u64::MAX / 4) {
            let epoch = epoch(ttl_ms * NANOS_PER_MS);
            let begin = begin_of_epoch(now - ttl_ms * NANOS_PER_MS, ttl_ms * NANOS_PER_MS) + ttl_ms * NANOS_PER_MS;
            let other = begin + ahead % epoch;
            prop_assert_eq!(horizon(ttl_ms, now), horizon(ttl_ms, other));
        }

        #[test]
        fn the_time_is_asked_for_when_the_next_epoch_begins(ttl_ms in 160..1_000_000_u64, now in NOON..NOON * 2) {
            let lifetime = Lifetime::new(Some(ttl_ms));
            let (before, wait) = (horizon(ttl_ms, now), lifetime.clock_in_ms(now).unwrap());
            let after = lifetime.horizon(now + wait * NANOS_PER_MS, before);
            prop_assert!(wait == CLOCK_MAX_MS || after > before);
        }
    }
}
