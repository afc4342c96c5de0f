//! Procedural images: labelled shapes and textures whose colour, place, size, rotation and light do not
//! depend on the class.
//!
//! Image `i` of a class depends on the seed, the class and `i` only, so any image can be made alone.

mod patterns;
mod random;
mod scene;

use crate::collection::{Collection, Images, Part, Role, SourceFile, Unread};
use crate::{Error, Result};
use datasets::images::{Geometry, Image};
use patterns::{BASE, Class, NOVEL};
use random::Random;

/// Part of every generated dataset's recipe: counts up when the same seed draws other images.
const VERSION: u32 = 1;

/// The number of the first validation image: training images never reach it, however many there are.
const FIRST_VAL: u64 = 1 << 32;

/// The two disjoint sets of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ClassSet {
    /// Those that the small network is pretrained on.
    Base,
    /// Those of the demo, which that network has not seen.
    Novel,
}

impl ClassSet {
    /// The names of the classes; a label is an index into them.
    pub fn names(self) -> Vec<&'static str> {
        self.classes().iter().map(|class| class.name).collect()
    }

    /// Draws image number `image` of a class.
    ///
    /// Shapes: `side * side * 3` bytes, RGB, row by row. Panics when there is no such class.
    pub fn draw(self, class: usize, image: u64, side: usize, seed: u64) -> Vec<u8> {
        let stream = match self {
            ClassSet::Base => class as u64,
            ClassSet::Novel => 1_000 + class as u64,
        };
        scene::draw(&self.classes()[class], &mut Random::new(seed, stream, image), side)
    }

    fn classes(self) -> &'static [Class] {
        match self {
            ClassSet::Base => &BASE,
            ClassSet::Novel => &NOVEL,
        }
    }
}

/// A set of images to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The classes.
    pub classes: ClassSet,
    /// Training images of each class.
    pub per_class: u32,
    /// Validation images of each class.
    pub val_per_class: u32,
    /// Side of the square images, in pixels.
    pub size: u32,
    /// Keys every random number.
    pub seed: u64,
}

impl Generated {
    pub(crate) fn open(self) -> Result<Collection> {
        if self.per_class == 0 {
            return Err(Error::option("--images-per-class", "at least 1", "0"));
        }
        let side = self.size as usize;
        let part = |name: &str, role, per_class: u32, first| {
            let labels =
                (0..self.classes.classes().len() as u32).flat_map(|c| (0..per_class).map(move |_| c));
            let images = Box::new(Drawn { what: self, per_class, first });
            Part { name: name.into(), role, labels: labels.collect(), images }
        };
        let mut parts = vec![part("train", Role::Train, self.per_class, 0)];
        if self.val_per_class > 0 {
            parts.push(part("val", Role::Val, self.val_per_class, FIRST_VAL));
        }
        let counts = format!("{} + {}", self.per_class, self.val_per_class);
        let name =
            format!("generator {VERSION}: {:?}, {counts}, size {side}, seed {}", self.classes, self.seed);
        Ok(Collection {
            kind: "generate",
            classes: self.classes.names().into_iter().map(String::from).collect(),
            geometry: Geometry::fixed(side, side, 3),
            image_bytes: side * side * 3,
            parts,
            by_class: true,
            files: vec![SourceFile { name, bytes: 0, xxh3: None }],
            notes: vec![],
        })
    }
}

/// Images that are drawn when they are read.
struct Drawn {
    what: Generated,
    per_class: u32,
    first: u64,
}

impl Images for Drawn {
    fn name(&self, index: usize) -> String {
        let per_class = self.per_class as usize;
        format!("{}[{}]", self.what.classes.names()[index / per_class], index % per_class)
    }

    fn read(&self, index: usize) -> Result<Image, Unread> {
        let Generated { classes, size, seed, .. } = self.what;
        let per_class = self.per_class as usize;
        let (side, number) = (size as usize, self.first + (index % per_class) as u64);
        let pixels = classes.draw(index / per_class, number, side, seed);
        Ok(Image { height: side, width: side, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_depends_on_seed_class_and_number_only() {
        let draw = |class, image, seed| ClassSet::Base.draw(class, image, 24, seed);
        assert_eq!(draw(3, 5, 1), draw(3, 5, 1));
        assert_eq!(draw(3, 5, 1).len(), 24 * 24 * 3);
        for (class, image, seed) in [(4, 5, 1), (3, 6, 1), (3, 5, 2)] {
            assert_ne!(draw(3, 5, 1), draw(class, image, seed));
        }
    }

    #[test]
    fn no_class_is_in_both_sets_and_names_are_unique() {
        let mut names = ClassSet::Base.names();
        names.extend(ClassSet::Novel.names());
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
    }

    /// The mean colour of a class does not reveal it: all class means are close together.
    #[test]
    fn mean_colour_does_not_tell_the_class() {
        for class in 0..10 {
            let bytes = (0..300).flat_map(|i| ClassSet::Novel.draw(class, i, 16, 9));
            let (sum, count) = bytes.fold((0u64, 0u64), |(sum, n), byte| (sum + u64::from(byte), n + 1));
            let mean = sum as f64 / count as f64;
            assert!((mean - 118.0).abs() < 12.0, "class {class} has mean {mean}, seed 9");
        }
    }

    #[test]
    fn every_pattern_can_be_seen() {
        for set in [ClassSet::Base, ClassSet::Novel] {
            for (class, name) in set.classes().iter().enumerate() {
                let on = |x, y| (name.pattern)(&patterns::At { x, y, vary: &[0.5; 4] });
                let side = (0..40).map(|i| (i as f32 - 19.5) / 20.0);
                let hits = side
                    .clone()
                    .flat_map(|y| side.clone().map(move |x| (x, y)))
                    .filter(|p| on(p.0, p.1))
                    .count();
                assert!((100..1500).contains(&hits), "{} ({class}) covers {hits} of 1600 points", name.name);
            }
        }
    }

    #[test]
    fn a_dataset_is_the_same_every_time_and_more_training_images_leave_validation_alone() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, per_class, threads| {
            let what = Generated { classes: ClassSet::Novel, per_class, val_per_class: 3, size: 16, seed: 1 };
            let options = crate::Options { threads, ..crate::Options::new(folder.path().join(name)) };
            crate::prepare(&crate::Source::Generate(what), &options, &|_| {}).unwrap()
        };
        let (one, two) = (make("one", 4, Some(1)), make("two", 4, Some(2)));
        assert_eq!(one.digest, two.digest);
        let more = make("more", 6, None);
        let shards = |summary: &crate::Summary, split: &str| summary.manifest.splits[split].shards[0].clone();
        let checksums =
            |summary, split| shards(summary, split).files().map(|f| f.xxh3.clone()).collect::<Vec<_>>();
        assert_eq!(checksums(&one, "val"), checksums(&more, "val"));
        assert_ne!(checksums(&one, "train"), checksums(&more, "train"));
        assert_eq!(one.manifest.splits["train"].per_class, [4; 10]);
    }
}
