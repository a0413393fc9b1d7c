//! `herd up` and what talks to a running herd, as a user has them: real processes, real ports, real signals.

mod harness;

use harness::canary::Canaries;
use harness::program::{PROGRAM, is_alive};
use harness::scratch::{err, out};
use harness::{Client, PATIENCE, Scratch, eventually, signal};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

/// A program in the background whose lines are read as they come; killed when the test ends without it.
struct Background {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    /// All that it said, to be searched for secrets at the end.
    said: Arc<Mutex<String>>,
}

impl Background {
    fn start(command: Command) -> Background {
        Self::start_with(command, Stdio::piped(), Stdio::piped())
    }

    /// Starts it with other standard output and error, of which nothing is read here.
    fn start_with(mut command: Command, out: Stdio, err: Stdio) -> Background {
        let mut child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("the program starts");
        let said = Arc::default();
        let out = child.stdout.take().map_or_else(|| mpsc::channel().1, |out| lines(out, &said));
        let err = child.stderr.take().map_or_else(|| mpsc::channel().1, |err| lines(err, &said));
        Background { child, out, err, said }
    }

    /// Reads standard output up to the line that says the herd is ready.
    fn announcement(&self) -> Vec<String> {
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("ready")) {
            said.push(self.out.recv_timeout(PATIENCE).expect("a line on standard output"));
        }
        said
    }

    /// Reads standard error up to the first line with these words in it.
    fn complaint(&self, words: &str) -> String {
        loop {
            let line = self.err.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nobody said {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn end(&mut self) -> ExitStatus {
        eventually("the program ends", || self.child.try_wait().expect("a status"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has ended already when all is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            Canaries::new()
                .expect_none_in("what herd up said", self.said.lock().expect("the words").as_bytes());
        }
    }
}

fn lines(from: impl Read + Send + 'static, said: &Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let said = Arc::clone(said);
    thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        let lines = lines.inspect(|line| said.lock().expect("the words").push_str(line));
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    receiver
}

/// Asks the herd who is up, and tells their process numbers by name.
fn pids(scratch: &Scratch) -> BTreeMap<String, u32> {
    let output = scratch.run(&["status", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let servers = said["servers"].as_array().expect("servers").iter().filter(|server| server["up"] == true);
    let pid = |server: &serde_json::Value| {
        let pid = server["report"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.expect("a process number");
        // What everybody on the machine can see of a process; systems without /proc show it elsewhere.
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Canaries::new().expect_none_in("the list of processes", &arguments);
        (server["name"].as_str().expect("a name").to_owned(), pid)
    };
    servers.map(pid).collect()
}

fn up(scratch: &Scratch) -> Background {
    Background::start(scratch.herd(&["up"]))
}

/// Waits until A is up again, and ends the herd.
fn comes_back_and_stops(scratch: &Scratch, herd: &mut Background) {
    eventually("A is back", || pids(scratch).contains_key("A").then_some(()));
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
}

#[test]
fn a_herd_is_announced_with_a_table_when_all_its_links_are_up() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A", "B", "C"]);
    let herd = up(&scratch);
    let said = herd.announcement();
    let cells = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(
        said[..4].iter().map(cells).collect::<Vec<_>>(),
        [
            "SERVER ADDRESS NEIGHBOURS LINKS UP".to_owned(),
            format!("A {} B 1 of 1", clients[0]),
            format!("B {} A, C 2 of 2", clients[1]),
            format!("C {} B 1 of 1", clients[2]),
        ]
    );
    let address = clients[0].replace(':', " ");
    assert!(said[4].starts_with("The herd is ready; "), "{}", said[4]);
    assert!(said[4].ends_with(&format!("\\n' | nc {address}")), "{}", said[4]);
    assert_eq!(said.len(), 5);
}

#[test]
fn status_tells_that_all_are_up_and_linked() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let herd = up(&scratch);
    herd.announcement();
    let output = scratch.run(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let rows: Vec<String> = out(&output).lines().skip(1).map(str::to_owned).collect();
    for (row, name) in rows.iter().zip(["A", "B"]) {
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[..6], [name, "up", "1", "of", "1", "0"], "{row}");
        assert_eq!(cells.last(), Some(&env!("CARGO_PKG_VERSION")), "{row}");
    }
    assert_eq!(rows.len(), 2);
}

#[test]
fn status_tells_servers_that_refuse_and_those_that_are_silent_from_those_that_are_down() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let herd = up(&scratch);
    herd.announcement();
    let states = |output: &str| {
        let cell = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        output.lines().skip(1).filter_map(cell).collect::<Vec<_>>()
    };
    let stranger = scratch.herd(&["status"]).env_remove("HERD_SECRET").output().expect("the program runs");
    assert_eq!(states(&out(&stranger)), ["refuses", "refuses"]);
    let said = err(&stranger);
    assert!(said.ends_with(" refuse (HERD_SECRET is not set here: set it as it is there)\n"), "{said}");
    assert_eq!((said.matches("HERD_SECRET").count(), said.lines().count()), (1, 1), "{said}");
    assert_eq!(stranger.status.code(), Some(1));
    signal(pids(&scratch)["B"], "STOP");
    let stuck = scratch.run(&["status"]);
    assert_eq!(states(&out(&stuck)), ["up", "silent"], "{}", err(&stuck));
    assert!(err(&stuck).contains(" is silent (no answer in time)"), "{}", err(&stuck));
    assert_eq!(stuck.status.code(), Some(1));
}

#[test]
fn list_tells_all_clients_as_lines_or_as_a_map_from_the_first_server_that_answers() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let mut herd = up(&scratch);
    herd.announcement();
    let command = |client: &str| format!("IAMAT {client} +34.068930-118.445127 1520023934.918963997");
    let told = ["kiwi", "END"].map(|client| out(&scratch.run(&["send", "A", &command(client)])));
    let listed = |words: &[&str]| {
        let mut lines: Vec<String> =
            out(&scratch.run(words)).split_inclusive('\n').map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut expected = told.to_vec();
    expected.sort();
    eventually("B knows both", || (listed(&["list", "B"]) == expected).then_some(()));
    let map: serde_json::Value =
        serde_json::from_slice(&scratch.run(&["list", "--geojson"]).stdout).expect("JSON");
    assert_eq!(map["features"][1]["geometry"]["coordinates"], serde_json::json!([-118.445_127, 34.068_93]));
    let stranger = scratch.herd(&["list"]).env_remove("HERD_SECRET").output().expect("the program runs");
    assert_eq!((stranger.status.code(), out(&stranger)), (Some(1), String::new()));
    assert!(err(&stranger).contains("HERD_SECRET is not set here"), "{}", err(&stranger));
    let alone = scratch.herd(&["list", "nobody"]).output().expect("the program runs");
    assert_eq!(alone.status.code(), Some(2), "{}", err(&alone));
    let first = pids(&scratch)["A"];
    signal(first, "STOP");
    assert_eq!(listed(&["list"]), expected, "A is stuck, and B answers");
    signal(first, "CONT");
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
    let nobody = scratch.run(&["list"]);
    assert!(err(&nobody).contains(" are down (connection refused)"), "{}", err(&nobody));
    assert_eq!(nobody.status.code(), Some(1));
}

/// The signals that stop the program. Whoever runs the tests may have the hangup ignored, and then so has the program.
fn stopping() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("1");
    let minds_hangups = ignored.ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']);
    ["TERM", "INT"].into_iter().chain(minds_hangups.then_some("HUP")).collect()
}

#[test]
fn a_signal_stops_all_servers_and_leaves_none_behind() {
    for name in stopping() {
        let scratch = Scratch::new();
        scratch.chain(&["A", "B", "C"]);
        let mut herd = up(&scratch);
        herd.announcement();
        let servers = pids(&scratch);
        assert_eq!(servers.len(), 3);
        herd.signal(name);
        assert_eq!(herd.end().code(), Some(0), "{name}");
        for (server, pid) in servers {
            assert!(!is_alive(pid), "{server} outlived SIG{name}");
        }
        assert_eq!(herd.err.iter().collect::<Vec<_>>(), Vec::<String>::new());
    }
}

/// When two linked servers stopped at once and the goodbye of one reached the other before that had said its own,
/// the other took it for a lost link, dialled again, and stopped only when its time was up.
#[test]
fn servers_that_stop_together_do_not_wait_for_each_other() {
    let scratch = Scratch::new();
    let names = ["A", "B", "C", "D", "E"];
    scratch.chain(&names);
    let mut herd = up(&scratch);
    herd.announcement();
    herd.signal("TERM");
    herd.end();
    for name in names {
        let log = scratch.read(&format!("logs/{name}.log"));
        assert!(log.trim_end().ends_with(&format!("server {name} stopped")), "{log}");
    }
}

/// Where nothing takes care of orphans, servers that had ended counted as having outlived their launcher.
#[test]
fn a_process_of_which_nobody_asked_how_it_ended_has_ended() {
    let mut child = Command::new("true").spawn().expect("a program that ends");
    eventually("it ends", || (!is_alive(child.id())).then_some(()));
    child.wait().expect("its end");
}

#[test]
fn no_server_outlives_a_launcher_that_was_killed() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B", "C"]);
    let mut herd = up(&scratch);
    herd.announcement();
    let servers = pids(&scratch);
    assert_eq!(servers.len(), 3);
    herd.child.kill().expect("SIGKILL");
    herd.end();
    for (server, pid) in servers {
        eventually(&format!("{server} ends"), || (!is_alive(pid)).then_some(()));
    }
}

#[test]
fn a_server_that_dies_is_named_with_its_signal_and_started_again_while_the_others_go_on() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let mut herd = up(&scratch);
    herd.announcement();
    signal(pids(&scratch)["A"], "KILL");
    let expected =
        "herd: A ended with signal 9 (SIGKILL); the others go on, and it is started again in 100 ms";
    assert_eq!(herd.complaint("A ended"), expected);
    assert_eq!(out(&scratch.run(&["send", "B", "hello"])), "? hello\n");
    comes_back_and_stops(&scratch, &mut herd);
}

