//! The plan of a run, checked before anything is sent.

use crate::features::{Recipe, manifest_reference};
use crate::head::{HeadShape, check_start};
use crate::job::Job;
use crate::score::measures;
use crate::{Error, Result};
use protocol::{Course, FeatureStore, FileRef};
use rounds::keys::Reduce;
use rounds::result_bytes;
use std::path::Path;
use storage::{FeatureManifest, Root};

/// From this many bytes of a round's results on, the workers sum them themselves, in slices. One combine
/// reads this much in the time that another stage takes to begin and to end (docs/results.md).
const SLICED_FROM: u64 = 256 << 20;

/// The plan that a start makes for a job.
#[derive(Debug)]
pub struct Planned {
    /// The job, with its open keys filled in.
    pub job: Job,
    /// Its feature store; with a manifest if it exists already.
    pub features: FeatureStore,
}

/// Checks everything that a job names, before anything is sent.
///
/// # Errors
/// [`Error::Argument`] names the key of the job; [`Error::Network`], [`Error::WrongWeights`],
/// [`Error::Storage`].
pub fn plan(root: &Root, job: &Job, workers: u32) -> Result<Planned> {
    let recipe = Recipe::open(root, job).map_err(|error| refused(root, job, error))?;
    crate::device::device(job.device)?;
    let shape = HeadShape::new(job, recipe.columns, recipe.dataset.classes().len())?;
    check_start(root, job, &shape, &recipe.weights.weights, recipe.dataset.classes())
        .map_err(|error| refused(root, job, error))?;
    let images = recipe.dataset.split("train")?.len();
    if images < job.training.rounds_per_epoch as usize {
        let expected = format!("at most {images}, the images to train on");
        return Err(Error::argument("job.rounds_per_epoch", expected, job.training.rounds_per_epoch));
    }
    let mut job = job.clone();
    job.settle(recipe.known()?);
    if job.training.tune.is_none() {
        let all = result_bytes(&job.training, &shape.layout()) * u64::from(workers);
        let sliced = workers > 1 && all >= SLICED_FROM;
        job.training.reduce.get_or_insert(if sliced { Reduce::Sliced } else { Reduce::Single });
    }
    let key = recipe.key();
    let manifest = whole_store(&root.features(&key)?, &key)?;
    Ok(Planned { job, features: FeatureStore { key, manifest } })
}

/// The stages of a job.
pub fn course(job: &Job) -> Course {
    let title = format!("{} on {}", job.network, job.dataset);
    job.training.course(title, &["features"], "images", measures(job.training.tune.is_none()))
}

/// If a file that a job names is missing at its start, it was probably never put there: the job is refused
/// with advice. Once a run has begun the same is trouble that may pass.
fn refused(root: &Root, job: &Job, error: Error) -> Error {
    let Error::Storage(storage::Error::Missing { path, .. }) = &error else { return error };
    let folder = path.parent().unwrap_or(path);
    let (key, found, expected) = match path.strip_prefix(root.path()).ok().and_then(|path| path.iter().next())
    {
        Some(kind) if kind == "weights" => {
            let expected =
                format!("installed weights in {}: `baton weights add` puts them there", folder.display());
            ("job.weights", format!("{:?}, not there", job.weights()), expected)
        }
        Some(kind) if kind == "datasets" => {
            let expected = format!("a data set in {}: `data-prep` makes one", folder.display());
            ("job.dataset", format!("{:?}, not there", job.dataset), expected)
        }
        _ => {
            let Some(run) = &job.from else { return error };
            ("job.from", format!("run {run}, which has none"), "a run that has ended with a model".to_owned())
        }
    };
    Error::argument(key, expected, found)
}

/// The manifest of an existing store; an error if some of its shards are missing.
fn whole_store(folder: &Path, key: &str) -> Result<Option<FileRef>> {
    let Some(manifest) = FeatureManifest::find(folder)? else { return Ok(None) };
    if manifest.key != key {
        let file = folder.join("features.json");
        return Err(Error::damaged(&file, format!("key {key}"), format!("key {}", manifest.key)));
    }
    // The folder was freshly read just now: one look at each file is enough.
    for file in manifest.shards.iter().map(|shard| &shard.file) {
        let path = folder.join(&file.name);
        let found = match std::fs::metadata(&path) {
            Ok(found) => format!("{} bytes", found.len()),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => "nothing".into(),
            Err(source) => return Err(storage::Error::io("look at", &path)(source).into()),
        };
        if found != format!("{} bytes", file.bytes) {
            // A store is whole or useless: the message is about its folder.
            return Err(Error::damaged(folder, format!("{} of {} bytes", file.name, file.bytes), found));
        }
    }
    manifest_reference(folder).map(Some)
}
