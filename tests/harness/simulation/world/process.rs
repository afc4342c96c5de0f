//! A simulated process: a sandbox with a file system client of its own, its position, and its death.

use super::super::code::trainer::services::{Notice, Services};
use super::super::coroutine;
use super::super::nfs::{Client, Tail};
use super::super::random::mix;
use super::{Message, World, with};
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
    pub(crate) begun_ms: u64,
    /// Until when it may go on, once it was told to end.
    pub(crate) told_ms: Option<u64>,
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
            begun_ms: 0,
            told_ms: None,
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

    /// Whether it was told to end, for its services.
    pub(crate) fn notice(&self) -> Notice {
        let notice = Notice::default();
        if self.told_ms.is_some() {
            notice.give();
        }
        notice
    }

    pub(crate) fn runs(&self) -> bool {
        self.alive && self.message.is_some()
    }
}

/// The time of a process between being told to end and being killed, in milliseconds.
pub(crate) const GRACE_MS: u64 = 2_000;

/// A process is told to end.
pub(crate) fn tell(w: &mut World, number: usize) {
    w.note(|_| format!("p{number} is told to end"));
    let until_ms = w.clock_ms + GRACE_MS;
    let process = &mut w.processes[number];
    if let Some(services) = &process.services {
        services.notice.give();
    }
    process.told_ms.get_or_insert(until_ms);
}

/// An invocation of a process has ended. If that was told to end, it is no more.
pub(crate) fn rests(w: &mut World, number: usize) {
    let process = &mut w.processes[number];
    w.lasted_ms += w.clock_ms - process.begun_ms;
    if process.told_ms.is_some() && process.alive {
        process.alive = false;
        w.nfs.dies(&mut process.client, Tail::Whole);
    }
}

/// A process is no more. Its event will be delivered again.
pub(crate) fn kill(number: usize, tail: Tail) {
    let suspended = with(|w| {
        let process = &mut w.processes[number];
        if !process.alive {
            return false;
        }
        process.alive = false;
        w.nfs.dies(&mut process.client, tail);
        if process.message.is_some() {
            w.lasted_ms += w.clock_ms.saturating_sub(process.begun_ms);
        }
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
