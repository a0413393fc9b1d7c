//! Servers of another make, written from the table of dialects and from nothing else.
//!
//! They are as crude as the table says: times and skews are texts or doubles, messages end with a read or a newline,
//! and whoever overwrites believes what came last.

use herd_core::dialect::Dialect;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// What one of them knows of a client, in the texts that it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub server: String,
    pub skew: String,
    pub location: String,
    pub time: String,
    received: String,
}

/// One server of another make.
pub struct Prototype {
    pub name: String,
    pub dialect: Dialect,
    /// Where messages of its own come from.
    from: SocketAddr,
    neighbours: Vec<(String, String)>,
    /// Whether it passes times and skews on as doubles.
    rounds: bool,
    entries: RefCell<BTreeMap<String, Entry>>,
    seen: RefCell<BTreeSet<String>>,
    searches: Cell<u32>,
    /// What came in from other servers.
    pub heard: RefCell<Vec<String>>,
}

/// One that runs, until this is dropped.
pub struct Running {
    pub prototype: Rc<Prototype>,
    accepting: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Takes an address, which one that was just dropped may still have.
async fn bind(at: &str) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{at}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The most that one read of the makes with a limit takes.
const READ_MAX: usize = 200;

impl Prototype {
    /// Starts one at an address, with the names and addresses of its neighbours.
    pub async fn start(
        name: &str,
        dialect: Dialect,
        at: &str,
        neighbours: Vec<(String, String)>,
        rounds: bool,
    ) -> Running {
        let listener = bind(at).await;
        let prototype = Rc::new(Self {
            name: name.to_owned(),
            dialect,
            from: SocketAddr::new(listener.local_addr().unwrap().ip(), 0),
            neighbours,
            rounds,
            entries: RefCell::default(),
            seen: RefCell::default(),
            searches: Cell::new(0),
            heard: RefCell::default(),
        });
        let serving = Rc::clone(&prototype);
        let accepting = actix_rt::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let prototype = Rc::clone(&serving);
                actix_rt::spawn(async move { prototype.serve(socket).await });
            }
        });
        Running { prototype, accepting }
    }

    /// What it knows of a client.
    pub fn entry(&self, client: &str) -> Option<Entry> {
        self.entries.borrow().get(client).cloned()
    }

    /// One connection carries one message.
    async fn serve(self: &Rc<Self>, mut socket: TcpStream) {
        let message = self.read(&mut socket).await;
        let words: Vec<&str> = message.split_ascii_whitespace().collect();
        let answer = match words[..] {
            [] => String::new(),
            ["IAMAT", client, location, time] => self.iamat(client, location, time),
            ["WHATSAT", client, ..] => self.whatsat(client, &message).await,
            _ => {
                self.heard.borrow_mut().push(message.clone());
                self.hear(&words).await
            }
        };
        // Whoever said something may have hung up without waiting for the answer.
        let _ = socket.write_all(answer.as_bytes()).await;
    }

    async fn read(&self, socket: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        if self.dialect == Dialect::Changeloc {
            let _ = BufReader::new(socket).read_until(b'\n', &mut bytes).await; // A line that broke is no line.
        } else {
            let mut buffer = [0; 4096];
            let max = if self.read_is_short() { READ_MAX } else { buffer.len() };
            let read = socket.read(&mut buffer[..max]).await.unwrap_or(0);
            bytes.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8(bytes).unwrap()
    }

    fn read_is_short(&self) -> bool {
        matches!(self.dialect, Dialect::Trail | Dialect::Clientat)
    }

    fn iamat(self: &Rc<Self>, client: &str, location: &str, time: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let skew = if self.rounds {
            format!("{:+}", now - time.parse::<f64>().unwrap())
        } else {
            format!("{:+.9}", now - time.parse::<f64>().unwrap())
        };
        let entry = Entry {
            server: self.name.clone(),
            skew,
            location: location.to_owned(),
            time: self.number(time),
            received: format!("{now:.9}"),
        };
        let at = format!("AT {} {} {client} {location} {time}\n", self.name, entry.skew);
        let uuid = uuid::Uuid::new_v4().to_string();
        self.seen.borrow_mut().insert(uuid.clone());
        self.store(client, &entry, &uuid, &[]);
        at
    }

    fn number(&self, text: &str) -> String {
        if self.rounds { text.parse::<f64>().unwrap().to_string() } else { text.to_owned() }
    }

    async fn whatsat(&self, client: &str, message: &str) -> String {
        if self.dialect == Dialect::Clientat && self.entry(client).is_none() {
            let uuid = uuid::Uuid::new_v4().to_string();
            self.seen.borrow_mut().insert(uuid.clone());
            self.search(client, &uuid).await;
        }
        self.entry(client).map_or(format!("? {message}"), |entry| {
            format!("AT {} {} {client} {} {}\n", entry.server, entry.skew, entry.location, entry.time)
        })
    }

    async fn hear(self: &Rc<Self>, words: &[&str]) -> String {
        let text = |text: &str| text.to_owned();
        let entry = |server: &str, skew: &str, location: &str, time: &str| Entry {
            server: text(server),
            skew: self.number_with_sign(skew),
            location: text(location),
            time: self.number(time),
            received: String::new(),
        };
        match (self.dialect, words) {
            (Dialect::Changeloc, ["CHANGELOC", client, location, time, received, server]) => {
                let entry = Entry { received: text(received), ..entry(server, "+0", location, time) };
                if self.entry(client).is_none_or(|known| entry.time > known.time) {
                    self.store(client, &entry, "", &[]);
                }
            }
            (Dialect::Trail, ["AT", server, skew, client, location, time, visited @ ..]) => {
                let entry = entry(server, skew, location, time);
                if self.entry(client).as_ref() != Some(&entry) {
                    self.store(client, &entry, "", visited);
                }
            }
            (Dialect::Clientat, ["CLIENTAT", client, location, uuid, skew, time, forwarder]) => {
                if !self.seen.borrow_mut().insert(text(uuid)) {
                    return text("0");
                }
                self.store(client, &entry(forwarder, skew, location, time), uuid, &[]);
                return text("1");
            }
            (Dialect::Clientat, ["WHICHCLIENT", client, uuid]) => {
                if self.seen.borrow_mut().insert(text(uuid)) && self.entry(client).is_none() {
                    self.search(client, uuid).await;
                }
                return self.found(client);
            }
            (Dialect::Update, ["UPDATE", _, "AT", server, skew, client, location, time]) => {
                let entry = entry(server, skew, location, time);
                if self.entry(client).as_ref() != Some(&entry) {
                    self.store(client, &entry, "", &[]);
                }
            }
            (Dialect::At, ["AT", server, skew, client, location, time]) => {
                let greater =
                    |known: &Entry| time.parse::<f64>().unwrap() > known.time.parse::<f64>().unwrap();
                if self.entry(client).as_ref().is_none_or(greater) {
                    self.store(client, &entry(server, skew, location, time), "", &[]);
                }
            }
            _ => return format!("? {}\n", words.join(" ")),
        }
        String::new()
    }

    fn number_with_sign(&self, text: &str) -> String {
        if self.rounds { format!("{:+}", text.parse::<f64>().unwrap()) } else { text.to_owned() }
    }

    fn store(self: &Rc<Self>, client: &str, entry: &Entry, uuid: &str, visited: &[&str]) {
        self.entries.borrow_mut().insert(client.to_owned(), entry.clone());
        let mut trail: Vec<&str> = visited.to_vec();
        trail.push(&self.name);
        let Entry { server, skew, location, time, received } = entry;
        let at = format!("AT {server} {skew} {client} {location} {time}");
        let message = match self.dialect {
            Dialect::Changeloc => format!("CHANGELOC {client} {location} {time} {received} {server}\n"),
            Dialect::Trail => format!("{at} {}", trail.join(" ")),
            Dialect::Clientat => format!("CLIENTAT {client} {location} {uuid} {skew} {time} {}", self.name),
            Dialect::Update => format!("UPDATE {client} {at}"),
            Dialect::At => format!("{at}\n"),
        };
        for (name, address) in &self.neighbours {
            let is_visited = self.dialect == Dialect::Trail && visited.contains(&name.as_str());
            if !is_visited {
                let (prototype, address, message) = (Rc::clone(self), address.clone(), message.clone());
                actix_rt::spawn(async move { prototype.tell(&address, &message).await });
            }
        }
    }

    async fn connect(&self, address: &str) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(self.from)?;
        socket.connect(address.parse().unwrap()).await
    }

    /// One that cannot be told is not told again. An `at` server waits until the other closes.
    async fn tell(&self, address: &str, message: &str) {
        let Ok(mut socket) = self.connect(address).await else { return };
        let _ = socket.write_all(message.as_bytes()).await; // Lost is lost.
        if self.dialect == Dialect::At {
            let closed = timeout(Duration::from_secs(5), socket.read(&mut [0; 10])).await;
            assert!(closed.is_ok(), "{address} does not close the connection of {message:?}");
        }
    }

    /// Asks its neighbours in turn, and takes the first answer that is one.
    async fn search(&self, client: &str, uuid: &str) {
        self.searches.set(self.searches.get() + 1);
        for (name, address) in &self.neighbours {
            let Ok(mut socket) = self.connect(address).await else { continue };
            let question = format!("WHICHCLIENT {client} {uuid}");
            let _ = socket.write_all(question.as_bytes()).await; // Lost is lost.
            let mut answer = [0; 100];
            let read = timeout(Duration::from_secs(5), socket.read(&mut answer)).await;
            let read = read.unwrap_or(Ok(0)).unwrap_or(0);
            let Ok(found) = serde_json::from_slice::<serde_json::Value>(&answer[..read]) else { continue };
            if let (Some(skew), [latitude, longitude]) =
                (found["skew"].as_str(), [0, 1].map(|at| found["gps"][at].as_f64().unwrap_or(0.0)))
            {
                let entry = Entry {
                    server: name.clone(),
                    skew: skew.to_owned(),
                    location: format!("{latitude:+}{longitude:+}"),
                    time: found["time"].to_string(),
                    received: String::new(),
                };
                self.entries.borrow_mut().insert(client.to_owned(), entry);
                return;
            }
        }
    }

    fn found(&self, client: &str) -> String {
        self.entry(client).map_or(r#"{"FOUND": false}"#.to_owned(), |entry| {
            let at = entry.location[1..].find(['+', '-']).unwrap() + 1;
            let [latitude, longitude] =
                [&entry.location[..at], &entry.location[at..]].map(|degrees| degrees.parse::<f64>().unwrap());
            let time: f64 = entry.time.parse().unwrap();
            format!(r#"{{"gps": [{latitude:?}, {longitude:?}], "skew": "{}", "time": {time:?}}}"#, entry.skew)
        })
    }
}
