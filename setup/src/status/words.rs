//! Numbers, times and the events of a run, in words.

use crate::told;
use crate::view::View;
use protocol::timeline::{AttemptEnd, Bar, rows};
use protocol::{At, Score};

/// Lines of the log that are shown.
const LINES: usize = 100;

/// A number with this many decimals, and a comma between thousands.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// A length of time: 840 ms, 12.3 s, 4 min 5 s, 40 min, 2 h 10 min.
pub(super) fn lasting(ms: u64) -> String {
    let seconds = ms / 1_000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        600_000..3_600_000 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A time of day, UTC.
pub(super) fn clock(ms: u64) -> String {
    let (_, [h, m, s]) = protocol::utc(ms.min(MOST_MS));
    format!("{h:02}:{m:02}:{s:02}")
}

/// A date and a time, UTC.
pub(super) fn date(ms: u64) -> String {
    let ([year, month, day], _) = protocol::utc(ms.min(MOST_MS));
    format!("{year:04}-{month:02}-{day:02} {}", clock(ms))
}

/// The year 9999: a table may contain any number.
const MOST_MS: u64 = 253_402_300_799_999;

/// `1 worker`, `2 workers`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", self::number(number as f64, 0), if number == 1 { "" } else { "s" })
}

/// The workers that share a row.
pub(super) fn row_name(row: usize, share: u32, workers: u32) -> String {
    let first = (row as u32).saturating_mul(share.max(1));
    let last = first.saturating_add(share.max(1)).min(workers).saturating_sub(1);
    if last <= first { format!("{first}") } else { format!("{first}–{last}") }
}

/// The importance of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Usual,
    Good,
    Bad,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) at_ms: u64,
    pub(super) weight: Weight,
    pub(super) text: String,
}

/// The events of the run, the newest first, and how many older lines are left out.
pub(super) fn log(view: &View) -> (Vec<Line>, usize) {
    let (state, course) = (&view.state, &view.course);
    let rounds = match course.rounds {
        0 => String::new(),
        rounds => format!("{} of ", count(rounds.into(), &course.called)),
    };
    let text = format!("Started: {rounds}{}, {}.", course.title, count(state.workers.into(), "worker"));
    let mut lines = vec![Line { at_ms: state.started_ms, weight: Weight::Usual, text }];
    let mut best = None;
    for (number, stage) in &view.stages {
        let rows = rows(&stage.bars);
        for (row, bars) in rows.iter().enumerate() {
            let work = || match course.at(*number) {
                At::End => course.words(*number),
                _ => format!(
                    "{} in {}",
                    who(row, rows.len(), stage.share, state.workers),
                    course.words(*number)
                ),
            };
            lines.extend(bars.iter().filter_map(|bar| trouble(bar, stage.began_ms, work)));
        }
        if stage.resent > 0 {
            let text = format!("{} sent again in {}.", count(stage.resent, "event"), course.words(*number));
            lines.push(Line { at_ms: stage.ended_ms.unwrap_or(stage.began_ms), weight: Weight::Bad, text });
        }
        lines.extend(stage.ended_ms.map(|at_ms| combined(view, *number, at_ms, &mut best)));
    }
    if state.ended {
        let model = match &state.model {
            Some(model) => {
                let unscored = state.unscored.as_ref().map(|why| format!(" It has no scores: {why}."));
                format!(" The model is {model}.{}", unscored.unwrap_or_default())
            }
            None => " There is no model.".into(),
        };
        let weight = if told::is_bad(state) { Weight::Bad } else { Weight::Good };
        lines.push(Line { at_ms: state.at_ms, weight, text: format!("Ended: {}.{model}", state.status) });
    }
    lines.sort_by_key(|line| line.at_ms);
    let older = lines.len().saturating_sub(LINES);
    lines.drain(..older);
    lines.reverse();
    (lines, older)
}

fn who(row: usize, rows: usize, share: u32, workers: u32) -> String {
    if row + 1 == rows {
        return "the combine".into();
    }
    let plural = if share > 1 { "workers" } else { "worker" };
    format!("{plural} {}", row_name(row, share, workers))
}

