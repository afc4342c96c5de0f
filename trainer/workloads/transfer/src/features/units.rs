//! Units: the images of one feature shard each, dealt to the workers round robin. A unit of training images
//! has one copy of them.

use std::ops::Range;

/// The splits that a data set may have, in the order in which they are computed.
pub(crate) const SPLITS: [&str; 3] = ["train", "val", "test"];

/// The images of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its place among all units.
    pub(crate) index: u64,
    /// The split that its images belong to.
    pub(crate) split: &'static str,
    /// Its images, by their index in the split.
    pub(crate) images: Range<usize>,
    /// The copy of the images.
    pub(crate) copy: u32,
    /// The place of its first row among the split's: copy after copy of all images.
    pub(crate) row: usize,
}

/// All units: split after split, the training split `copies` times, each cut from its start into pieces of
/// `unit_images`.
pub(crate) fn units(splits: &[(&'static str, usize)], copies: u32, unit_images: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    for &(split, images) in splits {
        for copy in 0..if split == SPLITS[0] { copies } else { 1 } {
            for first in (0..images).step_by(unit_images) {
                let (index, row) = (units.len() as u64, copy as usize * images + first);
                let images = first..images.min(first + unit_images);
                units.push(Unit { index, split, images, copy, row });
            }
        }
    }
    units
}

/// The units of one worker.
pub(crate) fn dealt(units: &[Unit], workers: u32, worker: u32) -> impl Iterator<Item = &Unit> {
    units.iter().skip(worker as usize).step_by(workers as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_cover_every_image_once_whoever_gets_them() {
        let all = units(&[("train", 10), ("val", 4), ("test", 0)], 1, 4);
        let found: Vec<_> = all.iter().map(|unit| (unit.split, unit.images.clone())).collect();
        assert_eq!(found, [("train", 0..4), ("train", 4..8), ("train", 8..10), ("val", 0..4)]);
        for workers in 1..7 {
            let mut dealt: Vec<u64> =
                (0..workers).flat_map(|w| dealt(&all, workers, w).map(|unit| unit.index)).collect();
            dealt.sort_unstable();
            assert_eq!(dealt, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn only_training_images_have_copies_and_their_rows_lie_one_behind_the_other() {
        let all = units(&[("train", 10), ("val", 4)], 3, 4);
        let found: Vec<_> = all.iter().map(|unit| (unit.split, unit.copy, unit.row)).collect();
        let train = [(0, 0), (0, 4), (0, 8), (1, 10), (1, 14), (1, 18), (2, 20), (2, 24), (2, 28)];
        assert_eq!(found[..9], train.map(|(copy, row)| ("train", copy, row)));
        assert_eq!(found[9..], [("val", 0, 0)]);
        assert_eq!((all[5].index, all[5].images.clone()), (5, 8..10));
    }
}
