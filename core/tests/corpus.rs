//! Inputs that once failed, or that stand at an edge, replayed through the bodies of the fuzz targets.

use herd_core::fuzz::BODIES;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file or a folder of this package, or of the fuzz targets beside it.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What is in a folder, by name without ending.
fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(path(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn every_input_of_the_corpus_keeps_the_rules() {
    for (target, body) in BODIES {
        let files = fs::read_dir(path("tests/corpus").join(target)).expect("a folder for each target");
        let inputs: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for input in inputs {
            body(&fs::read(&input).expect("an input that can be read"));
        }
    }
}

#[test]
fn every_body_has_a_target_of_its_name_and_nothing_else_has_one() {
    let bodies: BTreeSet<String> = BODIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("../fuzz/fuzz_targets"), bodies);
    assert_eq!(names_in("tests/corpus"), bodies);
    let manifest = fs::read_to_string(path("../fuzz/Cargo.toml")).expect("a manifest");
    for name in &bodies {
        let target = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&target), "fuzz/Cargo.toml has no target {name}");
        let source = fs::read_to_string(path(&format!("../fuzz/fuzz_targets/{name}.rs"))).expect("a target");
        assert!(source.contains(&format!("herd_core::fuzz::{name}(bytes)")), "{name} has another body");
    }
}
