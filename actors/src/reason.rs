//! Why something failed, as this program says it.

use std::fmt;

/// Says why, in the manner of this program: without the number of the error and its capital letter.
pub fn reason(error: &impl fmt::Display) -> String {
    let said = error.to_string();
    let said = said.split_once(" (os error ").map_or(said.as_str(), |(words, _)| words);
    let mut letters = said.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_the_operating_system_is_words() {
        assert_eq!(reason(&std::io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(reason(&""), "");
    }
}
