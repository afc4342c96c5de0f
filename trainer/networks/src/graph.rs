//! The graph of a network: nodes, their operations, the named points where it can be cut.

use crate::error::Error;

/// Index of a node in [`Network::nodes`].
pub type NodeId = usize;

/// A network as a graph. Node 0 is the input; every node comes after its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The name that a job uses, torchvision's own: `vgg19`, `squeezenet1_0`.
    pub name: &'static str,
    /// The layers in execution order.
    pub nodes: Vec<Node>,
    /// The named places where the network can be cut, from the input to the output.
    pub points: Vec<Point>,
    /// The point just below the last layer: the default cut.
    pub default_cut: &'static str,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// torchvision's module name, the prefix of its parameters (`features.0`); empty for layers without any.
    pub name: String,
    /// What the layer computes.
    pub op: Op,
    /// The nodes that it reads.
    pub inputs: Vec<NodeId>,
}

/// What a node computes. All images are `[batch, channels, height, width]` in meaning; a kernel may lay them
/// out otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image, normalised: `[batch, 3, height, width]`; of a part of a network, what the part below gives.
    Input {
        /// How many maps there are.
        channels: usize,
    },
    /// Convolution, parameters `weight` `[outputs, inputs / groups, kernel, kernel]` and, if any, `bias` `[outputs]`.
    Conv(Conv),
    /// Batch norm in evaluation mode: `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`; eps 1e-5.
    BatchNorm {
        /// How many feature maps are normalised.
        channels: usize,
    },
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// Maximum over a window; padding counts as minus infinity; `ceil` rounds the output size up.
    MaxPool {
        /// Rows and columns of the window.
        size: usize,
        /// Step of the window.
        stride: usize,
        /// Rows and columns added on each side.
        padding: usize,
        /// Whether a window that begins inside the image but ends outside counts.
        ceil: bool,
    },
    /// Mean over a grid of `height` × `width` windows, as torchvision's adaptive average pooling.
    AdaptiveAvgPool {
        /// Rows of the output.
        height: usize,
        /// Columns of the output.
        width: usize,
    },
    /// Sum of two inputs of one shape.
    Add,
    /// Inputs joined along the channels.
    Concat,
    /// `[batch, channels, height, width]` to `[batch, channels * height * width]`, in that order.
    Flatten,
    /// `x · weightᵀ + bias`, parameters `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    Linear {
        /// Columns of an input row.
        inputs: usize,
        /// Columns of an output row.
        outputs: usize,
    },
    /// Dropout while training; nothing in the frozen pass.
    Dropout {
        /// The share that is set to zero.
        rate: f32,
    },
}

/// A convolution's sizes. Kernel, stride and padding are the same in both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Channels that are read.
    pub inputs: usize,
    /// Channels that are written.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zero rows and columns added on each side.
    pub padding: usize,
    /// Independent groups of channels; as many as channels for a depthwise convolution.
    pub groups: usize,
    /// Whether there is a `bias`.
    pub bias: bool,
}

/// A named place where a network can be cut: what `node` gives is what the frozen pass stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The name that a job uses: `pool4`, `fc2`.
    pub name: String,
    /// The node whose output is meant.
    pub node: NodeId,
}

/// A parameter that the network needs, buffers such as `running_mean` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// torchvision's name: `features.0.weight`.
    pub name: String,
    /// torchvision's shape.
    pub shape: Vec<usize>,
    /// Whether it is a statistic that training does not count as a parameter: `running_mean`, `running_var`.
    pub buffer: bool,
}

/// The point below the first layer: what is cut there has nothing frozen.
pub const IMAGES: &str = "images";

impl Network {
    /// The node that a named point stands for; [`IMAGES`] is one of every network.
    pub fn point(&self, name: &str) -> Result<NodeId, Error> {
        if name == IMAGES {
            return Ok(0);
        }
        let point = self.points.iter().find(|point| point.name == name);
        point.map(|point| point.node).ok_or_else(|| {
            let known = [IMAGES].into_iter().chain(self.points.iter().map(|point| point.name.as_str()));
            Error::UnknownPoint {
                network: self.name,
                point: name.to_owned(),
                known: known.collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// The node that nothing reads: the output.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Every parameter in execution order, buffers included, `num_batches_tracked` not.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.nodes.iter().flat_map(Node::parameters).collect()
    }
}

impl Node {
    /// The parameters of this layer, by torchvision's names.
    pub fn parameters(&self) -> Vec<Parameter> {
        let parameter = |suffix: &str, shape: Vec<usize>| Parameter {
            name: format!("{}.{suffix}", self.name),
            shape,
            buffer: suffix.starts_with("running"),
        };
        match &self.op {
            Op::Conv(conv) => {
                let kernel = vec![conv.outputs, conv.inputs / conv.groups, conv.kernel, conv.kernel];
                let bias = conv.bias.then(|| parameter("bias", vec![conv.outputs]));
                [parameter("weight", kernel)].into_iter().chain(bias).collect()
            }
            &Op::BatchNorm { channels } => ["weight", "bias", "running_mean", "running_var"]
                .into_iter()
                .map(|suffix| parameter(suffix, vec![channels]))
                .collect(),
            &Op::Linear { inputs, outputs } => {
                vec![parameter("weight", vec![outputs, inputs]), parameter("bias", vec![outputs])]
            }
            _ => Vec::new(),
        }
    }
}
