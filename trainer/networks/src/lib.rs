//! Every network that Baton knows, described once as a graph of layers with torchvision's names. No tensors.

mod graph;

pub use graph::{Conv, Network, Node, NodeId, Op, Point};
