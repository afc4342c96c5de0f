//! Folders on the shared file system: made durable, seen fresh, removed with patience.

use crate::disk::{self, Access};
use crate::{Error, Result};
use std::io;
use std::path::Path;

/// Makes the folder and the missing ones above it, so that they survive a power failure.
///
/// # Errors
/// [`Error::Io`], also if the name is taken by something else.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    match disk::on(|disk| disk.create_dir(path)) {
        Ok(()) => {}
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            // Only a known other thing is refused: a failed look proves nothing.
            let something_else = matches!(is_dir(path), Ok(false));
            return if something_else { Err(Error::io("create the folder", path)(source)) } else { Ok(()) };
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else {
                return Err(Error::io("create the folder", path)(source));
            };
            create_folder(parent)?;
            match disk::on(|disk| disk.create_dir(path)) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create the folder", path)(source));
                }
                _ => {}
            }
        }
        Err(source) => return Err(Error::io("create the folder", path)(source)),
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_folder(path: &Path) -> Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    disk::on(|disk| disk.sync_dir(path)).map_err(Error::io("sync the folder", path))
}

/// Makes this machine forget its cached names of a folder.
///
/// An NFS client remembers for up to 50 s that a name is missing. Making and removing a file refreshes the
/// folder at once. If this is not allowed (a folder that is mounted for reading), listing it does.
///
/// A folder that cannot be seen may be missing only in this machine's cache: then the one above it is
/// refreshed first.
///
/// # Errors
/// [`Error::Io`].
pub fn refresh(folder: &Path) -> Result<()> {
    match probe(folder) {
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound
                && let Some(above) = folder.parent() =>
        {
            refresh(above)?;
            probe(folder)
        }
        probed => probed,
    }
}

fn probe(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".refresh-{:016x}", disk::random()));
    match disk::open(&probe, Access::CreateNew) {
        // Another machine's removal of the whole folder may remove the probe, too.
        Ok(_) => match disk::on(|disk| disk.remove_file(&probe)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &probe)(source))
            }
            _ => Ok(()),
        },
        Err(_) => disk::on(|disk| disk.list(folder)).map(drop).map_err(Error::io("list", folder)),
    }
}

/// Removes a folder and everything in it; a folder that is already gone is fine.
///
/// Returns `false` if something is left: a file that this machine still reads leaves a `.nfs` name until it
/// is closed.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_folder(path: &Path) -> Result<bool> {
    for _ in 0..3 {
        match disk::on(|disk| disk.remove_dir_all(path)) {
            Ok(()) => return Ok(true),
            Err(source) => match source.kind() {
                io::ErrorKind::NotFound if is_gone(path) => return Ok(true),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty => {}
                io::ErrorKind::ResourceBusy => return Ok(false),
                _ => return Err(Error::io("remove", path)(source)),
            },
        }
    }
    Ok(false)
}

fn is_dir(path: &Path) -> io::Result<bool> {
    disk::on(|disk| disk.is_dir(path))
}

fn is_gone(path: &Path) -> bool {
    matches!(is_dir(path), Err(source) if source.kind() == io::ErrorKind::NotFound)
}
