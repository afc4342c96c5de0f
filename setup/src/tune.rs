//! `baton tune`: finds the learning rate, weight decay and label smoothing to train a job with,
//! in the local cloud.

mod plot;
mod table;

use crate::Failure;
use crate::local::{Function, Local};
use crate::output::write_whole;
use protocol::{Ending, Event, RunId};
use rounds::Training;
use rounds::keys::{Agreement, OptimizerKind, Precision, Tune};
use rounds::tuning::Table;
use serde_json::{Value, json};
use std::path::PathBuf;
use storage::Root;
use terminal::{note, say};
use transfer::Job;
use transfer::model::MODEL;

/// The plot's file, beside the model.
const PLOT: &str = "tune.svg";

/// Finds the learning rate, weight decay and label smoothing to train a job with.
///
/// A range test of the rate, then successive halving over trials, on features that are computed once and
/// shared with the job's own runs; these runs are never touched. The best trial's head is a model for
/// `baton predict`. What the job says of many workers of one training (agree, precision, outer, reduce) and
/// of its rounds (rounds_per_epoch, score_every, patience, average_decay) has no part in it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton tune --root efs --job job.json   the rate alone\n  \
    baton tune --root efs --job job.json --weight-decay 0,1e-4,1e-3 --smoothing 0,0.1 --trials 36\n  \
    baton tune --root efs --job job.json --cut pool4,pool5 --workers 4 --json\n  \
    baton tune --root efs --run my-tuning   the table of a tuning that ended, from AWS with `baton pull`\n\
    On AWS: a job with \"tune\": {} and `baton start`.")]
pub struct TuneCommand {
    /// The folder that stands for EFS: datasets/, weights/, features/, runs/.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// The job to find the numbers for; without it the tuning of --run is shown.
    #[arg(long, required_unless_present = "run")]
    pub job: Option<PathBuf>,
    /// The tuning's own run id; without it one is made from the time. With several cuts each adds its name.
    #[arg(long)]
    pub run: Option<String>,
    /// Number of workers; it does not change the table.
    #[arg(long, requires = "job")]
    pub workers: Option<u32>,
    /// Combinations to try.
    #[arg(long, requires = "job")]
    pub trials: Option<u32>,
    /// The lowest and the highest rate of the range test: 1e-5..10.
    #[arg(long, requires = "job", value_parser = rates, value_name = "LOW..HIGH")]
    pub rates: Option<[f64; 2]>,
    /// Weight decays to try; without it the job's.
    #[arg(long, requires = "job", value_delimiter = ',')]
    pub weight_decay: Vec<f64>,
    /// Label smoothings to try; without it the job's.
    #[arg(long, requires = "job", value_delimiter = ',')]
    pub smoothing: Vec<f64>,
    /// Points to cut the network at, each a tuning of its own; without it the job's.
    #[arg(long, requires = "job", value_delimiter = ',')]
    pub cut: Vec<String>,
    /// One in this many trials goes on to the next rung.
    #[arg(long, requires = "job")]
    pub keep: Option<u32>,
    /// Passes over the training images in the first rung.
    #[arg(long, requires = "job")]
    pub epochs: Option<u32>,
    /// The function that carries out the events.
    #[command(flatten)]
    pub function: Function,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A tuning that has ended.
struct Tuned {
    run: RunId,
    /// The optimizer that the rates are of.
    optimizer: OptimizerKind,
    /// The cut, if several were tried.
    cut: Option<String>,
    table: Table,
    plot: PathBuf,
}

impl TuneCommand {
    /// Tunes, or shows a tuning, and prints the table.
    ///
    /// # Errors
    /// A job that is refused, a run that fails, a folder without a tuning.
    pub async fn run(&self) -> Result<(), Failure> {
        let mut all = Vec::new();
        match &self.job {
            Some(path) => {
                let given = crate::start::read_job(path)?;
                let job = self.tuned(Job::of(&given).map_err(Failure::input)?);
                for (run, job) in self.runs(&job)? {
                    all.push(self.carry_out(run, &given, job).await?);
                }
            }
            None => {
                let run = crate::run_with(
                    &Root::open(&self.root)?,
                    self.run.as_deref().unwrap_or_default(),
                    MODEL,
                )?;
                all.push(self.open(run, None)?);
            }
        }
        self.tell(&all)
    }

