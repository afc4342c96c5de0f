//! The shape of a node's output for one image.

/// The shape of a node's output for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Feature maps.
    Map {
        /// How many.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A row of numbers for each token.
    Tokens {
        /// How many tokens.
        count: usize,
        /// Numbers of each.
        width: usize,
    },
    /// A plain row of numbers.
    Vector {
        /// How many.
        n: usize,
    },
}

impl Shape {
    /// Numbers for one image.
    pub fn len(&self) -> usize {
        match *self {
            Shape::Map { channels, height, width } => channels * height * width,
            Shape::Tokens { count, width } => count * width,
            Shape::Vector { n } => n,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers for one image after global average pooling: a map's channels, a token's numbers, a vector as
    /// it is.
    pub fn pooled(&self) -> usize {
        match *self {
            Shape::Map { channels, .. } => channels,
            Shape::Tokens { width, .. } => width,
            Shape::Vector { n } => n,
        }
    }
}
