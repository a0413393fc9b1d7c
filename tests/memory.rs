//! What a server remembers: kills under load, damaged files, and the ways to keep less or more.

mod harness;

use harness::{Client, HERE, Herd};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// The file that a server appends to.
fn log_of(herd: &Herd) -> PathBuf {
    herd.data("Goloman").join("log-0")
}

/// Where the entries of a log end: what is behind them is filling.
fn end_of_entries(log: &[u8]) -> usize {
    log.windows(2).position(|pair| pair == b"\n\n").map_or(log.len(), |at| at + 1)
}

fn told(herd: &Herd, clients: usize) -> Vec<(String, String)> {
    let mut connection = herd.connect("Goloman");
    let clients = (0..clients).map(|number| format!("client{number}"));
    clients.map(|client| (client.clone(), connection.tell(&client, HERE, "1.50"))).collect()
}

fn lost(herd: &Herd, told: &[(String, String)]) -> usize {
    let mut connection = herd.connect("Goloman");
    told.iter().filter(|(client, line)| connection.find(client).as_ref() != Some(line)).count()
}

/// How many rounds of kills: a few in every run, `HERD_KILLS` where somebody wants hundreds.
fn kills() -> usize {
    harness::amount("HERD_KILLS", 1).unwrap_or(5)
}

/// Tells a server about clients of one's own until it is killed, and passes on what it acknowledged.
fn tell_until_killed(
    mut connection: Client,
    number: usize,
    round: usize,
    acknowledged: &Sender<(String, String)>,
) {
    for time in 1.. {
        let client = format!("client{number}-{}", time % 50);
        let commands = format!("IAMAT {client} {HERE} {round}.{time:06}\n");
        let answer = connection.say(commands).and_then(|()| connection.until(b"\n"));
        let Ok(line) = answer else { return };
        let line = String::from_utf8(line).expect("an answer of text").trim_end().to_owned();
        assert!(line.starts_with("AT Goloman "), "{line}");
        acknowledged.send((client, line)).expect("a test that still listens");
    }
}

fn a_kill_at_any_moment_loses_nothing_acknowledged(options: &[&str]) {
    kill_at_any_moment(options, 1, |round, _| round == kills());
}

/// Kills a server again and again until that is enough for somebody who is told how often that was, and whether a spare log
/// was left. A life of the server lasts so many times as long as a short one.
fn kill_at_any_moment(options: &[&str], lasting: usize, mut is_enough: impl FnMut(usize, bool) -> bool) {
    let mut herd = Herd::running(options);
    let mut newest = BTreeMap::new();
    for round in 1.. {
        let (acknowledge, acknowledged) = mpsc::channel();
        let tellers: Vec<_> = (0..4)
            .map(|number| {
                let (connection, acknowledge) = (herd.connect("Goloman"), acknowledge.clone());
                thread::spawn(move || tell_until_killed(connection, number, round, &acknowledge))
            })
            .collect();
        // Each round is killed after another number of answers, so that the kills come at all moments.
        let answers = (50 + round * 37 % 400) * lasting;
        newest.extend(acknowledged.iter().take(answers));
        herd.kill("Goloman");
        let has_spare = herd.data("Goloman").join("spare").exists();
        for teller in tellers {
            teller.join().expect("a teller that found no fault");
        }
        drop(acknowledge);
        newest.extend(acknowledged);
        herd.start("Goloman");
        // A disk that is busy with other things may be long about it.
        harness::eventually("the server has read its log", || herd.report("Goloman"));
        let mut connection = herd.connect("Goloman");
        for (client, line) in &newest {
            let found = connection.find(client).expect("a client that was acknowledged");
            assert!(time_of(&found) >= time_of(line), "round {round}: {found} for {line}");
        }
        if is_enough(round, has_spare) {
            return;
        }
    }
}

/// The last field of an AT line; all have the same form, so that they compare as text.
fn time_of(line: &str) -> (u64, &str) {
    let (seconds, fraction) = line.rsplit(' ').next().and_then(|time| time.split_once('.')).expect("a time");
    (seconds.parse().expect("seconds"), fraction)
}

#[test]
fn killed_under_load_a_server_has_all_it_acknowledged() {
    a_kill_at_any_moment_loses_nothing_acknowledged(&[]);
}

#[test]
fn killed_under_load_a_server_that_writes_over_its_logs_has_all_it_acknowledged() {
    let mut spares = 0;
    kill_at_any_moment(&["--log-bytes-min", "1"], 10, |round, has_spare| {
        spares += usize::from(has_spare);
        // A disk that is busy with other things takes its time for a snapshot.
        assert!(spares > 0 || round < kills() * 10, "no log was long enough");
        spares > 0 && round >= kills()
    });
}

