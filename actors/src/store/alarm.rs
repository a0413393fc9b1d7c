//! The timer of the store, for what is to be done at a time though nothing happens.
//!
//! There is one, which is set anew. A future of Actix for each deadline would be a box for each, and one to be
//! cancelled whenever something is due before what was: Actix is never done with an actor that is terminated between
//! the two.

use super::StoreActor;
use actix::fut::ActorFuture;
use actix::{AsyncContext, Context};
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// When something is to be done next.
pub(super) struct Alarm {
    /// What it is set for in the replica's milliseconds, while it is.
    due_ms: Option<u64>,
    /// Asked by [`Ringing`] alone, which there is one of while it is set.
    sleep: Pin<Box<Sleep>>,
}

impl Default for Alarm {
    /// An alarm that is not set.
    fn default() -> Self {
        Self { due_ms: None, sleep: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl StoreActor {
    /// Sees to it that what is to be done at a time is done, and not much before: an alarm that rings too early does
    /// no harm, and many a deadline is put off again and again.
    pub(super) fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let Some(due_ms) = self.replica.deadline_ms() else { return };
        if self.alarm.due_ms.is_some_and(|set_ms| set_ms <= due_ms) {
            return;
        }
        // As short as a timer can be, even for what is late: everybody else has a turn before.
        let delay = Duration::from_millis(due_ms.saturating_sub(self.now_ms()).max(1));
        self.alarm.sleep.as_mut().reset(Instant::now() + delay);
        if self.alarm.due_ms.replace(due_ms).is_none() {
            ctx.spawn(Ringing);
        }
    }
}

/// Waits for the alarm and does what is due.
struct Ringing;

impl ActorFuture<StoreActor> for Ringing {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        store: &mut StoreActor,
        ctx: &mut Context<StoreActor>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        ready!(store.alarm.sleep.as_mut().poll(task));
        store.alarm.due_ms = None;
        let now_ms = store.now_ms();
        store.replica.expire(now_ms);
        store.follow_up(now_ms, ctx);
        Poll::Ready(())
    }
}
