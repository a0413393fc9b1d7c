//! The protocols that the generator speaks: what to say, and which reply is right.

use std::fmt;

use crate::crowd::{Crowd, Sighting};

/// One protocol as the generator speaks it.
pub trait Speech {
    /// Appends the next command to `out`.
    fn say(&mut self, out: &mut Vec<u8>);

    /// Judges what came back for `command`: the number of bytes of its whole, right reply at the start of
    /// `input`, or `None` while the reply is not complete.
    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong>;
}

/// A reply that is not the right one for its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What the generator said.
    pub command: String,
    /// What came back, as far as it is worth showing.
    pub reply: String,
    /// What should have come back.
    pub wanted: &'static str,
}

impl Wrong {
    /// Shows the beginning of both.
    pub fn new(command: &[u8], reply: &[u8], wanted: &'static str) -> Self {
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(160)].escape_ascii().to_string();
        Self { command: shown(command), reply: shown(reply), wanted }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrong reply \"{}\" to \"{}\": wanted {}", self.reply, self.command, self.wanted)
    }
}

/// IAMAT, answered by `AT <server> <skew>` and an exact copy of the three fields.
pub struct Iamat {
    crowd: Crowd,
    /// How every client ID begins.
    prefix: &'static [u8],
    /// `AT <server> `, with which every reply begins.
    opening: Vec<u8>,
}

impl Iamat {
    /// Speaks to the server of this name.
    pub fn new(server: &str, crowd: Crowd) -> Self {
        Self { crowd, prefix: b"", opening: format!("AT {server} ").into_bytes() }
    }

    /// The same with client IDs that are longer: each begins so.
    pub fn with_prefix(self, prefix: &'static [u8]) -> Self {
        Self { prefix, ..self }
    }
}

/// How a report begins.
pub const IAMAT: &[u8] = b"IAMAT ";
const RIGHT_AT: &str = "AT, the server's name, a skew of nine decimals, and a copy of the fields";

impl Speech for Iamat {
    fn say(&mut self, out: &mut Vec<u8>) {
        write_iamat(self.prefix, self.crowd.next(), out);
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let fields = command.get(IAMAT.len()..).unwrap_or_default();
        follows(&self.opening, fields, input).map_err(|()| Wrong::new(command, first_line(input), RIGHT_AT))
    }
}

/// Judges a reply of an opening, a skew, and bytes that are known beforehand.
pub fn follows(opening: &[u8], known: &[u8], input: &[u8]) -> Result<Option<usize>, ()> {
    let opened = opening.len().min(input.len());
    if input[..opened] != opening[..opened] {
        return Err(());
    }
    let Some(skew) = skew_length(&input[opened..])? else { return Ok(None) };
    let copy = &input[opened + skew..];
    let copied = known.len().min(copy.len());
    if copy[..copied] != known[..copied] {
        return Err(());
    }
    Ok((copied == known.len()).then_some(opened + skew + copied))
}

/// What makes a client ID of a crowd as long as a UUID.
pub const UUID_PREFIX: &[u8] = b"f81d4fae-7dec-11d0-a";

/// Appends one IAMAT line, in which the client ID begins with a prefix.
fn write_iamat(prefix: &[u8], sighting: &Sighting, out: &mut Vec<u8>) {
    out.extend_from_slice(IAMAT);
    out.extend_from_slice(prefix);
    out.extend_from_slice(&sighting.client);
    out.push(b' ');
    out.extend_from_slice(&sighting.latitude);
    out.extend_from_slice(&sighting.longitude);
    out.push(b' ');
    out.extend_from_slice(&sighting.time);
    out.push(b'\n');
}

/// The bytes of a skew (a sign, digits, a point, nine digits) and the space behind it; `None` while they are not all
/// there.
fn skew_length(input: &[u8]) -> Result<Option<usize>, ()> {
    let Some((&sign, rest)) = input.split_first() else { return Ok(None) };
    if sign != b'+' && sign != b'-' {
        return Err(());
    }
    let whole = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole == rest.len() {
        return Ok(None);
    }
    let tail = &rest[whole..];
    let right = |(at, byte): (usize, &u8)| match at {
        0 => *byte == b'.',
        10 => *byte == b' ',
        _ => byte.is_ascii_digit(),
    };
    if whole == 0 || !tail.iter().take(11).enumerate().all(right) {
        return Err(());
    }
    Ok((tail.len() >= 11).then_some(1 + whole + 11))
}

fn first_line(input: &[u8]) -> &[u8] {
    let end = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
    &input[..end]
}

/// A line echo: the bytes of an IAMAT command, answered by the same bytes.
pub struct Echo {
    crowd: Crowd,
}

impl Echo {
    /// Says what [`Iamat`] says.
    pub fn new(crowd: Crowd) -> Self {
        Self { crowd }
    }
}

impl Speech for Echo {
    fn say(&mut self, out: &mut Vec<u8>) {
        write_iamat(b"", self.crowd.next(), out);
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let there = command.len().min(input.len());
        if input[..there] != command[..there] {
            return Err(Wrong::new(command, first_line(input), "the same bytes"));
        }
        Ok((there == command.len()).then_some(there))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Order;

    const COMMAND: &[u8] = b"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
    const REPLY: &[u8] =
        b"AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";

    fn iamat() -> Iamat {
        Iamat::new("Goloman", Crowd::new(10, Order::InTurn))
    }

    fn judged(reply: &[u8]) -> Result<Option<usize>, Wrong> {
        iamat().judge(COMMAND, reply)
    }

    #[test]
    fn the_assignments_reply_is_right_and_every_part_of_it_is_unfinished() {
        assert_eq!(judged(REPLY), Ok(Some(REPLY.len())));
        for length in 0..REPLY.len() {
            assert_eq!(judged(&REPLY[..length]), Ok(None), "after {length} bytes");
        }
    }

    #[test]
    fn any_one_byte_changed_outside_the_skews_digits_is_caught() {
        let skew_digits = 12..24;
        for at in (0..REPLY.len()).filter(|at| !skew_digits.contains(at)) {
            let mut reply = REPLY.to_vec();
            reply[at] ^= 0x40;
            assert!(judged(&reply).is_err(), "a change of byte {at} went unseen");
        }
    }

    #[test]
    fn a_skew_of_other_than_nine_decimals_or_without_a_sign_is_caught() {
        for skew in
            ["0.263873386", "+0.26387338", "+0.2638733861", "+.263873386", "+0", "+1e3", "++0.263873386"]
        {
            let reply =
                format!("AT Goloman {skew} kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n");
            assert!(judged(reply.as_bytes()).is_err(), "{skew} passed for a skew");
        }
    }

    #[test]
    fn the_reply_to_another_command_is_caught() {
        assert!(judged(b"? IAMAT kiwi.cs.ucla.edu\n").is_err());
        assert!(judged(b"AT Hands +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1.0\n").is_err());
    }

    #[test]
    fn only_the_first_of_two_replies_is_taken() {
        assert_eq!(judged(&[REPLY, REPLY].concat()), Ok(Some(REPLY.len())));
    }

    #[test]
    fn an_echo_is_the_same_bytes_and_nothing_else() {
        let echo = Echo::new(Crowd::new(10, Order::InTurn));

        assert_eq!(echo.judge(COMMAND, COMMAND), Ok(Some(COMMAND.len())));
        assert_eq!(echo.judge(COMMAND, &COMMAND[..7]), Ok(None));
        assert!(echo.judge(COMMAND, REPLY).is_err());
    }
}
