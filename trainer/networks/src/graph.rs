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
    /// The layer's name where its weights are published: the prefix of its parameters (`features.0`), or all
    /// of their names, with a `*` for the part that differs (`in_proj_*`); empty for layers without any.
    pub name: String,
    /// The operation that the layer computes.
    pub op: Op,
    /// The nodes that it reads.
    pub inputs: Vec<NodeId>,
}

/// The input of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The image, normalised: `[batch, 3, height, width]`; for a part of a network, the output of the part
    /// below.
    Image {
        /// How many maps there are.
        channels: usize,
    },
    /// The ids of a sentence's tokens, one for each.
    Tokens {
        /// Ids are below this number.
        vocabulary: usize,
        /// The most tokens of a sentence.
        most: usize,
    },
}

/// The operation of a node. All images are `[batch, channels, height, width]` in meaning; a kernel may lay
/// them out otherwise. Tokens are rows `[tokens, width]`, separate for each image or sentence.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The network's input.
    Input(Input),
    /// Convolution, parameters `weight` `[outputs, inputs / groups, kernel, kernel]` and, if any,
    /// `bias` `[outputs]`.
    Conv(Conv),
    /// Batch norm in evaluation mode: `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`;
    /// eps 1e-5.
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
    /// `x · weightᵀ + bias` of a row or of each token, parameters `weight` `[outputs, inputs]`, `bias`
    /// `[outputs]`.
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
    /// The row of each token's id in a table, one parameter `[rows, width]`.
    Embed {
        /// Rows of the table.
        rows: usize,
        /// Columns of the table.
        width: usize,
    },
    /// Adds to each token the row of its segment (0, or 1 in the second sentence of a pair), one parameter
    /// `[rows, width]`.
    Segments {
        /// Rows of the table.
        rows: usize,
        /// Columns of the table.
        width: usize,
    },
    /// Adds to each token the row of its place, one parameter.
    Positions(Positions),
    /// The pixels of a map as tokens, row after row.
    Patches,
    /// Puts a learned token before the others, one parameter `[1, 1, width]`.
    ClassToken {
        /// Its numbers.
        width: usize,
    },
    /// Each token minus its mean, over its deviation, times `weight`, plus `bias`, each `[width]`.
    LayerNorm {
        /// Numbers of a token.
        width: usize,
        /// Added to the variance; each family has its own.
        epsilon: f64,
    },
    /// The activation x·Φ(x), or an approximation.
    Gelu(Gelu),
    /// Every head's softmax(q·kᵀ/√d)·v among the tokens of an image or a sentence. It reads queries, keys and
    /// values, from three layers or packed into one three times as wide.
    Attention {
        /// Heads, each of which has as many columns.
        heads: usize,
    },
    /// Multiplies each column by a number, one parameter `[width]`.
    LayerScale {
        /// Numbers of a token.
        width: usize,
    },
    /// One token as a vector.
    Token {
        /// Which: 0 is the class token.
        at: usize,
    },
    /// The mean of all tokens as a vector.
    MeanTokens,
}

/// The places of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// In a text: a table `[rows, width]`; its first `first` rows are for no token.
    Text {
        /// Rows of the table.
        rows: usize,
        /// Columns of the table.
        width: usize,
        /// The first token's row.
        first: usize,
    },
    /// In an image, after its class token: a table `[1, 1 + side * side, width]`, resized to other images'
    /// patches.
    Grid {
        /// Patches of a row and of a column for which it was trained.
        side: usize,
        /// Columns of the table.
        width: usize,
        /// How the patches of another image lie on those of the table.
        resize: Resize,
    },
}

/// How positions are resized to another grid, by bicubic interpolation: as the publishers of the weights do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The centres of the corners are aligned (torchvision).
    Corners,
    /// The borders of the grids are aligned (Hugging Face).
    Borders,
}

/// The forms of x·Φ(x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// Φ by the error function.
    Erf,
    /// Φ(x) ≈ (1 + tanh(√(2/π)·(x + 0.044715·x³)))/2.
    Tanh,
    /// Φ(x) ≈ 1/(1 + exp(-1.702·x)).
    Quick,
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

/// A named place where a network can be cut: the frozen pass stores the output of `node`.
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
    /// Its whole name where it is published: `features.0.weight`, `class_token`.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// Whether it is a statistic that training does not count as a parameter: `running_mean`, `running_var`.
    pub buffer: bool,
}

/// The point below the first layer: a network cut there has no frozen part.
pub const IMAGES: &str = "images";

impl Network {
    /// The node of a named point; every network has the point [`IMAGES`].
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

    /// The network's input.
    pub fn input(&self) -> Input {
        match self.nodes.first().map(|node| &node.op) {
            Some(&Op::Input(input)) => input,
            found => unreachable!("a network begins with its input, found {found:?}"),
        }
    }

    /// Every parameter in execution order, buffers included, `num_batches_tracked` not.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.nodes.iter().flat_map(Node::parameters).collect()
    }
}

impl Node {
    /// The whole name of one of its parameters.
    pub fn named(&self, suffix: &str) -> String {
        match self.op {
            Op::Embed { .. } | Op::Segments { .. } | Op::Positions(_) => self.name.clone(),
            Op::ClassToken { .. } | Op::LayerScale { .. } => self.name.clone(),
            _ if self.name.contains('*') => self.name.replace('*', suffix),
            _ => format!("{}.{suffix}", self.name),
        }
    }

    /// The parameters of this layer, by the names that they are published under.
    pub fn parameters(&self) -> Vec<Parameter> {
        let parameter = |suffix: &str, shape: Vec<usize>| Parameter {
            name: self.named(suffix),
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
            &Op::LayerNorm { width, .. } => {
                vec![parameter("weight", vec![width]), parameter("bias", vec![width])]
            }
            &(Op::Embed { rows, width } | Op::Segments { rows, width }) => {
                vec![parameter("weight", vec![rows, width])]
            }
            Op::Positions(positions) => vec![parameter("weight", positions.table())],
            &Op::ClassToken { width } => vec![parameter("weight", vec![1, 1, width])],
            &Op::LayerScale { width } => vec![parameter("weight", vec![width])],
            _ => Vec::new(),
        }
    }
}

impl Positions {
    /// The shape of the table.
    pub fn table(&self) -> Vec<usize> {
        match *self {
            Positions::Text { rows, width, .. } => vec![rows, width],
            Positions::Grid { side, width, .. } => vec![1, 1 + side * side, width],
        }
    }

    /// Numbers of a token.
    pub fn width(&self) -> usize {
        match *self {
            Positions::Text { width, .. } | Positions::Grid { width, .. } => width,
        }
    }
}
