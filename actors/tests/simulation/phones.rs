//! The clients: what they say to servers, how they say it, and whether they are answered as they must be.

use crate::dice::Dice;
use crate::herd::{CLIENTS_PORT, EPOCH, PLACES};
use crate::records::{Record, seconds};
use crate::trace::Trace;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use turmoil::net::TcpStream;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

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
    /// Nothing comes back.
    Blank,
}

impl Command {
    fn line(&self) -> String {
        match self {
            Self::Iamat { client, location, time } => format!("IAMAT {client} {location} {time}"),
            Self::Whatsat { client } => format!("WHATSAT {client} 10 5"),
            Self::Invalid { line } => line.clone(),
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
    /// True if the client is gone before it has its answers.
    breaks_off: bool,
    trace: Trace,
    /// How long an answer may take.
    patience: Duration,
}

/// How many clients there are.
const CLIENTS: u64 = 12;

impl Conversation {
    /// Draws a conversation that begins at a time, in milliseconds since the simulation began.
    pub fn draw(
        dice: &Dice,
        server: (usize, &'static str),
        now_ms: u64,
        search_ms: u64,
        trace: &Trace,
    ) -> Self {
        let count = if dice.is(10) { dice.between(20, 60) } else { dice.between(1, 6) };
        let mut commands: Vec<Command> = (0..count).map(|_| draw_command(dice, now_ms)).collect();
        if dice.is(20) {
            commands.extend(commands.clone()); // All of it once more.
            trace.hit("a client repeated itself");
        }
        let end = if dice.is(30) { "\r\n" } else { "\n" };
        let mut bytes: Vec<u8> =
            commands.iter().flat_map(|command| (command.line() + end).into_bytes()).collect();
        if dice.is(20) {
            bytes.truncate(bytes.len() - end.len()); // The end of the input ends the last line.
            trace.hit("a client left out the last newline");
        }
        let pieces = split(dice, bytes, trace);
        let slack = pieces.iter().map(|(_, pause_ms)| pause_ms).sum::<u64>() + SLACK_MS;
        let patience = Duration::from_millis(search_ms + slack);
        let breaks_off = dice.is(10);
        Self {
            server: server.0,
            name: server.1,
            commands,
            pieces,
            breaks_off,
            trace: trace.clone(),
            patience,
        }
    }

    /// Holds the conversation, and notes what is wrong with the answers.
    pub async fn hold(self) {
        let incarnation = self.trace.notes().servers[self.server].incarnation;
        let Ok(Ok(socket)) = timeout(self.patience, TcpStream::connect((self.name, CLIENTS_PORT))).await
        else {
            return self.trace.hit("a client found nobody");
        };
        for command in &self.commands {
            self.note(command);
        }
        let (from, to) = socket.into_split();
        if self.breaks_off {
            let _ = self.say(to).await; // It is gone whatever became of this.
            return self.trace.hit("a client broke off");
        }
        let (_, heard) = tokio::join!(self.say(to), self.hear(from, incarnation));
        if let Err(error) = heard {
            let server = self.trace.notes().servers[self.server].clone();
            let is_excused = !server.is_up || server.is_leaving || server.incarnation != incarnation;
            self.trace.ensure(is_excused, || format!("{} closed: {error}", self.name));
            self.trace.hit("a client lost its server");
        }
    }

    /// Notes what is about to be said, as it may be heard even if it is never answered.
    fn note(&self, command: &Command) {
        if let Command::Iamat { client, location, time } = command {
            self.trace.notes().said.insert(format!("{client} {location} {time} {}", self.name));
        }
    }

    async fn say(&self, mut to: OwnedWriteHalf) -> io::Result<()> {
        for (piece, pause_ms) in &self.pieces {
            to.write_all(piece).await?;
            sleep(Duration::from_millis(*pause_ms)).await;
        }
        to.shutdown().await
    }

    /// Hears one answer to each command, in order, and then the end.
    async fn hear(&self, from: OwnedReadHalf, incarnation: u32) -> io::Result<()> {
        let mut answers = Answers { from: BufReader::new(from), patience: self.patience };
        let mut newest = BTreeMap::new();
        for command in &self.commands {
            let began = Instant::now();
            match command {
                Command::Blank => continue,
                Command::Invalid { line } => self.expect(&answers.line().await?, &format!("? {line}")),
                Command::Iamat { client, location, time } => {
                    let answer = answers.line().await?;
                    self.check_receipt(&answer, &[client, location, time], incarnation, &mut newest);
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
            self.trace
                .ensure(took <= self.patience, || format!("{} took {took:?} for {command:?}", self.name));
        }
        let rest = answers.rest().await?;
        self.expect(&rest, "");
        Ok(())
    }

    fn expect(&self, answer: &str, expected: &str) {
        self.trace
            .ensure(answer == expected, || format!("{} answered {answer:?}, not {expected:?}", self.name));
    }

    /// Checks the answer to an IAMAT, which acknowledges a record.
    fn check_receipt(
        &self,
        answer: &str,
        said: &[&str; 3],
        incarnation: u32,
        newest: &mut BTreeMap<String, Record>,
    ) {
        let record = Record::of_answer(answer).filter(|record| {
            record.server == self.name && [&*record.client, &record.location, &record.time] == *said
        });
        let Some(record) = record else {
            return self.trace.broke(format!("{} answered {answer:?} to IAMAT {said:?}", self.name));
        };
        if record.is_from_the_future() {
            self.trace.hit("a client lived in the future");
        }
        let best = newest.entry(record.client.clone()).or_insert_with(|| record.clone());
        if record.cmp_age(best).is_gt() {
            *best = record.clone();
        }
        self.trace.notes().acknowledged.push((self.server, incarnation, record));
    }

    /// Checks the first line of the answer to a WHATSAT; true if places follow.
    fn check_whereabouts(&self, command: &Command, answer: &str, newest: Option<&Record>) -> bool {
        if newest.is_none() && answer == format!("? {}", command.line()) {
            self.trace.hit("a client was not found");
            return false;
        }
        let Some(record) = Record::of_answer(answer) else {
            self.trace.broke(format!("{} answered {answer:?} to {command:?}", self.name));
            return false;
        };
        let is_said = self.trace.notes().said.contains(&record.saying());
        self.trace.ensure(is_said, || format!("{} invented {record:?}", self.name));
        let is_fresh = newest.is_none_or(|newest| record.cmp_age(newest).is_ge());
        self.trace.ensure(is_fresh, || format!("{} answered {record:?} after {newest:?}", self.name));
        self.trace.hit(if record.server == self.name {
            "a client was known"
        } else {
            "a client of another server was known"
        });
        true
    }
}

/// How long an answer may take that has to wait for nothing: some steps of the simulation.
const SLACK_MS: u64 = 200;

/// What a server answers, line by line.
struct Answers {
    from: BufReader<OwnedReadHalf>,
    patience: Duration,
}

impl Answers {
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let length = timeout(self.patience * 2, self.from.read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        Ok(line.strip_suffix('\n').unwrap_or(&line).to_owned())
    }

    async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        timeout(self.patience * 2, self.from.read_to_string(&mut rest)).await??;
        Ok(rest)
    }
}

fn draw_command(dice: &Dice, now_ms: u64) -> Command {
    let client = format!("phone{}", dice.below(CLIENTS));
    match dice.below(100) {
        0..70 => {
            let location =
                *dice.pick(&["+34.068930-118.445127", "+34.06893-118.445127", "+0+0", "-0-0", "+5.0-7.5"]);
            Command::Iamat { client, location: location.to_owned(), time: draw_time(dice, now_ms) }
        }
        70..84 => Command::Whatsat { client },
        84..90 => Command::Whatsat { client: format!("nobody{}", dice.below(3)) },
        90..97 => Command::Invalid { line: (*dice.pick(&INVALID)).to_owned() },
        _ => Command::Blank,
    }
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
