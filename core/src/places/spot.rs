//! A position as the index keeps it: whole ten-millionths of a degree, which is about a centimetre.

/// The mean radius of the earth in metres (IUGG).
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A point on the unit sphere.
pub type Point = [f64; 3];

const PER_DEGREE: f64 = 10_000_000.0;

/// A position in ten-millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The latitude, from -90 to 90 degrees.
    pub latitude_e7: i32,
    /// The longitude, from -180 to 180 degrees.
    pub longitude_e7: i32,
}

impl Spot {
    /// Rounds a position in degrees, unless it is none.
    pub fn new(latitude: f64, longitude: f64) -> Option<Spot> {
        let sane = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        sane.then(|| Spot { latitude_e7: rounded(latitude), longitude_e7: rounded(longitude) })
    }

    /// Returns the latitude in degrees.
    pub fn latitude(self) -> f64 {
        // Dividing rounds correctly, multiplying by 1e-7 would not: the very spot a client names must be found.
        f64::from(self.latitude_e7) / PER_DEGREE
    }

    /// Returns the longitude in degrees.
    pub fn longitude(self) -> f64 {
        f64::from(self.longitude_e7) / PER_DEGREE
    }

    /// Returns the spot as a point on the unit sphere.
    pub fn point(self) -> Point {
        on_sphere(self.latitude(), self.longitude())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "180 degrees fit: the caller checked the range")]
fn rounded(degrees: f64) -> i32 {
    (degrees * PER_DEGREE).round() as i32
}

/// Returns a position in degrees as a point on the unit sphere.
///
/// There are no poles and no antimeridian to go wrong: near is near, in a straight line through the earth.
pub fn on_sphere(latitude: f64, longitude: f64) -> Point {
    let (sin_latitude, cos_latitude) = latitude.to_radians().sin_cos();
    // Both sides of the antimeridian are one line, so they must be one number before the sine.
    let longitude = if longitude <= -180.0 { 180.0 } else { longitude };
    let (sin_longitude, cos_longitude) = longitude.to_radians().sin_cos();
    [cos_latitude * cos_longitude, cos_latitude * sin_longitude, sin_latitude]
}

/// Returns the squared length of the chord that spans `distance_m` metres of great circle.
pub fn chord_2(distance_m: f64) -> f64 {
    let half_angle = (distance_m / (2.0 * EARTH_RADIUS_M)).min(std::f64::consts::FRAC_PI_2);
    (2.0 * half_angle.sin()).powi(2)
}

/// Returns the great-circle distance in metres that a squared chord spans.
pub fn distance_m(chord_2: f64) -> f64 {
    2.0 * EARTH_RADIUS_M * (chord_2.sqrt() / 2.0).min(1.0).asin()
}

/// Writes ten-millionths of a degree as the shortest decimal.
pub fn write_degrees(out: &mut Vec<u8>, e7: i32) {
    if e7 < 0 {
        out.push(b'-');
    }
    let mut digits = [b'0'; 10];
    let mut rest = e7.unsigned_abs();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let (whole, fraction) = digits.split_at(3);
    out.extend_from_slice(&whole[whole.iter().position(|&digit| digit != b'0').unwrap_or(2).min(2)..]);
    if let Some(last) = fraction.iter().rposition(|&digit| digit != b'0') {
        out.push(b'.');
        out.extend_from_slice(&fraction[..=last]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(e7: i32) -> String {
        let mut out = Vec::new();
        write_degrees(&mut out, e7);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn degrees_are_written_without_idle_zeros() {
        let cases = [(340_194_500, "34.01945"), (-1_184_911_900, "-118.49119"), (0, "0"), (-1, "-0.0000001")];
        for (e7, text) in cases {
            assert_eq!(written(e7), text);
        }
        assert_eq!(written(1_800_000_000), "180");
        assert_eq!(written(100_000_000), "10");
    }

    #[test]
    fn degrees_that_were_written_read_back_as_the_same_spot() {
        for e7 in [-1_800_000_000, -1_234_567, 1, 340_689_301, 1_799_999_999] {
            let spot = Spot::new(0.0, written(e7).parse().unwrap()).unwrap();
            assert_eq!(spot.longitude_e7, e7);
        }
    }

    #[test]
    fn a_position_off_the_earth_is_no_spot() {
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Spot::new(latitude, longitude), None);
        }
    }

    #[test]
    fn a_distance_survives_the_way_through_its_chord() {
        for metres in [0.0, 0.5, 10_000.0, 50_000.0, 20_000_000.0] {
            assert!((distance_m(chord_2(metres)) - metres).abs() < 1e-3, "{metres}");
        }
    }
}
