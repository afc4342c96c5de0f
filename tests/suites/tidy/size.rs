//! How long files, functions and lines are.

use crate::functions::functions;
use crate::known::{LONG_FUNCTIONS, LONG_LINES, WIDE_FUNCTIONS, held};
use crate::tree::sources;
use std::collections::BTreeMap;

const COLUMNS: usize = 110;
const LINES_OF_A_FUNCTION: usize = 60;
const ARGUMENTS: usize = 5;
const LINES_OF_A_FILE: usize = 400;

/// The lines that are too long.
fn long_lines(text: &str) -> usize {
    text.lines().filter(|line| line.chars().count() > COLUMNS).count()
}

/// The fault of a file as a whole.
fn ill_formed(text: &str) -> Option<String> {
    let lines = text.lines().count();
    if !text.starts_with("//! ") {
        return Some("does not open with a //! sentence".to_owned());
    }
    (lines > LINES_OF_A_FILE).then(|| format!("has {lines} lines; at most {LINES_OF_A_FILE} are allowed"))
}

/// Functions whose `count` is more than `most`, by file and name.
fn beyond(most: usize, count: impl Fn(&crate::functions::Function) -> usize) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (file, text) in sources() {
        for function in functions(&text).iter().filter(|function| count(function) > most) {
            let largest: &mut usize = found.entry(format!("{file} {}", function.name)).or_default();
            *largest = count(function).max(*largest);
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_and_is_one_idea_long() {
    for (file, text) in sources() {
        let wrong = ill_formed(&text);
        assert!(wrong.is_none(), "{file} {}", wrong.unwrap_or_default());
    }
}

#[test]
fn functions_fit_on_a_screen() {
    held("functions of more than 60 lines", &beyond(LINES_OF_A_FUNCTION, |f| f.lines), LONG_FUNCTIONS);
}

#[test]
fn functions_take_few_arguments() {
    held("functions of more than 5 arguments", &beyond(ARGUMENTS, |f| f.arguments), WIDE_FUNCTIONS);
}

#[test]
fn lines_are_short() {
    let counted = sources().into_iter().map(|(file, text)| (file, long_lines(&text)));
    let found = counted.filter(|(_, count)| *count > 0).collect();
    held("files with lines of more than 110 columns", &found, LONG_LINES);
}

#[test]
fn files_and_lines_are_measured() {
    assert_eq!(long_lines(&format!("{}\n{}\n", "ä".repeat(110), "ä".repeat(111))), 1);
    assert!(ill_formed("//! A.\n").is_none());
    assert!(ill_formed("// A.\n").is_some());
    assert!(ill_formed(&format!("//! A.\n{}", "\n".repeat(400))).is_some());
}
