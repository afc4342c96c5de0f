//! Suggested jobs for a data set and installed weights, with the reasons in words: first a linear layer on
//! the network's features, then layers of the network itself, beginning with that layer.

use crate::features::Recipe;
use crate::job::{Head, Job, Pooling};
use crate::plan::{Planned, plan};
use crate::weights::open_installed;
use crate::{Error, Result};
use datasets::images::Dataset;
use networks::{IMAGES, Network};
use protocol::RunId;
use rounds::keys::OptimizerKind;
use serde_json::{Map, Value, json};
use storage::Root;

/// Small images are enlarged by this factor, because networks were trained on larger things.
const ENLARGED: usize = 3;
/// The step and the lowest of these sides, in pixels.
const SIDES: usize = 32;
const SMALLEST: usize = 64;
/// Images that are looked at for their size.
const LOOKED_AT: usize = 64;
/// The keys that are written into a suggested job; the others have defaults for every job.
const WRITTEN: [&str; 18] = [
    "dataset",
    "network",
    "weights",
    "cut",
    "pool",
    "image_size",
    "features",
    "standardise",
    "head",
    "from",
    "rounds",
    "epochs_per_round",
    "batch",
    "optimizer",
    "learning_rate",
    "warmup_rounds",
    "tune",
    "seed",
];

/// Fewer training images than this are few.
const FEW: usize = 1_000;
/// Rates that are tried with few images, and the passes of the first trials.
const TRIALS: u32 = 18;
const EPOCHS: u32 = 10;
/// The point after a network's last layer.
const LAST: &str = "logits";

/// Layers of the network that are trained, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deeper {
    /// The last ones, with a tenth of the parameters or more.
    Block,
    /// All.
    All,
}

/// A job, and the decisions in it.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// Its keys.
    pub job: Map<String, Value>,
    /// The point at which its network is cut.
    pub cut: String,
    /// The decisions, a line for each.
    pub told: Vec<String>,
}

/// Jobs for a linear layer on the features of a network, to be carried out all; the best one's model counts.
///
/// With many images it is one. With few, one rate is luck and a trial takes a moment: then it is a tuning,
/// and another one on the pretrained scores of classes. If few images show what counts, these are often the
/// better features. They are taken as they come, and with SGD: standardised, or with AdamW, the scores that
/// almost never occur would count as much as the others.
///
/// # Errors
/// Those of [`crate::plan`]: a data set or weights that are not there, or do not fit.
pub fn head(root: &Root, dataset: &str, weights: &str) -> Result<Vec<Suggestion>> {
    let installed = open_installed(&root.weights(weights)?)?;
    let (network, images) = (&installed.network, Dataset::open(root.dataset(dataset)?)?);
    let side = side(own_side(&images)?, networks::trained_side(network));
    let job =
        json!({"dataset": dataset, "network": network, "weights": weights, "image_size": side, "seed": 1});
    if images.split("train")?.len() >= FEW {
        return Ok(vec![suggestion(root, job)?]);
    }
    let with = |more: Value| {
        let mut job = job.clone();
        more.as_object().into_iter().flatten().for_each(|(key, value)| job[key] = value.clone());
        suggestion(root, job)
    };
    let tune = json!({"trials": TRIALS, "epochs": EPOCHS});
    let mut all = vec![with(json!({"tune": tune}))?];
    if installed.reaches == LAST {
        let sgd = json!({"kind": "sgd"});
        all.push(with(json!({"tune": tune, "cut": LAST, "standardise": false, "optimizer": sgd}))?);
    }
    Ok(all)
}

/// A job that continues a run of [`head`] with layers of the network itself.
///
/// # Errors
/// As [`head`]; if the run has no model.
pub fn deeper(root: &Root, from: &RunId, head: &protocol::Job, deeper: Deeper) -> Result<Suggestion> {
    let head = Job::of(head)?;
    let recipe = Recipe::open(root, &head)?;
    let (whole, side) = (networks::network(&head.network)?, head.image_size as usize);
    let cut = match deeper {
        Deeper::All => IMAGES.to_owned(),
        Deeper::Block => last_block(&whole, &recipe.cut, side)?,
    };
    let (dataset, network, weights) = (&head.dataset, &head.network, head.weights());
    suggestion(
        root,
        json!({"dataset": dataset, "network": network, "weights": weights, "image_size": side, "cut": cut,
            "head": {"kind": "layers", "up_to": recipe.cut}, "from": from, "features": "f16",
            "rounds": DEEPER_ROUNDS, "warmup_rounds": 1, "seed": 1}),
    )
}