/// Whoever starts a process may ignore the ends of children, and the process does so, too, if it does not mind.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_dies_is_started_again_though_who_started_the_launcher_ignores_the_ends_of_children() {
    const IGNORING: &str = "--ignore-signal=CHLD"; // A shell can do that only if it is bash.
    if !Command::new("env").args([IGNORING, "true"]).status().is_ok_and(|status| status.success()) {
        return eprintln!("not tested: the env of this machine ignores no signals");
    }
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let mut herd = Background::start(scratch.herd_at(Path::new("env"), &[IGNORING, PROGRAM, "up"]));
    herd.announcement();
    signal(pids(&scratch)["A"], "KILL");
    assert!(herd.complaint("A ended").contains("is started again"));
    comes_back_and_stops(&scratch, &mut herd);
}

/// A server that failed within 3 s of its first start was not started again, though it had served and was announced as
/// ready: the launcher asked for how long it had lived, and not whether it had got up.
#[test]
fn a_server_that_was_ready_and_ends_by_itself_is_started_again() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let mut herd = up(&scratch);
    herd.announcement();
    let pid = pids(&scratch)["A"];
    // It wakes up to both signals, and the second ends it at once, which is a failure.
    for name in ["STOP", "TERM", "INT", "CONT"] {
        signal(pid, name);
    }
    let expected = "herd: A ended with exit status 1; the others go on, and it is started again in 100 ms";
    assert_eq!(herd.complaint("A ended"), expected);
    comes_back_and_stops(&scratch, &mut herd);
}

