//! One server's part of the herd's memory: what it knows, what it has seen, what it has to say and to whom.
//!
//! A replica is told what happened and returns or stores what follows; it does nothing. `now_ms` is a
//! monotonic clock of any origin, and `fresh` a UUID that nobody has used, in case one is needed.
//!
//! A *record* is what a client said, which server heard it, and when ([`crate::record`]). An *update* is the lines of
//! some records under one UUID, on its way from server to server; what of it a server did not know is *news* there. A
//! *link* is the connection with a neighbour, and an argument `link` is that neighbour's name; a *way* is a link until it
//! is lost (`tree`). The *ring* has the recent updates, each with a number, until all links have taken them
//! (`flood`). What is lost all the same comes by comparing *digests* of all that is known (`healing`).
//!
//! `faults::is_on(…)` is always false but in tests, which break a rule with it on purpose ([`crate::faults`]).

mod clerk;
mod scrutiny;

use crate::admission::Admission;
use crate::batch::{Batch, GROUP, Order, Pause};
use crate::decimal::Nanos;
use crate::digest::Key;
use crate::faults::{self, Fault};
use crate::flood::{Flood, Taken};
use crate::frame::{Frame, Update, Vocabulary};
use crate::healing::Healing;
use crate::lifetime::Lifetime;
use crate::limits::Limits;
use crate::missing::Missing;
use crate::record::{self, Record, is_ahead, print_receipt, print_voice};
use crate::search::{Asker, Ended, Searches};
use crate::seen::Seen;
use crate::store::{Known, Learned, Store};
use crate::tree::{Arrival, Way};
use clerk::{Clerk, Heard};
use scrutiny::Scrutiny;
use std::slice;
use uuid::Uuid;

/// The memory of one server and its links to the memories of others.
pub struct Replica {
    /// The name of this server, which its records carry.
    name: String,
    /// How its answers to clients begin.
    voice: Vec<u8>,
    /// How the record lines of a batch end; a buffer.
    receipt: Vec<u8>,
    store: Store,
    /// Whether there is room for what is new.
    admission: Admission,
    /// Whether what a neighbour tells can be a record.
    scrutiny: Scrutiny,
    /// When records expire.
    lifetime: Lifetime,
    /// The updates and searches that came by.
    seen: Seen<Sighting>,
    /// What the neighbours are to be told.
    flood: Flood,
    /// Updates that neighbours have and that did not come here.
    missing: Missing,
    /// What is compared with neighbours.
    healing: Healing,
    searches: Searches,
    /// Own searches that ended and that nobody was told of yet.
    ended: Vec<Uuid>,
    /// The journal's entries of what was applied and is not on disk yet, if it is to be.
    applied: Option<Vec<u8>>,
    counts: Counts,
    /// A record line of the update that was heard last, until somebody has asked whose clock is ahead.
    sample: Vec<u8>,
    /// A buffer for the record lines that a batch brings.
    news: Vec<u8>,
    chunk_bytes: usize,
    digest_ms: u64,
}

/// What is remembered of an update or a search that came by.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    arrival: Arrival,
    /// The number of its entry in the ring, if it was ever there.
    number: Option<u64>,
}

impl Sighting {
    fn new(arrival: Arrival) -> Self {
        Self { arrival, number: None }
    }
}

/// What a replica has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records taken because they were newer.
    pub applied: u64,
    /// Records that were older than what was known.
    pub stale: u64,
    /// Records for which there was no room: of clients that were new, or too many of them from one address, and those that
    /// were longer than what they would have replaced.
    pub refused: u64,
    /// Records that were forgotten because their time was up.
    pub expired: u64,
    /// Records that were refused because their time was up when they came.
    pub late: u64,
    /// Lines from neighbours that were no records, or none that a client could have told a server.
    pub malformed: u64,
}

impl Counts {
    /// Counts what became of a record.
    fn note(&mut self, learned: Learned) {
        self.applied += u64::from(learned == Learned::News);
        self.stale += u64::from(learned == Learned::Stale);
        self.refused += u64::from(learned == Learned::Refused);
        self.late += u64::from(learned == Learned::Expired);
    }
}

/// How much a replica holds of what has a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of recent updates, kept for all links.
    pub ring_bytes: usize,
    /// Bytes of questions and answers that wait for one link, where most do.
    pub outbox_bytes: usize,
    /// Seen UUIDs of both generations.
    pub seen: usize,
    /// Updates that neighbours have and that did not come yet.
    pub missing: usize,
    /// Servers with which updates begin.
    pub sources: usize,
    /// Searches under way.
    pub searches: usize,
    /// Questions about what is known here that wait for an answer, of the neighbour of which most do.
    pub questions: usize,
}

