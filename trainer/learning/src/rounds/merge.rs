//! A slice of a round's result, made of that slice of what every worker published, in worker order.
//!
//! `average`: parameters and the optimizer's memory are means weighted by images; steps are those of the worker that
//! made the most. `gradient`: the summed gradient over the images of the batch, then one optimizer step. Workers that
//! publish changes: one outer step along their mean. A value depends on no other, so slices are as good as the whole.

use super::averaged::Moving;
use super::common::Common;
use super::gradient::GRADIENT;
use super::outer::{self, CHANGE};
use super::round::Round;
use super::saved::number;
use crate::chunked::Notes;
use crate::head::rate;
use crate::reduce::{Desk, Results, by_chunks};
use crate::work::CombineOrder;
use crate::{Error, Result};
use frozen::Buffer;
use protocol::Agreement;
use std::ops::Range;
use std::path::Path;

/// What a round gives to all workers, or a slice of it.
pub(super) struct Merged {
    /// The arrays of [`Round::combined_arrays`], in their order.
    pub(super) arrays: Vec<Buffer>,
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
    let losses = results.notes().map(|(file, notes)| number::<f64>(file, notes, "loss"));
    let loss = losses.collect::<Result<Vec<_>>>()?.iter().sum::<f64>() / total;
    Ok(Merged { loss, ..merged })
}

/// Makes the arrays of a state, chunk by chunk: `go_on` fills those that training goes on from, the average follows.
fn state(
    order: &CombineOrder<'_>,
    round: &Round,
    range: &Range<usize>,
    go_on: impl Fn(&Range<usize>, &mut [&mut [f32]], &mut Desk) -> Result<()> + Sync,
) -> Result<Vec<Buffer>> {
    let (moving, own) = (Moving::open(order, round)?, round.arrays().len());
    by_chunks(range, round.combined_arrays().len(), order.threads, |chunk, arrays, desk| {
        let (arrays, averaged) = arrays.split_at_mut(own);
        go_on(&chunk, arrays, desk)?;
        finite(round, arrays)?;
        match (&moving, averaged) {
            (Some(moving), [averaged]) => moving.fill(&chunk, arrays[0], averaged),
            _ => Ok(()),
        }
    })
}

/// The weighted mean of what the workers published, and what follows from it.
fn mean(
    order: &CombineOrder<'_>,
    round: &Round,
    results: &Results,
    range: &Range<usize>,
    shares: &[f64],
) -> Result<Merged> {
    let names = round.arrays();
    let outer = round.outer.map(|outer| Ok::<_, Error>((outer, Before::open(order, round)?))).transpose()?;
    let arrays = state(order, round, range, |chunk, arrays, desk| {
        if let Some((outer, before)) = &outer {
            before.read(&names, chunk, arrays)?;
            let change = results.sum(CHANGE, shares, chunk, desk)?;
            let (parameters, memory) = arrays.split_first_mut().expect("the parameters are always there");
            outer::step(*outer, change, parameters, memory.first_mut().map(|memory| &mut **memory));
        } else {
            for (name, array) in names.iter().zip(&mut *arrays) {
                array.copy_from_slice(results.sum(name, shares, chunk, desk)?);
            }
        }
        Ok(())
    })?;
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
    let (names, shares) = (round.arrays(), vec![1.0 / images; order.results.len()]);
    let before = Before::open(order, round)?;
    let steps = before.steps()? + 1;
    let rate = rate(&round.job, f64::from(round.number - 1), 1.0);
    let arrays = state(order, round, range, |chunk, arrays, desk| {
        before.read(&names, chunk, arrays)?;
        let gradient = results.sum(GRADIENT, &shares, chunk, desk)?;
        let (parameters, memory) = arrays.split_first_mut().expect("the parameters are always there");
        round.optimizer.step_on(chunk, (rate, steps), gradient, parameters, memory);
        Ok(())
    })?;
    Ok(Merged { arrays, steps, loss: 0.0, own: Notes::new() })
}

/// The combined state before a round.
enum Before {
    State(Common),
    /// What training begins with; all else is zero.
    New(Vec<f32>),
}

impl Before {
    fn open(order: &CombineOrder<'_>, round: &Round) -> Result<Before> {
        Ok(match order.state {
            Some(file) => Before::State(round.common(order.root, order.run, file)?),
            None => Before::New(round.parameters(order.root, order.run, None)?),
        })
    }

    fn steps(&self) -> Result<u64> {
        match self {
            Before::State(common) => common.number("steps"),
            Before::New(_) => Ok(0),
        }
    }

    /// Reads a chunk of each array.
    fn read(&self, names: &[&str], chunk: &Range<usize>, arrays: &mut [&mut [f32]]) -> Result<()> {
        match self {
            Before::State(common) => {
                let mut each = names.iter().zip(arrays);
                each.try_for_each(|(name, array)| common.read(name, chunk.start, array))
            }
            Before::New(parameters) => {
                arrays[0].copy_from_slice(&parameters[chunk.clone()]);
                Ok(())
            }
        }
    }
}

/// An error if training has diverged.
fn finite(round: &Round, arrays: &[&mut [f32]]) -> Result<()> {
    // Without leaving early: that would be value by value.
    let all = |array: &[f32]| array.iter().fold(true, |all, value| all & value.is_finite());
    match arrays.iter().all(|array| all(array)) {
        true => Ok(()),
        false => Err(round.not_finite("a weight", None)),
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
