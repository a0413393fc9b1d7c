//! Where somebody is: latitude and longitude in decimal degrees, as ISO 6709 writes them.

use crate::decimal::{Decimal, leading_digits};

/// A location in its sender's own bytes, `+34.068930-118.445127`; both numbers are within the globe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location<'a>(&'a [u8]);

impl<'a> Location<'a> {
    /// Reads a signed latitude within ±90 and a signed longitude within ±180, both `sign digits[.digits]`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let longitude_at = second_sign(text)?;
        let (latitude, longitude) = text.split_at(longitude_at);
        (is_degrees(latitude, LATITUDE_MAX) && is_degrees(longitude, LONGITUDE_MAX)).then_some(Self(text))
    }

    /// The sender's own bytes.
    pub fn text(self) -> &'a [u8] {
        self.0
    }

    /// Latitude and longitude in degrees, rounded to the nearest `f64`: for geometry only.
    pub fn degrees(self) -> (f64, f64) {
        let (latitude, longitude) = self.0.split_at(second_sign(self.0).unwrap_or(self.0.len()));
        (rounded(latitude), rounded(longitude))
    }
}

const LATITUDE_MAX: &[u8] = b"90";
const LONGITUDE_MAX: &[u8] = b"180";

/// Where the sign of the longitude is: the first sign after the first byte.
fn second_sign(text: &[u8]) -> Option<usize> {
    text.iter().skip(1).position(|&byte| is_sign(byte)).map(|at| at + 1)
}

fn is_sign(byte: u8) -> bool {
    byte == b'+' || byte == b'-'
}

fn is_degrees(text: &[u8], max: &'static [u8]) -> bool {
    let Some((&sign, digits)) = text.split_first() else { return false };
    is_sign(sign)
        && leading_digits(digits) > 0
        && Decimal::parse(digits) <= Decimal::parse(max)
        && Decimal::parse(digits).is_some()
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
