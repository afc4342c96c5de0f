//! The manifest of a feature store, `features.json`: the data that the features were made of, and the files
//! that have them.
//!
//! Invariant: the shards of each split cover its images without gap or overlap, in the manifest's order.

use crate::arrays::{Dtype, Npy};
use crate::disk::File;
use crate::opened::{await_file, find, open};
use crate::publish::{Once, publish_once};
use crate::{Error, PATIENCE, Result, seal, unseal};
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

const NAME: &str = "features.json";
const SCHEMA: u32 = 1;

/// How a feature is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
}

impl FeatureType {
    /// Bytes of one feature.
    pub fn bytes(self) -> u64 {
        match self {
            FeatureType::F32 => 4,
            FeatureType::F16 => 2,
        }
    }
}

/// One file of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureShard {
    /// The `.npy` file, of shape `[rows, columns]`.
    pub file: FileRef,
    /// The split that its images belong to: `train`, `val`.
    pub split: String,
    /// Index in the split of the image of its first row; with augmented images, all images of a copy come
    /// before those of the next.
    pub first_image: u64,
    /// How many images it has.
    pub rows: u64,
}

/// The content of a feature store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureManifest {
    schema: u32,
    /// The store's key, also the name of its folder.
    pub key: String,
    /// The data that the features were made of, as the maker of the key describes it.
    pub made_of: Map<String, Value>,
    /// Images in all splits together.
    pub rows: u64,
    /// Features of one image.
    pub columns: u64,
    /// How a feature is stored.
    pub dtype: FeatureType,
    /// The files, those of a split in the order of its images.
    pub shards: Vec<FeatureShard>,
}

impl FeatureManifest {
    /// A manifest of these shards.
    pub fn new(
        key: impl Into<String>,
        made_of: Map<String, Value>,
        columns: u64,
        dtype: FeatureType,
        shards: Vec<FeatureShard>,
    ) -> FeatureManifest {
        let rows = shards.iter().map(|shard| shard.rows).sum();
        FeatureManifest { schema: SCHEMA, key: key.into(), made_of, rows, columns, dtype, shards }
    }

    /// Publishes the manifest in the store's folder; the first one stays.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a manifest that contradicts itself, [`Error::Io`].
    pub fn publish(&self, folder: &Path) -> Result<Once> {
        let path = folder.join(NAME);
        if let Some((expected, found)) = self.contradiction() {
            return Err(Error::unfit(format!("the manifest {}", path.display()), expected, found));
        }
        publish_once(folder, NAME, |file| {
            file.write_all(seal(&serde_json::to_string_pretty(self)?).as_bytes())
        })
    }

    /// The manifest in `folder` if there is one; another machine may have one that this machine cannot see
    /// yet.
    ///
    /// # Errors
    /// As [`FeatureManifest::open`].
    pub fn find(folder: &Path) -> Result<Option<FeatureManifest>> {
        let path = folder.join(NAME);
        find(&path)?.map(|file| read(&path, file)).transpose()
    }

    /// The manifest in `folder`, which the ledger says is there.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`], [`Error::Schema`], [`Error::Io`].
    pub fn open(folder: &Path) -> Result<FeatureManifest> {
        let path = folder.join(NAME);
        read(&path, await_file(&path, PATIENCE)?)
    }

    /// The shards of a split, in the order of its images.
    pub fn split<'a>(&'a self, split: &'a str) -> impl Iterator<Item = &'a FeatureShard> {
        self.shards.iter().filter(move |shard| shard.split == split)
    }

    /// Opens one of this manifest's shards and checks its length, type and shape;
    /// [`FeatureManifest::verify_shard`] checks its bytes.
    ///
    /// # Errors
    /// Those of [`open`]; [`Error::Array`] for another type or shape.
    pub fn open_shard(&self, folder: &Path, shard: &FeatureShard) -> Result<Npy> {
        let npy = open(folder, &shard.file)?.into_npy()?;
        let dtype = match self.dtype {
            FeatureType::F32 => Dtype::F32,
            FeatureType::F16 => Dtype::F16,
        };
        npy.expect(dtype, &[Some(shard.rows as usize), Some(self.columns as usize)])?;
        Ok(npy)
    }

    /// Reads a shard once and checks its checksum.
    ///
    /// # Errors
    /// Those of [`open`]; [`Error::Damaged`] with the file's name.
    pub fn verify_shard(&self, folder: &Path, shard: &FeatureShard) -> Result<()> {
        open(folder, &shard.file)?.verify()
    }

    /// A contradiction in the manifest: expected and found.
    fn contradiction(&self) -> Option<(String, String)> {
        let mut next = BTreeMap::new();
        for shard in &self.shards {
            let next: &mut u64 = next.entry(&shard.split).or_default();
            let name = &shard.file.name;
            if shard.first_image != *next {
                let expected = format!("{name} to begin at image {next} of {}", shard.split);
                return Some((expected, shard.first_image.to_string()));
            }
            let payload =
                shard.rows.checked_mul(self.columns).and_then(|n| n.checked_mul(self.dtype.bytes()));
            if shard.rows == 0 || payload.is_none_or(|payload| shard.file.bytes < payload) {
                let expected = format!("{name} to hold {} rows of {} features", shard.rows, self.columns);
                return Some((expected, format!("{} bytes", shard.file.bytes)));
            }
            *next += shard.rows;
        }
        let rows: u64 = next.values().sum();
        (rows != self.rows || self.columns == 0).then(|| {
            (format!("{} rows, and columns", self.rows), format!("{rows} rows, {} columns", self.columns))
        })
    }
}