/// A server whose disk had failed waited for ever to say so, and the launcher to say that it had ended: neither was told to
/// stop by any signal.
#[test]
fn where_nobody_reads_standard_error_a_server_that_fails_ends_and_is_started_again() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A"]);
    let (_unread, full) = full();
    // The limit on the size of a file stands in for a full disk.
    let command = scratch.herd_at(Path::new("sh"), &["-c", "ulimit -f 256; exec \"$0\" up", PROGRAM]);
    let mut herd = Background::start_with(command, Stdio::piped(), full.into());
    herd.announcement();
    let before = pids(&scratch)["A"];
    let mut client = Client::connect(&clients[0]).expect("a server");
    let long = "x".repeat(20_000);
    let mut tell = |number| {
        client.say(format!("IAMAT {number}{long} +1-2 1\n")).and_then(|()| client.until(b"\n")).is_ok()
    };
    assert!((0..20).any(|number| !tell(number)), "its files have no end");
    eventually("A is back", || pids(&scratch).get("A").filter(|&&pid| pid != before).map(drop));
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
}

#[test]
fn a_herd_whose_announcement_nobody_reads_is_stopped_as_any_other() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let (_unread, full) = full();
    let mut herd = Background::start_with(scratch.herd(&["up"]), full.into(), Stdio::piped());
    eventually("A is up", || pids(&scratch).contains_key("A").then_some(()));
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
}

