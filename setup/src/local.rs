//! `baton local`: the local cloud on a folder, and with a job the whole run in it, from start to model.

mod place;
mod standstill;

use crate::Failure;
use crate::cloud::{Cloud, FUNCTION, TABLE};
use crate::runs::{active, read_ledger};
use crate::told;
use crate::view::View;
use crate::watch::{Screen, duration};
use local_cloud::{Counts, Faults, Kill, LocalCloud, Log, Options, Status};
use place::Place;
use protocol::{Event, Ledger, Reason, RunId};
use standstill::Standstill;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage::Root;
use terminal::say;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// How often the state of a run in the local cloud is read.
const LOOK: Duration = Duration::from_millis(400);
/// How long the ledger may be unreadable, and how long a view may take, before a run in the local cloud is
/// given up or no longer shown: a full disk becomes free again, and a table that hangs is only a view.
const UNREADABLE: Duration = Duration::from_secs(120);
const VIEW: Duration = Duration::from_secs(2);
/// How often a `start` is sent if its function dies.
const START_TRIES: usize = 6;

/// Runs the function on this machine, as Lambda would.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton local --root efs --job job.json --run my-run --workers 4   a whole run, from start to model\n  \
    baton local --root efs --job job.json --run my-run --time-limit 20s   the same in many short legs\n  \
    baton local --root efs   only the cloud, for baton start, watch and stop in another terminal\n\
    Ctrl-C has every process save its work and end; the same command again continues the run.")]
pub struct Local {
    /// The folder that stands for EFS: datasets/, weights/, features/, runs/.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Start this job and end with it.
    #[arg(long)]
    pub job: Option<PathBuf>,
    /// The run's id.
    #[arg(long)]
    pub run: Option<String>,
    /// Number of workers.
    #[arg(long)]
    pub workers: Option<u32>,
    /// Memory of the function in MB; a process that uses more is killed.
    #[arg(long, default_value_t = 3_008)]
    pub memory: u32,
    /// Time limit of an invocation: 20s, 5m.
    #[arg(long, default_value = "900s", value_parser = duration)]
    pub time_limit: Duration,
    /// How often the watchdog ticks, and how long after its due time it counts work as lost.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub tick: Duration,
    /// End when nothing has moved for this long after an event was given up, on a full disk for instance.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub give_up: Duration,
    /// Functions that run at the same time; without it as many as there are cores.
    #[arg(long)]
    pub concurrency: Option<usize>,
    /// Where to listen; only the loopback is allowed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The function that carries out the events.
    #[command(flatten)]
    pub function: Function,
    /// Cut a chain of invocations after 16, as Lambda does unless the function allows recursion.
    #[arg(long)]
    pub no_recursion: bool,
    /// Faults on purpose, as JSON: {"seed": 1, "kill": 0.1, "kill_ms": 3000}.
    #[arg(long, value_parser = faults)]
    pub faults: Option<Faults>,
    /// Print events as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Whether progress is one line, without those of the rounds and, with JSON, without any.
    #[arg(skip)]
    pub on_one_line: bool,
}

/// The function as the local cloud runs it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Function {
    /// Compute threads of a function; without it the cores are shared among the functions.
    #[arg(long)]
    pub threads: Option<usize>,
    /// The function's binary; without it the one beside this command.
    #[arg(long)]
    pub trainer: Option<PathBuf>,
}

/// The result of a run in the local cloud.
#[derive(Debug)]
pub struct Outcome {
    /// The run.
    pub run: RunId,
    /// Its ledger at the end.
    pub ledger: Ledger,
    /// The model's file, if there is one.
    pub model: Option<PathBuf>,
    /// The counts of the local cloud.
    pub counts: Counts,
    /// The processes that its faults killed.
    pub kills: Vec<Kill>,
}

impl Outcome {
    /// Whether the run ended without a failure.
    ///
    /// # Errors
    /// Why it cannot continue, or why it was given up.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let run = &self.run;
        match self.ledger.ending.as_ref().map(|ending| &ending.why) {
            Some(Reason::Failed(why)) => Err(format!("run {run} failed: {why}").into()),
            Some(Reason::GaveUp(why)) => {
                let again =
                    if self.ledger.may_reopen() { ". Run the same command again to continue it" } else { "" };
                Err(format!("run {run} was given up: {why}{again}").into())
            }
            _ => Ok(()),
        }
    }
}

impl Local {
    /// A local cloud on `root`, with Lambda's limits and this command's defaults.
    pub fn new(root: &Path) -> Local {
        Local {
            root: root.to_owned(),
            job: None,
            run: None,
            workers: None,
            memory: 3_008,
            time_limit: Duration::from_secs(900),
            tick: Duration::from_secs(10),
            give_up: Duration::from_secs(60),
            concurrency: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            function: Function::default(),
            no_recursion: false,
            faults: None,
            json: false,
            on_one_line: false,
        }
    }

