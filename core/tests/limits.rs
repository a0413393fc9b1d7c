//! What a server does at the edges of its limits on what it remembers and searches.

use herd_core::batch::{Batch, OUTPUT_MAX, Pause};
use herd_core::decimal::NANOS_PER_SECOND;
use herd_core::frame::{Frame, Inbox, Span, Update, Vocabulary};
use herd_core::limits::Limits;
use herd_core::record::FUTURE_MAX_S;
use herd_core::replica::Replica;
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
    assert_eq!(replica.execute(&mut batch, NOON, now_ms, || Uuid::from_u128(1)), Pause::Done);
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
fn of_each_update_from_a_server_whose_clock_is_ahead_of_what_is_believed_somebody_is_told_once() {
    let mut replica = goloman(&Limits::default());
    assert_eq!(replica.whose_clock_is_ahead(0), None);
    let believed = NOON - FUTURE_MAX_S * NANOS_PER_SECOND;
    flood(&mut replica, 1, "a", 1);
    assert_eq!(replica.whose_clock_is_ahead(believed), None);
    flood(&mut replica, 2, "b", 1);
    let ahead = NOON - believed + 1;
    assert_eq!(replica.whose_clock_is_ahead(believed - 1), Some(("Hands".to_owned(), ahead)));
    assert_eq!(replica.whose_clock_is_ahead(believed - 1), None);
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
fn however_long_answers_are_no_more_lines_are_executed_once_there_are_many_bytes_of_them() {
    // Sixteen lines were executed before anybody looked at the answers, each of which may be as long as a line.
    let mut replica = goloman(&Limits::default());
    let time = "7".repeat(30_000);
    let longest = time.len() + 100;
    let whatsats = format!("IAMAT kiwi +1-2 1.{time}\n{}", "WHATSAT kiwi 1 0\n".repeat(40));
    let invalid = format!("? {time}\n").repeat(40);
    for (lines, answers) in [(whatsats, 41), (invalid, 40)] {
        let mut batch = Batch::new(lines.into_bytes(), 1 << 16);
        let (mut pause, mut written) = (Pause::Full, Vec::new());
        while pause != Pause::Done {
            pause = replica.execute(&mut batch, NOON, 0, || Uuid::from_u128(1));
            let held = batch.output.len() + batch.wanted().len() * time.len();
            assert!(held < OUTPUT_MAX + 2 * longest, "{held} bytes after {} lines", batch.lines());
            for _ in batch.wanted() {
                batch.add_places(b"[]");
            }
            written.append(&mut batch.output);
        }
        assert_eq!(written.windows(2).filter(|bytes| bytes == b"7\n").count(), answers);
    }
}

/// A frame with it was over the limit of whoever asked, whose link ended, was made anew, and asked again, for ever.
#[test]
fn what_is_on_disk_from_a_longer_limit_is_answered_and_told_to_no_neighbour() {
    let mut replica =
        goloman(&Limits { line_max: 100, frame_bytes: 5000, chunk_bytes: 500, ..Limits::default() });
    let long = format!("plum +1-2 3.{} 4 A", "7".repeat(6000));
    assert_eq!(replica.restore(format!("{long}\nkiwi +1-2 3 4 A\n").as_bytes()), 0);
    assert_eq!(replica.store().len(), 2);
    replica.link_up("Hands", Vocabulary::Trees);
    let (uuid, client) = (Uuid::from_u128(1), b"plum".to_vec());
    replica.hear("Hands", Frame::Which { uuid, client }, 0, Uuid::from_u128(2));
    replica.hear("Hands", Frame::AskRecords { spans: vec![Span::ALL] }, 0, Uuid::from_u128(3));
    let (mut inbox, mut told) = (Inbox::default(), Vec::new());
    let mut take = |replica: &mut Replica| {
        let mut out = Vec::new();
        replica.take("Hands", 0, &mut out);
        inbox.buffer().append(&mut out);
    };
    take(&mut replica);
    while !replica.bells(0).is_empty() {
        take(&mut replica);
    }
    while let Some(frame) = inbox.next(5000).unwrap() {
        match frame {
            Frame::Records { lines, .. } => told.extend(lines),
            frame => assert_eq!(frame, Frame::NotFound { uuid }),
        }
    }
    assert_eq!(told, b"kiwi +1-2 3 4 A\n");
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
        // An update takes the memory that the record before took, as long as it fits there.
        let update = say(&mut replica, "::1", 0, &iamat("a", 1_000_000));
        assert!(update.starts_with("AT "), "{update}");
    }
}

