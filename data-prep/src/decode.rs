//! Decodes one image file, whatever its name says, into RGB with a bounded shorter side.
//!
//! JPEG, PNG, GIF (first frame), BMP, WebP and TIFF (first page) are recognised by their content. Grey,
//! palette, 16-bit and CMYK images become 8-bit RGB; transparent ones are laid over white; the camera's
//! orientation is applied. Colour profiles are not. A picture with a missing part is refused.

mod jpeg;

use crate::content::{describe, kind_of};
use crate::files::load;
use datasets::images::Image;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// The longest side of an image, and the most bytes of its decoded pixels.
const MAX_SIDE: u32 = 32_768;
const MAX_BYTES: u64 = 1 << 30;
/// A small file can claim any size: it may take this many bytes, and a multiple of its own length.
const FREE_BYTES: u64 = 64 << 20;
const BYTES_PER_BYTE: u64 = 4_096;

/// The longest image file that is read.
pub(crate) const MAX_FILE_BYTES: u64 = 256 << 20;

/// A 16-bit image whose largest value is not above this has probably 12 bits or fewer, and would become
/// black.
const LARGEST_OF_12_BITS: u16 = 4095;

/// Counts up when the same file would be decoded to other pixels.
pub(crate) const DECODE_VERSION: u32 = 2;

/// Endings of names that say that a file is an image, whether or not it is of a kind that is read.
const IMAGE_ENDINGS: [&str; 22] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "gif", "bmp", "dib", "webp", "tif", "tiff", "avif", "heic", "heif",
    "jxl", "jp2", "ppm", "pgm", "ico", "psd", "dng", "nef",
];

/// How images are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The shorter side becomes at most this; no image is enlarged.
    pub short_side: u32,
    /// How many bits the values of 16-bit files have, if fewer than 16: a camera's 10, 12 or 14.
    pub bits: Option<u8>,
}

impl Reading {
    /// 8-bit images, and 16-bit ones that use their range.
    pub fn new(short_side: u32) -> Reading {
        Reading { short_side, bits: None }
    }
}

/// Why a file could not be read as an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoImage {
    /// It is not an image, and its name does not say that it is one: another file among images.
    #[error("{0}")]
    Stray(String),
    /// It is damaged, too large, or of a kind that is not supported.
    #[error("{0}")]
    Unreadable(String),
}

/// Reads an image file. Only plain files are ever opened.
///
/// # Errors
/// [`NoImage`], with a reason that repeats nothing of the file's content.
pub fn read_image(path: &Path, reading: &Reading) -> Result<Image, NoImage> {
    let content = load(path, MAX_FILE_BYTES).map_err(|e| NoImage::Unreadable(e.reason()))?;
    decode_named(&path.to_string_lossy(), &content, reading)
}

/// Decodes the content of a file of this name.
///
/// # Errors
/// As [`read_image`].
pub(crate) fn decode_named(name: &str, content: &[u8], reading: &Reading) -> Result<Image, NoImage> {
    decode(content, reading).map_err(|why| {
        match image::guess_format(content).is_ok() || is_named_like_an_image(name) {
            true => NoImage::Unreadable(why),
            false => NoImage::Stray(why),
        }
    })
}

/// Whether a file's name says that it is an image, or says nothing.
pub(crate) fn is_named_like_an_image(name: &str) -> bool {
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_none_or(|ending| IMAGE_ENDINGS.contains(&&ending[..]))
}

/// Decodes an image.
///
/// # Errors
/// Why the content cannot be read as an image, in words that repeat nothing of it.
pub fn decode(content: &[u8], reading: &Reading) -> Result<Image, String> {
    let rgb = fit(decode_rgb(content, reading.bits)?, reading.short_side);
    Ok(Image { height: rgb.height() as usize, width: rgb.width() as usize, pixels: rgb.into_raw() })
}

