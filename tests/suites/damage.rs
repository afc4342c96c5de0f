//! Damage at rest. One changed byte in any file of a run, a data set or weights is either repaired, so that
//! the answer is the same to the last bit, or refused with the file's name. It is never used.
//!
//! ```text
//! BATON_DAMAGE=100 cargo test --release -p tests --test damage          this many bytes of each file
//! BATON_DAMAGE_SEED=7 cargo test --release -p tests --test damage       others
//! ```

#[path = "damage/driver.rs"]
mod driver;

use datasets::images::{Dataset, Manifest};
use driver::{Driver, Outcome, Pending};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use storage::{FeatureManifest, Root};
use tests::World;
use tests::tree::tree;
use transfer::predict::Predictor;
use transfer::weights::open_installed;

/// Bytes that are changed in each file, each in a run of its own, unless `BATON_DAMAGE` is set.
const BYTES: u64 = 2;
/// Runs that continue at the same time.
const AT_ONCE: usize = 8;

fn from_environment(key: &str, otherwise: u64) -> u64 {
    std::env::var(key).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

/// A run that is stopped somewhere: all its files, and the events on their way.
struct Stand {
    name: &'static str,
    files: BTreeMap<String, Vec<u8>>,
    pending: Pending,
}

/// Two workers, a head of two layers, rounds of several steps: legs can be cut everywhere.
fn start() -> Value {
    json!({"start": true, "run": "run", "workers": 2, "force": true, "job": {
        "dataset": "patterns", "network": "baton_small", "image_size": 48, "unit_images": 8, "rounds": 3,
        "epochs_per_round": 40, "batch": 16, "head": {"kind": "mlp", "hidden": 64}, "learning_rate": 0.02,
        "seed": 3,
    }})
}

fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// The places where a run is stopped, and the model that it ends with.
fn stands(world: &World) -> (Vec<Stand>, Outcome) {
    let mut driver = Driver::new(world.root(), Pending::new());
    driver.send(&start());
    let stand = |name, driver: &Driver| Stand { name, files: tree(world.root()), pending: driver.pending() };
    let mut stands = vec![stand("before the start", &driver)];
    driver.step();
    // A leg with almost no time ends after its first step, with its place saved.
    driver.time_ms = 300;
    driver.step();
    let worker = driver.ledger().expect("a ledger").workers[0].clone();
    assert!(worker.place.is_some() && worker.result.is_none(), "no place in the features stage");
    stands.push(stand("in the features stage", &driver));
    driver.time_ms = 900_000;
    step_until(&mut driver, |ledger| ledger.stage == 0 && ledger.all_done());
    stands.push(stand("before the features are combined", &driver));
    step_until(&mut driver, |ledger| ledger.stage == 2);
    driver.time_ms = 300;
    driver.step();
    let worker = driver.ledger().expect("a ledger").workers[0].clone();
    assert!(worker.place.is_some() && worker.result.is_none(), "no place in a round");
    stands.push(stand("in round 2", &driver));
    driver.time_ms = 900_000;
    step_until(&mut driver, |ledger| ledger.stage == 2 && ledger.all_done());
    stands.push(stand("before round 2 is combined", &driver));
    let outcome = driver.outcome(&start());
    let (runs, rest): (BTreeMap<_, _>, _) =
        tree(world.root()).into_iter().partition(|(name, _)| name.starts_with("runs/"));
    let begin: Pending = [start().to_string().into_bytes()].into();
    stands.push(Stand {
        name: "another run with the features there",
        files: rest.clone(),
        pending: begin.clone(),
    });
    stands.push(Stand {
        name: "after the end",
        files: rest.into_iter().chain(runs).collect(),
        pending: begin,
    });
    (stands, outcome)
}

fn step_until(driver: &mut Driver, there: impl Fn(&protocol::Ledger) -> bool) {
    while !there(&driver.ledger().expect("a ledger")) {
        assert!(driver.step(), "the run stands still");
    }
}

fn lay(files: &BTreeMap<String, Vec<u8>>, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    // The folders that a run needs besides files.
    for name in ["runs/run/model", "runs/run/combined"] {
        if folder.join("runs/run").is_dir() {
            fs::create_dir_all(folder.join(name)).expect("a folder");
        }
    }
}

/// Bytes of a file: its first, its last, and others that the seed chooses.
fn bytes_of(seed: u64, name: &str, length: usize, count: u64) -> Vec<(usize, u8)> {
    let hash = |number: u64| twox_hash::XxHash3_64::oneshot_with_seed(seed ^ number << 32, name.as_bytes());
    let place = |number: u64| match number {
        0 => 0,
        1 => length - 1,
        _ => (hash(number) % length as u64) as usize,
    };
    // If there are two bytes, one is at an end and one anywhere.
    let from = if count < 3 { 1 } else { 0 };
    (from..from + count).map(|n| (place(n), 1 << (hash(n + 1_000) % 8))).collect()
}

/// The allowed results of damage in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Allowed {
    /// Only the same model: it is made again.
    MadeGood,
    /// Only its name.
    Refused,
    /// Either.
    Either,
}

