//! The head: the layers that are trained on the features, a softmax layer, a small MLP, the network's classifier, or the
//! network's last layers, convolutions too.

mod block;
mod dense;
mod gradient;
mod optimizer;
mod schedule;

pub(crate) use block::Block;
pub(crate) use gradient::{Batch, Trainer};
pub(crate) use optimizer::{Optimizer, State};
pub(crate) use schedule::rate;

use crate::features::{cut, open_weights};
use crate::random::{Purpose, Stream};
use crate::weights::Weights;
use crate::{Error, Result};
use networks::{HiddenLayer, network};
use protocol::{Head, Job};
use std::ops::Range;
use std::sync::Arc;
use storage::Root;

/// The sizes of a head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeadShape {
    /// The network's own layers below the linear ones, if these are trained.
    block: Option<Arc<Block>>,
    /// Columns of a row that a linear layer reads or gives: the features or what the block makes of them, what each hidden
    /// layer gives, the classes.
    widths: Vec<usize>,
}

/// One linear layer: where its parameters lie in the array of all parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Columns of a row that it reads.
    pub(crate) inputs: usize,
    /// Columns of a row that it gives.
    pub(crate) outputs: usize,
    /// `[outputs, inputs]`, row by row.
    pub(crate) weight: Range<usize>,
    /// `[outputs]`.
    pub(crate) bias: Range<usize>,
}

impl HeadShape {
    /// The head of a job on features of so many columns.
    ///
    /// # Errors
    /// [`Error::Argument`] when the network's own layers do not read such features.
    pub(crate) fn new(job: &Job, inputs: usize, classes: usize) -> Result<HeadShape> {
        let block = Block::of(job)?.map(Arc::new);
        if let Some(block) = block.as_ref().filter(|block| block.inputs() != inputs) {
            let expected = format!("a point that gives {} features", block.inputs());
            return Err(Error::argument("job.cut", expected, format!("{inputs} features")));
        }
        let hidden = match &job.head {
            Head::Softmax | Head::Layers { .. } => Vec::new(),
            Head::Mlp { hidden } => vec![*hidden as usize],
            Head::Classifier => {
                let own = own_layers(job)?;
                if let Some(first) = own.first().filter(|first| first.inputs != inputs) {
                    let expected =
                        format!("a point that gives the {} features of {}", first.inputs, first.name);
                    return Err(Error::argument("job.cut", expected, format!("{inputs} features")));
                }
                own.into_iter().map(|layer| layer.outputs).collect()
            }
        };
        let first = block.as_ref().map_or(inputs, |block| block.outputs);
        Ok(HeadShape { block, widths: [vec![first], hidden, vec![classes]].concat() })
    }

    /// Features of an image.
    pub(crate) fn inputs(&self) -> usize {
        self.block.as_ref().map_or(self.widths[0], |block| block.inputs())
    }

    /// The network's own layers below the linear ones, if these are trained.
    pub(crate) fn block(&self) -> Option<&Block> {
        self.block.as_deref()
    }

    /// Classes.
    pub(crate) fn classes(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Its linear layers, with a ReLU between two of them.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let mut at = self.block.as_ref().map_or(0, |block| block.parameters());
        let mut range = |length: usize| {
            at += length;
            at - length..at
        };
        let layer = |pair: &[usize]| {
            let (inputs, outputs) = (pair[0], pair[1]);
            Layer { inputs, outputs, weight: range(inputs * outputs), bias: range(outputs) }
        };
        self.widths.windows(2).map(layer).collect()
    }

    /// Where each array of parameters lies, in order, and whether weight decay acts on it.
    pub(crate) fn arrays(&self) -> Vec<(Range<usize>, bool)> {
        let block = self.block().map_or(&[][..], |block| &block.tensors).iter();
        let block = block.map(|tensor| (tensor.range.clone(), tensor.shape.len() > 1));
        let layers = self.layers().into_iter();
        block.chain(layers.flat_map(|layer| [(layer.weight, true), (layer.bias, false)])).collect()
    }

    /// How many parameters it has.
    pub(crate) fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.bias.end)
    }

    /// The first parameters of the linear layers, uniform within ±1/√inputs of each, as PyTorch's `Linear` draws them; a
    /// block's are pretrained, and 0 here.
    pub(crate) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut parameters = vec![0.0; self.parameters()];
        for (index, layer) in self.layers().into_iter().enumerate() {
            let bound = 1.0 / (layer.inputs as f32).sqrt();
            let mut stream = Stream::new(seed, Purpose::Initial, index as u32, 0);
            parameters[layer.weight.start..layer.bias.end].fill_with(|| stream.symmetric(bound));
        }
        parameters
    }
}

/// The network's own layers that a job trains below the new last one.
pub(crate) fn own_layers(job: &Job) -> Result<Vec<HiddenLayer>> {
    let whole = network(&job.network)?;
    let cut = cut(job, &whole)?;
    whole.hidden_above(&cut)?.ok_or_else(|| {
        let below = whole.below_classifier().unwrap_or_default();
        let expected = format!("a point with nothing but fully connected layers above it, as {below:?}");
        Error::argument("job.cut", expected, format!("{cut:?}"))
    })
}

/// The names and shapes of a layer's pretrained weight and bias.
fn tensors(layer: &HiddenLayer) -> [(String, Vec<usize>); 2] {
    let HiddenLayer { name, inputs, outputs } = layer;
    [(format!("{name}.weight"), vec![*outputs, *inputs]), (format!("{name}.bias"), vec![*outputs])]
}

/// Checks that a job's pretrained layers are among the weights.
///
/// # Errors
/// [`Error::Tensor`] names the first that is not; [`Error::WrongWeights`] those of a block.
pub(crate) fn check_own_layers(job: &Job, weights: &Weights) -> Result<()> {
    if let Some(block) = Block::of(job)? {
        return block.check(weights);
    }
    if job.head != Head::Classifier {
        return Ok(());
    }
    for (name, shape) in own_layers(job)?.iter().flat_map(tensors) {
        if weights.shape(&name) != Some(shape.as_slice()) {
            weights.tensor(&name, &shape)?; // says what is there instead
        }
    }
    Ok(())
}

/// The parameters that training begins with: pretrained where the layer is the network's own, else drawn.
pub(crate) fn first_parameters(root: &Root, job: &Job, shape: &HeadShape) -> Result<Vec<f32>> {
    let mut parameters = shape.initial(job.seed);
    if matches!(job.head, Head::Softmax | Head::Mlp { .. }) {
        return Ok(parameters);
    }
    let installed = open_weights(root, job)?;
    let mut read = |range: Range<usize>, name: &str, shape: &[usize]| -> Result<()> {
        parameters[range].copy_from_slice(&installed.weights.tensor(name, shape)?);
        Ok(())
    };
    for tensor in shape.block().map_or(&[][..], |block| &block.tensors) {
        read(tensor.range.clone(), &tensor.name, &tensor.shape)?;
    }
    if job.head == Head::Classifier {
        for (layer, own) in shape.layers().into_iter().zip(own_layers(job)?) {
            for (range, (name, shape)) in [layer.weight, layer.bias].into_iter().zip(tensors(&own)) {
                read(range, &name, &shape)?;
            }
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests;
