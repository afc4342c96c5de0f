//! The model of a run is the same to the last bit, whatever the cuts of its legs and whatever is killed. With
//! processes.

use local_cloud::Faults;
use protocol::Job;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::{World, binary};

/// A features stage of a few seconds, so that short legs cut it and kills hit it.
fn changes(agree: &str) -> Value {
    json!({"agree": agree, "image_size": 160, "unit_images": 8})
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn cuts_and_concurrency_never_show() {
    let world = World::new(90);
    for agree in ["average", "gradient", "diloco"] {
        let (mut expected, mut whole) = (None, 0.0);
        for (name, concurrency) in [("whole", 2), ("cut", 2), ("alone", 1), ("crowd", 8), ("sliced", 2)] {
            let limit = match name {
                // Half a second is kept for handing over; on a fast machine the rest must be short.
                "cut" => f64::min(0.5 + whole / 20.0, 1.0),
                "crowd" => 1.5,
                _ => 900.0,
            };
            let mut changes = changes(agree);
            if agree == "diloco" {
                (changes["precision"], changes["optimizer"]) = (json!("int8"), json!({"kind": "adamw"}));
            }
            if name == "sliced" {
                changes["reduce"] = json!("sliced");
            } else {
                world.forget_features();
            }
            let job = world.job(changes);
            let mut local = world.local();
            (local.time_limit, local.concurrency) = (seconds(limit), Some(concurrency));
            let run = format!("{agree}-{name}");
            let outcome = world.run(&local, &run, 4, &job);
            println!("{run}: {} invocations", outcome.counts.invocations);
            let legs = outcome.counts.invocations as i64 - 5 * 5;
            assert!(name != "cut" || legs > 3, "the legs were not cut: {:?}", outcome.counts);
            let model = world.model(&run);
            assert_eq!(model.len(), 2, "{run}");
            let expected = expected.get_or_insert_with(|| {
                whole = outcome.counts.billed_ms as f64 / 1e3;
                model.clone()
            });
            assert!(model == *expected, "{run} gave another model");
        }
    }
}

/// Workers and combines get SIGKILL in about two in five of their invocations, at any time.
#[test]
fn kills_of_workers_and_combines_never_show() {
    let world = World::new(16);
    kills_never_show(&world, &world.job(changes("average")));
}

/// The same for the range test and the rungs of a tuning: the table and the best head.
#[test]
fn kills_never_show_in_a_tuning() {
    let world = World::new(16);
    let mut changes = changes("average");
    changes["tune"] = json!({"trials": 12, "keep": 2, "epochs": 4, "label_smoothing": [0, 0.1]});
    kills_never_show(&world, &world.job(changes));
}

fn kills_never_show(world: &World, job: &Job) {
    world.run(&world.local(), "calm", 3, job);
    let mut kills = 0;
    for seed in 1..=6 {
        println!("seed {seed}");
        world.forget_features();
        let mut local = world.local();
        local.time_limit = seconds(3.0);
        local.faults = Some(Faults { seed, kill: 0.4, kill_ms: 25, ..Faults::default() });
        let run = format!("killed-{seed}");
        let outcome = world.run(&local, &run, 3, job);
        kills += outcome.counts.crashes;
        assert!(world.model(&run) == world.model("calm"), "seed {seed} gave another model");
    }
    println!("{kills} kills");
    assert!(kills >= 20, "only {kills} kills: the test shows nothing");
}

/// `kill -9` of `baton local` itself, again and again; the same command continues the run.
#[test]
fn kills_of_the_local_cloud_never_show() {
    let world = World::new(60);
    let job = world.job(changes("average"));
    let file = world.root().join("the-job.json");
    std::fs::write(&file, serde_json::to_vec(&job).unwrap()).unwrap();
    world.run(&world.local(), "calm", 3, &job);
    world.forget_features();
    let start = || -> Child {
        Command::new(binary("baton"))
            .args(["local", "--run", "cut-off", "--workers", "3", "--time-limit", "5s", "--root"])
            .arg(world.root())
            .arg("--job")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut pause_ms = 200;
    let begun = Instant::now();
    for kill in 0.. {
        let mut child = start();
        let mut ended = None;
        for _ in 0..pause_ms / 20 {
            std::thread::sleep(Duration::from_millis(20));
            ended = child.try_wait().unwrap();
            if ended.is_some() {
                break;
            }
        }
        if let Some(status) = ended {
            println!("{kill} kills before the end");
            assert!(status.success(), "the last one failed");
            assert!(kill >= 3, "only {kill} kills: the test shows nothing");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        pause_ms += pause_ms / 3;
        assert!(begun.elapsed() < Duration::from_secs(120), "the run does not end");
    }
    assert!(world.model("cut-off") == world.model("calm"), "the kills show in the model");
}

/// A second and third `start` during the run change nothing.
#[test]
fn repeated_starts_never_show() {
    let world = World::new(12);
    let job = world.job(changes("average"));
    world.run(&world.local(), "calm", 3, &job);
    world.forget_features();
    let mut local = world.local();
    local.faults = Some(Faults { seed: 7, duplicate: 0.5, delay: 0.5, delay_ms: 300, ..Faults::default() });
    let outcome = world.run(&local, "doubled", 3, &job);
    assert!(outcome.counts.duplicates > 5, "{:?}", outcome.counts);
    let again = world.run(&local, "doubled", 3, &job);
    assert_eq!(again.ledger.ending, outcome.ledger.ending, "a start after the end changes nothing");
    assert!(world.model("doubled") == world.model("calm"), "duplicates show in the model");
}
