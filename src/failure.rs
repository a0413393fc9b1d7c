//! Why a command did not do what it was asked to, and the exit code that follows.

pub use herd_actors::reason::reason;
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
