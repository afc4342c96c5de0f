//! Weights, frozen features, heads, training, reduction and scoring. The only place that names burn.

pub mod baseline;
pub mod burn_net;
mod chunked;
pub mod device;
mod error;
pub mod export;
pub mod features;
mod head;
pub mod images;
pub mod model;
pub mod predict;
pub mod pretrain;
pub mod random;
mod reduce;
mod rounds;
#[cfg(test)]
mod sample;
pub mod score;
pub mod shown;
#[cfg(test)]
mod testing;
pub mod tuning;
pub mod untrained;
pub mod weights;
mod work;

pub use crate::work::{
    Assignment, CombineOrder, Combined, Progress, Transfer, Work, combine, finish, plan, work,
};
pub use error::{Error, Fate, Result};
