//! The model of a run, published from its best state.

use crate::features::{Recipe, Store};
use crate::head::{HeadShape, Layer};
use crate::model::{Evaluation, LayerNames, MODEL, Model, SCHEMA};
use crate::training::TrainedHead;
use crate::{Error, Result};
use protocol::FileRef;
use rounds::Array;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use storage::{FeatureManifest, Once, Tensor, read_whole, write_tensors_same};
use twox_hash::XxHash3_64;
use work::Stage;

/// Publishes the model of a run with the parameters of its best state, and its scores or the reason why there
/// are none; returns the reference of `model.json`.
pub(crate) fn publish(
    stage: &Stage<'_>,
    head: &TrainedHead,
    mut parameters: Vec<f32>,
    (mut scores, unscored): (BTreeMap<&str, Evaluation>, Option<&str>),
) -> Result<FileRef> {
    let (Stage { root, run, .. }, job) = (*stage, head.job());
    let recipe = Recipe::open(root, job)?;
    let made_of = FeatureManifest::open(&root.features(&stage.features.key)?)?.made_of;
    recipe.check_same(&made_of)?;
    let (store, shape) = (head.store(), head.shape());
    fold(store, shape, &mut parameters);
    let names =
        |Layer { name, .. }| LayerNames { weight: format!("{name}.weight"), bias: format!("{name}.bias") };
    let folder = root.run(run).model();
    storage::create_folder(&folder)?;
    let block = shape.block();
    let model = Model {
        schema: SCHEMA,
        head: publish_head(&folder, shape, &parameters)?,
        network: job.network.clone(),
        weights: job.weights().to_owned(),
        weights_sha256: recipe.weights.sha256,
        cut: block.map_or(recipe.cut, |block| block.up_to.clone()),
        pool: block.map_or(recipe.pool, |block| block.pool),
        preprocessing: recipe.preprocessing,
        layers: shape.layers().into_iter().map(names).collect(),
        trained: shape.block_tensors().iter().map(|tensor| tensor.name.clone()).collect(),
        classes: store.class_names().to_vec(),
        dataset: job.dataset.clone(),
        val: scores.remove("val"),
        test: scores.remove("test"),
        unscored: unscored.map(str::to_owned),
    };
    let text = serde_json::to_string_pretty(&model)
        .map_err(|error| storage::Error::io("write", &folder.join(MODEL))(error.into()))?;
    match storage::publish_once(&folder, MODEL, |file| file.write_all(storage::seal(&text).as_bytes()))? {
        Once::Published(file) => Ok(file),
        Once::AlreadyThere => published(&folder, &model.head),
    }
}

/// The description that exists already. It must name the same head, because a run has one best state. Its
/// scores may come from a machine that adds in another order.
fn published(folder: &Path, head: &FileRef) -> Result<FileRef> {
    let path = folder.join(MODEL);
    let (text, reference) = read_whole(&path)?;
    let found = Model::read(&path, &text)?.head;
    if found == *head {
        return Ok(reference);
    }
    Err(Error::damaged(&path, format!("the run's best model, {}", head.name), found.name))
}

fn publish_head(folder: &Path, shape: &HeadShape, parameters: &[f32]) -> Result<FileRef> {
    let layout = shape.layout();
    let array = |array: &Array| Tensor::f32(&*array.name, &array.shape, &parameters[array.range.clone()]);
    let tensors: Vec<Tensor<'_>> = layout.arrays().iter().map(array).collect();
    let name = format!("head-{:016x}.safetensors", XxHash3_64::oneshot(bytemuck::cast_slice(parameters)));
    Ok(write_tensors_same(folder, &name, &tensors, &BTreeMap::new())?)
}

/// Folds the standardisation into the first layer, each weight and bias computed in f64 and rounded once.
fn fold(store: &Store, shape: &HeadShape, parameters: &mut [f32]) {
    let (Some(standard), Some(layer)) = (store.standard(), shape.layers().into_iter().next()) else { return };
    for output in 0..layer.outputs {
        let row = layer.weight.start + output * layer.inputs;
        let mut bias = f64::from(parameters[layer.bias.start + output]);
        for (column, value) in parameters[row..row + layer.inputs].iter_mut().enumerate() {
            let scaled = f64::from(*value) * f64::from(standard.inverse[column]);
            bias -= scaled * f64::from(standard.mean[column]);
            *value = scaled as f32;
        }
        parameters[layer.bias.start + output] = bias as f32;
    }
}
