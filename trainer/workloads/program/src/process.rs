//! One process of the user's program. It reads units from its standard input, one per line, and writes one
//! line of JSON per unit to its standard output, in the same order.
//!
//! A process has a time limit and a memory limit. In our memory it takes no more than its batch needs.

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use work::{Failed, Fate};

/// The largest number of bytes in an answer.
const LONGEST_ANSWER: u64 = 1 << 20;
/// The number of bytes kept of the end of standard error.
const MOST_SAID: usize = 2_000;
/// The longest wait of one look at a process.
const LOOK: Duration = Duration::from_millis(40);

/// The program and its limits.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) run: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Its working folder, and the folder of the units' files.
    pub(crate) folder: PathBuf,
    pub(crate) dataset: PathBuf,
    /// The time limit of a unit; a batch that takes longer is halved.
    pub(crate) time: Duration,
    pub(crate) memory_mb: Option<u32>,
    /// The largest number of units of a process.
    pub(crate) batch: usize,
    pub(crate) threads: usize,
}

/// The outcome of a process.
#[derive(Debug)]
pub(crate) enum Answers {
    /// An answer for each unit.
    All(Vec<String>),
    /// It failed; it is unknown which answers are right.
    Failed { why: String, said: String },
}

/// A line of the program, or the end of its output.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// A process that is running.
pub(crate) struct Process {
    child: Child,
    begun: Instant,
    limit: Duration,
    units: usize,
    answers: Vec<String>,
    lines: Receiver<Line>,
    said: Arc<Mutex<VecDeque<u8>>>,
    /// Whether its standard output has ended.
    silent: bool,
}

impl Process {
    /// Starts the program on these units.
    ///
    /// # Errors
    /// [`Failed`], if it cannot be started; a lack of memory or of processes is a failure to retry.
    pub(crate) fn start(limits: &Limits, units: Vec<String>) -> Result<Process, Failed> {
        let mut command = Command::new(&limits.run);
        command.args(&limits.arguments).current_dir(&limits.folder).env("BATON_DATASET", &limits.dataset);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = started(&mut command).map_err(|error| not_started(limits, &error))?;
        if let Err(error) = bound(&child, limits) {
            let _ = child.kill();
            return Err(not_started(limits, &error));
        }
        let count = units.len();
        if let Some(mut input) = child.stdin.take() {
            // If the program stops reading, its answers show whether that is a failure.
            thread::spawn(move || units.iter().try_for_each(|unit| writeln!(input, "{unit}")));
        }
        let (tell, lines) = sync_channel(1_024);
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || read_lines(output, |line| tell.send(line).is_ok()));
        }
        let said = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(errors) = child.stderr.take() {
            let said = said.clone();
            thread::spawn(move || keep_end(errors, &said));
        }
        let (begun, limit) = (Instant::now(), limits.time);
        Ok(Process { child, begun, limit, units: count, answers: Vec::new(), lines, said, silent: false })
    }

    /// The time since it was started.
    pub(crate) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits briefly for its outcome.
    ///
    /// # Errors
    /// [`Failed`], if the system does not report it.
    pub(crate) fn look(&mut self) -> Result<Option<Answers>, Failed> {
        let until = Instant::now() + LOOK;
        while !self.silent {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(why) = self.take(line) {
                        return Ok(Some(self.fail(why)));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(self.too_late()),
                Err(RecvTimeoutError::Disconnected) => self.silent = true,
            }
        }
        let status = self.child.try_wait();
        match status.map_err(|error| trouble("wait for the program", &error))? {
            Some(status) => Ok(Some(self.ended(status))),
            None => {
                thread::sleep(Duration::from_millis(1));
                Ok(self.too_late())
            }
        }
    }

    /// Takes an answer; returns the reason if it is wrong.
    fn take(&mut self, line: Line) -> Option<String> {
        let Line::Whole(line) = line else {
            return Some(format!("an answer has more than {LONGEST_ANSWER} bytes"));
        };
        if self.answers.len() == self.units {
            return Some(format!("it wrote more than {} for {}", lines(self.units), units(self.units)));
        }
        match String::from_utf8(line) {
            Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => {
                self.answers.push(text.trim().to_owned());
                None
            }
            Ok(text) => Some(format!("an answer is no JSON: {}", shortened(&text))),
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Some(format!("an answer is no text: {}", shortened(&text)))
            }
        }
    }

    fn too_late(&mut self) -> Option<Answers> {
        let late = self.begun.elapsed() > self.limit;
        late.then(|| self.fail(format!("it did not end within {} s", self.limit.as_secs_f64())))
    }

    fn ended(&mut self, status: ExitStatus) -> Answers {
        let (found, expected) = (self.answers.len(), self.units);
        if !status.success() {
            return self.fail(words(status));
        }
        if found < expected {
            return self.fail(format!("it wrote {} for {}", lines(found), units(expected)));
        }
        Answers::All(std::mem::take(&mut self.answers))
    }

    fn fail(&mut self, why: String) -> Answers {
        self.kill();
        // Its last output arrives a moment later.
        for _ in 0..20 {
            if Arc::strong_count(&self.said) == 1 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let said: Vec<u8> = self.said.lock().map(|said| said.iter().copied().collect()).unwrap_or_default();
        Answers::Failed { why, said: String::from_utf8_lossy(&said).trim().to_owned() }
    }

    /// Ends the process and the processes that it has started.
    fn kill(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a command. A file that somebody still has open for writing cannot run: it is waited for a little. A
/// process that another thread is just starting has such a file open for a moment, too.
fn started(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..100 {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(2));
            }
            outcome => return outcome,
        }
    }
    command.spawn()
}

