//! The built program as somebody meets it who has no server running: help, wrong usage, topologies, exit codes.

mod harness;

use harness::Scratch;
use harness::canary::{Canaries, KEY, SECRET};
use harness::program::PROGRAM;
use harness::scratch::{err, out};
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

#[test]
fn help_goes_to_standard_output_and_succeeds() {
    let scratch = Scratch::new();
    let commands: [&[&str]; 8] = [
        &["--help"],
        &["up", "--help"],
        &["serve", "-h"],
        &["send", "-h"],
        &["bench", "-h"],
        &["status", "-h"],
        &["list", "-h"],
        &["check", "-h"],
    ];
    for command in commands {
        let output = scratch.run(command);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(out(&output).contains("EXAMPLES:"), "{command:?}");
        assert_eq!(err(&output), "", "{command:?}");
    }
}

#[test]
fn the_version_is_told() {
    let output = Scratch::new().run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(out(&output).trim_end(), concat!("herd ", env!("CARGO_PKG_VERSION")));
}

/// What clap writes itself it complains of itself, too: `description() is deprecated; use Display`.
#[test]
fn a_version_that_cannot_be_written_is_complained_of_in_our_words() {
    // The limit on the size of a file stands in for a full disk.
    let scratch = Scratch::new();
    let line = "trap '' XFSZ; ulimit -f 0; \"$0\" --version > version";
    let output = scratch.herd_at(Path::new("sh"), &["-c", line, PROGRAM]).output().expect("a shell");
    assert_eq!(err(&output), "herd: cannot write to standard output: file too large\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn help_is_given_on_commands_that_are_named() {
    let scratch = Scratch::new();
    for (asked, flagged) in
        [(&["help"][..], &["-h"][..]), (&["help", "send"], &["send", "-h"]), (&["help", "up"], &["up", "-h"])]
    {
        let output = scratch.run(asked);
        assert_eq!((err(&output), output.status.code()), (String::new(), Some(0)), "{asked:?}");
        assert_eq!(out(&output), out(&scratch.run(flagged)), "{asked:?}");
    }
    assert_eq!(scratch.run(&["help", "nonsense"]).status.code(), Some(2));
}

#[test]
fn wrong_usage_is_one_line_on_standard_error_and_exit_code_2() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let cases: [&[&str]; 21] = [
        &["serve"],
        &["nonsense"],
        &["status", "--yaml"],
        &["up", "--line-max", "much"],
        &["up", "--line-max", "0"],
        &["up", "--frame-bytes", "1000"],
        &["serve", "A", "--chunk-bytes", "1099511627776"],
        &["up", "C"],
        &["serve", "C"],
        &["serve", "A", "--memory-only", "--durability", "sync"],
        &["send", "C", "IAMAT"],
        &["send", "127.0.0.1:99999", "IAMAT"],
        &["send", "C:", "IAMAT"],
        &["bench", "C"],
        &["bench", "A", "--depth", "0"],
        &["bench", "A", "--connections", "0"],
        &["bench", "A", "--seconds", "NaN"],
        &["bench", "A", "--rate", "0"],
        &["bench", "A", "--rate", "1e-300"],
        &["bench", "A", "--depth", "62501"],
        &["bench", "A", "--rate", "5", "--depth", "2"],
    ];
    for case in cases {
        let output = scratch.run(case);
        assert_eq!(output.status.code(), Some(2), "{case:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{case:?}");
        assert!(err(&output).starts_with("herd: "), "{case:?}: {}", err(&output));
        assert_eq!(err(&output).lines().count(), 1, "{case:?}: {}", err(&output));
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_wrong_usage_but_for_paths() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let byte = OsStr::from_bytes(b"\xff");
    for command in ["send", "serve", "up", "bench", "nonsense"] {
        let output = scratch.herd(&[command]).arg(byte).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{command}: {}", err(&output));
        assert_eq!(err(&output).lines().count(), 1, "{command}: {}", err(&output));
    }
    let missing = scratch.herd(&["check"]).env("HERD_TOPOLOGY", byte).output().expect("the program runs");
    assert!(err(&missing).starts_with("herd: cannot read the topology "), "{}", err(&missing));
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_wrong_value_is_blamed_on_the_variable_if_it_comes_from_there() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let said = |variable: &str, value: &[u8], arguments: &[&str]| {
        let mut command = scratch.herd(&["up"]);
        command.args(arguments).env(variable, OsStr::from_bytes(value));
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        err(&output)
    };
    let digit = "write a whole number from 1 to 18446744073709551615; see --help\n";
    assert_eq!(said("HERD_LINE_MAX", b"x", &[]), format!("herd: invalid value for HERD_LINE_MAX: {digit}"));
    let flag = format!("herd: invalid value for '--line-max <BYTES>': {digit}");
    assert_eq!(said("HERD_LINE_MAX", b"9", &["--line-max=x"]), flag);
    assert_eq!(said("HERD_LINE_MAX", b"9", &["--line-max", "x"]), flag);
    for variable in ["HERD_PLACES", "GOOGLE_PLACES_URL", "HERD_PLACES_CACHE"] {
        let expected = format!("herd: invalid value for {variable}: it is not UTF-8; see --help\n");
        assert_eq!(said(variable, b"\xff", &[]), expected);
    }
    // What is set to nothing went to the default directories, where nobody looked for it.
    let nothing = "it is set to nothing; name a directory; see --help\n";
    for variable in ["HERD_DATA_DIR", "HERD_LOG_DIR", "HERD_PEER_TLS"] {
        assert_eq!(said(variable, b"", &[]), format!("herd: invalid value for {variable}: {nothing}"));
    }
    let flag = format!("herd: invalid value for '--data-dir <DIR>': {nothing}");
    assert_eq!(said("HERD_DATA_DIR", b"x", &["--data-dir="]), flag);
}

#[test]
fn no_command_is_answered_with_help_on_standard_error() {
    let output = Scratch::new().run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output), "");
    assert!(err(&output).contains("EXAMPLES:"));
}

