//! Exact decimals, kept as the digits somebody wrote. No `f64` comes near a time.

#![expect(
    clippy::inline_always,
    reason = "three decimals are read for each check-in; a tenth of all it takes is saved"
)]

use crate::word::{EIGHT, each};
use std::cmp::Ordering;

/// Nanoseconds since 1970-01-01 00:00:00 UTC without leap seconds: what a server's clock says.
pub type Nanos = u64;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// An unsigned decimal, `digits[.digits]`, compared by value: `1`, `01` and `1.00` are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decimal<'a> {
    /// The writer's own bytes.
    text: &'a [u8],
    digits: Digits,
}

/// A decimal as numbers, from which its writer's bytes can be printed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digits {
    /// All digits as one number.
    pub value: u64,
    /// How many digits there are before the point. None at all: there are over `DIGITS_MAX` in all, so the value
    /// is not to be looked at.
    pub whole: u8,
    /// How many digits there are after the point.
    pub decimals: u8,
}

/// So many digits fit 64 bits, whichever they are.
const DIGITS_MAX: usize = 19;

/// The powers of ten that fit 64 bits.
const POWERS: [u64; DIGITS_MAX + 1] = {
    let mut powers = [1; DIGITS_MAX + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

impl Digits {
    /// Reads the decimal that a text begins with. None is as unknown as one that is too long.
    #[inline(always)]
    fn scan(text: &[u8]) -> Self {
        let (value, whole) = scan_digits(0, text);
        let Some((b'.', fraction)) = text.get(whole..).and_then(<[u8]>::split_first) else {
            return Self::new(value, whole, 0);
        };
        let (value, decimals) = scan_digits(value, fraction);
        if decimals == 0 { Self::default() } else { Self::new(value, whole, decimals) }
    }

    #[inline(always)]
    fn new(value: u64, whole: usize, decimals: usize) -> Self {
        match (u8::try_from(whole), u8::try_from(decimals)) {
            (Ok(whole), Ok(decimals)) if usize::from(whole) + usize::from(decimals) <= DIGITS_MAX => {
                Self { value, whole, decimals }
            }
            _ => Self::default(),
        }
    }

    /// False if there are over `DIGITS_MAX`.
    #[inline]
    pub fn are_known(self) -> bool {
        self.whole > 0
    }

    /// The value in billionths, if it has no more decimals than that and fits.
    #[inline]
    pub fn nanos(self) -> Option<Nanos> {
        let missing = 9_u8.checked_sub(self.decimals).filter(|_| self.are_known())?;
        self.value.checked_mul(POWERS[usize::from(missing)])
    }

    /// How many bytes [`Digits::print`] appends.
    #[inline]
    pub fn length(self) -> usize {
        usize::from(self.whole) + usize::from(self.decimals) + usize::from(self.decimals > 0)
    }

    /// Appends the digits, and the point if there are any behind it.
    pub fn print(self, out: &mut Vec<u8>) {
        let text = padded(self.value);
        let point = text.len().saturating_sub(self.decimals.into());
        let start = point.saturating_sub(self.whole.into());
        out.extend_from_slice(&text[start..point]);
        if point < text.len() {
            out.push(b'.');
            out.extend_from_slice(&text[point..]);
        }
    }
}

impl<'a> Decimal<'a> {
    /// Reads a whole text as a decimal; `None` if it is anything else, such as `.5`, `5.`, `+5` or `5e0`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        Self::scan(text).filter(|(_, rest)| rest.is_empty()).map(|(decimal, _)| decimal)
    }

    /// Reads the decimal that a text begins with; what is behind it is returned too.
    #[inline(always)]
    pub fn scan(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let digits = Digits::scan(text);
        let length = if digits.are_known() { digits.length() } else { long_length(text)? };
        let (text, rest) = text.split_at_checked(length)?;
        Some((Self { text, digits }, rest))
    }

    /// The writer's own bytes.
    pub fn text(self) -> &'a [u8] {
        self.text
    }

    /// The number as digits: not a single one if there are too many.
    #[inline]
    pub fn digits(self) -> Digits {
        self.digits
    }

    /// The value in billionths with the decimals after the ninth cut off, if that fits.
    fn cut_nanos(self) -> Option<Nanos> {
        self.digits.nanos().or_else(|| Parts::of(self.text).cut_nanos())
    }
}

