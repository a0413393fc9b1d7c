//! The load generator: one thread, any number of connections, every reply judged.
//!
//! A closed loop keeps D commands in flight on each of C connections: D commands are written at once, and the next
//! D when all are answered, as `redis-benchmark -P` does. An open loop writes commands when they are due, whatever the
//! server does, and counts latency from the due time, so that a server that stalls is charged for everybody who had to wait.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::speech::{Speech, Wrong};

/// A run without any reply for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Bytes of replies read at once: more than 128 AT lines.
const INPUT_BYTES: usize = 32 * 1024;

/// No reply of any protocol spoken here is longer.
const REPLY_MAX: usize = 1024 * 1024;

/// The longest latency that is told from longer ones, in nanoseconds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// Why a run failed.
#[derive(Debug)]
pub enum Failure {
    /// A reply was not the right one.
    Wrong(Wrong),
    /// The server ended a connection.
    Closed,
    /// No reply came for so long.
    Silent(Duration),
    /// The operating system refused something.
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Wrong(wrong) => wrong.fmt(f),
            Failure::Closed => write!(f, "the server closed a connection with commands in flight"),
            Failure::Silent(time) => write!(f, "no reply for {} s", time.as_secs()),
            Failure::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl From<nix::Error> for Failure {
    fn from(error: nix::Error) -> Self {
        Failure::Io(error.into())
    }
}

/// When a closed loop ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so long; what is in flight is still awaited.
    Time(Duration),
    /// After at least so many commands.
    Commands(u64),
}

/// What a run counted: every command was answered, and rightly.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Commands answered.
    pub commands: u64,
    /// From the first command to the last reply.
    pub time: Duration,
    /// Nanoseconds from due time to reply, one per command.
    pub latency: Histogram<u64>,
}

impl Tally {
    /// A percentile of the latency in microseconds.
    pub fn latency_us(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1000.0
    }

    /// Commands per second.
    pub fn rate(&self) -> f64 {
        self.commands as f64 / self.time.as_secs_f64()
    }
}

/// Connections to one server, kept from run to run.
pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    speech: Box<dyn Speech>,
    clock: Instant,
    /// Whether the generator asks again and again instead of sleeping: for latencies, so that its own wake-up is not in them.
    pub spin: bool,
}

struct Connection {
    socket: TcpStream,
    /// Commands from the oldest unanswered one on.
    out: Vec<u8>,
    /// How much of `out` the socket took.
    written: usize,
    /// How much of `out` has been answered.
    judged: usize,
    /// Whether the epoll waits for room to write.
    stuck: bool,
    /// The commands in flight, oldest first.
    flight: VecDeque<Due>,
    input: Vec<u8>,
    filled: usize,
}

/// One command in flight.
struct Due {
    ns: u64,
    bytes: usize,
}

/// What a run has counted so far.
struct Count {
    answered: u64,
    in_flight: u64,
    latency: Histogram<u64>,
}

impl Load {
    /// Opens so many connections.
    pub fn connect(address: &str, connections: usize, speech: Box<dyn Speech>) -> Result<Self, Failure> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let connections =
            (0..connections).map(|_| Connection::open(address)).collect::<io::Result<Vec<Connection>>>()?;
        for (at, connection) in connections.iter().enumerate() {
            epoll.add(&connection.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        }
        Ok(Self { epoll, connections, speech, clock: Instant::now(), spin: false })
    }

    /// Keeps `depth` commands in flight on every connection.
    pub fn closed(&mut self, depth: usize, until: Until) -> Result<Tally, Failure> {
        let start = self.now();
        let mut count = Count::new();
        let mut alarm = Silence::new(start);
        let mut events = [EpollEvent::empty(); 256];
        for at in 0..self.connections.len() {
            self.fill(at, depth, &mut count)?;
        }
        while count.in_flight > 0 {
            let ready = self.wait(&mut events)?;
            for event in &events[..ready] {
                let at = slot(event);
                self.serve(at, event.events(), &mut count)?;
                if self.connections[at].flight.is_empty() && !self.over(start, until, &count) {
                    self.fill(at, depth, &mut count)?;
                }
            }
            alarm.hear(ready > 0, self.now())?;
        }
        Ok(count.tally(self.now() - start))
    }

