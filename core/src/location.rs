//! Where somebody is: latitude and longitude in decimal degrees, as ISO 6709 writes them.

use crate::decimal::{Decimal, Digits, NANOS_PER_SECOND, compare_with_nanos};

/// A location in its sender's own bytes, `+34.068930-118.445127`; both numbers are within the globe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Location<'a> {
    text: &'a [u8],
    latitude: Coordinate,
    longitude: Coordinate,
}

/// One of the two numbers, in degrees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coordinate {
    /// True if it has a minus, even before 0.
    pub is_negative: bool,
    /// What is behind the sign.
    pub digits: Digits,
}

impl<'a> Location<'a> {
    /// Reads the location that a text begins with: a signed latitude within ±90 and a signed longitude within ±180, both
    /// `sign digits[.digits]`. What is behind it is returned too.
    #[inline]
    pub fn scan(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (latitude, behind) = Coordinate::scan(text, LATITUDE_MAX)?;
        let (longitude, rest) = Coordinate::scan(behind, LONGITUDE_MAX)?;
        Some((Self { text: &text[..text.len() - rest.len()], latitude, longitude }, rest))
    }

    /// The sender's own bytes.
    #[inline]
    pub fn text(self) -> &'a [u8] {
        self.text
    }

    /// Latitude and longitude in degrees, rounded to the nearest `f64`: for geometry only.
    pub fn degrees(self) -> (f64, f64) {
        let behind_sign = self.text.get(1..).unwrap_or_default();
        let second_sign = behind_sign.iter().position(|byte| matches!(byte, b'+' | b'-'));
        let (latitude, longitude) = self.text.split_at(second_sign.map_or(0, |at| at + 1));
        (rounded(latitude), rounded(longitude))
    }

    /// Latitude and longitude as digits.
    #[inline]
    pub fn coordinates(self) -> [Coordinate; 2] {
        [self.latitude, self.longitude]
    }
}

impl Coordinate {
    /// Reads the coordinate that a text begins with, of at most so many degrees; what is behind it is returned too.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as what it reads with")]
    fn scan(text: &[u8], max: u64) -> Option<(Self, &[u8])> {
        let (&sign, unsigned) = text.split_first().filter(|(sign, _)| matches!(sign, b'+' | b'-'))?;
        let (degrees, rest) = Decimal::scan(unsigned)?;
        let is_on_globe = compare_with_nanos(degrees, max * NANOS_PER_SECOND).is_le();
        is_on_globe.then_some((Self { is_negative: sign == b'-', digits: degrees.digits() }, rest))
    }
}

impl Eq for Location<'_> {}

impl PartialEq for Location<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

const LATITUDE_MAX: u64 = 90;
const LONGITUDE_MAX: u64 = 180;

/// The nearest `f64` to a decimal with a sign.
pub(crate) fn rounded(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The location that a text is as a whole.
    fn location(text: &str) -> Option<Location<'_>> {
        Location::scan(text.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(location, _)| location)
    }

    #[test]
    fn a_location_is_two_signed_decimals_within_the_globe() {
        for text in
            ["+34.068930-118.445127", "+5.0-7.5", "+00-000", "-90+180", "+90.000-180.0", "+0090-00180"]
        {
            assert!(location(text).is_some(), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_location() {
        for text in [
            "",
            "+",
            "+34",
            "34-118",
            "+34.068930",
            "+34.-118.",
            "+.5-.5",
            "+-",
            "+34-118-",
            "+34-118/",
            "+34--118",
            "+90.0000001-118",
            "-91+0",
            "+34+180.0001",
            "+34-181",
            "+3e1-118",
            "+34-1e2",
            "+34,5-118",
            "+34 -118",
        ] {
            assert!(location(text).is_none(), "{text}");
        }
    }

    #[test]
    fn degrees_are_the_nearest_floats() {
        assert_eq!(location("+34.068930-118.445127").unwrap().degrees(), (34.068_93, -118.445_127));
        assert_eq!(location("-00.5+0007").unwrap().degrees(), (-0.5, 7.0));
    }
}
