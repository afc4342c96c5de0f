//! Real processes under fire: the real trainer in the local cloud, with kills, freezes, lost and doubled
//! events, throttling, a full disk and a dead table. Every run ends with the model of a run without faults.
//!
//! ```text
//! BATON_CHAOS_SECONDS=900 cargo test --release -p tests --test chaos -- --nocapture     for longer
//! BATON_SEED=7 BATON_STORM=kills cargo test --release -p tests --test chaos -- --nocapture     one run again
//! ```

#[path = "chaos/disk.rs"]
mod disk;
#[path = "chaos/loss.rs"]
mod loss;

use disk::{Filler, SmallDisk};
use fastrand::Rng;
use local_cloud::{Counts, Faults, TableFault};
use protocol::{Event, Job, Reason};
use serde_json::json;
use setup::local::Outcome;
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::World;

/// Runs at the same time; most of the time they wait for a retry or a tick.
const LANES: u64 = 4;
/// Time limit of an invocation, and the tick.
const LEG: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_secs(1);
/// A run that takes longer is stuck; a run without faults takes some seconds.
const STUCK: Duration = Duration::from_secs(300);
/// The run's id in each world.
const RUN: &str = "storm";

type Model = Vec<(String, Vec<u8>)>;

/// One kind of storm.
struct Storm {
    name: &'static str,
    rounds: u32,
    /// The side of the images: with 160 pixels a leg of the features takes about a second, with 48 a tenth.
    image: u32,
    faults: fn(&mut Rng) -> Faults,
}

/// The storm in which the disk is small and full now and then.
const FULL_DISK: &str = "full-disk";

const STORMS: [Storm; 8] = [
    Storm { name: "kills", rounds: 24, image: 48, faults: |n| kills(n, 0.4) },
    Storm { name: "freezes", rounds: 4, image: 160, faults: freezes },
    Storm { name: "queue", rounds: 5, image: 48, faults: queue },
    Storm { name: "kills-of-slow-legs", rounds: 2, image: 160, faults: slow_kills },
    Storm { name: "table-fails", rounds: 4, image: 48, faults: |n| table(n, TableFault::Fail) },
    Storm { name: "table-hangs", rounds: 2, image: 48, faults: |n| table(n, TableFault::Hang) },
    Storm { name: "table-unreachable", rounds: 4, image: 48, faults: |n| table(n, TableFault::Unreachable) },
    Storm { name: FULL_DISK, rounds: 12, image: 160, faults: |n| kills(n, 0.05) },
];

fn table(numbers: &mut Rng, table: TableFault) -> Faults {
    Faults { table, ..kills(numbers, 0.2) }
}

fn kills(numbers: &mut Rng, kill: f64) -> Faults {
    let kill_ms = [20, 40, 80][numbers.usize(..3)];
    Faults { kill, kill_ms, ..Faults::default() }
}

/// Kills in the features stage, whose legs take about a second.
fn slow_kills(_: &mut Rng) -> Faults {
    Faults { kill: 0.5, kill_ms: 1_500, ..Faults::default() }
}

fn freezes(numbers: &mut Rng) -> Faults {
    let freeze_ms = [30, 100, 800][numbers.usize(..3)];
    Faults { freeze: 0.2, freeze_ms, thaw_ms: 2_500, kill: 0.05, kill_ms: 100, ..Faults::default() }
}

fn queue(_: &mut Rng) -> Faults {
    Faults {
        duplicate: 0.2,
        drop: 0.08,
        delay: 0.3,
        delay_ms: 500,
        throttle: 0.15,
        lose_reply: 0.15,
        recycle: 0.2,
        kill: 0.1,
        kill_ms: 40,
        ..Faults::default()
    }
}

/// The result of one run.
#[derive(Default)]
struct Seen {
    counts: Counts,
    kills: usize,
    filled: u64,
    lost_ms: Vec<u64>,
    wrong: Option<String>,
}

/// How long the storms continue if too little has gone wrong.
const ENOUGH: Duration = Duration::from_secs(120);