#[test]
fn killed_under_load_a_server_that_syncs_has_all_it_acknowledged() {
    a_kill_at_any_moment_loses_nothing_acknowledged(&["--durability", "sync"]);
}

#[test]
fn killed_under_load_a_server_that_leaves_the_disk_to_the_system_has_all_it_acknowledged() {
    a_kill_at_any_moment_loses_nothing_acknowledged(&["--durability", "none"]);
}

#[test]
fn a_server_that_stops_and_one_that_is_killed_remember_every_byte() {
    for (signal, filling) in [("TERM", false), ("KILL", true)] {
        let mut herd = Herd::running(&[]);
        let told = told(&herd, 30);
        let _ = herd.end("Goloman", signal);
        let log = std::fs::read(log_of(&herd)).expect("a log");
        assert_eq!(end_of_entries(&log) < log.len(), filling, "{signal}");
        herd.start("Goloman");
        assert_eq!(lost(&herd, &told), 0, "{signal}");
    }
}

#[test]
fn a_server_with_its_memory_alone_forgets_and_writes_nothing() {
    let mut herd = Herd::running(&["--memory-only"]);
    let told = told(&herd, 3);
    herd.kill("Goloman");
    assert!(!herd.data("Goloman").exists());
    herd.start("Goloman");
    assert_eq!(lost(&herd, &told), 3);
}

#[test]
fn a_flipped_bit_in_the_log_costs_one_record_at_most_and_is_told() {
    let mut herd = Herd::running(&[]);
    let told = told(&herd, 20);
    herd.kill("Goloman");
    let whole = std::fs::read(log_of(&herd)).expect("a log");
    for at in (0..end_of_entries(&whole)).step_by(end_of_entries(&whole) / 12) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(log_of(&herd), flipped).expect("a log that can be written");
        herd.start("Goloman");
        assert!(lost(&herd, &told) <= 1, "byte {at}");
        herd.kill("Goloman");
    }
    assert!(herd.log("Goloman").contains("damaged"), "{}", herd.log("Goloman"));
}

#[test]
fn what_was_damaged_here_comes_back_from_a_neighbour() {
    let mut herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")]);
    herd.start_all();
    let told = told(&herd, 20);
    herd.wait_until_counted(&["Hands"], told.len());
    herd.kill("Goloman");
    let mut log = std::fs::read(log_of(&herd)).expect("a log");
    let middle = end_of_entries(&log) / 2;
    log[middle] ^= 1;
    std::fs::write(log_of(&herd), log).expect("a log that can be written");
    herd.start("Goloman");
    herd.wait_until_counted(&["Goloman"], told.len());
    assert!(herd.log("Goloman").contains("damaged"), "{}", herd.log("Goloman"));
    assert_eq!(lost(&herd, &told), 0);
}

/// Neither damages a line, and a server without neighbours began as if all were well.
#[test]
fn a_snapshot_that_was_cut_or_removed_is_missed_in_the_log() {
    let mut herd = Herd::running(&["--log-bytes-min=1000"]);
    let mut connection = herd.connect("Goloman");
    let data = herd.data("Goloman");
    // Beside one with the number 0 all logs are kept, and nobody misses it.
    let is_needed = |path: &PathBuf| {
        path.to_string_lossy().contains("/snapshot-")
            && path.extension().is_none()
            && !path.ends_with("snapshot-0")
    };
    let snapshot = || {
        std::fs::read_dir(&data).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_needed).max()
    };
    let mut time = 0;
    harness::eventually("a snapshot is written that is needed", || {
        time += 1;
        connection.tell("client", HERE, &time.to_string());
        snapshot()
    });
    let log_of_next = |herd: &mut Herd| {
        let before = herd.log("Goloman").len();
        herd.start("Goloman");
        harness::eventually("the server has read its log", || herd.report("Goloman"));
        let _ = herd.end("Goloman", "TERM");
        herd.log("Goloman")[before..].to_owned()
    };
    let _ = herd.end("Goloman", "TERM");
    let log = log_of_next(&mut herd);
    assert!(!log.contains("lacks its end") && !log.contains("is missing"), "{log}");
    let path = snapshot().expect("a snapshot");
    std::fs::write(&path, "").expect("a snapshot that can be written");
    let log = log_of_next(&mut herd);
    assert!(log.contains("lacks its end"), "{log}");
    std::fs::remove_file(snapshot().expect("a snapshot")).expect("a snapshot that can be removed");
    let log = log_of_next(&mut herd);
    assert!(log.contains("is missing"), "{log}");
}

