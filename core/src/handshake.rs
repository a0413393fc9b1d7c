//! How two servers make sure of each other before a link begins.
//!
//! ```text
//! dialler   HERD 1 <link|status|list> <from> <to> <nonce>
//! acceptor  HERD 1 <nonce> <proof>
//! dialler   PROOF <proof>
//! acceptor  WELCOME
//! ```
//!
//! A server that knows frames for trees (`tree`) puts `+trees` behind its nonce; the acceptor only does so
//! when the dialler did. One of a version before takes it for a part of the nonce, and is sent no such frames.
//!
//! What follows is for `link` in [`crate::frame`], for `status` a line of JSON ([`crate::status`]), and for `list` what
//! [`crate::listing`] has.
//!
//! Either side may say `REFUSED <reason>` instead and close. A proof is the HMAC-SHA-256 (RFC 2104, FIPS 180-4), in
//! hexadecimal, of the side's role and all that both said before, under the secret that the herd shares; it is `-`
//! where there is no secret. Both sides prove that they know the secret, and neither proof can be used as the other
//! or again, because each covers both nonces. The secret says who may talk; it does not hide what is said.

use crate::digest;
use crate::frame::Vocabulary;
use crate::topology::check_name;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// What follows the nonce of a server that knows frames for trees.
const TREES: &str = "+trees";

/// The version of the protocol between servers.
pub const PROTOCOL: &str = "1";

/// What a line begins with that tells a refusal.
pub const REFUSED: &str = "REFUSED ";

/// What a refusal begins with of what is not known to be a purpose.
const PURPOSES: &str = "a connection is for ";

/// The longest line of a handshake, in bytes.
pub const LINE_MAX: usize = 1024;

/// The name of the certificate of whoever only asks how servers are. No server joins by it.
pub const ASKER: &str = "status";

/// What whoever is no server says for its name.
pub const NOBODY: &str = "-";

/// What the servers of a herd share so that no one else can join. It never shows in any output.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A secret of any bytes; `None` if there are none.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// The key that the servers who share this secret hash their records with; it does not tell the secret.
    pub fn digest_key(&self) -> digest::Key {
        let mut bytes = [0; 16];
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) {
            mac.update(b"herd digest");
            bytes.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        }
        digest::Key::new(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be a link between two servers.
    Link,
    /// To ask a server how it is.
    Status,
    /// To ask a server for all clients.
    List,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Status => "status",
            Self::List => "list",
        }
    }
}

/// Who calls whom, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The name of the caller, [`NOBODY`] if it is no server.
    pub from: String,
    /// The name of the server it means to call.
    pub to: String,
}

/// Why there will be no link. The text is for the logs of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, in words.
    pub reason: String,
    /// True if the other side said so, and need not be told.
    pub is_theirs: bool,
    /// How the secrets of both sides differ, where this side refused because of that.
    pub mismatch: Option<Mismatch>,
}

/// How the secrets of both sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// This side has none.
    MissingHere,
    /// The other side has none.
    MissingThere,
    /// Both have one, and not the same.
    Other,
}

impl Refusal {
    /// A refusal by this side.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_theirs: false, mismatch: None }
    }

    /// The line that tells the other side.
    pub fn line(&self) -> String {
        format!("{REFUSED}{}\n", self.reason)
    }

    /// Whether the other side does not know what the connection is for: its program is older. It did not always name as
    /// much behind these words.
    pub fn is_of_older(&self) -> bool {
        self.is_theirs && self.reason.starts_with(PURPOSES)
    }

    /// Whether a line begins as one that tells a refusal. Clients are answered in no such words, wherever they call.
    pub fn is_told_by(line: &[u8]) -> bool {
        line.starts_with(REFUSED.as_bytes())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", if self.is_theirs { "refused there:" } else { "refused here:" }, self.reason)
    }
}

/// Whether a server that nobody has named may join by a name: any that a topology allows but that of [`ASKER`], in
/// capitals or not and with a dot behind it or not, as certificates have it.
pub fn check_newcomer(name: &str) -> Result<(), Refusal> {
    check_name(name).map_err(|fault| Refusal::new(format!("{name:?} is no name for a server: {fault}")))?;
    if name.trim_end_matches('.').eq_ignore_ascii_case(ASKER) {
        return Err(Refusal::new(format!("{name} may ask how servers are, and is the name of none")));
    }
    Ok(())
}

/// Whether a caller may be told all clients by a name: that of nobody, or of any server. The certificate of [`ASKER`] is for less.
pub fn check_lister(name: &str) -> Result<(), Refusal> {
    if name == NOBODY { Ok(()) } else { check_newcomer(name) }
}

