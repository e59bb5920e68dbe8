//! What the fuzz targets found, again: every input that `fuzz/corpus/` keeps, and random inputs that
//! are built where libFuzzer would have to guess. The properties are those of the targets, in
//! `fuzz/src/`; `scripts/fuzz` runs them guided by coverage.

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code)] // the unit tests use the rest
mod fuzz;

#[path = "fuzz_corpus/guards.rs"]
mod guards;
#[path = "fuzz_corpus/requests.rs"]
mod requests;
#[path = "fuzz_corpus/texts.rs"]
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[test]
fn every_input_of_the_corpus_keeps_its_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, check) in fuzz::TARGETS {
        let mut count = 0;
        for entry in corpus
            .join(name)
            .read_dir()
            .expect("each target has a corpus")
        {
            let path = entry.expect("an entry").path();
            let input = std::fs::read(&path).expect("a file");
            let outcome = catch_unwind(AssertUnwindSafe(|| check(&input)));
            assert!(outcome.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 20, "{name} has {count} inputs only");
    }
}
