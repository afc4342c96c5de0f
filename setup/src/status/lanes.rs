//! The time line: a row a worker, a bar a leg, as SVG; and above it the whole run if only some stages are
//! shown.

use super::plot::{tenth, ticks};
use super::words::{count, lasting, row_name};
use crate::view::View;
use maud::{Markup, html};
use protocol::At;
use protocol::items::StageItem;
use protocol::timeline::{AttemptEnd, Bar, Row, rows};
use std::ops::RangeInclusive;

/// The most bars that are drawn: of a longer run the last stages that fit, or the requested ones.
const BARS: usize = 600;
/// The most bars with a title each; if there are more, only unusual ones have a title.
const TITLES: usize = 250;
/// The most stages of the strip above that are drawn one by one.
const STAGES: usize = 300;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 992.0;
const TOP: f64 = 20.0;

/// One stage with its parsed bars.
struct Lane<'a> {
    number: u32,
    at: At,
    words: String,
    item: &'a StageItem,
    rows: Vec<Row>,
    end_ms: u64,
}

/// Draws the stages up to `until`, or the last ones.
pub(super) fn draw(view: &View, until: Option<u32>) -> Markup {
    let lanes = lanes(view, until);
    let (Some(first), Some(last)) = (lanes.first(), lanes.last()) else {
        return html! { p.empty { "No work has begun yet." } };
    };
    let range = first.number..=last.number;
    let scale = Scale::new(first.item.began_ms, lanes.iter().map(|lane| lane.end_ms).max().unwrap_or(0));
    let workers = lanes.iter().map(|lane| lane.rows.len().saturating_sub(1)).max().unwrap_or(0);
    let height = if workers > 32 {
        7.0
    } else if workers > 12 {
        11.0
    } else {
        18.0
    };
    let bottom = TOP + height * (workers + 1) as f64;
    let share = lanes.iter().map(|lane| lane.item.share).max().unwrap_or(1);
    let few = lanes.iter().flat_map(|lane| &lane.rows).map(Vec::len).sum::<usize>() <= TITLES;
    let words = |stage: &u32| view.course.words(*stage);
    let label = format!("Time line of {} to {}", words(range.start()), words(range.end()));
    html! {
        (legend(view))
        (strip(view, &range))
        div.wide role="region" tabindex="0" id="lanes" aria-label=(label) {
            svg.lanes viewBox=(format!("0 0 1000 {}", bottom + 34.0)) role="img" aria-label=(label) {
                @for (place, lane) in lanes.iter().enumerate() {
                    (band(lane, place, &scale, bottom))
                }
                @for row in (0..workers).filter(|row| row % (12.0 / height).ceil() as usize == 0) {
                    text.y x=(LEFT - 6.0) y=(tenth(TOP + height * (row as f64 + 0.5) + 3.5)) {
                        (row_name(row, share, view.state.workers))
                    }
                }
                text.y x=(LEFT - 6.0) y=(tenth(bottom - height / 2.0 + 3.5)) { "combine" }
                @for lane in &lanes {
                    @for (row, bars) in lane.rows.iter().enumerate() {
                        @let combine = row + 1 == lane.rows.len();
                        @let row = if combine { workers } else { row };
                        @let drawn = Drawn { scale: &scale, top: TOP + height * row as f64, height, combine };
                        @for bar in bars {
                            (draw_bar(lane, bar, &drawn, || {
                                let said = few || bar.end != AttemptEnd::Done;
                                said.then(|| who(row, combine, lane, view.state.workers))
                            }))
                        }
                    }
                }
                (axis(&scale, view.state.started_ms, bottom))
            }
        }
        (told(view))
        (pager(view, &range))
    }
}

/// The stages to draw.
fn lanes(view: &View, until: Option<u32>) -> Vec<Lane<'_>> {
    let mut bars = 0;
    let until = until.unwrap_or(u32::MAX);
    let stages = view.stages.range(..=until).rev().map(|(number, item)| {
        let rows = rows(&item.bars);
        let end_ms = item.ended_ms.unwrap_or_else(|| end_of(item, &rows, view.state.at_ms));
        Lane {
            number: *number,
            at: view.course.at(*number),
            words: view.course.words(*number),
            item,
            rows,
            end_ms: end_ms.max(item.began_ms),
        }
    });
    let mut lanes: Vec<Lane<'_>> = stages
        .take_while(|lane| {
            let more: usize = lane.rows.iter().map(Vec::len).sum();
            let fits = bars == 0 || bars + more <= BARS;
            bars += more;
            fits
        })
        .collect();
    lanes.reverse();
    lanes
}

/// The end of the bars of a stage that is not combined yet; running work counts up to now.
fn end_of(item: &StageItem, rows: &[Row], now_ms: u64) -> u64 {
    let ended = rows.iter().flatten().filter(|bar| bar.end != AttemptEnd::Running);
    let last = ended.map(|bar| item.began_ms.saturating_add(bar.from_ms + bar.length_ms)).max().unwrap_or(0);
    last.max(now_ms)
}

