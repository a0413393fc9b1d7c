//! The actor that knows what is near.
//!
//! It hears [`Near`] from sessions and answers with JSON, and [`Stop`] from whoever started it, upon which it waits for no
//! provider any more; it says nothing to anybody. It asks the providers of its
//! chain one after the other until one answers: over HTTP, or in the index that it carries. Whoever asks what is being
//! asked already waits for the same answer. A panic over a question ends that question. It stops when nobody has its
//! mailbox any more: with the last server that it was handed to.

mod remote;
mod shelf;
mod web;

use self::remote::Remote;
use self::shelf::Shelf;
use self::web::Web;
use crate::messages::{Near, Stop};
use crate::panics::{Panicked, caught, caught_waiting};
use crate::waiting::Bell;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Response, WrapFuture};
use herd_core::places::cache::{Cache, CacheLimits};
use herd_core::places::field_mask::FieldMask;
use herd_core::places::flights::Flights;
use herd_core::places::{
    Chain, Failure, Key, Limits, Provider, Query, Question, Status, envelope, google, legacy,
};
use log::debug;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How places are found.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is asked, in which order; without it Google where there is a key, and the index.
    pub chain: Option<Chain>,
    /// The key that Google knows us by.
    pub key: Option<Key>,
    /// Where the Places API (New) is, without a slash at the end.
    pub google_url: String,
    /// Where the legacy Nearby Search is, without a slash at the end.
    pub google_legacy_url: String,
    /// Where an Overpass server takes questions, up to `/api/interpreter`.
    pub overpass_url: Option<String>,
    /// What the Places API (New) is asked for.
    pub field_mask: FieldMask,
    /// The limits.
    pub limits: Limits,
    /// For how long and how many answers are kept, of providers that allow it.
    pub cache: CacheLimits,
    /// Indexes to search, made by `herd places import`.
    pub files: Vec<PathBuf>,
    /// Whether the index within the program is searched too.
    pub embedded: bool,
    /// Certificates of authorities to believe instead of the public ones, if there are any.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chain: None,
            key: None,
            google_url: google::BASE_URL.to_owned(),
            google_legacy_url: legacy::BASE_URL.to_owned(),
            overpass_url: None,
            field_mask: FieldMask::default(),
            limits: Limits::default(),
            cache: CacheLimits::default(),
            files: Vec::new(),
            embedded: true,
            authorities: Vec::new(),
        }
    }
}

/// Answers what is near.
pub struct PlacesActor {
    desk: Rc<Desk>,
    /// What is being asked, with those who wait for the answer.
    flights: Flights<oneshot::Sender<Answer>>,
}

/// JSON, unless somebody panicked over the question: then it is nobody else's trouble.
type Answer = Result<Vec<u8>, Panicked>;

/// Answers that need no waiting are given as far as this many bytes, for the session that is to hold them.
const ANSWERS_MAX: usize = 64 * 1024;

/// What all questions share, also while they wait.
struct Desk {
    chain: Chain,
    shelf: Shelf,
    remotes: Vec<Remote>,
    /// Answers of providers whose terms let them be kept.
    cache: RefCell<Cache>,
    /// From when the times that the core is told are counted.
    began: Instant,
    /// Rung once, when the server stops.
    stop: Bell,
}

impl PlacesActor {
    /// Makes the actor; nothing is loaded or connected to before it is needed.
    pub fn new(settings: Settings) -> Self {
        let chain = settings.chain.clone().unwrap_or_else(|| Chain::usual(settings.key.is_some()));
        let asked = chain.providers().iter().copied().filter(|provider| provider.is_remote());
        let web = Rc::new(Web::new(&settings.limits, &settings.authorities));
        let remotes = asked.map(|provider| Remote::new(provider, &settings, Rc::clone(&web))).collect();
        let desk = Desk {
            chain,
            shelf: Shelf::new(settings.files, settings.embedded),
            remotes,
            cache: RefCell::new(Cache::new(settings.cache)),
            began: Instant::now(),
            stop: Bell::default(),
        };
        Self { desk: Rc::new(desk), flights: Flights::default() }
    }

    /// Ends a question: everybody who waits for it gets the answer.
    fn land(&mut self, question: &Question, answer: &Answer) {
        for waiter in self.flights.land(question) {
            // Whoever no longer waits needs no answer.
            let _ = waiter.send(answer.clone());
        }
    }
}

