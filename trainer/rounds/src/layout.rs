//! The arrays of parameters, one after the other in the vector that is trained.

use std::ops::Range;

/// One of the arrays of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its name in the published model.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its place in the vector.
    pub range: Range<usize>,
    /// Whether weight decay acts on it.
    pub decays: bool,
    /// The factor of the learning rate.
    pub rate: f64,
}

/// All arrays, in their order, without a gap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout(Vec<Array>);

impl Layout {
    /// These arrays.
    pub fn new(arrays: Vec<Array>) -> Layout {
        Layout(arrays)
    }

    /// The arrays.
    pub fn arrays(&self) -> &[Array] {
        &self.0
    }

    /// How many parameters there are.
    pub fn parameters(&self) -> usize {
        self.0.last().map_or(0, |array| array.range.end)
    }
}
