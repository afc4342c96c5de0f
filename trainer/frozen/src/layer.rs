//! The layers in the form in which they run: with fixed sizes, packed weights and known places.

mod depthwise;
mod direct;
mod elementwise;
mod linear;
mod pooled;
mod pooling;
mod separable;
mod winograd;

use crate::Error;
use crate::choice;
use crate::fuse::{Clamp, IsDepthwise, Kind, Step};
use crate::kernels::Target;
use crate::parameters::{Affine, Kernels, Source};
use crate::plan::padded;
use crate::size::Size;
use crate::strips::Crew;

pub(crate) use direct::pack;
pub(crate) use elementwise::{Concat, Flatten, Sum, rows_of_features};
pub(crate) use pooling::{AvgPool, MaxPool, average_window};

/// A step that is ready to run.
pub(crate) trait Layer: Send + Sync {
    /// Computes `n` images. The slices start at the values' first channels.
    fn run(&self, crew: &Crew, n: usize, inputs: &[&[f32]], out: &mut [f32]);

    /// Replaces the weights of a convolution.
    fn load(&mut self, _target: Target, _kernels: &Kernels, _bias: &[f32]) {}

    /// Floats of scratch memory that a thread needs.
    fn scratch(&self) -> usize {
        0
    }

    /// The algorithm, for profiles.
    fn algorithm(&self) -> &'static str;
}

/// A value as a layer sees it: `[n, height, width, pitch]`; its channels are the first of each pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) size: Size,
    pub(crate) pitch: usize,
}

impl View {
    /// Floats from an image's row to the next.
    pub(crate) fn row(&self) -> usize {
        self.size.width * self.pitch
    }

    /// Floats from an image to the next.
    pub(crate) fn image(&self) -> usize {
        self.size.height * self.row()
    }

    /// Channels in memory.
    pub(crate) fn columns(&self) -> usize {
        padded(self.size.channels)
    }
}

/// Makes a step ready to run. A residual at the place of the output is not among the inputs. The step's
/// weights are read, folded, transformed and packed here.
pub(crate) fn compile(
    step: &Step,
    source: &Source,
    inputs: &[View],
    output: View,
    threads: usize,
) -> Result<Box<dyn Layer>, Error> {
    let input = inputs[0];
    Ok(match &step.kind {
        Kind::Conv { conv, norm, residual, pool } => {
            let shape = [conv.outputs, conv.inputs / conv.groups, conv.kernel, conv.kernel];
            let affine = source.affine(step.node, &shape, conv.bias, *norm)?;
            let residual = residual.then(|| inputs.get(1).map_or(Addend::There, |view| Addend::Value(*view)));
            let activation = Activation { clamp: step.clamp, residual };
            let wiring = Wiring { input, output, activation };
            let map = convolved(conv, input.size);
            match *pool {
                Some(_) if choice::winograd_pays(conv, map) => {
                    Box::new(winograd::Winograd::new(conv, affine, wiring, true)?)
                }
                Some(window) => {
                    let map = View { size: map, pitch: padded(map.channels) };
                    let conv = direct::Direct::new(conv, affine, Wiring { output: map, ..wiring }, 1)?;
                    Box::new(pooled::Pooled::new(conv, pooling::MaxPool { window, input: map, output }))
                }
                None => convolution(conv, affine, wiring, threads)?,
            }
        }
        Kind::Separable(parts) => Box::new(separable::Separable::new(parts, source, inputs, output)?),
        &Kind::Linear { inputs, outputs } => {
            let affine = source.affine(step.node, &[outputs, inputs], true, None)?;
            Box::new(linear::Linear::new(affine, input, output, step.clamp)?)
        }
        Kind::Norm => {
            let (scale, shift) = source.norm(step.node, input.size.channels)?;
            Box::new(elementwise::Affine::new(&scale, &shift, input, output, step.clamp))
        }
        Kind::Activation => Box::new(elementwise::Affine::new(&[], &[], input, output, step.clamp)),
        &Kind::MaxPool(window) => Box::new(pooling::MaxPool { window, input, output }),
        Kind::AvgPool => Box::new(pooling::AvgPool { input, output }),
        Kind::Add => Box::new(elementwise::Sum { inputs: inputs.to_vec(), output, clamp: step.clamp }),
        Kind::Concat => Box::new(elementwise::Concat { inputs: inputs.to_vec(), output }),
        Kind::Flatten => Box::new(elementwise::Flatten { input, output }),
    })
}

/// A convolution in the form that suits its sizes.
pub(crate) fn convolution(
    conv: &networks::Conv,
    affine: Affine,
    wiring: Wiring,
    threads: usize,
) -> Result<Box<dyn Layer>, Error> {
    let Wiring { input, output, activation } = wiring;
    Ok(if conv.is_depthwise() && activation.residual.is_none() && input.pitch == input.columns() {
        Box::new(depthwise::Depthwise::new(conv, affine, input, output, activation.clamp)?)
    } else if choice::winograd_pays(conv, convolved(conv, input.size)) {
        Box::new(winograd::Winograd::new(conv, affine, wiring, false)?)
    } else {
        Box::new(direct::Direct::new(conv, affine, wiring, threads)?)
    })
}

/// An activation on its own.
pub(crate) fn affine(input: View, output: View, clamp: Clamp) -> impl Layer {
    elementwise::Affine::new(&[], &[], input, output, clamp)
}

/// The size of a convolution's output.
pub(crate) fn convolved(conv: &networks::Conv, input: Size) -> Size {
    let out = |length: usize| (length + 2 * conv.padding - conv.kernel) / conv.stride + 1;
    Size { channels: conv.outputs, height: out(input.height), width: out(input.width) }
}

/// How a convolution is wired into the network: the value that it reads, the one that it writes, and the
/// operations in between that are not its own.
#[derive(Clone, Copy)]
pub(crate) struct Wiring {
    pub(crate) input: View,
    pub(crate) output: View,
    pub(crate) activation: Activation,
}

/// The operations after a convolution's sum and bias.
#[derive(Clone, Copy)]
pub(crate) struct Activation {
    pub(crate) clamp: Clamp,
    /// The value that is added before the clamp.
    pub(crate) residual: Option<Addend>,
}

/// A value that a convolution adds to its sums.
#[derive(Clone, Copy)]
pub(crate) enum Addend {
    /// Its second input.
    Value(View),
    /// The value at the place of its output.
    There,
}

/// A vector with zeros up to a whole number of lanes.
pub(crate) fn lanes_of(values: &[f32]) -> Vec<f32> {
    let mut padded_values = values.to_vec();
    padded_values.resize(padded(values.len()), 0.0);
    padded_values
}

/// An error about memory for weights.
pub(crate) fn no_memory(source: std::io::Error) -> Error {
    Error::Memory { what: "weights", source }
}
