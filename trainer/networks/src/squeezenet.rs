//! SqueezeNet 1.0 and 1.1.
//!
//! Points: `pool1` … `pool3`, `fire2` … `fire9` (maps; `fire9` is just below the last convolution), `logits`.
//! Source: Iandola et al. 2016, as torchvision builds them.

use crate::Network;
use crate::build::{Builder, same};

/// Channels after the squeeze, and of each of the two expansions, for `fire2` … `fire9`.
const FIRES: [(usize, usize); 8] =
    [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];

pub(crate) fn squeezenet1_0() -> Network {
    let mut net = Builder::new("squeezenet1_0");
    net.conv("features.0", 96, same(7).unpadded().stride(2)).relu();
    body(net, [4, 8])
}

pub(crate) fn squeezenet1_1() -> Network {
    let mut net = Builder::new("squeezenet1_1");
    net.conv("features.0", 64, same(3).unpadded().stride(2)).relu();
    body(net, [3, 5])
}

/// The first pooling, the fires with a pooling after each of the two named, and the classifier.
fn body(mut net: Builder, pooled_fires: [usize; 2]) -> Network {
    net.max_pool_ceil(3, 2).point("pool1");
    let (mut module, mut pools) = (3, 1);
    for (number, (squeezed, expanded)) in (2..).zip(FIRES) {
        fire(&mut net, &format!("features.{module}"), squeezed, expanded);
        net.point(format!("fire{number}"));
        module += 1;
        if pooled_fires.contains(&number) {
            pools += 1;
            net.max_pool_ceil(3, 2).point(format!("pool{pools}"));
            module += 1;
        }
    }
    net.dropout(0.5).conv("classifier.1", 1000, same(1)).relu().avg_pool_flat(1);
    net.finish("fire9")
}

fn fire(net: &mut Builder, module: &str, squeezed: usize, expanded: usize) {
    let squeeze = net.conv(&format!("{module}.squeeze"), squeezed, same(1)).relu().here();
    let narrow = net.from(squeeze).conv(&format!("{module}.expand1x1"), expanded, same(1)).relu().here();
    let wide = net.from(squeeze).conv(&format!("{module}.expand3x3"), expanded, same(3)).relu().here();
    net.concat(&[narrow, wide]);
}
