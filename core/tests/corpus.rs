//! Inputs that once failed, or that stand at an edge, replayed through the bodies of the fuzz targets.

use herd_core::fuzz::BODIES;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_keeps_the_rules() {
    for (target, body) in BODIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
        let files = std::fs::read_dir(&folder).expect("a folder for each target");
        let inputs: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for input in inputs {
            body(&std::fs::read(&input).expect("an input that can be read"));
        }
    }
}
