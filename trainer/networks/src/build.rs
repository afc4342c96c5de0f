//! Writes down a network layer after layer: each call adds a layer after the last one.

use crate::graph::{Conv, Input, Network, Node, NodeId, Op, Point};

/// A network that is being built. It keeps the channels, so a call only names what its layer changes.
///
/// A contradiction (a linear layer on a map, a point named twice) panics: it is a mistake in one of this
/// crate's networks, which its tests find.
pub(crate) struct Builder {
    network: Network,
    /// Channels of a map, or length of a vector, for each node.
    widths: Vec<usize>,
    /// The layer that the next one reads.
    last: NodeId,
}

/// Kernel, stride and padding of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// A `kernel` × `kernel` window with the padding that keeps the size at stride 1.
pub(crate) fn same(kernel: usize) -> Window {
    Window { kernel, stride: 1, padding: kernel / 2 }
}

impl Window {
    pub(crate) fn stride(self, stride: usize) -> Window {
        Window { stride, ..self }
    }

    pub(crate) fn unpadded(self) -> Window {
        Window { padding: 0, ..self }
    }
}

impl Builder {
    /// Begins a network that reads images of three colours.
    pub(crate) fn new(name: &'static str) -> Builder {
        Builder::reading(name, Input::Image { channels: 3 }, 3)
    }

    /// Begins a network whose input has `width` channels or numbers.
    pub(crate) fn reading(name: &'static str, input: Input, width: usize) -> Builder {
        let input = Node { name: String::new(), op: Op::Input(input), inputs: Vec::new() };
        let network = Network { name, nodes: vec![input], points: Vec::new(), default_cut: "" };
        Builder { network, widths: vec![width], last: 0 }
    }

    /// Convolution with bias.
    pub(crate) fn conv(&mut self, name: &str, outputs: usize, window: Window) -> &mut Builder {
        self.convolution(name, outputs, window, 1, true)
    }

    /// Convolution without bias, followed by batch norm.
    pub(crate) fn conv_bn(&mut self, names: (&str, &str), outputs: usize, window: Window) -> &mut Builder {
        self.convolution(names.0, outputs, window, 1, false).batch_norm(names.1)
    }

    /// Depthwise convolution without bias, followed by batch norm.
    pub(crate) fn depthwise_bn(&mut self, names: (&str, &str), window: Window) -> &mut Builder {
        let channels = self.width();
        self.convolution(names.0, channels, window, channels, false).batch_norm(names.1)
    }

    pub(crate) fn batch_norm(&mut self, name: &str) -> &mut Builder {
        let channels = self.width();
        self.push(name, Op::BatchNorm { channels }, channels)
    }

    pub(crate) fn relu(&mut self) -> &mut Builder {
        self.keep(Op::Relu)
    }

    pub(crate) fn relu6(&mut self) -> &mut Builder {
        self.keep(Op::Relu6)
    }

    pub(crate) fn max_pool(&mut self, size: usize, stride: usize, padding: usize) -> &mut Builder {
        self.keep(Op::MaxPool { size, stride, padding, ceil: false })
    }

    pub(crate) fn max_pool_ceil(&mut self, size: usize, stride: usize) -> &mut Builder {
        self.keep(Op::MaxPool { size, stride, padding: 0, ceil: true })
    }

    /// Mean over a grid of `side` × `side`, then a plain vector.
    pub(crate) fn avg_pool_flat(&mut self, side: usize) -> &mut Builder {
        let flat = self.width() * side * side;
        self.keep(Op::AdaptiveAvgPool { height: side, width: side }).push("", Op::Flatten, flat)
    }

    pub(crate) fn dropout(&mut self, rate: f32) -> &mut Builder {
        self.keep(Op::Dropout { rate })
    }

    pub(crate) fn linear(&mut self, name: &str, outputs: usize) -> &mut Builder {
        let inputs = self.width();
        self.push(name, Op::Linear { inputs, outputs }, outputs)
    }

    /// Adds another branch to this one.
    pub(crate) fn add(&mut self, branch: NodeId) -> &mut Builder {
        assert_eq!(self.widths[branch], self.width(), "branches of one sum have the same channels");
        let (last, channels) = (self.last, self.width());
        self.join(Op::Add, vec![last, branch], channels)
    }

    /// Joins branches along the channels.
    pub(crate) fn concat(&mut self, branches: &[NodeId]) -> &mut Builder {
        let channels = branches.iter().map(|&branch| self.widths[branch]).sum();
        self.join(Op::Concat, branches.to_vec(), channels)
    }

    /// The layer just added, where a branch can begin.
    pub(crate) fn here(&self) -> NodeId {
        self.last
    }

    /// Continues after an earlier layer.
    pub(crate) fn from(&mut self, node: NodeId) -> &mut Builder {
        self.last = node;
        self
    }

    /// Channels of the map, or length of the vector, that the next layer reads.
    pub(crate) fn width(&self) -> usize {
        self.widths[self.last]
    }

    /// Names the layer just added as a place to cut at.
    pub(crate) fn point(&mut self, name: impl Into<String>) -> &mut Builder {
        let point = Point { name: name.into(), node: self.last };
        assert!(self.network.points.iter().all(|other| other.name != point.name), "{} twice", point.name);
        self.network.points.push(point);
        self
    }

    /// The network, its last layer named `logits`.
    pub(crate) fn finish(mut self, default_cut: &'static str) -> Network {
        self.point("logits");
        self.encoder(default_cut)
    }

    /// A network without a last layer for classes.
    pub(crate) fn encoder(mut self, default_cut: &'static str) -> Network {
        self.network.default_cut = default_cut;
        self.network
    }

    fn convolution(
        &mut self,
        name: &str,
        outputs: usize,
        w: Window,
        groups: usize,
        bias: bool,
    ) -> &mut Builder {
        let Window { kernel, stride, padding } = w;
        let conv = Conv { inputs: self.width(), outputs, kernel, stride, padding, groups, bias };
        self.push(name, Op::Conv(conv), outputs)
    }

    /// A layer without parameters that keeps the width.
    pub(crate) fn keep(&mut self, op: Op) -> &mut Builder {
        let width = self.width();
        self.push("", op, width)
    }

    /// A layer that reads the last one.
    pub(crate) fn push(&mut self, name: &str, op: Op, width: usize) -> &mut Builder {
        let inputs = vec![self.last];
        self.join(op, inputs, width);
        self.network.nodes[self.last].name = name.to_owned();
        self
    }

    /// A layer that reads several others.
    pub(crate) fn join(&mut self, op: Op, inputs: Vec<NodeId>, width: usize) -> &mut Builder {
        self.network.nodes.push(Node { name: String::new(), op, inputs });
        self.widths.push(width);
        self.last = self.network.output();
        self
    }
}
