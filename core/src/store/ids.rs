//! Client IDs that a cell has no room for: a UUID, a name with a domain, a hash.

use super::chunks::Chunks;

/// Long IDs by number, each in a line of the processor's.
#[derive(Default)]
pub struct Ids {
    ids: Chunks<Id>,
    /// The numbers of those that were removed.
    free: Vec<u32>,
}

/// The longest ID that has a place here: the hexadecimal digits of a SHA-256.
pub const ID_MAX: usize = 64;

#[repr(align(64))]
struct Id([u8; ID_MAX]);

impl Ids {
    /// Adds an ID and tells its number; `None` if it is too long, or all numbers are taken.
    pub fn add(&mut self, id: &[u8]) -> Option<u32> {
        let mut bytes = [0; ID_MAX];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        if let Some(number) = self.free.pop() {
            self.ids.get_mut(number)?.0 = bytes;
            return Some(number);
        }
        let number = u32::try_from(self.ids.len()).ok()?;
        self.ids.push(Id(bytes));
        Some(number)
    }

    /// Removes the ID with a number, which is then free for another.
    pub fn remove(&mut self, number: u32) {
        self.free.push(number);
    }

    /// The ID with a number, of which the length is known.
    #[inline]
    pub fn get(&self, number: u32, length: usize) -> &[u8] {
        self.ids.get(number).and_then(|id| id.0.get(..length)).unwrap_or_default()
    }

    /// Has the ID with a number fetched. Nobody waits for that.
    #[inline]
    pub fn fetch(&self, number: u32) {
        self.ids.fetch(number);
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ids.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_removed_leaves_its_number_to_another() {
        let mut ids = Ids::default();
        let long = [b'x'; ID_MAX];
        assert_eq!([&b"first"[..], b"", &long].map(|id| ids.add(id)), [Some(0), Some(1), Some(2)]);
        assert_eq!(ids.add(&[b'x'; ID_MAX + 1]), None);
        ids.remove(1);
        assert_eq!([&b"second"[..], b"third"].map(|id| ids.add(id)), [Some(1), Some(3)]);
        assert_eq!(ids.len(), 4);
        for (number, id) in [(0, &b"first"[..]), (1, b"second"), (2, &long), (3, b"third"), (4, b"")] {
            assert_eq!(ids.get(number, id.len()), id);
        }
    }
}
