//! A layer's outputs dealt in strips to the threads, with scratch memory for each thread.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::Error;
use crate::kernels::{Buffer, Target};

/// The resources of a layer's run. Made inside the pool whose threads it serves.
pub(crate) struct Crew {
    pub(crate) target: Target,
    pub(crate) threads: usize,
    /// One for each thread, of the largest size that a layer needs.
    pub(crate) scratch: Vec<Mutex<Buffer>>,
}

impl Crew {
    /// The same with `floats` of scratch for each thread.
    ///
    /// Errors: no memory.
    pub(crate) fn with_scratch(self, floats: usize) -> Result<Crew, Error> {
        let scratch = (0..self.threads).map(|_| Buffer::zeroed(floats)).collect::<Result<Vec<_>, _>>();
        let scratch = scratch.map_err(|source| Error::Memory { what: "scratch", source })?;
        Ok(Crew { scratch: scratch.into_iter().map(Into::into).collect(), ..self })
    }

    /// Runs `work` on every range and its part of `out`; `floats` says how long that part is.
    ///
    /// The parts follow each other in `out`. The last may be shorter when `out` is.
    pub(crate) fn deal(
        &self,
        mut out: &mut [f32],
        ranges: impl Iterator<Item = Range<usize>>,
        floats: impl Fn(&Range<usize>) -> usize,
        work: impl Fn(Range<usize>, &mut [f32], &mut [f32]) + Sync,
    ) {
        let mut strips = Vec::new();
        for range in ranges {
            let (strip, rest) = out.split_at_mut(floats(&range).min(out.len()));
            strips.push((range, strip));
            out = rest;
        }
        strips.into_par_iter().with_max_len(1).for_each(|(range, strip)| {
            let thread = rayon::current_thread_index().unwrap_or(0) % self.scratch.len();
            // Scratch has nothing from before, so a panic elsewhere did no harm to it.
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            work(range, strip, &mut scratch);
        });
    }
}

/// `0..count` in pieces of nearly equal size, none larger than `most`,
/// in a multiple of `threads` pieces if it can be.
pub(crate) fn even(count: usize, most: usize, threads: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let pieces = count.div_ceil(most.max(1)).next_multiple_of(threads.max(1)).clamp(1, count.max(1));
    (0..pieces).map(move |piece| count * piece / pieces..count * (piece + 1) / pieces)
}

/// The rows of a batch of images, those of each image cut by [`even`]: no strip has rows of two images.
pub(crate) fn inside_images(
    images: usize,
    height: usize,
    most: usize,
    threads: usize,
) -> impl Iterator<Item = Range<usize>> {
    let each = even(height, most, threads);
    (0..images).flat_map(move |image| {
        each.clone().map(move |rows| image * height + rows.start..image * height + rows.end)
    })
}

/// The same where a strip computes lines that its neighbour computes too: whole images,
/// if they keep all threads busy.
pub(crate) fn whole_images(
    images: usize,
    height: usize,
    threads: usize,
) -> impl Iterator<Item = Range<usize>> {
    let pieces = if images.is_multiple_of(threads) { 1 } else { threads };
    inside_images(images, height, height, pieces)
}

/// Moves lines of `floats` that the next chunk reads again to the front of `lines`, and returns the missing
/// ones, which come after them.
///
/// `lines` has the lines `there` of an image, the chunk reads lines `reads`, which end no earlier.
pub(crate) fn slide(
    lines: &mut [f32],
    floats: usize,
    there: &Range<usize>,
    reads: &Range<usize>,
) -> Range<usize> {
    let kept = reads.start.clamp(there.start, there.end)..there.end;
    lines.copy_within((kept.start - there.start) * floats..(kept.end - there.start) * floats, 0);
    reads.start.max(kept.end)..reads.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_begins_with_what_the_one_before_left() {
        let mut lines: Vec<f32> = (0..8).map(|x| x as f32).collect();
        assert_eq!(slide(&mut lines, 2, &(0..0), &(0..3)), 0..3, "nothing is there yet");
        assert_eq!(slide(&mut lines, 2, &(10..14), &(12..15)), 14..15);
        assert_eq!(lines[..4], [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(slide(&mut lines, 2, &(12..14), &(15..17)), 15..17, "a stride beyond the window");
    }
}
