//! The first line of a script, read as the kernel reads it, and the interpreter that it names.

use super::{HEAD, is_there, refused};
use std::env;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use work::Failed;

/// The program that runs a script: the path after `#!`, or the name after `env` as `PATH` has it.
///
/// # Errors
/// A first line that is too long, ends as Windows ends lines, names nothing, or names a missing file.
pub(super) fn interpreter(script: &Path, head: &[u8]) -> Result<PathBuf, Failed> {
    let Some(line) = head.split(|&byte| byte == b'\n').next().filter(|line| line.len() < HEAD) else {
        let expected = format!("a first line of at most {} bytes", HEAD - 1);
        return Err(refused(script, expected, "a longer one; the kernel would cut it"));
    };
    if line.ends_with(b"\r") {
        let found = format!(
            "one that ends with a carriage return, as on Windows; sed -i 's/\\r$//' {}",
            script.display()
        );
        return Err(refused(script, "a first line that ends with a newline alone", found));
    }
    let line = line[2..].trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (path, rest) = (Path::new(OsStr::from_bytes(&line[..end])), line[end..].trim_ascii());
    if !path.is_absolute() {
        let found = format!("{:?}; write it as /usr/bin/env NAME, or with its whole path", path.display());
        return Err(refused(script, "the path of an interpreter after #!", found));
    }
    if !is_there(path)? {
        return Err(absent(script, &path.display().to_string()));
    }
    match name_for_env(script, path, rest)? {
        None => Ok(path.to_owned()),
        Some(name) => in_path(name).ok_or_else(|| absent(script, &format!("{} in PATH", name.display()))),
    }
}

/// The name that `env` looks up; none if the interpreter is not `env`, or receives more than a name.
fn name_for_env<'a>(script: &Path, path: &Path, rest: &'a [u8]) -> Result<Option<&'a OsStr>, Failed> {
    if path.file_name() != Some(OsStr::new("env")) || rest.is_empty() {
        return Ok(None);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let split = rest.strip_prefix(b"-S").map(<[u8]>::trim_ascii_start);
    if split.is_none() && !rest.starts_with(b"-") && rest.iter().any(blank) {
        let found = format!("{:?} as one name; write env -S before it", String::from_utf8_lossy(rest));
        return Err(refused(script, "one name after env, for the kernel does not part them", found));
    }
    // Variables that env sets stand before the name.
    let mut words =
        split.unwrap_or(rest).split(blank).filter(|word| !word.is_empty() && !word.contains(&b'='));
    Ok(words.next().filter(|word| !word.starts_with(b"-")).map(OsStr::from_bytes))
}

fn absent(script: &Path, what: &str) -> Failed {
    let expected = format!("its interpreter {what} on this machine");
    refused(script, expected, "none; install it, name another after #!, or push a program that needs none")
}

/// The first program of this name in `PATH`; folders that cannot be searched are skipped.
fn in_path(name: &OsStr) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![PathBuf::new()]
    } else {
        env::split_paths(&path).collect()
    };
    let runs = |seen: Metadata| {
        let kind = seen.file_type();
        kind.is_file() && seen.mode() & 0o111 != 0
    };
    folders.into_iter().map(|folder| folder.join(name)).find(|place| fs::metadata(place).is_ok_and(runs))
}
