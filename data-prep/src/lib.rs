//! Makes a dataset folder from CIFAR archives, image folders, IDX and .npy files, and generated images; a
//! data set of units from lines, rows and files; and a data set of ratings from a table of them.
//!
//! [`prepare`] opens the source, decides which image goes where, and writes the shards into a hidden folder
//! beside the output. The folder gets its name when everything is in it. A later run reuses the finished
//! shards of an interrupted one.

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
pub mod ratings;
mod reading;
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
