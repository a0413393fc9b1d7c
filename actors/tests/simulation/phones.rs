//! The clients: what they say to servers, how they say it, and whether they are answered as they must be.

use crate::dice::Dice;
use crate::herd::{CLIENTS_PORT, EPOCH, Plan};
use crate::invariants::Invariant;
use crate::network::{Wire, dial};
use crate::records::{Record, seconds};
use crate::server::PLACES;
use crate::trace::{Server, Trace};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf, ReadHalf, WriteHalf,
};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, timeout};
use turmoil::net::TcpStream;

/// Something that a client does.
pub type Job = Pin<Box<dyn Future<Output = ()>>>;

/// The host on which all clients are, and what they are to do next.
#[derive(Clone, Default)]
pub struct Phones {
    jobs: Rc<RefCell<VecDeque<Job>>>,
    more: Rc<Notify>,
}

impl Phones {
    pub fn send(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.more.notify_one();
    }

    pub async fn serve(self) -> turmoil::Result {
        loop {
            let jobs = self.jobs.take();
            for job in jobs {
                tokio::task::spawn_local(job);
            }
            self.more.notified().await;
        }
    }
}

/// Sends all of the input, then the end of it, and returns all of the output.
pub async fn exchange(server: &str, input: &[u8]) -> io::Result<String> {
    let mut socket = TcpStream::connect((server, CLIENTS_PORT)).await?;
    socket.write_all(input).await?;
    socket.shutdown().await?;
    let mut output = String::new();
    socket.read_to_string(&mut output).await?;
    Ok(output)
}

/// One command and what follows from it.
#[derive(Clone, Debug)]
enum Command {
    Iamat {
        client: String,
        location: String,
        time: String,
    },
    Whatsat {
        client: String,
    },
    /// Not a command: it comes back.
    Invalid {
        line: String,
    },
    /// What is left of a line that was cut off: a command or not, it ends with the input.
    Torn {
        line: String,
    },
    /// Nothing comes back.
    Blank,
}

impl Command {
    fn line(&self) -> String {
        match self {
            Self::Iamat { client, location, time } => format!("IAMAT {client} {location} {time}"),
            Self::Whatsat { client } => format!("WHATSAT {client} 10 5"),
            Self::Invalid { line } | Self::Torn { line } => line.clone(),
            Self::Blank => " \t".to_owned(),
        }
    }
}

/// A conversation of a client with a server.
pub struct Conversation {
    server: usize,
    name: &'static str,
    commands: Vec<Command>,
    /// The commands as they are sent: pieces, and how long each is waited after.
    pieces: Vec<(Vec<u8>, u64)>,
    reading: Reading,
    /// How many bytes the client sends that the server has not read.
    window: usize,
    trace: Trace,
    /// How long an answer may take.
    patience: Duration,
    /// How long a server waits for a client that reads nothing.
    stall: Duration,
}

/// How a client takes its answers.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    AtOnce,
    /// A few bytes at a time.
    InSips,
    /// It reads nothing until the server must have given it up.
    TooLate,
    /// It is gone before it has its answers.
    Never,
}

/// How many clients there are.
const CLIENTS: u64 = 12;

