//! The neighbours of another make, and the gate that tells their connections from clients'.

use super::{Settings, desk_of, seat_for};
use crate::attendance::Attendance;
use crate::dialect::gate::{self, Gate, Known};
use crate::dialect::{self, DialectActor};
use crate::messages::{Look, Standing, Stop};
use crate::net::Seams;
use crate::store::StoreActor;
use crate::waiting::Bell;
use actix::{Actor, Addr};
use herd_core::status::LinkReport;
use std::rc::Rc;
use std::sync::Arc;

/// The neighbours of another make.
pub(super) struct Strangers {
    pub(super) gate: Rc<Gate>,
    actors: Vec<(dialect::Stranger, Addr<DialectActor>)>,
    attendance: Attendance,
}

impl Strangers {
    /// Those of the settings; the gate takes nothing once `stop` has rung.
    pub(super) fn new(settings: &Settings, store: &Addr<StoreActor>, seams: &Seams, stop: Arc<Bell>) -> Self {
        let (limits, attendance) = (&settings.limits, Attendance::default());
        let start = |stranger: &dialect::Stranger| {
            let seat = seat_for(&stranger.name, &attendance, limits)?;
            let here = settings.name.as_str().into();
            let (desk, seams) = (desk_of(store), seams.clone());
            let actor = DialectActor::new(here, stranger.clone(), desk, limits, seams, seat).start();
            Some((stranger.clone(), actor))
        };
        let actors: Vec<_> = settings.strangers.iter().filter_map(start).collect();
        let known = |(stranger, actor): &(dialect::Stranger, Addr<DialectActor>)| {
            Known::new(stranger, actor.clone().recipient(), actor.clone().recipient())
        };
        let desk = gate::Desk { recall: store.clone().recipient(), hear: store.clone().recipient() };
        let gate = Gate::new(actors.iter().map(known).collect(), desk, limits, seams, stop);
        Self { gate, actors, attendance }
    }

    /// Asks all at once, since one that is away may take its time.
    pub(super) async fn report(&self) -> Vec<LinkReport> {
        let ask = |(stranger, actor): &(dialect::Stranger, Addr<DialectActor>)| {
            (stranger.clone(), actix_rt::spawn(actor.send(Look)))
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

    pub(super) async fn stop(&self) {
        self.actors.iter().for_each(|(_, actor)| actor.do_send(Stop)); // One that is gone needs no telling.
        self.attendance.emptied().await;
    }
}
