//! Limits as clients meet them: each at its edge, in the built program.

mod harness;

use harness::{Client, HERE, Herd, eventually, program};
use std::collections::BTreeSet;
use std::fs;

/// A connection that is served, once there is room for it.
fn served(herd: &Herd) -> Client {
    eventually("a connection is served", || {
        let mut connection = herd.connect("Goloman");
        is_served(&mut connection).then_some(connection)
    })
}

fn is_served(connection: &mut Client) -> bool {
    connection.say("what\n").is_ok() && connection.until(b"? what\n").is_ok()
}

#[test]
fn so_many_connections_are_open_in_all_and_from_one_address_and_a_new_one_when_one_has_left() {
    for (options, reason) in [
        (&["--sessions-per-address-max=2"][..], "refused: 2 from there are open"),
        (&["--sessions-max=2"], "refused: 2 are open"),
        (&["--sessions-max=2", "--workers=2"], "refused: 2 are open"),
    ] {
        let herd = Herd::running(options);
        let (mut first, second) = (served(&herd), served(&herd));
        assert!(!is_served(&mut herd.connect("Goloman")));
        assert!(is_served(&mut first));
        assert!(herd.log("Goloman").contains(reason));
        drop(second);
        served(&herd);
    }
}

#[test]
fn a_line_at_the_limit_is_a_command_and_one_byte_more_is_none() {
    let command = format!("IAMAT kiwi {HERE} 1520023934.918963997");
    let herd = Herd::running(&[&format!("--line-max={}", command.len())]);
    let mut connection = herd.connect("Goloman");
    assert!(connection.ask(&command).starts_with("AT Goloman "));
    assert_eq!(connection.ask(&format!("{command}0")), format!("? {command}"));
    assert!(connection.ask(&command).starts_with("AT Goloman "));
}

#[test]
fn sessions_on_several_threads_end_when_the_server_stops() {
    let mut herd = Herd::running(&["--workers=3"]);
    let sessions: Vec<Client> = (0..7).map(|_| served(&herd)).collect();
    assert_eq!(herd.end("Goloman", "TERM").code(), Some(0));
    for mut session in sessions {
        assert_eq!(session.rest(), Ok(Vec::new()));
    }
    assert!(herd.log("Goloman").contains("server Goloman stopped\n"), "{}", herd.log("Goloman"));
}

#[test]
fn a_connection_without_a_whole_line_is_closed() {
    let herd = Herd::running(&["--first-line-ms=50"]);
    let (mut silent, mut slow) = (herd.connect("Goloman"), herd.connect("Goloman"));
    slow.say("IAMAT").expect("a server that listens");
    assert_eq!(silent.rest(), Ok(Vec::new()));
    slow.rest().expect("the end of the connection");
    eventually("the log says why", || herd.log("Goloman").contains("reason=silent").then_some(()));
}

#[test]
fn a_client_with_nothing_more_to_say_is_disconnected_in_the_end() {
    let herd = Herd::running(&["--idle-ms=50"]);
    let mut idle = herd.connect("Goloman");
    idle.say("what\n").expect("a server that listens");
    assert_eq!(idle.rest(), Ok(b"? what\n".to_vec()));
}

#[test]
fn a_client_for_whom_there_is_no_room_is_answered_as_invalid_and_the_log_says_so() {
    let herd = Herd::running(&["--records-max=1"]);
    let mut connection = herd.connect("Goloman");
    connection.tell("kiwi", HERE, "1");
    assert_eq!(connection.ask(&format!("IAMAT kea {HERE} 1")), format!("? IAMAT kea {HERE} 1"));
    connection.tell("kiwi", HERE, "2");
    let warning = "1 records refused for want of room, 1 clients are known";
    eventually("the log says so", || herd.log("Goloman").contains(warning).then_some(()));
}

#[test]
fn a_record_whose_time_is_up_is_forgotten_in_memory_and_on_disk_and_by_neighbours() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    for name in ["Goloman", "Hands"] {
        herd.server_mut(name).set_options(&["--record-ttl-ms=1000"]);
    }
    herd.start_all();
    let mut connection = herd.connect("Goloman");
    eventually("Hands knows it too", || {
        connection.tell("kiwi", HERE, "1");
        herd.connect("Hands").find("kiwi")
    });
    for name in ["Goloman", "Hands"] {
        eventually("it is forgotten", || {
            let report = herd.report(name)?;
            (report["clients_known"] == 0 && report["records_expired"] != 0).then_some(())
        });
        assert!(herd.connect(name).find("kiwi").is_none());
    }
    herd.kill("Goloman");
    herd.start("Goloman");
    let report = herd.report("Goloman").expect("a report");
    assert!(report["clients_known"] == 0 && report["records_late"] != 0, "{report}");
    let mut connection = herd.connect("Goloman");
    eventually("it is as new, though its client's time is older", || {
        connection.tell("kiwi", HERE, "0");
        connection.find("kiwi")
    });
}

