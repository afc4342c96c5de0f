//! Heads in rounds on a small feature store: equal to one machine, the same bytes however legs are cut, bad
//! numbers named.

mod moving;
mod parts;
mod tuning;

use super::TrainedHead;
use crate::features;
use crate::job::Job;
use crate::sample::{Sample, Stage, job};
use protocol::{FeatureStore, RunId, Score};
use rounds::keys::Reduce;
use rounds::{Trainable, model_parameters, rate};
use serde_json::{Value, json};
use work::{Combined, Fate};

/// The parameters that a combine published.
fn parameters(sample: &Sample, run: &str, state: &protocol::FileRef) -> Vec<f32> {
    let folder = sample.root.run(&RunId::new(run).unwrap()).combined();
    let length = storage::read_tensors(&folder, state).unwrap().tensors["parameters"].shape[0];
    model_parameters(&folder, state, &job(json!({})).training, length).unwrap()
}

/// The same of a head whose size is known, in slices or not, with its score.
fn found(sample: &Sample, run: &str, combined: &Combined, length: usize) -> (Vec<u32>, Option<Score>) {
    let folder = sample.root.run(&RunId::new(run).unwrap()).combined();
    let state = combined.state.as_ref().unwrap();
    let parameters = model_parameters(&folder, state, &job(json!({})).training, length).unwrap();
    (parameters.into_iter().map(f32::to_bits).collect(), combined.score.clone())
}

/// Every way to agree, with every optimizer and precision that goes with it.
fn every_way() -> Vec<Value> {
    let sgd = || json!({"kind": "sgd", "momentum": 0.9});
    let adamw = || json!({"kind": "adamw"});
    let mut ways = Vec::new();
    for (agree, precisions) in [
        ("gradient", &["f32"][..]),
        ("average", &["f32", "bf16", "int8"]),
        ("diloco", &["f32", "bf16", "int8"]),
    ] {
        for precision in precisions {
            for optimizer in [sgd(), adamw()] {
                let rate = if optimizer["kind"] == "sgd" { 0.05 } else { 0.005 };
                ways.push(
                    json!({"agree": agree, "precision": precision, "optimizer": optimizer, "rounds": 3,
                    "learning_rate": rate, "epochs_per_round": if agree == "gradient" { 1 } else { 2 },
                    "batch": if agree == "gradient" { 600 } else { 64 }}),
                );
            }
        }
    }
    ways.push(json!({
        "agree": "diloco", "precision": "int8", "optimizer": adamw(), "rounds": 3, "rounds_per_epoch": 2,
        "learning_rate": 0.005,
    }));
    ways
}

/// Softmax regression by SGD with Nesterov momentum in f64, written out plainly: one machine on the same
/// batches.
fn plain_loop(sample: &Sample, job: &Job, features: &FeatureStore) -> Vec<f64> {
    let store = features::open(&sample.root, job, features).unwrap();
    let head = TrainedHead::on(store, &sample.root, job, 1).unwrap();
    let (store, examples) = (head.store(), head.examples());
    let train = store.split("train").unwrap();
    let (rows, columns, classes) = (train.len(), store.columns(), store.classes());
    let all = train.read(0..rows).unwrap();
    let mut parameters: Vec<f64> = head.first().unwrap().into_iter().map(f64::from).collect();
    let mut velocity = vec![0.0; parameters.len()];
    let (batch, weights) = (job.training.batch(), columns * classes);
    let steps = rows.div_ceil(batch);
    for step in 0..job.training.rounds as usize {
        let order = examples.order(job.training.seed, (step / steps) as u32, 0);
        let from = step % steps * batch;
        let rows = &order[from..rows.min(from + batch)];
        let mut gradient = vec![0.0; parameters.len()];
        for &row in rows {
            let x = &all[row as usize * columns..][..columns];
            let score = |c: usize| -> f64 {
                let row = &parameters[c * columns..(c + 1) * columns];
                parameters[weights + c] + row.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum::<f64>()
            };
            let exponentials: Vec<f64> = (0..classes).map(|c| score(c).exp()).collect();
            let total: f64 = exponentials.iter().sum();
            for c in 0..classes {
                let target = if train.labels()[row as usize] as usize == c { 1.0 } else { 0.0 };
                let error = (exponentials[c] / total - target) / rows.len() as f64;
                gradient[weights + c] += error;
                x.iter().enumerate().for_each(|(i, &x)| gradient[c * columns + i] += error * f64::from(x));
            }
        }
        let rate = rate(&job.training, step as f64, 1.0);
        for ((value, velocity), g) in parameters.iter_mut().zip(&mut velocity).zip(gradient) {
            *velocity = 0.9 * *velocity + g;
            *value -= rate * (g + 0.9 * *velocity);
        }
    }
    parameters
}

