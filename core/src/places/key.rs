//! A key that a provider knows us by, and that nobody else may see.

use memchr::memmem;
use std::fmt;

/// A provider's key. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// The text given is no key: it is empty, or has white space or other signs in it that no key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was given is not shown: it may be a key with a slip in it.
        f.write_str(
            "the key is empty or holds white space or signs no key has: give letters, digits, _ and - only",
        )
    }
}

impl std::error::Error for NotAKey {}

impl Key {
    /// Reads a key, ignoring white space around it.
    pub fn new(text: &str) -> Result<Key, NotAKey> {
        let text = text.trim();
        let is_key =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
        is_key.then(|| Key(text.to_owned())).ok_or(NotAKey)
    }

    /// Returns the key itself, for the request and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Removes the key from what somebody else said, should they have repeated it.
    pub fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }

    /// The same for bytes that may be no text.
    pub fn scrub_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut clean = Vec::new();
        let mut at = 0;
        for found in memmem::find_iter(&bytes, &self.0) {
            clean.extend_from_slice(&bytes[at..found]);
            clean.extend_from_slice("…".as_bytes());
            at = found + self.0.len();
        }
        if at == 0 {
            return bytes;
        }
        clean.extend_from_slice(&bytes[at..]);
        clean
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself() {
        let key = Key::new(" AIzaSy-secret_1\n").unwrap();
        assert_eq!(format!("{key:?}"), "Key(…)");
        assert_eq!(key.expose(), "AIzaSy-secret_1");
        assert_eq!(key.scrub("bad key AIzaSy-secret_1!"), "bad key …!");
        let scrubbed = key.scrub_bytes(b"\xffAIzaSy-secret_1AIzaSy-secret_1!".into());
        assert_eq!(scrubbed, [b"\xff", "……!".as_bytes()].concat());
        assert_eq!(key.scrub_bytes(b"nothing".into()), b"nothing");
    }

    #[test]
    fn text_that_could_break_a_header_or_an_address_is_no_key() {
        for text in ["", "  ", "a b", "a\r\nX-Evil: 1", "a&b", "clé"] {
            assert_eq!(Key::new(text), Err(NotAKey), "{text:?}");
        }
    }
}
