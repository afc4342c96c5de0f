//! A folder of installed weights, `weights/<name>/`: the tensors, and a manifest that describes them.

use super::{TensorSpec, Weights, write_safetensors};
use crate::{Error, Result};
use networks::Network;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const TENSORS: &str = "weights.safetensors";
const MANIFEST: &str = "weights.json";
/// The newest schema of `weights.json`.
const SCHEMA: u32 = 1;

/// The normalisation of a pixel, with red, green and blue in 0..1: minus `mean`, over `std`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Subtracted from each channel.
    pub mean: [f32; 3],
    /// Divides each channel.
    pub std: [f32; 3],
}

impl Normalisation {
    /// The normalisation of torchvision's ImageNet weights.
    pub const IMAGENET: Normalisation =
        Normalisation { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// Checks that every number is finite and every deviation above 0.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn check(&self) -> Result<()> {
        let right = self.mean.iter().all(|mean| mean.is_finite())
            && self.std.iter().all(|std| std.is_finite() && *std > 0.0);
        let expected = "three finite means and three deviations above 0";
        if right { Ok(()) } else { Err(Error::argument("normalisation", expected, format!("{self:?}"))) }
    }
}

/// `weights.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    schema: u32,
    /// The network's name.
    network: String,
    /// The last point up to which the tensors cover it.
    reaches: String,
    bytes: u64,
    sha256: String,
    normalisation: Normalisation,
    /// The file that it was made from.
    source: String,
}

/// Installed weights, checked against their manifest.
#[derive(Debug)]
pub struct Installed {
    /// The network's name.
    pub network: String,
    /// The last named point up to which the weights cover the network: `logits` if they are whole.
    pub reaches: String,
    /// Checksum of the tensors' file, in hex.
    pub sha256: String,
    /// The normalisation that the network expects.
    pub normalisation: Normalisation,
    /// The tensors.
    pub weights: Weights,
}

/// Installs a weights file into `folder` (`weights/<name>/`) for a network.
///
/// The tensors are written anew, under torchvision's names and in the network's order, so that the checksum
/// depends on them alone and not on the kind of file that they came in. Doing it again with the same file
/// changes nothing.
///
/// # Errors
/// [`Error::WrongWeights`] if the file does not reach the network's first point; [`Error::Taken`] if the
/// folder holds others; those of reading and writing. Nothing is left half-written.
pub fn install(
    folder: &Path,
    file: &Path,
    network: &Network,
    normalisation: Normalisation,
) -> Result<Installed> {
    normalisation.check()?;
    let weights = Weights::open(file)?;
    let Some(reaches) = weights.reaches(network) else {
        let first = network.points.first().map_or("logits", |point| &point.name);
        weights.check(&network.up_to(first)?)?;
        return Err(Error::argument("network", "at least one point to cut at", network.name));
    };
    let tensors: Vec<TensorSpec> = network
        .parameters()
        .iter()
        .filter(|parameter| weights.shape(&parameter.name) == Some(&parameter.shape))
        .map(|parameter| TensorSpec::f32(&parameter.name, &parameter.shape))
        .collect();
    storage::create_folder(folder)?;
    let (sha256, bytes) = publish_tensors(folder, &weights, &tensors)?;
    let source = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = network.name.to_owned();
    let manifest = Manifest { schema: SCHEMA, network: name, reaches, bytes, sha256, normalisation, source };
    let json =
        serde_json::to_string_pretty(&manifest).map_err(|error| Error::io("write", folder)(error.into()))?;
    storage::publish_once(folder, MANIFEST, |out| out.write_all(storage::seal(&json).as_bytes()))?;
    let there = read_manifest(folder)?;
    if (&there.sha256, &there.network, there.normalisation)
        != (&manifest.sha256, &manifest.network, manifest.normalisation)
    {
        return Err(taken(folder, &describe(&manifest), &describe(&there)));
    }
    open_installed(folder)
}

