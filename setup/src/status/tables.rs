//! The tables of a run's page: workers, rounds, what is taken for what.

use super::words::{count, lasting, number};
use crate::view::View;
use maud::{Markup, html};
use protocol::items::{MOST_CLASSES, ModelItem, WorkerItem};

/// Workers that are listed: first those that are not done.
const WORKERS: usize = 100;
/// Rounds that are listed: the last ones.
const ROUNDS: usize = 50;

/// How far each worker is.
pub(super) fn workers(view: &View) -> Markup {
    let done = |report: &WorkerItem| report.stage == view.state.stage && report.done >= report.of;
    let mut reports: Vec<_> = view.reports.iter().collect();
    reports.sort_by_key(|(worker, report)| (view.reports.len() > WORKERS && done(report), **worker));
    let hidden = reports.len().saturating_sub(WORKERS);
    html! {
        @if reports.is_empty() {
            p.empty { "No worker has reported to the table." }
        } @else {
            div.wide.tall role="region" tabindex="0" id="workers-table" aria-label="Workers" {
                table {
                    thead { tr {
                        th scope="col" { "worker" } th scope="col" { "at" } th.n scope="col" { "leg" }
                        th scope="col" { "done" } th.n scope="col" { (view.course.unit) }
                        th.n scope="col" { (view.course.unit) "/s" } th.n scope="col" { "reported" }
                    } }
                    tbody { @for (worker, report) in reports.into_iter().take(WORKERS) {
                        (worker_row(view, *worker, report))
                    } }
                }
            }
            @if hidden > 0 { p.note { "and " (count(hidden as u64, "more worker")) ", most of them done" } }
        }
    }
}

fn worker_row(view: &View, worker: u32, report: &WorkerItem) -> Markup {
    let share = if report.of == 0 { 0.0 } else { report.done as f64 / report.of as f64 };
    let after = lasting(report.at_ms.saturating_sub(view.state.started_ms));
    html! {
        tr {
            th.n scope="row" { (worker) }
            td { (view.course.words(report.stage)) }
            td.n { (report.leg) }
            td { (meter(share, &format!("of its {}", view.course.unit))) }
            td.n { (number(report.done as f64, 0)) " of " (number(report.of as f64, 0)) }
            td.n { (number(report.units_per_second, 1)) }
            td.n { "after " (after) }
        }
    }
}

/// A bar from 0 to 1.
pub(super) fn meter(share: f64, of_what: &str) -> Markup {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let class = if share >= 0.9 { "meter full" } else { "meter" };
    html! {
        svg class=(class) viewBox="0 0 100 6" preserveAspectRatio="none" role="img"
            aria-label=(format!("{:.0} % {of_what}", 100.0 * share)) {
            rect.track x="0" y="0" width="100" height="6" rx="1" {}
            rect.fill x="0" y="0" width=(format!("{:.1}", 100.0 * share)) height="6" rx="1" {}
        }
    }
}

/// The score of each round, in numbers.
pub(super) fn rounds(view: &View) -> Markup {
    let scores: Vec<_> = view.scores().collect();
    let hidden = scores.len().saturating_sub(ROUNDS);
    let best = view.best().map(|(round, _)| round);
    let (called, measures) = (&view.course.called, &view.course.measures);
    html! {
        @if !scores.is_empty() {
            details id="rounds" {
                summary { "The numbers of " (count(scores.len() as u64, called)) }
                @if hidden > 0 { p.note { "without the first " (hidden) } }
                div.wide {
                    table {
                        thead { tr {
                            th.n scope="col" { (called) }
                            @for measure in measures { th.n scope="col" { (measure.name) } }
                            th.n scope="col" { "took" }
                        } }
                        tbody { @for (round, score) in scores.into_iter().skip(hidden).rev() {
                            tr.best[best == Some(round)] {
                                th.n scope="row" { (round) }
                                @for value in score.values.iter().take(measures.len()) { td.n { (number(*value, 4)) } }
                                td.n { (lasting(view.round_ms(round))) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// What the model takes for what: the whole matrix of few classes, of many the worst mistakes.
pub(super) fn confusion(item: &ModelItem) -> Markup {
    let names: Vec<String> = serde_json::from_str(&item.names).unwrap_or_default();
    let table: Vec<Vec<u64>> = serde_json::from_str(&item.confusion).unwrap_or_default();
    if item.classes > MOST_CLASSES as u64 {
        return mistakes(item.classes, &names, &table);
    }
    html! {
        div.wide role="region" tabindex="0" id="confusion-table" aria-label="Confusion matrix" {
            table.confusion {
                thead { tr {
                    th scope="col" { "true" span.axis { " ╲ taken for" } }
                    @for name in &names { th.n.class scope="col" { (name) } }
                    th.n scope="col" { "right" }
                } }
                tbody { @for (truth, row) in table.iter().enumerate().take(MOST_CLASSES) {
                    @let total = row.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
                    tr {
                        th scope="row" { (names.get(truth).map_or("", String::as_str)) }
                        @for (predicted, images) in row.iter().enumerate().take(MOST_CLASSES) {
                            td class=(shade(*images, total, truth == predicted)) {
                                @if *images > 0 { (images) } @else { "·" }
                            }
                        }
                        td.n { (number(ratio(row.get(truth).copied().unwrap_or(0), total), 3)) }
                    }
                } }
            }
        }
    }
}

fn mistakes(classes: u64, names: &[String], mistakes: &[Vec<u64>]) -> Markup {
    let name = |index: u64| names.get(index as usize).map_or("?", String::as_str);
    html! {
        p.note { "Of " (classes) " classes, what is most often mistaken." }
        div.wide role="region" tabindex="0" id="confusion-table" aria-label="Worst mistakes" {
            table {
                thead { tr {
                    th.n scope="col" { "images" } th scope="col" { "of class" } th scope="col" { "taken for" }
                } }
                tbody { @for mistake in mistakes {
                    @if let [truth, predicted, images] = mistake[..] {
                        tr { td.n { (images) } td { (name(truth)) } td { (name(predicted)) } }
                    }
                } }
            }
        }
    }
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// The class of a cell: what is right and what is wrong each in five steps.
fn shade(images: u64, total: u64, right: bool) -> String {
    if images == 0 {
        return "n none".into();
    }
    let step = (ratio(images, total) * 5.0).ceil().clamp(1.0, 5.0);
    format!("n {}{step}", if right { "right" } else { "wrong" })
}
