//! The doorstep: callers whose handshake is under way, or who are told how the server is. When there are too many, some
//! give way to the newest.

use herd_core::rate::network_of;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tokio::task::AbortHandle;

/// Those who are at the door.
///
/// A caller needs a place while it proves who it is, and anybody can call and prove nothing. So no place is held against
/// those who come later: whoever has been there longest gives way, of those that come from where most of them do. A
/// neighbour's handshake is over in a few round trips, and crowds from elsewhere do not touch it.
#[derive(Debug, Default)]
pub struct Doorstep {
    /// In the order in which they came.
    callers: RefCell<VecDeque<Caller>>,
    last: Cell<u64>,
}

#[derive(Debug)]
struct Caller {
    number: u64,
    from: SocketAddr,
    talk: AbortHandle,
}

/// A place on the doorstep; dropping it leaves.
struct Place {
    on: Rc<Doorstep>,
    number: u64,
}

impl Doorstep {
    /// Lets a caller come, and talks to it until it leaves or has to give way. If that makes more than `max`, tells who
    /// gave way: one, or all that are more where `max` has become less.
    pub fn enter(
        self: &Rc<Self>,
        from: SocketAddr,
        max: usize,
        talk: impl Future<Output = ()> + 'static,
    ) -> Vec<SocketAddr> {
        let number = self.last.get() + 1;
        self.last.set(number);
        let place = Place { on: Rc::clone(self), number };
        let talk = actix_rt::spawn(async move {
            let _place = place;
            talk.await;
        });
        self.callers.borrow_mut().push_back(Caller { number, from, talk: talk.abort_handle() });
        std::iter::from_fn(|| self.make_room(max)).collect()
    }

    /// Sends one away if there are too many.
    fn make_room(&self, max: usize) -> Option<SocketAddr> {
        let mut callers = self.callers.borrow_mut();
        if callers.len() <= max {
            return None;
        }
        let mut crowds = BTreeMap::<IpAddr, usize>::new();
        for caller in &*callers {
            *crowds.entry(caller.network()).or_default() += 1;
        }
        let largest = crowds.values().max().copied().unwrap_or_default();
        let first = callers.iter().position(|caller| crowds[&caller.network()] == largest)?;
        let Caller { from, talk, .. } = callers.remove(first)?;
        talk.abort();
        Some(from)
    }
}

impl Caller {
    fn network(&self) -> IpAddr {
        network_of(self.from.ip())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.on.callers.borrow_mut().retain(|caller| caller.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::{self, Receiver};
    use tokio::task::yield_now;

    /// Lets a caller in that says nothing: who gave way to it, and what ends when the caller has to leave.
    fn enter(doorstep: &Rc<Doorstep>, from: &str) -> (Option<String>, Receiver<()>) {
        let (gave_way, left) = enter_where(doorstep, from, 3);
        assert!(gave_way.len() < 2, "{gave_way:?}");
        (gave_way.into_iter().next(), left)
    }

    /// The same where so many may be: all who gave way.
    fn enter_where(doorstep: &Rc<Doorstep>, from: &str, max: usize) -> (Vec<String>, Receiver<()>) {
        let (hold, left) = oneshot::channel();
        let talk = async move {
            let _hold = hold;
            std::future::pending::<()>().await;
        };
        let gave_way = doorstep.enter(from.parse().unwrap(), max, talk);
        (gave_way.iter().map(ToString::to_string).collect(), left)
    }

    #[actix::test]
    async fn where_fewer_may_be_than_there_are_all_give_way_that_are_more() {
        let doorstep = Rc::<Doorstep>::default();
        let _three = [1, 2, 3].map(|port| enter(&doorstep, &format!("10.0.0.1:{port}")));
        let (gave_way, _last) = enter_where(&doorstep, "10.0.0.2:1", 2);
        assert_eq!(gave_way, ["10.0.0.1:1", "10.0.0.1:2"]);
    }

    #[actix::test]
    async fn whoever_has_been_there_longest_gives_way() {
        let doorstep = Rc::<Doorstep>::default();
        let (none, mut first) = enter(&doorstep, "10.0.0.1:1");
        assert_eq!(none, None);
        let _others = ["10.0.0.1:2", "10.0.0.1:3"].map(|from| enter(&doorstep, from));
        yield_now().await;
        assert!(first.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        assert_eq!(enter(&doorstep, "10.0.0.1:4").0.as_deref(), Some("10.0.0.1:1"));
        assert!(first.await.is_err());
        assert_eq!(enter(&doorstep, "10.0.0.1:5").0.as_deref(), Some("10.0.0.1:2"));
    }

    #[actix::test]
    async fn a_crowd_from_one_network_makes_room_for_others_and_for_itself() {
        let doorstep = Rc::<Doorstep>::default();
        let _neighbour = enter(&doorstep, "10.0.0.1:1");
        let _crowd = ["10.0.0.2:1", "10.0.0.2:2"].map(|from| enter(&doorstep, from));
        assert_eq!(enter(&doorstep, "10.0.0.2:3").0.as_deref(), Some("10.0.0.2:1"));
        assert_eq!(enter(&doorstep, "10.0.0.3:1").0.as_deref(), Some("10.0.0.2:2"));
    }

    #[actix::test]
    async fn those_who_left_take_no_room() {
        let doorstep = Rc::<Doorstep>::default();
        for _ in 0..10 {
            assert_eq!(doorstep.enter("10.0.0.1:1".parse().unwrap(), 1, async {}), []);
            yield_now().await;
        }
        assert!(doorstep.callers.borrow().is_empty());
    }
}