#[test]
fn gradient_with_any_number_of_workers_is_one_machine() {
    let sample = Sample::new();
    let features = sample.store([50, 20], 12, 4);
    let job = job(json!({"agree": "gradient", "rounds": 12, "batch": 16}));
    let expected = plain_loop(&sample, &job, &features);
    for workers in [1, 2, 5, 16] {
        let run = format!("run-{workers}");
        let all = sample.rounds(&run, &job, workers, &features, 0);
        let found = parameters(&sample, &run, all.last().unwrap().state.as_ref().unwrap());
        let difference =
            found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        println!("{workers} workers: largest difference {difference:.1e}");
        assert!(difference < 2e-6, "{workers} workers: {difference}");
    }
}

#[test]
fn what_is_dropped_of_an_image_does_not_depend_on_its_worker() {
    let sample = Sample::new();
    let features = sample.store([50, 20], 12, 4);
    let last = |run: &str, workers: u32, dropout: f64| {
        let job = job(json!({"agree": "gradient", "rounds": 12, "batch": 16, "dropout": dropout}));
        let all = sample.rounds(run, &job, workers, &features, 0);
        parameters(&sample, run, all.last().unwrap().state.as_ref().unwrap())
    };
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let one = last("one", 1, 0.4);
    for workers in [2, 5, 16] {
        let found = last(&format!("run-{workers}"), workers, 0.4);
        assert!(apart(&found, &one) < 2e-6, "{workers} workers: {}", apart(&found, &one));
    }
    assert!(apart(&last("plain", 1, 0.0), &one) > 1e-3);
}

#[test]
fn legs_cut_anywhere_give_the_same_bytes() {
    let sample = Sample::new();
    // Large enough that one call of `step` is not the whole round.
    let features = sample.store([600, 20], 300, 10);
    let mlp = json!({"kind": "mlp", "hidden": 128});
    for (name, changes) in [
        ("average", json!({"epochs_per_round": 2, "optimizer": {"kind": "adamw"}, "head": mlp})),
        ("gradient", json!({"agree": "gradient", "batch": 600})),
        ("dropout", json!({"epochs_per_round": 2, "dropout": 0.3, "head": mlp})),
        ("gradient-dropout", json!({"agree": "gradient", "batch": 600, "dropout": 0.3})),
    ] {
        let mut job = job(changes);
        job.training.rounds = 2;
        let whole = sample.rounds(&format!("{name}-whole"), &job, 2, &features, 0);
        let cut = sample.rounds(&format!("{name}-cut"), &job, 2, &features, 1);
        for (whole, cut) in whole.iter().zip(&cut) {
            let (a, b) = (whole.state.as_ref().unwrap(), cut.state.as_ref().unwrap());
            assert_eq!((&a.xxh3, a.bytes, &whole.score), (&b.xxh3, b.bytes, &cut.score), "{name}");
        }
        let places =
            std::fs::read_dir(sample.root.run(&RunId::new(format!("{name}-cut")).unwrap()).stage(1)).unwrap();
        assert!(places.count() > 3, "{name} was cut");
    }
}

