//! The clients that `herd bench` plays: what they say and when, and who listens to the answers.

use super::tally::Tally;
use crate::failure::reason;
use crate::options::IN_FLIGHT_MAX;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

/// How each client's ID begins; what follows is its number.
pub const CLIENT: &str = "herd-bench-";

/// As much as one read may bring.
const CHUNK_BYTES: usize = 64 * 1024;

/// No answer is longer: a line that has no end by then is wrong, and so is all that follows.
const ANSWER_MAX: usize = 1024 * 1024;

/// A timer is up to two milliseconds late: the rest is waited for by looking at the clock again and again.
const TIMER: Duration = Duration::from_millis(2);

/// Connections to one server.
pub struct Load {
    talks: Vec<Talk>,
    tally: Rc<RefCell<Tally>>,
    clients: Rc<Clients>,
}

/// The clients, who report in turn over all connections.
struct Clients {
    count: u64,
    /// Whose turn it is.
    turn: Cell<u64>,
}

/// One connection, and the commands on it that have no answer yet.
struct Talk {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    book: Book,
}

/// What was said on a connection, and what of it was answered.
struct Book {
    flight: RefCell<VecDeque<Due>>,
    /// True when no more will be said, however long the server goes on.
    is_done: Cell<bool>,
    tally: Rc<RefCell<Tally>>,
    clients: Rc<Clients>,
}

/// When commands are due on a connection that keeps to a rate.
struct Pace {
    /// The next of them.
    due: Instant,
    gap: Duration,
    end: Instant,
    /// How many may have no answer yet. What is due beyond that waits, as it does where the server reads no more.
    in_flight_max: usize,
}

/// A command that has no answer yet.
struct Due {
    at: Instant,
    fields: Vec<u8>,
}

impl Load {
    /// Begins without connections; so many clients report in turn.
    pub fn new(tally: Rc<RefCell<Tally>>, clients: u64) -> Self {
        let clients = Rc::new(Clients { count: clients, turn: Cell::default() });
        Self { talks: Vec::new(), tally, clients }
    }

    /// Takes a connection.
    pub fn add(&mut self, socket: TcpStream) {
        let (reader, writer) = socket.into_split();
        let book = Book {
            flight: RefCell::default(),
            is_done: Cell::new(false),
            tally: Rc::clone(&self.tally),
            clients: Rc::clone(&self.clients),
        };
        self.talks.push(Talk { reader, writer, book });
    }

    /// Keeps `depth` commands in flight on each connection, or sends `rate` commands a second over all of them, and
    /// ends when all that was sent by the end is answered.
    pub async fn run(self, depth: usize, rate: Option<f64>, began: Instant, end: Instant) {
        let mut talks = JoinSet::new();
        let count = self.talks.len();
        let gap = rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        if let Some(gap) = gap {
            self.tally.borrow_mut().expect(due_within(end - began, gap));
        }
        for (number, talk) in self.talks.into_iter().enumerate() {
            let tally = Rc::clone(&self.tally);
            // Connections take turns, so each sends every so-manieth command of them all.
            let pace = gap.map(|gap| Pace {
                due: began + gap * at(number),
                gap: gap * at(count),
                end,
                in_flight_max: IN_FLIGHT_MAX / count,
            });
            talks.spawn_local(async move {
                let outcome = match pace {
                    Some(pace) => talk.paced(pace).await,
                    None => talk.closed(depth, end).await,
                };
                if let Err(error) = outcome {
                    tally.borrow_mut().lose(&reason(&error));
                }
            });
        }
        while talks.join_next().await.is_some() {}
    }
}

/// A number of connections as a factor: there are never so many that it does not fit.
fn at(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// How many commands are due within a time, the first at once.
fn due_within(time: Duration, gap: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(gap.as_nanos())).unwrap_or(u64::MAX)
}

impl Clients {
    /// The number of the client that reports next.
    fn next(&self) -> u64 {
        let number = self.turn.get();
        self.turn.set((number + 1) % self.count);
        number
    }
}

impl Talk {
    /// Sends `depth` commands at once, and the next when all are answered.
    async fn closed(mut self, depth: usize, end: Instant) -> io::Result<()> {
        let Self { reader, writer, book } = &mut self;
        let mut heard = Vec::new();
        while Instant::now() < end {
            let (mut said, now) = (Vec::new(), Instant::now());
            (0..depth).for_each(|_| book.say(now, &mut said));
            // A server that is owed a reader does not read on: both at once.
            tokio::try_join!(writer.write_all(&said), book.hear(reader, &mut heard))?;
        }
        Ok(())
    }

    /// Sends a command when it is due, whatever is answered, as long as there is room for what is not.
    async fn paced(mut self, pace: Pace) -> io::Result<()> {
        let Self { reader, writer, book } = &mut self;
        tokio::try_join!(book.say_when_due(writer, pace), book.hear_all(reader)).map(drop)
    }
}

