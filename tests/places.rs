//! `WHATSAT` through the real program: offline, through a stand-in for Google, and with an index of one's own.

mod harness;
#[path = "../actors/tests/places/stand_in.rs"]
#[allow(dead_code, reason = "only some of what the stand-in can do is needed here")]
mod stand_in;

use harness::canary::KEY;
use harness::scratch::{err, out};
use harness::{Client, HERE, Herd, Scratch, eventually};
use serde_json::Value;
use stand_in::{Answer, StandIn, head, http};
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Barrier};

const KIWI: &str = "kiwi.cs.ucla.edu";

const LEGACY: &str = "{\n   \"html_attributions\" : [],\n\n\n   \"results\" : [\n      { \"name\" : \"caf\\u00e9\" },\n      {\n         \"name\" : \"B\"\n      }\n   ],\n   \"status\" : \"OK\"\n}\n\n";

/// A server that logs all it can. That it shows no secret in it is seen to when it is dropped.
fn talkative(options: &[&str]) -> Herd {
    let mut herd = Herd::one();
    herd.server_mut("Goloman").set_options(options);
    herd.server_mut("Goloman").prelude = Some("export RUST_LOG=trace".to_owned());
    herd.start("Goloman");
    herd
}

/// Asks for places and returns the bytes between the AT line and the two newlines.
fn places(client: &mut Client, command: &str) -> String {
    assert!(client.ask(command).starts_with("AT Goloman "));
    let mut json = client.until(b"\n\n").expect("places");
    json.truncate(json.len() - 2);
    String::from_utf8(json).expect("text")
}

fn names(json: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(json).expect("JSON");
    let results = answer["results"].as_array().expect("a list");
    results.iter().map(|place| place["name"].as_str().expect("a name").to_owned()).collect()
}

/// A file for one test, by its path.
fn file(scratch: &Scratch, name: &str, text: &str) -> String {
    scratch.write(name, text);
    scratch.path(name).to_str().expect("a path that is text").to_owned()
}

#[test]
fn a_herd_without_a_key_or_a_network_finds_real_places() {
    let herd = Herd::running(&["--places", "offline"]);
    let mut client = herd.connect("Goloman");
    client.tell(KIWI, HERE, "1520023934.918963997");
    let near = places(&mut client, &format!("WHATSAT {KIWI} 10 5"));
    let wanted = ["Westwood, Los Angeles", "Century City", "Beverly Hills", "Santa Monica", "Culver City"];
    assert_eq!(names(&near), wanted);
    assert!(near.contains("Santa Monica, California, US") && near.contains("geonames.org"));
    client.tell("ship", "+30.0-040.0", "1");
    assert!(places(&mut client, "WHATSAT ship 50 20").contains("ZERO_RESULTS"));
    assert_eq!(names(&places(&mut client, &format!("WHATSAT {KIWI} 10 0"))).len(), 0);
    client.tell("spot", "+34.01945-118.49119", "1");
    assert_eq!(names(&places(&mut client, "WHATSAT spot 0 20")), ["Santa Monica"]);
}

#[test]
fn what_the_legacy_search_says_comes_through_byte_for_byte() {
    let (scratch, stand_in) = (Scratch::new(), StandIn::start([http(200, LEGACY)]));
    let (key, url) = (file(&scratch, "key", &format!("{KEY}\n")), stand_in.url());
    let herd = talkative(&["--places", "google-legacy", "--places-key-file", &key, "--places-url", &url]);
    fs::remove_file(key).expect("the file"); // Whatever is left is looked through for secrets.
    let mut client = herd.connect("Goloman");
    client.tell(KIWI, HERE, "1");
    let near = places(&mut client, &format!("WHATSAT {KIWI} 10 1"));
    let wanted = "{\n   \"html_attributions\" : [\"Google Maps\"],\n   \"results\" : [\n      { \"name\" : \"caf\\u00e9\" }\n   ],\n   \"status\" : \"OK\", \"source\" : \"google-legacy\"\n}";
    assert_eq!(near, wanted);
    assert!(stand_in.requests()[0].contains(&format!("radius=10000&key={KEY} ")));
}

