//! Trees: over which links the updates of each server go, so that they come to each other server once.
//!
//! After Leitão, Pereira and Rodrigues, "Epidemic Broadcast Trees" (2007), with a tree for each server with which
//! updates begin, its source: the way from there to everybody is then the shortest. At first every link brings
//! everything. A server that gets an update twice prunes one of the two links, for updates of that source and in that
//! direction; over a pruned link updates are announced ([`crate::flood`]), and one that fails to come is pulled from
//! whoever announced it, which grafts the link ([`crate::missing`]). A server that loses the link over which a source's
//! updates came, its parent, grafts all others; one that its parent asks for updates has no parent either. Every now and
//! then pruned links are grafted too, so that they compete again.
//!
//! Which link is pruned is for the one who hears to say. What it said last holds, and it says it again when it seems not
//! to have been heard, so the two ends of a link need never agree on anything.

use crate::faults::{self, Fault};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A link, as long as it lasts: one to the same neighbour that is made anew is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way(pub u32);

impl Way {
    /// No link: what begins with this server.
    pub const HERE: Self = Self(0);
}

/// A server with which updates begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u16);

impl Source {
    /// This server.
    pub const HERE: Self = Self(0);
}

/// How an update came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The link.
    pub way: Way,
    /// Whose tree it came along; with none it goes over every link.
    pub source: Option<Source>,
    /// Over how many links it has come.
    pub hops: u16,
    /// When, in milliseconds.
    pub at_ms: u64,
}

impl Arrival {
    /// It began here.
    pub fn here(now_ms: u64) -> Self {
        Self { way: Way::HERE, source: Some(Source::HERE), hops: 0, at_ms: now_ms }
    }
}

/// What this server has to do with the trees of all sources.
#[derive(Debug)]
pub struct Trees {
    sources: HashMap<String, Source>,
    /// By the number of their source.
    all: Vec<Tree>,
    sources_max: usize,
}

/// What this server has to do with the tree of one source.
#[derive(Debug, Default)]
struct Tree {
    name: String,
    /// The link over which its updates come. It is not pruned.
    parent: Option<Way>,
    /// The links that were pruned, and when they were last told so.
    pruned: BTreeMap<Way, u64>,
    /// The links whose other end does not want its updates.
    unwanted: BTreeSet<Way>,
    /// When all links were last grafted to see which is the fastest.
    raced_ms: u64,
}

/// Of two ways, the one over fewer links is preferred while it is not later by more than this, in milliseconds. A
/// server that was busy elsewhere for a moment finds all of them waiting, and which it reads first is chance.
const CLOSE_MS: u64 = 20;

/// A pruned link that goes on bringing updates for so long is told again: meanwhile they were on their way.
const REPEAT_MS: u64 = 1_000;

/// How often links compete, while there are updates: what was slow for a moment is not shunned for ever.
const RACE_MS: u64 = 60_000;

impl Trees {
    /// The trees of a server with which no updates began yet but its own.
    pub fn new(here: &str, sources_max: usize) -> Self {
        let mut trees = Self { sources: HashMap::new(), all: Vec::new(), sources_max: sources_max.max(1) };
        let _ = trees.source(here); // There is room for one.
        trees
    }

    /// The source of a name; `None` if there are too many.
    pub fn source(&mut self, name: &str) -> Option<Source> {
        if let Some(&source) = self.sources.get(name) {
            return Some(source);
        }
        let source = Source(u16::try_from(self.all.len()).ok()?);
        if self.all.len() >= self.sources_max {
            return None;
        }
        self.all.push(Tree { name: name.to_owned(), ..Tree::default() });
        self.sources.insert(name.to_owned(), source);
        Some(source)
    }

    /// The name of a source.
    pub fn name(&self, source: Source) -> &str {
        self.all.get(usize::from(source.0)).map_or("", |tree| &tree.name)
    }

    /// How many sources there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// True if updates of a source go over a link, and are not just announced.
    pub fn carries(&self, source: Source, way: Way) -> bool {
        self.all.get(usize::from(source.0)).is_none_or(|tree| !tree.unwanted.contains(&way))
    }

    /// Hears that the other end of a link does not want updates of a source.
    pub fn hear_prune(&mut self, name: &str, way: Way) {
        if let Some(tree) = self.source(name).and_then(|source| self.tree(source)) {
            tree.unwanted.insert(way);
        }
    }