/// How many records are looked at for one piece of forgetting: a fraction of a millisecond of work.
const SWEEP_LOOKS: usize = 16 * 1024;

impl Replica {
    /// The memory of a server that has just begun.
    pub fn new(name: &str, limits: &Limits) -> Self {
        let mut voice = Vec::new();
        print_voice(name.as_bytes(), &mut voice);
        Self {
            name: name.to_owned(),
            voice,
            receipt: Vec::new(),
            store: Store::default(),
            admission: Admission::new(limits),
            scrutiny: Scrutiny::new(limits),
            lifetime: Lifetime::new(limits.record_ttl_ms),
            seen: Seen::new(limits.seen_max, limits.seen_ms),
            flood: Flood::new(name, limits),
            missing: Missing::new(limits),
            healing: Healing::new(limits),
            searches: Searches::new(limits),
            ended: Vec::new(),
            applied: None,
            counts: Counts::default(),
            sample: Vec::new(),
            news: Vec::new(),
            chunk_bytes: limits.chunk_bytes,
            digest_ms: limits.digest_ms,
        }
    }

    /// The memory of a server that has just begun, in a herd that hashes with a key of its own.
    pub fn keyed(name: &str, limits: &Limits, key: Key) -> Self {
        Self { store: Store::keyed(key), ..Self::new(name, limits) }
    }

    /// Executes the lines of several clients, those of each until one asks for a pause. What is new in them is put on its way
    /// together, under UUIDs that `fresh` makes.
    pub fn execute_all(&mut self, orders: &mut [Order], now_ms: u64, mut fresh: impl FnMut() -> Uuid) {
        let mut news = std::mem::take(&mut self.news);
        for group in orders.chunks_mut(GROUP) {
            self.foresee(group);
            for Order { batch, received, pause } in group {
                *pause = self.run(batch, *received, now_ms, &mut news);
                if news.len() >= self.chunk_bytes {
                    self.publish(&mut news, now_ms, &mut fresh);
                }
            }
        }
        self.publish(&mut news, now_ms, &mut fresh);
        self.news = news;
    }

    /// The same for the lines of one client, heard at `received`, for whoever has no others at the time, as tests.
    pub fn execute(
        &mut self,
        batch: &mut Batch,
        received: Nanos,
        now_ms: u64,
        fresh: impl FnMut() -> Uuid,
    ) -> Pause {
        let taken = Box::new(std::mem::take(batch));
        let mut order = Order { batch: taken, received, pause: Pause::Done };
        self.execute_all(slice::from_mut(&mut order), now_ms, fresh);
        *batch = *order.batch;
        order.pause
    }

    /// Looks at what the first lines of some batches need, so that the memory is waited for once and not for each. The
    /// lines within a batch look ahead by themselves.
    fn foresee(&self, orders: &[Order]) {
        if let [_, _, ..] = orders {
            let mut clients = [&[][..]; GROUP];
            for (client, order) in clients.iter_mut().zip(orders) {
                *client = order.batch.next_client();
            }
            let _ = self.store.hints(clients, orders.len().min(GROUP));
        }
    }

    fn run(&mut self, batch: &mut Batch, received: Nanos, now_ms: u64, news: &mut Vec<u8>) -> Pause {
        self.receipt.clear();
        print_receipt(received, self.name.as_bytes(), &mut self.receipt);
        let heard = Heard { received, now_ms, from: batch.from, voice: &self.voice, receipt: &self.receipt };
        let is_asked_for = self.flood.has_links() || !self.searches.is_empty();
        let mut clerk = Clerk {
            server: self.name.as_bytes(),
            store: &mut self.store,
            admission: &mut self.admission,
            scrutiny: &mut self.scrutiny,
            counts: &mut self.counts,
            news: is_asked_for.then_some(news),
            applied: self.applied.as_mut(),
        };
        batch.run(|lines, searched, answers| clerk.execute(heard, lines, searched, answers))
    }

    /// Puts news of this server's own on its way to the neighbours, if there is any: in several updates, none of which is
    /// longer than one write to a neighbour and a record line, as one batch may bring more.
    fn publish(&mut self, news: &mut Vec<u8>, now_ms: u64, fresh: &mut impl FnMut() -> Uuid) {
        for piece in record::pieces(news, self.chunk_bytes) {
            self.spread(piece, now_ms, &mut *fresh);
        }
        news.clear();
    }

