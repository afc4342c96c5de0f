//! The end of `baton train`: the score, the model's place, the surest mistakes, and the next commands.

use super::{Train, Trained};
use crate::Failure;
use crate::mistakes::{Mistake, surest};
use serde_json::json;
use std::time::Duration;
use storage::Root;
use terminal::{say, shown};
use transfer::model::{Evaluation, Model};

/// Mistakes that are shown.
const SHOWN: usize = 5;

/// Prints the result of the last run, or of the one before if that is better.
///
/// # Errors
/// A model that cannot be read.
pub(super) fn tell(train: &Train, root: &Root, all: &[Trained], took: Duration) -> Result<(), Failure> {
    let mut models = Vec::new();
    for trained in all {
        let model = Model::open(&root.run(&trained.run).model()).map_err(Failure::of)?;
        let Some(val) = model.val.clone() else {
            let why = model.unscored.unwrap_or_default();
            return Err(Failure::input(format!("run {} has no score: {why}", trained.run)));
        };
        models.push((trained, model, val));
    }
    let better =
        models.iter().rev().reduce(|best, next| if next.2.score.beats(&best.2.score) { next } else { best });
    let Some((trained, model, val)) = better else { return Ok(()) };
    let mistakes = surest(root, model, "val", val);
    if train.json {
        let of = |(trained, _, val): &(&Trained, Model, Evaluation)| {
            let (run, job, model) = (&trained.run, &trained.job, &trained.outcome.model);
            json!({"run": run, "job": job, "model": model, "score": val.score})
        };
        let runs: Vec<_> = models.iter().map(of).collect();
        let test = model.test.as_ref().map(|test| test.score);
        let value = json!({"run": trained.run, "job": trained.job, "model": trained.outcome.model,
            "score": val.score, "test": test, "mistakes": mistakes, "runs": runs,
            "seconds": took.as_secs_f64()});
        say!("{value}");
        return Ok(());
    }
    for (trained, _, val) in &models {
        train.say("score", &format!("{}: {}", right(val), trained.run));
    }
    if let Some(test) = &model.test {
        train.say("test", &format!("{} of the images that had no part in training", right(test)));
    } else if models.len() > 1 {
        train.say("", "the validation images chose among these, so the score is a little high");
    }
    let place = trained.outcome.model.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    train.say("model", &place);
    train.say("", &format!("made in {:.1} s", took.as_secs_f64()));
    tell_mistakes(&mistakes);
    next(train, trained);
    Ok(())
}

/// The share of right answers: "0.900, 54 of 60 right".
fn right(evaluation: &Evaluation) -> String {
    let score = evaluation.score;
    let right = (score.top1 * score.images as f64).round();
    format!("{:.3}, {right} of {} right", score.top1, score.images)
}

fn tell_mistakes(mistakes: &[Mistake]) {
    if mistakes.is_empty() {
        return;
    }
    say!("");
    say!("The surest mistakes:");
    for mistake in mistakes.iter().take(SHOWN) {
        let Mistake { image, truth, predicted, probability, .. } = mistake;
        say!("  {probability:.2} {} (is {}): {}", shown(predicted), shown(truth), shown(image));
    }
}

/// The next commands. A folder that is meant without its name is not named.
fn next(train: &Train, trained: &Trained) {
    let usual = train.root == crate::usual_root();
    let root = if usual { String::new() } else { format!(" --root {}", train.root.display()) };
    let on = format!("{root} --run {}", trained.run);
    say!("");
    say!("Next:");
    say!("  baton predict{on} IMAGE…");
    say!("  baton mistakes{on}");
    say!("  baton export{on} --out my-model");
    if train.deeper.is_none() {
        say!("  the same command with --deeper block, which trains its last layers, too");
    }
}
