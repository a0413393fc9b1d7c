//! A circuit breaker: whoever refuses or keeps failing is left alone for a while, then tried with one request.

use std::time::Duration;

use super::exchange::Blame;
use super::limits::Limits;

/// Decides whether a provider is asked. Times are counted from any fixed moment.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// How long the next rest is, unless the provider names a longer one.
    rest: Duration,
    rest_first: Duration,
    rest_max: Duration,
    failures_max: u32,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Duration,
    },
    /// One request is under way. What becomes of it is not waited for longer than this.
    Trying {
        until: Duration,
    },
}

impl Breaker {
    /// Starts with trust.
    pub fn new(limits: &Limits) -> Breaker {
        let Limits { rest_first, rest_max, failures_max, .. } = *limits;
        Breaker { state: State::Closed { failures: 0 }, rest: rest_first, rest_first, rest_max, failures_max }
    }

    /// Lets a request through, or says for how long none is.
    ///
    /// After a rest one request is let through; the others wait for what becomes of it. Whoever was let through is to call
    /// [`Breaker::succeeded`] or [`Breaker::failed`]; if nobody does, one more is let through after another rest.
    pub fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } | State::Trying { until } if now < until => Err(until.saturating_sub(now)),
            State::Open { .. } | State::Trying { .. } => {
                self.state = State::Trying { until: now.saturating_add(self.rest) };
                Ok(())
            }
        }
    }

    /// Notes that the provider answered.
    pub fn succeeded(&mut self) {
        // An answer to a question from before the refusal does not end the rest.
        if !matches!(self.state, State::Open { .. }) {
            self.state = State::Closed { failures: 0 };
            self.rest = self.rest_first;
        }
    }

    /// Notes that the provider did not answer; tells for how long it is left alone from now on, if it is.
    pub fn failed(&mut self, blame: Blame, now: Duration) -> Option<Duration> {
        match (blame, &mut self.state) {
            (Blame::Question, _) => {
                self.succeeded();
                None
            }
            (_, State::Open { .. }) => None,
            (Blame::Refusal(asked_for), _) => Some(self.open(asked_for.unwrap_or_default(), now)),
            (Blame::Provider, State::Closed { failures }) if *failures + 1 < self.failures_max => {
                *failures += 1;
                None
            }
            (Blame::Provider, _) => Some(self.open(Duration::ZERO, now)),
        }
    }

    fn open(&mut self, asked_for: Duration, now: Duration) -> Duration {
        let rest = self.rest.max(asked_for.min(self.rest_max));
        self.state = State::Open { until: now.saturating_add(rest) };
        self.rest = (self.rest * 2).min(self.rest_max);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: Blame = Blame::Refusal(None);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn breaker() -> Breaker {
        let limits =
            Limits { rest_first: secs(10), rest_max: secs(35), failures_max: 3, ..Limits::default() };
        Breaker::new(&limits)
    }

    #[test]
    fn a_refusal_opens_at_once_and_one_request_tries_after_the_rest() {
        let mut breaker = breaker();
        assert_eq!(breaker.admit(secs(0)), Ok(()));
        assert_eq!(breaker.failed(REFUSAL, secs(0)), Some(secs(10)));
        assert_eq!(breaker.admit(secs(4)), Err(secs(6)));
        assert_eq!(breaker.admit(secs(10)), Ok(()));
        assert_eq!(breaker.admit(secs(10)), Err(secs(20)));
        breaker.succeeded();
        assert_eq!(breaker.admit(secs(10)), Ok(()));
    }

    #[test]
    fn a_try_that_nobody_heard_of_again_is_followed_by_another_after_a_rest() {
        let mut breaker = breaker();
        assert_eq!(breaker.failed(REFUSAL, secs(0)), Some(secs(10)));
        assert_eq!(breaker.admit(secs(10)), Ok(()));
        assert_eq!(breaker.admit(secs(29)), Err(secs(1)));
        assert_eq!(breaker.admit(secs(30)), Ok(()));
        assert_eq!(breaker.admit(secs(30)), Err(secs(20)));
    }

    #[test]
    fn each_refusal_doubles_the_rest_up_to_a_limit_and_success_forgets_it() {
        let mut breaker = breaker();
        let mut now = secs(0);
        for rest in [10, 20, 35, 35] {
            assert_eq!(breaker.admit(now), Ok(()));
            assert_eq!(breaker.failed(REFUSAL, now), Some(secs(rest)));
            now += secs(rest);
        }
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.failed(REFUSAL, now), Some(secs(10)));
    }

    #[test]
    fn a_provider_that_names_a_longer_rest_gets_it_within_reason() {
        assert_eq!(breaker().failed(Blame::Refusal(Some(secs(25))), secs(0)), Some(secs(25)));
        assert_eq!(breaker().failed(Blame::Refusal(Some(secs(86_400))), secs(0)), Some(secs(35)));
        assert_eq!(breaker().failed(Blame::Refusal(Some(secs(1))), secs(0)), Some(secs(10)));
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut breaker = breaker();
        for _ in 0..5 {
            assert_eq!(breaker.failed(Blame::Provider, secs(0)), None);
            assert_eq!(breaker.failed(Blame::Provider, secs(0)), None);
            breaker.succeeded();
        }
        breaker.failed(Blame::Provider, secs(0));
        breaker.failed(Blame::Provider, secs(0));
        assert_eq!(breaker.failed(Blame::Provider, secs(0)), Some(secs(10)));
    }

    #[test]
    fn a_question_that_was_wrong_is_not_held_against_the_provider() {
        let mut breaker = breaker();
        for _ in 0..10 {
            assert_eq!(breaker.failed(Blame::Question, secs(0)), None);
        }
        assert_eq!(breaker.admit(secs(0)), Ok(()));
    }

    #[test]
    fn an_answer_to_an_older_question_does_not_end_the_rest() {
        let mut breaker = breaker();
        breaker.failed(REFUSAL, secs(0));
        breaker.succeeded();
        assert_eq!(breaker.admit(secs(1)), Err(secs(9)));
        assert_eq!(breaker.failed(REFUSAL, secs(1)), None);
    }
}
