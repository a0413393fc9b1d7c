//! Neighbours of another make: the one place that knows what the servers of the five prototypes say to each other.
//!
//! They dial one connection per message, without a handshake, at the address of each other's clients. Fields are
//! separated by one space. `AT …` stands for `AT <server> <skew> <client> <location> <time>`.
//!
//! | dialect | an update | how it ends | answer | what that server does with it |
//! |---|---|---|---|---|
//! | `changeloc` | `CHANGELOC <client> <location> <time> <received> <server>` | newline | none | keeps the greater time (as text) of what servers say, floods news |
//! | `trail` | `AT … <visited> …` | at most 200 bytes | none | overwrites and floods if anything differs, skips the visited |
//! | `clientat` | `CLIENTAT <client> <location> <uuid> <skew> <time> <forwarder>` | at most 200 bytes | `1` new, `0` seen | overwrites and floods unless it saw the UUID |
//! | `update` | `UPDATE <client> AT …` | end of connection | none | overwrites and floods if the text differs |
//! | `at` | `AT …` | newline, or silence | none, it closes | keeps the greater time of what servers say, floods news |
//!
//! Whatever a client of their own says all of them keep and flood, older or not.
//!
//! A `clientat` server that does not know a client asks `WHICHCLIENT <client> <uuid>` and hears what [`gps`] prints.
//!
//! How their numbers become a [`Record`](crate::record::Record): the time of receipt is the time that was sent plus
//! the skew, added exactly, however many digits either has and whether or not the skew has an exponent. Decimals of the
//! time after the ninth are cut off first, just as when a skew is printed here, and what remains below a nanosecond
//! is cut off the sum. A sign before that of a skew is read over, `--0.5` as -0.5. Whatever is not a number of that form,
//! or is out of range, is refused; so is a server's name that no topology allows.
//!
//! [`speech`] reads and prints the words, [`gate`] tells what follows from what was heard, and [`mailbag`] decides
//! what is said to one neighbour and when.

use serde::{Deserialize, Serialize};
use std::fmt;

pub mod figure;
pub mod gate;
pub mod gps;
pub mod mailbag;
pub mod speech;

/// What a neighbour speaks that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `CHANGELOC <client> <location> <time> <received> <server>`.
    Changeloc,
    /// `AT <server> <skew> <client> <location> <time> <visited> …`.
    Trail,
    /// `CLIENTAT <client> <location> <uuid> <skew> <time> <forwarder>`, and `WHICHCLIENT`.
    Clientat,
    /// `UPDATE <client> AT <server> <skew> <client> <location> <time>`.
    Update,
    /// `AT <server> <skew> <client> <location> <time>`.
    At,
}

/// What is to be known of a dialect besides the order of its fields: a row of the table.
struct Manners {
    /// What a topology calls it.
    name: &'static str,
    /// The words that its messages begin with.
    words: &'static [&'static str],
    /// What ends a message to it, before the end of the connection does.
    end: &'static str,
    /// How much of a message it reads.
    read_max: usize,
    /// Whether it closes the connection of an update itself, when it has it.
    closes: bool,
    /// Whether it takes something older than it has from another server; from a client each does.
    overwrites: bool,
    /// Whether it can be asked for a client.
    searches: bool,
}

/// No limit on the length of a message is known.
const ANY: usize = usize::MAX;

impl Dialect {
    /// All five, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Changeloc, Self::Trail, Self::Clientat, Self::Update, Self::At];

    /// What a topology calls it.
    pub fn name(self) -> &'static str {
        self.manners().name
    }

    /// Whether a server of this make takes something older than it has from another server.
    pub fn overwrites(self) -> bool {
        self.manners().overwrites
    }

    /// Whether a server of this make can be asked for a client.
    pub fn searches(self) -> bool {
        self.manners().searches
    }

    /// Whether a server of this make closes the connection of an update itself, when it has it.
    pub fn closes(self) -> bool {
        self.manners().closes
    }

    /// The table: whatever differs from dialect to dialect is asked here, but for the order of fields and who spoke, which
    /// [`speech`] knows.
    #[rustfmt::skip]
    fn manners(self) -> Manners {
        match self {
            Self::Changeloc => Manners { name: "changeloc", words: &["CHANGELOC"],
                end: "\n", read_max: ANY, closes: false, overwrites: false, searches: false },
            Self::Trail => Manners { name: "trail", words: &["AT"],
                end: "", read_max: 200, closes: false, overwrites: true, searches: false },
            Self::Clientat => Manners { name: "clientat", words: &["CLIENTAT", "WHICHCLIENT"],
                end: "", read_max: 200, closes: true, overwrites: true, searches: true },
            Self::Update => Manners { name: "update", words: &["UPDATE"],
                end: "", read_max: ANY, closes: false, overwrites: true, searches: false },
            Self::At => Manners { name: "at", words: &["AT"],
                end: "\n", read_max: ANY, closes: true, overwrites: false, searches: false },
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose the bytes are that a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Opening {
    /// Too few have come to say.
    Undecided,
    /// A client's.
    Client,
    /// A neighbour's: the first word is one of a dialect that may be spoken here.
    Neighbour,
}

/// Tells by the first word whether a connection is a neighbour's, where some dialects may be spoken.
pub fn opening(bytes: &[u8], spoken: &[Dialect]) -> Opening {
    let words = spoken.iter().flat_map(|dialect| dialect.manners().words).map(|word| word.as_bytes());
    let mut opening = Opening::Client;
    for word in words {
        match bytes.strip_prefix(word) {
            Some([end, ..]) if end.is_ascii_whitespace() => return Opening::Neighbour,
            Some([]) => opening = Opening::Undecided,
            None if word.starts_with(bytes) => opening = Opening::Undecided,
            Some(_) | None => {}
        }
    }
    opening
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topology_calls_every_dialect_by_its_name() {
        for dialect in Dialect::ALL {
            let written = serde_json::to_value(dialect).unwrap();
            assert_eq!(written, dialect.name());
            assert_eq!(serde_json::from_value::<Dialect>(written).unwrap(), dialect);
        }
    }

    #[test]
    fn the_first_word_tells_whose_a_connection_is() {
        let spoken = [Dialect::Trail, Dialect::Clientat];
        for text in ["AT Goloman", "CLIENTAT k", "WHICHCLIENT k", "AT\n"] {
            assert_eq!(opening(text.as_bytes(), &spoken), Opening::Neighbour, "{text}");
        }
        for text in ["IAMAT k", "UPDATE k", "ATE k", " AT k", "\n", "CLIENTAX", "at k"] {
            assert_eq!(opening(text.as_bytes(), &spoken), Opening::Client, "{text}");
        }
        for text in ["", "A", "AT", "CLIENT", "WHICHCLIENT"] {
            assert_eq!(opening(text.as_bytes(), &spoken), Opening::Undecided, "{text}");
        }
        assert_eq!(opening(b"AT k", &[Dialect::Update]), Opening::Client);
        assert_eq!(opening(b"", &[]), Opening::Client);
    }
}
