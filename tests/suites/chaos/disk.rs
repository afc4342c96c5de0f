//! A small disk that is full now and then, and becomes free again.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// A mounted file system in memory, unmounted when dropped.
pub(crate) struct SmallDisk {
    folder: tempfile::TempDir,
    megabytes: u32,
}

impl SmallDisk {
    /// Mounts one of `megabytes` MB; `None` if this is not allowed.
    pub(crate) fn mount(megabytes: u32) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "baton-test"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(SmallDisk { folder, megabytes })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Fills the disk to its last byte and frees it again, until it is dropped.
pub(crate) struct Filler {
    stop: Arc<AtomicBool>,
    filled: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// Starts to fill the disk; `wait_ms` returns the milliseconds of each pause.
    pub(crate) fn start(disk: &SmallDisk, mut wait_ms: impl FnMut() -> u64 + Send + 'static) -> Filler {
        let (stop, filled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, fills) = (stop.clone(), filled.clone());
        let (file, megabytes) = (disk.path().join("filler"), disk.megabytes);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Mostly free: a leg that begins twelve times on a full disk is given up, as it should be.
                sleep(Duration::from_millis(3 * wait_ms()));
                fill(&file, megabytes);
                fills.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(wait_ms() / 2));
                std::fs::remove_file(&file).expect("the disk is freed");
            }
        });
        Filler { stop, filled, thread: Some(thread) }
    }

    /// Leaves the disk free, and returns how often it was full.
    pub(crate) fn end(self) -> u64 {
        let filled = self.filled.clone();
        drop(self);
        filled.load(Ordering::Relaxed)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes until the disk is full, but never more than its size: it must not fill another disk.
fn fill(path: &Path, megabytes: u32) {
    let mut file = File::create(path).expect("the filler's file");
    for (piece, most) in [(vec![0u8; 1 << 20], megabytes), (vec![0; 4096], 256)] {
        let full = (0..=most).any(|_| file.write_all(&piece).is_err());
        assert!(full, "{} is not on the small disk", path.display());
    }
}
