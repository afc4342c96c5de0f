//! Other forms of a training image: mirrored, moved, with other colours. They depend on (seed, image, copy)
//! alone; copy 0 is the unchanged image.
//!
//! The stored image is changed before it is resized, in this order:
//!
//! 1. Mirrored, left to right, as often as not.
//! 2. Moved by whole pixels, as many across and down as are drawn from -p to p, where p is `crop` times the
//!    short side, rounded. What comes in over an edge is the image mirrored at that edge's pixels:
//!    torchvision's `RandomCrop(size, padding=p, padding_mode="reflect")`.
//! 3. Brightness, contrast and saturation, each times a factor drawn from 1 - `colour` to 1 + `colour`:
//!    torchvision's `adjust_brightness`, `adjust_contrast` and `adjust_saturation` on floats, rounded to
//!    bytes once, at the end.

use crate::job::Augment;
use datasets::images::Image;
use rounds::random::{Purpose, Stream};

/// The shares of red, green and blue in a grey.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

/// The changes of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    mirrored: bool,
    /// Rows and columns by which the image is moved.
    moved: [isize; 2],
    /// Factors of brightness, contrast and saturation.
    colours: [f32; 3],
}

/// A copy of an image of a split, by the image's index in it.
pub(crate) fn augmented(augment: &Augment, image: &Image, index: usize, copy: u32) -> Image {
    if copy == 0 {
        return image.clone();
    }
    Form::draw(augment, index as u32, copy, image.height.min(image.width)).of(image)
}

impl Form {
    /// Everything is always drawn, so that the effect of one key does not depend on the others.
    fn draw(augment: &Augment, index: u32, copy: u32, short: usize) -> Form {
        let mut stream = Stream::new(augment.seed, Purpose::Augment, index, copy);
        let mirrored = stream.bits32() & 1 == 1 && augment.flip;
        // Never by a whole side: the free area is filled with the image mirrored once.
        let most = ((augment.crop * short as f64).round() as usize).min(short.saturating_sub(1));
        let moved = [(); 2].map(|()| stream.below(2 * most as u64 + 1) as isize - most as isize);
        Form { mirrored, moved, colours: [(); 3].map(|()| 1.0 + stream.symmetric(augment.colour as f32)) }
    }

    /// The image in this form.
    fn of(&self, image: &Image) -> Image {
        let Image { height, width, .. } = *image;
        let [down, across] = self.moved;
        let mut pixels = Vec::with_capacity(image.pixels.len());
        for row in 0..height {
            let row = &image.pixels[within(row as isize + down, height) * width * 3..][..width * 3];
            for column in 0..width {
                let column = within(column as isize + across, width);
                let column = if self.mirrored { width - 1 - column } else { column };
                pixels.extend_from_slice(&row[column * 3..][..3]);
            }
        }
        if self.colours != [1.0; 3] {
            recolour(&mut pixels, self.colours);
        }
        Image { height, width, pixels }
    }
}

/// The pixel that is used for one beyond an edge.
fn within(at: isize, length: usize) -> usize {
    let last = length as isize - 1;
    (if at < 0 { -at } else { at.min(2 * last - at) }) as usize
}

/// Changes the colours of an image, `[pixels, 3]`.
fn recolour(pixels: &mut [u8], [brightness, contrast, saturation]: [f32; 3]) {
    let mut values: Vec<f32> = pixels.iter().map(|&byte| (brightness * f32::from(byte)).min(255.0)).collect();
    let grey = |pixel: &[f32]| GREY[0] * pixel[0] + GREY[1] * pixel[1] + GREY[2] * pixel[2];
    let sum: f64 = values.chunks_exact(3).map(|pixel| f64::from(grey(pixel))).sum();
    let mean = (sum / (values.len() / 3) as f64) as f32;
    let blend = |value: &mut f32, share: f32, other: f32| {
        *value = (share * *value + (1.0 - share) * other).clamp(0.0, 255.0);
    };
    for pixel in values.chunks_exact_mut(3) {
        pixel.iter_mut().for_each(|value| blend(value, contrast, mean));
        let grey = grey(pixel);
        pixel.iter_mut().for_each(|value| blend(value, saturation, grey));
    }
    pixels.iter_mut().zip(values).for_each(|(byte, value)| *byte = value.round() as u8);
}

#[cfg(test)]
mod tests;
