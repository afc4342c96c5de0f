//! Steps made ready to run: parameters read, scales folded into weights, tables resized.

use networks::{Network, NodeId, Op, Positions, Shape};

use super::attention::Attention;
use super::begin::{Embed, Patches};
use super::layer::{Layer, Norm};
use super::linear::{After, Dense, Linear, row_of};
use super::place::{Each, Places, View, places};
use super::rowwise::{Change, End, Rowwise};
use super::steps::{self, Kind, Step};
use crate::Error;
use crate::kernels::PANEL;
use crate::layer::{no_memory, pack};
use crate::parameters::{Kernels, Source};
use crate::resize::resized;

/// The network and its parameters, from which steps are compiled.
pub(super) struct Compiler<'a> {
    network: &'a Network,
    source: &'a Source<'a>,
    shapes: Vec<Shape>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(network: &'a Network, source: &'a Source<'a>, shapes: Vec<Shape>) -> Compiler<'a> {
        Compiler { network, source, shapes }
    }

    /// The places of the steps' values.
    ///
    /// Errors: rows that do not fill whole panels where they must.
    pub(super) fn places(&self, steps: &[Step], output: NodeId) -> Result<Places, Error> {
        for step in steps {
            let (width, ..) = self.width(step);
            let odd = |width: usize| !width.is_multiple_of(PANEL);
            let wrong = match &step.kind {
                Kind::Attention { heads, .. } => odd(width / heads),
                Kind::Linear(linear) => {
                    (step.norm.is_some() || linear.gelu.is_some() || linear.adds) && odd(width)
                }
                _ => odd(width),
            };
            if wrong {
                let layer = self.network.nodes[step.node].name.clone();
                return Err(Error::Panels { network: self.network.name, layer, width, panel: PANEL });
            }
        }
        Ok(places(steps, self.shapes.len(), output, |step| self.width(step)))
    }

    /// The width of a step's output, the width in memory, and whether a row is a token's or a sequence's.
    fn width(&self, step: &Step) -> (usize, usize, Each) {
        let shape = self.shapes[step.output.or(step.norm).expect("a step gives a value")];
        let side_by_side = match &step.kind {
            Kind::Linear(linear) => linear.layers.len(),
            _ => 1,
        };
        let each = if matches!(shape, Shape::Tokens { .. }) { Each::Token } else { Each::Sequence };
        let width = shape.pooled() * side_by_side;
        (width, row_of(width), each)
    }

    /// A step ready to run; `output` is the first of the values that it computes.
    ///
    /// Errors: as [`Source::get`]; no memory.
    pub(super) fn layer(&self, step: &Step, inputs: &[View], output: View) -> Result<Box<dyn Layer>, Error> {
        let rowwise = |change| Box::new(Rowwise { change, inputs: inputs.to_vec(), output });
        Ok(match &step.kind {
            Kind::Embed { words, added } => Box::new(self.embed(*words, added, output)?),
            Kind::Patches { .. } => Box::new(self.patches(step, output)?),
            Kind::Linear(linear) => {
                let dense = self.dense(linear, inputs[0].width)?;
                let to = if step.output.is_some() { row_of(output.width) } else { 0 };
                let norm = step.norm.map(|norm| self.norm(norm, to)).transpose()?;
                let addend = linear.adds.then(|| inputs[1]);
                Box::new(Linear::new(dense, inputs[0], output, After { gelu: linear.gelu, addend, norm })?)
            }
            &Kind::Attention { only, .. } => {
                let most = self.shapes.iter().map(|shape| match shape {
                    Shape::Tokens { count, .. } => *count,
                    _ => 0,
                });
                let most = most.max().unwrap_or(0);
                Box::new(Attention { input: inputs[0], output, only, most })
            }
            Kind::Norm => rowwise(Change::Norm(self.norm(step.node, 0)?)),
            &Kind::Gelu(form) => rowwise(Change::Gelu(form)),
            Kind::Scale => rowwise(Change::Scale(self.only(step.node)?)),
            Kind::Add => rowwise(Change::Add),
            &Kind::Token { at } => Box::new(End { token: Some(at), input: inputs[0], output }),
            Kind::Mean => Box::new(End { token: None, input: inputs[0], output }),
        })
    }

    /// A node's only parameter.
    fn only(&self, node: NodeId) -> Result<Vec<f32>, Error> {
        let parameters = self.network.nodes[node].parameters();
        Ok(self.source.get(node, "weight", &parameters[0].shape)?.into_owned())
    }

    fn norm(&self, node: NodeId, to: usize) -> Result<Norm, Error> {
        let Op::LayerNorm { width, epsilon } = self.network.nodes[node].op else {
            unreachable!("a step's norm is one")
        };
        let get = |suffix| Ok::<_, Error>(self.source.get(node, suffix, &[width])?.into_owned());
        Ok(Norm { weight: get("weight")?, bias: get("bias")?, epsilon, to })
    }

    /// The weights of several layers one after the other, with the factor of each output.
    fn dense(&self, linear: &steps::Linear, inputs: usize) -> Result<Dense, Error> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for &layer in &linear.layers {
            let Op::Linear { outputs, .. } = self.network.nodes[layer].op else {
                unreachable!("a linear step has linear layers")
            };
            weight.extend_from_slice(&self.source.get(layer, "weight", &[outputs, inputs])?);
            bias.extend_from_slice(&self.source.get(layer, "bias", &[outputs])?);
        }
        let scales = match (linear.scale, linear.heads) {
            (Some(scale), _) => Some(self.only(scale)?.into_iter().map(f64::from).collect()),
            (None, Some(heads)) => {
                let width = bias.len() / 3;
                let queries = std::f64::consts::LOG2_E / ((width / heads) as f64).sqrt();
                Some((0..bias.len()).map(|output| if output < width { queries } else { 1.0 }).collect())
            }
            (None, None) => None,
        };
        Ok(Dense { weight, bias, scales })
    }

    fn embed(&self, words: NodeId, added: &[NodeId], output: View) -> Result<Embed, Error> {
        let words = self.only(words)?;
        let (mut positions, mut segments) = (Vec::new(), Vec::new());
        for &node in added {
            match self.network.nodes[node].op {
                Op::Positions(Positions::Text { first, width, .. }) => {
                    positions = self.only(node)?.split_off(first * width);
                }
                Op::Segments { .. } => segments = self.only(node)?,
                ref op => {
                    return Err(Error::NotOfTokens { network: self.network.name, layer: format!("{op:?}") });
                }
            }
        }
        Ok(Embed { words, positions, segments, output })
    }

    fn patches(&self, step: &Step, output: View) -> Result<Patches, Error> {
        let Kind::Patches { conv, class, positions } = &step.kind else {
            unreachable!("a step of patches is one")
        };
        let Shape::Map { height, width: wide, .. } = self.shapes[0] else {
            unreachable!("patches are an image's")
        };
        let shape = [conv.outputs, conv.inputs, conv.kernel, conv.kernel];
        let weight = self.source.get(step.node, "weight", &shape)?;
        let mut bias = vec![0.0; conv.outputs];
        if conv.bias {
            bias.copy_from_slice(&self.source.get(step.node, "bias", &[conv.outputs])?);
        }
        let weights = pack(&Kernels::of(conv, &weight)).map_err(no_memory)?;
        let mut class = class.map(|class| self.only(class)).transpose()?;
        let mut added = Vec::new();
        if let Some(node) = *positions {
            let Op::Positions(Positions::Grid { side, width, resize }) = self.network.nodes[node].op else {
                return Err(Error::NotOfTokens { network: self.network.name, layer: "positions".to_owned() });
            };
            let mut table = self.only(node)?;
            let grid = table.split_off(width);
            let to = (height / conv.kernel, wide / conv.kernel);
            added = resized(&grid, (side, side), to, resize);
            class.iter_mut().for_each(|class| class.iter_mut().zip(&table).for_each(|(sum, x)| *sum += x));
        }
        let (conv, image) = (conv.clone(), (height, wide));
        Ok(Patches { conv, image, weights, bias, class, positions: added, output })
    }
}
