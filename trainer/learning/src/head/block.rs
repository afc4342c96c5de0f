//! The network's own layers between the cut and the head's linear layers, convolutions too, when these are trained.
//!
//! They are burn's, on the job's device. Batch norm stays in evaluation mode: its weight and bias are trained, its mean
//! and variance are carried along unchanged, so that all that the layers need is one array.

use crate::burn_net::{BurnNet, Parameter};
use crate::features::cut;
use crate::weights::{BoxError, Parameters, Weights};
use crate::{Error, Result};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use networks::{Network, Shape, network};
use protocol::{Head, Job};
use std::borrow::Cow;
use std::ops::Range;

/// Images that go through the layers together, if they are small enough.
const PIECE: usize = 8;
/// Values that all layers together may give for a piece: 256 MB, which burn keeps about twice until their gradients are known.
const MOST_VALUES: usize = 64 << 20;

/// Trained layers below the linear ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    network: Network,
    /// Where they end.
    pub(crate) up_to: String,
    /// Channels, height and width of the map at the cut.
    map: [usize; 3],
    /// What the linear layers read: the mean of each of the last maps, or the last vector.
    pub(super) outputs: usize,
    /// Whether the last layer gives maps.
    pub(crate) pool: bool,
    /// What the learning rate is multiplied by.
    pub(super) rate: f64,
    /// What all layers give for an image.
    values: usize,
    pub(crate) tensors: Vec<BlockTensor>,
}

/// One of their tensors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockTensor {
    /// torchvision's name.
    pub(crate) name: String,
    /// torchvision's shape.
    pub(crate) shape: Vec<usize>,
    /// Where it lies in the array of all parameters.
    pub(crate) range: Range<usize>,
    /// Whether it is a statistic, which no step changes.
    buffer: bool,
}

impl Block {
    /// The layers that a job trains in that way, if it does.
    ///
    /// # Errors
    /// [`Error::Network`] for points that there are not; [`Error::Argument`] when nothing lies between them.
    pub(super) fn of(job: &Job) -> Result<Option<Block>> {
        let Head::Layers { up_to, rate } = &job.head else { return Ok(None) };
        let whole = network(&job.network)?;
        let up_to = up_to.clone().unwrap_or_else(|| whole.default_cut.to_owned());
        let (cut, side) = (cut(job, &whole)?, job.image_size as usize);
        let (network, map) = whole.between(&cut, &up_to, (side, side))?;
        let Shape::Map { channels, height, width } = map else {
            unreachable!("`between` gives what begins with maps")
        };
        let shapes = network.shapes(height, width)?;
        let last = shapes[network.output()];
        let mut end = 0;
        let tensor = |parameter: networks::Parameter| {
            let start = end;
            end += parameter.shape.iter().product::<usize>();
            let networks::Parameter { name, shape, buffer } = parameter;
            BlockTensor { name, shape, range: start..end, buffer }
        };
        let tensors: Vec<BlockTensor> = network.parameters().into_iter().map(tensor).collect();
        if tensors.is_empty() {
            let expected = format!("a point with trainable layers between it and {up_to:?}");
            return Err(Error::argument("job.cut", expected, format!("{cut:?}")));
        }
        Ok(Some(Block {
            map: [channels, height, width],
            outputs: last.pooled(),
            pool: matches!(last, Shape::Map { .. }),
            rate: rate.unwrap_or(1.0),
            values: shapes.iter().map(Shape::len).sum(),
            network,
            up_to,
            tensors,
        }))
    }

    /// Features of an image at the cut.
    pub(super) fn inputs(&self) -> usize {
        self.map.iter().product()
    }

    /// Images that go through the layers together. Where they are split shows in the last bits of a sum, so nothing but
    /// the layers and the image's size decides.
    pub(super) fn piece(&self) -> usize {
        (MOST_VALUES / self.values).clamp(1, PIECE)
    }

    /// Whether one image alone gives more than a piece should: what costs little is computed again for its gradient then,
    /// instead of being kept.
    pub(super) fn recomputes(&self) -> bool {
        self.values > MOST_VALUES
    }

    /// How many parameters there are, statistics included.
    pub(super) fn parameters(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Checks that the pretrained layers are among the weights.
    ///
    /// # Errors
    /// [`Error::WrongWeights`].
    pub(super) fn check(&self, weights: &Weights) -> Result<()> {
        weights.check(&self.network)
    }

    /// The layers on a device, with parameters from the array of all; those that are trained keep their gradients if
    /// `track`.
    pub(super) fn on(&self, parameters: &[f32], device: &Device, track: bool) -> Result<BurnNet> {
        let mut net = BurnNet::new(&self.network, &Values { block: self, parameters }, device)?;
        for tensor in self.tensors.iter().filter(|tensor| track && !tensor.buffer) {
            if let Some(parameter) = net.parameters_mut().get_mut(&tensor.name) {
                *parameter = parameter.clone().require_grad();
            }
        }
        Ok(net)
    }

    /// What the layers give for rows of features: `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, net: &BurnNet, features: Vec<f32>, device: &Device) -> Result<Tensor<2>> {
        let [channels, height, width] = self.map;
        let shape = [features.len() / self.inputs(), channels, height, width];
        net.forward(Tensor::from_data(TensorData::new(features, shape), (device, DType::F32)), self.pool)
    }

    /// Adds the gradients of a backward pass to `sum`.
    pub(super) fn add_gradients(
        &self,
        net: &BurnNet,
        gradients: &mut Gradients,
        sum: &mut [f32],
    ) -> Result<()> {
        for tensor in self.tensors.iter().filter(|tensor| !tensor.buffer) {
            let parameter: &Parameter = &net.parameters()[&tensor.name];
            let gradient = parameter.take_gradient(gradients)?.ok_or_else(|| Error::Burn {
                action: "find a gradient",
                reason: format!("{} has none", tensor.name),
            })?;
            sum[tensor.range.clone()].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
        Ok(())
    }
}

/// The array of all parameters, by torchvision's names.
struct Values<'a> {
    block: &'a Block,
    parameters: &'a [f32],
}

impl Parameters for Values<'_> {
    fn get(&self, name: &str, _: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        let tensor = self.block.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.ok_or_else(|| format!("no tensor {name:?} above the cut"))?;
        Ok(Cow::Borrowed(&self.parameters[tensor.range.clone()]))
    }
}