impl Conversation {
    /// Draws a conversation that begins at a time, in milliseconds since the simulation began.
    pub fn draw(dice: &Dice, server: (usize, &'static str), now_ms: u64, plan: &Plan, trace: &Trace) -> Self {
        let reading = match dice.below(100) {
            0..10 => Reading::Never,
            10..20 => Reading::InSips,
            20..22 => Reading::TooLate,
            _ => Reading::AtOnce,
        };
        let mut commands = draw_commands(dice, now_ms, reading, trace);
        let end = if dice.is(30) { "\r\n" } else { "\n" };
        let mut bytes: Vec<u8> =
            commands.iter().flat_map(|command| (command.line() + end).into_bytes()).collect();
        if dice.is(20) {
            bytes.truncate(bytes.len() - end.len()); // The end of the input ends the last line.
            trace.hit("a client left out the last newline");
        } else if reading != Reading::TooLate && dice.is(10) {
            bytes.truncate(dice.index(bytes.len()));
            if bytes.ends_with(b"\r") {
                bytes.pop(); // Not the end of a line, and so a part of what comes back.
            }
            commands = what_is_left(&bytes, &commands);
            trace.hit("a client was cut off");
        }
        let pieces = split(dice, bytes, trace);
        let pauses_ms: u64 = pieces.iter().map(|(_, pause_ms)| pause_ms).sum();
        let sips_ms = if reading == Reading::InSips { SIPS_MS } else { 0 };
        let patience = Duration::from_millis(plan.limits.search_ms + pauses_ms + sips_ms + SLACK_MS);
        let stall = Duration::from_millis(plan.limits.write_stall_ms);
        let (server, name) = server;
        let (window, trace) = (plan.client_window, trace.clone());
        Self { server, name, commands, pieces, reading, window, trace, patience, stall }
    }

    /// Holds the conversation, and notes what is wrong with the answers.
    pub async fn hold(self) {
        let then = self.trace.notes().servers[self.server].clone();
        let dialling = dial(self.name, CLIENTS_PORT, self.window, &self.trace);
        let Ok(Ok(socket)) = timeout(self.patience, dialling).await else {
            return self.trace.hit("a client found nobody");
        };
        for command in &self.commands {
            self.note(command);
        }
        let (from, to) = tokio::io::split(socket);
        match self.reading {
            Reading::Never => {
                let _ = timeout(self.patience, self.say(to)).await; // It is gone whatever became of this.
                self.trace.hit("a client broke off");
            }
            Reading::TooLate => self.hear_too_late(from, to, &then).await,
            Reading::AtOnce => self.hear_all(Box::new(from), to, &then).await,
            Reading::InSips => {
                self.trace.hit("a client read in sips");
                self.hear_all(Box::new(Sips::new(from)), to, &then).await;
            }
        }
    }

    async fn hear_all(&self, from: Mouth, to: WriteHalf<Wire>, then: &Server) {
        let (_, heard) = tokio::join!(self.say(to), self.hear(from, then));
        if let Err(error) = heard {
            self.ensure(self.is_excused(then), || format!("{} closed: {error}", self.name));
            self.trace.hit("a client lost its server");
        }
    }

    /// Reads only when the server must have hung up. What it said before is right nevertheless.
    async fn hear_too_late(&self, from: ReadHalf<Wire>, to: WriteHalf<Wire>, then: &Server) {
        let late = 2 * self.stall + Duration::from_millis(SLACK_MS);
        let saying = timeout(late, self.say(to)); // A server that owes answers reads nothing more.
        let _ = tokio::join!(saying, sleep(late));
        let heard = self.hear(Box::new(from), then).await;
        let is_given_up = heard.is_err() || self.is_excused(then);
        self.trace.ensure(Invariant::WithinLimits, is_given_up, || {
            format!("{} did not give up a client that read nothing", self.name)
        });
        self.trace.hit("a client did not read");
    }

    /// True if the server may have ended since, or was slowed down.
    fn is_excused(&self, then: &Server) -> bool {
        let notes = self.trace.notes();
        let now = &notes.servers[self.server];
        let is_hindered = now.is_hindered() || now.hindrances != then.hindrances;
        !now.is_up || now.is_leaving || now.incarnation != then.incarnation || is_hindered
    }

    /// Notes what is about to be said, as it may be heard even if it is never answered.
    fn note(&self, command: &Command) {
        let said = match command {
            Command::Iamat { client, location, time } => format!("{client} {location} {time} {}", self.name),
            Command::Torn { line } => match *line.split_whitespace().collect::<Vec<_>>() {
                ["IAMAT", client, location, time] => format!("{client} {location} {time} {}", self.name),
                _ => return,
            },
            _ => return,
        };
        self.trace.notes().said.insert(said);
    }

    async fn say(&self, mut to: WriteHalf<Wire>) -> io::Result<()> {
        let mut said = Said { whose: self, line: Vec::new() };
        for (piece, pause_ms) in &self.pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let length = to.write(rest).await?;
                let (now, later) = rest.split_at(length);
                said.note(now);
                rest = later;
            }
            sleep(Duration::from_millis(*pause_ms)).await;
        }
        to.shutdown().await
    }

    /// Hears one answer to each command, in order, and then the end.
    async fn hear(&self, from: Mouth, then: &Server) -> io::Result<()> {
        let mut answers = Answers { from: BufReader::new(from), patience: self.patience };
        let mut newest = BTreeMap::new();
        for command in &self.commands {
            let began = Instant::now();
            match command {
                Command::Blank => continue,
                Command::Torn { line } if line.trim().is_empty() => continue,
                Command::Invalid { line } => self.expect(&answers.line().await?, &format!("? {line}")),
                Command::Torn { line } => self.check_torn(line, &answers.line().await?, then, &mut newest),
                Command::Iamat { client, location, time } => {
                    let answer = answers.line().await?;
                    self.check_receipt(&answer, &[client, location, time], then, &mut newest);
                }
                Command::Whatsat { client } => {
                    let answer = answers.line().await?;
                    if self.check_whereabouts(command, &answer, newest.get(client)) {
                        self.expect(&answers.line().await?, PLACES);
                        self.expect(&answers.line().await?, "");
                    }
                }
            }
            let took = began.elapsed();
            let is_in_time = took <= self.patience || self.is_excused(then);
            let is_search = matches!(command, Command::Whatsat { .. });
            let invariant = if is_search { Invariant::SearchesEnd } else { Invariant::OneAnswerEach };
            self.trace
                .ensure(invariant, is_in_time, || format!("{} took {took:?} for {command:?}", self.name));
        }
        let rest = answers.rest().await?;
        self.expect(&rest, "");
        Ok(())
    }

    /// Checks the answer to what was left of a line: it may be a whole command again, with a shorter time.
    fn check_torn(&self, line: &str, answer: &str, then: &Server, newest: &mut BTreeMap<String, Record>) {
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["IAMAT", client, location, time] if answer.starts_with("AT ") => {
                self.check_receipt(answer, &[client, location, time], then, newest);
            }
            _ => self.expect(answer, &format!("? {line}")),
        }
    }

    fn expect(&self, answer: &str, expected: &str) {
        self.ensure(answer == expected, || format!("{} answered {answer:?}, not {expected:?}", self.name));
    }

    fn ensure(&self, holds: bool, what: impl FnOnce() -> String) {
        self.trace.ensure(Invariant::OneAnswerEach, holds, what);
    }

    /// Checks the answer to an IAMAT, which acknowledges a record.
    fn check_receipt(
        &self,
        answer: &str,
        said: &[&str; 3],
        then: &Server,
        newest: &mut BTreeMap<String, Record>,
    ) {
        let record = Record::of_answer(answer).filter(|record| {
            record.server == self.name && [&*record.client, &record.location, &record.time] == *said
        });
        let Some(record) = record else {
            return self.ensure(false, || format!("{} answered {answer:?} to IAMAT {said:?}", self.name));
        };
        if record.is_from_the_future() {
            self.trace.hit("a client lived in the future");
        }
        let best = newest.entry(record.client.clone()).or_insert_with(|| record.clone());
        if record.cmp_age(best).is_gt() {
            *best = record.clone();
        }
        self.trace.acknowledged(self.server, then, record);
    }

    /// Checks the first line of the answer to a WHATSAT; true if places follow.
    fn check_whereabouts(&self, command: &Command, answer: &str, newest: Option<&Record>) -> bool {
        let newest = newest.filter(|newest| !self.trace.notes().may_be_forgotten(newest));
        if newest.is_none() && answer == format!("? {}", command.line()) {
            self.trace.hit("a client was not found");
            return false;
        }
        let Some(record) = Record::of_answer(answer) else {
            self.ensure(false, || format!("{} answered {answer:?} to {command:?}", self.name));
            return false;
        };
        let is_said = self.trace.notes().said.contains(&record.saying());
        self.trace
            .ensure(Invariant::NothingInvented, is_said, || format!("{} invented {record:?}", self.name));
        let is_fresh = newest.is_none_or(|newest| record.cmp_age(newest).is_ge());
        self.trace.ensure(Invariant::NeverBackwards, is_fresh, || {
            format!("{} answered {record:?} after {newest:?}", self.name)
        });
        self.trace.hit(if record.server == self.name {
            "a client was known"
        } else {
            "a client of another server was known"
        });
        true
    }
}

