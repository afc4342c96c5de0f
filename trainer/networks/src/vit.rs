//! Vision transformers: torchvision's ViT, DeiT, DINOv2.
//!
//! Points: `embeddings`, `block1` … (tokens), `norm`, `class` (the class token) and, except for DINOv2,
//! `logits`. Names are torchvision's for ViT, timm's for DeiT, Hugging Face's for DINOv2. Source: Dosovitskiy
//! et al. 2020, Touvron et al. 2020, Oquab et al. 2023, as these build them.

use crate::build::{Builder, same};
use crate::graph::{Network, Op, Positions, Resize};
use crate::transformer::{Names, Size};

/// A member of the family.
#[derive(Clone, Copy)]
pub(crate) struct Vit {
    size: Size,
    /// Rows and columns of a patch.
    patch: usize,
    /// Patches of a row and of a column of the images that it was trained on.
    side: usize,
    resize: Resize,
    /// Whether the output of a block is scaled before it is added.
    scaled: bool,
    /// The classes of the last layer; none if there is no such layer.
    classes: Option<usize>,
    spelling: Spelling,
}

/// The parameter names of a publisher.
#[derive(Clone, Copy)]
pub(crate) struct Spelling {
    class_token: &'static str,
    positions: &'static str,
    patches: &'static str,
    module: &'static str,
    names: Names,
    scales: [&'static str; 2],
    norm: &'static str,
    last: &'static str,
}

pub(crate) const TORCHVISION: Spelling = Spelling {
    class_token: "class_token",
    positions: "encoder.pos_embedding",
    patches: "conv_proj",
    module: "encoder.layers.encoder_layer_",
    names: Names {
        qkv: &["self_attention.in_proj_*"],
        out: "self_attention.out_proj",
        norm1: "ln_1",
        up: "mlp.0",
        down: "mlp.3",
        norm2: "ln_2",
    },
    scales: ["ls1.gamma", "ls2.gamma"],
    norm: "encoder.ln",
    last: "heads.head",
};

/// timm's, and those that DeiT and DINOv2 were published with.
pub(crate) const TIMM: Spelling = Spelling {
    class_token: "cls_token",
    positions: "pos_embed",
    patches: "patch_embed.proj",
    module: "blocks.",
    names: Names {
        qkv: &["attn.qkv"],
        out: "attn.proj",
        norm1: "norm1",
        up: "mlp.fc1",
        down: "mlp.fc2",
        norm2: "norm2",
    },
    scales: ["ls1.gamma", "ls2.gamma"],
    norm: "norm",
    last: "head",
};

/// Hugging Face's of ViT and DeiT.
pub(crate) const HUGGING_FACE: Spelling = Spelling {
    class_token: "embeddings.cls_token",
    positions: "embeddings.position_embeddings",
    patches: "embeddings.patch_embeddings.projection",
    module: "encoder.layer.",
    names: Names {
        qkv: &["attention.attention.query", "attention.attention.key", "attention.attention.value"],
        out: "attention.output.dense",
        norm1: "layernorm_before",
        up: "intermediate.dense",
        down: "output.dense",
        norm2: "layernorm_after",
    },
    scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"],
    norm: "layernorm",
    last: "classifier",
};

/// Hugging Face's of DINOv2.
pub(crate) const HUGGING_FACE_DINO: Spelling = Spelling {
    names: Names { norm1: "norm1", up: "mlp.fc1", down: "mlp.fc2", norm2: "norm2", ..HUGGING_FACE.names },
    ..HUGGING_FACE
};

const TINY: Size = Size { width: 192, depth: 12, heads: 3 };
const SMALL: Size = Size { width: 384, depth: 12, heads: 6 };
const BASE: Size = Size { width: 768, depth: 12, heads: 12 };
const LARGE: Size = Size { width: 1024, depth: 24, heads: 16 };

pub(crate) const VIT_B_16: Vit = Vit {
    size: BASE,
    patch: 16,
    side: 14,
    resize: Resize::Corners,
    scaled: false,
    classes: Some(1000),
    spelling: TORCHVISION,
};
pub(crate) const VIT_B_32: Vit = Vit { patch: 32, side: 7, ..VIT_B_16 };
pub(crate) const VIT_L_16: Vit = Vit { size: LARGE, ..VIT_B_16 };
pub(crate) const DEIT_BASE: Vit = Vit { resize: Resize::Borders, spelling: TIMM, ..VIT_B_16 };
pub(crate) const DEIT_SMALL: Vit = Vit { size: SMALL, ..DEIT_BASE };
pub(crate) const DEIT_TINY: Vit = Vit { size: TINY, ..DEIT_BASE };
pub(crate) const DINOV2_B: Vit =
    Vit { patch: 14, side: 37, scaled: true, classes: None, spelling: HUGGING_FACE_DINO, ..DEIT_BASE };
pub(crate) const DINOV2_S: Vit = Vit { size: SMALL, ..DINOV2_B };
pub(crate) const DINOV2_L: Vit = Vit { size: LARGE, ..DINOV2_B };

impl Vit {
    /// The same under another publisher's names.
    pub(crate) fn spelled(self, spelling: Spelling) -> Vit {
        Vit { spelling, ..self }
    }
}

pub(crate) fn vit(name: &'static str, vit: &Vit) -> Network {
    let (width, spelling) = (vit.size.width, vit.spelling);
    let norm = Op::LayerNorm { width, epsilon: 1e-6 };
    let mut net = Builder::new(name);
    net.conv(spelling.patches, width, same(vit.patch).stride(vit.patch).unpadded()).keep(Op::Patches);
    net.push(spelling.class_token, Op::ClassToken { width }, width);
    let positions = Positions::Grid { side: vit.side, width, resize: vit.resize };
    net.push(spelling.positions, Op::Positions(positions), width).point("embeddings");
    for block in 0..vit.size.depth {
        let module = format!("{}{block}.", spelling.module);
        for half in 0..2 {
            let from = net.here();
            let before = [spelling.names.norm1, spelling.names.norm2][half];
            net.push(&format!("{module}{before}"), norm.clone(), width);
            match half {
                0 => vit.size.attention(&mut net, &module, &spelling.names),
                _ => vit.size.perceptron(&mut net, &module, &spelling.names),
            }
            if vit.scaled {
                net.push(&format!("{module}{}", spelling.scales[half]), Op::LayerScale { width }, width);
            }
            net.add(from);
        }
        net.point(format!("block{}", block + 1));
    }
    net.push(spelling.norm, norm, width).point("norm").keep(Op::Token { at: 0 }).point("class");
    match vit.classes {
        Some(classes) => {
            net.linear(spelling.last, classes);
            net.finish("class")
        }
        None => net.encoder("class"),
    }
}
