//! A disk whose content can be copied as it is at one moment: as a power cut would leave it.
//!
//! It is a file with a file system of its own, on another file system that copies files in one step.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The sizes in MB; both files are sparse.
const OUTER: u64 = 1_024;
const INNER: u64 = 96;

/// A mounted disk. It is unmounted when it is dropped.
pub(crate) struct Disk {
    mounts: Vec<PathBuf>,
    folder: tempfile::TempDir,
}

impl Disk {
    /// Mounts a disk below `place`.
    ///
    /// # Errors
    /// The command that is not allowed or not there, and what it said.
    pub(crate) fn mount(place: &Path) -> Result<Disk, String> {
        let folder = tempfile::tempdir_in(place).map_err(|error| error.to_string())?;
        let mut disk = Disk { mounts: Vec::new(), folder };
        let outer = disk.path("outer.image");
        sparse(&outer, OUTER)?;
        run("mkfs.xfs", &["-q".as_ref(), "-m".as_ref(), "reflink=1".as_ref(), &outer])?;
        disk.attach(&outer, "outer")?;
        let inner = disk.path("outer/inner.image");
        sparse(&inner, INNER)?;
        run("mkfs.ext4", &["-q".as_ref(), &inner])?;
        disk.attach(&inner, "disk")?;
        Ok(disk)
    }

    /// The folder of the disk.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("disk")
    }

    /// Copies all that has reached the disk by now, and nothing that is only in memory.
    pub(crate) fn cut(&self, number: usize) {
        let copy = self.path(&format!("outer/{number}.image"));
        run("cp", &["--reflink=always".as_ref(), &self.path("outer/inner.image"), &copy]).expect("a copy");
    }

    /// Mounts such a copy, which repairs it as a machine does that starts again.
    pub(crate) fn after_cut(&mut self, number: usize) -> PathBuf {
        let copy = self.path(&format!("outer/{number}.image"));
        self.attach(&copy, &number.to_string()).expect("a disk that a power cut left can be mounted");
        self.path(&number.to_string())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn attach(&mut self, image: &Path, name: &str) -> Result<(), String> {
        let place = self.path(name);
        std::fs::create_dir(&place).map_err(|error| error.to_string())?;
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, &place])?;
        self.mounts.push(place);
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for mount in self.mounts.iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(mount).status();
        }
    }
}

fn sparse(path: &Path, megabytes: u64) -> Result<(), String> {
    let file = std::fs::File::create(path).map_err(|error| error.to_string())?;
    file.set_len(megabytes << 20).map_err(|error| error.to_string())
}

/// Runs a command of the system's; its folders may not be in the user's PATH.
fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("env").arg(format!("PATH={path}")).arg(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {}", said.trim()))
}
