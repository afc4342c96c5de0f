//! Files that are copied in from outside, by several invocations if necessary. A file gets its name when it
//! is whole.
//!
//! Until then it is in `incoming/` under its content's checksum. So an invocation that continues it, or two
//! that copy it at once, write the same bytes to the same places. The file is read back whole before it gets
//! its name.

use crate::disk::{self, Access, File};
use crate::folder::{create_folder, sync_folder};
use crate::names::{check_file_name, check_name};
use crate::{Error, Result, Root};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

const PIECE: u64 = 1 << 20;

/// Whether a file is there already.
#[derive(Debug)]
pub enum Arrival {
    /// It is, with the expected content.
    There,
    /// It is not, or not whole.
    Missing(Incoming),
}

/// A file that is not whole yet.
#[derive(Debug)]
pub struct Incoming {
    target: PathBuf,
    part: PathBuf,
    file: File,
    bytes: u64,
    sha256: String,
    have: u64,
}

impl Incoming {
    /// Looks for `path` under the root, with `bytes` bytes of that SHA-256, and for the part that has
    /// arrived.
    ///
    /// # Errors
    /// [`Error::Name`] for a path that is not a data set's, weights', a program's or `job.json`;
    /// [`Error::Unfit`] if another content has the name (only `job.json` may be replaced); [`Error::Io`].
    pub fn begin(root: &Root, path: &str, bytes: u64, sha256: &str) -> Result<Arrival> {
        check_path(path)?;
        check_sha256(sha256)?;
        let target = root.path().join(path);
        if let Some(found) = content(&target)? {
            if found == (bytes, sha256.to_owned()) {
                return Ok(Arrival::There);
            }
            if path != JOB {
                let expected = format!("SHA-256 {sha256}, or another name for what is pushed");
                return Err(Error::unfit(format!("{path}, which is there"), expected, found.1));
            }
        }
        let folder = root.path().join("incoming");
        create_folder(&folder)?;
        let part = folder.join(sha256);
        let file = disk::open(&part, Access::UpdateOrCreate).map_err(Error::io("create", &part))?;
        let mut have = file.length().map_err(Error::io("look at", &part))?;
        if have > bytes {
            file.set_length(0).map_err(Error::io("empty", &part))?;
            have = 0;
        }
        Ok(Arrival::Missing(Incoming { target, part, file, bytes, sha256: sha256.to_owned(), have }))
    }

    /// Bytes that have arrived.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Whether all bytes have arrived.
    pub fn is_whole(&self) -> bool {
        self.have == self.bytes
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    /// [`Error::Unfit`] for more than the file has, [`Error::Io`].
    pub fn take(&mut self, piece: &[u8]) -> Result<()> {
        let after = self.have + piece.len() as u64;
        if after > self.bytes {
            let what = format!("what arrives for {}", self.target.display());
            return Err(Error::unfit(what, format!("{} bytes", self.bytes), "more"));
        }
        self.file.write_all_at(piece, self.have).map_err(Error::io("write", &self.part))?;
        self.have = after;
        Ok(())
    }

    /// Makes the bytes durable, checks them all and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Damaged`], after which it is copied again from its beginning; [`Error::Io`].
    pub fn finish(self) -> Result<()> {
        if let Err(source) = self.file.sync() {
            // This machine's cache may show bytes that the disk does not have, so none of them can be
            // trusted.
            self.file.set_length(0).map_err(Error::io("empty", &self.part))?;
            return Err(Error::io("sync", &self.part)(source));
        }
        let (bytes, found) = hash(&*self.file).map_err(Error::io("read", &self.part))?;
        if (bytes, &found) != (self.bytes, &self.sha256) {
            disk::on(|disk| disk.remove_file(&self.part)).map_err(Error::io("remove", &self.part))?;
            let expected = format!("{} bytes with SHA-256 {}", self.bytes, self.sha256);
            return Err(Error::Damaged { file: self.part, expected, found: format!("{bytes}, {found}") });
        }
        let folder = self.target.parent().unwrap_or(Path::new("."));
        create_folder(folder)?;
        match disk::on(|disk| disk.rename(&self.part, &self.target)) {
            // Another invocation that copied the same file was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match content(&self.target)? {
                Some(found) if found == (self.bytes, self.sha256) => {}
                _ => return Err(Error::io("publish", &self.target)(error)),
            },
            renamed => renamed.map_err(Error::io("publish", &self.target))?,
        }
        sync_folder(folder)
    }
}

