//! Numbers as programs in other languages print them, read exactly: any number of digits, an exponent or none.

use crate::decimal::{Nanos, leading_digits, parse_number};

/// A decimal with its sign and its exponent, in digits: nothing is rounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    negative: bool,
    /// All digits, those after the point too.
    digits: Vec<u8>,
    /// How many of the digits are after the point; less than none where zeros are to be added.
    decimals: i32,
}

/// The largest exponent that is read, either way: that of a double is smaller.
const EXPONENT_MAX: u64 = 400;

/// Numbers of more digits than this before the point, in nanoseconds, are out of range.
const DIGITS_MAX: usize = 37;

/// Decimals in a second's nanoseconds.
const NANO_DECIMALS: i32 = 9;

impl Figure {
    /// Reads `[sign]digits[.digits][e[sign]digits]`, a whole text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = signed(text);
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, rest) = mantissa.split_at(leading_digits(mantissa));
        let fraction = match rest.split_first() {
            None => rest,
            Some((b'.', fraction)) if !fraction.is_empty() => fraction,
            Some(_) => return None,
        };
        if whole.is_empty() || leading_digits(fraction) < fraction.len() {
            return None;
        }
        let decimals = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Self { negative, digits: [whole, fraction].concat(), decimals })
    }

    /// The value in whole nanoseconds, what is below one cut off towards the past, if that is in range.
    pub fn floor_nanos(&self) -> Option<i128> {
        let length = i32::try_from(self.digits.len()).ok()?;
        let kept = length + NANO_DECIMALS - self.decimals;
        let (kept_digits, cut) = self.digits.split_at(usize::try_from(kept.clamp(0, length)).ok()?);
        let zeros = usize::try_from((kept - length).max(0)).ok()?;
        let significant = kept_digits.iter().skip_while(|&&digit| digit == b'0').copied();
        let significant: Vec<u8> = significant.collect();
        if !significant.is_empty() && significant.len() + zeros > DIGITS_MAX {
            return None;
        }
        let zeros = if significant.is_empty() { 0 } else { zeros };
        let digits = significant.into_iter().chain(std::iter::repeat_n(b'0', zeros));
        let value = digits.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let is_cut = cut.iter().any(|&digit| digit != b'0');
        Some(if self.negative { -value - i128::from(is_cut) } else { value })
    }

    /// What one more in the last place that was written is worth, in nanoseconds and at least one.
    pub fn unit_nanos(&self) -> u128 {
        let places = u32::try_from((NANO_DECIMALS - self.decimals).clamp(0, 30)).unwrap_or(0);
        10_u128.pow(places)
    }

    /// The same number without an exponent and without the sign.
    pub fn plain(&self) -> Vec<u8> {
        let mut digits = self.digits.clone();
        let decimals = usize::try_from(self.decimals).unwrap_or(0);
        digits.extend(std::iter::repeat_n(b'0', usize::try_from(-self.decimals).unwrap_or(0)));
        if digits.len() <= decimals {
            let zeros = vec![b'0'; decimals + 1 - digits.len()];
            digits.splice(0..0, zeros);
        }
        if decimals > 0 {
            digits.insert(digits.len() - decimals, b'.');
        }
        digits
    }

    /// Whether it has a minus sign.
    pub fn is_negative(&self) -> bool {
        self.negative
    }
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = signed(text);
    let value = i32::try_from(parse_number(digits).filter(|&value| value <= EXPONENT_MAX)?).ok()?;
    Some(if negative { -value } else { value })
}

/// Reads a skew. Many prototypes put a sign of their own before that of a number: `--0.5` and `+-0.5` are both -0.5.
pub fn skew(text: &[u8]) -> Option<Figure> {
    let doubled =
        text.split_first().filter(|(sign, rest)| matches!(sign, b'+' | b'-') && rest.starts_with(b"-"));
    Figure::parse(doubled.map_or(text, |(_, rest)| rest))
}

