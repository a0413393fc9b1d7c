//! The fields of a line: what is between white space.

use crate::word::{EIGHT, each};

/// Splits a line into fields.
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields { rest: line }
}

/// The fields of a line that have not been read.
///
/// They are parted by runs of white space: space, tab, line feed, vertical tab, form feed, carriage return.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field as something of which the end is known only once it is read: `scan` tells what is behind it.
    #[inline]
    pub fn read<T>(&mut self, scan: impl FnOnce(&'a [u8]) -> Option<(T, &'a [u8])>) -> Option<T> {
        self.skip_white_space();
        let (value, rest) = scan(self.rest)?;
        self.rest = rest;
        rest.first().is_none_or(|&byte| is_white_space(byte)).then_some(value)
    }

    /// What is behind the field that was read last.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The bytes up to the next white space, if there is none before them.
    #[inline]
    pub fn word(&mut self) -> Option<&'a [u8]> {
        let (field, rest) = self.rest.split_at(field_length(self.rest));
        self.rest = rest;
        (!field.is_empty()).then_some(field)
    }

    /// True if there is none any more.
    #[inline]
    pub fn is_over(&mut self) -> bool {
        self.skip_white_space();
        self.rest.is_empty()
    }

    /// Goes to where the next field begins.
    #[inline]
    pub fn skip_white_space(&mut self) {
        // Nearly always there is one space, and no loop is wanted where lines are read.
        if let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.first().is_some_and(|&byte| is_white_space(byte)) {
            self.rest = behind_white_space(self.rest);
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_white_space();
        self.word()
    }
}

/// How many bytes come before the first white space.
#[inline]
fn field_length(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        if let Some(at) = first_white_space(*eight) {
            return text.len() - rest.len() + at;
        }
        rest = behind;
    }
    let mut last = [b' '; EIGHT];
    last[..rest.len()].copy_from_slice(rest);
    text.len() - rest.len() + first_white_space(last).unwrap_or_default()
}

/// Which of eight bytes is the first white space.
#[inline]
fn first_white_space(eight: [u8; EIGHT]) -> Option<usize> {
    let at = first_up_to_space(u64::from_le_bytes(eight))?;
    // Nearly always it is a space, and not a control character that may stand in a field.
    if is_white_space(eight[at]) { Some(at) } else { first_white_space_behind(eight) }
}

#[cold]
fn first_white_space_behind(eight: [u8; EIGHT]) -> Option<usize> {
    eight.iter().position(|&byte| is_white_space(byte))
}

/// Which of eight bytes, the first of which is the lowest, is the first that is no greater than a space.
#[inline]
fn first_up_to_space(word: u64) -> Option<usize> {
    // A byte's high bit comes up where subtracting 33 borrows. Bytes above it may be wrong, but not those below.
    let low = word.wrapping_sub(each(0x21)) & !word & each(0x80);
    (low != 0).then_some((low.trailing_zeros() / 8) as usize)
}

#[cold]
fn behind_white_space(text: &[u8]) -> &[u8] {
    let length = text.iter().position(|&byte| !is_white_space(byte)).unwrap_or(text.len());
    &text[length..]
}

#[inline]
fn is_white_space(byte: u8) -> bool {
    byte == b' ' || byte.wrapping_sub(b'\t') <= b'\r' - b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_are_what_is_between_white_space(
            line in prop::collection::vec(prop::sample::select(b" \t\n\r\x0b\x0c\0\x08\x0e!ak\x80\xa0\xff".to_vec()), 0..40),
        ) {
            let expected: Vec<&[u8]> =
                line.split(|byte| b" \t\n\x0b\x0c\r".contains(byte)).filter(|field| !field.is_empty()).collect();
            prop_assert_eq!(fields(&line).collect::<Vec<_>>(), expected);
        }
    }
}
