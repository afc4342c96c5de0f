//! Transfer learning on images: weights, frozen features, heads, scoring. The only place that names burn.

pub mod baseline;
pub mod burn_net;
mod combining;
pub mod confusion;
mod cut;
pub mod device;
mod ending;
mod error;
pub mod export;
pub mod features;
mod head;
pub mod images;
pub mod job;
pub mod model;
mod plan;
pub mod predict;
pub mod pretrain;
mod publish;
#[cfg(test)]
mod sample;
pub mod score;
mod scoring;
pub mod shown;
pub mod suggest;
#[cfg(test)]
mod testing;
mod training;
pub mod untrained;
pub mod weights;
mod workload;

pub use error::{Error, Fate, Result};
pub use job::Job;
pub use plan::{course, plan};
pub use workload::Transfer;
