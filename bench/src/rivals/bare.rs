//! The rules of herd without any actor: a bare epoll loop over the same memory, to see what the actors cost.
//!
//! It answers IAMAT with the same code of `herd_core` and writes the same entries in the same way to a log, which is
//! filled ahead, has room set aside and is synced ten times a second. It has no links, no places, no snapshots and no
//! limits on time, and where herd goes on in a spare file, with a mark behind the end, it goes back to the beginning of
//! its own.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use herd_core::batch::{Batch, Order, Pause};
use herd_core::limits::Limits;
use herd_core::replica::Replica;
use herd_core::session::Session;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use uuid::Uuid;

/// The event that means a new connection; connections are numbered from 1.
const DOOR: u64 = 0;

/// Bytes read at once: enough for 128 lines.
const READ_BYTES: usize = 16 * 1024;

/// Serves until the process is ended, and keeps its log in a directory.
pub fn serve(name: &str, address: &str, directory: &Path) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, DOOR))?;
    let limits = Limits::default();
    let mut memory = Memory { replica: Replica::new(name, &limits), fresh: 0 };
    memory.replica.keep_applied();
    let mut log = Log::begin(directory, limits.log_bytes_min)?;
    let mut talks: HashMap<u64, Talk> = HashMap::new();
    let mut accepted = DOOR;
    let mut buffer = vec![0; READ_BYTES];
    let mut events = [EpollEvent::empty(); 256];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        let numbers = events[..ready].iter().map(EpollEvent::data);
        let (door, ready): (Vec<u64>, Vec<u64>) = numbers.partition(|number| *number == DOOR);
        if let (Some(_), Ok((socket, _))) = (door.first(), listener.accept()) {
            accepted += 1;
            let talk = Talk::new(socket, limits.line_max)?;
            epoll.add(&talk.socket, EpollEvent::new(EpollFlags::EPOLLIN, accepted))?;
            talks.insert(accepted, talk);
        }
        // All reads, then all writes: a write between them would wake the generator once per connection.
        let mut turn = |of: &mut dyn FnMut(&mut Talk) -> io::Result<()>| {
            for number in &ready {
                if talks.get_mut(number).is_some_and(|talk| of(talk).is_err()) {
                    // Closing the socket takes it out of the epoll.
                    talks.remove(number);
                }
            }
        };
        turn(&mut |talk| talk.hear(&mut memory, &mut buffer));
        if let Some(applied) = memory.replica.applied() {
            log.append(applied)?;
            applied.clear();
        }
        turn(&mut Talk::answer);
    }
}

/// What the store actor owns, without its mailbox.
struct Memory {
    replica: Replica,
    /// The UUID used last: that it is new is all that is asked of it here.
    fresh: u128,
}

impl Memory {
    fn execute(&mut self, batch: Box<Batch>) -> Box<Batch> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        let received = u64::try_from(now.as_nanos()).unwrap_or_default();
        let mut orders = [Order { batch, received, pause: Pause::Done }];
        loop {
            self.replica.execute_all(&mut orders, now_ms, || {
                self.fresh += 1;
                Uuid::from_u128(self.fresh)
            });
            let [Order { batch, pause, .. }] = &mut orders;
            match pause {
                Pause::Done => break,
                // There is nobody to ask: executed again, the line is answered as unknown. And one read has hardly so many
                // answers that they are too many; they are written at the end.
                Pause::Search { .. } | Pause::Full => {}
                Pause::Places => batch.wanted().iter().for_each(|_| batch.add_places(b"{}")),
            }
        }
        let [Order { batch, .. }] = orders;
        batch
    }
}

/// The log, written over from its beginning when it is as long as one of herd's may be.
struct Log {
    file: File,
    length: u64,
    /// How long it is with what it is filled with behind the end.
    filled: u64,
    /// Where the room ends that is set aside for it.
    room: u64,
    length_max: u64,
}

/// Filled ahead at once, as herd does, so that small writes find their pages.
static FILLING: [u8; 32 * 1024] = [b'\n'; 32 * 1024];

/// Bytes set aside for the log before they are needed, as herd does.
const ROOM: u64 = 16 * 1024 * 1024;

/// How often the log is synced.
const SYNC_EVERY: Duration = Duration::from_millis(100);

impl Log {
    fn begin(directory: &Path, length_max: u64) -> io::Result<Self> {
        let file = File::create(directory.join("log"))?;
        let synced = file.try_clone()?;
        thread::spawn(move || {
            while synced.sync_data().is_ok() {
                thread::sleep(SYNC_EVERY);
            }
        });
        Ok(Self { file, length: 0, filled: 0, room: 0, length_max })
    }

    fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        if self.length > self.length_max {
            (self.length, self.filled) = (0, 0);
        }
        let (size, end) = (FILLING.len() as u64, self.length + entries.len() as u64);
        if end > self.filled && entries.len() < FILLING.len() {
            let from = self.filled.max(end - end % size);
            let filling = &FILLING[usize::try_from(from % size).unwrap_or_default()..];
            self.file.write_all_at(filling, from)?;
            self.filled = from + filling.len() as u64;
        }
        self.file.write_all_at(entries, self.length)?;
        self.length = end;
        self.filled = self.filled.max(end);
        if self.filled > self.room {
            // As in herd, a disk that refuses may.
            let (room, more) = (self.room.cast_signed(), ROOM.cast_signed());
            let _ = fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, room, more);
            self.room += ROOM;
        }
        Ok(())
    }
}

/// One connection.
struct Talk {
    socket: TcpStream,
    session: Session,
    /// Replies that are not written yet.
    output: Vec<u8>,
}

impl Talk {
    fn new(socket: TcpStream, line_max: usize) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        // Reads follow an event and never block; writes may, as the generator always reads.
        Ok(Self { socket, session: Session::new(line_max), output: Vec::new() })
    }

    /// One read, and all that is in it.
    fn hear(&mut self, memory: &mut Memory, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.socket.read(buffer)?;
        if bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.session.buffer().extend_from_slice(&buffer[..bytes]);
        while let Some(batch) = self.session.batch() {
            let mut batch = memory.execute(batch);
            self.output.append(&mut batch.output);
            self.session.reuse(batch);
        }
        Ok(())
    }

    /// One write.
    fn answer(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Directory;

    #[test]
    fn a_log_is_filled_ahead_and_has_what_was_appended_from_its_last_beginning_on() {
        let scratch = Directory::new(&std::env::temp_dir(), &format!("bare {}", std::process::id())).unwrap();
        let mut log = Log::begin(&scratch, 100_000).unwrap();
        let read = || std::fs::read(scratch.join("log")).unwrap();
        log.append(b"first\n").unwrap();
        assert!(read().starts_with(b"first\n\n\n") && read().len() == FILLING.len());
        let entries = vec![b'x'; 30_000];
        (0..4).for_each(|_| log.append(&entries).unwrap());
        let expected = [b"first\n".to_vec(), entries.repeat(4)].concat();
        assert!(read().starts_with(&expected) && read()[expected.len()..].iter().all(|&byte| byte == b'\n'));
        log.append(b"again\n").unwrap();
        assert!(read().starts_with(b"again\n\n\n"));
    }
}
