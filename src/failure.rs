//! Why a command did not do what it was asked to, and the exit code that follows.

use std::fmt;

/// The end of a command that did not succeed. Its text is one line: what, where, what to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was asked for something that cannot be asked.
    Usage(String),
    /// It could not be done.
    Undone(String),
}

impl Failure {
    /// Tells the exit code of the program: 1 could not do it, 2 wrong usage.
    pub fn exit_code(&self) -> i32 {
        match self {
            Failure::Undone(_) => 1,
            Failure::Usage(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Undone(text) => f.write_str(text),
        }
    }
}

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
