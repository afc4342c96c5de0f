//! Tunings on small stores: the same table and model whatever the cuts of legs and the workers; diverging
//! trials are dropped; the suggestion is good.

use crate::job::Job;
use crate::model::Model;
use crate::sample::{Sample, Stage, job, made, written};
use crate::{Transfer, plan};
use protocol::{FileRef, RunId};
use rounds::tuning::{TABLE, Table, table_of};
use serde_json::{Value, json};
use work::{Combined, Fate, Workload};

/// A job that is tuned on a sample.
fn tuned(tune: Value) -> Job {
    job(json!({"batch": 64, "rounds": 6, "warmup_rounds": 1, "tune": tune}))
}

fn table(sample: &Sample, run: &str, combined: &Combined) -> Table {
    let folder = sample.root.run(&RunId::new(run).unwrap()).combined();
    table_of(&folder, combined.state.as_ref().unwrap()).unwrap()
}

/// Content and score of each rung's result.
fn content(rungs: &[Combined]) -> Vec<(u64, String, Option<protocol::Score>)> {
    let content = |rung: &Combined| {
        let state = rung.state.as_ref().unwrap();
        (state.bytes, state.xxh3.clone(), rung.score.clone())
    };
    rungs.iter().map(content).collect()
}

#[test]
fn the_table_is_the_same_with_any_workers_and_legs() {
    let sample = Sample::new();
    // Large enough that one call of `step` is neither a sweep nor a trial of the last rung.
    let features = sample.store([600, 40], 300, 10);
    let job = tuned(
        json!({"trials": 7, "keep": 2, "epochs": 4, "weight_decay": [0, 0.01], "label_smoothing": [0, 0.1]}),
    );
    let whole = sample.rounds("whole", &job, 1, &features, 0);
    assert_eq!(whole.len(), 4, "the range test, and 7, 4 and 2 trials");
    assert!(whole[0].score.is_none() && whole[1..].iter().all(|rung| rung.score.is_some()));
    for (workers, leg_steps) in [(1, 1), (2, 0), (2, 2), (3, 1), (9, 3)] {
        let run = format!("run-{workers}-{leg_steps}");
        let rungs = sample.rounds(&run, &job, workers, &features, leg_steps);
        assert_eq!(content(&rungs), content(&whole), "{workers} workers, legs of {leg_steps}");
    }
    let places = std::fs::read_dir(sample.root.run(&RunId::new("run-1-1").unwrap()).stage(4)).unwrap();
    assert!(places.count() > 10, "the last rung was cut");
    let table = table(&sample, "whole", &whole[3]);
    let dropped = |rung| table.trials.iter().filter(|trial| trial.dropped == rung).count();
    assert_eq!([Some(2), Some(3), Some(4), None].map(dropped), [3, 2, 1, 1]);
    let (best, score) = table.best().unwrap();
    assert_eq!(Some(score), whole[3].score);
    assert_eq!(best.scores.iter().map(|score| score.epochs).collect::<Vec<_>>(), [4, 12, 28]);
    let combinations =
        table.trials.iter().map(|t| format!("{} {} {}", t.learning_rate, t.weight_decay, t.label_smoothing));
    assert_eq!(combinations.collect::<std::collections::BTreeSet<_>>().len(), 7);
}

#[test]
fn a_trial_that_is_trained_on_is_the_one_that_was_left() {
    let sample = Sample::new();
    let features = sample.store([600, 100], 40, 10);
    let job = tuned(json!({"trials": 4, "keep": 2}));
    let rungs = sample.rounds("run", &job, 2, &features, 0);
    let folder = sample.root.run(&RunId::new("run").unwrap());
    let table = table(&sample, "run", &rungs[2]);
    for stage in [2, 3] {
        for (trial, entry) in table.trials.iter().enumerate() {
            let path = folder.stage(stage).join(format!("trial-{trial:03}.safetensors"));
            let through = entry.scores.iter().any(|score| score.rung == stage);
            assert_eq!(path.is_file(), through, "trial {trial} in rung {stage}");
            if !through {
                continue;
            }
            let (_, file) = storage::read_whole(&path).unwrap();
            let steps = storage::read_tensors(&folder.stage(stage), &file).unwrap().metadata["steps"].clone();
            let expected = if stage == 2 { "10" } else { "30" };
            assert_eq!(steps, expected, "passes of 10 steps: 1, then 2 more");
        }
    }
}

