//! A convolution with its batch norm, residual and activation.
//!
//! The derivative by its input is a convolution, too: of the turned kernels with `delta`, with zeros between
//! its pixels where the stride skipped some. A batch norm in evaluation mode is one factor and one summand a
//! channel, so it is folded into the kernels. With the folded weights w' = w·γ/σ and bias, the derivatives
//! are γ/σ·dw', Σδ for β, and for γ (⟨w, dw'⟩ + (b - μ)·Σδ)/σ, since Σ δ·(w∗x) = ⟨w, dw'⟩: no map of the norm
//! is needed.

use std::borrow::Cow;
use std::ops::Range;

use networks::{Conv, NodeId};
use rayon::prelude::*;

use super::joins::spread;
use super::layer::{Layer, Map, Ports, Run, Sink, Taken, begun};
use super::products::{Products, products};
use crate::Error;
use crate::fuse::{Clamp, IsDepthwise};
use crate::kernels::{Buffer, ChannelSums, Deposit, PANEL, Target};
use crate::layer::{self, Activation, Addend, View, Wiring};
use crate::parameters::{Affine, Kernels, Source, deviation};
use crate::plan::padded;
use crate::size::Size;

/// Inputs whose kernels' derivatives are added together.
const TOGETHER: usize = 16;

pub(super) struct Convolution {
    conv: Conv,
    ports: Ports,
    forward: Box<dyn layer::Layer>,
    through: Option<Through>,
    parameters: Places,
}

/// The nodes that its parameters are named after.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) node: NodeId,
    /// The batch norm behind it.
    pub(super) norm: Option<NodeId>,
}

/// The places of its parameters in the array of all.
pub(super) struct Places {
    names: Names,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
    /// Weight, bias, mean and variance.
    norm: Option<[Range<usize>; 4]>,
}

/// The convolution that leads `delta` back to the input.
struct Through {
    layer: Box<dyn layer::Layer>,
    /// Its input: `delta`, with zeros between its pixels if there is a stride.
    input: View,
    /// Its output, if the derivatives by the input are not computed in place, but have to be spread over them
    /// or added.
    spread: Option<View>,
}

impl Places {
    pub(super) fn of(conv: &Conv, names: Names, range: impl Fn(NodeId, &str) -> Range<usize>) -> Places {
        let Names { node, norm } = names;
        Places {
            names,
            weight: range(node, "weight"),
            bias: conv.bias.then(|| range(node, "bias")),
            norm: norm.map(|norm| {
                ["weight", "bias", "running_mean", "running_var"].map(|suffix| range(norm, suffix))
            }),
        }
    }
}

impl Convolution {
    pub(super) fn new(
        conv: &Conv,
        parameters: Places,
        ports: Ports,
        clamp: Clamp,
        threads: usize,
    ) -> Result<Convolution, Error> {
        let residual = ports.inputs.get(1).map(|view| Addend::Value(*view));
        let activation = Activation { clamp, residual };
        let wiring = Wiring { input: ports.inputs[0], output: ports.output, activation };
        let forward = layer::convolution(conv, zeros(conv), wiring, threads)?;
        let through = match ports.taken[0] {
            Taken::Not => None,
            taken => Some(Through::new(conv, &ports, taken == Taken::Added, threads)?),
        };
        Ok(Convolution { conv: conv.clone(), ports, forward, through, parameters })
    }

    /// The sum of `delta` over all pixels, for each channel.
    fn sums(&self, run: &Run, delta: &[f32]) -> Vec<f64> {
        let view = self.ports.output;
        let of_image = |image: usize| {
            let mut sums = vec![0f64; view.size.channels];
            run.crew.target.channel_sums(&mut ChannelSums {
                delta: &delta[image * view.image()..],
                pitch: view.pitch,
                pixels: view.size.pixels(),
                sums: &mut sums,
            });
            sums
        };
        let of_images: Vec<Vec<f64>> = (0..run.n).into_par_iter().map(of_image).collect();
        let mut sums = vec![0.0; view.size.channels];
        for of_image in of_images {
            sums.iter_mut().zip(of_image).for_each(|(sum, image)| *sum += image);
        }
        sums
    }

