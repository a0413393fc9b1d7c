//! What a panic may end, and what follows from it.
//!
//! A panic is a mistake of this program. It ends the connection or the question that met it, and nothing else, as long
//! as what is left is whole: sessions, links and places are. The store, the log, the listeners, those who speak to
//! neighbours of another make or look them up, and whoever starts links again are needed by all, so a panic of theirs ends
//! the server, which must not go on without them.

use crate::net::Abort;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// Instead of an answer: whoever was to give it has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panicked")
    }
}

impl std::error::Error for Panicked {}

impl From<Panicked> for io::Error {
    fn from(panicked: Panicked) -> Self {
        Self::other(panicked)
    }
}

/// Does something once if its owner is dropped by a panic.
///
/// actix tells nobody that an actor has panicked: what is sent to it later vanishes. Hence each that matters owns one.
pub struct OnPanic(Option<Box<dyn FnOnce()>>);

impl OnPanic {
    /// Does this. It must not panic, and it may find the thread at its end.
    pub fn new(then: impl FnOnce() + 'static) -> Self {
        Self(Some(Box::new(then)))
    }

    /// Ends the whole server.
    pub fn abort(abort: &Abort, who: &'static str) -> Self {
        let abort = Arc::clone(abort);
        Self::new(move || abort(&format!("{who} has panicked")))
    }
}

impl Drop for OnPanic {
    fn drop(&mut self) {
        if let Some(then) = self.0.take_if(|_| std::thread::panicking()) {
            then();
        }
    }
}

/// Does something that may panic. What it worked on must be of use to nobody afterwards, or be whole at any time.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// The same for what has to wait.
pub async fn caught_waiting<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match caught(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_panic_is_seen_by_what_it_drops_and_by_nothing_else() {
        let seen = Rc::new(Cell::new(0));
        let watching = || {
            let seen = Rc::clone(&seen);
            OnPanic::new(move || seen.set(seen.get() + 1))
        };
        drop(watching());
        let _outside = watching();
        let result: Result<(), Panicked> = caught(|| {
            let _inside = watching();
            panic!("as the test wants");
        });
        assert_eq!((result, seen.get()), (Err(Panicked), 1));
    }

    #[actix::test]
    async fn what_waits_may_panic_after_it_has_waited() {
        assert_eq!(caught_waiting(async { 7 }).await, Ok(7));
        let late = async {
            tokio::task::yield_now().await;
            panic!("as the test wants")
        };
        assert_eq!(caught_waiting::<()>(late).await, Err(Panicked));
    }
}