/// A random number that is used once.
pub type Nonce = u128;

/// The side that made the connection.
#[derive(Debug)]
pub struct Dialler {
    hello: String,
    secret: Option<Secret>,
}

impl Dialler {
    /// Begins; the line to send is returned.
    pub fn new(hello: &Hello, secret: Option<Secret>, nonce: Nonce) -> (Self, String) {
        let Hello { purpose, from, to } = hello;
        let trees = if *purpose == Purpose::Link { TREES } else { "" };
        let hello = format!("HERD {PROTOCOL} {} {from} {to} {nonce:032x}{trees}", purpose.word());
        let line = format!("{hello}\n");
        (Self { hello, secret }, line)
    }

    /// Hears the acceptor's first line, without its end; the line to send next is returned, and what may be said later.
    pub fn challenged(&self, line: &str) -> Result<(String, Vocabulary), Refusal> {
        let words = words(line)?;
        let ["HERD", PROTOCOL, nonce, proof] = words[..] else {
            return Err(Refusal::new("the answer is not that of a herd server of protocol 1"));
        };
        let said = format!("{} {nonce}", self.hello);
        check(self.secret.as_ref(), "acceptor", &said, proof)?;
        let proof = format!("PROOF {}\n", prove(self.secret.as_ref(), "dialler", &said));
        Ok((proof, vocabulary(nonce)))
    }

    /// Hears the acceptor's second line, without its end.
    pub fn welcomed(&self, line: &str) -> Result<(), Refusal> {
        match words(line)?[..] {
            ["WELCOME"] => Ok(()),
            _ => Err(Refusal::new("the answer to the proof is no welcome")),
        }
    }
}

/// The side that took the connection.
#[derive(Debug)]
pub struct Acceptor {
    /// Who calls.
    pub hello: Hello,
    /// What the caller may be told later.
    pub vocabulary: Vocabulary,
    said: String,
    secret: Option<Secret>,
}

impl Acceptor {
    /// Hears the dialler's first line, without its end; the line to send is returned.
    pub fn greeted(line: &str, secret: Option<Secret>, nonce: Nonce) -> Result<(Self, String), Refusal> {
        let (hello, vocabulary) = parse_hello(line)?;
        let trees = if vocabulary == Vocabulary::Trees { TREES } else { "" };
        let nonce = format!("{nonce:032x}{trees}");
        let said = format!("{line} {nonce}");
        let answer = format!("HERD {PROTOCOL} {nonce} {}\n", prove(secret.as_ref(), "acceptor", &said));
        Ok((Self { hello, vocabulary, said, secret }, answer))
    }

    /// Hears the dialler's second line, without its end; the line to send is returned.
    pub fn proved(&self, line: &str) -> Result<&'static str, Refusal> {
        match words(line)?[..] {
            ["PROOF", proof] => {
                check(self.secret.as_ref(), "dialler", &self.said, proof).map(|()| "WELCOME\n")
            }
            _ => Err(Refusal::new("PROOF was expected")),
        }
    }
}

fn parse_hello(line: &str) -> Result<(Hello, Vocabulary), Refusal> {
    let words = words(line)?;
    let (purpose, from, to, nonce) = match words[..] {
        ["HERD", PROTOCOL, purpose, from, to, nonce] => (purpose, from, to, nonce),
        ["HERD", version, ..] if version != PROTOCOL => {
            return Err(Refusal::new(format!("protocol {PROTOCOL} is spoken here, not {version:?}")));
        }
        _ => return Err(Refusal::new("this address is for servers of the herd")),
    };
    let purpose =
        [Purpose::Link, Purpose::Status, Purpose::List].into_iter().find(|known| known.word() == purpose);
    let purpose = purpose.ok_or_else(|| Refusal::new(format!("{PURPOSES}link, status or list")))?;
    Ok((Hello { purpose, from: from.to_owned(), to: to.to_owned() }, vocabulary(nonce)))
}

/// Which frames a server knows that says this nonce.
fn vocabulary(nonce: &str) -> Vocabulary {
    if nonce.ends_with(TREES) { Vocabulary::Trees } else { Vocabulary::Plain }
}

/// The words of a line, or what the other side has against this connection.
fn words(line: &str) -> Result<Vec<&str>, Refusal> {
    match line.strip_prefix(REFUSED) {
        Some(reason) => Err(Refusal { is_theirs: true, ..Refusal::new(reason) }),
        None => Ok(line.split_ascii_whitespace().collect()),
    }
}

