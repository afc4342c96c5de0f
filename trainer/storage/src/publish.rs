//! Atomic publication: a file appears whole, under a name that was never used before, or not at all.
//!
//! The steps are: a unique temporary name, write, fsync, close, rename or link, fsync of the folder. An error
//! in any of them is an error of the publication, and removes the temporary file.

use crate::disk::{self, Access, File};
use crate::folder::sync_folder;
use crate::names::check_file_name;
use crate::opened::{hex, open};
use crate::{Error, Result};
use protocol::FileRef;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;

/// Publishes what `write` writes as `<stem>-<attempt>.<extension>` in `folder`; every attempt has its own
/// number.
///
/// `stem` may be in an existing sub-folder: `stages/0004/worker-003`.
///
/// # Errors
/// [`Error::Io`] of any step, a full disk for instance; then nothing is left behind.
pub fn publish(
    folder: &Path,
    stem: &str,
    extension: &str,
    write: impl FnOnce(&mut Publication) -> io::Result<()>,
) -> Result<FileRef> {
    let mut publication = Publication::begin(folder, stem, extension)?;
    write(&mut publication).map_err(Error::io("write", &publication.temporary))?;
    publication.finish()
}

/// Replaces a damaged published file by what `write` writes, if it equals what was published.
///
/// The damaged file is not rewritten: its name moves to a whole one, and a process that still reads the old
/// one finds the damage.
///
/// # Errors
/// [`Error::Damaged`] if the new bytes are not those of `reference`; [`Error::Io`]. Then nothing changes.
pub fn restore(
    folder: &Path,
    reference: &FileRef,
    write: impl FnOnce(&mut Publication) -> io::Result<()>,
) -> Result<()> {
    let mut publication = Publication::begin_named(folder, reference.name.clone())?;
    write(&mut publication).map_err(Error::io("write", &publication.temporary))?;
    let made = publication.settle()?;
    if made != *reference {
        let found = format!("xxh3 {} when it was made again", made.xxh3);
        return Err(Error::damaged(&publication.target, format!("xxh3 {}", reference.xxh3), found));
    }
    publication.take_name()
}

/// Whether our bytes became the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// Ours did.
    Published(FileRef),
    /// Someone else's were there first, and are kept.
    AlreadyThere,
}

/// Publishes what `write` writes as `name` in `folder`, unless the name is taken: of many, the first wins.
///
/// # Errors
/// [`Error::Io`] of any step, a full disk for instance; then nothing is left behind.
pub fn publish_once(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut Publication) -> io::Result<()>,
) -> Result<Once> {
    let (reference, first) = publish_first(folder, name, write)?;
    Ok(if first { Once::Published(reference) } else { Once::AlreadyThere })
}

/// As [`publish_once`], for content that is the same whoever publishes it: a file that already has the name
/// must have it.
///
/// # Errors
/// As [`publish_once`]; [`Error::Damaged`] if something else has the name.
pub fn publish_same(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut Publication) -> io::Result<()>,
) -> Result<FileRef> {
    let (reference, first) = publish_first(folder, name, write)?;
    if !first {
        open(folder, &reference)?.verify()?;
    }
    Ok(reference)
}

/// The reference of the written file, and whether it got the name.
fn publish_first(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut Publication) -> io::Result<()>,
) -> Result<(FileRef, bool)> {
    let mut publication = Publication::begin_named(folder, name.to_owned())?;
    write(&mut publication).map_err(Error::io("write", &publication.temporary))?;
    publication.finish_first()
}

/// A file that is being written and that nobody sees yet; if it is dropped without [`Publication::finish`] it
/// is removed.
pub struct Publication {
    file: BufWriter<Hashed>,
    name: String,
    target: PathBuf,
    temporary: PathBuf,
}

impl Publication {
    /// Begins `<stem>-<attempt>.<extension>` in `folder`; see [`publish`].
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Name`].
    pub fn begin(folder: &Path, stem: &str, extension: &str) -> Result<Publication> {
        Publication::begin_named(folder, format!("{stem}-{:016x}.{extension}", disk::random()))
    }

    /// Begins a file with a given name; finishing it replaces a file that has the name.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Name`].
    pub fn begin_named(folder: &Path, name: String) -> Result<Publication> {
        check_file_name(&name)?;
        let target = folder.join(&name);
        let last = name.rsplit('/').next().unwrap_or(&name);
        let temporary = target.with_file_name(format!(".{last}-{:016x}.tmp", disk::random()));
        let file = disk::open(&temporary, Access::CreateNew).map_err(Error::io("create", &temporary))?;
        let hashed = Hashed { file, hash: Box::new(XxHash3_128::new()), bytes: 0 };
        Ok(Publication { file: BufWriter::with_capacity(1 << 18, hashed), name, target, temporary })
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<FileRef> {
        let reference = self.settle()?;
        self.take_name()?;
        Ok(reference)
    }

    fn take_name(self) -> Result<()> {
        disk::on(|disk| disk.rename(&self.temporary, &self.target))
            .map_err(Error::io("publish", &self.target))?;
        sync_folder(self.folder())
    }

    /// As [`Publication::finish`], but keeps a file that already has the name; the second value is true if
    /// ours got it.
    fn finish_first(mut self) -> Result<(FileRef, bool)> {
        let reference = self.settle()?;
        let linked = disk::on(|disk| disk.hard_link(&self.temporary, &self.target));
        let same = || disk::on(|disk| disk.same_file(&self.temporary, &self.target));
        let ours = match linked {
            Ok(()) => true,
            // A link whose answer was lost is sent again, and then finds its own file there.
            Err(source) => match same() {
                Ok(true) => true,
                Ok(false) if source.kind() == io::ErrorKind::AlreadyExists => false,
                _ => return Err(Error::io("publish", &self.target)(source)),
            },
        };
        disk::on(|disk| disk.remove_file(&self.temporary)).map_err(Error::io("remove", &self.temporary))?;
        sync_folder(self.folder())?;
        Ok((reference, ours))
    }

    /// Everything is written: flush and fsync. A close after this cannot lose anything, so its answer does
    /// not matter.
    fn settle(&mut self) -> Result<FileRef> {
        self.file.flush().map_err(Error::io("write", &self.temporary))?;
        let hashed = self.file.get_ref();
        hashed.file.sync().map_err(Error::io("sync", &self.temporary))?;
        Ok(FileRef { name: self.name.clone(), bytes: hashed.bytes, xxh3: hex(&hashed.hash) })
    }

    fn folder(&self) -> &Path {
        self.target.parent().unwrap_or(Path::new("."))
    }
}

impl Write for Publication {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        // After a rename nothing has this name any more: it is unique.
        let _ = disk::on(|disk| disk.remove_file(&self.temporary));
    }
}

/// Writes through to the file and hashes the written bytes.
struct Hashed {
    file: File,
    hash: Box<XxHash3_128>,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.bytes)?;
        self.hash.write(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A checksum in the form of a [`FileRef`].
#[cfg(test)]
mod tests;
