//! The tables of a run's page: workers, rounds, and those that a workload shows.

use super::words::{count, lasting, number};
use crate::view::View;
use maud::{Markup, html};
use protocol::items::{Cell, Table, WorkerItem};

/// Workers that are listed: unfinished ones first.
const WORKERS: usize = 100;
/// Rounds that are listed: the last ones.
const ROUNDS: usize = 50;

/// The progress of each worker.
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
                                @for value in score.values.iter().take(measures.len()) {
                                    td.n { (number(*value, 4)) }
                                }
                                td.n { (lasting(view.round_ms(round))) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// A table as a workload shows it.
pub(super) fn shown(table: &Table, id: &str) -> Markup {
    html! {
        @if !table.note.is_empty() { p.note { (table.note) } }
        div.wide role="region" tabindex="0" id=(id) aria-label=(table.title) {
            table.matrix[table.matrix] {
                thead { tr { @for (column, name) in table.columns.iter().enumerate() {
                    th class=(head(table, column)) scope="col" { (name) }
                } } }
                tbody { @for (row, cells) in table.rows.iter().enumerate() {
                    tr { @for column in 0..cells.len() { (cell(table, row, column)) } }
                } }
            }
        }
    }
}

/// The class of a column's head: numbers are aligned right.
fn head(table: &Table, column: usize) -> &'static str {
    match table.rows.first().and_then(|row| row.get(column)) {
        _ if in_matrix(table, column) => "n class",
        Some(Cell::Count(_) | Cell::Number(_)) => "n",
        _ => "",
    }
}

fn cell(table: &Table, row: usize, column: usize) -> Markup {
    match &table.rows[row][column] {
        Cell::Count(count) if in_matrix(table, column) => {
            let others = table.rows[row].iter().skip(1).take(table.rows.len());
            let count_of = |cell: &Cell| if let Cell::Count(count) = cell { *count } else { 0 };
            let total = others.map(count_of).fold(0, u64::saturating_add);
            html! {
                td class=(shade(*count, total, column == row + 1)) {
                    @if *count > 0 { (count) } @else { "·" }
                }
            }
        }
        Cell::Count(count) => html! { td.n { (count) } },
        Cell::Number(value) => html! { td.n { (number(*value, 3)) } },
        Cell::Text(text) if table.matrix => html! { th scope="row" { (text) } },
        Cell::Text(text) => html! { td { (text) } },
    }
}

/// Whether a column is one of the counts of a matrix.
fn in_matrix(table: &Table, column: usize) -> bool {
    table.matrix && (1..=table.rows.len()).contains(&column)
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// The class of a cell: right and wrong predictions each have five shades.
fn shade(count: u64, total: u64, right: bool) -> String {
    if count == 0 {
        return "n none".into();
    }
    let step = (ratio(count, total) * 5.0).ceil().clamp(1.0, 5.0);
    format!("n {}{step}", if right { "right" } else { "wrong" })
}