fn mac(secret: &Secret, role: &str, said: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
    for part in ["herd ", role, " ", said] {
        mac.update(part.as_bytes());
    }
    Some(mac)
}

fn prove(secret: Option<&Secret>, role: &str, said: &str) -> String {
    match secret.and_then(|secret| mac(secret, role, said)) {
        None => "-".to_owned(),
        Some(mac) => hex(&mac.finalize().into_bytes()),
    }
}

/// Compares in constant time, by the hmac crate's own comparison.
fn check(secret: Option<&Secret>, role: &str, said: &str, proof: &str) -> Result<(), Refusal> {
    let mismatch = match (secret, proof) {
        (None, "-") => return Ok(()),
        (None, _) => Mismatch::MissingHere,
        (Some(_), "-") => Mismatch::MissingThere,
        (Some(secret), proof) => {
            let checked =
                mac(secret, role, said).zip(unhex(proof)).map(|(mac, proof)| mac.verify_slice(&proof));
            if checked == Some(Ok(())) {
                return Ok(());
            }
            Mismatch::Other
        }
    };
    let reason = match mismatch {
        Mismatch::MissingHere => {
            "a secret was given, and this server has none: set HERD_SECRET on both or on neither"
        }
        Mismatch::MissingThere => "the secret is missing: set HERD_SECRET",
        Mismatch::Other => "the secret is wrong: HERD_SECRET differs",
    };
    Err(Refusal { mismatch: Some(mismatch), ..Refusal::new(reason) })
}

