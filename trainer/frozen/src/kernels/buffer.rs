//! Memory for activations, weights, scratch and sums: anonymous, zeroed,
//! on huge pages where the system has them.
use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// A block of f32, all zero at first, aligned to a page.
#[derive(Default)]
pub struct Buffer {
    map: Option<MmapMut>,
    len: usize,
}

impl Buffer {
    /// So many.
    ///
    /// Errors: there is no memory.
    pub fn zeroed(len: usize) -> io::Result<Buffer> {
        if len == 0 {
            return Ok(Buffer::default());
        }
        let map = MmapMut::map_anon(len * size_of::<f32>())?;
        // Best effort: without huge pages the pass is right, only about a tenth slower.
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Buffer { map: Some(map), len })
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &self.map {
            None => &[],
            // SAFETY: the map holds `len` floats, starts at a page and is zeroed,
            // so all of it is initialised f32.
            Some(map) => unsafe { std::slice::from_raw_parts(map.as_ptr().cast(), self.len) },
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.map {
            None => &mut [],
            // SAFETY: as in `deref`, and the exclusive borrow of the map makes this the only reference.
            Some(map) => unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().cast(), self.len) },
        }
    }
}
