//! Searches through the herd for a client that is unknown here.
//!
//! A server asks its neighbours, and they theirs. Each server takes part in a search once, by its UUID; one that
//! is asked again says at once what it knows. A search therefore ends when the last neighbour has
//! answered, when somebody knew, or when its time is up. One that begins while a server's first links are about to come up
//! waits for those, too.

use crate::faults::{self, Fault};
use crate::limits::Limits;
use crate::rate::Rate;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The searches under way on one server.
#[derive(Debug)]
pub struct Searches {
    open: BTreeMap<Uuid, Search>,
    /// Those for each client: whatever becomes known meanwhile is looked for here.
    sought: BTreeMap<Vec<u8>, Vec<Uuid>>,
    /// When each is to be given up, in milliseconds.
    due: BTreeSet<(u64, Uuid)>,
    /// Neighbours whose first link has not come up, and until when a search waits for that.
    expected: BTreeSet<String>,
    expected_until_ms: u64,
    search_ms: u64,
    most: usize,
    rate: Rate<()>,
}

/// One search, as this server sees it.
#[derive(Debug)]
struct Search {
    client: Vec<u8>,
    asker: Asker,
    /// The neighbours that have not answered.
    awaited: BTreeSet<String>,
    /// When it is given up, in milliseconds.
    deadline_ms: u64,
}

/// Who wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A session of this server.
    Here,
    /// A neighbour.
    Link(String),
}

/// A search that is over. Whether it found anything is for the store to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Ended {
    /// The search.
    pub uuid: Uuid,
    /// The client it was for.
    pub client: Vec<u8>,
    /// Who is to be answered.
    pub asker: Asker,
}

impl Searches {
    /// None is under way.
    pub fn new(limits: &Limits) -> Self {
        Self {
            open: BTreeMap::new(),
            sought: BTreeMap::new(),
            due: BTreeSet::new(),
            expected: BTreeSet::new(),
            expected_until_ms: 0,
            search_ms: limits.search_ms,
            most: limits.searches_max,
            rate: Rate::new(limits.searches_per_s),
        }
    }

