//! The keys of a job that rounds read: taken, put back, refused by name.

use super::*;
use protocol::{Error, refuse_rest};
use serde_json::{Map, Value, json};

/// The keys of a job that has no others.
pub(super) fn read(keys: Value) -> Result<Training, Error> {
    let Value::Object(mut keys) = keys else { unreachable!("an object") };
    let training = Training::take(&mut keys)?;
    refuse_rest(&keys, &[Training::NAMES], &[Training::ALIASES])?;
    training.check()?;
    Ok(training)
}

#[test]
fn every_key_has_a_name_and_every_name_a_key() {
    let whole = json!({"agree": "diloco", "outer": {}, "reduce": "single", "clip": 1, "average_decay": 0.5,
        "patience": 3, "tune": {}, "batch": 8, "optimizer": {"kind": "adamw"}, "learning_rate": 0.1});
    let training: Training = serde_json::from_value(whole).unwrap();
    let mut keys = Map::new();
    training.put(&mut keys);
    let mut names = Training::NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(keys.keys().collect::<Vec<_>>(), names);
    assert_eq!(Training::take(&mut keys).unwrap(), training);
    assert!(keys.is_empty(), "{keys:?}");
    assert_eq!(read(json!({})).unwrap(), Training::default());
}

#[test]
fn a_sum_of_gradients_is_exact() {
    let error = read(json!({"agree": "gradient", "precision": "int8"})).unwrap_err().to_string();
    assert!(error.contains("precision"), "{error}");
}

#[test]
fn a_round_is_several_passes_or_a_part_of_one() {
    assert_eq!(read(json!({"rounds_per_epoch": 3, "agree": "diloco"})).unwrap().rounds_per_epoch, 3);
    for (key, value) in [("epochs_per_round", json!(2)), ("agree", json!("gradient"))] {
        let error = read(json!({"rounds_per_epoch": 3, key: value})).unwrap_err().to_string();
        assert!(error.contains("rounds_per_epoch") && error.contains('3'), "{error}");
    }
}

#[test]
fn bad_keys_are_refused_by_name() {
    for (key, value) in [
        ("learning_rate", json!(-0.1)),
        ("learning_rate", json!("fast")),
        ("batch", json!(0)),
        ("momentum", json!(0.9)),
        ("label_smoothing", json!(1.0)),
        ("average_decay", json!(1.0)),
        ("optimizer", json!({"kind": "sgd", "momentum": 1.5})),
        ("optimizer", json!({"kind": "lion"})),
        ("outer", json!({"rate": 0.5})),
        ("rounds_per_epoch", json!(0)),
        ("score_every", json!(0)),
    ] {
        let error = read(json!({key: value})).unwrap_err().to_string();
        assert!(error.contains(&format!("job.{key}")), "{key}: {error}");
    }
}

#[test]
fn other_names_lead_to_the_key() {
    for (key, meant) in [
        ("lr", "learning_rate"),
        ("epochs", "rounds"),
        ("batch_size", "batch"),
        ("weight_dekay", "weight_decay"),
    ] {
        let error = read(json!({key: 1})).unwrap_err().to_string();
        assert!(
            error.contains(&format!("job.{key}: found 1")) && error.contains(&format!("`{meant}`")),
            "{error}"
        );
    }
}

#[test]
fn a_sliced_round_has_two_stages() {
    let stages = |keys: Value| read(keys).unwrap().course("t".into(), &["features"], "images", Vec::new());
    assert_eq!(stages(json!({"reduce": "sliced"})).round, ["train", "sums"]);
    let tuned = stages(json!({"tune": {}}));
    assert_eq!(
        (tuned.round, tuned.rounds, tuned.called, tuned.best),
        (vec!["train".into()], 4, "rung".into(), Best::Last)
    );
}
