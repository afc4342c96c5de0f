//! One execution environment: a process, its Runtime API, and the limits of each attempt.

use std::{
    io,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpListener,
    process::{ChildStderr, ChildStdout},
    task::JoinHandle,
    time::{Instant, interval, sleep_until},
};

use crate::{
    Address, Options, TableFault, Token,
    faults::Plan,
    invocation::{ACCOUNT, Failed, FailedKind, Invocation, Outcome, REGION},
    log::{Log, Source},
    memory,
    process::{Process, Started, describe},
    runtime_api::{self, Delivery, Desk},
    system::epoch_ms,
};

/// How long a process may take until it first asks for work. Lambda then starts it again within the time
/// limit of the invocation, so here it has both times.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// An address where nobody listens: the loopback's port 9 is for discarding and needs root.
const NOWHERE: &str = "http://127.0.0.1:9";
/// How often the memory of a working process is measured.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// A process that serves one attempt at a time.
#[derive(Debug)]
pub(crate) struct Sandbox {
    process: Arc<Process>,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
    deliveries: u64,
    deadline: Instant,
    peak_memory_mb: u64,
    /// When the faults killed it, in milliseconds since 1970.
    killed_ms: Option<u64>,
    /// How long after its time limit a process continues that the faults have stopped.
    thaw_after: Option<Duration>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.process.kill();
        self.server.abort();
    }
}

/// The local cloud's handle of a sandbox, to show it and to end it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) process: Arc<Process>,
    pub(crate) desk: Arc<Desk>,
}

