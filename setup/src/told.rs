//! A run in the words of its course, for commands and the page.

use protocol::items::RunItem;
use protocol::{At, Best, Course, Score};
use serde_json::{Map, Value};

/// The course in an item. If an item has none, its stages only have numbers.
pub(crate) fn course(run: &RunItem) -> Course {
    run.course().unwrap_or_else(|| Course {
        title: run.title.clone(),
        before: vec!["stage 0".into()],
        shares: Vec::new(),
        round: vec!["stage".into()],
        rounds: run.stage,
        called: "stage".into(),
        unit: "units".into(),
        measures: Vec::new(),
        best: Best::Measured,
        score_every: 1,
        patience: None,
    })
}

/// The current round; at the end the last complete one, and 0 before the first.
pub(crate) fn round(course: &Course, run: &RunItem) -> u32 {
    if course.at(run.stage) == At::End { run.rounds_done } else { course.at(run.stage).round() }
}

/// The progress of the current stage: "2 of 5 workers done".
pub(crate) fn done(run: &RunItem) -> String {
    match run.shares {
        0 => format!("{} of {} workers done", run.workers_done, run.workers),
        shares => format!("{} of {shares} shares done", run.shares_done),
    }
}

/// The numbers of a score by name: "top-1", "0.7500".
pub(crate) fn numbers<'a>(
    course: &'a Course,
    score: &'a Score,
) -> impl Iterator<Item = (&'a str, String)> + 'a {
    let named = course.measures.iter().zip(&score.values);
    named.map(|(measure, value)| (measure.name.as_str(), format!("{value:.4}")))
}

/// Whether a run has ended badly.
pub(crate) fn is_bad(run: &RunItem) -> bool {
    ["failed", "gave up"].iter().any(|bad| run.status.starts_with(bad))
}

/// A score in words: "top-1 0.7500, loss 0.6931".
pub(crate) fn score(course: &Course, score: &Score) -> String {
    numbers(course, score).map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// That training diverges, if it does: the score of a round is compared with that of the best one.
pub(crate) fn divergence(
    course: &Course,
    (round, score): (u32, &Score),
    (best_round, best): (u32, &Score),
) -> Option<String> {
    if !course.diverges(score, best) {
        return None;
    }
    let low = course.measures.iter().zip(score.values.iter().zip(&best.values)).find(|(m, _)| !m.higher)?;
    let (name, called, (now, then)) = (&low.0.name, &course.called, low.1);
    Some(format!(
        "{name} rises from {then:.3} in {called} {best_round} to {now:.3} in {called} {round}: lower the rate"
    ))
}

/// A name as a key of JSON or CSV: "top-1" is `top1`, "training loss" is `training_loss`.
pub(crate) fn key(name: &str) -> String {
    let kept = name.replace(' ', "_");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// A day with hour and minute, UTC: 11-29 17:52.
pub(crate) fn date(ms: u64) -> String {
    let ([_, month, day], [h, m, _]) = protocol::utc(ms);
    format!("{month:02}-{day:02} {h:02}:{m:02}")
}

/// A score as JSON: `{"top1": 0.75, "loss": 0.6931, "images": 5000}`.
pub(crate) fn score_as_json(course: &Course, score: &Score) -> Value {
    let named = course.measures.iter().zip(&score.values);
    let numbers = named.map(|(measure, value)| (key(&measure.name), Value::from(*value)));
    Value::Object(numbers.chain([(key(&course.unit), Value::from(score.of))]).collect::<Map<_, _>>())
}

/// A text that begins a sentence.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use protocol::Measure;

    /// Rounds of these steps, after the features, and scores with three numbers.
    pub(crate) fn course(steps: &[&str], rounds: u32) -> Course {
        let measure = |name: &str, share| Measure { name: name.into(), higher: share, share };
        Course {
            title: "vgg19 on cifar10".into(),
            before: vec!["features".into()],
            shares: Vec::new(),
            round: steps.iter().map(|step| (*step).to_owned()).collect(),
            rounds,
            called: "round".into(),
            unit: "images".into(),
            measures: vec![measure("top-1", true), measure("loss", false), measure("top-5", true)],
            best: Best::Measured,
            score_every: 1,
            patience: None,
        }
    }

    #[test]
    fn scores_are_told_by_the_names_of_the_course() {
        let (course, told) = (course(&["train"], 3), Score { values: vec![0.75, 2.0, 0.99], of: 500 });
        assert_eq!(score(&course, &told), "top-1 0.7500, loss 2.0000, top-5 0.9900");
        let expected = serde_json::json!({"top1": 0.75, "loss": 2.0, "top5": 0.99, "images": 500});
        assert_eq!(score_as_json(&course, &told), expected);
    }

    #[test]
    fn training_that_diverges_is_told_and_images_learnt_by_heart_are_not() {
        let mut course = course(&["train"], 9);
        course.measures.push(Measure { name: "training loss".into(), higher: false, share: false });
        let score = |loss, train| Score { values: vec![0.5, loss, 0.9, train], of: 60 };
        let best = score(20.0, 18.0);
        let told = |score: &Score| divergence(&course, (5, score), (1, &best));
        let words = "loss rises from 20.000 in round 1 to 92.000 in round 5: lower the rate";
        assert_eq!(told(&score(92.0, 90.0)).as_deref(), Some(words));
        assert_eq!(told(&score(92.0, 1.0)), None, "it learns the images by heart");
        assert_eq!(told(&score(21.0, 19.0)), None);
    }

    #[test]
    fn stages_of_an_item_without_a_course_have_but_their_numbers() {
        for stage in [0, 1, 7, 1_000_000] {
            let run = RunItem { stage, ..RunItem::default() };
            assert_eq!(super::course(&run).words(stage), format!("stage {stage}"));
        }
    }

    #[test]
    fn at_the_end_the_round_is_the_last_one_that_is_complete() {
        let run = |stage, rounds_done| RunItem { stage, rounds_done, ..RunItem::default() };
        let sliced = course(&["train", "sums"], 5);
        assert_eq!(
            [(0, 0), (1, 0), (4, 1), (11, 3)].map(|(s, done)| round(&sliced, &run(s, done))),
            [0, 1, 2, 3]
        );
    }
}
