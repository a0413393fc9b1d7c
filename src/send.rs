//! `herd send`: says lines to a server and prints what it answers, byte for byte.

use crate::failure::{Failure, reason};
use crate::options::Send;
use crate::target::Target;
use crate::terminal;
use crate::topology::File;
use herd_core::fields::fields;
use herd_core::handshake::{REFUSED, Refusal};
use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, sleep_until};

/// As much as one read of standard input or of the socket may bring.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks of standard input that may wait for the socket.
const CHUNKS_WAITING: usize = 4;

/// How long a server that was told all may leave answers out. Places may take it some seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Sends the commands, or the lines of standard input, and prints the answers until the server has no more.
pub async fn run(file: impl Fn() -> Result<File, Failure>, send: Send) -> Result<(), Failure> {
    let target = Target::of(Some(&send.server), file)?;
    let (reader, writer) = target.connect().await?.into_split();
    let words = if send.commands.is_empty() { standard_input() } else { lines(send.commands) };
    let heard_at = Cell::new(Instant::now());
    let (mut hearing, mut saying) = (pin!(hear(reader, &heard_at)), pin!(say(writer, words)));
    let mut said = None;
    loop {
        tokio::select! {
            outcome = &mut saying, if said.is_none() => {
                said = Some(outcome);
                heard_at.set(Instant::now());
            }
            heard = &mut hearing => return conclude(&target, heard, said),
            () = silence(&heard_at), if said.is_some() => {
                let seconds = SILENCE_MAX.as_secs();
                return Err(Failure::Undone(format!("{target} said nothing for {seconds} s; see its log")));
            }
        }
    }
}

/// What ended the hearing.
#[derive(Debug)]
enum End {
    /// The server has no more to say, after these answers, or cannot be heard any more.
    Server(Answers, io::Result<()>),
    /// What it said cannot be printed: the reader may have left, which says nothing of the server.
    Reader(io::Error),
}

/// Why not all was said.
#[derive(Debug)]
enum Unsaid {
    /// Standard input cannot be read.
    Input(io::Error),
    /// The server cannot be told. Why is for it to say.
    Server,
}

/// Judges how a conversation ended, by what was heard and what was said.
fn conclude(target: &Target, heard: End, said: Option<Result<Commands, Unsaid>>) -> Result<(), Failure> {
    match (heard, said) {
        (End::Reader(error), _) => terminal::outcome(Err(error)),
        (_, Some(Err(Unsaid::Input(error)))) => {
            Err(Failure::Undone(format!("cannot read standard input: {}", reason(&error))))
        }
        (End::Server(answers, _), _) if Refusal::is_told_by(&answers.opening) => {
            Err(target.not_for_clients())
        }
        (End::Server(_, Err(error)), _) => {
            Err(Failure::Undone(format!("lost {target}: {}; see its log", reason(&error))))
        }
        (End::Server(answers, Ok(())), Some(Ok(commands))) => {
            let (count, expected) = (answers.whole(&commands), commands.count);
            if count >= expected && !answers.is_under_way {
                return Ok(());
            }
            Err(Failure::Undone(format!("{target} hung up after {count} of {expected} answers; see its log")))
        }
        (End::Server(_, Ok(())), _) => {
            Err(Failure::Undone(format!("{target} hung up before it was told all; see its log")))
        }
    }
}

/// Counts the commands in what is said: the lines that are not blank.
#[derive(Debug, Default)]
struct Commands {
    count: u64,
    /// How the line begins that has begun.
    line: Vec<u8>,
    /// True if the last command asks for places.
    is_last_whatsat: bool,
}

impl Commands {
    fn note(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            // What is behind blanks that fill all this is no command of anybody's.
            let room = BEGINNING_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if let Some(word) = fields(&self.line).next() {
            self.count += 1;
            self.is_last_whatsat = word == b"WHATSAT";
        }
        self.line.clear();
    }
}

/// So much of a line is looked at to tell what it is.
const BEGINNING_MAX: usize = 4096;

/// Counts the answers in what is heard: a line each, which JSON may follow that ends with an empty line.
#[derive(Debug, Default)]
struct Answers {
    /// How they begin, as far as a refusal is told by that.
    opening: Vec<u8>,
    /// Those whose line is whole.
    lines: u64,
    /// True from the beginning of JSON until the empty line.
    is_json: bool,
    /// True if a line has begun.
    is_under_way: bool,
    /// True if the last of them is an AT line, and no JSON has followed it.
    is_last_bare: bool,
}

