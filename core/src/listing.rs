//! What a server says to whoever asks for all clients: their records, and that these were all.
//!
//! ```text
//! <client> <location> <time> <received> <server>
//! END
//! ```
//!
//! The record lines are those of [`Record::parse`], in no order. A listing that lacks its end was broken off. Of what changes
//! while it is told it has the old or the new.

use crate::record::Record;

/// The longest line that is read of a listing, in bytes with its end. Few servers keep as long a record.
pub const LINE_MAX: usize = 16 * 1024 * 1024;

/// A line of a listing.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Where a client is.
    Record(Record<'a>),
    /// These were all.
    End,
}

/// The end of a listing, as it is told.
pub const END: &[u8] = b"END\n";

impl<'a> Line<'a> {
    /// Reads a line with its end; nothing if it makes no sense or is cut off.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if line == END {
            return Some(Self::End);
        }
        Record::parse(line.strip_suffix(b"\n")?).map(Self::Record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_be_called_as_the_end_is() {
        let record = b"END +1-2 3 4 A\n";
        assert_eq!(Line::parse(record), Record::parse(record.trim_ascii_end()).map(Line::Record));
        assert!(Line::parse(record).is_some_and(|line| line != Line::End));
        assert_eq!(Line::parse(END), Some(Line::End));
    }

    #[test]
    fn what_is_neither_or_is_cut_off_makes_no_sense() {
        for line in ["", "\n", "END", "END 3\n", "kiwi +1-2 3\n", "kiwi +1-2 3 4 A"] {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
