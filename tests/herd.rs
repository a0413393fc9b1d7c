//! The herd as its users meet it: processes that are started, killed, stopped and cut off from each other.

mod harness;

use harness::{Client, HERE, Herd, eventually};
use herd_core::journal::print_entries;
use memchr::memmem;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Barrier;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

const KIWI: &str = "kiwi.cs.ucla.edu";
const THERE: &str = "+27.5916+086.5640";
const EVERYBODY: &[&str] = &["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];

/// An answer that takes longer than this was delayed by something. A search alone takes half a second.
const DELAYED: Duration = Duration::from_secs(5);

fn linked_five() -> Herd {
    let mut herd = Herd::five();
    herd.start_all();
    herd.wait_until_linked(EVERYBODY);
    herd
}

/// Tells the same clients, `told.0` and so on, and returns each with its AT line.
fn tell_many(herd: &Herd, name: &str, count: usize) -> Vec<(String, String)> {
    let mut connection = herd.connect(name);
    let client = |number| format!("{name}.{number}");
    (0..count).map(|number| (client(number), connection.tell(&client(number), HERE, "1.5"))).collect()
}

#[test]
fn an_update_at_each_server_reaches_all_others() {
    let herd = linked_five();
    for (number, told) in EVERYBODY.iter().enumerate() {
        let client = format!("{KIWI}.{number}");
        let first = herd.connect(told).tell(&client, HERE, "1520023934.918963997");
        assert!(first.starts_with(&format!("AT {told} +")), "{first:?}");
        herd.wait_until_known(EVERYBODY, &client, &first);
        // Everybody knows the client, so nobody searches any more: the second update must come by itself.
        let second = herd.connect(told).tell(&client, THERE, "1520023935");
        herd.wait_until_known(EVERYBODY, &client, &second);
    }
}

#[test]
fn what_two_servers_are_told_at_once_ends_the_same_everywhere() {
    let herd = linked_five();
    for round in 1..=10 {
        let client = format!("{KIWI}.{round}");
        thread::scope(|scope| {
            for told in EVERYBODY {
                scope.spawn(|| herd.connect(told).tell(&client, HERE, "1520023934"));
            }
        });
        let lines =
            || EVERYBODY.iter().map(|name| herd.connect(name).find(&client)).collect::<Option<Vec<_>>>();
        eventually("all servers give the same line", || {
            lines()?.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
    }
}

#[test]
fn a_client_told_elsewhere_a_moment_ago_is_found() {
    let herd = linked_five();
    let mut asked = herd.connect("Welsh");
    let mut told = herd.connect("Hands");
    for round in 0..100 {
        let client = format!("{KIWI}.{round}");
        let line = told.tell(&client, HERE, "1520023934.918963997");
        assert_eq!(asked.find(&client), Some(line));
    }
}

#[test]
fn a_client_told_before_its_server_had_neighbours_is_found() {
    let mut herd = Herd::five();
    herd.start("Hands");
    let line = herd.connect("Hands").tell(KIWI, HERE, "1");
    for name in ["Goloman", "Holiday", "Welsh", "Wilkes"] {
        herd.start(name);
    }
    herd.wait_until_known(EVERYBODY, KIWI, &line);
}

#[test]
fn a_server_killed_and_restarted_gets_everything_back_from_its_neighbours() {
    let mut herd = linked_five();
    let told: Vec<_> = ["Goloman", "Welsh"].iter().flat_map(|name| tell_many(&herd, name, 50)).collect();
    // The five clients that showed that the herd is linked count too.
    let clients = told.len() + EVERYBODY.len();
    herd.wait_until_counted(&["Holiday"], clients);

    herd.kill("Welsh");
    herd.forget("Welsh");
    let missed = herd.connect("Hands").tell(&told[0].0, THERE, "2.5");
    herd.wait_until_known(&["Holiday"], &told[0].0, &missed);
    herd.start("Welsh");
    herd.wait_until_counted(&["Welsh"], clients);

    // Its only neighbour is gone now, so that it can ask nobody.
    herd.kill("Holiday");
    let mut connection = herd.connect("Welsh");
    assert_eq!(connection.find(&told[0].0), Some(missed));
    for (client, line) in &told[1..] {
        assert_eq!(connection.find(client).as_ref(), Some(line));
    }
}

#[test]
fn with_two_servers_killed_the_others_go_on_and_the_two_catch_up() {
    let mut herd = linked_five();
    let before = herd.connect("Welsh").tell("before", HERE, "1");
    herd.wait_until_known(EVERYBODY, "before", &before);

    for name in ["Hands", "Welsh"] {
        herd.kill(name);
        herd.forget(name);
    }
    let others = ["Goloman", "Holiday", "Wilkes"];
    herd.wait_until_known(&others, "before", &before);
    let meanwhile = others.map(|name| (name, herd.connect(name).tell(name, HERE, "2")));
    // The five clients that showed that the herd is linked, and the one from before.
    let clients = EVERYBODY.len() + 1 + meanwhile.len();
    herd.wait_until_counted(&others, clients);
    for (client, line) in &meanwhile {
        herd.wait_until_known(&others, client, line);
    }

    herd.start("Hands");
    herd.start("Welsh");
    herd.wait_until_counted(EVERYBODY, clients);
    herd.wait_until_known(EVERYBODY, "before", &before);
    for (client, line) in &meanwhile {
        herd.wait_until_known(EVERYBODY, client, line);
    }
}

#[test]
fn the_halves_of_a_herd_that_was_cut_converge_when_it_heals() {
    let across = [("Goloman", "Holiday"), ("Holiday", "Wilkes")];
    let mut herd = Herd::five();
    for (one, other) in across {
        herd.make_cuttable(one, other);
    }
    herd.start_all();
    herd.wait_until_linked(EVERYBODY);
    let start = herd.connect("Goloman").tell(KIWI, HERE, "1");
    herd.wait_until_known(EVERYBODY, KIWI, &start);

    for (one, other) in across {
        herd.cut(one, other);
    }
    let (left, right) = (["Goloman", "Hands", "Wilkes"], ["Holiday", "Welsh"]);
    let earlier = herd.connect("Hands").tell(KIWI, THERE, "2");
    herd.wait_until_known(&left, KIWI, &earlier);
    herd.wait_until_known(&right, KIWI, &start);
    let later = herd.connect("Welsh").tell(KIWI, THERE, "3");
    herd.wait_until_known(&right, KIWI, &later);
    herd.wait_until_known(&left, KIWI, &earlier);
    let only_left = herd.connect("Wilkes").tell("left", HERE, "4");
    let only_right = herd.connect("Holiday").tell("right", HERE, "4");

    for (one, other) in across {
        herd.heal(one, other);
    }
    herd.wait_until_counted(EVERYBODY, EVERYBODY.len() + 3);
    for (client, line) in [(KIWI, later), ("left", only_left), ("right", only_right)] {
        herd.wait_until_known(EVERYBODY, client, &line);
    }
}

#[test]
fn what_a_link_swallowed_while_it_seemed_to_be_up_arrives_in_the_end() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.make_cuttable("Goloman", "Hands");
    herd.start_all();
    let both = ["Goloman", "Hands"];
    herd.wait_until_linked(&both);

    herd.silence("Goloman", "Hands");
    let swallowed = herd.connect("Goloman").tell(KIWI, HERE, "1");
    let overheard = || memmem::find(&herd.overheard("Goloman", "Hands"), KIWI.as_bytes());
    eventually("Goloman says it to Hands", overheard);
    herd.heal("Goloman", "Hands");
    herd.wait_until_counted(&both, both.len() + 1);
    herd.wait_until_known(&both, KIWI, &swallowed);
}

#[test]
fn a_neighbour_that_falls_silent_is_noticed_and_linked_again() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.make_cuttable("Goloman", "Hands");
    for name in ["Goloman", "Hands"] {
        herd.server_mut(name).set_options(&["--silent-ms=1500", "--heartbeat-ms=300"]);
    }
    herd.start_all();
    let is_up = |name: &str| herd.report(name).is_some_and(|report| report["links"][0]["up"] == true);
    eventually("the link is up", || (is_up("Goloman") && is_up("Hands")).then_some(()));
    let is_equal =
        |name: &str| herd.report(name).is_some_and(|report| report["links"][0]["equal_s"].is_u64());
    eventually("both know that they know the same", || {
        (is_equal("Goloman") && is_equal("Hands")).then_some(())
    });
    herd.silence("Goloman", "Hands");
    eventually("both notice the silence", || (!is_up("Goloman") && !is_up("Hands")).then_some(()));
    herd.heal("Goloman", "Hands");
    eventually("the link is up again", || (is_up("Goloman") && is_up("Hands")).then_some(()));
}

#[test]
fn a_server_that_the_others_name_joins_while_they_run() {
    let mut herd = Herd::five();
    let others = ["Goloman", "Hands", "Holiday", "Wilkes"];
    for name in others {
        herd.start(name);
    }
    let before = herd.connect("Hands").tell(KIWI, HERE, "1");
    herd.wait_until_known(&others, KIWI, &before);

    herd.start("Welsh");
    herd.wait_until_counted(&["Welsh"], 1);
    herd.wait_until_known(EVERYBODY, KIWI, &before);
    let after = herd.connect("Welsh").tell(KIWI, THERE, "2");
    herd.wait_until_known(EVERYBODY, KIWI, &after);
}

/// Three servers, of which Newcomer names Hands as its neighbour, and the others have never heard of Newcomer.
fn herd_with_a_stranger() -> Herd {
    let mut herd =
        Herd::new(&["Goloman", "Hands", "Newcomer"], &[("Goloman", "Hands"), ("Newcomer", "Hands")]);
    for name in ["Goloman", "Hands"] {
        herd.server_mut(name).knows.retain(|other| other != "Newcomer");
    }
    herd
}

#[test]
fn a_stranger_joins_an_open_server_while_it_runs() {
    let mut herd = herd_with_a_stranger();
    herd.server_mut("Hands").set_options(&["--open"]);
    herd.start("Goloman");
    herd.start("Hands");
    let before = herd.connect("Goloman").tell(KIWI, HERE, "1");

    herd.start("Newcomer");
    let all = ["Goloman", "Hands", "Newcomer"];
    herd.wait_until_counted(&["Newcomer"], 1);
    herd.wait_until_known(&all, KIWI, &before);
    let after = herd.connect("Newcomer").tell(KIWI, THERE, "2");
    herd.wait_until_known(&all, KIWI, &after);
    let again = herd.connect("Goloman").tell(KIWI, HERE, "3");
    herd.wait_until_known(&all, KIWI, &again);
}

#[test]
fn a_stranger_is_refused_by_a_server_that_is_not_open() {
    let mut herd = herd_with_a_stranger();
    herd.start_all();
    herd.connect("Goloman").tell(KIWI, HERE, "1");
    for name in ["Hands", "Newcomer"] {
        eventually(&format!("{name} logs the refusal"), || herd.log(name).contains("--open").then_some(()));
    }
    assert_eq!(herd.connect("Newcomer").find(KIWI), None);
    herd.connect("Newcomer").tell("stranger", HERE, "1");
    assert_eq!(herd.connect("Hands").find("stranger"), None);
}

#[test]
fn a_stopped_neighbour_delays_nobody_and_catches_up() {
    let herd = linked_five();
    herd.signal("Wilkes", "STOP");

    let mut told = herd.connect("Goloman");
    let (count, mut slowest) = (20_000, Duration::ZERO);
    for batch in (1..=count).collect::<Vec<_>>().chunks(200) {
        let commands: Vec<String> =
            batch.iter().map(|time| format!("IAMAT {KIWI} {HERE} {time}\n")).collect();
        let start = Instant::now();
        told.say(commands.concat()).expect("a server that takes commands");
        for _ in batch {
            assert!(told.line().starts_with("AT Goloman "));
        }
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < DELAYED, "200 updates took {slowest:?} beside a stopped neighbour");

    let last = told.find(KIWI).expect("a known client");
    assert!(last.ends_with(&format!(" {count}")), "{last:?}");
    herd.wait_until_known(&["Hands", "Holiday", "Welsh"], KIWI, &last);
    herd.signal("Wilkes", "CONT");
    herd.wait_until_counted(&["Wilkes"], EVERYBODY.len() + 1);
    herd.wait_until_known(EVERYBODY, KIWI, &last);
}

#[test]
fn a_search_ends_in_time_although_a_neighbour_is_stopped() {
    let herd = linked_five();
    herd.signal("Wilkes", "STOP");
    let mut connection = herd.connect("Goloman");
    let start = Instant::now();
    assert_eq!(connection.find("nobody"), None);
    assert!(start.elapsed() < DELAYED, "a search took {:?}", start.elapsed());
    let line = herd.connect("Welsh").tell(KIWI, HERE, "1");
    assert_eq!(connection.find(KIWI), Some(line));
}

#[test]
fn a_wrong_secret_is_refused_and_both_log_why_but_not_the_secret() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.keep_secret("another secret", b"weka-and-moa-and-takahe");
    herd.server_mut("Hands").secret = Some("weka-and-moa-and-takahe".to_owned());
    herd.start_all();
    herd.connect("Goloman").tell(KIWI, HERE, "1");
    for name in ["Goloman", "Hands"] {
        eventually(&format!("{name} logs the refusal"), || {
            herd.log(name).contains("the secret is wrong").then_some(())
        });
    }
    assert_eq!(herd.connect("Hands").find(KIWI), None);
}

