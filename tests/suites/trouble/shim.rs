//! The trainer with a file system in trouble: a library in C, built here, is loaded into it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The faults, and their rates in a million calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) seed: u64,
    /// The errnos of a refused call.
    pub(crate) errnos: Vec<i32>,
    pub(crate) refuse: u32,
    /// Reads and writes of fewer bytes than were asked for.
    pub(crate) cut: u32,
    /// Calls that take up to 40 ms longer.
    pub(crate) hold: u32,
}

/// The library; none if there is no C compiler, with a printed note.
pub(crate) fn library(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/trouble/shim.c");
    let library = folder.join("shim.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(&compiler);
    command
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl");
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
            Some(library)
        }
        Err(error) => {
            println!("SKIPPED: trouble: there is no C compiler {compiler:?} ({error})");
            None
        }
    }
}

/// A program that runs the trainer with this trouble on the files in `root`; `state` is an empty folder for
/// its own use.
pub(crate) fn trainer(library: &Path, state: &Path, root: &Path, trouble: &Trouble) -> PathBuf {
    let errnos: Vec<String> = trouble.errnos.iter().map(i32::to_string).collect();
    let Trouble { seed, refuse, cut, hold, .. } = trouble;
    let root = root.canonicalize().expect("the root");
    let script = format!(
        "#!/bin/sh\nexport SHIM_ROOT='{}' SHIM_STATE='{}' SHIM_SEED={seed} SHIM_ERRNOS={}\n\
         export SHIM_REFUSE={refuse} SHIM_CUT={cut} SHIM_HOLD={hold} LD_PRELOAD='{}'\nexec '{}' \"$@\"\n",
        root.display(),
        state.display(),
        errnos.join(","),
        library.display(),
        tests::binary("trainer").display(),
    );
    let program = state.join("trainer");
    fs::write(&program, script).expect("the program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    program
}

/// The calls that were refused, a line each: the call, the errno, the path.
pub(crate) fn refusals(state: &Path) -> Vec<String> {
    let told = fs::read_to_string(state.join("told")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}
