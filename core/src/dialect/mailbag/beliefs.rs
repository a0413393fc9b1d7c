//! What one neighbour of another make is believed to hold of each client, as much as is remembered of that.

use super::{Client, Line, shares};
use crate::dialect::speech::Spelling;
use crate::record::Record;
use hashlink::LinkedHashMap;

/// What is believed of all clients.
#[derive(Debug)]
pub(super) struct Beliefs {
    /// In the order in which they were last changed: the first is forgotten first.
    pub(super) by_client: LinkedHashMap<Client, Belief>,
    /// The shares of all of them.
    pub(super) shares: usize,
    shares_max: usize,
}

/// What is known of a client at the neighbour.
#[derive(Debug, Default)]
pub(super) struct Belief {
    /// What the neighbour holds, if that is known.
    pub(super) holds: Option<Line>,
    /// What it was told last, and when.
    pub(super) told: Option<(Line, u64)>,
    /// The newest record that the neighbour's own kind said, and how it writes it.
    pub(super) spelled: Option<(Line, Spelling)>,
}

impl Belief {
    /// For how many it counts.
    pub(super) fn shares(&self, client: &[u8]) -> usize {
        let told = self.told.as_ref().map(|(line, _)| line);
        let spelled = self.spelled.as_ref().map(|(line, _)| line);
        let skew = self.spelled.as_ref().and_then(|(_, spelling)| spelling.skew.as_ref());
        let kept = [self.holds.as_ref(), told, spelled, skew].into_iter().flatten();
        shares(client.len() + kept.map(Vec::len).sum::<usize>())
    }
}

impl Beliefs {
    /// None yet, and later no more than so many shares.
    pub(super) fn new(shares_max: usize) -> Self {
        Self { by_client: LinkedHashMap::new(), shares: 0, shares_max }
    }

    /// What is believed of a client.
    pub(super) fn of(&self, client: &[u8]) -> Option<&Belief> {
        self.by_client.get(client)
    }

    /// Changes what is believed of a record's client. Of too much, that of the client is forgotten of which nothing was
    /// said for longest: what was told last may still cross something.
    ///
    /// However long it is, the last is kept: a neighbour whose own kind wrote it must be told it in the same bytes, or two
    /// neighbours throw two forms of one check-in at each other.
    pub(super) fn learn(&mut self, line: &[u8], change: impl FnOnce(&mut Belief)) {
        let Some(record) = Record::parse(line) else { return };
        let client = record.said.client;
        let present = self.by_client.remove(client);
        self.shares -= present.as_ref().map_or(0, |belief| belief.shares(client));
        let mut belief = present.unwrap_or_default();
        change(&mut belief);
        self.shares += belief.shares(client);
        self.by_client.insert(client.to_vec(), belief);
        while self.shares > self.shares_max
            && self.by_client.len() > 1
            && let Some((client, oldest)) = self.by_client.pop_front()
        {
            self.shares -= oldest.shares(&client);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.by_client.clear();
        self.shares = 0;
    }
}