    /// Hears that the other end of a link wants updates of a source; tells of which source this server has lost its
    /// parent with that: all links but this one are to be grafted.
    #[must_use]
    pub fn hear_graft(&mut self, name: &str, way: Way) -> Option<Source> {
        let source = self.source(name)?;
        let tree = self.tree(source)?;
        tree.unwanted.remove(&way);
        tree.lose(way).then_some(source)
    }

    /// Notes an update that came first over a link; tells which links to graft for its source.
    #[must_use]
    pub fn came(&mut self, arrival: &Arrival) -> Vec<Way> {
        let Some(tree) = arrival.source.and_then(|source| self.tree(source)) else { return Vec::new() };
        if arrival.at_ms.saturating_sub(tree.raced_ms) >= RACE_MS {
            tree.raced_ms = arrival.at_ms;
            tree.parent = Some(arrival.way);
            return std::mem::take(&mut tree.pruned).into_keys().collect();
        }
        if tree.parent.is_some() {
            return Vec::new();
        }
        tree.parent = Some(arrival.way);
        tree.pruned.remove(&arrival.way).map(|_| arrival.way).into_iter().collect()
    }

    /// Notes that an update failed to come and was news once it was pulled over a link, which is to be grafted for its
    /// source: whatever was said before, the other end does not know of it.
    pub fn pulled(&mut self, arrival: &Arrival) {
        if let Some(tree) = arrival.source.and_then(|source| self.tree(source)) {
            tree.parent = Some(arrival.way);
            tree.pruned.remove(&arrival.way);
        }
    }

    /// Notes an update that came again, where it came first over a link that is still there, or began here; tells
    /// which link to prune.
    #[must_use]
    pub fn came_again(&mut self, first: &Arrival, again: &Arrival) -> Option<Way> {
        if first.source != again.source || first.way == again.way || faults::is_on(Fault::NoPruning) {
            return None;
        }
        let tree = self.tree(again.source?)?;
        if let Some(told_ms) = tree.pruned.get_mut(&again.way) {
            let is_deaf = again.at_ms.saturating_sub(*told_ms) >= REPEAT_MS;
            *told_ms = if is_deaf { again.at_ms } else { *told_ms };
            return is_deaf.then_some(again.way);
        }
        if tree.pruned.contains_key(&first.way) {
            return None; // It was on its way over that one, and no more will be.
        }
        let is_close = again.at_ms.saturating_sub(first.at_ms) <= CLOSE_MS;
        let (winner, loser) = if first.way != Way::HERE && again.hops < first.hops && is_close {
            (again.way, first.way)
        } else {
            (first.way, again.way)
        };
        tree.parent = Some(winner).filter(|&way| way != Way::HERE);
        tree.pruned.insert(loser, again.at_ms);
        Some(loser)
    }

    /// Notes that a link is gone; tells of which sources this server has lost its parent with that: all other links are
    /// to be grafted.
    #[must_use]
    pub fn lose(&mut self, way: Way) -> Vec<Source> {
        let mut lost = Vec::new();
        for (source, tree) in (0..).map(Source).zip(&mut self.all) {
            tree.unwanted.remove(&way);
            tree.pruned.remove(&way);
            if tree.lose(way) {
                lost.push(source);
            }
        }
        lost
    }

    fn tree(&mut self, source: Source) -> Option<&mut Tree> {
        self.all.get_mut(usize::from(source.0))
    }
}