/// 5,000 clients held 325 MB where 1 MB was allowed.
#[test]
fn an_update_of_many_digits_is_refused_when_the_bytes_are_full_until_it_is_no_longer_than_the_one_before() {
    let mut replica = goloman(&Limits { records_bytes: 500, ..Limits::default() });
    let long = |digits: usize, time: u32| format!("IAMAT a +1-2 {time}.{}\n", "7".repeat(digits));
    assert!(say(&mut replica, "::1", 0, &iamat("a", 1)).starts_with("AT "));
    assert!(say(&mut replica, "::1", 0, &long(600, 2)).starts_with("AT "), "there was room when it came");
    assert!(say(&mut replica, "::1", 0, &long(601, 3)).starts_with("? IAMAT a +1-2 3.777"));
    assert!(say(&mut replica, "::1", 0, &long(601, 1)).starts_with("AT "), "an older one takes no room");
    flood(&mut replica, 1, "a", 4);
    assert_eq!(
        (replica.counts().refused, replica.store().bytes() < 500),
        (1, true),
        "a short one does not either"
    );
    assert!(say(&mut replica, "::1", 0, &long(600, 5)).starts_with("AT "));
    assert!(say(&mut replica, "::1", 0, &long(600, 6)).starts_with("AT "));
    let line = format!("a +1-2 7.{} {NOON} Hands\n", "7".repeat(700));
    let update = Update::new(Uuid::from_u128(2), line.as_bytes());
    replica.hear("Hands", Frame::Update(update), 0, Uuid::from_u128(3));
    assert_eq!((replica.counts().refused, replica.counts().malformed), (2, 0), "nor has a neighbour's room");
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
    replica.link_up("Hands", Vocabulary::Trees);
    let mut find = |client: &str, now_ms: u64| {
        replica.find(client.as_bytes(), now_ms, Uuid::from_u128(u128::from(client.as_bytes()[0])))
    };
    assert!(find("a", 0).is_some() && find("b", 0).is_some());
    assert_eq!(find("c", 999), None);
    assert!(find("a", 999).is_some(), "one that is under way is shared");
    assert!(find("c", 1000).is_some());
    assert_eq!(replica.load().seen, 3, "what was refused is nothing to remember");
}

/// A server that was asked as soon as it took clients knew nobody: its links were not up yet.
#[test]
fn a_search_soon_after_the_start_waits_for_the_links_that_are_to_come_and_no_longer_than_any() {
    let mut replica = goloman(&Limits::default());
    let search_ms = Limits::default().search_ms;
    replica.expect(["Hands".to_owned(), "Wilkes".to_owned()], search_ms + 10);
    let uuid = Uuid::from_u128(7);
    assert_eq!(replica.find(b"kiwi", 0, uuid), Some(uuid));
    replica.link_up("Hands", Vocabulary::Trees);
    let mut out = Vec::new();
    replica.take("Hands", 0, &mut out);
    let question = Frame::Which { uuid, client: b"kiwi".to_vec() }.to_bytes();
    assert!(out.windows(question.len()).any(|bytes| bytes == question));
    replica.hear("Hands", Frame::NotFound { uuid }, 0, Uuid::from_u128(1));
    replica.expire(search_ms - 1);
    assert!(replica.ended().is_empty(), "Wilkes may come yet");
    replica.expire(search_ms);
    assert_eq!(replica.ended(), [uuid]);
    let asked_late = Uuid::from_u128(8);
    assert_eq!(replica.find(b"kiwi", search_ms, asked_late), Some(asked_late));
    replica.hear("Hands", Frame::NotFound { uuid: asked_late }, search_ms, Uuid::from_u128(2));
    assert_eq!((replica.ended(), replica.deadline_ms()), (vec![], Some(search_ms + 10)));
    replica.expire(search_ms + 10);
    assert_eq!(replica.ended(), [asked_late], "Wilkes is away");
    let asked_later = Uuid::from_u128(9);
    assert_eq!(replica.find(b"kiwi", search_ms + 10, asked_later), Some(asked_later));
    replica.hear("Hands", Frame::NotFound { uuid: asked_later }, search_ms + 10, Uuid::from_u128(3));
    assert_eq!(replica.ended(), [asked_later]);
}

