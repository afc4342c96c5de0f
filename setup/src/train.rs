//! `baton train`: one line from pictures to a model. It prepares the data set, finds the network's weights,
//! decides the settings, writes the job that it made, and carries it out in the local cloud.

mod data;
mod end;
mod network;
mod runs;

use crate::Failure;
use crate::local::{Function, Local, Outcome};
use crate::output::write_whole;
use protocol::{Event, Job, RunId};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Instant;
use storage::Root;
use terminal::say;
use transfer::suggest::{self, Suggestion};

/// Trains a classifier on pictures: one line from data to model.
///
/// It prepares the data set, finds the network's weights and decides the settings. Each decision is printed.
/// The job is written to ROOT/jobs, for `baton start` and `baton tune`. The same command again continues
/// after an interruption, and shows the result of a run that has ended.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Train {
    /// A folder or an archive with a folder of pictures for each class, a CIFAR archive or its batches, a
    /// folder of IDX files, or a .npy or .npz file.
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// The labels of the pictures: a CSV with a row for each file, or the .npy of the labels.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// A weights file of a network, .safetensors or .pth; without it, weights that are installed.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// The network; without it that of the weights.
    #[arg(long)]
    pub network: Option<String>,
    /// Then train layers of the network, too, beginning with the linear layer.
    #[arg(long, value_enum, value_name = "LAYERS")]
    pub deeper: Option<Deeper>,
    /// The number of workers; each trains on a share of the images.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub workers: u32,
    /// The run's id; without it one is made from the names of the data set and the network.
    #[arg(long)]
    pub run: Option<String>,
    /// The folder for everything: data sets, weights, jobs, runs.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// The function that carries out the events.
    #[command(flatten)]
    pub function: Function,
    /// Print the result as JSON, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// The examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  baton train photos --weights squeezenet1_1-b8a52dc0.pth
  baton train photos.zip --network squeezenet1_1   its weights are installed
  baton train photos --deeper block                trains its last layers, too
  baton train scans --labels scans.csv
  baton train cifar-10-python.tar.gz --workers 4 --json
  baton train patterns --network baton_small       needs no weights file

Exit codes: 0 trained, 2 wrong usage, 3 data or weights that cannot be used,
4 could not read or write, 1 a run that failed.";

/// Layers of the network that are trained after the linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Deeper {
    /// The last ones.
    Block,
    /// All of them.
    All,
}

/// A run that has ended with a model.
struct Trained {
    run: RunId,
    job: PathBuf,
    outcome: Outcome,
}

impl Train {
    /// Trains.
    ///
    /// # Errors
    /// Data or weights that cannot be used, a folder that cannot be written, a run that fails.
    pub async fn run(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        std::fs::create_dir_all(&self.root).map_err(Failure::io("create", &self.root))?;
        let root = Root::open(&self.root)?;
        // The weights first: a data set can take minutes.
        let weights = network::find(self, &root)?;
        let dataset = data::prepare(self, &root)?;
        let name = self.run.clone().unwrap_or_else(|| runs::name(&dataset, &weights.network));
        let mut all = Vec::new();
        for (number, head) in
            suggest::head(&root, &dataset, &weights.name).map_err(Failure::of)?.into_iter().enumerate()
        {
            let name = if number == 0 { name.clone() } else { runs::with_ending(&name, &head.cut) };
            all.push(self.carry_out(&root, &name, head).await?);
        }
        if let Some(deeper) = self.deeper {
            let (layers, word) = match deeper {
                Deeper::Block => (suggest::Deeper::Block, "block"),
                Deeper::All => (suggest::Deeper::All, "all"),
            };
            let from = &all[0].run;
            let deeper =
                suggest::deeper(&root, from, &all[0].outcome.ledger.job, layers).map_err(Failure::of)?;
            let name = runs::with_ending(from.as_str(), word);
            all.push(self.carry_out(&root, &name, deeper).await?);
        }
        end::tell(self, &root, &all, begun.elapsed())
    }

    /// Writes the job and carries it out, or shows that this was done before.
    async fn carry_out(&self, root: &Root, name: &str, suggestion: Suggestion) -> Result<Trained, Failure> {
        let Suggestion { job: mut keys, told, .. } = suggestion;
        keys.insert("workers".into(), json!(self.workers));
        let job = Job::from_value(Value::Object(keys.clone())).map_err(Failure::input)?;
        let run = runs::choose(root, (name, self.run.is_some()), &job, self.workers)?;
        let path = self.write_job(&run, &keys)?;
        self.say("job", &path.display().to_string());
        told.iter().for_each(|line| self.say("", line));
        let mut local = Local::new(&self.root);
        (local.json, local.on_one_line) = (self.json, true);
        local.function = self.function.clone();
        // One after the other on all cores, or as many at a time as there are cores.
        local.concurrency = Some(crate::threads(None).min(self.workers as usize));
        self.say("run", run.as_str());
        let start = json!({"start": true, "run": run, "workers": self.workers, "job": job, "force": true});
        let outcome = local.carry_out(Event::from_value(start).map_err(Failure::input)?).await?;
        outcome.check()?;
        Ok(Trained { run, job: path, outcome })
    }

    /// Writes the job for people: a key a line.
    fn write_job(&self, run: &RunId, keys: &Map<String, Value>) -> Result<PathBuf, Failure> {
        let folder = self.root.join("jobs");
        std::fs::create_dir_all(&folder).map_err(Failure::io("create", &folder))?;
        let path = folder.join(format!("{run}.json"));
        let lines: Vec<String> = keys.iter().map(|(key, value)| format!("  {key:?}: {value}")).collect();
        write_whole(&path, format!("{{\n{}\n}}\n", lines.join(",\n")).as_bytes())?;
        Ok(path)
    }

    /// A decision, with the word for its kind.
    fn say(&self, kind: &str, text: &str) {
        if !self.json {
            say!("{kind:8} {text}");
        }
    }
}
