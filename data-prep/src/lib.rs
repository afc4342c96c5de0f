//! CIFAR archives, image folders, IDX and .npy files, and generated images, into a dataset folder;
//! lines, rows and files into one of units.
//!
//! [`prepare`] opens the source, decides which image goes where, and writes the shards into a hidden folder
//! beside the output, which gets its name when everything is in it. What an interrupted run has finished is
//! used again.

mod classes;
mod collection;
mod content;
mod decode;
mod error;
mod files;
pub mod generate;
mod out;
mod partial;
mod plan;
mod prepare;
#[cfg(test)]
mod samples;
mod source;
mod statistics;
pub mod units;

pub use decode::{NoImage, Reading, decode, read_image};
pub use error::{Error, Result, printable};
pub use files::{FoundFile, Links, Listing, is_litter, list_folder};
pub use plan::{Deal, Selection};
pub use prepare::{Options, Progress, Summary, prepare};
pub use source::{Pictures, Source};