    /// The job with the combinations to try, and without the keys about many workers of one training.
    fn tuned(&self, job: Job) -> Job {
        let mut tune = job.training.tune.clone().unwrap_or_default();
        let Tune { trials, rates, weight_decay, label_smoothing, keep, epochs } = &mut tune;
        *trials = self.trials.unwrap_or(*trials);
        *rates = self.rates.unwrap_or(*rates);
        *keep = self.keep.unwrap_or(*keep);
        *epochs = self.epochs.unwrap_or(*epochs);
        for (values, given) in [(weight_decay, &self.weight_decay), (label_smoothing, &self.smoothing)] {
            if !given.is_empty() {
                values.clone_from(given);
            }
        }
        let training = Training {
            tune: Some(tune),
            agree: Agreement::Average,
            precision: Precision::F32,
            outer: None,
            reduce: None,
            rounds_per_epoch: 1,
            score_every: 1,
            patience: None,
            average_decay: None,
            ..job.training
        };
        Job { training, ..job }
    }

    /// A run for each cut.
    fn runs(&self, job: &Job) -> Result<Vec<(RunId, Job)>, Failure> {
        let made = RunId::from_time(crate::now_ms()).as_str().replacen("run", "tune", 1);
        let run = self.run.clone().unwrap_or(made);
        if self.cut.len() < 2 {
            let cut = self.cut.first().cloned().or(job.cut.clone());
            return Ok(vec![(RunId::new(run).map_err(Failure::input)?, Job { cut, ..job.clone() })]);
        }
        let of = |cut: &String| {
            let name: String = cut.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let id = RunId::new(format!("{run}-{name}")).map_err(Failure::input)?;
            Ok((id, Job { cut: Some(cut.clone()), ..job.clone() }))
        };
        self.cut.iter().map(of).collect()
    }

    async fn carry_out(&self, run: RunId, given: &protocol::Job, job: Job) -> Result<Tuned, Failure> {
        let written = job.written(given);
        let mut local = Local::new(&self.root);
        local.function = self.function.clone();
        let start =
            json!({"start": true, "run": run, "workers": self.workers, "job": written, "force": true});
        let start = start.as_object().map(|keys| keys.iter().filter(|(_, value)| !value.is_null()));
        let start: Value =
            start.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        if !self.json {
            note!("{run}: cut at {}", job.cut.as_deref().unwrap_or("the network's usual point"));
        }
        let outcome = local.carry_out(Event::from_value(start).map_err(Failure::input)?).await?;
        outcome.check()?;
        match outcome.ledger.ending {
            Some(Ending { why, model: None, .. }) => {
                Err(format!("run {run} has ended without a trial: {why}").into())
            }
            _ => self.open(run, (self.cut.len() > 1).then_some(job.cut).flatten()),
        }
    }

    /// Reads a tuning's table and draws its plot beside it.
    fn open(&self, run: RunId, cut: Option<String>) -> Result<Tuned, Failure> {
        let folder = Root::open(&self.root)?.run(&run).model();
        if !folder.join(rounds::tuning::TABLE).is_file() {
            return Err(Failure::input(format!("run {run} is no tuning: its job has no key \"tune\"")));
        }
        let table = Table::open(&folder)?;
        let job = Job::of(&crate::runs::read_ledger(&self.root, &run)?.job).map_err(Failure::input)?;
        let plot = folder.join(PLOT);
        write_whole(&plot, plot::draw(&table, run.as_str()).as_bytes())?;
        Ok(Tuned { run, optimizer: job.training.optimizer(), cut, table, plot })
    }

