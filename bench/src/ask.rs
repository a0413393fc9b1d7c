//! One client with one question at a time: for markers, samples and the sight of an update far away.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a herd may take until all its servers know an update.
const KNOWN_MAX: Duration = Duration::from_secs(120);

/// How long a single answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection for questions.
pub struct Asker {
    socket: BufReader<TcpStream>,
}

impl Asker {
    /// Connects to a server's client address.
    pub fn connect(address: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { socket: BufReader::new(socket) })
    }

    /// Sends bytes without waiting for anything.
    pub fn say(&mut self, line: &[u8]) -> io::Result<()> {
        self.socket.get_mut().write_all(line)
    }

    /// Reads one line of an answer.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.socket.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Reports a location and answers with the AT line.
    pub fn report(&mut self, client: &str, time: &str) -> io::Result<String> {
        self.say(format!("IAMAT {client} +34.068930-118.445127 {time}\n").as_bytes())?;
        let answer = self.line()?;
        if answer.starts_with("AT ") && answer.ends_with(&format!(" {client} +34.068930-118.445127 {time}\n"))
        {
            return Ok(answer);
        }
        Err(io::Error::other(format!("wrong answer {answer:?} to an IAMAT of {client}")))
    }

    /// Asks for a client: its AT line, or `None` where the server does not know it.
    pub fn seek(&mut self, client: &str) -> io::Result<Option<String>> {
        self.say(format!("WHATSAT {client} 0 0\n").as_bytes())?;
        let answer = self.line()?;
        if answer.starts_with("? ") {
            return Ok(None);
        }
        while self.line()? != "\n" {}
        Ok(Some(answer))
    }
}

/// A time for a report by hand: now, with nine decimals.
pub fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// Reports a marker to the first server and waits until all know it: what came before it has been flooded too.
pub fn mark(addresses: &[&str]) -> io::Result<()> {
    let (client, time) = (format!("marker.{}", now()), now());
    let mut askers =
        addresses.iter().map(|address| Asker::connect(address)).collect::<io::Result<Vec<Asker>>>()?;
    let Some(first) = askers.first_mut() else { return Ok(()) };
    first.report(&client, &time)?;
    let deadline = Instant::now() + KNOWN_MAX;
    for (asker, address) in askers.iter_mut().zip(addresses) {
        while !asker.seek(&client)?.is_some_and(|line| line.contains(&time)) {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{address} never learned {client}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// Checks that all servers give the same line for each of some clients.
pub fn agree(addresses: &[&str], clients: impl Iterator<Item = String>) -> io::Result<()> {
    let mut askers =
        addresses.iter().map(|address| Asker::connect(address)).collect::<io::Result<Vec<Asker>>>()?;
    for client in clients {
        let answers = askers
            .iter_mut()
            .map(|asker| asker.seek(&client))
            .collect::<io::Result<Vec<Option<String>>>>()?;
        if answers.iter().any(|answer| *answer != answers[0]) {
            return Err(io::Error::other(format!("the servers do not agree on {client}: {answers:?}")));
        }
    }
    Ok(())
}
