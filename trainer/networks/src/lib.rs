//! Every network that Baton knows, described once as a graph of layers with its publisher's names. No
//! tensors.

mod baton_small;
mod bert;
mod build;
mod catalogue;
mod cut;
mod error;
mod graph;
mod last;
mod mobilenet;
mod resnet;
mod shape;
mod sizes;
mod spelling;
mod squeezenet;
#[cfg(test)]
mod tests;
mod transformer;
mod vgg;
mod vit;

pub use catalogue::{is_torchvisions, names, network, trained_side, transformers};
pub use error::Error;
pub use graph::{Conv, Gelu, IMAGES, Input, Network, Node, NodeId, Op, Parameter, Point, Positions, Resize};
pub use last::{HiddenLayer, LastLayer, LastLayerForm};
pub use shape::Shape;
pub use spelling::{Held, Spelling};
