//! Folders for tests: one in memory, and a file system of 64 KiB that fills up.

use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A temporary folder, in memory if there is such a file system: an `fsync` on a busy disk takes a third of a
/// second.
pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A mounted file system of 64 KiB, unmounted when dropped. Mounting needs root; without it the test is
/// skipped.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one, or prints a note that it cannot.
    pub(crate) fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=64k", "baton-test"], folder.path());
        if !mounted {
            println!("SKIPPED: a small file system cannot be mounted here (not root?)");
        }
        mounted.then_some(SmallDisk { folder })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it read-only; file permissions would not stop root.
    pub(crate) fn make_read_only(&self) {
        assert!(mount(&["-o", "remount,ro"], self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    Command::new("mount").args(arguments).arg(folder).output().is_ok_and(|output| output.status.success())
}
