//! Errors of compiling or running a network.

use crate::Isa;

/// Any error of a source of parameters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a network cannot be compiled, or images cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network does not fit the image size.
    #[error(transparent)]
    Network(#[from] networks::Error),
    /// A parameter could not be read from its source.
    #[error("parameter `{name}` of network `{network}`: {source}")]
    Parameter {
        /// The network.
        network: &'static str,
        /// torchvision's name.
        name: String,
        /// The source's own error.
        source: BoxError,
    },
    /// A source returned a parameter of another size.
    #[error(
        "parameter `{name}` of network `{network}`: \
         expected {expected} numbers of shape {shape:?}, found {found}; these are weights of another network"
    )]
    ParameterLength {
        /// The network.
        network: &'static str,
        /// torchvision's name.
        name: String,
        /// The shape that the network needs.
        shape: Vec<usize>,
        /// Numbers of that shape.
        expected: usize,
        /// Numbers that the source returned.
        found: usize,
    },
    /// An instruction set that this CPU does not have was asked for.
    #[error("this CPU has no {0:?}; leave the choice to Baton or take {best:?}", best = Isa::best())]
    Isa(Isa),
    /// A number of threads or images that is not possible.
    #[error("{what} must be at least 1, found 0")]
    Zero {
        /// The option's name.
        what: &'static str,
    },
    /// The images are not as many numbers as their count and size say.
    #[error("{images} images of {height} by {width} by 3 are {expected} numbers, found {found}")]
    Images {
        /// Images announced.
        images: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
        /// Numbers that these have.
        expected: usize,
        /// Numbers that were passed.
        found: usize,
    },
    /// The buffer for the features has the wrong size.
    #[error("the features of {images} images are {expected} numbers, the place for them has {found}")]
    Features {
        /// Images announced.
        images: usize,
        /// Numbers of their features.
        expected: usize,
        /// Numbers that the buffer has.
        found: usize,
    },
    /// No memory for activations or weights.
    #[error("cannot get memory for {what}: {source}; give the process more memory or a smaller batch")]
    Memory {
        /// Its purpose.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A layer that cannot run on tokens.
    #[error("network `{network}`: layer `{layer}` has no form among tokens; cut the network below it")]
    NotOfTokens {
        /// The network.
        network: &'static str,
        /// Its name, or its operation.
        layer: String,
    },
    /// Rows of tokens that the kernels cannot cut into whole panels.
    #[error(
        "network `{network}`: rows of {width} of layer `{layer}`, or its heads', are no multiple of {panel}"
    )]
    Panels {
        /// The network.
        network: &'static str,
        /// Its name.
        layer: String,
        /// Numbers of a row.
        width: usize,
        /// The number that the width must be a multiple of.
        panel: usize,
    },
    /// An id or a segment that the network has no row for.
    #[error("network `{network}` has no {what} {found}, only those below {below}; another tokenizer made it")]
    Beyond {
        /// The network.
        network: &'static str,
        /// Whether it is an id or a segment.
        what: &'static str,
        /// The one found.
        found: usize,
        /// The number that all must be below.
        below: usize,
    },
    /// More or fewer numbers than there must be.
    #[error("expected {expected} {what}, found {found}")]
    Numbers {
        /// The name of these numbers.
        what: &'static str,
        /// How many are needed.
        expected: usize,
        /// How many were found.
        found: usize,
    },
    /// A layer that cannot be trained.
    #[error("layer `{layer}` cannot be trained: there is no gradient of its form; cut the network above it")]
    NoGradient {
        /// torchvision's name.
        layer: String,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many.
        threads: usize,
        /// The system's answer.
        source: rayon::ThreadPoolBuildError,
    },
}