    /// Has searches that begin until then wait for neighbours, too, whose links are about to come up.
    pub fn expect(&mut self, neighbours: impl IntoIterator<Item = String>, until_ms: u64) {
        self.expected.extend(neighbours);
        self.expected_until_ms = until_ms;
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// True while none is under way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the first of them is to be given up, or no longer waits for a link.
    pub fn deadline_ms(&self) -> Option<u64> {
        let first = self.due.first().filter(|_| !faults::is_on(Fault::SearchesForEver));
        let waits = !(self.expected.is_empty() || self.is_empty());
        first.map(|&(first_ms, _)| first_ms).into_iter().chain(waits.then_some(self.expected_until_ms)).min()
    }

    /// The search of this server's own sessions for a client, which another session may share.
    pub fn of_own(&self, client: &[u8]) -> Option<Uuid> {
        let is_own = |uuid: &&Uuid| self.open.get(uuid).is_some_and(|search| search.asker == Asker::Here);
        self.sought.get(client)?.iter().find(is_own).copied()
    }

    /// Who wants to know what a search under way is for.
    pub fn asker(&self, uuid: &Uuid) -> Option<&Asker> {
        self.open.get(uuid).map(|search| &search.asker)
    }

    /// True if one more may begin, which counts as begun.
    pub fn admit(&mut self, now_ms: u64) -> bool {
        self.len() < self.most && self.rate.allows((), now_ms)
    }

    /// Notes a search, which is not under way, whose question went to some neighbours; false if there is none to wait for, now or soon.
    pub fn begin(
        &mut self,
        uuid: Uuid,
        client: &[u8],
        asker: Asker,
        mut awaited: BTreeSet<String>,
        now_ms: u64,
    ) -> bool {
        if now_ms < self.expected_until_ms {
            awaited.extend(self.expected.iter().cloned()); // They are asked when their links come up.
        }
        if awaited.is_empty() {
            return false;
        }
        let deadline_ms = now_ms.saturating_add(self.search_ms);
        self.sought.entry(client.to_vec()).or_default().push(uuid);
        self.due.insert((deadline_ms, uuid));
        self.open.insert(uuid, Search { client: client.to_vec(), asker, awaited, deadline_ms });
        true
    }

    /// Notes that a neighbour can be asked; tells the searches for which it is awaited, and whom they are for.
    #[must_use]
    pub fn link_up(&mut self, link: &str) -> Vec<(Uuid, Vec<u8>)> {
        self.expected.remove(link);
        let awaiting = self.open.iter().filter(|(_, search)| search.awaited.contains(link));
        awaiting.map(|(&uuid, search)| (uuid, search.client.clone())).collect()
    }

    /// Notes that a neighbour answered.
    pub fn answered(&mut self, uuid: Uuid, link: &str) -> Option<Ended> {
        let search = self.open.get_mut(&uuid)?;
        search.awaited.remove(link);
        search.awaited.is_empty().then(|| self.end(uuid))?
    }

    /// Notes that a client became known: whoever searched for it is done.
    #[must_use]
    pub fn found(&mut self, client: &[u8]) -> Vec<Ended> {
        let over = self.sought.get(client).cloned().unwrap_or_default();
        self.end_all(over)
    }

    /// Notes that a neighbour will not answer.
    #[must_use]
    pub fn link_down(&mut self, link: &str) -> Vec<Ended> {
        let is_over = |search: &mut Search| search.awaited.remove(link) && search.awaited.is_empty();
        let over = self.open.iter_mut().filter_map(|(&uuid, search)| is_over(search).then_some(uuid));
        let over = over.collect();
        self.end_all(over)
    }

    /// Gives up what has taken too long, and waits no longer for links that did not come up.
    #[must_use]
    pub fn expire(&mut self, now_ms: u64) -> Vec<Ended> {
        let is_over = |&&(deadline_ms, _): &&(u64, Uuid)| {
            deadline_ms <= now_ms && !faults::is_on(Fault::SearchesForEver)
        };
        let over = self.due.iter().take_while(is_over).map(|&(_, uuid)| uuid).collect();
        let mut ended = self.end_all(over);
        if now_ms >= self.expected_until_ms {
            for link in std::mem::take(&mut self.expected) {
                ended.extend(self.link_down(&link));
            }
        }
        ended
    }

    fn end_all(&mut self, over: Vec<Uuid>) -> Vec<Ended> {
        over.into_iter().filter_map(|uuid| self.end(uuid)).collect()
    }

    fn end(&mut self, uuid: Uuid) -> Option<Ended> {
        let Search { client, asker, deadline_ms, .. } = self.open.remove(&uuid)?;
        self.due.remove(&(deadline_ms, uuid));
        if let Some(same) = self.sought.get_mut(&client) {
            same.retain(|other| *other != uuid);
            if same.is_empty() {
                self.sought.remove(&client);
            }
        }
        Some(Ended { uuid, client, asker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCH: Uuid = Uuid::from_u128(7);

    fn searches(awaited: &[&str]) -> Searches {
        let mut searches = Searches::new(&Limits { search_ms: 100, ..Limits::default() });
        let awaited = awaited.iter().map(|&name| name.to_owned()).collect();
        assert!(searches.begin(SEARCH, b"kiwi", Asker::Here, awaited, 400));
        searches
    }

    /// One of a neighbour for a client, at a time.
    fn begin(searches: &mut Searches, uuid: Uuid, client: &[u8], now_ms: u64) {
        let awaited = BTreeSet::from(["a".to_owned()]);
        assert!(searches.begin(uuid, client, Asker::Link("b".into()), awaited, now_ms));
    }

    fn ended() -> Ended {
        Ended { uuid: SEARCH, client: b"kiwi".to_vec(), asker: Asker::Here }
    }

    #[test]
    fn a_search_ends_when_the_last_neighbour_has_answered() {
        let mut searches = searches(&["a", "b"]);
        assert_eq!(searches.answered(SEARCH, "a"), None);
        assert_eq!(searches.answered(SEARCH, "a"), None);
        assert_eq!(searches.answered(SEARCH, "b"), Some(ended()));
        assert_eq!(searches.answered(SEARCH, "b"), None);
        assert!(searches.is_empty());
    }

    #[test]
    fn a_neighbour_that_is_lost_is_no_longer_awaited() {
        let mut searches = searches(&["a", "b"]);
        assert_eq!(searches.link_down("a"), []);
        assert_eq!(searches.link_down("c"), []);
        assert_eq!(searches.link_down("b"), [ended()]);
    }

    #[test]
    fn a_search_ends_when_its_client_becomes_known_or_its_time_is_up() {
        let mut known = searches(&["a"]);
        assert_eq!(known.found(b"other"), []);
        assert_eq!(known.found(b"kiwi"), [ended()]);
        let mut late = searches(&["a"]);
        assert_eq!(late.expire(499), []);
        assert_eq!(late.expire(500), [ended()]);
    }

    #[test]
    fn sessions_share_a_search_but_not_a_neighbours() {
        let mut searches = searches(&["a"]);
        assert_eq!(searches.of_own(b"kiwi"), Some(SEARCH));
        begin(&mut searches, Uuid::from_u128(8), b"plum", 400);
        assert_eq!(searches.of_own(b"plum"), None);
        begin(&mut searches, Uuid::from_u128(9), b"kiwi", 300);
        assert_eq!(searches.deadline_ms(), Some(400));
        assert_eq!(searches.expire(400).len(), 1);
        assert_eq!((searches.deadline_ms(), searches.of_own(b"kiwi")), (Some(500), Some(SEARCH)));
        assert_eq!(searches.found(b"kiwi"), [ended()]);
        assert_eq!((searches.of_own(b"kiwi"), searches.found(b"kiwi")), (None, vec![]));
    }
}