/// When a server heard of what was sent at `time`, if its clock was ahead of the sender's by `skew`.
pub fn receipt(time: &Figure, skew: &Figure) -> Option<Nanos> {
    Nanos::try_from(time.floor_nanos()?.checked_add(skew.floor_nanos()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::{Decimal, print_skew};
    use proptest::prelude::*;

    fn figure(text: &str) -> Figure {
        Figure::parse(text.as_bytes()).unwrap()
    }

    fn sum(time: &str, said: &str) -> Option<Nanos> {
        receipt(&figure(time), &skew(said.as_bytes()).unwrap())
    }

    #[test]
    fn receipt_is_time_plus_skew_exactly() {
        assert_eq!(sum("1520023934.918963997", "+0.263873386"), Some(1_520_023_935_182_837_383));
        assert_eq!(sum("1520023934.918964", "+0.263873386"), Some(1_520_023_935_182_837_386));
        assert_eq!(sum("5", "+1e-05"), Some(5_000_010_000));
        assert_eq!(sum("5", "-1E-5"), Some(4_999_990_000));
        assert_eq!(sum("5", "1.5e+01"), Some(20_000_000_000));
        assert_eq!(sum("99999999999999999999", "-99999999999999999994.5"), Some(4_500_000_000));
    }

    /// A client ahead of such a server's clock was known to its own kind alone.
    #[test]
    fn a_sign_may_stand_before_that_of_a_skew() {
        assert_eq!(sum("5", "--0.5"), Some(4_500_000_000));
        assert_eq!(sum("5", "+-0.5"), Some(4_500_000_000));
        for text in ["---1", "++1", "-+1", "- 1", "--", "+-"] {
            assert_eq!(skew(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_below_a_nanosecond_is_cut_off_towards_the_past() {
        assert_eq!(sum("5", "+0.26387333869934082"), Some(5_263_873_338));
        assert_eq!(sum("5", "-0.0000000001"), Some(4_999_999_999));
        assert_eq!(sum("5.0000000009", "+0.0000000009"), Some(5_000_000_000));
        assert_eq!(sum("5", "+1e-300"), Some(5_000_000_000));
        assert_eq!(sum("5", "+0e-300"), Some(5_000_000_000));
    }

    #[test]
    fn what_is_no_number_or_out_of_range_is_refused() {
        for text in
            ["", "+", "+-1", "nan", "inf", "1.", ".5", "1e", "1e+", "1e5.5", "0x1", "1_0", "1e401", "1 "]
        {
            assert_eq!(Figure::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(sum("5", "-6"), None);
        assert_eq!(sum("5", "+1e30"), None);
        assert_eq!(sum("99999999999999999999", "+0"), None);
        assert_eq!(sum("0", "+0e300"), Some(0));
    }

    #[test]
    fn a_number_without_its_exponent_is_the_same_number() {
        for (text, plain) in [
            ("1e-05", "0.00001"),
            ("-118.445127", "118.445127"),
            ("1.5e1", "15"),
            ("2e3", "2000"),
            ("0.50", "0.50"),
        ] {
            assert_eq!(figure(text).plain(), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn the_unit_is_that_of_the_last_digit_written() {
        for (text, unit) in
            [("1520023934.918964", 1_000), ("5", 1_000_000_000), ("+1e-05", 10_000), ("0.12345678901", 1)]
        {
            assert_eq!(figure(text).unit_nanos(), unit, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_skew_that_was_printed_here_gives_the_receipt_back(
            received: u64, whole in "[0-9]{1,28}", fraction in "(\\.[0-9]{1,14})?",
        ) {
            let time = whole + &fraction;
            let mut skew = Vec::new();
            print_skew(received, Decimal::parse(time.as_bytes()).unwrap(), &mut skew);
            prop_assert_eq!(receipt(&figure(&time), &Figure::parse(&skew).unwrap()), Some(received));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text: Vec<u8>) {
            if let Some(figure) = Figure::parse(&text) {
                let _ = (figure.floor_nanos(), figure.unit_nanos(), figure.plain());
            }
        }

        #[test]
        fn any_figure_is_handled_without_panic(text in "[+-]?[0-9]{1,50}(\\.[0-9]{1,50})?(e[+-]?[0-9]{1,3})?") {
            if let Some(figure) = Figure::parse(text.as_bytes()) {
                let plain = Figure::parse(&figure.plain()).unwrap();
                if !figure.is_negative() {
                    prop_assert_eq!(plain.floor_nanos(), figure.floor_nanos());
                }
            }
        }
    }
}
