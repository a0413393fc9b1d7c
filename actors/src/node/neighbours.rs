//! The peers of a server, and the door at which neighbours and newcomers call, and those who ask how it is or who all
//! clients are.

use super::strangers::Strangers;
use super::{Neighbour, Settings, desk_of, seat_for};
use crate::attendance::{Attendance, Seat};
use crate::complaints::Complaints;
use crate::descriptors::room_at_the_door;
use crate::door::{Shaken, greet, tell_status};
use crate::doorstep::Doorstep;
use crate::listing;
use crate::messages::{Count, Join, LinkDesk, LinkDown, Stop};
use crate::net::{Seams, Socket};
use crate::panics::{OnPanic, Panicked};
use crate::peer::{Ends, PeerActor};
use crate::store::StoreActor;
use actix::{Actor, Addr};
use herd_core::decimal::NANOS_PER_SECOND;
use herd_core::handshake::{Hello, Purpose, Refusal, check_lister, check_newcomer};
use herd_core::limits::Limits;
use herd_core::status::{LinkReport, Report};
use log::{debug, warn};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep};

/// How many callers without a link are logged in a while, each with its reason.
const UNLINKED_LOGGED: u64 = 10;

/// How many of those who are told all clients are logged in a while, when it begins.
const LISTED_LOGGED: u64 = 10;

/// The peers of a server, and its door for those that call.
pub(super) struct Neighbours {
    settings: Settings,
    store: Addr<StoreActor>,
    strangers: Strangers,
    desk: LinkDesk,
    seams: Seams,
    began: Instant,
    /// Those of the topology, and those that joined as long as they are linked.
    peers: Rc<RefCell<BTreeMap<String, Addr<PeerActor>>>>,
    attendance: Attendance,
    /// Those who are at the door.
    callers: Rc<Doorstep>,
    /// Of those who had to leave it.
    refused: Complaints,
    /// Those who are told all clients.
    listings: Attendance,
    /// What is said of them.
    listed: Complaints,
    /// Of those who left it without a link: a few neighbours of a wrong secret are all to be seen.
    unlinked: Complaints,
    /// Where the peers that panicked are called out, to be started again.
    fallen: UnboundedSender<Ends>,
    /// True once nobody may join any more.
    is_stopping: Cell<bool>,
}

/// A newcomer that is known; dropping this forgets it.
struct Registration {
    among: Weak<RefCell<BTreeMap<String, Addr<PeerActor>>>>,
    name: String,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(peers) = self.among.upgrade() {
            peers.borrow_mut().remove(&self.name);
        }
    }
}

impl Neighbours {
    pub(super) fn new(
        settings: Settings,
        store: Addr<StoreActor>,
        strangers: Strangers,
        seams: Seams,
    ) -> Rc<Self> {
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
            listings: Attendance::default(),
            listed: Complaints::some(LISTED_LOGGED),
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
            let neighbours = Rc::clone(&self);
            // Each rests by itself.
            actix_rt::spawn(async move {
                let _on_panic = OnPanic::abort(&neighbours.seams.abort, "whoever starts a link again");
                sleep(Duration::from_millis(neighbours.settings.limits.redial_max_ms)).await;
                if !neighbours.is_stopping.get() {
                    neighbours.start_named(&there, address);
                }
            });
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
        let registration = Registration { among: Rc::downgrade(&self.peers), name: name.to_owned() };
        // Dropped in this order: where a name is unknown, its seat is free.
        self.start_peer(name, None, (seat, registration))
    }

