//! The interfaces: the real storage's disk and the real handler's ports; the world may let each step fail or
//! end.

use super::code::protocol::items::ModelItem;
use super::code::protocol::{Event, Fact, Ledger, RunId};
use super::code::storage::disk::{Access, Disk, File, OpenFile};
use super::code::trainer::Error;
use super::code::trainer::services::{Clock, Invoke, Progress, WorkerReport};
use super::coroutine::{Killed, suspend};
use super::nfs::Tail;
use super::random::mix;
use super::setting::RUN;
use super::world::{Failure, Point, World, of_neighbour, with};
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::time::Duration;

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// The system's errno for a refused call: EIO, and in random schedules also EINTR, ENOMEM, EACCES, ESTALE.
fn refusal(w: &mut World) -> io::Error {
    let others = [5, 5, 5, 4, 12, 13, 116];
    io::Error::from_raw_os_error(if w.exhaustive { 5 } else { others[w.random.below(7) as usize] })
}

/// One step of the running process: it is suspended before it, and may not come back.
fn step<R>(point: Point, path: &Path, f: impl FnOnce(&mut World) -> io::Result<R>) -> io::Result<R> {
    if !arrive(point, path) {
        return Err(eio());
    }
    with(|w| {
        let failure = failure(w, point);
        let result = match failure {
            Some(Failure::Io) => Err(refusal(w)),
            Some(Failure::Answer) => f(w).and(Err(eio())),
            Some(Failure::Full) => {
                w.nfs.full = true;
                let result = f(w);
                w.nfs.full = false;
                result
            }
            None => f(w),
        };
        if matches!(point, Point::Sync | Point::Unlock) {
            w.look();
        }
        let seen = result.as_ref().map_or_else(|error| error.kind() as u64 + 1, |_| 0);
        w.me().observed = mix(w.me().observed, mix(point as u64, seen));
        if let Err(error) = &result
            && !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::WouldBlock | io::ErrorKind::AlreadyExists
            )
        {
            w.note(|w| format!("p{} {point:?} {}: {error}", w.current, path.display()));
        }
        result
    })
}

/// Suspends the process before a step; false if it is dead and only unwinds.
fn arrive(point: Point, path: &Path) -> bool {
    let waits = with(|w| {
        let exhaustive = w.exhaustive;
        let process = w.me();
        if !process.alive || std::thread::panicking() {
            return None;
        }
        process.point = point;
        if point == Point::Lock {
            path.clone_into(&mut process.path);
        }
        let few = matches!(
            point,
            Point::Lock | Point::Sync | Point::Rename | Point::Link | Point::Send | Point::Sleep
        );
        Some(!exhaustive || few)
    });
    match waits {
        None => false,
        Some(false) => true,
        Some(true) => {
            suspend();
            if with(|w| w.me().dying) {
                resume_unwind(Box::new(Killed));
            }
            true
        }
    }
}

/// How this step fails, if it does.
fn failure(w: &mut World, point: Point) -> Option<Failure> {
    if w.exhaustive {
        return w.me().failure.take();
    }
    if point == Point::Sleep || w.spared(w.current) {
        return None;
    }
    let fails =
        |w: &mut World, rate: fn(&super::world::Rates) -> u64, failure| w.goes_wrong(rate).then_some(failure);
    match point {
        Point::Read | Point::List | Point::Look => fails(w, |r| r.io, Failure::Io),
        Point::Send if w.goes_wrong(|rates| rates.throttle) => Some(Failure::Io),
        _ => fails(w, |r| r.io, Failure::Io).or_else(|| fails(w, |r| r.answer, Failure::Answer)),
    }
}

/// Whether the server respects the lock of a file, which another process may hold.
fn honoured(w: &mut World, path: &Path) -> bool {
    let me = w.current;
    let Some(holder) = w.nfs.holder(path).filter(|holder| *holder != me) else { return true };
    if w.exhaustive || w.spared(me) || !w.goes_wrong(|rates| rates.unhonoured) {
        return true;
    }
    w.note(|_| format!("p{me} is given the lock of {}, which p{holder} has", path.display()));
    w.truth.unhonoured = true;
    false
}

/// How long a name stays missing that was once found so.
fn forget_ms(w: &mut World) -> u64 {
    if w.exhaustive { u64::MAX / 2 } else { w.random.between(24_000, 60_000) }
}

/// Works on the server with the client of the running process.
macro_rules! on_client {
    ($w:expr, $method:ident $(, $argument:expr)*) => {{
        let w: &mut World = $w;
        let client = &mut w.processes[w.current].client;
        w.nfs.$method(client $(, $argument)*)
    }};
}

/// The disk of every process.
pub(crate) struct Simulated;

