//! Every network that Baton knows, described once as a graph of layers with torchvision's names. No tensors.

mod baton_small;
mod build;
mod cut;
mod error;
mod graph;
mod last;
mod mobilenet;
mod resnet;
mod shape;
mod sizes;
mod squeezenet;
#[cfg(test)]
mod tests;
mod vgg;

pub use error::Error;
pub use graph::{Conv, IMAGES, Network, Node, NodeId, Op, Parameter, Point};
pub use last::{HiddenLayer, LastLayer, LastLayerForm};
pub use shape::Shape;

use resnet::Block::{Basic, Bottleneck};
use resnet::{RESNET18, RESNET34, RESNET50, resnet};
use vgg::{VGG11, VGG13, VGG16, VGG19, vgg};

/// Every name that [`network`] knows.
pub fn names() -> &'static [&'static str] {
    &[
        "vgg11",
        "vgg11_bn",
        "vgg13",
        "vgg13_bn",
        "vgg16",
        "vgg16_bn",
        "vgg19",
        "vgg19_bn",
        "squeezenet1_0",
        "squeezenet1_1",
        "resnet18",
        "resnet34",
        "resnet50",
        "mobilenet_v2",
        "baton_small",
    ]
}

/// The network of that name, with the classes that it is pretrained on: ImageNet's 1000, `baton_small`'s own 28.
///
/// Errors: there is none of that name; the message lists those that there are.
pub fn network(name: &str) -> Result<Network, Error> {
    Ok(match name {
        "vgg11" => vgg("vgg11", VGG11, false),
        "vgg11_bn" => vgg("vgg11_bn", VGG11, true),
        "vgg13" => vgg("vgg13", VGG13, false),
        "vgg13_bn" => vgg("vgg13_bn", VGG13, true),
        "vgg16" => vgg("vgg16", VGG16, false),
        "vgg16_bn" => vgg("vgg16_bn", VGG16, true),
        "vgg19" => vgg("vgg19", VGG19, false),
        "vgg19_bn" => vgg("vgg19_bn", VGG19, true),
        "squeezenet1_0" => squeezenet::squeezenet1_0(),
        "squeezenet1_1" => squeezenet::squeezenet1_1(),
        "resnet18" => resnet("resnet18", Basic, RESNET18),
        "resnet34" => resnet("resnet34", Basic, RESNET34),
        "resnet50" => resnet("resnet50", Bottleneck, RESNET50),
        "mobilenet_v2" => mobilenet::mobilenet_v2(),
        "baton_small" => baton_small::baton_small(),
        _ => return Err(Error::UnknownNetwork { name: name.to_owned(), known: names().join(", ") }),
    })
}

/// Whether `torchvision.models` has a function of that name, whose model has these layers and these parameters' names.
pub fn is_torchvisions(name: &str) -> bool {
    name != "baton_small" && names().contains(&name)
}
