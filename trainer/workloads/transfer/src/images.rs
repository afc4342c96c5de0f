//! From a stored image to a network's input: one fixed rule, the same for features and for `predict`.
//!
//! 1. The short side becomes `size`, the long side `floor(size * long / short)`, by separable bilinear
//!    interpolation: pixel centres at half, a triangle of radius 1 when enlarging, of radius `old / new` when
//!    reducing (antialias), weights that sum to 1 at the edges too, no rounding in between. An image of that
//!    size already is left as it is.
//! 2. The `size` × `size` square in the middle; an odd remainder is halved to the even side, as Python
//!    rounds.
//! 3. Over 255, minus the mean, over the deviation, channel by channel: red, green, blue.
//!
//! This is torchvision's `Resize(size, antialias=True)`, `CenterCrop(size)`, `Normalize` on a float image,
//! and PIL's `Image.resize(BILINEAR)` but for PIL's rounding to bytes. No step depends on the machine or on
//! other images.

mod augment;

pub(crate) use augment::augmented;

use crate::weights::Normalisation;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The preprocessing of an image for a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Side of the square input, in pixels.
    pub size: usize,
    /// The normalisation of each channel.
    pub normalisation: Normalisation,
}

impl Preprocessing {
    /// Values of a prepared image.
    pub fn len(&self) -> usize {
        self.size * self.size * 3
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prepares one image.
    ///
    /// Shapes: `image` `[height, width, 3]`, red, green, blue; `out` `[size, size, 3]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a length contradicts the sizes.
    pub fn prepare(&self, image: &[u8], (height, width): (usize, usize), out: &mut [f32]) -> Result<()> {
        if height == 0 || width == 0 || image.len() != height * width * 3 || out.len() != self.len() {
            let expected = format!("{height} by {width} pixels of 3 bytes to {} values", self.len());
            let found = format!("{} bytes to {} values", image.len(), out.len());
            return Err(Error::argument("image", expected, found));
        }
        let (scaled_height, scaled_width) = self.scaled(height, width);
        let columns = window(width, scaled_width, self.size);
        let rows = window(height, scaled_height, self.size);
        // Only the rows that the square needs are narrowed.
        let first = rows.iter().map(|taps| taps.first).min().unwrap_or(0);
        let end = rows.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
        let narrowed: Vec<f32> = (first..end)
            .flat_map(|row| columns.iter().flat_map(move |taps| across(&image[row * width * 3..], taps)))
            .collect(); // [end - first, size, 3]
        for (taps, out) in rows.iter().zip(out.chunks_exact_mut(self.size * 3)) {
            self.down(&narrowed[(taps.first - first) * self.size * 3..], &taps.weights, out);
        }
        Ok(())
    }

    /// The size of the whole image after the first step.
    fn scaled(&self, height: usize, width: usize) -> (usize, usize) {
        let (short, long) = (height.min(width), height.max(width));
        let longer = self.size * long / short;
        if height <= width { (self.size, longer) } else { (longer, self.size) }
    }

    /// One row of the result: the weighted sum of rows, normalised.
    fn down(&self, narrowed: &[f32], weights: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (weight, row) in weights.iter().zip(narrowed.chunks_exact(out.len())) {
            out.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        let Normalisation { mean, std } = self.normalisation;
        for pixel in out.chunks_exact_mut(3) {
            for channel in 0..3 {
                pixel[channel] = (pixel[channel] / 255.0 - mean[channel]) / std[channel];
            }
        }
    }
}

/// The pixels that one pixel of the result is computed from, along one side.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of the middle `size` of `scaled` pixels, computed from `length`.
fn window(length: usize, scaled: usize, size: usize) -> Vec<Taps> {
    let spare = scaled - size;
    // Halves go to the even side.
    let offset = if spare % 4 == 3 { spare / 2 + 1 } else { spare / 2 };
    (offset..offset + size).map(|position| taps(length, scaled, position)).collect()
}

fn taps(length: usize, scaled: usize, position: usize) -> Taps {
    let scale = length as f64 / scaled as f64;
    let radius = scale.max(1.0);
    let centre = (position as f64 + 0.5) * scale;
    let first = ((centre - radius + 0.5) as i64).max(0) as usize;
    let end = ((centre + radius + 0.5) as usize).min(length);
    let triangle = |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - centre) / radius).abs()).max(0.0);
    let total: f64 = (first..end).map(triangle).sum();
    Taps { first, weights: (first..end).map(|pixel| (triangle(pixel) / total) as f32).collect() }
}

/// One pixel of a narrowed row.
fn across(row: &[u8], taps: &Taps) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for (weight, pixel) in taps.weights.iter().zip(row[taps.first * 3..].chunks_exact(3)) {
        for channel in 0..3 {
            sum[channel] += weight * f32::from(pixel[channel]);
        }
    }
    sum
}

#[cfg(test)]
mod tests;
