//! The parts of ELF files that determine whether they run: processor, loader, needed and defined versions.
//!
//! The file may contain anything. So every read is bounded, every sum is checked, and tables that lead
//! nowhere are an error.

use super::refused;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use work::Failed;

/// The first bytes of an ELF file.
pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// The most program headers, entries of the dynamic section, and entries of version tables that are read.
const MOST_HEADERS: u16 = 1024;
const MOST_DYNAMIC: u64 = 4096;
const MOST_VERSIONS: usize = 4096;
/// The longest name of a version, and of a loader.
const LONGEST_NAME: u64 = 128;
const LONGEST_PATH: u64 = 4096;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const STRINGS: u64 = 5;
const DEFINED: (u64, u64) = (0x6fff_fffc, 0x6fff_fffd);
const NEEDED: (u64, u64) = (0x6fff_fffe, 0x6fff_ffff);
const WEAK: u16 = 2;

/// The parts of an ELF file that are read.
#[derive(Debug, Default)]
pub(super) struct Elf {
    /// The processor, by name.
    pub(super) architecture: String,
    /// The kind of file, if it is not a linked program.
    pub(super) unlinked: Option<&'static str>,
    /// The program that loads it with its libraries; a static program has none.
    pub(super) loader: Option<PathBuf>,
    /// Names of versions that it needs, such as `GLIBC_2.34`.
    pub(super) needs: Vec<String>,
    /// Names of versions that it provides to other files.
    pub(super) defines: Vec<String>,
}

/// The name of the processor that this program was compiled for.
pub(super) fn own_architecture() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("x86-64"),
        "aarch64" => Some("aarch64"),
        _ => None,
    }
}

impl Elf {
    /// Reads a file that begins as ELF files do. Of a file for another word length it reads only the
    /// processor.
    ///
    /// # Errors
    /// Names the place where a file that is not a whole ELF program ends or leads nowhere.
    pub(super) fn read(file: &File, path: &Path) -> Result<Elf, Failed> {
        let length = file.metadata().map_err(storage::Error::io("look at", path))?.len();
        let bytes = Bytes { file, path, length };
        let head = bytes.at(0, 64)?;
        let architecture = architecture(&head);
        if head[4] != 2 || head[5] != 1 {
            return Ok(Elf { architecture, ..Elf::default() });
        }
        let entry = u64_at(&head, 24);
        let unlinked = match u16_at(&head, 16) {
            2 | 3 if entry == 0 => Some("a library, which begins nowhere"),
            2 | 3 => None,
            1 => Some("an object file, which is not linked"),
            4 => Some("the memory of a process that crashed"),
            _ => Some("an ELF file of an unknown kind"),
        };
        let segments = Segments::read(&bytes, &head)?;
        let loader = segments.loader(&bytes)?;
        let tables = segments.tables(&bytes)?;
        let (needs, defines) = (tables.needs(&bytes)?, tables.defines(&bytes)?);
        Ok(Elf { architecture, unlinked, loader, needs, defines })
    }
}

fn architecture(head: &[u8]) -> String {
    let big = head[5] == 2;
    let machine = if big { u16_at(head, 18).swap_bytes() } else { u16_at(head, 18) };
    let name = match machine {
        3 => "x86".to_owned(),
        40 => "ARM".to_owned(),
        62 => "x86-64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "RISC-V".to_owned(),
        other => format!("processor {other} of ELF's list"),
    };
    let bits = if head[4] == 2 { "" } else { "32-bit " };
    format!("{bits}{name}{}", if big { ", big-endian" } else { "" })
}

/// A file that is read in small pieces.
struct Bytes<'a> {
    file: &'a File,
    path: &'a Path,
    length: u64,
}

impl Bytes<'_> {
    /// Returns this many bytes from an offset on.
    fn at(&self, offset: u64, length: usize) -> Result<Vec<u8>, Failed> {
        let end = self.sum(offset, length as u64)?;
        let mut bytes = vec![0; length];
        if end <= self.length {
            match self.file.read_exact_at(&mut bytes, offset) {
                Ok(()) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(storage::Error::io("read", self.path)(error).into()),
            }
        }
        Err(self.broken(&format!("one that ends before byte {end}")))
    }

    /// A name that ends with a zero byte.
    fn name(&self, offset: u64) -> Result<String, Failed> {
        let most = self.length.saturating_sub(offset).min(LONGEST_NAME);
        let bytes = self.at(offset, most as usize)?;
        match bytes.iter().position(|&byte| byte == 0) {
            Some(end) => Ok(String::from_utf8_lossy(&bytes[..end]).into_owned()),
            None => Err(self.broken("one with a name that has no end")),
        }
    }

    fn broken(&self, found: &str) -> Failed {
        refused(self.path, "a whole ELF program", format!("{found}; copy it again"))
    }

    fn sum(&self, a: u64, b: u64) -> Result<u64, Failed> {
        a.checked_add(b).ok_or_else(|| self.broken("one whose tables lead nowhere"))
    }
}

/// The program headers: the parts of the file that are loaded.
struct Segments(Vec<Segment>);

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    bytes: u64,
}

