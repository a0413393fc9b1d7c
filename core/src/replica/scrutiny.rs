//! What is asked of a neighbour's record line besides that it is one: that a client could have said it to some server.
//!
//! A client's line has a limit, and a server's name is one that a topology allows. Neither is asked of what is on the
//! server's own disk, which was taken once.

use crate::limits::Limits;
use crate::record::Record;
use crate::topology::is_name;

/// Looks at the record lines of neighbours.
#[derive(Debug)]
pub(super) struct Scrutiny {
    record_max: usize,
    /// The name that passed last, which is nearly always the next: it need not be read again.
    passed: Vec<u8>,
}

impl Scrutiny {
    /// The rules of a server.
    pub fn new(limits: &Limits) -> Self {
        Self { record_max: limits.record_max(), passed: Vec::new() }
    }

    /// True for a record that a client could have told a server, with the line that it was read from.
    #[inline]
    pub fn passes(&mut self, line: &[u8], record: &Record<'_>) -> bool {
        self.fits(line) && (record.server == self.passed || self.is_name(record.server))
    }

    /// True for a record line, or a client of one, that is not too long to be told between servers.
    #[inline]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() <= self.record_max
    }

    #[cold]
    fn is_name(&mut self, server: &[u8]) -> bool {
        let is_name = is_name(server);
        if is_name {
            self.passed.clear();
            self.passed.extend_from_slice(server);
        }
        is_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RECEIPT_MAX;

    fn passes(scrutiny: &mut Scrutiny, line: &str) -> bool {
        scrutiny.passes(line.as_bytes(), &Record::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn a_record_of_a_server_that_cannot_be_does_not_pass_whoever_came_before() {
        let mut scrutiny = Scrutiny::new(&Limits::default());
        let long = "x".repeat(65);
        for wrong in ["\u{1b}[31m", "a\u{7}", "a/b", ".a", "-", "a\u{a0}b", &long] {
            assert!(!passes(&mut scrutiny, &format!("k +1-2 3 4 {wrong}")), "{wrong:?}");
            assert!(passes(&mut scrutiny, "k +1-2 3 4 Goloman"));
            assert!(!passes(&mut scrutiny, &format!("k +1-2 3 4 {wrong}")), "{wrong:?}");
            assert!(passes(&mut scrutiny, &format!("k +1-2 3 4 {}", &long[1..])));
        }
    }

    #[test]
    fn a_record_passes_that_is_as_long_as_the_longest_line_of_a_client_makes_it_and_none_that_is_longer() {
        let mut scrutiny = Scrutiny::new(&Limits { line_max: 100, ..Limits::default() });
        let line = |length: usize| format!("{} +1-2 3 4 A", "k".repeat(length - 11));
        assert!(passes(&mut scrutiny, &line(100 + RECEIPT_MAX)));
        assert!(!passes(&mut scrutiny, &line(101 + RECEIPT_MAX)));
    }
}
