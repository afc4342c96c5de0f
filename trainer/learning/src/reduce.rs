//! Weighted sums over the files that workers published: chunk by chunk, each chunk over all files before the next.
//!
//! Each value is summed in f64 in the order of the files and rounded to f32 once, so neither the arrival order of
//! workers nor the number of threads ever shows. Memory: the result, and a few chunks for each thread. No chunk counts
//! before its checksum was right.

use crate::chunked::{Buffer, CHUNK, Chunked, Notes};
use crate::{Error, Result};
use protocol::FileRef;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};
use safetensors::tensor::Dtype;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// The files of a stage's workers, in worker order.
#[derive(Debug)]
pub(crate) struct Results {
    files: Vec<Chunked>,
}

impl Results {
    /// Opens files that have the same arrays.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Damaged`] for a file whose arrays differ from those of the first.
    pub(crate) fn open(folder: &Path, files: &[FileRef]) -> Result<Results> {
        let files = files.iter().map(|file| Chunked::open(folder, file)).collect::<Result<Vec<_>>>()?;
        let Some(first) = files.first() else {
            return Err(Error::argument("files to sum", "at least one", "none"));
        };
        let layout = |file: &Chunked| -> (usize, Vec<(String, Dtype)>) {
            (file.length(), file.layout().into_iter().map(|(name, dtype)| (name.to_owned(), dtype)).collect())
        };
        let expected = layout(first);
        if let Some(other) = files.iter().find(|file| layout(file) != expected) {
            return Err(Error::damaged(
                other.path(),
                format!("{expected:?}"),
                format!("{:?}", layout(other)),
            ));
        }
        Ok(Results { files })
    }

    /// Values of each array.
    pub(crate) fn length(&self) -> usize {
        self.files[0].length()
    }

    /// Each worker's file and the text in it.
    pub(crate) fn notes(&self) -> impl ExactSizeIterator<Item = (&Path, &Notes)> {
        self.files.iter().map(|file| (file.path(), file.notes()))
    }

    /// Σ weight · array, for the values of `range`, by the arrays' names; `range` begins at a chunk.
    ///
    /// # Errors
    /// As [`Chunked::chunk`].
    pub(crate) fn sum(
        &self,
        weights: &[f64],
        range: Range<usize>,
        threads: usize,
    ) -> Result<BTreeMap<String, Vec<f32>>> {
        let pool = ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
        let pool = pool.map_err(|_| Error::Thread("sums"))?;
        let names = self.files[0].layout().into_iter();
        names.map(|(name, _)| Ok((name.to_owned(), self.sum_array(name, weights, &range, &pool)?))).collect()
    }

    fn sum_array(
        &self,
        name: &str,
        weights: &[f64],
        range: &Range<usize>,
        pool: &ThreadPool,
    ) -> Result<Vec<f32>> {
        let mut sum = vec![0.0; range.len()];
        let mut chunks: Vec<&mut [f32]> = sum.chunks_mut(CHUNK).collect();
        let first = range.start / CHUNK;
        let one = |(buffer, totals): &mut (Buffer, Vec<f64>), (chunk, sum): (usize, &mut &mut [f32])| {
            totals.clear();
            totals.resize(sum.len(), 0.0);
            for (file, &weight) in self.files.iter().zip(weights) {
                let values = file.chunk(name, first + chunk, buffer)?;
                totals.iter_mut().zip(values).for_each(|(total, value)| *total += weight * f64::from(*value));
            }
            sum.iter_mut().zip(totals).for_each(|(sum, total)| *sum = *total as f32);
            Ok(())
        };
        pool.install(|| {
            let memory = <(Buffer, Vec<f64>)>::default;
            chunks.par_iter_mut().enumerate().map_init(memory, one).collect::<Result<()>>()
        })?;
        Ok(sum)
    }
}

/// The part of `length` values that slice `slice` of `slices` has; each begins at a chunk.
pub(crate) fn slice(length: usize, slices: u32, slice: u32) -> Range<usize> {
    let chunks = length.div_ceil(CHUNK) as u64;
    let cut = |n: u32| length.min((chunks * u64::from(n) / u64::from(slices)) as usize * CHUNK);
    cut(slice)..cut(slice + 1)
}

#[cfg(test)]
mod tests;