    /// Adds the derivatives by the weights, times `scales`; returns ⟨w, dw'⟩ for each output that has a
    /// scale.
    fn add_weights(
        &self,
        run: &Run,
        found: &Products,
        scales: Option<&[f64]>,
        gradient: &mut [f32],
    ) -> Vec<f64> {
        let (row, window) = (self.parameters.weight.len() / self.conv.outputs, self.conv.kernel.pow(2));
        let weights = &run.parameters[self.parameters.weight.clone()];
        let gradient = &mut gradient[self.parameters.weight.clone()];
        let mut inner = vec![0.0; scales.map_or(0, <[f64]>::len)];
        let blocks = gradient.par_chunks_mut(PANEL * row).zip(weights.par_chunks(PANEL * row));
        let of_blocks = blocks.enumerate().map(|(block, (gradient, weights))| {
            let (first, mut inner) = (block * PANEL, [0.0; PANEL]);
            let mut factors = [1.0; PANEL];
            if let Some(scales) = scales {
                factors.iter_mut().zip(&scales[first..]).for_each(|(factor, scale)| *factor = *scale as f32);
            }
            let mut taps = vec![[0.0; PANEL]; TOGETHER * window];
            for from in (0..row / window).step_by(TOGETHER) {
                let some = &mut taps[..TOGETHER.min(row / window - from) * window];
                for (at, taps) in some.chunks_exact_mut(window).enumerate() {
                    found.taps(run.crew.target, first, from + at, taps);
                }
                run.crew.target.deposit(&mut Deposit {
                    from: some,
                    scales: &factors,
                    rows: gradient.len() / row,
                    to: &mut gradient[from * window..],
                    pitch: row,
                    add: run.add,
                    inner: scales.map(|_| (&weights[from * window..], &mut inner)),
                });
            }
            inner
        });
        let of_blocks: Vec<[f64; PANEL]> = of_blocks.collect();
        inner.iter_mut().zip(of_blocks.iter().flatten()).for_each(|(inner, found)| *inner = *found);
        inner
    }
}

impl Layer for Convolution {
    fn load(&mut self, target: Target, source: &Source, gradients: bool) -> Result<(), Error> {
        let Conv { outputs, inputs, groups, kernel, bias, .. } = self.conv;
        let Names { node, norm } = self.parameters.names;
        let weight = source.get(node, "weight", &[outputs, inputs / groups, kernel, kernel])?;
        let (scales, bias) = source.folded(node, outputs, bias, norm)?;
        let kernels = Kernels::of(&self.conv, &weight).scaled(scales.as_deref());
        self.forward.load(target, &kernels, &bias);
        if let Some(through) = self.through.as_mut().filter(|_| gradients) {
            through.layer.load(target, &kernels.turned(), &vec![0.0; inputs]);
        }
        Ok(())
    }

    fn forward(&self, run: &Run, inputs: &[&[f32]], out: &mut [f32]) {
        self.forward.run(run.crew, run.n, inputs, out);
    }

    fn weights(
        &self,
        run: &Run,
        inputs: &[&[f32]],
        delta: &[f32],
        gradient: &mut [f32],
    ) -> Result<(), Error> {
        let sums = self.sums(run, delta);
        let source = |range: &Range<usize>| &run.parameters[range.clone()];
        let deviations = self.parameters.norm.as_ref().map(|[weight, _, _, variance]| {
            let deviations: Vec<f64> = source(variance).iter().map(|variance| deviation(*variance)).collect();
            let scales = source(weight).iter().zip(&deviations).map(|(w, d)| f64::from(*w) / d);
            (scales.collect::<Vec<f64>>(), deviations)
        });
        let scales = deviations.as_ref().map(|(scales, _)| scales.as_slice());
        let from = Map { view: self.ports.inputs[0], values: inputs[0] };
        let found = products(&self.conv, run, from, Map { view: self.ports.output, values: delta })?;
        let inner = self.add_weights(run, &found, scales, gradient);
        found.give(run.memory);
        let mut add = |range: &Range<usize>, of: &dyn Fn(usize) -> f64| {
            let gradient = begun(run, &mut gradient[range.clone()]);
            gradient.iter_mut().enumerate().for_each(|(at, sum)| *sum += of(at) as f32);
        };
        if let Some(bias) = &self.parameters.bias {
            add(bias, &|at| sums[at] * scales.map_or(1.0, |scales| scales[at]));
        }
        if let (Some([weight, bias, mean, _]), Some((_, deviations))) = (&self.parameters.norm, &deviations) {
            let own = |at: usize| self.parameters.bias.as_ref().map_or(0.0, |bias| source(bias)[at]);
            let moved = |at: usize| f64::from(own(at)) - f64::from(source(mean)[at]);
            add(weight, &|at| (inner[at] + moved(at) * sums[at]) / deviations[at]);
            add(bias, &|at| sums[at]);
        }
        Ok(())
    }