    fn start_peer(&self, name: &str, address: Option<String>, seat: impl Any) -> Addr<PeerActor> {
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

    pub(super) fn welcome(self: &Rc<Self>) -> Box<dyn FnMut(Socket, SocketAddr)> {
        let neighbours = Rc::clone(self);
        Box::new(move |socket, from| {
            let opening = Rc::clone(&neighbours);
            let max = room_at_the_door(&socket, neighbours.settings.limits.handshakes_max);
            let talk = async move { opening.open(socket, from).await };
            for from in neighbours.callers.enter(from, max, talk) {
                neighbours.refused.make(format_args!("caller {from} hung up on: too many are at the door"));
            }
        })
    }

    /// Opens the door to one caller.
    async fn open(self: Rc<Self>, socket: Socket, from: SocketAddr) {
        let Settings { credentials, limits, .. } = &self.settings;
        let (mut claimed, mut taken) = (String::new(), None);
        let admit = |hello: &Hello| {
            claimed = format!(" as {:?}", hello.from);
            self.admit(hello)
        };
        let seat = |hello: &Hello| self.seat(hello).map(|seat| taken = seat);
        match greet(socket, credentials, &self.seams.dice, limits, admit, seat).await {
            Err(failure) => {
                self.unlinked.make(format_args!("caller {from} has no link{claimed}: {failure}"));
            }
            Ok((Hello { purpose: Purpose::Status, .. }, shaken)) => self.tell_status(shaken, from).await,
            Ok((Hello { purpose: Purpose::List, from: who, .. }, shaken)) => {
                // It takes no place from those who are at the door.
                actix_rt::spawn(async move { self.tell_all(shaken, from, &who, taken).await });
            }
            Ok((Hello { purpose: Purpose::Link, from: name, .. }, shaken)) => {
                self.join(&name, shaken, taken);
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
        } else if hello.purpose == Purpose::List {
            check_lister(&hello.from)
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

    /// A seat for a newcomer, or for whoever is to be told all clients.
    fn seat(&self, hello: &Hello) -> Result<Option<Seat>, Refusal> {
        let Settings { name, limits: Limits { neighbours_max, listings_max, .. }, .. } = &self.settings;
        let (seat, full) = if hello.purpose == Purpose::List {
            let full = format!("{name} tells as many callers all clients as it may: {listings_max}");
            (self.listings.enter(*listings_max), full)
        } else if self.is_newcomer(hello) {
            let full = format!("{name} has as many neighbours as it may: {neighbours_max}");
            (self.attendance.enter(*neighbours_max), full)
        } else {
            return Ok(None);
        };
        seat.map(Some).ok_or_else(|| Refusal::new(full))
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
            // A peer that is gone belongs to a server that stops, or rests after a panic: the neighbour calls again.
            peer.do_send(Join(shaken));
        }
    }

    async fn tell_status(&self, shaken: Shaken, from: SocketAddr) {
        let report = self.report().await;
        if let Err(error) = tell_status(shaken, &report, &self.settings.limits).await {
            debug!("caller {from} did not take the report: {error}");
        }
    }

    /// Tells a caller all clients, and the log that it does.
    async fn tell_all(&self, shaken: Shaken, from: SocketAddr, who: &str, _seat: Option<Seat>) {
        self.listed.mention(format_args!("caller {from} as {who:?} is told all clients"));
        let (store, limits) = (self.store.clone().recipient(), &self.settings.limits);
        if let Err(error) = listing::tell(shaken, &store, limits).await {
            debug!("caller {from} as {who:?} did not take all clients: {error}");
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
        let (tls, now_s) = (self.settings.credentials.tls.as_ref(), (self.seams.clock)() / NANOS_PER_SECOND);
        Report {
            name: self.settings.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            clients_known: census.clients as u64,
            records_expired: census.counts.expired,
            records_late: census.counts.late,
            uptime_s: self.began.elapsed().as_secs(),
            panics: self.seams.panics.load(Ordering::Relaxed),
            certificate_days: tls.map(|tls| tls.validity().days_left(now_s)),
            links,
        }
    }

    pub(super) async fn stop(&self) {
        self.is_stopping.set(true);
        for peer in self.peers.take().into_values() {
            peer.do_send(Stop); // One that is gone needs no telling.
        }
        self.strangers.stop().await;
        self.attendance.emptied().await;
    }
}
