//! The threads on which sessions talk to clients: the server's own, or several others that take turns.

use crate::panics::{Panicked, caught};
use actix::{Arbiter, ArbiterHandle};
use herd_core::limits::WORKERS_MAX;
use std::cell::Cell;

/// The threads of a server's sessions. They end when this is dropped.
pub struct Workers {
    /// Empty where everything is done on one thread.
    arbiters: Vec<Arbiter>,
    /// Whose turn it is.
    next: Cell<usize>,
}

impl Workers {
    /// So many threads, at most [`WORKERS_MAX`]; with one, sessions need none beside the server's own. Fails where the
    /// system allows no more threads, upon which actix panics.
    pub fn start(number: usize) -> Result<Self, Panicked> {
        let number = if number > 1 { number.min(WORKERS_MAX) } else { 0 };
        let arbiters = (0..number).map(|_| caught(Arbiter::new)).collect::<Result<_, _>>()?;
        Ok(Self { arbiters, next: Cell::new(0) })
    }

    /// The thread for the next session, if it is another than this.
    pub fn next(&self) -> Option<ArbiterHandle> {
        let turn = self.next.get();
        let arbiter = self.arbiters.get(turn)?;
        self.next.set((turn + 1) % self.arbiters.len());
        Some(arbiter.handle())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for arbiter in &self.arbiters {
            arbiter.stop(); // One that is gone needs no telling.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::thread::{self, ThreadId};
    use tokio::sync::oneshot;

    async fn thread_of(worker: &ArbiterHandle) -> ThreadId {
        let (tell, told) = oneshot::channel();
        assert!(worker.spawn_fn(move || tell.send(thread::current().id()).unwrap()));
        told.await.unwrap()
    }

    #[actix::test]
    async fn sessions_are_dealt_out_to_all_threads_in_turn_and_to_none_else() {
        let workers = Workers::start(3).unwrap();
        let mut dealt = HashMap::new();
        for _ in 0..6 {
            *dealt.entry(thread_of(&workers.next().unwrap()).await).or_insert(0) += 1;
        }
        assert!(dealt.len() == 3 && dealt.values().all(|&sessions| sessions == 2), "{dealt:?}");
        assert!(!dealt.contains_key(&thread::current().id()));
    }

    #[actix::test]
    async fn one_worker_is_the_thread_that_is_there() {
        assert!(Workers::start(1).unwrap().next().is_none());
    }
}
