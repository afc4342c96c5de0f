//! The pages: a list of runs, and one run. Every value is escaped by the template library.

use super::looking::{Looked, Runs};
use super::plot::{Plot, Series};
use super::words::{Weight, clock, count, date, lasting, log, number};
use super::{lanes, samples, tables};
use crate::told;
use crate::view::View;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use protocol::items::{DayItem, RunItem};
use protocol::{At, Measure, RunId, Score};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How a page includes its style and script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By links to this server, and it keeps itself up to date.
    Live,
    /// One file by itself, with the state at one time.
    File {
        /// When.
        at_ms: u64,
    },
}

/// The style.
pub(super) const STYLE: &str = include_str!("style.css");
/// The script.
pub(super) const SCRIPT: &str = include_str!("live.js");

/// Milliseconds between two requests for an active run, and for one that has ended.
const POLL: (u32, u32) = (2_000, 15_000);

/// The list of runs.
pub(super) fn list(looked: &Looked<Runs>, table: &str) -> String {
    let mut runs: Vec<_> = looked.last.iter().flat_map(|seen| &seen.runs).collect();
    runs.sort_by_key(|(name, run)| (std::cmp::Reverse(run.started_ms), *name));
    let running = runs.iter().any(|(_, run)| !run.ended) || looked.failing.is_some() || runs.is_empty();
    let body = html! {
        (notice(looked.failing.as_ref(), looked.at_ms))
        (section("runs", "Runs", html! {
            @if runs.is_empty() {
                @if looked.failing.is_none() {
                    p.empty { "Table " code { (table) } " has no run yet. Start one: "
                        code { "baton start --run my-run" } ", or look at the local cloud on a folder: "
                        code { "baton status --root efs" } "." }
                }
            } @else { (run_table(&runs)) }
        }))
        @if let Some(day) = looked.last.as_ref().and_then(|seen| seen.day.as_ref()) {
            (section("ceiling", "The operator's ceiling", ceiling(day)))
        }
    };
    document("Runs", None, Form::Live, if running { POLL.0 } else { POLL.1 }, &body)
}

/// The ceiling of a day, and how much of it all runs have.
fn ceiling(day: &DayItem) -> Markup {
    html! {
        p.subtitle { (day.day) " UTC: what runs have spent, and what those that go on may yet" }
        dl.figures {
            (limit("dollars of all runs", day.dollars, 4, day.dollars_limit, 2))
            (limit("active runs", day.active.into(), 0, day.active_limit.into(), 0))
            @if day.run_dollars_limit > 0.0 {
                @let most = number(day.run_dollars_limit, 2);
                (figure("dollars of a run", html! { (most) }, &html! { "at most" }))
            }
            @if day.workers_limit > 0 {
                (figure("workers of a run", html! { (day.workers_limit) }, &html! { "at most" }))
            }
        }
    }
}

fn run_table(runs: &[(&String, &RunItem)]) -> Markup {
    html! {
        div.wide role="region" tabindex="0" id="run-table" aria-label="Runs" {
            table {
                thead { tr {
                    th scope="col" { "run" } th scope="col" { "job" } th scope="col" { "state" }
                    th.n scope="col" { "stage" } th.n scope="col" { "best" } th.n scope="col" { "dollars" }
                    th.n scope="col" { "started, UTC" }
                } }
                tbody { @for (name, run) in runs { (run_row(name, run)) } }
            }
        }
    }
}

fn run_row(name: &str, run: &RunItem) -> Markup {
    let course = told::course(run);
    let (at, measure) = (course.at(run.stage), course.measures.first());
    html! {
        tr {
            th scope="row" {
                // A table may contain a name that is not a run's id; it has no page.
                @if RunId::new(name).is_ok() { a href=(format!("run/{name}")) { (name) } } @else { (name) }
            }
            td { (course.title) }
            td { (chip(run)) }
            td.n {
                @if matches!(at, At::Before(_)) || course.rounds == 0 { (course.words(run.stage)) } @else {
                    (course.called) " " (told::round(&course, run)) " of " (course.rounds)
                }
            }
            td.n {
                @match (run.best_value, measure) {
                    (Some(value), Some(measure)) => { (measure.name) " " (number(value, 4)) },
                    _ => "–",
                }
            }
            td.n { (number(run.dollars, 4)) }
            td.n { (date(run.started_ms)) }
        }
    }
}