impl Actor for PlacesActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // A file that somebody named is read at once, so that the log says soon if it is no good. The index within
        // the program waits for the first question: it is good, and a server that is never asked saves its memory.
        if self.desk.shelf.has_files() && self.desk.chain.providers().contains(&Provider::Offline) {
            let desk = Rc::clone(&self.desk);
            ctx.spawn(
                async move {
                    desk.shelf.load().await;
                }
                .into_actor(self),
            );
        }
    }
}

impl Handler<Near> for PlacesActor {
    type Result = Response<Result<Vec<Vec<u8>>, Panicked>>;

    fn handle(&mut self, Near { queries }: Near, ctx: &mut Self::Context) -> Self::Result {
        let answers = caught(|| self.desk.at_once(&queries));
        let Some(&query) = queries.first().filter(|_| answers.as_ref().is_ok_and(Vec::is_empty)) else {
            return Response::reply(answers);
        };
        let (waiter, answer) = oneshot::channel();
        let question = query.question();
        if self.flights.join(question, waiter) {
            let desk = Rc::clone(&self.desk);
            let asking = caught_waiting(async move { desk.ask(&query).await }).into_actor(self);
            ctx.spawn(asking.map(move |answer, actor, _| actor.land(&question, &answer)));
        }
        Response::fut(async move { Ok(vec![answer.await.unwrap_or_else(|_| Ok(stopped()))?]) })
    }
}

impl Handler<Stop> for PlacesActor {
    type Result = ();

    fn handle(&mut self, Stop: Stop, _: &mut Self::Context) {
        self.desk.stop.ring_last();
    }
}

fn stopped() -> Vec<u8> {
    envelope::empty(Provider::None, Status::UnknownError, Some(STOPS))
}

/// What is said instead of places where nobody is asked any more.
const STOPS: &str = "this server is stopping";

impl Desk {
    /// Answers the first queries as far as that takes no waiting, and until there is much to write.
    fn at_once(&self, queries: &[Query]) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        let mut has_room = |answer: &Vec<u8>| {
            let had_room = bytes < ANSWERS_MAX;
            bytes += answer.len();
            had_room
        };
        let answers = queries.iter().map_while(|query| self.without_waiting(query));
        answers.take_while(|answer| has_room(answer)).collect()
    }

    /// Answers what takes no waiting: nothing wanted, or an index that is loaded and comes first.
    fn without_waiting(&self, query: &Query) -> Option<Vec<u8>> {
        let first = self.chain.providers().first().copied().unwrap_or(Provider::None);
        if query.bound == 0 {
            return Some(envelope::empty(first, Status::ZeroResults, None));
        }
        let index = self.shelf.loaded().filter(|_| first == Provider::Offline)?;
        Some(index.answer(query))
    }

    /// Asks one provider after the other until one answers.
    async fn ask(&self, query: &Query) -> Vec<u8> {
        let mut failures = Vec::new();
        for &provider in self.chain.providers() {
            match self.ask_one(provider, query).await {
                Ok(answer) => return answer,
                Err(failure) => {
                    debug!("places provider={provider} status={}: {}", failure.status, failure.message);
                    failures.push((provider, failure));
                }
            }
        }
        envelope::failed(&failures)
    }

    async fn ask_one(&self, provider: Provider, query: &Query) -> Result<Vec<u8>, Failure> {
        if provider == Provider::Offline {
            return self.shelf.load().await.as_ref().map(|index| index.answer(query)).map_err(Clone::clone);
        }
        let Some(remote) = self.remotes.iter().find(|remote| remote.provider == provider) else {
            return Err(Failure::unasked(Status::RequestDenied, "places are turned off on this server"));
        };
        if !provider.may_be_kept() {
            return self.ask_remote(remote, query).await;
        }
        let kept = |now| self.cache.borrow().find(&query.question(), now).map(<[u8]>::to_vec);
        if let Some(answer) = kept(self.began.elapsed()) {
            return Ok(answer);
        }
        let answer = self.ask_remote(remote, query).await?;
        self.cache.borrow_mut().store(query.question(), answer.clone(), self.began.elapsed());
        Ok(answer)
    }

    /// Asks a provider over the network. A server that stops does not wait for it: the next one may answer at once, and the
    /// client has an answer before its connection ends.
    async fn ask_remote(&self, remote: &Remote, query: &Query) -> Result<Vec<u8>, Failure> {
        tokio::select! {
            biased;
            () = self.stop.rung_last() => Err(Failure::unasked(Status::UnknownError, STOPS)),
            answer = remote.ask(query, self.began) => answer,
        }
    }
}
