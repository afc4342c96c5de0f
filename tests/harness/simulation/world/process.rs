//! A simulated process: a sandbox with a file system client of its own, its position, and its death.

use super::super::code::trainer::services::Services;
use super::super::coroutine;
use super::super::nfs::{Client, Tail};
use super::super::random::mix;
use super::{Message, with};
use std::path::PathBuf;
use std::sync::Arc;

/// A sandbox: a process with a file system client of its own that carries out one invocation after the other.
pub(crate) struct Process {
    pub(crate) alive: bool,
    pub(crate) dying: bool,
    pub(crate) client: Client,
    pub(crate) services: Option<Arc<Services>>,
    /// The coroutine that its invocation runs on.
    pub(crate) slot: Option<usize>,
    pub(crate) message: Option<Message>,
    pub(crate) deadline_ms: u64,
    pub(crate) point: Point,
    pub(crate) path: PathBuf,
    pub(crate) wake_ms: u64,
    pub(crate) frozen_until_ms: u64,
    pub(crate) was_frozen: bool,
    /// How long it has paused while it held a lock.
    pub(crate) stalled_ms: u64,
    pub(crate) failure: Option<Failure>,
    /// Its own time, if the world's stands still.
    pub(crate) elapsed_ms: u64,
    /// Everything that it has learned from outside, in one number.
    pub(crate) observed: u64,
    pub(super) names: u64,
}

/// The next step of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    Begin,
    Open,
    Lock,
    Read,
    Cut,
    Sync,
    Unlock,
    Rename,
    Link,
    Remove,
    MakeFolder,
    Look,
    List,
    Send,
    Sleep,
}

/// How its next step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The system refuses, and nothing was done.
    Io,
    /// It was done, and the answer is EIO.
    Answer,
    /// The disk is full.
    Full,
}

impl Process {
    pub(super) fn new(number: usize) -> Process {
        Process {
            alive: true,
            dying: false,
            client: Client::new(number),
            services: None,
            slot: None,
            message: None,
            deadline_ms: 0,
            point: Point::Begin,
            path: PathBuf::new(),
            wake_ms: 0,
            frozen_until_ms: 0,
            was_frozen: false,
            stalled_ms: 0,
            failure: None,
            elapsed_ms: 0,
            observed: 0,
            names: mix(number as u64, 0xface),
        }
    }

    /// A number that no other call returns, and that depends only on the process's own history.
    pub(crate) fn name(&mut self) -> u64 {
        self.names = mix(self.names, 1);
        self.names
    }

    pub(crate) fn runs(&self) -> bool {
        self.alive && self.message.is_some()
    }
}

/// A process dies. Its event will be delivered again.
pub(crate) fn kill(number: usize, tail: Tail) {
    let suspended = with(|w| {
        let process = &mut w.processes[number];
        if !process.alive {
            return false;
        }
        process.alive = false;
        w.nfs.dies(&mut process.client, tail);
        process.dying = process.slot.is_some();
        let (message, dying) = (process.message.take(), process.dying);
        if let Some(message) = message {
            w.deliver_again(message);
        }
        w.look();
        dying
    });
    if suspended {
        coroutine::resume(number);
    }
}
