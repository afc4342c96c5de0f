//! States in files: parameters and the optimizer's memory as arrays, steps and sums as text.

use crate::chunked::Notes;
use crate::head::{HeadShape, Optimizer, State};
use crate::{Error, Result};
use protocol::FileRef;
use std::path::Path;
use std::str::FromStr;
use storage::Tensor;

/// Name of the array of all parameters.
pub(super) const PARAMETERS: &str = "parameters";

/// Numbers as text that gives exactly the same numbers again.
pub(super) fn notes<const N: usize>(pairs: [(&str, String); N]) -> Notes {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A number from a file's text.
pub(super) fn number<T: FromStr>(file: &Path, notes: &Notes, key: &str) -> Result<T> {
    let text = notes.get(key).map_or("none", String::as_str);
    text.parse().map_err(|_| Error::damaged(file, format!("a number {key:?}"), text))
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
    shape: &HeadShape,
    optimizer: &Optimizer,
) -> Result<(State, Notes)> {
    let mut tensors = storage::read_tensors(folder, file)?;
    let length = [shape.parameters()];
    let parameters = tensors.take_f32(PARAMETERS, &length)?;
    let memory = optimizer.memory_names().iter().map(|name| tensors.take_f32(name, &length));
    let memory = memory.collect::<Result<_, _>>()?;
    let steps = number(&folder.join(&file.name), &tensors.metadata, "steps")?;
    Ok((State { parameters, memory, steps }, tensors.metadata))
}
