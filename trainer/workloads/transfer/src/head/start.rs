//! The first parameters of training: those of another run, else pretrained ones, else random ones.

use super::shape::HeadShape;
use crate::job::Job;
use crate::model::Model;
use crate::weights::{Weights, open_weights};
use crate::{Error, Result};
use protocol::RunId;
use rounds::Array;
use std::collections::BTreeMap;
use storage::{Root, Tensor, TensorData};

/// Checks that a job's pretrained layers are among the weights, and that the run that it begins from fits.
///
/// # Errors
/// [`Error::Tensor`] or [`Error::WrongWeights`] names the missing tensor; [`Error::Argument`] says why
/// another run does not fit.
pub(crate) fn check_start(
    root: &Root,
    job: &Job,
    shape: &HeadShape,
    weights: &Weights,
    classes: &[String],
) -> Result<()> {
    if let Some(block) = shape.block() {
        block.check(weights)?;
    }
    for array in shape.layout().arrays().iter().filter(|array| own(shape, array)) {
        if weights.shape(&array.name) != Some(array.shape.as_slice()) {
            weights.tensor(&array.name, &array.shape)?; // says what is there instead
        }
    }
    let Some(run) = &job.from else { return Ok(()) };
    let (model, _) = trained(root, job, run, shape)?;
    if model.classes != classes {
        let expected = format!("a run with the classes {classes:?}");
        return Err(Error::argument("job.from", expected, format!("{:?} in run {run}", model.classes)));
    }
    Ok(())
}

/// The parameters that training begins with.
///
/// # Errors
/// As [`check_start`]; [`Error::Storage`].
pub(crate) fn first_parameters(root: &Root, job: &Job, shape: &HeadShape) -> Result<Vec<f32>> {
    let mut parameters = shape.initial(job.training.seed);
    let layout = shape.layout();
    let mut arrays: Vec<&Array> = layout.arrays().iter().collect();
    if let Some(run) = &job.from {
        let (_, tensors) = trained(root, job, run, shape)?;
        arrays.retain(|array| match tensors.get(&array.name).map(|tensor| &tensor.data) {
            Some(TensorData::F32(values)) => {
                parameters[array.range.clone()].copy_from_slice(values);
                false
            }
            _ => true,
        });
    }
    arrays.retain(|array| own(shape, array));
    if !arrays.is_empty() {
        let installed = open_weights(root, job)?;
        for Array { name, shape, range, .. } in arrays {
            parameters[range.clone()].copy_from_slice(&installed.weights.tensor(name, shape)?);
        }
    }
    Ok(parameters)
}

/// Whether the network has an array, so that it is pretrained.
fn own(shape: &HeadShape, array: &Array) -> bool {
    array.range.end <= shape.pretrained()
}

/// The model of another run, with its tensors: every array that is not pretrained must be among them.
fn trained(
    root: &Root,
    job: &Job,
    run: &RunId,
    shape: &HeadShape,
) -> Result<(Model, BTreeMap<String, Tensor<'static>>)> {
    let folder = root.run(run).model();
    let wrong = |expected: String, found: String| Error::argument("job.from", expected, found);
    let model = Model::open(&folder)?;
    if (&model.network, model.weights.as_str()) != (&job.network, job.weights()) {
        let found = format!("{} of the weights {:?} in run {run}", model.network, model.weights);
        return Err(wrong(format!("{} of the weights {:?}", job.network, job.weights()), found));
    }
    let tensors = storage::read_tensors(&folder, &model.head)?.tensors;
    for array in shape.layout().arrays() {
        let (name, shape, own) = (&array.name, &array.shape, own(shape, array));
        let f32s = |tensor: &&Tensor<'_>| matches!(tensor.data, TensorData::F32(_));
        let found = tensors.get(name).filter(f32s).map(|tensor| &tensor.shape);
        if found.map_or(!own, |found| found != shape) {
            let found = found.map_or("none".into(), |found| format!("{found:?}"));
            return Err(wrong(
                format!("a tensor {name:?} of shape {shape:?}"),
                format!("{found} in run {run}"),
            ));
        }
    }
    Ok((model, tensors))
}
