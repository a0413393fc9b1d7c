//! What holds of the files themselves: the arrows between the crates, and that what is said of files is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The directory that all paths here are relative to.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is built, and what servers write that run here.
const OTHERS: [&str; 4] = ["target", "data", "logs", "artifacts"];

/// All files in a directory and those below it that are of the project, and not hidden.
fn files_in(directory: &str) -> Vec<PathBuf> {
    let (mut files, mut directories) = (Vec::new(), vec![PathBuf::from(directory)]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root().join(&directory)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory && !OTHERS.contains(&name.as_str()) && !name.starts_with('.') {
                directories.push(directory.join(name));
            } else if !is_directory {
                files.push(directory.join(name));
            }
        }
    }
    files
}

/// The sources in a directory, each with its text up to its own tests.
fn sources_in(directory: &str) -> Vec<(PathBuf, String)> {
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let sources: Vec<PathBuf> = files_in(directory).into_iter().filter(is_source).collect();
    assert!(!sources.is_empty(), "no source in {directory}");
    let without_tests =
        |text: String| text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    sources.into_iter().map(|path| (path.clone(), without_tests(read(&path)))).collect()
}

#[test]
fn the_core_has_no_runtime_no_io_no_clock_no_dice_and_no_log() {
    let manifest = read(Path::new("core/Cargo.toml"));
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").expect("dependencies");
    let dependencies: Vec<&str> = dependencies
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()))
        .collect();
    assert!(dependencies.contains(&"serde"), "{dependencies:?}");
    for stranger in ["actix", "actix-rt", "awc", "tokio", "log", "env_logger", "rustix", "rustls", "rand"] {
        assert!(!dependencies.contains(&stranger), "core/Cargo.toml names {stranger}");
    }
    let strangers = [
        "std::env",
        "std::fs",
        "std::io",
        "std::process",
        "std::thread",
        "Instant",
        "SystemTime",
        "TcpStream",
        "RandomState",
        "new_v4",
        "print!",
        "println!",
        "eprintln!",
    ];
    for (path, text) in sources_in("core/src") {
        for stranger in strangers {
            assert!(!text.contains(stranger), "{} names {stranger}", path.display());
        }
    }
}

#[test]
fn an_actor_names_no_other_actor() {
    let mut named = BTreeSet::new();
    for (path, text) in sources_in("actors/src") {
        let room = path.strip_prefix("actors/src").expect("a path below").with_extension("");
        let room = room.iter().next().and_then(|room| room.to_str()).expect("a name");
        let words = text.split(|sign: char| !sign.is_alphanumeric());
        let actors = words.filter(|word| word.len() > "Actor".len() && word.ends_with("Actor"));
        for actor in actors.filter(|_| room != "node") {
            assert_eq!(actor.to_lowercase(), format!("{room}actor"), "named in {}", path.display());
            named.insert(actor.to_owned());
        }
    }
    assert_eq!(named.len(), 6, "{named:?}");
}

#[test]
fn every_source_says_first_what_it_holds() {
    for directory in ["src", "core/src", "actors/src", "bench/src", "tests", "core/tests", "actors/tests"] {
        for (path, text) in sources_in(directory) {
            assert!(text.starts_with("//! "), "{} says nothing of itself", path.display());
        }
    }
}

/// Built for tests the program has features that only they want. Whoever ran it after `make kills` ran that.
#[test]
fn no_test_leaves_its_build_where_the_program_is_looked_for() {
    let commands = read(Path::new("Makefile")).replace("\\\n", "");
    let tests: Vec<&str> = commands.lines().filter(|line| line.contains("cargo test")).collect();
    assert!(tests.len() > 5, "only {tests:?}");
    for command in tests {
        assert!(!command.contains("--release"), "{command}");
    }
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let files = files_in("");
    let is_there = |named: &str| {
        let ends_so = |path: &PathBuf| format!("/{}", path.display()).ends_with(&format!("/{named}"));
        if named.ends_with('/') {
            files.iter().any(|path| format!("/{}", path.display()).contains(&format!("/{named}")))
        } else {
            files.iter().any(ends_so)
        }
    };
    let documents = ["docs", "places", "bench"].map(files_in).concat();
    let (mut count, is_document) = (0, |path: &&PathBuf| path.extension().is_some_and(|end| end == "md"));
    for document in [PathBuf::from("README.md")].iter().chain(&documents).filter(is_document) {
        for named in read(document).split('`').skip(1).step_by(2).filter(|named| is_path(named)) {
            assert!(is_there(named), "{} names {named}, which is not there", document.display());
            count += 1;
        }
    }
    assert!(count > 50, "only {count} names of files were found");
}

/// Whether a word is the name of a file or a directory of ours.
fn is_path(word: &str) -> bool {
    let is_plain = word.chars().all(|sign| sign.is_ascii_lowercase() || "_-./".contains(sign));
    let ends = [".rs", ".md", ".sh", ".json", "/"];
    is_plain && !word.starts_with(['/', '.']) && ends.iter().any(|end| word.ends_with(end))
}
