//! Weighted sums over the workers' files: chunk by chunk, each chunk over all files before the next.
//!
//! Each value is summed in f64 in the order of the files and rounded to f32 once, so the result depends
//! neither on the arrival order of workers nor on the number of threads. Memory: the result, and a few chunks
//! for each thread. A chunk counts only after its checksum was right.

use super::chunked::{CHUNK, Chunked, Notes};
use crate::Result;
use frozen::{Buffer, add_weighted};
use protocol::FileRef;
use rayon::ThreadPoolBuilder;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use safetensors::tensor::Dtype;
use std::ops::Range;
use std::path::Path;
use work::Failed;

/// Files that are read before their values are summed: a chunk of each and its totals stay in the level-2
/// cache.
const TOGETHER: usize = 4;

/// The files of a stage's workers, in worker order.
#[derive(Debug)]
pub(super) struct Results {
    files: Vec<Chunked>,
}

impl Results {
    /// Opens files that have the same arrays.
    ///
    /// # Errors
    /// Those of reading them; for a file whose arrays differ from those of the first.
    pub(super) fn open(folder: &Path, files: &[FileRef]) -> Result<Results> {
        let files = files.iter().map(|file| Chunked::open(folder, file)).collect::<Result<Vec<_>>>()?;
        let Some(first) = files.first() else {
            return Err(Failed::argument("files to sum", "at least one", "none"));
        };
        let layout = |file: &Chunked| -> (usize, Vec<(String, Dtype)>) {
            (file.length(), file.layout().into_iter().map(|(name, dtype)| (name.to_owned(), dtype)).collect())
        };
        let expected = layout(first);
        if let Some(other) = files.iter().find(|file| layout(file) != expected) {
            return Err(Failed::damaged(
                other.path(),
                format!("{expected:?}"),
                format!("{:?}", layout(other)),
            ));
        }
        Ok(Results { files })
    }

    /// Values of each array.
    pub(super) fn length(&self) -> usize {
        self.files[0].length()
    }

    /// Each worker's file and the text in it.
    pub(super) fn notes(&self) -> impl ExactSizeIterator<Item = (&Path, &Notes)> {
        self.files.iter().map(|file| (file.path(), file.notes()))
    }

    /// Σ weight · array over all files, for the values of a chunk.
    ///
    /// # Errors
    /// As [`Chunked::read`].
    pub(super) fn sum<'d>(
        &self,
        name: &str,
        weights: &[f64],
        chunk: &Range<usize>,
        desk: &'d mut Desk,
    ) -> Result<&'d [f32]> {
        let Desk { raw, values, totals, sum } = desk;
        values.resize(TOGETHER * chunk.len(), 0.0);
        totals.clear();
        totals.resize(chunk.len(), 0.0);
        for (files, weights) in self.files.chunks(TOGETHER).zip(weights.chunks(TOGETHER)) {
            let mut each = files.iter().zip(values.chunks_exact_mut(chunk.len()));
            each.try_for_each(|(file, values)| file.read(name, chunk.start, values, raw))?;
            let parts = weights.iter().copied().zip(values.chunks_exact(chunk.len()));
            add_weighted(totals, &parts.collect::<Vec<_>>());
        }
        sum.clear();
        sum.extend(totals.iter().map(|total| *total as f32));
        Ok(sum)
    }
}

/// The buffers in which a thread reads and sums a chunk; they are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Desk {
    raw: Vec<u8>,
    values: Vec<f32>,
    totals: Vec<f64>,
    sum: Vec<f32>,
}

/// Makes arrays of the values of `range`, which begins at a chunk, chunk by chunk on several threads.
///
/// `fill` gets a chunk's range and its part of each array, all zeros, and fills it.
///
/// # Errors
/// If there is no memory or there are no threads, and the errors of `fill`.
pub(super) fn by_chunks(
    range: &Range<usize>,
    arrays: usize,
    threads: usize,
    fill: impl Fn(Range<usize>, &mut [&mut [f32]], &mut Desk) -> Result<()> + Sync,
) -> Result<Vec<Buffer>> {
    let pool = ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    let pool = pool.map_err(|error| {
        storage::Error::io("start threads for", Path::new("a slice"))(std::io::Error::other(error))
    })?;
    let made: Result<Vec<Buffer>, _> = (0..arrays).map(|_| Buffer::zeroed(range.len())).collect();
    let mut made = made.map_err(storage::Error::io("find memory for", Path::new("a slice")))?;
    let mut chunks: Vec<Vec<&mut [f32]>> = (0..range.len().div_ceil(CHUNK)).map(|_| Vec::new()).collect();
    for array in &mut made {
        chunks.iter_mut().zip(array.chunks_mut(CHUNK)).for_each(|(chunk, part)| chunk.push(part));
    }
    pool.install(|| {
        chunks.into_par_iter().enumerate().try_for_each_init(Desk::default, |desk, (at, mut chunk)| {
            let start = range.start + at * CHUNK;
            fill(start..range.end.min(start + CHUNK), &mut chunk, desk)
        })
    })?;
    Ok(made)
}

/// The part of `length` values in slice `slice` of `slices`; each begins at a chunk.
pub(super) fn slice(length: usize, slices: u32, slice: u32) -> Range<usize> {
    let chunks = length.div_ceil(CHUNK) as u64;
    let cut = |n: u32| length.min((chunks * u64::from(n) / u64::from(slices)) as usize * CHUNK);
    cut(slice)..cut(slice + 1)
}

#[cfg(test)]
mod tests;
