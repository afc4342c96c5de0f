//! A small file system in memory that can be filled and made read-only.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A mounted file system, unmounted when dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Mounts one of `megabytes` MB; prints that `test` is skipped if this is not allowed.
    pub(crate) fn mount(test: &str, megabytes: u32) -> Option<Disk> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "baton-test"]).arg(folder.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Disk { folder });
        }
        println!("SKIPPED: {test}: mounting a small file system is not allowed here (it takes root)");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Uses up all space except `kilobytes` KB; removing the returned file frees it again.
    pub(crate) fn fill_but(&self, kilobytes: u64) -> std::path::PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("the filler's file");
        let page = vec![1; 4096];
        let mut length = 0;
        while file.write_all(&page).is_ok() {
            length += 4096;
        }
        file.set_len(length - kilobytes * 1024).expect("less of the filler");
        path
    }

    /// Makes it read-only from now on.
    pub(crate) fn read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "the disk was not made read-only");
        assert!(fs::write(self.path().join("x"), "x").is_err(), "the disk can still be written");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