/// `herd up > /dev/full` stopped all its servers, and so did a terminal that was gone.
#[test]
fn a_herd_that_cannot_be_announced_goes_on_and_says_so() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    // A socket with nobody at its other end refuses whatever is written.
    let nowhere = OwnedFd::from(UnixDatagram::unbound().expect("a socket"));
    let mut herd = Background::start_with(scratch.herd(&["up"]), nowhere.into(), Stdio::piped());
    let complaint = herd.complaint("cannot write to standard output");
    assert!(complaint.ends_with("; the herd goes on"), "{complaint}");
    assert!(pids(&scratch).contains_key("A"));
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
}

/// A way out that takes nothing more, since nobody reads at its other end.
fn full() -> (UnixStream, OwnedFd) {
    let (unread, mut full) = UnixStream::pair().expect("a pair");
    full.set_nonblocking(true).expect("a socket");
    while full.write(b"x").is_ok() {}
    full.set_nonblocking(false).expect("a socket");
    (unread, full.into())
}

/// One start that failed, of a server that was to be started again, ended the whole herd.
#[test]
fn a_start_that_fails_is_tried_again_while_the_others_go_on() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    // A link, since a copy cannot be run while another test starts a process: that has what is written to open for a moment.
    let program = scratch.path("herd");
    let link = || fs::hard_link(PROGRAM, &program).expect("a link to the program");
    link();
    let mut herd = Background::start(scratch.herd_at(&program, &["up"]));
    herd.announcement();
    fs::remove_file(&program).expect("it is gone");
    signal(pids(&scratch)["A"], "KILL");
    for ms in [200, 400] {
        let complaint = herd.complaint("cannot start A");
        let expected = format!(": no such file or directory; it is tried again in {ms} ms");
        assert!(complaint.ends_with(&expected), "{complaint}");
    }
    assert_eq!(out(&scratch.run(&["send", "B", "hello"])), "? hello\n");
    link();
    comes_back_and_stops(&scratch, &mut herd);
    // Nobody need search it for secrets.
    fs::remove_file(&program).expect("it is gone");
}

#[test]
fn the_launcher_fails_when_its_last_server_was_told_to_stop() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let mut herd = up(&scratch);
    herd.announcement();
    let servers = pids(&scratch);
    signal(servers["A"], "TERM");
    let first = herd.complaint("A ended");
    let expected = "herd: A ended with exit status 0; the others go on, and it is not started again: it was told to stop";
    assert_eq!(first, expected);
    signal(servers["B"], "TERM");
    let last = herd.complaint("no server is left");
    assert!(last.ends_with("ended with exit status 0: it was told to stop; no server is left"), "{last}");
    assert_eq!(herd.end().code(), Some(1));
}

