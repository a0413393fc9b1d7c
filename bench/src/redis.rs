//! Redis's protocol (RESP2): SET, GEOADD and GEOSEARCH, and the replies they must have.

use crate::crowd::{Crowd, Sighting};
use crate::speech::{Speech, Wrong};

/// Which Redis command stands for a report of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `SET <client> "<location> <time>"`, answered by `+OK`.
    Set,
    /// `GEOADD herd <longitude> <latitude> <client>`, answered by the number of new members.
    GeoAdd,
    /// `GEOSEARCH herd FROMLONLAT … BYRADIUS 10 km COUNT 20`, answered by an array of members.
    GeoSearch,
}

/// The generator as a client of Redis.
pub struct Redis {
    verb: Verb,
    crowd: Crowd,
}

impl Redis {
    /// Says this command for every report of the crowd.
    pub fn new(verb: Verb, crowd: Crowd) -> Self {
        Self { verb, crowd }
    }
}

impl Speech for Redis {
    fn say(&mut self, out: &mut Vec<u8>) {
        let sighting = self.crowd.next();
        match self.verb {
            Verb::Set => write_set(sighting, out),
            Verb::GeoAdd => write_geoadd(sighting, out),
            Verb::GeoSearch => write_geosearch(sighting, out),
        }
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let (judged, wanted) = match self.verb {
            Verb::Set => (simple(input), "+OK"),
            Verb::GeoAdd => (added(input), ":0 or :1"),
            Verb::GeoSearch => (members(input), "an array of client IDs"),
        };
        judged.map_err(|Unlike| wrong(command, input, wanted))
    }
}

/// The reply is not of the wanted kind.
struct Unlike;

fn wrong(command: &[u8], reply: &[u8], wanted: &'static str) -> Wrong {
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(160)].escape_ascii().to_string();
    Wrong { command: shown(command), reply: shown(reply), wanted }
}

fn write_set(sighting: &Sighting, out: &mut Vec<u8>) {
    out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n");
    out.extend_from_slice(&sighting.client);
    out.extend_from_slice(b"\r\n$42\r\n");
    out.extend_from_slice(&sighting.latitude);
    out.extend_from_slice(&sighting.longitude);
    out.push(b' ');
    out.extend_from_slice(&sighting.time);
    out.extend_from_slice(b"\r\n");
}

fn write_geoadd(sighting: &Sighting, out: &mut Vec<u8>) {
    out.extend_from_slice(b"*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n$11\r\n");
    out.extend_from_slice(&sighting.longitude);
    out.extend_from_slice(b"\r\n$10\r\n");
    out.extend_from_slice(&sighting.latitude);
    out.extend_from_slice(b"\r\n$16\r\n");
    out.extend_from_slice(&sighting.client);
    out.extend_from_slice(b"\r\n");
}

fn write_geosearch(sighting: &Sighting, out: &mut Vec<u8>) {
    out.extend_from_slice(b"*10\r\n$9\r\nGEOSEARCH\r\n$4\r\nherd\r\n$10\r\nFROMLONLAT\r\n$11\r\n");
    out.extend_from_slice(&sighting.longitude);
    out.extend_from_slice(b"\r\n$10\r\n");
    out.extend_from_slice(&sighting.latitude);
    out.extend_from_slice(b"\r\n$8\r\nBYRADIUS\r\n$2\r\n10\r\n$2\r\nkm\r\n$5\r\nCOUNT\r\n$2\r\n20\r\n");
}

fn simple(input: &[u8]) -> Result<Option<usize>, Unlike> {
    starts(input, b"+OK\r\n")
}

fn added(input: &[u8]) -> Result<Option<usize>, Unlike> {
    match input.get(1) {
        Some(b'1') => starts(input, b":1\r\n"),
        _ => starts(input, b":0\r\n"),
    }
}

/// Whether `input` begins with the whole reply, or may still do so.
fn starts(input: &[u8], reply: &[u8]) -> Result<Option<usize>, Unlike> {
    let there = reply.len().min(input.len());
    if input[..there] != reply[..there] {
        return Err(Unlike);
    }
    Ok((there == reply.len()).then_some(there))
}

