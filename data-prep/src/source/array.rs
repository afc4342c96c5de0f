//! Arrays as others write them: every type of whole numbers and fractions, either byte order; rows are read
//! on demand.

use crate::files::open_plain;
use crate::{Error, Result};
use half::f16;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A plain array's header is about 128 bytes; a longer one is a structured type or damage.
const MAX_HEADER_BYTES: u64 = 4096;

/// An array in C order.
pub(super) struct Array {
    path: PathBuf,
    kind: Kind,
    shape: Vec<usize>,
    data: Data,
}

/// The type of the elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// numpy's name for it.
    pub(super) name: String,
    letter: TypeChar,
    bytes: usize,
    big_endian: bool,
}

impl Kind {
    pub(super) fn is_bytes(&self) -> bool {
        self.letter == TypeChar::Uint && self.bytes == 1
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.letter, TypeChar::Int | TypeChar::Uint | TypeChar::Bool)
    }

    pub(super) fn is_fraction(&self) -> bool {
        self.letter == TypeChar::Float && matches!(self.bytes, 2 | 4 | 8)
    }

    /// The value of one element's bytes; whole numbers beyond 2^53 are rounded.
    fn value(&self, bytes: &[u8]) -> f64 {
        let mut little = [0; 8];
        for (at, &byte) in bytes.iter().enumerate() {
            little[if self.big_endian { bytes.len() - 1 - at } else { at }] = byte;
        }
        let bits = u64::from_le_bytes(little);
        let unused = 64 - 8 * bytes.len() as u32;
        match (self.letter, self.bytes) {
            (TypeChar::Float, 2) => f16::from_bits(bits as u16).into(),
            (TypeChar::Float, 4) => f32::from_bits(bits as u32).into(),
            (TypeChar::Float, _) => f64::from_bits(bits),
            (TypeChar::Int, _) => ((bits << unused) as i64 >> unused) as f64,
            _ => bits as f64,
        }
    }
}

/// The place of the elements.
enum Data {
    File { file: File, first: u64 },
    Memory { content: Vec<u8>, first: usize },
}

impl Array {
    /// Opens a `.npy`; its elements stay on disk.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is not an array, for one in Fortran order, and for a truncated one.
    pub(super) fn open(path: &Path) -> Result<Array> {
        let file = open_plain(path)?;
        let bytes = file.metadata().map_err(Error::io("open", path))?.len();
        let mut head = Vec::new();
        (&file).take(MAX_HEADER_BYTES).read_to_end(&mut head).map_err(Error::io("read", path))?;
        Array::parse(path, &head, bytes, |first| Data::File { file, first: first as u64 })
    }

    /// An array from content that was read whole.
    ///
    /// # Errors
    /// As [`Array::open`].
    pub(super) fn of_content(path: &Path, content: Vec<u8>) -> Result<Array> {
        let head = content[..content.len().min(MAX_HEADER_BYTES as usize)].to_vec();
        let bytes = content.len() as u64;
        Array::parse(path, &head, bytes, |first| Data::Memory { content, first })
    }

    fn parse(path: &Path, head: &[u8], bytes: u64, data: impl FnOnce(usize) -> Data) -> Result<Array> {
        let mut rest = head;
        let header = NpyHeader::from_reader(&mut rest);
        let header = header.map_err(|e| Error::input(path, "a .npy file", e.to_string()))?;
        let first = head.len() - rest.len();
        let kind = match header.dtype() {
            DType::Plain(plain) => Kind {
                name: plain.to_string(),
                letter: plain.type_char(),
                bytes: plain.num_bytes().unwrap_or(0),
                big_endian: plain.endianness() == Endianness::Big,
            },
            other => return Err(Error::input(path, "an array of numbers", other.descr())),
        };
        if !(kind.is_whole() || kind.is_fraction()) || !(1..=8).contains(&kind.bytes) {
            return Err(Error::input(path, "an array of numbers", kind.name));
        }
        let shape: Vec<usize> =
            header.shape().iter().map(|&d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
        if header.order() == Order::Fortran && shape.len() > 1 {
            let expected = "an array in C order: save numpy.ascontiguousarray(array)";
            return Err(Error::input(path, expected, "one in Fortran order"));
        }
        let payload = shape.iter().try_fold(kind.bytes, |n, &d| n.checked_mul(d));
        if payload.map(|payload| payload as u64) != Some(bytes - first as u64) {
            let expected = payload.map_or("more bytes than there can be".into(), |n| format!("{n} bytes"));
            let found = format!("{} bytes", bytes - first as u64);
            return Err(Error::input(
                path,
                format!("a payload of {expected} for {} {shape:?}", kind.name),
                found,
            ));
        }
        Ok(Array { path: path.to_owned(), kind, shape, data: data(first) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements in one row: all with the same first index.
    pub(super) fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The bytes of one row.
    pub(super) fn row(&self, index: usize) -> Result<Vec<u8>> {
        let bytes = self.row_len() * self.kind.bytes;
        match &self.data {
            Data::Memory { content, first } => Ok(content[first + index * bytes..][..bytes].to_vec()),
            Data::File { file, first } => {
                let mut row = vec![0; bytes];
                let at = first + (index * bytes) as u64;
                file.read_exact_at(&mut row, at).map_err(Error::io("read", &self.path))?;
                Ok(row)
            }
        }
    }

    /// The values of one row.
    pub(super) fn values(&self, index: usize) -> Result<Vec<f64>> {
        Ok(self.row(index)?.chunks(self.kind.bytes).map(|bytes| self.kind.value(bytes)).collect())
    }
}
