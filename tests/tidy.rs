//! The house rules: who imports whom, where `unsafe` and burn may stand, how files begin and how long they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate of the workspace may import of the others, outside its tests.
const MAY_IMPORT: [(&str, &[&str]); 15] = [
    ("trainer/protocol", &[]),
    ("trainer/storage", &["protocol"]),
    ("trainer/networks", &[]),
    ("trainer/frozen", &["networks"]),
    ("trainer/work", &["protocol", "storage"]),
    ("trainer/datasets", &["protocol", "storage"]),
    ("trainer/rounds", &["protocol", "storage", "work", "frozen"]),
    (
        "trainer/workloads/transfer",
        &["protocol", "storage", "work", "networks", "frozen", "datasets", "rounds"],
    ),
    ("trainer/workloads", &["work", "transfer"]),
    ("trainer", &["protocol", "storage", "work", "workloads"]),
    ("data-prep", &["storage", "datasets", "terminal"]),
    ("setup/local", &["terminal"]),
    ("setup/terminal", &[]),
    (
        "setup",
        &[
            "protocol",
            "storage",
            "networks",
            "work",
            "datasets",
            "rounds",
            "transfer",
            "data-prep",
            "local-cloud",
            "workloads",
            "terminal",
        ],
    ),
    (
        "tests",
        &[
            "protocol",
            "storage",
            "networks",
            "frozen",
            "work",
            "datasets",
            "rounds",
            "transfer",
            "workloads",
            "trainer",
            "setup",
            "data-prep",
            "local-cloud",
        ],
    ),
];

/// Files outside `trainer/frozen/src/kernels` that may say `unsafe`, each with one reason at the place.
const MAY_BE_UNSAFE: [&str; 4] = [
    "setup/local/src/process.rs",
    "trainer/workloads/transfer/src/weights/mapped.rs",
    "trainer/frozen/src/kernels",
    "trainer/frozen/src/memory.rs",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files that git tracks, or would: relative paths.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .expect("git lists the files");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().filter(|file| workspace().join(file).is_file()).map(str::to_owned).collect()
}

fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|file| file.ends_with(".rs"));
    rust.map(|file| (fs::read_to_string(workspace().join(&file)).unwrap(), file))
        .map(|(t, f)| (f, t))
        .collect()
}

/// The names in one table of a manifest.
fn dependencies(manifest: &str, table: &str) -> Vec<String> {
    let rest = manifest.split(&format!("[{table}]\n")).nth(1).unwrap_or("");
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn imports_run_downward_only() {
    let manifests: BTreeMap<_, _> = MAY_IMPORT
        .iter()
        .map(|(folder, allowed)| {
            let text = fs::read_to_string(workspace().join(folder).join("Cargo.toml")).unwrap();
            (*folder, (text, *allowed))
        })
        .collect();
    let names = [
        "protocol",
        "storage",
        "networks",
        "frozen",
        "work",
        "datasets",
        "rounds",
        "transfer",
        "workloads",
        "trainer",
        "setup",
        "data-prep",
        "local-cloud",
        "terminal",
    ];
    for (folder, (text, allowed)) in manifests {
        let found = dependencies(&text, "dependencies");
        assert!(folder == "setup/terminal" || !found.is_empty(), "{folder}: no dependencies were read");
        for name in found.iter().filter(|name| names.contains(&name.as_str())) {
            assert!(allowed.contains(&name.as_str()), "{folder} imports {name}, which is not below it");
        }
    }
}

#[test]
fn burn_is_named_in_transfer_only() {
    for file in files().into_iter().filter(|file| file.ends_with("Cargo.toml") && file != "Cargo.toml") {
        let text = fs::read_to_string(workspace().join(&file)).unwrap();
        let burn = text.lines().any(|line| line.starts_with("burn"));
        assert!(!burn || file == "trainer/workloads/transfer/Cargo.toml", "{file} depends on burn");
    }
}

#[test]
fn every_file_says_what_it_is_and_is_one_idea_long() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not open with a //! sentence");
        let lines = text.lines().count();
        assert!(lines <= 400, "{file} has {lines} lines; at most 400 are allowed");
    }
}

#[test]
fn unsafe_stands_where_it_is_fenced_in() {
    for (file, text) in sources() {
        let used = text.lines().any(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        let allowed = MAY_BE_UNSAFE.iter().any(|place| file.starts_with(place));
        assert!(!used || allowed || file == "tests/tidy.rs", "{file} says unsafe");
    }
}

/// A failed look is no absence: on the shared file system a name is opened or looked at, and the error says why not.
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
fn nothing_names_this_machine() {
    let here = workspace().canonicalize().unwrap();
    let parent = format!("{}/", here.parent().unwrap().display());
    let home = std::env::var("HOME").map(|home| format!("{home}/")).unwrap_or(parent.clone());
    for file in files() {
        let bytes = fs::read(workspace().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for place in [&parent, &home].into_iter().filter(|place| place.len() > 2) {
            // A path begins there; `trainer/work/src` in a folder `/work` is none.
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
