//! The power fails while a run goes on: a real file system, and all that was not on its disk is gone.
//!
//! Each cut is a copy of the disk at one moment. Facts that were recorded before it are there afterwards, and
//! the same command ends with the bytes of a run without a cut.
//!
//! ```sh
//! cargo test --release -p tests --test power_cuts -- --nocapture
//! BATON_CUTS=65 BATON_SEED=7 cargo test --release -p tests --test power_cuts -- --nocapture
//! ```

#[path = "power_cuts/disk.rs"]
mod disk;

use disk::Disk;
use fastrand::Rng;
use protocol::{Event, Job, Reason};
use serde_json::json;
use setup::local::{Local, Outcome};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::{World, binary, ledger, model};

const RUN: &str = "cut";
const LEG: Duration = Duration::from_secs(3);
/// The longest time between two cuts, in milliseconds.
const PAUSE_MS: u64 = 250;
/// A run that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(240);

fn number(key: &str, otherwise: usize) -> usize {
    std::env::var(key)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{key}={text}: no number")))
}

#[test]
fn a_power_cut_loses_no_fact_and_changes_no_model() {
    let (seed, cuts) = (number("BATON_SEED", 7), number("BATON_CUTS", 8));
    println!("seed {seed}");
    let mut disk = match Disk::mount(&memory()) {
        Ok(disk) => disk,
        Err(why) => return println!("SKIPPED: power_cuts: a disk of its own cannot be made here: {why}"),
    };
    let world = World::new_in(&disk.root(), 16);
    let job = world.job(json!({"rounds": 16 * cuts, "unit_images": 8}));
    let calm = World::new_in(&memory(), 16);
    carry_out(calm.root(), &job);
    let seen = cut_while_it_runs(&disk, world.root(), &job, cuts, &mut Rng::with_seed(seed as u64));
    let model_of = |root: &Path| model(root, RUN);
    assert!(model_of(world.root()) == model_of(calm.root()), "the disk shows in the model");
    let name = world.root().file_name().expect("a name").to_owned();
    let mut unfinished = 0;
    for (number, before) in seen.iter().enumerate() {
        let root = disk.after_cut(number).join(&name);
        let after = recorded(&root);
        let (found, expected) = (after.len(), before.len());
        assert!(after.starts_with(before), "cut {number} lost facts: {found} bytes of {expected} are there");
        let over = expected > 0 && ledger(&root, RUN).ending.is_some();
        unfinished += usize::from(!over);
        let outcome = carry_out(&root, &job);
        let why = outcome.ledger.ending.map(|ending| ending.why);
        assert_eq!(why, Some(Reason::Rounds), "cut {number}");
        assert!(model_of(&root) == model_of(calm.root()), "cut {number} shows in the model");
    }
    println!("{} power cuts, {unfinished} of them before the end", seen.len());
    assert!(unfinished * 2 > cuts, "too few cuts came before the end: the test shows nothing");
}

/// Cuts the power again and again; returns the bytes of the ledger before each cut.
fn cut_while_it_runs(disk: &Disk, root: &Path, job: &Job, cuts: usize, random: &mut Rng) -> Vec<Vec<u8>> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            carry_out(root, job);
            ended.store(true, Ordering::Relaxed);
        });
        let mut seen = Vec::new();
        while seen.len() < cuts && !ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(random.u64(..PAUSE_MS)));
            let known = recorded(root);
            // Every second cut comes at once after a fact.
            while seen.len() % 2 == 0 && recorded(root) == known && !ended.load(Ordering::Relaxed) {}
            seen.push(recorded(root));
            disk.cut(seen.len() - 1);
        }
        seen
    })
}

/// The bytes of the run's ledger, read under its lock: all of them are durable by then. Nothing is written,
/// because that would make durable what a writer has forgotten.
fn recorded(root: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(root.join("runs").join(RUN).join("ledger")) {
        file.lock().expect("its lock");
        file.read_to_end(&mut bytes).expect("its bytes");
    }
    bytes
}

fn carry_out(root: &Path, job: &Job) -> Outcome {
    let mut local = Local::new(root);
    (local.time_limit, local.concurrency) = (LEG, Some(2));
    local.function.trainer = Some(binary("trainer"));
    let start = json!({"start": true, "run": RUN, "workers": 2, "job": job, "force": true});
    let start = Event::from_value(start).expect("a start event");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(STUCK, local.carry_out(start)).await });
    ended.expect("it ends").unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

/// A folder in memory, if there is one: this disk has no cache that hides what was not written.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
