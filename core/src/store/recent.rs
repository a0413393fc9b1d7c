//! Which slots were written to of late.

/// A set of slots: a bit for each, so that an update finds it in a cache however many clients there are.
#[derive(Clone, Default)]
pub struct Recent {
    words: Vec<u64>,
    count: usize,
}

impl Recent {
    /// Adds a slot.
    #[inline]
    pub fn insert(&mut self, slot: u32) {
        let (at, bit) = place(slot);
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        self.count += usize::from(self.words[at] & bit == 0);
        self.words[at] |= bit;
    }

    /// True if a slot is in.
    pub fn contains(&self, slot: u32) -> bool {
        let (at, bit) = place(slot);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    /// How many slots are in.
    pub fn len(&self) -> usize {
        self.count
    }
}

/// Where the bit of a slot is: which word, and the bit in it.
fn place(slot: u32) -> (usize, u64) {
    ((slot / u64::BITS) as usize, 1 << (slot % u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(slots in prop::collection::vec(0_u32..200, 0..100)) {
            let mut recent = Recent::default();
            for &slot in &slots {
                recent.insert(slot);
            }
            let set: BTreeSet<u32> = slots.into_iter().collect();
            prop_assert_eq!(recent.len(), set.len());
            for slot in 0..300 {
                prop_assert_eq!(recent.contains(slot), set.contains(&slot));
            }
        }
    }
}
