//! The compiled network: its layers in order, its buffers and its threads.

use networks::Network;
use rayon::ThreadPool;

use crate::choice;
use crate::error::Error;
use crate::fuse::{Size, fuse};
use crate::kernels::{Buffer, Isa, Target};
use crate::layer::{View, rows_of_features};
use crate::parameters::{Parameters, Source};
use crate::part::{Part, fully_connected, weights};
use crate::plan::padded;
use crate::strips::{Crew, even};

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
    maps: Part,
    /// The fully connected layers. Almost all of their time is reading weights, so they take as many images at once as
    /// there are, and not the few whose maps stay in the cache.
    dense: Option<Part>,
    /// What these read, `[MOST_IMAGES, pitch]`.
    between: Buffer,
    pool: bool,
    crew: Crew,
    threads: ThreadPool,
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
        let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads);
        let threads = threads.thread_name(|at| format!("frozen-{at}")).build();
        let threads = threads.map_err(|source| Error::Threads { threads: options.threads, source })?;
        let source = Source { network, parameters };
        let end = fully_connected(&steps).filter(|(_, input)| *input != 0);
        let dense = end.map(|(first, input)| (steps.split_off(first), input));
        let all = |_| choice::MOST_IMAGES;
        let weights = steps.iter().map(|step| weights(network, step, &sizes)).sum();
        let some =
            |per_image| options.batch.unwrap_or_else(|| choice::batch(per_image, weights, options.threads));
        let images = (0, sizes[0].channels);
        let given = dense.as_ref().map_or(output, |(_, input)| *input);
        // The fully connected layers first: theirs are the largest weights, which are there twice while they are packed.
        let dense = dense.map(|(steps, input)| {
            let input = (input, padded(sizes[input].channels));
            threads.install(|| Part::new(steps, &source, &sizes, input, output, (options.threads, all)))
        });
        let dense = dense.transpose()?;
        let maps =
            threads.install(|| Part::new(steps, &source, &sizes, images, given, (options.threads, some)))?;
        let memory = |what| move |source| Error::Memory { what, source };
        let between = if dense.is_some() { padded(sizes[given].channels) * choice::MOST_IMAGES } else { 0 };
        let between = Buffer::zeroed(between).map_err(memory("activations"))?;
        let scratch = dense.as_ref().map_or(0, Part::scratch).max(maps.scratch());
        let scratch = (0..options.threads).map(|_| Buffer::zeroed(scratch)).collect::<Result<Vec<_>, _>>();
        let scratch = scratch.map_err(memory("scratch"))?.into_iter().map(Into::into).collect();
        let crew = Crew { target, threads: options.threads, scratch };
        Ok(Compiled { image_size, maps, dense, between, pool: options.pool, crew, threads })
    }

    fn output(&self) -> View {
        self.dense.as_ref().unwrap_or(&self.maps).view()
    }

    /// Numbers of an image's row.
    pub fn features(&self) -> usize {
        let size = self.output().size;
        if self.pool { size.channels } else { size.channels * size.pixels() }
    }

    /// Images that go through the network together: the best number to hand over is a multiple of it.
    pub fn batch(&self) -> usize {
        self.maps.batch
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
        let Compiled { maps, dense, between, crew, pool, .. } = self;
        let (map, columns) = (maps.view(), maps.view().columns());
        self.threads.install(|| {
            for group in even(n, choice::MOST_IMAGES, 1).filter(|group| !group.is_empty()) {
                let out = &mut out[group.start * features..group.end * features];
                for chunk in even(group.len(), maps.batch, 1) {
                    let at = group.start + chunk.start..group.start + chunk.end;
                    let values = maps.run(crew, chunk.len(), &images[at.start * image..at.end * image]);
                    if dense.is_none() {
                        let out = &mut out[chunk.start * features..chunk.end * features];
                        rows_of_features(crew, map, *pool, values, out);
                        continue;
                    }
                    let rows = between.chunks_exact_mut(columns).skip(chunk.start).take(chunk.len());
                    rows.zip(values.chunks(map.pitch))
                        .for_each(|(row, values)| row.copy_from_slice(&values[..columns]));
                }
                if let Some(dense) = dense {
                    let view = dense.view();
                    rows_of_features(crew, view, *pool, dense.run(crew, group.len(), between), out);
                }
            }
        });
        Ok(())
    }

    /// The time each layer has taken so far.
    pub fn profile(&self) -> Vec<LayerTime> {
        self.maps.profile().chain(self.dense.iter().flat_map(Part::profile)).collect()
    }
}
