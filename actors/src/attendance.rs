//! Who is still there: a count with a limit, which somebody can wait for to reach nothing.

use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Notify;

/// How many are there.
#[derive(Clone, Debug, Default)]
pub struct Attendance(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    present: Cell<usize>,
    emptied: Notify,
}

/// A place among those who are there; dropping it leaves.
#[derive(Debug)]
pub struct Seat(Rc<Inner>);

impl Attendance {
    /// Comes in, if fewer than `max` are there.
    pub fn enter(&self, max: usize) -> Option<Seat> {
        let present = self.0.present.get();
        (present < max).then(|| {
            self.0.present.set(present + 1);
            Seat(Rc::clone(&self.0))
        })
    }

    /// Waits until nobody is there.
    pub async fn emptied(&self) {
        while self.0.present.get() > 0 {
            self.0.emptied.notified().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let present = self.0.present.get() - 1;
        self.0.present.set(present);
        if present == 0 {
            self.0.emptied.notify_one();
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
