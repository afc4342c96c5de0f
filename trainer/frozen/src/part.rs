//! A run of layers with their buffers: the network's maps, or the fully connected layers behind them.

use std::time::Instant;

use networks::{Network, NodeId, Parameter};

use crate::choice::{MOST_IMAGES, winograd_pays};
use crate::compiled::LayerTime;
use crate::error::Error;
use crate::fuse::{Kind, Size, Step};
use crate::kernels::{Buffer, POINTS};
use crate::layer::{self, Layer, View, convolved};
use crate::parameters::Source;
use crate::plan::{Place, Plan, plan};
use crate::strips::Crew;

/// Layers that go through the same images one after the other.
pub(crate) struct Part {
    stages: Vec<Stage>,
    slots: Vec<Buffer>,
    output: (View, Place),
    /// Images that go through it together.
    pub(crate) batch: usize,
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
    /// `input` is the value that it reads, and floats from an image's to the next; `batch` is told the floats of an
    /// image's activations.
    pub(crate) fn new(
        mut steps: Vec<Step>,
        source: &Source,
        sizes: &[Size],
        input: (NodeId, usize),
        output: NodeId,
        (threads, batch): (usize, impl Fn(usize) -> usize),
    ) -> Result<Part, Error> {
        let plan = plan(&mut steps, sizes, input, output);
        let stages = stages(&steps, source, &plan, sizes, threads)?;
        let batch = batch(plan.slots.iter().sum()).min(MOST_IMAGES);
        let slots = plan.slots.iter().map(|floats| Buffer::zeroed(floats * batch)).collect::<Result<_, _>>();
        let slots = slots.map_err(|source| Error::Memory { what: "activations", source })?;
        let place = plan.places[output].expect("the output has a place");
        Ok(Part { stages, slots, output: (View { size: sizes[output], pitch: place.pitch }, place), batch })
    }

    /// Floats of scratch memory that a thread needs.
    pub(crate) fn scratch(&self) -> usize {
        self.stages.iter().map(|stage| stage.layer.scratch()).max().unwrap_or(0)
    }

    /// What it gives, as [`Part::run`] leaves it.
    pub(crate) fn view(&self) -> View {
        self.output.0
    }

    /// Computes `n` images, no more than `batch`; gives the values of the output.
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

/// Where the fully connected layers begin behind which no map is read any more, and the value that they read.
pub(crate) fn fully_connected(steps: &[Step]) -> Option<(usize, NodeId)> {
    let dense = |step: &Step| matches!(step.kind, Kind::Linear { .. } | Kind::Activation);
    let first = steps.iter().rposition(|step| !dense(step))? + 1;
    let input = steps.get(first).filter(|step| matches!(step.kind, Kind::Linear { .. }))?.inputs[0];
    let reads_past = |step: &Step| {
        let own = |value| value == input || steps[first..].iter().any(|other| other.output == value);
        !step.inputs.iter().all(|&value| own(value))
    };
    (!steps[first..].iter().any(reads_past)).then_some((first, input))
}

/// Floats that a step keeps for its weights, about.
pub(crate) fn weights(network: &Network, step: &Step, sizes: &[Size]) -> usize {
    let floats = |parameter: Parameter| parameter.shape.iter().product::<usize>();
    let nodes = step.nodes().into_iter();
    let given: usize = nodes.flat_map(|node| network.nodes[node].parameters()).map(floats).sum();
    match &step.kind {
        Kind::Conv { conv, .. } if winograd_pays(conv, convolved(conv, sizes[step.inputs[0]])) => {
            given * POINTS * POINTS / (conv.kernel * conv.kernel)
        }
        _ => given,
    }
}

/// The steps made ready to run, those with the most weights first: a layer's weights are in memory twice while they
/// are packed, so the largest come when nothing else is there yet.
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
    // A residual that the output is written over is there already.
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
        // The plan never writes a value into a slot that holds an input, but for a residual's, which is none here.
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
