//! What stands before a provider: its circuit breaker and its budget, asked together.

use std::time::Duration;

use super::Status;
use super::breaker::Breaker;
use super::budget::Budget;
use super::exchange::{Blame, Failure};
use super::limits::Limits;

/// Lets requests to one provider through, or says why not.
#[derive(Debug)]
pub struct Gate {
    breaker: Breaker,
    budget: Budget,
}

impl Gate {
    /// Starts open, with nothing spent.
    pub fn new(limits: &Limits) -> Gate {
        Gate { breaker: Breaker::new(limits), budget: Budget::new(limits.per_day) }
    }

    /// Lets a request through. Whoever is let through must call [`Gate::note`] with what became of it.
    pub fn admit(&mut self, now: Duration) -> Result<(), Failure> {
        // The budget is checked first, because a breaker that let a try through waits for its outcome.
        self.budget.check(now).map_err(spent)?;
        self.breaker.admit(now).map_err(resting)?;
        self.repeat(now)
    }

    /// Lets a request that was let through be sent, or sent once more before it is known what became of it.
    pub fn repeat(&mut self, now: Duration) -> Result<(), Failure> {
        self.budget.spend(now).map_err(spent)
    }

    /// Notes what became of a request; tells for how long the provider is left alone from now on, if it is.
    pub fn note<T>(&mut self, outcome: &Result<T, Failure>, now: Duration) -> Option<Duration> {
        match outcome {
            Ok(_) => self.breaker.succeeded(),
            Err(failure) => return self.breaker.failed(failure.blame, now),
        }
        None
    }
}

fn spent(left: Duration) -> Failure {
    let message = format!("the budget of requests is spent for the next {} s", left.as_secs());
    Failure { status: Status::OverQueryLimit, message, blame: Blame::Question }
}

fn resting(left: Duration) -> Failure {
    let message = format!("it refused or failed lately and is left alone for {} s more", left.as_secs());
    Failure { status: Status::OverQueryLimit, message, blame: Blame::Question }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(43_200);

    #[test]
    fn a_refusal_closes_the_gate_and_costs_no_more_budget() {
        let mut gate = Gate::new(&Limits { per_day: 2, ..Limits::default() });
        gate.admit(NOON).unwrap();
        let refused: Result<(), _> =
            Err(Failure { blame: Blame::Refusal(None), ..Failure::broken("http status 403") });
        assert_eq!(gate.note(&refused, NOON), Some(Limits::default().rest_first));
        for _ in 0..10 {
            assert_eq!(gate.admit(NOON).unwrap_err().status, Status::OverQueryLimit);
        }
        assert_eq!(gate.admit(NOON + Limits::default().rest_first), Ok(()));
    }

    #[test]
    fn a_spent_budget_closes_the_gate_without_using_up_the_one_try() {
        let mut gate = Gate::new(&Limits { per_day: 1, ..Limits::default() });
        gate.admit(NOON).unwrap();
        gate.note(&Err::<(), _>(Failure { blame: Blame::Refusal(None), ..Failure::broken("") }), NOON);
        assert!(gate.admit(NOON * 2).unwrap_err().message.contains("budget"));
        assert_eq!(gate.admit(NOON * 4), Ok(()));
    }
}
