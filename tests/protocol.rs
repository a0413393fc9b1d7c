//! The client protocol, rule by rule: bytes in and bytes out, against the built program.
//!
//! The rules are in `tests/protocol/*.case`; their form is described in `tests/protocol/case.rs`. Every case is run
//! in segments as written, in one segment, and byte by byte, and some split at every offset: the answers are the same.

mod harness;

#[path = "protocol/case.rs"]
mod case;
#[path = "protocol/nanoseconds.rs"]
mod nanoseconds;
#[path = "protocol/run.rs"]
mod run;

use case::{Case, Step};
use run::Way;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Every file of cases, with its name. A file that is not listed here fails a test below.
const FILES: &[(&str, &str)] = &[
    ("commands.case", include_str!("protocol/commands.case")),
    ("lines.case", include_str!("protocol/lines.case")),
    ("locations.case", include_str!("protocol/locations.case")),
    ("order.case", include_str!("protocol/order.case")),
    ("recency.case", include_str!("protocol/recency.case")),
    ("times.case", include_str!("protocol/times.case")),
    ("whatsat.case", include_str!("protocol/whatsat.case")),
];

fn cases_of(file: &str) -> Vec<Case> {
    let (_, text) = FILES.iter().find(|(name, _)| *name == file).expect("a listed file");
    case::parse(text).unwrap_or_else(|problem| panic!("tests/protocol/{file}: {problem}"))
}

/// So many failures are shown; the cases after them are not run.
const MOST_FAILURES: usize = 20;

/// Runs all cases of a file in every way against a server of its own, and fails with what went wrong.
fn hold(file: &str) {
    let herd = harness::Herd::running(&[]);
    hold_at(&herd, file, |case| run::every_way(case, "Goloman"));
}

fn hold_at(herd: &harness::Herd, file: &str, ways: impl Fn(&Case) -> Vec<Way>) {
    let address = &herd.server("Goloman").clients;
    let cases = cases_of(file);
    let runs = cases.iter().flat_map(|case| ways(case).into_iter().map(move |way| (case, way)));
    let problems = runs.filter_map(|(case, way)| run::failure(case, way, address, "Goloman"));
    let problems: Vec<String> = problems.take(MOST_FAILURES).collect();
    assert!(problems.is_empty(), "tests/protocol/{file}:\n{}", problems.join("\n"));
}

#[test]
fn commands_are_known_by_their_words() {
    hold("commands.case");
}

#[test]
fn lines_are_cut_out_of_bytes() {
    hold("lines.case");
}

#[test]
fn locations_follow_their_grammar() {
    hold("locations.case");
}

#[test]
fn answers_come_in_the_order_of_the_commands() {
    hold("order.case");
}

#[test]
fn the_most_recent_location_is_the_same_for_everybody() {
    hold("recency.case");
}

#[test]
fn times_are_exact() {
    hold("times.case");
}

#[test]
fn whatsat_answers_with_the_at_line_and_places() {
    hold("whatsat.case");
}

/// Threads change nothing in how lines are cut out of bytes: two ways are enough.
#[test]
fn sessions_on_threads_of_their_own_answer_the_same() {
    let herd = harness::Herd::running(&["--workers", "2"]);
    for (file, _) in FILES {
        hold_at(&herd, file, |_| vec![Way::AsWritten, Way::Together]);
    }
}

#[test]
fn there_are_as_many_cases_as_the_readme_says_and_none_is_left_out() {
    let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    for entry in fs::read_dir(directory).expect("the cases") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(OsStr::to_str).expect("a name in UTF-8");
        let is_listed = listed.contains(&name);
        assert_eq!(is_listed, path.extension() == Some(OsStr::new("case")), "{}", path.display());
    }
    let count: usize = listed.iter().map(|file| cases_of(file).len()).sum();
    let readme = include_str!("../README.md");
    let said = readme.split_once(" protocol cases").and_then(|(before, _)| before.rsplit("over ").next());
    let said: usize = said.and_then(|said| said.parse().ok()).expect("a number in the README");
    assert!((said + 1..said + 50).contains(&count), "{count} cases, and the README says over {said}");
}

#[test]
fn every_case_that_hears_nothing_says_so_in_its_name() {
    for (file, _) in FILES {
        for case in cases_of(file) {
            let hears = case.steps.iter().any(|step| matches!(step, Step::Hear(_)));
            assert!(hears || case.name.contains("no answer"), "{file}: {}", case.name);
        }
    }
}
