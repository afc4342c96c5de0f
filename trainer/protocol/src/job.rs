//! A job: what to train, on what, how, and within which limits. Fixed for the life of a run.

use crate::RunId;
pub use agreement::{Agreement, Outer, Part, Precision, Reduce};
pub use augment::Augment;
use serde::{Deserialize, Serialize};
pub use tune::Tune;

mod agreement;
mod augment;
mod tune;

/// The newest schema of `job.json`.
pub const JOB_SCHEMA: u32 = 1;

/// What a run trains. Every key but `dataset` and `network` has a default; no other key is allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Schema of this description.
    #[serde(default = "schema")]
    pub schema: u32,
    /// Folder under `datasets/`.
    pub dataset: String,
    /// The network's name: `vgg19`, `squeezenet1_0`, …
    pub network: String,
    /// Folder under `weights/`; none means the network's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// The named point up to which the network is frozen; none means just below its last layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// What is done to a map at the cut before it is stored.
    #[serde(default)]
    pub pool: Pooling,
    /// Side of the square that the network sees, in pixels.
    #[serde(default = "image_size")]
    pub image_size: u32,
    /// In what forms the training images are stored; none means as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
    /// How the stored features are written.
    #[serde(default)]
    pub features: FeatureType,
    /// Images in one feature shard, the unit that workers are dealt.
    #[serde(default = "unit_images")]
    pub unit_images: u32,
    /// Whether features are brought to mean 0 and deviation 1 per column before the head; none means that
    /// they are, but for layers that were pretrained on features as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardise: Option<bool>,
    /// The layers that are trained.
    #[serde(default)]
    pub head: Head,
    /// A run whose trained layers this one begins with, where it has them; none means pretrained or new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RunId>,
    /// How workers agree at the end of a round.
    #[serde(default)]
    pub agree: Agreement,
    /// In what precision a worker publishes what it has changed.
    #[serde(default)]
    pub precision: Precision,
    /// With `diloco`: the step that all make along the mean of what workers have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<Outer>,
    /// Who sums what workers publish; none means what is faster for the size of it,
    /// which is settled at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Number of workers, if the `start` event does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Rounds to train: with `average` and `diloco` passes of each worker over its share, several or a part
    /// of one where the next two keys say so; with `gradient` optimizer steps.
    #[serde(default = "rounds")]
    pub rounds: u32,
    /// With `average` and `diloco`: passes of a worker over its share of the images in one round.
    #[serde(default = "one")]
    pub epochs_per_round: u32,
    /// With `average` and `diloco`: rounds in one pass over the images, each of which goes through a part of
    /// them. Not with `epochs_per_round` above 1.
    #[serde(default = "one")]
    pub rounds_per_epoch: u32,
    /// Images in a step: of one worker with `average`, of all together with `gradient`.
    #[serde(default = "batch")]
    pub batch: u32,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// The highest learning rate.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// How the rate changes over the run.
    #[serde(default)]
    pub schedule: Schedule,
    /// Rounds over which the rate rises linearly to its full height.
    #[serde(default)]
    pub warmup_rounds: u32,
    /// Weight decay: added to the gradient with SGD, decoupled with AdamW; not on biases.
    #[serde(default)]
    pub weight_decay: f64,
    /// The longest gradient of a step: a longer one is made that long; none means any. Not with `gradient`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// The chance of a value that a linear layer of the head reads to be dropped in training, 0 to below 1.
    #[serde(default)]
    pub dropout: f64,
    /// Decay of the weights' moving average over rounds, which is then what is scored and published; none
    /// means that the weights themselves are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_decay: Option<f64>,
    /// Label smoothing, 0 to below 1.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Rounds from one scoring of the validation split to the next; the last round is always scored.
    #[serde(default = "one")]
    pub score_every: u32,
    /// Rounds without a better validation score after which the run ends; none means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Makes the run a search for the rate, weight decay and label smoothing to train this job with;
    /// none trains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune: Option<Tune>,
    /// Seed of every random number of the run.
    #[serde(default)]
    pub seed: u64,
    /// burn's device for training an MLP.
    #[serde(default)]
    pub device: Device,
    /// What computes the frozen layers.
    #[serde(default)]
    pub frozen: FrozenEngine,
    /// What the run may cost at the most.
    #[serde(default)]
    pub limits: Limits,
}

/// What is done to a map at the cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Every value of the map is a feature.
    #[default]
    None,
    /// The mean of each channel is a feature.
    Average,
}

/// How features are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureType {
    /// 4 bytes a value.
    #[default]
    F32,
    /// 2 bytes a value.
    F16,
}

/// The trained layers on top of the cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Head {
    /// One linear layer and softmax.
    #[default]
    Softmax,
    /// A hidden layer with ReLU, then a linear layer and softmax.
    Mlp {
        /// Width of the hidden layer.
        hidden: u32,
    },
    /// The network's own fully connected layers above the cut, pretrained, and a new last one: VGG's fc1,
    /// fc2 and head.
    Classifier,
    /// The network's own layers above the cut, convolutions too, pretrained,
    /// and one linear layer and softmax on what they give.
    Layers {
        /// The named point up to which they go, the mean of each of its maps taken;
        /// none means just below the network's last layer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        up_to: Option<String>,
        /// What the learning rate is multiplied by for them, not for the linear layer; none means 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
    },
}

/// The optimizer of the head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
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

impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer::Sgd { momentum: momentum(), nesterov: true }
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
    /// Times `factor` every `every` rounds.
    Step {
        /// Rounds between two changes.
        every: u32,
        /// Above 0, at most 1.
        factor: f64,
    },
}

/// burn's device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// burn-flex.
    #[default]
    Flex,
    /// burn-ndarray.
    Ndarray,
}

/// What computes the frozen layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenEngine {
    /// Baton's own compiled network.
    #[default]
    Baton,
    /// burn on the job's device: slower, for comparison.
    Burn,
}

/// What a run may cost. At a limit the run ends with its best model so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Events that the run may send.
    pub invocations: u64,
    /// US dollars of Lambda time and requests, by the ledger's own account.
    pub dollars: f64,
    /// Hours from its start.
    pub hours: f64,
    /// Legs of one worker in one stage.
    pub legs_per_worker: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { invocations: 20_000, dollars: 5.0, hours: 24.0, legs_per_worker: 400 }
    }
}

impl Job {
    /// Whether features are standardised.
    pub fn standardises(&self) -> bool {
        let pretrained = matches!(self.head, Head::Classifier | Head::Layers { .. });
        self.standardise.unwrap_or(!pretrained)
    }

    /// The folder under `weights/`.
    pub fn weights(&self) -> &str {
        self.weights.as_deref().unwrap_or(&self.network)
    }
}

fn schema() -> u32 {
    JOB_SCHEMA
}
fn image_size() -> u32 {
    224
}
fn unit_images() -> u32 {
    256
}
fn rounds() -> u32 {
    20
}
fn one() -> u32 {
    1
}
fn batch() -> u32 {
    64
}
fn learning_rate() -> f64 {
    0.02
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
