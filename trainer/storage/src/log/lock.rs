//! The lock of a log: how it is asked for, and how often.

use super::{Log, is_stale, medium};
use crate::disk::{self, Access, File, Stopwatch};
use crate::folder::refresh;
use crate::{Error, Result};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a missing log is looked for. Its folder is refreshed each time, so that a name once found missing
/// does not stay missing.
const LOOK_FOR: Duration = Duration::from_secs(2);

/// The first pause before the lock is tried again. Each pause is twice as long as the one before it, up to
/// the longest, so that nobody who waits is overtaken for ever.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);
/// A lock that is used is free again within this time. After it, its holder is most likely frozen, and holds
/// it until its lease ends: from then on the lock is asked for rarely.
const LONG: Duration = Duration::from_secs(10);
const LONGEST_PAUSE_THEN: Duration = Duration::from_millis(128);

impl Log {
    /// Opens the file and locks it. It never blocks in the kernel: an NFS client would sleep for up to 30 s
    /// between its own tries.
    pub(super) fn lock(&self, wait: Duration) -> Result<File> {
        let file = self.file()?;
        let start = Stopwatch::start();
        let mut pause = FIRST_PAUSE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(source) if source.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(medium::lost_or_io("lock", &self.path, source)),
            }
            let waited = start.elapsed();
            if waited >= wait {
                return Err(Error::Busy { path: self.path.clone(), waited });
            }
            disk::sleep(jittered(pause).min(wait - waited));
            pause = next_pause(pause, waited);
        }
    }

    pub(super) fn file(&self) -> Result<File> {
        let start = Stopwatch::start();
        loop {
            match disk::open(&self.path, Access::Update) {
                Err(source) if is_stale(&source) => {}
                opened => return opened.map_err(Error::io("open", &self.path)),
            }
            let waited = start.elapsed();
            if waited >= LOOK_FOR {
                return Err(Error::Missing { path: self.path.clone(), waited });
            }
            disk::sleep(Duration::from_millis(100));
            // The folder itself may be missing; then the next look says so.
            let _ = refresh(self.path.parent().unwrap_or(Path::new(".")));
        }
    }
}

fn next_pause(pause: Duration, waited: Duration) -> Duration {
    (2 * pause).min(if waited < LONG { LONGEST_PAUSE } else { LONGEST_PAUSE_THEN })
}

/// A random time between half of a pause and all of it, so that waiting processes do not try at the same
/// moments.
fn jittered(pause: Duration) -> Duration {
    let half = pause.as_micros() as u64 / 2;
    Duration::from_micros(half + disk::random() % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lock of a frozen process is held until its lease ends. A short wait loses little time, and a long
    /// one asks the server rarely.
    #[test]
    fn a_lock_that_is_held_for_long_is_asked_for_rarely() {
        let asked = |held: Duration| {
            let (mut waited, mut pause, mut asks) = (Duration::ZERO, FIRST_PAUSE, 1);
            while waited < held {
                waited += pause;
                pause = next_pause(pause, waited);
                asks += 1;
            }
            (asks, waited - held)
        };
        let (asks, late) = asked(Duration::from_millis(20));
        assert!(asks <= 8 && late <= LONGEST_PAUSE, "{asks} asks, {late:?} late");
        let (asks, late) = asked(Duration::from_secs(90));
        assert!(asks <= 1_300 && late <= LONGEST_PAUSE_THEN, "{asks} asks, {late:?} late");
    }
}
