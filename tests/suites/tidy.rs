//! The house rules: imports, `unsafe` and burn, the first line of files, the length of files, functions and
//! lines, kinds of jobs, and words in comments.
//!
//! ```text
//! BATON_IMPORTS=1 cargo test --release -p tests --test tidy imports -- --nocapture    the imports as text
//! ```

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/functions.rs"]
mod functions;
#[path = "tidy/kinds.rs"]
mod kinds;
#[path = "tidy/known.rs"]
mod known;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/words.rs"]
mod words;

use std::fs;
use tree::{files, sources, workspace};

/// Files outside `trainer/frozen/src/kernels` that may say `unsafe`, each with one reason at the place.
const MAY_BE_UNSAFE: [&str; 4] = [
    "setup/local/src/process.rs",
    "trainer/workloads/transfer/src/weights/mapped.rs",
    "trainer/frozen/src/kernels",
    "trainer/frozen/src/memory.rs",
];

#[test]
fn burn_is_named_in_transfer_only() {
    for file in files().into_iter().filter(|file| file.ends_with("Cargo.toml") && file != "Cargo.toml") {
        let text = fs::read_to_string(workspace().join(&file)).unwrap();
        let burn = text.lines().any(|line| line.starts_with("burn"));
        assert!(!burn || file == "trainer/workloads/transfer/Cargo.toml", "{file} depends on burn");
    }
}

#[test]
fn unsafe_stands_where_it_is_fenced_in() {
    for (file, text) in sources() {
        let used = text.lines().any(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        let allowed = MAY_BE_UNSAFE.iter().any(|place| file.starts_with(place));
        assert!(!used || allowed || file == "tests/suites/tidy.rs", "{file} says unsafe");
    }
}

/// A failed look does not prove absence: on the shared file system a file is opened, and the error is read.
#[test]
fn nothing_of_the_trainer_asks_whether_a_file_exists() {
    let others = ["trainer/frozen/", "trainer/storage/src/disk.rs"];
    let looks =
        [".exists()", ".try_exists()", "path.is_dir()", "path.is_file()", ").is_dir()", ").is_file()"];
    for (file, text) in sources() {
        let tests = file.contains("/tests")
            || file.contains("/benches/")
            || ["sample.rs", "testing.rs"].iter().any(|name| file.ends_with(name));
        if !file.starts_with("trainer/") || tests || others.iter().any(|other| file.starts_with(other)) {
            continue;
        }
        let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for look in looks {
            let found =
                shipped.lines().find(|line| line.contains(look) && !line.trim_start().starts_with("//"));
            assert!(
                found.is_none(),
                "{file} decides by a look that may fail: {}",
                found.unwrap_or_default().trim()
            );
        }
    }
}

#[test]
fn tests_are_sorted_by_folder() {
    let places = ["Cargo.toml", "run", "suites/", "harness/", "reference/", "experiments/"];
    for file in files() {
        let Some(below) = file.strip_prefix("tests/") else { continue };
        let sorted = places.iter().any(|place| below.starts_with(place));
        assert!(sorted, "{file}: expected one of {places:?}; docs/testing.md says what is where");
    }
}

#[test]
fn nothing_names_this_machine() {
    let here = workspace().canonicalize().unwrap();
    let parent = format!("{}/", here.parent().unwrap().display());
    let home = std::env::var("HOME").map(|home| format!("{home}/")).unwrap_or(parent.clone());
    // A clone may be in the folder for temporary files, which every machine has.
    let general = format!("{}/", std::env::temp_dir().display());
    for file in files() {
        let bytes = fs::read(workspace().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for place in [&parent, &home].into_iter().filter(|place| place.len() > 2 && **place != general) {
            // A path begins there. The same name in the middle of a longer path is another folder.
            let begins =
                |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
            let named = text.match_indices(place.as_str()).any(|(at, _)| begins(at));
            assert!(!named, "{file} names a path of this machine");
        }
        assert!(bytes.len() < 3_000_000, "{file} has {} bytes: data does not belong here", bytes.len());
    }
}

#[test]
fn the_readme_has_its_two_commands() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    for heading in ["## Run it", "## Test it"] {
        let after = readme.split(heading).nth(1).unwrap_or_else(|| panic!("README.md lacks {heading:?}"));
        let block = after.split("```").nth(1).unwrap_or_default();
        assert_eq!(
            block.trim().lines().filter(|line| !line.starts_with("sh")).count(),
            1,
            "{heading}: one line"
        );
    }
}