#[test]
fn an_epoch_on_a_bank_is_one_pass_over_the_images() {
    let sample = Sample::with_images();
    let job =
        job(json!({"batch": 16, "augment": {"flip": true, "copies": 3}, "tune": {"trials": 1, "epochs": 2}}));
    let features = sample.features("run", &job);
    sample.rounds("run", &job, 1, &features, 0);
    let stage = sample.root.run(&RunId::new("run").unwrap()).stage(2);
    let (_, file) = storage::read_whole(&stage.join("trial-000.safetensors")).unwrap();
    let steps = &storage::read_tensors(&stage, &file).unwrap().metadata["steps"];
    assert_eq!(steps, "6", "two passes over 40 images in batches of 16");
}

#[test]
fn what_diverges_is_dropped_and_the_others_go_on() {
    let sample = Sample::new();
    let features = sample.store([400, 100], 40, 10);
    // With such a weight decay a rate above 0.2 makes the weights grow from step to step.
    let job = tuned(json!({"trials": 12, "weight_decay": [0, 10], "rates": [0.01, 1000], "epochs": 20}));
    let rungs = sample.rounds("run", &job, 2, &features, 0);
    let table = table(&sample, "run", rungs.last().unwrap());
    let diverged: Vec<_> = table.trials.iter().filter(|trial| trial.diverged).collect();
    println!("rates {:?}, {} of 12 diverged", table.rates, diverged.len());
    assert!(!diverged.is_empty() && diverged.len() < 6, "{:?}", table.trials);
    assert!(diverged.iter().all(|trial| trial.weight_decay == 10.0 && trial.dropped.is_some()));
    let (best, score) = table.best().unwrap();
    assert!(!best.diverged && score.values[0] > 0.5, "{best:?}");
}

#[test]
fn where_every_trial_diverges_the_rates_are_named() {
    let sample = Sample::new();
    let features = sample.store([400, 10], 6, 3);
    let mut job = tuned(json!({"trials": 2, "weight_decay": [10], "rates": [900, 1000], "epochs": 20}));
    job.standardise = Some(false);
    let mut state: Option<FileRef> = None;
    let error = (1..=2).find_map(|stage| {
        let (job, features, run) = (&job, &features, "run");
        let stage =
            Stage { run, job, workers: 2, stage, features, state: state.as_ref(), leg_steps: 0, threads: 1 };
        match sample.stage(&stage) {
            Ok(combined) => {
                state = combined.state;
                None
            }
            Err(error) => Some(error),
        }
    });
    let error = error.expect("it diverges");
    assert!(error.to_string().contains("job.tune.rates") && error.to_string().contains("900"), "{error}");
    assert_eq!(error.fate, Fate::Halt);
}

#[test]
fn the_suggested_rate_is_among_the_best_of_the_grid_and_clearly_better_than_its_worst() {
    let sample = Sample::new();
    let features = sample.store([400, 200], 40, 10);
    let tune = tuned(json!({"trials": 6, "keep": 2, "epochs": 2}));
    let rungs = sample.rounds("run", &tune, 2, &features, 0);
    let table = table(&sample, "run", rungs.last().unwrap());
    // The same job, trained as a run with each of the rates.
    let trained = |trial: usize| {
        let learning_rate = table.trials[trial].learning_rate;
        let mut job = tune.clone();
        (job.training.learning_rate, job.training.tune) = (Some(learning_rate), None);
        sample.rounds(&format!("run-{trial}"), &job, 1, &features, 0).pop().unwrap().score.unwrap().values[0]
    };
    let all: Vec<f64> = (0..6).map(trained).collect();
    let (suggested, low, high) = (
        all[table.ranking()[0]],
        all.iter().fold(1.0, |a, &b| f64::min(a, b)),
        all.iter().fold(0.0, |a, &b| f64::max(a, b)),
    );
    println!("{suggested} of {all:?} at rates {:?}", table.rates);
    assert!(suggested > low + 0.1 && suggested > high - 0.05, "{suggested} of {all:?}");
}

