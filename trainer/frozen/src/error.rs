//! What can go wrong when a network is compiled or run.

use crate::Isa;

/// Any error of a source of parameters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a network cannot be compiled, or images cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network does not fit the image size.
    #[error(transparent)]
    Network(#[from] networks::Error),
    /// A parameter could not be had from its source.
    #[error("parameter `{name}` of network `{network}`: {source}")]
    Parameter {
        /// The network.
        network: &'static str,
        /// torchvision's name.
        name: String,
        /// What the source said.
        source: BoxError,
    },
    /// A source handed over a parameter of another size.
    #[error(
        "parameter `{name}` of network `{network}`: expected {expected} numbers of shape {shape:?}, found {found}; \
         these are weights of another network"
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
        /// Numbers that were handed over.
        found: usize,
    },
    /// An instruction set that this CPU does not have was asked for.
    #[error("this CPU has no {0:?}; leave the choice to Baton or take {best:?}", best = Isa::best())]
    Isa(Isa),
    /// A number of threads or images that cannot be.
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
        /// Numbers they should have.
        expected: usize,
        /// Numbers there are.
        found: usize,
    },
    /// The place for the features has the wrong size.
    #[error("the features of {images} images are {expected} numbers, the place for them has {found}")]
    Features {
        /// Images announced.
        images: usize,
        /// Numbers they give.
        expected: usize,
        /// Numbers there is room for.
        found: usize,
    },
    /// No memory for activations or weights.
    #[error("cannot get memory for {what}: {source}; give the process more memory or a smaller batch")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A layer that tokens cannot go through.
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
        /// What they must be a multiple of.
        panel: usize,
    },
    /// An id or a segment that the network has no row for.
    #[error("network `{network}` has no {what} {found}, only those below {below}; another tokenizer made it")]
    Beyond {
        /// The network.
        network: &'static str,
        /// What it is.
        what: &'static str,
        /// The one found.
        found: usize,
        /// The first that there is none of.
        below: usize,
    },
    /// More or fewer numbers than there must be.
    #[error("expected {expected} {what}, found {found}")]
    Numbers {
        /// What they are.
        what: &'static str,
        /// How many the layers have.
        expected: usize,
        /// How many there are.
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
        /// What the system said.
        source: rayon::ThreadPoolBuildError,
    },
}