    fn input(
        &self,
        run: &Run,
        index: usize,
        _: &[&[f32]],
        delta: &[f32],
        into: &mut [f32],
    ) -> Result<(), Error> {
        let from = Map { view: self.ports.output, values: delta };
        let to = Sink { view: self.ports.inputs[index], into, taken: self.ports.taken[index] };
        match (&self.through, index) {
            (Some(through), 0) => through.run(run, self.conv.stride, from, to),
            _ => {
                spread(run, 1, 0, from, to);
                Ok(())
            }
        }
    }

    fn scratch(&self) -> usize {
        let through = self.through.as_ref().map_or(0, |through| through.layer.scratch());
        self.forward.scratch().max(through)
    }
}

impl Through {
    /// The way back through a convolution, to a value that has derivatives already if `added`.
    fn new(conv: &Conv, ports: &Ports, added: bool, threads: usize) -> Result<Through, Error> {
        let (to, from) = (ports.inputs[0], ports.output);
        let padding = conv.kernel - 1 - conv.padding;
        let turned =
            Conv { inputs: conv.outputs, outputs: conv.inputs, stride: 1, padding, bias: false, ..*conv };
        let own = |size: Size| View { size, pitch: padded(size.channels) };
        let (input, spread) = if conv.stride > 1 && conv.kernel > 1 {
            let length = |length: usize| length + 2 * conv.padding + 1 - conv.kernel;
            let (height, width) = (length(to.size.height), length(to.size.width));
            (own(Size { height, width, ..from.size }), None)
        } else {
            // With a stride and a kernel of 1, the pixels are independent: they are computed first and spread
            // then.
            (from, (conv.stride > 1).then(|| own(Size { channels: conv.inputs, ..from.size })))
        };
        // A depthwise convolution adds to nothing.
        let spread = spread.or_else(|| (added && conv.is_depthwise()).then(|| own(to.size)));
        let residual = (added && spread.is_none()).then_some(Addend::There);
        let activation = Activation { clamp: Clamp::NONE, residual };
        let wiring = Wiring { input, output: spread.unwrap_or(to), activation };
        let layer = layer::convolution(&turned, zeros(&turned), wiring, threads)?;
        Ok(Through { layer, input, spread })
    }

    fn run(&self, run: &Run, stride: usize, from: Map, to: Sink) -> Result<(), Error> {
        let mut apart = Buffer::default();
        let delta = if self.input.size == from.view.size {
            from.values
        } else {
            apart = run.memory.take(run.n * self.input.image())?;
            let wide = Sink { view: self.input, into: &mut apart, taken: Taken::First };
            spread(run, stride, 0, from, wide);
            &apart
        };
        match self.spread {
            None => self.layer.run(run.crew, run.n, &[delta], to.into),
            Some(small) => {
                let mut found = run.memory.take(run.n * small.image())?;
                self.layer.run(run.crew, run.n, &[delta], &mut found);
                let stride = if small.size == to.view.size { 1 } else { stride };
                spread(run, stride, 0, Map { view: small, values: &found }, to);
                run.memory.give(found);
            }
        }
        run.memory.give(apart);
        Ok(())
    }
}

/// The first weights, until some are loaded.
fn zeros(conv: &Conv) -> Affine<'static> {
    let weights = conv.outputs * conv.inputs / conv.groups * conv.kernel * conv.kernel;
    Affine { weight: Cow::Owned(vec![0.0; weights]), bias: vec![0.0; conv.outputs] }
}
