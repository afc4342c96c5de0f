//! Files that are copied in from outside, by several invocations if necessary. A file gets its name when it
//! is whole.
//!
//! Until then it is in `incoming/` under its content's checksum. So an invocation that continues it, or two
//! that copy it at once, write the same bytes to the same places. The file is read back whole before it gets
//! its name, in several invocations if need be.

use crate::disk::{self, Access, File};
use crate::folder::{create_folder, sync_folder};
use crate::names::{check_file_name, check_name};
use crate::{Error, Result, Root, summed};
use std::io;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;

/// The most bytes of a file that is copied: three hours at 100 MB/s.
const LARGEST: u64 = 1 << 40;

/// Whether a file is there already.
#[derive(Debug)]
pub enum Arrival {
    /// It is, with the expected content.
    There,
    /// It is not, or not whole.
    Missing(Incoming),
    /// Something of its length is, and the time is up: the next look goes on with it.
    Unknown,
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
    /// arrived, as long as `in_time` says.
    ///
    /// # Errors
    /// [`Error::Name`] for a path that is not a data set's, weights', a program's or `job.json`;
    /// [`Error::Unfit`] if another content has the name (only `job.json` may be replaced); [`Error::Io`].
    pub fn begin(
        root: &Root,
        path: &str,
        (bytes, sha256): (u64, &str),
        in_time: &dyn Fn() -> bool,
    ) -> Result<Arrival> {
        check_path(path)?;
        check_sha256(sha256)?;
        if bytes > LARGEST {
            let found = format!("{bytes} bytes");
            return Err(Error::unfit(path, format!("at most {LARGEST} bytes: make smaller shards"), found));
        }
        let target = root.path().join(path);
        let folder = root.path().join("incoming");
        create_folder(&folder)?;
        match content(&target, (bytes, sha256), &place(&folder, path), in_time)? {
            Content::None => {}
            Content::Expected => return Ok(Arrival::There),
            Content::OutOfTime => return Ok(Arrival::Unknown),
            Content::Other(_) if path == JOB => {}
            Content::Other(found) => {
                let expected =
                    format!("{bytes} bytes with SHA-256 {sha256}, or another name for what is pushed");
                return Err(Error::unfit(format!("{path}, which is there"), expected, found));
            }
        }
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

    /// Makes the bytes durable, checks them all and gives the file its name; false when the time is up, and
    /// the next call is to go on.
    ///
    /// # Errors
    /// [`Error::Damaged`], after which it is copied again from its beginning; [`Error::Io`].
    pub fn finish(self, in_time: &dyn Fn() -> bool) -> Result<bool> {
        if let Err(source) = self.file.sync() {
            // This machine's cache may show bytes that the disk does not have, so none of them can be
            // trusted.
            self.file.set_length(0).map_err(Error::io("empty", &self.part))?;
            return Err(Error::io("sync", &self.part)(source));
        }
        let place = self.part.with_extension("sum");
        let Some((bytes, found)) = summed::sha256(&self.part, &*self.file, &place, in_time)? else {
            return Ok(false);
        };
        if (bytes, &found) != (self.bytes, &self.sha256) {
            disk::on(|disk| disk.remove_file(&self.part)).map_err(Error::io("remove", &self.part))?;
            let expected = format!("{} bytes with SHA-256 {}", self.bytes, self.sha256);
            return Err(Error::Damaged { file: self.part, expected, found: format!("{bytes}, {found}") });
        }
        let folder = self.target.parent().unwrap_or(Path::new("."));
        create_folder(folder)?;
        match disk::on(|disk| disk.rename(&self.part, &self.target)) {
            // Another invocation that copied the same file was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match content(&self.target, (self.bytes, &self.sha256), &place, in_time)? {
                    Content::Expected => {}
                    Content::OutOfTime => return Ok(false),
                    _ => return Err(Error::io("publish", &self.target)(error)),
                }
            }
            renamed => renamed.map_err(Error::io("publish", &self.target))?,
        }
        sync_folder(folder).map(|()| true)
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

/// Where the hashing of what has a name already is kept: by that name, for two may have one content.
fn place(folder: &Path, path: &str) -> PathBuf {
    folder.join(format!("{:032x}.sum", XxHash3_128::oneshot(path.as_bytes())))
}

/// The content of a name.
enum Content {
    None,
    Expected,
    Other(String),
    OutOfTime,
}

/// Compares what has a name with what is expected there: by its length first, for that costs nothing.
fn content(
    path: &Path,
    (bytes, sha256): (u64, &str),
    place: &Path,
    in_time: &dyn Fn() -> bool,
) -> Result<Content> {
    let file = match disk::open(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::None),
        opened => opened.map_err(Error::io("open", path))?,
    };
    let length = file.length().map_err(Error::io("look at", path))?;
    if length != bytes {
        return Ok(Content::Other(format!("{length} bytes")));
    }
    Ok(match summed::sha256(path, &*file, place, in_time)? {
        None => Content::OutOfTime,
        Some((_, found)) if found == sha256 => Content::Expected,
        Some((_, found)) => Content::Other(format!("SHA-256 {found}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folders::temporary;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const PATH: &str = "datasets/a/train.npy";

    fn missing(root: &Root, path: &str) -> Incoming {
        match Incoming::begin(root, path, (5, HELLO), &|| true).unwrap() {
            Arrival::Missing(incoming) => incoming,
            other => panic!("{path}: {other:?}"),
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
        assert!(second.finish(&|| true).unwrap() && twin.finish(&|| true).unwrap());
        assert_eq!(std::fs::read(folder.path().join(PATH)).unwrap(), b"hello");
        assert!(matches!(Incoming::begin(&root, PATH, (5, HELLO), &|| true).unwrap(), Arrival::There));
    }

    #[test]
    fn damage_and_too_much_are_refused_and_it_begins_again() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        let mut wrong = missing(&root, PATH);
        assert!(wrong.take(b"hello!").is_err());
        wrong.take(b"hella").unwrap();
        let error = wrong.finish(&|| true).unwrap_err();
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
        let error = Incoming::begin(&root, PATH, (5, HELLO), &|| true).unwrap_err().to_string();
        assert!(error.contains("datasets/a/train.npy, which is there"), "{error}");
        let mut job = missing(&root, JOB);
        job.take(b"hello").unwrap();
        assert!(job.finish(&|| true).unwrap());
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
            assert!(Incoming::begin(&root, path, (5, HELLO), &|| true).is_err(), "{path}");
        }
        assert!(Incoming::begin(&root, PATH, (5, "../../x"), &|| true).is_err());
    }

    #[test]
    fn a_file_that_nobody_could_hash_is_refused() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        let error = Incoming::begin(&root, PATH, (5 << 40, HELLO), &|| true).unwrap_err().to_string();
        assert!(error.contains("make smaller shards"), "{error}");
    }

    #[test]
    fn what_is_there_is_looked_at_for_as_long_as_there_is_time() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        create_folder(folder.path().join(PATH).parent().unwrap()).unwrap();
        std::fs::write(folder.path().join(PATH), vec![7; 3 << 20]).unwrap();
        let sha256 = "0".repeat(64);
        let look = || Incoming::begin(&root, PATH, (3 << 20, sha256.as_str()), &|| false);
        for _ in 0..3 {
            assert!(matches!(look().unwrap(), Arrival::Unknown), "a piece for each look");
        }
        let error = look().unwrap_err().to_string();
        assert!(error.contains("which is there") && error.contains("another name"), "{error}");
    }
}
