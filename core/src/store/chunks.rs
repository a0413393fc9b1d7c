//! A table that grows without moving what is in it: nobody waits for a copy of all of it.

use prefetch_index::prefetch_index;

/// Items by number, in chunks of one size.
pub struct Chunks<T> {
    chunks: Vec<Vec<T>>,
}

/// How long a chunk is, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunks<T> {
    /// How many items a chunk has room for.
    const ROOM: usize = CHUNK_BYTES / size_of::<T>();

    /// How many items there are, which is the number of the next.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * Self::ROOM + last.len())
    }

    /// Adds an item behind the others.
    pub fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < Self::ROOM => chunk.push(item),
            _ => {
                let mut chunk = Vec::with_capacity(Self::ROOM);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
    }

    /// The item with a number.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / Self::ROOM)?.get(number as usize % Self::ROOM)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.chunks.get_mut(number as usize / Self::ROOM)?.get_mut(number as usize % Self::ROOM)
    }

    /// Has an item fetched. Nobody waits for that.
    #[inline]
    pub fn fetch(&self, number: u32) {
        if let Some(chunk) = self.chunks.get(number as usize / Self::ROOM) {
            prefetch_index(chunk, number as usize % Self::ROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_keeps_its_number_and_its_place() {
        let mut chunks = Chunks::<[u64; 1024]>::default();
        let mut places = Vec::new();
        for number in 0..100_u32 {
            assert_eq!(chunks.len(), number as usize);
            chunks.push([number.into(); 1024]);
            places.push(std::ptr::from_ref(chunks.get(number).unwrap()));
        }
        for (number, place) in (0..).zip(places) {
            let item = chunks.get_mut(number).unwrap();
            assert_eq!((item[0], std::ptr::from_ref(item)), (number.into(), place));
        }
        assert!(chunks.get(100).is_none());
    }
}