impl Answers {
    fn note(&mut self, bytes: &[u8]) {
        let room = REFUSED.len() - self.opening.len();
        self.opening.extend_from_slice(&bytes[..bytes.len().min(room)]);
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let is_begin = !self.is_under_way;
            let (is_whole, is_empty) = (part.ends_with(b"\n"), is_begin && part == b"\n");
            let is_of_json = self.is_json || is_begin && part.starts_with(b"{");
            self.is_json = is_of_json && !is_empty;
            if is_of_json {
                self.is_last_bare = false;
            } else if !is_empty {
                if is_begin {
                    self.is_last_bare = part.starts_with(b"A");
                }
                self.lines += u64::from(is_whole);
            }
            self.is_under_way = !is_whole;
        }
    }

    /// How many are whole, as answers to these commands. They come in order, so only the last can be cut.
    fn whole(&self, commands: &Commands) -> u64 {
        let lacks_places = self.is_last_bare && commands.is_last_whatsat && self.lines >= commands.count;
        // Who begins with JSON is no server of ours.
        self.lines.saturating_sub(u64::from(self.is_json || lacks_places))
    }
}

/// Sends what comes, then says that no more will; tells which commands that was.
async fn say(
    mut writer: OwnedWriteHalf,
    mut words: Receiver<io::Result<Vec<u8>>>,
) -> Result<Commands, Unsaid> {
    let mut commands = Commands::default();
    while let Some(chunk) = words.recv().await {
        let chunk = chunk.map_err(Unsaid::Input)?;
        commands.note(&chunk);
        writer.write_all(&chunk).await.map_err(|_| Unsaid::Server)?;
    }
    writer.shutdown().await.map_err(|_| Unsaid::Server)?;
    commands.end_line();
    Ok(commands)
}

/// Waits until the server has said nothing for too long.
async fn silence(heard_at: &Cell<Instant>) {
    while heard_at.get().elapsed() < SILENCE_MAX {
        sleep_until(heard_at.get() + SILENCE_MAX).await;
    }
}

/// Prints what the server says until it has no more, or until that cannot be printed any more.
async fn hear(mut reader: OwnedReadHalf, heard_at: &Cell<Instant>) -> End {
    let (mut chunk, mut answers) = (vec![0; CHUNK_BYTES], Answers::default());
    loop {
        let length = match reader.read(&mut chunk).await {
            Ok(0) => return End::Server(answers, Ok(())),
            Ok(length) => length,
            Err(error) => return End::Server(answers, Err(error)),
        };
        answers.note(&chunk[..length]);
        if let Err(error) = terminal::write(&chunk[..length]) {
            return End::Reader(error);
        }
        // Only now: whoever reads this may have let it wait for long, and the server is not to be blamed for that.
        heard_at.set(Instant::now());
    }
}

/// Makes a line of each command; one that ends in a newline already is a line.
fn lines(commands: Vec<OsString>) -> Receiver<io::Result<Vec<u8>>> {
    let mut text = Vec::new();
    for command in commands {
        let line = command.into_encoded_bytes();
        text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(&line));
        text.push(b'\n');
    }
    let (sender, receiver) = mpsc::channel(1);
    // There is room for one, and the receiver is held here.
    let _ = sender.try_send(Ok(text));
    receiver
}

/// Reads standard input in a thread of its own: it cannot be cancelled, and must not be waited for at the end.
fn standard_input() -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(chunk) = next_chunk(&mut input) {
            if sender.blocking_send(chunk).is_err() {
                break;
            }
        }
    });
    receiver
}