/// The only key that manifests of all versions have.
#[derive(Deserialize)]
struct AnySchema {
    schema: u32,
}

fn read(path: &Path, file: File) -> Result<FeatureManifest> {
    let text = unseal(path, &file.read_from(0, u64::MAX).map_err(Error::io("read", path))?)?;
    let not_a_manifest =
        |error: serde_json::Error| Error::damaged(path, "a manifest of features", error.to_string());
    let AnySchema { schema } = serde_json::from_slice(&text).map_err(not_a_manifest)?;
    if schema > SCHEMA {
        return Err(Error::Schema { file: path.to_owned(), found: schema, known: SCHEMA });
    }
    let manifest: FeatureManifest = serde_json::from_slice(&text).map_err(not_a_manifest)?;
    match manifest.contradiction() {
        Some((expected, found)) => Err(Error::damaged(path, expected, found)),
        None => Ok(manifest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::write_npy;
    use crate::publish::publish;
    use crate::test_folders::temporary;
    use std::fs;

    fn shard(split: &str, first_image: u64, rows: u64) -> FeatureShard {
        let name = format!("{split}-{first_image}.npy");
        let file = FileRef { name, bytes: 128 + rows * 3 * 4, xxh3: "0".repeat(32) };
        FeatureShard { file, split: split.into(), first_image, rows }
    }

    fn manifest(shards: Vec<FeatureShard>) -> FeatureManifest {
        let mut made_of = Map::new();
        made_of.insert("network".into(), "vgg19".into());
        FeatureManifest::new("abc", made_of, 3, FeatureType::F32, shards)
    }

    #[test]
    fn a_manifest_is_published_once_and_read_back() {
        let folder = temporary();
        assert_eq!(FeatureManifest::find(folder.path()).unwrap(), None);
        assert_eq!(FeatureManifest::find(&folder.path().join("not-there")).unwrap(), None);
        let first = manifest(vec![shard("train", 0, 5), shard("val", 0, 2), shard("train", 5, 1)]);
        assert_eq!(first.rows, 8);
        assert!(matches!(first.publish(folder.path()).unwrap(), Once::Published(_)));
        assert_eq!(manifest(vec![shard("train", 0, 1)]).publish(folder.path()).unwrap(), Once::AlreadyThere);
        assert_eq!(FeatureManifest::open(folder.path()).unwrap(), first);
        assert_eq!(first.split("train").map(|shard| shard.rows).collect::<Vec<_>>(), [5, 1]);
    }

    #[test]
    fn shards_are_opened_only_if_they_are_what_the_manifest_says() {
        let folder = temporary();
        let write = |shape: &[u64], values: &[f32]| {
            publish(folder.path(), "shard", "npy", |file| write_npy(file, shape, values)).unwrap()
        };
        let shard = |file: FileRef| FeatureShard { file, ..shard("val", 0, 2) };
        let good = shard(write(&[2, 3], &[0., 1., 2., 3., 4., 5.]));
        let other = shard(write(&[3, 2], &[0.; 6]));
        let manifest = manifest(vec![good.clone()]);
        let mut row = [0.0; 3];
        let npy = manifest.open_shard(folder.path(), &good).unwrap();
        npy.read_rows(1..2, &mut row).unwrap();
        assert_eq!(row, [3., 4., 5.]);
        manifest.verify_shard(folder.path(), &good).unwrap();
        let error = manifest.open_shard(folder.path(), &other).unwrap_err();
        assert!(matches!(error, Error::Array { .. }), "{error}");
        let path = folder.path().join(&good.file.name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = manifest.verify_shard(folder.path(), &good).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }

    #[test]
    fn gaps_overlaps_and_short_files_are_refused() {
        let folder = temporary();
        let mut short = shard("train", 0, 5);
        short.file.bytes = 59;
        let gap = vec![shard("train", 0, 5), shard("train", 6, 1)];
        let overlap = vec![shard("train", 0, 5), shard("train", 4, 1)];
        for shards in [gap, overlap, vec![short], vec![shard("train", 0, 0)]] {
            let error = manifest(shards).publish(folder.path()).unwrap_err();
            assert!(matches!(error, Error::Unfit { .. }), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn later_schemas_unknown_keys_and_damage_are_named() {
        let folder = temporary();
        manifest(vec![shard("train", 0, 5)]).publish(folder.path()).unwrap();
        let path = folder.path().join(NAME);
        let text = crate::seal::unseal(&path, &fs::read(&path).unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap(); // to be changed on purpose
        let read_as = |text: String| {
            fs::write(&path, text).unwrap();
            FeatureManifest::open(folder.path()).unwrap_err()
        };
        let later = read_as(text.replace("\"schema\": 1", "\"schema\": 2, \"new\": 0"));
        assert!(matches!(later, Error::Schema { found: 2, known: 1, .. }), "{later}");
        for (from, to) in [("\"key\"", "\"kex\""), ("\"rows\": 5", "\"rows\": 6"), ("}", "")] {
            let error = read_as(text.replacen(from, to, 1));
            assert!(error.to_string().contains("features.json is damaged"), "{error}");
        }
    }
}
