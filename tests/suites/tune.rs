//! `baton tune` as a process: a table, a model and a plot, a useful suggestion, and no change to other runs.

use serde_json::{Value, json};
use tests::tree::{changes, tree};
use tests::{World, baton, stdout};

#[test]
fn a_tuning_suggests_what_trains_well_and_leaves_other_runs_as_they_are() {
    let world = World::new(12);
    let job = world.job(json!({}));
    world.run(&world.local(), "another", 2, &job);
    let before = tree(world.root());
    let (root, file) = (world.root().display().to_string(), world.root().join("job.json"));
    std::fs::write(&file, serde_json::to_vec(&job).unwrap()).unwrap();
    let fixed = ["tune", "--root", &root, "--job", file.to_str().unwrap(), "--trials", "8", "--keep", "4"];
    let tuned = |more: &[&str]| stdout(&[&fixed[..], more].concat());

    let said: Value =
        serde_json::from_str(&tuned(&["--run", "tuned", "--weight-decay", "0,0.01", "--json"])).unwrap();
    let table = &said["tunings"][0]["table"];
    let (sweeps, trials) = (table["sweeps"].as_array().unwrap(), table["trials"].as_array().unwrap());
    assert_eq!((sweeps.len(), trials.len()), (2, 8));
    assert_eq!(trials.iter().filter(|trial| trial["dropped"].is_null()).count(), 1);
    let best = &said["suggestion"];
    assert!(trials.iter().any(|trial| trial["learning_rate"] == best["learning_rate"]));

    // Another run and its features are unchanged, byte for byte.
    let changed = changes(&before, &tree(world.root()));
    let foreign = |change: &&String| {
        !change.contains("runs/tuned") && !change.contains("runs/index") && !change.ends_with("job.json")
    };
    assert_eq!(changed.iter().filter(foreign).collect::<Vec<_>>(), Vec::<&String>::new());
    let plot = world.root().join("runs/tuned/model/tune.svg");
    let plot = std::fs::read_to_string(plot).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("learning rate") && !plot.contains("NaN"), "{plot}");

    // Other workers, the same table; and it is shown again from the folder.
    tuned(&["--run", "again", "--weight-decay", "0,0.01", "--workers", "3", "--json"]);
    assert_eq!(world.model("again"), world.model("tuned").into_iter().map(renamed).collect::<Vec<_>>());
    let shown = stdout(&["tune", "--root", &root, "--run", "tuned"]);
    assert!(
        shown.matches("suggestion: top-1").count() == 1 && shown.contains("\"learning_rate\": "),
        "{shown}"
    );
    assert!(shown.contains(" best\n") && shown.matches("after rung ").count() == 7, "{shown}");

    // The suggested rate trains a good model, the end of the range test a bad one.
    let trained = |run: &str, rate: &Value| {
        let outcome =
            world.run(&world.local(), run, 1, &world.job(json!({"learning_rate": rate, "rounds": 6})));
        outcome.ledger.best.unwrap().score.unwrap()
    };
    let worst = sweeps[0]["rates"][0].clone();
    let (good, bad) = (trained("good", &best["learning_rate"]), trained("bad", &worst));
    println!("{good:?} at {best}, {bad:?} at {worst}");
    assert!(good.values[0] > bad.values[0] + 0.2, "{good:?} {bad:?}");
    let predicted = stdout(&["evaluate", "--root", &root, "--run", "tuned", "--json"]);
    assert!(predicted.contains("\"top1\""), "{predicted}");
}

/// The plot has the run's name in it.
fn renamed((name, bytes): (String, Vec<u8>)) -> (String, Vec<u8>) {
    match name.ends_with(".svg") {
        true => (name, String::from_utf8(bytes).unwrap().replace("uning tuned", "uning again").into_bytes()),
        false => (name, bytes),
    }
}

#[test]
fn several_cuts_are_tuned_one_after_the_other_and_a_bad_job_is_refused() {
    let world = World::new(8);
    let (root, file) = (world.root().display().to_string(), world.root().join("job.json"));
    let job =
        |changes: Value| std::fs::write(&file, serde_json::to_vec(&world.job(changes)).unwrap()).unwrap();
    job(json!({}));
    let fixed = ["tune", "--root", &root, "--job", file.to_str().unwrap(), "--trials", "2", "--run", "cuts"];
    let said = stdout(&[&fixed[..], &["--cut", "block2,avgpool", "--json"]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    let cuts: Vec<&Value> = said["tunings"].as_array().unwrap().iter().map(|tuning| &tuning["cut"]).collect();
    assert_eq!(cuts, ["block2", "avgpool"]);
    assert!(["block2", "avgpool"].iter().any(|cut| said["suggestion"]["cut"] == *cut), "{said}");

    job(json!({"head": {"kind": "mlp", "hidden": 8}}));
    let refused = baton(&fixed);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && words.contains("job.head"), "{words}");
}