#[test]
fn a_taken_port_costs_one_server_which_is_named() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A", "B", "C"]);
    let _taken = TcpListener::bind(&clients[0]).expect("the port of A");
    let herd = up(&scratch);
    let complaint = herd.complaint("cannot start");
    assert!(complaint.starts_with("herd: A cannot start: "), "{complaint}");
    assert!(complaint.contains(&clients[0]), "{complaint}");
    let expected =
        "herd: A ended with exit status 1; the others go on, and it is not started again: it never got up";
    assert_eq!(herd.complaint("A ended"), expected);
    let said = herd.announcement();
    assert!(said.last().is_some_and(|line| line.starts_with("The herd is ready without A; ")), "{said:?}");
}

/// Holds a server up until somebody reads its log, as a slow disk does: a pipe is in the place of that.
fn hold_up(scratch: &Scratch, name: &str) -> PathBuf {
    fs::create_dir(scratch.path("logs")).expect("a directory");
    let log = scratch.path(&format!("logs/{name}.log"));
    assert!(Command::new("mkfifo").arg(&log).status().is_ok_and(|status| status.success()));
    log
}

/// That no server answers yet was the last word of all, however soon they were ready after it.
#[test]
fn a_herd_that_is_ready_late_is_announced_all_the_same() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let log = hold_up(&scratch, "A");
    let mut herd = Background::start(scratch.herd(&["up", "--stop-ms", "1"]));
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.starts_with("no server answers yet; ")) {
        said.push(herd.out.recv_timeout(PATIENCE).expect("a line on standard output"));
    }
    let reading = thread::spawn(move || fs::read(log));
    assert!(herd.announcement().concat().starts_with("The herd is ready; "));
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
    assert!(reading.join().expect("a reader").is_ok());
    fs::remove_file(scratch.path("logs/A.log")).expect("it is gone");
}

/// That the herd was ready without it was the last word of a server.
#[test]
fn a_server_that_comes_after_the_herd_was_said_to_be_ready_is_named() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let log = hold_up(&scratch, "B");
    let mut herd = Background::start(scratch.herd(&["up", "--stop-ms", "1000"]));
    let said = herd.announcement();
    assert!(said.last().is_some_and(|line| line.starts_with("The herd is ready without B; ")), "{said:?}");
    let reading = thread::spawn(move || fs::read(log));
    assert_eq!(herd.announcement(), ["B is ready now"]);
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
    assert!(reading.join().expect("a reader").is_ok());
    fs::remove_file(scratch.path("logs/B.log")).expect("it is gone");
}

#[test]
fn a_second_herd_on_the_same_ports_does_not_pass_for_ready() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let first = up(&scratch);
    first.announcement();
    let output = scratch.run(&["up"]);
    // Its servers wait for the data as long as the first may take to stop, and are not started again when they give up.
    assert_eq!(output.status.code(), Some(1));
    assert!(!out(&output).contains("ready"), "{}", out(&output));
    assert!(err(&output).ends_with("no server is left\n"), "{}", err(&output));
    assert_eq!(pids(&scratch).len(), 2);
}

/// The system lets a process have few files open until it asks for more, which the servers did.
#[cfg(target_os = "linux")]
#[test]
fn a_herd_is_not_bound_by_how_many_open_files_one_begins_with() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B", "C", "D", "E"]);
    let herd = Background::start(
        scratch.herd_at(Path::new("sh"), &["-c", "ulimit -Sn 20; exec \"$0\" up", PROGRAM]),
    );
    let said = herd.announcement();
    assert!(said.last().is_some_and(|line| line.starts_with("The herd is ready; ")), "{said:?}");
}

#[test]
fn some_servers_can_be_started_alone() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B", "C"]);
    let herd = Background::start(scratch.herd(&["up", "B", "A"]));
    let said = herd.announcement();
    let names: Vec<&str> = said.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["SERVER", "A", "B", "The"]);
    assert_eq!(pids(&scratch).into_keys().collect::<Vec<_>>(), ["A", "B"]);
}

