//! Records as the issue defines them, read and ordered once more without the code under test.

use std::cmp::Ordering;

/// `<client> <location> <time> <received> <server>`. Times have nine decimals at most here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub client: String,
    pub location: String,
    pub time: String,
    pub received: i128,
    pub server: String,
}

const SECOND: i128 = 1_000_000_000;

impl Record {
    pub fn of_line(line: &str) -> Option<Self> {
        let [client, location, time, received, server] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let received = received.parse().ok()?;
        Some(Self::new(client, location, time, received, server))
    }

    /// Reads `AT <server> <skew> <client> <location> <time>`.
    pub fn of_answer(answer: &str) -> Option<Self> {
        let ["AT", server, skew, client, location, time] = answer.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let sign = if skew.starts_with('-') { -1 } else { 1 };
        let received = nanos(time)? + sign * nanos(skew.strip_prefix(['+', '-'])?)?;
        Some(Self::new(client, location, time, received, server))
    }

    fn new(client: &str, location: &str, time: &str, received: i128, server: &str) -> Self {
        let [client, location, time, server] = [client, location, time, server].map(str::to_owned);
        Self { client, location, time, received, server }
    }

    /// What a client said, and to whom.
    pub fn saying(&self) -> String {
        let Self { client, location, time, server, .. } = self;
        format!("{client} {location} {time} {server}")
    }

    /// True if the client's clock was further ahead of the server's than is believed.
    pub fn is_from_the_future(&self) -> bool {
        nanos(&self.time).is_some_and(|time| time > self.received + 300 * SECOND)
    }

    /// Effective time, receipt time, server, client time, then the bytes of time and location.
    pub fn cmp_age(&self, other: &Self) -> Ordering {
        let key = |record: &Self| {
            let time = nanos(&record.time).unwrap_or_default();
            let effective = if record.is_from_the_future() { record.received } else { time };
            (
                effective,
                record.received,
                record.server.clone(),
                time,
                record.time.clone(),
                record.location.clone(),
            )
        };
        key(self).cmp(&key(other))
    }
}

/// Seconds with at most nine decimals, in nanoseconds.
pub fn nanos(text: &str) -> Option<i128> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    format!("{seconds}{decimals:0<9}").parse().ok().filter(|_| decimals.len() <= 9)
}

/// Nanoseconds as seconds with nine decimals.
pub fn seconds(nanos: i128) -> String {
    format!("{}.{:09}", nanos / SECOND, nanos % SECOND)
}
