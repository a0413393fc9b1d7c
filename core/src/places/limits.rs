//! Every limit that asking for places has, by name.

use std::time::Duration;

/// The limits of asking for places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a provider may take to be connected to and to say all it has to say.
    pub deadline: Duration,
    /// The longest answer read, in bytes. Google's twenty places with the usual fields are some 20 kB.
    pub body_max: usize,
    /// The longest answer given to a client, in bytes: so much is held for each who waits, and for each that is kept.
    pub answer_max: usize,
    /// How many requests to one provider may be under way at once.
    pub in_flight_max: usize,
    /// How many more may wait for one of those to end.
    pub queue_max: usize,
    /// How long they wait before the next provider is asked instead.
    pub queue_wait: Duration,
    /// How many requests one provider is sent in 24 hours; they cost money.
    pub per_day: u32,
    /// How long a provider that refused is left alone the first time; twice as long each time after.
    pub rest_first: Duration,
    /// How long it is left alone at most.
    pub rest_max: Duration,
    /// After how many failures in a row a provider counts as out of order and is left alone too.
    pub failures_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            deadline: Duration::from_secs(5),
            body_max: 4 << 20,
            answer_max: 256 << 10,
            in_flight_max: 8,
            queue_max: 64,
            queue_wait: Duration::from_secs(1),
            per_day: 10_000,
            rest_first: Duration::from_secs(30),
            rest_max: Duration::from_secs(3600),
            failures_max: 5,
        }
    }
}
