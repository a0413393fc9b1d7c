//! Exact arithmetic on times of any length: a time is a whole number of nanoseconds, written in decimal digits.

use std::cmp::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// A number of nanoseconds from zero up, as digits without leading zeros. Zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nanoseconds(Vec<u8>);

impl Nanoseconds {
    /// The time on the clock of this machine.
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        Self::from_digits(now.as_nanos().to_string().bytes())
    }

    /// Reads `digits[.digits]` seconds. Decimals beyond the ninth do not count.
    pub fn of_seconds(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(format!("{text:?} is no time"));
        }
        let decimals = fraction.bytes().chain([b'0'; 9]).take(9);
        Ok(Self::from_digits(whole.bytes().chain(decimals)))
    }

    /// Reads a skew, which has a sign, no needless zero, and nine decimals, and adds it to a client's time.
    pub fn plus_skew(&self, skew: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("the skew {skew:?} {why}"));
        let (Some(sign @ ('+' | '-')), Some((whole, decimals))) =
            (skew.chars().next(), skew.get(1..).and_then(|rest| rest.split_once('.')))
        else {
            return wrong("has no sign or no decimals");
        };
        if decimals.len() != 9 {
            return wrong("has not nine decimals");
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return wrong("has a needless zero");
        }
        let distance = Self::of_seconds(&skew[1..])?;
        match sign {
            '+' => Ok(self.plus(&distance)),
            _ if distance.0.is_empty() => wrong("is a zero with a minus"),
            _ => self.minus(&distance).map_or_else(|| wrong("leads to before 1970"), Ok),
        }
    }

    /// Prints seconds with nine decimals.
    pub fn to_seconds(&self) -> String {
        let digits = format!("{:0>10}", String::from_utf8_lossy(&self.0));
        let (whole, decimals) = digits.split_at(digits.len() - 9);
        format!("{whole}.{decimals}")
    }

    /// Later by so many seconds, or earlier where they are negative.
    pub fn shifted(&self, seconds: i64) -> Self {
        let distance = Self::from_digits(format!("{}000000000", seconds.unsigned_abs()).bytes());
        let shifted = if seconds < 0 { self.minus(&distance) } else { Some(self.plus(&distance)) };
        shifted.expect("a time after 1970")
    }

    fn from_digits(digits: impl Iterator<Item = u8>) -> Self {
        Nanoseconds(digits.skip_while(|&digit| digit == b'0').collect())
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        let mut sum: Vec<u8> = self
            .places(other)
            .map(|(one, two)| {
                let digit = one + two + carry;
                carry = digit / 10;
                b'0' + digit % 10
            })
            .collect();
        sum.push(b'0' + carry);
        Self::from_digits(sum.into_iter().rev())
    }

    /// The difference, or nothing where it is below zero.
    fn minus(&self, other: &Self) -> Option<Self> {
        if (self as &Self).cmp(other) == Ordering::Less {
            return None;
        }
        let mut borrow = 0;
        let difference: Vec<u8> = self
            .places(other)
            .map(|(one, two)| {
                let digit = 10 + one - two - borrow;
                borrow = u8::from(digit < 10);
                b'0' + digit % 10
            })
            .collect();
        Some(Self::from_digits(difference.into_iter().rev()))
    }

    /// The digits of both numbers, the last first, with zeros in front of the shorter.
    fn places<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (u8, u8)> + 'a {
        let digit =
            |number: &[u8], place: usize| number.iter().rev().nth(place).map_or(0, |digit| digit - b'0');
        (0..self.0.len().max(other.0.len())).map(move |place| (digit(&self.0, place), digit(&other.0, place)))
    }
}

impl Ord for Nanoseconds {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Nanoseconds {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::Nanoseconds;

    fn time(text: &str) -> Nanoseconds {
        Nanoseconds::of_seconds(text).unwrap()
    }

    #[test]
    fn a_time_is_read_and_printed_exactly() {
        for (text, printed) in [
            ("0", "0.000000000"),
            ("0.000000001", "0.000000001"),
            ("1520023934.918963997", "1520023934.918963997"),
            ("0001.5", "1.500000000"),
            ("1.0000000019", "1.000000001"),
        ] {
            assert_eq!(time(text).to_seconds(), printed);
        }
        for text in ["", ".", "1.", ".5", "+1", "-1", "1e3", "1.2.3"] {
            assert!(Nanoseconds::of_seconds(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_skew_is_added_exactly_whatever_its_sign_and_length() {
        for (start, skew, sum) in [
            ("1520023934.918963997", "+0.263873386", "1520023935.182837383"),
            ("1", "-1.000000000", "0.000000000"),
            (
                "99999999999999999999999999999999999999999999",
                "-99999999999999999999999999999999999999999998.999999999",
                "0.000000001",
            ),
            ("5", "+0.000000000", "5.000000000"),
        ] {
            assert_eq!(time(start).plus_skew(skew).unwrap().to_seconds(), time(sum).to_seconds());
        }
    }

    #[test]
    fn a_skew_in_another_form_is_refused() {
        for skew in [
            "",
            "0.000000000",
            "+0",
            "+0.0",
            "+00.000000000",
            "-0.000000000",
            "+1.0000000000",
            "+.000000001",
            "-9.000000000",
            "+é.000000000",
            "+-1.000000000",
        ] {
            assert!(time("5").plus_skew(skew).is_err(), "{skew:?}");
        }
    }

    #[test]
    fn times_are_ordered_as_numbers() {
        assert!(time("9") < time("10"));
        assert!(time("0.1") > time("0.099999999"));
        assert_eq!(time("1.0"), time("01.00"));
        assert_eq!(time("100").shifted(-30), time("70"));
        assert_eq!(time("100").shifted(30), time("130"));
    }
}
