//! What features are made of: everything that decides them, checked, and its hash, the store's key.

use super::units::{SPLITS, Unit, units};
use crate::head::{HeadShape, check_start};
use crate::images::Preprocessing;
use crate::rounds::result_bytes;
use crate::score::measures;
use crate::weights::{Installed, open_installed};
use crate::{Error, Result};
use networks::Network;
use protocol::{
    Augment, Best, Course, FeatureStore, FeatureType, FileRef, FrozenEngine, Head, Job, Pooling, Reduce,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use storage::dataset::Dataset;
use storage::{FeatureManifest, Root};
use work::Plan;

/// Changes whenever the same recipe gives other features: the resize rule, how images are augmented, the kernels'
/// arithmetic, the shards' form.
const VERSION: u32 = 2;
/// Key in the manifest of what was done to the training images, if anything was.
pub(super) const AUGMENT: &str = "augment";
/// Bytes of all results of a round from which on the workers sum them themselves, in slices. One combine reads so much
/// in the time that another stage takes to begin and to end (docs/results.md).
const SLICED_FROM: u64 = 256 << 20;
/// Multiply-adds in one step of the frozen pass, about: small enough that a short leg has many steps.
const STEP_WORK: u64 = 160_000_000_000;
/// The most images in one step.
const STEP_IMAGES: u64 = 32;

/// Checks everything that a job names, before anything is sent.
///
/// # Errors
/// [`Error::Argument`] names the key of the job; [`Error::Network`], [`Error::WrongWeights`], [`Error::Storage`].
pub fn plan(root: &Root, job: &Job, workers: u32) -> Result<Plan> {
    let recipe = Recipe::open(root, job)?;
    crate::device::device(job.device)?;
    let shape = HeadShape::new(job, recipe.columns, recipe.dataset.classes().len())?;
    check_start(root, job, &shape, &recipe.weights.weights, recipe.dataset.classes())?;
    let mut job = Box::new(job.clone());
    if job.tune.is_none() {
        let sliced = workers > 1 && result_bytes(&job, &shape) * u64::from(workers) >= SLICED_FROM;
        job.reduce.get_or_insert(if sliced { Reduce::Sliced } else { Reduce::Single });
    }
    let key = recipe.key();
    let manifest = whole_store(&root.features(&key)?, &key)?;
    Ok(Plan { course: Box::new(course(&job)), features: FeatureStore { key, manifest }, job })
}

/// The stages of a job.
fn course(job: &Job) -> Course {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let sliced = job.reduce == Some(Reduce::Sliced);
    Course {
        title: format!("{} on {}", job.network, job.dataset),
        before: words(&["features"]),
        round: words(if sliced { &["train", "sums"] } else { &["train"] }),
        rounds: job.rounds_in_all(),
        called: if job.tune.is_some() { "rung" } else { "round" }.into(),
        unit: "images".into(),
        measures: measures(),
        // Rungs are no rounds of one model: each compares what the one before has left.
        best: if job.tune.is_some() { Best::Last } else { Best::Measured },
        score_every: job.score_every,
        patience: job.patience,
    }
}

/// The manifest of a store that is there; an error if some of its shards are not.
fn whole_store(folder: &Path, key: &str) -> Result<Option<FileRef>> {
    let Some(manifest) = FeatureManifest::find(folder)? else { return Ok(None) };
    if manifest.key != key {
        let file = folder.join("features.json");
        return Err(Error::damaged(&file, format!("key {key}"), format!("key {}", manifest.key)));
    }
    // The folder was looked at freshly just now: one glance at each file is enough.
    for file in manifest.shards.iter().map(|shard| &shard.file) {
        let path = folder.join(&file.name);
        let found = match std::fs::metadata(&path) {
            Ok(found) => format!("{} bytes", found.len()),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => "nothing".into(),
            Err(source) => return Err(storage::Error::io("look at", &path)(source).into()),
        };
        if found != format!("{} bytes", file.bytes) {
            // A store is whole or of no use: the message is about its folder.
            return Err(Error::damaged(folder, format!("{} of {} bytes", file.name, file.bytes), found));
        }
    }
    manifest_reference(folder).map(Some)
}

/// `features.json` as facts name it.
pub(super) fn manifest_reference(folder: &Path) -> Result<FileRef> {
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
    /// What is done to an image before the network sees it.
    pub preprocessing: Preprocessing,
    /// Features of an image.
    pub columns: usize,
    job: Job,
}

impl Recipe {
    /// Opens what a job names, and checks that it goes together.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn open(root: &Root, job: &Job) -> Result<Recipe> {
        let whole = networks::network(&job.network)?;
        let cut = cut(job, &whole)?;
        let network = whole.up_to(&cut)?;
        let size = job.image_size as usize;
        let shape = network.shapes(size, size)?[network.output()];
        let pool = job.pool == Pooling::Average;
        let weights = open_weights(root, job)?;
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

    /// All that decides the features, in words.
    pub fn made_of(&self) -> Map<String, Value> {
        // Another instruction set rounds otherwise.
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
            "pool": self.job.pool,
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

    /// The key of the store: readable in front, a hash of everything behind.
    pub fn key(&self) -> String {
        let text = Value::Object(self.made_of()).to_string(); // keys in alphabetical order
        let hash: String = Sha256::digest(text).iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        let dataset: String = self.job.dataset.chars().take(40).collect();
        format!("{dataset}-{}-{}-{}px-{hash}", self.job.network, self.cut, self.job.image_size)
    }

    /// The feature type as the store's manifest has it.
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

    /// In what forms the training images are stored; none means as they are.
    pub(super) fn augment(&self) -> Option<Augment> {
        self.job.augment
    }

    pub(super) fn units(&self) -> Vec<Unit> {
        let copies = self.job.augment.map_or(1, |augment| augment.copies);
        units(&self.splits(), copies, self.job.unit_images as usize)
    }

    /// Images in one step of the frozen pass: by the network's work alone, so that steps are always the same.
    pub(super) fn step_images(&self) -> Result<usize> {
        let size = self.job.image_size as usize;
        let work = self.network.multiply_adds(size, size)?.max(1);
        Ok((STEP_WORK / work).clamp(1, STEP_IMAGES) as usize)
    }
}

/// The point up to which a job's network is frozen.
pub(crate) fn cut(job: &Job, whole: &Network) -> Result<String> {
    Ok(match (&job.cut, &job.head) {
        (Some(cut), _) => cut.clone(),
        (None, Head::Classifier) => whole.below_classifier()?.to_owned(),
        (None, _) => whole.default_cut.to_owned(),
    })
}

/// The weights that a job names.
pub(crate) fn open_weights(root: &Root, job: &Job) -> Result<Installed> {
    let folder = root.weights(job.weights())?;
    let installed = open_installed(&folder)?;
    if installed.network != job.network {
        let expected = format!("weights of {}", job.network);
        return Err(Error::argument("job.weights", expected, format!("those of {}", installed.network)));
    }
    Ok(installed)
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
