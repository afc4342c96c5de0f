//! Layers for training: the layers of the frozen pass forward, and their gradients.
//!
//! Sums are always cut by the layers' sizes alone, so the number of threads does not change a result. A batch
//! norm stays in evaluation mode: its statistics are constants. Dropout is not applied.

mod compile;
mod convolution;
mod joins;
mod layer;
mod linear;
mod memory;
mod passes;
mod plan;
mod pooling;
mod products;
mod winograd;

use std::ops::Range;

use networks::{Network, NodeId, Shape};
use rayon::ThreadPool;
use rayon::prelude::*;

use self::layer::{Layer, Layout, Ports, Values};
use self::memory::Memory;
pub use self::passes::Loaded;
use self::plan::{Plan, Planned};
use crate::fuse::{Clamp, fold};
use crate::kernels::{Buffer, CutOff, Isa, Target};
use crate::parameters::Source;
use crate::size::Size;
use crate::strips::Crew;
use crate::{Error, choice};

/// How layers are trained.
#[derive(Clone, Debug)]
pub struct TrainedOptions {
    /// Threads of its own; they sleep while nothing runs.
    pub threads: usize,
    /// Mean over each map at the end; an output that is a vector stays as it is.
    pub pool: bool,
    /// The instruction set; the best of this CPU if none.
    pub isa: Option<Isa>,
    /// Values that may be kept for gradients at once. They decide how many images go together, which shows in
    /// the last bits of a sum. If one image alone has more, some values are computed again, which changes no
    /// bit.
    pub values: usize,
}

impl Default for TrainedOptions {
    fn default() -> TrainedOptions {
        TrainedOptions { threads: 1, pool: false, isa: None, values: 64 << 20 }
    }
}

/// Layers between two points of a network, with the values of the last pass through them.
pub struct Trained {
    network: Network,
    layout: Layout,
    plan: Plan,
    layers: Vec<Box<dyn Layer>>,
    pool: bool,
    crew: Crew,
    threads: ThreadPool,
    memory: Memory,
    pass: Pass,
}

/// The values of a pass, and the derivatives of the loss by them.
#[derive(Default)]
struct Pass {
    n: usize,
    values: Vec<Option<Buffer>>,
    deltas: Vec<Option<Buffer>>,
}

impl std::fmt::Debug for Trained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trained").field("network", &self.network.name).finish_non_exhaustive()
    }
}

impl Trained {
    /// The layers of `network`, which reads maps of `(height, width)`.
    ///
    /// Errors: the maps are too small, the CPU lacks `options.isa`, a layer has no gradient here.
    pub fn new(network: &Network, map: (usize, usize), options: &TrainedOptions) -> Result<Trained, Error> {
        let isa = options.isa.unwrap_or_else(Isa::best);
        let target = Target::new(isa).ok_or(Error::Isa(isa))?;
        if options.threads == 0 {
            return Err(Error::Zero { what: "threads" });
        }
        let shapes = network.shapes(map.0, map.1)?;
        if let Some(at) = shapes.iter().position(|shape| matches!(shape, Shape::Tokens { .. })) {
            return Err(Error::NoGradient { layer: format!("{:?}", network.nodes[at].op) });
        }
        let sizes: Vec<Size> = shapes.into_iter().map(Size::from).collect();
        let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads);
        let threads = threads.thread_name(|at| format!("trained-{at}")).build();
        let threads = threads.map_err(|source| Error::Threads { threads: options.threads, source })?;
        let (steps, values) = fold(network, &sizes, false);
        let plan = Plan::new(steps, sizes, values[network.output()], options.values);
        let layout = Layout::of(network);
        let made = plan.steps.iter().map(|Planned { step, taken, .. }| {
            let views = |value: &NodeId| plan.view(*value);
            let ports = Ports {
                inputs: step.inputs.iter().map(views).collect(),
                taken: taken.clone(),
                output: plan.view(step.output),
            };
            compile::compile(step, network, &layout, ports, options.threads)
        });
        let layers = threads.install(|| made.collect::<Result<Vec<_>, _>>())?;
        let scratch = layers.iter().map(|layer| layer.scratch()).max().unwrap_or(0);
        let crew = Crew { target, threads: options.threads, scratch: Vec::new() }.with_scratch(scratch)?;
        Ok(Trained {
            network: network.clone(),
            layout,
            plan,
            layers,
            pool: options.pool,
            crew,
            threads,
            memory: Memory::default(),
            pass: Pass::default(),
        })
    }

    /// The most images that go together.
    pub fn images(&self) -> usize {
        choice::trained_images(self.plan.values, self.layout.len).min(self.plan.images)
    }

    /// Numbers of an output row.
    pub fn outputs(&self) -> usize {
        let size = self.plan.view(self.plan.output).size;
        if self.pool { size.channels } else { size.channels * size.pixels() }
    }

    /// Packs the parameters, in the order of [`Network::parameters`];
    /// without `gradients` for forward passes alone.
    ///
    /// Errors: there are more or fewer than the network has; no memory.
    pub fn load<'a>(&'a mut self, parameters: &'a [f32], gradients: bool) -> Result<Loaded<'a>, Error> {
        self.right("parameters", self.layout.len, parameters.len())?;
        let Trained { network, layout, layers, threads, crew, .. } = self;
        let values = Values { layout, values: parameters };
        let source = Source { network, parameters: &values };
        threads.install(|| {
            layers.par_iter_mut().try_for_each(|layer| layer.load(crew.target, &source, gradients))
        })?;
        Ok(Loaded { layers: self, parameters })
    }

    /// Its threads.
    pub fn threads(&self) -> &ThreadPool {
        &self.threads
    }

    fn right(&self, what: &'static str, expected: usize, found: usize) -> Result<(), Error> {
        if expected == found { Ok(()) } else { Err(Error::Numbers { what, expected, found }) }
    }

    /// Forgets the pass before.
    fn empty(&mut self) {
        for buffer in self.pass.values.drain(..).chain(self.pass.deltas.drain(..)).flatten() {
            self.memory.give(buffer);
        }
        self.pass.n = 0;
        let nodes = self.network.nodes.len();
        self.pass.values.resize_with(nodes, || None);
        self.pass.deltas.resize_with(nodes, || None);
    }

    /// A value, from its first channel on.
    fn values(&self, value: NodeId) -> &[f32] {
        let (home, first) = self.plan.home(value);
        &self.pass.values[home].as_ref().expect("computed before it is read")[first..]
    }

    /// Forgets the values of some steps that no later one reads.
    fn forget(&mut self, steps: Range<usize>) {
        for value in self.plan.done(steps) {
            if let Some(buffer) = self.pass.values[value].take() {
                self.memory.give(buffer);
            }
        }
    }

    /// Sets the derivatives by a value to 0 where its clamp has cut it off.
    fn cut_off(&self, value: NodeId, clamp: Clamp, delta: &mut [f32]) {
        let (view, (_, first)) = (self.plan.view(value), self.plan.home(value));
        let values = self.values(value);
        let images = delta.par_chunks_mut(view.image()).take(self.pass.n).enumerate();
        images.for_each(|(image, delta)| {
            self.crew.target.cut_off(&mut CutOff {
                values: &values[image * view.image()..],
                delta: &mut delta[first..],
                pitch: view.pitch,
                pixels: view.size.pixels(),
                channels: view.size.channels,
                low: clamp.low,
                high: clamp.high,
            });
        });
    }
}
