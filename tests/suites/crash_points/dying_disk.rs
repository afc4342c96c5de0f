//! The real disk: it counts every call that changes something, and a process dies before or after one of
//! them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::disk::{Access, Disk, File, OpenFile, System};

/// The moment of death: just before or just after the n-th step, counted from 1.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Death {
    pub(crate) step: usize,
    pub(crate) after: bool,
}

/// The steps of a process so far, and when it dies.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    death: Option<Death>,
    taken: Mutex<Vec<&'static str>>,
}

impl Steps {
    pub(crate) fn new(death: Option<Death>) -> Arc<Steps> {
        Arc::new(Steps { death, taken: Mutex::default() })
    }

    /// Takes a step that changes something outside of this process.
    pub(crate) fn take<R>(&self, what: &'static str, step: impl FnOnce() -> R) -> R {
        let number = {
            let mut taken = self.taken.lock().expect("the steps");
            taken.push(what);
            taken.len()
        };
        self.die(number, false);
        let result = step();
        self.die(number, true);
        result
    }

    /// The steps so far, in order.
    pub(crate) fn taken(&self) -> Vec<&'static str> {
        self.taken.lock().expect("the steps").clone()
    }

    fn die(&self, number: usize, after: bool) {
        if self.death.is_some_and(|death| (death.step, death.after) == (number, after)) {
            // No destructor runs, and no buffer is written: as with SIGKILL.
            std::process::abort();
        }
    }
}

/// The system's disk with its steps counted. Reading is not a step: it does not change the disk.
pub(crate) struct DyingDisk(pub(crate) Arc<Steps>);

impl Disk for DyingDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let open = || System.open(path, access);
        let file = match access {
            Access::Read | Access::Update => open(),
            Access::UpdateOrCreate => self.0.take("open or create", open),
            Access::CreateNew => self.0.take("create", open),
        };
        Ok(Box::new(DyingFile { file: file?, steps: self.0.clone() }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.take("make folder", || System.create_dir(path))
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        System.is_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.take("sync folder", || System.sync_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        System.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.take("rename", || System.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.take("link", || System.hard_link(from, to))
    }

    fn same_file(&self, a: &Path, b: &Path) -> io::Result<bool> {
        System.same_file(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.take("remove", || System.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.take("remove folder", || System.remove_dir_all(path))
    }

    fn now(&self) -> Duration {
        System.now()
    }

    fn sleep(&self, time: Duration) {
        System.sleep(time);
    }

    fn random(&self) -> u64 {
        System.random()
    }
}

#[derive(Debug)]
struct DyingFile {
    file: File,
    steps: Arc<Steps>,
}

impl OpenFile for DyingFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.steps.take("write", || self.file.write_at(bytes, offset))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.steps.take("cut", || self.file.set_length(length))
    }

    fn sync(&self) -> io::Result<()> {
        self.steps.take("sync", || self.file.sync())
    }

    fn try_lock(&self) -> io::Result<()> {
        self.steps.take("lock", || self.file.try_lock())
    }

    fn unlock(&self) -> io::Result<()> {
        self.steps.take("unlock", || self.file.unlock())
    }
}
