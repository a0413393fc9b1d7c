//! The handshake over a socket: calling at a server's door, and opening when somebody calls.
//!
//! The rules are in [`herd_core::handshake`]; here are the lines and the time limits. With TLS the lines go through
//! it, and a certificate must be that of the server whose name is said.

use crate::net::{Dice, Network, Seams, Socket, reach, unread};
use crate::tls::{self, Guest, Tls};
use crate::waiting::{drain, in_time};
use herd_core::frame::Vocabulary;
use herd_core::handshake::{Acceptor, Dialler, Hello, LINE_MAX, NOBODY, Purpose, Refusal, Secret};
use herd_core::limits::Limits;
use herd_core::status::Report;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::error::Elapsed;

/// What a server shows at a door, its own or another's, and wants to be shown.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What the servers of the herd share.
    pub secret: Option<Secret>,
    /// Its certificate and those that it trusts.
    pub tls: Option<Tls>,
}

/// A connection after a handshake that went well.
pub struct Shaken {
    /// The connection.
    pub socket: Socket,
    /// Bytes that came right behind the handshake.
    pub rest: Vec<u8>,
    /// What the other side may be told.
    pub vocabulary: Vocabulary,
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

impl From<Elapsed> for NoLink {
    fn from(late: Elapsed) -> Self {
        Self::Broken(late.into())
    }
}

/// Connects to a server and shakes hands.
pub async fn call(
    network: &dyn Network,
    address: &str,
    hello: &Hello,
    credentials: &Credentials,
    dice: &Dice,
    limits: &Limits,
) -> Result<Shaken, NoLink> {
    let socket = reach(network, address, limits.connect_ms).await.map_err(NoLink::Unreachable)?;
    let mut door = Door::new(socket);
    let (dialler, line) = Dialler::new(hello, credentials.secret.clone(), dice());
    let shaking = async {
        if let Some(tls) = &credentials.tls {
            door.call_in_private(tls, &hello.to).await?;
        }
        door.say(&line).await?;
        let answer = door.hear().await?;
        let (proof, vocabulary) = door.or_refuse(dialler.challenged(&answer)).await?;
        door.say(&proof).await?;
        let welcome = door.hear().await?;
        door.or_refuse(dialler.welcomed(&welcome)).await?;
        Ok(vocabulary)
    };
    in_time(limits.handshake_ms, shaking).await.map(|vocabulary| door.shaken(vocabulary))
}

/// Opens to a caller: says who it is, once it has proved what it must and `admit` has nothing against it. Last of all
/// `seat` is asked, which may set aside for the caller what no stranger is to take.
pub async fn greet(
    socket: Socket,
    credentials: &Credentials,
    dice: &Dice,
    limits: &Limits,
    admit: impl FnOnce(&Hello) -> Result<(), Refusal>,
    seat: impl FnOnce(&Hello) -> Result<(), Refusal>,
) -> Result<(Hello, Shaken), NoLink> {
    let mut door = Door::new(socket);
    let shaking = async {
        let guest = door.open_in_private(credentials.tls.as_ref()).await?;
        let line = door.hear().await?;
        let greeted = Acceptor::greeted(&line, credentials.secret.clone(), dice());
        let (acceptor, answer) = door.or_refuse(greeted).await?;
        door.or_refuse(check_guest(guest.as_ref(), &acceptor.hello)).await?;
        door.or_refuse(admit(&acceptor.hello)).await?;
        door.say(&answer).await?;
        let proof = door.hear().await?;
        let welcome = door.or_refuse(acceptor.proved(&proof)).await?;
        door.or_refuse(seat(&acceptor.hello)).await?;
        door.say(welcome).await?;
        Ok(acceptor)
    };
    match in_time(limits.handshake_ms, shaking).await {
        Ok(Acceptor { hello, vocabulary, .. }) => Ok((hello, door.shaken(vocabulary))),
        Err(failure) => {
            drain(&mut door.socket, LINGER, LINGER).await;
            Err(failure)
        }
    }
}

/// Whether a caller shows the certificate of the server that it says it is. One that only asks how a server is need be none.
fn check_guest(guest: Option<&Guest>, hello: &Hello) -> Result<(), Refusal> {
    match guest {
        Some(guest) if hello.purpose != Purpose::Status && !guest.is(&hello.from) => {
            Err(Refusal::new(format!("the certificate is not that of {}", hello.from)))
        }
        _ => Ok(()),
    }
}

/// The largest report that is read, in bytes.
const REPORT_MAX: u64 = 1024 * 1024;

/// Asks the server at a peer address how it is.
pub async fn ask_status(
    seams: &Seams,
    address: &str,
    name: &str,
    credentials: &Credentials,
    limits: &Limits,
) -> Result<Report, NoLink> {
    let hello = Hello { purpose: Purpose::Status, from: NOBODY.to_owned(), to: name.to_owned() };
    let Shaken { socket, rest: mut report, .. } =
        call(&*seams.network, address, &hello, credentials, &seams.dice, limits).await?;
    let mut socket = socket.take(REPORT_MAX);
    in_time(limits.handshake_ms, socket.read_to_end(&mut report)).await.map_err(NoLink::Broken)?;
    if !report.ends_with(b"\n") {
        return Err(NoLink::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
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

/// How long a caller that is sent away has to read why.
const LINGER: Duration = Duration::from_millis(250);

/// What stands in for a connection while TLS has it.
fn nothing() -> Socket {
    Box::new(tokio::io::empty())
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

    /// Goes on under TLS with the server of a name.
    async fn call_in_private(&mut self, tls: &Tls, name: &str) -> Result<(), NoLink> {
        let bare = std::mem::replace(&mut self.socket, nothing());
        self.socket = tls.connect(bare, name).await.map_err(NoLink::Broken)?;
        Ok(())
    }

    /// Goes on under TLS, if there is any, with whoever has called. The first byte tells whether a caller wants that;
    /// one that is mistaken is told so in words that it reads.
    async fn open_in_private(&mut self, tls: Option<&Tls>) -> Result<Option<Guest>, NoLink> {
        self.fill().await?;
        match (tls, self.heard.first() == Some(&tls::FIRST_BYTE)) {
            (None, false) => Ok(None),
            (Some(tls), true) => self.turn_private(tls).await.map(Some),
            (Some(_), false) => {
                self.or_refuse(Err(Refusal::new("TLS is spoken here: give --peer-tls"))).await
            }
            (None, true) => {
                let mistake = "no TLS is spoken here: give --peer-tls to both or to neither";
                self.or_refuse(Err(Refusal::new(mistake))).await
            }
        }
    }

    async fn turn_private(&mut self, tls: &Tls) -> Result<Guest, NoLink> {
        let bare = std::mem::replace(&mut self.socket, nothing());
        match tls.accept(unread(std::mem::take(&mut self.heard), bare)).await {
            Ok((socket, guest)) => {
                self.socket = socket;
                Ok(guest)
            }
            Err((error, bare)) => {
                self.socket = bare;
                let _ = self.socket.shutdown().await; // The other side may have hung up before.
                Err(NoLink::Broken(error))
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), NoLink> {
        self.socket.write_all(line.as_bytes()).await.map_err(NoLink::Broken)?;
        self.socket.flush().await.map_err(NoLink::Broken)
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
            self.fill().await?;
        }
    }

    /// Waits for more bytes.
    async fn fill(&mut self) -> Result<(), NoLink> {
        match self.socket.read_buf(&mut self.heard).await {
            Ok(0) => Err(NoLink::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(NoLink::Broken(error)),
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

    fn shaken(self, vocabulary: Vocabulary) -> Shaken {
        Shaken { socket: self.socket, rest: self.heard, vocabulary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Switchboard, counting, seams};
    use tokio::io::DuplexStream;

    fn secret(text: &str) -> Credentials {
        Credentials { secret: Secret::new(text.as_bytes()), tls: None }
    }

    fn hello() -> Hello {
        Hello { purpose: Purpose::Link, from: "Hands".into(), to: "Goloman".into() }
    }

    /// What caller and host come to.
    async fn shake(
        caller: &str,
        host: &str,
        admit: impl FnOnce(&Hello) -> Result<(), Refusal>,
    ) -> (Result<Shaken, NoLink>, Result<(Hello, Shaken), NoLink>) {
        let (network, mut calls) = Switchboard::new(true, 1 << 16);
        let (dice, limits, hello) = (counting(), Limits::default(), hello());
        let (caller, host) = (secret(caller), secret(host));
        let calling = call(&network, "there:1", &hello, &caller, &dice, &limits);
        let opening = async {
            let socket = Box::new(calls.recv().await.unwrap());
            greet(socket, &host, &dice, &limits, admit, |_| Ok(())).await
        };
        tokio::join!(calling, opening)
    }

    /// A host with a caller that the test plays.
    async fn opened_to(said: &[u8]) -> (Result<(Hello, Shaken), NoLink>, String) {
        let (mut caller, socket): (DuplexStream, _) = tokio::io::duplex(1 << 16);
        caller.write_all(said).await.unwrap();
        let opened = greet(
            Box::new(socket),
            &Credentials::default(),
            &counting(),
            &Limits::default(),
            |_| Ok(()),
            |_| Ok(()),
        )
        .await;
        let mut heard = String::new();
        if opened.is_err() {
            caller.read_to_string(&mut heard).await.unwrap();
        }
        (opened, heard)
    }

    #[actix::test]
    async fn caller_and_host_with_one_secret_have_a_connection() {
        let (caller, host) = shake("cucumber", "cucumber", |_| Ok(())).await;
        let (mut caller, (heard, mut host)) = (caller.unwrap(), host.unwrap());
        assert_eq!(heard, hello());
        caller.socket.write_all(b"PING\n").await.unwrap();
        let mut line = [0; 5];
        host.socket.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"PING\n");
    }

    #[actix::test]
    async fn both_sides_know_why_there_is_no_link() {
        let (caller, host) = shake("a", "b", |_| Ok(())).await;
        assert!(caller.unwrap_err().to_string().contains("refused here: \"the secret is wrong"));
        assert!(host.unwrap_err().to_string().contains("refused there: \"the secret is wrong"));
        let (caller, host) = shake("", "", |_| Err(Refusal::new("we are full"))).await;
        assert!(caller.unwrap_err().to_string().contains("refused there: \"we are full"));
        assert!(host.unwrap_err().to_string().contains("refused here: \"we are full"));
    }

    #[actix::test]
    async fn nobody_at_the_address_is_unreachable() {
        let (network, _calls) = Switchboard::new(false, 1);
        let failure = call(&network, "there:1", &hello(), &secret(""), &counting(), &Limits::default()).await;
        assert!(matches!(failure.unwrap_err(), NoLink::Unreachable(_)));
    }

    #[actix::test]
    async fn a_caller_that_says_nothing_or_too_much_is_sent_away() {
        tokio::time::pause();
        let (opened, _) = opened_to(b"HERD 1 link").await;
        assert_eq!(opened.unwrap_err().to_string(), "broken off in the handshake (timed out)");
        let (opened, heard) = opened_to(&[b'x'; 5000]).await;
        assert!(matches!(opened.unwrap_err(), NoLink::Refused(_)));
        assert_eq!(heard, "REFUSED a line of the handshake is too long\n");
    }

    #[actix::test]
    async fn a_client_at_the_door_is_told_that_it_is_the_wrong_one() {
        let (opened, heard) = opened_to(b"IAMAT kiwi +1-2 3\n").await;
        assert!(matches!(opened.unwrap_err(), NoLink::Refused(_)));
        assert_eq!(heard, "REFUSED this address is for servers of the herd\n");
    }

    #[actix::test]
    async fn what_comes_right_behind_the_handshake_is_kept() {
        let (opened, _) = opened_to(b"HERD 1 link Hands Goloman 00\nPROOF -\nPING\n").await;
        assert_eq!(opened.unwrap().1.rest, b"PING\n");
    }

    #[actix::test]
    async fn whoever_asks_how_a_server_is_gets_its_report() {
        let (network, mut calls) = Switchboard::new(true, 1 << 16);
        let (seams, limits, secret) = (seams(network), Limits::default(), secret("a"));
        let report = Report { name: "Goloman".into(), clients_known: 7, ..Report::default() };
        let telling = async {
            let socket = Box::new(calls.recv().await.unwrap());
            let (hello, shaken) =
                greet(socket, &secret, &seams.dice, &limits, |_| Ok(()), |_| Ok(())).await.unwrap();
            assert_eq!(hello.purpose, Purpose::Status);
            tell_status(shaken, &report, &limits).await.unwrap();
        };
        let asking = ask_status(&seams, "there:1", "Goloman", &secret, &limits);
        let (heard, ()) = tokio::join!(asking, telling);
        assert_eq!(heard.unwrap(), report);
    }
}
