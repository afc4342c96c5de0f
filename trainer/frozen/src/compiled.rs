//! The compiled network: its layers in order, its buffers and its threads.

use std::time::Instant;

use networks::Network;
use rayon::ThreadPool;

use crate::choice;
use crate::error::Error;
use crate::fuse::{Size, Step, fuse};
use crate::kernels::{Buffer, Isa, Target};
use crate::layer::{self, Layer, View, rows_of_features};
use crate::parameters::{Parameters, Source};
use crate::plan::{Place, Plan, plan};
use crate::strips::Crew;

/// How a network is compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads of its own; they sleep while nothing runs.
    pub threads: usize,
    /// Mean over each map at the cut; a cut that gives a vector is left as it is.
    pub pool: bool,
    /// The instruction set; the best of this CPU if none.
    pub isa: Option<Isa>,
    /// Images that go through the network together; chosen from the sizes if none. It changes no result.
    pub batch: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { threads: 1, pool: false, isa: None, batch: None }
    }
}

/// A network up to its cut, ready to run on images of one size.
pub struct Compiled {
    image_size: (usize, usize),
    layers: Vec<Stage>,
    slots: Vec<Buffer>,
    output: (View, Place),
    pool: bool,
    batch: usize,
    crew: Crew,
    threads: ThreadPool,
}

/// A layer and where its values are.
struct Stage {
    name: String,
    layer: Box<dyn Layer>,
    inputs: Vec<Place>,
    output: Place,
    seconds: f64,
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

impl Compiled {
    /// Compiles a network, already cut, for images of `(height, width)`.
    ///
    /// Weights are asked for layer by layer and packed at once, so no more than one layer's are there twice.
    ///
    /// Errors: the image is too small, a parameter is missing or of another shape, the CPU lacks `options.isa`.
    pub fn new(
        network: &Network,
        image_size: (usize, usize),
        parameters: &dyn Parameters,
        options: Options,
    ) -> Result<Compiled, Error> {
        let isa = options.isa.unwrap_or_else(Isa::best);
        let target = Target::new(isa).ok_or(Error::Isa(isa))?;
        for (what, number) in [("threads", Some(options.threads)), ("batch", options.batch)] {
            if number == Some(0) {
                return Err(Error::Zero { what });
            }
        }
        let sizes: Vec<Size> =
            network.shapes(image_size.0, image_size.1)?.into_iter().map(Size::from).collect();
        let (mut steps, values) = fuse(network, &sizes);
        let output = values[network.output()];
        let plan = plan(&mut steps, &sizes, 0, output);
        let batch = options.batch.unwrap_or_else(|| choice::batch(plan.slots.iter().sum()));
        let batch = batch.min(choice::MOST_IMAGES);

        let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads);
        let threads = threads.thread_name(|at| format!("frozen-{at}")).build();
        let threads = threads.map_err(|source| Error::Threads { threads: options.threads, source })?;
        let source = Source { network, parameters };
        let layers = threads.install(|| stages(&steps, &source, &plan, &sizes, options.threads))?;
        let scratch = layers.iter().map(|stage| stage.layer.scratch()).max().unwrap_or(0);
        let buffers = |what, lengths: &mut dyn Iterator<Item = usize>| {
            let made: Result<Vec<Buffer>, _> = lengths.map(Buffer::zeroed).collect();
            made.map_err(|source| Error::Memory { what, source })
        };
        let scratch = buffers("scratch", &mut (0..options.threads).map(|_| scratch))?;
        let slots = buffers("activations", &mut plan.slots.iter().map(|floats| floats * batch))?;
        let place = plan.places[output].expect("the output has a place");
        Ok(Compiled {
            image_size,
            layers,
            slots,
            output: (View { size: sizes[output], pitch: place.pitch }, place),
            pool: options.pool,
            batch,
            crew: Crew {
                target,
                threads: options.threads,
                scratch: scratch.into_iter().map(Into::into).collect(),
            },
            threads,
        })
    }

