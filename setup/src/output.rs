//! Files that a command writes for its user: there whole, or not at all.

use crate::Failure;
use std::path::Path;

/// Writes a file, in place of one that has the name; when that fails nothing of it stays, and the old one does.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = Path::new(&temporary);
    let written = std::fs::write(temporary, bytes).and_then(|()| std::fs::rename(temporary, path));
    written.map_err(|error| {
        // What is not there, or cannot be removed either, is not the trouble to tell.
        let _ = std::fs::remove_file(temporary);
        Failure::io("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
