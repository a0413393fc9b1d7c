//! What a server does at the edges of its limits on what it remembers and searches.

use herd_core::batch::Pause;
use herd_core::limits::Limits;
use herd_core::link::{Frame, Update};
use herd_core::replica::{Finding, Replica};
use herd_core::session::Session;
use uuid::Uuid;

const NOON: u64 = 1_520_023_935_182_837_383;

fn goloman(limits: &Limits) -> Replica {
    Replica::new("Goloman", limits)
}

/// What a client at an address is answered at a time, all its lines needing no pause.
fn say(replica: &mut Replica, address: &str, now_ms: u64, lines: &str) -> String {
    let mut session = Session::new(1000).with(address.parse().unwrap());
    session.buffer().extend_from_slice(lines.as_bytes());
    let mut batch = session.batch().unwrap();
    assert_eq!(replica.execute(&mut batch, NOON, now_ms, Uuid::from_u128(1)), Pause::Done);
    String::from_utf8(batch.output).unwrap()
}

fn iamat(client: &str, time: u32) -> String {
    format!("IAMAT {client} +1-2 {time}\n")
}

fn is_known(replica: &Replica, client: &str) -> bool {
    replica.store().find(client.as_bytes()).is_some()
}

/// Tells a record of a client in the name of a neighbour.
fn flood(replica: &mut Replica, uuid: u128, client: &str, time: u32) {
    let update =
        Update::new(Uuid::from_u128(uuid), format!("{client} +1-2 {time} {NOON} Hands\n").as_bytes());
    replica.hear("Hands", Frame::Update(update), 0, Uuid::from_u128(uuid + 1000));
}

#[test]
fn a_client_over_the_number_is_refused_and_those_that_are_known_go_on() {
    let mut replica = goloman(&Limits { records_max: 2, ..Limits::default() });
    let lines = [iamat("a", 1), iamat("b", 1), iamat("c", 1), iamat("a", 2)].concat();
    let answers = say(&mut replica, "::1", 0, &lines);
    let firsts: Vec<&str> = answers.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(firsts, ["AT", "AT", "?", "AT"], "{answers}");
    assert!(answers.contains("\n? IAMAT c +1-2 1\n"), "{answers}");
    assert_eq!((replica.store().len(), replica.counts().refused), (2, 1));
}

#[test]
fn a_neighbours_client_over_the_number_is_left_out() {
    let mut replica = goloman(&Limits { records_max: 1, ..Limits::default() });
    flood(&mut replica, 1, "a", 1);
    flood(&mut replica, 2, "b", 1);
    flood(&mut replica, 3, "a", 2);
    assert!(is_known(&replica, "a") && !is_known(&replica, "b"));
    assert_eq!((replica.counts().applied, replica.counts().refused), (2, 1));
}

#[test]
fn a_client_that_comes_when_the_bytes_are_full_is_refused_and_room_is_counted_by_the_byte() {
    let line = format!("a +1-2 1 {NOON} Goloman\n").len() as u64;
    for (room, is_taken) in [(line, false), (line + 1, true)] {
        let mut replica = goloman(&Limits { records_bytes: room, ..Limits::default() });
        say(&mut replica, "::1", 0, &(iamat("a", 1) + &iamat("b", 1)));
        assert_eq!(is_known(&replica, "b"), is_taken, "{room}");
        // An update of what is known may be longer than there is room for.
        let update = say(&mut replica, "::1", 0, &iamat("a", 1_000_000));
        assert!(update.starts_with("AT "), "{update}");
    }
}

#[test]
fn so_many_new_clients_come_from_one_address_in_a_second() {
    let mut replica = goloman(&Limits { new_clients_per_s: 2, ..Limits::default() });
    let mut is_taken = |address: &str, now_ms: u64, client: &str| {
        say(&mut replica, address, now_ms, &iamat(client, 1)).starts_with("AT ")
    };
    assert!(is_taken("10.0.0.1", 0, "a") && is_taken("10.0.0.1", 1, "b"));
    assert!(!is_taken("10.0.0.1", 999, "c"));
    assert!(is_taken("10.0.0.1", 999, "a"), "one that is known is not new");
    assert!(is_taken("10.0.0.2", 999, "c"), "another address has its own");
    assert!(is_taken("10.0.0.1", 1000, "d"));
}

#[test]
fn a_neighbours_clients_come_as_fast_as_they_will() {
    let mut replica = goloman(&Limits { new_clients_per_s: 1, ..Limits::default() });
    for uuid in 1..10 {
        flood(&mut replica, uuid, &format!("client-{uuid}"), 1);
    }
    assert_eq!(replica.store().len(), 9);
}

#[test]
fn so_many_searches_begin_in_a_second_and_one_more_finds_nothing() {
    let mut replica = goloman(&Limits { searches_per_s: 2, ..Limits::default() });
    replica.link_up("Hands");
    let mut find = |client: &str, now_ms: u64| {
        replica.find(client.as_bytes(), now_ms, Uuid::from_u128(u128::from(client.as_bytes()[0])))
    };
    assert!(matches!(find("a", 0), Finding::Search(_)) && matches!(find("b", 0), Finding::Search(_)));
    assert_eq!(find("c", 999), Finding::Over);
    assert!(matches!(find("a", 999), Finding::Search(_)), "one that is under way is shared");
    assert!(matches!(find("c", 1000), Finding::Search(_)));
}

#[test]
fn what_was_kept_on_disk_is_remembered_though_the_limit_is_lower_now() {
    let mut replica = goloman(&Limits { records_max: 1, ..Limits::default() });
    for client in ["a", "b"] {
        assert!(replica.restore(format!("{client} +1-2 1 {NOON} Goloman").as_bytes()));
    }
    assert!(is_known(&replica, "a") && is_known(&replica, "b"));
    assert!(say(&mut replica, "::1", 0, &iamat("b", 2)).starts_with("AT "));
    assert!(say(&mut replica, "::1", 0, &iamat("c", 1)).starts_with("? "));
}