#[test]
fn a_missing_secret_is_refused_on_either_side() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.server_mut("Hands").secret = None;
    herd.start_all();
    herd.connect("Goloman").tell(KIWI, HERE, "1");
    for name in ["Goloman", "Hands"] {
        eventually(&format!("{name} logs the refusal"), || herd.log(name).contains("secret").then_some(()));
    }
    assert_eq!(herd.connect("Hands").find(KIWI), None);
    herd.connect("Hands").tell("weka", HERE, "1");
    assert_eq!(herd.connect("Goloman").find("weka"), None);
}

/// Both log all they can. That neither their logs nor what goes over the link has the secret is seen to when the herd
/// is dropped.
#[test]
fn servers_that_log_all_and_link_show_their_secret_nowhere() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.make_cuttable("Goloman", "Hands");
    for name in ["Goloman", "Hands"] {
        herd.server_mut(name).prelude = Some("export RUST_LOG=trace".to_owned());
    }
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands"]);
}

#[test]
fn who_says_something_else_on_the_peer_address_is_refused_with_a_reason() {
    let herd = linked_five();
    let nonce = "0123456789abcdef0123456789abcdef";
    for greeting in [
        "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n".to_owned(),
        "GET / HTTP/1.1\r\n".to_owned(),
        format!("HERD 99 link Hands Goloman {nonce}\n"),
        format!("HERD 1 link Nobody Goloman {nonce}\n"),
        format!("HERD 1 link Hands Nobody {nonce}\n"),
        format!("HERD 1 dance Hands Goloman {nonce}\n"),
        "HERD\n".to_owned(),
        "\n".to_owned(),
    ] {
        let mut stream = Client::connect(&herd.server("Goloman").peers).expect("a peer address");
        stream.say(&greeting).expect("a server that listens");
        let answer = stream.rest().expect("an answer and the end");
        let answer = String::from_utf8_lossy(&answer);
        let reason =
            answer.strip_prefix("REFUSED ").unwrap_or_else(|| panic!("{greeting:?} gets {answer:?}"));
        assert!(reason.ends_with('\n') && reason.len() > 5, "{answer:?}");
    }
    let line = herd.connect("Hands").tell(KIWI, HERE, "1");
    herd.wait_until_known(EVERYBODY, KIWI, &line);
}

