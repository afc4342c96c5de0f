//! VGG11, 13, 16 and 19, with and without batch norm.
//!
//! Points: `pool1` … `pool5` (maps), `flatten` (25088), `fc1`, `fc2` (4096, after their ReLU), `logits`.
//! Source: Simonyan and Zisserman 2014, as torchvision builds them.

use crate::Network;
use crate::build::{Builder, same};

/// Convolutions in each of the five blocks.
type Depths = [usize; 5];

pub(crate) const VGG11: Depths = [1, 1, 2, 2, 2];
pub(crate) const VGG13: Depths = [2, 2, 2, 2, 2];
pub(crate) const VGG16: Depths = [2, 2, 3, 3, 3];
pub(crate) const VGG19: Depths = [2, 2, 4, 4, 4];

const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

pub(crate) fn vgg(name: &'static str, depths: Depths, batch_norm: bool) -> Network {
    let mut net = Builder::new(name);
    // torchvision numbers every layer of `features`: convolution, batch norm, ReLU, pooling.
    let mut module = 0;
    for (block, (depth, channels)) in depths.into_iter().zip(CHANNELS).enumerate() {
        for _ in 0..depth {
            net.conv(&format!("features.{module}"), channels, same(3));
            if batch_norm {
                net.batch_norm(&format!("features.{}", module + 1));
            }
            net.relu();
            module += if batch_norm { 3 } else { 2 };
        }
        net.max_pool(2, 2, 0).point(format!("pool{}", block + 1));
        module += 1;
    }
    net.avg_pool_flat(7).point("flatten");
    net.linear("classifier.0", 4096).relu().point("fc1").dropout(0.5);
    net.linear("classifier.3", 4096).relu().point("fc2").dropout(0.5);
    net.linear("classifier.6", 1000);
    net.finish("fc2")
}