/// A server that may have few files open.
fn with_few_files(option: &str) -> Herd {
    let mut herd = Herd::one();
    herd.server_mut("Goloman").prelude = Some("ulimit -n 50".to_owned());
    herd.server_mut("Goloman").set_options(&[option]);
    herd.start("Goloman");
    herd
}

/// Clients of such a server that have as many of them as clients may.
fn crowd(herd: &Herd) -> Vec<Client> {
    let crowd = (0..60).map(|_| herd.connect("Goloman")).collect();
    let complaint = "no connection could be accepted: too many open files";
    eventually("no more connections are accepted", || herd.log("Goloman").contains(complaint).then_some(()));
    crowd
}

#[test]
fn a_server_with_too_many_open_files_serves_those_it_has_and_later_others() {
    let herd = with_few_files("--log-bytes-min=1");
    let mut first = served(&herd);
    let crowd = crowd(&herd);
    assert!(herd.report("Goloman").is_some());
    // A snapshot is a new log and a new file.
    for time in 0..20 {
        first.tell("kiwi", HERE, &time.to_string());
    }
    let snapshot = || herd.log("Goloman").contains("snapshot written").then_some(());
    eventually("there are files left for a snapshot", snapshot);
    drop(crowd);
    assert!(served(&herd).find("kiwi").is_some());
}

/// They kept the door shut until the time was up in which a caller has to shake hands.
#[test]
fn callers_that_say_nothing_keep_no_neighbour_out_while_clients_hold_all_that_they_may() {
    let herd = with_few_files("--handshake-ms=600000");
    let _crowd = crowd(&herd);
    let _silent: Vec<Client> = (0..30).map(|_| call(&herd)).collect();
    let too_many = "hung up on: too many are at the door";
    eventually("callers are hung up on", || herd.log("Goloman").contains(too_many).then_some(()));
    eventually("it says how it is", || herd.report("Goloman"));
}

/// A number of a document, in the unit that a flag has: 64 KiB, 65,536 bytes, 5 minutes.
fn in_the_unit_of_a_flag(written: &str) -> String {
    let (number, unit) = written.split_once(' ').unwrap_or((written, ""));
    let Ok(number) = number.replace(',', "").parse::<u64>() else { return written.to_owned() };
    let times = match unit {
        "" | "bytes" | "ms" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1000,
        "minutes" => 60_000,
        "day" => 86_400_000,
        _ => panic!("{written:?} is in no unit that is known here"),
    };
    (number * times).to_string()
}

#[test]
fn the_tables_of_limits_have_every_limit_and_its_default() {
    let help = program::herd(&["serve", "--help"]).output().expect("the program runs").stdout;
    let help = String::from_utf8(help).expect("text");
    let limit = |flag: &str| {
        let words = flag.split_whitespace().collect::<Vec<_>>().join(" ");
        let (name, rest) = words.split_once(" <").filter(|(name, _)| !name.starts_with("places-"))?;
        let (_, default) = rest.split_once("[default: ")?;
        let is_number = ["BYTES>", "MS>", "N>"].iter().any(|unit| rest.starts_with(unit));
        is_number.then(|| (name.replace('-', "_"), default.split(']').next().unwrap_or_default().to_owned()))
    };
    let limits: BTreeSet<_> = help.split("\n        --").filter_map(limit).collect();
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md")).expect("it");
    let said: BTreeSet<_> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" | "))
        .flat_map(|(names, rest)| {
            let defaults = rest.split(" | ").next().unwrap_or_default();
            let names = names.split(", ").map(|name| name.trim_matches('`').to_owned());
            let defaults =
                defaults.split(", ").map(|default| in_the_unit_of_a_flag(default.trim_matches('`')));
            names.zip(defaults.collect::<Vec<_>>())
        })
        .collect();
    let differ: Vec<_> = limits.symmetric_difference(&said).collect();
    assert!(limits.len() > 40 && differ.is_empty(), "of {} limits: {differ:?}", limits.len());
}

