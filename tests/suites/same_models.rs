//! The published models of jobs of all kinds are those of the committed lists of checksums, bit for bit.
//!
//! The test uses only the commands, the text of a job, and the files of a run's `model` folder. So it stays
//! the same while the crates inside change. A change that changes bits on purpose writes the lists again with
//! `BATON_SAME_MODELS=write`, and git then shows which models changed.

#[path = "same_models/list.rs"]
mod list;
#[path = "same_models/weights.rs"]
mod weights;

use list::List;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tests::{binary, real_data, stdout};
use twox_hash::XxHash3_128;
use weights::install_noise;

/// Images and weights that this repository makes itself.
#[test]
fn on_generated_images() {
    list::programs_are_built();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    stdout(&["demo", "--json", "--root", &text(root)]);
    let mut list = List::of("generated", list::rounding());
    list.add("demo", model(root, "demo"));
    let base = json!({
        "dataset": "patterns", "network": "baton_small", "image_size": 48, "unit_images": 32,
        "rounds": 3, "batch": 16, "learning_rate": 0.02, "weight_decay": 0.001, "seed": 3,
    });
    for (name, changes) in [ways(), details(), own_layers()].concat() {
        list.add(name, train(root, name, &base, &changes));
    }
    install_noise(root, "squeezenet1_1", "classifier");
    install_noise(root, "mobilenet_v2", "classifier");
    for (name, changes) in other_networks() {
        list.add(name, train(root, name, &base, &changes));
    }
    list.check();
    let mut list = List::of("burn", list::burns_instructions());
    for (name, changes) in burns() {
        list.add(name, train(root, name, &base, &changes));
    }
    list.check();
}

/// CIFAR-10 with SqueezeNet's ImageNet weights.
#[test]
fn on_real_images() {
    let Some(data) = real_data("same_models") else { return };
    list::programs_are_built();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let weights = text(&data.join("weights/squeezenet1_0.safetensors"));
    stdout(&["weights", "add", "squeezenet1_0", &weights, "--root", &text(root)]);
    prepare(&[
        "cifar",
        &text(&data.join("cifar10/cifar-10-batches-py")),
        "--out",
        &text(&root.join("datasets/cifar10")),
        "--train=data_batch_1[:160]",
        "--val=data_batch_5[:80]",
        "--test=test_batch_first1000[:40]",
    ]);
    let base = json!({
        "dataset": "cifar10", "network": "squeezenet1_0", "pool": "average", "image_size": 96,
        "unit_images": 32, "rounds": 2, "batch": 16, "learning_rate": 0.01, "weight_decay": 0.001, "seed": 1,
    });
    let whole = json!({
        "cut": "images", "pool": "none", "head": {"kind": "layers", "up_to": "fire9"},
        "learning_rate": 0.0001, "optimizer": {"kind": "adamw"},
    });
    let mut block = whole.clone();
    block["cut"] = json!("pool3");
    let layers = vec![("block", block), ("whole", whole)];
    let mut list = List::of("real", list::rounding());
    for (name, changes) in [ways(), layers].concat() {
        list.add(name, train(root, name, &base, &changes));
    }
    list.check();
}

/// The head that no small network has: VGG's fully connected layers, 119.6 million weights.
#[test]
#[ignore = "writes 6 GB and takes a minute or two"]
fn of_a_whole_classifier() {
    list::programs_are_built();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install_noise(root, "vgg11", "classifier.6");
    let out = text(&root.join("datasets/patterns"));
    prepare(&["generate", "--set=novel", "--images-per-class=4", "--val-per-class=2", "--out", &out]);
    let base = json!({
        "dataset": "patterns", "network": "vgg11", "image_size": 48, "head": {"kind": "classifier"},
        "rounds": 1, "batch": 8, "learning_rate": 0.001, "weight_decay": 0.0001, "seed": 3,
    });
    let mut list = List::of("classifier", list::rounding());
    for (name, changes) in [
        ("average", json!({"dropout": 0.5, "clip": 1.0})),
        ("gradient", json!({"agree": "gradient", "optimizer": {"kind": "adamw"}})),
        ("int8-sliced", json!({"agree": "diloco", "precision": "int8", "reduce": "sliced"})),
    ] {
        list.add(name, train(root, name, &base, &changes));
    }
    list.check();
}