impl Book {
    async fn say_when_due(&self, writer: &mut OwnedWriteHalf, mut pace: Pace) -> io::Result<()> {
        while pace.due < pace.end {
            wait_until(pace.due).await;
            let said = self.say_overdue(&mut pace, Instant::now());
            if said.is_empty() {
                yield_now().await; // An answer makes room.
            }
            writer.write_all(&said).await?;
        }
        // The time of the last command is part of what the rate is counted by.
        sleep_until(pace.end).await;
        self.is_done.set(true);
        // The server answers what it has, and hangs up: the end of hearing.
        writer.shutdown().await
    }

    /// Makes all the commands that are due by now and have room.
    fn say_overdue(&self, pace: &mut Pace, now: Instant) -> Vec<u8> {
        let mut said = Vec::new();
        while pace.due <= now && pace.due < pace.end && self.flight.borrow().len() < pace.in_flight_max {
            self.say(pace.due, &mut said);
            pace.due += pace.gap;
        }
        said
    }

    /// Adds a command that is due at a time.
    fn say(&self, due: Instant, said: &mut Vec<u8>) {
        let number = self.clients.next();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos, spread) = (now.as_secs(), now.subsec_nanos(), number % 1_000_000);
        let mut fields = Vec::with_capacity(80);
        // Writing to memory cannot fail.
        let _ = writeln!(fields, "{CLIENT}{number} +34.{spread:06}-118.445127 {seconds}.{nanos:09}");
        said.extend_from_slice(b"IAMAT ");
        said.extend_from_slice(&fields);
        self.flight.borrow_mut().push_back(Due { at: due, fields });
        self.tally.borrow_mut().send();
    }

    /// Hears until everything is answered.
    async fn hear(&self, reader: &mut OwnedReadHalf, heard: &mut Vec<u8>) -> io::Result<()> {
        while !self.flight.borrow().is_empty() {
            if !self.hear_some(reader, heard).await? {
                return Err(hung_up());
            }
        }
        Ok(())
    }

    /// Hears until the server hangs up, which it should do when it is told that no more will come.
    async fn hear_all(&self, reader: &mut OwnedReadHalf) -> io::Result<()> {
        let mut heard = Vec::new();
        while self.hear_some(reader, &mut heard).await? {}
        if self.is_done.get() && self.flight.borrow().is_empty() { Ok(()) } else { Err(hung_up()) }
    }

    /// Judges what one read brings; false if nothing more will come.
    async fn hear_some(&self, reader: &mut OwnedReadHalf, heard: &mut Vec<u8>) -> io::Result<bool> {
        heard.reserve(CHUNK_BYTES);
        let length = reader.read_buf(heard).await?;
        self.judge(heard)?;
        Ok(length > 0)
    }

    fn judge(&self, heard: &mut Vec<u8>) -> io::Result<()> {
        let (now, mut from) = (Instant::now(), 0);
        let (mut flight, mut tally) = (self.flight.borrow_mut(), self.tally.borrow_mut());
        while let Some(length) = heard[from..].iter().position(|&byte| byte == b'\n') {
            let line = &heard[from..=from + length];
            let Some(Due { at, fields }) = flight.pop_front() else {
                return Err(io::Error::other("the server said something that nobody asked for"));
            };
            tally.hear(line, &fields, at, now);
            from += length + 1;
        }
        heard.drain(..from);
        if heard.len() > ANSWER_MAX {
            return Err(io::Error::other("the server said a line without an end"));
        }
        Ok(())
    }
}

fn hung_up() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the server closed it")
}

async fn wait_until(due: Instant) {
    let nearly = due - TIMER;
    if nearly > Instant::now() {
        sleep_until(nearly).await;
    }
    while Instant::now() < due {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_due_before_the_end_is_counted() {
        let ns = Duration::from_nanos;
        assert_eq!([1, 99, 100, 101, 200].map(|time| due_within(ns(time), ns(100))), [1, 1, 1, 2, 2]);
    }

    /// Where a server did not keep up, `herd bench -r 10000000` took a gigabyte a second.
    #[test]
    fn what_is_overdue_waits_for_room() {
        let tally = Rc::new(RefCell::new(Tally::new(None)));
        let book = Book {
            flight: RefCell::default(),
            is_done: Cell::new(false),
            tally: Rc::clone(&tally),
            clients: Rc::new(Clients { count: 1, turn: Cell::default() }),
        };
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut pace = Pace { due: began, gap: ms(1), end: began + ms(20), in_flight_max: 10 };
        let lines = |said: &[u8]| said.split_inclusive(|&byte| byte == b'\n').count();
        let now = began + ms(15);
        assert_eq!([0; 2].map(|_| lines(&book.say_overdue(&mut pace, now))), [10, 0]);
        book.flight.borrow_mut().drain(..8);
        assert_eq!(lines(&book.say_overdue(&mut pace, now)), 6, "it is no later");
        let last = book.flight.borrow().back().map(|due| due.at);
        assert_eq!((last, pace.due), (Some(now), began + ms(16)), "what waited is late");
    }
}