    /// Hears whose links are about to come up, as the server has just begun. Until `until_ms`, by the clock of every
    /// `now_ms`, searches wait for those, too, and ask them as soon as they are there.
    pub fn expect(&mut self, neighbours: impl IntoIterator<Item = String>, until_ms: u64) {
        self.searches.expect(neighbours, until_ms);
    }

    /// Begins to talk to a neighbour, over a new connection if it had another: first it is to compare, since nobody knows what
    /// it missed. What it is searching for, it is asked again.
    pub fn link_up(&mut self, link: &str, vocabulary: Vocabulary) {
        self.drop_link(link);
        self.flood.link_up(link, vocabulary);
        self.healing.link_up(link, vocabulary);
        if !faults::is_on(Fault::NoCatchUp) {
            self.healing.offer(link, &mut self.store);
        }
        for (uuid, client) in self.searches.link_up(link) {
            if !self.flood.tell(link, &Frame::Which { uuid, client }) {
                self.hear_search_answer(link, uuid);
            }
        }
    }

    /// Notes that a neighbour can no longer be talked to.
    pub fn link_down(&mut self, link: &str) {
        self.drop_link(link);
        let ended = self.searches.link_down(link);
        self.answer(ended);
    }

    /// Forgets what there was between this server and a neighbour, if anything.
    fn drop_link(&mut self, link: &str) {
        if let Some(way) = self.flood.link_down(link) {
            self.missing.lose(way);
        }
        self.healing.link_down(link, &mut self.store);
    }

    /// Hears a frame from a neighbour.
    pub fn hear(&mut self, link: &str, frame: Frame, now_ms: u64, fresh: Uuid) {
        match frame {
            Frame::Update(update) => self.hear_flooded(link, update, now_ms, fresh),
            Frame::Have { uuids } => self.hear_announcement(link, &uuids, now_ms),
            Frame::Want { uuids } => self.hear_want(link, &uuids),
            Frame::Prune { source } => self.flood.hear_prune(link, &source),
            Frame::Graft { source } => self.flood.hear_graft(link, &source),
            Frame::Which { uuid, client } => self.hear_search(link, uuid, &client, now_ms),
            Frame::Found { uuid, line } => {
                let _ = self.take_told(link, &line, now_ms, fresh);
                self.hear_search_answer(link, uuid);
            }
            Frame::NotFound { uuid } => self.hear_search_answer(link, uuid),
            Frame::Digest { root } => self.healing.hear_digest(link, root, &mut self.store),
            Frame::AskSums { node } => self.healing.hear_sums_question(link, node),
            Frame::Sums { node, sums } => {
                self.healing.hear_sums(link, node, sums, &mut self.store, now_ms);
            }
            Frame::AskRecords { spans } => self.healing.hear_records_question(link, &spans),
            Frame::Records { done, lines } => {
                let refused = self.counts.refused;
                let news = self.take_records(link, &lines, now_ms, fresh);
                let had_room = self.counts.refused == refused;
                self.healing.hear_records(link, done, news, had_room, &mut self.store, now_ms);
            }
            Frame::Ping | Frame::Bye { .. } => {} // These concern the link alone, which keeps them to itself.
        }
    }

    /// Searches the herd for a client that this server does not know; tells which search [`Replica::ended`] will name, if there
    /// is one to wait for.
    #[must_use]
    pub fn find(&mut self, client: &[u8], now_ms: u64, fresh: Uuid) -> Option<Uuid> {
        if self.store.find(client).is_some() {
            return None;
        }
        if let Some(uuid) = self.searches.of_own(client) {
            return Some(uuid);
        }
        if !self.ask(fresh, client, Asker::Here, now_ms) {
            return None;
        }
        self.note_begun(fresh, None, now_ms);
        Some(fresh)
    }

    /// Does what is due: gives up searches, asks for updates that fail to come, drops from the ring what all have taken.
    ///
    /// Records that expire are no part of this: [`Replica::set_clock`] and [`Replica::work`] see to them.
    pub fn expire(&mut self, now_ms: u64) {
        let ended = self.searches.expire(now_ms);
        self.answer(ended);
        let wanted = self.missing.pull(now_ms);
        self.flood.pull(wanted);
        self.flood.drop_taken(now_ms);
    }

