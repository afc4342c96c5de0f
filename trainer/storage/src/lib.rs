//! Every byte on the shared file system: the ledger and its lock, atomic publication, arrays, features.
//!
//! Invariants: no shared file is rewritten in place, except that logs are appended to under their own lock; a
//! name is published once; nothing is decided by listing a folder or by asking whether a file exists.

pub mod arrays;
pub mod disk;
mod entropy;
mod error;
mod facts;
mod features;
mod folder;
mod incoming;
mod log;
mod names;
mod opened;
mod publish;
mod root;
mod seal;
mod summed;
mod tensors;
#[cfg(test)]
mod test_folders;
#[cfg(test)]
mod test_trouble;

pub use error::{Error, Fate, Result, is_trouble};
pub use facts::{FactLog, NewFacts, Record};
pub use features::{FeatureManifest, FeatureShard, FeatureType};
pub use folder::{create_folder, refresh, remove_folder, sync_folder};
pub use incoming::{Arrival, Incoming, allow_running};
pub use log::{Created, Known, Log, News};
pub use names::{check_file_name, check_name};
pub use opened::{CheckedStream, Opened, PATIENCE, find, open, open_within, read_whole};
pub use publish::{Once, Publication, publish, publish_once, publish_same, restore};
pub use root::{Root, RunFolder, Space};
pub use seal::{seal, unseal};
pub use tensors::{
    Tensor, TensorData, Tensors, encode_tensors, read_tensors, write_tensors, write_tensors_same,
};
