//! The two halves of a transformer's block, shared by the encoders of texts and of images.

use crate::build::Builder;
use crate::graph::{Gelu, Op};

/// The sizes of a transformer.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Numbers of a token.
    pub(crate) width: usize,
    /// Blocks.
    pub(crate) depth: usize,
    /// Heads of each block's attention.
    pub(crate) heads: usize,
}

/// The names of a block's layers with parameters, after the block's own name.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    /// Queries, keys and values: three layers, or one that has them packed.
    pub(crate) qkv: &'static [&'static str],
    /// The layer after the heads.
    pub(crate) out: &'static str,
    /// Before the attention in an encoder of images, after it in an encoder of texts.
    pub(crate) norm1: &'static str,
    /// The wide layer.
    pub(crate) up: &'static str,
    /// The layer that returns to the token's width.
    pub(crate) down: &'static str,
    /// Before the wide layer, or after `down`.
    pub(crate) norm2: &'static str,
}

impl Size {
    /// Attention of the layer just added, without norm and sum.
    pub(crate) fn attention(&self, net: &mut Builder, module: &str, names: &Names) {
        let from = net.here();
        let name = |name: &str| format!("{module}{name}");
        let inputs = match names.qkv {
            &[packed] => vec![net.linear(&name(packed), 3 * self.width).here()],
            split => {
                split.iter().map(|layer| net.from(from).linear(&name(layer), self.width).here()).collect()
            }
        };
        net.join(Op::Attention { heads: self.heads }, inputs, self.width);
        net.linear(&name(names.out), self.width);
    }

    /// The two linear layers with the activation between.
    pub(crate) fn perceptron(&self, net: &mut Builder, module: &str, names: &Names) {
        net.linear(&format!("{module}{}", names.up), 4 * self.width).keep(Op::Gelu(Gelu::Erf));
        net.linear(&format!("{module}{}", names.down), self.width);
    }
}
