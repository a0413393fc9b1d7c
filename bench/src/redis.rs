//! Redis's protocol (RESP2): SET, GEOADD and GEOSEARCH, and the replies they must have.

use std::rc::Rc;

use crate::crowd::{Crowd, Sighting};
use crate::speech::{Speech, Wrong};
use crate::towns::{Dice, Home, Towns};

/// Which Redis command stands for a report of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `SET <client> "<location> <time>"`, answered by `+OK`.
    Set,
    /// `GEOADD herd <longitude> <latitude> <client>`, answered by the number of new members.
    GeoAdd,
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
        }
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let (judged, wanted) = match self.verb {
            Verb::Set => (simple(input), "+OK"),
            Verb::GeoAdd => (added(input), ":0 or :1"),
        };
        judged.map_err(|Unlike| Wrong::new(command, input, wanted))
    }
}

/// The reply is not of the wanted kind.
struct Unlike;

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

/// `GEOADD towns <longitude> <latitude> t<number>` of every town, one after the other.
pub struct AddTowns {
    towns: Rc<Towns>,
    next: usize,
}

impl AddTowns {
    /// Begins with the first.
    pub fn new(towns: Rc<Towns>) -> Self {
        Self { towns, next: 0 }
    }
}

impl Speech for AddTowns {
    fn say(&mut self, out: &mut Vec<u8>) {
        let (latitude, longitude) = self.towns.town(self.next);
        let (latitude, longitude) = (format!("{latitude:+010.6}"), format!("{longitude:+011.6}"));
        out.extend_from_slice(b"*5\r\n$6\r\nGEOADD\r\n$5\r\ntowns\r\n$11\r\n");
        out.extend_from_slice(longitude.as_bytes());
        out.extend_from_slice(b"\r\n$10\r\n");
        out.extend_from_slice(latitude.as_bytes());
        out.extend_from_slice(format!("\r\n$7\r\nt{:06}\r\n", self.next).as_bytes());
        self.next = (self.next + 1) % self.towns.len();
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        added(input).map_err(|Unlike| Wrong::new(command, input, ":0 or :1"))
    }
}

/// `GEOSEARCH towns FROMLONLAT … BYRADIUS 10 km COUNT 5 ASC` where somebody lives, answered by the nearest towns.
pub struct SearchTowns {
    towns: Rc<Towns>,
    dice: Dice,
}

impl SearchTowns {
    /// Asks for anybody.
    pub fn new(towns: Rc<Towns>) -> Self {
        Self { towns, dice: Dice(1) }
    }
}

const SEARCH: &[u8] = b"*11\r\n$9\r\nGEOSEARCH\r\n$5\r\ntowns\r\n$10\r\nFROMLONLAT\r\n$11\r\n";
const LATITUDE: &[u8] = b"\r\n$10\r\n";

impl Speech for SearchTowns {
    fn say(&mut self, out: &mut Vec<u8>) {
        let (latitude, longitude) = self.towns.anybody(&mut self.dice);
        out.extend_from_slice(SEARCH);
        out.extend_from_slice(&longitude);
        out.extend_from_slice(LATITUDE);
        out.extend_from_slice(&latitude);
        out.extend_from_slice(
            b"\r\n$8\r\nBYRADIUS\r\n$2\r\n10\r\n$2\r\nkm\r\n$5\r\nCOUNT\r\n$1\r\n5\r\n$3\r\nASC\r\n",
        );
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let wrong = || Wrong::new(command, input, "the nearest five towns");
        let Some((members, length)) = members(input).map_err(|Unlike| wrong())? else { return Ok(None) };
        let home = home(command).filter(|home| self.towns.are_near(home, &members));
        home.map(|_| Some(length)).ok_or_else(wrong)
    }
}

/// Where a search is made.
fn home(search: &[u8]) -> Option<Home> {
    let (longitude, rest) = search.strip_prefix(SEARCH)?.split_first_chunk()?;
    let (latitude, _) = rest.strip_prefix(LATITUDE)?.split_first_chunk()?;
    Some((*latitude, *longitude))
}

/// The numbers of at most five towns, and the length of their array.
fn members(input: &[u8]) -> Result<Option<(Vec<usize>, usize)>, Unlike> {
    let Some((count, mut at)) = number(input, b'*')? else { return Ok(None) };
    if count > 5 {
        return Err(Unlike);
    }
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let Some(member) = input.get(at..at + MEMBER) else { return Ok(None) };
        let digits = member.strip_prefix(b"$7\r\nt").and_then(|rest| rest.strip_suffix(b"\r\n"));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(Unlike)?;
        members.push(digits.parse().map_err(|_| Unlike)?);
        at += MEMBER;
    }
    Ok(Some((members, at)))
}

/// The bytes of one town in an array: its length, `t`, six digits, and two line ends.
const MEMBER: usize = 4 + 7 + 2;

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
        let crowd = || Crowd::new(10, Order::InTurn);
        let towns = Towns::new(10).unwrap();
        let speeches: [Box<dyn Speech>; 4] = [
            Box::new(Redis::new(Verb::Set, crowd())),
            Box::new(Redis::new(Verb::GeoAdd, crowd())),
            Box::new(AddTowns::new(Rc::clone(&towns))),
            Box::new(SearchTowns::new(towns)),
        ];
        for mut speech in speeches {
            let mut command = Vec::new();
            speech.say(&mut command);
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
    fn an_array_of_towns_is_read_once_it_is_whole() {
        let reply = b"*2\r\n$7\r\nt000001\r\n$7\r\nt140002\r\n";
        let read = |reply: &[u8]| members(reply).map_err(|Unlike| ());
        assert_eq!(read(reply), Ok(Some((vec![1, 140_002], reply.len()))));
        for length in 0..reply.len() {
            assert_eq!(read(&reply[..length]), Ok(None), "after {length} bytes");
        }
        assert_eq!(read(b"*0\r\n"), Ok(Some((vec![], 4))));
        assert_eq!(read(b"*1\r\n$2\r\nhi\r\n12345"), Err(()));
        assert_eq!(read(b":0\r\n"), Err(()));
    }

    #[test]
    fn towns_that_are_not_near_are_a_wrong_reply_to_a_search() {
        let mut speech = SearchTowns::new(Towns::new(10).unwrap());
        let mut command = Vec::new();
        speech.say(&mut command);
        assert_eq!(speech.judge(&command, b"*1\r\n$7\r\n"), Ok(None));
        assert!(speech.judge(&command, b"*1\r\n$7\r\nt000000\r\n").is_err());
        assert!(speech.judge(&command, b"*0\r\n").is_err());
    }
}
