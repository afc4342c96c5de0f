//! Checks whether this machine can run a program, before anything is sent.

mod elf;
mod glibc;
mod script;

use elf::Elf;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;
use work::Failed;

/// The longest chain of interpreters behind a script; the kernel accepts no longer one.
const DEEPEST: usize = 4;

/// The first bytes of a file, which determine its form. The kernel also reads no more of a script.
const HEAD: usize = 256;

/// Checks that this machine can run a program.
///
/// It refuses an ELF program for another processor, one whose loader is missing or that needs a newer glibc
/// than the machine's, a script whose interpreter is missing, a file that is not a program, and, after all
/// this, a file that is not executable.
///
/// # Errors
/// Names what was found, what is expected and what to do. [`work::Fate::Halt`] if the file was read and
/// cannot be run; [`work::Fate::Retry`] if it could not be read or is not visible.
pub fn check(program: &Path) -> Result<(), Failed> {
    check_below(program, 0)
}

fn check_below(program: &Path, depth: usize) -> Result<(), Failed> {
    let (file, metadata) = open(program, depth)?;
    let head = head(&file).map_err(storage::Error::io("read", program))?;
    if head.starts_with(elf::MAGIC) {
        check_elf(program, &Elf::read(&file, program)?)?;
    } else if head.starts_with(b"#!") {
        if depth == DEEPEST {
            return Err(refused(program, "an interpreter that is a program", "scripts that lead to scripts"));
        }
        check_below(&script::interpreter(program, &head)?, depth + 1)?;
    } else {
        return Err(no_program(program, &head));
    }
    if metadata.mode() & 0o111 == 0 {
        let way_out = format!("a file without the right to be run; chmod +x {}", program.display());
        return Err(refused(program, "an executable file", way_out));
    }
    Ok(())
}

/// Opens a file of the user's after a fresh look at its folder, or a file of the system's. It opens only
/// plain files.
fn open(program: &Path, depth: usize) -> Result<(File, Metadata), Failed> {
    if depth == 0
        && let Some(folder) = program.parent()
    {
        match storage::refresh(folder) {
            Err(storage::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            refreshed => refreshed?,
        }
    }
    let missing = |action: &'static str| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => {
                storage::Error::Missing { path: program.to_owned(), waited: Duration::ZERO }
            }
            _ => storage::Error::io(action, program)(source),
        }
    };
    let metadata = fs::metadata(program).map_err(missing("look at"))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(refused(program, "a program", "a folder; name the file in it that is to be run"));
    }
    if !kind.is_file() {
        return Err(refused(program, "a program", "a pipe, a device or a socket"));
    }
    let file = File::open(program).map_err(missing("open"))?;
    Ok((file, metadata))
}

fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut length = 0;
    while length < HEAD {
        match file.read_at(&mut head[length..], length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(length);
    Ok(head)
}

fn check_elf(program: &Path, elf: &Elf) -> Result<(), Failed> {
    if let Some(own) = elf::own_architecture()
        && elf.architecture != own
    {
        let expected = format!("a program for {own}, as this machine is");
        return Err(refused(program, expected, format!("one for {}; build it for {own}", elf.architecture)));
    }
    if let Some(kind) = elf.unlinked {
        return Err(refused(program, "a program", format!("{kind}; link it to a program")));
    }
    let Some(loader) = &elf.loader else { return Ok(()) };
    if !is_there(loader)? {
        let expected = format!("its loader {} on this machine", loader.display());
        return Err(refused(
            program,
            expected,
            "none; link it statically, or build it on a system like this",
        ));
    }
    glibc::check(program, elf, loader)
}

/// Whether the system has a file; a failed look does not count as absence.
fn is_there(path: &Path) -> Result<bool, Failed> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            // No file has a name with a zero byte, or a name that is too long.
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => Ok(false),
            _ => Err(storage::Error::io("look at", path)(error).into()),
        },
    }
}

/// A file that neither the kernel nor an interpreter can run.
fn no_program(program: &Path, head: &[u8]) -> Failed {
    let text = match std::str::from_utf8(head) {
        Ok(text) => !text.contains('\0'),
        Err(error) => error.error_len().is_none() && !head.contains(&0),
    };
    let found = match head {
        [] => "an empty file; copy it again",
        [b'M', b'Z', ..] => "a program for Windows; build it for Linux",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "a program for macOS; build it for Linux",
        [0xca, 0xfe, 0xba, 0xbe, ..] => {
            "a program for macOS or a Java class; build it for Linux, or write a script"
        }
        [0xef, 0xbb, 0xbf, b'#', b'!', ..] => "a byte order mark before its #!; save it as UTF-8 without one",
        _ if text => {
            "a text without #!; write its interpreter into the first line, such as #!/usr/bin/env python3"
        }
        _ => "data of an unknown kind",
    };
    refused(program, "an ELF program or a script that begins with #!", found)
}

fn refused(program: &Path, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Failed {
    Failed::argument(program.display(), expected, found)
}

#[cfg(test)]
mod tests;
