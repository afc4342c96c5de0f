//! A tuning: a run whose rounds are rungs. Rung 1 is a learning-rate range test. Each later one trains the
//! remaining trials and keeps the best of them (successive halving; Jamieson and Talwalkar, 2016).

use serde::{Deserialize, Serialize};

/// The combinations to try, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tune {
    /// Combinations of rate, weight decay and label smoothing that are trained.
    pub trials: u32,
    /// The lowest and the highest learning rate of the range test.
    pub rates: [f64; 2],
    /// The weight decays to try; none means the job's own.
    pub weight_decay: Vec<f64>,
    /// The label smoothings to try; none means the job's own.
    pub label_smoothing: Vec<f64>,
    /// One in this many trials goes on to the next rung.
    pub keep: u32,
    /// Passes over the training images in the first rung of trials;
    /// each later one has `keep` times as many, for that many fewer trials.
    pub epochs: u32,
}

impl Default for Tune {
    fn default() -> Tune {
        Tune {
            trials: 18,
            rates: [1e-5, 10.0],
            weight_decay: Vec::new(),
            label_smoothing: Vec::new(),
            keep: 3,
            epochs: 1,
        }
    }
}

/// The rung of the range test.
const RANGE_TEST: u32 = 1;

impl Tune {
    /// Whether a rung, counted from 1, is the range test.
    pub fn is_range_test(&self, rung: u32) -> bool {
        rung == RANGE_TEST
    }

    /// How many trials are trained in a rung; 0 in the range test.
    pub fn trials_in(&self, rung: u32) -> u32 {
        match rung.saturating_sub(RANGE_TEST) {
            0 => 0,
            number => (1..number).fold(self.trials, |left, _| left.div_ceil(self.keep())),
        }
    }

    /// How many of them go on to the next rung; after the last one it is one.
    pub fn kept_after(&self, rung: u32) -> u32 {
        self.trials_in(rung).div_ceil(self.keep())
    }

    /// Passes over the training images that each trial of a rung makes in it.
    pub fn epochs_in(&self, rung: u32) -> u32 {
        self.epochs.saturating_mul(self.keep().saturating_pow(rung.saturating_sub(RANGE_TEST + 1)))
    }

    /// Rungs in all: the range test, and rungs of trials until one is left.
    pub fn rungs(&self) -> u32 {
        let mut rung = RANGE_TEST + 1;
        while self.kept_after(rung) > 1 {
            rung += 1;
        }
        rung
    }

    /// A ledger may contain a value that no job may have: rungs end nevertheless.
    fn keep(&self) -> u32 {
        self.keep.max(2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use crate::Training;
    use protocol::Error;
    use serde_json::{Value, json};

    fn job(tune: Value) -> Result<Training, Error> {
        read(json!({"tune": tune}))
    }

    #[test]
    fn each_rung_has_a_share_of_the_trials_for_as_many_times_the_epochs() {
        let rungs = |tune: Value| {
            let tune = job(tune).unwrap().tune.unwrap();
            let rung = |rung| (tune.trials_in(rung), tune.epochs_in(rung), tune.kept_after(rung));
            (1..=tune.rungs()).map(rung).collect::<Vec<_>>()
        };
        assert_eq!(rungs(json!({})), [(0, 1, 0), (18, 1, 6), (6, 3, 2), (2, 9, 1)]);
        assert_eq!(
            rungs(json!({"trials": 5, "keep": 2, "epochs": 3})),
            [(0, 3, 0), (5, 3, 3), (3, 6, 2), (2, 12, 1)]
        );
        assert_eq!(rungs(json!({"trials": 1})), [(0, 1, 0), (1, 1, 1)]);
    }

    #[test]
    fn the_rounds_of_a_tuning_are_its_rungs() {
        let mut tuned = job(json!({})).unwrap();
        assert_eq!((tuned.rounds, tuned.rounds_in_all()), (20, 4));
        tuned.tune = None;
        assert_eq!(tuned.rounds_in_all(), 20);
    }

    #[test]
    fn bad_tunings_are_refused_by_key() {
        for (tune, key) in [
            (json!({"trials": 0}), "tune.trials: found 0"),
            (
                json!({"trials": 3, "weight_decay": [0, 0.1], "label_smoothing": [0, 0.1]}),
                "tune.trials: found 3",
            ),
            (json!({"rates": [0, 1]}), "tune.rates"),
            (json!({"rates": [1, 0.1]}), "tune.rates"),
            (json!({"weight_decay": [0, 11]}), "tune.weight_decay: found 11"),
            (json!({"weight_decay": [0, 0]}), "tune.weight_decay: found 0 twice"),
            (json!({"label_smoothing": [1]}), "tune.label_smoothing: found 1"),
            (json!({"keep": 1}), "tune.keep: found 1"),
            (json!({"epochs": 0}), "tune.epochs: found 0"),
            (json!({"epochs": 5_000, "trials": 1_000, "keep": 2}), "tune.epochs: found 5000"),
            (json!({"rate": 1}), "job.tune: found {\"rate\":1}, expected one of `trials`"),
        ] {
            let error = job(tune.clone()).unwrap_err().to_string();
            assert!(error.contains(key), "{tune}: {error}");
        }
    }

    #[test]
    fn what_does_not_go_with_a_tuning_is_refused_by_name() {
        for (key, value) in [
            ("agree", json!("gradient")),
            ("agree", json!("diloco")),
            ("precision", json!("int8")),
            ("reduce", json!("sliced")),
            ("patience", json!(3)),
            ("average_decay", json!(0.9)),
        ] {
            let error = read(json!({"tune": {}, key: value})).unwrap_err().to_string();
            assert!(error.contains(&format!("job.{key}")) && error.contains("tun"), "{key} {value}: {error}");
        }
    }
}
