//! The repair of a store's damaged files, as the store uses it.

use crate::{Error, Result};
use protocol::FileRef;
use std::fmt::Debug;
use std::path::Path;
use storage::{FeatureManifest, FeatureShard};

/// Computes damaged files again.
pub(crate) trait Mend: Debug + Send + Sync {
    /// A shard, in the store of this folder and key.
    ///
    /// # Errors
    /// `damage`, and why it could not be repaired.
    fn shard(&self, folder: &Path, key: &str, shard: &ShardAt<'_>, damage: Error) -> Result<()>;

    /// The statistics.
    ///
    /// # Errors
    /// As [`Mend::shard`].
    fn statistics(
        &self,
        folder: &Path,
        manifest: &FeatureManifest,
        file: &FileRef,
        damage: Error,
    ) -> Result<()>;
}

/// The place of a shard's rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardAt<'a> {
    pub(crate) split: &'a str,
    pub(crate) first: usize,
    pub(crate) file: &'a FileRef,
}

impl ShardAt<'_> {
    pub(crate) fn of(shard: &FeatureShard) -> ShardAt<'_> {
        ShardAt { split: &shard.split, first: shard.first_image as usize, file: &shard.file }
    }
}
