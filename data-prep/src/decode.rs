//! Decodes one image file, whatever its name says, into RGB with a bounded shorter side.
//!
//! JPEG, PNG, GIF (first frame), BMP and WebP are told by their content. Grey, palette, 16-bit and CMYK images become
//! 8-bit RGB; transparent ones are laid over white; the orientation that a camera noted is applied. Colour profiles
//! are not.

use datasets::images::Image;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;

/// The longest side, and the most bytes that an image may have decoded.
const MAX_SIDE: u32 = 32_768;
const MAX_BYTES: u64 = 1 << 30;
/// A small file can claim any size: it gets so many bytes, and so many more for each of its own.
const FREE_BYTES: u64 = 64 << 20;
const BYTES_PER_BYTE: u64 = 4_096;

/// Decodes an image; its shorter side becomes at most `short_side`, and it is never enlarged.
///
/// # Errors
/// Why the content is no image that can be read, in words.
pub fn decode(content: &[u8], short_side: u32) -> Result<Image, String> {
    let rgb = fit(decode_rgb(content)?, short_side);
    Ok(Image { height: rgb.height() as usize, width: rgb.width() as usize, pixels: rgb.into_raw() })
}

fn decode_rgb(content: &[u8]) -> Result<RgbImage, String> {
    let mut reader =
        ImageReader::new(Cursor::new(content)).with_guessed_format().map_err(|e| e.to_string())?;
    let Some(format) = reader.format() else { return Err(not_an_image(content)) };
    if format == ImageFormat::Jpeg && !is_whole_jpeg(content) {
        return Err("a JPEG that ends before its end marker: truncated".into());
    }
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    let most = MAX_BYTES.min(FREE_BYTES + BYTES_PER_BYTE * content.len() as u64);
    limits.max_alloc = Some(most);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    if decoder.total_bytes() > most {
        let ((width, height), bytes) = (decoder.dimensions(), content.len());
        return Err(format!(
            "a claim to be {width} x {height} in {bytes} bytes; at most {most} are decoded of these"
        ));
    }
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    if image.width() == 0 || image.height() == 0 {
        return Err("an image without pixels".into());
    }
    Ok(if image.color().has_alpha() { over_white(&image) } else { image.into_rgb8() })
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
    imageops::resize(&rgb, scaled(width), scaled(height), FilterType::Triangle)
}

/// Whether the end marker follows the picture's data: the decoder fills what is missing with grey and says nothing.
fn is_whole_jpeg(content: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    // Segments, thumbnails within them included, are skipped by their lengths up to the picture's data.
    while let Some(&[0xff, marker]) = content.get(at..at + 2) {
        if marker == START_OF_SCAN {
            return content[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        let has_length = !matches!(marker, 0x01 | 0xd0..=0xd8 | 0xff);
        let length = content.get(at + 2..at + 4).map(|l| u16::from_be_bytes([l[0], l[1]]) as usize);
        at += match (has_length, length) {
            (true, Some(length)) => 2 + length,
            (true, None) => return false,
            (false, _) => {
                if marker == 0xff {
                    1
                } else {
                    2
                }
            }
        };
    }
    // An unusual structure: the decoder shall judge.
    at < content.len()
}

fn not_an_image(content: &[u8]) -> String {
    let start = &content[..content.len().min(16)];
    match (start.is_empty(), std::str::from_utf8(start)) {
        (true, _) => "an empty file".into(),
        (_, Ok(text)) => format!("no JPEG, PNG, GIF, BMP or WebP, but text that starts with {text:?}"),
        _ => format!("no JPEG, PNG, GIF, BMP or WebP; it starts with {start:02x?}"),
    }
}

#[cfg(test)]
mod tests;
