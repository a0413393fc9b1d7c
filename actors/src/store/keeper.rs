//! How the store keeps what it knows on disk: appends, syncs that nobody has to wait for twice, and snapshots.

use super::StoreActor;
use crate::disk::Appendable;
use crate::journal::{Durability, Journal, Mark, Snapshot};
use crate::messages::Executed;
use crate::reason::reason;
use crate::waiting::Step;
use actix::dev::OneshotSender;
use actix::{ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use herd_core::faults::{self, Fault};
use herd_core::store::{Scope, Slot};
use log::info;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// The disk side of the store.
pub struct Keeper {
    journal: Journal,
    /// The last append that is known to be synced.
    synced: Mark,
    /// Syncs under way. While there is one, of this log or of the one before it, what is appended goes with the next.
    syncs: u32,
    /// True once a sync is due in a while.
    is_due: bool,
    /// Answers that wait for the sync of an append.
    waiting: VecDeque<(Mark, Vec<Answer>)>,
    /// True from the decision for a snapshot to its end.
    is_copying: bool,
    /// When it began to keep.
    began: Instant,
    /// When there was nothing dead on the disk last, or a snapshot was begun. What was there at the start may be of any age.
    clean: Option<Instant>,
}

/// How long an update that the operating system has may wait for the disk, in [`Durability::Write`].
pub const SYNC_MAX: Duration = Duration::from_millis(100);

/// How many bytes of record lines a snapshot takes at a time. Clients wait for these, or for as many as were appended to
/// the log since the last were taken: a snapshot that takes less when it is busy would be overtaken by the log.
const COPY_SIZE: usize = 64 * 1024;

/// What is dead is not cleaned from the disk more often than this, however short a lifetime is.
const CLEAN_MIN: Duration = Duration::from_secs(60);

/// What was dead at the start stays for so long: whoever sees that the lifetime is in the wrong unit, or that the clock was not
/// set yet, can still stop the server.
const CLEAN_FIRST: Duration = Duration::from_secs(60 * 60);

/// A snapshot on its way.
struct Copying {
    snapshot: Snapshot,
    /// What it is to have.
    scope: Scope,
    /// What is copied next.
    slot: Slot,
    /// How long the log was when something was copied last.
    log_length: u64,
}

impl Keeper {
    /// A keeper of a journal that was just opened.
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            synced: 0,
            syncs: 0,
            is_due: false,
            waiting: VecDeque::new(),
            is_copying: false,
            began: Instant::now(),
            clean: None,
        }
    }

    /// Whether everything that was appended counts as kept.
    fn kept(&self) -> Kept {
        let last = self.journal.last();
        let is_synced = self.synced >= last || faults::is_on(Fault::SkipsSync);
        let waits = self.journal.durability == Durability::Sync && !is_synced;
        if waits { Kept::After(last) } else { Kept::Now }
    }

    /// Notes it if nothing dead is on the disk, where so many records and bytes are alive.
    fn note_clean(&mut self, records: u64, bytes: u64) {
        if !self.journal.has_dead(records, bytes) {
            self.clean = Some(Instant::now());
        }
    }

    /// Whether something dead may have been on the disk for a lifetime.
    fn is_unclean(&self, lifetime_ms: u64) -> bool {
        let lifetime = Duration::from_millis(lifetime_ms).max(CLEAN_MIN);
        self.clean.map_or(self.began.elapsed() >= CLEAN_FIRST, |clean| clean.elapsed() >= lifetime)
    }

    /// Notes that everything up to an append is synced; whoever waited for that goes on.
    fn note_synced(&mut self, mark: Mark) {
        self.synced = self.synced.max(mark);
        while self.waiting.front().is_some_and(|(mark, _)| *mark <= self.synced) {
            for answer in self.waiting.pop_front().map(|(_, answers)| answers).unwrap_or_default() {
                answer.give();
            }
        }
    }
}

/// A batch on its way back, and to whom.
pub(super) struct Answer(pub OneshotSender<Executed>, pub Executed);

impl Answer {
    /// Gives a session its batch back.
    pub fn give(self) {
        let Self(session, executed) = self;
        let _ = session.send(executed); // The session may have hung up meanwhile.
    }
}

