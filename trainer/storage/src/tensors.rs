//! Named arrays with text metadata in `.safetensors` files: a leg's saved place, a combined state, a model.
//!
//! The bytes of a file depend only on its content. Metadata and header are in the order of their names,
//! arrays in order of element size and then of name, so that each is aligned to its elements and the format's
//! own readers can map it.

use crate::opened::{CheckedStream, Opened, open};
use crate::publish::{publish, publish_same};
use crate::{Error, Result};
use protocol::FileRef;
use safetensors::tensor::{Dtype, Metadata};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

/// Bytes converted at once.
const CHUNK: usize = 1 << 20;
/// The longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// Expected of every file that is read here.
const WHOLE: &str = "a whole safetensors file";

/// A named array.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: String,
    /// Its dimensions, slowest first.
    pub shape: Vec<usize>,
    /// Its elements, row by row.
    pub data: TensorData<'a>,
}

/// The elements of an array: borrowed when written, owned when read.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData<'a> {
    /// 32-bit floating point.
    F32(Cow<'a, [f32]>),
    /// Unsigned bytes.
    U8(Cow<'a, [u8]>),
    /// Signed bytes; only written.
    I8(Cow<'a, [i8]>),
    /// The bits of 16-bit floating point with an 8-bit exponent; only written.
    Bf16(Cow<'a, [u16]>),
    /// 64-bit integers.
    I64(Cow<'a, [i64]>),
}

impl<'a> Tensor<'a> {
    /// An array of `f32`.
    pub fn f32(name: impl Into<String>, shape: &[usize], data: impl Into<Cow<'a, [f32]>>) -> Tensor<'a> {
        Tensor { name: name.into(), shape: shape.to_vec(), data: TensorData::F32(data.into()) }
    }

    /// An array of `u8`.
    pub fn u8(name: impl Into<String>, shape: &[usize], data: impl Into<Cow<'a, [u8]>>) -> Tensor<'a> {
        Tensor { name: name.into(), shape: shape.to_vec(), data: TensorData::U8(data.into()) }
    }

    /// An array of `i64`.
    pub fn i64(name: impl Into<String>, shape: &[usize], data: impl Into<Cow<'a, [i64]>>) -> Tensor<'a> {
        Tensor { name: name.into(), shape: shape.to_vec(), data: TensorData::I64(data.into()) }
    }
}

impl TensorData<'_> {
    fn len(&self) -> usize {
        match self {
            TensorData::F32(data) => data.len(),
            TensorData::U8(data) => data.len(),
            TensorData::I8(data) => data.len(),
            TensorData::Bf16(data) => data.len(),
            TensorData::I64(data) => data.len(),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            TensorData::F32(_) => Dtype::F32,
            TensorData::U8(_) => Dtype::U8,
            TensorData::I8(_) => Dtype::I8,
            TensorData::Bf16(_) => Dtype::BF16,
            TensorData::I64(_) => Dtype::I64,
        }
    }

    fn size(&self) -> usize {
        self.len() * self.dtype().bitsize() / 8
    }
}

/// Publishes arrays as `<stem>-<attempt>.safetensors` in `folder`.
///
/// # Errors
/// [`Error::Unfit`] for a name given twice or a shape that is not that of its data; those of [`publish`].
pub fn write_tensors(
    folder: &Path,
    stem: &str,
    tensors: &[Tensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<FileRef> {
    publish(folder, stem, "safetensors", |file| encode_tensors(file, tensors, metadata))
}

/// Publishes arrays under a name that the caller has chosen for exactly these: see [`publish_same`].
///
/// # Errors
/// As [`write_tensors`] and [`publish_same`].
pub fn write_tensors_same(
    folder: &Path,
    name: &str,
    tensors: &[Tensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<FileRef> {
    publish_same(folder, name, |file| encode_tensors(file, tensors, metadata))
}

/// Writes arrays in the safetensors format.
///
/// # Errors
/// Those of `file`, and [`Error::Unfit`] as an [`io::Error`].
pub fn encode_tensors(
    file: &mut impl Write,
    tensors: &[Tensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut ordered: Vec<&Tensor<'_>> = tensors.iter().collect();
    ordered.sort_by_key(|tensor| (std::cmp::Reverse(tensor.data.dtype().bitsize()), &tensor.name));
    let header = header(&ordered, metadata)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for tensor in ordered {
        match &tensor.data {
            TensorData::F32(data) => write_elements(file, data, f32::to_le_bytes)?,
            TensorData::U8(data) => file.write_all(data)?,
            TensorData::I8(data) => write_elements(file, data, i8::to_le_bytes)?,
            TensorData::Bf16(data) => write_elements(file, data, u16::to_le_bytes)?,
            TensorData::I64(data) => write_elements(file, data, i64::to_le_bytes)?,
        }
    }
    Ok(())
}

/// The JSON header, padded with spaces so that the data begin at a multiple of 8.
fn header(ordered: &[&Tensor<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut entries = Map::new(); // sorted by key
    if !metadata.is_empty() {
        entries.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for tensor in ordered {
        let Tensor { name, shape, data } = tensor;
        let elements = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        if elements != Some(data.len()) {
            let expected = format!("the elements of shape {shape:?}");
            return Err(Error::unfit(format!("array {name:?}"), expected, data.len().to_string()));
        }
        let end = offset + data.size();
        let entry = json!({"dtype": data.dtype().to_string(), "shape": shape, "data_offsets": [offset, end]});
        if name == "__metadata__" || entries.insert(name.clone(), entry).is_some() {
            return Err(Error::unfit("the names of arrays", "each once", format!("{name:?} again")));
        }
        offset = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn write_elements<T: Copy, const N: usize>(
    file: &mut impl Write,
    elements: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK.min(elements.len() * N)];
    for chunk in elements.chunks(CHUNK / N) {
        for (bytes, &element) in bytes.chunks_exact_mut(N).zip(chunk) {
            bytes.copy_from_slice(&to_bytes(element));
        }
        file.write_all(&bytes[..chunk.len() * N])?;
    }
    Ok(())
}

/// The arrays of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensors {
    /// The text that the writer added.
    pub metadata: BTreeMap<String, String>,
    /// The arrays by name.
    pub tensors: BTreeMap<String, Tensor<'static>>,
    file: String,
}

/// Reads all arrays of the file that `reference` names in `folder`,
/// in one pass that also checks the checksum.
///
/// # Errors
/// Those of [`open`]; [`Error::Damaged`]; [`Error::Unfit`] for elements that are not `f32`, `u8` or `i64`.
pub fn read_tensors(folder: &Path, reference: &FileRef) -> Result<Tensors> {
    let opened = open(folder, reference)?;
    let mut stream = opened.stream();
    let header = read_header(&opened, &mut stream)?;
    let read = Error::read(opened.path(), WHOLE);
    let tensors = read_all(&opened, &mut stream, &header).map_err(read)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Tensors { metadata, tensors, file: opened.path().display().to_string() })
}

/// Reads the header and checks that it describes a file of this length, before anything is allocated for it.
fn read_header(opened: &Opened, stream: &mut CheckedStream<'_>) -> Result<Metadata> {
    let damaged = |found: String| Error::damaged(opened.path(), WHOLE, found);
    let mut length = [0; 8];
    stream.read_exact(&mut length).map_err(Error::read(opened.path(), WHOLE))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER.min(opened.bytes() - 8) {
        return Err(damaged(format!("a header of {length} bytes")));
    }
    let mut header = vec![0; length as usize];
    stream.read_exact(&mut header).map_err(Error::read(opened.path(), WHOLE))?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("the header {error}")))?;
    if 8 + length + header.data_len() as u64 != opened.bytes() {
        let found = format!("{} bytes of arrays in a file of {} bytes", header.data_len(), opened.bytes());
        return Err(damaged(found));
    }
    Ok(header)
}

/// Reads the arrays in the order of the file, up to the end, which is reached only if the checksum is right.
fn read_all(
    opened: &Opened,
    stream: &mut CheckedStream<'_>,
    header: &Metadata,
) -> io::Result<BTreeMap<String, Tensor<'static>>> {
    let mut tensors = BTreeMap::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let length = info.shape.iter().product();
        let data = match info.dtype {
            Dtype::F32 => TensorData::F32(read_elements(stream, length, f32::from_le_bytes)?.into()),
            Dtype::U8 => TensorData::U8(read_elements(stream, length, u8::from_le_bytes)?.into()),
            Dtype::I64 => TensorData::I64(read_elements(stream, length, i64::from_le_bytes)?.into()),
            other => {
                let what = format!("array {name:?} in {}", opened.path().display());
                return Err(Error::unfit(what, "F32, U8 or I64", other.to_string()).into());
            }
        };
        tensors.insert(name.clone(), Tensor { name, shape: info.shape.clone(), data });
    }
    io::copy(stream, &mut io::sink())?;
    Ok(tensors)
}

fn read_elements<T, const N: usize>(
    stream: &mut impl Read,
    length: usize,
    from_bytes: impl Fn([u8; N]) -> T,
) -> io::Result<Vec<T>> {
    let mut elements = Vec::with_capacity(length);
    let mut bytes = vec![0; CHUNK.min(length * N)];
    while elements.len() < length {
        let chunk = &mut bytes[..CHUNK.min((length - elements.len()) * N)];
        stream.read_exact(chunk)?;
        elements.extend(chunk.as_chunks::<N>().0.iter().map(|&bytes| from_bytes(bytes)));
    }
    Ok(elements)
}

impl Tensors {
    /// Takes out the array `name`, which must be `f32` of this shape.
    ///
    /// # Errors
    /// [`Error::Unfit`] names the file and the array.
    pub fn take_f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.take(name, shape, Dtype::F32)? {
            TensorData::F32(data) => Ok(data.into_owned()),
            other => Err(self.unfit(name, shape, Dtype::F32, format!("{}", other.dtype()))),
        }
    }

    /// Takes out the array `name`, which must be `u8` of this shape.
    ///
    /// # Errors
    /// [`Error::Unfit`] names the file and the array.
    pub fn take_u8(&mut self, name: &str, shape: &[usize]) -> Result<Vec<u8>> {
        match self.take(name, shape, Dtype::U8)? {
            TensorData::U8(data) => Ok(data.into_owned()),
            other => Err(self.unfit(name, shape, Dtype::U8, format!("{}", other.dtype()))),
        }
    }

    /// Takes out the array `name`, which must be `i64` of this shape.
    ///
    /// # Errors
    /// [`Error::Unfit`] names the file and the array.
    pub fn take_i64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        match self.take(name, shape, Dtype::I64)? {
            TensorData::I64(data) => Ok(data.into_owned()),
            other => Err(self.unfit(name, shape, Dtype::I64, format!("{}", other.dtype()))),
        }
    }

    fn take(&mut self, name: &str, shape: &[usize], dtype: Dtype) -> Result<TensorData<'static>> {
        let Some(tensor) = self.tensors.remove(name) else {
            let names: Vec<_> = self.tensors.keys().map(String::as_str).collect();
            return Err(self.unfit(name, shape, dtype, format!("only {}", names.join(", "))));
        };
        if tensor.shape != shape {
            return Err(self.unfit(name, shape, dtype, format!("shape {:?}", tensor.shape)));
        }
        Ok(tensor.data)
    }

    fn unfit(&self, name: &str, shape: &[usize], dtype: Dtype, found: String) -> Error {
        Error::unfit(format!("array {name:?} in {}", self.file), format!("{dtype} of shape {shape:?}"), found)
    }
}

#[cfg(test)]
mod tests;