/// The flags of a server that take numbers, each with the most that it is said to take.
fn most_of_each_number() -> Vec<(String, u64)> {
    let said = |arguments: &[&str]| {
        let output = program::herd(arguments).output().expect("the program runs");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
    };
    let help = said(&["serve", "--help"]);
    let flags = help.lines().filter(|line| ["<BYTES>", "<MS>", "<N>"].iter().any(|unit| line.contains(unit)));
    let flags = flags.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    let most = |flag: &str| {
        let refusal = said(&["serve", "Goloman", &format!("{flag}=x")]);
        let numbers = refusal.split(|sign: char| !sign.is_ascii_digit()).filter_map(|word| word.parse().ok());
        let most = numbers.max().unwrap_or_else(|| panic!("{flag} does not say what it takes: {refusal}"));
        (flag.to_owned(), most)
    };
    flags.map(most).collect()
}

/// `--places-in-flight-max` was allowed to be more than could be, and ended in a panic.
#[test]
fn servers_run_with_every_limit_at_its_most() {
    let mut options =
        vec!["--places=overpass".to_owned(), "--places-overpass-url=http://127.0.0.1:1/".to_owned()];
    for (flag, most) in most_of_each_number() {
        match flag.as_str() {
            // A thousand threads, and as long as it takes for ever.
            "--workers" | "--redial-min-ms" | "--redial-max-ms" => {}
            // It must be less than another that is at its most.
            "--heartbeat-ms" => options.push(format!("{flag}={}", most - 1)),
            _ => options.push(format!("{flag}={most}")),
        }
    }
    assert!(options.len() > 45, "{options:?}");
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    for name in ["Goloman", "Hands"] {
        herd.server_mut(name).set_options(&options);
    }
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands"]);
    herd.kill("Hands");
    herd.start("Hands");
    herd.wait_until_linked(&["Goloman", "Hands"]);
    for name in ["Goloman", "Hands"] {
        assert_eq!(herd.report(name).expect("a report")["panics"], 0, "{}", herd.log(name));
        assert_eq!(herd.end(name, "TERM").code(), Some(0), "{}", herd.log(name));
    }
}

/// A connection to the address for servers.
fn call(herd: &Herd) -> Client {
    Client::connect(&herd.server("Goloman").peers).expect("a server that listens")
}

#[test]
fn callers_that_say_nothing_keep_nobody_out_who_shakes_hands() {
    let herd = Herd::running(&["--handshakes-max=2", "--handshake-ms=600000"]);
    let mut silent: Vec<Client> = (0..4).map(|_| call(&herd)).collect();
    for first in &mut silent[..2] {
        assert_eq!(first.rest(), Ok(Vec::new()));
    }
    assert!(herd.log("Goloman").contains("hung up on: too many are at the door"));
    assert!(herd.report("Goloman").is_some());
}

#[test]
fn a_caller_that_takes_too_long_to_shake_hands_is_closed() {
    let herd = Herd::running(&["--handshake-ms=50"]);
    let (mut silent, mut slow) = (call(&herd), call(&herd));
    slow.say("HERD").expect("a server that listens");
    for caller in [&mut silent, &mut slow] {
        let said = String::from_utf8(caller.rest().expect("the end of the connection")).expect("text");
        assert!(!said.contains("WELCOME"), "{said}");
    }
}

#[test]
fn so_many_servers_are_neighbours_and_one_more_cannot_join() {
    let links = [("Goloman", "Hands"), ("Newcomer", "Hands")];
    for (room, is_taken) in [("1", false), ("2", true)] {
        let mut herd = Herd::new(&["Goloman", "Hands", "Newcomer"], &links);
        for name in ["Goloman", "Hands"] {
            herd.server_mut(name).knows.retain(|other| other != "Newcomer");
        }
        herd.server_mut("Hands").set_options(&["--open", &format!("--neighbours-max={room}")]);
        herd.start_all();
        herd.wait_until_linked(&["Goloman", "Hands"]);
        eventually("the newcomer is taken or refused", || {
            let is_linked = herd.report("Hands")?["links"].to_string().contains("Newcomer");
            let reason = "Hands has as many neighbours as it may: 1";
            let is_said = || ["Hands", "Newcomer"].iter().all(|name| herd.log(name).contains(reason));
            (is_linked == is_taken && (is_taken || is_said())).then_some(())
        });
    }
}

/// Goloman alone, open to newcomers that the test plays, with room for so many.
fn open_goloman(room: usize) -> Herd {
    let mut herd = Herd::one().without_secret();
    herd.server_mut("Goloman").set_options(&["--open", &format!("--neighbours-max={room}")]);
    herd.start("Goloman");
    herd
}