impl Tree {
    /// Notes that no updates come over a link any more; true if it was the parent, and no link is pruned now.
    fn lose(&mut self, way: Way) -> bool {
        let is_lost = self.parent.take_if(|parent| *parent == way).is_some();
        if is_lost {
            self.pruned.clear();
        }
        is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Way = Way(1);
    const FAR: Way = Way(2);

    fn trees() -> Trees {
        Trees::new("Goloman", 2)
    }

    fn arrival(trees: &mut Trees, way: Way, hops: u16, at_ms: u64) -> Arrival {
        Arrival { way, source: trees.source("Hands"), hops, at_ms }
    }

    #[test]
    fn of_two_links_that_bring_the_same_the_later_is_pruned_once_and_told_again_if_it_does_not_hear() {
        let mut trees = trees();
        let first = arrival(&mut trees, NEAR, 1, 100);
        assert_eq!(trees.came(&first), []);
        let prune = |trees: &mut Trees, at_ms| {
            let (first, again) = (Arrival { at_ms, ..first }, arrival(trees, FAR, 1, at_ms));
            trees.came_again(&first, &again)
        };
        assert_eq!(prune(&mut trees, 100), Some(FAR));
        assert_eq!(prune(&mut trees, 99 + REPEAT_MS), None);
        assert_eq!(prune(&mut trees, 100 + REPEAT_MS), Some(FAR));
        assert_eq!(prune(&mut trees, 101 + REPEAT_MS), None);
    }

    #[test]
    fn the_way_over_fewer_links_is_kept_unless_it_is_much_slower() {
        for (late_ms, pruned) in [(CLOSE_MS, FAR), (CLOSE_MS + 1, NEAR)] {
            let mut trees = trees();
            let first = arrival(&mut trees, FAR, 3, 0);
            let again = arrival(&mut trees, NEAR, 2, late_ms);
            assert_eq!(trees.came_again(&first, &again), Some(pruned));
        }
    }

    /// Two links raced twice at the same time, and each lost once: with both pruned nothing came any more.
    #[test]
    fn the_last_link_that_brings_updates_is_not_pruned() {
        let mut trees = trees();
        let (near, far) = (arrival(&mut trees, NEAR, 1, 0), arrival(&mut trees, FAR, 1, 0));
        assert_eq!(trees.came_again(&near, &far), Some(FAR));
        assert_eq!(trees.came_again(&far, &near), None);
    }

    #[test]
    fn what_began_here_and_comes_back_prunes_the_link() {
        let mut trees = trees();
        let again = Arrival { way: NEAR, hops: 2, ..Arrival::here(5) };
        assert_eq!(trees.came_again(&Arrival::here(0), &again), Some(NEAR));
    }

    #[test]
    fn an_update_without_a_tree_prunes_nothing() {
        let mut trees = trees();
        let first = Arrival { source: None, ..arrival(&mut trees, NEAR, 1, 0) };
        let again = Arrival { way: FAR, ..first };
        assert_eq!(trees.came_again(&first, &again), None);
        let elsewhere = arrival(&mut trees, FAR, 1, 0);
        assert_eq!(trees.came_again(&first, &elsewhere), None);
    }

    #[test]
    fn the_other_end_says_what_goes_over_a_link() {
        let mut trees = trees();
        let hands = trees.source("Hands").unwrap();
        assert!(trees.carries(hands, NEAR));
        trees.hear_prune("Hands", NEAR);
        assert!(!trees.carries(hands, NEAR) && trees.carries(hands, FAR));
        assert!(trees.carries(Source::HERE, NEAR));
        assert_eq!(trees.hear_graft("Hands", NEAR), None);
        assert!(trees.carries(hands, NEAR));
    }

    #[test]
    fn a_parent_that_is_lost_or_that_asks_itself_is_no_parent_any_more() {
        for asks in [false, true] {
            let mut trees = trees();
            let (near, far) = (arrival(&mut trees, NEAR, 1, 0), arrival(&mut trees, FAR, 1, 0));
            assert_eq!(trees.came(&near), []);
            assert_eq!(trees.came_again(&near, &far), Some(FAR));
            assert!(trees.lose(FAR).is_empty());
            let hands = near.source.unwrap();
            let lost =
                if asks { trees.hear_graft("Hands", NEAR).into_iter().collect() } else { trees.lose(NEAR) };
            assert_eq!(lost, [hands]);
            assert_eq!(trees.hear_graft("Hands", NEAR), None);
        }
    }

    #[test]
    fn a_link_over_which_an_update_had_to_be_pulled_is_grafted() {
        let mut trees = trees();
        let (near, far) = (arrival(&mut trees, NEAR, 1, 0), arrival(&mut trees, FAR, 1, 0));
        assert_eq!(trees.came_again(&near, &far), Some(FAR));
        trees.pulled(&far);
        assert_eq!(trees.came_again(&far, &near), Some(NEAR));
    }

    #[test]
    fn of_too_many_sources_the_last_have_no_tree() {
        let mut trees = trees();
        assert!(trees.source("Hands").is_some());
        assert_eq!(trees.source("Wilkes"), None);
        assert_eq!(trees.source("Goloman"), Some(Source::HERE));
        trees.hear_prune("Wilkes", NEAR);
        assert_eq!((trees.count(), trees.name(Source::HERE)), (2, "Goloman"));
    }
}