/// When answers may go out.
pub(super) enum Kept {
    /// At once.
    Now,
    /// When this append is synced.
    After(Mark),
    /// Never: the server is at its end.
    Never,
}

impl StoreActor {
    /// Appends to the log what was just applied. Tells when all that is known counts as kept, and not just that: an answer
    /// may show what another client has only just said.
    pub(super) fn keep(&mut self, ctx: &mut Context<Self>) -> Kept {
        let Some(keeper) = &mut self.keeper else { return Kept::Now };
        if let Some(applied) = self.replica.applied() {
            if faults::is_on(Fault::WritesFirstOnly) {
                applied.truncate(applied.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1));
            }
            let appended = keeper.journal.append(applied);
            applied.clear();
            if self.or_end(appended, ctx).is_none() {
                return Kept::Never;
            }
            self.consider_snapshot(ctx);
            self.see_to_sync(ctx);
        }
        self.keeper.as_ref().map_or(Kept::Now, Keeper::kept)
    }

    /// Gives answers when an append is synced.
    pub(super) fn answer_after(&mut self, mark: Mark, answers: Vec<Answer>) {
        if let Some(keeper) = &mut self.keeper {
            keeper.waiting.push_back((mark, answers));
        }
    }

    /// Sees to it that what was just appended is synced in time.
    fn see_to_sync(&mut self, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else { return };
        match keeper.journal.durability {
            Durability::None => {}
            Durability::Sync => self.sync(ctx),
            Durability::Write if faults::is_on(Fault::NeverSyncs) => {}
            Durability::Write => {
                if !std::mem::replace(&mut keeper.is_due, true) {
                    ctx.run_later(SYNC_MAX, Self::sync_due);
                }
            }
        }
    }

    /// Syncs what has waited long enough; a disk that is still at the last sync is given more time.
    fn sync_due(&mut self, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else { return };
        if keeper.syncs > 0 {
            ctx.run_later(SYNC_MAX, Self::sync_due);
            return;
        }
        keeper.is_due = false;
        self.sync(ctx);
    }

    /// Begins a sync of what was appended so far, unless one goes on.
    fn sync(&mut self, ctx: &mut Context<Self>) {
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.syncs == 0) else { return };
        keeper.syncs += 1;
        let (mark, syncing) = (keeper.journal.last(), keeper.journal.sync());
        self.after(syncing, ctx, move |store, ctx| store.synced(mark, ctx));
    }

    /// A sync is done; what came too late for it has another begun.
    fn synced(&mut self, mark: Mark, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.syncs -= 1;
        let covers_later = faults::is_on(Fault::SyncCoversLater);
        keeper.note_synced(if covers_later { keeper.journal.last() } else { mark });
        if matches!(keeper.kept(), Kept::After(_)) {
            self.sync(ctx);
        }
    }

    /// Begins a snapshot if the files have grown past what is worth keeping, or that has shrunk as records expired. Where
    /// records have a lifetime, what is dead is to leave the disk, too: no log is kept then, and no file much longer than that.
    pub(super) fn consider_snapshot(&mut self, ctx: &mut Context<Self>) {
        let (store, lifetime_ms) = (self.replica.store(), self.replica.lifetime_ms());
        let (clients, bytes) = (store.len() as u64, store.bytes());
        let recent = if lifetime_ms.is_none() { store.recent() as u64 } else { 0 };
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| !keeper.is_copying) else { return };
        let is_unclean = lifetime_ms.is_some_and(|lifetime_ms| {
            keeper.note_clean(clients, bytes);
            keeper.is_unclean(lifetime_ms)
        });
        let due = keeper.journal.due(clients, bytes, recent);
        let Some(scope) = due.or(is_unclean.then_some(Scope::All)) else { return };
        keeper.is_copying = true;
        keeper.clean = Some(Instant::now());
        let prepared = keeper.journal.prepare();
        if let Some((next, named)) = self.or_end(prepared, ctx) {
            self.after(named, ctx, move |store, ctx| store.begin_snapshot(next, scope, ctx));
        }
    }

    fn begin_snapshot(&mut self, next: Box<dyn Appendable>, scope: Scope, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else { return };
        let mark = keeper.journal.last();
        keeper.syncs += 1;
        let begun = keeper.journal.begin(next, scope);
        self.replica.begin_recent();
        let Some((synced, snapshot)) = self.or_end(begun, ctx) else { return };
        self.after(synced, ctx, move |store, ctx| {
            store.synced(mark, ctx);
            store.copy(Copying { snapshot, scope, slot: 0, log_length: store.log_length() }, ctx);
        });
    }

    /// Copies the next records to a snapshot, and the rest when everybody else has had a turn.
    fn copy(&mut self, mut copying: Copying, ctx: &mut Context<Self>) {
        let log_length = self.log_length();
        let appended = log_length - std::mem::replace(&mut copying.log_length, log_length);
        let mut lines = Vec::new();
        for _ in 0..(appended / COPY_SIZE as u64).max(1) {
            lines.clear();
            let next = self.replica.store().print_from(copying.slot, copying.scope, COPY_SIZE, &mut lines);
            let copied = copying.snapshot.append(&lines);
            if self.or_end(copied, ctx).is_none() {
                return;
            }
            let Some(slot) = next else { return self.finish_snapshot(copying.snapshot, ctx) };
            copying.slot = slot;
        }
        // What an actor notifies itself of is done in the same turn, and so would all of the snapshot be.
        let turn = yield_now().into_actor(self);
        ctx.spawn(turn.map(|(), store, ctx| store.copy(copying, ctx)));
    }

    fn log_length(&self) -> u64 {
        self.keeper.as_ref().map_or(0, |keeper| keeper.journal.log_length())
    }

    fn finish_snapshot(&mut self, mut snapshot: Snapshot, ctx: &mut Context<Self>) {
        let finished = snapshot.finish();
        let Some((length, synced)) = self.or_end(finished, ctx) else { return };
        self.after(synced, ctx, move |store, ctx| store.name_snapshot(length, ctx));
    }

    fn name_snapshot(&mut self, length: u64, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else { return };
        let finished = keeper.journal.finish(length);
        let Some(named) = self.or_end(finished, ctx) else { return };
        self.after(named, ctx, move |store, ctx| store.tidy(length, ctx));
    }

    fn tidy(&mut self, length: u64, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else { return };
        // What is dead is to leave the disk, here too.
        let tidied = keeper.journal.tidy(self.replica.lifetime_ms().is_none());
        let Some(tidied) = self.or_end(tidied, ctx) else { return };
        self.after(tidied, ctx, move |store, _| store.snapshot_done(length));
    }

    fn snapshot_done(&mut self, length: u64) {
        if let Some(keeper) = &mut self.keeper {
            keeper.is_copying = false;
            info!("snapshot written bytes={length} clients={}", self.replica.store().len());
        }
    }

    /// Syncs everything, as the last thing that is done.
    pub(super) fn flush(&mut self) -> Option<Step<'static, ()>> {
        self.keeper.as_ref().map(|keeper| keeper.journal.finish_all())
    }

    /// Goes on when the disk has done something; if it has failed, the server ends instead.
    fn after(
        &mut self,
        step: Step<'static, ()>,
        ctx: &mut Context<Self>,
        next: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        ctx.spawn(step.into_actor(self).map(|done, store, ctx| {
            if store.or_end(done, ctx).is_some() {
                next(store, ctx);
            }
        }));
    }

    /// What was done; if it failed, the server ends. Nothing is tried again: what a disk says after it has failed
    /// once is worth nothing.
    pub(super) fn or_end<T>(&mut self, done: io::Result<T>, ctx: &mut Context<Self>) -> Option<T> {
        done.map_err(|error| {
            if faults::is_on(Fault::OutlivesItsDisk) {
                return;
            }
            let why = reason(&error);
            (self.abort)(&format!("the disk failed, and nothing more can be acknowledged: {why}"));
            ctx.terminate();
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Keep, UNFINISHED};
    use crate::messages::{Browse, Count, Execute, Find, Flush, Hear, LinkUp};
    use crate::net::{Abort, Clock};
    use crate::testing::{MemoryDisk, NOON, counting, recording, running};
    use actix::{Actor, Addr};
    use herd_core::batch::{Batch, Pause};
    use herd_core::frame::{Frame, Update, Vocabulary};
    use herd_core::journal::END;
    use herd_core::limits::Limits;
    use herd_core::record;
    use herd_core::replica::Replica;
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::time::timeout;
    use uuid::Uuid;

    /// So long is a log before it is long.
    const LOG_BYTES_MIN: u64 = 1024 * 1024;

    struct Bench {
        store: Addr<StoreActor>,
        disk: MemoryDisk,
        has_ended: Arc<AtomicBool>,
    }

    async fn bench(durability: Durability) -> Bench {
        bench_with(durability, &Limits::default()).await
    }

    async fn bench_with(durability: Durability, limits: &Limits) -> Bench {
        bench_on(MemoryDisk::default(), durability, limits, running()).await
    }

    async fn bench_on(disk: MemoryDisk, durability: Durability, limits: &Limits, clock: Clock) -> Bench {
        let mut replica = Replica::new("Goloman", limits);
        replica.set_clock(clock());
        let keep = Keep { disk: Arc::new(disk.clone()), durability };
        let (journal, _) =
            Journal::open(keep, LOG_BYTES_MIN, |line| assert_eq!(replica.restore(line), 0)).await.unwrap();
        let has_ended: Arc<AtomicBool> = Arc::default();
        let ended = Arc::clone(&has_ended);
        let abort: Abort = Arc::new(move |_| ended.store(true, Ordering::Relaxed));
        let store = StoreActor::new(replica, Some(journal), clock, counting(), abort).start();
        Bench { store, disk, has_ended }
    }

    impl Bench {
        /// Has a check-in executed; nothing if it is not answered in a second.
        async fn check_in(&self, client: &str, time: u32) -> Option<usize> {
            let batch = Box::new(Batch::new(format!("IAMAT {client} +1-2 {time}\n").into(), 100_000));
            let answer = self.store.send(Execute { batch, received: NOON });
            match timeout(Duration::from_secs(1), answer).await {
                Ok(Ok(Executed { batch, .. })) => Some(batch.output.len()),
                Ok(Err(_)) | Err(_) => None,
            }
        }

        /// How many lines on the disk tell of a client.
        fn lines(&self) -> usize {
            let lines_in =
                |name: &String| self.disk.content(name).windows(6).filter(|bytes| bytes == b" kiwi ").count();
            self.disk.list().iter().map(lines_in).sum()
        }

        /// The record lines that the store knows.
        async fn known(&self) -> Vec<Vec<u8>> {
            let (mut lines, mut next) = (Vec::new(), Some(0));
            while let Some(from) = next {
                let page = self.store.send(Browse { from }).await.unwrap();
                lines.extend(record::lines(&page.lines).map(<[u8]>::to_vec));
                next = page.next;
            }
            lines.sort_unstable();
            lines
        }

        /// The record lines that a server would find on the disk.
        async fn restored(&self) -> Vec<Vec<u8>> {
            let mut replica = Replica::new("Goloman", &Limits::default());
            let keep = Keep { disk: Arc::new(self.disk.clone()), durability: Durability::Write };
            Journal::open(keep, LOG_BYTES_MIN, |line| assert_eq!(replica.restore(line), 0)).await.unwrap();
            replica.store().dump()
        }
    }

    #[actix::test]
    async fn what_is_answered_was_written_before_and_is_synced_soon_after() {
        tokio::time::pause();
        let bench = bench(Durability::Write).await;
        let before = bench.disk.syncs();
        for time in 0..10 {
            assert!(bench.check_in("kiwi", time).await.is_some());
        }
        let log = bench.disk.content("log-0");
        assert_eq!(log.split(|&byte| byte == b'\n').count(), 11);
        assert_eq!(bench.disk.syncs(), before);
        tokio::time::sleep(SYNC_MAX * 2).await;
        assert_eq!(bench.disk.syncs(), before + 1);
    }

    #[actix::test]
    async fn a_disk_that_is_slow_to_sync_is_not_asked_twice_at_a_time_nor_forgotten() {
        tokio::time::pause();
        let bench = bench(Durability::Write).await;
        let before = bench.disk.syncs();
        bench.disk.set_slow(true);
        for time in 0..5 {
            assert!(bench.check_in("kiwi", time).await.is_some());
            tokio::time::sleep(SYNC_MAX * 2).await;
        }
        assert_eq!(bench.disk.syncs(), before + 1);
        bench.disk.set_slow(false);
        tokio::time::sleep(SYNC_MAX * 3).await;
        assert_eq!(bench.disk.syncs(), before + 2);
    }

    #[actix::test]
    async fn with_sync_an_answer_waits_for_the_disk_and_many_share_one_sync() {
        tokio::time::pause();
        let bench = bench(Durability::Sync).await;
        bench.disk.set_slow(true);
        assert_eq!(bench.check_in("kiwi", 1).await, None);
        let before = bench.disk.syncs();
        let late = [2, 3, 4].map(|time| {
            let batch = Box::new(Batch::new(format!("IAMAT kiwi +1-2 {time}\n").into(), 1000));
            actix_rt::spawn(bench.store.send(Execute { batch, received: NOON }))
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(late.iter().all(|answer| !answer.is_finished()));
        bench.disk.set_slow(false);
        for answer in late {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(bench.disk.syncs(), before + 1);
    }

    #[actix::test]
    async fn what_is_ready_at_once_is_written_at_once_and_answered_after_that() {
        let bench = bench(Durability::Write).await;
        let before = bench.disk.appends();
        let ready = [1, 2, 3, 4, 5].map(|time| {
            let batch = Box::new(Batch::new(format!("IAMAT kiwi +1-2 {time}\n").into(), 1000));
            bench.store.send(Execute { batch, received: NOON })
        });
        for answer in ready {
            assert!(!answer.await.unwrap().batch.output.is_empty());
            assert_eq!(bench.disk.appends(), before + 1);
            assert_eq!(bench.disk.content("log-0").split(|&byte| byte == b'\n').count(), 6);
        }
    }

    #[actix::test]
    async fn with_sync_nobody_is_shown_what_the_disk_does_not_have() {
        tokio::time::pause();
        let bench = bench(Durability::Sync).await;
        bench.disk.set_slow(true);
        assert_eq!(bench.check_in("kiwi", 1).await, None);
        assert_eq!(
            bench.check_in("kiwi", 1).await,
            None,
            "the same again changes nothing, but says that it is kept"
        );
        bench.disk.set_slow(false);
        assert!(bench.check_in("kiwi", 1).await.is_some());
    }

    #[actix::test]
    async fn a_disk_that_fails_ends_the_server_without_an_answer() {
        tokio::time::pause();
        for durability in [Durability::Write, Durability::Sync, Durability::None] {
            let bench = bench(durability).await;
            assert!(bench.check_in("kiwi", 1).await.is_some());
            bench.disk.break_down();
            assert_eq!(bench.check_in("kiwi", 2).await, None);
            assert!(bench.has_ended.load(Ordering::Relaxed));
        }
    }

    /// A store that searches and whose disk is broken: an update will fail to be kept, and what is announced puts the
    /// alarm forward.
    async fn doomed() -> (Bench, Hear, Hear) {
        let bench = bench(Durability::Write).await;
        let (flood, _bell) = recording();
        let vocabulary = Vocabulary::Trees;
        bench.store.send(LinkUp { link: "Hands".into(), vocabulary, flood }).await.unwrap();
        bench.store.do_send(Find { clients: vec![b"plum".to_vec()] }); // It is given up later than an update is asked for.
        bench.disk.break_down();
        let update = Update::new(Uuid::from_u128(1), b"kiwi +1-2 3 1520023935182837383 Hands\n");
        let announced = Frame::Have { uuids: vec![Uuid::from_u128(2)] };
        let hear = |frame| Hear { link: "Hands".into(), frames: vec![frame] };
        (bench, hear(Frame::Update(update)), hear(announced))
    }

    /// A timer that was cancelled in the turn in which the store was terminated once kept Actix busy for ever.
    #[actix::test]
    async fn a_disk_that_fails_while_a_timer_is_put_forward_keeps_nobody_busy() {
        let (bench, mut update, announced) = doomed().await;
        update.frames.extend(announced.frames);
        bench.store.send(update).await.unwrap();
        assert!(bench.has_ended.load(Ordering::Relaxed));
        assert!(bench.store.send(Count).await.is_err(), "nobody is there");
    }

    /// So it did when the timer was cancelled first.
    #[actix::test]
    async fn a_disk_that_fails_after_a_timer_was_put_forward_in_the_same_turn_keeps_nobody_busy() {
        let (bench, update, announced) = doomed().await;
        bench.store.do_send(announced);
        bench.store.send(update).await.unwrap();
        assert!(bench.has_ended.load(Ordering::Relaxed));
        assert!(bench.store.send(Count).await.is_err(), "nobody is there");
    }

    #[actix::test]
    async fn a_sync_that_fails_ends_the_server() {
        tokio::time::pause();
        let bench = bench(Durability::Write).await;
        assert!(bench.check_in("kiwi", 1).await.is_some());
        bench.disk.break_down();
        tokio::time::sleep(SYNC_MAX * 2).await;
        assert!(bench.has_ended.load(Ordering::Relaxed));
    }

    #[actix::test]
    async fn a_long_log_gives_way_to_a_snapshot_while_clients_go_on() {
        tokio::time::pause();
        let bench = bench(Durability::Write).await;
        let names = || (0..200).map(|number| format!("{number}-{}", "x".repeat(800)));
        for time in 0..8 {
            for name in names() {
                assert!(bench.check_in(&name, time).await.is_some());
            }
        }
        tokio::time::sleep(SYNC_MAX).await;
        let files = bench.disk.list();
        assert_eq!(files, ["log-1", "log-2", "snapshot-1", "spare"]);
        assert!(bench.disk.content("snapshot-1").len() < 1000, "what it could have is in log-1");
        let known = bench.restored().await;
        assert_eq!(known.len(), 200);
        assert!(known.iter().all(|line| line.ends_with(b" +1-2 7 1520023935182837383 Goloman")));
    }

    /// Some say something all the time, some now and then, and some never again; the others fall silent for a while.
    #[actix::test]
    async fn whoever_said_something_is_in_a_log_or_a_snapshot_however_many_of_them_there_were() {
        tokio::time::pause();
        let mut snapshots = BTreeSet::new();
        for count in (500..6000).step_by(500) {
            let bench = bench(Durability::Write).await;
            for number in 0..count {
                let among = if number < 400 { 200 } else { [150, 20, 150, 120][number as usize / 250 % 4] };
                let name = format!("{}-{}", number % among, "x".repeat(800));
                assert!(bench.check_in(&name, number).await.is_some());
            }
            tokio::time::sleep(SYNC_MAX).await;
            snapshots.extend(bench.disk.list().into_iter().filter(|name| name.starts_with("snapshot-")));
            assert!(bench.restored().await == bench.known().await, "{count}");
        }
        assert!(snapshots.len() > 3, "{snapshots:?}");
    }

    /// The client who says something after so many others: 1,500 once, and from then on 150 of them. What the others said is
    /// in the first log, and in all of the second snapshot.
    fn of_few_clients(number: u32) -> u32 {
        if number < 1500 { number } else { number % 150 }
    }

    /// What the store told itself to do next, actix did at once: all of a snapshot was copied while nobody else had a
    /// turn, an eighth of a second with a million clients.
    #[actix::test]
    async fn clients_are_answered_between_any_two_pieces_of_a_snapshot() {
        tokio::time::pause();
        let bench = bench(Durability::Write).await;
        let mut pieces = BTreeSet::new();
        for number in 0..u32::MAX {
            let name = format!("{}-{}", of_few_clients(number), "x".repeat(800));
            assert!(bench.check_in(&name, number).await.is_some());
            let files = bench.disk.list();
            if files.contains(&"snapshot-2".to_owned()) {
                break;
            }
            let copies = files.contains(&UNFINISHED.to_owned());
            pieces.extend(copies.then(|| bench.disk.content(UNFINISHED).len()));
        }
        let wanted = bench.disk.content("snapshot-2").len() / COPY_SIZE;
        assert!(wanted > 10 && pieces.len() >= wanted, "{} of {wanted} pieces", pieces.len());
        assert!(bench.restored().await == bench.known().await);
    }

    #[actix::test]
    async fn a_snapshot_is_done_before_the_log_is_much_longer_however_much_is_said() {
        tokio::time::pause();
        let bench = bench(Durability::Write).await;
        let length = |name: &str| bench.disk.content(name).len();
        for time in 0..u32::MAX {
            // All of them are in the mailbox before the first is executed.
            let said = (0..30).map(|part| {
                let numbers = (part * 50..(part + 1) * 50).map(|number| of_few_clients(time * 1500 + number));
                let lines = numbers.map(|number| format!("IAMAT {number}-{} +1-2 {time}\n", "x".repeat(800)));
                let batch = Box::new(Batch::new(lines.collect::<String>().into(), 1000));
                bench.store.send(Execute { batch, received: NOON })
            });
            let said: Vec<_> = said.collect();
            for answered in said {
                assert_eq!(answered.await.unwrap().pause, Pause::Done);
            }
            if bench.disk.list().contains(&"snapshot-2".to_owned()) {
                break;
            }
        }
        let (snapshot, log) = (length("snapshot-2"), length("log-2"));
        assert!(snapshot > 1_000_000 && log <= 3 * snapshot, "{snapshot} {log}");
    }

    #[actix::test]
    async fn what_has_expired_leaves_the_disk_though_nobody_says_anything_more() {
        tokio::time::pause();
        let limits = Limits { record_ttl_ms: Some(16_000), ..Limits::default() };
        let bench = bench_with(Durability::Write, &limits).await;
        for number in 0..600 {
            assert!(bench.check_in(&format!("{number}-{}", "x".repeat(900)), 1).await.is_some());
        }
        for number in 0..60 {
            assert!(bench.check_in(&format!("{number}-{}", "x".repeat(90_000)), 1).await.is_some());
        }
        let length = |bench: &Bench| -> usize {
            bench.disk.list().iter().map(|name| bench.disk.content(name).len()).sum()
        };
        let before = length(&bench);
        assert!(before > 5_000_000 && bench.disk.list().len() == 1, "{before}");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(length(&bench), END.len(), "{:?}", bench.disk.list());
        let mut lines = 0;
        let keep = Keep { disk: Arc::new(bench.disk.clone()), durability: Durability::Write };
        Journal::open(keep, LOG_BYTES_MIN, |_| lines += 1).await.unwrap();
        assert_eq!(lines, 0);
    }

    #[actix::test]
    async fn a_flush_is_done_when_all_is_synced() {
        tokio::time::pause();
        let bench = bench(Durability::None).await;
        assert!(bench.check_in("kiwi", 1).await.is_some());
        let before = bench.disk.syncs();
        bench.store.send(Flush).await.unwrap();
        assert_eq!(bench.disk.syncs(), before + 1);
    }

    /// In a herd where little was said, what had expired years ago stayed in the log, and came back if the lifetime was
    /// taken from the settings again.
    #[actix::test]
    async fn what_is_dead_leaves_the_disk_within_another_lifetime_though_nothing_is_said() {
        tokio::time::pause();
        let (hour, hour_ms) = (Duration::from_secs(3600), 3_600_000);
        let limits = Limits { record_ttl_ms: Some(hour_ms), ..Limits::default() };
        let bench = bench_with(Durability::Write, &limits).await;
        for time in [1, 2] {
            assert!(bench.check_in("kiwi", time).await.is_some());
        }
        assert_eq!(bench.lines(), 2);
        tokio::time::sleep(hour + Duration::from_secs(60)).await;
        assert_eq!(bench.lines(), 1, "the latest is alive, and what was said before is dead");
        tokio::time::sleep(hour * 2).await;
        assert_eq!(bench.lines(), 0);
    }

    /// With seconds given for milliseconds, or a clock that was ahead, all that a server knew was gone when it had started.
    #[actix::test]
    async fn what_was_dead_at_the_start_stays_on_the_disk_for_an_hour() {
        tokio::time::pause();
        let disk = bench(Durability::Write).await;
        assert!(disk.check_in("kiwi", 1).await.is_some());
        let limits = Limits { record_ttl_ms: Some(10_000), ..Limits::default() };
        let (day, now) = (86_400_000_000_000, running());
        let tomorrow: Clock = Arc::new(move || now() + day);
        let bench = bench_on(disk.disk, Durability::Write, &limits, tomorrow).await;
        tokio::time::sleep(CLEAN_FIRST / 10 * 9).await;
        assert_eq!((bench.store.send(Count).await.unwrap().clients, bench.lines()), (0, 1));
        tokio::time::sleep(CLEAN_FIRST / 5).await;
        assert_eq!(bench.lines(), 0);
    }
}
