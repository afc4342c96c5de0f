//! The sums of products for the derivatives by a convolution's weights: of each tap's pixels with `delta`.

use networks::Conv;
use rayon::prelude::*;

use super::layer::{Map, Run};
use super::memory::Memory;
use super::winograd::{self, ROWS};
use crate::fuse::IsDepthwise;
use crate::kernels::{Buffer, DepthwiseProducts, Outer, PANEL, Target, WeightSums};
use crate::plan::padded;
use crate::{Error, choice};

/// Sums of products `[window or points][inputs][outputs]`, inputs and outputs in whole lanes.
pub(super) struct Products {
    pub(super) sums: Buffer,
    /// Inputs of an output, in whole lanes.
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Whether they are those of Winograd's points.
    pub(super) points: bool,
}

/// Derivatives by a convolution's weights, of all images; the convolution reads `from`, and `to` has the
/// derivatives by its output.
///
/// Errors: no memory.
pub(super) fn products(conv: &Conv, run: &Run, from: Map, to: Map) -> Result<Products, Error> {
    if conv.is_depthwise() {
        depthwise(conv, run, from, to)
    } else if choice::winograd_gradient_pays(conv, to.view.size, run.n) {
        let (inputs, outputs) = (padded(conv.inputs), padded(conv.outputs));
        Ok(Products { sums: winograd::products(conv, run, from, to)?, inputs, outputs, points: true })
    } else {
        direct(conv, run, from, to)
    }
}

fn direct(conv: &Conv, run: &Run, from: Map, to: Map) -> Result<Products, Error> {
    let (window, inputs, outputs) = (conv.kernel * conv.kernel, padded(conv.inputs), padded(conv.outputs));
    let a = Panels::of(run, from, conv.padding)?;
    let b = Panels::of(run, to, 0)?;
    let to = to.view;
    let mut sums = run.memory.take(window * inputs * outputs)?;
    let block = if inputs * window >= 4 * ROWS * run.crew.threads { ROWS } else { PANEL };
    let mut tasks = Vec::new();
    for (tap, sums) in sums[..window * inputs * outputs].chunks_mut(inputs * outputs).enumerate() {
        let blocks = sums.chunks_mut(block * outputs).enumerate();
        tasks.extend(blocks.map(|(at, sums)| (tap, at * block, sums)));
    }
    // Without a window the pixels of all images are one row.
    let dense = (conv.kernel, conv.stride, conv.padding) == (1, 1, 0);
    let (images, segments, depth) =
        if dense { (1, 1, run.n * to.size.pixels()) } else { (run.n, to.size.height, to.size.width) };
    tasks.into_par_iter().with_max_len(1).for_each(|(tap, row, sums)| {
        for image in 0..images {
            let pixel = tap / conv.kernel * a.width + tap % conv.kernel;
            run.crew.target.outer(&mut Outer {
                a: &a.values[row / PANEL * a.panel() + image * a.image + pixel * PANEL..],
                a_panel: a.panel(),
                a_pitch: conv.stride * a.width * PANEL,
                a_step: conv.stride * PANEL,
                b: &b.values[image * b.image..],
                b_panel: b.panel(),
                segments,
                depth,
                rows: sums.len() / outputs,
                columns: outputs,
                c: &mut *sums,
                c_pitch: outputs,
                add: image > 0,
            });
        }
    });
    run.memory.give(a.values);
    run.memory.give(b.values);
    Ok(Products { sums, inputs, outputs, points: false })
}

fn depthwise(conv: &Conv, run: &Run, from: Map, to: Map) -> Result<Products, Error> {
    let (Map { view: from, values }, Map { view: to, values: delta }) = (from, to);
    let (window, channels) = (conv.kernel * conv.kernel, padded(conv.outputs));
    let floats = window * channels;
    let mut of_images = run.memory.take(run.n * floats)?;
    of_images.par_chunks_mut(floats).take(run.n).enumerate().for_each(|(image, sums)| {
        run.crew.target.depthwise_products(&mut DepthwiseProducts {
            input: &values[image * from.image()..],
            height: from.size.height,
            width: from.size.width,
            pixel_pitch: from.pitch,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
            delta: &delta[image * to.image()..],
            delta_height: to.size.height,
            delta_width: to.size.width,
            delta_pitch: to.pitch,
            channels,
            sums,
        });
    });
    let (sums, others) = of_images[..run.n * floats].split_at_mut(floats);
    for other in others.chunks(floats) {
        sums.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
    }
    Ok(Products { sums: of_images, inputs: 1, outputs: channels, points: false })
}

impl Products {
    /// The derivatives by the taps of the kernels of [`PANEL`] outputs, `first` on,
    /// from the `input`-th channel that each reads.
    pub(super) fn taps(&self, target: Target, first: usize, input: usize, taps: &mut [[f32; PANEL]]) {
        let lanes = PANEL.min(self.outputs - first);
        let sums = &self.sums[input * self.outputs + first..];
        let pitch = self.inputs * self.outputs;
        if self.points {
            let taps = taps.try_into().expect("nine taps");
            return target.weight_sums(&mut WeightSums { sums, pitch, lanes, taps });
        }
        for (at, taps) in taps.iter_mut().enumerate() {
            let sums = &sums[at * pitch..];
            match sums.first_chunk() {
                Some(whole) if lanes == PANEL => *taps = *whole,
                _ => taps[..lanes].copy_from_slice(&sums[..lanes]),
            }
        }
    }

    pub(super) fn give(self, memory: &Memory) {
        memory.give(self.sums);
    }
}

/// A value's pixels in panels of channels: `[panels][n][height][width][PANEL]`, with zeros around each image.
struct Panels {
    values: Buffer,
    /// Images.
    n: usize,
    /// Floats of an image in a panel.
    image: usize,
    /// Pixels of a row.
    width: usize,
}

impl Panels {
    fn of(run: &Run, map: Map, padding: usize) -> Result<Panels, Error> {
        let Map { view, values } = map;
        let (height, width) = (view.size.height + 2 * padding, view.size.width + 2 * padding);
        let image = height * width * PANEL;
        let panels = view.columns().div_ceil(PANEL);
        let mut panelled = run.memory.take(panels * run.n * image)?;
        panelled.par_chunks_mut(image).take(panels * run.n).enumerate().for_each(|(at, to)| {
            let (panel, n) = (at / run.n, at % run.n);
            let lanes = PANEL.min(view.columns() - panel * PANEL);
            let source = &values[n * view.image() + panel * PANEL..];
            for (y, row) in to.chunks_exact_mut(width * PANEL).enumerate() {
                if y < padding || y >= padding + view.size.height {
                    row.fill(0.0);
                    continue;
                }
                let (left, rest) = row.split_at_mut(padding * PANEL);
                let (middle, right) = rest.split_at_mut(view.size.width * PANEL);
                left.fill(0.0);
                right.fill(0.0);
                let source = source[(y - padding) * view.row()..].chunks(view.pitch);
                for (to, from) in middle.as_chunks_mut::<PANEL>().0.iter_mut().zip(source) {
                    match from.first_chunk() {
                        Some(whole) if lanes == PANEL => *to = *whole,
                        _ => to[..lanes].copy_from_slice(&from[..lanes]),
                    }
                }
            }
        });
        Ok(Panels { values: panelled, n: run.n, image, width })
    }

    /// Floats of a panel.
    fn panel(&self) -> usize {
        self.n * self.image
    }
}
