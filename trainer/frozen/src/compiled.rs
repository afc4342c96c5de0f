//! The compiled network: its layers in order, its buffers and its threads.

use networks::Network;
use rayon::ThreadPool;

use crate::error::Error;
use crate::fuse::fuse;
use crate::kernels::{Buffer, Isa, Target};
use crate::layer::rows_of_features;
use crate::parameters::{Parameters, Source};
use crate::part::{LayerTime, Part};
use crate::sections::sections;
use crate::size::Size;
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
    parts: Vec<Part>,
    /// What each part but the first reads: as many images as it takes.
    between: Vec<Buffer>,
    pool: bool,
    crew: Crew,
    threads: ThreadPool,
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
        let (steps, values) = fuse(network, &sizes);
        let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads);
        let threads = threads.thread_name(|at| format!("frozen-{at}")).build();
        let threads = threads.map_err(|source| Error::Threads { threads: options.threads, source })?;
        let source = Source { network, parameters };
        // The last section first: its layers have the largest weights, which are there twice while they are packed.
        let (mut parts, mut output) = (Vec::new(), values[network.output()]);
        for section in sections(steps, network, &sizes).into_iter().rev() {
            let (input, how) = (section.input, (options.threads, options.batch));
            parts.push(threads.install(|| Part::new(section, &source, &sizes, output, how))?);
            output = input;
        }
        parts.reverse();
        let memory = |what| move |source| Error::Memory { what, source };
        let between = parts.windows(2).map(|pair| Buffer::zeroed(pair[0].view().image() * pair[1].batch));
        let between = between.collect::<Result<_, _>>().map_err(memory("activations"))?;
        let scratch = parts.iter().map(Part::scratch).max().unwrap_or(0);
        let scratch = (0..options.threads).map(|_| Buffer::zeroed(scratch)).collect::<Result<Vec<_>, _>>();
        let scratch = scratch.map_err(memory("scratch"))?.into_iter().map(Into::into).collect();
        let crew = Crew { target, threads: options.threads, scratch };
        Ok(Compiled { image_size, parts, between, pool: options.pool, crew, threads })
    }

    fn last(&self) -> &Part {
        self.parts.last().expect("a network has layers")
    }

    /// Numbers of an image's row.
    pub fn features(&self) -> usize {
        let size = self.last().view().size;
        if self.pool { size.channels } else { size.channels * size.pixels() }
    }

    /// Images that go together through each section, the first one's first.
    pub fn batches(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.batch).collect()
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
        let (most, view) = (self.last().batch, self.last().view());
        let Compiled { parts, between, crew, pool, .. } = self;
        self.threads.install(|| {
            for group in even(n, most, 1).filter(|group| !group.is_empty()) {
                let images = &images[group.start * image..group.end * image];
                let values = values(parts, between, crew, group.len(), images);
                let out = &mut out[group.start * features..group.end * features];
                rows_of_features(crew, view, *pool, values, out);
            }
        });
        Ok(())
    }

    /// The time each layer has taken so far.
    pub fn profile(&self) -> Vec<LayerTime> {
        self.parts.iter().flat_map(Part::profile).collect()
    }
}

/// What the last of `parts` gives for `n` images, no more than it takes together; those before it take fewer at a time.
fn values<'a>(
    parts: &'a mut [Part],
    between: &'a mut [Buffer],
    crew: &Crew,
    n: usize,
    images: &'a [f32],
) -> &'a [f32] {
    let (last, before) = parts.split_last_mut().expect("a part");
    let (Some(given), Some((read, between))) = (before.last(), between.split_last_mut()) else {
        return last.run(crew, n, images);
    };
    let (image, floats, most) = (images.len() / n, given.view().image(), given.batch);
    for chunk in even(n, most, 1) {
        let images = &images[chunk.start * image..chunk.end * image];
        let values = values(before, between, crew, chunk.len(), images);
        read[chunk.start * floats..chunk.end * floats].copy_from_slice(&values[..chunk.len() * floats]);
    }
    last.run(crew, n, read)
}
