//! Whom a command talks to: a server of the topology by its name, or any by its address for clients.

use crate::failure::{Failure, reason};
use crate::topology::File;
use herd_actors::net;
use herd_actors::waiting::in_time;
use herd_core::topology::{Server, check_address};
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::TcpStream;

/// A server on this machine answers in microseconds, one across the world in a fraction of this.
const CONNECT_LIMIT_MS: u64 = 3_000;

/// The error of a process that has as many files open as it may: `EMFILE`, which has this number on Linux, macOS and the BSDs.
const TOO_MANY_FILES: i32 = 24;

/// A server that takes commands.
#[derive(Debug)]
pub struct Target {
    /// Its name, if that is known before it answers.
    pub name: Option<String>,
    /// Its address for clients, `host:port`.
    pub address: String,
    /// True if it is known to be of another make, which is not this program.
    pub is_stranger: bool,
}

impl Target {
    /// The server of the topology that has a name, or else, if that is an address, the one there: for that no topology need
    /// be found. Nothing is the first server.
    pub fn of(server: Option<&str>, file: impl Fn() -> Result<File, Failure>) -> Result<Self, Failure> {
        let named = |name: &str| file()?.server(name).map(Self::from);
        match server {
            // A name may have a colon in it, too.
            Some(server) if server.contains(':') => named(server).or_else(|_| {
                let refused = |fault| {
                    Failure::Usage(format!(
                        "{server:?} is no server of the topology, nor an address: {fault}"
                    ))
                };
                check_address(server).map_err(refused)?;
                Ok(Self { name: None, address: server.to_owned(), is_stranger: false })
            }),
            Some(name) => named(name),
            // A topology without a server is refused when it is read.
            None => file()?
                .topology
                .servers()
                .first()
                .map(Self::from)
                .ok_or_else(|| Failure::Usage("name a server".to_owned())),
        }
    }

    /// Why nothing said there is any use where a refusal is the answer: only servers are refused in words.
    pub fn not_for_clients(&self) -> Failure {
        let address = &self.address;
        Failure::Undone(format!(
            "{address} is an address for servers, not for clients: a topology names both, as \"peers\" and \"clients\""
        ))
    }

    /// Connects to it, or says why that cannot be done and what to do.
    pub async fn connect(&self) -> Result<TcpStream, Failure> {
        let limit = Duration::from_millis(CONNECT_LIMIT_MS);
        let why = match in_time(CONNECT_LIMIT_MS, net::connect(&self.address, limit)).await {
            Ok(socket) => return Ok(socket),
            Err(error) if error.raw_os_error() == Some(TOO_MANY_FILES) => {
                let said = format!(
                    "cannot connect to {self}: this command may have no more files open; see ulimit -n"
                );
                return Err(Failure::Undone(said));
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                format!("no answer within {} s", limit.as_secs())
            }
            Err(error) => reason(&error),
        };
        let advice = match &self.name {
            Some(_) if self.is_stranger => "it is of another make, start its own program".to_owned(),
            Some(name) => format!("start it with herd serve {name}"),
            None => "start a server there, or name another".to_owned(),
        };
        Err(Failure::Undone(format!("cannot reach {self}: {why}; {advice}")))
    }
}

impl From<&Server> for Target {
    fn from(Server { name, clients, speaks, .. }: &Server) -> Self {
        Self { name: Some(name.clone()), address: clients.clone(), is_stranger: speaks.is_some() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} at {}", self.address),
            None => f.write_str(&self.address),
        }
    }
}