#[test]
fn who_waits_for_google_delays_no_other_session_and_no_earlier_answer() {
    let barrier = Arc::new(Barrier::new(2));
    let reply = [head(200, "", LEGACY.len()), LEGACY.into()].concat();
    let stand_in = StandIn::start([Answer::SayAt(Arc::clone(&barrier), reply)]);
    let url = stand_in.url();
    let herd =
        Herd::running(&["--places", "google-legacy", "--places-url", &url, "--places-deadline-ms", "60000"]);
    let mut waiting = herd.connect("Goloman");
    let commands = format!("IAMAT {KIWI} {HERE} 1\nWHATSAT {KIWI} 10 5\nIAMAT later {HERE} 2\n");
    waiting.say(commands).expect("commands");
    assert!(waiting.line().contains(KIWI));
    eventually("Google is asked", || (stand_in.requests().len() == 1).then_some(()));
    let mut other = herd.connect("Goloman");
    for time in 0..100 {
        other.tell("other", HERE, &time.to_string());
    }
    barrier.wait();
    assert!(waiting.line().contains(KIWI));
    assert!(String::from_utf8_lossy(&waiting.until(b"\n\n").expect("places")).contains("google-legacy"));
    assert!(waiting.line().contains("later"));
}

#[test]
fn a_key_that_google_repeats_in_its_complaint_is_shown_to_nobody() {
    let complaint = format!(
        "{{\"error\": {{\"message\": \"API key {KEY} is not valid\", \"status\": \"INVALID_ARGUMENT\"}}}}"
    );
    let stand_in = StandIn::start([http(400, &complaint)]);
    let herd = talkative(&["--places", "google", "--places-url", &stand_in.url()]);
    let mut client = herd.connect("Goloman");
    client.tell(KIWI, HERE, "1");
    let near = places(&mut client, &format!("WHATSAT {KIWI} 10 1"));
    assert!(near.contains("is not valid") && stand_in.requests()[0].contains(KEY), "{near}");
}

/// A mistyped `--places-url` was not mentioned before the fifth question.
#[test]
fn a_provider_that_fails_is_complained_of_at_once_and_not_each_time() {
    let stand_in = StandIn::start([http(404, "")]);
    let herd = Herd::running(&["--places", "google", "--places-url", &stand_in.url()]);
    let mut client = herd.connect("Goloman");
    client.tell(KIWI, HERE, "1");
    for _ in 0..5 {
        assert!(places(&mut client, &format!("WHATSAT {KIWI} 10 1")).contains("http status 404"));
    }
    let warning = " places provider=google failed: \"http status 404\"";
    let log =
        eventually("it is in the log", || Some(herd.log("Goloman")).filter(|log| log.contains(warning)));
    // It is there twice: in the file and on standard error.
    let said: BTreeSet<&str> = log.lines().filter(|line| line.contains("places provider=")).collect();
    assert!(said.len() < 5, "{log}");
    assert!(said.iter().all(|line| line.contains(" WARN ") && line.contains(warning)), "{log}");
}

#[test]
fn a_server_told_to_stop_lets_an_answer_that_waits_for_google_out_and_takes_nobody_in() {
    let barrier = Arc::new(Barrier::new(2));
    let reply = [head(200, "", LEGACY.len()), LEGACY.into()].concat();
    let stand_in = StandIn::start([Answer::SayAt(Arc::clone(&barrier), reply)]);
    let url = stand_in.url();
    let mut herd = Herd::running(&["--places", "google-legacy", "--places-url", &url, "--stop-ms", "60000"]);
    let mut waiting = herd.connect("Goloman");
    waiting.tell(KIWI, HERE, "1");
    waiting.say(format!("WHATSAT {KIWI} 10 5\nIAMAT {KIWI} {HERE} 2\n")).expect("commands");
    eventually("Google is asked", || (stand_in.requests().len() == 1).then_some(()));
    herd.signal("Goloman", "TERM");
    let address = herd.server("Goloman").clients.clone();
    eventually("nobody is let in", || Client::connect(&address).is_err().then_some(()));
    barrier.wait();
    let rest = String::from_utf8(waiting.rest().expect("answers and an end")).expect("text");
    assert!(rest.contains("google-legacy") && rest.trim_end().ends_with(" 2"), "{rest}");
    assert_eq!(herd.wait_for_the_end("Goloman").code(), Some(0));
}