#[test]
fn the_words_of_servers_on_the_client_address_move_nobody() {
    let herd = linked_five();
    let line = herd.connect("Hands").tell(KIWI, HERE, "1");
    herd.wait_until_known(EVERYBODY, KIWI, &line);
    let mut connection = herd.connect("Goloman");
    let record = format!("{KIWI} {THERE} 9 9000000000 Hands");
    for word in [
        "HERD 1 link Hands Goloman 0123456789abcdef0123456789abcdef",
        "PROOF -",
        "WELCOME",
        "PING",
        &format!("CLIENTAT 6d1f6f1c-2f0a-4f5e-9d43-5d3f0f3a9a01 {}", record.len() + 1),
        &record,
        &format!("WHICHCLIENT 6d1f6f1c-2f0a-4f5e-9d43-5d3f0f3a9a02 {KIWI}"),
        "NOTFOUND 6d1f6f1c-2f0a-4f5e-9d43-5d3f0f3a9a02",
        "BYE for now",
    ] {
        assert_eq!(connection.ask(word), format!("? {word}"));
    }
    assert_eq!(connection.find(KIWI), Some(line));
}

#[test]
fn a_port_in_use_is_named_with_the_server_that_wanted_it() {
    let herd = Herd::one();
    let server = herd.server("Goloman");
    for address in [&server.clients, &server.peers] {
        let _holder = TcpListener::bind(address).expect("the address that was reserved");
        let output = herd.run("Goloman");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().last().unwrap_or_default();
        assert!(line.starts_with("herd: Goloman cannot start: ") && line.contains("in use"), "{said}");
        assert!(line.contains(address), "{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
    }
}

/// A client that has said all that Goloman takes of one that reads no answers.
fn deaf(herd: &Herd) -> Client {
    let mut deaf = herd.connect("Goloman");
    let commands = format!("IAMAT deaf {HERE} 3\n").repeat(1000);
    deaf.say_until_refused(commands.as_bytes(), Duration::from_millis(300), 256 * 1024 * 1024);
    deaf
}

/// Hands is stopped and takes no goodbye, a client takes no answers, and four others are in the middle of it.
#[test]
fn a_server_told_to_stop_in_bad_company_ends_in_time_and_keeps_all_and_tells_its_neighbours() {
    let mut herd = Herd::new(&["Goloman", "Hands", "Welsh"], &[("Goloman", "Hands"), ("Goloman", "Welsh")]);
    herd.server_mut("Goloman").set_options(&["--stop-ms=1000"]);
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands", "Welsh"]);
    herd.signal("Hands", "STOP");
    let _deaf = deaf(&herd);
    let (count, counted) = mpsc::channel();
    let tellers: Vec<_> = (0..4)
        .map(|number| {
            let (connection, count) = (herd.connect("Goloman"), count.clone());
            thread::spawn(move || tell_until_the_end(connection, number, &count))
        })
        .collect();
    assert_eq!(counted.iter().take(200).count(), 200);
    let began = Instant::now();
    assert_eq!(herd.end("Goloman", "TERM").code(), Some(0));
    let took = began.elapsed();
    // The limit is 1 s; the rest is for a busy machine.
    assert!(took < Duration::from_secs(4), "{took:?}");
    eventually("Welsh has heard the goodbye", || {
        herd.log("Welsh").contains("link to Goloman down reason=bye").then_some(())
    });
    herd.signal("Hands", "KILL");
    herd.signal("Welsh", "KILL");
    herd.start("Goloman");
    let mut connection = herd.connect("Goloman");
    for (client, line) in tellers.into_iter().filter_map(|teller| teller.join().expect("a teller")) {
        assert_eq!(connection.find(&client).as_ref(), Some(&line));
    }
}

/// Tells a server again and again where one client is, until it hangs up; returns the last that was acknowledged.
fn tell_until_the_end(mut connection: Client, number: usize, count: &Sender<()>) -> Option<(String, String)> {
    let (client, mut last) = (format!("teller-{number}"), None);
    for time in 1.. {
        let said = connection.say(format!("IAMAT {client} {HERE} {time}\n"));
        let Ok(mut line) = said.and_then(|()| connection.until(b"\n")) else { break };
        line.pop();
        last = Some((client.clone(), String::from_utf8(line).expect("an answer of text")));
        // Nobody counts any more once there were enough.
        let _ = count.send(());
    }
    last
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let mut herd = Herd::running(&["--stop-ms=3600000"]);
    let _deaf = deaf(&herd);
    herd.signal("Goloman", "TERM");
    eventually("Goloman stops", || herd.log("Goloman").contains("stops reason").then_some(()));
    // The same signal at once would be the first again.
    assert_eq!(herd.end("Goloman", "INT").code(), Some(1));
    assert!(herd.log("Goloman").contains("stopped at once, by a second SIGINT"), "{}", herd.log("Goloman"));
}

/// A server that has logged so many bytes, at a level, to a pipe that nobody reads; with the end that could be read.
fn herd_unheard(options: &[&str], level: &str, logged: usize) -> (Herd, File) {
    let mut herd = Herd::one();
    let pipe = herd.directory().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Whoever opens one end waits for somebody at the other.
    let both = File::options().read(true).write(true).open(&pipe).expect("both ends");
    let unread = File::open(&pipe).expect("the end to read");
    herd.server_mut("Goloman").set_options(options);
    herd.server_mut("Goloman").prelude = Some(format!("export RUST_LOG={level}; exec 2>pipe"));
    herd.start("Goloman");
    drop(both);
    fs::remove_file(pipe).expect("a pipe that nobody opens any more");
    while herd.log("Goloman").len() < logged {
        (0..100).for_each(|_| drop(herd.connect("Goloman").tell(KIWI, HERE, "1")));
    }
    (herd, unread)
}

/// What a pipe holds at most by default.
const PIPE_BYTES: usize = 65_536;

/// When nobody read its standard error any more, a server froze for all its clients and ignored every SIGTERM: its
/// only thread waited to write a line.
#[test]
fn a_server_whose_standard_error_nobody_reads_serves_and_stops() {
    let (mut herd, mut unread) = herd_unheard(&[], "trace", 2 * PIPE_BYTES);
    let line = herd.connect("Goloman").tell(KIWI, HERE, "2");
    assert_eq!(herd.connect("Goloman").find(KIWI), Some(line));
    assert_eq!(herd.end("Goloman", "TERM").code(), Some(0));
    let (mut said, log) = (Vec::new(), herd.log("Goloman"));
    unread.read_to_end(&mut said).expect("what is in the pipe");
    assert!(!said.is_empty() && log.as_bytes().starts_with(&said), "{}", String::from_utf8_lossy(&said));
    assert!(log.contains("stops reason=\"SIGTERM\""), "{log}");
}

#[test]
fn a_second_signal_ends_a_server_whose_standard_error_nobody_reads() {
    // All that a deaf client says would be logged at another level.
    let (mut herd, _unread) = herd_unheard(&["--stop-ms=3600000"], "info", 2 * PIPE_BYTES);
    let _deaf = deaf(&herd);
    herd.signal("Goloman", "TERM");
    eventually("Goloman stops", || herd.log("Goloman").contains("stops reason").then_some(()));
    assert_eq!(herd.end("Goloman", "INT").code(), Some(1));
}

#[test]
fn a_server_that_ends_waits_until_all_that_it_logged_is_read() {
    let (mut herd, mut unread) = herd_unheard(&[], "trace", 8 * PIPE_BYTES);
    herd.signal("Goloman", "TERM");
    let mut said = Vec::new();
    unread.read_to_end(&mut said).expect("all that was logged");
    assert_eq!(herd.wait_for_the_end("Goloman").code(), Some(0));
    let log = herd.log("Goloman");
    assert!(said == log.as_bytes(), "{} of {} bytes", said.len(), log.len());
}

#[test]
fn who_goes_on_talking_to_a_server_that_stops_gets_every_answer_to_what_it_executed() {
    let mut herd = Herd::running(&[]);
    let mut client = TcpStream::connect(&herd.server("Goloman").clients).expect("a server that listens");
    let mut mouth = client.try_clone().expect("the same connection");
    let talking = thread::spawn(move || {
        let lines = format!("IAMAT talker {HERE} 1\n").repeat(100);
        while mouth.write_all(lines.as_bytes()).is_ok() {}
    });
    // A megabyte later there is much on the way in both directions.
    let mut answers = vec![0; 1024 * 1024];
    client.read_exact(&mut answers).expect("answers");
    herd.signal("Goloman", "TERM");
    eventually("Goloman stops", || herd.log("Goloman").contains("stops reason").then_some(()));
    client.read_to_end(&mut answers).expect("all answers, and then the end");
    client.shutdown(Shutdown::Both).expect("a connection");
    talking.join().expect("a talker");
    assert_eq!(herd.wait_for_the_end("Goloman").code(), Some(0));
    let lines = answers.split_inclusive(|&byte| byte == b'\n').count();
    let closed = format!("closed lines={lines} reason=stopped");
    assert!(answers.ends_with(b"\n") && herd.log("Goloman").contains(&closed), "{}", herd.log("Goloman"));
}

#[test]
fn a_server_that_still_reads_its_log_ends_when_it_is_told_to() {
    let mut herd = Herd::one();
    let mut entries = Vec::new();
    print_entries(b"kiwi +34.068930-118.445127 1 2 Goloman\n", &mut entries);
    std::fs::create_dir_all(herd.data("Goloman")).expect("a directory");
    std::fs::write(herd.data("Goloman").join("log-0"), entries.repeat(600_000)).expect("a long log");
    herd.start("Goloman");
    assert_eq!(herd.end("Goloman", "TERM").code(), Some(0));
    let said = herd.log("Goloman");
    assert!(said.contains("stops before it has started") && !said.contains("memory read"), "{said}");
    // Nobody need search what the test wrote for secrets.
    herd.forget("Goloman");
}

#[test]
fn a_server_told_to_stop_restarts_at_once_on_its_ports() {
    let mut herd = Herd::one();
    for _ in 0..5 {
        herd.start("Goloman");
        let mut client = herd.connect("Goloman");
        client.tell(KIWI, HERE, "1");
        assert_eq!(herd.end("Goloman", "TERM").code(), Some(0));
        assert_eq!(client.rest(), Ok(Vec::new()), "who is connected sees the end");
    }
}

#[test]
fn two_hundred_clients_at_once_are_each_answered() {
    let herd = linked_five();
    let everybody_is_connected = Barrier::new(200);
    thread::scope(|scope| {
        for number in 0..200 {
            let (herd, barrier) = (&herd, &everybody_is_connected);
            scope.spawn(move || talk(herd, number, barrier));
        }
    });
}

/// One of many clients: it tells one server, asks it, and is asked for at another.
fn talk(herd: &Herd, number: usize, everybody_is_connected: &Barrier) {
    let name = |index: usize| EVERYBODY[index % EVERYBODY.len()];
    let (mut told, mut asked) = (herd.connect(name(number)), herd.connect(name(number + 1)));
    everybody_is_connected.wait();
    let client = format!("client-{number}");
    for time in 1..=20 {
        let line = told.tell(&client, HERE, &format!("{time}.{number:03}"));
        assert_eq!(told.find(&client), Some(line));
    }
    let last = told.find(&client).expect("a known client");
    eventually("the neighbour knows the last update", || {
        (asked.find(&client).as_ref() == Some(&last)).then_some(())
    });
}

#[test]
fn a_client_that_never_reads_is_not_taken_on_without_end_and_disturbs_nobody() {
    let herd = linked_five();
    let line = herd.connect("Goloman").tell(KIWI, HERE, "1");
    let mut deaf = herd.connect("Goloman");
    let most = 256 * 1024 * 1024;
    let questions = format!("{}\nWHATSAT {KIWI} 10 5\n", "x".repeat(1000)).repeat(64);
    let taken = deaf.say_until_refused(questions.as_bytes(), Duration::from_millis(500), most);
    assert!(taken < most, "{taken} bytes were taken from a client that reads none of the answers");

    let start = Instant::now();
    let mut other = herd.connect("Goloman");
    assert_eq!(other.find(KIWI), Some(line));
    let update = other.tell(KIWI, THERE, "2");
    assert!(start.elapsed() < DELAYED, "another client waited {:?}", start.elapsed());
    herd.wait_until_known(EVERYBODY, KIWI, &update);
}

#[test]
fn clients_that_leave_in_the_middle_disturb_nobody() {
    let herd = linked_five();
    for number in 0..100 {
        let mut rude = TcpStream::connect(&herd.server("Goloman").clients).expect("a server");
        let half = format!("IAMAT rude-{number} {HERE} 1\nWHATSAT nobody 10 5\nIAMAT half-");
        rude.write_all(half.as_bytes()).expect("a server that listens");
        if number % 2 == 0 {
            // Leaves with an answer unread, which resets the connection.
            let _ = rude.read(&mut [0; 1]).expect("an answer");
        }
    }
    let line = herd.connect("Goloman").tell(KIWI, HERE, "1");
    herd.wait_until_known(EVERYBODY, KIWI, &line);
    eventually("every whole command was done", || herd.connect("Welsh").find("rude-99"));
}

/// Everything that is logged is one line of signs that can be seen, whatever clients and strangers call themselves.
#[test]
fn what_strangers_say_is_escaped_in_the_log() {
    let mut herd = Herd::one().without_secret();
    herd.server_mut("Goloman").set_options(&["--open"]);
    herd.server_mut("Goloman").prelude = Some("export RUST_LOG=trace".to_owned());
    herd.start("Goloman");
    let client = b"IAMAT \x1b[31m\xff\x9b\xe2\x80\xae\x07\x00 +0-0 1\n\x1b]0;\x07\nWHATSAT \x1b[32m 1 1\n";
    let mut connection = herd.connect("Goloman");
    connection.say(client).expect("a server that listens");
    connection.end().expect("a half-closed connection");
    connection.rest().expect("the answers");
    for greeting in [
        "HERD 1 link \u{1b}[33mX\u{202e} Goloman 00\nPROOF -\n",
        "HERD 1 \u{1b}[34m\u{9b}\n",
        "REFUSED \u{1b}[35m\n",
    ] {
        let mut stranger = Client::connect(&herd.server("Goloman").peers).expect("a peer address");
        stranger.say(greeting).expect("a server that listens");
        stranger.end().expect("a half-closed connection");
        stranger.rest().expect("an answer and the end");
    }
    let in_log = ["[31m", "]0;", "[32m", "[33mX", "[35m"];
    eventually("all is logged", || {
        in_log.iter().all(|words| herd.log("Goloman").contains(words)).then_some(())
    });
    let log = herd.log("Goloman");
    let hidden =
        |letter: char| letter != '\n' && (letter.is_control() || "\u{202e}\u{fffd}".contains(letter));
    assert_eq!(log.lines().find(|line| line.contains(hidden)), None);
}