/// One run; `until` is the last stage of the time line.
pub(super) fn run(name: &str, looked: &Looked<View>, until: Option<u32>, form: Form) -> String {
    let Some(view) = &looked.last else {
        let body = html! {
            (notice(looked.failing.as_ref(), looked.at_ms))
            (section("unknown", name, html! {
                p.empty { @if looked.failing.is_some() { "Nothing was read yet." }
                    @else { "There is no such run yet." } }
            }))
        };
        return document(name, Some(name), form, POLL.0, &body);
    };
    let body = html! {
        (notice(looked.failing.as_ref(), looked.at_ms))
        (section("state", name, state(view)))
        @if !view.course.measures.is_empty() { (section("curves", "Learning", curves(view))) }
        (section("time", "Time line", lanes::draw(view, until)))
        @if !(view.state.ended && view.reports.is_empty()) {
            (section("workers", "Workers", tables::workers(view)))
        }
        @for (place, table) in view.shown.iter().flat_map(|shown| &shown.tables).enumerate() {
            @let rows = tables::shown(table, &format!("table-{place}-rows"));
            (section(&format!("table-{place}"), &table.title, rows))
        }
        @for (place, samples) in view.shown.iter().flat_map(|shown| &shown.samples).enumerate() {
            (section(&format!("samples-{place}"), &samples.title, samples::groups(view, place, samples)))
        }
        (section("log", "What happened", events(view)))
        @if let Some(job) = &view.job { (section("again", "Start it again", again(view, &job.job, form))) }
    };
    let settled = view.state.ended && looked.failing.is_none();
    document(name, Some(name), form, if settled { POLL.1 } else { POLL.0 }, &body)
}

/// The problem with the table, if there is one.
fn notice(failing: Option<&(u64, String)>, at_ms: u64) -> Markup {
    html! {
        @if let Some((since_ms, why)) = failing {
            section.notice id="notice" role="alert" data-v=(hash(&(since_ms, why, at_ms))) {
                strong { "The table has not answered since " (clock(*since_ms)) " UTC." }
                @if at_ms > 0 { " What you see was read at " (clock(at_ms)) " UTC. The page keeps asking." }
                p.why { (why) }
            }
        }
    }
}

/// A part of the page that the script replaces when it has changed.
fn section(id: &str, title: &str, content: Markup) -> Markup {
    html! {
        section id=(id) data-v=(hash(&content.0)) aria-labelledby=(format!("{id}-title")) {
            h2 id=(format!("{id}-title")) { (title) }
            (content)
        }
    }
}

