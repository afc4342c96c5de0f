//! `baton demo`: the whole job on data and weights that need no download, with two baselines.

use crate::Failure;
use crate::assets::install_baton_small;
use crate::local::{Local, Outcome};
use data_prep::generate::{ClassSet, Generated};
use data_prep::{Options, Source, prepare};
use protocol::{Event, Job};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;
use storage::Root;
use terminal::say;
use transfer::baseline;

const IMAGES_PER_CLASS: u32 = 30;
const VAL_PER_CLASS: u32 = 50;
const WORKERS: u32 = 3;

/// Trains a classifier for ten kinds of patterns, with no download and no account.
///
/// It generates the images, takes the small network that this repository pretrained on other patterns, and
/// trains in the local cloud: the Lambda binary, its events, its locks and its self-invocation,
/// on this machine.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  baton demo\n  baton demo --root my-folder --json")]
pub struct Demo {
    /// The folder to work in; the same command again uses what is there.
    #[arg(long, default_value = "baton-demo")]
    pub root: PathBuf,
    /// The run's id; another one trains anew.
    #[arg(long, default_value = "demo")]
    pub run: String,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Demo {
    /// Runs it.
    ///
    /// # Errors
    /// A folder that cannot be written, or a run that fails.
    pub async fn run(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        std::fs::create_dir_all(&self.root).map_err(Failure::io("create", &self.root))?;
        self.say(&format!(
            "1. data: {IMAGES_PER_CLASS} + {VAL_PER_CLASS} pictures each of ten kinds of patterns"
        ));
        generate(&self.root.join("datasets/patterns"))?;
        self.say("2. network: baton_small, pretrained on 28 other kinds of patterns");
        install_baton_small(&self.root)?;
        self.say(&format!("3. training: {WORKERS} workers in the local cloud, with the Lambda binary"));
        let outcome = self.train().await?;
        self.say("4. what it is worth: the same head on other features");
        let root = Root::open(&self.root)?;
        let trained = transfer::Job::of(&job()?).map_err(Failure::input)?;
        let raw = baseline::raw_pixels(&root, &trained).map_err(Failure::of)?.score.top1;
        let untrained = baseline::untrained_network(&root, &trained, crate::threads(None))
            .map_err(Failure::of)?
            .score
            .top1;
        self.tell(&outcome, raw, untrained, begun.elapsed().as_secs_f64())
    }

    async fn train(&self) -> Result<Outcome, Failure> {
        let mut local = Local::new(&self.root);
        local.json = self.json;
        let start = json!({"start": true, "run": self.run, "workers": WORKERS, "job": job()?, "force": true});
        local.carry_out(Event::from_value(start).map_err(Failure::input)?).await
    }

    fn say(&self, text: &str) {
        if !self.json {
            say!("{text}");
        }
    }

    fn tell(&self, outcome: &Outcome, raw: f64, untrained: f64, seconds: f64) -> Result<(), Failure> {
        let best = outcome.ledger.best.as_ref().and_then(|best| best.score.as_ref());
        let (Some(top1), Some(model)) = (best.and_then(|score| score.values.first()), &outcome.model) else {
            return Err(Failure::input(format!("run {} gave no model", outcome.run)));
        };
        if self.json {
            let value = json!({
                "run": outcome.run, "top1": top1, "raw_pixels": raw, "untrained": untrained,
                "model": model, "seconds": seconds,
            });
            say!("{value}");
            return Ok(());
        }
        let root = self.root.display();
        say!("   raw pixels           top-1 {raw:.3}");
        say!("   untrained network    top-1 {untrained:.3}");
        say!("   pretrained network   top-1 {top1:.3}");
        say!(
            "done in {seconds:.0} s, {} invocations; the model: {}",
            outcome.counts.invocations,
            model.display()
        );
        say!("look at its answers:  target/release/baton predict --root {root} --run {} \\", outcome.run);
        say!("                          --dataset patterns --split val --count 24 --sheet answers.png");
        Ok(())
    }
}

/// The demo's job.
fn job() -> Result<Job, Failure> {
    let job = json!({
        "dataset": "patterns", "network": "baton_small", "image_size": 48, "unit_images": 32, "rounds": 20,
        "batch": 16, "learning_rate": 0.02, "weight_decay": 0.001, "seed": 1,
    });
    Job::from_value(job).map_err(Failure::input)
}

fn generate(out: &Path) -> Result<(), Failure> {
    let what = Generated {
        classes: ClassSet::Novel,
        per_class: IMAGES_PER_CLASS,
        val_per_class: VAL_PER_CLASS,
        size: 48,
        seed: 1,
    };
    prepare(&Source::Generate(what), &Options::new(out), &|_| ())?;
    Ok(())
}
