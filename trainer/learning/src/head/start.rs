//! What training begins with: what another run has trained, else what was pretrained, else what is drawn.

use super::{HeadShape, own_layers};
use crate::features::open_weights;
use crate::model::Model;
use crate::weights::Weights;
use crate::{Error, Result};
use networks::network;
use protocol::{Head, Job, RunId};
use std::collections::BTreeMap;
use std::ops::Range;
use storage::{Root, Tensor, TensorData};

/// One of the arrays of parameters, by name.
struct Named {
    name: String,
    shape: Vec<usize>,
    range: Range<usize>,
    /// Whether the network has it, so that it is pretrained.
    own: bool,
}

/// The names of the head's linear layers: torchvision's for those that they replace; an MLP's are those of an
/// `nn.Sequential(Linear, ReLU, Linear)` in the last layer's place.
pub(crate) fn layer_names(job: &Job) -> Result<Vec<String>> {
    let last = network(&job.network)?.last_layer()?.name;
    Ok(match job.head {
        Head::Softmax | Head::Layers { .. } => vec![last],
        Head::Mlp { .. } => [0, 2].map(|layer| format!("{last}.{layer}")).into(),
        Head::Classifier => own_layers(job)?.into_iter().map(|layer| layer.name).chain([last]).collect(),
    })
}

fn arrays(job: &Job, shape: &HeadShape) -> Result<Vec<Named>> {
    let block = shape.block_tensors().iter();
    let mut arrays: Vec<Named> = block
        .map(|t| Named { name: t.name.clone(), shape: t.shape.clone(), range: t.range.clone(), own: true })
        .collect();
    let layers = shape.layers();
    let last = layers.len() - 1;
    for (index, (layer, name)) in layers.into_iter().zip(layer_names(job)?).enumerate() {
        let own = job.head == Head::Classifier && index < last;
        let weight = vec![layer.outputs, layer.inputs];
        arrays.push(Named { name: format!("{name}.weight"), shape: weight, range: layer.weight, own });
        arrays.push(Named {
            name: format!("{name}.bias"),
            shape: vec![layer.outputs],
            range: layer.bias,
            own,
        });
    }
    Ok(arrays)
}

/// Checks that a job's pretrained layers are among the weights, and that the run that it begins from fits.
///
/// # Errors
/// [`Error::Tensor`] or [`Error::WrongWeights`] names what is missing; [`Error::Argument`] says why another run does not
/// fit.
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
    let arrays = arrays(job, shape)?;
    for array in arrays.iter().filter(|array| array.own) {
        if weights.shape(&array.name) != Some(array.shape.as_slice()) {
            weights.tensor(&array.name, &array.shape)?; // says what is there instead
        }
    }
    let Some(run) = &job.from else { return Ok(()) };
    let (model, _) = trained(root, job, run, &arrays)?;
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
    let mut parameters = shape.initial(job.seed);
    let mut arrays = arrays(job, shape)?;
    if let Some(run) = &job.from {
        let (_, tensors) = trained(root, job, run, &arrays)?;
        arrays.retain(|array| match tensors.get(&array.name).map(|tensor| &tensor.data) {
            Some(TensorData::F32(values)) => {
                parameters[array.range.clone()].copy_from_slice(values);
                false
            }
            _ => true,
        });
    }
    if arrays.iter().any(|array| array.own) {
        let installed = open_weights(root, job)?;
        for Named { name, shape, range, .. } in arrays.into_iter().filter(|array| array.own) {
            parameters[range].copy_from_slice(&installed.weights.tensor(&name, &shape)?);
        }
    }
    Ok(parameters)
}

/// The model of another run, with its tensors: every array that is no pretrained one must be among these.
fn trained(
    root: &Root,
    job: &Job,
    run: &RunId,
    arrays: &[Named],
) -> Result<(Model, BTreeMap<String, Tensor<'static>>)> {
    let folder = root.run(run).model();
    let wrong = |expected: String, found: String| Error::argument("job.from", expected, found);
    if !folder.join(crate::model::MODEL).is_file() {
        return Err(wrong("a run that has ended with a model".into(), format!("run {run}, which has none")));
    }
    let model = Model::open(&folder)?;
    if (&model.network, model.weights.as_str()) != (&job.network, job.weights()) {
        let found = format!("{} of the weights {:?} in run {run}", model.network, model.weights);
        return Err(wrong(format!("{} of the weights {:?}", job.network, job.weights()), found));
    }
    let tensors = storage::read_tensors(&folder, &model.head)?.tensors;
    for Named { name, shape, own, .. } in arrays {
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
