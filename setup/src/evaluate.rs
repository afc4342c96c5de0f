//! `baton evaluate`: a run's model on a data set: loss, top-1, top-5 and the confusion matrix.

use crate::Failure;
use datasets::images::Dataset;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;
use storage::Root;
use terminal::{say, shown};
use transfer::model::{Evaluation, MODEL};
use transfer::predict::Predictor;
use transfer::shown::{MOST_CLASSES, worst};

/// Scores a run's model on a split of a data set, with the confusion matrix.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton evaluate --root efs --run my-run   on the validation split of its own data set\n  \
    baton evaluate --root efs --run my-run --dataset other --split test --json")]
pub struct Evaluate {
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// The run; without it the last one with a model.
    #[arg(long)]
    pub run: Option<String>,
    /// The data set; without it the one that the run was trained on.
    #[arg(long)]
    pub dataset: Option<String>,
    /// The split.
    #[arg(long, default_value = "val", value_parser = ["train", "val", "test"])]
    pub split: String,
    /// Compute threads; without it as many as there are cores.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Evaluate {
    /// Scores and prints.
    ///
    /// # Errors
    /// A run without a model, a data set that is missing or has other classes.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let run = crate::chosen_run(&root, self.run.as_deref(), MODEL)?;
        let mut predictor =
            Predictor::open(&root, &run, crate::threads(self.threads)).map_err(Failure::of)?;
        let name = self.dataset.clone().unwrap_or_else(|| predictor.model().dataset.clone());
        let dataset = open_same_classes(&root, &name, &predictor.model().classes)?;
        let split = dataset.split(&self.split)?;
        let bar = if self.json { ProgressBar::hidden() } else { ProgressBar::new(split.len() as u64) };
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} images").expect("a valid template"));
        let scored = Evaluation::from(
            predictor.evaluate(split, |images| bar.inc(images as u64)).map_err(Failure::of)?,
        );
        bar.finish_and_clear();
        if self.json {
            let classes = dataset.classes();
            say!(
                "{}",
                json!({"run": run, "dataset": name, "split": self.split, "score": scored.score,
                    "classes": classes, "confusion": scored.confusion})
            );
        } else {
            say!("run {run} on {name}/{}: {} images", self.split, scored.score.images);
            describe(&scored, dataset.classes()).lines().for_each(|line| say!("{line}"));
        }
        Ok(())
    }
}

/// Opens a data set whose labels mean the same as the model's.
pub(crate) fn open_same_classes(root: &Root, name: &str, classes: &[String]) -> Result<Dataset, Failure> {
    let dataset = Dataset::open(root.dataset(name)?)?;
    if dataset.classes() == classes {
        return Ok(dataset);
    }
    let list = |classes: &[String]| classes.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    Err(Failure::input(format!(
        "data set {name:?} has {} classes ({}…), the model {} ({}…): \
         they must be the same, in the same order",
        dataset.classes().len(),
        list(dataset.classes()),
        classes.len(),
        list(classes)
    )))
}

fn describe(scored: &Evaluation, classes: &[String]) -> String {
    let score = scored.score;
    let mut text = format!("  loss {:.4}  top-1 {:.4}  top-5 {:.4}\n", score.loss, score.top1, score.top5);
    if classes.len() <= MOST_CLASSES {
        matrix(&mut text, scored, classes)
    } else {
        mistakes(&mut text, scored, classes)
    }
    text
}

/// A row for each true class, a column for each predicted one.
fn matrix(text: &mut String, scored: &Evaluation, classes: &[String]) {
    let longest = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).clamp(4, 24);
    let _ = write!(text, "\n  {:longest$} ", "true");
    for class in classes {
        let _ = write!(text, " {:>5}", shorten(class, 5));
    }
    let _ = writeln!(text, "  right");
    for (class, row) in classes.iter().zip(scored.confusion.matrix().unwrap_or_default()) {
        let _ = write!(text, "  {:longest$} ", shorten(class, longest));
        for &count in row {
            let _ = if count == 0 { write!(text, " {:>5}", "·") } else { write!(text, " {count:>5}") };
        }
        let total: u64 = row.iter().sum();
        let right = classes.iter().position(|c| c == class).map_or(0, |index| row[index]);
        let share = if total == 0 { 0.0 } else { right as f64 / total as f64 };
        let _ = writeln!(text, "  {share:.3}");
    }
}

fn mistakes(text: &mut String, scored: &Evaluation, classes: &[String]) {
    let _ = writeln!(text, "\n  most often mistaken (--json has the whole matrix):");
    for (count, truth, predicted) in worst(&scored.confusion) {
        let (truth, predicted) = (shown(&classes[truth]), shown(&classes[predicted]));
        let _ = writeln!(text, "  {count:5}  {truth} taken for {predicted}");
    }
}

fn shorten(name: &str, width: usize) -> String {
    shown(name).chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use transfer::confusion::Confusion;
    use transfer::score::Score;

    #[test]
    fn the_matrix_has_a_row_for_each_class_and_its_share() {
        let score = Score { loss: 0.5, top1: 0.75, top5: 1.0, images: 4 };
        let scored = Evaluation {
            score,
            confusion: Confusion::Matrix(vec![vec![2, 0], vec![1, 1]]),
            examples: vec![],
            mistakes: vec![],
        };
        let text = describe(&scored, &["cat".into(), "dog".into()]);
        assert!(text.contains("loss 0.5000  top-1 0.7500"), "{text}");
        assert!(text.contains("cat ") && text.contains("    2     ·  1.000"), "{text}");
        assert!(text.contains("    1     1  0.500"), "{text}");
    }

    #[test]
    fn of_many_classes_the_worst_mistakes_are_listed_first() {
        let mut confusion = vec![vec![0; 30]; 30];
        confusion[3][4] = 7;
        confusion[9][1] = 8;
        let confusion = Confusion::Matrix(confusion);
        let classes: Vec<String> = (0..30).map(|i| format!("class{i}")).collect();
        let score = Score { loss: 0.5, top1: 0.0, top5: 1.0, images: 15 };
        let text = describe(&Evaluation { score, confusion, examples: vec![], mistakes: vec![] }, &classes);
        let (first, second) = (text.find("class9 taken for class1"), text.find("class3 taken for class4"));
        assert!(first.is_some() && second.is_some() && first < second, "{text}");
    }
}