/// How long the decimal is that a text begins with, if that is one.
#[cold]
fn long_length(text: &[u8]) -> Option<usize> {
    let whole = leading_digits(text);
    let Some(b'.') = text.get(whole) else { return Some(whole).filter(|&whole| whole > 0) };
    let decimals = leading_digits(&text[whole + 1..]);
    (whole > 0 && decimals > 0).then_some(whole + 1 + decimals)
}

/// The digits that tell the value of a decimal of any length.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Parts<'a> {
    /// How many digits there are before the point.
    length: usize,
    /// The digits before the point, without leading zeros.
    whole: &'a [u8],
    /// The digits after the point, without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8]) -> Self {
        let (whole, rest) = text.split_at(leading_digits(text));
        let whole = without_leading_zeros(whole);
        let fraction = without_trailing_zeros(rest.strip_prefix(b".").unwrap_or_default());
        Self { length: whole.len(), whole, fraction }
    }

    fn cut_nanos(&self) -> Option<Nanos> {
        if self.length > 11 {
            return None; // 11 digits of seconds and 9 of nanoseconds can overflow; the checks below see to it.
        }
        let seconds = self.whole.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let nanos = (0..9).fold(0, |sum, at| sum * 10 + u64::from(self.decimal(at) - b'0'));
        seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
    }

    /// The decimal at a place after the point, counted from 0.
    fn decimal(&self, at: usize) -> u8 {
        self.fraction.get(at).copied().unwrap_or(b'0')
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.digits.nanos(), other.digits.nanos()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => Parts::of(self.text).cmp(&Parts::of(other.text)),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Decimal<'_> {}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

/// Compares a decimal number of seconds with a count of nanoseconds, exactly.
#[inline]
pub fn compare_with_nanos(seconds: Decimal<'_>, nanos: Nanos) -> Ordering {
    match seconds.digits.nanos() {
        Some(exact) => exact.cmp(&nanos),
        None => compare_on_paper(seconds, nanos),
    }
}

/// The same digit by digit.
#[cold]
fn compare_on_paper(seconds: Decimal<'_>, nanos: Nanos) -> Ordering {
    seconds.cmp(&Decimal::parse(&seconds_of(nanos)).unwrap_or(seconds))
}

/// Appends `received - sent` in seconds: a sign and nine decimals, `+0.263873386`.
///
/// Decimals of `sent` after the ninth are cut off first, and no difference is `+0.000000000`.
pub fn print_skew(received: Nanos, sent: Decimal<'_>, out: &mut Vec<u8>) {
    if let Some(sent) = sent.cut_nanos() {
        return print_difference(received, sent, out);
    }
    // A time too large for numbers is ahead of every clock, so it is subtracted from on paper, digit by digit.
    let sent = Parts::of(sent.text);
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

/// Appends `received - sent` in seconds: a sign and nine decimals.
pub fn print_difference(received: Nanos, sent: Nanos, out: &mut Vec<u8>) {
    out.push(if received >= sent { b'+' } else { b'-' });
    print_seconds(received.abs_diff(sent), out);
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
#[inline]
pub(crate) fn print_seconds(nanos: Nanos, out: &mut Vec<u8>) {
    let (seconds, decimals) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    let [first, last] =
        [seconds % 10, decimals % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or_default());
    if seconds > 9 {
        print_number(seconds / 10, out);
    }
    let mut text = [first, b'.', 0, 0, 0, 0, 0, 0, 0, 0, last];
    text[2..10].copy_from_slice(&eight_digits(decimals / 10));
    out.extend_from_slice(&text);
}

/// Appends a whole number in decimal.
#[inline]
pub fn print_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&padded(number)[PADDED.saturating_sub(number_length(number))..]);
}

/// How many digits a whole number has.
#[inline]
pub fn number_length(number: u64) -> usize {
    // The last bit makes no number longer, and 0 as long as 1. So many bits are so many digits, or one digit less:
    // 1233 / 4096 is the logarithm of 2, nearly.
    let odd = number | 1;
    let digits = (u64::BITS - odd.leading_zeros()) as usize * 1233 / 4096;
    digits + usize::from(odd >= POWERS[digits])
}

/// More digits than any number has.
const PADDED: usize = 3 * EIGHT;

/// The digits of a number, zeros first.
#[inline]
fn padded(number: u64) -> [u8; PADDED] {
    const EIGHTH: u64 = POWERS[EIGHT];
    let mut text = [0; PADDED];
    let eights = [number / EIGHTH / EIGHTH, number / EIGHTH % EIGHTH, number % EIGHTH];
    for (text, number) in text.as_chunks_mut().0.iter_mut().zip(eights) {
        *text = eight_digits(number);
    }
    text
}

/// The text of a number below 100,000,000, zeros first.
///
/// It is cut into halves, those into quarters and those into digits; the pieces lie side by side in one word, the first
/// lowest, and are divided all at once, by multiplying. The factors are exact for the numbers there are.
#[inline]
fn eight_digits(number: u64) -> [u8; EIGHT] {
    let halves = cut(number, 10_000, number / 10_000, 32);
    let quarters = cut(halves, 100, ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f, 16);
    let digits = cut(quarters, 10, ((quarters * 103) >> 10) & 0x000f_000f_000f_000f, 8);
    (digits + each(b'0')).to_le_bytes()
}

/// Puts the remainders of a division behind the quotients, which are so many bits wide.
#[inline]
fn cut(numbers: u64, by: u64, quotients: u64, bits: u32) -> u64 {
    quotients + ((numbers - by * quotients) << bits)
}

/// Reads a whole number of at most 64 bits; no sign, no white space, at least one digit.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    scan_number(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

/// Reads the whole number that a text begins with; what is behind it is returned too.
#[inline]
pub fn scan_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut digits) = (0, 0);
    // Nanoseconds have nineteen digits.
    while let Some(eight) = text.get(digits..).and_then(<[u8]>::first_chunk) {
        let (more, count) = scan_eight(*eight);
        if count > 0 {
            value = append_digits(value, more, count);
            digits += count;
        }
        if count < EIGHT {
            return number(value, text, digits);
        }
    }
    let (value, digits) = scan_more_digits(value, text, digits);
    number(value, text, digits)
}

