//! What servers say to each other, with the test as the neighbour: floods, searches, and nonsense.
//!
//! Goloman is real. Hands and Wilkes are played by the test, so that every frame is seen and any can be sent.

mod harness;

use harness::{HERE, Herd, Neighbour, eventually};
use std::thread;

const SAID: &str = "1520023934.918963997";
const HEARD: &str = "1520023935182837383";
const FIRST: &str = "11111111111141118111111111111111";
const SECOND: &str = "22222222222242228222222222222222";

/// Goloman, running, with neighbours that do not run.
fn goloman(options: &[&str]) -> Herd {
    let links = [("Goloman", "Hands"), ("Goloman", "Wilkes")];
    let mut herd = Herd::new(&["Goloman", "Hands", "Wilkes"], &links).without_secret();
    herd.server_mut("Goloman").set_options(options);
    herd.start("Goloman");
    herd
}

/// A server that gives a search so much time that only an answer can end it before the test gives up.
fn patient_goloman() -> Herd {
    goloman(&["--search-ms=3600000"])
}

fn record(client: &str) -> String {
    format!("{client} {HERE} {SAID} {HEARD} Hands\n")
}

/// The AT line that follows from [`record`].
fn line(client: &str) -> String {
    format!("AT Hands +0.263873386 {client} {HERE} {SAID}")
}

/// Tells Goloman something, so that what comes before it over a link can be told from what comes after.
fn mark(herd: &Herd) {
    herd.connect("Goloman").tell("mark", HERE, SAID);
}

fn hear_mark(neighbour: &mut Neighbour) {
    let (_, records) = neighbour.hear_update();
    assert!(records.starts_with("mark ") && records.lines().count() == 1, "only the mark, not {records:?}");
}

