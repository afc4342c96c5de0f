//! The files that may ask for a kind of job: the workloads, the training in rounds, and the commands of one
//! workload.

use crate::code::{code, shipped};
use crate::known::{KINDS, held};
use crate::tree::sources;
use std::collections::BTreeMap;

/// Words that only a workload knows: the parts of its run, its heads and settings, and its name.
const WORDS: [&str; 9] = [
    "Part::",
    "Head::",
    "Pooling::",
    "Agreement::",
    "Precision::",
    "Reduce::",
    ".tune",
    "transfer::",
    "\"transfer\"",
];

/// The files that may ask for a kind: the workloads, the engine below them, all tests, the commands that
/// serve one workload; and the crates without jobs, which use these words for other things.
const MAY_ASK: [&str; 16] = [
    "trainer/workloads/",
    "trainer/rounds/",
    "tests/",
    "setup/src/assets.rs",
    "setup/src/demo.rs",
    "setup/src/evaluate.rs",
    "setup/src/export.rs",
    "setup/src/fetch.rs",
    "setup/src/mistakes.rs",
    "setup/src/predict.rs",
    "setup/src/pretrain.rs",
    "setup/src/train",
    "setup/src/tune.rs",
    "setup/src/weights.rs",
    "trainer/frozen/",
    "trainer/networks/",
];

/// The lines of shipped code that ask for a kind.
fn asks(text: &str) -> usize {
    let ships = shipped(&code(text));
    let lines = ships.lines().zip(text.lines());
    lines
        .filter(|(ships, text)| {
            WORDS.iter().any(|word| match word.strip_prefix('"') {
                Some(_) => ships.contains("\"") && text.contains(word),
                None => at_a_word(ships, word),
            })
        })
        .count()
}

/// Whether a line has `word`, not as a part of a longer name.
fn at_a_word(line: &str, word: &str) -> bool {
    let name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        let before = line[..at].chars().next_back();
        let begins = word.starts_with('.') || !before.is_some_and(name);
        begins && (word.ends_with(':') || !after.is_some_and(|c| name(c) || c == '('))
    })
}

#[test]
fn kinds_are_asked_for_in_workloads_only() {
    let others = sources().into_iter().filter(|(file, _)| {
        let tests = file.contains("/tests") || file.contains("/benches/");
        !tests && !MAY_ASK.iter().any(|place| file.starts_with(place))
    });
    let found: BTreeMap<_, _> =
        others.map(|(file, text)| (file, asks(&text))).filter(|(_, count)| *count > 0).collect();
    held("files that ask for a kind of job", &found, KINDS);
}

#[test]
fn a_question_for_a_kind_is_found() {
    for bad in [
        "fn f() { if job.tune.is_some() {} }",
        "let Some(tune) = &job.tune else { return };",
        "    Part::Train { .. } => 1,",
        "use transfer::Stage;",
        "find(\"transfer\")",
    ] {
        assert_eq!(asks(bad), 1, "{bad}");
    }
    for good in [
        "// Part::Train",
        "let a = \"job.tune\";",
        "CompletedPart::builder()",
        "a.tuned()",
        "a.tune()",
        "#[cfg(test)]\nmod tests { use transfer::Stage; }",
        "say(\"transferred\")",
    ] {
        assert_eq!(asks(good), 0, "{good}");
    }
}
