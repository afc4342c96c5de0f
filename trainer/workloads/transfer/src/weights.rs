//! Named f32 tensors from a torchvision weights file, each read when it is requested.

mod check;
mod installed;
mod mapped;
mod named;
#[cfg(test)]
mod seeded;
mod write;

pub use check::known_prefix;
pub use frozen::{BoxError, Parameters};
pub use installed::{Installed, Normalisation, install, open_installed};
pub(crate) use named::open_weights;
#[cfg(test)]
pub(crate) use seeded::Seeded;
pub use write::{TensorSpec, write_safetensors};

use crate::{Error, Result};
use mapped::Mapped;
use pytorch_reader::{DType, PytorchReader};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// A weights file: `.safetensors`, mapped, or `.pth`, read tensor by tensor; nothing in a pickle is executed.
///
/// Names are torchvision's: a prefix of some files (`module.`, `state_dict.`) is left out.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    /// The prefix of torchvision's names in this file.
    prefix: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Mapped(Mapped),
    Pickled(PytorchReader),
}

impl Weights {
    /// Opens a weights file and reads its names and shapes, but no tensor.
    ///
    /// # Errors
    /// Those of reading; [`Error::NotWeights`] for a file of another kind, a truncated or a damaged one.
    pub fn open(path: &Path) -> Result<Weights> {
        let source = match Mapped::open(path)? {
            Some(mapped) => Source::Mapped(mapped),
            None => {
                let reader = PytorchReader::new(path);
                Source::Pickled(reader.map_err(|error| Error::weights(path, &error))?)
            }
        };
        let mut weights = Weights { path: path.to_owned(), prefix: String::new(), source };
        weights.prefix = known_prefix(&weights.names()).to_owned();
        Ok(weights)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every name, sorted.
    pub fn names(&self) -> Vec<String> {
        let all = match &self.source {
            Source::Mapped(mapped) => mapped.names(),
            Source::Pickled(reader) => reader.keys(),
        };
        let stripped = |name: String| name.strip_prefix(self.prefix.as_str()).map(str::to_owned);
        let mut names: Vec<String> = all.into_iter().filter_map(stripped).collect();
        names.sort_unstable();
        names
    }

    /// The shape of a tensor, if the file has it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let name = format!("{}{name}", self.prefix);
        match &self.source {
            Source::Mapped(mapped) => mapped.shape(&name),
            Source::Pickled(reader) => reader.get(&name).map(|tensor| tensor.shape()),
        }
    }

    /// The values of a tensor, in torchvision's layout.
    ///
    /// A tensor of a mapped file is borrowed, without a copy, and the pages of the tensor before it are
    /// released: reading through a file of any size keeps one tensor in memory.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is missing, has another shape, or is not f32; [`Error::NotWeights`] if its
    /// bytes are damaged.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>> {
        let wrong = |found: String| Error::Tensor {
            file: self.path.clone(),
            name: name.to_owned(),
            expected: format!("f32 {shape:?}"),
            found,
        };
        let found = self.shape(name).ok_or_else(|| wrong("none of that name".into()))?;
        if found != shape {
            return Err(wrong(format!("shape {found:?}")));
        }
        let full = format!("{}{name}", self.prefix);
        match &self.source {
            Source::Mapped(mapped) => mapped.values(&full).map_err(|dtype| wrong(format!("type {dtype}"))),
            Source::Pickled(reader) => {
                let tensor = reader.get(&full).ok_or_else(|| wrong("none of that name".into()))?;
                if tensor.dtype() != DType::F32 {
                    return Err(wrong(format!("type {:?}", tensor.dtype())));
                }
                let bytes = tensor.read().map_err(|error| Error::weights(&self.path, &error))?;
                Ok(Cow::Owned(bytemuck::pod_collect_to_vec(&bytes)))
            }
        }
    }
}

impl Parameters for Weights {
    /// An owned copy, read and not mapped: the callers of this function keep parameters or transform them,
    /// and the 411 MB of VGG's first linear layer should not be in memory twice.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        match &self.source {
            Source::Mapped(mapped) if self.shape(name) == Some(shape) => {
                let read =
                    mapped.read(&format!("{}{name}", self.prefix)).map_err(Error::io("read", &self.path))?;
                // Of another type: the error says so.
                read.map_or_else(|| Ok(self.tensor(name, shape)?), |values| Ok(Cow::Owned(values)))
            }
            _ => Ok(self.tensor(name, shape)?),
        }
    }
}

#[cfg(test)]
mod tests;