#[test]
fn so_many_searches_are_under_way_and_one_more_finds_nothing_until_one_has_ended() {
    let mut replica = goloman(&Limits { searches_max: 2, ..Limits::default() });
    replica.link_up("Hands", Vocabulary::Trees);
    replica.link_up("Wilkes", Vocabulary::Trees);
    let uuid = |client: &str| Uuid::from_u128(u128::from(client.as_bytes()[0]));
    let find = |replica: &mut Replica, client: &str| replica.find(client.as_bytes(), 0, uuid(client));
    assert!(find(&mut replica, "a").is_some());
    // A neighbour's search that is passed on counts too.
    let question = Frame::Which { uuid: uuid("b"), client: b"b".to_vec() };
    replica.hear("Hands", question, 0, Uuid::from_u128(1));
    assert_eq!(replica.load().searches, 2);
    assert_eq!(find(&mut replica, "c"), None);
    for neighbour in ["Hands", "Wilkes"] {
        replica.hear(neighbour, Frame::NotFound { uuid: uuid("a") }, 0, Uuid::from_u128(2));
    }
    assert_eq!((replica.ended(), replica.load().searches), (vec![uuid("a")], 1));
    assert!(find(&mut replica, "c").is_some());
}

#[test]
fn what_was_kept_on_disk_is_remembered_though_the_limit_is_lower_now() {
    let mut replica = goloman(&Limits { records_max: 1, ..Limits::default() });
    for client in ["a", "b"] {
        assert_eq!(replica.restore(format!("{client} +1-2 1 {NOON} Goloman").as_bytes()), 0);
    }
    assert!(is_known(&replica, "a") && is_known(&replica, "b"));
    assert!(say(&mut replica, "::1", 0, &iamat("b", 2)).starts_with("AT "));
    assert!(say(&mut replica, "::1", 0, &iamat("c", 1)).starts_with("? "));
}

/// Names of 5,000 bytes and such with an escape in them were stored, passed on and shown to clients, as were IDs and times
/// of any length.
#[test]
fn what_no_client_could_have_told_a_server_is_no_record_of_a_neighbour_but_one_that_is_on_disk() {
    let (long, digits) = ("x".repeat(5_000), "1".repeat(2_000));
    let odd = [
        format!("a +1-2 3 {NOON} {long}\n"),
        format!("b +1-2 3 {NOON} \u{1b}[31m\n"),
        format!("c +1-2 3 {NOON} Hands\u{7}\n"),
        format!("{long} +1-2 3 {NOON} Hands\n"),
        format!("d +1-2 {digits} {NOON} Hands\n"),
    ];
    let mut replica = goloman(&Limits { line_max: 1_000, ..Limits::default() });
    replica.link_up("Hands", Vocabulary::Trees);
    let lines = odd.concat() + &format!("kiwi +1-2 3 {NOON} Hands\n");
    let update = Update::new(Uuid::from_u128(1), lines.as_bytes());
    replica.hear("Hands", Frame::Update(update), 0, Uuid::from_u128(2));
    replica.hear("Hands", Frame::Records { done: 0, lines: odd.concat().into() }, 0, Uuid::from_u128(3));
    let found = Frame::Found { uuid: Uuid::from_u128(4), line: odd[1].trim_end().into() };
    replica.hear("Hands", found, 0, Uuid::from_u128(5));
    assert!(is_known(&replica, "kiwi") && replica.store().len() == 1);
    assert_eq!((replica.counts().applied, replica.counts().malformed), (1, 11));
    assert_eq!(replica.restore(odd.concat().as_bytes()), 0);
    assert_eq!(replica.store().len(), 6);
}

