//! Networks of tokens: all tokens of a batch are rows one after the other, without padding.
//!
//! Linear layers run over all rows at once, attention over those of each image or sentence. A row is computed
//! in the same way, whatever the other rows.

mod attention;
mod begin;
mod compile;
mod layer;
mod linear;
mod narrow;
mod place;
mod rowwise;
mod steps;

use std::time::Instant;

use networks::{Network, Shape};

use self::compile::Compiler;
pub(crate) use self::layer::Batch;
use self::layer::Layer;
pub(crate) use self::place::Each;
use self::place::{Place, View};
use crate::Error;
use crate::kernels::Buffer;
use crate::parameters::Source;
use crate::part::LayerTime;
use crate::strips::{Crew, even};

/// A network of tokens, ready to run.
pub(crate) struct Tokens {
    stages: Vec<Stage>,
    /// One for each slot, as long as the largest batch so far needed.
    buffers: Vec<Buffer>,
    /// Floats of each slot for a token.
    slots: Vec<usize>,
    output: Place,
}

/// A step and where its values are.
struct Stage {
    name: String,
    layer: Box<dyn Layer>,
    inputs: Vec<Place>,
    output: Place,
    seconds: f64,
}

/// Whether a network of these shapes has tokens.
pub(crate) fn has_tokens(shapes: &[Shape]) -> bool {
    shapes.iter().any(|shape| matches!(shape, Shape::Tokens { .. }))
}

impl Tokens {
    /// `shapes` are those of an image, or of the longest sentence; `pool`: the mean of the tokens at the end.
    ///
    /// Errors: a parameter is missing or of another shape, a layer has no form among tokens.
    pub(crate) fn new(
        network: &Network,
        shapes: &[Shape],
        source: &Source,
        pool: bool,
    ) -> Result<Tokens, Error> {
        let (steps, output) = steps::fold(network)?;
        let mut shapes = shapes.to_vec();
        let (mut steps, mut output) = narrow::narrowed(steps, output, &mut shapes);
        if pool && matches!(shapes[output], Shape::Tokens { .. }) {
            let (node, inputs, mean) = (output, vec![output], shapes.len());
            shapes.push(Shape::Vector { n: shapes[output].pooled() });
            steps.push(steps::Step { node, kind: steps::Kind::Mean, inputs, output: Some(mean), norm: None });
            output = mean;
        }
        let compiler = Compiler::new(network, source, shapes);
        let places = compiler.places(&steps, output)?;
        let at = |value: usize| places.of[value].expect("a value that is read or given has a place");
        let mut stages = Vec::new();
        for step in &steps {
            let views: Vec<View> = step.inputs.iter().map(|&value| at(value).view).collect();
            let first = step.output.or(step.norm).expect("a step gives a value");
            stages.push(Stage {
                name: network.nodes[step.node].name.clone(),
                layer: compiler.layer(step, &views, at(first).view)?,
                inputs: step.inputs.iter().map(|&value| at(value)).collect(),
                output: at(first),
                seconds: 0.0,
            });
        }
        let (slots, output) = (places.slots, at(output));
        let buffers = slots.iter().map(|_| Buffer::default()).collect();
        Ok(Tokens { stages, buffers, slots, output })
    }

    /// Numbers of an output row.
    pub(crate) fn width(&self) -> usize {
        self.output.view.width
    }

    /// Whether an output row is a token's or a sequence's.
    pub(crate) fn each(&self) -> Each {
        self.output.view.each
    }

    /// Floats of scratch memory that a thread needs.
    pub(crate) fn scratch(&self) -> usize {
        self.stages.iter().map(|stage| stage.layer.scratch()).max().unwrap_or(0)
    }

    /// Computes a batch; `out` has its rows without gaps.
    ///
    /// Errors: no memory.
    pub(crate) fn run(&mut self, crew: &Crew, batch: &Batch, out: &mut [f32]) -> Result<(), Error> {
        for (buffer, floats) in self.buffers.iter_mut().zip(&self.slots) {
            if buffer.len() < floats * batch.tokens() {
                *buffer = Buffer::default();
                *buffer = Buffer::zeroed(floats * batch.tokens())
                    .map_err(|source| Error::Memory { what: "activations", source })?;
            }
        }
        for stage in &mut self.stages {
            stage.run(crew, batch, &mut self.buffers);
        }
        let Place { slot, offset, view } = self.output;
        let rows = even(out.len() / view.width, crate::choice::TOKEN_ROWS, 1);
        crew.deal(
            out,
            rows,
            |rows| rows.len() * view.width,
            |rows, out, _| {
                let from = self.buffers[slot][offset + rows.start * view.pitch..].chunks(view.pitch);
                for (to, from) in out.chunks_exact_mut(view.width).zip(from) {
                    to.copy_from_slice(&from[..view.width]);
                }
            },
        );
        Ok(())
    }

    /// The time each step has taken so far.
    pub(crate) fn profile(&self) -> impl Iterator<Item = LayerTime> {
        self.stages.iter().map(|stage| LayerTime {
            name: stage.name.clone(),
            algorithm: stage.layer.algorithm(),
            seconds: stage.seconds,
        })
    }
}

impl Stage {
    fn run(&mut self, crew: &Crew, batch: &Batch, buffers: &mut [Buffer]) {
        let start = Instant::now();
        // No step writes into its input, so the slot of its output may be taken out during the step.
        let mut out = std::mem::take(&mut buffers[self.output.slot]);
        let values: Vec<&[f32]> =
            self.inputs.iter().map(|place| &buffers[place.slot][place.offset..]).collect();
        let rows = match self.output.view.each {
            Each::Token => batch.tokens(),
            Each::Sequence => batch.sequences(),
        };
        self.layer.run(crew, batch, &values, &mut out[..rows * self.output.view.pitch]);
        drop(values);
        buffers[self.output.slot] = out;
        self.seconds += start.elapsed().as_secs_f64();
    }
}
