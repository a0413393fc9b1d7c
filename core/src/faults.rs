//! Rules broken on purpose, to see whether the tests would notice.
//!
//! What heals a herd is redundant: what the flood loses, the next comparison of digests brings. A simulation that
//! always has both proves neither, so each of its seeds may switch some rule off. Every switch is also a bug
//! that somebody could write; that the simulation catches each of them is the simulation's own test.
//!
//! Only tests have the feature `faults`. Without it no switch can be set, and [`is_on`] is the constant `false`.

/// One rule that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Updates are not passed on: only comparing digests brings news.
    NoFlood,
    /// A new link begins without comparing digests.
    NoCatchUp,
    /// A link that fell out of the ring goes on where the ring begins.
    NoResync,
    /// An update goes back over the link it came by.
    FloodsBack,
    /// A UUID is new each time it comes.
    ForgetsSeen,
    /// Of two records the one that came last stays.
    LastComeStays,
    /// A client's time is believed, however far ahead it is.
    BelievesFuture,
    /// Two records whose numbers are equal count as the same.
    ComparesNumbersOnly,
    /// A search has no end but its answers.
    SearchesForEver,
    /// The ring keeps everything.
    EndlessRing,
    /// Nobody compares digests but when a link begins or fell out of the ring.
    NoRegularDigests,
    /// A link that brings what came already is not told so.
    NoPruning,
    /// What was announced and did not come is not asked for.
    NoPulling,
    /// A record that replaces another leaves the digest as it was.
    DigestMissesChanges,
    /// A record that has expired is taken when it is told.
    RaisesTheDead,
    /// What a neighbour has told is asked for again.
    AsksAgain,
    /// A tree that was broken stays broken: nobody is told that a pruned link is wanted again.
    NoGrafting,
    /// Of two links that bring the same both are pruned.
    PrunesBothWays,
    /// What goes over no link of its tree is not announced either.
    LosesAnnouncements,
    /// A panic over an update that was asked for too late.
    PanicsWhenLate,
    /// A record lives for half of its lifetime.
    ForgetsTooSoon,
    /// A line of a log is taken for what it says, whatever its checksum is.
    TrustsDamage,
    /// Of several logs only the last is read.
    ReadsLastLogOnly,
    /// Of what was executed together, only the first record is written.
    WritesFirstOnly,
    /// Answers go out though what they acknowledge could not be written.
    AnswersBeforeWrite,
    /// What was executed together is answered in another order.
    AnswersTheWrong,
    /// An answer does not wait for the sync that it should wait for.
    SkipsSync,
    /// A sync counts for what was appended while it went on.
    SyncCoversLater,
    /// What is to be synced a little later never is.
    NeverSyncs,
    /// Of several logs only the last is synced.
    SyncsLastLogOnly,
    /// The names of files are not made to last.
    SkipsNameSync,
    /// A snapshot is put in the place of the logs before the disk has it.
    SkipsSnapshotSync,
    /// What a snapshot replaces is removed before its new name lasts.
    RemovesTooEarly,
    /// A snapshot takes the log with it that was begun before it.
    RemovesPresentLog,
    /// A record that was in the last log but one counts as in the last.
    StaysRecent,
    /// A server stops without making sure that the disk has everything.
    SkipsFlush,
    /// What the operating system shows of a disk that has failed counts as written.
    TrustsFailedDisk,
    /// A server whose disk has failed goes on.
    OutlivesItsDisk,
    /// A neighbour that could not be reached is not dialled again.
    GivesUpDialling,
    /// A neighbour may be silent for ever.
    BearsSilence,
    /// A client may take its answers whenever it likes.
    BearsStalling,
}

#[cfg(feature = "faults")]
thread_local! {
    static ON: std::cell::RefCell<Vec<Fault>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// True if a rule is switched off on this thread.
#[cfg(feature = "faults")]
pub fn is_on(fault: Fault) -> bool {
    ON.with_borrow(|on| on.contains(&fault))
}

/// True if a rule is switched off: never, but in tests.
#[cfg(not(feature = "faults"))]
pub const fn is_on(_: Fault) -> bool {
    false
}

/// Does something on this thread while some rules are switched off, and no others.
#[cfg(feature = "faults")]
pub fn with<T>(faults: &[Fault], body: impl FnOnce() -> T) -> T {
    /// Switches all rules back on, whatever became of the body.
    struct Restore(Vec<Fault>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ON.set(std::mem::take(&mut self.0));
        }
    }
    let _restore = Restore(ON.replace(faults.to_vec()));
    body()
}