const JOB: &str = "job.json";

/// Makes a file that was copied in executable.
///
/// # Errors
/// [`Error::Name`], as [`Incoming::begin`]; [`Error::Io`].
pub fn allow_running(root: &Root, path: &str) -> Result<()> {
    check_path(path)?;
    let target = root.path().join(path);
    let file = disk::open(&target, Access::Read).map_err(Error::io("open", &target))?;
    file.allow_running().map_err(Error::io("let run", &target))
}

/// The paths that may be copied in: `job.json`, and files of data sets, weights and programs.
fn check_path(path: &str) -> Result<()> {
    check_file_name(path)?;
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(JOB), None, None) => Ok(()),
        (Some("datasets" | "weights" | "programs"), Some(name), Some(_)) => {
            check_name("data set, weights or program", name)
        }
        _ => {
            let expected = "job.json, or <file> in datasets/<name>/, weights/<name>/ or programs/<name>/";
            Err(Error::unfit("the path of a pushed file", expected, path))
        }
    }
}

fn check_sha256(sha256: &str) -> Result<()> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if sha256.len() == 64 && sha256.chars().all(hex) {
        return Ok(());
    }
    Err(Error::unfit("a SHA-256", "64 hex digits", sha256))
}

/// Length and SHA-256 of a file, if it exists.
fn content(path: &Path) -> Result<Option<(u64, String)>> {
    match disk::open(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path)(error)),
        Ok(file) => hash(&*file).map(Some).map_err(Error::io("read", path)),
    }
}

fn hash(file: &dyn disk::OpenFile) -> io::Result<(u64, String)> {
    let mut sha256 = Sha256::new();
    let mut at = 0;
    loop {
        let piece = file.read_from(at, PIECE)?;
        if piece.is_empty() {
            let hex = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((at, hex));
        }
        at += piece.len() as u64;
        sha256.update(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folders::temporary;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const PATH: &str = "datasets/a/train.npy";

    fn missing(root: &Root, path: &str) -> Incoming {
        match Incoming::begin(root, path, 5, HELLO).unwrap() {
            Arrival::Missing(incoming) => incoming,
            Arrival::There => panic!("{path} is there"),
        }
    }

    #[test]
    fn a_file_arrives_in_pieces_and_is_seen_when_it_is_whole() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        missing(&root, PATH).take(b"he").unwrap();
        let mut second = missing(&root, PATH);
        assert_eq!((second.have(), second.is_whole()), (2, false));
        // Another that began at the same place writes the same bytes.
        let mut twin = missing(&root, PATH);
        second.take(b"llo").unwrap();
        twin.take(b"llo").unwrap();
        assert!(!folder.path().join(PATH).exists() && second.is_whole());
        second.finish().unwrap();
        twin.finish().unwrap();
        assert_eq!(std::fs::read(folder.path().join(PATH)).unwrap(), b"hello");
        assert!(matches!(Incoming::begin(&root, PATH, 5, HELLO).unwrap(), Arrival::There));
    }

    #[test]
    fn damage_and_too_much_are_refused_and_it_begins_again() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        let mut wrong = missing(&root, PATH);
        assert!(wrong.take(b"hello!").is_err());
        wrong.take(b"hella").unwrap();
        let error = wrong.finish().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(!folder.path().join(PATH).exists());
        assert_eq!(missing(&root, PATH).have(), 0);
    }

    #[test]
    fn another_content_stays_but_for_the_job() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        for path in [PATH, JOB] {
            create_folder(folder.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(path), "hallo").unwrap();
        }
        let error = Incoming::begin(&root, PATH, 5, HELLO).unwrap_err().to_string();
        assert!(error.contains("datasets/a/train.npy, which is there"), "{error}");
        let mut job = missing(&root, JOB);
        job.take(b"hello").unwrap();
        job.finish().unwrap();
        assert_eq!(std::fs::read(folder.path().join(JOB)).unwrap(), b"hello");
    }

    #[test]
    fn nothing_is_brought_in_elsewhere() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        for path in [
            "runs/a/ledger",
            "../x",
            "datasets/x",
            "programs/x",
            "datasets/../../x/y",
            "job.json/x",
            "/etc/passwd",
            "",
        ] {
            assert!(Incoming::begin(&root, path, 5, HELLO).is_err(), "{path}");
        }
        assert!(Incoming::begin(&root, PATH, 5, "../../x").is_err());
    }
}
