//! `herd bench`, against a real server, and against one that is played by the test and may lie.

mod harness;

use harness::{Herd, eventually, program, signal};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

fn bench(server: &str, arguments: &[&str]) -> Command {
    let mut command = program::herd(&["bench", server]);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Listens, and answers the n-th line of every connection with what `script` makes of it; nothing ends the connection.
fn played(script: impl Fn(usize, &str) -> Option<String> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let script = script.clone();
            thread::spawn(move || {
                let lines = BufReader::new(&socket).lines().map_while(Result::ok);
                for (number, line) in lines.enumerate() {
                    let Some(answer) = script(number, &line) else { return };
                    if (&socket).write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn right(line: &str) -> String {
    line.replacen("IAMAT", "AT Played +0.000000001", 1) + "\n"
}

/// Not every kernel tells how long a thread ran.
fn counts_time() -> bool {
    Path::new("/proc/thread-self/schedstat").exists()
}

#[test]
fn a_real_server_answers_all_rightly() {
    let herd = Herd::running(&[]);
    let arguments = ["--json", "-s", "0.5", "-c", "4", "-d", "8", "--clients", "100"];
    let output = bench(&herd.server("Goloman").clients, &arguments).output().expect("the program runs");
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    let report = json(&output);
    assert_eq!(
        (&report["server"], &report["wrong"], &report["trouble"]),
        (&"Goloman".into(), &0.into(), &Value::Null)
    );
    let commands = report["commands"].as_u64().expect("a count");
    assert!(commands >= 32 && commands.is_multiple_of(8), "{report}");
    let latencies = ["p50", "p90", "p99", "p99_9", "max"]
        .map(|name| report["latency_us"][name].as_f64().expect("a figure"));
    assert!(latencies[0] > 0.0 && latencies.is_sorted(), "{report}");
    assert!(
        report["own"].is_null() != counts_time()
            && report["own"]["busy"].as_f64().is_none_or(|busy| busy > 0.0),
        "{report}"
    );
    let census = herd.report("Goloman").expect("a report");
    assert!(census["clients_known"].as_u64().expect("a count") <= 100, "{census}");
}

#[test]
fn an_address_for_servers_is_told_as_such_by_whoever_takes_it_for_one_for_clients() {
    let herd = Herd::running(&[]);
    let peers = &herd.server("Goloman").peers;
    let expected = format!("herd: {peers} is an address for servers, not for clients");
    for words in [&["bench", peers, "-s", "60"][..], &["send", peers, "one", "two"]] {
        let output = program::herd(words).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(said(&output).starts_with(&expected), "{}", said(&output));
    }
}

#[test]
fn a_rate_is_kept_to() {
    let address = played(|_, line| Some(right(line)));
    let output =
        bench(&address, &["--json", "-s", "0.5", "-c", "3", "-r", "400"]).output().expect("the program runs");
    assert_eq!(
        (output.status.code(), &json(&output)["commands"]),
        (Some(0), &200.into()),
        "{}",
        said(&output)
    );
    // One command a second was two a second for two seconds, of which only the one between them was counted.
    assert!(json(&output)["seconds"].as_f64() >= Some(0.5), "{}", json(&output));
}

#[test]
fn wrong_answers_are_counted_the_first_is_shown_and_the_exit_code_is_1() {
    let address = played(|number, line| {
        Some(if number == 3 { right(&line.replace("118", "117")) } else { right(line) })
    });
    let output = bench(&address, &["-s", "0.3", "-c", "2"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).starts_with("herd: wrong answers: 2 of ") && said(&output).contains("-117.445127"),
        "{}",
        said(&output)
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.starts_with("SERVER") && shown.contains("herd bench itself was busy") == counts_time(),
        "{shown}"
    );
}

#[test]
fn an_answer_too_many_or_a_connection_that_ends_is_told() {
    let chatty = played(|_, line| Some(right(line) + "? what\n"));
    let output = bench(&chatty, &["-s", "0.3"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let fickle = played(|number, line| (number < 5).then(|| right(line)));
    let output = bench(&fickle, &["-s", "60"]).output().expect("the program runs");
    assert!(said(&output).starts_with("herd: connections lost: 16, the first: "), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_interrupt_ends_it_with_what_was_measured() {
    let (told, heard) = std::sync::mpsc::channel();
    let address = played(move |_, line| {
        // Nobody listens any more once the first line was heard.
        let _ = told.send(());
        Some(right(line))
    });
    let mut child = bench(&address, &["-s", "3600", "-c", "1", "--json"]).spawn().expect("the program runs");
    // The second line follows the answer to the first.
    (0..2).for_each(|_| heard.recv().expect("a line"));
    drop(heard);
    let ended = eventually("the interrupt is heard", || {
        signal(child.id(), "INT");
        child.try_wait().expect("a state")
    });
    assert_eq!(ended.code(), Some(0));
    let output = child.wait_with_output().expect("its output");
    assert!(json(&output)["commands"].as_u64().is_some_and(|commands| commands > 0));
}
