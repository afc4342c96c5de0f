//! A memory-mapped `.safetensors` file. The file must not be changed while it is mapped: installed weights
//! never are.

use crate::{Error, Result};
use memmap2::{Mmap, UncheckedAdvice};
use safetensors::tensor::{Dtype, Metadata, SafeTensors};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Mapped {
    file: File,
    map: Mmap,
    metadata: Metadata,
    /// Where the tensors begin.
    start: usize,
    /// The bytes that were returned last.
    last: Mutex<Range<usize>>,
}

impl Mapped {
    /// Maps the file; none if it does not even look like safetensors.
    pub(super) fn open(path: &Path) -> Result<Option<Mapped>> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        if file.metadata().map_err(Error::io("inspect", path))?.len() == 0 {
            return Err(Error::NotWeights { file: path.to_owned(), reason: "it is empty".into() });
        }
        // SAFETY: weights files are written once, published by rename and never rewritten in place, so that
        // the mapped bytes do not change.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
        // Eight bytes of length, then a JSON object.
        if map.get(8) != Some(&b'{') {
            return Ok(None);
        }
        let damaged = |error| Error::NotWeights { file: path.to_owned(), reason: explain(error) };
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(damaged)?;
        Ok(Some(Mapped { file, map, metadata, start: 8 + header, last: Mutex::new(0..0) }))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.metadata.info(name).map(|info| info.shape.as_slice())
    }

    /// The values of an existing tensor, read and not mapped; none if they are not f32.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<f32>>> {
        let Some(info) = self.metadata.info(name).filter(|info| info.dtype == Dtype::F32) else {
            return Ok(None);
        };
        let (begin, end) = info.data_offsets;
        let mut values = vec![0.0; (end - begin) / 4];
        self.file.read_exact_at(bytemuck::cast_slice_mut(&mut values), (self.start + begin) as u64)?;
        Ok(Some(values))
    }

    /// The values of an existing tensor; its type if that is not f32.
    pub(super) fn values(&self, name: &str) -> Result<Cow<'_, [f32]>, String> {
        let info = self.metadata.info(name).ok_or("none")?;
        if info.dtype != Dtype::F32 {
            return Err(format!("{:?}", info.dtype));
        }
        let range = self.start + info.data_offsets.0..self.start + info.data_offsets.1;
        self.let_go(range.clone());
        let bytes = &self.map[range];
        // A file may hold its tensors at any offset; an odd one is copied.
        Ok(bytemuck::try_cast_slice(bytes)
            .map_or_else(|_| Cow::Owned(bytemuck::pod_collect_to_vec(bytes)), Cow::Borrowed))
    }

    /// Drops the pages that were returned before `next` from this process's memory.
    fn let_go(&self, next: Range<usize>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *last, next);
        if !before.is_empty() {
            // SAFETY: the map is read-only and backed by a file that does not change, so a page that is
            // dropped is read again with the same bytes, even while someone still borrows it.
            #[allow(unsafe_code)]
            let dropped = unsafe {
                self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, before.start, before.len())
            };
            // It only saves memory: a system that refuses keeps the pages.
            drop(dropped);
        }
    }
}

fn explain(error: safetensors::SafeTensorError) -> String {
    match error {
        safetensors::SafeTensorError::MetadataIncompleteBuffer => {
            "its length is not what its header says: it is truncated, or has something at its end".into()
        }
        other => format!("its safetensors header is damaged ({other})"),
    }
}
