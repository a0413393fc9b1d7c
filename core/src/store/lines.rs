//! Record lines that fit no cell: many small tables, of which one at a time grows.

use hashbrown::HashMap;

/// Record lines by slot, without their ends.
pub struct Lines {
    tables: Box<[HashMap<u32, Box<[u8]>>]>,
}

/// How many tables there are. One large one would be rebuilt whole each time it is full, and everybody would wait for that.
const TABLES: u32 = 1024;

impl Default for Lines {
    fn default() -> Self {
        Self { tables: (0..TABLES).map(|_| HashMap::new()).collect() }
    }
}

impl Lines {
    /// The line of a slot.
    pub fn get(&self, slot: u32) -> Option<&[u8]> {
        self.tables[table(slot)].get(&slot).map(|line| &**line)
    }

    /// Keeps the line of a slot that has none.
    pub fn add(&mut self, slot: u32, line: Box<[u8]>) {
        self.tables[table(slot)].insert(slot, line);
    }

    /// Forgets the line of a slot, if it has one.
    pub fn remove(&mut self, slot: u32) {
        self.tables[table(slot)].remove(&slot);
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.tables.iter().map(HashMap::len).sum()
    }
}

fn table(slot: u32) -> usize {
    (slot % TABLES) as usize
}
