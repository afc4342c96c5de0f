//! Shared by the tests across crates: a small shared folder with real data and weights, and a run in it.

pub mod tree;

use data_prep::generate::{ClassSet, Generated};
use data_prep::{Options, Source, prepare};
use protocol::{Event, Fact, Job, Ledger, RunId};
use serde_json::{Value, json};
use setup::local::{Local, Outcome};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use storage::{FactLog, Root};

/// A folder that stands for EFS, with a generated data set and the small network's weights.
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// A world with `per_class` training images in each of ten classes, and half as many to validate.
    pub fn new(per_class: u32) -> World {
        World::new_in(&std::env::temp_dir(), per_class)
    }

    /// As [`World::new`], in a folder of its own in `place`.
    pub fn new_in(place: &Path, per_class: u32) -> World {
        let folder = tempfile::tempdir_in(place).expect("a temporary folder");
        let options = Options::new(folder.path().join("datasets/patterns"));
        let generated = Generated {
            classes: ClassSet::Novel,
            per_class,
            val_per_class: per_class / 2,
            size: 48,
            seed: 5,
        };
        prepare(&Source::Generate(generated), &options, &|_| ()).expect("the data set");
        setup::assets::install_baton_small(folder.path()).expect("the weights");
        World { folder }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a small picture, an uncompressed BMP.
    pub fn picture(path: &Path) {
        let rgb = ClassSet::Novel.draw(1, 1, 16, 1);
        let mut file = b"BM".to_vec();
        for word in [54 + 16 * 16 * 3, 0, 54, 40, 16, 16, 1 | 24 << 16, 0, 16 * 16 * 3, 2835, 2835, 0, 0_u32]
        {
            file.extend(word.to_le_bytes());
        }
        file.extend(rgb);
        std::fs::write(path, file).expect("a picture");
    }

    /// A local cloud on this folder.
    pub fn local(&self) -> Local {
        let mut local = Local::new(self.root());
        local.function.trainer = Some(binary("trainer"));
        local
    }

    /// Writes a job that trains a head on the data set, with some keys changed.
    pub fn job(&self, changes: Value) -> Job {
        let mut job = json!({
            "dataset": "patterns", "network": "baton_small", "image_size": 48, "rounds": 4, "batch": 16,
            "unit_images": 16, "learning_rate": 0.05, "seed": 3,
        });
        for (key, value) in changes.as_object().expect("an object") {
            job[key] = value.clone();
        }
        Job::from_value(job).expect("a job")
    }

    /// Runs a job to its end.
    pub fn run(&self, local: &Local, run: &str, workers: u32, job: &Job) -> Outcome {
        let start = json!({"start": true, "run": run, "workers": workers, "job": job, "force": true});
        let event = Event::from_value(start).expect("a start event");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(local.carry_out(event)).unwrap_or_else(|error| panic!("run {run}: {error}"))
    }

    /// All facts of a run.
    pub fn facts(&self, run: &str) -> Vec<Fact> {
        facts(self.root(), run)
    }

    /// The ledger of a run.
    pub fn ledger(&self, run: &str) -> Ledger {
        ledger(self.root(), run)
    }

    /// The bytes of a run's model; see [`model`].
    pub fn model(&self, run: &str) -> Vec<(String, Vec<u8>)> {
        model(self.root(), run)
    }

    /// Forgets all features, so that the next run computes them again.
    pub fn forget_features(&self) {
        let _ = std::fs::remove_dir_all(self.root().join("features"));
    }
}

/// All facts of a run below this root.
pub fn facts(root: &Path, run: &str) -> Vec<Fact> {
    let root = Root::open(root).expect("the root");
    let log = FactLog::open(root.run(&RunId::new(run).expect("an id")).ledger()).expect("the ledger");
    log.read(Duration::from_secs(10)).expect("the facts")
}

/// The ledger of a run below this root.
pub fn ledger(root: &Path, run: &str) -> Ledger {
    Ledger::fold(facts(root, run)).expect("a sound ledger").expect("a ledger")
}

/// The bytes of the model of a run below this root, all its files in order of their names, except for files
/// that a killed process had only begun to write: their names begin with a dot.
pub fn model(root: &Path, run: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root.join("runs").join(run).join("model");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut files: Vec<_> = paths.map(|p| (name(&p), std::fs::read(&p).expect("a file"))).collect();
    files.retain(|(name, _)| !name.starts_with('.'));
    files.sort();
    files
}

/// A binary of this workspace, built in the same profile as the tests.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this test's path");
    let folder = here.parent().and_then(Path::parent).expect("the target folder");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: run `cargo build --release` first, as tests/run does",
        path.display()
    );
    path
}

/// Runs a command of `baton` to its end.
pub fn baton(arguments: &[&str]) -> Output {
    Command::new(binary("baton")).args(arguments).output().expect("baton runs")
}

/// The output of a command that succeeds.
pub fn stdout(arguments: &[&str]) -> String {
    let output = baton(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The folder of real data and weights, if it exists; prints a note otherwise.
pub fn real_data(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("BATON_DATA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {test}: no real data; put it where BATON_DATA says, or in ../shared/data");
    None
}