/// The length of an array of at most 20 client IDs.
fn members(input: &[u8]) -> Result<Option<usize>, Unlike> {
    let Some((count, mut at)) = number(input, b'*')? else { return Ok(None) };
    if count > 20 {
        return Err(Unlike);
    }
    for _ in 0..count {
        let Some((length, header)) = number(&input[at..], b'$')? else { return Ok(None) };
        let Some(member) = input.get(at + header..at + header + length + 2) else {
            return Ok(None);
        };
        if length != 16 || !member.starts_with(b"k") || !member.ends_with(b".ucla.edu\r\n") {
            return Err(Unlike);
        }
        at += header + length + 2;
    }
    Ok(Some(at))
}

/// A header such as `*12\r\n`: its number and its length.
fn number(input: &[u8], sign: u8) -> Result<Option<(usize, usize)>, Unlike> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    if first != sign {
        return Err(Unlike);
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 4 {
        return Err(Unlike);
    }
    let Some(end) = rest.get(digits..digits + 2) else { return Ok(None) };
    let text = std::str::from_utf8(&rest[..digits]).map_err(|_| Unlike)?;
    match (end, text.parse()) {
        (b"\r\n", Ok(count)) => Ok(Some((count, 1 + digits + 2))),
        _ => Err(Unlike),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Order;

    fn judged(verb: Verb, input: &[u8]) -> Result<Option<usize>, Wrong> {
        Redis::new(verb, Crowd::new(10, Order::InTurn)).judge(b"command", input)
    }

    #[test]
    fn a_command_is_an_array_of_strings_with_their_true_lengths() {
        for verb in [Verb::Set, Verb::GeoAdd, Verb::GeoSearch] {
            let mut command = Vec::new();
            Redis::new(verb, Crowd::new(10, Order::InTurn)).say(&mut command);
            let parts: Vec<&[u8]> = command.split(|byte| *byte == b'\n').collect();
            let lines: Vec<String> =
                parts.iter().map(|part| String::from_utf8_lossy(part).trim_end().to_owned()).collect();
            let words = &lines[1..lines.len() - 1];
            assert_eq!(lines[0], format!("*{}", words.len() / 2));
            for pair in words.chunks(2) {
                assert_eq!(pair[0], format!("${}", pair[1].len()), "before {}", pair[1]);
            }
        }
    }

    #[test]
    fn only_ok_is_a_right_reply_to_set() {
        assert_eq!(judged(Verb::Set, b"+OK\r\n+OK"), Ok(Some(5)));
        assert_eq!(judged(Verb::Set, b"+OK\r"), Ok(None));
        assert!(judged(Verb::Set, b"-OOM command not allowed\r\n").is_err());
    }

    #[test]
    fn only_none_or_one_new_member_is_a_right_reply_to_geoadd() {
        assert_eq!(judged(Verb::GeoAdd, b":0\r\n"), Ok(Some(4)));
        assert_eq!(judged(Verb::GeoAdd, b":1\r\n"), Ok(Some(4)));
        assert_eq!(judged(Verb::GeoAdd, b":"), Ok(None));
        assert!(judged(Verb::GeoAdd, b":2\r\n").is_err());
        assert!(judged(Verb::GeoAdd, b"-ERR invalid longitude\r\n").is_err());
    }

    #[test]
    fn an_array_of_members_is_a_right_reply_to_geosearch_once_it_is_whole() {
        let reply = b"*2\r\n$16\r\nk000001.ucla.edu\r\n$16\r\nk000002.ucla.edu\r\n";
        assert_eq!(judged(Verb::GeoSearch, reply), Ok(Some(reply.len())));
        for length in 0..reply.len() {
            assert_eq!(judged(Verb::GeoSearch, &reply[..length]), Ok(None), "after {length} bytes");
        }
        assert_eq!(judged(Verb::GeoSearch, b"*0\r\n"), Ok(Some(4)));
        assert!(judged(Verb::GeoSearch, b"*1\r\n$2\r\nhi\r\n").is_err());
        assert!(judged(Verb::GeoSearch, b":0\r\n").is_err());
    }
}
