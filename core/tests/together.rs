//! Batches of many clients that are executed together.

use herd_core::batch::{Batch, Order, Pause};
use herd_core::frame::{Frame, Inbox, Vocabulary};
use herd_core::limits::Limits;
use herd_core::replica::Replica;
use proptest::prelude::*;
use uuid::Uuid;

const NOON: u64 = 1_520_023_935_182_837_383;

const LINE_MAX: usize = 1000;

fn goloman() -> Replica {
    let mut replica = Replica::new("Goloman", &Limits::default());
    replica.keep_applied();
    replica
}

/// Any number of lines, of few clients, so that they meet.
fn lines() -> impl Strategy<Value = String> {
    let line = (0_u8..4, 0_u8..5, 0_u32..20).prop_map(|(kind, client, time)| match kind {
        0 => format!("WHATSAT k{client} 1 1\n"),
        1 => format!("nonsense {client}\r\n \n"),
        _ => format!("IAMAT k{client} +1-2 {time}\n"),
    });
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.concat())
}

/// What the lines were answered, why they paused, and what of them goes to disk.
type Outcome = (Vec<(Vec<u8>, Pause)>, Vec<u8>, Vec<Box<[u8]>>);

fn outcome(mut replica: Replica, answers: Vec<(Batch, Pause)>) -> Outcome {
    let answers = answers.into_iter().map(|(batch, pause)| (batch.output, pause)).collect();
    let applied = replica.applied().map(std::mem::take).unwrap_or_default();
    let known = replica.store().dump().into_iter().map(Box::from).collect();
    (answers, applied, known)
}

fn one_after_the_other(inputs: &[String]) -> Outcome {
    let mut replica = goloman();
    let mut execute = |input: &String| {
        let mut batch = Batch::new(input.clone().into(), LINE_MAX);
        let pause = replica.execute(&mut batch, NOON, 0, Uuid::nil);
        (batch, pause)
    };
    let answers = inputs.iter().map(&mut execute).collect();
    outcome(replica, answers)
}

fn together(inputs: &[String]) -> Outcome {
    let mut replica = goloman();
    let mut orders: Vec<Order> = inputs.iter().map(|input| order(input)).collect();
    replica.execute_all(&mut orders, 0, Uuid::nil);
    outcome(replica, orders.into_iter().map(|order| (*order.batch, order.pause)).collect())
}

fn order(input: &str) -> Order {
    Order { batch: Box::new(Batch::new(input.into(), LINE_MAX)), received: NOON, pause: Pause::Done }
}

proptest! {
    #[test]
    fn together_they_are_answered_as_one_after_the_other(inputs in prop::collection::vec(lines(), 0..40)) {
        prop_assert_eq!(together(&inputs), one_after_the_other(&inputs));
    }
}

/// The lengths of the updates that a new neighbour of a replica would take, after some batches.
fn updates(orders: &mut [Order]) -> Vec<usize> {
    let mut replica = goloman();
    replica.link_up("Hands", Vocabulary::Trees);
    let mut last = 0;
    let mut fresh = || {
        last += 1;
        Uuid::from_u128(last)
    };
    replica.execute_all(orders, 0, &mut fresh);
    while orders.iter().any(|order| order.pause == Pause::Full) {
        for order in orders.iter_mut() {
            order.batch.output.clear();
        }
        replica.execute_all(orders, 0, &mut fresh);
    }
    let mut updates = Vec::new();
    loop {
        let mut chunk = Vec::new();
        replica.take("Hands", 0, &mut chunk);
        if chunk.is_empty() {
            return updates;
        }
        let mut inbox = Inbox::new(chunk);
        while let Some(frame) = inbox.next(usize::MAX).unwrap() {
            if let Frame::Update(update) = frame {
                updates.push(update.len());
            }
        }
    }
}

#[test]
fn what_is_new_in_all_of_them_is_one_update() {
    let mut orders: Vec<Order> = (0..100).map(|client| order(&format!("IAMAT k{client} +1-2 3\n"))).collect();
    assert_eq!(updates(&mut orders).len(), 1);
}

#[test]
fn an_update_is_not_much_longer_than_one_write_to_a_neighbour() {
    let batch = |first: usize| -> String {
        let line = |client| format!("IAMAT {client}-{} +1-2 3\n", "x".repeat(500));
        (first..first + 100).map(line).collect::<Vec<_>>().concat()
    };
    let mut orders: Vec<Order> = (0..50).map(|number| order(&batch(100 * number))).collect();
    let updates = updates(&mut orders);
    let bound = Limits::default().chunk_bytes + 100 * 600;
    assert!(updates.len() > 10 && updates.iter().all(|&length| length < bound), "{updates:?}");
}

/// A batch of short commands made one update of many times its length, and a neighbour hung up on it as often as it came.
#[test]
fn an_update_of_one_batch_is_no_longer_than_one_write_and_a_line() {
    let commands: String =
        (0..20_000).map(|client| format!("IAMAT {client} +1-2 3\n")).collect::<Vec<_>>().concat();
    let updates = updates(&mut [order(&commands)]);
    let bound = Limits::default().chunk_bytes + 100;
    assert!(updates.len() > 5 && updates.iter().all(|&length| length < bound), "{updates:?}");
}