impl Segments {
    fn read(bytes: &Bytes, head: &[u8]) -> Result<Segments, Failed> {
        let (first, size, count) = (u64_at(head, 32), u16_at(head, 54), u16_at(head, 56));
        if count > MOST_HEADERS || (count > 0 && size != 56) {
            return Err(bytes.broken(&format!("{count} program headers of {size} bytes")));
        }
        let table = bytes.at(first, usize::from(count) * 56)?;
        let segment = |header: &[u8]| Segment {
            kind: u32_at(header, 0),
            offset: u64_at(header, 8),
            address: u64_at(header, 16),
            bytes: u64_at(header, 32),
        };
        Ok(Segments(table.chunks_exact(56).map(segment).collect()))
    }

    fn of(&self, kind: u32) -> Option<&Segment> {
        self.0.iter().find(|segment| segment.kind == kind)
    }

    fn loader(&self, bytes: &Bytes) -> Result<Option<PathBuf>, Failed> {
        let Some(segment) = self.of(INTERPRETER) else { return Ok(None) };
        if segment.bytes > LONGEST_PATH {
            return Err(bytes.broken(&format!("a loader's path of {} bytes", segment.bytes)));
        }
        let mut path = bytes.at(segment.offset, segment.bytes as usize)?;
        path.truncate(path.iter().position(|&byte| byte == 0).unwrap_or(path.len()));
        Ok(Some(PathBuf::from(OsString::from_vec(path))))
    }

    /// The offset in the file of an address in memory.
    fn place(&self, bytes: &Bytes, address: u64) -> Result<u64, Failed> {
        let inside = |segment: &&Segment| {
            segment.kind == LOAD && address.checked_sub(segment.address).is_some_and(|at| at < segment.bytes)
        };
        match self.0.iter().find(inside) {
            Some(segment) => bytes.sum(segment.offset, address - segment.address),
            None => Err(bytes.broken("one whose tables lead nowhere")),
        }
    }

    fn tables(&self, bytes: &Bytes) -> Result<Tables, Failed> {
        let mut entries = Vec::new();
        if let Some(segment) = self.of(DYNAMIC) {
            let count = (segment.bytes / 16).min(MOST_DYNAMIC);
            let table = bytes.at(segment.offset, count as usize * 16)?;
            let pairs = table.chunks_exact(16).map(|entry| (u64_at(entry, 0), u64_at(entry, 8)));
            entries.extend(pairs.take_while(|&(tag, _)| tag != 0));
        }
        let value = |wanted| entries.iter().find(|&&(tag, _)| tag == wanted).map(|&(_, value)| value);
        let place = |tag| value(tag).map(|address| self.place(bytes, address)).transpose();
        let table = |(tag, count)| Ok::<_, Failed>(place(tag)?.map(|at| (at, value(count).unwrap_or(0))));
        Ok(Tables { strings: place(STRINGS)?, needed: table(NEEDED)?, defined: table(DEFINED)? })
    }
}

/// The offsets of names and versions in the file, each table of versions with the number of its entries.
struct Tables {
    strings: Option<u64>,
    needed: Option<(u64, u64)>,
    defined: Option<(u64, u64)>,
}

impl Tables {
    fn name(&self, bytes: &Bytes, offset: u32) -> Result<String, Failed> {
        let strings = self.strings.ok_or_else(|| bytes.broken("one with versions and without names"))?;
        bytes.name(bytes.sum(strings, u64::from(offset))?)
    }

    /// `.gnu.version_r`: for each library a list of versions. Weak ones may be missing.
    fn needs(&self, bytes: &Bytes) -> Result<Vec<String>, Failed> {
        let (mut names, mut entries) = (Vec::new(), 0);
        let Some((mut at, libraries)) = self.needed else { return Ok(names) };
        for _ in 0..libraries.min(MOST_VERSIONS as u64) {
            let library = bytes.at(at, 16)?;
            let mut version_at = bytes.sum(at, u64::from(u32_at(&library, 8)))?;
            for _ in 0..u16_at(&library, 2) {
                entries += 1;
                if entries > MOST_VERSIONS {
                    return Err(bytes.broken("one that needs versions without an end"));
                }
                let version = bytes.at(version_at, 16)?;
                if u16_at(&version, 4) & WEAK == 0 {
                    names.push(self.name(bytes, u32_at(&version, 8))?);
                }
                version_at = bytes.sum(version_at, u64::from(u32_at(&version, 12)))?;
            }
            let next = u32_at(&library, 12);
            if next == 0 {
                break;
            }
            at = bytes.sum(at, u64::from(next))?;
        }
        Ok(names)
    }

    /// `.gnu.version_d`: the versions that a library has.
    fn defines(&self, bytes: &Bytes) -> Result<Vec<String>, Failed> {
        let mut names = Vec::new();
        let Some((mut at, count)) = self.defined else { return Ok(names) };
        for _ in 0..count.min(MOST_VERSIONS as u64) {
            let version = bytes.at(at, 20)?;
            let name = bytes.at(bytes.sum(at, u64::from(u32_at(&version, 12)))?, 8)?;
            names.push(self.name(bytes, u32_at(&name, 0))?);
            let next = u32_at(&version, 16);
            if next == 0 {
                break;
            }
            at = bytes.sum(at, u64::from(next))?;
        }
        Ok(names)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
