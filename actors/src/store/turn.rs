//! What the store executes in one turn of the event loop: all batches that are ready, which share one look at the
//! memory, one write to the log, one frame to each neighbour and, where they wait for the disk, one sync.
//!
//! Nobody waits for company. Actix handles all that is in an actor's mailbox and then polls the actor's futures, so
//! the batches of all sessions that have read something are enlisted first and executed as soon as there are no more.

use super::StoreActor;
use super::keeper::{Answer, Kept};
use crate::messages::{Execute, Executed};
use crate::net::fresh;
use actix::Context;
use actix::dev::{MessageResponse, OneshotSender};
use actix::fut::ActorFuture;
use herd_core::batch::{Order, Pause};
use herd_core::faults::{self, Fault};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

/// The batches that are executed next. Shared with the answers to [`Execute`], which bring them in.
#[derive(Clone, Default)]
pub(super) struct Turn(Rc<RefCell<Enlistment>>);

#[derive(Default)]
struct Enlistment {
    orders: Vec<Order>,
    /// Who said them, in the same order.
    sessions: Vec<Option<OneshotSender<Executed>>>,
}

impl Turn {
    /// Enlists a batch as soon as it is known who waits for it.
    pub fn enlist(&self, Execute { batch, received }: Execute) -> Enlisted {
        Enlisted { order: Order { batch, received, pause: Pause::Done }, turn: self.clone() }
    }
}

/// The answer to [`Execute`], which is given at the end of the turn, or later.
pub struct Enlisted {
    order: Order,
    turn: Turn,
}

impl MessageResponse<StoreActor, Execute> for Enlisted {
    fn handle(self, _: &mut Context<StoreActor>, session: Option<OneshotSender<Executed>>) {
        let mut enlistment = self.turn.0.borrow_mut();
        enlistment.orders.push(self.order);
        enlistment.sessions.push(session);
    }
}

/// Ends every turn of the store. Polled whenever its mailbox has become empty.
pub(super) struct TurnsEnd;

impl ActorFuture<StoreActor> for TurnsEnd {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        store: &mut StoreActor,
        ctx: &mut Context<StoreActor>,
        _: &mut task::Context<'_>,
    ) -> Poll<()> {
        store.end_turn(ctx);
        Poll::Pending
    }
}

impl StoreActor {
    /// Executes all batches of the turn and hands what they changed to the disk; only then are they answered.
    fn end_turn(&mut self, ctx: &mut Context<Self>) {
        let enlisted = Rc::clone(&self.turn.0);
        let Enlistment { orders, sessions } = &mut *enlisted.borrow_mut();
        if orders.is_empty() {
            return;
        }
        if orders.iter().any(|order| self.replica.has_expired(order.received)) {
            // Either the clock was set back, and what is heard now has not expired, or a batch was held up for long.
            self.replica.set_clock((self.clock)());
        }
        let (now_ms, dice) = (self.now_ms(), &self.dice);
        self.replica.execute_all(orders, now_ms, || fresh(dice));
        let kept = self.keep(ctx);
        self.follow_up(now_ms, ctx);
        if faults::is_on(Fault::AnswersTheWrong) {
            sessions.reverse();
        }
        let executed = orders.drain(..).map(|Order { batch, pause, .. }| Executed { batch, pause });
        let answers = sessions
            .drain(..)
            .zip(executed)
            .filter_map(|(session, executed)| Some(Answer(session?, executed)));
        match kept {
            Kept::Never if faults::is_on(Fault::AnswersBeforeWrite) => answers.for_each(Answer::give),
            Kept::Now => answers.for_each(Answer::give),
            Kept::After(mark) => self.answer_after(mark, answers.collect()),
            // No answer is the right one, as the server has ended.
            Kept::Never => drop(answers),
        }
    }
}
