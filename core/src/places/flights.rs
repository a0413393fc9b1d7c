//! Questions under way: whoever asks what is being asked already waits for the same answer.

use std::collections::HashMap;

use super::Question;

/// The questions under way, each with those who wait for its answer.
#[derive(Debug)]
pub struct Flights<W> {
    waiting: HashMap<Question, Vec<W>>,
}

impl<W> Default for Flights<W> {
    fn default() -> Flights<W> {
        Flights { waiting: HashMap::new() }
    }
}

impl<W> Flights<W> {
    /// Adds somebody who waits; tells whether the question must be asked now, because it is not under way.
    #[must_use]
    pub fn join(&mut self, question: Question, waiter: W) -> bool {
        let waiters = self.waiting.entry(question).or_default();
        waiters.push(waiter);
        waiters.len() == 1
    }

    /// Ends a question and returns those who waited for it.
    #[must_use]
    pub fn land(&mut self, question: &Question) -> Vec<W> {
        self.waiting.remove(question).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;

    #[test]
    fn a_question_is_asked_once_for_all_who_wait() {
        let question = |bound| Query { latitude: 0.0, longitude: 0.0, radius_m: 0.0, bound }.question();
        let mut flights = Flights::default();
        assert!(flights.join(question(1), "a"));
        assert!(!flights.join(question(1), "b"));
        assert!(flights.join(question(2), "c"));
        assert_eq!(flights.land(&question(1)), ["a", "b"]);
        assert!(flights.land(&question(1)).is_empty());
        assert!(flights.join(question(1), "d"));
    }
}
