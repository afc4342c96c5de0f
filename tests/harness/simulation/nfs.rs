//! A shared NFS as it was measured: one server, clients with caches of their own, locks with a lease.
//!
//! A client sees a file as it was when it opened or locked it. Its writes reach the server at a sync, a close
//! or an unlock, or in part when it dies. A name that it once found missing stays missing until it touches
//! the folder. A client that stays away longer than its lease loses its locks, and learns this by EIO.

mod client;

pub(crate) use client::Client;

use super::code::storage::disk::Access;
use client::Handle;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twox_hash::XxHash3_64;

const EIO: i32 = 5;
/// The unit of a write that reaches the server at once, if the write does not arrive as a whole.
const PAGE: usize = 512;

/// The server.
#[derive(Default)]
pub(crate) struct Nfs {
    names: HashMap<PathBuf, usize>,
    inodes: Vec<Inode>,
    /// Whether the disk is full.
    pub(crate) full: bool,
}

struct Inode {
    folder: bool,
    data: Arc<Vec<u8>>,
    hash: u64,
    /// The client and its open file that hold its lock.
    lock: Option<(usize, usize)>,
}

/// The part of a dying client's unsynced writes that reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tail {
    /// Nothing.
    Lost,
    /// The first half of each write.
    Torn,
    /// All pages of each write except the first.
    Holed,
    /// All of it.
    Whole,
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn kind<T>(kind: io::ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

impl Nfs {
    pub(crate) fn new(root: &Path) -> Nfs {
        let mut nfs = Nfs::default();
        nfs.add(root, true);
        nfs
    }

    fn add(&mut self, path: &Path, folder: bool) -> usize {
        let data = Arc::new(Vec::new());
        self.inodes.push(Inode { folder, hash: XxHash3_64::oneshot(&data), data, lock: None });
        self.names.insert(path.to_owned(), self.inodes.len() - 1);
        self.inodes.len() - 1
    }

    /// The server's content of a name.
    pub(crate) fn contents(&self, path: &Path) -> Option<&Arc<Vec<u8>>> {
        self.names.get(path).map(|&inode| &self.inodes[inode].data)
    }

    /// The server's content, in one number: folders, and files whose names do not depend on the writer,
    /// except for one. A file of an attempt does not count until a fact names it, and is checked then.
    pub(crate) fn hash_without(&self, but: &Path) -> u64 {
        let name = |(path, &inode): (&PathBuf, &usize)| {
            let inode = &self.inodes[inode];
            super::random::mix(XxHash3_64::oneshot(path.as_os_str().as_encoded_bytes()), inode.hash)
        };
        let fixed = |path: &Path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            path != but && !name.starts_with(b".") && !name.ends_with(b".txt")
        };
        self.names
            .iter()
            .filter(|(path, _)| fixed(path))
            .map(name)
            .fold(u64::from(self.full), u64::wrapping_add)
    }

    /// Who holds the lock of a file.
    pub(crate) fn holder(&self, path: &Path) -> Option<usize> {
        self.names.get(path).and_then(|&inode| self.inodes[inode].lock).map(|(client, _)| client)
    }

    fn parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.names.get(parent)) {
            Some(&inode) if self.inodes[inode].folder => Ok(()),
            _ => kind(io::ErrorKind::NotFound),
        }
    }

    /// Opens a file. `forget_ms` is how long a missing name stays missing.
    pub(crate) fn open(
        &mut self,
        client: &mut Client,
        path: &Path,
        access: Access,
        now_ms: u64,
        forget_ms: u64,
    ) -> io::Result<usize> {
        let (create, new) = (access == Access::UpdateOrCreate, access == Access::CreateNew);
        if client.misses(path, now_ms) && !create && !new {
            return kind(io::ErrorKind::NotFound);
        }
        let inode = match self.names.get(path) {
            Some(_) if new => return kind(io::ErrorKind::AlreadyExists),
            Some(&inode) => inode,
            None if create || new => {
                self.parent(path)?;
                if self.full {
                    return kind(io::ErrorKind::StorageFull);
                }
                client.touched(path.parent().unwrap_or(path));
                self.add(path, false)
            }
            None => {
                client.missing.push((path.to_owned(), now_ms + forget_ms));
                return kind(io::ErrorKind::NotFound);
            }
        };
        let view = self.inodes[inode].data.clone();
        client.handles.push(Some(Handle { inode, view, dirty: Vec::new(), locked: false, lost: false }));
        Ok(client.handles.len() - 1)
    }

    pub(crate) fn length(&self, client: &mut Client, id: usize) -> io::Result<u64> {
        Ok(client.handle(id)?.view.len() as u64)
    }

    pub(crate) fn read(
        &self,
        client: &mut Client,
        id: usize,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let handle = client.handle(id)?;
        if handle.lost {
            return Err(errno(EIO));
        }
        let rest = handle.view.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    pub(crate) fn write(
        &self,
        client: &mut Client,
        id: usize,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<usize> {
        let handle = client.handle(id)?;
        put(Arc::make_mut(&mut handle.view), offset as usize, bytes);
        handle.dirty.push((offset as usize, bytes.to_vec()));
        Ok(bytes.len())
    }

    pub(crate) fn set_length(&mut self, client: &mut Client, id: usize, length: u64) -> io::Result<()> {
        self.sync(client, id)?;
        let handle = client.handle(id)?;
        Arc::make_mut(&mut handle.view).resize(length as usize, 0);
        self.store(handle.inode, handle.view.clone());
        Ok(())
    }

    pub(crate) fn sync(&mut self, client: &mut Client, id: usize) -> io::Result<()> {
        let handle = client.handle(id)?;
        let dirty = std::mem::take(&mut handle.dirty);
        if handle.lost {
            return Err(errno(EIO));
        }
        if self.full && !dirty.is_empty() {
            self.flush(handle.inode, &dirty, Tail::Torn);
            return kind(io::ErrorKind::StorageFull);
        }
        self.flush(handle.inode, &dirty, Tail::Whole);
        Ok(())
    }

    /// Unsynced writes to an open file reach the server in part, or not at all.
    pub(crate) fn lose(&mut self, client: &mut Client, id: usize, tail: Tail) -> io::Result<()> {
        let handle = client.handle(id)?;
        let dirty = std::mem::take(&mut handle.dirty);
        self.flush(handle.inode, &dirty, tail);
        Ok(())
    }

    /// Takes the lock; `honoured` is false if the server gives it although another has it.
    pub(crate) fn try_lock(&mut self, client: &mut Client, id: usize, honoured: bool) -> io::Result<()> {
        let number = client.number;
        let handle = client.handle(id)?;
        let inode = &mut self.inodes[handle.inode];
        if honoured && inode.lock.is_some() {
            return kind(io::ErrorKind::WouldBlock);
        }
        inode.lock = Some((number, id));
        handle.locked = true;
        handle.view = inode.data.clone();
        Ok(())
    }

    pub(crate) fn unlock(&mut self, client: &mut Client, id: usize) -> io::Result<()> {
        let lost = client.handle(id)?.lost;
        let _ = self.sync(client, id);
        let number = client.number;
        let handle = client.handle(id)?;
        handle.locked = false;
        let inode = &mut self.inodes[handle.inode];
        if !lost && inode.lock == Some((number, id)) {
            inode.lock = None;
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, client: &mut Client, id: usize) {
        let _ = self.unlock(client, id);
        if let Some(handle) = client.handles.get_mut(id) {
            *handle = None;
        }
    }

    pub(crate) fn create_dir(&mut self, client: &mut Client, path: &Path) -> io::Result<()> {
        if self.names.contains_key(path) {
            return kind(io::ErrorKind::AlreadyExists);
        }
        self.parent(path)?;
        if self.full {
            return kind(io::ErrorKind::StorageFull);
        }
        client.touched(path.parent().unwrap_or(path));
        self.add(path, true);
        Ok(())
    }

    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        self.names.get(path).is_some_and(|&inode| self.inodes[inode].folder)
    }

    /// Whether what has the name is a folder. A name that the client once found missing stays so,
    /// as for `open`.
    pub(crate) fn look_at(
        &self,
        client: &mut Client,
        path: &Path,
        now_ms: u64,
        forget_ms: u64,
    ) -> io::Result<bool> {
        if !client.misses(path, now_ms) && self.names.contains_key(path) {
            return Ok(self.is_dir(path));
        }
        client.missing.push((path.to_owned(), now_ms + forget_ms));
        kind(io::ErrorKind::NotFound)
    }

    pub(crate) fn list(&self, client: &mut Client, path: &Path) -> io::Result<Vec<String>> {
        if !self.is_dir(path) {
            return kind(io::ErrorKind::NotFound);
        }
        client.touched(path);
        let inside = self.names.keys().filter(|name| name.parent() == Some(path));
        let mut names: Vec<_> =
            inside.filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// Gives a file a name: with `keep` a second one, which must be new.
    pub(crate) fn rename(
        &mut self,
        client: &mut Client,
        from: &Path,
        to: &Path,
        keep: bool,
    ) -> io::Result<()> {
        self.parent(to)?;
        let Some(&inode) = self.names.get(from) else { return kind(io::ErrorKind::NotFound) };
        if keep && self.names.contains_key(to) {
            return kind(io::ErrorKind::AlreadyExists);
        }
        if !keep {
            self.names.remove(from);
        }
        client.touched(to.parent().unwrap_or(to));
        self.names.insert(to.to_owned(), inode);
        Ok(())
    }

    pub(crate) fn same_file(&self, a: &Path, b: &Path) -> bool {
        self.names.get(a).is_some_and(|a| self.names.get(b) == Some(a))
    }

    pub(crate) fn remove_file(&mut self, client: &mut Client, path: &Path) -> io::Result<()> {
        client.touched(path.parent().unwrap_or(path));
        self.names.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    pub(crate) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        if !self.is_dir(path) {
            return kind(io::ErrorKind::NotFound);
        }
        self.names.retain(|name, _| !name.starts_with(path));
        Ok(())
    }

    /// The client's process dies: a part of its unsynced writes reaches the server, and its locks are free.
    pub(crate) fn dies(&mut self, client: &mut Client, tail: Tail) {
        for handle in client.handles.drain(..).flatten().filter(|handle| !handle.lost) {
            self.flush(handle.inode, &handle.dirty, tail);
        }
        self.free_locks(client.number);
    }

    /// The client was away for longer than its lease: its locks are lost.
    pub(crate) fn lease_ends(&mut self, client: &mut Client) {
        for handle in client.handles.iter_mut().flatten() {
            handle.lost |= handle.locked;
        }
        self.free_locks(client.number);
    }

    fn free_locks(&mut self, client: usize) {
        for inode in &mut self.inodes {
            inode.lock = inode.lock.filter(|(holder, _)| *holder != client);
        }
    }

    fn flush(&mut self, inode: usize, dirty: &[(usize, Vec<u8>)], tail: Tail) {
        if dirty.is_empty() {
            return;
        }
        let mut data = self.inodes[inode].data.clone();
        for (offset, bytes) in dirty {
            let first_page = (PAGE - offset % PAGE).min(bytes.len());
            let arrives = match tail {
                Tail::Lost => 0..0,
                Tail::Torn => 0..bytes.len() / 2,
                Tail::Holed => first_page..bytes.len(),
                Tail::Whole => 0..bytes.len(),
            };
            if !arrives.is_empty() {
                put(Arc::make_mut(&mut data), offset + arrives.start, &bytes[arrives]);
            }
        }
        self.store(inode, data);
    }

    fn store(&mut self, inode: usize, data: Arc<Vec<u8>>) {
        let inode = &mut self.inodes[inode];
        inode.hash = XxHash3_64::oneshot(&data);
        inode.data = data;
    }
}

fn put(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if data.len() < offset + bytes.len() {
        data.resize(offset + bytes.len(), 0);
    }
    data[offset..offset + bytes.len()].copy_from_slice(bytes);
}