#[test]
fn a_second_signal_does_not_wait_for_a_server_that_is_stuck() {
    let scratch = Scratch::new();
    // B waits for A to say goodbye, and C for nobody who is stuck.
    scratch.chain(&["A", "B", "C"]);
    let mut herd = up(&scratch);
    herd.announcement();
    let servers = pids(&scratch);
    signal(servers["A"], "STOP");
    herd.signal("TERM");
    eventually("C ends", || (!is_alive(servers["C"])).then_some(()));
    assert!(is_alive(servers["A"]));
    herd.signal("INT");
    assert_eq!(herd.end().code(), Some(1));
    assert!(!is_alive(servers["A"]));
}

/// Servers stop as well when one of them cannot be started, and the first signal in that time killed them.
#[test]
fn the_first_signal_is_no_second_one_where_a_start_that_failed_stops_the_herd() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"]);
    let log = hold_up(&scratch, "A");
    let command = scratch.herd_at(Path::new("sh"), &["-c", "ulimit -n 24; exec \"$0\" up", PROGRAM]);
    let mut herd = Background::start(command);
    eventually("B stops", || scratch.read("logs/B.log").contains("server B stops").then_some(()));
    herd.signal("INT");
    // Opened for both, it lets A go on whether that is there or not.
    let _read = fs::File::options().read(true).write(true).open(&log).expect("a pipe");
    fs::remove_file(log).expect("it is gone");
    let complaint = herd.complaint("herd: cannot start ");
    assert!(complaint.ends_with(": too many open files"), "{complaint}");
    assert_eq!(herd.end().code(), Some(1));
}

/// When a terminal is closed, the shell and the system may both say so, and nobody is impatient.
#[test]
fn a_second_hangup_does_not_hasten_anything() {
    let scratch = Scratch::new();
    // B waits for A to say goodbye, and C for nobody who is stuck.
    scratch.chain(&["A", "B", "C"]);
    let mut herd = up(&scratch);
    herd.announcement();
    let servers = pids(&scratch);
    signal(servers["A"], "STOP");
    herd.signal(stopping().pop().expect("a signal"));
    eventually("C ends", || (!is_alive(servers["C"])).then_some(()));
    herd.signal("HUP");
    signal(servers["A"], "CONT");
    assert_eq!(herd.end().code(), Some(0));
    assert_eq!(herd.err.iter().collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn under_nohup_a_terminal_that_closes_stops_nothing() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let herd = scratch.herd(&["serve", "A"]);
    let mut command = scratch.herd_at(Path::new("sh"), &["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    command.arg(herd.get_program()).args(herd.get_args());
    let mut server = Background::start(command);
    eventually("A answers", || pids(&scratch).get("A").copied());
    server.signal("HUP");
    assert_eq!(out(&scratch.run(&["send", "A", "hello"])), "? hello\n");
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0));
    let stop = server.complaint("server A stops");
    assert!(stop.ends_with("reason=\"SIGTERM\""), "{stop}");
}

#[test]
fn a_server_that_is_stuck_is_killed_in_the_end() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let mut herd = Background::start(scratch.herd(&["up", "--stop-ms", "100"]));
    herd.announcement();
    let stuck = pids(&scratch)["A"];
    signal(stuck, "STOP");
    herd.signal("TERM");
    assert_eq!(herd.end().code(), Some(0));
    assert!(!is_alive(stuck));
    let expected = "herd: A ended with signal 9 (SIGKILL): it did not stop in time";
    assert_eq!(herd.complaint("A ended"), expected);
}

#[test]
fn under_the_launcher_servers_log_to_their_files_alone() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let mut herd = up(&scratch);
    herd.announcement();
    herd.signal("TERM");
    herd.end();
    for name in ["A", "B"] {
        let log = scratch.read(&format!("logs/{name}.log"));
        assert!(log.contains("INFO"), "{log}");
    }
    assert_eq!(herd.err.iter().collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn flags_of_the_launcher_reach_its_servers() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let herd = Background::start(scratch.herd(&["up", "--line-max", "4", "--log-dir", "elsewhere"]));
    herd.announcement();
    assert_eq!(out(&scratch.run(&["send", "A", "hello"])), "? hell\n");
    assert!(scratch.path("elsewhere/A.log").exists());
}

