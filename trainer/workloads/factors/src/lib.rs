//! The workload `factors`: matrix factorisation of ratings with biases.
//!
//! rating = mean + bias of the user + bias of the item + factors of the user · factors of the item.
//!
//! Workers own users or items. The numbers of a user depend only on its own ratings and on the items before
//! the stage, and the other way round. So a result has the same bits with any number of workers and threads,
//! wherever legs are cut: nothing is summed over workers.

mod als;
mod data;
mod deal;
mod descent;
mod ending;
pub mod export;
mod job;
pub mod model;
mod predict;
mod score;
mod share;
mod shown;
mod tables;
mod workload;

pub use job::{Job, Over, Solve};
pub use predict::{Predictor, Top};
pub use workload::Factors;

#[cfg(test)]
mod tests;
