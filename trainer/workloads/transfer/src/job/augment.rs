//! The changes of training images, so that a run learns from each in more than one form.

use serde::{Deserialize, Serialize};

/// The forms of a training image: copy 0 is the unchanged image, the others are drawn, each independently.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Whether a copy may be mirrored, left to right.
    pub flip: bool,
    /// How far a copy may be moved in each direction, as a share of the image's short side:
    /// 0.125 is 4 of 32 pixels.
    pub crop: f64,
    /// How far brightness, contrast and saturation may each be from 1, as factors.
    pub colour: f64,
    /// Forms of each image, itself included.
    pub copies: u32,
    /// Seed of the drawn numbers; separate from the job's, so that runs with many seeds share a store.
    pub seed: u64,
}

impl Default for Augment {
    fn default() -> Augment {
        Augment { flip: false, crop: 0.0, colour: 0.0, copies: 4, seed: 0 }
    }
}
