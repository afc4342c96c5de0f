//! The graph of a network: nodes, their operations, the named points where it can be cut.

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
    /// The image, normalised: `[batch, 3, height, width]`.
    Input,
    /// Convolution, parameters `weight` `[outputs, inputs / groups, kernel, kernel]` and, if any, `bias` `[outputs]`.
    Conv(Conv),
    /// Batch norm in evaluation mode: `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`; eps 1e-5.
    BatchNorm { channels: usize },
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// Maximum over a window; padding counts as minus infinity; `ceil` rounds the output size up.
    MaxPool { size: usize, stride: usize, padding: usize, ceil: bool },
    /// Mean over a grid of `height` × `width` windows, as torchvision's adaptive average pooling.
    AdaptiveAvgPool { height: usize, width: usize },
    /// Sum of two inputs of one shape.
    Add,
    /// Inputs joined along the channels.
    Concat,
    /// `[batch, channels, height, width]` to `[batch, channels * height * width]`, in that order.
    Flatten,
    /// `x · weightᵀ + bias`, parameters `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    Linear { inputs: usize, outputs: usize },
    /// Dropout while training; nothing in the frozen pass.
    Dropout { rate: f32 },
}

/// A convolution's sizes. Kernel, stride and padding are the same in both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    pub bias: bool,
}

/// A named place where a network can be cut: what `node` gives is what the frozen pass stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub name: String,
    pub node: NodeId,
}
