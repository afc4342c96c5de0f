//! Opening the files of others: the folder is refreshed, the file awaited, its length and checksum checked.

use crate::arrays::Npy;
use crate::disk::{self, Access, File, Stopwatch};
use crate::folder::refresh;
use crate::log::is_stale;
use crate::names::check_file_name;
use crate::{Error, Result};
use protocol::FileRef;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use twox_hash::XxHash3_128;

/// How long we wait for a published file that cannot be seen yet: an NFS client may not see a name for 50 s.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long we wait for a file of a fixed name that exists long before it is used. A look at the refreshed
/// folder decides; the rest is for a server that is slow to answer.
const SOON: Duration = Duration::from_secs(2);

/// Bytes read at once when a file is streamed.
const CHUNK: usize = 1 << 20;

/// A published file, open for reading. Its length is right; the methods below say which of them check its
/// bytes.
#[derive(Debug)]
pub struct Opened {
    file: File,
    path: PathBuf,
    reference: FileRef,
}

/// Opens the file that `reference` names in `folder`, waiting for it up to [`PATIENCE`].
///
/// # Errors
/// As [`open_within`].
pub fn open(folder: &Path, reference: &FileRef) -> Result<Opened> {
    open_within(folder, reference, PATIENCE)
}

/// Opens the file that `reference` names in `folder`, waiting for it up to `patience`.
///
/// # Errors
/// [`Error::Missing`] after that time, [`Error::Damaged`] if it has another length.
pub fn open_within(folder: &Path, reference: &FileRef, patience: Duration) -> Result<Opened> {
    check_file_name(&reference.name)?;
    let path = folder.join(&reference.name);
    let file = await_file(&path, patience)?;
    let length = file.length().map_err(Error::io("look at", &path))?;
    if length != reference.bytes {
        return Err(Error::damaged(&path, format!("{} bytes", reference.bytes), format!("{length} bytes")));
    }
    Ok(Opened { file, path, reference: reference.clone() })
}

/// Opens a file of a fixed name that others publish once, such as a manifest; `None` if it is missing.
///
/// It may be missing only in this machine's cache: a wrong answer may cost work, but never do damage.
///
/// # Errors
/// [`Error::Io`].
pub fn find(path: &Path) -> Result<Option<File>> {
    match refresh(path.parent().unwrap_or(Path::new("."))) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        refreshed => refreshed?,
    }
    match disk::open(path, Access::Read) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(Error::io("open", path)),
    }
}

/// All bytes of a small file of a fixed name, as the server has it now, and its reference for a fact.
///
/// # Errors
/// [`Error::Missing`] if it is still missing after two seconds, [`Error::Io`].
pub fn read_whole(path: &Path) -> Result<(Vec<u8>, FileRef)> {
    let file = await_file(path, SOON)?;
    let bytes = file.read_from(0, u64::MAX).map_err(Error::io("read", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reference =
        FileRef { name, bytes: bytes.len() as u64, xxh3: format!("{:032x}", XxHash3_128::oneshot(&bytes)) };
    Ok((bytes, reference))
}

/// Opens `path`, looking for it in its refreshed folder until `patience` ends.
pub(crate) fn await_file(path: &Path, patience: Duration) -> Result<File> {
    let start = Stopwatch::start();
    loop {
        match find(path) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => {}
            // The name is of a file that was replaced on the server: the next look finds the new one.
            Err(Error::Io { source, .. }) if is_stale(&source) => {}
            Err(error) => return Err(error),
        }
        let waited = start.elapsed();
        if waited >= patience {
            return Err(Error::Missing { path: path.to_owned(), waited });
        }
        disk::sleep(Duration::from_millis(250).min(patience - waited));
    }
}

impl Opened {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.reference.bytes
    }

    /// The file as an array whose rows are read on demand. The bytes are not checked: see [`Opened::verify`].
    ///
    /// # Errors
    /// As [`Npy::open`].
    pub fn into_npy(self) -> Result<Npy> {
        Npy::from_file(self.path, self.file)
    }

    /// Fills `buffer` from `offset` on; several threads may do so at once. The bytes are not checked: see
    /// [`Opened::verify`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let read = self.file.read_exact_at(buffer, offset);
        read.map_err(Error::read(&self.path, "as many bytes as were published"))
    }

    /// All bytes, checked. For small files.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.reference.bytes as usize);
        self.stream().read_to_end(&mut bytes).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    /// Reads all of the file once, a piece at a time, and checks its checksum.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn verify(&self) -> Result<()> {
        let mut stream = self.stream();
        let mut chunk = vec![0; CHUNK.min(self.reference.bytes as usize + 1)];
        loop {
            if stream.read(&mut chunk).map_err(Error::io("read", &self.path))? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads the file from its start. It ends only if the checksum is right, otherwise it fails with
    /// [`Error::Damaged`] as an [`io::Error`]. Do not trust the bytes before the end.
    pub fn stream(&self) -> CheckedStream<'_> {
        CheckedStream { opened: self, offset: 0, hash: Box::new(XxHash3_128::new()) }
    }
}

/// A reader that fails instead of ending if the checksum is wrong; see [`Opened::stream`].
pub struct CheckedStream<'a> {
    opened: &'a Opened,
    offset: u64,
    hash: Box<XxHash3_128>,
}

impl Read for CheckedStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Opened { file, path, reference } = self.opened;
        let read = file.read_some(buffer, self.offset)?;
        self.hash.write(&buffer[..read]);
        self.offset += read as u64;
        if read == 0 {
            check(path, &format!("{} bytes", reference.bytes), &format!("{} bytes", self.offset))?;
            check(path, &format!("xxh3 {}", reference.xxh3), &format!("xxh3 {}", hex(&self.hash)))?;
        }
        Ok(read)
    }
}

fn check(path: &Path, expected: &str, found: &str) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::damaged(path, expected, found)) }
}

pub(crate) fn hex(hash: &XxHash3_128) -> String {
    format!("{:032x}", hash.finish_128())
}

#[cfg(test)]
mod tests;
