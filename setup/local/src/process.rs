//! One process of the function in a process group of its own, which always ends with this process.
//!
//! A thread starts the process and waits for it, and lives as long as it does: Linux sends the parent-death
//! signal when the *thread* that started the child ends. Signals go to the whole group, and never after the
//! process was waited for, because its number may then belong to another one.

use std::{
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{ChildStderr, ChildStdout, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::{
    io::retry_on_intr,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid},
};
use tokio::sync::{oneshot, watch};

/// A running or ended process.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Held while a signal is sent and while the process is waited for.
    reaped: Mutex<bool>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// A process that was just started, with its output.
pub(crate) struct Started {
    pub(crate) process: Arc<Process>,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Process {
    /// Starts the command; its standard output and error must be piped.
    pub(crate) async fn start(mut command: Command) -> io::Result<Started> {
        command.process_group(0);
        end_with_parent(&mut command);
        let (tell, told) = oneshot::channel();
        thread::Builder::new().name("function".into()).spawn(move || live(command, tell))?;
        told.await.map_err(|_| io::Error::other("the thread that starts processes ended"))?
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(crate) fn alive(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Waits until the process has ended; none if its end could not be seen.
    pub(crate) async fn exited(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    /// Tells the process to end; it may take some time to save its work.
    /// The processes that it has started are its own business.
    pub(crate) fn terminate(&self) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It can have ended just now; then there is nobody to tell.
            let _ = kill_process(self.pid, Signal::TERM);
        }
        drop(reaped);
        self.thaw();
    }

    /// Ends the whole group at once; [`Process::exited`] tells when it is gone.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Stops an idle process from running, as Lambda does between invocations.
    pub(crate) fn freeze(&self) {
        if cfg!(target_os = "linux") {
            self.signal(Signal::STOP);
        }
    }

    /// Lets it continue.
    pub(crate) fn thaw(&self) {
        if cfg!(target_os = "linux") {
            self.signal(Signal::CONT);
        }
    }

    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // The group may have ended just now; then there is nothing to signal.
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

/// An exit status in the words of Lambda's messages.
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    match status {
        None => "unknown".into(),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(9)) => "signal: killed".into(),
            (None, signal) => format!("signal: {}", signal.unwrap_or_default()),
        },
    }
}

/// The life of the thread: starts the process, reports it, and waits for its end.
fn live(mut command: Command, tell: oneshot::Sender<io::Result<Started>>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let pid = Pid::from_child(&child);
    let (ended, exit) = watch::channel(None);
    let process = Arc::new(Process { pid, reaped: Mutex::new(false), exit });
    let pipes = child.stdout.take().zip(child.stderr.take());
    let started = pipes.map(|(stdout, stderr)| Started { process: process.clone(), stdout, stderr });
    let started = started.ok_or_else(|| io::Error::other("the function's output is not piped"));
    if tell.send(started).is_err() {
        // Nobody waits any more: the local cloud was dropped while the process started.
        process.kill();
    }
    // NOWAIT leaves the process unreaped, so that its number stays its own until the rest
    // of its group is ended.
    let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
    let mut reaped = process.reaped.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child.wait().ok();
    *reaped = true;
    drop(reaped);
    let _ = ended.send(status.or(Some(ExitStatus::from_raw(0))));
}

/// Makes the kernel send SIGKILL to the process when this one dies, even by SIGKILL.
///
/// Processes that the function itself started are in its group and end with it in every other case, but not
/// in this one. On systems other than Linux the process ends when its Runtime API is gone: `lambda_runtime`
/// ends on the first refused connection, which is at the end of the invocation at the latest.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let arrange = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        match getppid() == Some(parent) {
            true => Ok(()),
            // The parent died before the signal was set.
            false => Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error())),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed. The closure makes two system
    // calls (prctl, getppid) and allocates nothing:
    // `pid_t`s are compared and errors are made from their numbers.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(arrange);
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}
