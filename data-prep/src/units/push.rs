//! How units are handed on, whatever they come from.

use crate::Result;

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 1 << 20;

/// Takes one unit.
pub(super) type Push<'a> = dyn FnMut(&str) -> Result<()> + 'a;
