//! The size of a value: of a map, of tokens, which are its pixels, or of a vector, which is a map of one
//! pixel.

use networks::Shape;

/// A map's sizes; tokens are a map's pixels, a vector is a map of one pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl From<Shape> for Size {
    fn from(shape: Shape) -> Size {
        match shape {
            Shape::Map { channels, height, width } => Size { channels, height, width },
            Shape::Tokens { count, width } => Size { channels: width, height: count, width: 1 },
            Shape::Vector { n } => Size { channels: n, height: 1, width: 1 },
        }
    }
}

impl Size {
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }
}
