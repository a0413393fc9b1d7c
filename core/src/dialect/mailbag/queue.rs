//! The letters that wait to be said to one neighbour of another make, and how much room they take.

use super::{Client, Line, compare, is_news, shares};
use hashlink::LinkedHashMap;
use uuid::Uuid;

/// The letters that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order in which they came; a letter takes the place of the one before it for the same client.
    pub(super) letters: LinkedHashMap<Client, Waiting>,
    /// The shares of all of them.
    pub(super) shares: usize,
    /// The shares of the corrections among them.
    pub(super) correcting: usize,
}

/// A letter that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) line: Line,
    /// In a correction, which is a record that is said again because the neighbour said something older, or what may have
    /// crossed that: which one it is.
    pub(super) correction: Option<Uuid>,
    /// It is not said before.
    pub(super) from_ms: u64,
}

impl Waiting {
    /// For how many it counts.
    pub(super) fn shares(&self, client: &[u8]) -> usize {
        shares(client.len() + self.line.len())
    }

    /// For how many it counts of those that correct something older.
    pub(super) fn correcting(&self, client: &[u8]) -> usize {
        self.correction.map_or(0, |_| self.shares(client))
    }

    /// Whether it need not be said to a neighbour that says a record. To one that said something older since, it must
    /// be: what it says now it may have said before that.
    pub(super) fn is_answered_by(&self, line: &[u8]) -> bool {
        match self.correction {
            None => !is_news(&self.line, line),
            Some(_) => compare(&self.line, line).is_lt(),
        }
    }

    /// Whether it will correct whoever says something older than a record.
    pub(super) fn corrects(&self, line: &[u8]) -> bool {
        self.correction.is_some() && compare(&self.line, line).is_ge()
    }

    /// Whether it takes the place of another for the same client. A correction is not replaced by the mere record.
    fn replaces(&self, other: &Waiting) -> bool {
        let age = compare(&self.line, &other.line);
        age.is_gt() || (age.is_eq() && self.correction.is_some())
    }
}

impl Queue {
    /// Puts a letter in, unless a newer one waits for the same client.
    pub(super) fn post(&mut self, client: &[u8], letter: Waiting) {
        if let Some(present) = self.letters.get(client) {
            if !letter.replaces(present) {
                return;
            }
            self.shares -= present.shares(client);
            self.correcting -= present.correcting(client);
        }
        self.shares += letter.shares(client);
        self.correcting += letter.correcting(client);
        self.letters.replace(client.to_vec(), letter);
    }

    /// Takes out the letter that waits for a client.
    pub(super) fn remove(&mut self, client: &[u8]) -> Option<Waiting> {
        let letter = self.letters.remove(client)?;
        self.shares -= letter.shares(client);
        self.correcting -= letter.correcting(client);
        Some(letter)
    }
}