/// Runs a tuning from its plan to its model; returns the bytes of the table and of the model's description
/// and tensors.
fn whole_tuning(sample: &Sample, run: &str, job: &Job, workers: u32, leg_steps: usize) -> [Vec<u8>; 3] {
    let plan = plan(&sample.root, job, 2).unwrap();
    let mut features = plan.features;
    let mut state: Option<FileRef> = None;
    for stage in u32::from(features.manifest.is_some())..crate::course(job).end() {
        let (stage, threads) = (stage, workers as usize);
        let of = Stage {
            run,
            job,
            workers,
            stage,
            features: &features,
            state: state.as_ref(),
            leg_steps,
            threads,
        };
        let combined = sample.stage(&of).unwrap();
        state = combined.state;
        features.manifest = features.manifest.or(combined.features);
    }
    let id = RunId::new(run).unwrap();
    let folder = sample.root.run(&id).model();
    for _ in 0..2 {
        sample.finish(run, job, &features, state.as_ref().unwrap(), 1).unwrap();
    }
    let (table, model) = (Table::open(&folder).unwrap(), Model::open(&folder).unwrap());
    let (published, found) = (model.val.unwrap().score, table.best().unwrap().1);
    assert_eq!(
        (published.top1, published.top5),
        (found.values[0], found.values[2]),
        "the best trial's head is the model"
    );
    [TABLE, crate::model::MODEL, &model.head.name].map(|name| std::fs::read(folder.join(name)).unwrap())
}

#[test]
fn a_tuning_ends_with_the_best_head_and_the_table_beside_it() {
    let job = job(json!({"tune": {"trials": 6, "keep": 2, "label_smoothing": [0, 0.1]}}));
    let samples = [Sample::with_images(), Sample::with_images()];
    let expected = whole_tuning(&samples[0], "whole", &job, 1, 0);
    assert_eq!(whole_tuning(&samples[1], "cut", &job, 3, 1), expected);
    assert_eq!(whole_tuning(&samples[1], "again", &job, 2, 0), expected, "with the features that are there");
}

#[test]
fn a_damaged_result_is_made_again_to_the_same_bytes() {
    let sample = Sample::new();
    let features = sample.store([200, 40], 30, 10);
    let job = tuned(json!({"trials": 4, "keep": 2}));
    let whole = sample.rounds("run", &job, 1, &features, 0);
    let (run, folder) = (RunId::new("run").unwrap(), sample.root.run(&RunId::new("run").unwrap()));
    for rung in 1..=3_u32 {
        let state = (rung > 1).then(|| whole[rung as usize - 2].state.as_ref().unwrap());
        let files = std::fs::read_dir(folder.stage(rung)).unwrap().map(|file| file.unwrap().path());
        let result = files.into_iter().find(|file| file.to_string_lossy().contains("worker-000")).unwrap();
        let (mut bytes, reference) = storage::read_whole(&result).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&result, bytes).unwrap();
        let stage = work::Stage {
            root: &sample.root,
            run: &run,
            job: &written(&job),
            course: &crate::course(&job),
            number: rung,
            workers: 1,
            features: &features,
            state,
            threads: 1,
        };
        let again = made(Transfer.combine(&stage, &[reference], None).unwrap());
        assert_eq!(content(&[again.unwrap()])[0], content(&whole)[rung as usize - 1], "rung {rung}");
    }
}