    /// Serves until Ctrl-C, or runs a job to its end.
    ///
    /// # Errors
    /// In words.
    pub async fn run(&self) -> Result<(), Failure> {
        if self.job.is_none() && self.run.is_none() {
            return self.serve().await;
        }
        let event = crate::start::event(self.job.as_deref(), self.run.as_deref(), self.workers, true)?;
        let outcome = self.carry_out(event).await?;
        self.tell(&outcome);
        outcome.check()
    }

    async fn serve(&self) -> Result<(), Failure> {
        let (cloud, _place) = self.start()?.await?;
        say!(
            "{}",
            serde_json::json!({"endpoint": cloud.address().endpoint, "function": FUNCTION, "table": TABLE})
        );
        let serve = async {
            self.take_up(&cloud).await?;
            match self.watch(&cloud).await {}
        };
        let served = tokio::select! {
            served = serve => served,
            () = interrupted() => Ok(()),
        };
        cloud.shutdown().await;
        served
    }

    /// Has every run that has not ended go on: whoever worked at it is gone with the cloud before this one.
    async fn take_up(&self, cloud: &LocalCloud) -> Result<(), Failure> {
        for ledger in active(&Root::open(&self.root)?)? {
            let start = crate::start::event(None, Some(ledger.run.as_str()), None, true)?;
            // What this fails at, ticks try again.
            let _ = cloud.ask(start.to_json().to_string()).await;
        }
        Ok(())
    }

    /// Carries out a run from its `start` event to its end.
    ///
    /// # Errors
    /// In words: the event is refused, the local cloud cannot start, or Ctrl-C.
    pub async fn carry_out(&self, start: Event) -> Result<Outcome, Failure> {
        let (cloud, _place) = self.start()?.await?;
        let client = Cloud::local(cloud.address()).await;
        let run = async {
            let run = self.begin(&cloud, &start).await?;
            // No tick comes before the start, which says when nobody worked at the run.
            tokio::select! {
                followed = self.follow(&cloud, &client, run) => followed,
                never = self.watch(&cloud) => match never {},
            }
        };
        let followed = tokio::select! {
            followed = run => followed,
            () = interrupted() => Err("interrupted; the same command continues the run".to_owned().into()),
        };
        let Status { counts, kills, .. } = cloud.status();
        cloud.shutdown().await;
        let (run, ledger) = followed?;
        let model = ledger.ending.as_ref().and_then(|ending| ending.model.as_ref());
        let model =
            model.map(|file| self.root.join("runs").join(run.as_str()).join("model").join(&file.name));
        Ok(Outcome { run, ledger, model, counts, kills })
    }

