//! MobileNetV2.
//!
//! Points: `block1` … `block17` (maps, after each inverted residual), `features` (the last map, 1280
//! channels), `avgpool` (1280), `logits`. Source: Sandler et al. 2018, as torchvision builds it.

use crate::Network;
use crate::build::{Builder, same};

/// Expansion, channels, blocks and the first block's stride, for each run of inverted residuals.
const RUNS: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

pub(crate) fn mobilenet_v2() -> Network {
    let mut net = Builder::new("mobilenet_v2");
    net.conv_bn(("features.0.0", "features.0.1"), 32, same(3).stride(2)).relu6();
    let mut block = 0;
    for (expansion, channels, blocks, first_stride) in RUNS {
        for index in 0..blocks {
            block += 1;
            let stride = if index == 0 { first_stride } else { 1 };
            inverted_residual(&mut net, &format!("features.{block}.conv"), expansion, channels, stride);
            net.point(format!("block{block}"));
        }
    }
    net.conv_bn(("features.18.0", "features.18.1"), 1280, same(1)).relu6().point("features");
    net.avg_pool_flat(1).point("avgpool").dropout(0.2);
    net.linear("classifier.1", 1000);
    net.finish("avgpool")
}

/// 1×1 up (unless the expansion is 1), depthwise 3×3, 1×1 down,
/// and the input added where the shapes allow it.
fn inverted_residual(net: &mut Builder, module: &str, expansion: usize, channels: usize, stride: usize) {
    let (input, before) = (net.here(), net.width());
    let mut step = 0;
    if expansion != 1 {
        net.conv_bn((&format!("{module}.0.0"), &format!("{module}.0.1")), before * expansion, same(1))
            .relu6();
        step += 1;
    }
    let depthwise = (format!("{module}.{step}.0"), format!("{module}.{step}.1"));
    net.depthwise_bn((&depthwise.0, &depthwise.1), same(3).stride(stride)).relu6();
    let project = (format!("{module}.{}", step + 1), format!("{module}.{}", step + 2));
    net.conv_bn((&project.0, &project.1), channels, same(1));
    if stride == 1 && before == channels {
        net.add(input);
    }
}
