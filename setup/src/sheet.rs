//! Draws classified images as a grid: each with the predicted class, and the true one if it is known.

mod font;

use crate::Failure;
use datasets::images::Image;
use font::{GLYPH, Pen, write};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// One image of a sheet.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The image.
    pub image: Image,
    /// The predicted class.
    pub predicted: String,
    /// The true class, if known.
    pub truth: Option<String>,
    /// Whether both agree, if known.
    pub right: Option<bool>,
}

/// Side of the square that an image is fitted into.
const SIDE: u32 = 144;
/// Pixels around an image.
const MARGIN: u32 = 8;
/// Pixels of a font's dot.
const DOT: u32 = 2;
/// Height of a line of text.
const LINE: u32 = (GLYPH.1 + 1) * DOT;
const CELL: (u32, u32) = (SIDE + 2 * MARGIN, SIDE + MARGIN + 2 * LINE + MARGIN);

const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const INK: Rgb<u8> = Rgb([60, 60, 60]);
const GREEN: Rgb<u8> = Rgb([0, 120, 60]);
const RED: Rgb<u8> = Rgb([190, 30, 40]);

/// The sheet as a PNG.
///
/// # Errors
/// There is nothing to draw.
pub(crate) fn write_sheet(entries: &[Entry]) -> Result<Vec<u8>, Failure> {
    let sheet = draw(entries).ok_or_else(|| Failure::input("there is no image to draw"))?;
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, image::ImageFormat::Png).map_err(|error| error.to_string())?;
    Ok(png.into_inner())
}

/// Draws the sheet; none if there is nothing to draw.
pub fn draw(entries: &[Entry]) -> Option<RgbImage> {
    let columns = (entries.len() as f64 * 1.6).sqrt().ceil() as u32;
    let rows = (entries.len() as u32).checked_div(columns)?
        + u32::from(!(entries.len() as u32).is_multiple_of(columns));
    let mut sheet = RgbImage::from_pixel(columns * CELL.0, rows * CELL.1 + MARGIN, PAPER);
    for (index, entry) in (0..).zip(entries) {
        let (left, top) = (index % columns * CELL.0 + MARGIN, index / columns * CELL.1 + MARGIN);
        let image = fit(&entry.image)?;
        let offset = |side: u32| (SIDE - side) / 2;
        let (x, y) = (left + offset(image.width()), top + offset(image.height()));
        imageops::replace(&mut sheet, &image, x.into(), y.into());
        let colour = match entry.right {
            Some(true) => GREEN,
            Some(false) => RED,
            None => INK,
        };
        let line = |sheet: &mut RgbImage, number: u32, text: &str, colour| {
            let most = ((SIDE + MARGIN) / (DOT * (GLYPH.0 + 1))) as usize;
            let place = (left, top + SIDE + DOT * 2 + number * LINE);
            write(sheet, place, Pen { dot: DOT, colour }, &shorten(text, most));
        };
        line(&mut sheet, 0, &entry.predicted, colour);
        if let Some(truth) = &entry.truth {
            line(&mut sheet, 1, truth, INK);
        }
    }
    Some(sheet)
}

/// Scales an image into the square; small ones keep their pixels visible.
fn fit(image: &Image) -> Option<RgbImage> {
    let (width, height) = (image.width as u32, image.height as u32);
    let pixels = RgbImage::from_raw(width, height, image.pixels.clone())?;
    let long = width.max(height);
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(long)).max(1) as u32;
    let filter = if long < SIDE { FilterType::Nearest } else { FilterType::Triangle };
    Some(imageops::resize(&pixels, scaled(width), scaled(height), filter))
}

/// Cuts a text in the middle of the name, so that a percentage at its end stays.
fn shorten(text: &str, most: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let tail =
        text.rsplit_once(' ').filter(|(_, tail)| tail.ends_with('%')).map_or(0, |(_, tail)| tail.len() + 1);
    let head = most.saturating_sub(tail + 1);
    letters[..head].iter().chain(&['~']).chain(&letters[letters.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(width: usize, height: usize, right: Option<bool>) -> Entry {
        let image = Image { height, width, pixels: [0, 0, 255].repeat(width * height) };
        Entry { image, predicted: "heart 93%".into(), truth: right.map(|_| "arrow".into()), right }
    }

    #[test]
    fn every_image_is_on_the_sheet_in_its_place() {
        let entries = [entry(48, 48, Some(true)), entry(300, 100, Some(false)), entry(20, 200, None)];
        let sheet = draw(&entries).unwrap();
        assert_eq!(sheet.dimensions(), (3 * CELL.0, CELL.1 + MARGIN));
        for column in 0..3 {
            let middle = sheet.get_pixel(column * CELL.0 + MARGIN + SIDE / 2, MARGIN + SIDE / 2);
            assert_eq!(middle, &Rgb([0, 0, 255]), "{column}");
        }
        let has = |column: u32, colour| {
            let pixels = sheet.enumerate_pixels();
            pixels.into_iter().any(|(x, _, pixel)| x / CELL.0 == column && *pixel == colour)
        };
        assert!(has(0, GREEN) && !has(0, RED) && has(1, RED) && has(2, INK) && !has(2, GREEN));
        assert!(draw(&[]).is_none());
    }

    #[test]
    fn a_long_name_keeps_its_percentage() {
        assert_eq!(shorten("triangle_outline 93%", 13), "triangle~ 93%");
        assert_eq!(shorten("heart 93%", 13), "heart 93%");
    }
}
