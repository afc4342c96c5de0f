//! Small pictures of the images of samples, read from the data set beside the run.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datasets::images::{Dataset, Image};
use image::imageops::{FilterType, resize, thumbnail};
use image::{ImageFormat, RgbImage};
use std::collections::BTreeMap;
use std::io::Cursor;
use storage::Root;

/// The longest side of a picture, in pixels.
const SIDE: u32 = 96;

/// Images of a data set's split, as PNG in data addresses; without those that cannot be read.
pub(super) fn read(
    root: &Root,
    (dataset, split): (&str, &str),
    images: impl Iterator<Item = u64>,
) -> BTreeMap<u64, String> {
    let dataset = root.dataset(dataset).and_then(Dataset::open_unverified);
    let Ok(split) = dataset.as_ref().map_err(drop).and_then(|dataset| dataset.split(split).map_err(drop))
    else {
        return BTreeMap::new();
    };
    let picture = |number: u64| {
        let (place, mut images) = (usize::try_from(number).ok()?, Vec::new());
        split.read_images(place..place.checked_add(1)?, &mut images).ok()?;
        Some((number, encode(images.pop()?)?))
    };
    images.filter_map(picture).collect()
}

/// An image as a data address: each pixel of a small one is a square, a large one is made smaller.
fn encode(image: Image) -> Option<String> {
    let mut image = RgbImage::from_raw(image.width as u32, image.height as u32, image.pixels)?;
    let (width, height) = image.dimensions();
    let long = width.max(height).max(1);
    if long > SIDE {
        let scaled = |side: u32| (side * SIDE / long).max(1);
        image = thumbnail(&image, scaled(width), scaled(height));
    } else {
        let times = SIDE / long;
        image = resize(&image, width * times, height * times, FilterType::Nearest);
    }
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(side: usize) -> RgbImage {
        let image = Image { height: side, width: 2 * side, pixels: vec![9; side * side * 2 * 3] };
        let address = encode(image).unwrap();
        let bytes = BASE64_STANDARD.decode(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgb8()
    }

    #[test]
    fn small_images_keep_their_pixels_and_large_ones_become_small() {
        assert_eq!(decoded(16).dimensions(), (96, 48));
        assert_eq!(decoded(300).dimensions(), (96, 48));
        assert!(decoded(300).pixels().all(|pixel| pixel.0 == [9; 3]));
        assert!(encode(Image { height: 2, width: 2, pixels: vec![0] }).is_none());
    }
}
