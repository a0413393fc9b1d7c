//! Dice that fall the same way for the same seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// The generator `SplitMix64` (Steele, Lea and Flood, 2014). Shared, because servers throw it from closures.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn throw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn throw_128(&self) -> u128 {
        u128::from(self.throw()) << 64 | u128::from(self.throw())
    }

    /// A number below a limit.
    pub fn below(&self, limit: u64) -> u64 {
        self.throw() % limit.max(1)
    }

    /// A number between two others, both included.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True so many times in a hundred.
    pub fn is(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }
}
