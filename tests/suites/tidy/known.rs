//! Known exceptions to the rules: lists that only shrink.

use std::collections::BTreeMap;

/// Modules of a crate that import each other in a circle.
pub(crate) const CIRCLES: &[(&str, usize)] = &[];

/// Functions of more than 60 lines, with their lines.
pub(crate) const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Functions of more than 5 arguments, with their arguments.
pub(crate) const WIDE_FUNCTIONS: &[(&str, usize)] = &[];

/// Files with lines of more than 110 columns, and how many.
pub(crate) const LONG_LINES: &[(&str, usize)] = &[];

/// Dependencies of a manifest that its sources do not name.
pub(crate) const UNUSED: &[(&str, usize)] = &[];

/// Files that ask for a kind of job or of training, and on how many lines.
pub(crate) const KINDS: &[(&str, usize)] = &[];

/// Files with words that are not plain, and on how many lines.
pub(crate) const UNPLAIN: &[(&str, usize)] = &[];

/// The differences between the findings and the known exceptions: a new one, or a known one that is gone.
pub(crate) fn wrong(found: &BTreeMap<String, usize>, known: &[(&str, usize)]) -> Vec<String> {
    let known: BTreeMap<&str, usize> = known.iter().copied().collect();
    let most = |what: &str| known.get(what).copied().unwrap_or(0);
    let new = found.iter().filter(|(what, count)| **count > most(what));
    let gone = known.keys().filter(|what| !found.contains_key(**what));
    new.map(|(what, count)| format!("new: (\"{what}\", {count}), where {} is known", most(what)))
        .chain(gone.map(|what| format!("gone, take it off the list in tests/suites/tidy/known.rs: {what}")))
        .collect()
}

/// Checks a rule: only known exceptions may break it, and each of them still must.
pub(crate) fn held(rule: &str, found: &BTreeMap<String, usize>, known: &[(&str, usize)]) {
    let wrong = wrong(found, known);
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

#[test]
fn a_list_only_shrinks() {
    let found = |of: &[(&str, usize)]| of.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect();
    let known = [("a", 70), ("b", 1)];
    assert!(wrong(&found(&[("a", 65), ("b", 1)]), &known).is_empty());
    for (bad, says) in [
        (vec![("a", 71), ("b", 1)], "new: (\"a\", 71)"),
        (vec![("a", 70), ("b", 1), ("c", 1)], "new: (\"c\", 1)"),
        (vec![("a", 70)], "gone"),
    ] {
        let wrong = wrong(&found(&bad), &known);
        assert!(wrong.len() == 1 && wrong[0].starts_with(says), "{bad:?}: {wrong:?}");
    }
}
