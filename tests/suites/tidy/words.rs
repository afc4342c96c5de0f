//! Plain English: how documentation begins, and words that have a plainer one.

use crate::known::{UNPLAIN, held};
use crate::tree::{files, read};
use std::collections::BTreeMap;

/// Words that a stranger stumbles over, each with a plain one. `docs/style.md` has the reason.
const PLAIN: [(&str, &str); 12] = [
    ("be had", "is available, is computed, is found"),
    ("is had", "is computed, is read"),
    ("was had", "was computed, was read"),
    ("not to be seen", "cannot be seen"),
    ("bring in", "copy"),
    ("brings in", "copies"),
    ("brought in", "copied"),
    ("by who", "by whoever, by those who"),
    ("for want of", "because … is missing"),
    ("one behind the other", "one after the other"),
    ("images a second", "images per second"),
    ("units a second", "units per second"),
];

/// The comments of a Rust file, or the text of a document without its code: each line's words.
fn prose(file: &str, text: &str) -> Vec<String> {
    let rust = file.ends_with(".rs");
    let mut code = false;
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if !rust {
            code ^= line.starts_with("```");
        }
        let words = if rust { line.strip_prefix("//") } else { (!code).then_some(line) };
        lines.extend(words.map(str::to_owned));
    }
    lines
}

/// Whether `words` stand in a line, not as a part of longer ones.
fn has(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(at, _)| {
        let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        outside(line[..at].chars().next_back()) && outside(line[at + words.len()..].chars().next())
    })
}

/// The faults of a line, in words.
fn faults(line: &str) -> Vec<String> {
    let documentation = line.strip_prefix(['/', '!']).map(str::trim_start);
    let what = documentation.is_some_and(|text| text.starts_with("What "));
    let unplain = PLAIN.iter().filter(|(words, _)| has(line, words));
    let advice = unplain.map(|(words, plain)| format!("\"{words}\"; plainer: {plain}"));
    what.then(|| "a doc line that begins with \"What\"; name the thing instead".to_owned())
        .into_iter()
        .chain(advice)
        .collect()
}

/// Files that speak of such words.
const SPEAK_OF_THEM: [&str; 2] = ["tests/suites/tidy/words.rs", "docs/style.md"];

#[test]
fn words_are_plain() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut told = String::from("words that are not plain; docs/style.md, \"Words\", has the rules");
    let texts = files().into_iter().filter(|file| file.ends_with(".rs") || file.ends_with(".md"));
    for file in texts.filter(|file| !SPEAK_OF_THEM.contains(&file.as_str())) {
        let known = UNPLAIN.iter().any(|(name, _)| *name == file);
        for line in prose(&file, &read(&file)) {
            for fault in faults(&line) {
                *found.entry(file.clone()).or_default() += 1;
                if !known {
                    told += &format!("\n{file}: {fault}: {line}");
                }
            }
        }
    }
    held(&told, &found, UNPLAIN);
}

#[test]
fn unplain_words_are_found() {
    assert_eq!(faults("/ What it holds.").len(), 1);
    assert_eq!(faults("! What it holds.").len(), 1);
    assert!(faults("/ Whatever it holds. What remains.").is_empty());
    assert!(faults(" What a comment says.").is_empty());
    assert_eq!(faults("/ Where it can be had.").len(), 1);
    assert!(faults("/ It would be hadron physics, by whom ever.").is_empty());
    assert_eq!(prose("a.rs", "let a = \"be had\"; // b\n    // c\n/// d"), [" c", "/ d"]);
    assert_eq!(prose("a.md", "a\n```sh\nb\n```\nc"), ["a", "```", "c"]);
}
