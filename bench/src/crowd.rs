//! The clients that the generator plays: who reports next, from where, and when.
//!
//! All texts have a fixed width, so that a command is a copy and a few digits: the generator must be far
//! cheaper than the servers it loads. Client IDs are as long as the assignment's `kiwi.cs.ucla.edu`.

use std::time::{SystemTime, UNIX_EPOCH};

/// The most clients a crowd can have: their numbers have six digits.
pub const CLIENTS_MAX: u32 = 1_000_000;

/// Nanoseconds between the times of two commands: odd, so that all nine decimals are in use, and short enough
/// that several million commands a second do not leave the servers' clocks behind.
const STEP_NS: u32 = 101;

/// How the next client is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each in turn, so that after as many commands as there are clients all are known.
    InTurn,
    /// Any of them, each as likely.
    AtRandom,
}

/// What one client reports, as the bytes that go on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The client's ID.
    pub client: [u8; 16],
    /// Signed degrees, six decimals.
    pub latitude: [u8; 10],
    /// Signed degrees, six decimals.
    pub longitude: [u8; 11],
    /// POSIX seconds, nine decimals.
    pub time: [u8; 20],
}

/// A number of clients, and the state from which the next sighting is drawn.
pub struct Crowd {
    clients: u32,
    order: Order,
    turn: u32,
    dice: u64,
    seconds: u64,
    nanos: u32,
    last: Sighting,
    /// `000` to `999`, because digits by division cost more than all the rest.
    digits: Vec<[u8; 3]>,
}

impl Crowd {
    /// Gathers so many clients (at least one, at most [`CLIENTS_MAX`]); the first report is of now, each later
    /// one a little later, so that every report is news.
    pub fn new(clients: u32, order: Order) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = Sighting {
            client: *b"k000000.ucla.edu",
            latitude: *b"+34.068930",
            longitude: *b"-118.445127",
            time: *b"0000000000.000000000",
        };
        let digits = (0..1000_u32).map(three_digits).collect();
        let clients = clients.clamp(1, CLIENTS_MAX);
        let (seconds, nanos) = (now.as_secs(), now.subsec_nanos());
        let mut crowd =
            Self { clients, order, turn: 0, dice: u64::from(nanos) | 1, seconds, nanos, last, digits };
        crowd.write_seconds();
        crowd
    }

    /// Draws the next sighting.
    pub fn next(&mut self) -> &Sighting {
        self.tick();
        let client = self.next_client();
        let place = self.draw();
        self.put(Field::Client(1), client / 1000);
        self.put(Field::Client(4), client % 1000);
        self.last.latitude[0] = if place & 1 == 0 { b'+' } else { b'-' };
        self.put(Field::Latitude(4), thousand(place >> 8));
        self.put(Field::Latitude(7), thousand(place >> 20));
        self.put(Field::Longitude(5), thousand(place >> 32));
        self.put(Field::Longitude(8), thousand(place >> 44));
        self.put(Field::Time(11), self.nanos / 1_000_000);
        self.put(Field::Time(14), self.nanos / 1000 % 1000);
        self.put(Field::Time(17), self.nanos % 1000);
        &self.last
    }

    fn next_client(&mut self) -> u32 {
        match self.order {
            Order::InTurn => {
                let client = self.turn;
                self.turn = (self.turn + 1) % self.clients;
                client
            }
            // The upper half of the product is a fair draw below `clients`.
            Order::AtRandom => {
                u32::try_from(((self.draw() >> 32) * u64::from(self.clients)) >> 32).unwrap_or_default()
            }
        }
    }

    /// Xorshift: good enough to spread clients, and three instructions.
    fn draw(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }

    fn tick(&mut self) {
        self.nanos += STEP_NS;
        if self.nanos >= 1_000_000_000 {
            self.nanos -= 1_000_000_000;
            self.seconds += 1;
            self.write_seconds();
        }
    }

    fn write_seconds(&mut self) {
        let text = format!("{:010}", self.seconds % 10_000_000_000);
        self.last.time[..10].copy_from_slice(text.as_bytes());
    }

    fn put(&mut self, field: Field, number: u32) {
        let digits = self.digits[number as usize % 1000];
        let (text, at): (&mut [u8], usize) = match field {
            Field::Client(at) => (&mut self.last.client, at),
            Field::Latitude(at) => (&mut self.last.latitude, at),
            Field::Longitude(at) => (&mut self.last.longitude, at),
            Field::Time(at) => (&mut self.last.time, at),
        };
        text[at..at + 3].copy_from_slice(&digits);
    }
}

/// Where three digits go.
#[derive(Clone, Copy)]
enum Field {
    Client(usize),
    Latitude(usize),
    Longitude(usize),
    Time(usize),
}

fn three_digits(number: u32) -> [u8; 3] {
    let digit = |of: u32| b'0' + u8::try_from(of % 10).unwrap_or_default();
    [digit(number / 100), digit(number / 10), digit(number)]
}

/// The low twelve bits of a draw as a number below a thousand.
fn thousand(draw: u64) -> u32 {
    u32::try_from(((draw & 0xfff) * 1000) >> 12).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn in_turn_every_client_reports_once_before_any_reports_twice() {
        let mut crowd = Crowd::new(2500, Order::InTurn);

        let seen: HashSet<[u8; 16]> = (0..2500).map(|_| crowd.next().client).collect();

        assert_eq!(seen.len(), 2500);
        assert!(seen.contains(b"k000000.ucla.edu") && seen.contains(b"k002499.ucla.edu"));
    }

    #[test]
    fn at_random_nearly_all_clients_report_and_no_others() {
        let mut crowd = Crowd::new(100, Order::AtRandom);

        let seen: HashSet<[u8; 16]> = (0..2000).map(|_| crowd.next().client).collect();

        assert!(seen.len() > 90 && seen.iter().all(|client| client.starts_with(b"k0000")));
    }

    #[test]
    fn every_report_is_later_than_the_one_before() {
        let mut crowd = Crowd::new(10, Order::AtRandom);
        let mut before = crowd.next().time;

        for _ in 0..100_000 {
            let time = crowd.next().time;
            assert!(time > before, "{time:?} is not after {before:?}");
            before = time;
        }
    }

    #[test]
    fn every_place_is_one_that_redis_and_the_protocol_accept() {
        let mut crowd = Crowd::new(10, Order::AtRandom);

        for _ in 0..1000 {
            let sighting = *crowd.next();
            let degrees = |text: &[u8]| String::from_utf8_lossy(text).parse::<f64>().unwrap_or(f64::NAN);
            assert!(degrees(&sighting.latitude).abs() < 85.0);
            assert!(degrees(&sighting.longitude).abs() <= 180.0);
        }
    }
}