#[test]
fn a_name_that_is_not_in_the_herd_is_answered_with_those_that_are() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let expected = "herd: there is no server \"C\" in topology.json; it has A, B\n";
    for command in [&["send", "C", "x"][..], &["serve", "C"], &["up", "C"], &["bench", "C"]] {
        assert_eq!(err(&scratch.run(command)), expected, "{command:?}");
    }
}

#[test]
fn check_draws_the_herd_and_tells_the_longest_way() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B", "C"]);
    let output = scratch.run(&["check", "topology.json"]);
    let expected = "\
topology.json: 3 servers, 2 links, at most 2 hops

A  ●     B
B  ● ●   A, C
C    ●   B
";
    assert_eq!(out(&output), expected);
    assert_eq!(err(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn check_warns_of_a_herd_in_parts_and_succeeds() {
    let scratch = Scratch::new();
    let text =
        r#"{"servers": {"A": {"clients": "h:1", "peers": "h:2"}, "B": {"clients": "h:3", "peers": "h:4"}}}"#;
    scratch.write("apart.json", text);
    let output = scratch.run(&["check", "apart.json"]);
    let expected = "herd: warning: apart.json: the herd is not connected, it has 2 parts: A | B; link them\n";
    assert_eq!(err(&output), expected);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn check_refuses_with_file_and_place_and_exit_code_1() {
    let scratch = Scratch::new();
    let cases = [
        ("", "bad.json: the file is empty; write at least {"),
        ("{\n  \"servers\": {},\n}", "bad.json:3:1: trailing comma; write JSON"),
        ("{\"servers\": {}}", "bad.json: servers: there is no server; name at least one"),
        (
            r#"{"servers": {"A": {"clients": "h:1", "peers": "h:2", "neighbours": ["B"]}}}"#,
            "bad.json: servers.A.neighbours[0]: there is no server \"B\"; write one of A",
        ),
        (
            r#"{"servers": {"A": {"clients": "h:1", "peers": "h:2"}}, "settings": {"line_max": 0}}"#,
            "bad.json:1:81: invalid value: integer `0`, expected a whole number from 1 to ",
        ),
    ];
    for (text, expected) in cases {
        scratch.write("bad.json", text);
        let output = scratch.run(&["check", "bad.json"]);
        assert!(err(&output).starts_with(&format!("herd: {expected}")), "{}", err(&output));
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(out(&output), "", "{text}");
    }
}

/// `line_max is 0` was all that was said, and for a setting `--peer-tls` was blamed.
#[test]
fn a_setting_that_cannot_be_is_blamed_on_the_file_if_it_comes_from_there() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let plain = scratch.read("topology.json");
    let with = |settings: &str| {
        scratch.write("topology.json", &plain.replacen('{', &format!("{{\"settings\": {settings}, "), 1));
    };
    let said = |command: &[&str]| {
        let output = scratch.run(command);
        (err(&output), output.status.code())
    };
    let refused = |what: &str| (format!("herd: topology.json:{what}\n"), Some(1));
    let silent = " settings: silent_ms is 9, so that a link breaks that shows every 1000 ms that it lives; write more \
                  than heartbeat_ms";
    for (settings, what) in [
        (r#"{"silent_ms": 9}"#, silent),
        (r#"{"log_dir": ""}"#, "1:28: it is set to nothing; name a directory"),
        (r#"{"data_dir": ""}"#, "1:29: it is set to nothing; name a directory"),
        (r#"{"peer_tls": ""}"#, "1:29: it is set to nothing; name a directory"),
    ] {
        with(settings);
        for command in [&["up"][..], &["serve", "A"], &["check"]] {
            assert_eq!(said(command), refused(what), "{command:?}");
        }
    }
    for command in [&["status"][..], &["serve", "A", "--peer-tls=x"]] {
        assert_eq!(
            said(command),
            refused("1:29: it is set to nothing; name a directory"),
            "a flag mends no file"
        );
    }
    with(r#"{"silent_ms": 9}"#);
    let settings = "topology.json: settings: ";
    assert!(!said(&["serve", "C", "--silent-ms=9999"]).0.contains(settings), "it does not count");
    with(r#"{"silent_ms": 2000}"#);
    assert_eq!(said(&["check"]).1, Some(0));
    let (words, code) = said(&["serve", "A", "--heartbeat-ms=3000"]);
    assert!(
        !words.contains(settings) && code == Some(2),
        "what is wrong together is not the file's fault: {words}"
    );
    scratch.write("topology.json", &plain);
    assert_eq!(said(&["up", "--line-max=0"]).1, Some(2));
    let key = scratch.herd(&["up"]).env("GOOGLE_PLACES_API_KEY", "").output().expect("the program runs");
    assert!(err(&key).starts_with("herd: GOOGLE_PLACES_API_KEY is set to nothing"), "{}", err(&key));
}

/// A word that is no level was taken for a module, and nothing was logged at all.
#[test]
fn what_rust_log_cannot_mean_is_warned_of_once() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let said = |command: &[&str]| {
        let output = scratch.herd(command).env("RUST_LOG", "loud").output().expect("the program runs");
        err(&output).lines().filter(|line| line.contains("RUST_LOG")).map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = "herd: warning: RUST_LOG has \"loud\", which is no level and no module of this program; write info, or \
                    debug";
    for command in [&["up", "B"][..], &["serve", "B"]] {
        assert_eq!(said(command), [expected], "{command:?}");
    }
    for command in [&["status"][..], &["serve", "B", "--until-stdin-ends"]] {
        assert_eq!(said(command), Vec::<String>::new(), "{command:?}");
    }
}

#[test]
fn a_topology_that_cannot_be_read_is_refused_with_its_name() {
    let expected = "herd: cannot read the topology topology.json: no such file or directory; \
                    name another with --topology FILE\n";
    let output = Scratch::new().run(&["status"]);
    assert_eq!(err(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_topology_comes_from_the_flag_then_the_environment_then_the_default() {
    let scratch = Scratch::new();
    for name in ["Flag", "Environment", "Default"] {
        scratch.chain(&[name]);
        std::fs::rename(scratch.path("topology.json"), scratch.path(&format!("{name}.json")))
            .expect("renamed");
    }
    std::fs::rename(scratch.path("Default.json"), scratch.path("topology.json")).expect("renamed");
    let drawn = |arguments: &[&str], variable: &str| {
        let output =
            scratch.herd(arguments).env("HERD_TOPOLOGY", variable).output().expect("the program runs");
        out(&output).lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(drawn(&["check", "--topology", "Flag.json"], "Environment.json"), "Flag");
    assert_eq!(drawn(&["--topology", "Flag.json", "check"], "Environment.json"), "Flag");
    assert_eq!(drawn(&["check"], "Environment.json"), "Environment");
    assert_eq!(drawn(&["check"], ""), "Default");
}

#[test]
fn logs_go_where_the_flag_says_then_the_environment_then_the_file_then_the_default() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A"]);
    // The server finds its port taken, so that it ends by itself once it has begun to log.
    let _taken = TcpListener::bind(&clients[0]).expect("the port of A");
    let in_file = scratch.read("topology.json").replacen('{', r#"{"settings": {"log_dir": "file"}, "#, 1);
    scratch.write("with.json", &in_file);
    let serve = |arguments: &[&str], variable: Option<&str>| {
        let mut command = scratch.herd(&["serve", "A"]);
        command.args(arguments).envs(variable.map(|dir| ("HERD_LOG_DIR", dir)));
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    };
    let logged = |dir: &str| scratch.path(dir).join("A.log").exists();
    serve(&["--topology", "with.json", "--log-dir", "flag"], Some("environment"));
    assert!(logged("flag") && !logged("environment") && !logged("file"));
    serve(&["--topology", "with.json"], Some("environment"));
    assert!(logged("environment") && !logged("file"));
    serve(&["--topology", "with.json"], None);
    assert!(logged("file") && !logged("logs"));
    serve(&[], None);
    assert!(logged("logs"));
}

/// The path was missing, and the advice was that of an address that is in use.
#[test]
fn data_that_cannot_be_read_are_named_with_their_place() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    fs::create_dir_all(scratch.path("elsewhere/A/log-0")).expect("a directory");
    let output = scratch.run(&["serve", "A", "--data-dir", "elsewhere"]);
    assert_eq!(output.status.code(), Some(1));
    let why = "cannot start: its data in elsewhere/A cannot be read or written: log-0 is no regular file";
    let advice = "see that all in it are files that this server may read and write, or name another place with \
                  --data-dir, where it begins with nothing";
    let said = err(&output);
    assert_eq!(said.lines().last(), Some(format!("herd: A {why}; {advice}").as_str()), "{said}");
    assert!(scratch.read("logs/A.log").contains(&format!("server A {why}\n")), "{said}");
}

#[test]
fn a_log_directory_that_cannot_be_is_refused() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    scratch.write("file", "");
    let output = scratch.run(&["serve", "A", "--log-dir", "file"]);
    assert!(err(&output).starts_with("herd: cannot write the log file/A.log: "), "{}", err(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_secret_that_is_nothing_is_refused() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    for command in [&["serve", "A"][..], &["up"], &["status"]] {
        let output = scratch.herd(command).env("HERD_SECRET", "").output().expect("the program runs");
        let expected = "herd: HERD_SECRET is set to nothing; give it a value or unset it\n";
        assert_eq!(err(&output), expected, "{command:?}");
        assert_eq!(output.status.code(), Some(2), "{command:?}");
    }
}

/// `HERD_SECERT` left a herd open to everybody, and `HERD_MEMORY_ONLY=1` kept data on disk, without a word.
#[test]
fn variables_that_change_nothing_are_named_in_one_line_and_not_what_they_hold() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let said = |command: &[&str]| {
        let mut herd = scratch.herd(command);
        herd.env("HERD_SECERT", "cucumber").env("HERD_MEMORY_ONLY", "1");
        let output = herd.stdin(Stdio::null()).output().expect("the program runs");
        assert!(!err(&output).contains("cucumber"), "{}", err(&output));
        err(&output).lines().filter(|line| line.contains("HERD_")).map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = "herd: warning: the environment has what changes nothing: HERD_MEMORY_ONLY (give the flag \
                    --memory-only), HERD_SECERT (is it HERD_SECRET?)";
    for command in [&["send", "A", "x"][..], &["bench"], &["status"], &["serve", "C"], &["up", "C"]] {
        assert_eq!(said(command), [expected], "{command:?}");
    }
    for command in [&["check"][..], &["serve", "C", "--until-stdin-ends"]] {
        assert_eq!(said(command), Vec::<String>::new(), "{command:?}");
    }
}

#[test]
fn status_of_a_herd_that_is_down_is_a_table_and_exit_code_1() {
    let scratch = Scratch::new();
    scratch.chain(&["A", "B"]);
    let output = scratch.run(&["status"]);
    let expected = "\
SERVER  STATE  LINKS UP  CLIENTS  SECONDS UP  VERSION
A       down
B       down
";
    assert_eq!(out(&output), expected);
    assert!(err(&output).ends_with("; start them with herd up\n"), "{}", err(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn sending_to_a_server_that_is_down_says_how_to_start_it() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A"]);
    let output = scratch.run(&["send", "A", "IAMAT"]);
    let expected =
        format!("herd: cannot reach A at {}: connection refused; start it with herd serve A\n", clients[0]);
    assert_eq!(err(&output), expected);
    assert_eq!(output.status.code(), Some(1));
    let addressed = scratch.run(&["send", &clients[0], "--topology", "of-nobody", "IAMAT"]);
    assert!(err(&addressed).starts_with(&format!("herd: cannot reach {}: connection refused", clients[0])));
}

/// The advice was `herd serve P`, which refuses.
#[test]
fn sending_to_a_server_of_another_make_that_is_down_does_not_say_to_serve_it() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["P"]);
    scratch.write(
        "topology.json",
        &format!(r#"{{"servers": {{"P": {{"clients": "{}", "speaks": "trail"}}}}}}"#, clients[0]),
    );
    for command in [&["send", "P", "x"][..], &["bench", "P"]] {
        let why = "connection refused; it is of another make, start its own program";
        let expected = format!("herd: cannot reach P at {}: {why}\n", clients[0]);
        assert_eq!(err(&scratch.run(command)), expected, "{command:?}");
    }
}

/// It waited for ever, and said that no server answered yet.
#[test]
fn a_herd_in_which_there_is_nothing_to_start_is_refused() {
    let scratch = Scratch::new();
    scratch.write("topology.json", r#"{"servers": {"P": {"clients": "127.0.0.1:1", "speaks": "trail"}}}"#);
    let output = scratch.run(&["up"]);
    let expected = "herd: all servers in topology.json are of another make, with programs of their own; \
                    name another with --topology FILE\n";
    assert_eq!((err(&output).as_str(), output.status.code()), (expected, Some(2)));
}

#[test]
fn a_server_with_a_colon_in_its_name_is_not_taken_for_an_address() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A:1"]);
    for command in ["send", "bench"] {
        let output = scratch.run(&[command, "A:1"]);
        let expected = format!("herd: cannot reach A:1 at {}: connection refused", clients[0]);
        assert!(err(&output).starts_with(&expected), "{}", err(&output));
    }
}

#[test]
fn measuring_a_server_that_is_down_says_so() {
    let scratch = Scratch::new();
    let clients = scratch.chain(&["A"]);
    let named = scratch.run(&["bench"]);
    let expected =
        format!("herd: cannot reach A at {}: connection refused; start it with herd serve A\n", clients[0]);
    assert_eq!((err(&named), out(&named)), (expected, String::new()));
    let addressed = scratch.run(&["bench", &clients[0]]);
    assert!(err(&addressed).starts_with(&format!("herd: cannot reach {}: connection refused", clients[0])));
    assert_eq!((named.status.code(), addressed.status.code()), (Some(1), Some(1)));
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let scratch = Scratch::new();
    scratch.chain(&["A"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = scratch.herd(&["check"]).stdout(Stdio::from(writer)).output().expect("the program runs");
    assert_eq!(err(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_secret_is_found_in_whatever_form_a_program_wrote_it() {
    let canaries = Canaries::new();
    let base64 = "Hello: cTcvVnorOWtFPWNhbmFyeSBvZiB0aGUgaGVyZCZYdzMldVQ/MEpifnNONS5Mcg==";
    let hex = SECRET
        .bytes()
        .flat_map(|byte| format!("{byte:02X}").into_bytes())
        .map(char::from)
        .collect::<String>();
    let address = "https://x/?key=q7%2FVz%2B9kE%3Dcanary%20of%20the%20herd%26Xw3%25uT%3F0Jb~sN5.Lr";
    let numbers = format!("{:?}", SECRET.as_bytes());
    for (text, form) in [
        (SECRET, "the secret as it is"),
        (&SECRET[8..40], "the secret as it is"),
        (KEY, "the key as it is"),
        (base64, "the secret in base 64"),
        (&hex, "the secret in HEXADECIMAL"),
        (address, "the secret as in an ADDRESS"),
        (&numbers, "the secret as a list of numbers"),
    ] {
        assert!(canaries.found_in(text.as_bytes()).contains(&form), "{form}: {text}");
    }
    assert!(canaries.found_in(b"nothing of the kind").is_empty());
}

#[test]
fn a_secret_is_found_in_any_file_and_in_the_name_of_one() {
    let scratch = Scratch::new();
    let below = |name: &str| Canaries::new().found_below(&scratch.path(name));
    std::fs::create_dir_all(scratch.path("a/logs")).expect("a directory");
    scratch.write("a/logs/Goloman.log", &format!("the key is {KEY}"));
    assert!(below("a")[0].contains("Goloman.log: the key"), "{:?}", below("a"));
    scratch.write("a/logs/Goloman.log", "");
    scratch.write(&format!("a/{KEY}"), "");
    assert!(below("a")[0].contains("the key"), "{:?}", below("a"));
    std::fs::remove_file(scratch.path(&format!("a/{KEY}"))).expect("a file");
    assert!(below("a").is_empty());
}
