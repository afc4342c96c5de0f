//! Files of equally long arrays that are read in parts: each chunk of each array has a checksum of its own.
//!
//! The results of workers and the results of a reduction are such files. They are safetensors files. The
//! array `sums` has a checksum for each chunk, seeded with the file's text and the array's name, so that
//! every part of a file can be verified. An array of int8 has a scale for each block in `scales`.

use crate::Result;
use bytemuck::{cast_slice, cast_slice_mut};
use protocol::FileRef;
use safetensors::tensor::{Dtype, Metadata};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::path::Path;
use storage::{Opened, Tensor, TensorData};
use twox_hash::XxHash3_64;
use work::Failed;

/// Values that have one checksum: with the sums in f64, a thread's data stays in the level-2 cache.
pub(super) const CHUNK: usize = 16_384;
/// Values of int8 that have one scale; a part of [`CHUNK`].
pub(super) const BLOCK: usize = 4_096;
/// Name of the checksums.
const SUMS: &str = "sums";
/// Name of the scales.
pub(super) const SCALES: &str = "scales";
/// The longest header that is read.
const MAX_HEADER: u64 = 1 << 24;

/// Text in a file, by key.
pub(super) type Notes = BTreeMap<String, String>;

/// Publishes arrays of one length, with `scales` if one of them is int8, and text.
///
/// # Errors
/// Those of writing it.
pub(super) fn publish(folder: &Path, stem: &str, tensors: &[Tensor<'_>], notes: &Notes) -> Result<FileRef> {
    Ok(storage::write_tensors(folder, stem, &with_sums(tensors, notes), notes)?)
}

/// The same under a name that the caller chooses; everyone who publishes it publishes the same.
///
/// # Errors
/// Those of writing it.
pub(super) fn publish_same(
    folder: &Path,
    name: &str,
    tensors: &[Tensor<'_>],
    notes: &Notes,
) -> Result<FileRef> {
    Ok(storage::write_tensors_same(folder, name, &with_sums(tensors, notes), notes)?)
}

fn with_sums<'a>(tensors: &'a [Tensor<'_>], notes: &Notes) -> Vec<Tensor<'a>> {
    let scales =
        tensors.iter().find(|tensor| tensor.name == SCALES).map_or(&[][..], |scales| bytes(&scales.data));
    let mut arrays: Vec<&Tensor<'_>> = tensors.iter().filter(|tensor| tensor.name != SCALES).collect();
    arrays.sort_by_key(|tensor| &tensor.name);
    let mut sums = Vec::new();
    for array in &arrays {
        let (seed, size) = (seed(notes, &array.name), dtype(&array.data).bitsize() / 8);
        let chunks = bytes(&array.data).chunks(CHUNK * size).enumerate();
        sums.extend(
            chunks
                .map(|(chunk, bytes)| sum(seed, bytes, scales_of(scales, dtype(&array.data), chunk)) as i64),
        );
    }
    let shape = [arrays.len(), sums.len() / arrays.len().max(1)];
    let sums = Tensor::i64(SUMS, &shape, sums);
    tensors.iter().map(borrowed).chain([sums]).collect()
}

/// The same array, its elements not copied.
fn borrowed<'a>(tensor: &'a Tensor<'_>) -> Tensor<'a> {
    let data = match &tensor.data {
        TensorData::F32(data) => TensorData::F32(Cow::Borrowed(data)),
        TensorData::U8(data) => TensorData::U8(Cow::Borrowed(data)),
        TensorData::I8(data) => TensorData::I8(Cow::Borrowed(data)),
        TensorData::Bf16(data) => TensorData::Bf16(Cow::Borrowed(data)),
        TensorData::I64(data) => TensorData::I64(Cow::Borrowed(data)),
    };
    Tensor { name: tensor.name.clone(), shape: tensor.shape.clone(), data }
}

/// The scales' bytes that belong to a chunk of an array of this type.
fn scales_of(scales: &[u8], dtype: Dtype, chunk: usize) -> &[u8] {
    const EACH: usize = CHUNK / BLOCK * 4;
    match dtype {
        Dtype::I8 => &scales[(chunk * EACH).min(scales.len())..((chunk + 1) * EACH).min(scales.len())],
        _ => &[],
    }
}

fn seed(notes: &Notes, array: &str) -> u64 {
    let mut text = serde_json::to_string(notes).unwrap_or_default();
    text.push_str(array);
    XxHash3_64::oneshot(text.as_bytes())
}

fn sum(seed: u64, values: &[u8], scales: &[u8]) -> u64 {
    if scales.is_empty() {
        return XxHash3_64::oneshot_with_seed(seed, values); // what follows, in one go
    }
    let mut hash = XxHash3_64::with_seed(seed);
    hash.write(scales);
    hash.write(values);
    hash.finish()
}

fn dtype(data: &TensorData<'_>) -> Dtype {
    match data {
        TensorData::F32(_) => Dtype::F32,
        TensorData::U8(_) => Dtype::U8,
        TensorData::I8(_) => Dtype::I8,
        TensorData::Bf16(_) => Dtype::BF16,
        TensorData::I64(_) => Dtype::I64,
    }
}

fn bytes<'a>(data: &'a TensorData<'_>) -> &'a [u8] {
    match data {
        TensorData::F32(data) => cast_slice(data),
        TensorData::U8(data) => data,
        TensorData::I8(data) => cast_slice(data),
        TensorData::Bf16(data) => cast_slice(data),
        TensorData::I64(data) => cast_slice(data),
    }
}

/// Such a file, open for reading any part of it.
#[derive(Debug)]
pub(super) struct Chunked {
    opened: Opened,
    arrays: BTreeMap<String, Array>,
    length: usize,
    scales: Vec<u8>,
    notes: Notes,
}

/// The place of an array.
#[derive(Clone, Debug, PartialEq)]
struct Array {
    dtype: Dtype,
    offset: u64,
    seed: u64,
    sums: Vec<u64>,
}

impl Chunked {
    /// Opens a file and reads its header, checksums and scales.
    ///
    /// # Errors
    /// Those of reading it; if it is not such a file.
    pub(super) fn open(folder: &Path, file: &FileRef) -> Result<Chunked> {
        let opened = storage::open(folder, file)?;
        let damaged =
            |found: String| Failed::damaged(opened.path(), "arrays of one length with checksums", found);
        let mut length = [0; 8];
        opened.read_exact_at(&mut length, 0)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER.min(opened.bytes().saturating_sub(8)) {
            return Err(damaged(format!("a header of {header_bytes} bytes")));
        }
        let mut header = vec![0; header_bytes as usize];
        opened.read_exact_at(&mut header, 8)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
        let start = 8 + header_bytes;
        if start + header.data_len() as u64 != opened.bytes() {
            return Err(damaged(format!("{} bytes of arrays", header.data_len())));
        }
        let read = |name: &str| -> Result<Vec<u8>> {
            let Some(info) = header.info(name) else { return Ok(Vec::new()) };
            let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
            opened.read_exact_at(&mut bytes, start + info.data_offsets.0 as u64)?;
            Ok(bytes)
        };
        let (sums, scales) = (read(SUMS)?, read(SCALES)?);
        let sums: Vec<u64> = sums.as_chunks().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
        let notes: Notes = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut names: Vec<String> =
            header.offset_keys().into_iter().filter(|n| n != SUMS && n != SCALES).collect();
        names.sort();
        let each = sums.len() / names.len().max(1);
        let (mut arrays, mut lengths) = (BTreeMap::new(), Vec::new());
        for (index, name) in names.into_iter().enumerate() {
            let Some(info) = header.info(&name) else { continue };
            lengths.push(info.shape.iter().product::<usize>());
            let offset = start + info.data_offsets.0 as u64;
            let sums = sums[index * each..(index + 1) * each].to_vec();
            let seed = seed(&notes, &name);
            arrays.insert(name, Array { dtype: info.dtype, offset, seed, sums });
        }
        let length = lengths.first().copied().unwrap_or(0);
        if lengths.iter().any(|other| *other != length) || each != length.div_ceil(CHUNK) {
            return Err(damaged(format!("lengths {lengths:?} and {each} checksums each")));
        }
        Ok(Chunked { opened, arrays, length, scales, notes })
    }

    /// The text.
    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.opened.path()
    }

    /// Values of each array.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The arrays' names, sorted, with their types.
    pub(super) fn layout(&self) -> Vec<(&str, Dtype)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array.dtype)).collect()
    }

    /// Reads values of an array into `values`, from `first` on: whole chunks, or the rest of the array.
    ///
    /// `raw` is memory for values that are not f32 in the file.
    ///
    /// # Errors
    /// If a chunk's checksum is wrong or there is no such array; those of reading.
    pub(super) fn read(&self, name: &str, first: usize, values: &mut [f32], raw: &mut Vec<u8>) -> Result<()> {
        let Some(array) = self.arrays.get(name) else {
            let found = format!("{:?}", self.layout());
            return Err(Failed::damaged(self.path(), format!("an array {name:?}"), found));
        };
        let mut chunks = values.chunks_mut(CHUNK).enumerate();
        chunks.try_for_each(|(at, values)| self.chunk((name, array), first / CHUNK + at, values, raw))
    }

    /// Reads one chunk of an array.
    fn chunk(
        &self,
        (name, array): (&str, &Array),
        chunk: usize,
        values: &mut [f32],
        raw: &mut Vec<u8>,
    ) -> Result<()> {
        let damaged = |expected: &str, found: String| Failed::damaged(self.path(), expected, found);
        let size = array.dtype.bitsize() / 8;
        raw.resize(if array.dtype == Dtype::F32 { 0 } else { values.len() * size }, 0);
        let bytes: &mut [u8] = if raw.is_empty() { cast_slice_mut(values) } else { raw };
        self.opened.read_exact_at(bytes, array.offset + (chunk * CHUNK * size) as u64)?;
        let scales = scales_of(&self.scales, array.dtype, chunk);
        let (expected, found) = (array.sums[chunk], sum(array.seed, bytes, scales));
        if expected != found {
            let what = format!("checksum {expected:016x} of chunk {chunk} of {name:?}");
            return Err(damaged(&what, format!("{found:016x}")));
        }
        match array.dtype {
            Dtype::F32 => {}
            Dtype::BF16 => {
                let halves = raw.as_chunks().0.iter().map(|half| u32::from(u16::from_le_bytes(*half)));
                values.iter_mut().zip(halves).for_each(|(value, half)| *value = f32::from_bits(half << 16));
            }
            Dtype::I8 => {
                let scales = scales.as_chunks().0.iter().map(|scale| f32::from_le_bytes(*scale));
                for ((values, block), scale) in values.chunks_mut(BLOCK).zip(raw.chunks(BLOCK)).zip(scales) {
                    let whole = block.iter().map(|&byte| f32::from(byte as i8));
                    values.iter_mut().zip(whole).for_each(|(value, whole)| *value = whole * scale);
                }
            }
            other => return Err(damaged("f32, bf16 or int8", format!("{name:?} of type {other}"))),
        }
        Ok(())
    }

    /// Reads all of the file and checks the checksum of its reference.
    ///
    /// # Errors
    /// Those of reading; if it differs.
    pub(super) fn verify(&self) -> Result<()> {
        Ok(self.opened.verify()?)
    }
}
