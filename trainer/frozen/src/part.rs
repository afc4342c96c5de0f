//! A section's layers with their buffers.

use std::time::Instant;

use networks::NodeId;

use crate::choice::{self, MOST_IMAGES};
use crate::error::Error;
use crate::fuse::Step;
use crate::kernels::Buffer;
use crate::layer::{self, Layer, View};
use crate::options::Options;
use crate::parameters::Source;
use crate::plan::{Place, Plan, padded, plan};
use crate::sections::{Section, Together, weights};
use crate::size::Size;
use crate::strips::Crew;

/// Layers that go through the same images one after the other.
pub(crate) struct Part {
    stages: Vec<Stage>,
    slots: Vec<Buffer>,
    output: (View, Place),
    /// Images that go through it together.
    pub(crate) batch: usize,
}

/// Where the time of a run went.
#[derive(Clone, Debug)]
pub struct LayerTime {
    /// torchvision's name of the layer, or its operation.
    pub name: String,
    /// The algorithm that was chosen for it.
    pub algorithm: &'static str,
    /// Seconds since the network was compiled.
    pub seconds: f64,
}

/// A layer and where its values are.
struct Stage {
    name: String,
    layer: Box<dyn Layer>,
    inputs: Vec<Place>,
    output: Place,
    seconds: f64,
}

impl Part {
    /// `output` is the value that it computes. How many images go through it together follows from the
    /// section, if the options do not say it.
    pub(crate) fn new(
        section: Section,
        source: &Source,
        sizes: &[Size],
        output: NodeId,
        options: &Options,
    ) -> Result<Part, Error> {
        let &Options { threads, batch, .. } = options;
        let Section { mut steps, input, together } = section;
        let pitch = if input == 0 { sizes[0].channels } else { padded(sizes[input].channels) };
        let kept = steps.iter().map(|step| weights(source.network, step, sizes)).sum();
        let plan = plan(&mut steps, sizes, (input, pitch), output);
        let stages = stages(&steps, source, &plan, sizes, threads)?;
        let batch = match (together, batch) {
            (Together::Most, _) => MOST_IMAGES,
            (_, Some(batch)) => batch,
            (Together::Few, None) => threads,
            (Together::Some, None) => choice::batch(plan.slots.iter().sum(), kept, threads),
        };
        let batch = batch.min(MOST_IMAGES);
        let slots = plan.slots.iter().map(|floats| Buffer::zeroed(floats * batch)).collect::<Result<_, _>>();
        let slots = slots.map_err(|source| Error::Memory { what: "activations", source })?;
        let place = plan.places[output].expect("the output has a place");
        Ok(Part { stages, slots, output: (View { size: sizes[output], pitch: place.pitch }, place), batch })
    }

    /// Floats of scratch memory that a thread needs.
    pub(crate) fn scratch(&self) -> usize {
        self.stages.iter().map(|stage| stage.layer.scratch()).max().unwrap_or(0)
    }

    /// The view of its output, as [`Part::run`] leaves it.
    pub(crate) fn view(&self) -> View {
        self.output.0
    }

    /// Computes `n` images, at most `batch`; returns the values of the output.
    pub(crate) fn run<'a>(&'a mut self, crew: &Crew, n: usize, input: &'a [f32]) -> &'a [f32] {
        for stage in &mut self.stages {
            stage.run(crew, n, input, &mut self.slots);
        }
        values(&self.slots, input, self.output.1)
    }

    /// The time each layer has taken so far.
    pub(crate) fn profile(&self) -> impl Iterator<Item = LayerTime> {
        self.stages.iter().map(|stage| LayerTime {
            name: stage.name.clone(),
            algorithm: stage.layer.algorithm(),
            seconds: stage.seconds,
        })
    }
}

/// The steps made ready to run, those with the most weights first: a layer's weights are in memory twice
/// while they are packed, so the largest are packed while memory is still empty.
fn stages(
    steps: &[Step],
    source: &Source,
    plan: &Plan,
    sizes: &[Size],
    threads: usize,
) -> Result<Vec<Stage>, Error> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(weights(source.network, &steps[at], sizes)));
    let mut made: Vec<Option<Stage>> = steps.iter().map(|_| None).collect();
    for at in order {
        made[at] = Some(stage(&steps[at], source, plan, sizes, threads)?);
    }
    Ok(made.into_iter().flatten().collect())
}

fn stage(step: &Step, source: &Source, plan: &Plan, sizes: &[Size], threads: usize) -> Result<Stage, Error> {
    let place = |value: usize| plan.places[value].expect("a value that is read or written has a place");
    let view = |value: usize| View { size: sizes[value], pitch: place(value).pitch };
    // A residual that the output overwrites is at its place already.
    let inputs = step.inputs.iter().copied().filter(|&value| place(value).slot != place(step.output).slot);
    let views: Vec<View> = inputs.clone().map(view).collect();
    let layer = layer::compile(step, source, &views, view(step.output), threads)?;
    Ok(Stage {
        name: source.network.nodes[step.node].name.clone(),
        layer,
        inputs: inputs.map(place).collect(),
        output: place(step.output),
        seconds: 0.0,
    })
}

impl Stage {
    fn run(&mut self, crew: &Crew, n: usize, input: &[f32], slots: &mut [Buffer]) {
        let start = Instant::now();
        let slot = self.output.slot.expect("only the part's input has no slot");
        // The plan never writes a value into a slot of an input, except for a residual's, which is not an
        // input here.
        let mut out = std::mem::take(&mut slots[slot]);
        let inputs: Vec<&[f32]> = self.inputs.iter().map(|&place| values(slots, input, place)).collect();
        self.layer.run(crew, n, &inputs, &mut out[self.output.offset..]);
        slots[slot] = out;
        self.seconds += start.elapsed().as_secs_f64();
    }
}

/// A value, from its first channel on.
fn values<'a>(slots: &'a [Buffer], input: &'a [f32], place: Place) -> &'a [f32] {
    match place.slot {
        Some(slot) => &slots[slot][place.offset..],
        None => input,
    }
}
