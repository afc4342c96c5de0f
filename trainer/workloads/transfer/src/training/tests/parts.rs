//! Rounds that are a part of a pass, and rounds that are not scored.

use super::parameters;
use crate::sample::{Sample, Stage, job};
use serde_json::{Value, json};
use work::Fate;

#[test]
fn a_pass_in_three_rounds_is_a_pass_in_one() {
    let sample = Sample::new();
    let features = sample.store([600, 20], 40, 10);
    let last = |run: &str, changes: Value| {
        let mut way = json!({"batch": 50, "learning_rate": 0.05, "schedule": {"kind": "constant"},
            "dropout": 0.2, "optimizer": {"kind": "adamw"}});
        way.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let all = sample.rounds(run, &job(way), 1, &features, 0);
        parameters(&sample, run, all.last().unwrap().state.as_ref().unwrap())
    };
    let whole = last("whole", json!({"rounds": 2}));
    assert!(last("parts", json!({"rounds": 6, "rounds_per_epoch": 3})) == whole);
    assert!(last("fewer", json!({"rounds": 5, "rounds_per_epoch": 3})) != whole);
}

#[test]
fn a_pass_has_no_more_rounds_than_images() {
    let sample = Sample::new();
    let features = sample.store([5, 3], 4, 2);
    let parts = |parts: u32| {
        let (run, job) = ("run", &job(json!({"rounds_per_epoch": parts, "agree": "diloco"})));
        let (features, state) = (&features, None);
        sample.stage(&Stage { run, job, workers: 2, stage: 1, features, state, leg_steps: 0, threads: 1 })
    };
    let error = parts(6).unwrap_err();
    assert!(error.fate == Fate::Halt && error.to_string().contains("rounds_per_epoch"), "{error}");
    assert!(parts(5).unwrap().score.unwrap().values[1].is_finite());
}

#[test]
fn a_round_that_is_not_scored_is_trained_alike() {
    let sample = Sample::new();
    let features = sample.store([600, 60], 400, 200);
    for reduce in ["single", "sliced"] {
        let all = |every: u32| {
            let job = job(json!({"rounds": 5, "score_every": every, "reduce": reduce}));
            sample.rounds(&format!("{reduce}-{every}"), &job, 2, &features, 0)
        };
        let (each, some) = (all(1), all(2));
        let scores =
            some.iter().zip(&each).map(|(some, each)| some.score.is_some() && some.score == each.score);
        assert_eq!(scores.collect::<Vec<_>>(), [false, true, false, true, true], "{reduce}");
        assert!(each.iter().all(|round| round.score.is_some()));
    }
}
