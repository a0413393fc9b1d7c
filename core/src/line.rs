//! The client protocol: what a line means, and how one is answered that means nothing.
//!
//! The rules are those of the assignment that the five prototypes implement (UCLA CS 131, "proxy herd").

use crate::checkin::CheckIn;
use crate::decimal::{Decimal, NANOS_PER_SECOND, compare_with_nanos, parse_number};
use crate::fields::{Fields, fields};

/// The largest radius of a search for places, in kilometres: what the assignment allows.
pub const RADIUS_MAX_KM: u64 = 50;

/// The largest number of places in one answer: what one page of a Nearby Search carries.
pub const BOUND_MAX: u64 = 20;

/// What a client wants. Borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command<'a> {
    /// `IAMAT <client> <location> <time>`: here I am.
    Iamat(CheckIn<'a>),
    /// `WHATSAT <client> <radius> <bound>`: what is near that client?
    Whatsat {
        /// The client asked about.
        client: &'a [u8],
        /// How far to look, in kilometres, from 0 to [`RADIUS_MAX_KM`].
        radius_km: f64,
        /// How many places at most, from 0 to [`BOUND_MAX`].
        bound: usize,
    },
    /// Nothing but white space: no answer.
    Blank,
    /// Everything else.
    Invalid,
}

impl<'a> Command<'a> {
    /// Reads a line without its end. Every line is something.
    #[inline]
    pub fn parse(line: &'a [u8]) -> Self {
        Opening::read(line).command()
    }
}

/// How a line begins: as much as tells whose record is wanted, which can be fetched while the rest is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening<'a> {
    word: Word,
    /// The client that it is about, of a line that may turn out to be a command; or else nothing.
    pub client: &'a [u8],
    /// Everything from the client on.
    operands: &'a [u8],
}

/// The first word of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Nothing,
    Iamat,
    Whatsat,
    Other,
}

impl<'a> Opening<'a> {
    /// Reads the first two words of a line.
    #[inline]
    pub fn read(line: &'a [u8]) -> Self {
        // Nearly every line begins so, and this is the fastest way to find that out.
        if let Some(behind) = line.strip_prefix(b"IAMAT ") {
            return Self::of(Word::Iamat, fields(behind));
        }
        let mut fields = fields(line);
        match fields.next() {
            Some(b"IAMAT") => Self::of(Word::Iamat, fields),
            Some(b"WHATSAT") => Self::of(Word::Whatsat, fields),
            Some(_) => Self::invalid(),
            None => Self::default(),
        }
    }

    #[inline]
    fn of(word: Word, mut fields: Fields<'a>) -> Self {
        fields.skip_white_space();
        let operands = fields.rest();
        let client = fields.word().unwrap_or_default();
        Self { word, client, operands }
    }

    /// That of a line which is no command.
    pub fn invalid() -> Self {
        Self { word: Word::Other, ..Self::default() }
    }

    /// Reads the rest of the line.
    #[inline]
    pub fn command(self) -> Command<'a> {
        let Self { word, client, operands } = self;
        let mut fields = fields(&operands[client.len()..]);
        match word {
            Word::Iamat => match CheckIn::read_behind(client, operands, &mut fields) {
                Some(said) if fields.is_over() => Command::Iamat(said),
                _ => Command::Invalid,
            },
            Word::Whatsat => {
                whatsat(client, &mut fields).filter(|_| fields.is_over()).unwrap_or(Command::Invalid)
            }
            Word::Other => Command::Invalid,
            Word::Nothing => Command::Blank,
        }
    }
}

fn whatsat<'a>(client: &'a [u8], fields: &mut Fields<'a>) -> Option<Command<'a>> {
    let radius_km = radius(fields.next()?)?;
    let bound = parse_number(fields.next()?).filter(|&bound| bound <= BOUND_MAX)?;
    Some(Command::Whatsat { client, radius_km, bound: usize::try_from(bound).ok()? })
}

/// Reads kilometres. The limit is checked on the digits: rounding would let 50.000000000000000001 in.
fn radius(text: &[u8]) -> Option<f64> {
    if compare_with_nanos(Decimal::parse(text)?, RADIUS_MAX_KM * NANOS_PER_SECOND).is_gt() {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends the answer to a line that means nothing: `? ` and an exact copy.
pub fn print_invalid(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"? ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn iamat_has_three_operands_between_any_white_space() {
        let plain = Command::parse(b"IAMAT k +1-2 3.5");
        assert!(matches!(plain, Command::Iamat(CheckIn { client: b"k", .. })));
        assert_eq!(plain, Command::parse(b" \t\x0b\x0c\rIAMAT\t\tk \x0b+1-2\x0c3.5\r "));
    }

    #[test]
    fn a_client_id_is_any_bytes_but_white_space() {
        for id in
            [&b"\xff\xfe"[..], b"\0", "\u{a0}".as_bytes(), b"?", b"IAMAT", "x".repeat(60_000).as_bytes()]
        {
            let line = [b"IAMAT ", id, b" +1-2 3"].concat();
            assert!(matches!(Command::parse(&line), Command::Iamat(CheckIn { client, .. }) if client == id));
        }
    }

    #[test]
    fn whatsat_takes_a_decimal_radius_to_50_and_a_whole_bound_to_20() {
        assert_eq!(
            Command::parse(b"WHATSAT k 10 5"),
            Command::Whatsat { client: b"k", radius_km: 10.0, bound: 5 }
        );
        for line in ["WHATSAT k 0 0", "WHATSAT k 50.000 20", "WHATSAT k 0.001 007"] {
            assert!(matches!(Command::parse(line.as_bytes()), Command::Whatsat { .. }), "{line}");
        }
    }

    #[test]
    fn a_right_command_with_wrong_operands_is_invalid() {
        for line in [
            "IAMAT",
            "IAMAT k",
            "IAMAT k +1-2",
            "IAMAT k +1-2 3 4",
            "IAMAT k 1-2 3",
            "IAMAT k +1-2 -3",
            "IAMAT k +1-2 3e5",
            "iamat k +1-2 3",
            "WHATSAT k",
            "WHATSAT k 10",
            "WHATSAT k 10 5 1",
            "WHATSAT k -1 5",
            "WHATSAT k 50.000000000000000001 5",
            "WHATSAT k 10 21",
            "WHATSAT k 10 2.5",
            "WHATSAT k 10 -1",
            "WHATSAT k +10 5",
            "WHATSAT k 10 99999999999999999999",
            "AT Goloman +0.1 k +1-2 3",
            "CLIENTAT x 0",
            "PING",
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Command::Invalid, "{line}");
        }
    }

    #[test]
    fn a_line_of_white_space_is_blank() {
        for line in ["", " ", "\r", "\t\x0b\x0c \r"] {
            assert_eq!(Command::parse(line.as_bytes()), Command::Blank, "{line:?}");
        }
        assert_eq!(Command::parse(b"\0"), Command::Invalid);
        assert_eq!(Command::parse("\u{a0}".as_bytes()), Command::Invalid);
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_command(line: Vec<u8>) {
            let _ = Command::parse(&line);
        }

        #[test]
        fn an_invalid_line_comes_back_byte_for_byte(line: Vec<u8>) {
            let mut out = Vec::new();
            print_invalid(&line, &mut out);
            prop_assert_eq!(&out[2..out.len() - 1], &line[..]);
        }
    }
}
