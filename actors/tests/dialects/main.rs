//! Herds of two makes: servers of ours in every place of a herd of prototypes, over TCP on the loopback.

mod diary;
mod prototype;

use actix::actors::mocker::Mocker;
use actix::{Actor, Recipient};
use herd_actors::dialect::Stranger;
use herd_actors::door::{Credentials, ask_status};
use herd_actors::messages::Near;
use herd_actors::net::Seams;
use herd_actors::node::{Neighbour, Node, Settings};
use herd_actors::panics::Panicked;
use herd_core::dialect::Dialect;
use herd_core::limits::Limits;
use herd_core::status::Report;
use prototype::{Prototype, Running};
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const NAMES: [&str; 5] = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];

/// The links of the default topology.
const LINKS: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 4), (1, 4), (2, 3), (2, 4)];

const HERE: &str = "+34.068930-118.445127";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One server of a herd of two makes.
enum Server {
    Ours(Node),
    Theirs(Running),
}

/// Where the prototypes are.
#[derive(Clone, Copy)]
enum Room {
    /// All at one host, so that where a message comes from does not tell whose it is.
    Shared,
    /// Each at a host of its own.
    Apart,
}

fn neighbours(place: usize) -> Vec<usize> {
    let other = |&(a, b): &(usize, usize)| if a == place { Some(b) } else { (b == place).then_some(a) };
    LINKS.iter().filter_map(other).collect()
}

/// Five servers in the default topology.
struct Herd {
    dialect: Dialect,
    /// Which are ours.
    ours: [bool; 5],
    /// Whether the others pass times on as doubles.
    rounds: bool,
    /// Addresses for clients and for peers.
    addresses: Vec<(String, String)>,
    servers: Vec<Option<Server>>,
}

/// Counts the herds of this process, so that each has hosts of its own: a port that was let go is then taken by
/// nobody who dials.
static HERDS: AtomicU32 = AtomicU32::new(0);

/// Five hosts that no other test uses, as the systems have them on which all of 127.0.0.0/8 is the loopback. Those that
/// have only the one loopback host give that five times.
fn hosts() -> [String; 5] {
    let (process, herd) = (std::process::id(), HERDS.fetch_add(1, Ordering::Relaxed));
    let (high, middle) = (1 + process % 250, 1 + herd % 250);
    let host = |number| format!("127.{high}.{middle}.{number}");
    let has_many = std::net::TcpListener::bind((host(1), 0)).is_ok();
    std::array::from_fn(|place| if has_many { host(place + 1) } else { "127.0.0.1".to_owned() })
}

