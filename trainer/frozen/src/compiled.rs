//! The compiled network: its layers in order, its buffers and its threads.

use networks::{Network, Shape};
use rayon::ThreadPool;

use crate::choice;
use crate::error::Error;
use crate::fuse::fuse;
use crate::kernels::{Buffer, Isa, Target};
use crate::layer::rows_of_features;
use crate::options::Options;
use crate::parameters::{Parameters, Source};
use crate::part::{LayerTime, Part};
use crate::sections::sections;
use crate::size::Size;
use crate::strips::{Crew, even};
use crate::tokens::{Batch, Each, Tokens, has_tokens};

/// A network up to its cut, ready to run on images of one size.
pub struct Compiled {
    image_size: (usize, usize),
    pass: Pass,
    pool: bool,
    crew: Crew,
    threads: ThreadPool,
}

/// The pass that images go through.
enum Pass {
    /// Layers of maps in parts, and the input of each part but the first: as many images as it takes.
    Maps { parts: Vec<Part>, between: Vec<Buffer> },
    /// Layers of tokens, and the tokens of an image.
    Tokens { net: Tokens, each: usize, batch: usize },
}

/// The crew and the threads that the options ask for; without scratch.
///
/// Errors: the CPU lacks `options.isa`, no threads, no images at a time.
pub(crate) fn crew_of(options: &Options) -> Result<(Crew, ThreadPool), Error> {
    let isa = options.isa.unwrap_or_else(Isa::best);
    let target = Target::new(isa).ok_or(Error::Isa(isa))?;
    for (what, number) in [("threads", Some(options.threads)), ("batch", options.batch)] {
        if number == Some(0) {
            return Err(Error::Zero { what });
        }
    }
    let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads);
    let threads = threads.thread_name(|at| format!("frozen-{at}")).build();
    let threads = threads.map_err(|source| Error::Threads { threads: options.threads, source })?;
    Ok((Crew { target, threads: options.threads, scratch: Vec::new() }, threads))
}

impl Compiled {
    /// Compiles a network, already cut, for images of `(height, width)`.
    ///
    /// Weights are read layer by layer and packed at once, so only one layer's weights are in memory twice.
    ///
    /// Errors: the image is too small, a parameter is missing or of another shape,
    /// the CPU lacks `options.isa`.
    pub fn new(
        network: &Network,
        image_size: (usize, usize),
        parameters: &dyn Parameters,
        options: Options,
    ) -> Result<Compiled, Error> {
        let shapes = network.shapes(image_size.0, image_size.1)?;
        let (crew, threads) = crew_of(&options)?;
        let source = Source { network, parameters };
        let pass = if has_tokens(&shapes) {
            let net = threads.install(|| Tokens::new(network, &shapes, &source, options.pool))?;
            let each = shapes.iter().map(|shape| match shape {
                Shape::Tokens { count, .. } => *count,
                _ => 0,
            });
            let each = each.max().unwrap_or(1);
            let batch = options.batch.unwrap_or_else(|| choice::token_images(each, options.threads));
            Pass::Tokens { net, each, batch }
        } else {
            let sizes: Vec<Size> = shapes.into_iter().map(Size::from).collect();
            Pass::maps(&source, &sizes, &options, &threads)?
        };
        let crew = crew.with_scratch(pass.scratch())?;
        Ok(Compiled { image_size, pass, pool: options.pool, crew, threads })
    }

    /// Numbers of an image's row.
    pub fn features(&self) -> usize {
        match &self.pass {
            Pass::Maps { parts, .. } => {
                let size = last(parts).view().size;
                if self.pool { size.channels } else { size.channels * size.pixels() }
            }
            Pass::Tokens { net, each, .. } if net.each() == Each::Token => net.width() * each,
            Pass::Tokens { net, .. } => net.width(),
        }
    }

