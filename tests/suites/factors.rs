//! Matrix factorisation with the real binaries: the same model whatever is killed and however many workers
//! there are, limits and stops that keep the best state, and the commands that use a model.

use local_cloud::Faults;
use protocol::Job;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tests::{World, baton, binary, stdout};

/// The deviation of the noise in the ratings.
const SIGMA: f64 = 0.4;
const USERS: u64 = 400;
const ITEMS: u64 = 150;

/// A world with ratings of two known factors and noise, about one pair in three.
fn world() -> World {
    let world = World::new(4);
    let mut random = fastrand::Rng::with_seed(3);
    let mut normal = move || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let mut table = |rows: u64| -> Vec<[f64; 3]> {
        (0..rows).map(|_| [0.4, 0.7, 0.7].map(|scale| scale * normal())).collect()
    };
    let (users, items) = (table(USERS), table(ITEMS));
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for user in 0..USERS {
        // The first users rate everything, the last ones little.
        for item in (0..ITEMS).filter(|item| (item * 7 + user * 3) % (1 + user / 40) == 0) {
            let (p, q) = (users[user as usize], items[item as usize]);
            let rating = 3.5 + p[0] + q[0] + p[1] * q[1] + p[2] * q[2] + SIGMA * normal();
            text += &format!("u{user},film {item},{rating:.4},{}\n", user * 1_000 + item);
        }
    }
    let source = world.root().join("ratings.csv");
    fs::write(&source, text).unwrap();
    let out = world.root().join("datasets/films");
    let made = Command::new(binary("data-prep")).arg("ratings").arg(&source).arg("--out").arg(&out).output();
    let made = made.expect("data-prep runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    world
}

fn job(changes: Value) -> Job {
    let mut job = json!({"kind": "factors", "dataset": "films", "factors": 2, "rounds": 6});
    job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Job::from_value(job).unwrap()
}

fn model(world: &World, run: &str) -> Value {
    let (_, text) =
        world.model(run).into_iter().find(|(name, _)| name == "factors.json").expect("an index of factors");
    serde_json::from_slice(&text).unwrap()
}

/// How many kills a test must see: 200 with `BATON_KILLS=200`.
fn wanted() -> u64 {
    std::env::var("BATON_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[test]
fn a_model_is_the_same_whatever_is_killed() {
    let world = world();
    for (solve, rounds) in [("als", 6), ("gradient", 12)] {
        let job = job(json!({"solve": solve, "rounds": rounds}));
        let calm = format!("{solve}-calm");
        world.run(&world.local(), &calm, 3, &job);
        let expected = world.model(&calm);
        assert_eq!(expected.len(), 4);
        for workers in [1, 5] {
            let run = format!("{solve}-{workers}");
            world.run(&world.local(), &run, workers, &job);
            assert!(world.model(&run) == expected, "{solve}: {workers} workers gave another model");
        }
        let (mut kills, mut seed) = (0, 0);
        while kills < wanted() {
            seed += 1;
            println!("seed {seed}");
            let mut local = world.local();
            local.time_limit = Duration::from_secs(3);
            local.faults =
                Some(Faults { seed, kill: 0.25, kill_ms: 10, duplicate: 0.1, ..Faults::default() });
            let run = format!("{solve}-killed-{seed}");
            let outcome = world.run(&local, &run, 3, &job);
            kills += outcome.counts.crashes;
            assert!(world.model(&run) == expected, "{solve}: seed {seed} gave another model");
            assert!(seed < 100, "only {kills} kills: the test shows nothing");
        }
        println!("{solve}: {kills} kills");
    }
}

#[test]
fn the_best_state_is_published_at_a_limit_and_by_patience() {
    let world = world();
    world.run(&world.local(), "whole", 2, &job(json!({"rounds": 8})));
    let whole = model(&world, "whole");
    let (rmse, mean) = (&whole["test"]["rmse"], &whole["test"]["rmse_of_mean"]);
    let (rmse, mean) = (rmse.as_f64().unwrap(), mean.as_f64().unwrap());
    println!("test RMSE {rmse:.4}, of the mean {mean:.4}, noise {SIGMA}");
    assert!(rmse < 1.15 * SIGMA && mean > 2.0 * rmse, "{whole}");
    // 2 workers and a combine in each stage: so many events end it in the third sweep.
    let limited = job(json!({"rounds": 100, "limits": {"invocations": 16}}));
    let outcome = world.run(&world.local(), "limited", 2, &limited);
    let told = format!("{:?}", outcome.ledger.ending);
    assert!(told.contains("nvocations") || told.contains("events"), "{told}");
    let limited = model(&world, "limited");
    assert!(
        limited["val"]["rmse"].as_f64().unwrap() < 0.7 * limited["val"]["rmse_of_mean"].as_f64().unwrap()
    );
    let patient = job(json!({"rounds": 1_000, "patience": 2, "regularisation": 0.000001, "factors": 20}));
    world.run(&world.local(), "patient", 2, &patient);
    let rounds = world.ledger("patient").last.map(|last| last.stage / 2).unwrap_or_default();
    println!("patience ended the run after {rounds} sweeps");
    assert!(rounds < 500, "patience did not end the run");
}

#[test]
fn a_model_predicts_pairs_and_lists_and_is_exported() {
    let world = world();
    world.run(&world.local(), "films", 2, &job(json!({})));
    let root = world.root().display().to_string();
    let predict =
        |more: &[&str]| stdout(&[&["predict", "--root", &root, "--run", "films"][..], more].concat());
    let top = predict(&["--user", "u390", "--top", "5", "--json"]);
    let top: Vec<Value> = top.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ratings = fs::read_to_string(world.root().join("ratings.csv")).unwrap();
    assert_eq!(top.len(), 5);
    for line in &top {
        assert!(!ratings.contains(&format!("u390,{},", line["item"].as_str().unwrap())), "{line} is rated");
    }
    let all = predict(&["--user", "u390", "--top", "1000", "--with-rated"]);
    assert_eq!(all.lines().count() as u64, ITEMS);
    let pairs = world.root().join("pairs.csv");
    fs::write(&pairs, format!("u390,{}\nnobody,film 3\n", top[0]["item"].as_str().unwrap())).unwrap();
    let told = predict(&["--pairs", &pairs.display().to_string(), "--json"]);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["rating"], &told[1]["unknown"]), (&top[0]["rating"], &json!(["user"])));
    let out = world.root().join("exported").display().to_string();
    stdout(&["export", "--root", &root, "--run", "films", "--out", &out]);
    let ids = |side: &str| fs::read_to_string(format!("{out}/{side}.txt")).unwrap();
    assert!(ids("items").lines().any(|item| item == "film 3"));
    assert_eq!(
        fs::read(format!("{out}/user_biases.npy")).unwrap().len(),
        128 + 4 * ids("users").lines().count()
    );
    for (arguments, words) in [
        (&["predict", "--root", &root, "--run", "films", "--user", "nobody"][..], "nobody"),
        (&["predict", "--root", &root, "--run", "none", "--user", "u1"], "never started"),
        (&["export", "--root", &root, "--run", "films", "--out", &out], "--out"),
    ] {
        let output = baton(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && said.contains(words), "{arguments:?}: {said}");
    }
}
