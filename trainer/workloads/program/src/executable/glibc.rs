//! Checks whether the machine's glibc has all versions that a program needs.

use super::elf::Elf;
use super::{is_there, refused};
use std::env::consts::ARCH;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use work::Failed;

/// Checks the versions that a program needs against those that the machine's libc defines.
///
/// # Errors
/// Names the version that is needed and the machine's; a libc that cannot be read is a failure to retry.
pub(super) fn check(program: &Path, elf: &Elf, loader: &Path) -> Result<(), Failed> {
    let Some(needed) = highest(&elf.needs) else { return Ok(()) };
    let expected = |what: String| format!("a program that needs {what}, as this machine has");
    let way_out = "; build it on an older system, or statically with musl";
    let Some(libc) = libc_of(loader)? else {
        let found = format!("one that needs glibc {}{way_out}", told(&needed));
        return Err(refused(program, expected("no glibc".to_owned()), found));
    };
    let file = File::open(&libc).map_err(storage::Error::io("open", &libc))?;
    let defined = Elf::read(&file, &libc)?.defines;
    let Some(has) = highest(&defined) else {
        return Err(Failed::argument(
            libc.display(),
            "a glibc that defines its versions",
            "one that does not",
        ));
    };
    if needed > has {
        let found = format!("one that needs {}{way_out}", told(&needed));
        return Err(refused(program, expected(format!("glibc {} or an older one", told(&has))), found));
    }
    // Properties of the loader, such as GLIBC_ABI_DT_RELR, have no number to compare.
    let property = |name: &&String| name.starts_with("GLIBC_ABI_") && !defined.contains(name);
    match elf.needs.iter().find(property) {
        Some(name) => Err(refused(
            program,
            expected(format!("glibc {} or an older one", told(&has))),
            format!("one that needs {name} of a newer one{way_out}"),
        )),
        None => Ok(()),
    }
}

/// The libc that a loader would load: beside it, or in the usual folders.
fn libc_of(loader: &Path) -> Result<Option<PathBuf>, Failed> {
    let real = fs::canonicalize(loader).map_err(storage::Error::io("look at", loader))?;
    let beside = real.parent().map(Path::to_owned);
    let kept = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from);
    let debian = ["/lib", "/usr/lib"].map(|folder| Path::new(folder).join(format!("{ARCH}-linux-gnu")));
    for folder in beside.into_iter().chain(debian).chain(kept) {
        let libc = folder.join("libc.so.6");
        if is_there(&libc)? {
            return Ok(Some(libc));
        }
    }
    Ok(None)
}

/// The highest of versions such as `GLIBC_2.34`; other names have no number.
fn highest(names: &[String]) -> Option<Vec<u32>> {
    let number = |name: &String| {
        let parts = name.strip_prefix("GLIBC_")?.split('.');
        parts.map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()
    };
    names.iter().filter_map(number).max()
}

fn told(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}
