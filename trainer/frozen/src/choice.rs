//! The algorithm and the block sizes of a layer: rules on sizes, each with the measurement that supports it.

use networks::Conv;

use crate::size::Size;

/// Whether Winograd F(4×4, 3×3) beats the direct convolution, for outputs of that size.
///
/// It takes a quarter of the multiplications but transforms every tile. With few channels, or with maps so
/// small that most of a tile is outside, the transforms cost more than they save.
pub(crate) fn winograd_pays(conv: &Conv, output: Size) -> bool {
    let suits = conv.kernel == 3 && conv.stride == 1 && conv.groups == 1 && conv.padding <= 2;
    let filled = (output.height * output.width) as f64
        / (output.height.next_multiple_of(4) * output.width.next_multiple_of(4)) as f64;
    suits && conv.inputs >= 16 && conv.outputs >= 16 && filled > 0.4
}

/// Whether Winograd's points are the faster way to the derivatives by the weights of a convolution with `n`
/// such outputs. There must be enough tiles, because four times the weights are transformed back.
pub(crate) fn winograd_gradient_pays(conv: &Conv, output: Size, n: usize) -> bool {
    let tiles = n * output.height.div_ceil(4) * output.width.div_ceil(4);
    winograd_pays(conv, output) && tiles >= 64
}

/// Images whose gradients are computed together, with `values` per image and layers of `weights`.
///
/// Weights' derivatives are reordered once for all of them. With 32 instead of 8, a step on 32 images takes
/// 0.35 s and not 0.44 with VGG19's last block (22 times as many weights as an image's values), 0.37 s and
/// not 0.44 with ResNet50's (25 times), but 0.27 s and not 0.25 with all of SqueezeNet 1.1 (a quarter), where
/// the maps of few images stay in the cache.
pub(crate) fn trained_images(values: usize, weights: usize) -> usize {
    (2 * weights / values.max(1)).clamp(8, 32)
}

/// The most floats of the transformed tiles of several images.
pub(crate) const WINOGRAD_GRADIENT_FLOATS: usize = 8 << 20;

/// Tiles of a Winograd block: transformed, multiplied and transformed back together.
///
/// A block reads all of the layer's weights once, so it must be large if they are. Its transformed tiles
/// should stay in the level-2 cache if they can.
pub(crate) fn winograd_tiles(inputs: usize) -> usize {
    match inputs {
        0..=64 => 36,
        65..=128 => 48,
        129..=256 => 72,
        _ => 96,
    }
}

/// Output channels of a Winograd block: their products of one block of tiles stay in the level-2 cache.
pub(crate) const WINOGRAD_OUTPUTS: usize = 64;

/// Rows of a direct convolution's strip that read `floats` each: their inputs stay in the level-2 cache.
pub(crate) fn strip_rows(floats: usize) -> usize {
    (48 * 1024 / floats.max(1)).clamp(24, 1024)
}

/// Whether a run of layers is faster with few images at a time than with many. This depends on the floats of
/// its weights, which are read once for all images that go together, and on those of an image's maps, which
/// leave the cache before they are read if there are many images.
///
/// Measured on ResNet50's blocks, eight images one after the other and all at once: `layer1` 35 and 48 ms,
/// `layer2` 61 and 69, `layer3` 104 and 95, `layer4` 89 and 59; the weights of a block are 0.06, 0.4, 4 and
/// 29 times its maps.
pub(crate) fn sooner_few(weights: usize, maps: usize) -> bool {
    2 * weights < maps
}

/// The most images that go through the network together.
pub(crate) const MOST_IMAGES: usize = 64;

/// Output rows of `width` pixels that a separable block computes together: enough pixels to read its weights
/// seldom, and few enough for the rows in between to stay in the level-2 cache.
pub(crate) fn separable_rows(width: usize) -> usize {
    56usize.div_ceil(width)
}

/// Rows of `floats` between a convolution and the pooling after it: they stay in the level-2 cache.
pub(crate) fn pooled_lines(floats: usize) -> usize {
    48 * 1024 / floats.max(1)
}

/// Images that go through a section together, for `threads`; `per_image` is the plan's floats for one image,
/// `weights` the floats of its layers' weights.
///
/// Weights are read once for all of them, so there must be many if the weights are far more than an image's
/// activations (VGG19 at 224 px: 80 M to 4 M; groups of eight read 320 MB less than two groups of four, 3 %
/// of the time). Otherwise few images stay in the cache, as many for each thread: SqueezeNet 1.1 reached 10 %
/// more images per second in groups of two than of eight.
pub(crate) fn batch(per_image: usize, weights: usize, threads: usize) -> usize {
    let fit = 34 * 1024 * 1024 / per_image.max(1);
    let wanted = (2 * weights).div_ceil(3 * per_image.max(1)).max(1);
    wanted.next_multiple_of(threads).min(fit).clamp(1, MOST_IMAGES)
}

/// Rows of tokens that the widest register tile has.
pub(crate) const TOKEN_TILE: usize = 12;

/// Rows of tokens of a strip: a piece of their depth stays in the level-2 cache, and weights are read once
/// for all of them.
pub(crate) const TOKEN_ROWS: usize = 16 * TOKEN_TILE;

/// Numbers of a row of `inputs` that are multiplied at a time, in whole heads of `head`: with the weights of
/// a panel for them they fill a level-1 cache.
pub(crate) fn token_depth(inputs: usize, head: usize) -> usize {
    let pieces = if inputs <= 384 { 1 } else { inputs.div_ceil(256) };
    if head == inputs { inputs.div_ceil(pieces) } else { (inputs / head).div_ceil(pieces) * head }
}

/// Columns whose activations are computed right after their sums: a strip of them stays in the level-2 cache.
pub(crate) const GELU_COLUMNS: usize = 256;

/// Rows of `columns` scores that are computed together: they stay in the level-2 cache.
pub(crate) fn attention_rows(columns: usize) -> usize {
    (16 * 1024 / columns).clamp(TOKEN_TILE, 128) / TOKEN_TILE * TOKEN_TILE
}

/// Tokens that go through a network together, unless one sentence has more: weights are read once for all of
/// them, and their values stay in the level-3 cache.
pub(crate) const TOKENS: usize = 1024;

/// Images of `tokens` tokens that go through a network together, as many for each thread.
pub(crate) fn token_images(tokens: usize, threads: usize) -> usize {
    TOKENS.div_ceil(tokens).next_multiple_of(threads).min(MOST_IMAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_as_many_images_of_a_group() {
        assert_eq!([1, 2, 3].map(|threads| batch(1_000, 4_000, threads)), [3, 4, 3]);
        assert_eq!(batch(1_000_000, 720_000, 2), 2, "few weights: one image for each thread");
        assert_eq!(batch(20_000_000, 80_000_000, 2), 1, "no more than fit");
        assert_eq!(batch(10, 80_000_000, 2), MOST_IMAGES);
    }
}
