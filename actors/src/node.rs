//! One server: the only place that knows all its actors.

use crate::attendance::{Attendance, Seat};
use crate::complaints::Complaints;
use crate::dialect::gate::{self, Gate, Known};
use crate::dialect::{self, DialectActor};
use crate::door::{Credentials, Shaken, greet, tell_status};
use crate::doorstep::Doorstep;
use crate::journal::{Journal, Keep};
use crate::listener::ListenerActor;
use crate::messages::{Answers, Census, Count, Dump, Flush, Join, LinkDown, Near, Standing, Stop};
use crate::net::{Incoming, Seams, Socket, Transit};
use crate::panics::{OnPanic, Panicked};
use crate::peer::{self, Ends, PeerActor};
use crate::session::{self, SessionActor};
use crate::store::StoreActor;
use crate::workers::Workers;
use actix::{Actor, Addr, ArbiterHandle, Recipient};
use herd_core::handshake::{Hello, Purpose, Refusal, Secret, check_newcomer};
use herd_core::limits::Limits;
use herd_core::replica::Replica;
use herd_core::status::{LinkReport, Report};
use log::{debug, info, warn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, timeout};

/// What makes a server the one it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the topology.
    pub name: String,
    /// Its address for clients, `host:port`.
    pub clients: String,
    /// Its address for peers, `host:port`.
    pub peers: String,
    /// The servers it keeps links to.
    pub neighbours: Vec<Neighbour>,
    /// The servers of another make that it speaks with.
    pub strangers: Vec<dialect::Neighbour>,
    /// Whether servers may join that it does not know.
    pub open: bool,
    /// What servers must know and show to be neighbours.
    pub credentials: Credentials,
    /// Its limits.
    pub limits: Limits,
    /// Where it keeps what it knows; `None` keeps everything in memory alone.
    pub keep: Option<Keep>,
}

/// A server to keep a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Its address for peers, `host:port`.
    pub peers: String,
}

/// A running server.
pub struct Node {
    listeners: Vec<Addr<ListenerActor>>,
    sessions: Rc<Sessions>,
    neighbours: Rc<Neighbours>,
    /// The address for clients that was taken.
    pub clients: SocketAddr,
    /// The address for peers that was taken.
    pub peers: SocketAddr,
}

