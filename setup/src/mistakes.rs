//! `baton mistakes`: the images that a run's model is surest about and wrong, with the names of their files.

use crate::Failure;
use crate::evaluate::open_same_classes;
use crate::output::write_whole;
use crate::sheet::{Entry, write_sheet};
use crate::table::csv;
use datasets::images::{Dataset, Split};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;
use storage::Root;
use terminal::{say, shown};
use transfer::model::{Evaluation, MODEL, Model};
use transfer::predict::Predictor;
use transfer::score::Example;

/// Lists the surest mistakes of a run's model: the file, its class, and the class that was predicted.
///
/// The few surest are stored with the model. For more of them the images are classified again.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Mistakes {
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// The run; without it the last one with a model.
    #[arg(long)]
    pub run: Option<String>,
    /// The images: `test` had no part in training.
    #[arg(long, default_value = "val", value_parser = ["val", "test"])]
    pub split: String,
    /// At most this many.
    #[arg(long, default_value_t = 20)]
    pub count: usize,
    /// Draw them into this PNG, if there are any.
    #[arg(long, value_name = "PNG")]
    pub sheet: Option<PathBuf>,
    /// Compute threads; without it as many as there are cores.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print CSV, with a heading.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// The examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  baton mistakes                    of the last run
  baton mistakes --root efs --run my-run --count 100 --csv > mistakes.csv
  baton mistakes --root efs --run my-run --sheet mistakes.png

Exit codes: 0 listed, 2 wrong usage, 3 no such run or no model, 4 could not read or write.";

/// A wrong answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mistake {
    /// Its file in the source of the data set, or its place in the split.
    pub(crate) image: String,
    /// Its class.
    #[serde(rename = "true")]
    pub(crate) truth: String,
    pub(crate) predicted: String,
    /// The probability of the predicted class.
    pub(crate) probability: f32,
    /// Its place in the split, from 0.
    pub(crate) place: u64,
}

impl Mistakes {
    /// Finds and prints them.
    ///
    /// # Errors
    /// A run without a model or without a score; a data set that is gone.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let run = crate::chosen_run(&root, self.run.as_deref(), MODEL)?;
        let model = Model::open(&root.run(&run).model()).map_err(Failure::of)?;
        let evaluation = if self.split == "val" { &model.val } else { &model.test };
        let Some(evaluation) = evaluation else {
            let expected = "expected a run that was scored on them; `baton evaluate` scores a model";
            return Err(Failure::input(format!(
                "run {run} has no score on its {} images; {expected}",
                self.split
            )));
        };
        let score = evaluation.score;
        let wrong = score.images - (score.top1 * score.images as f64).round() as u64;
        let stored = evaluation.mistakes.len();
        let found = if stored >= self.count || stored as u64 >= wrong {
            evaluation.mistakes.clone()
        } else {
            self.classify(&root, &run, &model)?
        };
        let mut mistakes = named(&root, &model, &self.split, &found);
        mistakes.truncate(self.count);
        self.tell(&mistakes, wrong, score.images);
        match &self.sheet {
            Some(path) if !mistakes.is_empty() => self.draw(&root, &model, &mistakes, path),
            _ => Ok(()),
        }
    }

    /// Every mistake, by classifying the images again.
    fn classify(&self, root: &Root, run: &protocol::RunId, model: &Model) -> Result<Vec<Example>, Failure> {
        let mut predictor = Predictor::open(root, run, crate::threads(self.threads)).map_err(Failure::of)?;
        let dataset = open_same_classes(root, &model.dataset, &model.classes)?;
        let split = dataset.split(&self.split)?;
        let silent = self.json || self.csv;
        let bar = if silent { ProgressBar::hidden() } else { ProgressBar::new(split.len() as u64) };
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} images").expect("a valid template"));
        let mistakes = predictor.mistakes(split, |images| bar.inc(images as u64));
        bar.finish_and_clear();
        mistakes.map_err(Failure::of)
    }

    fn tell(&self, mistakes: &[Mistake], wrong: u64, images: u64) {
        if self.csv {
            say!("image,true,predicted,probability");
        } else if !self.json {
            let first = if mistakes.is_empty() { "" } else { "; the surest first:" };
            say!("{wrong} of {images} are wrong{first}");
        }
        for mistake in mistakes {
            let Mistake { image, truth, predicted, probability, .. } = mistake;
            if self.json {
                say!("{}", json!(mistake));
            } else if self.csv {
                say!("{},{},{},{probability:.4}", csv(image), csv(truth), csv(predicted));
            } else {
                say!("  {probability:.3}  {} (is {}): {}", shown(predicted), shown(truth), shown(image));
            }
        }
    }

    fn draw(
        &self,
        root: &Root,
        model: &Model,
        mistakes: &[Mistake],
        path: &std::path::Path,
    ) -> Result<(), Failure> {
        let dataset = open_same_classes(root, &model.dataset, &model.classes)?;
        let split = dataset.split(&self.split)?;
        let mut entries = Vec::new();
        for Mistake { truth, predicted, probability, place, .. } in mistakes {
            let (mut images, place) = (Vec::new(), *place as usize);
            split.read_images(place..place + 1, &mut images)?;
            entries.extend(images.pop().map(|image| Entry {
                image,
                predicted: format!("{predicted} {:.0}%", 100.0 * probability),
                truth: Some(truth.clone()),
                right: Some(false),
            }));
        }
        write_whole(path, &write_sheet(&entries)?)
    }
}

/// The stored mistakes of a model, with the names of the images.
pub(crate) fn surest(root: &Root, model: &Model, split: &str, evaluation: &Evaluation) -> Vec<Mistake> {
    named(root, model, split, &evaluation.mistakes)
}

/// Mistakes with the names of their images. Without the data set, or its names, they have their places.
fn named(root: &Root, model: &Model, split: &str, examples: &[Example]) -> Vec<Mistake> {
    let dataset = root.dataset(&model.dataset).ok().and_then(|folder| Dataset::open(folder).ok());
    let images = dataset.as_ref().and_then(|dataset| dataset.split(split).ok());
    let class = |class: u32| model.classes.get(class as usize).cloned().unwrap_or_default();
    let mistake = |example: &Example| Mistake {
        image: name(images, split, example.image as usize),
        truth: class(example.truth),
        predicted: class(example.predicted),
        probability: example.probability,
        place: example.image,
    };
    examples.iter().map(mistake).collect()
}

/// The name of an image of a split: that of its file, or its place.
pub(crate) fn name(images: Option<&Split>, split: &str, place: usize) -> String {
    let name = images.and_then(|images| images.name(place).ok().flatten());
    name.map_or_else(|| format!("{split}[{place}]"), str::to_owned)
}
