//! A committed list of checksums: compares it with the models of this tree, or writes it again.

use std::path::{Path, PathBuf};
use std::{env, fs};
use tests::binary;

const SWITCH: &str = "BATON_SAME_MODELS";
const COMMAND: &str = "cargo build --release && \
    BATON_SAME_MODELS=write cargo test --release -p tests --test same_models";

/// The lines that were found, one for each file of a model.
pub(crate) struct List {
    name: String,
    lines: Vec<String>,
}

impl List {
    /// The list of a source of data, for CPUs that round in the same way.
    pub(crate) fn of(source: &str, rounding: &str) -> List {
        List { name: format!("{source}-{rounding}"), lines: Vec::new() }
    }

    /// Adds the files of a model.
    pub(crate) fn add(&mut self, job: &str, files: Vec<String>) {
        self.lines.extend(files.into_iter().map(|file| format!("{job} {file}")));
    }

    /// Compares the lines with the committed list, or writes them in its place.
    pub(crate) fn check(self) {
        let List { name, lines } = self;
        let path = folder().join(format!("{name}.txt"));
        match env::var(SWITCH).as_deref() {
            Ok("write") => {
                let head = format!("# Job, file of its model, XXH3-128, score. Made by: {COMMAND}");
                fs::create_dir_all(folder()).unwrap();
                fs::write(&path, format!("{head}\n{}\n", lines.join("\n"))).unwrap();
                return println!("{}: {} files of models written", path.display(), lines.len());
            }
            Ok(other) => panic!("{SWITCH}: found {other:?}, expected `write` or nothing"),
            Err(_) => {}
        }
        let Ok(text) = fs::read_to_string(&path) else {
            return println!(
                "SKIPPED: same_models: no list {name} is committed for the way in which this CPU rounds. \
                 On a tree whose models are right, `{COMMAND}` makes one"
            );
        };
        let listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let missing = listed.iter().filter(|line| !lines.iter().any(|found| found == *line));
        let new = lines.iter().filter(|line| !listed.contains(&line.as_str()));
        let mut moved: Vec<String> = missing.map(|line| format!("- {line}")).collect();
        moved.extend(new.map(|line| format!("+ {line}")));
        moved.sort_by(|a, b| a[2..].split(' ').take(1).cmp(b[2..].split(' ').take(1)));
        assert!(
            moved.is_empty(),
            "other models than those of {} (- listed, + found):\n{}\nThe bits of a model are a promise. \
             If they are to move, make the list anew and say why in the commit: {COMMAND}",
            path.display(),
            moved.join("\n")
        );
        println!("{name}: {} files of models are what they were", lines.len());
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/same_models")
}

/// How this CPU rounds, by the name in the key of a feature store.
pub(crate) fn rounding() -> &'static str {
    match burns_instructions() {
        "avx512" => "avx2", // the same bits
        other => other,
    }
}

/// The vector instructions that burn finds on this CPU.
pub(crate) fn burns_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return if is_x86_feature_detected!("avx512f") { "avx512" } else { "avx2" };
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "portable" }
}

/// Fails if a source is newer than a program that was built from it: the test would judge another tree.
pub(crate) fn programs_are_built() {
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    for name in ["baton", "trainer", "data-prep"] {
        let program = binary(name);
        let made = time(&program).expect("the program's time");
        let sources =
            fs::read_to_string(program.with_extension("d")).expect("the sources of a program, from cargo");
        for source in sources.split_once(": ").map_or("", |(_, sources)| sources).split_whitespace() {
            let old = time(Path::new(source)).is_ok_and(|changed| changed <= made);
            assert!(old, "{} is older than {source}: run `cargo build --release` first", program.display());
        }
    }
}
