//! The average compared with its formula, whoever sums, whatever the cuts of legs; and training, which must
//! not change.

use super::*;
use crate::sample::{Sample, job};
use protocol::RunId;
use serde_json::{Value, json};
use work::Combined;

const DECAY: f64 = 0.6;
/// More parameters than one chunk, so that there is more than one slice.
const COLUMNS: usize = 400;
const CLASSES: usize = 200;

/// Decays of jobs whose model is the one array of a state and the other.
const WEIGHTS: Option<f64> = None;
const AVERAGED: Option<f64> = Some(DECAY);

fn arrays(sample: &Sample, run: &str, combined: &Combined, decays: &[Option<f64>]) -> Vec<Vec<f32>> {
    let folder = sample.root.run(&RunId::new(run).unwrap()).combined();
    let (state, length) = (combined.state.as_ref().unwrap(), COLUMNS * CLASSES + CLASSES);
    let array = |decay: &Option<f64>| {
        model_parameters(&folder, state, &job(json!({"average_decay": decay})).training, length).unwrap()
    };
    decays.iter().map(array).collect()
}

/// Every way in which a round comes to its state.
fn ways() -> Vec<Value> {
    let mut ways = vec![json!({"agree": "gradient", "batch": 300, "optimizer": {"kind": "adamw"}})];
    for precision in ["f32", "int8"] {
        ways.push(json!({"agree": "average", "precision": precision}));
        ways.push(
            json!({"agree": "diloco", "precision": precision, "outer": {"rate": 0.7, "momentum": 0.0}}),
        );
        ways.push(
            json!({"agree": "diloco", "precision": precision, "outer": {"rate": 0.7, "momentum": 0.9}}),
        );
    }
    for way in &mut ways {
        way["rounds"] = json!(4);
        way["learning_rate"] = json!(0.01);
    }
    ways
}

#[test]
fn it_is_the_weighted_mean_of_all_rounds_and_training_does_not_notice() {
    let sample = Sample::new();
    let features = sample.store([600, 40], COLUMNS, CLASSES);
    for (number, way) in ways().into_iter().enumerate() {
        let averaged = |changes: Value| {
            let mut all = way.clone();
            all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            all["average_decay"] = json!(DECAY);
            job(all)
        };
        let name = |kind: &str| format!("{number}-{kind}");
        let plain = sample.rounds(&name("plain"), &job(way.clone()), 3, &features, 0);
        let weights: Vec<Vec<f32>> =
            plain.iter().map(|round| arrays(&sample, &name("plain"), round, &[WEIGHTS]).remove(0)).collect();
        let mut first: Option<Vec<_>> = None;
        for (kind, changes, leg_steps) in [
            ("whole", json!({}), 0),
            ("cut", json!({}), 1),
            ("sliced", json!({"reduce": "sliced"}), 0),
            ("sliced-cut", json!({"reduce": "sliced"}), 2),
        ] {
            let rounds = sample.rounds(&name(kind), &averaged(changes), 3, &features, leg_steps);
            let found = rounds.iter().map(|round| {
                (arrays(&sample, &name(kind), round, &[WEIGHTS, AVERAGED]), round.score.clone())
            });
            let found: Vec<_> = found.collect();
            for (round, (arrays, _)) in found.iter().enumerate() {
                assert!(arrays[0] == weights[round], "{way} {kind}: other weights in round {round}");
                let apart = largest_difference(&arrays[1], &mean(&weights[..=round]));
                assert!(apart < 1e-6, "{way} {kind}, round {round}: {apart}");
            }
            assert!(found[0].0[1] == weights[0], "{way} {kind}: round 1 is the weights themselves");
            assert!(
                found[0].1 == plain[0].score && found[3].1 != plain[3].score,
                "{way} {kind}: what is scored"
            );
            match &first {
                None => first = Some(found),
                Some(first) => assert!(*first == found, "{way} {kind}: other bits"),
            }
        }
    }
}

/// The formula, in f64.
fn mean(rounds: &[Vec<f32>]) -> Vec<f64> {
    let shares: Vec<f64> = (0..rounds.len()).rev().map(|ago| DECAY.powi(ago as i32)).collect();
    let total: f64 = shares.iter().sum();
    let value = |at: usize| {
        rounds.iter().zip(&shares).map(|(round, share)| share * f64::from(round[at])).sum::<f64>()
    };
    (0..rounds[0].len()).map(|at| value(at) / total).collect()
}

fn largest_difference(found: &[f32], expected: &[f64]) -> f64 {
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}