    /// The watchdog: ticks, one after the other, for ever.
    async fn watch(&self, cloud: &LocalCloud) -> Infallible {
        let mut tick = tokio::time::interval(self.tick.max(LOOK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // What a tick fails at, the next one tries again.
            let _ = cloud.ask(r#"{"tick":true}"#).await;
        }
    }

    /// Sends the `start` event and waits for its answer. A function that fails is asked again: starting twice
    /// is safe. If its process dies, it is asked again until that has lasted too long.
    async fn insist(&self, cloud: &LocalCloud, start: &Event) -> Result<String, local_cloud::Error> {
        let (begun, mut tries) = (Instant::now(), 0);
        loop {
            let reply = cloud.ask(start.to_json().to_string()).await;
            let Err(error) = &reply else { return reply };
            tries += 1;
            let patient = standstill::died(error) && begun.elapsed() < self.give_up;
            if tries >= START_TRIES && !patient {
                return reply;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts the run, or makes it go on.
    async fn begin(&self, cloud: &LocalCloud, start: &Event) -> Result<RunId, Failure> {
        let reply = self.insist(cloud, start).await.map_err(standstill::unanswered)?;
        let reply: serde_json::Value = serde_json::from_str(&reply).map_err(|error| error.to_string())?;
        if let Some(why) = reply.get("refused").and_then(|why| why.as_str()) {
            return Err(Failure::input(format!("refused: {why}")));
        }
        let named = reply.get("run").and_then(|run| run.as_str()).or(start.run().map(RunId::as_str));
        Ok(RunId::new(named.unwrap_or_default()).map_err(|error| error.to_string())?)
    }

    /// Shows a run until it has ended.
    async fn follow(
        &self,
        cloud: &LocalCloud,
        client: &Cloud,
        run: RunId,
    ) -> Result<(RunId, Ledger), Failure> {
        let mut screen =
            if self.on_one_line { Screen::of_one_line(self.json) } else { Screen::new(self.json) };
        let mut standstill = Standstill::new(self.give_up);
        let mut read = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let view = View::read(&client.tables, TABLE, run.as_str());
            if let Ok(Ok(Some(view))) = tokio::time::timeout(VIEW, view).await {
                screen.show(&view);
            }
            match read_ledger(&self.root, &run) {
                Ok(ledger) if ledger.ending.is_some() => {
                    screen.close();
                    return Ok((run, ledger));
                }
                Ok(ledger) => {
                    standstill.look(&ledger, &cloud.status())?;
                    read = Instant::now();
                }
                Err(error) if read.elapsed() > UNREADABLE => return Err(error.into()),
                Err(_) => {}
            }
        }
    }

    /// Starts the local cloud; the folder is locked as long as the returned value lives.
    fn start(&self) -> Result<impl Future<Output = Result<(LocalCloud, Place), Failure>>, Failure> {
        std::fs::create_dir_all(&self.root).map_err(Failure::io("create", &self.root))?;
        let root = self.root.canonicalize().map_err(Failure::io("open", &self.root))?;
        let place = Place::take(&root)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = self.concurrency.unwrap_or(cores);
        let threads = self.function.threads.unwrap_or_else(|| (cores / concurrency.min(cores)).max(1));
        let mut options = Options::new(self.function.trainer.clone().map_or_else(beside, Ok)?);
        options.function = FUNCTION.into();
        options.tables = vec![TABLE.into()];
        options.memory_mb = self.memory;
        options.time_limit = self.time_limit;
        options.concurrency = concurrency;
        options.listen = self.listen;
        options.recursion_allowed = !self.no_recursion;
        options.faults = self.faults.clone().unwrap_or_default();
        let log = root.join("local-cloud.log");
        options.log = Log::file(&log).map_err(Failure::io("write", &log))?;
        options.environment = vec![
            ("BATON_ROOT".into(), root.display().to_string()),
            ("BATON_TABLE".into(), TABLE.into()),
            ("BATON_THREADS".into(), threads.to_string()),
            ("BATON_PATIENCE_MS".into(), self.tick.as_millis().to_string()),
        ];
        Ok(async move {
            let cloud = LocalCloud::start(options).await.map_err(|error| error.to_string())?;
            place.tell(cloud.address())?;
            Ok((cloud, place))
        })
    }

    /// Prints the result of the run.
    fn tell(&self, outcome: &Outcome) {
        let (ledger, counts) = (&outcome.ledger, &outcome.counts);
        let course = &ledger.course;
        let best =
            ledger.best.as_ref().and_then(|best| Some((course.rounds_in(best.stage), best.score.as_ref()?)));
        let ended = ledger.ending.as_ref().map(|ending| ledger.words(&ending.why)).unwrap_or_default();
        let unscored = ledger.ending.as_ref().and_then(|ending| ending.unscored.as_ref());
        let gb_seconds = counts.billed_ms as f64 / 1_000.0 * f64::from(self.memory) / 1_024.0;
        if self.json {
            let value = serde_json::json!({
                "run": outcome.run, "ended": ended, "model": outcome.model, "unscored": unscored,
                "best": best.map(|(round, score)| {
                    serde_json::json!({"round": round, "score": told::score_as_json(course, score)})
                }),
                "invocations": counts.invocations, "retries": counts.retries, "gb_seconds": gb_seconds,
            });
            say!("{value}");
            return;
        }
        say!("run {}: {ended}", outcome.run);
        if let Some((round, score)) = best {
            say!("  best: {} {round}, {}", course.called, told::score(course, score));
        }
        say!(
            "  {} invocations, {} retries, {gb_seconds:.0} GB-seconds ({:.4} dollars on Lambda)",
            counts.invocations,
            counts.retries,
            ledger.spend.dollars(u64::MAX)
        );
        if let Some(model) = &outcome.model {
            say!("  model: {}", model.display());
            if let Some(why) = unscored {
                say!("  it has no scores: {why}");
            }
            let workloads = workloads::all();
            let command = workloads.find(&ledger.job).ok().and_then(|workload| workload.command());
            if let Some(command) = command {
                let root = self.root.display().to_string();
                say!("  try it: {}", command.replace("{root}", &root).replace("{run}", outcome.run.as_str()));
            }
        }
    }
}

/// The trainer binary beside this command.
pub(crate) fn beside() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let trainer = here.with_file_name("trainer");
    if trainer.is_file() {
        return Ok(trainer);
    }
    Err(format!(
        "{} is not there: build it (cargo build --release) or name it with --trainer",
        trainer.display()
    ))
}

/// Ctrl-C, or the terminate signal of a service manager.
pub(crate) async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn faults(text: &str) -> Result<Faults, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
