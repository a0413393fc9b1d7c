//! A herd to be measured: its topology on free ports, its servers' processes, and what they say of themselves.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::process::{Cores, Process};
use crate::scratch::Directory;
use crate::tap::{self, Crossed};

/// How long a herd may take until all its links are up.
const READY_MAX: Duration = Duration::from_secs(30);

/// Names and links of a herd.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The servers' names.
    pub servers: &'static [&'static str],
    /// Who talks to whom.
    pub links: &'static [(&'static str, &'static str)],
}

/// One server without neighbours.
pub const ALONE: Layout = Layout { servers: &["Goloman"], links: &[] };

/// Two neighbours.
pub const PAIR: Layout = Layout { servers: &["Goloman", "Hands"], links: &[("Goloman", "Hands")] };

/// Three in a row.
pub const CHAIN: Layout = Layout {
    servers: &["Goloman", "Holiday", "Welsh"],
    links: &[("Goloman", "Holiday"), ("Holiday", "Welsh")],
};

/// The default herd.
pub const FIVE: Layout = Layout {
    servers: &["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"],
    links: &[
        ("Goloman", "Hands"),
        ("Goloman", "Holiday"),
        ("Goloman", "Wilkes"),
        ("Hands", "Wilkes"),
        ("Holiday", "Welsh"),
        ("Holiday", "Wilkes"),
    ],
};

/// How to start servers of the herd.
#[derive(Clone)]
pub struct Program {
    /// The program `herd`, built in release mode.
    pub path: PathBuf,
    /// Arguments for every `herd serve` of this run.
    pub args: Vec<String>,
}

impl Program {
    /// The program at a path, which must be there.
    pub fn new(path: &Path, args: Vec<String>) -> io::Result<Self> {
        let path = fs::canonicalize(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { path, args })
    }
}

/// A herd, some or all of whose servers run.
pub struct Herd {
    program: Program,
    directory: Directory,
    seats: Vec<Seat>,
    links: usize,
    /// The servers that run.
    pub processes: Vec<Process>,
}

/// Where a server sits.
struct Seat {
    name: &'static str,
    clients: String,
    peers: String,
}

impl Herd {
    /// Writes the topology on free ports; with `crossed`, everything between the servers goes through counting relays.
    pub fn plan(
        program: &Program,
        layout: Layout,
        directory: Directory,
        crossed: Option<&Arc<Crossed>>,
    ) -> io::Result<Self> {
        let ports = free_addresses(layout.servers.len() * 2)?;
        let seats: Vec<Seat> = layout
            .servers
            .iter()
            .zip(ports.chunks(2))
            .map(|(name, ports)| Seat { name, clients: ports[0].clone(), peers: ports[1].clone() })
            .collect();
        for seat in &seats {
            let topology = topology_of(seat.name, &seats, layout, crossed)?;
            fs::write(topology_file(&directory, seat.name), serde_json::to_string_pretty(&topology)?)?;
        }
        let links = layout.links.len();
        Ok(Self { program: program.clone(), directory, seats, links, processes: Vec::new() })
    }

    /// Plans a herd, starts all its servers and waits until it is ready.
    pub fn start(program: &Program, layout: Layout, directory: Directory, cores: Cores) -> io::Result<Self> {
        let mut herd = Self::plan(program, layout, directory, None)?;
        herd.start_all(cores)?;
        Ok(herd)
    }

    /// Starts all servers and waits until all links are up.
    pub fn start_all(&mut self, cores: Cores) -> io::Result<()> {
        for at in 0..self.seats.len() {
            self.start_server(at, cores.server, cores)?;
        }
        self.await_ready()
    }

    /// Starts one server on a given core, without waiting.
    pub fn start_server(&mut self, at: usize, core: Option<usize>, cores: Cores) -> io::Result<()> {
        let name = self.seats[at].name;
        let mut command = self.command();
        command.arg("serve").arg(name);
        command.arg("--topology").arg(topology_file(&self.directory, name));
        command.arg("--log-dir").arg(self.directory.join("logs"));
        command.args(&self.program.args);
        self.processes.push(Process::start_on(name, &mut command, core, cores, &self.directory)?);
        Ok(())
    }

    /// Client addresses, in the order of the layout.
    pub fn addresses(&self) -> Vec<&str> {
        self.seats.iter().map(|seat| seat.clients.as_str()).collect()
    }

    /// The client address of the server that is loaded: the first.
    pub fn address(&self) -> &str {
        &self.seats[0].clients
    }

