//! How units are handed on, whatever they come from.

use crate::Result;

/// Takes one unit.
pub(super) type Push<'a> = dyn FnMut(&str) -> Result<()> + 'a;
