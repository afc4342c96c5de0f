//! A job of transfer learning: its own keys, and those of training in rounds.

pub use augment::Augment;
pub(crate) use open::Known;

use protocol::{Error, Keys, RunId, refuse_rest};
use rounds::Training;
use serde::{Deserialize, Serialize};

mod augment;
mod check;
mod open;

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
    /// The named point up to which the network is frozen; none means just below its last layer, or the last
    /// map that the weights reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// The pooling of a map at the cut before it is stored; none means the mean, unless the trained layers
    /// read whole maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pooling>,
    /// Side of the network's square input, in pixels.
    #[serde(default = "image_size")]
    pub image_size: u32,
    /// The forms in which the training images are stored; none means unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
    /// The number type of stored features.
    #[serde(default)]
    pub features: FeatureType,
    /// Images in one feature shard, the unit that is dealt to workers.
    #[serde(default = "unit_images")]
    pub unit_images: u32,
    /// Whether each column of features is scaled to mean 0 and deviation 1 before the head. None means yes,
    /// except for layers that were pretrained on unscaled features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardise: Option<bool>,
    /// The layers that are trained.
    #[serde(default)]
    pub head: Head,
    /// A run whose trained layers this one begins with, as far as it has them; none means pretrained or new
    /// ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RunId>,
    /// The probability that an input of a linear layer of the head is dropped in training, 0 to below 1.
    #[serde(default)]
    pub dropout: f64,
    /// burn's device for training an MLP.
    #[serde(default)]
    pub device: Device,
    /// The engine of the frozen layers.
    #[serde(default)]
    pub frozen: FrozenEngine,
    /// How the layers are trained.
    #[serde(skip)]
    pub training: Training,
}

/// The pooling of a map at the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Every value of the map is a feature.
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
    /// The network's own layers above the cut, with their convolutions, pretrained, and one linear layer and
    /// softmax on their output.
    Layers {
        /// The named point up to which they go; the mean of each of its maps is taken. None means just below
        /// the network's last layer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        up_to: Option<String>,
        /// The factor of their learning rate, not of the linear layer's; none means 1.
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

/// The engine of the frozen layers.
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
