//! The folder of a local cloud: one works on it at a time, and the user's other commands find its address
//! there.

use crate::Failure;
use crate::cloud::address_path;
use crate::output::write_secret;
use local_cloud::Address;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A folder that this process has locked. The system releases the lock whichever way the process ends.
pub(super) struct Place {
    root: PathBuf,
    _lock: File,
}

impl Place {
    /// Locks a folder.
    ///
    /// # Errors
    /// Another local cloud works on it, or the lock is not available.
    pub(super) fn take(root: &Path) -> Result<Place, Failure> {
        let path = root.join("local-cloud.lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = open.map_err(Failure::io("write", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Place { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::input(taken(root))),
            Err(TryLockError::Error(error)) => Err(Failure::io("lock", &path)(error)),
        }
    }

    /// Writes the address and token of the local cloud, for other commands of the same user.
    pub(super) fn tell(&self, address: &Address) -> Result<(), Failure> {
        let text = serde_json::to_vec(address).map_err(|error| error.to_string())?;
        write_secret(&address_path(&self.root), &text)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(address_path(&self.root));
    }
}

fn taken(root: &Path) -> String {
    let at =
        std::fs::read(address_path(root)).ok().and_then(|text| serde_json::from_slice::<Address>(&text).ok());
    let at = at.map(|address| format!(" at {}", address.endpoint)).unwrap_or_default();
    let root = root.display();
    format!(
        "a local cloud works on {root} already{at}: wait until it ends, or let it carry out the run, too: \
         baton start --root {root} --job JOB --run RUN, then baton watch --root {root} --run RUN"
    )
}
