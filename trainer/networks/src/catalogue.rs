//! Which networks there are: their names, and the function that builds each.

use crate::bert::{self, bert};
use crate::error::Error;
use crate::graph::Network;
use crate::resnet::Block::{Basic, Bottleneck};
use crate::resnet::{RESNET18, RESNET34, RESNET50, resnet};
use crate::vgg::{VGG11, VGG13, VGG16, VGG19, vgg};
use crate::vit::{self, Vit, vit};
use crate::{baton_small, mobilenet, squeezenet};

/// The names of convolutional networks that [`network`] knows.
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

/// The names of transformers that [`network`] knows: those that read images, then those that read texts.
pub fn transformers() -> &'static [&'static str] {
    &[
        "vit_b_16",
        "vit_b_32",
        "vit_l_16",
        "deit_tiny_patch16_224",
        "deit_small_patch16_224",
        "deit_base_patch16_224",
        "dinov2_vits14",
        "dinov2_vitb14",
        "dinov2_vitl14",
        "minilm_l6",
        "minilm_l12",
        "bert_base_uncased",
        "distilbert_base_uncased",
        "roberta_base",
    ]
}

/// The network of that name, with the classes that it is pretrained on: ImageNet's 1000, `baton_small`'s own
/// 28; none for an encoder.
///
/// Errors: no network has that name; the message lists the names.
pub fn network(name: &str) -> Result<Network, Error> {
    let transformer = || {
        let known = [names(), transformers()].concat().join(", ");
        text(name)
            .or_else(|| Some(image(name)?.1))
            .ok_or(Error::UnknownNetwork { name: name.to_owned(), known })
    };
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
        _ => transformer()?,
    })
}

/// A transformer that reads texts.
fn text(name: &str) -> Option<Network> {
    Some(match name {
        "minilm_l6" => bert("minilm_l6", &bert::MINILM_L6),
        "minilm_l12" => bert("minilm_l12", &bert::MINILM_L12),
        "bert_base_uncased" => bert("bert_base_uncased", &bert::BERT_BASE),
        "distilbert_base_uncased" => bert("distilbert_base_uncased", &bert::DISTILBERT_BASE),
        "roberta_base" => bert("roberta_base", &bert::ROBERTA_BASE),
        _ => return None,
    })
}

/// A transformer that reads images, and its network.
fn image(name: &str) -> Option<(Vit, Network)> {
    let named = |name, page: Vit| Some((page, vit(name, &page)));
    match name {
        "vit_b_16" => named("vit_b_16", vit::VIT_B_16),
        "vit_b_32" => named("vit_b_32", vit::VIT_B_32),
        "vit_l_16" => named("vit_l_16", vit::VIT_L_16),
        "deit_tiny_patch16_224" => named("deit_tiny_patch16_224", vit::DEIT_TINY),
        "deit_small_patch16_224" => named("deit_small_patch16_224", vit::DEIT_SMALL),
        "deit_base_patch16_224" => named("deit_base_patch16_224", vit::DEIT_BASE),
        "dinov2_vits14" => named("dinov2_vits14", vit::DINOV2_S),
        "dinov2_vitb14" => named("dinov2_vitb14", vit::DINOV2_B),
        "dinov2_vitl14" => named("dinov2_vitl14", vit::DINOV2_L),
        _ => None,
    }
}

/// The network of that name under all of its names for parameters, its own first.
pub(crate) fn spelled(name: &str) -> Vec<Network> {
    let own = network(name).into_iter();
    let other = image(name).into_iter().flat_map(|(page, own)| {
        [vit::TORCHVISION, vit::TIMM, vit::HUGGING_FACE, vit::HUGGING_FACE_DINO]
            .map(|spelling| vit(own.name, &page.spelled(spelling)))
    });
    own.chain(other).collect()
}

/// The side of the images that a network's published weights were trained on, in pixels.
pub fn trained_side(name: &str) -> usize {
    if name == "baton_small" { 48 } else { 224 }
}

/// Whether `torchvision.models` has a function of that name, whose model has these layers and these
/// parameters' names.
pub fn is_torchvisions(name: &str) -> bool {
    matches!(name, "vit_b_16" | "vit_b_32" | "vit_l_16") || name != "baton_small" && names().contains(&name)
}
