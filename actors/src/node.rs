//! One server: the only place, with its submodules, that knows its actors. Of the places it is handed the mailbox alone.

mod neighbours;
mod sessions;
mod strangers;

use self::neighbours::Neighbours;
use self::sessions::Sessions;
use self::strangers::Strangers;
use crate::attendance::{Attendance, Seat};
use crate::descriptors::Guests;
use crate::dialect;
use crate::door::Credentials;
use crate::journal::{Journal, Keep};
use crate::listener::ListenerActor;
use crate::messages::{Browse, Census, Count, Flush, LinkDesk, Near, Page, Stop};
use crate::net::{Incoming, Seams};
use crate::reason::reason;
use crate::store::StoreActor;
use crate::waiting::Bell;
use crate::workers::Workers;
use actix::{Actor, Addr, Recipient};
use herd_core::handshake::Secret;
use herd_core::limits::Limits;
use herd_core::replica::Replica;
use herd_core::store::Slot;
use log::{info, warn};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

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
    pub strangers: Vec<dialect::Stranger>,
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
    name: String,
    stop_ms: u64,
    store: Addr<StoreActor>,
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
    /// There are to be more workers than the system allows threads.
    Workers,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "its data cannot be read or written: {}", reason(error)),
            Self::Workers => f.write_str("the system allows fewer threads than it is to have workers"),
            Self::Address { purpose, address, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "the address for {purpose}, {address}, is in use")
            }
            Self::Address { purpose, address, error } => {
                write!(f, "the address for {purpose}, {address}, cannot be used: {}", reason(error))
            }
        }
    }
}

impl std::error::Error for StartError {}

/// How long after a server has begun searches wait for links that were not up yet: as long as it takes to find out that a
/// neighbour is there, and not as long as it may be away. The store's milliseconds count from its start.
const LINKS_COME_MS: u64 = 1000;

impl Node {
    /// Takes both addresses, reads what is on disk, and starts the store, the listeners and whoever speaks with neighbours
    /// on the current thread. Sessions start when clients come, on other threads where there are several workers.
    ///
    /// Fails if an address or a thread cannot be had, or the disk cannot be read or written: then nothing was started.
    pub async fn start(settings: Settings, near: Recipient<Near>, seams: Seams) -> Result<Self, StartError> {
        let workers = Workers::start(settings.limits.workers).map_err(|_| StartError::Workers)?;
        // Peers first: whoever finds the address for clients open finds the other open too.
        let for_peers = bind(&seams, "peers", &settings.peers).await?;
        let for_clients = bind(&seams, "clients", &settings.clients).await?;
        let (clients, peers) = (address_of(&*for_clients), address_of(&*for_peers));
        let (mut replica, journal) = recall(&settings, &seams).await.map_err(StartError::Disk)?;
        let ours = settings.neighbours.iter().map(|neighbour| &neighbour.name);
        let theirs = settings.strangers.iter().filter(|stranger| stranger.speaks.searches());
        let to_come = ours.chain(theirs.map(|stranger| &stranger.name)).cloned();
        replica.expect(to_come, LINKS_COME_MS);
        let (name, stop_ms) = (settings.name.clone(), settings.limits.stop_ms);
        let tls = if settings.credentials.tls.is_some() { "on" } else { "off" };
        let Seams { clock, dice, abort, .. } = seams.clone();
        let store = StoreActor::new(replica, journal, clock, dice, Arc::clone(&abort)).start();
        let stop = Arc::<Bell>::default();
        let strangers = Strangers::new(&settings, &store, &seams, Arc::clone(&stop));
        let gate = Rc::clone(&strangers.gate);
        let sessions = Sessions::new(&store, near, &settings.limits, &seams, gate, workers, stop);
        let neighbours = Neighbours::new(settings, store.clone(), strangers, seams);
        let listeners = vec![
            ListenerActor::new(for_clients, Guests::Clients, sessions.welcome(), &abort).start(),
            ListenerActor::new(for_peers, Guests::Peers, neighbours.welcome(), &abort).start(),
        ];
        info!("server {name} started clients={clients} peers={peers} tls={tls}");
        Ok(Self { name, stop_ms, store, listeners, sessions, neighbours, clients, peers })
    }

    /// What the server holds and has done so far.
    pub async fn census(&self) -> Census {
        self.store.send(Count).await.unwrap_or_default()
    }

    /// What the server knows, from a place in its store on: a page of it.
    pub async fn browse(&self, from: Slot) -> Page {
        self.store.send(Browse { from }).await.unwrap_or_default()
    }

    /// Takes no more connections, lets sessions finish what they began, has links say goodbye and the disk take all.
    ///
    /// A client that takes no answers or a neighbour that takes no goodbye must not keep the disk from its turn: each
    /// has its share of a limited time.
    pub async fn stop(self) {
        let (limit, began) = (Duration::from_millis(self.stop_ms), Instant::now());
        let until = |tenths: u32| (limit / 10 * tenths).saturating_sub(began.elapsed());
        // An actor that cannot be told has ended already.
        self.listeners.iter().for_each(|listener| listener.do_send(Stop));
        let sessions = timeout(until(8), self.sessions.stop()).await;
        let links = timeout(until(9), self.neighbours.stop()).await;
        // A store that is gone has ended the server already.
        let flushed = timeout(until(10), self.store.send(Flush)).await;
        let name = &self.name;
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
    info!("memory is being read"); // That of a long log takes a while, and nobody is answered meanwhile.
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

/// A seat for a neighbour; where there is none, the log says so.
fn seat_for(name: &str, attendance: &Attendance, limits: &Limits) -> Option<Seat> {
    let seat = attendance.enter(limits.neighbours_max);
    if seat.is_none() {
        warn!("no link with {name}: there are too many neighbours");
    }
    seat
}

fn desk_of(store: &Addr<StoreActor>) -> LinkDesk {
    LinkDesk {
        link_up: store.clone().recipient(),
        link_down: store.clone().recipient(),
        hear: store.clone().recipient(),
        take: store.clone().recipient(),
    }
}
