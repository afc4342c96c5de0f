//! A job of transfer learning: its own keys, and those of training in rounds.

pub use augment::Augment;

use protocol::{Error, Keys, RunId, refuse_rest};
use rounds::Training;
use serde::{Deserialize, Serialize};

mod augment;
mod check;

/// A job of transfer learning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
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
    /// The chance of a value that a linear layer of the head reads to be dropped in training, 0 to below 1.
    #[serde(default)]
    pub dropout: f64,
    /// burn's device for training an MLP.
    #[serde(default)]
    pub device: Device,
    /// What computes the frozen layers.
    #[serde(default)]
    pub frozen: FrozenEngine,
    /// How the layers are trained.
    #[serde(skip)]
    pub training: Training,
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

impl Keys for Job {
    const NAMES: &[&str] = &[
        "dataset",
        "network",
        "weights",
        "cut",
        "pool",
        "image_size",
        "augment",
        "features",
        "unit_images",
        "standardise",
        "head",
        "from",
        "dropout",
        "device",
        "frozen",
    ];
    const ALIASES: &[(&str, &str)] = &[
        ("data", "dataset"),
        ("model", "network"),
        ("size", "image_size"),
        ("pooling", "pool"),
        ("hidden", "head"),
        ("pretrained", "weights"),
    ];
}

impl Job {
    /// Reads and checks the keys of a job.
    ///
    /// # Errors
    /// [`Error::Refused`] with the key.
    pub fn of(job: &protocol::Job) -> Result<Job, Error> {
        let mut keys = job.keys.clone();
        let training = Training::take(&mut keys)?;
        let job = Job { training, ..Job::take(&mut keys)? };
        refuse_rest(&keys, &[Job::NAMES, Training::NAMES], &[Job::ALIASES, Training::ALIASES])?;
        job.check()?;
        Ok(job)
    }

    /// The job with these keys, each written out.
    #[must_use]
    pub fn written(&self, job: &protocol::Job) -> protocol::Job {
        let mut keys = job.keys.clone();
        self.put(&mut keys);
        self.training.put(&mut keys);
        job.with_keys(keys)
    }

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

fn image_size() -> u32 {
    224
}
fn unit_images() -> u32 {
    256
}