/// The result that the design promises for a file at a stand.
fn allowed(stand: &str, name: &str) -> Allowed {
    let first = stand == "before the start";
    match name {
        name if name.ends_with("features.json") || name.contains("/combined/") => Allowed::Either,
        name if name.starts_with("features/") || name.contains("/stages/") => Allowed::MadeGood,
        name if first && name.starts_with("weights/") => Allowed::Refused,
        // Images' names are for people: training never reads them.
        name if name.starts_with("datasets/") && name.contains("-names-") => Allowed::Either,
        name if first && name.starts_with("datasets/") => Allowed::Refused,
        _ => Allowed::Either,
    }
}

/// Checks one outcome; `true` if the damage was repaired.
fn judge(what: &str, name: &str, allowed: Allowed, calm: &Outcome, found: &Outcome) -> bool {
    let same = found == calm;
    match (found, allowed) {
        (Outcome::Model(_), _) => assert!(same, "{what}: ANOTHER MODEL: the damage was used"),
        (Outcome::Said(words), _) => {
            let last = name.rsplit('/').next().unwrap_or(name);
            assert!(words.contains(last), "{what}: nothing of {last} in: {words}");
        }
    }
    assert!(allowed != Allowed::MadeGood || same, "{what}: not made good: {found:?}");
    assert!(allowed != Allowed::Refused || !same, "{what}: taken for whole");
    same
}

#[test]
fn one_changed_byte_in_any_file_of_a_run_is_made_good_or_named() {
    let (seed, count) = (from_environment("BATON_DAMAGE_SEED", 1), from_environment("BATON_DAMAGE", BYTES));
    let world = World::new_in(&place(), 4);
    let (stands, calm) = stands(&world);
    assert!(matches!(calm, Outcome::Model(_)), "{calm:?}");
    for stand in &stands {
        // The readers of a model are tested below.
        let read = |name: &str| stand.name != "after the end" || !name.contains("/model/");
        let files = stand.files.iter().filter(|(name, _)| read(name));
        let bytes = files.flat_map(|(name, bytes)| {
            bytes_of(seed, name, bytes.len(), count).into_iter().map(move |(at, bit)| (name, at, bit))
        });
        let bytes: Vec<(&String, usize, u8)> = bytes.collect();
        let made_good = AtomicUsize::new(0);
        at_once(&bytes, |&(name, at, bit)| {
            let what = format!("seed {seed}: {}, byte {at} of {name}, bit {bit}", stand.name);
            let found = outcome_of_damage(stand, name, at, bit);
            let same = judge(&what, name, allowed(stand.name, name), &calm, &found);
            made_good.fetch_add(usize::from(same), Relaxed);
        });
        let (made_good, all) = (made_good.into_inner(), bytes.len());
        let named = all - made_good;
        println!("{:38} {made_good} times the same model, {named} times the file's name", stand.name);
    }
}

