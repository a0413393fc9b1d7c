//! A counting relay between two servers: passes every byte on, and counts the updates that cross the link.
//!
//! Knows just as much of the wire between servers as it takes to count: lines, of which two kinds announce a
//! payload by its length.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What crossed a herd's links so far, in both directions.
#[derive(Debug, Default)]
pub struct Crossed {
    /// Bytes of all kinds.
    pub bytes: AtomicU64,
    /// Frames that carry updates.
    pub frames: AtomicU64,
    /// Update payloads: the record lines in those frames.
    pub payloads: AtomicU64,
}

impl Crossed {
    /// Bytes, frames and payloads at this moment.
    pub fn read(&self) -> (u64, u64, u64) {
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (read(&self.bytes), read(&self.frames), read(&self.payloads))
    }
}

/// Listens on a free port and passes every connection on to `target`; answers with its address.
pub fn open(target: String, crossed: Arc<Crossed>) -> io::Result<String> {
    // Of an address that no server has: a port of theirs may be free until they start.
    let listener = TcpListener::bind("127.0.0.2:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (target, crossed) = (target.clone(), Arc::clone(&crossed));
            // A neighbour that cannot be reached shows as an ended connection, and the server dials again.
            thread::spawn(move || join(&socket, &target, &crossed));
        }
    });
    Ok(address)
}

fn join(near: &TcpStream, target: &str, crossed: &Arc<Crossed>) -> io::Result<()> {
    let far = TcpStream::connect(target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let back = (far.try_clone()?, near.try_clone()?, Arc::clone(crossed));
    thread::spawn(move || pass(back.0, back.1, &back.2));
    pass(near.try_clone()?, far, crossed)
}

fn pass(mut from: TcpStream, mut to: TcpStream, crossed: &Crossed) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut reader = Reader::default();
    loop {
        let bytes = from.read(&mut buffer).unwrap_or(0);
        if bytes == 0 {
            return to.shutdown(Shutdown::Write);
        }
        reader.count(&buffer[..bytes], crossed);
        to.write_all(&buffer[..bytes])?;
    }
}

/// Follows one direction of a link.
#[derive(Default)]
struct Reader {
    /// The header line that is not complete yet.
    line: Vec<u8>,
    /// Payload bytes still to come.
    payload: usize,
    /// Whether that payload is of an update.
    update: bool,
}

impl Reader {
    fn count(&mut self, mut bytes: &[u8], crossed: &Crossed) {
        crossed.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        while !bytes.is_empty() {
            bytes = if self.payload > 0 { self.skip(bytes, crossed) } else { self.head(bytes, crossed) };
        }
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], crossed: &Crossed) -> &'a [u8] {
        let (payload, rest) = bytes.split_at(self.payload.min(bytes.len()));
        self.payload -= payload.len();
        if self.update {
            let records = payload.split(|byte| *byte == b'\n').count() - 1;
            crossed.payloads.fetch_add(records as u64, Ordering::Relaxed);
        }
        rest
    }

    fn head<'a>(&mut self, bytes: &'a [u8], crossed: &Crossed) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            return &[];
        };
        self.line.extend_from_slice(&bytes[..end]);
        let (verb, length) = announced(&self.line);
        self.update = verb == b"CLIENTAT";
        self.payload = length;
        if self.update {
            crossed.frames.fetch_add(1, Ordering::Relaxed);
        }
        self.line.clear();
        &bytes[end + 1..]
    }
}

/// The verb of a header line, and the length of the payload behind it.
fn announced(line: &[u8]) -> (&[u8], usize) {
    let mut words = line.split(|byte| *byte == b' ');
    let verb = words.next().unwrap_or_default();
    let carries = verb == b"CLIENTAT" || verb == b"FOUND";
    let length = words.nth(1).filter(|_| carries).and_then(|word| std::str::from_utf8(word).ok());
    (verb, length.and_then(|digits| digits.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"HERD 1 link A B nonce\nWELCOME\nPING\n\
        CLIENTAT 7d444840-9dc0-11d1-b245-5ffdce74fad2 16\nkiwi +1-1 1 1 A\nWHICHCLIENT 1 kiwi\n\
        FOUND 1 16\nkiwi +1-1 1 1 A\nCLIENTAT 2 32\nkiwi +1-1 1 1 A\nplum +1-1 1 1 A\nPING\n";

    #[test]
    fn the_records_of_updates_are_counted_and_found_records_are_not() {
        let crossed = Crossed::default();
        Reader::default().count(WIRE, &crossed);
        assert_eq!(crossed.read(), (WIRE.len() as u64, 2, 3));
    }

    #[test]
    fn the_count_does_not_depend_on_how_the_bytes_are_split() {
        for size in 1..40 {
            let (crossed, mut reader) = (Crossed::default(), Reader::default());
            WIRE.chunks(size).for_each(|chunk| reader.count(chunk, &crossed));
            assert_eq!(crossed.read(), (WIRE.len() as u64, 2, 3), "in chunks of {size}");
        }
    }
}
