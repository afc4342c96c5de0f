//! Images in an array of numbers: the meaning of the axes, and the conversion of values to bytes.

use super::array::Array;
use crate::{Error, Result};
use datasets::images::{Geometry, Image};

/// The images of an array.
pub(super) struct Pixels {
    array: Array,
    height: usize,
    width: usize,
    channels: usize,
    /// Whether the channels come before rows and columns.
    channels_first: bool,
    scale: Scale,
}

/// How a value becomes a byte.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// It is a byte.
    Bytes,
    /// It is a whole number from 0 to 255.
    Whole,
    /// It is a fraction from 0 to 1.
    Unit,
}

impl Pixels {
    /// Checks an array's shape and values; anything unusual is noted.
    ///
    /// # Errors
    /// [`Error::Input`], with advice, for other shapes and for values that are not pixels.
    pub(super) fn new(array: Array, notes: &mut Vec<String>) -> Result<Pixels> {
        let (channels_first, height, width, channels) = match *array.shape() {
            [_, h, w] => (false, h, w, 1),
            [_, h, w, c @ (1 | 3)] => (false, h, w, c),
            [_, c @ (1 | 3), h, w] => (true, h, w, c),
            _ => return Err(shape_error(&array)),
        };
        if array.shape().contains(&0) {
            return Err(shape_error(&array));
        }
        let scale = scale(&array)?;
        let name = array.path().display();
        if channels_first {
            notes.push(format!("{name}: read as [images, channels, height, width]"));
        }
        if scale == Scale::Unit {
            notes.push(format!("{name}: fractions from 0 to 1 became bytes from 0 to 255"));
        }
        Ok(Pixels { array, height, width, channels, channels_first, scale })
    }

    pub(super) fn geometry(&self) -> Geometry {
        Geometry::fixed(self.height, self.width, self.channels)
    }

    pub(super) fn read(&self, index: usize) -> Result<Image> {
        let byte = |value: f64| match self.scale {
            Scale::Unit => (value * 255.0).round() as u8,
            _ => value as u8,
        };
        let mut pixels = match self.scale {
            Scale::Bytes => self.array.row(index)?,
            _ => self.array.values(index)?.into_iter().map(byte).collect(),
        };
        if self.channels_first && self.channels > 1 {
            let plane = self.height * self.width;
            pixels = (0..plane)
                .flat_map(|at| (0..self.channels).map(move |c| c * plane + at))
                .map(|at| pixels[at])
                .collect();
        }
        Ok(Image { height: self.height, width: self.width, pixels })
    }
}

fn shape_error(array: &Array) -> Error {
    let expected = "images [n, height, width], [n, height, width, 1 or 3] or [n, 1 or 3, height, width]";
    Error::input(array.path(), expected, format!("{} {:?}", array.kind().name, array.shape()))
}

/// How an array's values become bytes, according to their range. Bytes are read up to the first that is not 0
/// or 1.
fn scale(array: &Array) -> Result<Scale> {
    let (mut least, mut most, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
    for row in 0..array.shape()[0] {
        if array.kind().is_bytes() {
            if array.row(row)?.iter().any(|&byte| byte > 1) {
                return Ok(Scale::Bytes);
            }
            most = 1.0;
            continue;
        }
        for value in array.values(row)? {
            if !value.is_finite() {
                return Err(Error::input(array.path(), "finite values", format!("{value} in image {row}")));
            }
            (least, most, whole) = (least.min(value), most.max(value), whole && value.fract() == 0.0);
        }
    }
    let kind = array.kind();
    let found = |way_out: &str| format!("{} from {least} to {most}; {way_out}", kind.name);
    let error = |found: String| Err(Error::input(array.path(), "pixels from 0 to 255", found));
    match () {
        () if kind.is_bytes() => error("no value above 1, nearly black: save array * 255".into()),
        () if kind.is_fraction() && least >= 0.0 && most <= 1.0 => Ok(Scale::Unit),
        () if least < 0.0 || most > 255.0 || !whole => error(found(
            "undo what was done to them, and save (x * 255).round().astype(\"uint8\") of x in 0 to 1",
        )),
        () if most <= 1.0 => error(found("nearly black: save array * 255")),
        () => Ok(Scale::Whole),
    }
}
