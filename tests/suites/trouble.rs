//! The real trainer on a file system in trouble, in the local cloud: calls are refused, cut short or delayed.
//!
//! A run ends with the bytes of a run without faults, or with a reason that is one of the refusals. Once the
//! trouble is over, the same command makes the same bytes.
//!
//! ```text
//! BATON_TROUBLE=1000 cargo test --release -p tests --test trouble -- --nocapture            this many runs
//! BATON_TROUBLE=1 BATON_SEED=7 cargo test --release -p tests --test trouble -- --nocapture  one run again
//! ```

#[path = "trouble/shim.rs"]
mod shim;

use fastrand::Rng;
use protocol::{Event, Job, Reason};
use serde_json::json;
use setup::local::Outcome;
use shim::Trouble;
use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tests::World;

/// Runs without a number in `BATON_TROUBLE`, and runs at the same time.
const RUNS: u64 = 50;
const LANES: usize = 4;
const LEG: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);
/// A run that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(240);
const RUN: &str = "trouble";

/// The errnos of refused calls, each alone or all of them: EINTR, EIO, ENOMEM, EACCES, ESTALE.
const ERRNOS: [(i32, &str); 5] = [
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (116, "Stale file handle"),
];

type Model = Vec<(String, Vec<u8>)>;

/// The result of one run.
#[derive(Default)]
struct Seen {
    refusals: usize,
    /// It did not come to its end while there was trouble.
    failed: bool,
    wrong: Option<String>,
}

#[test]
fn a_run_in_trouble_gives_the_calm_ones_bytes_or_a_true_reason() {
    let scratch = tempfile::tempdir_in(memory()).expect("a temporary folder");
    let Some(library) = shim::library(scratch.path()) else { return };
    let seed = match env::var("BATON_SEED") {
        Ok(seed) => seed.parse().expect("BATON_SEED: a whole number"),
        // Always the same faults, so that a red test is caused by the change; choose other seeds by hand.
        Err(_) => 57_271,
    };
    let runs = env::var("BATON_TROUBLE").map_or(RUNS, |runs| runs.parse().expect("BATON_TROUBLE: a number"));
    println!("seed {seed}");
    let (next, all) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    let seen = weather(&library, seed + number);
                    all.lock().expect("no panic").push(seen);
                }
            });
        }
    });
    let all = all.into_inner().expect("no panic");
    let wrong: Vec<&String> = all.iter().filter_map(|seen| seen.wrong.as_ref()).collect();
    let refusals: usize = all.iter().map(|seen| seen.refusals).sum();
    println!(
        "{} runs, {refusals} calls refused, {} runs gave up and said why, {} went wrong",
        all.len(),
        all.iter().filter(|seen| seen.failed).count(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(refusals > all.len(), "too few calls were refused: the test shows nothing");
}

/// One run in trouble, and the same command once it is over.
fn weather(library: &Path, seed: u64) -> Seen {
    let mut numbers = Rng::with_seed(seed);
    let agree = ["average", "gradient"][numbers.usize(..2)];
    let one = numbers.usize(..2 * ERRNOS.len());
    let trouble = Trouble {
        seed,
        errnos: ERRNOS
            .iter()
            .enumerate()
            .filter(|(n, _)| one == *n || one >= ERRNOS.len())
            .map(|(_, e)| e.0)
            .collect(),
        refuse: [1_000, 3_000, 10_000, 30_000][numbers.usize(..4)],
        cut: [0, 200_000][numbers.usize(..2)],
        hold: [0, 0, 10_000][numbers.usize(..3)],
    };
    let world = World::new_in(&memory(), 16);
    let state = tempfile::tempdir_in(memory()).expect("a temporary folder");
    let trainer = shim::trainer(library, state.path(), world.root(), &trouble);
    let in_trouble = carry_out(&world, Some(trainer), RUN, agree);
    let refusals = shim::refusals(state.path());
    let mut seen = Seen { refusals: refusals.len(), ..Seen::default() };
    let again = match in_trouble {
        Ok(Outcome { ledger, .. }) => match ledger.ending.map(|ending| (ending.why, ending.model)) {
            Some((Reason::Rounds, _)) => RUN,
            // A run that was given up without a model continues from where it stopped.
            Some((Reason::GaveUp(why), None)) if is_true(&why, &trouble) => {
                seen.failed = true;
                RUN
            }
            Some((Reason::Failed(why) | Reason::GaveUp(why), _)) if is_true(&why, &trouble) => {
                seen.failed = true;
                "afterwards"
            }
            other => return seen.went_wrong(&trouble, &format!("it ended for no true reason: {other:?}")),
        },
        Err(why) if is_true(&why, &trouble) => {
            seen.failed = true;
            RUN
        }
        Err(why) => return seen.went_wrong(&trouble, &why),
    };
    println!("{trouble:?}: {} refused, {}", refusals.len(), if seen.failed { "given up" } else { "ended" });
    match carry_out(&world, None, again, agree) {
        Err(why) => seen.went_wrong(&trouble, &format!("the same command afterwards: {why}")),
        Ok(_) if world.model(again) != calm(agree) => seen.went_wrong(&trouble, "it gave another model"),
        Ok(_) => seen,
    }
}

impl Seen {
    fn went_wrong(self, trouble: &Trouble, why: &str) -> Seen {
        let again = "cargo test --release -p tests --test trouble -- --nocapture";
        let wrong =
            format!("{trouble:?}: {why}\n  again: BATON_TROUBLE=1 BATON_SEED={} {again}", trouble.seed);
        Seen { wrong: Some(wrong), ..self }
    }
}

/// Whether a reason names a refusal, and calls nothing damaged.
fn is_true(why: &str, trouble: &Trouble) -> bool {
    let named = ERRNOS.iter().any(|(errno, words)| trouble.errnos.contains(errno) && why.contains(words));
    named && !why.contains("damaged")
}

fn job(world: &World, agree: &str) -> Job {
    world.job(json!({"agree": agree, "rounds": 3, "unit_images": 16}))
}

/// A folder in memory, if there is one: an fsync on a busy disk takes a third of a second.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { env::temp_dir() }
}

fn carry_out(world: &World, trainer: Option<PathBuf>, run: &str, agree: &str) -> Result<Outcome, String> {
    let mut local = world.local();
    (local.time_limit, local.tick, local.concurrency) = (LEG, TICK, Some(2));
    if trainer.is_some() {
        local.function.trainer = trainer;
    }
    let start = json!({"start": true, "run": run, "workers": 2, "job": job(world, agree), "force": true});
    let start = Event::from_value(start).expect("a start event");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(STUCK, local.carry_out(start)).await });
    let ended = ended.map_err(|_| format!("it did not end within {STUCK:?}"))?;
    ended.map_err(|failure| failure.to_string())
}

/// The model of a run without trouble, computed once.
fn calm(agree: &str) -> Model {
    static CALM: Mutex<BTreeMap<String, Model>> = Mutex::new(BTreeMap::new());
    let mut calm = CALM.lock().expect("no panic");
    let model = calm.entry(agree.to_owned()).or_insert_with(|| {
        let world = World::new_in(&memory(), 16);
        carry_out(&world, None, RUN, agree).expect("a calm run");
        world.model(RUN)
    });
    assert_eq!(model.len(), 2, "a model and its head");
    model.clone()
}
