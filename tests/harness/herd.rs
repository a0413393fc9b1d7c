//! A herd of real processes on free ports of the loopback.

use super::canary::{self, Canaries};
use super::client::Client;
use super::cut::Cut;
use super::eventually;
use super::program::{self, PROGRAM};
use super::room::{Room, reserve};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

/// One server: its place in the topology, and its process while it runs.
pub struct Server {
    pub name: String,
    pub clients: String,
    pub peers: String,
    /// What it speaks, if it is a server of another make. The test plays it.
    pub speaks: Option<String>,
    /// Options after `herd serve NAME`, besides the topology and the directory of logs.
    options: Vec<String>,
    /// The value of `HERD_SECRET`, if it has any. By default all have the same.
    pub secret: Option<String>,
    /// What a shell does before it becomes the server, such as setting a limit with `ulimit`.
    pub prelude: Option<String>,
    /// The value of `HERD_PEER_TLS`, if it has any.
    pub peer_tls: Option<PathBuf>,
    /// The servers that its topology file names. By default all.
    pub knows: Vec<String>,
    process: Option<Child>,
}

impl Server {
    pub fn set_options(&mut self, options: &[impl AsRef<str>]) {
        self.options = options.iter().map(|option| option.as_ref().to_owned()).collect();
    }
}

/// A link that goes through the harness: who dials, who is dialled.
struct Wire {
    from: String,
    to: String,
    cut: Cut,
}

/// Servers, links, and the room they run in. Ends all processes when dropped.
pub struct Herd {
    servers: Vec<Server>,
    links: Vec<(String, String)>,
    wires: Vec<Wire>,
    /// Addresses that are nobody's yet, two for each link.
    free: std::vec::IntoIter<String>,
    canaries: Canaries,
    room: Room,
}

impl Herd {
    /// Plans a herd. Nothing runs yet.
    pub fn new(names: &[&str], links: &[(&str, &str)]) -> Self {
        let room = Room::new();
        let mut free = reserve(room.host(), 2 * (names.len() + links.len())).into_iter();
        let servers = names
            .iter()
            .map(|name| Server {
                name: (*name).to_owned(),
                clients: free.next().expect("an address for clients"),
                peers: free.next().expect("an address for peers"),
                speaks: None,
                options: Vec::new(),
                secret: Some(canary::SECRET.to_owned()),
                prelude: None,
                peer_tls: None,
                knows: names.iter().map(|&name| name.to_owned()).collect(),
                process: None,
            })
            .collect();
        let links = links.iter().map(|&(one, other)| (one.to_owned(), other.to_owned())).collect();
        Herd { servers, links, wires: Vec::new(), free, canaries: Canaries::new(), room }
    }

    /// The five servers of the assignment, not started.
    pub fn five() -> Self {
        Self::new(
            &["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"],
            &[
                ("Goloman", "Hands"),
                ("Goloman", "Holiday"),
                ("Goloman", "Wilkes"),
                ("Hands", "Wilkes"),
                ("Holiday", "Welsh"),
                ("Holiday", "Wilkes"),
            ],
        )
    }

    /// One server without neighbours, not started.
    pub fn one() -> Self {
        Self::new(&["Goloman"], &[])
    }

    /// One server without neighbours, running with some options.
    pub fn running(options: &[&str]) -> Self {
        let mut herd = Self::one();
        herd.server_mut("Goloman").set_options(options);
        herd.start("Goloman");
        herd
    }

    /// Takes the secret from all servers: who plays a neighbour knows none.
    pub fn without_secret(mut self) -> Self {
        self.servers.iter_mut().for_each(|server| server.secret = None);
        self
    }

    /// Looks in all that the servers write for another secret too.
    pub fn keep_secret(&mut self, whose: &str, secret: &[u8]) {
        self.canaries.add(whose, secret);
    }