fn hash(value: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn chip(run: &RunItem) -> Markup {
    let class = match () {
        () if !run.ended => "chip on",
        () if told::is_bad(run) => "chip bad",
        () => "chip",
    };
    html! { span class=(class) { (run.status) } }
}

/// The state of the run, in figures.
fn state(view: &View) -> Markup {
    let run = &view.state;
    let lasted = run.at_ms.saturating_sub(run.started_ms);
    let hours = lasted as f64 / 3_600_000.0;
    let course = &view.course;
    let (name, stage) = match course.at(run.stage) {
        At::Round { .. } | At::End if course.rounds > 0 => {
            (course.called.as_str(), format!("{} of {}", view.round(), course.rounds))
        }
        _ => ("stage", course.words(run.stage)),
    };
    html! {
        p.subtitle {
            (chip(run)) " " (course.title) " · " (count(run.workers.into(), "worker"))
            " · started " (date(run.started_ms)) " UTC · "
            (if run.ended { "lasted" } else { "for" }) " " (lasting(lasted))
        }
        dl.figures {
            (figure(name, html! { (stage) }, &html! { (at_work(view)) }))
            @if let Some(measure) = course.measures.first() {
                @let best = run.best_value.map_or("–".into(), |value| number(value, 4));
                (figure(&format!("best {}", measure.name), html! { (best) }, &html! {
                    @if let Some(stage) = run.best_stage {
                        "in " (course.called) " " (course.at(stage).round())
                    }
                }))
            }
            @if !run.ended {
                @let speed = number(view.units_per_second(), 1);
                (figure(&format!("{} a second", course.unit), html! { (speed) }, &html! {
                    @if run.shares == 0 { (number(100.0 * view.share(), 0)) " % of this stage" }
                }))
                (figure("time left", html! { (time_left(view)) }, &html! {
                    @if course.rounds > 0 { "by the last " (course.called) "s" }
                }))
            }
            (figure("GB-seconds", html! { (number(run.gb_seconds, 0)) }, &html! {
                (count(run.begun, "invocation"))
            }))
            (limit("dollars", run.dollars, 4, run.dollars_limit, 2))
            (limit("events sent", run.sent as f64, 0, run.sent_limit as f64, 0))
            (limit("hours", hours, 2, run.hours_limit, 0))
        }
    }
}

/// The workers of the current stage.
fn at_work(view: &View) -> String {
    let (course, run) = (&view.course, &view.state);
    let done = match run.shares {
        0 => format!("{} of {} done", run.workers_done, run.workers),
        shares => format!("{} of {shares} shares done", run.shares_done),
    };
    match course.at(run.stage) {
        At::End if run.ended => "done".into(),
        At::End => format!("at {}", course.words(run.stage)),
        At::Round { step: step @ 1.., .. } => {
            format!("its {}: {done}", course.round.get(step as usize).map_or("", String::as_str))
        }
        _ => done,
    }
}

fn figure(name: &str, value: Markup, note: &Markup) -> Markup {
    html! { div { dt { (name) } dd { span.value { (value) } span.of { (note) } } } }
}

/// A figure against a limit of the job.
fn limit(name: &str, value: f64, decimals: usize, limit: f64, limit_decimals: usize) -> Markup {
    let share = if limit > 0.0 { value / limit } else { 0.0 };
    html! {
        div {
            dt { (name) }
            dd {
                span.value { (number(value, decimals)) }
                @if limit > 0.0 {
                    span.of { "limit " (number(limit, limit_decimals)) }
                    (tables::meter(share, &format!("of the limit of {name}")))
                }
            }
        }
    }
}

/// How long the remaining rounds will take; before the first, how long the current stage will.
fn time_left(view: &View) -> String {
    let course = &view.course;
    match (course.at(view.state.stage), view.seconds_left(), view.rounds_left_ms()) {
        (At::Before(_), Some(seconds), _) if view.state.shares == 0 => {
            let left = lasting((seconds * 1_000.0) as u64);
            if course.rounds > 0 { format!("{left} + {}s", course.called) } else { left }
        }
        (_, _, Some(ms)) => format!("≈ {}", lasting(ms)),
        _ => "–".into(),
    }
}

/// The measures by round: a plot of those that are shares, and one of the others.
fn curves(view: &View) -> Markup {
    let course = &view.course;
    let scores: Vec<(u32, Score)> = view.scores().collect();
    let Some((_, last)) = scores.last() else {
        return html! { p.empty { "No " (course.called) " has been scored yet." } };
    };
    let on = format!("{} {}", number(last.of as f64, 0), course.unit);
    let series = |(place, measure): (usize, &Measure)| Series {
        name: measure.name.clone(),
        points: scores
            .iter()
            .filter_map(|(x, score)| Some((f64::from(*x), *score.values.get(place)?)))
            .collect(),
    };
    let measures = course.measures.iter().enumerate();
    let (shares, losses): (Vec<_>, Vec<_>) = measures.partition(|(_, measure)| measure.share);
    let [shares, losses] = [shares, losses].map(|of| of.into_iter().map(series).collect::<Vec<_>>());
    let names: Vec<&str> = losses.iter().map(|series| series.name.as_str()).collect();
    let marked = view.best().map(|(round, _)| f64::from(round));
    let plot = |title, series| Plot { title, x_name: course.called.clone(), series, marked }.draw();
    html! {
        div.plots {
            @if !losses.is_empty() { (plot(told::capital(&names.join(" and ")), losses)) }
            @if !shares.is_empty() { (plot(format!("Share of {on}"), shares)) }
        }
        (tables::rounds(view))
    }
}

fn events(view: &View) -> Markup {
    let (lines, older) = log(view);
    html! {
        ol.log reversed tabindex="0" id="events" aria-label="Events, the newest first" {
            @for line in &lines {
                @let weight = match line.weight {
                    Weight::Usual => "usual",
                    Weight::Good => "good",
                    Weight::Bad => "bad",
                };
                li class=(weight) {
                    span.at { (clock(line.at_ms)) }
                    span.what { (line.text) }
                }
            }
        }
        @if older > 0 { p.note { "and " (count(older as u64, "older line")) } }
    }
}

/// The event that starts the same job again.
fn again(view: &View, job: &str, form: Form) -> Markup {
    let job: serde_json::Value = serde_json::from_str(job).unwrap_or_default();
    let event = serde_json::json!({"start": true, "workers": view.state.workers, "job": job});
    html! {
        p.note { "As a test event in Lambda's console, or the job alone with "
            code { "baton start --job" } "." }
        @if form == Form::Live { button type="button" id="copy" data-copy="event" { "Copy" } }
        pre id="event" tabindex="0" { (serde_json::to_string_pretty(&event).unwrap_or_default()) }
    }
}

fn document(title: &str, run: Option<&str>, form: Form, poll: u32, body: &Markup) -> String {
    let nonce = hash(&(STYLE, &body.0));
    // Links are relative, because the address begins with the token. A run's page is one level below the
    // list.
    let home = if run.is_some() { "../" } else { "./" };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Baton" }
                @match form {
                    Form::Live => {
                        link rel="stylesheet" href=(format!("{home}style.css"));
                        script src=(format!("{home}live.js")) defer {}
                    }
                    Form::File { .. } => {
                        @let policy = format!("default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; \
                            base-uri 'none'; form-action 'none'");
                        meta http-equiv="Content-Security-Policy" content=(policy);
                        style nonce=(nonce) { (PreEscaped(STYLE)) }
                    }
                }
                link rel="icon" href="data:,";
            }
            body data-poll=(poll) {
                header {
                    nav aria-label="Where you are" {
                        @match form {
                            Form::Live => a.home href=(home) { "Baton" },
                            Form::File { .. } => span.home { "Baton" },
                        }
                        span.sep { "/" }
                        h1 { (run.unwrap_or("runs")) }
                    }
                    @match form {
                        Form::Live => p.live id="live" role="status" { "reading" },
                        Form::File { at_ms } => p.live { "as of " (date(at_ms)) " UTC" },
                    }
                }
                main { (body) }
            }
        }
    }
    .into_string()
}
