//! A system under load: its processes, its protocol, and what a command costs it.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Order};
use crate::herd::{self, ALONE, Herd, Layout, Program};
use crate::load::{Failure, Load, Tally, Until};
use crate::process::{Cores, Process};
use crate::redis::{Redis, Verb};
use crate::scratch::Directory;
use crate::speech::{Echo, Iamat, Speech};

/// Clients of the smaller measurements.
pub const CLIENTS: u32 = 100_000;

/// How long a server other than herd may take to listen.
const LISTEN_MAX: Duration = Duration::from_secs(10);

/// Everything a measurement needs to know of its surroundings.
pub struct Bench {
    /// The program that is measured.
    pub herd: Program,
    /// `redis-server`, where it was found.
    pub redis: Option<PathBuf>,
    /// This program: it is also the echo, the relays and the naive herd.
    pub own: PathBuf,
    /// Who runs where.
    pub cores: Cores,
    /// Where servers keep what they write.
    pub scratch: PathBuf,
    /// The kind of file system that it is on, such as ext4.
    pub file_system: String,
    /// Runs of each measurement; the median counts.
    pub runs: usize,
    /// The length of one run.
    pub lasting: Duration,
    /// Clients of the larger measurements: a million, or less where time is short.
    pub million: u32,
}

/// Which protocol a system understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Iamat(&'static str),
    Echo,
    Redis(Verb),
}

/// One system under load.
pub struct System {
    /// Its name in tables.
    pub label: &'static str,
    /// Its address for the generator.
    pub address: String,
    /// How many clients report to it.
    pub clients: u32,
    /// How every client ID begins, where it is a herd.
    pub prefix: &'static [u8],
    protocol: Protocol,
    processes: Vec<Process>,
    herd: Option<Herd>,
}

/// What one run counted and what it cost the servers.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What the generator counted.
    pub tally: Tally,
    /// User and system CPU time of all the system's processes.
    pub cpu: Duration,
    /// How much of that the first thread of each took: in a herd the one that has the memory and the log.
    pub first_threads: Duration,
}

impl Measure {
    /// CPU microseconds per command: the same as CPU seconds per million commands.
    pub fn cost_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.tally.commands as f64
    }

    /// The same for the first threads alone.
    pub fn first_threads_us(&self) -> f64 {
        self.first_threads.as_secs_f64() * 1e6 / self.tally.commands as f64
    }
}

impl Bench {
    /// One server of the herd without neighbours.
    pub fn herd_alone(&self) -> io::Result<System> {
        self.herd_with("herd", ALONE, &[])
    }

    /// A herd of this layout, each server started with some more arguments.
    pub fn herd_with(&self, label: &'static str, layout: Layout, args: &[&str]) -> io::Result<System> {
        let mut program = self.herd.clone();
        program.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        let herd = Herd::start(&program, layout, self.directory(label)?, self.cores)?;
        Ok(System::of_herd(label, herd))
    }

    /// The plain tokio echo.
    pub fn echo(&self) -> io::Result<System> {
        let address = free_address()?;
        let mut command = Command::new(&self.own);
        command.args(["echo", &address]);
        self.start("echo", Protocol::Echo, address, command, &self.directory("echo")?)
    }

    /// The rules of herd in a bare epoll loop.
    pub fn bare(&self) -> io::Result<System> {
        let address = free_address()?;
        let mut command = Command::new(&self.own);
        let directory = self.directory("bare")?;
        command.args(["bare", "Goloman", &address]).arg(&*directory);
        self.start("bare loop", Protocol::Iamat("Goloman"), address, command, &directory)
    }

