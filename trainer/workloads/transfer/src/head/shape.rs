//! The sizes of a head, and the places of its parameters.

use super::block::{Block, BlockTensor};
use crate::cut::cut;
use crate::job::{Head, Job};
use crate::{Error, Result};
use networks::{HiddenLayer, network};
use rounds::random::{Purpose, Stream};
use rounds::{Array, Layout};
use std::ops::Range;
use std::sync::Arc;

/// The sizes of a head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeadShape {
    /// The network's own layers below the linear ones, if these are trained.
    pub(super) block: Option<Arc<Block>>,
    /// The widths between linear layers: the features or the block's output, the output of each hidden layer,
    /// the classes.
    pub(super) widths: Vec<usize>,
    /// The linear layers' names.
    pub(super) names: Vec<String>,
    /// Whether the linear layers below the last one are the network's own.
    pub(super) own: bool,
}

/// One linear layer, and the places of its parameters in the array of all parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// torchvision's name for a layer that it replaces; an MLP's names are those of an `nn.Sequential(Linear,
    /// ReLU, Linear)` in place of the last layer.
    pub(crate) name: String,
    /// Columns of an input row.
    pub(crate) inputs: usize,
    /// Columns of an output row.
    pub(crate) outputs: usize,
    /// `[outputs, inputs]`, row by row.
    pub(crate) weight: Range<usize>,
    /// `[outputs]`.
    pub(crate) bias: Range<usize>,
}

impl HeadShape {
    /// The head of a job on features of `inputs` columns.
    ///
    /// # Errors
    /// [`Error::Argument`] if the network's own layers cannot read such features.
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
        Ok(HeadShape {
            block,
            widths: [vec![first], hidden, vec![classes]].concat(),
            names: layer_names(job)?,
            own: job.head == Head::Classifier,
        })
    }

    /// Features of an image.
    pub(crate) fn inputs(&self) -> usize {
        self.block.as_ref().map_or(self.widths[0], |block| block.inputs())
    }

    /// The network's own layers below the linear ones, if these are trained.
    pub(crate) fn block(&self) -> Option<&Block> {
        self.block.as_deref()
    }

    /// The tensors of these, if there are any.
    pub(crate) fn block_tensors(&self) -> &[BlockTensor] {
        self.block().map_or(&[], |block| &block.tensors)
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
        let layer = |(pair, name): (&[usize], &String)| {
            let (inputs, outputs) = (pair[0], pair[1]);
            let (weight, bias) = (range(inputs * outputs), range(outputs));
            Layer { name: name.clone(), inputs, outputs, weight, bias }
        };
        self.widths.windows(2).zip(&self.names).map(layer).collect()
    }

    /// Every array of parameters, in order: its name in the published model is torchvision's where
    /// torchvision has it.
    pub(crate) fn layout(&self) -> Layout {
        let array = |name: String, shape: Vec<usize>, range: Range<usize>, rate| Array {
            decays: shape.len() > 1,
            name,
            shape,
            range,
            rate,
        };
        let rate = self.block().map_or(1.0, |block| block.rate);
        let block = self.block_tensors().iter();
        let block = block.map(|t| array(t.name.clone(), t.shape.clone(), t.range.clone(), rate));
        let layer = |Layer { name, inputs, outputs, weight, bias }: Layer| {
            [
                array(format!("{name}.weight"), vec![outputs, inputs], weight, 1.0),
                array(format!("{name}.bias"), vec![outputs], bias, 1.0),
            ]
        };
        Layout::new(block.chain(self.layers().into_iter().flat_map(layer)).collect())
    }

    /// The number of pretrained parameters, which come first: those of the network's own layers.
    pub(super) fn pretrained(&self) -> usize {
        let new = if self.own { self.widths.len() - 2 } else { 0 };
        self.layers().get(new).map_or(0, |layer| layer.weight.start)
    }

    /// How many parameters it has.
    pub(crate) fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.bias.end)
    }

    /// The first parameters of the linear layers, uniform within ±1/√inputs of each, as PyTorch's `Linear`
    /// draws them; a block's are pretrained, and 0 here.
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

/// The names of the head's linear layers.
fn layer_names(job: &Job) -> Result<Vec<String>> {
    let last = network(&job.network)?.last_layer()?.name;
    Ok(match job.head {
        Head::Softmax | Head::Layers { .. } => vec![last],
        Head::Mlp { .. } => [0, 2].map(|layer| format!("{last}.{layer}")).into(),
        Head::Classifier => own_layers(job)?.into_iter().map(|layer| layer.name).chain([last]).collect(),
    })
}

/// The network's own layers that a job trains below the new last one.
fn own_layers(job: &Job) -> Result<Vec<HiddenLayer>> {
    let whole = network(&job.network)?;
    let cut = cut(job, &whole)?;
    whole.hidden_above(&cut)?.ok_or_else(|| {
        let below = whole.below_classifier().unwrap_or_default();
        let expected = format!("a point with nothing but fully connected layers above it, as {below:?}");
        Error::argument("job.cut", expected, format!("{cut:?}"))
    })
}
