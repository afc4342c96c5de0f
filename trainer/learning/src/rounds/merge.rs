//! A slice of a round's result, made of that slice of what every worker published, in worker order.
//!
//! `average`: parameters and the optimizer's memory are means weighted by images; steps are those of the worker that
//! made the most. `gradient`: the summed gradient over the images of the batch, then one optimizer step. Workers that
//! publish changes: one outer step along their mean. A value depends on no other, so slices are as good as the whole.

use super::gradient::GRADIENT;
use super::outer::{self, CHANGE};
use super::round::Round;
use super::saved::number;
use crate::chunked::Notes;
use crate::head::{State, rate};
use crate::reduce::Results;
use crate::work::CombineOrder;
use crate::{Error, Result};
use protocol::Agreement;
use std::ops::Range;
use std::path::Path;

/// What a round gives to all workers, or a slice of it.
pub(super) struct Merged {
    /// The arrays of [`Round::arrays`], in their order.
    pub(super) arrays: Vec<Vec<f32>>,
    /// Steps made.
    pub(super) steps: u64,
    /// Mean loss of the round's images.
    pub(super) loss: f64,
    /// What the combined state says of the workers' own files.
    pub(super) own: Notes,
}

/// Merges some of the parameters of what the workers published in the stage that `order` is about, that of a round's
/// training; `range` begins at a chunk.
///
/// # Errors
/// [`Error::NotFinite`] when training has diverged; [`Error::Damaged`], [`Error::Storage`].
pub(super) fn merge(order: &CombineOrder<'_>, round: &Round, range: &Range<usize>) -> Result<Merged> {
    let results = Results::open(&order.root.run(order.run).stage(order.stage), order.results)?;
    if results.length() != round.shape.parameters() || order.results.len() != order.workers as usize {
        let expected = format!("the {} results of {} parameters", order.workers, round.shape.parameters());
        let found = format!("{} of {}", order.results.len(), results.length());
        return Err(Error::argument(format!("round {}", round.number), expected, found));
    }
    let images = images(&results)?;
    let total = images.iter().sum::<u64>().max(1) as f64;
    let merged = match (round.outer, round.job.agree) {
        (None, Agreement::Gradient) => step(order, round, &results, range, total)?,
        _ => mean(
            order,
            round,
            &results,
            range,
            &images.iter().map(|&n| n as f64 / total).collect::<Vec<_>>(),
        )?,
    };
    if merged.arrays.iter().flatten().any(|value| !value.is_finite()) {
        return Err(round.not_finite("a weight", None));
    }
    let losses = results.notes().map(|(file, notes)| number::<f64>(file, notes, "loss"));
    let loss = losses.collect::<Result<Vec<_>>>()?.iter().sum::<f64>() / total;
    Ok(Merged { loss, ..merged })
}

/// The weighted mean of what the workers published, and what follows from it.
fn mean(
    order: &CombineOrder<'_>,
    round: &Round,
    results: &Results,
    range: &Range<usize>,
    shares: &[f64],
) -> Result<Merged> {
    let mut sums = results.sum(shares, range.clone(), order.threads)?;
    let file = results.notes().next().map(|(file, _)| file.to_owned()).unwrap_or_default();
    let mut take = |name: &str| {
        sums.remove(name).ok_or_else(|| Error::damaged(&file, format!("an array {name:?}"), "none"))
    };
    let arrays = match round.outer {
        None => round.arrays().into_iter().map(take).collect::<Result<_>>()?,
        Some(outer) => {
            let change = take(CHANGE)?;
            let mut arrays = before(order, round, range)?;
            let (parameters, memory) = arrays.split_first_mut().expect("the parameters are always there");
            outer::step(outer, &change, parameters, memory.first_mut());
            arrays
        }
    };
    let steps = results.notes().map(|(file, notes)| number::<u64>(file, notes, "steps"));
    let steps = steps.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
    let own = results
        .notes()
        .enumerate()
        .filter_map(|(worker, (_, notes))| Some((outer::key(worker as u32), notes.get("own")?.clone())));
    Ok(Merged { arrays, steps, loss: 0.0, own: own.collect() })
}

/// One optimizer step along the mean gradient.
fn step(
    order: &CombineOrder<'_>,
    round: &Round,
    results: &Results,
    range: &Range<usize>,
    images: f64,
) -> Result<Merged> {
    let mut sums = results.sum(&vec![1.0 / images; order.results.len()], range.clone(), order.threads)?;
    let gradient = sums.remove(GRADIENT).ok_or_else(|| {
        let file = results.notes().next().map(|(file, _)| file.to_owned()).unwrap_or_default();
        Error::damaged(&file, format!("an array {GRADIENT:?}"), "none")
    })?;
    let mut arrays = before(order, round, range)?;
    let steps = match order.state {
        Some(file) => round.common(order.root, order.run, file)?.number("steps")?,
        None => 0,
    };
    let parameters = std::mem::take(&mut arrays[0]);
    let mut state = State { parameters, memory: arrays.split_off(1), steps };
    let rate = rate(&round.job, f64::from(round.number - 1), 1.0);
    round.optimizer.step_on(range, rate, &gradient, &mut state);
    let State { parameters, memory, steps } = state;
    let arrays = [parameters].into_iter().chain(memory).collect();
    Ok(Merged { arrays, steps, loss: 0.0, own: Notes::new() })
}

/// The arrays of the combined state before: what it has, or what training begins with and zeros.
fn before(order: &CombineOrder<'_>, round: &Round, range: &Range<usize>) -> Result<Vec<Vec<f32>>> {
    match order.state {
        Some(file) => {
            let common = round.common(order.root, order.run, file)?;
            round.arrays().into_iter().map(|name| common.read(name, range.clone())).collect()
        }
        None => {
            let parameters = round.parameters(order.root, order.run, None)?[range.clone()].to_vec();
            let memory = vec![vec![0.0; parameters.len()]; round.arrays().len() - 1];
            Ok([parameters].into_iter().chain(memory).collect())
        }
    }
}

/// How many images each worker's file stands for; each file must be its worker's.
fn images(results: &Results) -> Result<Vec<u64>> {
    let read = |(worker, (file, notes)): (usize, (&Path, &Notes))| {
        let found = number::<usize>(file, notes, "worker")?;
        if found != worker {
            return Err(Error::damaged(file, format!("worker {worker}'s"), format!("worker {found}'s")));
        }
        number(file, notes, "images")
    };
    results.notes().enumerate().map(read).collect()
}