#[test]
fn a_neighbours_search_for_a_client_that_cannot_be_is_answered_and_goes_no_further() {
    let mut replica = goloman(&Limits { line_max: 1_000, ..Limits::default() });
    for link in ["Hands", "Wilkes"] {
        replica.link_up(link, Vocabulary::Trees);
    }
    let uuid = Uuid::from_u128(1);
    replica.hear("Hands", Frame::Which { uuid, client: vec![b'k'; 2_000] }, 0, Uuid::from_u128(2));
    assert_eq!(replica.load().searches, 0);
    let mut said = Vec::new();
    replica.take("Hands", 0, &mut said);
    assert_eq!(said, Frame::NotFound { uuid }.to_bytes());
}

/// What a link takes next holds a frame.
fn says(replica: &mut Replica, link: &str, frame: &Frame) -> bool {
    let (mut said, frame) = (Vec::new(), frame.to_bytes());
    replica.take(link, 0, &mut said);
    said.windows(frame.len()).any(|bytes| bytes == frame)
}

/// Only the first heard of it. Where that one had no room for it, nobody did who stood behind the other.
#[test]
fn a_neighbour_that_asks_what_another_asked_before_is_told_what_is_known() {
    let mut replica = goloman(&Limits::default());
    say(&mut replica, "::1", 0, &iamat("kiwi", 1));
    let uuid = Uuid::from_u128(1);
    let line = format!("kiwi +1-2 1 {NOON} Goloman").into_bytes();
    for link in ["Hands", "Wilkes"] {
        replica.link_up(link, Vocabulary::Trees);
        replica.hear(link, Frame::Which { uuid, client: b"kiwi".to_vec() }, 0, Uuid::from_u128(2));
        assert!(says(&mut replica, link, &Frame::Found { uuid, line: line.clone() }), "{link}");
    }
}

/// The search ended untold, and the session waited for ever.
#[test]
fn a_search_of_this_servers_own_that_comes_round_when_it_has_been_forgotten_goes_on() {
    let mut replica = goloman(&Limits { seen_max: 1, ..Limits::default() });
    for link in ["Hands", "Wilkes"] {
        replica.link_up(link, Vocabulary::Trees);
    }
    let [own, others @ ..] = [7, 8, 9].map(Uuid::from_u128);
    assert_eq!(replica.find(b"kiwi", 0, own), Some(own));
    for uuid in others {
        replica.hear("Hands", Frame::Which { uuid, client: b"plum".to_vec() }, 0, Uuid::nil());
    }
    replica.hear("Hands", Frame::Which { uuid: own, client: b"kiwi".to_vec() }, 0, Uuid::nil());
    assert!(says(&mut replica, "Hands", &Frame::NotFound { uuid: own }));
    for link in ["Hands", "Wilkes"] {
        assert!(replica.ended().is_empty());
        replica.hear(link, Frame::NotFound { uuid: own }, 0, Uuid::nil());
    }
    assert_eq!(replica.ended(), [own]);
}

/// Two servers that dial each other at once have two connections, of which one stays.
#[test]
fn a_search_goes_on_over_a_new_connection_in_the_place_of_another() {
    let mut replica = goloman(&Limits::default());
    let (own, passed_on) = (Uuid::from_u128(7), Uuid::from_u128(8));
    let question = |uuid| Frame::Which { uuid, client: b"kiwi".to_vec() };
    replica.link_up("Hands", Vocabulary::Trees);
    replica.link_up("Wilkes", Vocabulary::Trees);
    assert_eq!(replica.find(b"kiwi", 0, own), Some(own));
    replica.hear("Wilkes", question(passed_on), 0, Uuid::nil());
    for link in ["Hands", "Wilkes"] {
        replica.link_up(link, Vocabulary::Trees);
        assert!(says(&mut replica, link, &question(own)), "{link}");
    }
    replica.hear("Wilkes", question(passed_on), 0, Uuid::nil());
    assert!(!says(&mut replica, "Wilkes", &Frame::NotFound { uuid: passed_on }), "Hands may know");
    assert!(replica.ended().is_empty());
    replica.hear("Hands", Frame::NotFound { uuid: passed_on }, 0, Uuid::nil());
    assert!(says(&mut replica, "Wilkes", &Frame::NotFound { uuid: passed_on }));
}

