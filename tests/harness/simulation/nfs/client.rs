//! One client of the simulated NFS: its cache of the server, and its unwritten data.

use super::{EIO, errno};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The cache of a client and its unwritten data.
#[derive(Default)]
pub(crate) struct Client {
    pub(super) number: usize,
    pub(super) missing: Vec<(PathBuf, u64)>,
    pub(super) handles: Vec<Option<Handle>>,
}

pub(super) struct Handle {
    pub(super) inode: usize,
    /// The file as this client sees it.
    pub(super) view: Arc<Vec<u8>>,
    /// Unsynced writes.
    pub(super) dirty: Vec<(usize, Vec<u8>)>,
    /// Whether it was given the lock, and whether that was lost since.
    pub(super) locked: bool,
    pub(super) lost: bool,
}

impl Client {
    pub(crate) fn new(number: usize) -> Client {
        Client { number, ..Client::default() }
    }

    pub(super) fn handle(&mut self, id: usize) -> io::Result<&mut Handle> {
        self.handles.get_mut(id).and_then(Option::as_mut).ok_or_else(|| errno(EIO))
    }

    /// Whether it has written something that is not on the server.
    pub(crate) fn is_dirty(&self) -> bool {
        self.handles.iter().flatten().any(|handle| !handle.dirty.is_empty() && !handle.lost)
    }

    /// Whether it has written something to an open file that is not on the server.
    pub(crate) fn owes(&self, id: usize) -> bool {
        let handle = self.handles.get(id).and_then(Option::as_ref);
        handle.is_some_and(|handle| !handle.dirty.is_empty() && !handle.lost)
    }

    /// The open files that have lost their lock.
    pub(crate) fn lost(&self) -> u64 {
        self.handles.iter().flatten().fold(0, |lost, handle| lost << 1 | u64::from(handle.lost))
    }

    /// Whether it still believes that a name is missing.
    pub(super) fn misses(&mut self, path: &Path, now_ms: u64) -> bool {
        self.missing.retain(|(_, until)| *until > now_ms);
        self.missing.iter().any(|(missing, _)| missing == path)
    }

    pub(super) fn touched(&mut self, folder: &Path) {
        self.missing.retain(|(path, _)| path.parent() != Some(folder));
    }
}
