//! What a client says of itself: who it is, where, and when. These are the operands of an IAMAT.

use crate::decimal::{Decimal, Digits};
use crate::fields::Fields;
use crate::location::Location;

/// A client's own time: POSIX seconds in the bytes it sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Time<'a>(Decimal<'a>);

impl<'a> Time<'a> {
    /// Reads the time that a text begins with, POSIX seconds with none or any number of decimals; what is behind it is
    /// returned too.
    #[inline]
    pub fn scan(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        Decimal::scan(text).map(|(value, rest)| (Self(value), rest))
    }

    /// The sender's own bytes.
    pub fn text(self) -> &'a [u8] {
        self.0.text()
    }

    /// The number they stand for, as digits.
    pub fn digits(self) -> Digits {
        self.0.digits()
    }

    /// The number they stand for.
    pub(crate) fn value(self) -> Decimal<'a> {
        self.0
    }
}

impl Eq for Time<'_> {}

impl PartialEq for Time<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// A client's word on where it is. Borrowed from the line that it came in.
#[derive(Clone, Copy, Debug)]
pub struct CheckIn<'a> {
    /// The client's ID: any bytes but white space.
    pub client: &'a [u8],
    /// Where it says it is.
    pub location: Location<'a>,
    /// When, by its own clock.
    pub time: Time<'a>,
    /// All three with one space between them, if that is how they were written.
    text: Option<&'a [u8]>,
}

impl<'a> CheckIn<'a> {
    /// Reads the next three fields of a line; `None` if they are not what is to be said.
    #[inline]
    pub fn read(fields: &mut Fields<'a>) -> Option<Self> {
        fields.skip_white_space();
        let whole = fields.rest();
        Self::read_behind(fields.word()?, whole, fields)
    }

    /// The same where the client is read already, with which the whole begins.
    #[inline]
    pub fn read_behind(client: &'a [u8], whole: &'a [u8], fields: &mut Fields<'a>) -> Option<Self> {
        let location = fields.read(Location::scan)?;
        let time = fields.read(Time::scan)?;
        let said = Self { client, location, time, text: None };
        let text = &whole[..whole.len() - fields.rest().len()];
        Some(Self { text: said.is_written_as(text).then_some(text), ..said })
    }

    /// True if it was read from what [`CheckIn::print`] appends.
    #[inline]
    pub(crate) fn is_written_plainly(&self) -> bool {
        self.text.is_some()
    }

    /// Appends the three with one space between them.
    #[inline]
    pub fn print(&self, out: &mut Vec<u8>) {
        if let Some(text) = self.text {
            return out.extend_from_slice(text);
        }
        out.extend_from_slice(self.client);
        for text in [self.location.text(), self.time.text()] {
            out.push(b' ');
            out.extend_from_slice(text);
        }
    }

    /// How many bytes [`CheckIn::print`] appends.
    #[inline]
    pub fn length(&self) -> usize {
        self.client.len() + self.location.text().len() + self.time.text().len() + 2
    }

    /// True for the text that [`CheckIn::print`] appends, of all that it can be read from.
    #[inline]
    fn is_written_as(&self, text: &[u8]) -> bool {
        let first = self.client.len();
        let second = first + 1 + self.location.text().len();
        text.len() == self.length() && text[first] == b' ' && text[second] == b' '
    }
}

impl Eq for CheckIn<'_> {}

impl PartialEq for CheckIn<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.client, self.location, self.time) == (other.client, other.location, other.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::fields;
    use proptest::prelude::*;

    /// What there is to read, by a reader as plain as can be: it knows numbers to 12 digits.
    fn read_plainly(line: &str) -> Option<[&str; 3]> {
        let is_number = |text: &str| {
            let parts: Vec<&str> = text.split('.').collect();
            let is_digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            parts.len() <= 2 && parts.iter().all(is_digits)
        };
        let is_degrees = |text: &str, max: f64| is_number(text) && text.parse::<f64>().unwrap() <= max;
        let words: [&str; 3] = line.split_ascii_whitespace().collect::<Vec<_>>().try_into().ok()?;
        let unsigned = words[1].strip_prefix(['+', '-'])?;
        let (latitude, longitude) = unsigned.split_once(['+', '-'])?;
        let is_location = is_degrees(latitude, 90.0) && is_degrees(longitude, 180.0);
        (is_location && is_number(words[2])).then_some(words)
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{1,3}", "[0-9]{1,3}\\.[0-9]{1,9}", "(90|180)(\\.0{0,9})?1?", "[0-9.]{0,12}"]
    }

    proptest! {
        // Few of the lines are check-ins, and of those few have their spaces just where it matters.
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_is_what_a_plain_reader_reads_and_comes_out_with_single_spaces(
            (client, time) in ("[a-z0-9+.-]{1,20}", number()),
            (north, latitude, east, longitude) in ("[+-]", number(), "[+-]?", number()),
            spaces in prop::collection::vec(prop::sample::select(vec![" ", "\t", "  ", " \r "]), 2),
            end in prop::sample::select(vec!["", " "]),
        ) {
            let (first, second) = (spaces[0], spaces[1]);
            let line = format!("{client}{first}{north}{latitude}{east}{longitude}{second}{time}{end}");
            let mut rest = fields(line.as_bytes());
            let said = CheckIn::read(&mut rest).filter(|_| rest.is_over());
            let words = read_plainly(&line);
            prop_assert_eq!(said.is_some(), words.is_some(), "{}", line);
            if let (Some(said), Some(words)) = (said, words) {
                let mut printed = Vec::new();
                said.print(&mut printed);
                prop_assert_eq!(std::str::from_utf8(&printed), Ok(&*words.join(" ")));
                prop_assert_eq!(said.length(), printed.len());
                prop_assert_eq!([said.client, said.location.text(), said.time.text()], words.map(str::as_bytes));
            }
        }
    }
}
