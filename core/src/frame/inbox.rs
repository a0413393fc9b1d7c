//! The bytes that come over a link, until they are whole frames. What a frame looks like, `frame` knows.

use super::{FRAME_EXTRA, Frame, HEADER_SHOWN, Header};
use memchr::memchr;

/// Bytes that are no frame: the place of the next one is lost, so the link must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No frame begins like this.
    Header(Vec<u8>),
    /// The frame is over the limit.
    TooLong,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(line) => write!(f, "no frame begins with {:?}", String::from_utf8_lossy(line)),
            Self::TooLong => f.write_str("a frame is over the limit"),
        }
    }
}

/// A buffer that has grown larger than this over a large frame is given back once it is empty. Usual frames fit.
const KEPT_MAX: usize = 256 * 1024;

/// The bytes that a neighbour has sent and that are no whole frame yet.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// How many of the bytes were taken already; they are dropped when there is no whole frame left.
    taken: usize,
    /// How many of the bytes behind those were searched for the end of the header already.
    scanned: usize,
    /// How many bytes the frame has, if its header has come. Neither is read anew with each byte that a neighbour sends.
    needed: usize,
}

impl Inbox {
    /// An inbox with the bytes that came right behind the handshake.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Where the next read goes: append to it, then ask for frames until there is none.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The next whole frame, if it has come; no frame may be longer than `frame_max` bytes.
    pub fn next(&mut self, frame_max: usize) -> Result<Option<Frame>, Malformed> {
        let frame = self.parse(frame_max)?;
        if frame.is_none() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            if self.bytes.is_empty() && self.bytes.capacity() > KEPT_MAX {
                self.bytes = Vec::new();
            }
        }
        Ok(frame)
    }

    /// Takes the frame that the bytes begin with; `None` while it is not complete.
    fn parse(&mut self, frame_max: usize) -> Result<Option<Frame>, Malformed> {
        let bytes = &self.bytes[self.taken..];
        if bytes.len() < self.needed {
            return Ok(None);
        }
        let Some(end) = memchr(b'\n', &bytes[self.scanned..]).map(|at| self.scanned + at) else {
            self.scanned = bytes.len();
            return if bytes.len() > frame_max { Err(Malformed::TooLong) } else { Ok(None) };
        };
        self.scanned = end;
        let malformed = || Malformed::Header(bytes[..end.min(HEADER_SHOWN)].to_vec());
        let header = Header::parse(&bytes[..end]).ok_or_else(malformed)?;
        let length = header.payload_length().saturating_add(end + 1);
        // What is passed on has a longer first line than it came with, and is not to be too long for whoever hears it next.
        if length > frame_max || header.lines_length() > frame_max.saturating_sub(FRAME_EXTRA) {
            return Err(Malformed::TooLong);
        }
        if bytes.len() < length {
            self.needed = length;
            return Ok(None);
        }
        let frame = header.with(&bytes[end + 1..length]);
        (self.taken, self.scanned, self.needed) = (self.taken + length, 0, 0);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Update;
    use crate::topology::NAME_MAX;
    use proptest::prelude::*;
    use uuid::Uuid;

    const FRAME_MAX: usize = 1 << 20;

    #[test]
    fn a_frame_over_the_limit_ends_the_link_before_it_is_read() {
        for start in ["CLIENTAT 00000000000000000000000000000abc 99\n", &"x".repeat(99)] {
            let mut inbox = Inbox::default();
            inbox.buffer().extend_from_slice(start.as_bytes());
            assert_eq!(inbox.next(98), Err(Malformed::TooLong));
        }
    }

    /// All of it was read anew with each byte that came: a trickle behind a long beginning held the only thread.
    #[test]
    fn what_came_of_a_frame_is_not_read_again_before_the_rest_has_come() {
        for beginning in [&b"xxxxxxxx"[..], b"CLIENTAT 00000000000000000000000000000abc 9\nkiwi"] {
            let mut inbox = Inbox::new(beginning.to_vec());
            assert_eq!(inbox.next(FRAME_MAX), Ok(None));
            inbox.buffer()[..8].copy_from_slice(b"PING\nBAD");
            inbox.buffer().push(b'x');
            assert_eq!(inbox.next(FRAME_MAX), Ok(None));
        }
    }

    #[test]
    fn the_room_that_a_large_frame_took_is_given_back() {
        let large = Frame::Records { done: 1, lines: vec![b'x'; KEPT_MAX] };
        let mut inbox = Inbox::new(large.to_bytes());
        assert_eq!(inbox.next(FRAME_MAX), Ok(Some(large)));
        assert_eq!(inbox.next(FRAME_MAX), Ok(None));
        assert!(inbox.buffer().capacity() <= KEPT_MAX);
    }

    /// One byte more, and whoever passed it on lost its own link.
    #[test]
    fn an_update_that_may_be_heard_may_be_passed_on() {
        let frame_max = FRAME_EXTRA + 100;
        let heard = |length: usize| {
            let mut bytes = Vec::new();
            Update::new(Uuid::max(), vec![b'x'; length]).print_along(Some(("A", 9)), &mut bytes);
            Inbox::new(bytes).next(frame_max)
        };
        let Ok(Some(Frame::Update(update))) = heard(100) else { panic!("100 bytes are not heard") };
        let mut out = Vec::new();
        update.print_along(Some((&"x".repeat(NAME_MAX), u16::MAX)), &mut out);
        assert!(out.len() <= frame_max);
        assert_eq!(heard(101), Err(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut inbox = Inbox::default();
            inbox.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = inbox.next(100) {}
        }
    }
}