/// What a client has said of a line. If it is gone before it has said the rest, the line ends where it is.
struct Said<'a> {
    whose: &'a Conversation,
    line: Vec<u8>,
}

impl Said<'_> {
    fn note(&mut self, bytes: &[u8]) {
        let line = bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.len() < bytes.len() {
            self.line.clear();
        }
        self.line.extend_from_slice(line);
    }
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        self.whose.note(&Command::Torn { line: String::from_utf8_lossy(&self.line).into_owned() });
    }
}

/// How long an answer may take that has to wait for nothing but a disk: some steps of the simulation.
const SLACK_MS: u64 = 200;

/// How long it may take to read all answers in sips.
const SIPS_MS: u64 = 3_000;

/// However a client reads.
type Mouth = Box<dyn AsyncRead + Unpin>;

/// Reads a little at a time.
struct Sips {
    from: ReadHalf<Wire>,
    pause: Pin<Box<Sleep>>,
}

impl Sips {
    const SIZE: usize = 64;
    const PAUSE: Duration = Duration::from_millis(5);

    fn new(from: ReadHalf<Wire>) -> Self {
        Self { from, pause: Box::pin(sleep(Self::PAUSE)) }
    }
}

impl AsyncRead for Sips {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.pause.as_mut().poll(ctx));
        let mut sip = [0; Self::SIZE];
        let mut sip = ReadBuf::new(&mut sip[..Self::SIZE.min(buffer.remaining())]);
        ready!(Pin::new(&mut self.from).poll_read(ctx, &mut sip))?;
        buffer.put_slice(sip.filled());
        self.pause = Box::pin(sleep(Self::PAUSE));
        Poll::Ready(Ok(()))
    }
}

