//! A trained model for use elsewhere: tensors, labels and preprocessing, for torchvision's own class if there
//! is one.

use crate::images::Preprocessing;
use crate::weights::{Parameters, TensorSpec, write_safetensors};
use crate::{Error, Result};
use networks::{LastLayerForm, Network, Op};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// The newest schema of `model.json`.
const SCHEMA: u32 = 1;

/// A linear layer of a head.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// A trained model: a pretrained network up to a cut, and the head on top of it.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The whole network.
    pub network: &'a Network,
    /// The point where it is cut.
    pub cut: &'a str,
    /// Whether a map at the cut is averaged before the head.
    pub pool: bool,
    /// The parameters below the cut.
    pub backbone: &'a dyn Parameters,
    /// The linear layers of the head, with ReLU between them.
    pub head: &'a [Linear],
    /// The classes' names in order.
    pub labels: &'a [String],
    /// The preprocessing of images.
    pub preprocessing: Preprocessing,
}

/// `model.json`: the description of `model.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// Schema of this description.
    pub schema: u32,
    /// The network's name.
    pub network: String,
    /// The point where it is cut.
    pub cut: String,
    /// Whether a map at the cut is averaged.
    pub pool: bool,
    /// The function of `torchvision.models` whose model loads the file with `strict=True`; none if no class
    /// of torchvision computes this model.
    pub torchvision: Option<String>,
    /// The computation, in words.
    pub how: String,
}

/// Writes `model.safetensors`, `model.json`, `labels.json` and `preprocessing.json` into a folder.
///
/// At the default cut, with a head of one layer, the file is torchvision's own model with its last layer
/// replaced; with a head of the network's own fully connected layers it is that model with these. At any
/// other cut no class of torchvision computes the model: then the file holds the part of the network that is
/// used, under torchvision's names, and the head as `head.0.weight`, `head.0.bias`, …, and `model.json` says
/// so.
///
/// # Errors
/// [`Error::Argument`] if head, labels and network do not fit; [`Error::Taken`] if a file is there already;
/// those of writing.
pub fn export(model: &Model, folder: &Path) -> Result<Exported> {
    let part = model.network.up_to(model.cut)?;
    let features = check(model, &part)?;
    let mut tensors = backbone_tensors(&part);
    let (torchvision, head) = match head_for_torchvision(model)? {
        Some(head) => (Some(model.network.name.to_owned()), head),
        None => (None, named((0..).map(|number: u32| format!("head.{number}")), model.head)),
    };
    tensors.extend(head.iter().map(|(name, (shape, _))| TensorSpec::f32(name, shape)));
    storage::create_folder(folder)?;
    publish(folder, "model.safetensors", |out| {
        write_safetensors(out, &tensors, |tensor| match head.get(&tensor.name) {
            Some((_, values)) => Ok(Cow::Borrowed(values.as_slice())),
            None => model.backbone.get(&tensor.name, &tensor.shape).map_err(io::Error::other),
        })
    })?;
    let exported = Exported {
        schema: SCHEMA,
        network: model.network.name.to_owned(),
        cut: model.cut.to_owned(),
        pool: model.pool,
        how: how(model, torchvision.as_deref(), features),
        torchvision,
    };
    let Preprocessing { size, normalisation } = model.preprocessing;
    let preprocessing = json!({
        "schema": SCHEMA, "size": size, "mean": normalisation.mean, "std": normalisation.std,
        "channels": "RGB", "resize": "short side to `size`, bilinear, antialias, no rounding",
        "crop": "centre square", "scale": "1/255",
    });
    publish_json(folder, "labels.json", &model.labels)?;
    publish_json(folder, "preprocessing.json", &preprocessing)?;
    publish_json(folder, "model.json", &exported)?;
    Ok(exported)
}

