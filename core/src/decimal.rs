//! Exact decimals, kept as the digits somebody wrote. No `f64` comes near a time.

use std::cmp::Ordering;

/// Nanoseconds since 1970-01-01 00:00:00 UTC without leap seconds: what a server's clock says.
pub type Nanos = u64;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// An unsigned decimal, `digits[.digits]`, compared by value: `1`, `01` and `1.00` are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    /// The digits before the point, without leading zeros.
    whole: &'a [u8],
    /// The digits after the point, without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// Reads a whole text as a decimal; `None` if it is anything else, such as `.5`, `5.`, `+5` or `5e0`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (whole, rest) = text.split_at(leading_digits(text));
        let fraction = match rest.split_first() {
            None => rest,
            Some((b'.', fraction)) if !fraction.is_empty() => fraction,
            Some(_) => return None,
        };
        if whole.is_empty() || leading_digits(fraction) < fraction.len() {
            return None;
        }
        Some(Self { whole: without_leading_zeros(whole), fraction: without_trailing_zeros(fraction) })
    }

    /// The value in billionths, if it is a whole number of them that fits.
    pub fn nanos(self) -> Option<Nanos> {
        if self.fraction.len() > 9 { None } else { self.cut_nanos() }
    }

    /// The value in billionths with the decimals after the ninth cut off, if that fits.
    fn cut_nanos(self) -> Option<Nanos> {
        if self.whole.len() > 11 {
            return None; // 11 digits of seconds and 9 of nanoseconds can overflow; the checks below see to it.
        }
        let seconds = self.whole.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let nanos = (0..9).fold(0, |sum, at| sum * 10 + u64::from(self.decimal(at) - b'0'));
        seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
    }

    /// The decimal at a place after the point, counted from 0.
    fn decimal(self, at: usize) -> u8 {
        self.fraction.get(at).copied().unwrap_or(b'0')
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.whole.len().cmp(&other.whole.len());
        length.then_with(|| self.whole.cmp(other.whole)).then_with(|| self.fraction.cmp(other.fraction))
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares a decimal number of seconds with a count of nanoseconds, exactly.
pub fn compare_with_nanos(seconds: Decimal<'_>, nanos: Nanos) -> Ordering {
    match seconds.nanos() {
        Some(exact) => exact.cmp(&nanos),
        None => seconds.cmp(&Decimal::parse(&seconds_of(nanos)).unwrap_or(seconds)),
    }
}

/// Appends `received - sent` in seconds: a sign and nine decimals, `+0.263873386`.
///
/// Decimals of `sent` after the ninth are cut off first, and no difference is `+0.000000000`.
pub fn print_skew(received: Nanos, sent: Decimal<'_>, out: &mut Vec<u8>) {
    if let Some(sent) = sent.cut_nanos() {
        out.push(if received >= sent { b'+' } else { b'-' });
        return print_seconds(received.abs_diff(sent), out);
    }
    // A time too large for numbers is ahead of every clock, so it is subtracted from on paper, digit by digit.
    let mut digits = sent.whole.to_vec();
    digits.extend((0..9).map(|at| sent.decimal(at)));
    subtract(&mut digits, received);
    let (whole, fraction) = digits.split_at(digits.len() - 9);
    let whole = without_leading_zeros(whole);
    out.push(b'-');
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    out.push(b'.');
    out.extend_from_slice(fraction);
}

/// Takes `amount` from a number written in digits that is not smaller.
fn subtract(digits: &mut [u8], mut amount: u64) {
    let mut borrowed = 0;
    for digit in digits.iter_mut().rev() {
        let take = borrowed + u8::try_from(amount % 10).unwrap_or_default();
        let value = *digit - b'0';
        borrowed = u8::from(value < take);
        *digit = b'0' + value + 10 * borrowed - take;
        amount /= 10;
    }
}

/// Appends nanoseconds as seconds with nine decimals.
fn print_seconds(nanos: Nanos, out: &mut Vec<u8>) {
    print_number(nanos / NANOS_PER_SECOND, out);
    let mut fraction = [b'0'; 10];
    let mut rest = nanos % NANOS_PER_SECOND;
    for digit in fraction[1..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    fraction[0] = b'.';
    out.extend_from_slice(&fraction);
}

/// Appends a whole number in decimal.
pub fn print_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Reads a whole number of at most 64 bits; no sign, no white space, at least one digit.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(value)
    })
}