/// What a server answers, line by line.
struct Answers {
    from: BufReader<Mouth>,
    patience: Duration,
}

impl Answers {
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        timeout(self.patience * 2, self.from.read_until(b'\n', &mut line)).await??;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        timeout(self.patience * 2, self.from.read_to_string(&mut rest)).await??;
        Ok(rest)
    }
}

/// Draws what a client says. One that reads too late says enough to be owed more than a connection holds.
fn draw_commands(dice: &Dice, now_ms: u64, reading: Reading, trace: &Trace) -> Vec<Command> {
    if reading == Reading::TooLate {
        return (0..100).map(|_| draw_iamat(dice, now_ms)).collect();
    }
    let count = if dice.is(10) { dice.between(20, 60) } else { dice.between(1, 6) };
    let mut commands: Vec<Command> = (0..count).map(|_| draw_command(dice, now_ms)).collect();
    if dice.is(20) {
        commands.extend(commands.clone()); // All of it once more.
        trace.hit("a client repeated itself");
    }
    if dice.is(20) {
        for at in (1..commands.len()).rev() {
            commands.swap(at, dice.index(at + 1));
        }
        trace.hit("a client changed the order");
    }
    commands
}

/// The commands that were not cut off, and what is left of one that was.
fn what_is_left(bytes: &[u8], commands: &[Command]) -> Vec<Command> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<&str> = text.split('\n').collect();
    let line = lines.pop().unwrap_or_default().to_owned();
    let whole = lines.len();
    let torn = match commands.get(whole) {
        Some(command) if command.line() == line => command.clone(),
        _ => Command::Torn { line },
    };
    commands[..whole].iter().cloned().chain([torn]).collect()
}

fn draw_command(dice: &Dice, now_ms: u64) -> Command {
    let client = format!("phone{}", dice.below(CLIENTS));
    match dice.below(100) {
        0..70 => draw_iamat(dice, now_ms),
        70..84 => Command::Whatsat { client },
        84..90 => Command::Whatsat { client: format!("nobody{}", dice.below(3)) },
        90..97 => Command::Invalid { line: (*dice.pick(&INVALID)).to_owned() },
        _ => Command::Blank,
    }
}

fn draw_iamat(dice: &Dice, now_ms: u64) -> Command {
    let location = *dice.pick(&["+34.068930-118.445127", "+34.06893-118.445127", "+0+0", "-0-0", "+5.0-7.5"]);
    let client = format!("phone{}", dice.below(CLIENTS));
    Command::Iamat { client, location: location.to_owned(), time: draw_time(dice, now_ms) }
}

/// Lines that are no command; a server's words are none either.
const INVALID: [&str; 6] = [
    "IAMAT phone0 34.0-118.0 1520023934",
    "WHATSAT phone0 51 5",
    "  hello   there",
    "CLIENTAT 00000000000000000000000000000abc 0",
    "BYE now",
    "IAMAT phone1 +91+0 1520023934",
];

/// A time about now, or long ago, or one that was used before, or far ahead, in one of the ways to write it.
fn draw_time(dice: &Dice, now_ms: u64) -> String {
    let now = i128::from(EPOCH) + i128::from(now_ms) * 1_000_000;
    let second = 1_000_000_000;
    let about = i128::from(dice.below(2_000_000_000)) - second;
    let time = match dice.below(100) {
        0..50 => now + about,
        50..65 => now - i128::from(dice.below(1000)) * second,
        65..85 => i128::from(EPOCH) + i128::from(dice.below(4)) * second,
        85..90 => now + 300 * second + about,
        90..95 => now + 400 * second,
        _ => 2_208_988_800 * second + about,
    };
    let text = seconds(time);
    if dice.is(50) { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Cuts bytes into pieces, mostly none or few, now and then at every byte.
fn split(dice: &Dice, bytes: Vec<u8>, trace: &Trace) -> Vec<(Vec<u8>, u64)> {
    let size_max = match dice.below(10) {
        0 => 1,
        1..4 => 40,
        _ => usize::MAX,
    };
    if size_max == usize::MAX {
        return vec![(bytes, 0)];
    }
    trace.hit("a client split its commands");
    let mut pieces = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() && pieces.len() < 200 {
        let size = dice.between(1, size_max as u64).min(rest.len() as u64);
        let (piece, others) = rest.split_at(usize::try_from(size).unwrap_or(1));
        pieces.push((piece.to_vec(), if dice.is(30) { dice.below(20) } else { 0 }));
        rest = others;
    }
    pieces.push((rest.to_vec(), 0));
    pieces
}
