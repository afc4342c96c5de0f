//! The network's own layers between the cut and the head's linear layers, convolutions too, when these are
//! trained.
//!
//! Their passes and gradients are [`frozen::Trained`]'s. Batch norm stays in evaluation mode: its weight and
//! bias are trained, its mean and variance are kept unchanged in the same array, so that one array has
//! everything that the layers need.

use crate::cut::cut;
use crate::job::{Head, Job};
use crate::weights::Weights;
use crate::{Error, Result};
use frozen::{Trained, TrainedOptions};
use networks::{Network, Shape, network};
use std::ops::Range;

/// Trained layers below the linear ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    network: Network,
    /// Where they end.
    pub(crate) up_to: String,
    /// Channels, height and width of the map at the cut.
    map: [usize; 3],
    /// The inputs of the linear layers: the mean of each of the last maps, or the last vector.
    pub(super) outputs: usize,
    /// Whether the output of the last layer is maps.
    pub(crate) pool: bool,
    /// The factor of the learning rate.
    pub(super) rate: f64,
    pub(crate) tensors: Vec<BlockTensor>,
}

/// One of their tensors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockTensor {
    /// torchvision's name.
    pub(crate) name: String,
    /// torchvision's shape.
    pub(crate) shape: Vec<usize>,
    /// Its place in the array of all parameters.
    pub(crate) range: Range<usize>,
}

impl Block {
    /// The layers that a job trains in that way, if it does.
    ///
    /// # Errors
    /// [`Error::Network`] for points that do not exist; [`Error::Argument`] if nothing is between them.
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
            BlockTensor { name: parameter.name, shape: parameter.shape, range: start..end }
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
            network,
            up_to,
            tensors,
        }))
    }

    /// Features of an image at the cut.
    pub(super) fn inputs(&self) -> usize {
        self.map.iter().product()
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

    /// The layers with their gradients, on `threads` threads of their own.
    ///
    /// # Errors
    /// [`Error::Frozen`] for a layer that has no gradient.
    pub(super) fn trained(&self, threads: usize) -> Result<Trained> {
        let [_, height, width] = self.map;
        let options = TrainedOptions { threads, pool: self.pool, ..TrainedOptions::default() };
        Ok(Trained::new(&self.network, (height, width), &options)?)
    }
}