impl Sandbox {
    /// Starts a process, without waiting for its first poll.
    pub(crate) async fn start(options: &Options, cloud: &Address, fault: TableFault) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let token = Token::fresh()?;
        let runtime_api = format!("http://{}/{}", listener.local_addr()?, token.text());
        let table = if fault == TableFault::Unreachable { NOWHERE } else { &cloud.endpoint };
        let command = command(options, cloud, &runtime_api, table);
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", options.function);
        let desk = Desk::new(arn);
        let Started { process, stdout, stderr } = Process::start(command).await?;
        let routes = runtime_api::router(desk.clone());
        let server = tokio::spawn(runtime_api::door(token).serve(listener, routes));
        let deadline = Instant::now();
        let (killed_ms, thaw_after) = (None, None);
        let sandbox =
            Self { process, desk, server, deliveries: 0, deadline, peak_memory_mb: 0, killed_ms, thaw_after };
        let pid = sandbox.pid();
        options.log.line(pid, Source::Platform, "INIT_START");
        copy_lines(ChildStdout::from_std(stdout)?, pid, Source::Stdout, options.log.clone());
        copy_lines(ChildStderr::from_std(stderr)?, pid, Source::Stderr, options.log.clone());
        Ok(sandbox)
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle { process: self.process.clone(), desk: self.desk.clone() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The most memory that the process was measured to use.
    pub(crate) fn peak_memory_mb(&self) -> u64 {
        self.peak_memory_mb
    }

    pub(crate) fn alive(&self) -> bool {
        self.process.alive()
    }

    /// Waits for the first poll of a new process.
    pub(crate) async fn ready(&self, options: &Options) -> Result<(), Failed> {
        let limit = INIT_LIMIT + options.time_limit;
        let failed = |message| Err(Failed::new(FailedKind::Crashed, "Runtime.ExitError", message));
        tokio::select! {
            () = self.desk.polled_more_than(0) => Ok(()),
            status = self.process.exited() => match self.desk.init_error() {
                Some(payload) => Err(Failed { kind: FailedKind::Crashed, payload }),
                None => failed(format!("Runtime exited before its first poll: {}", describe(status))),
            },
            () = tokio::time::sleep(limit) => {
                self.end().await;
                failed(format!("Runtime did not poll within {limit:?} of its start"))
            }
        }
    }

    /// Makes one attempt at an event, and ends the process if it cannot be used for another.
    pub(crate) async fn invoke(&mut self, invocation: &Invocation, options: &Options, plan: Plan) -> Outcome {
        let start = Instant::now();
        let deadline_ms = epoch_ms() + options.time_limit.as_millis() as u64;
        self.deadline = start + options.time_limit;
        let mut kill_at = plan.kill_after.map(|after| start + after);
        let mut freeze_at = plan.freeze.map(|(after, _)| start + after);
        let mut memory_ticks = interval(MEMORY_EVERY);
        let mut answer = self.desk.hand_over(Delivery { invocation: invocation.clone(), deadline_ms });
        self.deliveries += 1;
        self.process.thaw();
        let failed = loop {
            tokio::select! {
                biased;
                Ok(outcome) = &mut answer => {
                    self.look_at_memory();
                    return outcome;
                }
                status = self.process.exited() => break crashed(&invocation.request_id, &describe(status)),
                () = sleep_until(self.deadline) => {
                    break timed_out(&invocation.request_id, options.time_limit);
                }
                () = sleep_until(kill_at.unwrap_or(self.deadline)), if kill_at.is_some() => {
                    self.process.kill();
                    self.killed_ms = Some(epoch_ms());
                    kill_at = None;
                }
                () = sleep_until(freeze_at.unwrap_or(self.deadline)), if freeze_at.is_some() => {
                    self.process.freeze();
                    self.thaw_after = plan.freeze.map(|(_, thaw)| thaw);
                    freeze_at = None;
                }
                _ = memory_ticks.tick() => {
                    let used = self.look_at_memory();
                    if used > u64::from(options.memory_mb) {
                        break out_of_memory(&invocation.request_id, used, options.memory_mb);
                    }
                }
            }
        };
        self.desk.clear();
        if !self.stopped() {
            self.end().await;
        }
        Outcome::Failed(failed)
    }

    /// When the faults killed the process, in milliseconds since 1970.
    pub(crate) fn killed_ms(&self) -> Option<u64> {
        self.killed_ms
    }

    /// Whether the faults have stopped the process in an attempt that is now given up.
    pub(crate) fn stopped(&self) -> bool {
        self.thaw_after.is_some() && self.alive()
    }

    /// Lets a stopped process continue where it was, as if it still had its event, until it asks for the next
    /// one or has used its time once more.
    pub(crate) async fn go_on_late(self, options: Options) {
        let wait = self.thaw_after.unwrap_or_default();
        tokio::select! {
            _ = self.process.exited() => return,
            () = tokio::time::sleep(wait) => self.process.thaw(),
        }
        options.log.line(self.pid(), Source::Platform, "THAWED after its time limit");
        tokio::select! {
            () = self.desk.polled_more_than(self.deliveries) => {}
            _ = self.process.exited() => {}
            () = tokio::time::sleep(options.time_limit) => {}
        }
        self.end().await;
    }

    /// Waits until the process asks for its next event and freezes it; false if it will not serve any more.
    pub(crate) async fn rest(&self) -> bool {
        let rested = tokio::select! {
            biased;
            () = self.desk.polled_more_than(self.deliveries) => true,
            _ = self.process.exited() => false,
            () = sleep_until(self.deadline) => false,
        };
        match rested {
            true => self.process.freeze(),
            false => self.end().await,
        }
        rested
    }

    fn look_at_memory(&mut self) -> u64 {
        let used = memory::used_mb(self.pid()).unwrap_or(0);
        self.peak_memory_mb = self.peak_memory_mb.max(used);
        used
    }

    async fn end(&self) {
        self.process.kill();
        self.process.exited().await;
    }
}

fn crashed(id: &str, how: &str) -> Failed {
    let message = format!("RequestId: {id} Error: Runtime exited with error: {how}");
    Failed::new(FailedKind::Crashed, "Runtime.ExitError", message)
}

fn timed_out(id: &str, limit: Duration) -> Failed {
    let message = format!("RequestId: {id} Error: Task timed out after {:.2} seconds", limit.as_secs_f64());
    Failed::new(FailedKind::TimedOut, "Sandbox.Timedout", message)
}

fn out_of_memory(id: &str, used_mb: u64, memory_mb: u32) -> Failed {
    let message =
        format!("RequestId: {id} Error: signal: killed: {used_mb} MB used, memory size {memory_mb} MB");
    Failed::new(FailedKind::OutOfMemory, "Runtime.OutOfMemory", message)
}

/// The command with Lambda's environment, and with nothing that could lead the function to the real AWS.
fn command(options: &Options, cloud: &Address, runtime_api: &str, table: &str) -> Command {
    let program = std::path::absolute(&options.program).unwrap_or_else(|_| options.program.clone());
    let task_root = program.parent().unwrap_or(Path::new("/")).to_owned();
    let function = options.function.as_str();
    let (memory, log_group) = (options.memory_mb.to_string(), format!("/aws/lambda/{function}"));
    let fixed = [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
        ("_HANDLER", "bootstrap"),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", cloud.token.text()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_ENDPOINT_URL", &cloud.endpoint),
        ("AWS_ENDPOINT_URL_LAMBDA", &cloud.endpoint),
        ("AWS_ENDPOINT_URL_DYNAMODB", table),
        ("LANG", "en_US.UTF-8"),
        ("TZ", ":UTC"),
    ];
    let mut command = Command::new(&program);
    command.args(&options.arguments).current_dir(&task_root).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    command.envs(fixed).env("LAMBDA_TASK_ROOT", &task_root);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Passes each line on as it comes, whatever its bytes.
fn copy_lines(from: impl AsyncRead + Unpin + Send + 'static, pid: u32, source: Source, log: Log) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            log.line(pid, source, String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
    });
}