/// Rounds of deeper training: each takes as long as a pass of the frozen layers, several times.
const DEEPER_ROUNDS: u32 = 8;

/// The job with its open keys settled, and its decisions in words.
fn suggestion(root: &Root, keys: Value) -> Result<Suggestion> {
    let asked = protocol::Job::from_value(keys)?;
    let Planned { job, features } = plan(root, &Job::of(&asked)?, 1)?;
    let recipe = Recipe::open(root, &job)?;
    let mut keys = job.written(&asked).keys;
    keys.retain(|key, _| WRITTEN.contains(&key.as_str()));
    if job.weights() == job.network {
        keys.remove("weights");
    }
    if job.training.tune.is_some() {
        ["rounds", "epochs_per_round", "learning_rate"].iter().for_each(|key| drop(keys.remove(*key)));
    }
    let mut told = vec![layers(&job, &recipe), training(&job)];
    if features.manifest.is_some() {
        told.push("the features are stored already".into());
    }
    Ok(Suggestion { job: keys, cut: recipe.cut, told })
}

fn layers(job: &Job, recipe: &Recipe) -> String {
    let (network, cut, size, columns) = (&job.network, &recipe.cut, job.image_size, recipe.columns);
    match &job.head {
        Head::Layers { up_to, .. } => {
            let from = if *cut == IMAGES { "the first layer".to_owned() } else { cut.clone() };
            let to = up_to.as_deref().unwrap_or("its end");
            format!("trains {network} from {from} to {to}, and the linear layer; {size} px")
        }
        _ => {
            let mean = if job.pool == Some(Pooling::Average) { ", averaged" } else { "" };
            format!("a linear layer on {columns} features of {network} at {cut}{mean}; {size} px")
        }
    }
}

fn training(job: &Job) -> String {
    let training = &job.training;
    let (rounds, batch, rate) = (training.rounds, training.batch(), training.learning_rate());
    let with = match training.optimizer() {
        OptimizerKind::Adamw { .. } => "AdamW",
        OptimizerKind::Sgd { .. } => "SGD",
    };
    match &training.tune {
        Some(tune) => {
            let trials = tune.trials;
            format!("few images: the best of {trials} rates of {with}, {batch} images in a step")
        }
        None => format!("{rounds} rounds, {batch} images in a step, {with} at a rate of {rate}"),
    }
}

/// The longest of the shorter sides of some training images, in pixels.
fn own_side(dataset: &Dataset) -> Result<usize> {
    if let Some((height, width)) = dataset.manifest().image.size() {
        return Ok(height.min(width));
    }
    let (train, mut images) = (dataset.split("train")?, Vec::new());
    train.read_images(0..train.len().min(LOOKED_AT), &mut images)?;
    Ok(images.iter().map(|image| image.height.min(image.width)).max().unwrap_or(0))
}

/// The side of the images for a network whose weights were trained on images of side `trained`.
fn side(own: usize, trained: usize) -> usize {
    (own * ENLARGED).next_multiple_of(SIDES).max(SMALLEST).min(trained)
}

/// The last point below `up_to` with a tenth of the parameters between them.
fn last_block(whole: &Network, up_to: &str, side: usize) -> Result<String> {
    let below = whole.up_to(up_to)?;
    let count = |network: &Network| -> usize {
        network.parameters().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    };
    let all = count(&below);
    let enough = |point: &&networks::Point| {
        let part = whole.between(&point.name, up_to, (side, side));
        part.is_ok_and(|(part, _)| count(&part) * 10 >= all)
    };
    let found = below.points.iter().rev().find(enough);
    found.map(|point| point.name.clone()).ok_or_else(|| {
        Error::argument("the network's last layers", "a point to cut at below them", whole.name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_the_layers_after_the_last_large_map() {
        for (network, up_to, expected) in [
            ("squeezenet1_0", "fire9", "pool3"),
            ("vgg19", "pool5", "pool4"),
            ("resnet18", "avgpool", "layer3"),
            ("resnet50", "avgpool", "layer3"),
        ] {
            let whole = networks::network(network).unwrap();
            assert_eq!(last_block(&whole, up_to, 224).unwrap(), expected, "{network}");
        }
    }

    #[test]
    fn small_images_are_enlarged_and_photos_are_not() {
        assert_eq!([8, 28, 32, 64, 96, 600].map(|own| side(own, 224)), [64, 96, 96, 192, 224, 224]);
        assert_eq!(side(48, 48), 48);
    }
}
