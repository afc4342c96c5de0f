//! The recipe of features: everything that decides them, checked, and its hash, the store's key.

use super::units::{SPLITS, Unit, units};
use crate::cut::{cut_within, pools};
use crate::images::Preprocessing;
use crate::job::{Augment, FeatureType, FrozenEngine, Job, Known, Pooling};
use crate::weights::{Installed, open_weights};
use crate::{Error, Result};
use datasets::images::Dataset;
use networks::Network;
use protocol::FileRef;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use storage::Root;

/// Counts up when the same recipe makes other features: by the resize rule, the augmentation of images, the
/// kernels' arithmetic, the shards' form.
const VERSION: u32 = 2;
/// Key in the manifest of the augmentation of the training images, if there is any.
pub(super) const AUGMENT: &str = "augment";
/// Approximate multiply-adds in one step of the frozen pass: small enough that a short leg has many steps.
const STEP_WORK: u64 = 160_000_000_000;
/// The most images in one step.
const STEP_IMAGES: u64 = 32;

/// The reference of `features.json` for facts.
pub(crate) fn manifest_reference(folder: &Path) -> Result<FileRef> {
    Ok(storage::read_whole(&folder.join("features.json"))?.1)
}

/// Everything that decides a job's features, opened and checked.
#[derive(Debug)]
pub struct Recipe {
    /// The images.
    pub dataset: Arc<Dataset>,
    /// The pretrained weights.
    pub weights: Installed,
    /// The network up to the cut.
    pub network: Network,
    /// The cut's name.
    pub cut: String,
    /// Whether the mean of each map is taken at the cut.
    pub pool: bool,
    /// The preprocessing of an image for the network.
    pub preprocessing: Preprocessing,
    /// Features of an image.
    pub columns: usize,
    job: Job,
}

impl Recipe {
    /// Opens the files that a job names, and checks that they fit together.
    ///
    /// # Errors
    /// As [`crate::plan`].
    pub fn open(root: &Root, job: &Job) -> Result<Recipe> {
        let whole = networks::network(&job.network)?;
        let weights = open_weights(root, job)?;
        let cut = cut_within(job, &whole, &weights.weights)?;
        let network = whole.up_to(&cut)?;
        let size = job.image_size as usize;
        let shape = network.shapes(size, size)?[network.output()];
        let pool = pools(job, shape);
        weights.weights.check(&network)?;
        Ok(Recipe {
            dataset: open_dataset(root, job)?,
            preprocessing: Preprocessing { size, normalisation: weights.normalisation },
            columns: if pool { shape.pooled() } else { shape.len() },
            weights,
            network,
            cut,
            pool,
            job: job.clone(),
        })
    }

    /// The network and the images, as far as they decide the open keys of the job.
    ///
    /// # Errors
    /// Those of reading the data set.
    pub(crate) fn known(&self) -> Result<Known<'_>> {
        let images = self.dataset.split("train")?.len();
        Ok(Known { cut: &self.cut, pool: self.pool, columns: self.columns, images })
    }

    /// Everything that decides the features, in words.
    pub fn made_of(&self) -> Map<String, Value> {
        // Another instruction set rounds differently.
        let engine = match self.job.frozen {
            FrozenEngine::Baton => format!("baton {:?}", frozen::Isa::best().rounding()),
            FrozenEngine::Burn => format!("burn {:?}", self.job.device),
        };
        let mut made_of = json!({
            "version": VERSION,
            "dataset": self.job.dataset,
            "dataset_digest": self.dataset.digest(),
            "network": self.job.network,
            "weights_sha256": self.weights.sha256,
            "cut": self.cut,
            "pool": if self.pool { Pooling::Average } else { Pooling::None },
            "preprocessing": self.preprocessing,
            "features": self.job.features,
            "unit_images": self.job.unit_images,
            "engine": engine.to_lowercase(),
        });
        if let Some(augment) = self.job.augment {
            made_of[AUGMENT] = json!(augment);
        }
        match made_of {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Checks that weights, data set and what is done to an image are those that features were made of.
    ///
    /// # Errors
    /// [`Error::Replaced`].
    pub(crate) fn check_same(&self, made_of: &Map<String, Value>) -> Result<()> {
        let now = self.made_of();
        for (key, what) in [
            ("weights_sha256", format!("weights/{}", self.job.weights())),
            ("preprocessing", format!("the normalisation of weights/{}", self.job.weights())),
            ("dataset_digest", format!("datasets/{}", self.job.dataset)),
        ] {
            let [expected, found] =
                [made_of, &now].map(|of| of.get(key).cloned().unwrap_or_default().to_string());
            if expected != found {
                return Err(Error::Replaced { what, expected, found });
            }
        }
        Ok(())
    }

    /// The key of the store: a readable part, then a hash of everything.
    pub fn key(&self) -> String {
        let text = Value::Object(self.made_of()).to_string(); // keys in alphabetical order
        let hash: String = Sha256::digest(text).iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        let dataset: String = self.job.dataset.chars().take(40).collect();
        format!("{dataset}-{}-{}-{}px-{hash}", self.job.network, self.cut, self.job.image_size)
    }

    /// The feature type in the form of the store's manifest.
    pub(super) fn dtype(&self) -> storage::FeatureType {
        match self.job.features {
            FeatureType::F32 => storage::FeatureType::F32,
            FeatureType::F16 => storage::FeatureType::F16,
        }
    }

    /// The splits that have images.
    pub(super) fn splits(&self) -> Vec<(&'static str, usize)> {
        let images = |name: &'static str| self.dataset.split(name).map_or(0, |split| split.len());
        SPLITS.map(|name| (name, images(name))).into_iter().filter(|(_, images)| *images > 0).collect()
    }

    /// The forms in which the training images are stored; none means unchanged.
    pub(super) fn augment(&self) -> Option<Augment> {
        self.job.augment
    }

    pub(crate) fn units(&self) -> Vec<Unit> {
        let copies = self.job.augment.map_or(1, |augment| augment.copies);
        units(&self.splits(), copies, self.job.unit_images as usize)
    }

    /// Images in one step of the frozen pass: it depends only on the network's work, so that steps are always
    /// the same.
    pub(super) fn step_images(&self) -> Result<usize> {
        let size = self.job.image_size as usize;
        let work = self.network.multiply_adds(size, size)?.max(1);
        Ok((STEP_WORK / work).clamp(1, STEP_IMAGES) as usize)
    }
}

fn open_dataset(root: &Root, job: &Job) -> Result<Arc<Dataset>> {
    let folder = root.dataset(&job.dataset)?;
    let dataset = Dataset::open(folder)?;
    for split in ["train", "val"] {
        if dataset.split(split)?.is_empty() {
            let what = format!("job.dataset {:?}", job.dataset);
            return Err(Error::argument(what, format!("images in the split {split:?}"), "none"));
        }
    }
    if dataset.classes().len() < 2 {
        return Err(Error::argument(
            "job.dataset",
            "two classes or more",
            dataset.classes().len().to_string(),
        ));
    }
    Ok(Arc::new(dataset))
}
