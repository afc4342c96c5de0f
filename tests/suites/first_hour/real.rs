//! Real pictures and real weights: one line makes a good model, minimal jobs are as good as tuned ones, and
//! every job of `docs/jobs` reaches its score.

use crate::desk::Desk;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;
use tests::{binary, real_data};

/// The weights, by network.
const WEIGHTS: [(&str, &str); 3] = [
    ("squeezenet1_0", "squeezenet1_0.safetensors"),
    ("squeezenet1_1", "squeezenet1_1_features.safetensors"),
    ("vgg19", "vgg19_features.safetensors"),
];

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn install(desk: &Desk, data: &Path, networks: &[&str]) {
    for (network, file) in WEIGHTS.iter().filter(|(network, _)| networks.contains(network)) {
        let file = text(&data.join("weights").join(file));
        fs::create_dir_all(desk.path("efs")).unwrap();
        desk.says(&["weights", "add", network, &file, "--root", "efs"]);
    }
}

fn prepare(desk: &Desk, arguments: &[&str]) {
    let mut command = std::process::Command::new(binary("data-prep"));
    let output = command.args(arguments).current_dir(desk.path("")).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// CIFAR-10's first images: these to train on, those to validate.
fn cifar(desk: &Desk, data: &Path, train: usize, val: usize) {
    let source = text(&data.join("cifar10/cifar-10-batches-py"));
    let (train, val) = (format!("data_batch_1[:{train}]"), format!("data_batch_5[:{val}]"));
    prepare(desk, &["cifar", &source, "--out", "efs/datasets/cifar10", "--train", &train, "--val", &val]);
}

/// The best top-1 of a job, trained by one worker.
fn trained(desk: &Desk, run: &str, job: &Value) -> f64 {
    let file = format!("{run}.json");
    fs::write(desk.path(&file), job.to_string()).unwrap();
    let local = ["local", "--root", "efs", "--job", &file, "--run", run, "--workers", "1", "--json"];
    desk.json(&local).pop().unwrap()["best"]["score"]["top1"].as_f64().unwrap()
}

#[test]
fn one_line_makes_a_good_model_of_a_hundred_photos() {
    let Some(data) = real_data("first_hour") else { return };
    let desk = Desk::new();
    let (photos, weights) = (data.join("hymenoptera_data"), data.join("weights/squeezenet1_0.safetensors"));
    let begun = Instant::now();
    let said = desk.json(&["train", &text(&photos), "--weights", &text(&weights), "--json"]).remove(0);
    let (top1, took) = (said["score"]["top1"].as_f64().unwrap(), begun.elapsed());
    println!("top-1 {top1} in {took:?}");
    assert!(top1 >= 0.90, "{said}");
}

/// A minimal job comes within two points of the best trial of a tuning of the same job.
#[test]
fn a_minimal_job_is_as_good_as_a_tuned_one() {
    let Some(data) = real_data("first_hour") else { return };
    let desk = Desk::new();
    install(&desk, &data, &["squeezenet1_0", "squeezenet1_1", "vgg19"]);
    prepare(&desk, &["folder", &text(&data.join("hymenoptera_data")), "--out", "efs/datasets/photos"]);
    cifar(&desk, &data, 1_000, 1_000);
    for (dataset, network, size) in [
        ("photos", "squeezenet1_0", None),
        ("photos", "squeezenet1_1", None),
        ("photos", "vgg19", None),
        ("cifar10", "squeezenet1_0", Some(96)),
        ("cifar10", "squeezenet1_1", Some(96)),
        ("cifar10", "vgg19", Some(64)),
    ] {
        let mut job = json!({"dataset": dataset, "network": network});
        if let Some(size) = size {
            job["image_size"] = json!(size); // so that the test ends today
        }
        let name = format!("{dataset}-{}", network.replace('_', "-"));
        let minimal = trained(&desk, &name, &job);
        let (file, run) = (format!("{name}.json"), format!("{name}-tuned"));
        let tune = ["tune", "--root", "efs", "--job", &file, "--run", &run, "--json"];
        let tuned = desk.json(&tune).pop().unwrap();
        let best = tuned["score"]["values"][0].as_f64().unwrap();
        println!("{name}: minimal {minimal:.4}, tuned {best:.4} with {}", tuned["suggestion"]);
        assert!(minimal >= best - 0.02, "{name}: {minimal} and {best}");
    }
}

/// Each job of `docs/jobs` as it is shipped, on fewer images.
#[test]
fn every_job_of_the_documents_reaches_its_score() {
    let Some(data) = real_data("first_hour") else { return };
    let desk = Desk::new();
    install(&desk, &data, &["squeezenet1_0", "vgg19"]);
    cifar(&desk, &data, 1_000, 500);
    prepare(&desk, &["folder", &text(&data.join("hymenoptera_data")), "--out", "efs/datasets/ants-bees"]);
    let mnist = text(&data.join("mnist"));
    let few = ["--limit-train", "2000", "--limit-val", "500"];
    prepare(&desk, &[&["idx", &mnist, "--out", "efs/datasets/mnist"][..], &few].concat());
    let scores = [
        ("ants-bees", 0.80),
        ("cifar10-squeezenet", 0.70),
        ("cifar10-squeezenet-head", 0.68),
        ("cifar10-squeezenet-block", 0.69),
        ("cifar10-squeezenet-whole", 0.72),
        ("cifar10-vgg19", 0.60),
        ("mnist", 0.90),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/jobs");
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    // Jobs of another kind are trained elsewhere.
    let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut shipped: Vec<String> = paths
        .filter(|path| read(path).get("kind").is_none())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    shipped.sort();
    let mut known = scores.map(|(name, _)| name);
    known.sort_unstable();
    assert_eq!(shipped, known);
    for (name, expected) in scores {
        let job = read(&folder.join(format!("{name}.json")));
        // The deeper ones begin with this run.
        let run = if name == "cifar10-squeezenet-head" { "head" } else { name };
        let found = trained(&desk, run, &job);
        println!("{name}: {found:.4}");
        assert!(found >= expected, "{name}: {found}, expected {expected}");
    }
}