/// Why a server could not start.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be taken.
    Address {
        /// What it is for.
        purpose: &'static str,
        /// The address, `host:port`.
        address: String,
        /// Why not.
        error: io::Error,
    },
    /// What it knew could not be read from disk, or its disk cannot be written to.
    Disk(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "its data cannot be read or written: {error}"),
            Self::Address { purpose, address, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "the address for {purpose}, {address}, is in use")
            }
            Self::Address { purpose, address, error } => {
                write!(f, "the address for {purpose}, {address}, cannot be used: {error}")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// How long after a server has begun searches wait for links that were not up yet: as long as it takes to find out that a
/// neighbour is there, and not as long as it may be away.
const LINKS_COME_MS: u64 = 1000;

impl Node {
    /// Takes both addresses and starts all actors on the current thread.
    pub async fn start(settings: Settings, near: Recipient<Near>, seams: Seams) -> Result<Self, StartError> {
        // Peers first: whoever finds the address for clients open finds the other open too.
        let for_peers = bind(&seams, "peers", &settings.peers).await?;
        let for_clients = bind(&seams, "clients", &settings.clients).await?;
        let (clients, peers) = (address_of(&*for_clients), address_of(&*for_peers));
        let (mut replica, journal) = recall(&settings, &seams).await.map_err(StartError::Disk)?;
        let ours = settings.neighbours.iter().map(|neighbour| &neighbour.name);
        let theirs = settings.strangers.iter().filter(|stranger| stranger.speaks.searches());
        let to_come = ours.chain(theirs.map(|stranger| &stranger.name)).cloned();
        replica.expect(to_come, LINKS_COME_MS);
        let Seams { clock, dice, abort, .. } = seams.clone();
        let store = StoreActor::new(replica, journal, clock, dice, abort).start();
        let strangers = Strangers::new(&settings, &store, &seams);
        let sessions = Sessions::new(&store, near, &settings.limits, &seams, Rc::clone(&strangers.gate));
        let neighbours = Neighbours::new(settings, store, strangers, seams);
        let abort = &neighbours.seams.abort;
        let listeners = vec![
            ListenerActor::new(for_clients, sessions.welcome(), abort).start(),
            ListenerActor::new(for_peers, neighbours.welcome(), abort).start(),
        ];
        let Settings { name, credentials, .. } = &neighbours.settings;
        let tls = if credentials.tls.is_some() { "on" } else { "off" };
        info!("server {name} started clients={clients} peers={peers} tls={tls}");
        Ok(Self { listeners, sessions, neighbours, clients, peers })
    }

    /// What the server holds and has done so far.
    pub async fn census(&self) -> Census {
        self.neighbours.store.send(Count).await.unwrap_or_default()
    }

    /// Every record line that the server knows, sorted: equal on two servers that know the same.
    pub async fn dump(&self) -> Vec<Box<[u8]>> {
        self.neighbours.store.send(Dump).await.unwrap_or_default()
    }

    /// Takes no more connections, lets sessions finish what they began, has links say goodbye and the disk take all.
    ///
    /// A client that takes no answers or a neighbour that takes no goodbye must not keep the disk from its turn: each
    /// has its share of a limited time.
    pub async fn stop(self) {
        let (limit, began) = (Duration::from_millis(self.neighbours.settings.limits.stop_ms), Instant::now());
        let until = |tenths: u32| (limit / 10 * tenths).saturating_sub(began.elapsed());
        // An actor that cannot be told has ended already.
        self.listeners.iter().for_each(|listener| listener.do_send(Stop));
        let sessions = timeout(until(8), self.sessions.stop()).await;
        let links = timeout(until(9), self.neighbours.stop()).await;
        // A store that is gone has ended the server already.
        let flushed = timeout(until(10), self.neighbours.store.send(Flush)).await;
        let name = &self.neighbours.settings.name;
        if sessions.is_ok() && links.is_ok() && flushed.is_ok() {
            info!("server {name} stopped");
        } else {
            warn!("server {name} stopped before everybody had finished");
        }
    }
}

/// Reads what the server knew when it ended last, but for what has expired.
async fn recall(settings: &Settings, seams: &Seams) -> io::Result<(Replica, Option<Journal>)> {
    let key = settings.credentials.secret.as_ref().map(Secret::digest_key).unwrap_or_default();
    let mut replica = Replica::keyed(&settings.name, &settings.limits, key);
    replica.set_clock((seams.clock)());
    let Some(keep) = settings.keep.clone() else { return Ok((replica, None)) };
    let (mut lines, mut foreign) = (Vec::with_capacity(RESTORE_SIZE), 0);
    let (journal, read) = Journal::open(keep, settings.limits.log_bytes_min, |line| {
        lines.extend_from_slice(line);
        lines.push(b'\n');
        if lines.len() >= RESTORE_SIZE {
            foreign += replica.restore(&lines);
            lines.clear();
        }
    })
    .await?;
    foreign += replica.restore(&lines);
    let (clients, damaged) = (replica.store().len(), read.damaged + foreign);
    let expired = replica.counts().late;
    info!(
        "memory read clients={clients} entries={} damaged={damaged} torn={} expired={expired}",
        read.entries, read.torn
    );
    if damaged > 0 {
        warn!("{damaged} lines on disk were damaged; neighbours will send what they have of them");
    }
    Ok((replica, Some(journal)))
}

/// So many bytes of record lines are read from disk before they are taken: the store finds the records of many side by side.
const RESTORE_SIZE: usize = 16 * 1024;

async fn bind(seams: &Seams, purpose: &'static str, address: &str) -> Result<Box<dyn Incoming>, StartError> {
    let bound = seams.network.bind(address).await;
    bound.map_err(|error| StartError::Address { purpose, address: address.to_owned(), error })
}

/// The address that was taken; a socket that does not know its own is as good as one at nowhere.
fn address_of(incoming: &dyn Incoming) -> SocketAddr {
    incoming.address().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Fewer sessions than this are not worth a sweep.
const SWEEP_MIN: usize = 64;

/// The sessions of a server.
struct Sessions {
    desk: session::Desk,
    /// Where connections go first that may be a stranger's.
    gate: Rc<Gate>,
    limits: Limits,
    /// Where they run.
    workers: Workers,
    attendance: Attendance,
    /// Of those that found no seat.
    refused: Complaints,
    /// Those that were started; those that have ended are swept out whenever the number has doubled.
    started: RefCell<Vec<Addr<SessionActor>>>,
    /// The number at which the next sweep is due.
    sweep_at: Cell<usize>,
}

impl Sessions {
    fn new(
        store: &Addr<StoreActor>,
        near: Recipient<Near>,
        limits: &Limits,
        seams: &Seams,
        gate: Rc<Gate>,
    ) -> Rc<Self> {
        let desk = session::Desk {
            execute: store.clone().recipient(),
            find: store.clone().recipient(),
            near,
            clock: Arc::clone(&seams.clock),
        };
        Rc::new(Self {
            desk,
            gate,
            limits: limits.clone(),
            workers: Workers::new(limits.workers),
            attendance: Attendance::default(),
            refused: Complaints::default(),
            started: RefCell::default(),
            sweep_at: Cell::new(SWEEP_MIN),
        })
    }

    fn welcome(self: &Rc<Self>) -> Box<dyn FnMut(Socket, SocketAddr)> {
        let sessions = Rc::clone(self);
        Box::new(move |socket, from| sessions.open(socket, from))
    }

    fn open(self: &Rc<Self>, socket: Socket, from: SocketAddr) {
        let Limits { sessions_max, sessions_per_address_max, .. } = self.limits;
        let seat = match self.attendance.enter_from(from.ip(), sessions_max, sessions_per_address_max) {
            Ok(seat) => seat,
            Err(full) => return self.refused.make(format_args!("session {from} refused: {full}")),
        };
        if !self.gate.is_for(from.ip()) {
            return self.start(socket, from, seat);
        }
        let sessions = Rc::clone(self);
        actix_rt::spawn(async move {
            if let Some(socket) = sessions.gate.open(socket, from).await {
                sessions.start(socket, from, seat);
            }
        });
    }

    fn start(&self, socket: Socket, from: SocketAddr, seat: Seat) {
        let session = match self.workers.next() {
            None => self.start_here(socket, from, seat),
            Some(worker) => match Transit::begin(socket) {
                Ok(socket) => self.start_at(&worker, socket, from, seat),
                Err(socket) => self.start_here(socket, from, seat),
            },
        };
        let mut started = self.started.borrow_mut();
        if started.len() >= self.sweep_at.get() {
            started.retain(Addr::connected);
            self.sweep_at.set(SWEEP_MIN.max(started.len() * 2));
        }
        started.push(session);
    }

    fn start_here(&self, socket: Socket, from: SocketAddr, seat: Seat) -> Addr<SessionActor> {
        SessionActor::new(socket, from, self.desk.clone(), &self.limits, seat).start()
    }

    fn start_at(
        &self,
        worker: &ArbiterHandle,
        socket: Transit,
        from: SocketAddr,
        seat: Seat,
    ) -> Addr<SessionActor> {
        let (desk, limits, seat) = (self.desk.clone(), self.limits.clone(), seat.lend());
        SessionActor::start_in_arbiter(worker, move |_| match socket.end() {
            Ok(socket) => SessionActor::new(socket, from, desk, &limits, seat),
            Err(error) => SessionActor::lost(from, &error),
        })
    }

    async fn stop(&self) {
        self.gate.close();
        for session in self.started.take() {
            session.do_send(Stop); // One that is gone needs no telling.
        }
        self.attendance.emptied().await;
    }
}

/// A seat for a neighbour; where there is none, the log says so.
fn seat_for(name: &str, attendance: &Attendance, limits: &Limits) -> Option<Seat> {
    let seat = attendance.enter(limits.neighbours_max);
    if seat.is_none() {
        warn!("no link with {name}: there are too many neighbours");
    }
    seat
}

/// The neighbours of another make.
struct Strangers {
    gate: Rc<Gate>,
    actors: Vec<(dialect::Neighbour, Addr<DialectActor>)>,
    attendance: Attendance,
}

impl Strangers {
    fn new(settings: &Settings, store: &Addr<StoreActor>, seams: &Seams) -> Self {
        let (limits, attendance) = (&settings.limits, Attendance::default());
        let start = |stranger: &dialect::Neighbour| {
            let seat = seat_for(&stranger.name, &attendance, limits)?;
            let here = settings.name.as_str().into();
            let (desk, seams) = (desk_of(store), seams.clone());
            let actor = DialectActor::new(here, stranger.clone(), desk, limits, seams, seat).start();
            Some((stranger.clone(), actor))
        };
        let actors: Vec<_> = settings.strangers.iter().filter_map(start).collect();
        let known = |(stranger, actor): &(dialect::Neighbour, Addr<DialectActor>)| {
            Known::new(stranger, actor.clone().recipient(), actor.clone().recipient())
        };
        let desk = gate::Desk { recall: store.clone().recipient(), hear: store.clone().recipient() };
        let gate = Gate::new(actors.iter().map(known).collect(), desk, limits, seams);
        Self { gate, actors, attendance }
    }

    /// Asks all at once, since one that is away may take its time.
    async fn report(&self) -> Vec<LinkReport> {
        let ask = |(stranger, actor): &(dialect::Neighbour, Addr<DialectActor>)| {
            (stranger.clone(), actix_rt::spawn(actor.send(Answers)))
        };
        let mut reports = Vec::new();
        for (stranger, answer) in self.actors.iter().map(ask).collect::<Vec<_>>() {
            let Standing { answers: up, too_long } =
                answer.await.map(Result::unwrap_or_default).unwrap_or_default();
            let (speaks, refused) = (Some(stranger.speaks), self.gate.refused(&stranger.name));
            let name = stranger.name;
            reports.push(LinkReport { name, up, equal_s: None, speaks, refused, too_long: Some(too_long) });
        }
        reports
    }

    async fn stop(&self) {
        self.actors.iter().for_each(|(_, actor)| actor.do_send(Stop)); // One that is gone needs no telling.
        self.attendance.emptied().await;
    }
}

/// How many callers without a link are logged in a while, each with its reason.
const UNLINKED_LOGGED: u64 = 10;

/// Whom those tell and ask who speak with neighbours.
fn desk_of(store: &Addr<StoreActor>) -> peer::Desk {
    peer::Desk {
        link_up: store.clone().recipient(),
        link_down: store.clone().recipient(),
        hear: store.clone().recipient(),
        take: store.clone().recipient(),
    }
}

/// The peers of a server, and its door for those that call.
struct Neighbours {
    settings: Settings,
    store: Addr<StoreActor>,
    strangers: Strangers,
    desk: peer::Desk,
    seams: Seams,
    began: Instant,
    /// Those of the topology, and those that joined as long as they are linked.
    peers: Rc<RefCell<BTreeMap<String, Addr<PeerActor>>>>,
    attendance: Attendance,
    /// Those who are at the door.
    callers: Rc<Doorstep>,
    /// Of those who had to leave it.
    refused: Complaints,
    /// Of those who left it without a link: a few neighbours of a wrong secret are all to be seen.
    unlinked: Complaints,
    /// Where the peers that panicked are called out, to be started again.
    fallen: UnboundedSender<Ends>,
    /// True once nobody may join any more.
    is_stopping: Cell<bool>,
}

impl Neighbours {
    fn new(settings: Settings, store: Addr<StoreActor>, strangers: Strangers, seams: Seams) -> Rc<Self> {
        let (fallen, called_out) = mpsc::unbounded_channel();
        let neighbours = Rc::new(Self {
            settings,
            desk: desk_of(&store),
            store,
            strangers,
            seams,
            began: Instant::now(),
            peers: Rc::default(),
            attendance: Attendance::default(),
            callers: Rc::default(),
            refused: Complaints::default(),
            unlinked: Complaints::some(UNLINKED_LOGGED),
            fallen,
            is_stopping: Cell::new(false),
        });
        for Neighbour { name, peers } in neighbours.settings.neighbours.clone() {
            neighbours.start_named(&name, peers);
        }
        actix_rt::spawn(Rc::clone(&neighbours).revive(called_out));
        neighbours
    }

    /// Starts peers again that have panicked, each after a rest: what they panicked over may be there still. Whoever
    /// joined by itself joins again.
    async fn revive(self: Rc<Self>, mut fallen: UnboundedReceiver<Ends>) {
        let _on_panic = OnPanic::abort(&self.seams.abort, "whoever starts links again");
        while let Some(Ends { there, address, .. }) = fallen.recv().await {
            warn!("link to {there} down reason={Panicked}");
            let Some(address) = address else { continue };
            sleep(Duration::from_millis(self.settings.limits.redial_max_ms)).await;
            if !self.is_stopping.get() {
                self.start_named(&there, address);
            }
        }
    }

    /// Starts the peer of a neighbour that can be dialled, if there is a seat for it.
    fn start_named(&self, name: &str, address: String) {
        if let Some(seat) = seat_for(name, &self.attendance, &self.settings.limits) {
            self.start_peer(name, Some(address), seat);
        }
    }

    /// Starts the peer of a neighbour that came by itself. It is known as long as it keeps its seat.
    fn start_newcomer(&self, name: &str, seat: Seat) -> Addr<PeerActor> {
        let (peers, whose) = (Rc::downgrade(&self.peers), name.to_owned());
        let seat = seat.then(move || {
            if let Some(peers) = peers.upgrade() {
                peers.borrow_mut().remove(&whose);
            }
        });
        self.start_peer(name, None, seat)
    }

    fn start_peer(&self, name: &str, address: Option<String>, seat: Seat) -> Addr<PeerActor> {
        let ends = Ends { here: self.settings.name.as_str().into(), there: name.into(), address };
        let (credentials, limits) = (self.settings.credentials.clone(), &self.settings.limits);
        let (fallen, store, whose) = (self.fallen.clone(), self.store.clone(), ends.clone());
        let on_panic = OnPanic::new(move || {
            // At once, before whoever joins again has a new link of the name. A store that is gone has no links.
            store.do_send(LinkDown { link: Arc::clone(&whose.there) });
            let _ = fallen.send(whose); // Nobody starts a peer again when the server is at its end.
        });
        let (desk, seams) = (self.desk.clone(), self.seams.clone());
        let peer = PeerActor::new(ends, desk, credentials, limits, seams, on_panic, seat).start();
        self.peers.borrow_mut().insert(name.to_owned(), peer.clone());
        peer
    }

    fn welcome(self: &Rc<Self>) -> Box<dyn FnMut(Socket, SocketAddr)> {
        let neighbours = Rc::clone(self);
        Box::new(move |socket, from| {
            let opening = Rc::clone(&neighbours);
            let talk = async move { opening.open(socket, from).await };
            let max = neighbours.settings.limits.handshakes_max;
            if let Some(from) = neighbours.callers.enter(from, max, talk) {
                neighbours.refused.make(format_args!("caller {from} hung up on: too many are at the door"));
            }
        })
    }

    /// Opens the door to one caller.
    async fn open(&self, socket: Socket, from: SocketAddr) {
        let Settings { credentials, limits, .. } = &self.settings;
        let mut newcomers = None;
        let admit = |hello: &Hello| self.admit(hello);
        let seat = |hello: &Hello| self.seat(hello).map(|seat| newcomers = seat);
        match greet(socket, credentials, &self.seams.dice, limits, admit, seat).await {
            Err(failure) => self.unlinked.make(format_args!("caller {from} has no link: {failure}")),
            Ok((Hello { purpose: Purpose::Status, .. }, shaken)) => self.tell_status(shaken, from).await,
            Ok((Hello { purpose: Purpose::Link, from: name, .. }, shaken)) => {
                self.join(&name, shaken, newcomers);
            }
        }
    }

    /// Whether a caller is known, or need not be.
    fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let Settings { name, .. } = &self.settings;
        if hello.to != *name {
            Err(Refusal::new(format!("this is {name}, not {}", hello.to)))
        } else if hello.purpose == Purpose::Link && self.is_stopping.get() {
            Err(Refusal::new(format!("{name} stops")))
        } else if self.is_newcomer(hello) {
            self.admit_newcomer(&hello.from)
        } else {
            Ok(())
        }
    }

    fn is_newcomer(&self, hello: &Hello) -> bool {
        hello.purpose == Purpose::Link && !self.peers.borrow().contains_key(&hello.from)
    }

    fn admit_newcomer(&self, who: &str) -> Result<(), Refusal> {
        let Settings { name, open, .. } = &self.settings;
        if !open || self.is_taken(who) {
            return Err(Refusal::new(format!(
                "{who} is no neighbour of {name}: name it in the topology or start {name} with --open"
            )));
        }
        check_newcomer(who)
    }

    /// A seat for a newcomer.
    fn seat(&self, hello: &Hello) -> Result<Option<Seat>, Refusal> {
        let Settings { name, limits: Limits { neighbours_max, .. }, .. } = &self.settings;
        let full = || Refusal::new(format!("{name} has as many neighbours as it may: {neighbours_max}"));
        self.is_newcomer(hello).then(|| self.attendance.enter(*neighbours_max).ok_or_else(full)).transpose()
    }

    /// Whether another server here has that name.
    fn is_taken(&self, name: &str) -> bool {
        let Settings { name: here, strangers, .. } = &self.settings;
        name == here || strangers.iter().any(|stranger| stranger.name == name)
    }

    /// Hands a connection to the peer of its name. There may be none although there was one when the caller was
    /// admitted, and the seat that it left may be free.
    fn join(&self, name: &str, shaken: Shaken, seat: Option<Seat>) {
        if self.is_stopping.get() {
            return debug!("{name} comes too late: this server stops");
        }
        let known = self.peers.borrow().get(name).cloned();
        let newcomer = || {
            let seat = seat.or_else(|| seat_for(name, &self.attendance, &self.settings.limits))?;
            Some(self.start_newcomer(name, seat))
        };
        if let Some(peer) = known.or_else(newcomer) {
            peer.do_send(Join(shaken)); // A peer that is gone belongs to a server that stops.
        }
    }

    async fn tell_status(&self, shaken: Shaken, from: SocketAddr) {
        let report = self.report().await;
        if let Err(error) = tell_status(shaken, &report, &self.settings.limits).await {
            debug!("caller {from} did not take the report: {error}");
        }
    }

    async fn report(&self) -> Report {
        let census = self.store.send(Count).await.unwrap_or_default();
        let names: Vec<String> = self.peers.borrow().keys().cloned().collect();
        let link = |name: String| {
            let compared = census.links.get(&name);
            let (up, equal_s) = (compared.is_some(), compared.copied().flatten().map(|ms| ms / 1000));
            LinkReport { name, up, equal_s, ..LinkReport::default() }
        };
        let mut links: Vec<LinkReport> = names.into_iter().map(link).collect();
        links.extend(self.strangers.report().await);
        Report {
            name: self.settings.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            clients_known: census.clients as u64,
            records_expired: census.counts.expired,
            records_late: census.counts.late,
            uptime_s: self.began.elapsed().as_secs(),
            panics: self.seams.panics.load(Ordering::Relaxed),
            links,
        }
    }

    async fn stop(&self) {
        self.is_stopping.set(true);
        for peer in self.peers.take().into_values() {
            peer.do_send(Stop); // One that is gone needs no telling.
        }
        self.strangers.stop().await;
        self.attendance.emptied().await;
    }
}
