//! The sessions of a server: each takes a seat, and all are told when it stops.

use crate::attendance::{Attendance, Seat};
use crate::complaints::Complaints;
use crate::dialect::gate::Gate;
use crate::messages::{Near, Stop};
use crate::net::{Seams, Socket, Transit};
use crate::session::{self, SessionActor};
use crate::store::StoreActor;
use crate::workers::Workers;
use actix::{Actor, Addr, ArbiterHandle, Recipient};
use herd_core::limits::Limits;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Fewer sessions than this are not worth a sweep.
const SWEEP_MIN: usize = 64;

/// The sessions of a server.
pub(super) struct Sessions {
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
    pub(super) fn new(
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

    pub(super) fn welcome(self: &Rc<Self>) -> Box<dyn FnMut(Socket, SocketAddr)> {
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
        let (desk, limits) = (self.desk.clone(), self.limits.clone());
        SessionActor::start_in_arbiter(worker, move |_| match socket.end() {
            Ok(socket) => SessionActor::new(socket, from, desk, &limits, seat),
            Err(error) => SessionActor::lost(from, &error),
        })
    }

    pub(super) async fn stop(&self) {
        self.gate.close();
        for session in self.started.take() {
            session.do_send(Stop); // One that is gone needs no telling.
        }
        self.attendance.emptied().await;
    }
}