#[test]
fn every_run_ends_with_the_model_of_a_calm_one() {
    let seed = match env::var("BATON_SEED") {
        Ok(seed) => seed.parse().expect("BATON_SEED: a whole number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() % 100_000),
    };
    let seconds = env::var("BATON_CHAOS_SECONDS").map_or(0, |s| s.parse().expect("BATON_CHAOS_SECONDS"));
    let storms: Vec<&Storm> =
        STORMS.iter().filter(|s| env::var("BATON_STORM").is_ok_and(|n| n == s.name)).collect();
    let storms = if storms.is_empty() { STORMS.iter().collect() } else { storms };
    println!("seed {seed}");
    let (begun, next, all) = (Instant::now(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let shown = storms.len() < STORMS.len()
                        || begun.elapsed() > ENOUGH
                        || shows_something(&all.lock().unwrap());
                    if number >= storms.len() && begun.elapsed() >= Duration::from_secs(seconds) && shown {
                        return;
                    }
                    let seen = weather(storms[number % storms.len()], seed + number as u64);
                    all.lock().unwrap().push(seen);
                }
            });
        }
    });
    conclude(&all.into_inner().unwrap(), &storms);
}

/// One run in one storm, from its start to its model; prints a line about it.
fn weather(storm: &Storm, seed: u64) -> Seen {
    let (mut numbers, begun) = (Rng::with_seed(seed), Instant::now());
    let full_disk = storm.name == FULL_DISK;
    let disk = if full_disk { SmallDisk::mount(24) } else { None };
    if full_disk && disk.is_none() {
        println!("SKIPPED: full-disk: a small file system cannot be mounted here (not root?)");
        return Seen::default();
    }
    let world = match &disk {
        Some(disk) => World::new_in(disk.path(), 16),
        None => World::new_in(&memory(), 16),
    };
    let agree = ["average", "gradient"][numbers.usize(..2)];
    let job = job(&world, agree, storm);
    let faults = Faults { seed, ..(storm.faults)(&mut numbers) };
    let filler = disk.as_ref().map(|disk| Filler::start(disk, move || 100 + numbers.u64(..1_500)));
    let (counts, kills) = match carry_out(&world, faults, &job) {
        Ok(outcome) => (outcome.counts, outcome.kills),
        Err(why) => return Seen { wrong: Some(replay(storm, seed, &why)), ..Seen::default() },
    };
    let filled = filler.map_or(0, Filler::end);
    let ledger = world.ledger(RUN);
    let why = match ledger.ending {
        Some(ending) if ending.why != Reason::Rounds => {
            Some(format!("it ended for another reason: {}", ending.why))
        }
        _ if world.model(RUN) != calm(agree, storm) => Some(format!(
            "it gave another model: {}, not {}",
            names(&world.model(RUN)),
            names(&calm(agree, storm))
        )),
        _ if counts.crashes > kills.len() as u64 => Some(format!("a process died by itself: {counts:?}")),
        _ => None,
    };
    let lost_ms = loss::lost_ms(&kills, &world.facts(RUN));
    println!(
        "seed {seed} {}: {:.1} s, {} invocations, {} kills, {} freezes, {} errors, {} time-outs, {} doubled, \
         {} lost, {} throttled, disk full {filled} times",
        storm.name,
        begun.elapsed().as_secs_f64(),
        counts.invocations,
        kills.len(),
        counts.frozen,
        counts.errors,
        counts.timeouts,
        counts.duplicates,
        counts.dropped,
        counts.throttles,
    );
    Seen { counts, kills: kills.len(), filled, lost_ms, wrong: why.map(|why| replay(storm, seed, &why)) }
}

fn names(model: &Model) -> String {
    let names: Vec<_> = model.iter().map(|(name, bytes)| format!("{name} ({} bytes)", bytes.len())).collect();
    names.join(", ")
}

fn job(world: &World, agree: &str, storm: &Storm) -> Job {
    let (rounds, image) = (storm.rounds, storm.image);
    world.job(json!({"agree": agree, "rounds": rounds, "image_size": image, "unit_images": 8}))
}