impl Disk for Simulated {
    fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let number = step(Point::Open, path, |w| {
            let forget_ms = forget_ms(w);
            let now_ms = w.clock_ms;
            let seen = u64::from(w.nfs.contents(path).is_some());
            w.me().observed = mix(w.me().observed, seen);
            on_client!(w, open, path, access, now_ms, forget_ms)
        })?;
        Ok(Box::new(Opened { process: with(|w| w.current), number, path: path.into() }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        step(Point::MakeFolder, path, |w| on_client!(w, create_dir, path))
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        step(Point::Look, path, |w| {
            let (now_ms, forget_ms) = (w.clock_ms, forget_ms(w));
            on_client!(w, look_at, path, now_ms, forget_ms)
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        with(|w| if w.nfs.is_dir(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        step(Point::List, path, |w| on_client!(w, list, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step(Point::Rename, to, |w| on_client!(w, rename, from, to, false))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        step(Point::Link, to, |w| on_client!(w, rename, from, to, true))
    }

    fn same_file(&self, a: &Path, b: &Path) -> io::Result<bool> {
        step(Point::Look, b, |w| {
            let (now_ms, forget_ms) = (w.clock_ms, forget_ms(w));
            on_client!(w, look_at, b, now_ms, forget_ms).map(|_| w.nfs.same_file(a, b))
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        step(Point::Remove, path, |w| on_client!(w, remove_file, path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        step(Point::Remove, path, |w| w.nfs.remove_dir_all(path))
    }

    fn now(&self) -> Duration {
        Duration::from_millis(with(|w| w.now_ms()))
    }

    fn sleep(&self, time: Duration) {
        let ms = (time.as_millis() as u64).max(1);
        with(|w| {
            if w.exhaustive {
                // A slow machine: a process that waits for something looks only a few times.
                w.me().elapsed_ms += ms.max(10_000);
            } else {
                w.me().wake_ms = w.clock_ms + ms;
            }
        });
        let _ = step(Point::Sleep, Path::new(""), |_| Ok(()));
    }

    fn random(&self) -> u64 {
        with(|w| w.me().name())
    }
}

/// A file that a process has opened.
#[derive(Debug)]
struct Opened {
    process: usize,
    number: usize,
    path: Box<Path>,
}

impl OpenFile for Opened {
    fn length(&self) -> io::Result<u64> {
        with(|w| on_client!(w, length, self.number))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        step(Point::Read, &self.path, |w| on_client!(w, read, self.number, buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        with(|w| on_client!(w, write, self.number, bytes, offset))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        step(Point::Cut, &self.path, |w| on_client!(w, set_length, self.number, length))
    }

    fn sync(&self) -> io::Result<()> {
        step(Point::Sync, &self.path, |w| on_client!(w, sync, self.number))
    }

    fn try_lock(&self) -> io::Result<()> {
        if !arrive(Point::Lock, &self.path) {
            return Err(eio());
        }
        with(|w| {
            let failure = failure(w, Point::Lock);
            if failure == Some(Failure::Io) {
                return Err(eio());
            }
            let honoured = honoured(w, &self.path);
            let locked = on_client!(w, try_lock, self.number, honoured);
            if failure == Some(Failure::Answer) {
                return locked.and(Err(eio()));
            }
            // A process learns about the others only by reading under the lock.
            w.look();
            let seen = if w.exhaustive { w.truth.meaning(&w.live()) } else { 0 };
            w.me().observed = mix(w.me().observed, seen);
            locked
        })
    }

    fn unlock(&self) -> io::Result<()> {
        step(Point::Unlock, &self.path, |w| {
            self.write_back(w);
            on_client!(w, unlock, self.number)
        })
    }
}

impl Opened {
    /// The write at a close or an unlock may fail. Nobody learns this, because the answer of a close is not
    /// checked.
    fn write_back(&self, w: &mut World) {
        let owes = w.processes[self.process].client.owes(self.number);
        if !owes || w.exhaustive || w.spared(self.process) || !w.goes_wrong(|rates| rates.close) {
            return;
        }
        let tail = [Tail::Lost, Tail::Torn, Tail::Holed][w.random.below(3) as usize];
        w.note(|_| {
            format!(
                "p{} closes {}: EIO, and of the rest is written: {tail:?}",
                self.process,
                self.path.display()
            )
        });
        let _ = w.nfs.lose(&mut w.processes[self.process].client, self.number, tail);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        with(|w| {
            if w.processes[self.process].alive {
                self.write_back(w);
                let client = &mut w.processes[self.process].client;
                w.nfs.close(client, self.number);
            }
        });
    }
}

/// Sends events into the world's queue.
pub(crate) struct Sender;

impl Invoke for Sender {
    fn send(&self, event: &Event) -> Result<(), Error> {
        let text = event.to_json().to_string();
        let refused = |reason: &str| Error::Send { event: text.clone(), reason: reason.into() };
        if !arrive(Point::Send, Path::new("")) {
            return Err(refused("the process is dead"));
        }
        with(|w| {
            w.look();
            let failure = failure(w, Point::Send);
            if failure == Some(Failure::Io) {
                w.note(|w| format!("p{} cannot send {text}: throttled", w.current));
                return Err(refused("throttled"));
            }
            if !of_neighbour(&text) {
                w.tally.sends += 1;
                super::check::sent(w, event);
            }
            w.note(|w| format!("p{} sends {text}", w.current));
            let hops = w.me().message.as_ref().map_or(0, |message| message.hops) + 1;
            w.enqueue(text.clone(), hops);
            if failure == Some(Failure::Answer) {
                w.note(|w| format!("p{} is not told so", w.current));
                return Err(refused("no answer"));
            }
            Ok(())
        })
    }
}

/// Everybody's clock.
pub(crate) struct SharedClock;

impl Clock for SharedClock {
    fn now_ms(&self) -> u64 {
        with(|w| w.epoch_ms())
    }
}

/// Checks that only durable data is reported.
pub(crate) struct Watched;

impl Progress for Watched {
    fn ledger(&self, ledger: &Ledger, _: bool, _: u64) {
        if ledger.run.as_str() == RUN {
            with(|w| super::check::reported(w, ledger));
        }
    }
    fn facts(&self, _: &RunId, _: &[Fact]) {}
    fn model(&self, _: &RunId, _: &ModelItem, _: u64) {}
    fn worker(&self, _: &WorkerReport<'_>) {}
    fn flush(&self) {}
}
