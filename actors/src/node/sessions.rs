//! The sessions of a server: each takes a seat, and all are told when it stops.

use crate::attendance::{Attendance, Seat};
use crate::complaints::Complaints;
use crate::dialect::gate::Gate;
use crate::messages::Near;
use crate::net::{Seams, Socket, Transit};
use crate::session::{self, SessionActor};
use crate::store::StoreActor;
use crate::waiting::Bell;
use crate::workers::Workers;
use actix::{Actor, Addr, ArbiterHandle, Recipient};
use herd_core::limits::Limits;
use log::warn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

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
    /// Rung once, for all of them and for the gate, when they are to end.
    stop: Arc<Bell>,
}

impl Sessions {
    pub(super) fn new(
        store: &Addr<StoreActor>,
        near: Recipient<Near>,
        limits: &Limits,
        seams: &Seams,
        gate: Rc<Gate>,
        workers: Workers,
        stop: Arc<Bell>,
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
            workers,
            attendance: Attendance::default(),
            refused: Complaints::default(),
            stop,
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
        match self.workers.next() {
            None => self.start_here(socket, from, seat),
            Some(worker) => match Transit::begin(socket) {
                Ok(socket) => self.start_at(&worker, socket, from, seat),
                Err(socket) => self.start_here(socket, from, seat),
            },
        }
    }

    fn start_here(&self, socket: Socket, from: SocketAddr, seat: Seat) {
        let (desk, stop) = (self.desk.clone(), Arc::clone(&self.stop));
        SessionActor::new(socket, from, desk, &self.limits, stop, seat).start();
    }

    fn start_at(&self, worker: &ArbiterHandle, socket: Transit, from: SocketAddr, seat: Seat) {
        let (desk, limits, stop) = (self.desk.clone(), self.limits.clone(), Arc::clone(&self.stop));
        SessionActor::start_in_arbiter(worker, move |_| {
            let socket = socket.end().unwrap_or_else(|error| {
                warn!("session {from} has lost its connection: {error}");
                Box::new(tokio::io::empty())
            });
            SessionActor::new(socket, from, desk, &limits, stop, seat)
        });
    }

    pub(super) async fn stop(&self) {
        self.stop.ring_last();
        self.attendance.emptied().await;
    }
}