    /// A Redis of its own for one command, without persistence unless `args` ask for it.
    pub fn redis(&self, verb: Verb, args: &[&str]) -> io::Result<System> {
        let Some(program) = &self.redis else {
            return Err(io::Error::new(io::ErrorKind::NotFound, NO_REDIS));
        };
        let label = match verb {
            Verb::Set => "SET",
            Verb::GeoAdd => "GEOADD",
        };
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(["--port", port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        let directory = self.directory(label)?;
        command.arg("--dir").arg(&*directory);
        command.args(if args.is_empty() { &["--appendonly", "no"] } else { args });
        self.start(label, Protocol::Redis(verb), address, command, &directory)
    }

    /// Starts a system of one process and waits until it listens.
    fn start(
        &self,
        label: &'static str,
        protocol: Protocol,
        address: String,
        mut command: Command,
        directory: &Directory,
    ) -> io::Result<System> {
        let process = Process::start(label, &mut command, self.cores, directory)?;
        let mut processes = vec![process];
        herd::await_address(&address, &mut processes, Instant::now() + LISTEN_MAX)?;
        Ok(System { label, address, clients: CLIENTS, prefix: b"", protocol, processes, herd: None })
    }

    /// Starts one of this program's own servers and waits until it listens.
    pub fn own_server(&self, name: &str, args: &[&str], address: &str) -> io::Result<Process> {
        let mut command = Command::new(&self.own);
        command.args(args);
        let process = Process::start(name, &mut command, self.cores, &self.directory(name)?)?;
        let mut processes = [process];
        herd::await_address(address, &mut processes, Instant::now() + LISTEN_MAX)?;
        let [process] = processes;
        Ok(process)
    }

    /// A new directory for what a server writes.
    pub fn directory(&self, label: &str) -> io::Result<Directory> {
        Directory::new(&self.scratch, label)
    }
}

/// What is said where `redis-server` is missing.
pub const NO_REDIS: &str = "redis-server was not found: `make bench-tools` installs it";

impl System {
    /// A herd whose first server is loaded.
    pub fn of_herd(label: &'static str, mut herd: Herd) -> Self {
        let (address, protocol) = (herd.address().to_owned(), Protocol::Iamat(herd.name()));
        let processes = std::mem::take(&mut herd.processes);
        Self { label, address, clients: CLIENTS, prefix: b"", protocol, processes, herd: Some(herd) }
    }

    /// Processes of another kind that answer IAMAT under this name.
    pub fn of_processes(
        label: &'static str,
        name: &'static str,
        address: String,
        processes: Vec<Process>,
    ) -> Self {
        Self {
            label,
            address,
            clients: CLIENTS,
            prefix: b"",
            protocol: Protocol::Iamat(name),
            processes,
            herd: None,
        }
    }

    /// The herd, where this is one.
    pub fn herd(&self) -> Option<&Herd> {
        self.herd.as_ref()
    }

    /// The addresses for clients of a herd's servers, in the order of the layout; none of a system that is no herd.
    pub fn addresses(&self) -> Vec<&str> {
        self.herd().map(Herd::addresses).unwrap_or_default()
    }

    /// Connects the generator, whose commands are of any of the clients.
    pub fn load(&self, connections: usize) -> Result<Load, Failure> {
        self.connect(connections, Crowd::new(self.clients, Order::AtRandom))
    }

    fn connect(&self, connections: usize, crowd: Crowd) -> Result<Load, Failure> {
        let speech: Box<dyn Speech> = match self.protocol {
            Protocol::Iamat(name) => Box::new(Iamat::new(name, crowd).with_prefix(self.prefix)),
            Protocol::Echo => Box::new(Echo::new(crowd)),
            Protocol::Redis(verb) => Box::new(Redis::new(verb, crowd)),
        };
        self.speak(connections, speech)
    }

    /// Connects the generator, which says what it is given.
    pub fn speak(&self, connections: usize, speech: Box<dyn Speech>) -> Result<Load, Failure> {
        Load::connect(&self.address, connections, speech)
    }

    /// Makes so many clients known, from 16 connections with so many commands in flight on each.
    pub fn fill(&mut self, clients: u32, depth: usize) -> Result<Tally, Failure> {
        self.clients = clients;
        let mut load = self.connect(16, Crowd::new(clients, Order::InTurn))?;
        load.closed(depth, Until::Commands(u64::from(clients)))
    }

    /// User and system CPU time of all processes so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// Resident bytes of all processes.
    pub fn resident(&self) -> io::Result<u64> {
        self.processes.iter().map(Process::resident).sum()
    }

    /// Does something under load and reads the CPU clocks before and after.
    pub fn measure(&self, run: impl FnOnce() -> Result<Tally, Failure>) -> Result<Measure, Failure> {
        let before = (self.cpu()?, self.first_threads()?);
        let tally = run()?;
        let cpu = self.cpu()?.saturating_sub(before.0);
        Ok(Measure { tally, cpu, first_threads: self.first_threads()?.saturating_sub(before.1) })
    }

    fn first_threads(&self) -> io::Result<Duration> {
        self.processes.iter().map(Process::first_thread).sum()
    }

    /// Waits until the processes have nothing left to do.
    pub fn settle(&self) -> io::Result<()> {
        let mut before = self.cpu()?;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.cpu()?;
            // Heartbeats and timers of a few servers stay below one per cent of a core.
            if now.saturating_sub(before) < Duration::from_millis(1) {
                return Ok(());
            }
            before = now;
        }
    }
}

fn free_address() -> io::Result<String> {
    let mut addresses = herd::free_addresses(1)?;
    addresses.pop().ok_or_else(|| io::Error::other("no free address"))
}