fn decode_rgb(content: &[u8], bits: Option<u8>) -> Result<RgbImage, String> {
    let kind = kind_of(content).unwrap_or("an image");
    let in_words = |error: ImageError| match error {
        ImageError::Limits(_) => format!("{kind} that decodes to more bytes than allowed for its length"),
        ImageError::Unsupported(_) => format!("{kind} of a form that is not supported"),
        _ => format!("{kind} that is damaged or truncated"),
    };
    let mut reader =
        ImageReader::new(Cursor::new(content)).with_guessed_format().map_err(|e| e.to_string())?;
    let Some(format) = reader.format() else { return Err(not_an_image(content)) };
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    let most = MAX_BYTES.min(FREE_BYTES + BYTES_PER_BYTE * content.len() as u64);
    limits.max_alloc = Some(most);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(in_words)?;
    if decoder.total_bytes() > most {
        let ((width, height), bytes) = (decoder.dimensions(), content.len());
        return Err(format!(
            "a claim to be {width} x {height} in {bytes} bytes; at most {most} may be decoded"
        ));
    }
    if format == ImageFormat::Jpeg {
        jpeg::check(content)?;
    }
    let orientation = decoder.orientation().map_err(in_words)?;
    let mut image = to_full_range(DynamicImage::from_decoder(decoder).map_err(in_words)?, bits)?;
    image.apply_orientation(orientation);
    if image.width() == 0 || image.height() == 0 {
        return Err("an image without pixels".into());
    }
    Ok(if image.color().has_alpha() { over_white(&image) } else { image.into_rgb8() })
}

/// Stretches values of fewer bits than 16 to the whole range; refuses an image that would become black.
fn to_full_range(mut image: DynamicImage, bits: Option<u8>) -> Result<DynamicImage, String> {
    let channels = usize::from(image.color().channel_count());
    let colours = channels - usize::from(image.color().has_alpha());
    let values = match &mut image {
        DynamicImage::ImageLuma16(image) => &mut image.as_flat_samples_mut().samples[..],
        DynamicImage::ImageLumaA16(image) => image.as_flat_samples_mut().samples,
        DynamicImage::ImageRgb16(image) => image.as_flat_samples_mut().samples,
        DynamicImage::ImageRgba16(image) => image.as_flat_samples_mut().samples,
        DynamicImage::ImageRgb32F(image) => {
            return in_unit_range(image.as_raw()).map(|()| image.clone().into());
        }
        DynamicImage::ImageRgba32F(image) => {
            return in_unit_range(image.as_raw()).map(|()| image.clone().into());
        }
        _ => return Ok(image),
    };
    let largest = values.chunks(channels).flat_map(|pixel| &pixel[..colours]).copied().max().unwrap_or(0);
    match bits {
        None if largest > 0 && largest <= LARGEST_OF_12_BITS => Err(format!(
            "a 16-bit image whose largest value is {largest} of 65535, nearly black: \
             if its values have 12 or 10 bits, say so with --bits"
        )),
        None => Ok(image),
        Some(bits) => {
            let full = ((1u32 << bits) - 1).min(65535);
            if u32::from(largest) > full {
                return Err(format!(
                    "a 16-bit image with a value of {largest}, which is more than {bits} bits"
                ));
            }
            for value in values.chunks_mut(channels).flat_map(|pixel| &mut pixel[..colours]) {
                *value = ((u32::from(*value) * 65535 + full / 2) / full) as u16;
            }
            Ok(image)
        }
    }
}

/// Refuses fractions that would be cut off at black and white.
fn in_unit_range(values: &[f32]) -> Result<(), String> {
    match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        Some(value) => Err(format!("an image of fractions with a value of {value}, outside of 0 to 1")),
        None => Ok(()),
    }
}

/// Lays a transparent image over white, as a web page does.
fn over_white(image: &DynamicImage) -> RgbImage {
    let rgba = image.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, alpha] = rgba.get_pixel(x, y).0.map(u32::from);
        image::Rgb([r, g, b].map(|c| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}

/// Shrinks with a triangle filter as wide as the step, which is Pillow's antialiased bilinear.
fn fit(rgb: RgbImage, short_side: u32) -> RgbImage {
    let (width, height) = rgb.dimensions();
    let short = width.min(height);
    if short <= short_side {
        return rgb;
    }
    let scaled = |side: u32| {
        ((u64::from(side) * u64::from(short_side) * 2 + u64::from(short)) / (2 * u64::from(short))) as u32
    };
    let (new_width, new_height) = (scaled(width), scaled(height));
    let mut shrunk = RgbImage::new(new_width, new_height);
    let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, &rgb).expect("three bytes for each pixel");
    let mut target = TypedImage::<U8x3>::from_buffer(new_width, new_height, &mut shrunk)
        .expect("three bytes for each pixel");
    Resizer::new().resize_typed(&source, &mut target, &triangle).expect("the whole of both images");
    shrunk
}

fn not_an_image(content: &[u8]) -> String {
    format!("no JPEG, PNG, GIF, BMP, WebP or TIFF, but {}", describe(content))
}

#[cfg(test)]
mod tests;
