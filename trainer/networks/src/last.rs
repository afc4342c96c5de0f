//! A network's last layer, which a new head replaces, and the fully connected layers below it.

use crate::error::Error;
use crate::graph::{Network, Node, Op};

/// The layer that computes one number for each class. A new head replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLayer {
    /// torchvision's module name: `classifier.6`.
    pub name: String,
    /// Features that it reads.
    pub inputs: usize,
    /// Classes that it scores.
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
    /// `weight` `[classes, inputs, 1, 1]`, on the map, followed by ReLU and the mean over the map
    /// (SqueezeNet).
    ///
    /// A linear head `W`, `b` on the pooled map becomes this layer when the same row is added to every row of
    /// `W`, and the same number to every entry of `b`, so that nothing is negative. The map comes from a
    /// ReLU, so the layer's own ReLU then changes nothing, and the mean commutes. Softmax ignores a term that
    /// all classes share.
    Convolution,
}

impl Network {
    /// The last layer with parameters of the whole network. A new head replaces it.
    ///
    /// Errors: the network is cut below it, so its last layer with parameters is not a classifier.
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

    /// The fully connected layers between a point and the last layer; none if other layers with parameters
    /// are there.
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