#[test]
fn a_resumed_run_in_slices_is_the_uninterrupted_one_in_one_piece() {
    let sample = Sample::new();
    // 400 features and 200 classes: more parameters than one chunk, so that there is more than one slice.
    let features = sample.store([600, 40], 400, 200);
    let length = 400 * 200 + 200;
    for (number, way) in every_way().into_iter().enumerate() {
        let whole = sample.rounds(&format!("{number}-whole"), &job(way.clone()), 3, &features, 0);
        let mut sliced = job(way.clone());
        sliced.training.reduce = Some(Reduce::Sliced);
        for (kind, job, leg_steps) in
            [("cut", &job(way.clone()), 1), ("sliced", &sliced, 0), ("sliced and cut", &sliced, 2)]
        {
            let run = format!("{number}-{}", kind.replace(' ', "-"));
            let rounds = sample.rounds(&run, job, 3, &features, leg_steps);
            assert_eq!(rounds.len(), whole.len(), "{way} {kind}");
            for (round, whole) in rounds.iter().zip(&whole) {
                let expected = found(&sample, &format!("{number}-whole"), whole, length);
                assert!(found(&sample, &run, round, length) == expected, "{way} {kind}");
            }
        }
        assert_ne!(whole[0].score, whole[2].score, "{way}: something is learned in every round");
    }
}

#[test]
fn few_bytes_lose_next_to_nothing() {
    let sample = Sample::new();
    let features = sample.store([600, 200], 40, 10);
    let last = |precision: &str| {
        let job = job(json!({"agree": "diloco", "precision": precision, "rounds": 6, "learning_rate": 0.05,
            "optimizer": {"kind": "sgd"}, "batch": 16}));
        sample.rounds(precision, &job, 4, &features, 0).pop().unwrap().score.unwrap()
    };
    let [exact, halves, bytes] = ["f32", "bf16", "int8"].map(last);
    println!(
        "loss {:.5} in f32, {:.5} in bf16, {:.5} in int8",
        exact.values[1], halves.values[1], bytes.values[1]
    );
    assert!(
        (exact.values[1] - halves.values[1]).abs() < 0.002
            && (exact.values[1] - bytes.values[1]).abs() < 0.01
    );
    assert!(exact.values[0] > 0.4, "{exact:?}");
}

#[test]
fn what_workers_publish_has_the_size_of_its_precision() {
    let sample = Sample::new();
    let features = sample.store([60, 20], 400, 200);
    let length = 400 * 200 + 200;
    for (precision, each) in [("f32", 4.0), ("bf16", 2.0), ("int8", 1.0)] {
        let job = job(json!({"agree": "diloco", "precision": precision, "rounds": 1}));
        sample.rounds(precision, &job, 2, &features, 0);
        let folder = sample.root.run(&RunId::new(precision).unwrap()).stage(1);
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
        let published = files.filter(|file| file.file_name().to_string_lossy().starts_with("worker-"));
        let sizes: Vec<f64> = published.map(|file| file.metadata().unwrap().len() as f64).collect();
        let most = each * f64::from(length) * 1.01 + 1_000.0;
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size < most), "{precision}: {sizes:?}");
    }
}

#[test]
fn a_store_larger_than_memory_is_gone_through_in_windows() {
    let sample = Sample::new();
    let features = sample.store([26_000, 20], 1_024, 10); // 106 MB: more than is kept
    let job = job(json!({"rounds": 1, "batch": 64, "learning_rate": 0.01}));
    let whole = sample.rounds("whole", &job, 1, &features, 0);
    let cut = sample.rounds("cut", &job, 1, &features, 9);
    let (whole, cut) = (whole[0].state.as_ref().unwrap(), cut[0].state.as_ref().unwrap());
    assert_eq!(whole.xxh3, cut.xxh3);
    let folder = sample.root.run(&RunId::new("whole").unwrap()).combined();
    let notes = storage::read_tensors(&folder, whole).unwrap().metadata;
    let loss: f64 = notes["train_loss"].parse().unwrap();
    assert!(loss < 2.0, "mean loss {loss}: it has learned more than chance, ln 10 = 2.3");
}

#[test]
fn average_learns_and_its_score_counts_every_image() {
    let sample = Sample::new();
    let features = sample.store([200, 60], 12, 4);
    let all = sample.rounds("run", &job(json!({"rounds": 15})), 3, &features, 0);
    let scores: Vec<_> = all.iter().map(|combined| combined.score.clone().unwrap()).collect();
    let (first, last) = (&scores[0], &scores[14]);
    assert!(
        last.values[0] > 0.7 && last.values[0] > first.values[0] && last.values[1] < first.values[1],
        "{first:?} {last:?}"
    );
    assert!(scores.iter().all(|score| score.of == 60 && score.values[2] == 1.0));
}