    /// Numbers of an image's row.
    pub fn features(&self) -> usize {
        let size = self.output.0.size;
        if self.pool { size.channels } else { size.channels * size.pixels() }
    }

    /// Images that go through the network together: the best number to hand over is a multiple of it.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Computes the features of `n` images.
    ///
    /// Shapes: `images` `[n, height, width, 3]`, normalised; `out` `[n, features]`, a map in torchvision's order
    /// (channels, height, width).
    /// Errors: `images` or `out` has another length.
    pub fn run(&mut self, images: &[f32], n: usize, out: &mut [f32]) -> Result<(), Error> {
        let (height, width) = self.image_size;
        let (image, features) = (height * width * 3, self.features());
        if images.len() != n * image {
            return Err(Error::Images { images: n, height, width, expected: n * image, found: images.len() });
        }
        if out.len() != n * features {
            return Err(Error::Features { images: n, expected: n * features, found: out.len() });
        }
        let Compiled { layers, slots, crew, output, pool, .. } = self;
        let chunks = n.div_ceil(self.batch);
        self.threads.install(|| {
            for chunk in 0..chunks {
                let (from, to) = (n * chunk / chunks, n * (chunk + 1) / chunks);
                let images = &images[from * image..to * image];
                for stage in layers.iter_mut() {
                    stage.run(crew, to - from, images, slots);
                }
                let values = values(slots, images, output.1);
                rows_of_features(crew, output.0, *pool, values, &mut out[from * features..to * features]);
            }
        });
        Ok(())
    }

    /// The time each layer has taken so far.
    pub fn profile(&self) -> Vec<LayerTime> {
        let time = |stage: &Stage| LayerTime {
            name: stage.name.clone(),
            algorithm: stage.layer.algorithm(),
            seconds: stage.seconds,
        };
        self.layers.iter().map(time).collect()
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
    let weights = |step: &Step| -> usize {
        source.network.nodes[step.node]
            .parameters()
            .iter()
            .map(|parameter| parameter.shape.iter().product::<usize>())
            .sum()
    };
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(weights(&steps[at])));
    let mut made: Vec<Option<Stage>> = steps.iter().map(|_| None).collect();
    for at in order {
        made[at] = Some(stage(&steps[at], source, plan, sizes, threads)?);
    }
    Ok(made.into_iter().flatten().collect())
}

fn stage(step: &Step, source: &Source, plan: &Plan, sizes: &[Size], threads: usize) -> Result<Stage, Error> {
    let place = |value: usize| plan.places[value].expect("a value that is read or written has a place");
    let view = |value: usize| View { size: sizes[value], pitch: place(value).pitch };
    let inputs: Vec<View> = step.inputs.iter().map(|&value| view(value)).collect();
    let layer = layer::compile(step, source, &inputs, view(step.output), threads)?;
    Ok(Stage {
        name: source.network.nodes[step.node].name.clone(),
        layer,
        inputs: step.inputs.iter().map(|&value| place(value)).collect(),
        output: place(step.output),
        seconds: 0.0,
    })
}

impl Stage {
    fn run(&mut self, crew: &Crew, n: usize, images: &[f32], slots: &mut [Buffer]) {
        let start = Instant::now();
        let slot = self.output.slot.expect("only the images have no slot");
        // The plan never writes a value into a slot that one of the inputs holds.
        let mut out = std::mem::take(&mut slots[slot]);
        let inputs: Vec<&[f32]> = self.inputs.iter().map(|&place| values(slots, images, place)).collect();
        self.layer.run(crew, n, &inputs, &mut out[self.output.offset..]);
        slots[slot] = out;
        self.seconds += start.elapsed().as_secs_f64();
    }
}

/// A value, from its first channel on.
fn values<'a>(slots: &'a [Buffer], images: &'a [f32], place: Place) -> &'a [f32] {
    match place.slot {
        Some(slot) => &slots[slot][place.offset..],
        None => images,
    }
}