/// Addresses with ports that nobody has.
fn reserve(hosts: &[&str]) -> Vec<String> {
    let held: Vec<_> = hosts.iter().map(|&host| std::net::TcpListener::bind((host, 0)).unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

struct Nobody;

fn near() -> Recipient<Near> {
    Mocker::<Nobody>::mock(Box::new(|_, _| Box::new(Some(Ok::<_, Panicked>(vec![b"{}".to_vec()])))))
        .start()
        .recipient()
}

impl Herd {
    async fn start(dialect: Dialect, ours: [bool; 5], rounds: bool, room: Room) -> Self {
        let hosts = hosts();
        let host = |place: usize| match room {
            _ if ours[place] => &*hosts[0],
            Room::Shared => &*hosts[1],
            Room::Apart => &*hosts[place],
        };
        let wanted: Vec<&str> = (0..NAMES.len()).flat_map(|place| [host(place); 2]).collect();
        let reserved = reserve(&wanted);
        let addresses = reserved.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let mut herd = Self { dialect, ours, rounds, addresses, servers: Vec::new() };
        for place in 0..NAMES.len() {
            herd.servers.push(None);
            herd.start_one(place).await;
        }
        herd
    }

    async fn start_one(&mut self, place: usize) {
        let neighbours = neighbours(place);
        let at = &self.addresses[place].0;
        self.servers[place] = Some(if self.ours[place] {
            Server::Ours(Node::start(self.settings(place), near(), Seams::real()).await.unwrap())
        } else {
            let named =
                neighbours.iter().map(|&there| (NAMES[there].to_owned(), self.addresses[there].0.clone()));
            let (dialect, rounds) = (self.dialect, self.rounds);
            Server::Theirs(Prototype::start(NAMES[place], dialect, at, named.collect(), rounds).await)
        });
    }

    fn settings(&self, place: usize) -> Settings {
        let (ours, theirs): (Vec<usize>, Vec<usize>) =
            neighbours(place).into_iter().partition(|&there| self.ours[there]);
        let kin = NAMES.iter().zip(self.ours).filter(|(_, ours)| !ours);
        let kin: Vec<String> = kin.map(|(&name, _)| name.to_owned()).collect();
        Settings {
            name: NAMES[place].to_owned(),
            clients: self.addresses[place].0.clone(),
            peers: self.addresses[place].1.clone(),
            neighbours: ours
                .iter()
                .map(|&there| Neighbour {
                    name: NAMES[there].to_owned(),
                    peers: self.addresses[there].1.clone(),
                })
                .collect(),
            strangers: theirs
                .iter()
                .map(|&there| Stranger {
                    name: NAMES[there].to_owned(),
                    clients: self.addresses[there].0.clone(),
                    speaks: self.dialect,
                    kin: kin.clone(),
                })
                .collect(),
            open: false,
            keep: None,
            credentials: Credentials::default(),
            limits: Limits { redial_min_ms: 20, redial_max_ms: 200, ..Limits::default() },
        }
    }

    async fn stop_one(&mut self, place: usize) {
        if let Some(Server::Ours(node)) = self.servers[place].take() {
            node.stop().await;
        }
    }

    async fn stop(mut self) {
        for place in 0..NAMES.len() {
            self.stop_one(place).await;
        }
    }

    /// Says one line to a server as a client does, and tells the first line of its answer.
    async fn say(&self, place: usize, line: &str) -> Option<String> {
        let mut socket = TcpStream::connect(&self.addresses[place].0).await.ok()?;
        socket.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        timeout(PATIENCE, BufReader::new(socket).read_line(&mut answer)).await.ok()?.ok()?;
        Some(answer)
    }

    async fn tell(&self, place: usize, client: &str, time: &str) {
        let answer = self.say(place, &format!("IAMAT {client} {HERE} {time}")).await.unwrap();
        assert!(answer.starts_with(&format!("AT {} ", NAMES[place])), "{answer}");
    }

    /// Whether a server knows a client with a time.
    async fn knows(&self, place: usize, client: &str, time: &str) -> bool {
        let answer = self.say(place, &format!("WHATSAT {client} 10 0")).await.unwrap_or_default();
        let said: Option<f64> = answer.split_whitespace().nth(5).and_then(|said| said.parse().ok());
        answer.starts_with("AT ") && said == time.parse().ok()
    }

    async fn all_know(&self, client: &str, time: &str) {
        for (place, name) in NAMES.iter().enumerate() {
            let what = format!("{name} knows {client} in {}", self.dialect);
            eventually(&what, || self.knows(place, client, time)).await;
        }
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "in time: {what} ");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Which are ours: one in every place, all but one in every place, and two that are apart.
fn mixes() -> Vec<[bool; 5]> {
    let one = |place| std::array::from_fn(|other| other == place);
    let all_but_one = |place| std::array::from_fn(|other| other != place);
    let mut mixes: Vec<[bool; 5]> = (0..5).map(one).collect();
    mixes.extend((0..5).map(all_but_one));
    mixes.push([true, false, false, true, false]);
    mixes
}

async fn told_anywhere_known_everywhere(dialect: Dialect) {
    for (number, ours) in mixes().into_iter().enumerate() {
        let room = if number % 2 == 0 { Room::Shared } else { Room::Apart };
        let herd = Herd::start(dialect, ours, number % 3 == 0, room).await;
        for (place, name) in NAMES.iter().enumerate() {
            herd.tell(place, &format!("from-{name}"), "1520023934.918963997").await;
        }
        for name in NAMES {
            herd.all_know(&format!("from-{name}"), "1520023934.918963997").await;
        }
        herd.stop().await;
    }
}

#[actix::test]
async fn what_is_told_to_either_kind_is_known_to_all_in_changeloc() {
    told_anywhere_known_everywhere(Dialect::Changeloc).await;
}

#[actix::test]
async fn what_is_told_to_either_kind_is_known_to_all_in_trail() {
    told_anywhere_known_everywhere(Dialect::Trail).await;
}

#[actix::test]
async fn what_is_told_to_either_kind_is_known_to_all_in_clientat() {
    told_anywhere_known_everywhere(Dialect::Clientat).await;
}

#[actix::test]
async fn what_is_told_to_either_kind_is_known_to_all_in_update() {
    told_anywhere_known_everywhere(Dialect::Update).await;
}

#[actix::test]
async fn what_is_told_to_either_kind_is_known_to_all_in_at() {
    told_anywhere_known_everywhere(Dialect::At).await;
}

/// Holiday is a prototype, the others are ours: it is told everything again when it is back.
#[actix::test]
async fn a_neighbour_that_was_killed_is_told_what_it_missed_and_what_it_forgot() {
    for dialect in Dialect::ALL {
        let mut herd = Herd::start(dialect, [true, true, false, true, true], false, Room::Shared).await;
        herd.tell(0, "before", "5").await;
        herd.all_know("before", "5").await;
        herd.stop_one(2).await;
        herd.tell(1, "meanwhile", "6").await;
        herd.tell(1, "before", "7").await;
        herd.tell(3, "apart", "6").await;
        eventually("Wilkes knows", || herd.knows(4, "meanwhile", "6")).await;
        herd.start_one(2).await;
        for (client, time) in [("before", "7"), ("meanwhile", "6"), ("apart", "6")] {
            herd.all_know(client, time).await;
        }
        herd.stop().await;
    }
}

/// Goloman is ours, the others are prototypes: what it forgot it hears when somebody says it again.
#[actix::test]
async fn a_server_of_ours_that_was_killed_takes_part_again() {
    for dialect in Dialect::ALL {
        let mut herd = Herd::start(dialect, [true, false, false, false, false], false, Room::Shared).await;
        herd.tell(3, "before", "5").await;
        herd.all_know("before", "5").await;
        herd.stop_one(0).await;
        herd.start_one(0).await;
        herd.tell(1, "after", "6").await;
        herd.tell(0, "here", "6").await;
        herd.all_know("after", "6").await;
        herd.all_know("here", "6").await;
        herd.stop().await;
    }
}

/// Two prototypes with ours between them and no link of their own.
#[actix::test]
async fn updates_of_one_client_at_both_kinds_at_once_end_equal() {
    for dialect in Dialect::ALL {
        let herd = Herd::start(dialect, [true, false, true, false, true], false, Room::Shared).await;
        for round in 0..5 {
            let (older, newer) = (format!("15{round}1"), format!("15{round}2"));
            let (here, there) = if round % 2 == 0 { (1, 2) } else { (0, 3) };
            let (first, second) =
                tokio::join!(herd.tell(here, "kiwi", &older), herd.tell(there, "kiwi", &newer));
            assert_eq!((first, second), ((), ()));
            herd.all_know("kiwi", &newer).await;
        }
        herd.stop().await;
    }
}

#[actix::test]
async fn who_says_something_older_is_told_the_newer() {
    for dialect in Dialect::ALL {
        let herd = Herd::start(dialect, [true, false, true, true, true], false, Room::Shared).await;
        herd.tell(0, "kiwi", "9").await;
        herd.all_know("kiwi", "9").await;
        herd.tell(1, "kiwi", "8").await;
        herd.all_know("kiwi", "9").await;
        herd.stop().await;
    }
}

#[actix::test]
async fn a_neighbour_is_not_told_what_it_said() {
    for dialect in Dialect::ALL {
        let herd = Herd::start(dialect, [true, false, true, true, true], true, Room::Shared).await;
        herd.tell(1, "kiwi", "1520023934.918963997").await;
        eventually("Welsh knows", || herd.knows(3, "kiwi", "1520023934.918963997")).await;
        herd.tell(3, "mark", "5").await;
        eventually("Hands knows", || herd.knows(1, "mark", "5")).await;
        let Some(Server::Theirs(hands)) = &herd.servers[1] else { panic!("Hands is a prototype") };
        let heard = hands.prototype.heard.take();
        assert!(heard.iter().all(|message| message.contains("mark")), "{dialect}: {heard:?}");
        herd.stop().await;
    }
}

/// Whoever begins again with an empty memory asks its neighbours of the other kind.
#[actix::test]
async fn each_kind_searches_the_other_for_a_client_it_does_not_know() {
    for (ours, empty) in [([true, false, true, true, true], 1), ([true, false, false, false, false], 0)] {
        let mut herd = Herd::start(Dialect::Clientat, ours, false, Room::Shared).await;
        herd.tell(3, "plum", "5").await;
        herd.all_know("plum", "5").await;
        herd.stop_one(empty).await;
        herd.start_one(empty).await;
        assert!(herd.knows(empty, "plum", "5").await, "{} asks", NAMES[empty]);
        assert!(!herd.knows(empty, "nobody", "5").await);
        herd.stop().await;
    }
}

/// A server of ours with one neighbour, which does not run, and its address for clients.
async fn alone(speaks: Dialect, stranger: &str) -> (Node, String) {
    alone_within(speaks, stranger, Limits::default()).await
}

async fn alone_within(speaks: Dialect, stranger: &str, limits: Limits) -> (Node, String) {
    let settings = Settings {
        name: "Ours".to_owned(),
        clients: "127.0.0.1:0".to_owned(),
        peers: "127.0.0.1:0".to_owned(),
        neighbours: Vec::new(),
        strangers: vec![Stranger {
            name: "Theirs".to_owned(),
            clients: stranger.to_owned(),
            speaks,
            kin: vec!["Theirs".to_owned()],
        }],
        open: false,
        keep: None,
        credentials: Credentials::default(),
        limits,
    };
    let node = Node::start(settings, near(), Seams::real()).await.unwrap();
    let at = node.clients.to_string();
    (node, at)
}

/// What a server says about itself.
async fn report(node: &Node) -> Report {
    let (seams, peers) = (Seams::real(), node.peers.to_string());
    ask_status(&seams, &peers, "Ours", &Credentials::default(), &Limits::default()).await.unwrap()
}

/// Sends some bytes and leaves the connection open; tells all that comes back until the other side closes.
async fn exchange(at: &str, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("the other side closes").unwrap();
    answer
}

/// Sends lines as a client that closes its side.
async fn session(at: &str, bytes: &str) -> String {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("the other side closes").unwrap();
    answer
}

const UUID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

#[actix::test]
async fn the_question_is_answered_in_the_form_of_the_table() {
    let (node, at) = alone(Dialect::Clientat, "127.0.0.1:9").await;
    let question = format!("WHICHCLIENT kiwi {UUID}");
    assert_eq!(exchange(&at, question.as_bytes()).await, r#"{"FOUND": false}"#);
    let update = format!("CLIENTAT kiwi {HERE} {UUID} +0.263873386 1520023934.918963997 Theirs");
    assert_eq!(exchange(&at, update.as_bytes()).await, "1");
    assert_eq!(exchange(&at, update.as_bytes()).await, "0");
    let expected = r#"{"gps": [34.06893, -118.445127], "skew": "+0.263873386", "time": 1520023934.918964}"#;
    assert_eq!(exchange(&at, question.as_bytes()).await, expected);
    let known = session(&at, "WHATSAT kiwi 10 0\n").await;
    assert!(
        known.starts_with(&format!("AT Theirs +0.263873386 kiwi {HERE} 1520023934.918963997\n")),
        "{known}"
    );
    node.stop().await;
}

#[actix::test]
async fn a_client_at_the_address_of_a_neighbour_is_served_as_any_other() {
    let (node, at) = alone(Dialect::Update, "127.0.0.1:9").await;
    let told = session(&at, &format!("IAMAT kiwi {HERE} 5\nWHATSAT kiwi 10 0\nAT Ours\nUPDATE\n")).await;
    assert!(told.starts_with("AT Ours +"), "{told}");
    assert!(told.ends_with("{}\n\n? AT Ours\n? UPDATE\n"), "{told}");
    assert_eq!(session(&at, "AT Theirs +1 kiwi +1-2 9").await, "? AT Theirs +1 kiwi +1-2 9\n");
    assert_eq!(session(&at, "").await, "");
    assert_eq!(session(&at, "U").await, "? U\n");
    node.stop().await;
}

#[actix::test]
async fn what_cannot_be_read_exactly_is_refused_and_counted() {
    let (node, at) = alone(Dialect::At, "127.0.0.1:9").await;
    assert_eq!(exchange(&at, b"AT Theirs soon kiwi +1-2 9").await, "? AT Theirs soon kiwi +1-2 9\n");
    assert_eq!(exchange(&at, b"AT Theirs +1e-05 kiwi +1-2 9\n").await, "");
    let report = report(&node).await;
    let [link] = &report.links[..] else { panic!("{report:?}") };
    assert_eq!((link.up, link.speaks, link.refused), (false, Some(Dialect::At), Some(1)));
    assert_eq!(report.clients_known, 1);
    let known = session(&at, "WHATSAT kiwi 10 0\n").await;
    assert!(known.starts_with("AT Theirs +0.000010000 kiwi +1-2 9\n"), "{known}");
    node.stop().await;
}

/// What there is of a message that does not end was once taken for the whole: a time of `12` for one of `1234`.
#[actix::test]
async fn a_message_that_does_not_end_is_refused_and_never_cut() {
    let limits =
        Limits { dialect_message_ms: 100, dialect_silence_ms: 60_000, line_max: 1_000, ..Limits::default() };
    let (node, at) = alone_within(Dialect::At, "127.0.0.1:9", limits).await;
    let mut slow = TcpStream::connect(&at).await.unwrap();
    slow.write_all(b"AT Theirs +1 slow +1-2 1").await.unwrap();
    let (mut from, mut to) = slow.into_split();
    let saying = async {
        while to.write_all(b"2").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut answer = [0; 10];
    let heard = tokio::select! {
        () = saying => panic!("it was closed without an answer"),
        heard = timeout(PATIENCE, from.read(&mut answer)) => heard.expect("an answer").unwrap(),
    };
    assert!(answer[..heard].starts_with(b"? AT"), "{answer:?}");
    let long = format!("AT Theirs +1 {} +1-2 5{}", "k".repeat(900), "0".repeat(90));
    let mut socket = TcpStream::connect(&at).await.unwrap();
    socket.write_all(long.as_bytes()).await.unwrap();
    let answer = timeout(PATIENCE, BufReader::new(socket).lines().next_line()).await.unwrap().unwrap();
    assert_eq!(answer, Some(format!("? {}", &long[..1_000])));
    let report = report(&node).await;
    assert_eq!((report.links[0].refused, report.clients_known), (Some(2), 0));
    node.stop().await;
}

#[actix::test]
async fn what_comes_behind_a_message_is_another_one_or_a_clients_line() {
    let (node, at) = alone(Dialect::Clientat, "127.0.0.1:9").await;
    let update = |client: &str| format!("CLIENTAT {client} {HERE} uuid-of-{client} +0.5 5 Theirs");
    let two = format!("{}\r\n{}", update("kiwi"), update("plum"));
    assert_eq!(exchange(&at, two.as_bytes()).await, "11");
    let mixed = "CLIENTAT\nWHATSAT plum 10 0\nWHATSAT nobody 10 0\n";
    let answer = session(&at, mixed).await;
    let expected =
        format!("? CLIENTAT\nAT Theirs +0.500000000 plum {HERE} 5\n{{}}\n\n? WHATSAT nobody 10 0\n");
    assert_eq!(answer, expected);
    node.stop().await;
}

#[actix::test]
async fn what_a_neighbour_would_not_read_to_its_end_is_counted_and_never_cut() {
    for dialect in [Dialect::Trail, Dialect::Clientat] {
        let theirs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (node, at) = alone(dialect, &theirs.local_addr().unwrap().to_string()).await;
        let long = "k".repeat(200);
        session(&at, &format!("IAMAT {long} {HERE} 5\nIAMAT kiwi {HERE} 5\n")).await;
        let mut said = String::new();
        while said.is_empty() {
            let (mut socket, _) = timeout(PATIENCE, theirs.accept()).await.expect("a message").unwrap();
            timeout(PATIENCE, socket.read_to_string(&mut said)).await.expect("its end").unwrap();
        }
        assert!(said.contains(" kiwi ") && said.len() <= 200, "{said}");
        let report = report(&node).await;
        assert_eq!((report.links[0].too_long, report.clients_known), (Some(1), 2));
        node.stop().await;
    }
}

/// How many lines of a diary have a text.
fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

/// 200 commands of a client wrote 52 MB of log: each record whole, with four bytes for each that does not print.
#[actix::test]
async fn what_a_neighbour_cannot_be_told_is_logged_now_and_then_and_never_itself() {
    let theirs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (node, at) = alone(Dialect::Trail, &theirs.local_addr().unwrap().to_string()).await;
    eventually("link", || async { report(&node).await.links[0].up }).await;
    diary::begin();
    let long = "k".repeat(200);
    for number in 0..20 {
        session(&at, &format!("IAMAT {long}{number} {HERE} 5\n")).await;
    }
    eventually("all are given up", || async { report(&node).await.links[0].too_long == Some(20) }).await;
    let lines = diary::read();
    node.stop().await;
    assert_eq!(count(&lines, "Theirs cannot be told a record of 2"), 1, "{lines:?}");
    assert_eq!(count(&lines, &long), 0, "{lines:?}");
}

/// 200 KB of `AT` wrote 9 MB of log.
#[actix::test]
async fn what_is_refused_is_logged_now_and_then_and_what_is_heard_by_its_length() {
    let (node, at) = alone(Dialect::At, "127.0.0.1:9").await;
    diary::begin();
    session(&at, &"AT\n".repeat(20)).await;
    exchange(&at, b"AT Theirs +1 kiwi +1-2 9\n").await;
    let (lines, report) = (diary::read(), report(&node).await);
    node.stop().await;
    assert_eq!(count(&lines, "message of 3 bytes from 127.0.0.1:"), 1, "{lines:?}");
    assert_eq!(count(&lines, "heard Theirs: a record of "), 1, "{lines:?}");
    assert_eq!(count(&lines, "kiwi"), 0, "{lines:?}");
    assert_eq!(report.links[0].refused, Some(20));
}

#[actix::test]
async fn answers_that_cannot_be_read_are_logged_now_and_then() {
    let theirs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (node, at) = alone(Dialect::Clientat, &theirs.local_addr().unwrap().to_string()).await;
    let answering = actix_rt::spawn(async move {
        while let Ok((mut socket, _)) = theirs.accept().await {
            let _ = socket.read(&mut [0; 200]).await; // One that only looks says nothing.
            let _ = socket.write_all(b"what?").await;
        }
    });
    eventually("link", || async { report(&node).await.links[0].up }).await;
    diary::begin();
    for number in 0..5 {
        session(&at, &format!("WHATSAT {number} 10 0\n")).await;
    }
    let lines = diary::read();
    answering.abort();
    node.stop().await;
    assert_eq!(count(&lines, "Theirs gave an answer that cannot be read exactly"), 1, "{lines:?}");
}

#[actix::test]
async fn the_words_of_a_neighbour_are_taken_from_its_address_only() {
    let (node, at) = alone(Dialect::At, "127.0.0.9:9").await;
    assert_eq!(session(&at, "AT Theirs +1 kiwi +1-2 9\n").await, "? AT Theirs +1 kiwi +1-2 9\n");
    node.stop().await;
}
