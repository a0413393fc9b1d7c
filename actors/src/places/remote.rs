//! A provider behind the network, with the gate and the lanes that stand before it.

use super::Settings;
use super::web::{Fetched, Web};
use crate::complaints::Complaints;
use actix_rt::task::spawn_blocking;
use herd_core::places::exchange::Access;
use herd_core::places::gate::Gate;
use herd_core::places::remote::{answer, request};
use herd_core::places::{Failure, Limits, Provider, Query, Status};
use log::warn;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

/// A provider that is asked over HTTP.
pub(super) struct Remote {
    pub(super) provider: Provider,
    access: Access,
    web: Rc<Web>,
    gate: RefCell<Gate>,
    lanes: Lanes,
    answer_max: usize,
    /// Whether the last request went well, so that its connection may be used again.
    went_well: Cell<bool>,
    /// Failures after which it does not rest.
    failures: Complaints,
}

impl Remote {
    pub(super) fn new(provider: Provider, settings: &Settings, web: Rc<Web>) -> Self {
        let base_url = match provider {
            Provider::GoogleLegacy => settings.google_legacy_url.clone(),
            Provider::Overpass => settings.overpass_url.clone().unwrap_or_default(),
            _ => settings.google_url.clone(),
        };
        let access = Access { base_url, key: settings.key.clone(), field_mask: settings.field_mask.clone() };
        let gate = RefCell::new(Gate::new(&settings.limits));
        let Limits { answer_max, .. } = settings.limits;
        let lanes = Lanes::new(&settings.limits);
        let (went_well, failures) = (Cell::new(false), Complaints::default());
        Self { provider, access, web, gate, lanes, answer_max, went_well, failures }
    }

    /// Asks, if the gate and the lanes let us. Times are counted from `began`.
    pub(super) async fn ask(&self, query: &Query, began: Instant) -> Result<Vec<u8>, Failure> {
        let request = request(self.provider, &self.access, query)?;
        let _lane = self.lanes.enter().await?;
        self.gate.borrow_mut().admit(began.elapsed())?;
        let may_repeat = || self.went_well.get() && self.gate.borrow_mut().repeat(began.elapsed()).is_ok();
        let fetched = self.web.fetch(&request, may_repeat).await;
        self.went_well.set(fetched.is_ok());
        let outcome = match fetched {
            Ok(fetched) => self.read(fetched, *query).await,
            Err(failure) => Err(failure),
        };
        let key = self.access.key.as_ref();
        let outcome = outcome.map_err(|failure| failure.scrubbed(key));
        let rest = self.gate.borrow_mut().note(&outcome, began.elapsed());
        if let Err(Failure { message, .. }) = &outcome {
            let provider = self.provider;
            match rest {
                Some(rest) => warn!("places provider={provider} rests s={}: {message:?}", rest.as_secs()),
                None => self.failures.make(format_args!("places provider={provider} failed: {message:?}")),
            }
        }
        outcome
    }

    /// Reads what was fetched, in a thread where nobody waits for it: it may be megabytes.
    async fn read(&self, fetched: Fetched, query: Query) -> Result<Vec<u8>, Failure> {
        let (provider, key, answer_max) = (self.provider, self.access.key.clone(), self.answer_max);
        let reading = spawn_blocking(move || {
            answer(provider, &query, &fetched.scrubbed(key.as_ref()).reply(), answer_max)
        });
        // A panic over what was fetched is one over the question. Nobody cancels a reading.
        reading.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }
}

/// How many requests are under way at once, and how many wait for how long.
struct Lanes {
    free: Semaphore,
    waiting: Cell<usize>,
    queue_max: usize,
    queue_wait: Duration,
}

impl Lanes {
    fn new(limits: &Limits) -> Self {
        let free = Semaphore::new(limits.in_flight_max.min(Semaphore::MAX_PERMITS));
        Self { free, waiting: Cell::new(0), queue_max: limits.queue_max, queue_wait: limits.queue_wait }
    }

    async fn enter(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(lane) = self.free.try_acquire() {
            return Ok(lane);
        }
        if self.waiting.get() >= self.queue_max {
            return Err(busy());
        }
        self.waiting.set(self.waiting.get() + 1);
        let lane = timeout(self.queue_wait, self.free.acquire()).await;
        self.waiting.set(self.waiting.get() - 1);
        lane.ok().and_then(Result::ok).ok_or_else(busy)
    }
}

fn busy() -> Failure {
    Failure::unasked(Status::OverQueryLimit, "too many requests to it are under way on this server")
}
