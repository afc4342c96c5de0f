//! Memory that is passed from value to value: the system has to zero new memory, page after page.

use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::kernels::Buffer;

/// Buffers that nobody reads any more.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Buffer>>);

impl Memory {
    /// A buffer of at least `floats` floats, of any value.
    pub(super) fn take(&self, floats: usize) -> Result<Buffer, Error> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A much larger one is kept for a value that needs it.
        let fits = |buffer: &Buffer| (floats..=2 * floats).contains(&buffer.len());
        let best = (0..free.len()).filter(|&at| fits(&free[at])).min_by_key(|&at| free[at].len());
        match best {
            Some(at) => Ok(free.swap_remove(at)),
            None => Buffer::zeroed(floats).map_err(|source| Error::Memory { what: "activations", source }),
        }
    }

    /// Takes one back.
    pub(super) fn give(&self, buffer: Buffer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