/// The outcome of a run that continues from a stand with a changed byte.
fn outcome_of_damage(stand: &Stand, name: &str, at: usize, bit: u8) -> Outcome {
    let folder = tempfile::tempdir_in(place()).expect("a folder");
    let mut files = stand.files.clone();
    files.get_mut(name).expect("the file")[at] ^= bit;
    lay(&files, folder.path());
    Driver::new(folder.path(), stand.pending.clone()).outcome(&start())
}

/// Does something with each of many, some at a time: a damaged run mostly waits.
fn at_once<T: Sync>(many: &[T], f: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = many.get(next.fetch_add(1, Relaxed)) {
                    f(one);
                }
            });
        }
    });
}

/// Reads a file, and checks that the error names it.
fn refused(file: &str, read: impl Fn() -> Result<(), String>, what: &str) {
    match read() {
        Ok(()) => panic!("{what}: taken for whole"),
        Err(words) => assert!(words.contains(file), "{what}: nothing of {file} in: {words}"),
    }
}

/// Changes each byte of a file in turn, and reads it.
fn every_byte(path: &Path, read: impl Fn() -> Result<(), String>) {
    let whole = fs::read(path).expect("a file");
    read().unwrap_or_else(|words| panic!("{} is whole: {words}", path.display()));
    let file = path.file_name().expect("a name").to_string_lossy();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(path, damaged).expect("a file");
        refused(&file, &read, &format!("byte {at} of {}", path.display()));
    }
    fs::write(path, whole).expect("a file");
    println!("{file}: each of {} bytes", fs::metadata(path).expect("a file").len());
}

fn words<T>(result: Result<T, impl ToString>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

#[test]
fn each_byte_of_each_description_is_guarded() {
    let world = World::new_in(&place(), 4);
    let (_, calm) = stands(&world);
    assert!(matches!(calm, Outcome::Model(_)), "{calm:?}");
    let root = Root::open(world.root()).expect("a root");
    let dataset = root.dataset("patterns").expect("a name");
    every_byte(&dataset.join("dataset.json"), || words(Manifest::read(&dataset)));
    let weights = root.weights("baton_small").expect("a name");
    every_byte(&weights.join("weights.json"), || words(open_installed(&weights)));
    let store = fs::read_dir(world.root().join("features")).expect("features").next().expect("a store");
    let store = store.expect("a store").path();
    every_byte(&store.join("features.json"), || words(FeatureManifest::open(&store)));
    let run = protocol::RunId::new("run").expect("an id");
    let model = root.run(&run).model();
    every_byte(&model.join("model.json"), || words(transfer::model::Model::open(&model)));
}

#[test]
fn a_model_with_a_changed_byte_predicts_nothing() {
    let (seed, count) = (from_environment("BATON_DAMAGE_SEED", 1), from_environment("BATON_DAMAGE", 40));
    let world = World::new_in(&place(), 4);
    let (_, calm) = stands(&world);
    assert!(matches!(calm, Outcome::Model(_)), "{calm:?}");
    let run = protocol::RunId::new("run").expect("an id");
    for (name, bytes) in tree(world.root()) {
        let is_head = name.contains("/model/head-");
        if !is_head && !name.starts_with("weights/") && !name.starts_with("datasets/patterns/val-") {
            continue;
        }
        for (at, bit) in bytes_of(seed, &name, bytes.len(), if is_head { count } else { count.min(5) }) {
            // Another folder each time: a process does not check the same weights twice.
            let folder = tempfile::tempdir_in(place()).expect("a folder");
            let mut files = tree(world.root());
            files.get_mut(&name).expect("the file")[at] ^= bit;
            lay(&files, folder.path());
            let root = Root::open(folder.path()).expect("a root");
            let predict = || -> Result<(), String> {
                let mut predictor = Predictor::open(&root, &run, 1).map_err(|error| error.to_string())?;
                let dataset = root.dataset("patterns").and_then(Dataset::open).map_err(|e| e.to_string())?;
                let split = dataset.split("val").map_err(|error| error.to_string())?;
                words(split.name(0))?;
                words(predictor.evaluate(split, |_| ()))
            };
            let last = name.rsplit('/').next().unwrap_or(&name);
            refused(last, predict, &format!("seed {seed}: byte {at} of {name}, bit {bit}"));
        }
    }
}
