//! Who is still there: a count with a limit, in all and by address, which somebody can wait for to reach nothing.

use herd_core::rate::network_of;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::{Notify, oneshot};

/// How many are there.
#[derive(Clone, Debug, Default)]
pub struct Attendance(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    present: Cell<usize>,
    /// How many of them came from where, as far as that counts.
    by_network: RefCell<BTreeMap<IpAddr, usize>>,
    emptied: Notify,
}

/// A place among those who are there; dropping it leaves.
pub struct Seat {
    among: Rc<Inner>,
    from: Option<IpAddr>,
    /// What else follows from leaving.
    then: Option<Box<dyn FnOnce()>>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("from", &self.from).finish_non_exhaustive()
    }
}

/// A seat that is held from another thread; dropping this leaves.
#[derive(Debug)]
pub struct LentSeat(#[expect(dead_code, reason = "it is only held")] oneshot::Sender<()>);

impl Seat {
    /// Does this once the seat is left. It must not panic: whoever leaves may have panicked.
    #[must_use]
    pub fn then(self, then: impl FnOnce() + 'static) -> Self {
        let mut seat = self;
        seat.then = Some(Box::new(then));
        seat
    }

    /// Lets another thread hold the seat.
    pub fn lend(self) -> LentSeat {
        let (hold, end) = oneshot::channel();
        actix_rt::spawn(async move {
            let _ = end.await; // Nothing is ever said: what is waited for is that it cannot be.
            drop(self);
        });
        LentSeat(hold)
    }
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
        let present = self.0.present.get();
        (present < max).then(|| {
            self.0.present.set(present + 1);
            Seat { among: Rc::clone(&self.0), from: None, then: None }
        })
    }

    /// Comes in from an address, if fewer than `max` are there in all and fewer than `max_there` from there.
    pub fn enter_from(&self, address: IpAddr, max: usize, max_there: usize) -> Result<Seat, Full> {
        let network = network_of(address);
        let from_there = self.0.by_network.borrow().get(&network).copied().unwrap_or_default();
        if from_there >= max_there {
            return Err(Full::FromThere(from_there));
        }
        let mut seat = self.enter(max).ok_or(Full::InAll(max))?;
        self.0.by_network.borrow_mut().insert(network, from_there + 1);
        seat.from = Some(network);
        Ok(seat)
    }

    /// Waits until nobody is there.
    pub async fn emptied(&self) {
        while self.0.present.get() > 0 {
            self.0.emptied.notified().await;
        }
    }
}

impl Inner {
    fn leave(&self, network: IpAddr) {
        let mut by_network = self.by_network.borrow_mut();
        if let Some(number) = by_network.get_mut(&network) {
            *number -= 1;
            if *number == 0 {
                by_network.remove(&network);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            self.among.leave(from);
        }
        let present = self.among.present.get() - 1;
        self.among.present.set(present);
        if present == 0 {
            self.among.emptied.notify_one();
        }
        if let Some(then) = self.then.take() {
            then();
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
    fn what_follows_from_leaving_comes_when_the_seat_is_free() {
        let attendance = Attendance::default();
        let among = attendance.clone();
        let is_free = Rc::new(Cell::new(false));
        let found = Rc::clone(&is_free);
        let seat = attendance.enter(1).unwrap().then(move || found.set(among.enter(1).is_some()));
        assert!(!is_free.get());
        drop(seat);
        assert!(is_free.get());
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
        assert!(attendance.0.by_network.borrow().is_empty());
    }

    #[actix::test]
    async fn a_seat_may_be_held_from_another_thread() {
        let attendance = Attendance::default();
        let seat = attendance.enter(1).unwrap().lend();
        tokio::task::yield_now().await;
        assert!(attendance.enter(1).is_none());
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
