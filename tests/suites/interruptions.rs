//! A run that is interrupted on purpose, as often as somebody likes, ends with the calm run's bytes,
//! and is billed what ran.
//!
//! ```sh
//! BATON_INTERRUPTIONS=200 cargo test --release -p tests --test interruptions -- --nocapture
//! BATON_SEED=7 cargo test --release -p tests --test interruptions -- --nocapture
//! ```

use fastrand::Rng;
use protocol::{Fact, Ledger, Reason, RunId};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use storage::{FactLog, Root};
use tests::{World, binary};

const RUN: &str = "interrupted";
/// Functions at a time, and their memory in GB.
const PLACES: f64 = 2.0;
const MEMORY: f64 = 3_008.0 / 1_024.0;
/// More than a leg may begin without ending, were these beginnings crashes.
const AT_NOTHING: usize = 14;

fn number(key: &str, otherwise: u64) -> u64 {
    std::env::var(key)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{key}={text}: no number")))
}

/// The facts of the run, or none as long as it has none.
fn facts(world: &World) -> Vec<Fact> {
    let root = Root::open(world.root()).expect("the root");
    let Ok(log) = FactLog::open(root.run(&RunId::new(RUN).expect("an id")).ledger()) else {
        return Vec::new();
    };
    log.read(Duration::from_secs(10)).unwrap_or_default()
}

fn beginnings(world: &World) -> usize {
    facts(world).iter().filter(|fact| matches!(fact, Fact::Begun { .. })).count()
}

fn local(world: &World) -> Child {
    let mut command = Command::new(binary("baton"));
    command.args(["local", "--run", RUN, "--workers", "2", "--concurrency", "2", "--job"]);
    command.arg(world.root().join("job.json")).arg("--root").arg(world.root());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("baton local starts")
}

/// Runs until something begins and for so long after that, then ends it with the signal;
/// false if the run was over before.
fn interrupt(world: &World, signal: &str, after: Duration) -> bool {
    let (before, begun) = (beginnings(world), Instant::now());
    let mut local = local(world);
    while beginnings(world) == before {
        if local.try_wait().expect("its state").is_some() {
            return false;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing begins");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(after);
    let sent = Command::new("kill").args([signal, &local.id().to_string()]).status().expect("kill runs");
    let (told, output) = (Instant::now(), local.wait_with_output().expect("it ends"));
    assert!(told.elapsed() < Duration::from_secs(5), "it took {:?} to end", told.elapsed());
    if sent.success() && output.status.success() {
        return false;
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(signal == "-KILL" || said.contains("the same command continues the run"), "{said}");
    true
}

#[test]
fn a_run_that_is_interrupted_ends_as_a_calm_one_and_is_billed_what_ran() {
    let (seed, times) = (number("BATON_SEED", 7), number("BATON_INTERRUPTIONS", 10));
    let mut random = Rng::with_seed(seed);
    let world = World::new(16);
    let job = world.job(json!({"image_size": 160, "rounds": 30, "unit_images": 8}));
    world.run(&world.local(), "calm", 2, &job);
    world.forget_features();
    std::fs::write(world.root().join("job.json"), serde_json::to_vec(&job).unwrap()).unwrap();
    let begun = Instant::now();
    let mut count = 0;
    for n in 0..AT_NOTHING {
        count += usize::from(interrupt(&world, if n % 2 == 0 { "-INT" } else { "-TERM" }, Duration::ZERO));
    }
    let stage = Ledger::fold(facts(&world)).unwrap().unwrap().stage;
    for _ in 0..times {
        let signal = ["-INT", "-TERM", "-KILL"][random.usize(..3)];
        count += usize::from(interrupt(&world, signal, Duration::from_millis(random.u64(..500))));
    }
    let output = local(&world).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (facts, wall) = (facts(&world), begun.elapsed().as_secs_f64());
    let ledger = Ledger::fold(facts.clone()).unwrap().unwrap();
    let saved = facts.iter().filter(|fact| matches!(fact, Fact::Interrupted { place: Some(_), .. })).count();
    let told = facts.iter().filter(|fact| matches!(fact, Fact::Interrupted { .. })).count();
    let billed = ledger.spend.gb_seconds(u64::MAX);
    println!(
        "{count} interruptions, the first {AT_NOTHING} in stage {stage}: {told} legs were told to end, \
         {saved} of them had done something; {billed:.0} GB-seconds billed, at most {:.0} can have run",
        wall * PLACES * MEMORY
    );
    assert_eq!(ledger.ending.map(|ending| ending.why), Some(Reason::Rounds));
    assert!(world.model(RUN) == world.model("calm"), "the interruptions show in the model");
    assert!(count >= AT_NOTHING && told >= AT_NOTHING, "too few interruptions: the test shows nothing");
    assert!(billed <= wall * PLACES * MEMORY, "{billed} GB-seconds are billed");
}
