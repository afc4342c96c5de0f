//! `baton_small`: this repository's own network for images of about 48 pixels. It is so small that the binary
//! contains its weights.
//!
//! Points: `block1` … `block3` (maps), `avgpool` (128, just below the last layer), `logits`.
//! `baton pretrain` makes its weights, on the 28 base classes of `data-prep generate`.

use crate::Network;
use crate::build::{Builder, same};

/// The channels of the two convolutions of each block.
const BLOCKS: [[usize; 2]; 3] = [[24, 32], [48, 64], [96, 128]];

/// Classes that it is pretrained on.
const CLASSES: usize = 28;

pub(crate) fn baton_small() -> Network {
    let mut net = Builder::new("baton_small");
    // Numbered as torchvision numbers a VGG: convolution, ReLU, pooling.
    let mut module = 0;
    for (block, channels) in BLOCKS.into_iter().enumerate() {
        if block > 0 {
            net.max_pool(2, 2, 0);
            module += 1;
        }
        for outputs in channels {
            // At full size the first convolution alone would take as long as all the others.
            let stride = if module == 0 { 2 } else { 1 };
            net.conv(&format!("features.{module}"), outputs, same(3).stride(stride)).relu();
            module += 2;
        }
        net.point(format!("block{}", block + 1));
    }
    net.avg_pool_flat(1).point("avgpool").linear("classifier", CLASSES);
    net.finish("avgpool")
}
