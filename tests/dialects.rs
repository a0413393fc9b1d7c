//! Neighbours of another make as the built program meets them, with the test as the neighbour.
//!
//! What they say in a whole herd is tried in `actors/tests/dialects`; here it is that a topology file is enough.

mod harness;

use harness::{HERE, Herd, PATIENCE, eventually};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

const SAID: &str = "1520023934.918963997";

/// Goloman, running, and its neighbour Hands, which speaks a dialect and is played by the test.
fn goloman(speaks: &str) -> (Herd, TcpListener) {
    let hands = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.server_mut("Hands").speaks = Some(speaks.to_owned());
    herd.server_mut("Hands").clients = hands.local_addr().expect("an address").to_string();
    herd.start("Goloman");
    (herd, hands)
}

/// The next message that Hands is sent. A connection without one is only a look whether Hands is there.
fn message(hands: &TcpListener) -> String {
    hands.set_nonblocking(true).expect("a listener that does not wait");
    eventually("Hands is told", || {
        let (mut call, _) = hands.accept().ok()?;
        call.set_nonblocking(false).expect("a connection that waits");
        call.set_read_timeout(Some(PATIENCE)).expect("a read time limit");
        let mut text = String::new();
        call.read_to_string(&mut text).expect("a message");
        (!text.is_empty()).then_some(text)
    })
}

/// Says a message to Goloman from the address of Hands, and tells what comes back until Goloman closes.
fn say(herd: &Herd, text: &str) -> String {
    let mut call = TcpStream::connect(&herd.server("Goloman").clients).expect("a connection");
    call.set_read_timeout(Some(PATIENCE)).expect("a read time limit");
    call.write_all(text.as_bytes()).expect("a message");
    let mut answer = String::new();
    call.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn what_a_client_says_is_said_in_the_words_of_the_neighbour() {
    let (herd, hands) = goloman("update");
    let told = herd.connect("Goloman").tell("kiwi", HERE, SAID);
    let expected = told.trim_end().strip_prefix("AT ").map(|at| format!("UPDATE kiwi AT {at}"));
    assert_eq!(Some(message(&hands)), expected);
}

#[test]
fn what_the_neighbour_says_is_told_to_clients() {
    let (herd, _hands) = goloman("at");
    let at = format!("AT Hands +0.263873386 kiwi {HERE} {SAID}");
    assert_eq!(say(&herd, &at), "");
    let found = || herd.connect("Goloman").find("kiwi").filter(|line| *line == at);
    eventually("Goloman knows kiwi", found);
}

/// One that overwrites was there meanwhile and may have learned what is newer: what is older must not be said to it.
#[test]
fn what_was_kept_on_disk_is_said_again_after_a_crash_to_those_only_that_keep_the_newer() {
    for (speaks, is_again) in
        [("changeloc", true), ("trail", false), ("clientat", false), ("update", false), ("at", true)]
    {
        let (mut herd, neighbour) = goloman(speaks);
        herd.connect("Goloman").tell("kiwi", HERE, SAID);
        assert!(message(&neighbour).contains(" kiwi "), "{speaks}");
        herd.kill("Goloman");
        herd.start("Goloman");
        assert!(herd.connect("Goloman").find("kiwi").is_some(), "{speaks}: it was kept");
        let mut told = Vec::new();
        let has =
            |told: &[String], client: &str| told.iter().any(|said| said.contains(&format!(" {client} ")));
        for client in ["plum", "pear"] {
            herd.connect("Goloman").tell(client, HERE, SAID);
            while !has(&told, client) || (is_again && !has(&told, "kiwi")) {
                told.push(message(&neighbour));
            }
        }
        assert_eq!(has(&told, "kiwi"), is_again, "{speaks}: {told:?}");
    }
}

#[test]
fn the_words_of_a_dialect_that_is_not_configured_are_no_command() {
    let (herd, _hands) = goloman("changeloc");
    let at = format!("AT Hands +0.263873386 kiwi {HERE} {SAID}\n");
    let mut client = herd.connect("Goloman");
    client.say(&at).expect("a line");
    assert_eq!(client.line(), format!("? {}", at.trim_end()));
}

#[test]
fn the_status_tells_what_the_neighbour_speaks_and_whether_it_answers() {
    let (herd, hands) = goloman("trail");
    let link = || herd.report("Goloman").map(|report| report["links"][0].clone());
    let is_up = |up: bool| link().filter(|link| link["up"] == up);
    let up = eventually("Hands answers", || is_up(true));
    assert_eq!((up["name"].as_str(), up["speaks"].as_str()), (Some("Hands"), Some("trail")));
    drop(hands);
    eventually("Hands does not answer", || is_up(false));
}

#[test]
fn a_server_of_another_make_cannot_be_served() {
    let (herd, _hands) = goloman("clientat");
    let output = herd.run("Hands");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Hands speaks clientat") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_client_at_the_address_of_the_neighbour_is_served_and_the_end_of_input_ends_its_last_line() {
    let (herd, _hands) = goloman("clientat");
    let address = &herd.server("Goloman").clients;
    let mut client = TcpStream::connect(address).expect("a connection");
    client.write_all(format!("IAMAT kiwi {HERE} {SAID}").as_bytes()).expect("a line");
    client.shutdown(Shutdown::Write).expect("a half-closed connection");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("AT Goloman +") && answer.ends_with(&format!("kiwi {HERE} {SAID}\n")),
        "{answer}"
    );
}