#[test]
fn more_workers_than_images_is_fine() {
    let sample = Sample::new();
    let features = sample.store([5, 3], 4, 2);
    for agree in ["average", "gradient"] {
        let job = job(json!({"agree": agree, "rounds": 2}));
        let all = sample.rounds(agree, &job, 8, &features, 0);
        assert!(all.iter().all(|combined| combined.score.as_ref().unwrap().values[1].is_finite()));
    }
}

#[test]
fn momentum_and_steps_outlive_the_round() {
    let sample = Sample::new();
    let features = sample.store([40, 10], 6, 3);
    // One worker that averages with nobody, with a constant rate: two rounds of one pass are plain training.
    let job = job(json!({"rounds": 2, "schedule": {"kind": "constant"}, "optimizer": {"kind": "adamw"}}));
    let all = sample.rounds("run", &job, 1, &features, 0);
    let folder = sample.root.run(&RunId::new("run").unwrap()).combined();
    let state = |round: usize| storage::read_tensors(&folder, all[round].state.as_ref().unwrap()).unwrap();
    assert_eq!((state(0).metadata["steps"].as_str(), state(1).metadata["steps"].as_str()), ("5", "10"));
    assert_ne!(state(0).tensors["square"], state(1).tensors["square"]);
}

#[test]
fn training_that_diverges_halts_with_round_and_worker() {
    let sample = Sample::new();
    let features = sample.store([400, 10], 6, 3);
    let mut job =
        job(json!({"learning_rate": 1000.0, "weight_decay": 10.0, "schedule": {"kind": "constant"}}));
    job.standardise = Some(false);
    let mut state = None;
    let error = (1..=job.training.rounds).find_map(|stage| {
        let stage = Stage {
            run: "run",
            job: &job,
            workers: 2,
            stage,
            features: &features,
            state: state.as_ref(),
            leg_steps: 0,
            threads: 1,
        };
        match sample.stage(&stage) {
            Ok(combined) => {
                state = combined.state;
                None
            }
            Err(error) => Some(error),
        }
    });
    let error = error.expect("it diverges");
    assert!(error.words.contains("not finite in round") && error.fate == Fate::Halt, "{error}");
    assert!(error.to_string().contains("worker 0") && error.to_string().contains("1000"), "{error}");
}

#[test]
fn a_damaged_shard_or_result_is_named() {
    // Its weights and data set are there, but the store is not made of them: nothing can compute it again.
    let sample = Sample::with_images();
    let features = sample.store([40, 10], 6, 3);
    let folder = sample.root.features(&features.key).unwrap();
    let shard = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path());
    let shard = shard.into_iter().find(|f| f.to_string_lossy().contains("train-")).unwrap();
    let mut bytes = std::fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let job = job(json!({}));
    let stage = Stage {
        run: "run",
        job: &job,
        workers: 1,
        stage: 1,
        features: &features,
        state: None,
        leg_steps: 0,
        threads: 1,
    };
    let error = sample.stage(&stage).unwrap_err();
    assert!(error.to_string().contains(shard.file_name().unwrap().to_str().unwrap()), "{error}");
    assert_eq!(error.fate, Fate::Halt);
}

#[test]
fn a_damaged_result_is_computed_again_by_whoever_sums_it() {
    let sample = Sample::new();
    let features = sample.store([600, 40], 400, 200);
    let sliced = job(json!({"reduce": "sliced", "rounds": 1}));
    let stage = |run, stage, state: Option<&protocol::FileRef>| {
        let (job, features) = (&sliced, &features);
        sample
            .stage(&Stage { run, job, workers: 2, stage, features, state, leg_steps: 0, threads: 1 })
            .unwrap()
    };
    let run = |name: &'static str, damage: bool| {
        let list = stage(name, 1, None).state;
        let folder = sample.root.run(&RunId::new(name).unwrap()).stage(1);
        let results = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        for file in results.filter(|_| damage) {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
        let combined = stage(name, 2, list.as_ref());
        found(&sample, name, &combined, 400 * 200 + 200)
    };
    assert!(run("damaged", true) == run("whole", false));
}