/// The number that the first digits of a text make, which is the value if there are not too many; what is behind them is
/// returned too.
#[inline]
fn number(value: u64, text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    match digits.len() {
        0 => None,
        1..=DIGITS_MAX => Some((value, rest)),
        _ => Some((long_number(digits)?, rest)),
    }
}

#[cold]
fn long_number(digits: &[u8]) -> Option<u64> {
    let mut digits = digits.iter().map(|digit| u64::from(digit - b'0'));
    digits.try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
}

/// Reads the digits that a text begins with behind those of a value: the new value, which means something only if there
/// were any and are not over `DIGITS_MAX`, and how many were read.
#[inline(always)]
fn scan_digits(value: u64, text: &[u8]) -> (u64, usize) {
    let Some(eight) = text.first_chunk() else { return scan_more_digits(value, text, 0) };
    let (digits, count) = scan_eight(*eight);
    let value = append_digits(value, digits, count);
    if count < EIGHT { (value, count) } else { scan_more_digits(value, text, EIGHT) }
}

/// The same from the digit of a number on, one by one.
#[inline(never)]
fn scan_more_digits(mut value: u64, text: &[u8], mut at: usize) -> (u64, usize) {
    while let Some(digit) = text.get(at).map(|byte| byte ^ b'0').filter(|&digit| digit <= 9) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// The number that so many digits make behind those of a value.
#[inline]
fn append_digits(value: u64, digits: u64, count: usize) -> u64 {
    value.wrapping_mul(POWERS[count]).wrapping_add(digits)
}

/// The number that the digits make with which eight bytes begin, and how many digits these are; without any, the number
/// is not to be looked at.
#[inline(always)]
fn scan_eight(text: [u8; EIGHT]) -> (u64, usize) {
    // Of digits this leaves their values. The high bit of other bytes comes up when as much is added as makes a 9 the
    // last number below it. Bytes behind such a byte may be wrong, but those before it are not.
    let values = u64::from_le_bytes(text) ^ each(b'0');
    let others = (values.wrapping_add(each(0x7f - 9)) | values) & each(0x80);
    let count = others.trailing_zeros() / u8::BITS;
    // Zeros come in before the digits. Then two, four and eight are put together, all at once, by multiplying.
    let digits = values.wrapping_shl(u64::BITS - count * u8::BITS);
    let pairs = (digits.wrapping_mul(10).wrapping_add(digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    ((fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff, count as usize)
}

/// The text of a time in seconds with nine decimals.
pub fn seconds_of(nanos: Nanos) -> Vec<u8> {
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
            let mut printed = Vec::new();
            if decimal(text).digits().are_known() {
                decimal(text).digits().print(&mut printed);
                assert_eq!(printed, text.as_bytes());
            }
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
        assert_eq!(decimal("1520023934.918963997").cut_nanos(), Some(1_520_023_934_918_963_997));
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

    #[test]
    fn eight_digits_are_printed_and_read_at_once_whichever_they_are() {
        let four_digits = (0..10_000).flat_map(|digits| [digits, digits * 10_000, digits * 10_001]);
        for number in four_digits {
            let text = format!("{number:08}");
            assert_eq!(eight_digits(number), text.as_bytes());
            assert_eq!(scan_digits(0, text.as_bytes()), (number, EIGHT));
        }
    }

    #[test]
    fn every_power_of_ten_is_longer_than_the_number_before_it() {
        for (length, power) in (1..).zip(POWERS) {
            assert_eq!(number_length(power), length);
            assert_eq!(number_length(power - 1), usize::max(1, length - 1));
        }
    }

    proptest! {
        #[test]
        fn reading_any_bytes_does_not_panic(text: Vec<u8>) {
            if let Some(decimal) = Decimal::parse(&text) {
                print_skew(1, decimal, &mut Vec::new());
            }
        }

        #[test]
        fn digits_print_back_as_they_were_written(text in "[0-9]{1,12}(\\.[0-9]{1,12})?") {
            let decimal = Decimal::parse(text.as_bytes()).unwrap();
            let mut printed = Vec::new();
            decimal.digits().print(&mut printed);
            prop_assert_eq!(decimal.digits().are_known(), text.replace('.', "").len() <= DIGITS_MAX);
            prop_assert_eq!(printed == text.as_bytes(), decimal.digits().are_known());
        }

        #[test]
        fn decimals_compare_as_their_digits_do(a in "[0-9]{1,12}(\\.[0-9]{1,12})?", b in "[0-9]{1,3}(\\.[0-9]{1,3})?") {
            for (a, b) in [(&a, &b), (&b, &a), (&a, &a)] {
                let expected = Parts::of(a.as_bytes()).cmp(&Parts::of(b.as_bytes()));
                prop_assert_eq!(decimal(a).cmp(&decimal(b)), expected);
            }
            prop_assert_eq!(decimal(&a).cut_nanos(), Parts::of(a.as_bytes()).cut_nanos());
        }

        #[test]
        fn digits_are_read_up_to_the_first_other_byte(text in "[0-9]{0,10}", rest: Vec<u8>) {
            prop_assume!(!rest.first().is_some_and(u8::is_ascii_digit));
            let (value, digits) = scan_digits(0, &[text.as_bytes(), &rest].concat());
            prop_assert_eq!(digits, text.len());
            prop_assert!(digits == 0 || text.parse() == Ok(value));
        }

        #[test]
        fn a_number_survives_print_and_parse(number: u64, bits in 0..64_u32) {
            for number in [number, number >> bits, (1 << bits) - 1] {
                let mut text = Vec::new();
                print_number(number, &mut text);
                prop_assert_eq!(std::str::from_utf8(&text), Ok(&*number.to_string()));
                prop_assert_eq!(number_length(number), text.len());
                prop_assert_eq!(parse_number(&text), Some(number));
            }
        }

        #[test]
        fn nanoseconds_survive_print_and_parse(nanos: Nanos) {
            let text = seconds_of(nanos);
            prop_assert_eq!(Decimal::parse(&text).unwrap().cut_nanos(), Some(nanos));
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
