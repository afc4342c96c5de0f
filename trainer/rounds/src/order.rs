//! The order of the examples: a permutation for each pass, made from the seed; and the copy that is taken of
//! each.
//!
//! Small sets are shuffled row by row. For sets that are read from disk as they are used, blocks of
//! neighbouring rows are shuffled, then the rows within a window of some blocks: each window then reads whole
//! blocks. Which of the two depends on the sizes alone.

use super::random::{Purpose, Stream};
use std::ops::Range;

/// A set up to this size, in bytes as f32, is shuffled row by row.
const WHOLE_BYTES: usize = 96 << 20;
/// Bytes of a block.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks of a window.
const WINDOW_BLOCKS: usize = 32;

/// The number of training examples and of their copies; rows are copy after copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Examples {
    /// Examples.
    pub count: usize,
    /// Copies of each, in different forms.
    pub copies: usize,
    /// Bytes of a copy, as f32.
    pub bytes: usize,
    /// Held-out examples, for scoring.
    pub held_out: usize,
}

impl Examples {
    /// Neighbouring examples that are read together, if this many examples are read from disk during
    /// training.
    fn block(&self, examples: usize) -> Option<usize> {
        let bytes = self.copies * self.bytes;
        (examples * bytes > WHOLE_BYTES).then(|| (BLOCK_BYTES / bytes).max(1))
    }

    /// A permutation of all examples, for the pass named by two numbers.
    pub fn order(&self, seed: u64, pass: u32, part: u32) -> Vec<u32> {
        self.order_of(self.count, seed, pass, part)
    }

    /// The same for this many places, each of which is one of the examples in ascending order.
    pub(super) fn order_of(&self, examples: usize, seed: u64, pass: u32, part: u32) -> Vec<u32> {
        let mut stream = Stream::new(seed, Purpose::Order, pass, part);
        let mut order: Vec<u32> = (0..examples as u32).collect();
        let Some(block) = self.block(examples) else {
            stream.shuffle(&mut order);
            return order;
        };
        let mut blocks: Vec<&[u32]> = order.chunks(block).collect();
        stream.shuffle(&mut blocks);
        let mut order = blocks.concat();
        order.chunks_mut(block * WINDOW_BLOCKS).for_each(|window| stream.shuffle(window));
        order
    }

    /// The rows of examples in a pass over all of them: of each example one copy.
    ///
    /// An example begins with a copy that the seed draws and takes the next one in each pass, so that all
    /// copies are used. Examples that are read together begin with the same copy, so that each read is
    /// contiguous.
    pub(super) fn rows(&self, seed: u64, pass: u64, examples: &[u32]) -> Vec<u32> {
        let copies = self.copies as u64;
        if copies == 1 {
            return examples.to_vec();
        }
        let block = self.block(self.count).unwrap_or(1) as u32;
        let row = |&example: &u32| {
            let first = Stream::new(seed, Purpose::Copy, example / block, 0).below(copies);
            ((first + pass) % copies) as u32 * self.count as u32 + example
        };
        examples.iter().map(row).collect()
    }
}

/// The part of `length` things for worker `worker` of `workers`: parts differ by at most one.
pub(super) fn share(length: usize, workers: u32, worker: u32) -> Range<usize> {
    let cut = |n: u32| (length as u64 * u64::from(n) / u64::from(workers)) as usize;
    cut(worker)..cut(worker + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn examples(count: usize, copies: usize, columns: usize) -> Examples {
        Examples { count, copies, bytes: columns * 4, held_out: 0 }
    }

    fn sorted(mut order: Vec<u32>) -> Vec<u32> {
        order.sort_unstable();
        order
    }

    #[test]
    fn each_pass_has_every_row_once_and_its_own_order() {
        for (rows, columns) in [(1, 5), (1_000, 512), (30_001, 1_000)] {
            let bank = examples(rows, 1, columns);
            let first = bank.order(1, 1, 0);
            assert_eq!(first, bank.order(1, 1, 0));
            assert_eq!(sorted(first.clone()), (0..rows as u32).collect::<Vec<_>>());
            if rows > 1 {
                assert_ne!(first, bank.order(1, 2, 0));
                assert_ne!(first, bank.order(1, 1, 1));
                assert_ne!(first, bank.order(2, 1, 0));
            }
        }
    }

    #[test]
    fn a_window_of_a_large_set_reads_whole_blocks_from_all_over() {
        let (rows, columns) = (30_000, 1_024); // 256 rows in a block
        let order = examples(rows, 1, columns).order(3, 1, 0);
        let window = sorted(order[..256 * WINDOW_BLOCKS].to_vec());
        let runs = window.chunk_by(|a, b| a + 1 == *b).count();
        assert!(runs <= WINDOW_BLOCKS, "{runs} runs");
        assert!(window[0] < 6_000 && window[window.len() - 1] > 24_000);
        let steps = order.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        assert!(steps < 100, "{steps} rows follow their neighbour");
    }

    #[test]
    fn every_copy_of_every_image_comes_by_and_one_in_each_pass() {
        for (images, columns) in [(60, 5), (10_000, 4_096)] {
            let bank = examples(images, 4, columns);
            let all = bank.order(7, 1, 0);
            let passes: Vec<Vec<u32>> = (3..7).map(|pass| bank.rows(7, pass, &all)).collect();
            let image = |row: &u32| row % images as u32;
            assert!(passes.iter().all(|rows| rows.iter().map(image).eq(all.iter().copied())));
            assert_eq!(sorted(passes.concat()), (0..4 * images as u32).collect::<Vec<_>>());
            assert_eq!(bank.rows(7, 7, &all), passes[0]);
            assert_ne!(bank.rows(8, 3, &all), passes[0], "another seed");
            let copies: HashSet<u32> = passes[0][..60].iter().map(|row| row / images as u32).collect();
            assert_eq!(copies.len(), 4, "a batch has all of them");
            let runs = sorted(passes[0].clone()).chunk_by(|a, b| a + 1 == *b).count();
            let blocks = images.div_ceil(bank.block(images).unwrap_or(1));
            assert!(runs <= blocks, "{runs} runs of {blocks} blocks");
        }
    }

    #[test]
    fn shares_cover_everything_and_differ_by_one() {
        for (length, workers) in [(10, 3), (3, 10), (0, 4), (1_000_003, 64)] {
            let shares: Vec<_> = (0..workers).map(|w| share(length, workers, w)).collect();
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!((shares[0].start, shares[workers as usize - 1].end), (0, length));
            let lengths = shares.iter().map(|s| s.len());
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }
}