/// The stage's background and name.
fn band(lane: &Lane<'_>, place: usize, scale: &Scale, bottom: f64) -> Markup {
    let (from, to) = (scale.x(lane.item.began_ms), scale.x(lane.end_ms));
    let (name, width) = (&lane.words, to - from);
    let short =
        Some(lane.at.round()).filter(|round| *round > 0).map_or(String::new(), |round| round.to_string());
    html! {
        @if place % 2 == 1 {
            rect.band x=(from) y="0" width=(tenth(width)) height=(bottom) {}
        }
        @if width > 7.0 * name.len() as f64 {
            text.stage x=(from + 3.0) y="12" { (name) }
        } @else if width > 8.0 * short.len() as f64 {
            text.stage x=(from + 2.0) y="12" { (short) }
        }
    }
}

/// A row as it is drawn.
struct Drawn<'a> {
    scale: &'a Scale,
    top: f64,
    height: f64,
    /// Whether it is the combine's.
    combine: bool,
}

fn draw_bar(lane: &Lane<'_>, bar: &Bar, row: &Drawn<'_>, who: impl Fn() -> Option<String>) -> Markup {
    let &Drawn { scale, top, height, combine } = row;
    let from_ms = lane.item.began_ms.saturating_add(bar.from_ms);
    let running = bar.end == AttemptEnd::Running;
    let until_ms = from_ms.saturating_add(bar.length_ms);
    let until_ms = if running { until_ms.min(lane.end_ms) } else { until_ms };
    let (from, to) = (scale.x(from_ms), scale.x(until_ms.max(from_ms)));
    let work = if combine { "combine" } else { class(lane.at) };
    let (class, end) = match bar.end {
        AttemptEnd::Done => ("", "done"),
        AttemptEnd::Running => (" running", "running"),
        AttemptEnd::Died => (" died", "died, begun again"),
        AttemptEnd::Duplicate => (" twice", "a duplicate, not used"),
        AttemptEnd::Stopped => (" stopped", "the run ended"),
    };
    let legs = if bar.attempts > 1 { format!(" in {} attempts", bar.attempts) } else { String::new() };
    let width = tenth((to - from - 0.6).max(0.8));
    let crossed = bar.end == AttemptEnd::Died;
    html! {
        rect class=(format!("{work}{class}"))
            x=(from) y=(tenth(top + height * 0.12)) width=(width) height=(tenth(height * 0.76)) {
            @if let Some(who) = who() {
                title { (who) ", " (lane.words) ": " (lasting(until_ms - from_ms)) (legs) ", " (end) }
            }
        }
        @if crossed {
            @let (x, y, r) = (tenth(from + width), tenth(top + height / 2.0), (height * 0.3).min(4.0));
            @let (left, above, side) = (tenth(x - r), tenth(y - r), tenth(2.0 * r));
            path.cross d=(format!("M{left} {above}l{side} {side}m0 -{side}l-{side} {side}")) {}
        }
    }
}

fn who(row: usize, combine: bool, lane: &Lane<'_>, workers: u32) -> String {
    if combine {
        return "combine".into();
    }
    let plural = if lane.item.share > 1 { "workers" } else { "worker" };
    format!("{plural} {}", row_name(row, lane.item.share, workers))
}

/// Times since the run's start.
fn axis(scale: &Scale, started_ms: u64, bottom: f64) -> Markup {
    let (unit_ms, unit) = match scale.to_ms.saturating_sub(started_ms) {
        0..180_000 => (1_000.0, "s"),
        180_000..10_800_000 => (60_000.0, "min"),
        _ => (3_600_000.0, "h"),
    };
    let value = |ms: u64| ms.saturating_sub(started_ms) as f64 / unit_ms;
    let (low, high) = (value(scale.from_ms), value(scale.to_ms));
    let marks: Vec<f64> =
        ticks((low, high), false).into_iter().filter(|v| (low..=high).contains(v)).collect();
    let last = marks.len().saturating_sub(1);
    html! {
        line.axis x1=(LEFT) x2=(RIGHT) y1=(bottom) y2=(bottom) {}
        @for (place, mark) in marks.iter().enumerate() {
            @let x = scale.x(started_ms.saturating_add((mark * unit_ms) as u64));
            line.axis x1=(x) x2=(x) y1=(bottom) y2=(bottom + 4.0) {}
            text.x x=(x) y=(bottom + 17.0) { (tidy(*mark)) @if place == last { " " (unit) } }
        }
        text.x x=((LEFT + RIGHT) / 2.0) y=(bottom + 31.0) { "since the start" }
    }
}

