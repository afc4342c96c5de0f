//! `.npy` files: npyz reads and writes the header; the payload is raw little-endian bytes.
//!
//! A file is never copied whole: rows are read with `pread` into the caller's buffer, so several threads may
//! read from one open file.

use crate::Error;
use crate::disk::{self, Access, File};
use npyz::{NpyHeader, Order, WriteOptions, WriterBuilder};
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A plain array's header is about 128 bytes; a longer one is a structured type or damage.
const MAX_HEADER_BYTES: usize = 1024;

/// Bytes converted at a time when numbers wider than a byte are written or read.
const CHUNK_BYTES: usize = 64 * 1024;

/// The element types that Baton's arrays have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Unsigned byte, numpy's `|u1`.
    U8,
    /// Signed 32-bit integer, numpy's `<i4`; only read, from arrays that others wrote.
    I32,
    /// Signed 64-bit integer, numpy's `<i8`.
    I64,
    /// Half-precision float, numpy's `<f2`, handled as its 16 bits.
    F16,
    /// Single-precision float, numpy's `<f4`.
    F32,
}

impl Dtype {
    const ALL: [Dtype; 5] = [Dtype::U8, Dtype::I32, Dtype::I64, Dtype::F16, Dtype::F32];

    /// numpy's name for the type, with its byte order.
    pub const fn descr(self) -> &'static str {
        match self {
            Dtype::U8 => "|u1",
            Dtype::I32 => "<i4",
            Dtype::I64 => "<i8",
            Dtype::F16 => "<f2",
            Dtype::F32 => "<f4",
        }
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F16 => 2,
            Dtype::I32 | Dtype::F32 => 4,
            Dtype::I64 => 8,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.descr())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust number that is an array's element: `u8`, `i32`, `i64`, `f32`, and `u16` for the bits of a half.
pub trait Element: Copy + Default + sealed::Sealed {
    /// Its type in the file.
    const DTYPE: Dtype;

    #[doc(hidden)]
    fn encode(values: &[Self], bytes: &mut Vec<u8>);

    #[doc(hidden)]
    fn decode(bytes: &[u8], values: &mut [Self]);
}

macro_rules! element {
    ($type:ty, $dtype:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: Dtype = $dtype;

            fn encode(values: &[Self], bytes: &mut Vec<u8>) {
                bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }

            fn decode(bytes: &[u8], values: &mut [Self]) {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = <$type>::from_le_bytes(*bytes);
                }
            }
        }
    };
}
element!(u8, Dtype::U8);
element!(i32, Dtype::I32);
element!(i64, Dtype::I64);
element!(u16, Dtype::F16);
element!(f32, Dtype::F32);

/// Writes the header of a C-order `.npy`; the payload that follows starts at a multiple of 64 bytes.
pub fn write_npy_header(writer: &mut impl Write, dtype: Dtype, shape: &[u64]) -> io::Result<()> {
    let dtype = npyz::DType::Plain(dtype.descr().parse().map_err(io::Error::other)?);
    WriteOptions::new_header_only().dtype(dtype).shape(shape).writer(writer).write_header_only()?;
    Ok(())
}

