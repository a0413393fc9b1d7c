//! What is said to a provider over the network, what comes back, and whose fault it is when nothing does.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use super::field_mask::FieldMask;
use super::key::Key;
use super::status::Status;

/// A request to be sent. It has no `Debug`, because the key is in it.
pub struct Request {
    /// The address, with the query if there is one.
    pub url: String,
    /// Headers beyond those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// What is posted; a request without a body is a GET.
    pub body: Option<String>,
}

/// A whole reply that came within the limits.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The HTTP status.
    pub code: u16,
    /// How long it is until what the `Retry-After` header said.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Reads the body, which is to be an object: a list may pass for one whose members come in order.
    pub(super) fn object<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        let is_object = self.body.trim_ascii_start().starts_with(b"{");
        let read = if is_object {
            serde_json::from_slice(self.body)
        } else {
            Err(serde_json::Error::custom("it is no object"))
        };
        read.map_err(|error| Failure::broken(format!("the answer makes no sense: {error}")))
    }
}

/// Whose fault a failure is, which decides whether the provider is asked again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Ours, or nobody's: the next question may do better.
    Question,
    /// The provider is broken or cannot be reached.
    Provider,
    /// The provider does not want to be asked, perhaps for the time it named.
    Refusal(Option<Duration>),
}

/// Why a provider did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client is told if nobody else answers.
    pub status: Status,
    /// What went wrong, in words that hold no key.
    pub message: String,
    /// Whose fault it is.
    pub blame: Blame,
}

impl Failure {
    /// The provider cannot be reached, or what it says makes no sense.
    pub fn broken(message: impl Into<String>) -> Failure {
        let message = shortened(&message.into());
        Failure { status: Status::UnknownError, message, blame: Blame::Provider }
    }

    /// The question was not asked, for a reason on this side.
    pub fn unasked(status: Status, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into(), blame: Blame::Question }
    }

    /// A reply with a status of HTTP that is not 200, and perhaps the provider's own words.
    pub fn http(reply: &Reply<'_>, said: Option<&str>) -> Failure {
        let (status, blame) = match reply.code {
            400 | 404 | 414 => (Status::InvalidRequest, Blame::Question),
            401 | 403 => (Status::RequestDenied, Blame::Refusal(reply.retry_after)),
            429 => (Status::OverQueryLimit, Blame::Refusal(reply.retry_after)),
            // Whoever says that it will be away for long is not asked before (RFC 9110, section 15.6.4).
            503 if reply.retry_after.is_some_and(|away| away >= AWAY_MIN) => {
                (Status::UnknownError, Blame::Refusal(reply.retry_after))
            }
            _ => (Status::UnknownError, Blame::Provider),
        };
        let message = match said {
            Some(said) => format!("http status {}: {}", reply.code, shortened(said)),
            None => format!("http status {}", reply.code),
        };
        Failure { status, message, blame }
    }

    /// Removes the key from the message, should the provider have repeated it.
    #[must_use]
    pub fn scrubbed(self, key: Option<&Key>) -> Failure {
        match key {
            Some(key) => Failure { message: key.scrub(&self.message), ..self },
            None => self,
        }
    }
}

/// What is over sooner is a failure among others, after which an answer may come.
const AWAY_MIN: Duration = Duration::from_secs(30);

/// Returns the beginning of what somebody else said, on one line.
pub(super) fn shortened(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

/// How a provider is reached and what it is asked for.
#[derive(Clone, Debug)]
pub struct Access {
    /// The address up to the path that the provider's interface begins with, without a slash at the end.
    pub base_url: String,
    /// The key, for those that want one.
    pub key: Option<Key>,
    /// The fields that the Places API (New) is asked for.
    pub field_mask: FieldMask,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(code: u16) -> Failure {
        Failure::http(&Reply { code, retry_after: None, body: b"" }, Some("some\nwords"))
    }

    #[test]
    fn a_status_of_http_says_whose_fault_it_is() {
        assert_eq!((http(400).status, http(400).blame), (Status::InvalidRequest, Blame::Question));
        assert_eq!((http(403).status, http(403).blame), (Status::RequestDenied, Blame::Refusal(None)));
        assert_eq!((http(429).status, http(429).blame), (Status::OverQueryLimit, Blame::Refusal(None)));
        assert_eq!((http(500).status, http(500).blame), (Status::UnknownError, Blame::Provider));
        assert_eq!((http(302).status, http(302).blame), (Status::UnknownError, Blame::Provider));
        assert_eq!(http(500).message, "http status 500: some words");
        let asked_for = Some(Duration::from_secs(120));
        let away = |retry_after| Failure::http(&Reply { code: 503, retry_after, body: b"" }, None).blame;
        assert_eq!(away(asked_for), Blame::Refusal(asked_for));
        assert_eq!([away(None), away(Some(Duration::from_secs(1)))], [Blame::Provider; 2]);
    }

    #[test]
    fn a_key_that_a_provider_repeats_goes_no_further() {
        let key = Key::new("s3cret").unwrap();
        assert_eq!(Failure::broken("bad s3cret").scrubbed(Some(&key)).message, "bad …");
    }
}
