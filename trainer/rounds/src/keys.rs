//! The keys of a job about training in rounds.

pub use agreement::{Agreement, Outer, Precision, Reduce};
pub use tune::Tune;

use protocol::{Best, Course, Keys, Measure};
use serde::{Deserialize, Serialize};

mod agreement;
mod check;
mod tune;

#[cfg(test)]
mod tests;

/// The images in a step of a job that leaves them open, at most.
pub const BATCH: u32 = 64;
/// The learning rate where neither the job nor a start has one.
const LEARNING_RATE: f64 = 0.02;

/// The settings of training: the keys of a job that rounds read. Each has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// How workers agree at the end of a round.
    pub agree: Agreement,
    /// The precision in which a worker publishes its change.
    pub precision: Precision,
    /// With `diloco`: the step that all workers make along their mean change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outer: Option<Outer>,
    /// Who sums the workers' results; none means the faster way for their size, which the start settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Rounds to train. With `average` and `diloco` a round is a pass of each worker over its share, or
    /// several or a part of one by the next two keys; with `gradient` it is an optimizer step.
    pub rounds: u32,
    /// With `average` and `diloco`: passes of a worker over its share of the images in one round.
    pub epochs_per_round: u32,
    /// With `average` and `diloco`: rounds in one pass over the images; each round has a part of them. Not
    /// with `epochs_per_round` above 1.
    pub rounds_per_epoch: u32,
    /// Images in a step: of one worker with `average`, of all together with `gradient`; none means a number
    /// for the size of the set, which the start settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// The optimizer; none means SGD if the job has a rate, which is a rate of SGD, and else the one that the
    /// start settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<OptimizerKind>,
    /// The highest learning rate; none means one for the optimizer and the trained layers, which the start
    /// settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// How the rate changes over the run.
    pub schedule: Schedule,
    /// Rounds over which the rate rises linearly to its full height.
    pub warmup_rounds: u32,
    /// Weight decay: added to the gradient with SGD, decoupled with AdamW; not on biases.
    pub weight_decay: f64,
    /// The longest gradient of a step: a longer one is scaled down to it; none means any. Not with
    /// `gradient`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Decay of the weights' moving average over rounds. The average is then scored and published; none means
    /// that the weights themselves are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_decay: Option<f64>,
    /// Label smoothing, 0 to below 1.
    pub label_smoothing: f64,
    /// Rounds from one scoring of the validation split to the next; the last round is always scored.
    pub score_every: u32,
    /// Rounds without a better validation score after which the run ends; none means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Makes the run a search for the rate, weight decay and label smoothing to train this job with;
    /// none trains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<Tune>,
    /// Seed of every random number of the run.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Training {
        Training {
            agree: Agreement::default(),
            precision: Precision::default(),
            outer: None,
            reduce: None,
            rounds: 20,
            epochs_per_round: 1,
            rounds_per_epoch: 1,
            batch: None,
            optimizer: None,
            learning_rate: None,
            schedule: Schedule::default(),
            warmup_rounds: 0,
            weight_decay: 0.0,
            clip: None,
            average_decay: None,
            label_smoothing: 0.0,
            score_every: 1,
            patience: None,
            tune: None,
            seed: 0,
        }
    }
}

impl Training {
    /// The images in a step; [`BATCH`] where no start has settled them.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(BATCH) as usize
    }

    /// The optimizer; SGD where no start has settled it.
    pub fn optimizer(&self) -> OptimizerKind {
        self.optimizer.unwrap_or_default()
    }

    /// The highest learning rate; [`LEARNING_RATE`] where no start has settled it.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate.unwrap_or(LEARNING_RATE)
    }

    /// The rounds of the run: the job's, or the rungs of a tuning.
    pub fn rounds_in_all(&self) -> u32 {
        self.tune.as_ref().map_or(self.rounds, Tune::rungs)
    }

    /// The stages of a run with this training, after those in `before`; scores have these measures of `unit`.
    pub fn course(&self, title: String, before: &[&str], unit: &str, measures: Vec<Measure>) -> Course {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let sliced = self.reduce == Some(Reduce::Sliced);
        Course {
            title,
            before: words(before),
            shares: Vec::new(),
            round: words(if sliced { &["train", "sums"] } else { &["train"] }),
            rounds: self.rounds_in_all(),
            called: if self.tune.is_some() { "rung" } else { "round" }.into(),
            unit: unit.into(),
            measures,
            // Rungs are not rounds of one model: each compares the trials that the one before has kept.
            best: if self.tune.is_some() { Best::Last } else { Best::Measured },
            score_every: self.score_every,
            patience: self.patience,
        }
    }
}

impl Keys for Training {
    const NAMES: &[&str] = &[
        "agree",
        "precision",
        "outer",
        "reduce",
        "rounds",
        "epochs_per_round",
        "rounds_per_epoch",
        "batch",
        "optimizer",
        "learning_rate",
        "schedule",
        "warmup_rounds",
        "weight_decay",
        "clip",
        "average_decay",
        "label_smoothing",
        "score_every",
        "patience",
        "tune",
        "seed",
    ];
    const ALIASES: &[(&str, &str)] = &[
        ("lr", "learning_rate"),
        ("epochs", "rounds"),
        ("batch_size", "batch"),
        ("adam", "optimizer"),
        ("adamw", "optimizer"),
        ("sgd", "optimizer"),
        ("momentum", "optimizer"),
        ("wd", "weight_decay"),
        ("warmup", "warmup_rounds"),
    ];
}

/// The optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerKind {
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum, 0 to below 1.
        #[serde(default = "momentum")]
        momentum: f64,
        /// Nesterov's form.
        #[serde(default = "yes")]
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    Adamw {
        /// Decay of the mean, 0 to below 1.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the mean of squares, 0 to below 1.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the denominator.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
}

impl OptimizerKind {
    /// AdamW with its usual settings.
    pub const ADAMW: OptimizerKind = OptimizerKind::Adamw { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
}

impl Default for OptimizerKind {
    fn default() -> OptimizerKind {
        OptimizerKind::Sgd { momentum: momentum(), nesterov: true }
    }
}

/// How the learning rate changes over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// Half a cosine down to 0.
    #[default]
    Cosine,
    /// Multiplied by `factor` every `every` rounds.
    Step {
        /// Rounds between two changes.
        every: u32,
        /// Above 0, at most 1.
        factor: f64,
    },
}

fn momentum() -> f64 {
    0.9
}
fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn yes() -> bool {
    true
}
