//! ResNet18, 34 and 50.
//!
//! Points: `pool1`, `layer1` … `layer4` (maps), `avgpool` (512, or 2048 for ResNet50), `logits`.
//! Source: He et al. 2015, as torchvision builds them: in a bottleneck the 3×3 convolution has the stride.

use crate::Network;
use crate::build::{Builder, same};

/// Blocks in each of the four layers.
type Depths = [usize; 4];

pub(crate) const RESNET18: Depths = [2, 2, 2, 2];
pub(crate) const RESNET34: Depths = [3, 4, 6, 3];
pub(crate) const RESNET50: Depths = [3, 4, 6, 3];

/// The two kinds of residual block.
#[derive(Clone, Copy)]
pub(crate) enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1 down, 3×3, 1×1 up to four times the channels.
    Bottleneck,
}

pub(crate) fn resnet(name: &'static str, block: Block, depths: Depths) -> Network {
    let mut net = Builder::new(name);
    net.conv_bn(("conv1", "bn1"), 64, same(7).stride(2)).relu();
    net.max_pool(3, 2, 1).point("pool1");
    for (layer, (depth, channels)) in (1..).zip(depths.into_iter().zip([64, 128, 256, 512])) {
        for index in 0..depth {
            let stride = if layer > 1 && index == 0 { 2 } else { 1 };
            residual(&mut net, &format!("layer{layer}.{index}"), block, channels, stride);
        }
        net.point(format!("layer{layer}"));
    }
    net.avg_pool_flat(1).point("avgpool");
    net.linear("fc", 1000);
    net.finish("avgpool")
}

fn residual(net: &mut Builder, module: &str, block: Block, channels: usize, stride: usize) {
    let (conv, bn) = (|n: usize| format!("{module}.conv{n}"), |n: usize| format!("{module}.bn{n}"));
    let (input, before) = (net.here(), net.width());
    let (branch, outputs) = match block {
        Block::Basic => {
            net.conv_bn((&conv(1), &bn(1)), channels, same(3).stride(stride)).relu();
            (net.conv_bn((&conv(2), &bn(2)), channels, same(3)).here(), channels)
        }
        Block::Bottleneck => {
            net.conv_bn((&conv(1), &bn(1)), channels, same(1)).relu();
            net.conv_bn((&conv(2), &bn(2)), channels, same(3).stride(stride)).relu();
            (net.conv_bn((&conv(3), &bn(3)), 4 * channels, same(1)).here(), 4 * channels)
        }
    };
    let mut shortcut = input;
    if stride != 1 || before != outputs {
        let names = (format!("{module}.downsample.0"), format!("{module}.downsample.1"));
        shortcut = net.from(input).conv_bn((&names.0, &names.1), outputs, same(1).stride(stride)).here();
    }
    net.from(branch).add(shortcut).relu();
}