#[test]
fn a_torn_tail_is_cut_and_what_comes_next_is_kept() {
    let mut herd = Herd::running(&[]);
    let told = told(&herd, 5);
    herd.kill("Goloman");
    let mut log = std::fs::read(log_of(&herd)).expect("a log");
    log.truncate(end_of_entries(&log) - 10);
    std::fs::write(log_of(&herd), log).expect("a log that can be written");
    herd.start("Goloman");
    assert_eq!(lost(&herd, &told), 1);
    let line = herd.connect("Goloman").tell("late", HERE, "7");
    herd.kill("Goloman");
    herd.start("Goloman");
    assert_eq!(lost(&herd, &told[..4]), 0);
    assert_eq!(herd.connect("Goloman").find("late"), Some(line));
}

#[test]
fn a_long_log_gives_way_to_a_snapshot() {
    let mut herd = Herd::running(&["--log-bytes-min", "4000000"]);
    let mut connection = herd.connect("Goloman");
    let id = "x".repeat(50_000);
    let mut times = 0..;
    let mut tell = || {
        let time = times.next().expect("a time").to_string();
        (0..10).map(|number| connection.tell(&format!("{number}{id}"), HERE, &time)).collect::<Vec<_>>()
    };
    // About 10 MB of log for ten clients, which is more than twice anything worth keeping.
    let mut last = Vec::new();
    for _ in 0..20 {
        last = tell();
    }
    harness::eventually("there are a snapshot, a log or two with it, and a spare one", || {
        // The last snapshot may have left no spare one: where the one before it had everything, there is no older log.
        last = tell();
        let names = std::fs::read_dir(herd.data("Goloman")).ok()?;
        let mut names: Vec<String> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let of_kind = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
        let is_all = of_kind("snapshot-") == 1 && of_kind("spare") == 1 && of_kind("log-") <= 2;
        is_all.then_some(())
    });
    herd.kill("Goloman");
    herd.start("Goloman");
    let mut connection = herd.connect("Goloman");
    for (number, line) in last.iter().enumerate() {
        assert_eq!(connection.find(&format!("{number}{id}")).as_ref(), Some(line));
    }
}

#[test]
fn two_servers_do_not_share_their_data() {
    let herd = Herd::running(&[]);
    let output = herd.run("Goloman");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another process uses it") && said.contains("data/Goloman"), "{said}");
}

/// Whoever started a herd again at once that had been killed was left without the servers that were still stopping.
#[test]
fn a_server_waits_for_the_one_before_it_that_still_uses_its_data() {
    let mut herd = Herd::running(&[]);
    let told = told(&herd, 3);
    herd.kill("Goloman");
    let lock = File::open(herd.data("Goloman").join("lock")).expect("the lock");
    lock.lock().expect("it is free");
    herd.launch("Goloman");
    let waits = "Goloman waits for another process that uses ";
    harness::eventually("it waits", || herd.log("Goloman").contains(waits).then_some(()));
    drop(lock);
    herd.wait_until_it_serves("Goloman");
    assert_eq!(lost(&herd, &told), 0);
}

#[test]
fn a_disk_that_takes_no_more_ends_the_server_with_a_reason() {
    // The limit on the size of a file stands in for a full disk: the write fails in the same way. It is that of the
    // server's log too, which is kept short.
    let mut herd = Herd::one();
    herd.server_mut("Goloman").prelude = Some("export RUST_LOG=info; ulimit -f 256".to_owned());
    herd.start("Goloman");
    let mut connection = herd.connect("Goloman");
    let id = "x".repeat(20_000);
    let mut acknowledged = Vec::new();
    for number in 0..20 {
        let client = format!("{number}{id}");
        let answer =
            connection.say(format!("IAMAT {client} {HERE} 1\n")).and_then(|()| connection.until(b"\n"));
        let Ok(line) = answer else { break };
        acknowledged.push((client, String::from_utf8(line).expect("text").trim_end().to_owned()));
    }
    assert!(acknowledged.len() < 20);
    assert_eq!(herd.wait_for_the_end("Goloman").code(), Some(1));
    let why = "the disk failed, and nothing more can be acknowledged: log-0: file too large\n";
    assert!(herd.log("Goloman").contains(why), "{}", herd.log("Goloman"));
    herd.server_mut("Goloman").prelude = None;
    herd.start("Goloman");
    assert_eq!(lost(&herd, &acknowledged), 0);
}