/// Writes one whole `.npy`. The same values make the same bytes on every machine.
///
/// # Errors
/// `InvalidInput` if `values` are not as many as `shape` says; else the writer's own.
pub fn write_npy<T: Element>(writer: &mut impl Write, shape: &[u64], values: &[T]) -> io::Result<()> {
    if shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)) != Some(values.len() as u64) {
        let message = format!("shape {shape:?} does not fit {} values", values.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    write_npy_header(writer, T::DTYPE, shape)?;
    let mut bytes = Vec::new();
    for values in values.chunks(CHUNK_BYTES / T::DTYPE.bytes()) {
        bytes.clear();
        T::encode(values, &mut bytes);
        writer.write_all(&bytes)?;
    }
    Ok(())
}

/// An open `.npy` file whose header and length have been checked; rows are read on demand.
#[derive(Debug)]
pub struct Npy {
    path: PathBuf,
    file: File,
    dtype: Dtype,
    shape: Vec<usize>,
    row_len: usize,
    payload: u64,
}

impl Npy {
    /// Opens a file and checks its header and that its length is exactly what the header promises.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Array`] for another format, Fortran order, big-endian or structured types, and
    /// a payload that is too short or too long.
    pub fn open(path: impl Into<PathBuf>) -> Result<Npy, Error> {
        let path = path.into();
        let file = disk::open(&path, Access::Read).map_err(Error::io("open", &path))?;
        Npy::from_file(path, file)
    }

    /// The same for a file that is open already, at its start; `path` is for messages.
    ///
    /// # Errors
    /// As [`Npy::open`].
    pub(crate) fn from_file(path: PathBuf, file: File) -> Result<Npy, Error> {
        let length = file.length().map_err(Error::io("read the length of", &path))?;
        let (header, payload) = read_header(&file, &path)?;
        let array = |expected: &str, found: String| Error::array(&path, expected, found);

        let descr = header.dtype().descr();
        let dtype = Dtype::ALL.into_iter().find(|d| is_named(*d, descr.trim_matches('\'')));
        let dtype = dtype.ok_or_else(|| array("elements |u1, <i4, <i8, <f2 or <f4", descr))?;
        if header.order() != Order::C {
            return Err(array("C order (numpy.ascontiguousarray)", "Fortran order".into()));
        }
        let [rows, row_shape @ ..] = header.shape() else {
            return Err(array("at least one dimension", "a single number, shape ()".into()));
        };
        let row_len = row_shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let bytes = row_len.and_then(|n| n.checked_mul(*rows)?.checked_mul(dtype.bytes() as u64));
        if bytes != Some(length - payload) {
            let expected =
                bytes.map_or("a size that fits 64 bits".into(), |b| format!("a payload of {b} bytes"));
            let found = format!("{} bytes for shape {:?} of {dtype}", length - payload, header.shape());
            return Err(array(&expected, found));
        }
        let shape = header.shape().iter().map(|&d| d as usize).collect();
        let row_len = row_len.unwrap_or(0) as usize;
        Ok(Npy { file, dtype, shape, row_len, payload, path })
    }

    /// The array's dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The length of the first dimension.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Elements in one row: the product of all dimensions but the first.
    pub fn row_len(&self) -> usize {
        self.row_len
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks type and shape; `None` allows any length of that dimension.
    ///
    /// # Errors
    /// [`Error::Array`] with what was expected and found.
    pub fn expect(&self, dtype: Dtype, shape: &[Option<usize>]) -> Result<(), Error> {
        let fits = shape.len() == self.shape.len()
            && shape.iter().zip(&self.shape).all(|(want, have)| want.is_none_or(|w| w == *have));
        if self.dtype == dtype && fits {
            return Ok(());
        }
        let dims: Vec<String> = shape.iter().map(|d| d.map_or("any".into(), |d| d.to_string())).collect();
        let expected = format!("shape [{}] of {dtype}", dims.join(", "));
        Err(Error::array(&self.path, expected, format!("shape {:?} of {}", self.shape, self.dtype)))
    }

    /// Reads rows into `values`, which has `rows.len() * row_len()` elements.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Array`] when the elements are of another type than `T`.
    ///
    /// # Panics
    /// When the rows are outside the array or `values` has another length: the caller's mistake,
    /// not the file's.
    pub fn read_rows<T: Element>(&self, rows: Range<usize>, values: &mut [T]) -> Result<(), Error> {
        if self.dtype != T::DTYPE {
            return Err(Error::array(&self.path, format!("elements {}", T::DTYPE), self.dtype.to_string()));
        }
        assert!(rows.start <= rows.end && rows.end <= self.rows(), "rows {rows:?} of {}", self.rows());
        assert_eq!(values.len(), rows.len() * self.row_len, "a buffer for rows {rows:?}");
        let size = self.dtype.bytes();
        let mut bytes = vec![0; CHUNK_BYTES.min(values.len() * size)];
        let mut offset = self.payload + (rows.start * self.row_len * size) as u64;
        for values in values.chunks_mut(CHUNK_BYTES / size) {
            let bytes = &mut bytes[..values.len() * size];
            self.read_exact_at(bytes, offset)?;
            T::decode(bytes, values);
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// Reads rows of bytes straight into `bytes`, which has `rows.len() * row_len()` of them.
    ///
    /// # Errors
    /// As [`Npy::read_rows`].
    ///
    /// # Panics
    /// As [`Npy::read_rows`].
    pub fn read_byte_rows(&self, rows: Range<usize>, bytes: &mut [u8]) -> Result<(), Error> {
        self.expect_bytes()?;
        assert!(rows.start <= rows.end && rows.end <= self.rows(), "rows {rows:?} of {}", self.rows());
        assert_eq!(bytes.len(), rows.len() * self.row_len, "a buffer for rows {rows:?}");
        self.read_exact_at(bytes, self.payload + (rows.start * self.row_len) as u64)
    }

    fn expect_bytes(&self) -> Result<(), Error> {
        if self.dtype == Dtype::U8 {
            return Ok(());
        }
        Err(Error::array(&self.path, "elements |u1", self.dtype.to_string()))
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), Error> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(Error::read(&self.path, "as many bytes as its header says"))
    }
}

/// numpy writes `|u1`; others write `<u1` for the same bytes; `=` is never in a file.
fn is_named(dtype: Dtype, descr: &str) -> bool {
    dtype.descr() == descr || (dtype == Dtype::U8 && matches!(descr, "<u1" | ">u1"))
}

/// Parses the header and returns where the payload starts.
///
/// The length and the nesting are bounded before npyz sees the text, because its parser is recursive.
fn read_header(file: &File, path: &Path) -> Result<(NpyHeader, u64), Error> {
    let head = file.read_from(0, MAX_HEADER_BYTES as u64).map_err(Error::io("read", path))?;
    let array = |found: String| Error::array(path, "a .npy file of format 1.0, 2.0 or 3.0", found);
    if head.len() < 10 || &head[..6] != b"\x93NUMPY" {
        return Err(array("no .npy header at its start".into()));
    }
    let (text_start, text_len): (usize, usize) = match head[6] {
        1 => (10, u16::from_le_bytes([head[8], head[9]]) as usize),
        2 | 3 if head.len() >= 12 => {
            (12, u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize)
        }
        version => return Err(array(format!("format version {version}.{}", head[7]))),
    };
    let Some(text) = head.get(text_start..text_start.saturating_add(text_len)) else {
        return Err(array(format!(
            "a header of {text_len} bytes, cut off or longer than {MAX_HEADER_BYTES}"
        )));
    };
    if text.iter().filter(|b| b"([{".contains(b)).count() > 2 {
        return Err(array("a structured or nested header".into()));
    }
    let header =
        NpyHeader::from_reader(&head[..]).map_err(|e| array(format!("a header that cannot be read: {e}")))?;
    Ok((header, (text_start + text_len) as u64))
}

#[cfg(test)]
mod tests;
