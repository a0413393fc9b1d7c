//! Where somebody is: latitude and longitude in decimal degrees, as ISO 6709 writes them.

use crate::decimal::{Decimal, Digits, NANOS_PER_SECOND, compare_with_nanos};

/// A location in its sender's own bytes, `+34.068930-118.445127`; both numbers are within the globe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Location<'a> {
    text: &'a [u8],
    latitude: Digits,
    longitude: Digits,
    /// Where the sign of the longitude is.
    longitude_at: usize,
}

impl<'a> Location<'a> {
    /// Reads a signed latitude within ±90 and a signed longitude within ±180, both `sign digits[.digits]`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        Self::scan(text).filter(|(_, rest)| rest.is_empty()).map(|(location, _)| location)
    }

    /// Reads the location that a text begins with; what is behind it is returned too.
    #[inline]
    pub fn scan(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (latitude, behind) = Decimal::scan(unsigned(text)?)?;
        let (longitude, rest) = Decimal::scan(unsigned(behind)?)?;
        let is_on_globe = is_within(latitude, LATITUDE_MAX) && is_within(longitude, LONGITUDE_MAX);
        let location = Self {
            text: &text[..text.len() - rest.len()],
            latitude: latitude.digits(),
            longitude: longitude.digits(),
            longitude_at: text.len() - behind.len(),
        };
        is_on_globe.then_some((location, rest))
    }

    /// The sender's own bytes.
    pub fn text(self) -> &'a [u8] {
        self.text
    }

    /// Latitude and longitude in degrees, rounded to the nearest `f64`: for geometry only.
    pub fn degrees(self) -> (f64, f64) {
        let (latitude, longitude) = self.text.split_at(self.longitude_at);
        (rounded(latitude), rounded(longitude))
    }

    /// Latitude and longitude as digits, each with whether it is negative.
    pub fn digits(self) -> [(bool, Digits); 2] {
        let is_negative = |at: usize| self.text.get(at) == Some(&b'-');
        [(is_negative(0), self.latitude), (is_negative(self.longitude_at), self.longitude)]
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

/// What is behind the sign that a text begins with.
#[inline]
fn unsigned(text: &[u8]) -> Option<&[u8]> {
    text.split_first().filter(|&(&sign, _)| sign == b'+' || sign == b'-').map(|(_, rest)| rest)
}

#[inline]
fn is_within(degrees: Decimal<'_>, max: u64) -> bool {
    compare_with_nanos(degrees, max * NANOS_PER_SECOND).is_le()
}

fn rounded(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_two_signed_decimals_within_the_globe() {
        for text in
            ["+34.068930-118.445127", "+5.0-7.5", "+00-000", "-90+180", "+90.000-180.0", "+0090-00180"]
        {
            assert!(Location::parse(text.as_bytes()).is_some(), "{text}");
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
            assert!(Location::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn degrees_are_the_nearest_floats() {
        assert_eq!(Location::parse(b"+34.068930-118.445127").unwrap().degrees(), (34.068_93, -118.445_127));
        assert_eq!(Location::parse(b"-00.5+0007").unwrap().degrees(), (-0.5, 7.0));
    }
}
