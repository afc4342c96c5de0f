//! A job of matrix factorisation.

use protocol::check::{name, number, whole};
use protocol::{Error, Keys, refuse_rest};
use serde::{Deserialize, Serialize};

/// A job of matrix factorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The ratings: a folder under `datasets/`.
    pub dataset: String,
    /// How the factors are found.
    #[serde(default)]
    pub solve: Solve,
    /// The number of factors of a user and of an item.
    #[serde(default = "factors")]
    pub factors: u32,
    /// Sweeps over users and items with `als`, steps with `gradient`; none means 10 or 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// The weight of the squared numbers of a user or an item, times its count of ratings.
    #[serde(default = "regularisation")]
    pub regularisation: f64,
    /// The first factors are drawn from this below 0 to this above 0.
    #[serde(default = "spread")]
    pub spread: f64,
    /// Rounds from one scoring of the validation split to the next; the last round is always scored.
    #[serde(default = "one")]
    pub score_every: u32,
    /// Rounds without a better validation score after which the run ends; none means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// With `gradient`: the learning rate; none means 0.5 over a row, and 1000 over all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// With `gradient`: the momentum; none means 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// With `gradient`: the ratings over which a gradient is the mean; none means those of the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_over: Option<Over>,
    /// Seed of the first factors.
    #[serde(default)]
    pub seed: u64,
}

/// How the factors are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solve {
    /// Alternating least squares: all users, then all items, each exactly.
    #[default]
    Als,
    /// Gradient descent with momentum, each step over all ratings.
    Gradient,
}

/// The ratings over which a gradient is the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The ratings of the user or the item itself.
    #[default]
    Row,
    /// All ratings: a user with few ratings then hardly moves.
    All,
}

impl Keys for Job {
    const NAMES: &[&str] = &[
        "dataset",
        "solve",
        "factors",
        "rounds",
        "regularisation",
        "spread",
        "score_every",
        "patience",
        "learning_rate",
        "momentum",
        "mean_over",
        "seed",
    ];
    const ALIASES: &[(&str, &str)] = &[
        ("ratings", "dataset"),
        ("data", "dataset"),
        ("solver", "solve"),
        ("rank", "factors"),
        ("k", "factors"),
        ("iterations", "rounds"),
        ("epochs", "rounds"),
        ("sweeps", "rounds"),
        ("lambda", "regularisation"),
        ("regularization", "regularisation"),
        ("weight_decay", "regularisation"),
        ("lr", "learning_rate"),
    ];
}

impl Job {
    /// Reads and checks the keys of a job.
    ///
    /// # Errors
    /// [`Error::Refused`] with the key.
    pub fn of(job: &protocol::Job) -> Result<Job, Error> {
        let mut keys = job.keys.clone();
        let job = Job::take(&mut keys)?;
        refuse_rest(&keys, &[Job::NAMES], &[Job::ALIASES])?;
        name("dataset", &job.dataset)?;
        whole("factors", job.factors, 1, 256)?;
        whole("rounds", job.rounds(), 1, 1_000_000)?;
        let allowed = |x| (1e-6..=1e3).contains(&x);
        number("regularisation", job.regularisation, "from 0.000001 to 1000", allowed)?;
        number("spread", job.spread, "above 0, at most 10", |x| x > 0.0 && x <= 10.0)?;
        whole("score_every", job.score_every, 1, 1_000_000)?;
        whole("patience", job.patience.unwrap_or(1), 1, u32::MAX)?;
        job.check_descent()?;
        Ok(job)
    }