    /// When there is something to be done though nothing happens, for [`Replica::expire`] or [`Replica::bells`].
    pub fn deadline_ms(&self) -> Option<u64> {
        let deadlines = [self.searches.deadline_ms(), self.missing.deadline_ms(), self.flood.deadline_ms()];
        deadlines.into_iter().flatten().min()
    }

    /// Appends what a link is to write next. When there is more, [`Replica::bells`] will name it.
    pub fn take(&mut self, link: &str, now_ms: u64, out: &mut Vec<u8>) {
        // A flood without end leaves half of each write to the healing.
        let share = if self.healing.owes(link) { self.chunk_bytes / 2 } else { self.chunk_bytes };
        if self.flood.take(link, share, now_ms, out) == Taken::NotAll {
            self.healing.offer(link, &mut self.store);
        }
        self.healing.take(link, &mut self.store, self.chunk_bytes, out);
    }

    /// The links that have more to take than they took; each is named once, until it takes again.
    #[must_use]
    pub fn bells(&mut self, now_ms: u64) -> Vec<String> {
        self.flood.bells(now_ms, |link| self.healing.has_more(link))
    }

    /// Lets all neighbours compare what they know with what is known here. To be done every now and then.
    pub fn compare(&mut self, now_ms: u64) {
        if !faults::is_on(Fault::NoRegularDigests) {
            self.healing.offer_all(&mut self.store, now_ms);
        }
    }

    /// When to compare next, if that was done just now; the dice spread the servers of a herd over time.
    pub fn compare_in_ms(&self, dice: u64) -> u64 {
        let fifth = self.digest_ms / 5;
        (self.digest_ms - fifth).saturating_add(dice % (2 * fifth + 1))
    }

    /// Hears what the time is: what has lived long enough is forgotten.
    pub fn set_clock(&mut self, now: Nanos) {
        let before = self.store.horizon();
        let horizon = self.lifetime.horizon(now, before);
        // What was of no use when it was told may be of use now.
        if horizon < before || horizon > before && self.store.take_crossed() {
            self.healing.ask_all_again();
        }
        self.store.set_horizon(horizon);
    }

    /// True for what was received so long ago that it has expired. Where that was just now, the clock was set back.
    pub fn has_expired(&self, received: Nanos) -> bool {
        received < self.store.horizon()
    }

    /// In how many milliseconds to tell the time again; never if records live for ever.
    pub fn clock_in_ms(&self, now: Nanos) -> Option<u64> {
        self.lifetime.clock_in_ms(now)
    }

    /// True if [`Replica::work`] has something to do.
    pub fn has_work(&self) -> bool {
        self.store.is_sweeping() || self.healing.has_work()
    }

    /// Does a little of the work that forgetting and healing take. What is half forgotten is not compared.
    pub fn work(&mut self, now_ms: u64) {
        if self.store.is_sweeping() {
            self.counts.expired += self.store.sweep(SWEEP_LOOKS) as u64;
        } else {
            self.healing.work(&mut self.store, now_ms);
        }
    }

    /// A server whose clock was further ahead of `now` than a client's may be when it took what was flooded last, and by how
    /// many nanoseconds: its clock or the one here is wrong. Nobody is told twice of one update.
    ///
    /// If it is the one here, what a client says here, even at the right time, counts as older than what it said there.
    #[must_use]
    pub fn whose_clock_is_ahead(&mut self, now: Nanos) -> Option<(String, Nanos)> {
        let line = std::mem::take(&mut self.sample);
        let record = Record::parse(&line).filter(|record| self.scrutiny.passes(&line, record))?;
        let server = String::from_utf8_lossy(record.server).into_owned();
        is_ahead(now, |latest| record.received > latest).then(|| (server, record.received - now))
    }

    /// When a neighbour was last found to know the same, in milliseconds.
    pub fn equal_ms(&self, link: &str) -> Option<u64> {
        self.healing.equal_ms(link)
    }

