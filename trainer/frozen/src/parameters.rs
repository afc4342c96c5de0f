//! The source of weights, and batch norms folded into them.

use std::borrow::Cow;
use std::ops::Range;

use networks::{Conv, Network, NodeId};

use crate::kernels::{Interleave, Scales, Target, scaled};
use crate::{BoxError, Error};

/// Parameters by torchvision name, f32, in torchvision's layout.
pub trait Parameters: Sync {
    /// The parameter of that name and shape.
    ///
    /// Each is asked for once, the largest first, and dropped as soon as it is packed.
    ///
    /// Errors: there is no parameter of that name, or it has another shape.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError>;
}

/// torchvision's epsilon in every batch norm that Baton knows.
const EPSILON: f64 = 1e-5;

/// The parameters of one network.
pub(crate) struct Source<'a> {
    pub(crate) network: &'a Network,
    pub(crate) parameters: &'a dyn Parameters,
}

/// A layer's weights `[outputs, …]` and bias `[outputs]`.
pub(crate) struct Affine<'a> {
    pub(crate) weight: Cow<'a, [f32]>,
    pub(crate) bias: Vec<f32>,
}

impl<'a> Source<'a> {
    /// The node's parameter `suffix`, of a length that fits `shape`.
    pub(crate) fn get(&self, node: NodeId, suffix: &str, shape: &[usize]) -> Result<Cow<'a, [f32]>, Error> {
        let network = self.network.name;
        let name = self.network.nodes[node].named(suffix);
        let (expected, shape) = (shape.iter().product(), shape.to_vec());
        match self.parameters.get(&name, &shape) {
            Err(source) => Err(Error::Parameter { network, name, source }),
            Ok(values) if values.len() == expected => Ok(values),
            Ok(values) => Err(Error::ParameterLength { network, name, shape, expected, found: values.len() }),
        }
    }

    /// Weights and bias of a layer, with the batch norm that follows folded into both.
    pub(crate) fn affine(
        &self,
        node: NodeId,
        shape: &[usize],
        bias: bool,
        norm: Option<NodeId>,
    ) -> Result<Affine<'a>, Error> {
        let outputs = shape[0];
        let mut weight = self.get(node, "weight", shape)?;
        let (scales, bias) = self.folded(node, outputs, bias, norm)?;
        if let Some(scales) = scales {
            let row = weight.len() / outputs;
            for (row, scale) in weight.to_mut().chunks_exact_mut(row).zip(&scales) {
                row.iter_mut().for_each(|w| *w = scaled(*w, *scale));
            }
        }
        Ok(Affine { weight, bias })
    }

    /// The factors of a layer's weights, output by output, for the batch norm that follows, if one does; and
    /// the bias with that norm folded into it.
    pub(crate) fn folded(
        &self,
        node: NodeId,
        outputs: usize,
        bias: bool,
        norm: Option<NodeId>,
    ) -> Result<(Option<Vec<f64>>, Vec<f32>), Error> {
        let mut bias =
            if bias { self.get(node, "bias", &[outputs])?.into_owned() } else { vec![0.0; outputs] };
        let Some(norm) = norm else { return Ok((None, bias)) };
        let (scales, shifts) = self.norm(norm, outputs)?;
        for ((bias, scale), shift) in bias.iter_mut().zip(&scales).zip(&shifts) {
            *bias = (*bias as f64 * scale + shift) as f32;
        }
        Ok((Some(scales), bias))
    }

    /// A batch norm as `x * scale + shift`, in f64 until it is folded.
    pub(crate) fn norm(&self, node: NodeId, channels: usize) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let get = |suffix| self.get(node, suffix, &[channels]);
        let (weight, bias) = (get("weight")?, get("bias")?);
        let (mean, variance) = (get("running_mean")?, get("running_var")?);
        let scale = |c: usize| weight[c] as f64 / deviation(variance[c]);
        let shift = |c: usize| bias[c] as f64 - mean[c] as f64 * scale(c);
        Ok(((0..channels).map(scale).collect(), (0..channels).map(shift).collect()))
    }
}

/// A batch norm's deviation of a channel.
pub(crate) fn deviation(variance: f32) -> f64 {
    (f64::from(variance) + EPSILON).sqrt()
}

/// A convolution's kernels in torchvision's layout, as they are, or turned around for the gradient by its
/// inputs.
#[derive(Clone, Copy)]
pub(crate) struct Kernels<'a> {
    weight: &'a [f32],
    /// Channels that are read and written, turned or not.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Taps of a kernel.
    pub(crate) window: usize,
    pub(crate) groups: usize,
    turned: bool,
    /// The factor of each output's weights; of the outputs that are read, if turned.
    scales: Option<&'a [f64]>,
}

impl<'a> Kernels<'a> {
    pub(crate) fn of(conv: &Conv, weight: &'a [f32]) -> Kernels<'a> {
        let &Conv { inputs, outputs, kernel, groups, .. } = conv;
        Kernels { weight, inputs, outputs, window: kernel * kernel, groups, turned: false, scales: None }
    }

    /// The same with a batch norm folded into them.
    pub(crate) fn scaled(self, scales: Option<&'a [f64]>) -> Kernels<'a> {
        Kernels { scales, ..self }
    }

    /// The kernels that lead outputs back to inputs: of one group, or a group for each channel.
    pub(crate) fn turned(self) -> Kernels<'a> {
        Kernels { inputs: self.outputs, outputs: self.inputs, turned: !self.turned, ..self }
    }

    /// The first channel that an output reads, and how many.
    pub(crate) fn reads(&self, output: usize) -> (usize, usize) {
        let inputs = self.inputs / self.groups;
        (output / (self.outputs / self.groups) * inputs, inputs)
    }

    /// Tap `at` of the kernel from the `input`-th channel that `output` reads.
    #[inline]
    pub(crate) fn tap(&self, output: usize, input: usize, at: usize) -> f32 {
        let Lie { outputs, inputs } = self.lie();
        let at = if self.turned { self.window - 1 - at } else { at };
        let weight = self.weight[output * outputs + input * inputs + at];
        let from = if self.turned && self.groups == 1 { input } else { output };
        self.scales.map_or(weight, |scales| scaled(weight, scales[from]))
    }

    /// The kernels of some outputs, no more than a panel has, side by side: tap t from the i-th of `inputs`
    /// goes to `to[(t * inputs.len() + i) * to_pitch..]`. Of one group.
    pub(crate) fn interleave(
        &self,
        target: Target,
        outputs: &Range<usize>,
        inputs: Range<usize>,
        (to, to_pitch): (&mut [f32], usize),
    ) {
        let lie = self.lie();
        target.interleave(&mut Interleave {
            from: &self.weight[outputs.start * lie.outputs + inputs.start * lie.inputs..],
            pitch: lie.outputs,
            step: lie.inputs,
            taps: self.window,
            turned: self.turned,
            rows: outputs.len(),
            count: inputs.len(),
            scales: match self.scales {
                None => Scales::None,
                Some(scales) if self.turned => Scales::Values(&scales[inputs]),
                Some(scales) => Scales::Rows(&scales[outputs.clone()]),
            },
            to,
            to_pitch,
        });
    }

    fn lie(&self) -> Lie {
        let (inputs, window) = (self.inputs / self.groups, self.window);
        // A channel with its own group has no other's kernels beside it.
        match self.turned && self.groups == 1 {
            false => Lie { outputs: inputs * window, inputs: window },
            true => Lie { outputs: window, inputs: self.outputs * window },
        }
    }
}

/// The distance in floats from a kernel to the next output's, and to the next input's.
struct Lie {
    outputs: usize,
    inputs: usize,
}