#[test]
fn what_is_no_record_on_disk_is_counted_and_the_rest_is_remembered() {
    let mut replica = goloman(&Limits::default());
    let lines: String =
        (0..100)
            .map(|client| {
                if client % 7 == 3 {
                    "k +1-2 1\n".into()
                } else {
                    format!("k{client} +1-2 1 {NOON} Goloman\n")
                }
            })
            .collect();
    assert_eq!(replica.restore(lines.as_bytes()), 14);
    assert_eq!((replica.store().len(), replica.counts().applied), (86, 86));
}

/// Milliseconds that a record lives in these tests: 16 epochs of a second.
const TTL_MS: u64 = 16_000;

/// A second, and the beginning of an epoch.
const S: u64 = 1_000_000_000;
const NOON_S: u64 = NOON / S * S;

/// A server of records that live for a while, with clients, each at a second of the day's time, told it by a neighbour.
fn mortal(clients: &[(&str, u64)]) -> Replica {
    let mut replica = goloman(&Limits { record_ttl_ms: Some(TTL_MS), ..Limits::default() });
    for (uuid, (client, received)) in (1..).zip(clients) {
        tell(&mut replica, uuid, &format!("{client} +1-2 5 {received} Hands\n"));
    }
    replica
}

fn tell(replica: &mut Replica, uuid: u128, lines: &str) {
    let update = Update::new(Uuid::from_u128(uuid), lines.as_bytes());
    replica.hear("Hands", Frame::Update(update), 0, Uuid::from_u128(uuid + 1000));
}

fn work(replica: &mut Replica) {
    while replica.has_work() {
        replica.work(0);
    }
}

#[test]
fn a_record_lives_to_the_end_of_the_epoch_that_is_a_lifetime_later() {
    let mut replica = mortal(&[("early", NOON_S), ("late", NOON_S + S - 1), ("next", NOON_S + S)]);
    replica.set_clock(NOON_S + 17 * S - 1);
    work(&mut replica);
    assert_eq!((replica.store().len(), replica.counts().expired), (3, 0));
    replica.set_clock(NOON_S + 17 * S);
    assert!(!is_known(&replica, "early") && !is_known(&replica, "late") && is_known(&replica, "next"));
    work(&mut replica);
    assert_eq!((replica.store().len(), replica.counts().expired), (1, 2));
}

#[test]
fn what_has_expired_is_refused_from_neighbours_and_disk_and_not_passed_on() {
    let mut replica = mortal(&[]);
    replica.keep_applied();
    replica.link_up("Wilkes", Vocabulary::Trees);
    replica.set_clock(NOON_S + 17 * S);
    let lines = format!("old +1-2 5 {} Hands\nyoung +1-2 5 {} Hands\n", NOON_S + S - 1, NOON_S + S);
    tell(&mut replica, 1, &lines);
    let foreign = replica.restore(format!("old +1-2 5 {NOON_S} Hands").as_bytes());
    assert_eq!(foreign, 0, "it is a record all the same");
    replica.hear("Wilkes", Frame::Records { done: 1, lines: lines.into_bytes() }, 0, Uuid::from_u128(9));
    assert!(!is_known(&replica, "old") && is_known(&replica, "young"));
    assert_eq!((replica.counts().applied, replica.counts().late), (1, 3));
    let applied =
        replica.applied().map(|entries| String::from_utf8_lossy(entries).into_owned()).unwrap_or_default();
    assert_eq!(applied.lines().count(), 1, "{applied}");
    let mut out = Vec::new();
    replica.take("Wilkes", 0, &mut out);
    let said = String::from_utf8_lossy(&out);
    assert!(said.contains("young ") && !said.contains("old "), "{said}");
}