    /// This server's own searches that ended since this was last asked.
    #[must_use]
    pub fn ended(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.ended)
    }

    /// Takes record lines from disk; tells how many are none. What was acknowledged is remembered, whatever the limits are
    /// today.
    #[must_use]
    pub fn restore(&mut self, lines: &[u8]) -> u64 {
        self.clerk(&mut Vec::new()).restore(lines)
    }

    /// How long records live, in milliseconds; `None` is for ever.
    pub fn lifetime_ms(&self) -> Option<u64> {
        self.lifetime.ttl_ms()
    }

    /// Keeps what is applied from now on, for [`Replica::applied`]; nothing else is recent.
    pub fn keep_applied(&mut self) {
        self.applied = Some(Vec::new());
        self.store.begin_recent();
    }

    /// The journal's entries of what was applied since this was last emptied; whoever writes them to disk empties it.
    pub fn applied(&mut self) -> Option<&mut Vec<u8>> {
        self.applied.as_mut().filter(|entries| !entries.is_empty())
    }

    /// Has what is applied from now on be recent, as a log begins; see [`Store::begin_recent`].
    pub fn begin_recent(&mut self) {
        self.store.begin_recent();
    }

    /// The neighbours that can be talked to.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.flood.links()
    }

    /// What is known of all clients.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How much it holds of what has a limit.
    pub fn load(&self) -> Load {
        Load {
            ring_bytes: self.flood.ring_length(),
            outbox_bytes: self.flood.outbox_length(),
            seen: self.seen.len(),
            missing: self.missing.len(),
            sources: self.flood.sources(),
            searches: self.searches.len(),
            questions: self.healing.questions(),
        }
    }

    /// Hears an update that goes from server to server, if it comes for the first time.
    fn hear_flooded(&mut self, link: &str, mut update: Update, now_ms: u64, fresh: Uuid) {
        let uuid = update.uuid;
        let arrival = self.flood.arrival(link, update.route.take().as_ref(), now_ms);
        if !self.seen.insert(uuid, Sighting::new(arrival), now_ms) {
            if let Some(first) = self.seen.find(&uuid) {
                self.flood.came_again(&first.arrival, &arrival);
            }
            return;
        }
        let sample = update.lines().next().filter(|line| self.scrutiny.fits(line));
        self.sample.clear();
        self.sample.extend_from_slice(sample.unwrap_or_default());
        let asked = self.missing.came(&uuid);
        let (news, is_all_news) = self.take_news(update.bytes());
        let is_news = !news.is_empty();
        if is_all_news {
            self.pass_on(arrival, update);
        } else {
            // A part of it goes on under a UUID of its own. Under that of the whole it would keep the whole, which may come by
            // another link, from a server that needs the rest.
            self.go_on_from_here(arrival.way, news, now_ms, fresh);
        }
        // One that was no news would have changed nothing where it failed to come: its tree is not broken for that.
        self.flood.came(&arrival, is_news && asked == Some(arrival.way));
    }

    fn hear_announcement(&mut self, link: &str, uuids: &[Uuid], now_ms: u64) {
        let Some(way) = self.flood.way(link) else { return };
        for &uuid in uuids {
            if self.seen.find(&uuid).is_none() {
                self.missing.announced(uuid, way, now_ms);
            }
        }
    }

    /// Puts what a neighbour misses on its way; where that is no more in the ring, the neighbour is to compare.
    fn hear_want(&mut self, link: &str, uuids: &[Uuid]) {
        let mut is_late = false;
        for uuid in uuids {
            let number = self.seen.find(uuid).and_then(|sighting| sighting.number);
            is_late |= !number.is_some_and(|number| self.flood.hear_want(link, number));
        }
        if is_late {
            self.healing.offer(link, &mut self.store);
        }
    }

    /// Puts news that came some way on its way, if it is any, as what begins here.
    fn go_on_from_here(&mut self, way: Way, news: Vec<u8>, now_ms: u64, fresh: Uuid) {
        if !news.is_empty() {
            self.note_begun(fresh, None, now_ms);
            self.pass_on(Arrival { way, ..Arrival::here(now_ms) }, Update::new(fresh, news));
        }
    }

    /// Puts an update on its way, and remembers where it is in case that a neighbour asks for it.
    fn pass_on(&mut self, arrival: Arrival, update: Update) {
        let uuid = update.uuid;
        let number = self.flood.push(arrival, update);
        if let Some(sighting) = self.seen.find(&uuid) {
            sighting.number = number;
        }
    }

    /// Takes what is new of record lines that a neighbour tells on being asked. It goes on from here, under a fresh UUID. Tells
    /// how many bytes it was.
    fn take_told(&mut self, link: &str, lines: &[u8], now_ms: u64, fresh: Uuid) -> usize {
        let way = self.flood.way(link).unwrap_or(Way::HERE);
        let (news, _) = self.take_news(lines);
        let length = news.len();
        self.go_on_from_here(way, news, now_ms, fresh);
        length
    }

    /// Takes what is new of records that were asked for. It goes on, unless it is too much. Tells how many bytes it was.
    fn take_records(&mut self, link: &str, lines: &[u8], now_ms: u64, fresh: Uuid) -> usize {
        if self.healing.goes_on(link) {
            self.take_told(link, lines, now_ms, fresh)
        } else {
            let (news, _) = self.take_news(lines); // The other neighbours are told by comparing.
            news.len()
        }
    }

    /// Remembers what begins here, for when it comes round.
    fn note_begun(&mut self, fresh: Uuid, number: Option<u64>, now_ms: u64) {
        let sighting = Sighting { number, ..Sighting::new(Arrival::here(now_ms)) };
        let _ = self.seen.insert(fresh, sighting, now_ms); // A fresh UUID is new by definition.
    }

    /// Takes what is new of record lines; tells that, and whether all of them are.
    fn take_news(&mut self, lines: &[u8]) -> (Vec<u8>, bool) {
        let mut news = Vec::with_capacity(lines.len());
        let is_all_news = self.clerk(&mut news).hear(lines);
        self.end_searches(&news);
        let is_all_news = is_all_news && !news.is_empty();
        (news, is_all_news)
    }

    /// Somebody to take record lines, and to write down which of them are news.
    fn clerk<'a>(&'a mut self, news: &'a mut Vec<u8>) -> Clerk<'a> {
        Clerk {
            server: self.name.as_bytes(),
            store: &mut self.store,
            admission: &mut self.admission,
            scrutiny: &mut self.scrutiny,
            counts: &mut self.counts,
            news: Some(news),
            applied: self.applied.as_mut(),
        }
    }

    /// Puts record lines of this server's own on their way, if there is anybody to tell.
    fn spread(&mut self, news: &[u8], now_ms: u64, fresh: impl FnOnce() -> Uuid) {
        self.end_searches(news);
        if !self.flood.has_links() {
            return;
        }
        let fresh = fresh();
        if let Some(number) = self.flood.say(fresh, news, now_ms) {
            self.note_begun(fresh, Some(number), now_ms);
        }
    }

    /// Ends the searches for the clients of some record lines.
    fn end_searches(&mut self, lines: &[u8]) {
        if self.searches.is_empty() {
            return;
        }
        for record in record::lines(lines).filter_map(Record::parse) {
            let ended = self.searches.found(record.said.client);
            self.answer(ended);
        }
    }

    fn hear_search(&mut self, link: &str, uuid: Uuid, client: &[u8], now_ms: u64) {
        let asker = Asker::Link(link.to_owned());
        let arrival = self.flood.arrival(link, None, now_ms);
        let is_first = self.seen.insert(uuid, Sighting::new(arrival), now_ms);
        let comes_round = match self.searches.asker(&uuid) {
            // It asks again over a new connection, and is answered when the search ends.
            Some(before) if *before == asker => return,
            Some(_) => true,
            None => !is_first,
        };
        let ends_here = self.store.find(client).is_some() || !self.scrutiny.fits(client);
        if comes_round || ends_here || !self.ask(uuid, client, asker.clone(), now_ms) {
            self.answer([Ended { uuid, client: client.to_vec(), asker }]);
        }
    }

    fn hear_search_answer(&mut self, link: &str, uuid: Uuid) {
        let ended = self.searches.answered(uuid, link);
        self.answer(ended);
    }

    /// Asks every neighbour but the asker; false if there is none to ask, now or soon.
    fn ask(&mut self, uuid: Uuid, client: &[u8], asker: Asker, now_ms: u64) -> bool {
        if !self.searches.admit(now_ms) {
            return false;
        }
        let question = Frame::Which { uuid, client: client.to_vec() };
        let links: Vec<String> = self.flood.links().map(str::to_owned).collect();
        let others = links.into_iter().filter(|link| asker != Asker::Link(link.clone()));
        let awaited = others.filter(|link| self.flood.tell(link, &question)).collect();
        self.searches.begin(uuid, client, asker, awaited, now_ms)
    }

    /// Tells those who asked what the searches came to.
    fn answer(&mut self, ended: impl IntoIterator<Item = Ended>) {
        for Ended { uuid, client, asker } in ended {
            let Asker::Link(neighbour) = asker else {
                self.ended.push(uuid);
                continue;
            };
            let known = self.store.find(&client);
            let line = known.map(Known::line).filter(|line| self.scrutiny.fits(line));
            let answer = line.map_or(Frame::NotFound { uuid }, |line| Frame::Found { uuid, line });
            // An answer that finds no room is as good as a late one: the asker's search ends by its deadline.
            let _ = self.flood.tell(&neighbour, &answer);
        }
    }
}