    fn check_descent(&self) -> Result<(), Error> {
        let Job { learning_rate, momentum, mean_over, .. } = self;
        if self.solve == Solve::Als {
            let given = [
                ("learning_rate", learning_rate.map(|rate| rate.to_string())),
                ("momentum", momentum.map(|momentum| momentum.to_string())),
                ("mean_over", mean_over.map(|over| format!("{over:?}").to_lowercase())),
            ];
            return match given.into_iter().find_map(|(key, found)| Some((key, found?))) {
                Some((key, found)) => {
                    let expected = "nothing, unless `solve` is `gradient`: least squares have no rate";
                    Err(Error::refused(&format!("job.{key}"), found, expected))
                }
                None => Ok(()),
            };
        }
        let rate = self.learning_rate();
        number("learning_rate", rate, "above 0, at most 1000000", |x| x > 0.0 && x <= 1e6)?;
        number("momentum", self.momentum(), "0 to below 1", |x| (0.0..1.0).contains(&x))
    }

    /// The rounds of the run.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(match self.solve {
            Solve::Als => 10,
            Solve::Gradient => 100,
        })
    }

    /// The learning rate of gradient descent.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate.unwrap_or(match self.mean_over.unwrap_or_default() {
            Over::Row => 0.5,
            Over::All => 1_000.0,
        })
    }

    /// The momentum of gradient descent.
    pub fn momentum(&self) -> f64 {
        self.momentum.unwrap_or(0.9)
    }

    /// The job with these keys, all of them explicit.
    #[must_use]
    pub fn written(&self, job: &protocol::Job) -> protocol::Job {
        let mut own = self.clone();
        own.rounds = Some(self.rounds());
        if self.solve == Solve::Gradient {
            own.learning_rate = Some(self.learning_rate());
            own.momentum = Some(self.momentum());
            own.mean_over = Some(self.mean_over.unwrap_or_default());
        }
        let mut keys = job.keys.clone();
        own.put(&mut keys);
        job.with_keys(keys)
    }
}

fn factors() -> u32 {
    10
}
fn regularisation() -> f64 {
    0.05
}
fn spread() -> f64 {
    0.1
}
fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(changes: Value) -> Result<Job, Error> {
        let mut job = json!({"kind": "factors", "dataset": "films"});
        job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Job::of(&protocol::Job::from_value(job)?)
    }

    #[test]
    fn a_job_needs_ratings_and_is_written_with_every_key() {
        let job = protocol::Job::from_value(json!({"kind": "factors", "dataset": "films"})).unwrap();
        let als = Job::of(&job).unwrap().written(&job);
        assert_eq!((als.keys["rounds"].as_u64(), als.keys.contains_key("momentum")), (Some(10), false));
        let all = read(json!({"solve": "gradient", "patience": 3})).unwrap().written(&job);
        let mut names = Job::NAMES.to_vec();
        names.sort_unstable();
        assert_eq!(all.keys.keys().collect::<Vec<_>>(), names);
        assert_eq!(Job::of(&all).unwrap().written(&all), all);
    }

    #[test]
    fn bad_jobs_are_refused_by_key() {
        for (key, value) in [
            ("dataset", json!("../films")),
            ("solve", json!("sgd")),
            ("factors", json!(0)),
            ("factors", json!(257)),
            ("rounds", json!(0)),
            ("regularisation", json!(0)),
            ("spread", json!(0)),
            ("score_every", json!(0)),
            ("patience", json!(0)),
            ("learning_rate", json!(0.1)),
            ("momentum", json!(0.9)),
            ("mean_over", json!("all")),
            ("k", json!(10)),
        ] {
            let error = read(json!({key: value})).unwrap_err().to_string();
            assert!(error.contains(&format!("job.{key}")), "{key}: {error}");
        }
        let error = read(json!({"lambda": 1})).unwrap_err().to_string();
        assert!(error.contains("`regularisation`"), "{error}");
        for (key, value) in
            [("learning_rate", json!(0)), ("momentum", json!(1)), ("mean_over", json!("user"))]
        {
            let error = read(json!({"solve": "gradient", key: value})).unwrap_err().to_string();
            assert!(error.contains(&format!("job.{key}")), "{key}: {error}");
        }
    }
}