/// A number without zeros at its end.
fn tidy(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The whole run in one row, with the stages that are shown below.
fn strip(view: &View, shown: &RangeInclusive<u32>) -> Markup {
    if view.stages.len() <= shown.clone().count() {
        return html! {};
    }
    let end =
        view.stages.values().filter_map(|stage| stage.ended_ms).max().unwrap_or(0).max(view.state.at_ms);
    let scale = Scale::new(view.state.started_ms, end);
    let every = view.stages.len().div_ceil(STAGES);
    let start = |number: &u32| view.stages.get(number).map_or(view.state.started_ms, |stage| stage.began_ms);
    let from = scale.x(start(shown.start()));
    let to = scale.x(view.stages.get(shown.end()).and_then(|stage| stage.ended_ms).unwrap_or(end));
    html! {
        div.wide {
            svg.lanes.strip viewBox="0 0 1000 26"
                role="img" aria-label="The whole run, with the stages shown below" {
                text.y x=(LEFT - 6.0) y="15" { "run" }
                rect.window x=(from - 2.0) y="1" width=(tenth(to - from + 4.0)) height="20" {}
                @for (number, stage) in view.stages.iter().step_by(every) {
                    @let at = scale.x(stage.began_ms);
                    @let width = (scale.x(stage.ended_ms.unwrap_or(end)) - at - 0.6).max(0.6);
                    rect class=(class(view.course.at(*number)))
                        x=(at) y="5" width=(tenth(width)) height="12" {
                        title { (view.course.words(*number)) }
                    }
                }
            }
        }
    }
}

/// The failures of all stages, in one line.
fn told(view: &View) -> Markup {
    let (mut died, mut twice, mut resent) = (0_u64, 0_u64, 0_u64);
    for stage in view.stages.values() {
        resent += stage.resent;
        for bar in rows(&stage.bars).iter().flatten() {
            match bar.end {
                AttemptEnd::Died => died += u64::from(bar.attempts),
                AttemptEnd::Duplicate => twice += u64::from(bar.attempts),
                _ => {}
            }
        }
    }
    html! {
        p.note {
            @if died + twice + resent == 0 { "No attempt died, nothing was done twice." } @else {
                (count(died, "attempt")) " died, begun again · "
                (count(twice, "attempt")) " unneeded, beside another · "
                (count(resent, "event")) " sent again"
            }
        }
    }
}

/// Links to other stages, if not all are shown.
fn pager(view: &View, shown: &RangeInclusive<u32>) -> Markup {
    let newest = view.stages.last_key_value().map_or(0, |(number, _)| *number);
    let oldest = view.stages.first_key_value().map_or(0, |(number, _)| *number);
    let later = shown.end().saturating_add(shown.end() - shown.start() + 1).min(newest);
    html! {
        @if *shown.start() > oldest || *shown.end() < newest {
            nav.pager aria-label="Stages of the time line" {
                @if *shown.start() > oldest {
                    a id="earlier" href=(format!("?until={}#time", shown.start() - 1)) { "← earlier" }
                }
                span {
                    (view.course.words(*shown.start())) " to " (view.course.words(*shown.end()))
                    @if view.course.rounds > 0 { " of " (view.round()) }
                }
                @if *shown.end() < newest {
                    a id="later" href=(format!("?until={later}#time")) { "later →" }
                    a id="latest" href="?#time" { "latest" }
                }
            }
        }
    }
}

/// The class of the colour for the work of a stage.
fn class(at: At) -> &'static str {
    match at {
        At::Before(_) => "before",
        At::Round { .. } => "round",
        At::End => "combine",
    }
}

fn legend(view: &View) -> Markup {
    let before = view.course.before.join(", ");
    let round = if view.course.rounds > 0 { view.course.called.as_str() } else { "" };
    let entries = [
        ("before", before.as_str()),
        ("round", round),
        ("combine", "combine"),
        ("round running", "running"),
        ("round died", "died, begun again"),
        ("round twice", "done twice"),
    ];
    html! {
        ul.legend {
            @for (class, name) in entries.into_iter().filter(|(_, name)| !name.is_empty()) {
                li {
                    svg.lanes viewBox="0 0 14 10" aria-hidden="true" {
                        rect class=(class) x="1" y="1" width="12" height="8" {}
                        @if class == "round died" { path.cross d="M4 2l6 6m0 -6l-6 6" {} }
                    }
                    (name)
                }
            }
        }
    }
}

/// Converts times to positions.
struct Scale {
    from_ms: u64,
    to_ms: u64,
}

impl Scale {
    fn new(from_ms: u64, to_ms: u64) -> Scale {
        Scale { from_ms, to_ms: to_ms.max(from_ms.saturating_add(1)) }
    }

    fn x(&self, ms: u64) -> f64 {
        let of = self.to_ms - self.from_ms;
        let share = ms.saturating_sub(self.from_ms).min(of) as f64 / of as f64;
        tenth(LEFT + share * (RIGHT - LEFT))
    }
}