/// Publishes `weights.safetensors` and returns its checksum and length.
fn publish_tensors(folder: &Path, weights: &Weights, tensors: &[TensorSpec]) -> Result<(String, u64)> {
    let mut written = None;
    let once = storage::publish_once(folder, TENSORS, |out| {
        let mut out = Hashing { out, hash: Sha256::new(), bytes: 0 };
        write_safetensors(&mut out, tensors, |tensor| {
            weights.tensor(&tensor.name, &tensor.shape).map_err(io::Error::other)
        })?;
        written = Some((hex(out.hash), out.bytes));
        Ok(())
    })?;
    let written = written.unwrap_or_default();
    if once == storage::Once::AlreadyThere {
        let path = folder.join(TENSORS);
        let there = hash_file(&path)?;
        if there != written {
            return Err(taken(folder, &written.0, &there.0));
        }
    }
    Ok(written)
}

/// Opens installed weights. The checksum is computed once in a process.
///
/// # Errors
/// [`storage::Error::Missing`] if nothing is installed there; [`Error::Damaged`] if the file has other bytes
/// than were installed.
pub fn open_installed(folder: &Path) -> Result<Installed> {
    let manifest = read_manifest(folder)?;
    let path = folder.join(TENSORS);
    verify_once(&path, &manifest)?;
    let Manifest { network, reaches, sha256, normalisation, .. } = manifest;
    Ok(Installed { network, reaches, sha256, normalisation, weights: Weights::open(&path)? })
}

fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let damaged = |expected: &str, found: String| Error::Damaged {
        file: path.clone(),
        expected: expected.into(),
        found,
    };
    let json = storage::unseal(&path, &storage::read_whole(&path)?.0)?;
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| damaged("a manifest of installed weights", error.to_string()))?;
    if manifest.schema > SCHEMA {
        let (found, known) = (manifest.schema, SCHEMA);
        return Err(storage::Error::Schema { file: path, found, known }.into());
    }
    manifest.normalisation.check().map_err(|error| damaged("a normalisation", error.to_string()))?;
    Ok(manifest)
}

/// A file with its checksum, as it was when it was found right.
type Verified = (PathBuf, String, (u64, i64, i64));

fn verify_once(path: &Path, manifest: &Manifest) -> Result<()> {
    static VERIFIED: Mutex<BTreeSet<Verified>> = Mutex::new(BTreeSet::new());
    let about = std::fs::metadata(path).map_err(Error::io("open", path))?;
    let length = about.len();
    // A file that was replaced is another one, or was written at another time.
    let version = (about.ino(), about.mtime(), about.mtime_nsec());
    let key = (path.to_owned(), manifest.sha256.clone(), version);
    let damaged = |expected: String, found: String| Error::Damaged { file: path.to_owned(), expected, found };
    if length != manifest.bytes {
        return Err(damaged(format!("{} bytes", manifest.bytes), format!("{length} bytes")));
    }
    if VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
        return Ok(());
    }
    let (found, _) = hash_file(path)?;
    if found != manifest.sha256 {
        return Err(damaged(format!("sha256 {}", manifest.sha256), format!("sha256 {found}")));
    }
    VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    Ok(())
}

fn hash_file(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut chunk = vec![0; 1 << 20];
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    loop {
        let read = file.read(&mut chunk).map_err(Error::io("read", path))?;
        if read == 0 {
            return Ok((hex(hash), bytes));
        }
        hash.update(&chunk[..read]);
        bytes += read as u64;
    }
}

/// Hashes what it writes.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(manifest: &Manifest) -> String {
    let Manifest { network, sha256, normalisation, .. } = manifest;
    format!("{network}, sha256 {sha256}, mean {:?}, std {:?}", normalisation.mean, normalisation.std)
}

fn taken(folder: &Path, expected: &str, found: &str) -> Error {
    Error::Taken { folder: folder.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}
