//! The command line as somebody wrote it: read, or answered with help, or refused in one line.

use crate::catalogue::{self, Flag};
use crate::failure::{Failure, reason};
use crate::options::{DEFAULT_TOPOLOGY, Options};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use structopt::StructOpt;
use structopt::clap::{Error, ErrorKind};

/// What was asked for ends before any command: help, the version, or wrong usage.
#[derive(Debug)]
pub enum Early {
    /// Text for standard output.
    Shown(String),
    /// Help for somebody who gave no command.
    Lost(String),
    /// Wrong usage, and what to do.
    Refused(Failure),
}

/// Reads the command line, whose first word is the program.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Early> {
    let words: Vec<OsString> = arguments.into_iter().collect();
    if words.iter().any(|word| word.to_str().is_none()) {
        // At a flag that it does not know clap panics if that, or a word behind it, is not UTF-8.
        let readable = words.iter().map(|word| OsString::from(word.to_string_lossy().into_owned()));
        Options::from_iter_safe(readable).map_err(|error| early(&error, &words))?;
    }
    let mut options = Options::from_iter_safe(&words).map_err(|error| early(&error, &words))?;
    bare_flags_are_bare(&words).map_err(Early::Refused)?;
    if options.topology.as_os_str().is_empty() {
        options.topology = PathBuf::from(DEFAULT_TOPOLOGY);
    }
    Ok(options)
}

/// Refuses a value behind a flag that takes none. Clap leaves it out, and `--memory-only=false` would be `--memory-only`.
fn bare_flags_are_bare(words: &[OsString]) -> Result<(), Failure> {
    let bare: Vec<Flag> = catalogue::flags().into_iter().filter(|flag| !flag.takes_value).collect();
    // What stands behind a -- is no flag.
    for word in words.iter().take_while(|&word| word != "--") {
        let word = word.to_string_lossy();
        let named = word.strip_prefix("--").and_then(|flag| flag.split_once('='));
        if let Some((name, _)) = named.filter(|(name, _)| bare.iter().any(|flag| flag.name == *name)) {
            return Err(Failure::Usage(format!("--{name} takes no value; leave it out")));
        }
    }
    Ok(())
}

fn early(error: &Error, words: &[OsString]) -> Early {
    match error.kind {
        ErrorKind::ValueValidation => Early::Refused(Failure::Usage(blame(&one_line(&error.message), words))),
        ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => Early::Shown(error.message.clone() + "\n"),
        // The version is all that clap writes itself. Written once more, it fails with words of this program.
        ErrorKind::Io => Early::Shown(concat!("herd ", env!("CARGO_PKG_VERSION"), "\n").to_owned()),
        ErrorKind::MissingArgumentOrSubcommand => Early::Lost(error.message.clone() + "\n"),
        _ => Early::Refused(Failure::Usage(one_line(&error.message))),
    }
}

/// Makes one line of what clap writes in several, its usage left out.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let said = words.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{}; see --help", reason(&said))
}

/// Says whose value is wrong: clap names the flag, also where the value comes from the variable that stands for it.
fn blame(said: &str, words: &[OsString]) -> String {
    let named = said.split_once("'--").and_then(|(_, rest)| rest.split_once('\''));
    let Some((argument, _)) = named else { return said.to_owned() };
    let name = argument.split(' ').next().unwrap_or_default();
    let is_given = words.iter().any(|word| may_give(word, name));
    match catalogue::flags().iter().find(|flag| flag.name == name).and_then(|flag| flag.variable) {
        Some(variable) if !is_given && std::env::var_os(variable).is_some() => {
            said.replacen(&format!("'--{argument}'"), variable, 1)
        }
        _ => said.to_owned(),
    }
}