/// Prints bytes as two hexadecimal digits each.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_server_and_whoever_is_none_may_list_and_whoever_only_asks_how_servers_are_may_not() {
        assert!(["-", "Goloman", "Status2"].iter().all(|name| check_lister(name).is_ok()));
        assert!(["status", "STATUS.", "--", "", "a b"].iter().all(|name| check_lister(name).is_err()));
    }

    fn secret(text: &str) -> Option<Secret> {
        Secret::new(text.as_bytes())
    }

    fn hello() -> Hello {
        Hello { purpose: Purpose::Link, from: "Hands".into(), to: "Goloman".into() }
    }

    /// Plays a whole handshake: what each side came to.
    fn shake(dialler: &str, acceptor: &str) -> Result<Hello, Refusal> {
        let (dialler, line) = Dialler::new(&hello(), secret(dialler), 1);
        let (acceptor, line) = Acceptor::greeted(line.trim_end(), secret(acceptor), 2)?;
        let (line, vocabulary) = dialler.challenged(line.trim_end())?;
        let line = acceptor.proved(line.trim_end())?;
        dialler.welcomed(line.trim_end())?;
        assert_eq!((vocabulary, acceptor.vocabulary), (Vocabulary::Trees, Vocabulary::Trees));
        Ok(acceptor.hello)
    }

    #[test]
    fn a_server_of_a_version_before_trees_is_told_nothing_new() {
        let key = secret("cucumber");
        let hello = "HERD 1 link Hands Goloman 1f";
        let (acceptor, answer) = Acceptor::greeted(hello, key.clone(), 2).unwrap();
        assert_eq!(acceptor.vocabulary, Vocabulary::Plain);
        assert_eq!(answer.split(' ').nth(2), Some("00000000000000000000000000000002"));
        let (dialler, hello) = Dialler::new(&self::hello(), key.clone(), 1);
        // It takes any word for a nonce.
        let said = format!("{} 2f", hello.trim_end());
        let answer = format!("HERD 1 2f {}", prove(key.as_ref(), "acceptor", &said));
        assert_eq!(dialler.challenged(&answer).unwrap().1, Vocabulary::Plain);
    }

    #[test]
    fn servers_with_the_same_secret_or_none_shake_hands() {
        assert_eq!(shake("", ""), Ok(hello()));
        assert_eq!(shake("cucumber", "cucumber"), Ok(hello()));
    }

    #[test]
    fn a_secret_that_is_wrong_or_missing_on_either_side_is_refused() {
        for (dialler, acceptor, reason) in
            [("a", "b", "is wrong"), ("", "b", "this server has none"), ("a", "", "is missing")]
        {
            let refusal = shake(dialler, acceptor).unwrap_err();
            assert!(refusal.reason.contains(reason), "{refusal}");
        }
    }

    #[test]
    fn a_proof_serves_neither_the_other_side_nor_another_connection() {
        let said = "HERD 1 link Hands Goloman 1 2";
        let key = secret("cucumber");
        let proof = prove(key.as_ref(), "acceptor", said);
        assert!(check(key.as_ref(), "acceptor", said, &proof).is_ok());
        assert!(check(key.as_ref(), "dialler", said, &proof).is_err());
        assert!(check(key.as_ref(), "acceptor", "HERD 1 link Hands Goloman 1 3", &proof).is_err());
        assert!(check(key.as_ref(), "acceptor", said, &proof[..proof.len() - 2]).is_err());
    }

    /// A server of any other version or make has to come to the same.
    #[test]
    fn a_proof_is_the_hmac_of_the_word_herd_the_role_and_what_was_said() {
        // printf 'herd acceptor HERD 1 link Hands Goloman 1 2' | openssl dgst -sha256 -hmac cucumber
        let proof = prove(secret("cucumber").as_ref(), "acceptor", "HERD 1 link Hands Goloman 1 2");
        assert_eq!(proof, "8057869dae9a328cfeca55d28d3fd9162f3c442a9844f25e6b0f5d3589a9c194");
    }

    #[test]
    fn another_version_or_another_protocol_is_told_so() {
        for (line, reason) in [
            ("HERD 2 link Hands Goloman 00", "protocol 1 is spoken here"),
            ("HERD 1 gossip Hands Goloman 00", "link, status or list"),
            ("GET / HTTP/1.1", "for servers of the herd"),
            ("", "for servers of the herd"),
        ] {
            let refusal = Acceptor::greeted(line, None, 2).unwrap_err();
            assert!(refusal.reason.contains(reason), "{refusal}");
        }
    }

    #[test]
    fn what_the_other_side_refuses_is_known_as_theirs() {
        let (dialler, _) = Dialler::new(&hello(), None, 1);
        let refusal = Refusal::new("no");
        assert_eq!(
            dialler.challenged(refusal.line().trim_end()),
            Err(Refusal { is_theirs: true, ..refusal })
        );
    }

    #[test]
    fn a_refusal_by_a_server_of_a_version_before_listings_is_known_as_such() {
        let (dialler, _) = Dialler::new(&Hello { purpose: Purpose::List, ..hello() }, None, 1);
        let is_of_older = |line: &str| dialler.challenged(line).is_err_and(|refusal| refusal.is_of_older());
        assert!(is_of_older("REFUSED a connection is for link or status"));
        assert!(!is_of_older("REFUSED this address is for servers of the herd") && !is_of_older("HERD 2 x"));
    }

    #[test]
    fn whoever_is_not_welcomed_has_no_link() {
        let (dialler, _) = Dialler::new(&hello(), None, 1);
        assert_eq!(dialler.welcomed("WELCOME"), Ok(()));
        for line in ["", "welcome", "WELCOME back", "HERD 1 2 -"] {
            assert!(dialler.welcomed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_server_joins_by_a_name_that_a_topology_allows_and_not_by_that_of_whoever_only_asks() {
        assert_eq!(check_newcomer("Newcomer"), Ok(()));
        assert_eq!(check_newcomer("status2"), Ok(()));
        let long = "x".repeat(65);
        for (name, reason) in [
            (long.as_str(), "at most 64 bytes"),
            ("a\u{1b}[31m", "without control characters"),
            ("../a", "without / and"),
            ("-a", "begin with a letter or digit"),
            ("a\u{a0}b", "without white space"),
            ("status", "may ask"),
            ("Status", "may ask"),
            ("STATUS.", "may ask"),
        ] {
            let refusal = check_newcomer(name).unwrap_err();
            assert!(refusal.reason.contains(reason), "{refusal}");
        }
    }

    #[test]
    fn herds_with_different_secrets_sum_differently() {
        let sum = |text| secret(text).unwrap().digest_key().sum(b"kiwi +1-2 3 4 Goloman");
        assert_eq!(sum("cucumber"), sum("cucumber"));
        assert_ne!(sum("cucumber"), sum("gherkin"));
    }

    #[test]
    fn a_secret_does_not_show() {
        let (dialler, line) = Dialler::new(&hello(), secret("cucumber"), 1);
        assert!(!format!("{dialler:?} {line}").contains("cucumber"));
    }

    proptest! {
        #[test]
        fn any_line_is_heard_without_panic(line: String) {
            let (dialler, _) = Dialler::new(&hello(), secret("a"), 1);
            let _ = dialler.challenged(&line);
            let _ = dialler.welcomed(&line);
            if let Ok((acceptor, _)) = Acceptor::greeted(&line, secret("a"), 2) {
                let _ = acceptor.proved(&line);
            }
        }
    }
}