/// A folder in memory, if there is one: an fsync on a busy disk takes a third of a second.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { env::temp_dir() }
}

fn carry_out(world: &World, faults: Faults, job: &Job) -> Result<Outcome, String> {
    let mut local = world.local();
    (local.time_limit, local.tick, local.concurrency) = (LEG, TICK, Some(4));
    local.faults = Some(faults);
    let start = json!({"start": true, "run": RUN, "workers": 3, "job": job, "force": true});
    let start = Event::from_value(start).expect("a start event");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(STUCK, local.carry_out(start)).await });
    let ended = ended.map_err(|_| format!("it did not end within {STUCK:?}"))?;
    ended.map_err(|failure| failure.to_string())
}

/// The model of a run in which nothing fails, computed once.
fn calm(agree: &str, storm: &Storm) -> Model {
    static CALM: Mutex<BTreeMap<(String, u32, u32), Model>> = Mutex::new(BTreeMap::new());
    let mut calm = CALM.lock().unwrap();
    let model = calm.entry((agree.to_owned(), storm.rounds, storm.image)).or_insert_with(|| {
        let world = World::new_in(&memory(), 16);
        carry_out(&world, Faults::default(), &job(&world, agree, storm)).expect("a calm run");
        world.model(RUN)
    });
    assert_eq!(model.len(), 2, "a model and its head");
    model.clone()
}

fn replay(storm: &Storm, seed: u64, why: &str) -> String {
    format!(
        "{}, seed {seed}: {why}\n  \
         again: BATON_SEED={seed} BATON_STORM={} cargo test --release -p tests --test chaos -- --nocapture",
        storm.name, storm.name
    )
}

/// Prints the results of all runs and asserts the promises.
fn conclude(all: &[Seen], storms: &[&Storm]) {
    let sum = |of: fn(&Seen) -> u64| all.iter().map(of).sum::<u64>();
    let wrong: Vec<&String> = all.iter().filter_map(|seen| seen.wrong.as_ref()).collect();
    let kills = sum(|seen| seen.kills as u64);
    println!(
        "{} runs, {kills} kills, {} freezes, {} doubled, {} lost and {} refused events, disk full {} times, \
         {} errors; {} runs went wrong",
        all.len(),
        sum(|seen| seen.counts.frozen),
        sum(|seen| seen.counts.duplicates),
        sum(|seen| seen.counts.dropped),
        sum(|seen| seen.counts.throttles),
        sum(|seen| seen.filled),
        sum(|seen| seen.counts.errors),
        wrong.len(),
    );
    let mut lost: Vec<u64> = all.iter().flat_map(|seen| seen.lost_ms.iter().copied()).collect();
    lost.sort_unstable();
    let share = |of: f64| lost.get((lost.len() as f64 * of) as usize).copied().unwrap_or(0) as f64 / 1_000.0;
    let bound = (LEG + TICK).as_millis() as u64;
    let late = lost.iter().filter(|lost| **lost > bound).count();
    println!(
        "lost per kill: median {:.2} s, 95 % {:.2} s, 99 % {:.2} s, most {:.2} s; \
         more than a leg and a tick ({:.0} s): {}",
        share(0.5),
        share(0.95),
        share(0.99),
        lost.last().copied().unwrap_or(0) as f64 / 1_000.0,
        bound as f64 / 1_000.0,
        late,
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    // If events are also lost, delayed or refused, the time is not only the kill's.
    let kills_alone = storms.iter().all(|storm| storm.name.starts_with("kills"));
    assert!(!kills_alone || late == 0, "{late} kills cost more than a leg and a tick");
    assert!(
        storms.len() < STORMS.len() || shows_something(all),
        "too few kills or freezes: the test shows nothing"
    );
}

/// Whether enough went wrong: on a fast machine a run may be over before anything does.
fn shows_something(all: &[Seen]) -> bool {
    let kills: u64 = all.iter().map(|seen| seen.kills as u64).sum();
    let freezes: u64 = all.iter().map(|seen| seen.counts.frozen).sum();
    kills >= 30 && freezes >= 2
}
