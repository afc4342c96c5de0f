//! Data sets: how each kind is stored in its folder, and how it is read.

pub mod images;
mod kind;
pub mod ratings;
pub mod units;

pub use kind::{Kind, MANIFEST};
