//! How the search for places ended, as its answer says it.

use std::fmt;

/// The `status` of an answer, in the words of the legacy Nearby Search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There are results.
    Ok,
    /// All went well, and there is nothing near.
    ZeroResults,
    /// The provider did not understand the question.
    InvalidRequest,
    /// Too many questions were asked: of the provider, or of this server for one day.
    OverQueryLimit,
    /// The provider refuses to answer, for want of a good key for example.
    RequestDenied,
    /// The provider cannot be reached, or what it said makes no sense.
    UnknownError,
}

impl Status {
    /// Returns the word that stands in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::ZeroResults => "ZERO_RESULTS",
            Status::InvalidRequest => "INVALID_REQUEST",
            Status::OverQueryLimit => "OVER_QUERY_LIMIT",
            Status::RequestDenied => "REQUEST_DENIED",
            Status::UnknownError => "UNKNOWN_ERROR",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
