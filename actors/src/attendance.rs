//! Who is still there: a count with a limit, in all and by address, which somebody can wait for to reach nothing.

use herd_core::rate::network_of;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many are there.
#[derive(Clone, Debug, Default)]
pub struct Attendance(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: Mutex<Counts>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    present: usize,
    /// How many of them came from where, as far as that counts.
    by_network: BTreeMap<IpAddr, usize>,
}

/// A place among those who are there; dropping it leaves, on whatever thread.
#[derive(Debug)]
pub struct Seat {
    among: Arc<Inner>,
    from: Option<IpAddr>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// So many are there in all.
    InAll(usize),
    /// So many are there from one address.
    FromThere(usize),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InAll(number) => write!(f, "{number} are open"),
            Self::FromThere(number) => write!(f, "{number} from there are open"),
        }
    }
}

impl Attendance {
    /// Comes in, if fewer than `max` are there.
    pub fn enter(&self, max: usize) -> Option<Seat> {
        self.0.counts().enter(max).then(|| self.seat(None))
    }

    /// Comes in from an address, if fewer than `max` are there in all and fewer than `max_there` from there.
    pub fn enter_from(&self, address: IpAddr, max: usize, max_there: usize) -> Result<Seat, Full> {
        let network = network_of(address);
        let mut counts = self.0.counts();
        let from_there = counts.by_network.get(&network).copied().unwrap_or_default();
        if from_there >= max_there {
            return Err(Full::FromThere(from_there));
        }
        if !counts.enter(max) {
            return Err(Full::InAll(max));
        }
        counts.by_network.insert(network, from_there + 1);
        Ok(self.seat(Some(network)))
    }

    /// Waits until nobody is there.
    pub async fn emptied(&self) {
        while self.0.counts().present > 0 {
            self.0.emptied.notified().await;
        }
    }

    fn seat(&self, from: Option<IpAddr>) -> Seat {
        Seat { among: Arc::clone(&self.0), from }
    }
}

impl Inner {
    /// They are whole even where somebody has panicked over them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Counts one more, if fewer than `max` are there.
    fn enter(&mut self, max: usize) -> bool {
        let has_room = self.present < max;
        self.present += usize::from(has_room);
        has_room
    }

    fn leave(&mut self, from: Option<IpAddr>) {
        self.present -= 1;
        if let Some(network) = from
            && let Some(number) = self.by_network.get_mut(&network)
        {
            *number -= 1;
            if *number == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.among.counts();
        counts.leave(self.from);
        if counts.present == 0 {
            self.among.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_come_in_and_a_seat_that_is_left_is_free() {
        let attendance = Attendance::default();
        let first = attendance.enter(2);
        let second = attendance.enter(2);
        assert!(first.is_some() && second.is_some() && attendance.enter(2).is_none());
        drop(first);
        assert!(attendance.enter(2).is_some());
    }

    #[test]
    fn no_more_than_the_limit_come_in_from_one_address_and_others_still_may() {
        let attendance = Attendance::default();
        let enter = |address: &str| attendance.enter_from(address.parse().unwrap(), 4, 2);
        let first = enter("10.0.0.1").unwrap();
        let _second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), Full::FromThere(2));
        let _third = enter("10.0.0.2").unwrap();
        drop(first);
        let _fourth = enter("10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), Full::FromThere(2));
        let _fifth = enter("10.0.0.3").unwrap();
        assert_eq!(enter("10.0.0.4").unwrap_err(), Full::InAll(4));
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let attendance = Attendance::default();
        drop(attendance.enter_from("10.0.0.1".parse().unwrap(), 1, 1).unwrap());
        assert!(attendance.0.counts().by_network.is_empty());
    }

    #[actix::test]
    async fn a_seat_may_be_left_on_another_thread() {
        let attendance = Attendance::default();
        let seat = attendance.enter(1).unwrap();
        std::thread::spawn(move || drop(seat));
        attendance.emptied().await;
        assert!(attendance.enter(1).is_some());
    }

    #[actix::test]
    async fn the_last_to_leave_is_waited_for() {
        let attendance = Attendance::default();
        let seat = attendance.enter(1);
        let waiting = actix_rt::spawn({
            let attendance = attendance.clone();
            async move { attendance.emptied().await }
        });
        drop(seat);
        waiting.await.unwrap();
    }
}
