//! The size of a value: of a map, or of a vector, which is a map of one pixel.

use networks::Shape;

/// A map's sizes; a vector is a map of one pixel.
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
            Shape::Vector { n } => Size { channels: n, height: 1, width: 1 },
        }
    }
}

impl Size {
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }
}
