//! The names of servers, numbered, so that a record need not carry one.

use crate::topology::NAME_MAX;
use std::collections::HashMap;

/// All names so far. They are never forgotten, so there is a limit to their number and length.
#[derive(Default)]
pub struct Names {
    by_number: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, u16>,
    /// The number that was asked for last, which is nearly always the next.
    last: u16,
}

impl Names {
    /// The number of a name; `None` if there are too many names or this is longer than [`NAME_MAX`].
    pub fn number(&mut self, name: &[u8]) -> Option<u16> {
        if self.by_number.get(usize::from(self.last)).is_none_or(|last| **last != *name) {
            self.last = self.look_up(name)?;
        }
        Some(self.last)
    }

    fn look_up(&mut self, name: &[u8]) -> Option<u16> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let number = u16::try_from(self.by_number.len()).ok().filter(|_| name.len() <= NAME_MAX)?;
        self.by_number.push(name.into());
        self.numbers.insert(name.into(), number);
        Some(number)
    }

    /// The name with a number.
    pub fn name(&self, number: u16) -> &[u8] {
        self.by_number.get(usize::from(number)).map(|name| &**name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_a_number_one_name() {
        let mut names = Names::default();
        for name in ["Goloman", "Hands", "Goloman", ""] {
            let number = names.number(name.as_bytes()).unwrap();
            assert_eq!(names.name(number), name.as_bytes());
        }
        assert_eq!(names.by_number.len(), 3);
    }

    #[test]
    fn what_anybody_can_make_it_remember_is_bounded() {
        let mut names = Names::default();
        assert_eq!(names.number(&[b'x'; NAME_MAX + 1]), None);
        for number in 0..=u16::MAX {
            assert_eq!(names.number(number.to_string().as_bytes()), Some(number));
        }
        assert_eq!(names.number(b"one more"), None);
        assert_eq!(names.number(b"7"), Some(7));
    }
}