#[test]
fn a_client_whose_record_has_expired_is_as_one_that_never_was() {
    let mut replica = mortal(&[("kiwi", NOON_S)]);
    replica.link_up("Hands", Vocabulary::Trees);
    replica.set_clock(NOON_S + 17 * S);
    let Some(uuid) = replica.find(b"kiwi", 0, Uuid::from_u128(7)) else { panic!("it is not searched for") };
    // A neighbour whose clock is behind still knows it.
    let line = format!("kiwi +1-2 5 {NOON_S} Hands").into_bytes();
    replica.hear("Hands", Frame::Found { uuid, line }, 0, Uuid::from_u128(8));
    assert_eq!(replica.ended(), [uuid]);
    assert!(!is_known(&replica, "kiwi"));
    let older = say_at(&mut replica, NOON_S + 17 * S, &iamat("kiwi", 4));
    assert!(older.starts_with("AT ") && is_known(&replica, "kiwi"), "{older}");
    let known = replica.store().dump();
    assert!(known[0].starts_with(b"kiwi +1-2 4 "), "the older client time is the newest now");
}

/// What a client is answered when the server's clock shows a time.
fn say_at(replica: &mut Replica, received: u64, lines: &str) -> String {
    let mut session = Session::new(1000);
    session.buffer().extend_from_slice(lines.as_bytes());
    let mut batch = session.batch().unwrap();
    assert_eq!(replica.execute(&mut batch, received, 0, || Uuid::from_u128(2)), Pause::Done);
    String::from_utf8(batch.output).unwrap()
}

#[test]
fn room_that_expired_records_leave_is_given_to_others() {
    let mut replica = goloman(&Limits { record_ttl_ms: Some(TTL_MS), records_max: 1, ..Limits::default() });
    assert!(say_at(&mut replica, NOON_S, &iamat("a", 1)).starts_with("AT "));
    assert!(say_at(&mut replica, NOON_S + 16 * S, &iamat("b", 1)).starts_with("? "));
    replica.set_clock(NOON_S + 17 * S);
    work(&mut replica);
    assert!(say_at(&mut replica, NOON_S + 17 * S, &iamat("b", 1)).starts_with("AT "));
    assert!(!is_known(&replica, "a") && is_known(&replica, "b"));
}

#[test]
fn a_clock_that_was_wrong_and_is_set_right_makes_no_client_unknown() {
    let mut replica = mortal(&[]);
    replica.set_clock(NOON_S * 2);
    assert!(replica.has_expired(NOON_S));
    replica.set_clock(NOON_S);
    assert!(say_at(&mut replica, NOON_S, &iamat("kiwi", 1)).starts_with("AT "));
    work(&mut replica);
    assert!(is_known(&replica, "kiwi"));
    replica.set_clock(NOON_S + 5 * S);
    work(&mut replica);
    assert!(is_known(&replica, "kiwi"));
}

/// It was taken for a clock that was set back: what had expired was answered again, and asked for from everybody.
#[test]
fn what_was_held_up_until_it_expired_is_answered_and_raises_nothing() {
    let mut replica = mortal(&[("kiwi", NOON_S)]);
    replica.set_clock(NOON_S + 17 * S);
    assert!(say_at(&mut replica, NOON_S, &iamat("late", 1)).starts_with("AT "));
    assert!(!is_known(&replica, "kiwi") && !is_known(&replica, "late"));
    assert_eq!(replica.counts().late, 1);
}

#[test]
fn records_live_for_ever_unless_somebody_says_otherwise() {
    let mut replica = goloman(&Limits::default());
    tell(&mut replica, 1, "kiwi +1-2 5 0 Hands\n");
    replica.set_clock(u64::MAX);
    assert!(is_known(&replica, "kiwi") && !replica.has_work() && replica.clock_in_ms(u64::MAX).is_none());
}
