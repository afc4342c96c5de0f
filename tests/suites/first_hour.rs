//! The first hour: `baton train` as a user types it, in an empty folder, and the commands that it leads to.

#[path = "first_hour/desk.rs"]
mod desk;
#[path = "first_hour/examples.rs"]
mod examples;
#[path = "first_hour/real.rs"]
mod real;
#[allow(dead_code, reason = "another suite installs the weights, too")]
#[path = "same_models/weights.rs"]
mod weights;

use desk::Desk;
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Trains on pictures of patterns with the network that needs no file.
const TRAIN: [&str; 4] = ["train", "patterns", "--network", "baton_small"];

#[test]
fn one_line_makes_a_model_and_the_same_line_shows_it_again() {
    let desk = Desk::new();
    desk.patterns("patterns", 12);
    let said = desk.says(&TRAIN);
    for word in [
        "data     patterns",
        "network  baton_small",
        "job      baton/jobs/patterns-baton-small.json",
        "100 images to train on, 20 to validate",
        "20 % of each class",
        "a linear layer on 128 features",
        "few images: the best of 18 rates",
        "model    baton/runs/patterns-baton-small",
        "score    0.",
        "baton mistakes --run patterns-baton-small",
    ] {
        assert!(said.contains(word), "{word} is missing in\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");

    // The job is a file that other commands take, and it trains the same model.
    let file = "baton/jobs/patterns-baton-small.json";
    desk.says(&["local", "--root", "baton", "--job", file, "--run", "by-hand", "--workers", "1"]);
    let model = |run: &str| fs::read(desk.path("baton/runs").join(run).join("model/model.json")).unwrap();
    assert_eq!(model("by-hand"), model("patterns-baton-small"));

    let runs = || fs::read_dir(desk.path("baton/runs")).unwrap().count();
    let before = runs();
    let again = desk.json(&[&TRAIN[..], &["--json"]].concat()).remove(0);
    assert_eq!((&again["runs"][0]["run"], runs()), (&"patterns-baton-small".into(), before));
    assert!(again["score"]["top1"].as_f64().unwrap() > 0.6, "{again}");
}

#[test]
fn another_line_takes_no_name_that_is_in_use() {
    let desk = Desk::new();
    desk.patterns("patterns", 8);
    let run = |more: &[&str]| {
        desk.json(&[&TRAIN[..], more, &["--json"]].concat()).remove(0)["runs"][0]["run"].clone()
    };
    assert_eq!(run(&[]), "patterns-baton-small");
    assert_eq!(run(&["--workers", "2"]), "patterns-baton-small-2");
    // Other pictures in a folder of the same name.
    desk.patterns("elsewhere/patterns", 9);
    let other = desk.json(&["train", "elsewhere/patterns", "--network", "baton_small", "--json"]).remove(0);
    assert_eq!(other["runs"][0]["run"], "patterns-2-baton-small");
    assert_eq!(run(&[]), "patterns-baton-small");
    let (code, words) = desk.fails(&[&TRAIN[..], &["--run", "patterns-2-baton-small"]].concat());
    assert!(code == 3 && words.contains("another job"), "{code} {words}");
    let job = desk.read_json("baton/jobs/patterns-2-baton-small.json");
    assert_eq!(job["dataset"], "patterns-2", "the job of that run is kept");
}

#[test]
fn deeper_layers_begin_with_the_linear_one_and_the_better_model_is_shown() {
    let desk = Desk::new();
    desk.patterns("patterns", 12);
    let said = desk.json(&[&TRAIN[..], &["--deeper", "block", "--json"]].concat()).remove(0);
    let runs = said["runs"].as_array().unwrap();
    assert_eq!(runs.last().unwrap()["run"], "patterns-baton-small-block");
    let top1 = |of: &Value| of["score"]["top1"].as_f64().unwrap();
    assert!(runs.iter().all(|run| top1(run) <= top1(&said)), "{said}");
    let job = desk.read_json("baton/jobs/patterns-baton-small-block.json");
    assert!(job["from"] == "patterns-baton-small" && job["head"]["kind"] == "layers", "{job}");
}

#[test]
fn what_cannot_be_trained_on_is_said_with_what_to_do() {
    let desk = Desk::new();
    desk.patterns("patterns", 4);
    fs::create_dir_all(desk.path("garbage/a")).unwrap();
    for name in ["a/1.txt", "a/2.doc", "noise.bin"] {
        fs::write(desk.path("garbage").join(name), "no picture").unwrap();
    }
    fs::create_dir(desk.path("empty")).unwrap();
    fs::write(desk.path("words.pth"), "no weights").unwrap();
    for (arguments, expected, words) in [
        (&["train", "patterns"][..], 3, &["baton fetch mobilenet_v2", "--weights", "https://"][..]),
        (&["train", "patterns", "--network", "vgg19"], 3, &["vgg19-dcbb9e9d.pth", "baton fetch vgg19"]),
        (&["train", "patterns", "--weights", "gone.pth"], 3, &["gone.pth", "--weights", "Installed"]),
        (&["train", "patterns", "--weights", "words.pth"], 3, &["words.pth"]),
        (&["train", "patterns", "--network", "vgg99"], 3, &["vgg99"]),
        (&["train", "garbage", "--network", "baton_small"], 3, &["garbage"]),
        (&["train", "empty", "--network", "baton_small"], 3, &["empty"]),
        (&["train", "gone", "--network", "baton_small"], 4, &["gone"]),
        (&["train", "patterns", "--network", "baton_small", "--run", "A B"], 3, &["a-z"]),
        (&["train"], 2, &["DATA"]),
        (&["metrics"], 3, &["baton train"]),
        (&["mistakes", "--run", "gone"], 3, &["gone"]),
        (&["remove", "gone"], 3, &["gone", "baton list"]),
        (&["compare", "gone"], 2, &["RUN"]),
    ] {
        let (code, said) = desk.fails(arguments);
        let all = words.iter().all(|word| said.contains(word));
        assert!(code == expected && all, "{arguments:?} gave {code} and said {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn an_interrupted_line_continues_and_ends_with_the_calm_models_bytes() {
    let (calm, desk) = (Desk::new(), Desk::new());
    for of in [&calm, &desk] {
        of.patterns("patterns", 40);
    }
    calm.says(&TRAIN);
    let ledger = desk.path("baton/runs/patterns-baton-small/ledger");
    let mut child = desk.command(&TRAIN).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while fs::metadata(&ledger).map_or(0, |about| about.len()) < 2_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the run does not begin");
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    let _ = std::process::Command::new("kill").args(["-INT", &pid]).status();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{:?}: {words}", output.status.code());
    if !output.status.success() {
        assert!(words.contains("the same command continues the run"), "{words}");
    }
    desk.says(&TRAIN);
    let model = |of: &Desk| fs::read(of.path("baton/runs/patterns-baton-small/model/model.json")).unwrap();
    assert_eq!(model(&desk), model(&calm));
}

#[test]
fn runs_are_listed_measured_compared_and_removed() {
    let desk = Desk::new();
    desk.patterns("patterns", 8);
    desk.says(&[&TRAIN[..], &["--run", "tried"]].concat());
    // A job that needs no other keys.
    let job = json!({"dataset": "patterns", "network": "baton_small", "image_size": 48});
    fs::write(desk.path("job.json"), job.to_string()).unwrap();
    let [first, second] = ["first", "second"];
    for (run, workers) in [(first, "1"), (second, "2")] {
        desk.says(&["local", "--job", "job.json", "--run", run, "--workers", workers]);
    }
    let list = desk.says(&["list"]);
    assert!(list.lines().count() >= 4 && list.lines().nth(1).unwrap().starts_with(second), "{list}");
    assert!(list.contains("transfer") && list.contains("done"), "{list}");
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
    let listed = desk.json(&["list", "--json"]);
    assert!(listed.len() >= 3 && listed.iter().all(|run| run["kind"] == "transfer" && run["ended"] == true));

    let csv = desk.says(&["metrics", "--csv"]);
    let heading = "round,top1,loss,top5,training_loss,images,seconds";
    assert!(csv.lines().next() == Some(heading) && csv.lines().count() > 10, "{csv}");
    let rounds = desk.json(&["metrics", first, "--jsonl"]);
    let loss = |at: usize| rounds[at]["training_loss"].as_f64().unwrap();
    assert!(loss(rounds.len() - 1) < loss(0), "{rounds:?}");
    assert!(desk.says(&["metrics", first]).contains("training loss"));

    let compared = desk.says(&["compare", first, second]);
    assert!(compared.contains("workers") && compared.contains("top-1"), "{compared}");
    let compared = desk.json(&["compare", first, second, "--json"]).remove(0);
    assert_eq!(compared["runs"].as_array().unwrap().len(), 2);

    let wrong = desk.says(&["mistakes", "--run", first]);
    let csv = desk.says(&["mistakes", "--run", first, "--csv", "--count", "100"]);
    assert!(csv.starts_with("image,true,predicted,probability\n") && wrong.contains(" are wrong"), "{csv}");
    let all = desk.json(&["mistakes", "--run", first, "--json", "--count", "100"]);
    assert_eq!(csv.lines().count(), all.len() + 1);
    for mistake in &all {
        let file = desk.path("patterns").join(mistake["image"].as_str().unwrap());
        assert!(file.is_file() && mistake["true"] != mistake["predicted"], "{mistake}");
    }
    desk.says(&["mistakes", "--run", first, "--sheet", "wrong.png"]);
    assert_eq!(&fs::read(desk.path("wrong.png")).unwrap()[..4], b"\x89PNG");
    // Without a run the last one is meant.
    assert!(desk.says(&["mistakes"]).contains("wrong") && desk.says(&["evaluate"]).contains(second));

    let removed = desk.says(&["remove", first]);
    assert!(removed.contains(first) && removed.contains("iB"), "{removed}");
    assert!(
        !desk.path("baton/runs").join(first).exists()
            && desk.json(&["list", "--json"]).len() == listed.len() - 1
    );
}

#[test]
fn a_live_run_is_not_removed() {
    let desk = Desk::new();
    desk.patterns("patterns", 30);
    let mut child = desk.command(&TRAIN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let ledger = desk.path("baton/runs/patterns-baton-small/ledger");
    while !ledger.is_file() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, words) = desk.fails(&["remove", "patterns-baton-small"]);
    assert!(code == 3 && words.contains("baton stop"), "{code} {words}");
    assert!(child.wait().unwrap().success() && ledger.is_file());
    desk.says(&["remove", "patterns-baton-small"]);
}