    /// The name of the server that is loaded.
    pub fn name(&self) -> &'static str {
        self.seats[0].name
    }

    /// Waits until every server accepts clients and every link is up at both ends.
    pub fn await_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        for seat in &self.seats {
            await_address(&seat.clients, &mut self.processes, deadline)?;
        }
        while self.links > 0 && links_up(&self.status()?) < self.links * 2 {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("not all links were up after {READY_MAX:?}")));
            }
            for process in &mut self.processes {
                process.check()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What `herd status --json` says.
    pub fn status(&self) -> io::Result<Value> {
        let output = self
            .command()
            .args(["status", "--json", "--topology"])
            .arg(topology_file(&self.directory, self.seats[0].name))
            .output()?;
        // The exit code tells of servers that are down; the JSON says which.
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let printed = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            io::Error::other(format!("herd status --json printed no JSON: {error} {printed}"))
        })
    }

    /// The program with nothing of this shell's settings: the default is measured, and nobody asked for places.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program.path);
        command.current_dir(&*self.directory).env_remove("RUST_LOG");
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if shown.starts_with("HERD_") || shown.starts_with("GOOGLE_PLACES_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// How many clients a server says it knows; 0 while it does not answer.
    pub fn clients_known(&self, at: usize) -> io::Result<u64> {
        let status = self.status()?;
        let reports = objects_with(&status, "clients_known");
        let report = reports.iter().find(|report| report.get("name") == Some(&json!(self.seats[at].name)));
        Ok(report.and_then(|report| report["clients_known"].as_u64()).unwrap_or(0))
    }
}

fn topology_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.json"))
}

/// The topology as one server is told it: with taps, it finds its neighbours at addresses of their own.
fn topology_of(
    name: &str,
    seats: &[Seat],
    layout: Layout,
    crossed: Option<&Arc<Crossed>>,
) -> io::Result<Value> {
    let mut servers = Map::new();
    for seat in seats {
        let peers = match crossed {
            Some(crossed) if seat.name != name => tap::open(seat.peers.clone(), Arc::clone(crossed))?,
            _ => seat.peers.clone(),
        };
        let dials = layout.links.iter().filter(|(from, _)| *from == seat.name);
        let neighbours: Vec<&str> = dials.map(|(_, to)| *to).collect();
        let server = json!({ "clients": seat.clients, "peers": peers, "neighbours": neighbours });
        servers.insert(seat.name.to_owned(), server);
    }
    Ok(json!({ "servers": servers }))
}

/// Addresses on loopback that were free a moment ago.
pub fn free_addresses(count: usize) -> io::Result<Vec<String>> {
    let listeners =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<Vec<TcpListener>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

/// Waits until something listens at an address, as long as all processes live.
pub fn await_address(address: &str, processes: &mut [Process], deadline: Instant) -> io::Result<()> {
    while let Err(error) = std::net::TcpStream::connect(address) {
        for process in processes.iter_mut() {
            process.check()?;
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(error.kind(), format!("{address}: {error}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// All objects in a JSON value that have a field, wherever they are.
fn objects_with<'a>(value: &'a Value, field: &str) -> Vec<&'a Map<String, Value>> {
    match value {
        Value::Object(object) if object.contains_key(field) => vec![object],
        Value::Object(object) => object.values().flat_map(|inner| objects_with(inner, field)).collect(),
        Value::Array(values) => values.iter().flat_map(|inner| objects_with(inner, field)).collect(),
        _ => Vec::new(),
    }
}

/// Ends of links that are up, over all servers.
fn links_up(status: &Value) -> usize {
    let reports = objects_with(status, "links");
    let links = reports.iter().filter_map(|report| report["links"].as_array()).flatten();
    links.filter(|link| link["up"] == json!(true)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_at_both_ends_wherever_the_reports_are() {
        let link = |up: bool| json!([{ "name": "x", "up": up }]);
        let reports = json!([{ "name": "a", "links": link(true) }, { "name": "b", "links": link(false) }]);
        assert_eq!(links_up(&reports), 1);
        assert_eq!(links_up(&json!({ "servers": reports })), 1);
    }

    #[test]
    fn every_server_of_the_default_herd_is_told_the_same_links() {
        let seats: Vec<Seat> = FIVE
            .servers
            .iter()
            .map(|name| Seat { name, clients: format!("{name}:1"), peers: format!("{name}:2") })
            .collect();
        let topology = topology_of("Hands", &seats, FIVE, None).unwrap();
        assert_eq!(topology["servers"]["Holiday"]["neighbours"], json!(["Welsh", "Wilkes"]));
        assert_eq!(topology["servers"]["Holiday"]["peers"], json!("Holiday:2"));
    }
}