type Jobs = Vec<(&'static str, Value)>;

/// Every way of agreement, both ways to sum, and a tuning; the head is one linear layer.
fn ways() -> Jobs {
    let adamw = json!({"kind": "adamw"});
    vec![
        ("average", json!({})),
        ("average-sliced", json!({"reduce": "sliced"})),
        ("average-bf16", json!({"precision": "bf16"})),
        ("gradient", json!({"agree": "gradient", "rounds": 6, "score_every": 3})),
        ("diloco-f32", json!({"agree": "diloco"})),
        ("diloco-bf16", json!({"agree": "diloco", "precision": "bf16", "optimizer": adamw})),
        (
            "diloco-int8",
            json!({"agree": "diloco", "precision": "int8", "outer": {"rate": 1.0, "momentum": 0.6}}),
        ),
        ("diloco-sliced", json!({"agree": "diloco", "precision": "int8", "reduce": "sliced"})),
        ("tuning", json!({"tune": {"trials": 6, "weight_decay": [0, 0.01], "label_smoothing": [0, 0.1]}})),
    ]
}

/// The other keys of a job.
fn details() -> Jobs {
    let (adamw, step) = (json!({"kind": "adamw"}), json!({"kind": "step", "every": 2, "factor": 0.3}));
    let augment = json!({"flip": true, "crop": 0.125, "colour": 0.1, "copies": 2});
    vec![
        ("adamw", json!({"optimizer": adamw, "schedule": step, "warmup_rounds": 1, "rounds_per_epoch": 2})),
        ("clipped", json!({"clip": 0.5, "dropout": 0.25, "label_smoothing": 0.1, "epochs_per_round": 2})),
        ("averaged", json!({"average_decay": 0.8, "reduce": "sliced", "schedule": {"kind": "constant"}})),
        (
            "one-machine",
            json!({"agree": "gradient", "dropout": 0.25, "average_decay": 0.8, "standardise": false}),
        ),
        ("augmented", json!({"augment": augment, "features": "f16", "cut": "block2", "pool": "average"})),
        ("out-of-patience", json!({"patience": 1, "rounds": 12, "learning_rate": 10.0})),
    ]
}

/// A network's own convolutions, forward and back.
fn own_layers() -> Jobs {
    let layers = |cut: &str, more: Value| {
        let mut job = json!({"cut": cut, "head": {"kind": "layers", "rate": 0.1}, "learning_rate": 0.005});
        more.as_object().into_iter().flatten().for_each(|(key, value)| job[key] = value.clone());
        job
    };
    vec![
        ("block", layers("block2", json!({}))),
        ("block-from-the-demo", layers("block2", json!({"from": "demo"}))),
        ("block-gradient", layers("block2", json!({"agree": "gradient"}))),
        ("block-int8", layers("block2", json!({"agree": "diloco", "precision": "int8", "reduce": "sliced"}))),
        ("whole", layers("images", json!({"optimizer": {"kind": "adamw"}, "clip": 1.0}))),
        (
            "whole-augmented",
            layers("images", json!({"augment": {"flip": true, "copies": 2}, "dropout": 0.1})),
        ),
    ]
}

/// Networks with the layers that `baton_small` lacks: joined maps, batch norm, depthwise convolutions,
/// residuals. Their weights are noise.
fn other_networks() -> Jobs {
    let fire = json!({"network": "squeezenet1_1", "pool": "average"});
    let inverted = json!({"network": "mobilenet_v2"});
    let layers = |mut job: Value, cut: &str| {
        job["cut"] = json!(cut);
        job["pool"] = json!("none");
        job["head"] = json!({"kind": "layers"});
        job["rounds"] = json!(2);
        job["learning_rate"] = json!(0.001);
        job
    };
    vec![
        ("squeezenet", fire.clone()),
        ("squeezenet-block", layers(fire.clone(), "pool2")),
        ("squeezenet-whole", layers(fire, "images")),
        ("mobilenet", inverted.clone()),
        ("mobilenet-block", layers(inverted.clone(), "block13")),
        ("mobilenet-whole", layers(inverted, "images")),
    ]
}

/// Jobs that burn computes. Its bits depend on more of the CPU than Baton's own.
fn burns() -> Jobs {
    let mlp = json!({"kind": "mlp", "hidden": 32});
    vec![
        ("mlp", json!({"head": mlp})),
        ("mlp-gradient", json!({"head": mlp, "agree": "gradient", "optimizer": {"kind": "adamw"}})),
        ("mlp-int8", json!({"head": mlp, "agree": "diloco", "precision": "int8", "reduce": "sliced"})),
        ("frozen-by-burn", json!({"frozen": "burn"})),
    ]
}

/// Trains a job, the base with some keys changed, with two workers in the local cloud.
fn train(root: &Path, run: &str, base: &Value, changes: &Value) -> Vec<String> {
    let mut job = base.clone();
    for (key, value) in changes.as_object().expect("an object") {
        job[key] = value.clone();
    }
    let file = root.join(format!("{run}.json"));
    fs::write(&file, job.to_string()).unwrap();
    let fixed = ["local", "--json", "--workers=2", "--root", &text(root), "--job", &text(&file)];
    stdout(&[&fixed[..], &["--run", run]].concat());
    model(root, run)
}

/// A line for each file of a run's model: its name, its checksum, and the score of `model.json`.
///
/// The whole of each file counts, because none names a time or the run. A file whose name begins with a dot
/// was not published.
fn model(root: &Path, run: &str) -> Vec<String> {
    let folder = root.join("runs").join(run).join("model");
    let line = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut line = format!("{name} {:032x}", XxHash3_128::oneshot(&bytes));
        if name == "model.json" {
            let model: Value = serde_json::from_slice(&bytes).expect("JSON");
            line.push_str(&format!(" {}", model["val"]["score"]));
        }
        line
    };
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut lines: Vec<String> =
        paths.map(|path| line(&path)).filter(|line| !line.starts_with('.')).collect();
    lines.sort();
    assert!(lines.len() >= 2, "run {run} has no model: {lines:?}");
    lines
}

/// Makes a data set.
fn prepare(arguments: &[&str]) {
    let output =
        std::process::Command::new(binary("data-prep")).args(arguments).output().expect("data-prep runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
