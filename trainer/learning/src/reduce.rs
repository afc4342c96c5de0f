//! Weighted sums over the files that workers published: all files are streamed side by side, chunk by chunk.
//!
//! Each element is summed in f64 in the order of the files and rounded to f32 once, so the arrival order of workers
//! never shows. Memory: the result, and one chunk of each file. Every checksum is verified before a sum is given out.

use crate::{Error, Result};
use protocol::FileRef;
use safetensors::tensor::{Dtype, Metadata};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;
use storage::{CheckedStream, Opened};

/// Elements summed at a time.
const CHUNK: usize = 65_536;
/// The longest header that is read.
const MAX_HEADER: u64 = 1 << 20;

/// What a weighted sum gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduced {
    /// The sums by the arrays' names.
    pub sums: BTreeMap<String, Vec<f32>>,
    /// The text in each file, in the order of the files.
    pub metadata: Vec<BTreeMap<String, String>>,
}

/// Sums the arrays of files: Σ weight · array, where `weights` is made of all files' metadata.
///
/// # Errors
/// [`Error::Storage`]; [`Error::Damaged`] for a file whose arrays differ from those of the first.
pub fn weighted_sum(
    folder: &Path,
    files: &[FileRef],
    weights: impl FnOnce(&[BTreeMap<String, String>]) -> Result<Vec<f64>>,
) -> Result<Reduced> {
    let opened = files.iter().map(|file| storage::open(folder, file)).collect::<Result<Vec<_>, _>>()?;
    let mut sources = opened.iter().map(Source::begin).collect::<Result<Vec<_>>>()?;
    let Some(first) = sources.first() else {
        return Err(Error::argument("files to sum", "at least one", "none"));
    };
    let layout = first.layout.clone();
    if let Some(other) = sources.iter().find(|source| source.layout != layout) {
        let path = other.opened.path();
        return Err(Error::damaged(path, format!("arrays {layout:?}"), format!("{:?}", other.layout)));
    }
    let metadata: Vec<_> = sources.iter().map(|source| source.metadata.clone()).collect();
    let weights = weights(&metadata)?;
    let mut sums = BTreeMap::new();
    for (name, length) in layout {
        sums.insert(name, sum_array(&mut sources, &weights, length)?);
    }
    sources.into_iter().try_for_each(Source::end)?;
    Ok(Reduced { sums, metadata })
}

fn sum_array(sources: &mut [Source<'_>], weights: &[f64], length: usize) -> Result<Vec<f32>> {
    let mut sum = Vec::with_capacity(length);
    let mut bytes = vec![0; CHUNK.min(length) * 4];
    let mut totals = vec![0.0_f64; CHUNK.min(length)];
    while sum.len() < length {
        let count = CHUNK.min(length - sum.len());
        let (bytes, totals) = (&mut bytes[..count * 4], &mut totals[..count]);
        totals.fill(0.0);
        for (source, &weight) in sources.iter_mut().zip(weights) {
            source.read(bytes)?;
            for (total, value) in totals.iter_mut().zip(bytes.as_chunks().0) {
                *total += weight * f64::from(f32::from_le_bytes(*value));
            }
        }
        sum.extend(totals.iter().map(|&total| total as f32));
    }
    Ok(sum)
}

/// One file, read from its start to its end.
struct Source<'a> {
    opened: &'a Opened,
    stream: CheckedStream<'a>,
    /// Names and lengths of the arrays, in the order in which they lie.
    layout: Vec<(String, usize)>,
    metadata: BTreeMap<String, String>,
}

impl<'a> Source<'a> {
    /// Reads the header.
    fn begin(opened: &'a Opened) -> Result<Source<'a>> {
        let stream = opened.stream();
        let mut source = Source { opened, stream, layout: Vec::new(), metadata: BTreeMap::new() };
        let mut length = [0; 8];
        source.read(&mut length)?;
        let length = u64::from_le_bytes(length);
        let damaged =
            |found: String| Error::damaged(opened.path(), "a safetensors file of f32 arrays", found);
        if length > MAX_HEADER || length + 8 > opened.bytes() {
            return Err(damaged(format!("a header of {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        source.read(&mut header)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else { continue };
            if info.dtype != Dtype::F32 {
                return Err(damaged(format!("array {name} of type {}", info.dtype)));
            }
            source.layout.push((name, info.shape.iter().product()));
        }
        let elements: usize = source.layout.iter().map(|(_, length)| length).sum();
        if elements as u64 * 4 + length + 8 != opened.bytes() {
            return Err(damaged(format!("{elements} elements in {} bytes", opened.bytes())));
        }
        let metadata: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        source.metadata = metadata.into_iter().collect();
        Ok(source)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        Ok(self.stream.read_exact(bytes).map_err(storage::Error::io("read", self.opened.path()))?)
    }

    /// Reads to the end, which comes only if the checksum is right.
    fn end(mut self) -> Result<()> {
        let read = io::copy(&mut self.stream, &mut io::sink());
        read.map_err(storage::Error::io("read", self.opened.path()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