/// Tells whether a word may be the flag of this name, or its short form. No flag with a variable has one.
fn may_give(word: &OsStr, name: &str) -> bool {
    let word = word.to_string_lossy();
    match word.strip_prefix("--") {
        Some(long) => long.split('=').next() == Some(name),
        None => word.starts_with('-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Whole;
    use crate::flags::{Flags, Lifetime};
    use crate::options::{Check, Command};
    use crate::places;
    use herd_actors::places::Settings;
    use herd_core::limits::Limits;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;
    use std::path::Path;

    fn asked(words: &[&str]) -> Result<Options, Early> {
        read(std::iter::once("herd").chain(words.iter().copied()).map(OsString::from))
    }

    fn serve(words: &[OsString]) -> Flags {
        let line = ["herd", "serve", "A"].map(OsString::from);
        match read(line.into_iter().chain(words.iter().cloned())).expect("a command").command {
            Command::Serve(serve) => serve.flags,
            other => panic!("not serve: {other:?}"),
        }
    }

    fn refused(words: &[&str]) -> String {
        match asked(words) {
            Err(Early::Refused(failure)) => {
                assert_eq!(failure.exit_code(), 2);
                failure.to_string()
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn help(words: &[&str]) -> String {
        match asked(words) {
            Err(Early::Shown(text)) => text,
            other => panic!("no help: {other:?}"),
        }
    }

    #[test]
    fn the_topology_may_be_given_before_or_after_the_command() {
        for words in [["--topology", "x.json", "status"], ["status", "--topology", "x.json"]] {
            assert_eq!(asked(&words).expect("a command").topology, Path::new("x.json"));
        }
    }

    #[test]
    fn wrong_usage_is_one_line_that_leads_to_help() {
        let cases: [(&[&str], &str); 5] = [
            (&["serve"], "the following required arguments were not provided: <NAME>; see --help"),
            (
                &["status", "--jsn"],
                "found argument '--jsn' which wasn't expected, or isn't valid in this context; see --help",
            ),
            (
                &["serve", "A", "--line-max", "x"],
                "invalid value for '--line-max <BYTES>': write a whole number from 1 to 18446744073709551615; see --help",
            ),
            (
                &["serve", "A", "B"],
                "found argument 'B' which wasn't expected, or isn't valid in this context; see --help",
            ),
            (
                &["serve", "A", "--line-max"],
                "the argument '--line-max <BYTES>' requires a value but none was supplied; see --help",
            ),
        ];
        for (words, expected) in cases {
            assert_eq!(refused(words), expected);
        }
    }

    /// All that was said was that a digit is invalid, or a number too large for its type.
    #[test]
    fn a_number_that_is_refused_is_answered_with_those_that_are_not() {
        let most = u64::MAX;
        for (flag, value, expected) in [
            ("--workers <N>", "1025", "write a whole number from 1 to 1024".to_owned()),
            ("--stop-ms <MS>", "0", format!("write a whole number from 1 to {most}")),
            ("--idle-ms <MS>", "18446744073709551616", format!("write a whole number from 1 to {most}")),
            ("--idle-ms <MS>", "-1", format!("write a whole number from 1 to {most}")),
            (
                "--dialect-corrections-max <N>",
                "4294967296",
                "write a whole number from 1 to 4294967295".to_owned(),
            ),
            ("--places-per-day <N>", "-1", "write a whole number from 0 to 4294967295".to_owned()),
            (
                "--record-ttl-ms <MS>",
                "1.5",
                format!("write a whole number of milliseconds, at most {most}, or forever"),
            ),
        ] {
            let word = format!("{}={value}", flag.split(' ').next().unwrap_or_default());
            let expected = format!("invalid value for '{flag}': {expected}; see --help");
            assert_eq!(refused(&["serve", "A", &word]), expected);
        }
        for (word, expected) in [
            ("-c20001", "'--connections <N>': write a whole number from 1 to 20000"),
            ("-d0", "'--depth <N>': write a whole number from 1 to 1000000"),
            ("-rnan", "'--rate <N>': write 0.001 commands per second at least, and 10000000 at most"),
            ("-sinf", "'--seconds <S>': write more than 0, and a day, 86400, at most"),
            ("--clients=0", "'--clients <N>': write a whole number from 1 to 18446744073709551615"),
        ] {
            assert_eq!(refused(&["bench", word]), format!("invalid value for {expected}; see --help"));
        }
    }

    /// `--memory-only=false` kept everything in memory, and `--open=false` opened the herd to everybody.
    #[test]
    fn a_value_of_a_flag_that_takes_none_is_refused() {
        let commands: [&[&str]; 5] = [&["serve", "A"], &["up"], &["status"], &["list"], &["bench"]];
        let flags = ["open", "memory-only", "places-file-only", "json", "geojson", "until-stdin-ends"];
        let mut tried = 0;
        for (command, flag) in commands.iter().flat_map(|command| flags.map(|flag| (command, flag))) {
            let bare = format!("--{flag}");
            if asked(&[command, &[bare.as_str()][..]].concat()).is_err() {
                continue; // It is one of another command.
            }
            tried += 1;
            for value in ["false", "true", "0", ""] {
                let word = format!("{bare}={value}");
                let expected = format!("{bare} takes no value; leave it out");
                assert_eq!(refused(&[command, &[word.as_str()][..]].concat()), expected);
            }
        }
        assert_eq!(tried, 10);
        assert!(asked(&["up", "--log-dir=x=y", "--", "--open=false"]).is_ok());
    }

    #[test]
    fn no_command_is_answered_with_help() {
        assert!(matches!(asked(&[]), Err(Early::Lost(text)) if text.contains("EXAMPLES")));
    }

    #[test]
    fn help_has_examples_everywhere_and_hides_what_is_for_the_launcher() {
        let commands = ["up", "serve", "send", "bench", "status", "list", "check"];
        for command in std::iter::once(&[][..]).chain(commands.iter().map(std::slice::from_ref)) {
            let text = help(&[command, &["--help"]].concat());
            assert!(text.contains("EXAMPLES:"), "{text}");
            assert!(!text.contains("until-stdin-ends"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        }
    }

    #[test]
    fn short_help_leaves_the_limits_out_and_says_where_they_are() {
        for command in ["serve", "up"] {
            assert!(help(&[command, "--help"]).contains("--line-max <BYTES>"));
            let short = help(&[command, "-h"]);
            assert!(!short.contains("--line-max") && short.contains("--help the limits"), "{short}");
        }
    }

    /// A line was as long as clap has them, and its last word stood on a line alone.
    #[test]
    fn what_is_written_behind_the_flags_is_shown_as_it_is_written() {
        let commands = ["up", "serve", "send", "bench", "status", "list", "check"];
        for app in Options::clap().p.subcommands.iter().filter(|app| commands.contains(&app.get_name())) {
            let written = app.p.meta.more_help.expect("examples");
            let shown = help(&[app.get_name(), "--help"]);
            assert!(shown.contains(written), "{shown}");
        }
    }

    #[test]
    fn help_tells_of_every_limit_with_its_default() {
        let text = help(&["serve", "--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
        let is_told = |name: &str, default: &str| {
            let flag = format!("--{} <", name.replace('_', "-"));
            let (_, told) = text.split_once(&flag).unwrap_or_else(|| panic!("no {flag} in {text}"));
            let default = format!("[default: {default}]");
            assert!(told.split(" --").next().is_some_and(|told| told.contains(&default)), "{flag}: {told}");
        };
        let limits = format!("{:?}", Limits::default());
        let limits = limits.trim_start_matches("Limits { ").trim_end_matches(" }").split(", ");
        for (name, default) in limits.filter_map(|limit| limit.split_once(": ")) {
            is_told(name, &default.replace("None", "forever"));
        }
        let Settings { limits, cache, .. } = Settings::default();
        is_told("places_deadline_ms", &limits.deadline.as_millis().to_string());
        is_told("places_in_flight_max", &limits.in_flight_max.to_string());
        is_told("places_per_day", &limits.per_day.to_string());
        is_told("places_cache", "10m,1000");
        assert_eq!("10m,1000".parse(), Ok(cache));
        assert!(text.contains("--line-max <BYTES> Longest line of a client [default: 65536]"), "{text}");
    }

    #[test]
    fn secrets_are_not_flags() {
        let text = help(&["serve", "--help"]) + &help(&["--help"]);
        assert!(!text.contains("--secret") && !text.contains("--key"), "{text}");
    }

    #[test]
    fn a_record_lives_for_ever_or_for_so_long_and_never_for_nothing() {
        let flags = |ttl: &str| serve(&[format!("--record-ttl-ms={ttl}").into()]);
        assert_eq!(Flags::default().limits().expect("limits").record_ttl_ms, None);
        assert_eq!(flags("1").limits().expect("limits").record_ttl_ms, Some(1));
        let file = |json: &str| serde_json::from_str::<Flags>(json);
        let month = file(r#"{"record_ttl_ms": 2592000000}"#).expect("settings");
        assert_eq!(month.limits().expect("limits").record_ttl_ms, Some(2_592_000_000));
        assert_eq!(file(r#"{"record_ttl_ms": "2592000000"}"#).expect("settings"), month);
        assert_eq!(flags("forever").or(month.clone()).limits().expect("limits").record_ttl_ms, None);
        assert_eq!(serve(&month.arguments()), month);
        for wrong in ["0", "-1", "1.5", "never", ""] {
            assert!(
                wrong.parse::<Lifetime>().is_err()
                    && file(&format!(r#"{{"record_ttl_ms": "{wrong}"}}"#)).is_err()
            );
        }
        let expected = "invalid value for '--record-ttl-ms <MS>': 0 lets no record live; write at least 1, or forever; see --help";
        assert_eq!(refused(&["serve", "A", "--record-ttl-ms", "0"]), expected);
    }

    /// Bytes as a shell passes them on, behind what makes something of them.
    fn word() -> impl Strategy<Value = OsString> {
        let known = "|-|--|up|serve|send|bench|check|places|import|--topology=|--topology|--places=|--types=|-o|-c|--line-max=";
        let begin = proptest::sample::select(known.split('|').collect::<Vec<_>>());
        let end = prop_oneof![Just(Vec::new()), proptest::collection::vec(1..=u8::MAX, 0..8)];
        (begin, end).prop_map(|(begin, end)| OsString::from_vec([begin.as_bytes(), &end].concat()))
    }

    /// `herd send $'\xff' x` ended in a panic, where other wrong usage is answered in one line.
    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_the_name_of_what_they_were_given_for() {
        let byte = || OsString::from_vec(vec![0xff]);
        let refused = |words: &[&str], last: OsString| match read(
            std::iter::once("herd").chain(words.iter().copied()).map(OsString::from).chain([last]),
        ) {
            Err(Early::Refused(failure)) if failure.exit_code() == 2 => failure.to_string(),
            other => panic!("not refused: {other:?}"),
        };
        let cases: [(&[&str], &str); 7] = [
            (&["up"], "<NAME>..."),
            (&["serve"], "<NAME>"),
            (&["send"], "<NAME|HOST:PORT>"),
            (&["bench"], "<NAME|HOST:PORT>"),
            (&["up", "--places"], "--places <LIST>"),
            (&["places", "import", "x.csv", "-o", "x", "--types"], "--types <TYPES>..."),
            (&["places", "import", "x.csv", "-o", "x", "--attribution"], "--attribution <HTML>..."),
        ];
        for (words, argument) in cases {
            let expected = format!("invalid value for '{argument}': it is not UTF-8; see --help");
            assert_eq!(refused(words, byte()), expected);
        }
        let unknown =
            "found argument '--jsn' which wasn't expected, or isn't valid in this context; see --help";
        assert_eq!(refused(&["status", "--jsn"], byte()), unknown);
    }

    #[test]
    fn paths_may_be_any_bytes() {
        let path = || PathBuf::from(OsString::from_vec(vec![b'x', 0xff]));
        let mut line = OsString::from("--topology=");
        line.push(path());
        let options = read(["herd".into(), "check".into(), path().into(), line]).expect("a command");
        assert_eq!(options.topology, path());
        assert!(matches!(options.command, Command::Check(Check { file: Some(file) }) if file == path()));
    }

    proptest! {
        #[test]
        fn flags_survive_the_command_line_to_a_child(
            open: bool,
            log_dir in proptest::option::of("[^\0]{1,12}"),
            peer_tls in proptest::option::of("[^\0]{1,12}"),
            url in proptest::option::of("[^\0]{1,12}"),
            line_max in proptest::option::of(1_usize..),
            redial_max_ms in proptest::option::of(1_u64..),
        ) {
            let (log_dir, peer_tls) = (log_dir.map(PathBuf::from), peer_tls.map(PathBuf::from));
            let (line_max, redial_max_ms) = (line_max.map(Whole), redial_max_ms.map(Whole));
            let places = places::Flags { url, ..places::Flags::default() };
            let flags = Flags { open, log_dir, peer_tls, places, line_max, redial_max_ms, ..Flags::default() };
            prop_assert_eq!(serve(&flags.arguments()), flags);
        }

        #[test]
        fn no_command_line_panics(words in proptest::collection::vec(word(), 0..6)) {
            drop(read(std::iter::once("herd".into()).chain(words)));
        }
    }
}