impl Linear {
    /// The layer for plain features, made from one that was trained on `(feature - mean) / deviation`.
    pub fn after_standardising(&self, mean: &[f32], deviation: &[f32]) -> Linear {
        let mut layer = self.clone();
        for (row, bias) in layer.weight.chunks_exact_mut(mean.len()).zip(&mut layer.bias) {
            let mut shift = 0.0;
            for ((weight, mean), deviation) in row.iter_mut().zip(mean).zip(deviation) {
                *weight /= deviation;
                shift += f64::from(*weight) * f64::from(*mean);
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
        layer
    }

    fn inputs(&self) -> usize {
        self.weight.len() / self.bias.len().max(1)
    }

    /// The same layer for softmax, whose output on features that are not negative is not negative either.
    ///
    /// The same row is added to every class's weights and the same number to every bias; softmax ignores a
    /// term that all classes share.
    fn lifted(&self) -> Linear {
        let lowest = |values: &mut dyn Iterator<Item = f32>| values.fold(f32::INFINITY, f32::min);
        let inputs = self.inputs();
        let rows: Vec<f32> = (0..inputs)
            .map(|column| lowest(&mut self.weight.iter().skip(column).step_by(inputs).copied()).min(0.0))
            .collect();
        let bias = lowest(&mut self.bias.iter().copied());
        let lift =
            |row: &[f32]| row.iter().zip(&rows).map(|(weight, low)| weight - low).collect::<Vec<f32>>();
        Linear {
            weight: self.weight.chunks_exact(inputs).flat_map(lift).collect(),
            bias: self.bias.iter().map(|value| value - bias).collect(),
        }
    }
}

/// Checks that everything fits, and returns the number of features at the cut.
fn check(model: &Model, part: &Network) -> Result<usize> {
    let size = model.preprocessing.size;
    model.preprocessing.normalisation.check()?;
    let shape = part.shapes(size, size)?[part.output()];
    let features = if model.pool { shape.pooled() } else { shape.len() };
    let mut inputs = features;
    for (number, layer) in model.head.iter().enumerate() {
        if layer.bias.is_empty() || layer.weight.len() != inputs * layer.bias.len() {
            let expected = format!("a weight of {} by {inputs} values", layer.bias.len().max(1));
            return Err(Error::argument(format!("layer {number} of the head"), expected, layer.weight.len()));
        }
        inputs = layer.bias.len();
    }
    let classes = model.head.last().map_or(0, |layer| layer.bias.len());
    if classes == 0 || classes != model.labels.len() {
        return Err(Error::argument("labels", format!("{classes}, one for each class"), model.labels.len()));
    }
    Ok(features)
}

/// The tensors below the cut, with the counters that torchvision's batch norm has beside its four.
fn backbone_tensors(part: &Network) -> Vec<TensorSpec> {
    let mut tensors = Vec::new();
    for node in &part.nodes {
        let own = node.parameters();
        tensors.extend(own.iter().map(|parameter| TensorSpec::f32(&parameter.name, &parameter.shape)));
        if matches!(node.op, Op::BatchNorm { .. }) {
            let name = format!("{}.num_batches_tracked", node.name);
            tensors.push(TensorSpec { name, shape: Vec::new(), counter: true });
        }
    }
    tensors
}

/// Tensors by name, with shape and values.
type Head = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The head as the network's own last layer, if it computes the same there.
fn head_for_torchvision(model: &Model) -> Result<Option<Head>> {
    let last = model.network.last_layer()?;
    if !networks::is_torchvisions(model.network.name) {
        return Ok(None);
    }
    if let Some(head) = fully_connected(model)? {
        return Ok(Some(head));
    }
    let ([layer], true) = (model.head, just_below_last(model)?) else { return Ok(None) };
    let classes = layer.bias.len();
    let (layer, shape) = match last.form {
        LastLayerForm::Linear => (layer.clone(), vec![classes, last.inputs]),
        LastLayerForm::Convolution => (layer.lifted(), vec![classes, last.inputs, 1, 1]),
    };
    Ok(Some(BTreeMap::from([
        (format!("{}.weight", last.name), (shape, layer.weight)),
        (format!("{}.bias", last.name), (vec![classes], layer.bias)),
    ])))
}

/// The head as the network's own fully connected layers, if there are some above the cut and their sizes are
/// these.
fn fully_connected(model: &Model) -> Result<Option<Head>> {
    let hidden = model.network.hidden_above(model.cut)?.unwrap_or_default();
    let own = hidden.iter().map(|layer| (layer.inputs, layer.outputs));
    let Some((_, below)) = model.head.split_last() else { return Ok(None) };
    let sizes = below.iter().map(|layer| (layer.inputs(), layer.bias.len()));
    if model.pool || hidden.is_empty() || !own.eq(sizes) {
        return Ok(None);
    }
    let names = hidden.into_iter().map(|layer| layer.name).chain([model.network.last_layer()?.name]);
    Ok(Some(named(names, model.head)))
}

/// Whether the features are the inputs of the network's own last layer.
fn just_below_last(model: &Model) -> Result<bool> {
    let network = model.network;
    let (cut, default) = (network.point(model.cut)?, network.point(network.default_cut)?);
    Ok(match network.last_layer()?.form {
        LastLayerForm::Convolution => cut == default && model.pool,
        LastLayerForm::Linear => {
            // An averaged map is the vector that the network's own pooling computes.
            let between = &network.nodes[cut + 1..(default + 1).max(cut + 1)];
            let averaged = [Op::AdaptiveAvgPool { height: 1, width: 1 }, Op::Flatten];
            cut == default || model.pool && between.iter().map(|node| &node.op).eq(averaged.iter())
        }
    })
}

fn named(names: impl IntoIterator<Item = String>, layers: &[Linear]) -> Head {
    let tensors = |(name, layer): (String, &Linear)| {
        let shape = vec![layer.bias.len(), layer.inputs()];
        [
            (format!("{name}.weight"), (shape, layer.weight.clone())),
            (format!("{name}.bias"), (vec![layer.bias.len()], layer.bias.clone())),
        ]
    };
    names.into_iter().zip(layers).flat_map(tensors).collect()
}

fn how(model: &Model, torchvision: Option<&str>, features: usize) -> String {
    let (name, cut, classes) = (model.network.name, model.cut, model.labels.len());
    if let Some(function) = torchvision {
        return format!(
            "model = torchvision.models.{function}(num_classes={classes}); \
             model.load_state_dict(safetensors.torch.load_file('model.safetensors')); model.eval(); \
             softmax of its output"
        );
    }
    let row = if model.pool {
        "the mean of each channel over the map"
    } else {
        "all values in the order channels, height, width"
    };
    let owner =
        if networks::is_torchvisions(name) { "torchvision.models" } else { "Baton's trainer/networks" };
    let layers: Vec<String> = (0..model.head.len()).map(|number| format!("head.{number}")).collect();
    format!(
        "no class of torchvision computes this model. The layers of `{name}` in {owner} up to `{cut}` \
         (tensors by its names), {row} ({features} features), then x @ weight.T + bias of {}, softmax",
        layers.join(", ReLU, ")
    )
}

fn publish_json(folder: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    publish(folder, name, |out| Ok(serde_json::to_writer_pretty(out, value)?))
}

fn publish(folder: &Path, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    match storage::publish_once(folder, name, |out| write(out))? {
        storage::Once::Published(_) => Ok(()),
        storage::Once::AlreadyThere => Err(Error::Taken {
            folder: folder.to_owned(),
            expected: "a new export".into(),
            found: name.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
