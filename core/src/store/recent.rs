//! Which slots were written to of late.

/// A set of slots: a bit for each, so that an update finds it in a cache however many clients there are.
#[derive(Default)]
pub struct Recent {
    words: Vec<u64>,
    count: usize,
}

impl Recent {
    /// Adds a slot.
    #[inline]
    pub fn insert(&mut self, slot: u32) {
        let (at, bit) = place(slot as usize);
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        self.count += usize::from(self.words[at] & bit == 0);
        self.words[at] |= bit;
    }

    /// Takes a slot out; true if it was in.
    #[inline]
    pub fn remove(&mut self, slot: usize) -> bool {
        let is_in = self.contains(slot);
        if is_in {
            let (at, bit) = place(slot);
            self.words[at] &= !bit;
            self.count -= 1;
        }
        is_in
    }

    /// True if a slot is in.
    pub fn contains(&self, slot: usize) -> bool {
        let (at, bit) = place(slot);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    /// How many slots are in.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.words.clear();
        self.count = 0;
    }
}

/// Where the bit of a slot is: which word, and the bit in it.
fn place(slot: usize) -> (usize, u64) {
    (slot / u64::BITS as usize, 1 << (slot % u64::BITS as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((0_u32..200, any::<bool>()), 0..100)) {
            let (mut recent, mut set) = (Recent::default(), BTreeSet::new());
            for (slot, is_inserted) in steps {
                if is_inserted {
                    recent.insert(slot);
                    set.insert(slot);
                } else {
                    prop_assert_eq!(recent.remove(slot as usize), set.remove(&slot));
                }
                prop_assert_eq!(recent.len(), set.len());
            }
            recent.clear();
            prop_assert_eq!((recent.len(), recent.remove(0)), (0, false));
        }
    }
}
