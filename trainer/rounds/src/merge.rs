//! A slice of a round's state, made from that slice of every worker's result, in worker order.
//!
//! `average`: parameters and the optimizer's memory are means weighted by images; steps are those of the
//! worker that made the most. `gradient`: the summed gradient over the images of the batch, then one
//! optimizer step. Workers that publish changes: one outer step along their mean. A value depends on no
//! other, so slices are as good as the whole.

use super::chunked::Notes;
use super::gradient::GRADIENT;
use super::keys::Agreement;
use super::moving::Moving;
use super::optimizer::Step;
use super::outer::{self, CHANGE};
use super::reduce::{Desk, Results, by_chunks};
use super::round::Round;
use super::saved::{TRAIN_LOSS, notes, number};
use super::schedule::rate;
use super::state::Common;
use super::trainable::Trainable;
use crate::Result;
use frozen::Buffer;
use protocol::FileRef;
use std::ops::Range;
use std::path::Path;
use storage::Tensor;
use work::{Failed, Stage};

/// The state that a round makes for all workers, or a slice of it.
pub(super) struct Merged {
    /// The arrays of [`Round::combined_arrays`], in their order.
    pub(super) arrays: Vec<Buffer>,
    /// Steps made.
    steps: u64,
    /// Mean loss of the round's images.
    loss: f64,
    /// The workers' own files, for the text of the combined state.
    own: Notes,
}

impl Merged {
    /// The arrays by their names.
    pub(super) fn tensors<T: Trainable>(&self, round: &Round<T>) -> Vec<Tensor<'_>> {
        let arrays = round.combined_arrays().into_iter().zip(&self.arrays);
        arrays.map(|(name, array)| Tensor::f32(name, &[array.len()], &array[..])).collect()
    }

    /// The text of a combined state after a round, whose training was in the stage `trained_in`.
    pub(super) fn text(&self, round: u32, trained_in: u32) -> Notes {
        let mut text = notes([
            ("round", round.to_string()),
            ("steps", self.steps.to_string()),
            (TRAIN_LOSS, self.loss.to_string()),
        ]);
        if !self.own.is_empty() {
            text.insert("trained_in".into(), trained_in.to_string());
            text.extend(self.own.clone());
        }
        text
    }
}

/// Merges some of the parameters of the workers' results in the stage of `order`, that of a round's training;
/// `range` begins at a chunk.
///
/// # Errors
/// If training has diverged; those of reading the workers' results.
pub(super) fn merge<T: Trainable>(
    at: &Stage<'_>,
    results: &[FileRef],
    round: &Round<T>,
    range: &Range<usize>,
) -> Result<Merged> {
    let results = Results::open(&at.root.run(at.run).stage(at.number), results)?;
    if results.length() != round.length() || results.notes().len() != at.workers as usize {
        let expected = format!("the {} results of {} parameters", at.workers, round.length());
        let found = format!("{} of {}", results.notes().len(), results.length());
        return Err(Failed::argument(format!("round {}", round.number), expected, found));
    }
    let images = images(&results)?;
    let total = images.iter().sum::<u64>().max(1) as f64;
    let merged = match (round.outer, round.training.agree) {
        (None, Agreement::Gradient) => step(at, round, &results, range, total)?,
        _ => mean(at, round, &results, range, &images.iter().map(|&n| n as f64 / total).collect::<Vec<_>>())?,
    };
    let losses = results.notes().map(|(file, notes)| number::<f64>(file, notes, "loss"));
    let loss = losses.collect::<Result<Vec<_>>>()?.iter().sum::<f64>() / total;
    Ok(Merged { loss, ..merged })
}

/// Makes the arrays of a state, chunk by chunk: `go_on` fills those that training continues from, the average
/// follows.
fn state<T: Trainable>(
    at: &Stage<'_>,
    round: &Round<T>,
    range: &Range<usize>,
    go_on: impl Fn(&Range<usize>, &mut [&mut [f32]], &mut Desk) -> Result<()> + Sync,
) -> Result<Vec<Buffer>> {
    let (moving, own) = (Moving::open(at, round)?, round.arrays().len());
    by_chunks(range, round.combined_arrays().len(), at.threads, |chunk, arrays, desk| {
        let (arrays, averaged) = arrays.split_at_mut(own);
        go_on(&chunk, arrays, desk)?;
        finite(round, arrays)?;
        match (&moving, averaged) {
            (Some(moving), [averaged]) => moving.fill(&chunk, arrays[0], averaged),
            _ => Ok(()),
        }
    })
}

/// The state from the weighted mean of the workers' results.
fn mean<T: Trainable>(
    at: &Stage<'_>,
    round: &Round<T>,
    results: &Results,
    range: &Range<usize>,
    shares: &[f64],
) -> Result<Merged> {
    let names = round.arrays();
    let outer = round.outer.map(|outer| Ok::<_, Failed>((outer, Before::open(at, round)?))).transpose()?;
    let arrays = state(at, round, range, |chunk, arrays, desk| {
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
fn step<T: Trainable>(
    at: &Stage<'_>,
    round: &Round<T>,
    results: &Results,
    range: &Range<usize>,
    images: f64,
) -> Result<Merged> {
    let (names, shares) = (round.arrays(), vec![1.0 / images; results.notes().len()]);
    let before = Before::open(at, round)?;
    let steps = before.steps()? + 1;
    let rate = rate(&round.training, f64::from(round.number - 1), 1.0);
    let step = Step { rate, number: steps };
    let arrays = state(at, round, range, |chunk, arrays, desk| {
        before.read(&names, chunk, arrays)?;
        let gradient = results.sum(GRADIENT, &shares, chunk, desk)?;
        let (parameters, memory) = arrays.split_first_mut().expect("the parameters are always there");
        round.optimizer.step_on(chunk, step, gradient, parameters, memory);
        Ok(())
    })?;
    Ok(Merged { arrays, steps, loss: 0.0, own: Notes::new() })
}

/// The combined state before a round.
enum Before {
    State(Common),
    /// The first parameters; everything else is zero.
    New(Vec<f32>),
}

impl Before {
    fn open<T: Trainable>(at: &Stage<'_>, round: &Round<T>) -> Result<Before> {
        Ok(match at.state {
            Some(file) => Before::State(round.common(at.root, at.run, file)?),
            None => Before::New(round.parameters(at.root, at.run, None)?),
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
fn finite<T: Trainable>(round: &Round<T>, arrays: &[&mut [f32]]) -> Result<()> {
    // Without stopping early: that would check value by value.
    let all = |array: &[f32]| array.iter().fold(true, |all, value| all & value.is_finite());
    match arrays.iter().all(|array| all(array)) {
        true => Ok(()),
        false => Err(round.not_finite("a weight", None)),
    }
}

/// The number of images of each worker's file; each file must be its worker's.
fn images(results: &Results) -> Result<Vec<u64>> {
    let read = |(worker, (file, notes)): (usize, (&Path, &Notes))| {
        let found = number::<usize>(file, notes, "worker")?;
        if found != worker {
            return Err(Failed::damaged(file, format!("worker {worker}'s"), format!("worker {found}'s")));
        }
        number(file, notes, "images")
    };
    results.notes().enumerate().map(read).collect()
}
