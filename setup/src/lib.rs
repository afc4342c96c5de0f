//! The baton command: local cloud, start, stop, watch, predict, evaluate, export.

pub mod assets;
pub mod cloud;
pub mod demo;
pub mod evaluate;
pub mod export;
mod failure;
pub mod fetch;
pub mod local;
pub mod predict;
pub mod pretrain;
pub mod sheet;
pub mod start;
pub mod view;
pub mod watch;
pub mod weights;

pub use failure::Failure;

/// The number of compute threads: what is asked for, or as many as there are cores.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}