    fn tell(&self, all: &[Tuned]) -> Result<(), Failure> {
        let best = all.iter().filter_map(|tuned| Some((tuned, tuned.table.best()?)));
        let best = best
            .reduce(|best, next| if next.1.1.beats(&best.1.1, &next.0.table.measures) { next } else { best });
        let Some((tuned, (trial, score))) = best else {
            return Err("no trial was scored: see the run's log".to_owned().into());
        };
        let mut keys = json!({"optimizer": tuned.optimizer, "learning_rate": trial.learning_rate,
            "weight_decay": trial.weight_decay, "label_smoothing": trial.label_smoothing});
        if let Some(cut) = &tuned.cut {
            keys["cut"] = json!(cut);
        }
        if self.json {
            let each = |tuned: &Tuned| {
                let Tuned { run, cut, table, plot, .. } = tuned;
                json!({"run": run, "cut": cut, "plot": plot, "table": table})
            };
            let tunings: Vec<Value> = all.iter().map(each).collect();
            say!("{}", json!({"suggestion": keys, "score": score, "run": tuned.run, "tunings": tunings}));
            return Ok(());
        }
        for tuned in all {
            table::describe(&tuned.table, &tuned.name()).lines().for_each(|line| say!("{line}"));
        }
        let keys = keys.to_string();
        say!(
            "suggestion: top-1 {:.4}, loss {:.4}, with these keys of the job:",
            score.values[0],
            score.values[1]
        );
        say!("  {}", keys.trim_matches(['{', '}']).replace(",\"", ", \"").replace("\":", "\": "));
        for tuned in all {
            say!("plot: {}", tuned.plot.display());
        }
        say!("try it: baton predict --root {} --run {} IMAGE…", self.root.display(), tuned.run);
        Ok(())
    }
}

impl Tuned {
    fn name(&self) -> String {
        let cut = self.cut.as_ref().map(|cut| format!(", cut at {cut}")).unwrap_or_default();
        format!("{}{cut}", self.run)
    }
}

/// `1e-5..10`
fn rates(text: &str) -> Result<[f64; 2], String> {
    let wrong = || format!("found {text:?}, expected two rates such as 1e-5..10");
    let (low, high) = text.split_once("..").ok_or_else(wrong)?;
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) => Ok([low, high]),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        tune: TuneCommand,
    }

    fn asked(arguments: &[&str]) -> TuneCommand {
        let fixed = ["tune", "--root", "efs", "--job", "job.json", "--run", "t"];
        Asked::parse_from(fixed.iter().chain(arguments)).tune
    }

    #[test]
    fn a_job_is_tuned_by_what_is_asked_and_one_worker_to_a_trial() {
        let job = json!({"dataset": "d", "network": "vgg19", "agree": "diloco", "precision": "int8",
            "outer": {"rate": 0.5}, "patience": 3, "average_decay": 0.9, "weight_decay": 0.1,
            "rounds_per_epoch": 3, "score_every": 3});
        let given = protocol::Job::from_value(job).unwrap();
        let job = Job::of(&given).unwrap();
        let tune = asked(&["--rates", "1e-3..1", "--weight-decay", "0,1e-4", "--trials", "8"]).tuned(job);
        // It passes the checks of a job.
        let tune = Job::of(&tune.written(&given)).unwrap().training;
        assert_eq!((tune.agree, tune.precision, tune.outer, tune.patience), Default::default());
        assert_eq!((tune.rounds_per_epoch, tune.score_every), (1, 1));
        let tune = tune.tune.unwrap();
        assert_eq!((tune.trials, tune.rates, tune.weight_decay), (8, [1e-3, 1.0], vec![0.0, 1e-4]));
        assert!(tune.label_smoothing.is_empty(), "the job's own");
        assert!(rates("0.1").is_err() && rates("a..b").is_err());
    }

    #[test]
    fn each_cut_is_a_run_of_its_own() {
        let job = json!({"dataset": "d", "network": "vgg19", "cut": "pool5"});
        let job = Job::of(&protocol::Job::from_value(job).unwrap()).unwrap();
        let names = |arguments: &[&str]| {
            let runs = asked(arguments).runs(&job).unwrap();
            runs.into_iter().map(|(run, job)| (run.to_string(), job.cut.unwrap())).collect::<Vec<_>>()
        };
        let named = |run: &str, cut: &str| (run.to_owned(), cut.to_owned());
        assert_eq!(names(&[]), [named("t", "pool5")]);
        assert_eq!(names(&["--cut", "fc2"]), [named("t", "fc2")]);
        assert_eq!(names(&["--cut", "fc2,relu4_1"]), [named("t-fc2", "fc2"), named("t-relu4-1", "relu4_1")]);
    }
}
