//! A disk for tests whose n-th call the system refuses, and the checks of the caller's answer.

use crate::disk::{Access, Disk, File, OpenFile, System, within};
use crate::{Fate, Result};
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The errnos of one refusal: EINTR, EIO, ENOMEM, EACCES, ESTALE.
const REFUSALS: [i32; 5] = [4, 5, 12, 13, 116];

/// Does `act` with each of its calls refused once, with each errno. It must return the result of a calm disk,
/// or an error that says so and that another try may heal. Returns the number of calls.
pub(crate) fn refuse_each_call<T: PartialEq + Debug>(act: impl Fn() -> Result<T>) -> u64 {
    let calm = act().unwrap();
    let mut most = 0;
    for errno in REFUSALS {
        for call in 1.. {
            let calls = Arc::new(Calls { errno, left: AtomicU64::new(call), slept_ms: AtomicU64::new(0) });
            match within(Arc::new(Refusing(calls.clone())), &act) {
                Ok(found) => assert_eq!(found, calm, "errno {errno} at call {call}"),
                Err(error) => {
                    assert_eq!(error.fate(), Fate::Retry, "errno {errno} at call {call}: {error}");
                    assert!(!error.to_string().contains("damaged"), "errno {errno} at call {call}: {error}");
                }
            }
            if calls.left.load(Relaxed) > 0 {
                break;
            }
            most = most.max(call);
        }
    }
    most
}

#[derive(Debug)]
struct Calls {
    errno: i32,
    /// Calls until the refusal; none after it.
    left: AtomicU64,
    slept_ms: AtomicU64,
}

struct Refusing(Arc<Calls>);

impl Calls {
    fn call(&self) -> io::Result<()> {
        let refused = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) == Ok(1);
        if refused { Err(io::Error::from_raw_os_error(self.errno)) } else { Ok(()) }
    }
}

impl Disk for Refusing {
    fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        self.0.call()?;
        Ok(Box::new(Handle { calls: self.0.clone(), file: System.open(path, access)? }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.call()?;
        System.create_dir(path)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        self.0.call()?;
        System.is_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.call()?;
        System.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.call()?;
        System.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.call()?;
        System.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.call()?;
        System.hard_link(from, to)
    }

    fn same_file(&self, a: &Path, b: &Path) -> io::Result<bool> {
        self.0.call()?;
        System.same_file(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.call()?;
        System.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.call()?;
        System.remove_dir_all(path)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.slept_ms.load(Relaxed))
    }

    fn sleep(&self, time: Duration) {
        self.0.slept_ms.fetch_add(time.as_millis().max(1) as u64, Relaxed);
    }

    fn random(&self) -> u64 {
        System.random()
    }
}

#[derive(Debug)]
struct Handle {
    calls: Arc<Calls>,
    file: File,
}

impl OpenFile for Handle {
    fn length(&self) -> io::Result<u64> {
        self.calls.call()?;
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.calls.call()?;
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.calls.call()?;
        self.file.write_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.calls.call()?;
        self.file.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.calls.call()?;
        self.file.sync()
    }

    fn try_lock(&self) -> io::Result<()> {
        self.calls.call()?;
        self.file.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.calls.call()?;
        self.file.unlock()
    }
}