fn seconds_of(nanos: Nanos) -> Vec<u8> {
    let mut text = Vec::with_capacity(24);
    print_seconds(nanos, &mut text);
    text
}

/// The number of digits that a text begins with.
pub(crate) fn leading_digits(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
    &digits[zeros..]
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    &digits[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal<'_> {
        Decimal::parse(text.as_bytes()).unwrap()
    }

    fn skew(received: Nanos, sent: &str) -> String {
        let mut out = Vec::new();
        print_skew(received, decimal(sent), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_decimal_is_digits_and_perhaps_a_point_and_digits() {
        for text in ["0", "007", "1520023934.918963997", "0.0", "1.00000000000000000000000001"] {
            assert!(Decimal::parse(text.as_bytes()).is_some(), "{text}");
        }
        for text in
            ["", ".", ".5", "5.", "+5", "-5", "5e0", "0x5", "5.5.5", " 5", "5 ", "٥", "nan", "inf", "5._5"]
        {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn decimals_compare_by_value_however_long() {
        assert_eq!(decimal("1.0").cmp(&decimal("001.000")), Ordering::Equal);
        assert!(decimal("1520023934.918963997") < decimal("1520023934.918963998"));
        assert!(decimal("9") < decimal("10"));
        assert!(decimal("0.5") < decimal("0.51"));
        assert!(decimal("1.0000000000000000000000000001") > decimal("1"));
        assert!(decimal(&"9".repeat(99)) < decimal(&format!("1{}", "0".repeat(99))));
    }

    #[test]
    fn a_difference_in_the_ninth_decimal_counts() {
        assert_eq!(decimal("1520023934.918963997").nanos(), Some(1_520_023_934_918_963_997));
        assert_eq!(decimal("1520023934.9189639971").nanos(), None);
        assert_eq!(compare_with_nanos(decimal("1.000000001"), 1_000_000_001), Ordering::Equal);
        assert_eq!(compare_with_nanos(decimal("1.0000000011"), 1_000_000_001), Ordering::Greater);
        assert_eq!(compare_with_nanos(decimal("1.0000000009"), 1_000_000_001), Ordering::Less);
        assert_eq!(compare_with_nanos(decimal(&"9".repeat(30)), u64::MAX), Ordering::Greater);
    }

    #[test]
    fn a_skew_is_signed_with_nine_decimals() {
        assert_eq!(skew(1_520_023_935_182_837_383, "1520023934.918963997"), "+0.263873386");
        assert_eq!(skew(1_000_000_000, "2"), "-1.000000000");
        assert_eq!(skew(1_000_000_000, "1.0000000009"), "+0.000000000");
        assert_eq!(skew(1_500_000_000, "0"), "+1.500000000");
    }

    #[test]
    fn a_skew_of_a_time_beyond_all_numbers_is_still_exact() {
        assert_eq!(skew(1_000_000_001, "100000000000000000000.5"), "-99999999999999999999.499999999");
        assert_eq!(skew(u64::MAX, "18446744074"), "-0.290448385");
        assert_eq!(skew(7, &format!("0000{}", "9".repeat(40))), format!("-{}8.999999993", "9".repeat(39)));
    }

    proptest! {
        #[test]
        fn reading_any_bytes_does_not_panic(text: Vec<u8>) {
            if let Some(decimal) = Decimal::parse(&text) {
                print_skew(1, decimal, &mut Vec::new());
            }
        }

        #[test]
        fn a_number_survives_print_and_parse(number: u64) {
            let mut text = Vec::new();
            print_number(number, &mut text);
            prop_assert_eq!(parse_number(&text), Some(number));
        }

        #[test]
        fn nanoseconds_survive_print_and_parse(nanos: Nanos) {
            let text = seconds_of(nanos);
            prop_assert_eq!(Decimal::parse(&text).unwrap().nanos(), Some(nanos));
        }

        #[test]
        fn a_skew_is_the_difference(received: Nanos, sent: Nanos) {
            let text = seconds_of(sent);
            let mut skew = Vec::new();
            print_skew(received, Decimal::parse(&text).unwrap(), &mut skew);
            let difference = i128::from(received) - i128::from(sent);
            let sign = if difference < 0 { '-' } else { '+' };
            let expected = format!("{sign}{}.{:09}", difference.abs() / 1_000_000_000, difference.abs() % 1_000_000_000);
            prop_assert_eq!(String::from_utf8(skew).unwrap(), expected);
        }
    }
}
