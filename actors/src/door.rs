//! The handshake over a socket: calling at a server's door, and opening when somebody calls.
//!
//! The rules are in [`herd_core::handshake`]; here are the lines and the time limits.

use crate::net::{Dice, Network, Seams, Socket};
use herd_core::handshake::{Acceptor, Dialler, Hello, LINE_MAX, Purpose, Refusal, Secret};
use herd_core::limits::Limits;
use herd_core::status::Report;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// A connection after a handshake that went well.
pub struct Shaken {
    /// The connection.
    pub socket: Socket,
    /// Bytes that came right behind the handshake.
    pub rest: Vec<u8>,
}

impl fmt::Debug for Shaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shaken {{ rest: {} bytes }}", self.rest.len())
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoLink {
    /// Nobody answered the call.
    Unreachable(io::Error),
    /// The connection ended or fell silent during the handshake.
    Broken(io::Error),
    /// One side refused.
    Refused(Refusal),
}

impl fmt::Display for NoLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "unreachable ({error})"),
            Self::Broken(error) => write!(f, "broken off in the handshake ({error})"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl From<Refusal> for NoLink {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Connects to a server and shakes hands.
pub async fn call(
    network: &dyn Network,
    address: &str,
    hello: &Hello,
    secret: Option<Secret>,
    dice: &Dice,
    limits: &Limits,
) -> Result<Shaken, NoLink> {
    let connecting = in_time(limits.connect_ms, network.connect(address));
    let socket = connecting.await.map_err(NoLink::Unreachable)?;
    let mut door = Door::new(socket);
    let (dialler, line) = Dialler::new(hello, secret, dice());
    let shaking = async {
        door.say(&line).await?;
        let answer = door.hear().await?;
        let proof = door.or_refuse(dialler.challenged(&answer)).await?;
        door.say(&proof).await?;
        let welcome = door.hear().await?;
        door.or_refuse(dialler.welcomed(&welcome)).await
    };
    within(limits.handshake_ms, shaking).await?;
    Ok(door.shaken())
}

/// Opens to a caller: says who it is, once it has proved what it must and `admit` has nothing against it.
pub async fn greet(
    socket: Socket,
    secret: Option<Secret>,
    dice: &Dice,
    limits: &Limits,
    admit: impl Fn(&Hello) -> Result<(), Refusal>,
) -> Result<(Hello, Shaken), NoLink> {
    let mut door = Door::new(socket);
    let shaking = async {
        let line = door.hear().await?;
        let (acceptor, answer) = door.or_refuse(Acceptor::greeted(&line, secret, dice())).await?;
        door.or_refuse(admit(&acceptor.hello)).await?;
        door.say(&answer).await?;
        let proof = door.hear().await?;
        let welcome = door.or_refuse(acceptor.proved(&proof)).await?;
        door.say(welcome).await?;
        Ok(acceptor.hello)
    };
    let hello = within(limits.handshake_ms, shaking).await?;
    Ok((hello, door.shaken()))
}

/// The largest report that is read, in bytes.
const REPORT_MAX: u64 = 1024 * 1024;

/// Asks the server at a peer address how it is.
pub async fn ask_status(
    seams: &Seams,
    address: &str,
    name: &str,
    secret: Option<Secret>,
    limits: &Limits,
) -> Result<Report, NoLink> {
    let hello = Hello { purpose: Purpose::Status, from: "-".to_owned(), to: name.to_owned() };
    let Shaken { socket, rest: mut report } =
        call(&*seams.network, address, &hello, secret, &seams.dice, limits).await?;
    let mut socket = socket.take(REPORT_MAX);
    in_time(limits.handshake_ms, socket.read_to_end(&mut report)).await.map_err(NoLink::Broken)?;
    Report::from_line(&report).ok_or_else(|| NoLink::Broken(io::Error::other("the report makes no sense")))
}

/// Tells a caller who asked how this server is, and hangs up.
pub async fn tell_status(shaken: Shaken, report: &Report, limits: &Limits) -> io::Result<()> {
    let mut socket = shaken.socket;
    let line = report.to_line();
    let telling = async {
        socket.write_all(line.as_bytes()).await?;
        socket.shutdown().await
    };
    in_time(limits.handshake_ms, telling).await
}

async fn within<T>(limit_ms: u64, shaking: impl Future<Output = Result<T, NoLink>>) -> Result<T, NoLink> {
    let late = || NoLink::Broken(io::ErrorKind::TimedOut.into());
    timeout(Duration::from_millis(limit_ms), shaking).await.unwrap_or_else(|_| Err(late()))
}

async fn in_time<T>(limit_ms: u64, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || Err(io::ErrorKind::TimedOut.into());
    timeout(Duration::from_millis(limit_ms), step).await.unwrap_or_else(|_| late())
}

/// A connection on which lines are said and heard in turn.
struct Door {
    socket: Socket,
    heard: Vec<u8>,
}

impl Door {
    fn new(socket: Socket) -> Self {
        Self { socket, heard: Vec::new() }
    }

    async fn say(&mut self, line: &str) -> Result<(), NoLink> {
        self.socket.write_all(line.as_bytes()).await.map_err(NoLink::Broken)
    }

    /// The next line, without its end. What comes behind it is kept.
    async fn hear(&mut self) -> Result<String, NoLink> {
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.heard[..end]).trim_end().to_owned();
                self.heard.drain(..=end);
                return Ok(line);
            }
            if self.heard.len() > LINE_MAX {
                return self.or_refuse(Err(Refusal::new("a line of the handshake is too long"))).await;
            }
            match self.socket.read_buf(&mut self.heard).await {
                Ok(0) => return Err(NoLink::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(NoLink::Broken(error)),
            }
        }
    }

    /// Goes on with what a step came to; a refusal is told to the other side first.
    async fn or_refuse<T>(&mut self, step: Result<T, Refusal>) -> Result<T, NoLink> {
        match step {
            Ok(next) => Ok(next),
            Err(refusal) => {
                if !refusal.is_theirs {
                    // The refusal stands, whether or not the other side gets to hear it.
                    let _ = self.say(&refusal.line()).await;
                    let _ = self.socket.shutdown().await;
                }
                Err(refusal.into())
            }
        }
    }

    fn shaken(self) -> Shaken {
        Shaken { socket: self.socket, rest: self.heard }
    }
}