/// It took the directory of its data first, and left it there.
#[test]
fn a_file_that_is_no_index_is_refused_before_anything_is_begun() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    scratch.write("stops.csv", "name,lat,lon\n");
    let output = scratch.run(&["serve", "A", "--places-file", "stops.csv"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let why = "this is not an index of places: make one with `herd places import`\n";
    assert!(err(&output).ends_with(why), "{}", err(&output));
    assert!(!scratch.path("data").exists() && !scratch.path("logs").exists());
}

#[test]
fn an_index_of_ones_own_is_imported_and_searched() {
    let scratch = Scratch::new();
    scratch.write("stops.csv", "name,lat,lon\nStop,34.06893,-118.445127\nbad,north,0\n");
    let index = file(&scratch, "stops.index", "");
    let import = scratch.run(&["places", "import", "stops.csv", "-o", &index, "--types", "bus_stop"]);
    let said = out(&import);
    assert!(import.status.success() && import.stderr.is_empty(), "{import:?}");
    assert!(
        said.starts_with("places: 1, rows left out (no name, or a feature not wanted): 0, bad rows: 1\n")
    );
    assert!(said.contains("line 3: the latitude \"north\" is no number"), "{said}");
    let herd = Herd::running(&["--places", "offline", "--places-file", &index, "--places-file-only"]);
    let mut client = herd.connect("Goloman");
    client.tell(KIWI, HERE, "1");
    let near = places(&mut client, &format!("WHATSAT {KIWI} 10 5"));
    assert_eq!(names(&near), ["Stop"]);
    assert!(near.contains("\"types\":[\"bus_stop\"]"));
}

#[test]
fn an_import_that_cannot_be_done_says_why_in_one_line() {
    let scratch = Scratch::new();
    let missing = scratch.run(&["places", "import", "/nowhere/US.txt", "-o", "/nowhere/x"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(err(&missing), "herd: cannot read /nowhere/US.txt: no such file or directory\n");
    let usage = scratch.run(&["places", "import", "x.csv"]);
    assert_eq!(usage.status.code(), Some(2));
}

/// `-o .` left a file called `..part` behind, and an import into its own input destroyed that.
#[test]
fn an_import_writes_over_no_directory_and_not_over_what_it_reads() {
    let scratch = Scratch::new();
    scratch.write("own.csv", "name,lat,lon\nStop,34.06893,-118.445127\n");
    let own = scratch.run(&["places", "import", "own.csv", "-o", "own.csv"]);
    let why = "own.csv would be written over while it is read; name another with -o\n";
    assert!(err(&own).ends_with(why), "{}", err(&own));
    assert_eq!((own.status.code(), out(&own)), (Some(2), String::new()));
    assert!(scratch.read("own.csv").starts_with("name,lat,lon"));
    let here = scratch.run(&["places", "import", "own.csv", "-o", "."]);
    assert!(err(&here).ends_with("it is no regular file; name another with -o\n"), "{}", err(&here));
    assert!(here.status.code() == Some(1) && !scratch.path("..part").exists());
}

#[test]
fn a_server_told_nonsense_about_places_does_not_start() {
    let mut herd = Herd::one();
    for (option, value) in [
        ("--places", "goggle"),
        ("--places", "overpass"),
        ("--places-field-mask", "*"),
        ("--places-url", "ftp://places"),
        ("--places-url", ""),
        ("--places-overpass-url", "http:///api"),
    ] {
        herd.server_mut("Goloman").set_options(&[option, value]);
        let output = herd.run("Goloman");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(&format!("herd: {option}")));
    }
}