/// Sets the limits of a process that has read nothing yet.
///
/// The limit of processor time ends a program that outlives this process: nothing else would end it.
fn bound(child: &Child, limits: &Limits) -> std::io::Result<()> {
    let pid = Pid::from_raw(child.id() as i32);
    let both = |most| Rlimit { current: Some(most), maximum: Some(most) };
    let seconds = (limits.time.as_secs_f64() * limits.threads.max(1) as f64).ceil() as u64 + 2;
    prlimit(pid, Resource::Cpu, both(seconds))?;
    if let Some(mb) = limits.memory_mb {
        prlimit(pid, Resource::As, both(u64::from(mb) << 20))?;
    }
    Ok(())
}

fn read_lines(output: impl Read, mut take: impl FnMut(Line) -> bool) {
    let mut output = BufReader::with_capacity(1 << 16, output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(LONGEST_ANSWER + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(read) if read as u64 > LONGEST_ANSWER => drop(take(Line::TooLong)),
            Ok(_) if take(Line::Whole(line)) => continue,
            Ok(_) => {}
        }
        return;
    }
}

fn keep_end(mut errors: impl Read, said: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 4_096];
    loop {
        match errors.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                let Ok(mut said) = said.lock() else { return };
                said.extend(&buffer[..read]);
                let over = said.len().saturating_sub(MOST_SAID);
                said.drain(..over);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn not_started(limits: &Limits, error: &std::io::Error) -> Failed {
    trouble(&format!("start {}", limits.run.display()), error)
}

/// A lack of memory, processes or files may pass; any other failure lasts.
fn trouble(action: &str, error: &std::io::Error) -> Failed {
    let passes = matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::OutOfMemory
            | ErrorKind::Interrupted
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::ExecutableFileBusy
    );
    let words = format!("cannot {action}: {error}");
    if passes { Failed { fate: Fate::Retry, lasting: true, words } } else { Failed::halt(words) }
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}{}", signal_name(signal)),
        (None, None) => "it ended without a reason".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL; out of memory?)",
        11 => " (SIGSEGV)",
        24 => " (SIGXCPU: too much processor time)",
        _ => "",
    }
}

fn lines(count: usize) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

fn units(count: usize) -> String {
    if count == 1 { "1 unit".to_owned() } else { format!("{count} units") }
}

fn shortened(text: &str) -> String {
    let start: String = text.trim_end().chars().take(60).collect();
    if start.len() < text.trim_end().len() { format!("{start:?}…") } else { format!("{start:?}") }
}