fn next_chunk(input: &mut impl Read) -> Option<io::Result<Vec<u8>>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    match input.read(&mut chunk) {
        Ok(0) => None,
        Ok(length) => {
            chunk.truncate(length);
            Some(Ok(chunk))
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Some(Ok(Vec::new())),
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(commands: &[&str]) -> Vec<u8> {
        let commands = commands.iter().map(OsString::from).collect();
        lines(commands).try_recv().expect("one chunk").expect("no error")
    }

    #[test]
    fn each_command_is_a_line() {
        assert_eq!(said(&["IAMAT a", "WHATSAT a"]), b"IAMAT a\nWHATSAT a\n");
    }

    #[test]
    fn a_command_that_ends_its_line_is_not_ended_twice() {
        assert_eq!(said(&["IAMAT a\n", "b"]), b"IAMAT a\nb\n");
    }

    #[test]
    fn an_empty_command_is_a_blank_line() {
        assert_eq!(said(&["", "a", ""]), b"\na\n\n");
    }

    #[test]
    fn a_server_that_hangs_up_early_is_named() {
        let target = Target { name: Some("A".to_owned()), address: "h:1".to_owned(), is_stranger: false };
        let early = Failure::Undone("A at h:1 hung up before it was told all; see its log".to_owned());
        assert_eq!(conclude(&target, heard(&[]), None), Err(early));
        assert_eq!(conclude(&target, heard(&[]), Some(Ok(said_all(&[])))), Ok(()));
        let lost = End::Server(Answers::default(), Err(ErrorKind::ConnectionReset.into()));
        let lost = conclude(&target, lost, None);
        assert!(lost.expect_err("a failure").to_string().starts_with("lost A at h:1: connection reset"));
    }

    /// What was heard from a server that has no more to say, in these pieces.
    fn heard(pieces: &[&str]) -> End {
        let mut answers = Answers::default();
        for piece in pieces {
            answers.note(piece.as_bytes());
        }
        End::Server(answers, Ok(()))
    }

    /// Its words were printed, and the exit code was 0.
    #[test]
    fn a_refusal_tells_an_address_for_servers_however_the_conversation_ends() {
        let target = Target { name: None, address: "h:1".to_owned(), is_stranger: false };
        let refused = || heard(&["REF", "USED this address is", " for servers of the herd\n"]);
        let End::Server(answers, _) = refused() else { panic!("it is the server's end") };
        let reset = End::Server(answers, Err(ErrorKind::ConnectionReset.into()));
        for (end, said) in [(refused(), Some(Ok(said_all(&["x"])))), (refused(), None), (reset, None)] {
            assert_eq!(conclude(&target, end, said), Err(target.not_for_clients()));
        }
        for answer in ["? REFUSED x\n", "REFUSE\n"] {
            assert_eq!(conclude(&target, heard(&[answer]), Some(Ok(said_all(&["x"])))), Ok(()));
        }
    }

    /// What was said, in these pieces.
    fn said_all(pieces: &[&str]) -> Commands {
        let mut commands = Commands::default();
        for piece in pieces {
            commands.note(piece.as_bytes());
        }
        commands.end_line();
        commands
    }

    #[test]
    fn blank_lines_are_no_commands_and_the_end_ends_the_last() {
        let pieces = ["", "a", "b \n \t\r\n", "\n \nWHAT", "SAT c\n ", " "];
        for (count, expected, is_whatsat) in
            [(1, 0, false), (2, 1, false), (3, 1, false), (4, 2, false), (6, 2, true)]
        {
            let said = said_all(&pieces[..count]);
            assert_eq!((said.count, said.is_last_whatsat), (expected, is_whatsat), "{count}");
        }
        let long = "x".repeat(BEGINNING_MAX * 2);
        assert_eq!(said_all(&[&long, &long, "\n", &long]).count, 2);
    }

    /// A server that was full, or stopped, hung up after some of the answers, and all seemed well.
    #[test]
    fn answers_that_are_missing_or_cut_are_missed() {
        let target = Target { name: None, address: "h:1".to_owned(), is_stranger: false };
        let said = || Some(Ok(said_all(&["WHATSAT k 1 1\nx\nWHATSAT k 1 1"])));
        let pieces = ["AT A +1 k +1-2 3\n{\"a\":\n", "[]}\n", "\n? {\nA", "T A +1 k +1-2 3\n", "{}", "\n\n"];
        assert_eq!(conclude(&target, heard(&pieces), said()), Ok(()));
        for (count_of, count) in [(5, 2), (4, 2), (3, 2), (2, 0), (1, 0), (0, 0)] {
            let failure = conclude(&target, heard(&pieces[..count_of]), said()).expect_err("a failure");
            assert_eq!(failure.to_string(), format!("h:1 hung up after {count} of 3 answers; see its log"));
        }
        let failure = conclude(&target, heard(&["{"]), said()).expect_err("a failure");
        assert_eq!(failure.to_string(), "h:1 hung up after 0 of 3 answers; see its log");
        let told = Some(Ok(said_all(&["IAMAT k +1-2 3"])));
        assert_eq!(conclude(&target, heard(&["AT A +1 k +1-2 3\n"]), told), Ok(()), "no places follow this");
    }

    #[test]
    fn a_server_is_not_blamed_for_input_that_cannot_be_read() {
        let target = Target { name: Some("A".to_owned()), address: "h:1".to_owned(), is_stranger: false };
        let said = Some(Err(Unsaid::Input(ErrorKind::IsADirectory.into())));
        let failure = conclude(&target, heard(&[]), said).expect_err("a failure");
        assert_eq!(failure.to_string(), "cannot read standard input: is a directory");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_given_up_that_has_said_nothing_for_too_long_and_not_before() {
        let (began, heard_at) = (Instant::now(), Cell::new(Instant::now()));
        let later = SILENCE_MAX / 2;
        let hearing = async {
            sleep_until(began + later).await;
            heard_at.set(Instant::now());
        };
        tokio::join!(silence(&heard_at), hearing);
        assert_eq!(began.elapsed().as_secs(), (later + SILENCE_MAX).as_secs());
    }

    #[test]
    fn a_server_is_not_blamed_for_those_who_read_what_it_says() {
        let target = Target { name: Some("A".to_owned()), address: "h:1".to_owned(), is_stranger: false };
        assert_eq!(conclude(&target, End::Reader(ErrorKind::BrokenPipe.into()), None), Ok(()));
        let full = conclude(&target, End::Reader(ErrorKind::StorageFull.into()), None);
        let expected = "cannot write to standard output: no storage space";
        assert_eq!(full.expect_err("a failure").to_string(), expected);
    }
}