#[test]
fn an_update_goes_to_every_neighbour_under_one_identifier() {
    let herd = goloman(&[]);
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    herd.connect("Goloman").tell("kiwi", HERE, SAID);
    let (uuid, records) = hands.hear_update();
    assert!(
        records.starts_with(&format!("kiwi {HERE} {SAID} ")) && records.ends_with(" Goloman\n"),
        "{records:?}"
    );
    assert!(uuid.len() == 32 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{uuid:?} is no UUID");
    assert_eq!(wilkes.hear_update(), (uuid, records));
}

#[test]
fn an_update_is_passed_on_but_never_back() {
    let herd = goloman(&[]);
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    hands.tell(FIRST, &record("kiwi"));
    assert_eq!(wilkes.hear_update(), (FIRST.to_owned(), record("kiwi")));
    assert_eq!(herd.connect("Goloman").find("kiwi"), Some(line("kiwi")));
    mark(&herd);
    hear_mark(&mut hands);
}

#[test]
fn an_update_heard_twice_is_passed_on_once() {
    let herd = goloman(&[]);
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    hands.tell(FIRST, &record("kiwi"));
    hands.tell(FIRST, &record("kiwi"));
    hands.tell(SECOND, &record("kiwi"));
    assert_eq!(wilkes.hear_update(), (FIRST.to_owned(), record("kiwi")));
    hands.tell("33333333333343338333333333333333", &record("kea"));
    let (_, records) = wilkes.hear_update();
    assert_eq!(records, record("kea"));
}

#[test]
fn a_neighbour_that_arrives_is_told_all_it_asks_for() {
    let herd = goloman(&[]);
    let mut connection = herd.connect("Goloman");
    let names: Vec<String> = (0..500).map(|number| format!("client-{number:03}")).collect();
    for name in &names {
        connection.tell(name, HERE, SAID);
    }
    let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
    assert_eq!(hands.hear_any().words[0], "DIGEST");
    hands.say("RECORDS? 0-65535\n");
    let mut told: Vec<String> = Vec::new();
    while told.len() < names.len() {
        let records = hands.hear();
        assert_eq!(records.words[0], "RECORDS");
        told.extend(records.payload.lines().filter_map(|record| record.split(' ').next()).map(str::to_owned));
    }
    told.sort();
    assert_eq!(told, names);
}

#[test]
fn a_neighbour_whose_digest_differs_is_asked_for_what_differs() {
    let herd = goloman(&[]);
    herd.connect("Goloman").tell("weka", HERE, SAID);
    let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
    let digest = hands.hear_any().words;
    assert!(digest[0] == "DIGEST" && digest[1].len() == 32, "{digest:?}");
    hands.say(&format!("DIGEST {}\n", digest[1]));
    hands.say("DIGEST 00000000000000000000000000000007\n");
    assert_eq!(hands.hear().words, ["SUMS?", "-"]);
    // The last node has something, and Goloman most likely has nothing there.
    hands.say_sums("-", 1);
    assert_eq!(hands.hear().words, ["RECORDS?", "65280-65535"]);
    hands.say(&format!("RECORDS 256 {}\n{}", record("kiwi").len(), record("kiwi")));
    let mut connection = herd.connect("Goloman");
    eventually("the record is heard", || connection.find("kiwi"));
}

#[test]
fn a_client_that_a_neighbour_finds_is_answered_and_remembered() {
    let herd = patient_goloman();
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    thread::scope(|scope| {
        let asked = scope.spawn(|| herd.connect("Goloman").find("kiwi"));
        let (uuid, client) = hands.hear_search();
        assert_eq!(client, "kiwi");
        assert_eq!(wilkes.hear_search(), (uuid.clone(), client));
        hands.found(&uuid, &record("kiwi"));
        assert_eq!(asked.join().expect("an answer"), Some(line("kiwi")));
    });
    assert_eq!(herd.connect("Goloman").find("kiwi"), Some(line("kiwi")));
    mark(&herd);
    hear_mark(&mut hands);
}

#[test]
fn a_search_ends_when_the_neighbour_that_is_awaited_goes_away() {
    let herd = patient_goloman();
    let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
    thread::scope(|scope| {
        let asked = scope.spawn(|| herd.connect("Goloman").find("nobody"));
        hands.hear_search();
        drop(hands);
        assert_eq!(asked.join().expect("an answer"), None);
    });
}

#[test]
fn an_update_that_comes_meanwhile_ends_a_search() {
    let herd = patient_goloman();
    let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
    thread::scope(|scope| {
        let asked = scope.spawn(|| herd.connect("Goloman").find("kiwi"));
        hands.hear_search();
        hands.tell(FIRST, &record("kiwi"));
        assert_eq!(asked.join().expect("an answer"), Some(line("kiwi")));
    });
}

#[test]
fn a_neighbour_that_searches_for_a_known_client_is_answered_without_asking_others() {
    let herd = patient_goloman();
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    hands.tell(FIRST, &record("kiwi"));
    hands.say(&format!("WHICHCLIENT {SECOND} kiwi\n"));
    let found = hands.hear();
    assert_eq!((found.words[0].as_str(), found.words[1].as_str()), ("FOUND", SECOND));
    assert_eq!(found.payload, record("kiwi"));
    assert_eq!(wilkes.hear_update().1, record("kiwi"));
    mark(&herd);
    hear_mark(&mut wilkes);
}

#[test]
fn a_neighbour_that_searches_for_an_unknown_client_is_told_so_when_nobody_is_left_to_ask() {
    let herd = patient_goloman();
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    hands.say(&format!("WHICHCLIENT {FIRST} nobody\n"));
    let (uuid, _) = wilkes.hear_search();
    wilkes.say(&format!("NOTFOUND {uuid}\n"));
    assert_eq!(hands.hear().words, ["NOTFOUND", FIRST]);
    drop(wilkes);
    let alone = patient_goloman();
    let mut hands = Neighbour::dial(&alone, "Hands", "Goloman");
    hands.say(&format!("WHICHCLIENT {SECOND} nobody\n"));
    assert_eq!(hands.hear().words, ["NOTFOUND", SECOND]);
}

#[test]
fn a_search_is_passed_on_but_never_back_and_its_answer_returns() {
    let herd = patient_goloman();
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    hands.say(&format!("WHICHCLIENT {FIRST} kiwi\n"));
    assert_eq!(wilkes.hear_search(), (FIRST.to_owned(), "kiwi".to_owned()));
    wilkes.found(FIRST, &record("kiwi"));
    let found = hands.hear();
    // The answer is stored, and so it may also come as the news that it is.
    let found = if found.words[0] == "CLIENTAT" { hands.hear() } else { found };
    assert_eq!((found.words[0].as_str(), found.words[1].as_str()), ("FOUND", FIRST));
    assert_eq!(found.payload, record("kiwi"));
}

#[test]
fn an_idle_link_shows_that_it_lives() {
    let herd = goloman(&["--heartbeat-ms=50"]);
    let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
    assert_eq!(hands.hear_any().words[0], "DIGEST");
    for _ in 0..3 {
        assert_eq!(hands.hear_any().words, ["PING"]);
    }
}

#[test]
fn a_neighbour_that_says_nothing_is_given_up() {
    let herd = goloman(&["--heartbeat-ms=50", "--silent-ms=200"]);
    Neighbour::dial(&herd, "Hands", "Goloman").wait_for_the_end();
}

#[test]
fn a_link_may_be_made_again_while_the_old_one_seems_to_be_up() {
    let herd = goloman(&[]);
    let _old = Neighbour::dial(&herd, "Hands", "Goloman");
    let mut new = Neighbour::dial(&herd, "Hands", "Goloman");
    new.tell(FIRST, &record("kiwi"));
    let mut connection = herd.connect("Goloman");
    eventually("the new link is heard", || connection.find("kiwi"));
    mark(&herd);
    hear_mark(&mut new);
}

#[test]
fn nonsense_over_a_link_ends_the_link_and_nothing_else() {
    let herd = goloman(&["--frame-bytes=200000"]);
    let mut wilkes = Neighbour::dial(&herd, "Wilkes", "Goloman");
    let mut connection = herd.connect("Goloman");
    for nonsense in [
        "DANCE\n",
        "IAMAT kiwi +1-1 1\n",
        "CLIENTAT\n",
        "CLIENTAT no-uuid 5\nkiwi\n",
        &format!("CLIENTAT {FIRST} -1\n"),
        &format!("CLIENTAT {FIRST} 99999999999999999999\n"),
        &format!("WHICHCLIENT {FIRST}\n"),
        &format!("WHICHCLIENT {FIRST} two clients\n"),
        &"x".repeat(1_000_000),
        "\0\0\0\0\n",
    ] {
        let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
        hands.say_what_may_be_cut_short(nonsense);
        hands.wait_for_the_end_or_a_reset();
        connection.tell("weka", HERE, SAID);
        let (_, records) = wilkes.hear_update();
        assert!(records.starts_with("weka "), "{records:?}");
    }
}

#[test]
fn of_an_update_only_the_records_that_are_right_count() {
    let herd = patient_goloman();
    let (mut hands, mut wilkes) =
        (Neighbour::dial(&herd, "Hands", "Goloman"), Neighbour::dial(&herd, "Wilkes", "Goloman"));
    let wrong = [
        format!("a +91-0 {SAID} {HEARD} Hands\n"),
        format!("b {HERE} -1 {HEARD} Hands\n"),
        format!("c {HERE} {SAID} -1 Hands\n"),
        format!("d {HERE} {SAID} {HEARD}\n"),
        format!("e {HERE} {SAID} {HEARD} Hands more\n"),
        format!("f {HERE} {SAID} {HEARD} {}\n", "x".repeat(5_000)),
        format!("g {HERE} {SAID} {HEARD} \u{1b}[31mHands\u{7}\n"),
        format!("{} {HERE} {SAID} {HEARD} Hands\n", "h".repeat(1_000_000)),
        format!("i {HERE} {} {HEARD} Hands\n", "1".repeat(300_000)),
        "\0\n".to_owned(),
    ];
    hands.tell(FIRST, &(wrong.concat() + &record("kiwi")));
    let (_, records) = wilkes.hear_update();
    assert_eq!(records, record("kiwi"));
    assert_eq!(herd.connect("Goloman").find("kiwi"), Some(line("kiwi")));
}

#[test]
fn of_two_records_the_same_is_newer_whatever_order_they_come_in() {
    let herd = goloman(&[]);
    let mut hands = Neighbour::dial(&herd, "Hands", "Goloman");
    // Location, time, receipt in nanoseconds, server: the first of each pair is the older.
    let pairs = [
        ["+1-1 1 5000000000 Hands", "+1-1 2 5000000000 Hands"],
        ["+1-1 1.0000000001 9000000000 Hands", "+1-1 1.0000000002 5000000000 Hands"],
        ["+1-1 9 9000000000 Hands", "+1-1 10 5000000000 Hands"],
        ["+1-1 1 5000000000 Hands", "+1-1 1 6000000000 Hands"],
        ["+1-1 1.00 5000000000 Hands", "+1-1 1.0 5000000001 Hands"],
        ["+1-1 1 5000000000 Goloman", "+1-1 1 5000000000 Hands"],
        ["+1-1 1.0 5000000000 Hands", "+1-1 1.00 5000000000 Hands"],
        ["+1-1 01 5000000000 Hands", "+1-1 1 5000000000 Hands"],
        ["+1-1 1 5000000000 Hands", "+1-2 1 5000000000 Hands"],
        // More than 300 s ahead of the receiver, a time counts as the time of receipt.
        ["+1-1 2208988800 1000000000000 Hands", "+1-1 1100 5000000000000 Hands"],
        ["+1-1 900 1000000000000 Hands", "+1-1 2208988800 1000000000000 Hands"],
        ["+1-1 2208988800 1000000000000 Hands", "+1-1 1300 1000000000000 Hands"],
        ["+1-1 1300.000000001 1000000000000 Hands", "+1-1 1300 1000000000000 Hands"],
        ["+1-1 4000000000 1000000000000 Hands", "+1-1 3000000000 1000000000001 Hands"],
        ["+1-1 3000000000 1000000000000 Hands", "+1-1 4000000000 1000000000000 Hands"],
    ];
    let mut connection = herd.connect("Goloman");
    for (number, [older, newer]) in pairs.into_iter().enumerate() {
        for (way, [one, other]) in [[older, newer], [newer, older]].into_iter().enumerate() {
            let client = format!("client-{number}-{way}");
            hands.tell(&uuid(number, way, 1), &format!("{client} {one}\n"));
            hands.tell(&uuid(number, way, 2), &format!("{client} {other}\n"));
            hands.tell(&uuid(number, way, 3), &record(&format!("done-{client}")));
            eventually("both are heard", || connection.find(&format!("done-{client}")));
            let line = connection.find(&client).expect("a known client");
            assert!(
                is_line_of(&line, &client, newer),
                "{one:?} then {other:?} gives {line:?}, not {newer:?}"
            );
        }
    }
}

fn uuid(number: usize, way: usize, step: usize) -> String {
    format!("{number:08x}{way:04x}4{step:03x}8000000000000000")
}

/// Whether an AT line has the server, the location, the time and the receipt of the end of a record line.
fn is_line_of(line: &str, client: &str, record: &str) -> bool {
    let record: Vec<&str> = record.split(' ').collect();
    let [location, time, received, server] = record[..] else { panic!("no record: {record:?}") };
    let received: i128 = received.parse().expect("nanoseconds");
    let (whole, decimals) = time.split_once('.').unwrap_or((time, ""));
    let said: i128 = format!("{whole}{decimals:0<9.9}").parse().expect("a time");
    let skew = received - said;
    let (sign, size) = (if skew < 0 { '-' } else { '+' }, skew.unsigned_abs());
    let skew = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
    line == format!("AT {server} {skew} {client} {location} {time}")
}
