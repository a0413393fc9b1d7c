//! What a panic ends: whole servers on real sockets, with parts that panic when a test says so.

use actix::{Actor, Context, Handler, Recipient};
use herd_actors::door::{Credentials, ask_status};
use herd_actors::messages::Near;
use herd_actors::net::{Incoming, Network, Seams, Socket};
use herd_actors::node::{Neighbour, Node, Settings};
use herd_actors::panics::Panicked;
use herd_actors::waiting::Step;
use herd_core::limits::Limits;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Panics once after it was lit.
#[derive(Clone, Default)]
struct Fuse(Arc<AtomicBool>);

impl Fuse {
    fn light(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_out(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    fn burn(&self) {
        assert!(!self.0.swap(false, Ordering::Relaxed), "as the test wants");
    }
}

/// A fuse for each part of a server.
#[derive(Clone, Default)]
struct Fuses {
    clock: Fuse,
    dice: Fuse,
    /// Burns when somebody comes in, at either address.
    accept: Fuse,
    /// Burns when something is read from a server that was dialled.
    dialled: Fuse,
    places: Fuse,
}

/// The operating system's network, with fuses.
struct Fused(Fuses);

impl Network for Fused {
    fn bind<'a>(&'a self, address: &'a str) -> Step<'a, Box<dyn Incoming>> {
        Box::pin(async move {
            let listener = tokio::net::TcpListener::bind(address).await?;
            let incoming: Box<dyn Incoming> = Box::new(FusedListener(listener, self.0.accept.clone()));
            Ok(incoming)
        })
    }

    fn connect<'a>(&'a self, address: &'a str, _: Duration) -> Step<'a, Socket> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            let socket: Socket = Box::new(FusedStream(stream, self.0.dialled.clone()));
            Ok(socket)
        })
    }
}

struct FusedListener(tokio::net::TcpListener, Fuse);

impl Incoming for FusedListener {
    fn accept(&mut self) -> Step<'_, (Socket, SocketAddr)> {
        Box::pin(async {
            let (stream, from) = self.0.accept().await?;
            self.1.burn();
            let socket: Socket = Box::new(stream);
            Ok((socket, from))
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct FusedStream(TcpStream, Fuse);

impl AsyncRead for FusedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(task, buf);
        if read.is_ready() {
            self.1.burn();
        }
        read
    }
}

impl AsyncWrite for FusedStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

/// Places that say when a question was too much for them.
struct Places(Fuse);

impl Actor for Places {
    type Context = Context<Self>;
}

impl Handler<Near> for Places {
    type Result = Result<Vec<Vec<u8>>, Panicked>;

    fn handle(&mut self, _: Near, _: &mut Self::Context) -> Self::Result {
        herd_actors::panics::caught(|| self.0.burn()).map(|()| vec![b"{}".to_vec()])
    }
}

/// A server, its fuses, and why it would have ended.
struct Server {
    node: Node,
    fuses: Fuses,
    seams: Seams,
    ended: Arc<Mutex<Vec<String>>>,
}

/// How long a link rests whose peer has panicked.
const REST_MS: u64 = 200;

fn limits() -> Limits {
    Limits { redial_max_ms: REST_MS, ..Limits::default() }
}

async fn server(name: &str, neighbours: &[(&str, SocketAddr)]) -> Server {
    let (fuses, ended) = (Fuses::default(), Arc::<Mutex<Vec<String>>>::default());
    let (clock, dice, reasons) = (fuses.clock.clone(), fuses.dice.clone(), Arc::clone(&ended));
    let real = Seams::real();
    let seams = Seams {
        network: Arc::new(Fused(fuses.clone())),
        clock: Arc::new(move || {
            clock.burn();
            (real.clock)()
        }),
        dice: Arc::new(move || {
            dice.burn();
            (real.dice)()
        }),
        abort: Arc::new(move |reason| reasons.lock().unwrap().push(reason.to_owned())),
        panics: real.panics,
    };
    let neighbour =
        |&(name, peers): &(&str, SocketAddr)| Neighbour { name: name.to_owned(), peers: peers.to_string() };
    let settings = Settings {
        name: name.to_owned(),
        clients: "127.0.0.1:0".to_owned(),
        peers: "127.0.0.1:0".to_owned(),
        neighbours: neighbours.iter().map(neighbour).collect(),
        strangers: Vec::new(),
        open: true,
        credentials: Credentials::default(),
        limits: limits(),
        keep: None,
    };
    let near: Recipient<Near> = Places(fuses.places.clone()).start().recipient();
    let node = Node::start(settings, near, seams.clone()).await.unwrap();
    Server { node, fuses, seams, ended }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.node.clients).await.unwrap()
    }

    /// Says something as a client that hangs up on its side then; what comes back until the server hangs up too.
    async fn say(&self, commands: &str) -> String {
        let mut client = self.connect().await;
        client.write_all(commands.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        rest(&mut client).await
    }

    fn reasons(&self) -> Vec<String> {
        self.ended.lock().unwrap().clone()
    }
}

