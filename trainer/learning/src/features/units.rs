//! Units: the images of one feature shard each, dealt to the workers round robin.

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
}

/// All units: split after split, each cut from its start into pieces of `unit_images`.
pub(crate) fn units(splits: &[(&'static str, usize)], unit_images: usize) -> Vec<Unit> {
    let pieces = splits.iter().flat_map(|&(split, images)| {
        let piece = move |first| (split, first..images.min(first + unit_images));
        (0..images).step_by(unit_images).map(piece)
    });
    (0..).zip(pieces).map(|(index, (split, images))| Unit { index, split, images }).collect()
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
        let all = units(&[("train", 10), ("val", 4), ("test", 0)], 4);
        let found: Vec<_> = all.iter().map(|unit| (unit.split, unit.images.clone())).collect();
        assert_eq!(found, [("train", 0..4), ("train", 4..8), ("train", 8..10), ("val", 0..4)]);
        for workers in 1..7 {
            let mut dealt: Vec<u64> =
                (0..workers).flat_map(|w| dealt(&all, workers, w).map(|unit| unit.index)).collect();
            dealt.sort_unstable();
            assert_eq!(dealt, [0, 1, 2, 3]);
        }
    }
}
