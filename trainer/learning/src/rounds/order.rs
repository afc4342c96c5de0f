//! The order in which the training images are gone through: a permutation for each pass, made from the seed.
//!
//! Small sets are shuffled row by row. For sets that are read from disk as they are used, blocks of neighbouring rows
//! are shuffled, then the rows within a window of some blocks: each window then reads whole blocks. Which of the two
//! depends on the sizes alone.

use crate::random::{Purpose, Stream};

/// A set up to this size, in bytes as f32, is shuffled row by row.
const WHOLE_BYTES: usize = 96 << 20;
/// Bytes of a block.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks of a window.
const WINDOW_BLOCKS: usize = 32;

/// A permutation of `rows` rows of `columns` f32, for the pass named by two numbers.
pub(super) fn order(seed: u64, pass: u32, part: u32, rows: usize, columns: usize) -> Vec<u32> {
    let mut stream = Stream::new(seed, Purpose::Order, pass, part);
    let mut order: Vec<u32> = (0..rows as u32).collect();
    if rows * columns * 4 <= WHOLE_BYTES {
        stream.shuffle(&mut order);
        return order;
    }
    let block = (BLOCK_BYTES / (columns * 4)).max(1);
    let mut blocks: Vec<&[u32]> = order.chunks(block).collect();
    stream.shuffle(&mut blocks);
    let mut order = blocks.concat();
    order.chunks_mut(block * WINDOW_BLOCKS).for_each(|window| stream.shuffle(window));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut order: Vec<u32>) -> Vec<u32> {
        order.sort_unstable();
        order
    }

    #[test]
    fn each_pass_has_every_row_once_and_its_own_order() {
        for (rows, columns) in [(1, 5), (1_000, 512), (30_001, 1_000)] {
            let first = order(1, 1, 0, rows, columns);
            assert_eq!(first, order(1, 1, 0, rows, columns));
            assert_eq!(sorted(first.clone()), (0..rows as u32).collect::<Vec<_>>());
            if rows > 1 {
                assert_ne!(first, order(1, 2, 0, rows, columns));
                assert_ne!(first, order(1, 1, 1, rows, columns));
                assert_ne!(first, order(2, 1, 0, rows, columns));
            }
        }
    }

    #[test]
    fn a_window_of_a_large_set_reads_whole_blocks_from_all_over() {
        let (rows, columns) = (30_000, 1_024); // 256 rows in a block
        let order = order(3, 1, 0, rows, columns);
        let window = sorted(order[..256 * WINDOW_BLOCKS].to_vec());
        let runs = window.chunk_by(|a, b| a + 1 == *b).count();
        assert!(runs <= WINDOW_BLOCKS, "{runs} runs");
        assert!(window[0] < 6_000 && window[window.len() - 1] > 24_000);
        let steps = order.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        assert!(steps < 100, "{steps} rows follow their neighbour");
    }
}