    /// Images that go together through each section, the first one's first.
    pub fn batches(&self) -> Vec<usize> {
        match &self.pass {
            Pass::Maps { parts, .. } => parts.iter().map(|part| part.batch).collect(),
            Pass::Tokens { batch, .. } => vec![*batch],
        }
    }

    /// Computes the features of `n` images.
    ///
    /// Shapes: `images` `[n, height, width, 3]`, normalised; `out` `[n, features]`, a map in torchvision's
    /// order (channels, height, width), tokens one after the other. Errors:
    /// `images` or `out` has another length; no memory.
    pub fn run(&mut self, images: &[f32], n: usize, out: &mut [f32]) -> Result<(), Error> {
        let (height, width) = self.image_size;
        let (image, features) = (height * width * 3, self.features());
        if images.len() != n * image {
            return Err(Error::Images { images: n, height, width, expected: n * image, found: images.len() });
        }
        if out.len() != n * features {
            return Err(Error::Features { images: n, expected: n * features, found: out.len() });
        }
        let Compiled { pass, crew, pool, .. } = self;
        self.threads.install(|| {
            for group in even(n, pass.together(), 1).filter(|group| !group.is_empty()) {
                let images = &images[group.start * image..group.end * image];
                let out = &mut out[group.start * features..group.end * features];
                pass.run(crew, group.len(), *pool, images, out)?;
            }
            Ok(())
        })
    }

    /// The time each layer has taken so far.
    pub fn profile(&self) -> Vec<LayerTime> {
        match &self.pass {
            Pass::Maps { parts, .. } => parts.iter().flat_map(Part::profile).collect(),
            Pass::Tokens { net, .. } => net.profile().collect(),
        }
    }
}

fn last(parts: &[Part]) -> &Part {
    parts.last().expect("a network has layers")
}

impl Pass {
    /// The layers of maps.
    fn maps(source: &Source, sizes: &[Size], options: &Options, threads: &ThreadPool) -> Result<Pass, Error> {
        let network = source.network;
        let (steps, values) = fuse(network, sizes);
        // The last section comes first: its layers have the largest weights, which are in memory twice while
        // they are packed.
        let (mut parts, mut output) = (Vec::new(), values[network.output()]);
        for section in sections(steps, network, sizes).into_iter().rev() {
            let input = section.input;
            parts.push(threads.install(|| Part::new(section, source, sizes, output, options))?);
            output = input;
        }
        parts.reverse();
        let memory = |source| Error::Memory { what: "activations", source };
        let between = parts.windows(2).map(|pair| Buffer::zeroed(pair[0].view().image() * pair[1].batch));
        let between = between.collect::<Result<_, _>>().map_err(memory)?;
        Ok(Pass::Maps { parts, between })
    }

    /// Floats of scratch memory that a thread needs.
    fn scratch(&self) -> usize {
        match self {
            Pass::Maps { parts, .. } => parts.iter().map(Part::scratch).max().unwrap_or(0),
            Pass::Tokens { net, .. } => net.scratch(),
        }
    }

    /// The most images that it takes together.
    fn together(&self) -> usize {
        match self {
            Pass::Maps { parts, .. } => last(parts).batch,
            Pass::Tokens { batch, .. } => *batch,
        }
    }

    /// Computes `n` images, no more than it takes together.
    fn run(
        &mut self,
        crew: &Crew,
        n: usize,
        pool: bool,
        images: &[f32],
        out: &mut [f32],
    ) -> Result<(), Error> {
        match self {
            Pass::Maps { parts, between } => {
                let view = last(parts).view();
                rows_of_features(crew, view, pool, values(parts, between, crew, n, images), out);
                Ok(())
            }
            Pass::Tokens { net, each, .. } => {
                let starts: Vec<usize> = (0..=n).map(|image| image * *each).collect();
                net.run(crew, &Batch { starts: &starts, ids: &[], segments: &[], images }, out)
            }
        }
    }
}

/// The output of the last of `parts` for `n` images, at most as many as it takes together; the parts before
/// it take fewer at a time.
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