    /// Leads a link through the harness, so that it can be cut. Call it before either server starts.
    pub fn make_cuttable(&mut self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            let address = self.free.next().expect("an address for each direction of a link");
            let cut = Cut::new(address, &self.server(to).peers);
            self.wires.push(Wire { from: from.to_owned(), to: to.to_owned(), cut });
        }
    }

    /// Breaks the link between two servers until it is healed.
    pub fn cut(&self, one: &str, other: &str) {
        self.wires_between(one, other).for_each(Cut::cut);
    }

    /// Lets nothing through between two servers that still believe that they are connected.
    pub fn silence(&self, one: &str, other: &str) {
        self.wires_between(one, other).for_each(Cut::silence);
    }

    /// Lets the two servers connect again.
    pub fn heal(&self, one: &str, other: &str) {
        self.wires_between(one, other).for_each(Cut::heal);
    }

    /// What anybody on the way between two servers with a cuttable link has seen so far.
    pub fn overheard(&self, one: &str, other: &str) -> Vec<u8> {
        self.wires_between(one, other).flat_map(Cut::overheard).collect()
    }

    /// The directory of the herd, which is gone when the test is over.
    pub fn directory(&self) -> &Path {
        self.room.path()
    }

    pub fn names(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.name.clone()).collect()
    }

    pub fn server(&self, name: &str) -> &Server {
        self.servers.iter().find(|server| server.name == name).expect("a server of this herd")
    }

    pub fn server_mut(&mut self, name: &str) -> &mut Server {
        self.servers.iter_mut().find(|server| server.name == name).expect("a server of this herd")
    }

    /// Starts every server, and returns when all accept clients.
    pub fn start_all(&mut self) {
        let names = self.names();
        for name in &names {
            self.launch(name);
        }
        for name in &names {
            self.wait_until_it_serves(name);
        }
    }

    /// Starts one server, and returns when it accepts clients.
    pub fn start(&mut self, name: &str) {
        self.launch(name);
        self.wait_until_it_serves(name);
    }

    /// Runs a server that is expected to end by itself, and returns what it printed.
    pub fn run(&self, name: &str) -> Output {
        let child = self
            .command(name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (mut child, id) = (Some(child), name);
        let output = eventually(&format!("{id} ends by itself"), || {
            let ended = child.as_mut().expect("not taken").try_wait().expect("a state").is_some();
            ended.then(|| child.take().expect("not taken").wait_with_output().expect("its output"))
        });
        self.canaries.expect_none_in("standard output", &output.stdout);
        self.canaries.expect_none_in("standard error", &output.stderr);
        output
    }

    /// Kills a server as a power cut does.
    pub fn kill(&mut self, name: &str) {
        let mut child = self.server_mut(name).process.take().expect("a running server");
        child.kill().expect("a process that can be killed");
        child.wait().expect("the end of the process");
    }

    /// Takes from a server that is down what it has on disk.
    pub fn forget(&self, name: &str) {
        std::fs::remove_dir_all(self.data(name)).expect("the data of a server that ran");
    }

    /// Where a server keeps what it knows.
    pub fn data(&self, name: &str) -> PathBuf {
        self.room.path().join("data").join(name)
    }

    /// How much memory a server takes, in kilobytes, where the system says it in /proc.
    pub fn resident_kb(&self, name: &str) -> Option<u64> {
        let id = self.server(name).process.as_ref().expect("a running server").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        Some(resident.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes"))
    }

    /// Sends a signal to a server, named as `kill` names it.
    pub fn signal(&self, name: &str, signal: &str) {
        program::signal(self.server(name).process.as_ref().expect("a running server").id(), signal);
    }

    /// Asks a server to end with a signal, and returns how it ended.
    pub fn end(&mut self, name: &str, signal: &str) -> ExitStatus {
        self.signal(name, signal);
        self.wait_for_the_end(name)
    }

    /// Waits until a server has ended, and returns how.
    pub fn wait_for_the_end(&mut self, name: &str) -> ExitStatus {
        let mut child = self.server_mut(name).process.take().expect("a running server");
        eventually(&format!("{name} ends"), || child.try_wait().expect("a state"))
    }

    /// Opens a connection to the client address of a server.
    pub fn connect(&self, name: &str) -> Client {
        Client::connect(&self.server(name).clients).unwrap_or_else(|problem| panic!("{name}: {problem}"))
    }

    /// Returns when a client told at one server is known at each of the others, which needs their links.
    pub fn wait_until_linked(&self, names: &[&str]) {
        for told in names {
            let client = format!("link-probe-of-{told}");
            let line = self.connect(told).tell(&client, "+0-0", "1");
            self.wait_until_known(names, &client, &line);
        }
    }

    /// Returns when each of these servers answers with this AT line.
    ///
    /// One that does not know the client searches the herd for it. That it was told shows only where it knew an older
    /// line, or has [counted](Self::wait_until_counted) the client before it is asked.
    pub fn wait_until_known(&self, names: &[&str], client: &str, line: &str) {
        for name in names {
            let mut connection = self.connect(name);
            eventually(&format!("{name} says {line:?}"), || {
                (connection.find(client).as_deref() == Some(line)).then_some(())
            });
        }
    }

    /// Returns when each of these servers says that it knows so many clients.
    pub fn wait_until_counted(&self, names: &[&str], clients: usize) {
        for name in names {
            eventually(&format!("{name} knows {clients} clients"), || {
                (self.report(name)?["clients_known"] == clients).then_some(())
            });
        }
    }

    /// What a server says of itself in `herd status --json`, or nothing while it is down.
    pub fn report(&self, name: &str) -> Option<Value> {
        let output = self.ask(name, &["status", "--json"]);
        report_in(&serde_json::from_slice(&output.stdout).ok()?, name)
    }

    /// What the program does that asks a server something, with the secret and the certificates of that.
    pub fn ask(&self, name: &str, words: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        let topology = self.write_topology("asking", "", &[name.to_owned()]);
        command.args(words).arg("--topology").arg(topology);
        self.furnish(&mut command, name);
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        self.canaries.expect_none_in("what it says", &output.stdout);
        self.canaries.expect_none_in("what it complains of", &output.stderr);
        output
    }

    /// All that a server has logged, in its file and on standard error.
    pub fn log(&self, name: &str) -> String {
        let read = |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let file = read(self.room.path().join("logs").join(format!("{name}.log"))).unwrap_or_default();
        file + &read(self.errors_of(name)).unwrap_or_default()
    }

    fn wires_between(&self, one: &str, other: &str) -> impl Iterator<Item = &Cut> {
        let between = move |wire: &&Wire| {
            (wire.from == one && wire.to == other) || (wire.from == other && wire.to == one)
        };
        let wires: Vec<&Cut> = self.wires.iter().filter(between).map(|wire| &wire.cut).collect();
        assert!(!wires.is_empty(), "the link between {one} and {other} is not cuttable");
        wires.into_iter()
    }

    /// Starts one server, which may not accept clients yet.
    pub fn launch(&mut self, name: &str) {
        let file = |path| File::options().create(true).append(true).open(path).expect("a file");
        let (output, errors) = (file(self.output_of(name)), file(self.errors_of(name)));
        let child = self.command(name).stdout(output).stderr(errors).spawn().expect("the program starts");
        let previous = self.server_mut(name).process.replace(child);
        assert!(previous.is_none(), "{name} runs already");
    }

    /// Returns when a server that was launched accepts clients.
    pub fn wait_until_it_serves(&mut self, name: &str) {
        let address = self.server(name).clients.clone();
        eventually(&format!("{name} accepts clients"), || {
            let child = self.server_mut(name).process.as_mut().expect("just started");
            if let Some(status) = child.try_wait().expect("a state") {
                panic!("{name} ended with {status}:\n{}", self.log(name));
            }
            Client::connect(&address).ok()
        });
    }

    fn command(&self, name: &str) -> Command {
        let mut command = match &self.server(name).prelude {
            None => Command::new(PROGRAM),
            Some(prelude) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{prelude}; exec \"$0\" \"$@\""), PROGRAM]);
                shell
            }
        };
        command.args(["serve", name, "--topology"]).arg(self.write_topology(
            name,
            name,
            &self.server(name).knows,
        ));
        command.arg("--log-dir").arg(self.room.path().join("logs"));
        command.args(&self.server(name).options).stdin(Stdio::null());
        self.furnish(&mut command, name);
        command
    }

    /// Gives a command the room as its directory, secrets, and nothing else that means something to herd.
    fn furnish(&self, command: &mut Command, name: &str) {
        program::furnish(command.current_dir(self.room.path()));
        if let Some(secret) = &self.server(name).secret {
            command.env("HERD_SECRET", secret);
        }
        if let Some(dir) = &self.server(name).peer_tls {
            command.env("HERD_PEER_TLS", dir);
        }
    }

    fn output_of(&self, name: &str) -> PathBuf {
        self.room.path().join(format!("{name}.output"))
    }

    fn errors_of(&self, name: &str) -> PathBuf {
        self.room.path().join(format!("{name}.errors"))
    }

    /// Writes the topology of the servers in `known` as `dialler` is to see it, and returns where.
    fn write_topology(&self, file: &str, dialler: &str, known: &[String]) -> PathBuf {
        let path = self.room.path().join(format!("{file}.json"));
        fs::write(&path, self.topology(dialler, known).to_string()).expect("a topology file");
        path
    }

    /// The only place that knows the form of the topology file.
    fn topology(&self, dialler: &str, known: &[String]) -> Value {
        let servers = known.iter().map(|name| {
            let neighbours: Vec<_> = self.links_of(name).filter(|&link| known.contains(link)).collect();
            let (clients, peers) = (&self.server(name).clients, self.peers_as_seen(dialler, name));
            let server = match &self.server(name).speaks {
                None => json!({ "clients": clients, "peers": peers, "neighbours": neighbours }),
                Some(speaks) => json!({ "clients": clients, "speaks": speaks, "neighbours": neighbours }),
            };
            (name.clone(), server)
        });
        json!({ "servers": servers.collect::<Map<_, _>>() })
    }

    /// The address at which one server dials another: the harness, where their link is cuttable.
    fn peers_as_seen(&self, from: &str, to: &str) -> &str {
        let wire = self.wires.iter().find(|wire| wire.from == from && wire.to == to);
        wire.map_or(&self.server(to).peers, |wire| wire.cut.address())
    }

    /// The neighbours that a server declares. Each link is declared once, on the side that was named first.
    fn links_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a String> {
        self.links.iter().filter(move |(one, _)| one == name).map(|(_, other)| other)
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        for server in &mut self.servers {
            if let Some(mut child) = server.process.take() {
                // A process that ended by itself cannot be killed, and that is as good.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if thread::panicking() {
            self.servers
                .iter()
                .for_each(|server| eprintln!("--- {}\n{}", server.name, last_lines(&self.log(&server.name))));
        } else {
            let found = self.canaries.found_below(self.room.path());
            assert!(found.is_empty(), "secrets are shown: {found:#?}");
            self.wires.iter().for_each(|wire| self.canaries.expect_none_in("a link", &wire.cut.overheard()));
        }
    }
}

/// Finds the report of a server wherever it is in the JSON.
fn report_in(value: &Value, name: &str) -> Option<Value> {
    let is_it =
        value.get("name").and_then(Value::as_str) == Some(name) && value.get("clients_known").is_some();
    match value {
        _ if is_it => Some(value.clone()),
        Value::Array(items) => items.iter().find_map(|item| report_in(item, name)),
        Value::Object(fields) => fields.values().find_map(|field| report_in(field, name)),
        _ => None,
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
