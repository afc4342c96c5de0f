//! States in files: parameters and the optimizer's memory as arrays, steps and sums as text.

use super::chunked::{Chunked, Notes};
use super::optimizer::{Optimizer, State};
use crate::Result;
use protocol::FileRef;
use std::path::Path;
use std::str::FromStr;
use storage::Tensor;
use work::Failed;

/// Name of the array of all parameters.
pub(super) const PARAMETERS: &str = "parameters";
/// Key of the mean loss of training in a round's state.
pub(super) const TRAIN_LOSS: &str = "train_loss";
/// Name of the array of averaged parameters.
pub(super) const AVERAGED: &str = "averaged";
/// Name of the outer step's memory.
pub(super) const VELOCITY: &str = "velocity";

/// Numbers as text from which exactly the same numbers can be read.
pub(super) fn notes<const N: usize>(pairs: [(&str, String); N]) -> Notes {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A number from a file's text.
pub(super) fn number<T: FromStr>(file: &Path, notes: &Notes, key: &str) -> Result<T> {
    let text = notes.get(key).map_or("none", String::as_str);
    text.parse().map_err(|_| Failed::damaged(file, format!("a number {key:?}"), text))
}

/// The mean loss of the examples that a round trained on, from the state that it made.
///
/// # Errors
/// Those of reading it.
pub fn train_loss(folder: &Path, state: &FileRef) -> Result<f64> {
    let file = Chunked::open(folder, state)?;
    number(file.path(), file.notes(), TRAIN_LOSS)
}

/// The arrays of a state, borrowed.
pub(super) fn state_tensors<'a>(state: &'a State, optimizer: &Optimizer) -> Vec<Tensor<'a>> {
    let length = [state.parameters.len()];
    let memory = optimizer.memory_names().iter().zip(&state.memory);
    let memory = memory.map(|(name, memory)| Tensor::f32(*name, &length, &memory[..]));
    [Tensor::f32(PARAMETERS, &length, &state.parameters[..])].into_iter().chain(memory).collect()
}

/// Reads a state and the text beside it.
pub(super) fn read_state_and_notes(
    folder: &Path,
    file: &FileRef,
    length: usize,
    optimizer: &Optimizer,
) -> Result<(State, Notes)> {
    let mut tensors = storage::read_tensors(folder, file)?;
    let length = [length];
    let parameters = tensors.take_f32(PARAMETERS, &length)?;
    let memory = optimizer.memory_names().iter().map(|name| tensors.take_f32(name, &length));
    let memory = memory.collect::<Result<_, _>>()?;
    let steps = number(&folder.join(&file.name), &tensors.metadata, "steps")?;
    Ok((State { parameters, memory, steps }, tensors.metadata))
}
