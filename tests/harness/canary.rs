//! Secrets that only the tests know, and the search for them in whatever a program wrote.
//!
//! Every program that a test starts has these secrets, and when the test is over nothing that it wrote may show them:
//! the whole suite is the canary.
#![allow(dead_code, reason = "each file of tests uses its part")]

use memchr::memmem::Finder;
use std::fs;
use std::path::Path;

/// What the servers of a test share.
pub const SECRET: &str = "q7/Vz+9kE=canary of the herd&Xw3%uT?0Jb~sN5.Lr";

/// What a provider of places knows the servers of a test by.
pub const KEY: &str = "AIza-canary_Zr8vQ2~Lw5.Ty0Kd3Xb9Mn6Hs4Pj";

/// Secrets in every form in which they might be written.
pub struct Canaries {
    needles: Vec<(String, Finder<'static>)>,
}

impl Canaries {
    /// The secret and the key that every program has.
    pub fn new() -> Self {
        let mut canaries = Canaries { needles: Vec::new() };
        canaries.add("the secret", SECRET.as_bytes());
        canaries.add("the key", KEY.as_bytes());
        canaries
    }

    /// Looks for another secret too. The middle half of it is enough to be found.
    pub fn add(&mut self, whose: &str, secret: &[u8]) {
        let piece = &secret[secret.len() / 4..secret.len() - secret.len() / 4];
        for (form, text) in forms(piece) {
            self.needles.push((format!("{whose} {form}"), Finder::new(&text).into_owned()));
        }
    }

    /// Says which secrets are in some bytes, and in which form.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let is_in = |(_, finder): &&(String, Finder)| finder.find(bytes).is_some();
        self.needles.iter().filter(is_in).map(|(what, _)| what.as_str()).collect()
    }

    /// Says which files in a directory show which secrets, as a path and a form. A directory with certificates was
    /// put there by a test, keys and all.
    pub fn found_below(&self, dir: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let mut found = Vec::new();
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() && !path.join("ca.pem").exists() {
                found.extend(self.found_below(&path));
            } else if let Ok(bytes) = fs::read(&path) {
                let name = path.display();
                found.extend(
                    self.found_in(name.to_string().as_bytes()).iter().map(|what| format!("{name}: {what}")),
                );
                found.extend(self.found_in(&bytes).iter().map(|what| format!("{name}: {what}")));
            }
        }
        found
    }

    /// Panics if secrets are in some bytes.
    pub fn expect_none_in(&self, place: &str, bytes: &[u8]) {
        let found = self.found_in(bytes);
        assert!(found.is_empty(), "{place} shows {found:?}");
    }
}

/// The forms in which a secret might be written.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let digits = |each: &dyn Fn(u8) -> String| secret.iter().map(|&byte| each(byte)).collect::<String>();
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("escaped", secret.escape_ascii().to_string().into_bytes()),
        ("in hexadecimal", digits(&|byte| format!("{byte:02x}")).into_bytes()),
        ("in HEXADECIMAL", digits(&|byte| format!("{byte:02X}")).into_bytes()),
        ("as a list of numbers", digits(&|byte| format!(", {byte}")).into_bytes()[2..].to_vec()),
        ("as in an address", digits(&|byte| in_address(byte, false)).into_bytes()),
        ("as in an ADDRESS", digits(&|byte| in_address(byte, true)).into_bytes()),
    ];
    for alphabet in ["+/", "-_"] {
        // What stands before the secret in what was encoded decides how it falls into groups of three bytes.
        forms.extend((0..3).map(|skip| ("in base 64", base64(&secret[skip..], alphabet))));
    }
    forms
}

/// A byte as it stands in a URL.
fn in_address(byte: u8, in_capitals: bool) -> String {
    match byte {
        _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
        _ if in_capitals => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    }
}

/// The whole groups of three bytes in base 64, with the two last signs of the alphabet.
fn base64(bytes: &[u8], last_signs: &str) -> Vec<u8> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let alphabet = [letters, last_signs].concat().into_bytes();
    let sign = |group: u32, place: u32| alphabet[(group >> (18 - 6 * place) & 63) as usize];
    let groups = bytes.chunks_exact(3).map(|group| u32::from_be_bytes([0, group[0], group[1], group[2]]));
    groups
        .flat_map(|group| (0..4).map(move |place| (group, place)))
        .map(|(group, place)| sign(group, place))
        .collect()
}
