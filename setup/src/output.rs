//! Files that a command writes for its user: complete, or not at all.

use crate::Failure;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file and replaces one that has the name; if it fails nothing of it is left, and the old one is
/// kept.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes, OpenOptions::new().truncate(true))
}

/// The same with a file that only its user may read, from its first byte on.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // If another user's file had the name, it would stay another's.
    let _ = std::fs::remove_file(beside(path));
    write(path, bytes, OpenOptions::new().create_new(true).mode(0o600))
}

/// The name under which a file is written until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn write(path: &Path, bytes: &[u8], how: &mut OpenOptions) -> Result<(), Failure> {
    let temporary = &beside(path);
    let written = how.write(true).create(true).open(temporary).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| std::fs::rename(temporary, path)).map_err(|error| {
        // It may be missing, or impossible to remove; the first error is the one to report.
        let _ = std::fs::remove_file(temporary);
        Failure::io("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_never_open_to_others_whatever_stood_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, open) = (folder.path().join("secret"), Permissions::from_mode(0o666));
        for name in ["secret", "secret.part"] {
            std::fs::write(folder.path().join(name), b"old").unwrap();
            std::fs::set_permissions(folder.path().join(name), open.clone()).unwrap();
        }
        write_secret(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        let taken = folder.path().join("taken");
        std::fs::create_dir_all(taken.join("full")).unwrap();
        let failure = write_whole(&taken, b"third").unwrap_err();
        assert!(failure.code == 4 && failure.message.contains("taken"), "{failure}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
