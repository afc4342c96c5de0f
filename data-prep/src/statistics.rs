//! Mean and standard deviation of each channel, as exact sums, so that the order of the work changes no bit.

use datasets::images::Image;
use serde::{Deserialize, Serialize};

/// Sums over pixels; grey images count equally in all three channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pixels: u64,
    values: [u64; 3],
    squares: [u64; 3],
}

impl Sums {
    /// The sums of one image with 1 or 3 channels.
    pub(crate) fn of(image: &Image, channels: usize) -> Sums {
        let mut sums = Sums { pixels: (image.height * image.width) as u64, ..Sums::default() };
        for pixel in image.pixels.chunks_exact(channels) {
            for c in 0..3 {
                let value = u64::from(pixel[c % channels]);
                sums.values[c] += value;
                sums.squares[c] += value * value;
            }
        }
        sums
    }

    /// Both together.
    pub(crate) fn plus(self, other: Sums) -> Sums {
        Sums {
            pixels: self.pixels + other.pixels,
            values: std::array::from_fn(|c| self.values[c] + other.values[c]),
            squares: std::array::from_fn(|c| self.squares[c] + other.squares[c]),
        }
    }

    /// Mean and standard deviation of each channel, in 0..1.
    pub(crate) fn mean_and_std(self) -> ([f64; 3], [f64; 3]) {
        let pixels = self.pixels.max(1) as f64;
        let mean = self.values.map(|sum| sum as f64 / pixels / 255.0);
        let std = std::array::from_fn(|c| {
            let square = self.squares[c] as f64 / pixels / (255.0 * 255.0);
            (square - mean[c] * mean[c]).max(0.0).sqrt()
        });
        (mean, std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definition() {
        let pixels: Vec<u8> = (0..36).map(|i| (i * 37 % 256) as u8).collect();
        let image = Image { height: 3, width: 4, pixels: pixels.clone() };
        let (mean, std) = Sums::of(&image, 3).mean_and_std();
        for c in 0..3 {
            let channel: Vec<f64> = pixels.iter().skip(c).step_by(3).map(|&p| f64::from(p) / 255.0).collect();
            let m = channel.iter().sum::<f64>() / 12.0;
            let v = channel.iter().map(|x| (x - m).powi(2)).sum::<f64>() / 12.0;
            assert!((mean[c] - m).abs() < 1e-12 && (std[c] - v.sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn grey_counts_in_all_channels() {
        let image = Image { height: 1, width: 2, pixels: vec![0, 255] };
        assert_eq!(Sums::of(&image, 1).mean_and_std(), ([0.5; 3], [0.5; 3]));
    }
}
