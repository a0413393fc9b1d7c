//! A client of one server: says bytes, hears bytes, and gives up after a while.

use super::canary::Canaries;
use memchr::memmem;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

/// How long a server may take for an answer before a test gives up: far more than the half second of a search.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to the client address of a server.
pub struct Client {
    stream: TcpStream,
    /// Bytes that came and were not asked for yet.
    heard: Vec<u8>,
    /// The first bytes that came, to be searched for secrets at the end.
    first: Vec<u8>,
}

/// How much is searched of what a server answers.
const SEARCHED_MAX: usize = 256 * 1024;

impl Drop for Client {
    fn drop(&mut self) {
        if !thread::panicking() {
            Canaries::new().expect_none_in("an answer", &self.first);
        }
    }
}

impl Client {
    pub fn connect(address: &str) -> Result<Self, String> {
        let stream =
            TcpStream::connect(address).map_err(|error| format!("cannot connect to {address}: {error}"))?;
        stream.set_nodelay(true).expect("a socket without delay");
        stream.set_read_timeout(Some(ANSWER)).expect("a read time limit");
        stream.set_write_timeout(Some(ANSWER)).expect("a write time limit");
        Ok(Client { stream, heard: Vec::new(), first: Vec::new() })
    }

    /// Writes all bytes in one go, which is one segment when they are few.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), String> {
        self.stream.write_all(bytes.as_ref()).map_err(|error| format!("cannot write: {error}"))
    }

    /// Writes nothing but `bytes`, again and again, until the server takes no more for `patience` or has taken
    /// `most` bytes. Returns how many it took.
    pub fn say_until_refused(&mut self, bytes: &[u8], patience: Duration, most: usize) -> usize {
        self.stream.set_write_timeout(Some(patience)).expect("a write time limit");
        let mut taken = 0;
        while taken < most {
            match self.stream.write(&bytes[taken % bytes.len()..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        taken
    }

    /// Says that nothing more will be said, and goes on listening.
    pub fn end(&mut self) -> Result<(), String> {
        self.stream.shutdown(Shutdown::Write).map_err(|error| format!("cannot half-close: {error}"))
    }

    /// Hears exactly `count` bytes.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.heard.len() < count {
            self.more()?;
        }
        Ok(self.heard.drain(..count).collect())
    }

    /// Hears all up to and with the first `end`.
    pub fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, String> {
        let mut looked = 0;
        loop {
            if let Some(at) = memmem::find(&self.heard[looked..], end) {
                return Ok(self.heard.drain(..looked + at + end.len()).collect());
            }
            looked = self.heard.len().saturating_sub(end.len() - 1);
            self.more()?;
        }
    }

    /// Hears everything until the server closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, String> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.heard))
    }

    /// Hears one line, without its newline.
    pub fn line(&mut self) -> String {
        let mut line = self.until(b"\n").unwrap_or_else(|problem| panic!("no line: {problem}"));
        line.pop();
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Says one command and hears the first line of its answer.
    pub fn ask(&mut self, command: &str) -> String {
        self.say(format!("{command}\n")).unwrap_or_else(|problem| panic!("{command:?}: {problem}"));
        self.line()
    }

    /// Tells where a client is, and returns the AT line of the answer.
    pub fn tell(&mut self, client: &str, location: &str, time: &str) -> String {
        let line = self.ask(&format!("IAMAT {client} {location} {time}"));
        assert!(line.starts_with("AT "), "an update is answered with {line:?}");
        line
    }

    /// Asks where a client is, and returns the AT line, or nothing where the herd does not know the client.
    pub fn find(&mut self, client: &str) -> Option<String> {
        let line = self.ask(&format!("WHATSAT {client} 10 1"));
        if line.starts_with("? ") {
            return None;
        }
        assert!(line.starts_with("AT "), "a question is answered with {line:?}");
        let places = self.until(b"\n\n").unwrap_or_else(|problem| panic!("no places: {problem}"));
        serde_json::from_slice::<serde_json::Value>(&places).expect("places are JSON");
        Some(line)
    }

    fn more(&mut self) -> Result<(), String> {
        match self.fill()? {
            0 => Err(format!("the server closed after {}", quoted(&self.heard))),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> Result<usize, String> {
        let mut room = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(count) => {
                    self.heard.extend_from_slice(&room[..count]);
                    let searched = count.min(SEARCHED_MAX - self.first.len());
                    self.first.extend_from_slice(&room[..searched]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("heard only {}: {error}", quoted(&self.heard))),
            }
        }
    }
}

/// Bytes as a person can read them, and no more of them than a person wants to.
fn quoted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(200)];
    let more = if shown.len() < bytes.len() { format!(" … {} bytes", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", shown.escape_ascii())
}