/// The unusual part of a bar, if there is one.
fn trouble(bar: &Bar, began_ms: u64, work: impl Fn() -> String) -> Option<Line> {
    let attempts = if bar.attempts > 1 { count(bar.attempts.into(), "attempt") } else { "An attempt".into() };
    let what = |verb: &str| format!("{attempts} of {} {verb}", work());
    let text = match bar.end {
        AttemptEnd::Died => {
            format!("{} after {}: the work is begun again.", what("died"), lasting(bar.length_ms))
        }
        AttemptEnd::Duplicate => what("did what another had done first: its result is not used."),
        _ => return None,
    };
    let at_ms = began_ms.saturating_add(bar.from_ms).saturating_add(bar.length_ms);
    Some(Line { at_ms, weight: Weight::Bad, text })
}

fn combined(view: &View, number: u32, at_ms: u64, best: &mut Option<Score>) -> Line {
    let (stage, course) = (&view.stages[&number], &view.course);
    let text = match stage.score() {
        Some(score) => {
            let round = course.at(number).round();
            let better = best.as_ref().is_none_or(|best| course.beats(&score, best));
            let (praise, numbers) =
                (if better { ", the best so far" } else { "" }, told::score(course, &score));
            *best = if better { Some(score) } else { best.take() };
            let took = lasting(view.round_ms(round));
            format!("{} {round} in {took}: {numbers}{praise}.", told::capital(&course.called))
        }
        None => {
            let took = lasting(at_ms.saturating_sub(stage.began_ms));
            let unscored = course.completes(number).is_some() && !course.measures.is_empty();
            let unscored = if unscored { ", not scored" } else { "" };
            format!("{} took {took}{unscored}.", told::capital(&course.words(number)))
        }
    };
    Line { at_ms, weight: Weight::Usual, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_read_easily() {
        assert_eq!(number(1_234_567.891, 2), "1,234,567.89");
        assert_eq!((number(-12.0, 0), number(f64::NAN, 1)), ("−12".to_owned(), "–".to_owned()));
        assert_eq!(
            [lasting(840), lasting(12_340), lasting(245_000), lasting(2_400_000), lasting(7_800_000)]
                .join(", "),
            "840 ms, 12.3 s, 4 min 5 s, 40 min, 2 h 10 min"
        );
        assert_eq!(
            (clock(1_709_210_096_007), date(0)),
            ("12:34:56".into(), "1970-01-01 00:00:00".to_owned())
        );
        assert_eq!(date(u64::MAX), "9999-12-31 23:59:59");
        assert_eq!((row_name(1, 16, 20), row_name(3, 1, 20)), ("16–19".to_owned(), "3".to_owned()));
    }

    #[test]
    fn what_went_wrong_is_told_and_the_oldest_lines_are_left_out() {
        let mut view = super::super::tests::view(2, 3);
        view.stages.get_mut(&2).unwrap().bars = "0+100x 5+200|0+200=/200+5".into();
        let (lines, older) = log(&view);
        let text: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert!(
            text.contains(&"An attempt of worker 0 in round 2 died after 1.0 s: the work is begun again."),
            "{text:?}"
        );
        assert!(
            text.iter().any(|line| line.starts_with("An attempt of worker 1 in round 2 did what another")),
            "{text:?}"
        );
        assert!(text.last().unwrap().starts_with("Started: 3 rounds of vgg19"), "{text:?}");
        assert_eq!(older, 0);
        let (lines, older) = log(&super::super::tests::view(2, 300));
        assert_eq!((lines.len(), older), (100, 202));
    }

    #[test]
    fn of_a_tuning_the_last_rung_is_the_best() {
        let mut view = super::super::tests::view(2, 3);
        for (round, top1) in [(1, 0.5), (2, 0.9), (3, 0.8)] {
            view.stages.get_mut(&round).unwrap().score = super::super::tests::score(top1, 1.0);
        }
        assert_eq!(view.best().unwrap().0, 2);
        (view.course.best, view.course.called) = (protocol::Best::Last, "rung".into());
        assert_eq!(view.best().unwrap().0, 3);
        let text: Vec<String> = log(&view).0.into_iter().map(|line| line.text).collect();
        assert!(text.last().unwrap().starts_with("Started: 3 rungs of vgg19 on cifar10"), "{text:?}");
        assert!(text[0].starts_with("Rung 3 in 9.0 s: top-1 0.8000, loss 1.0000, top-5 0.99"), "{text:?}");
    }
}
