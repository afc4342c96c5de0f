//! The options of a compiled network.

use crate::kernels::Isa;

/// How a network is compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads of its own; they sleep while nothing runs.
    pub threads: usize,
    /// Mean over each map at the cut; the output of a cut that is a vector stays as it is.
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