/// It was the one value that was written for the servers in another way, and clap took its first sign off.
#[test]
fn a_topology_may_have_any_name() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    fs::rename(scratch.path("topology.json"), scratch.path("=mine.json")).expect("renamed");
    let herd = Background::start(scratch.herd(&["up", "--topology", "=mine.json"]));
    assert!(herd.announcement().concat().contains("The herd is ready; "));
}

#[test]
fn a_server_in_the_foreground_logs_to_both_and_stops_at_a_signal() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    for name in stopping() {
        let mut server = Background::start(scratch.herd(&["serve", "A"]));
        let line = server.complaint("INFO");
        assert!(scratch.read("logs/A.log").contains(&line), "{line}");
        let topology = scratch.path("topology.json").canonicalize().expect("a path");
        assert!(line.ends_with(&format!("topology={topology:?}")), "{line}");
        eventually("A answers", || pids(&scratch).get("A").copied());
        server.signal(name);
        assert_eq!(server.end().code(), Some(0), "{name}");
    }
    let stops = scratch.read("logs/A.log").matches("stops").count();
    assert_eq!(stops, stopping().len(), "each run appends to the log of the one before it");
}

/// As logrotate does it that copies a log and then empties it.
#[test]
fn a_log_that_is_emptied_is_written_from_its_new_beginning() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let mut server = Background::start(scratch.herd(&["serve", "A"]));
    eventually("A answers", || pids(&scratch).get("A").copied());
    scratch.write("logs/A.log", "");
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0));
    let log = scratch.read("logs/A.log");
    assert!(log.contains("server A stops ") && !log.contains('\0'), "{log:?}");
}

#[test]
fn send_says_each_command_as_a_line_and_prints_the_answers_exactly() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A"]);
    let herd = up(&scratch);
    herd.announcement();
    for server in ["A", &clients[0]] {
        let output = scratch.run(&["send", server, "one  two", "", "WHATSAT nobody 1 1"]);
        assert_eq!(out(&output), "? one  two\n? WHATSAT nobody 1 1\n");
        assert_eq!(err(&output), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn send_takes_lines_from_standard_input_as_they_come() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let herd = up(&scratch);
    herd.announcement();
    let mut command = scratch.herd(&["send", "A"]);
    let mut client =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut typed = client.stdin.take().expect("standard input");
    let answers = lines(client.stdout.take().expect("standard output"), &Arc::default());
    for line in ["one", "two"] {
        writeln!(typed, "{line}").expect("typed");
        assert_eq!(answers.recv_timeout(PATIENCE).as_deref(), Ok(format!("? {line}").as_str()));
    }
    write!(typed, "the end").expect("typed");
    drop(typed);
    assert_eq!(answers.recv_timeout(PATIENCE).as_deref(), Ok("? the end"));
    assert_eq!(eventually("send ends", || client.try_wait().expect("a status")).code(), Some(0));
}

/// The end of its pipe was taken for the end of the server's words, and the server blamed for it.
#[test]
fn send_ends_well_when_nobody_reads_the_answers_any_more() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let herd = up(&scratch);
    herd.announcement();
    let mut command = scratch.herd(&["send", "A"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().expect("the program starts");
    drop(client.stdout.take());
    let mut typed = client.stdin.take().expect("standard input");
    writeln!(typed, "one").expect("typed");
    // There may be more to say: what is typed has not ended.
    assert_eq!(eventually("send ends", || client.try_wait().expect("a status")).code(), Some(0));
    let mut said = String::new();
    client.stderr.take().expect("standard error").read_to_string(&mut said).expect("text");
    assert_eq!(said, "");
    drop(typed);
}
