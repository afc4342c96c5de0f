//! The frozen pass: a network up to its cut, compiled for this machine's CPU.
//!
//! [`Compiled::new`] folds the layers of a [`networks::Network`] into few steps, transforms and packs their
//! weights once and plans the buffers; [`Compiled::run`] turns normalised images into rows of features. The
//! features of an image are the same to the last bit whatever the batch, its place in it and the number of
//! threads.
//!
//! [`Trained`] runs layers through the same kernels forward and backward and computes their gradients, for
//! training above the cut.

mod choice;
mod compiled;
mod dealt;
mod encoder;
mod error;
mod fuse;
mod kernels;
mod layer;
mod linear;
mod options;
mod parameters;
mod part;
mod plan;
mod resize;
mod sections;
mod size;
mod strips;
#[cfg(test)]
mod tests;
mod tokens;
mod trained;
mod weighted;

pub use compiled::Compiled;
pub use dealt::{DealtLinear, deal};
pub use encoder::{Encoder, Sentences};
pub use error::{BoxError, Error};
pub use kernels::{Buffer, Isa, peak};
pub use linear::Linear;
pub use options::Options;
pub use parameters::Parameters;
pub use part::LayerTime;
pub use trained::{Loaded, Trained, TrainedOptions};
pub use weighted::add_weighted;