/// What a server is told that wants to join, and its connection.
fn knock(herd: &Herd, name: &str) -> (Client, String) {
    let mut caller = call(herd);
    caller.say(format!("HERD 1 link {name} Goloman 00\nPROOF -\n")).expect("a server that listens");
    let first = caller.line();
    let answer = if first.starts_with("HERD 1 ") { caller.line() } else { first };
    (caller, answer)
}

fn is_welcome(herd: &Herd, name: &str) -> Option<Client> {
    let (link, answer) = knock(herd, name);
    (answer == "WELCOME").then_some(link)
}

/// They stay at no door meanwhile: whoever calls after them would send them away.
#[test]
fn so_many_are_told_all_clients_at_once_and_one_more_is_refused() {
    let mut herd = Herd::one().without_secret();
    herd.server_mut("Goloman").set_options(&["--listings-max=1", "--handshakes-max=1"]);
    herd.start("Goloman");
    let mut teller = herd.connect("Goloman");
    // More than sockets hold that nobody reads from.
    let clients: Vec<String> = (0..300).map(|number| format!("{number}{}", "x".repeat(60_000))).collect();
    for client in &clients {
        teller.tell(client, HERE, "5");
    }
    let ask = || {
        let mut caller = call(&herd);
        caller.say("HERD 1 list - Goloman 00\nPROOF -\n").expect("a server that listens");
        assert!(caller.line().starts_with("HERD 1 "));
        let answer = caller.line();
        (caller, answer)
    };
    let (mut first, welcome) = ask();
    assert_eq!(welcome, "WELCOME");
    let refused = "REFUSED Goloman tells as many callers all clients as it may: 1";
    assert_eq!(ask().1, refused);
    assert_eq!(ask().1, refused);
    let told = first.until(b"\nEND\n").expect("all clients");
    assert_eq!(told.split(|&byte| byte == b'\n').count(), clients.len() + 2);
    let (_, welcome) =
        eventually("there is room again", || Some(ask()).filter(|(_, answer)| answer == "WELCOME"));
    assert_eq!(welcome, "WELCOME");
    // Nobody need search so many names for secrets.
    herd.kill("Goloman");
    herd.forget("Goloman");
}

/// Every name that had ever joined kept its place until the server ended: 300 of them, and nobody joined any more.
#[test]
fn a_server_that_joined_and_left_leaves_its_place_to_others() {
    let herd = open_goloman(2);
    for number in 0..20 {
        let [one, other] = [format!("Left{number}"), format!("Right{number}")];
        let link = eventually("there is room", || is_welcome(&herd, &one));
        let others = eventually("there is room for another", || is_welcome(&herd, &other));
        assert_eq!(knock(&herd, "Third").1, "REFUSED Goloman has as many neighbours as it may: 2");
        drop((link, others));
    }
    eventually("those who left are forgotten", || {
        herd.report("Goloman")?["links"].as_array()?.is_empty().then_some(())
    });
}

#[test]
fn a_server_that_joins_again_before_its_link_has_ended_takes_no_second_place() {
    let herd = open_goloman(1);
    let (mut old, _) = knock(&herd, "Newcomer");
    let mut new = is_welcome(&herd, "Newcomer").expect("a welcome");
    old.rest().expect("the end of the old link");
    assert!(herd.log("Goloman").contains("Newcomer calls though it has a link: "));
    let _ = new.until(b"PING\n").expect("a link");
    drop(new);
    eventually("there is room for another", || is_welcome(&herd, "Another"));
}

#[test]
fn a_server_joins_by_no_name_that_a_topology_would_refuse_nor_by_that_of_whoever_only_asks() {
    let herd = open_goloman(10);
    for (name, reason) in [
        ("x".repeat(65).as_str(), "write at most 64 bytes"),
        ("\u{1b}[31mred", "write it without control characters"),
        ("../up", "write it without / and \\"),
        ("status", "status may ask how servers are, and is the name of none"),
    ] {
        let (_, answer) = knock(&herd, name);
        assert!(answer.starts_with("REFUSED ") && answer.ends_with(reason), "{answer}");
    }
    assert_eq!(herd.report("Goloman").expect("a report")["links"], serde_json::json!([]));
}

#[test]
fn a_neighbour_of_the_topology_for_whom_there_is_no_room_is_named_in_the_log() {
    let mut herd = Herd::new(&["Goloman", "Hands", "Wilkes"], &[("Goloman", "Hands"), ("Goloman", "Wilkes")]);
    herd.server_mut("Goloman").set_options(&["--neighbours-max=1"]);
    herd.start("Goloman");
    let warning = ": there are too many neighbours";
    eventually("the log says so", || herd.log("Goloman").contains(warning).then_some(()));
}
