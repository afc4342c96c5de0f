//! Workers that publish their change, in few bytes, and keep the rest to themselves.
//!
//! A worker's change is its parameters minus those that the round began with, plus the rounding error of its
//! last change. All make one step along the mean change, with Nesterov momentum. The memory of a worker's own
//! optimizer and the rounding error are in a file of its own, which nobody else reads. It has the same name
//! and bytes whoever computes it.

use super::chunked::{self, BLOCK, Notes, SCALES};
use super::keys::{Outer, Precision};
use super::optimizer::State;
use super::round::{Origin, Round};
use super::saved::{notes, number};
use super::state::{json, parsed};
use super::trainable::Trainable;
use crate::Result;
use half::bf16;
use protocol::FileRef;
use std::path::Path;
use storage::{Tensor, TensorData};

/// Name of the array of changes.
pub(super) const CHANGE: &str = "change";
/// Name of the rounding error.
const RESIDUAL: &str = "residual";

/// One outer step, for parameters one by one.
pub(super) fn step(outer: Outer, change: &[f32], parameters: &mut [f32], velocity: Option<&mut [f32]>) {
    let [rate, momentum] = [outer.rate, outer.momentum].map(|x| x as f32);
    let Some(velocity) = velocity else {
        parameters.iter_mut().zip(change).for_each(|(value, change)| *value += rate * change);
        return;
    };
    for ((value, &change), velocity) in parameters.iter_mut().zip(change).zip(velocity) {
        *velocity = momentum * *velocity + change;
        *value += rate * (change + momentum * *velocity);
    }
}

/// A worker's own file of the last round, if there was one.
fn own<T: Trainable>(round: &Round<T>, origin: &Origin) -> Result<Option<storage::Tensors>> {
    let Some(file) = origin.state.as_ref().filter(|_| round.outer.is_some()) else { return Ok(None) };
    let folder = origin.root.run(&origin.run);
    let common = round.common(&origin.root, &origin.run, file)?;
    let own: FileRef = parsed(Path::new(&file.name), common.notes(), &key(origin.worker))?;
    Ok(Some(storage::read_tensors(&folder.stage(common.number("trained_in")?), &own)?))
}

/// The key of a worker's own file in the text of a combined state.
pub(super) fn key(worker: u32) -> String {
    format!("own {worker}")
}

/// Adds the memory that a worker kept from the last round to the state that it begins this one with.
pub(super) fn begin<T: Trainable>(round: &Round<T>, origin: &Origin, state: &mut State) -> Result<()> {
    let Some(mut own) = own(round, origin)? else { return Ok(()) };
    for (name, memory) in round.optimizer.memory_names().iter().zip(&mut state.memory) {
        *memory = own.take_f32(name, &[memory.len()])?;
    }
    state.steps = number(Path::new("own file"), &own.metadata, "steps")?;
    Ok(())
}

/// Publishes a worker's change in the stage's folder, and before it the worker's own file.
pub(super) fn publish<T: Trainable>(
    round: &Round<T>,
    origin: &Origin,
    state: &State,
    stage: &Path,
    mut text: Notes,
) -> Result<FileRef> {
    let length = [state.parameters.len()];
    let mut change = round.parameters(&origin.root, &origin.run, origin.state.as_ref())?;
    change.iter_mut().zip(&state.parameters).for_each(|(base, value)| *base = value - *base);
    if let Some(mut own) = own(round, origin)?.filter(|own| own.tensors.contains_key(RESIDUAL)) {
        let residual = own.take_f32(RESIDUAL, &length)?;
        change.iter_mut().zip(residual).for_each(|(change, lost)| *change += lost);
    }
    let mut published = rounded(round.training.precision, &mut change);
    let residual = match round.training.precision {
        Precision::F32 => {
            published.push(Tensor::f32(CHANGE, &length, change));
            None
        }
        Precision::Bf16 | Precision::Int8 => Some(Tensor::f32(RESIDUAL, &length, change)),
    };
    let memory = round.optimizer.memory_names().iter().zip(&state.memory);
    let memory = memory.map(|(name, memory)| Tensor::f32(*name, &length, &memory[..]));
    let own: Vec<Tensor<'_>> = memory.chain(residual).collect();
    let steps = notes([("worker", origin.worker.to_string()), ("steps", state.steps.to_string())]);
    let name = format!("own-{:03}.safetensors", origin.worker);
    let own = storage::write_tensors_same(stage, &name, &own, &steps)?;
    text.insert("own".into(), json(&own)?);
    chunked::publish(stage, &format!("worker-{:03}", origin.worker), &published, &text)
}

/// The change in fewer bytes; the rounding error is left in `change`. Nothing in f32, which has no rounding
/// error.
fn rounded(precision: Precision, change: &mut [f32]) -> Vec<Tensor<'static>> {
    let array = |length, data| Tensor { name: CHANGE.into(), shape: vec![length], data };
    match precision {
        Precision::F32 => Vec::new(),
        Precision::Bf16 => {
            let mut halves = Vec::with_capacity(change.len());
            for value in &mut *change {
                let half = bf16::from_f32(*value);
                *value -= half.to_f32();
                halves.push(half.to_bits());
            }
            vec![array(halves.len(), TensorData::Bf16(halves.into()))]
        }
        Precision::Int8 => {
            let (mut bytes, mut scales) = (Vec::with_capacity(change.len()), Vec::new());
            for block in change.chunks_mut(BLOCK) {
                let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let scale = largest / 127.0;
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                for value in block {
                    let whole = (*value * inverse).round().clamp(-127.0, 127.0);
                    *value -= whole * scale;
                    bytes.push(whole as i8);
                }
                scales.push(scale);
            }
            let array = array(bytes.len(), TensorData::I8(bytes.into()));
            vec![array, Tensor::f32(SCALES, &[scales.len()], scales)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    #[test]
    fn what_rounding_loses_is_what_is_missing() {
        let mut stream = Stream::new(1, Purpose::Order, 0, 0);
        let exact: Vec<f32> = (0..BLOCK + 100).map(|_| stream.symmetric(0.01)).collect();
        for (precision, most) in [(Precision::Bf16, 4e-5), (Precision::Int8, 4.1e-5)] {
            let mut left = exact.clone();
            let tensors = rounded(precision, &mut left);
            let folder = tempfile::tempdir().unwrap();
            let file = chunked::publish(folder.path(), "w", &tensors, &Notes::new()).unwrap();
            let mut sent = vec![0.0; exact.len()];
            let file = chunked::Chunked::open(folder.path(), &file).unwrap();
            file.read(CHANGE, 0, &mut sent, &mut Vec::new()).unwrap();
            let apart = |i: usize| (f64::from(sent[i]) + f64::from(left[i]) - f64::from(exact[i])).abs();
            assert!((0..exact.len()).all(|i| apart(i) < 1e-9 && left[i].abs() <= most), "{precision:?}");
            assert!(left.iter().any(|lost| *lost != 0.0), "{precision:?} rounds");
        }
    }

    #[test]
    fn the_outer_step_is_nesterovs() {
        let outer = Outer { rate: 0.5, momentum: 0.9 };
        let (mut values, mut velocity) = (vec![1.0_f32], vec![2.0_f32]);
        step(outer, &[4.0], &mut values, Some(&mut velocity));
        assert!(
            (velocity[0] - 5.8).abs() < 1e-6 && (values[0] - (1.0 + 0.5 * (4.0 + 0.9 * 5.8))).abs() < 1e-6
        );
        step(Outer { rate: 1.0, momentum: 0.0 }, &[4.0], &mut values, None);
        assert!((values[0] - 9.61).abs() < 1e-5);
    }
}