    /// Sends commands at this rate per second, evenly, to the connections in turn.
    pub fn open(&mut self, rate: f64, lasting: Duration) -> Result<Tally, Failure> {
        let start = self.now();
        let total = whole(rate * lasting.as_secs_f64());
        let gap_ns = 1e9 / rate;
        let mut sent = 0;
        let mut count = Count::new();
        let mut alarm = Silence::new(start);
        let mut events = [EpollEvent::empty(); 256];
        while sent < total || count.in_flight > 0 {
            let now = self.now();
            while sent < total && start + whole(sent as f64 * gap_ns) <= now {
                let at = slot_of(sent, self.connections.len());
                self.say(at, start + whole(sent as f64 * gap_ns), &mut count);
                self.write(at)?;
                sent += 1;
            }
            let ready = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
            for event in &events[..ready] {
                self.serve(slot(event), event.events(), &mut count)?;
            }
            alarm.hear(ready > 0 || count.in_flight == 0, now)?;
        }
        Ok(count.tally(self.now() - start))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn over(&self, start: u64, until: Until, count: &Count) -> bool {
        match until {
            Until::Time(time) => u128::from(self.now() - start) >= time.as_nanos(),
            Until::Commands(commands) => count.answered + count.in_flight >= commands,
        }
    }

    fn wait(&self, events: &mut [EpollEvent]) -> Result<usize, Failure> {
        let patience = if self.spin { EpollTimeout::ZERO } else { EpollTimeout::from(1000_u16) };
        match self.epoll.wait(events, patience) {
            Err(nix::Error::EINTR) => Ok(0),
            other => Ok(other?),
        }
    }

    /// Writes `depth` commands to an idle connection.
    fn fill(&mut self, at: usize, depth: usize, count: &mut Count) -> Result<(), Failure> {
        let now = self.now();
        for _ in 0..depth {
            self.say(at, now, count);
        }
        self.write(at)
    }

    fn say(&mut self, at: usize, due: u64, count: &mut Count) {
        let connection = &mut self.connections[at];
        let before = connection.out.len();
        self.speech.say(&mut connection.out);
        connection.flight.push_back(Due { ns: due, bytes: connection.out.len() - before });
        count.in_flight += 1;
    }

    /// Writes what the socket takes, and has the epoll say when it takes more.
    fn write(&mut self, at: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[at];
        let stuck = !connection.write()?;
        if stuck != connection.stuck {
            connection.stuck = stuck;
            let room = if stuck { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            let mut event = EpollEvent::new(EpollFlags::EPOLLIN | room, at as u64);
            self.epoll.modify(&connection.socket, &mut event)?;
        }
        Ok(())
    }

    /// Does what an event asks for: writes, or reads once and judges all whole replies.
    fn serve(&mut self, at: usize, ready: EpollFlags, count: &mut Count) -> Result<(), Failure> {
        if ready.contains(EpollFlags::EPOLLOUT) {
            self.write(at)?;
        }
        if ready.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            let read = self.connections[at].read()?;
            let now = self.now();
            if read {
                self.connections[at].judge(self.speech.as_ref(), now, count)?;
            }
        }
        Ok(())
    }
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            out: Vec::new(),
            written: 0,
            judged: 0,
            stuck: false,
            flight: VecDeque::new(),
            input: vec![0; INPUT_BYTES],
            filled: 0,
        })
    }

    /// Whether all was written.
    fn write(&mut self) -> Result<bool, Failure> {
        while self.written < self.out.len() {
            match self.socket.write(&self.out[self.written..]) {
                Ok(0) => return Err(Failure::Closed),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Whether anything was read.
    fn read(&mut self) -> Result<bool, Failure> {
        if self.filled == self.input.len() && self.input.len() < REPLY_MAX {
            self.input.resize(self.input.len() * 2, 0);
        }
        match self.socket.read(&mut self.input[self.filled..]) {
            Ok(0) => Err(Failure::Closed),
            Ok(bytes) => {
                self.filled += bytes;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn judge(&mut self, speech: &dyn Speech, now: u64, count: &mut Count) -> Result<(), Failure> {
        let mut at = 0;
        let (mut due, mut alike) = (0, 0);
        while at < self.filled {
            let unread = &self.input[at..self.filled];
            let Some(oldest) = self.flight.front() else { return Err(unasked(unread)) };
            let command = &self.out[self.judged..self.judged + oldest.bytes];
            let Some(bytes) = speech.judge(command, unread).map_err(Failure::Wrong)? else { break };
            // Commands written together and answered together are one entry of the histogram.
            if oldest.ns != due {
                count.answer(now.saturating_sub(due), alike);
                (due, alike) = (oldest.ns, 0);
            }
            alike += 1;
            at += bytes;
            self.judged += oldest.bytes;
            self.flight.pop_front();
        }
        count.answer(now.saturating_sub(due), alike);
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        self.forget();
        Ok(())
    }

    /// Drops the commands that were answered.
    fn forget(&mut self) {
        if self.flight.is_empty() {
            self.out.clear();
            (self.written, self.judged) = (0, 0);
        } else if self.judged > INPUT_BYTES {
            self.out.drain(..self.judged);
            self.written -= self.judged;
            self.judged = 0;
        }
    }
}

impl Count {
    fn new() -> Self {
        // Three digits, from a nanosecond to a minute: within the bounds that the histogram takes.
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("these bounds are valid");
        Self { answered: 0, in_flight: 0, latency }
    }

    fn answer(&mut self, latency_ns: u64, commands: u64) {
        if commands > 0 {
            self.latency.saturating_record_n(latency_ns, commands);
            self.answered += commands;
            self.in_flight -= commands;
        }
    }

    fn tally(self, ns: u64) -> Tally {
        Tally { commands: self.answered, time: Duration::from_nanos(ns), latency: self.latency }
    }
}

/// Notices that a server went silent.
struct Silence {
    heard: u64,
}

impl Silence {
    fn new(now: u64) -> Self {
        Self { heard: now }
    }

    fn hear(&mut self, anything: bool, now: u64) -> Result<(), Failure> {
        if anything {
            self.heard = now;
        }
        let silent = u128::from(now.saturating_sub(self.heard)) > SILENCE_MAX.as_nanos();
        if silent { Err(Failure::Silent(SILENCE_MAX)) } else { Ok(()) }
    }
}

fn unasked(input: &[u8]) -> Failure {
    let reply = input[..input.len().min(160)].escape_ascii().to_string();
    Failure::Wrong(Wrong { command: String::new(), reply, wanted: "nothing, as no command was in flight" })
}

fn slot(event: &EpollEvent) -> usize {
    usize::try_from(event.data()).unwrap_or_default()
}

fn slot_of(command: u64, connections: usize) -> usize {
    usize::try_from(command % connections.max(1) as u64).unwrap_or_default()
}

/// A count or a time as a whole number; neither is ever negative or near the limit of `u64`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::{Crowd, Order};
    use crate::fake::{self, right};
    use crate::speech::Iamat;

    fn load(address: &str, connections: usize) -> Load {
        let speech = Iamat::new("Goloman", Crowd::new(1000, Order::AtRandom));
        Load::connect(address, connections, Box::new(speech)).unwrap()
    }

    /// Runs a closed loop against a server with this script.
    fn run(
        script: impl Fn(usize, &str) -> Option<String> + Clone + Send + 'static,
    ) -> Result<Tally, Failure> {
        load(&fake::serve(script), 3).closed(7, Until::Commands(2000))
    }

    #[test]
    fn a_closed_loop_counts_every_command_once_when_all_are_answered_rightly() {
        let tally = run(|_, line| Some(right(line))).unwrap();

        assert!((2000..2000 + 3 * 7).contains(&tally.commands), "{} commands", tally.commands);
        assert_eq!(tally.latency.len(), tally.commands);
        assert_eq!(tally.commands % 7, 0);
    }

    #[test]
    fn one_wrong_reply_among_hundreds_is_caught_and_shown_with_its_command() {
        let failure = run(|number, line| match number {
            300 => Some(right(&line.replace("k0", "k1"))),
            _ => Some(right(line)),
        });

        let Err(Failure::Wrong(wrong)) = failure else { panic!("a wrong reply went unseen: {failure:?}") };
        assert!(wrong.command.starts_with("IAMAT k0") && wrong.reply.contains("k1"), "{wrong}");
    }

    #[test]
    fn a_reply_left_out_is_caught_at_the_next_one() {
        // Seven commands are in flight together, and neither is the last of its seven.
        let left_out = 7 * 43;
        let failure =
            run(move |number, line| Some(if number == left_out { String::new() } else { right(line) }));

        assert!(matches!(failure, Err(Failure::Wrong(_))), "{failure:?}");
    }

    #[test]
    fn a_reply_too_many_is_caught() {
        let failure = run(|_, line| Some(right(line) + "? what\n"));

        assert!(matches!(failure, Err(Failure::Wrong(_))), "{failure:?}");
    }

    #[test]
    fn a_connection_that_ends_with_commands_in_flight_is_a_failure() {
        let failure = run(|number, line| (number < 300).then(|| right(line)));

        assert!(matches!(failure, Err(Failure::Closed | Failure::Io(_))), "{failure:?}");
    }

    #[test]
    fn an_open_loop_sends_at_its_rate_and_counts_from_the_due_time() {
        let stall = Duration::from_millis(50);
        let address = fake::serve(move |number, line| {
            if number == 100 {
                std::thread::sleep(stall);
            }
            Some(right(line))
        });

        let tally = load(&address, 1).open(2000.0, Duration::from_millis(200)).unwrap();

        assert_eq!(tally.commands, 400);
        // All who were due during the stall had to wait, not only the one who hit it: about a hundred of them.
        let waited = tally.latency.count_between(5_000_000, LATENCY_MAX_NS);
        assert!(waited >= 80, "only {waited} commands waited");
    }

    #[test]
    fn more_than_the_sockets_take_at_once_is_written_in_parts() {
        let tally =
            load(&fake::serve(|_, line| Some(right(line))), 1).closed(100_000, Until::Commands(100_000));

        assert_eq!(tally.unwrap().commands, 100_000);
    }
}
