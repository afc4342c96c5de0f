//! The table of a tuning as text: the trials, the best first.

use rounds::tuning::{Table, Trial};
use std::fmt::Write as _;

/// The trials, the best first.
pub(super) fn describe(table: &Table, name: &str) -> String {
    let [low, high] = table.rates;
    let mut text = format!("{name}: rates from {low} to {high} by a range test\n");
    let heads = ["rate", "decay", "smoothing", "epochs", "loss", "top-1", "top-5"];
    let [rate, decay, smoothing, epochs, loss, top1, top5] = heads;
    let _ = writeln!(
        text,
        "  trial {rate:>9} {decay:>9} {smoothing:>9} {epochs:>6} {loss:>8} {top1:>7} {top5:>7}  left"
    );
    for index in table.ranking() {
        let trial = &table.trials[index];
        let Trial { learning_rate, weight_decay, label_smoothing, .. } = trial;
        let _ = write!(text, "  {index:>5} {learning_rate:>9} {weight_decay:>9} {label_smoothing:>9}");
        let _ = match trial.scores.last() {
            Some(last) => write!(
                text,
                " {:>6} {:>8.4} {:>7.4} {:>7.4}",
                last.epochs, last.score.values[1], last.score.values[0], last.score.values[2]
            ),
            None => write!(text, " {:>6} {:>8} {:>7} {:>7}", "·", "·", "·", "·"),
        };
        let _ = writeln!(text, "  {}", fate(trial));
    }
    text
}

/// The result of a trial.
fn fate(trial: &Trial) -> String {
    match trial.dropped {
        None => "best".into(),
        Some(rung) if trial.diverged => format!("diverged in rung {rung}"),
        Some(rung) => format!("after rung {rung}"),
    }
}
