//! Every reader of outside input, on changed files: none panics, hangs, takes more memory than stated, or
//! writes outside its folder.
//!
//! ```text
//! BATON_FUZZ=1000000 cargo test --release -p tests --test fuzz             as many inputs for each target
//! BATON_FUZZ_SEED=7 cargo test --release -p tests --test fuzz ledger       others, of one target
//! BATON_FUZZ_SEED=7 BATON_FUZZ_ONLY=123 cargo test … --test fuzz ledger    one of them again
//! ```

#[path = "fuzz/binary.rs"]
mod binary;
#[path = "fuzz/calls.rs"]
mod calls;
#[path = "fuzz/guard.rs"]
mod guard;
#[path = "fuzz/mutation.rs"]
mod mutation;
/// The small sources that data-prep's own tests make.
#[allow(dead_code)]
#[path = "../../data-prep/src/samples.rs"]
mod samples;
#[path = "fuzz/seal.rs"]
mod seal;
#[path = "fuzz/target.rs"]
mod target;
#[path = "fuzz/text.rs"]
mod text;

use target::TARGETS;

/// Not a test by itself: this process reads a target's inputs.
#[test]
fn child() {
    guard::child(&TARGETS);
}

macro_rules! fuzzed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            guard::fuzz(TARGETS.iter().find(|target| target.name == stringify!($name)).expect("a target"));
        })*

        #[test]
        fn every_target_is_fuzzed() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

fuzzed!(
    events jobs ledger dataset features npy shards tensors safetensors pth pickles
    archives idx npz labels ratings images calls invokes
);