/// What comes until the other side hangs up, which it must.
async fn rest(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that ends with bytes unread is reset, which is an end like any other here.
    let _ = timeout(Duration::from_secs(20), client.read_to_end(&mut answer)).await.expect("no end");
    String::from_utf8(answer).unwrap()
}

async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("never {what}"));
}

const IAMAT: &str = "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n";

#[actix::test]
async fn a_session_that_panics_ends_its_connection_and_no_other() {
    let server = server("Goloman", &[]).await;
    let mut other = server.connect().await;
    server.fuses.clock.light();
    assert_eq!(server.say(IAMAT).await, "");
    assert!(server.say(IAMAT).await.starts_with("AT Goloman "));
    other.write_all(IAMAT.as_bytes()).await.unwrap();
    other.shutdown().await.unwrap();
    assert!(rest(&mut other).await.starts_with("AT Goloman "));
    assert!(server.reasons().is_empty());
}

#[actix::test]
async fn a_question_about_places_that_panics_ends_its_connection_and_no_other() {
    let server = server("Goloman", &[]).await;
    assert!(server.say(IAMAT).await.starts_with("AT Goloman "));
    server.fuses.places.light();
    let answer = server.say("WHATSAT kiwi 10 5\nnever reached\n").await;
    assert!(!answer.contains('{') && !answer.contains("never"), "{answer}");
    assert!(server.say("WHATSAT kiwi 10 5\n").await.ends_with("{}\n\n"));
    assert!(server.reasons().is_empty());
}

#[actix::test]
async fn a_link_that_panics_is_lost_and_made_again() {
    let hands = server("Hands", &[]).await;
    let goloman = server("Goloman", &[("Hands", hands.node.peers)]).await;
    let linked = async || goloman.node.census().await.links.contains_key("Hands");
    eventually("linked", linked).await;
    goloman.fuses.dialled.light();
    eventually("lost", async || goloman.fuses.dialled.is_out() && !linked().await).await;
    assert!(goloman.say(IAMAT).await.starts_with("AT Goloman "));
    eventually("linked again", linked).await;
    eventually("told", async || hands.node.census().await.clients == 1).await;
    assert!(goloman.reasons().is_empty() && hands.reasons().is_empty());
}

#[actix::test]
async fn a_store_that_panics_ends_the_server_before_it_answers() {
    let server = server("Goloman", &[]).await;
    let mut client = server.connect().await;
    server.fuses.dice.light();
    // A search begins with a throw of the dice.
    client.write_all(b"WHATSAT kiwi 10 5\n").await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(server.reasons(), ["the store has panicked"]);
}

#[actix::test]
async fn a_listener_that_panics_ends_the_server() {
    let server = server("Goloman", &[]).await;
    server.fuses.accept.light();
    let _client = server.connect().await;
    eventually("ended", async || server.reasons() == ["a listener has panicked"]).await;
}

#[actix::test]
async fn a_server_says_how_many_panics_there_were() {
    let server = server("Goloman", &[]).await;
    server.seams.panics.store(3, Ordering::Relaxed);
    let address = server.node.peers.to_string();
    let asked = ask_status(&Seams::real(), &address, "Goloman", &Credentials::default(), &limits()).await;
    assert_eq!(asked.unwrap().panics, 3);
}
