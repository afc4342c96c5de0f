//! The graph of a network: nodes, their operations, the named points where it can be cut.

use crate::{Error, Shape};

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

/// The layer that gives one number for each class: what a new head replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLayer {
    /// torchvision's module name: `classifier.6`.
    pub name: String,
    /// Features that it reads.
    pub inputs: usize,
    /// Classes that it gives.
    pub classes: usize,
    /// Its form.
    pub form: LastLayerForm,
}

/// A fully connected layer below the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenLayer {
    /// torchvision's module name: `classifier.0`.
    pub name: String,
    /// Columns of an input row.
    pub inputs: usize,
    /// Columns of an output row.
    pub outputs: usize,
}

/// The two forms of a last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLayerForm {
    /// `weight` `[classes, inputs]`, on a vector of features.
    Linear,
    /// `weight` `[classes, inputs, 1, 1]`, on the map, followed by ReLU and the mean over the map (SqueezeNet).
    ///
    /// A linear head `W`, `b` on the pooled map becomes this layer when the same row is added to every row of `W`,
    /// and the same number to every entry of `b`, so that nothing is negative: the map comes from a ReLU, so the
    /// layer's own ReLU then changes nothing, the mean commutes, and softmax does not see what was added.
    Convolution,
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

    /// The network up to a named point: only the nodes that it needs, that point's node last.
    ///
    /// `points` keeps those that are left; `default_cut` stays the whole network's.
    pub fn up_to(&self, point: &str) -> Result<Network, Error> {
        let end = self.point(point)?;
        let mut needed = vec![false; end + 1];
        needed[end] = true;
        for id in (0..=end).rev().filter(|&id| !matches!(self.nodes[id].op, Op::Input { .. })) {
            if needed[id] {
                self.nodes[id].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        let mut renumbered = vec![None; self.nodes.len()];
        let mut nodes = Vec::new();
        for id in (0..=end).filter(|&id| needed[id]) {
            renumbered[id] = Some(nodes.len());
            let node = &self.nodes[id];
            let inputs =
                node.inputs.iter().map(|&input| renumbered[input].expect("inputs come first")).collect();
            nodes.push(Node { name: node.name.clone(), op: node.op.clone(), inputs });
        }
        let moved = |point: &Point| Some(Point { name: point.name.clone(), node: renumbered[point.node]? });
        Ok(Network { nodes, points: self.points.iter().filter_map(moved).collect(), ..self.clone() })
    }

    /// The part that reads the maps of one point and ends at another, for an image of `height` × `width`; and these maps.
    ///
    /// Errors: no such point below the other; what it gives is no map, or a layer above it reads past it.
    pub fn between(&self, from: &str, to: &str, image: (usize, usize)) -> Result<(Network, Shape), Error> {
        let part = self.up_to(to)?;
        let (cut, shapes) = (part.point(from)?, part.shapes(image.0, image.1)?);
        let above = &part.nodes[cut + 1..];
        let past = above.iter().flat_map(|node| &node.inputs).any(|&input| input < cut);
        let channels = match shapes[cut] {
            Shape::Map { channels, .. } if !past => channels,
            found => return Err(Error::NoPart { network: self.name, from: from.to_owned(), found }),
        };
        let input = Node { name: String::new(), op: Op::Input { channels }, inputs: Vec::new() };
        let moved = |node: &Node| Node {
            inputs: node.inputs.iter().map(|input| input - cut).collect(),
            ..node.clone()
        };
        let nodes = [input].into_iter().chain(above.iter().map(moved)).collect();
        let points = part.points.iter().filter(|point| point.node > cut);
        let points = points.map(|point| Point { name: point.name.clone(), node: point.node - cut }).collect();
        Ok((Network { nodes, points, ..part }, shapes[cut]))
    }

    /// The node that nothing reads: the output.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Every parameter in execution order, buffers included, `num_batches_tracked` not.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.nodes.iter().flat_map(Node::parameters).collect()
    }

    /// The last layer with parameters of the whole network: what a new head replaces.
    ///
    /// Errors: the network is cut below it, so that its last layer with parameters is no classifier.
    pub fn last_layer(&self) -> Result<LastLayer, Error> {
        let whole = self.points.iter().any(|point| point.name == "logits" && point.node == self.output());
        let node = self.nodes.iter().rfind(|node| !node.name.is_empty()).filter(|_| whole);
        let (node, inputs, classes, form) = match node.map(|node| (node, &node.op)) {
            Some((node, &Op::Linear { inputs, outputs })) => (node, inputs, outputs, LastLayerForm::Linear),
            Some((node, Op::Conv(conv))) => (node, conv.inputs, conv.outputs, LastLayerForm::Convolution),
            _ => return Err(Error::NoLastLayer { network: self.name }),
        };
        Ok(LastLayer { name: node.name.clone(), inputs, classes, form })
    }

    /// The point below all fully connected layers: where the frozen part ends when these are trained.
    ///
    /// Errors: the network is cut below its last layer.
    pub fn below_classifier(&self) -> Result<&str, Error> {
        let last = self.last_layer()?;
        let dense = |node: &Node| matches!(node.op, Op::Linear { .. }) || node.name == last.name;
        let first = self.nodes.iter().position(dense).unwrap_or(0);
        let below = self.points.iter().rfind(|point| point.node < first);
        Ok(below.map_or(self.default_cut, |point| point.name.as_str()))
    }

    /// The fully connected layers between a point and the last layer; none if other layers with parameters are there.
    ///
    /// Errors: no such point, or the network is cut below its last layer.
    pub fn hidden_above(&self, point: &str) -> Result<Option<Vec<HiddenLayer>>, Error> {
        let (cut, last) = (self.point(point)?, self.last_layer()?);
        let above =
            self.nodes[cut + 1..].iter().filter(|node| !node.name.is_empty() && node.name != last.name);
        Ok(above
            .map(|node| match node.op {
                Op::Linear { inputs, outputs } => {
                    Some(HiddenLayer { name: node.name.clone(), inputs, outputs })
                }
                _ => None,
            })
            .collect())
    }

    /// The same network with a last layer for another number of classes.
    pub fn with_classes(&self, classes: usize) -> Result<Network, Error> {
        let last = self.last_layer()?;
        let mut network = self.clone();
        for node in network.nodes.iter_mut().filter(|node| node.name == last.name) {
            match &mut node.op {
                Op::Linear { outputs, .. } => *outputs = classes,
                Op::Conv(conv) => conv.outputs = classes,
                _ => {}
            }
        }
        Ok(network)
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
