//! The combine of a round: the workers' files become one state, in worker order, and the state is scored.
//!
//! `average`: parameters and the optimizer's memory are means weighted by images; steps are those of the worker that
//! made the most. `gradient`: the summed gradient over the images of the batch, then one optimizer step.

use super::gradient::GRADIENT;
use super::round::Round;
use super::saved::{Notes, PARAMETERS, notes, number, state_tensors};
use crate::head::{State, rate};
use crate::reduce::weighted_sum;
use crate::score::score;
use crate::work::{CombineOrder, Combined};
use crate::{Error, Result};
use protocol::Agreement;
use std::path::{Path, PathBuf};

pub(crate) fn combine(order: &CombineOrder<'_>) -> Result<Combined> {
    let round = Round::open(order.root, order.job, order.stage, order.features, order.threads)?;
    let (state, loss) = match order.job.agree {
        Agreement::Average => average(order, &round)?,
        Agreement::Gradient => gradient(order, &round)?,
    };
    if state.parameters.iter().any(|value| !value.is_finite()) {
        return Err(round.not_finite("a weight", None));
    }
    let scored = score(&round.store, round.store.need("val")?, &round.trainer, &state.parameters);
    let score = scored.map_err(|error| match error {
        Error::Argument { .. } => round.not_finite("a score on the validation split", None),
        other => other,
    })?;
    let score = score.score;
    let metadata = notes([
        ("round", round.number.to_string()),
        ("steps", state.steps.to_string()),
        ("train_loss", loss.to_string()),
    ]);
    let folder = order.root.run(order.run).combined();
    let tensors = state_tensors(&state, &round.optimizer);
    let file = storage::write_tensors(&folder, &format!("{:04}", order.stage), &tensors, &metadata)?;
    Ok(Combined { state: Some(file), features: None, score: Some(score) })
}

/// The weighted mean of the workers' states, and the mean loss of their images.
fn average(order: &CombineOrder<'_>, round: &Round) -> Result<(State, f64)> {
    let stage = order.root.run(order.run).stage(order.stage);
    let mut reduced = weighted_sum(&stage, order.results, |all| Ok(shares(&images(order, &stage, all)?)))?;
    let files = paths(order, &stage);
    let steps = files.iter().zip(&reduced.metadata).map(|(file, notes)| number::<u64>(file, notes, "steps"));
    let steps = steps.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
    let mut take = |name: &str| {
        reduced.sums.remove(name).filter(|array| array.len() == round.shape.parameters()).ok_or_else(|| {
            let expected = format!("an array {name:?} of {} values", round.shape.parameters());
            Error::damaged(&stage, expected, "none of that size")
        })
    };
    let parameters = take(PARAMETERS)?;
    let memory = round.optimizer.memory_names().iter().map(|name| take(name)).collect::<Result<_>>()?;
    let loss = mean_loss(order, &stage, &reduced.metadata)?;
    Ok((State { parameters, memory, steps }, loss))
}

/// The state after one optimizer step along the mean gradient, and the mean loss of the batch.
fn gradient(order: &CombineOrder<'_>, round: &Round) -> Result<(State, f64)> {
    let stage = order.root.run(order.run).stage(order.stage);
    let mut state = round.state(order.root, order.run, order.state)?;
    let mut reduced = weighted_sum(&stage, order.results, |all| {
        let total: u64 = images(order, &stage, all)?.iter().sum();
        Ok(vec![1.0 / total.max(1) as f64; all.len()])
    })?;
    let gradient = reduced.sums.remove(GRADIENT).filter(|sum| sum.len() == state.parameters.len());
    let gradient = gradient.ok_or_else(|| {
        let expected = format!("an array {GRADIENT:?} of {} values", state.parameters.len());
        Error::damaged(&stage, expected, "none of that size")
    })?;
    let done = f64::from(round.number - 1);
    round.optimizer.step(rate(&round.job, done, 1.0), &gradient, &mut state);
    let loss = mean_loss(order, &stage, &reduced.metadata)?;
    Ok((state, loss))
}

fn paths(order: &CombineOrder<'_>, stage: &Path) -> Vec<PathBuf> {
    order.results.iter().map(|file| stage.join(&file.name)).collect()
}

/// How many images each worker's file stands for; each file must be its worker's.
fn images(order: &CombineOrder<'_>, stage: &Path, all: &[Notes]) -> Result<Vec<u64>> {
    let files = paths(order, stage);
    let read = files.iter().zip(all).enumerate().map(|(worker, (file, notes))| {
        let found = number::<usize>(file, notes, "worker")?;
        if found != worker {
            return Err(Error::damaged(file, format!("worker {worker}'s"), format!("worker {found}'s")));
        }
        number(file, notes, "images")
    });
    let images = read.collect::<Result<Vec<u64>>>()?;
    if all.len() != order.workers as usize {
        let expected = format!("the files of {} workers", order.workers);
        return Err(Error::argument(format!("round {}", order.stage), expected, format!("{}", all.len())));
    }
    Ok(images)
}

fn shares(images: &[u64]) -> Vec<f64> {
    let total = images.iter().sum::<u64>().max(1) as f64;
    images.iter().map(|&images| images as f64 / total).collect()
}

fn mean_loss(order: &CombineOrder<'_>, stage: &Path, all: &[Notes]) -> Result<f64> {
    let total = images(order, stage, all)?.iter().sum::<u64>().max(1) as f64;
    let files = paths(order, stage);
    let losses = files.iter().zip(all).map(|(file, notes)| number::<f64>(file, notes, "loss"));
    Ok(losses.collect::<Result<Vec<f64>>>()?.iter().sum::<f64>() / total)
}
