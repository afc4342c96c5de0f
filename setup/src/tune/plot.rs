//! A tuning in one SVG file: the range test's loss over the rate, and each trial's loss over its epochs.

use crate::status::plot::{decimals, tenth, ticks};
use maud::{Markup, html};
use rounds::tuning::{Table, Trial};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 330.0;
/// Left, top, right and bottom of the two plotting areas.
const SWEEPS: [f64; 4] = [56.0, 62.0, 420.0, 276.0];
const TRIALS: [f64; 4] = [516.0, 62.0, 800.0, 276.0];
/// The most labels at the ends of the lines that reach the last rung; if there are more lines, the best have
/// one.
const LABELS: usize = 8;
/// Losses above this many times the first one are cut off: a sweep ends where it diverges.
const HIGHEST: f64 = 1.5;

const STYLE: &str = "\
    svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#444}.t{font-size:15px;fill:#111}\
    .g{stroke:#ddd}.m{text-anchor:middle}.e{text-anchor:end}polyline{fill:none;stroke-width:1.5}\
    .band{fill:#2a78d6;opacity:.12}\
    .off polyline,.off circle{stroke:#aaa}.off circle{fill:#aaa;stroke:none}.off text{fill:#888}\
    .on polyline{stroke:#c2410c;stroke-width:2.5}.on circle{fill:#c2410c}\
    .on text{fill:#c2410c;font-weight:600}";
/// Colours of the sweeps, which differ for people with colour blindness, too.
const COLOURS: [&str; 6] = ["#2a78d6", "#1b7f5c", "#a3480f", "#7a3fb0", "#555555", "#b0316f"];

/// Draws a tuning.
pub(super) fn draw(table: &Table, name: &str) -> String {
    let drawn = html! {
        svg xmlns="http://www.w3.org/2000/svg"
            viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width=(WIDTH) height=(HEIGHT)
            role="img" aria-label=(format!("Tuning {name}")) {
            style { (maud::PreEscaped(STYLE)) }
            text.t x="14" y="22" { "Tuning " (name) }
            (sweeps(table))
            (trials(table))
        }
    };
    drawn.into_string()
}

/// The range test.
fn sweeps(table: &Table) -> Markup {
    let highest = HIGHEST
        * table.sweeps.iter().filter_map(|s| s.losses.first()).fold(0.0, |a, &b| f64::max(a, b.into()));
    let lines: Vec<Vec<(f64, f64)>> = table
        .sweeps
        .iter()
        .map(|sweep| {
            let points =
                sweep.rates.iter().zip(&sweep.losses).map(|(rate, &loss)| (rate.log10(), f64::from(loss)));
            points.filter(|(_, loss)| *loss <= highest).collect()
        })
        .collect();
    let place = Place::of(SWEEPS, lines.iter().flatten());
    let decades = place.x.0.ceil() as i32..=place.x.1.floor() as i32;
    let [low, high] = table.rates.map(|rate| place.at_x(rate.log10()).clamp(SWEEPS[0], SWEEPS[2]));
    html! {
        text x=(SWEEPS[0]) y="48" { "Range test: loss of each step; shaded: the trials' rates" }
        (place.frame())
        rect.band x=(low) width=(tenth(high - low)) y=(SWEEPS[1]) height=(SWEEPS[3] - SWEEPS[1]) {}
        @for decade in decades {
            text.m x=(place.at_x(decade.into())) y=(SWEEPS[3] + 18.0) { (power(decade)) }
        }
        text.m x=((SWEEPS[0] + SWEEPS[2]) / 2.0) y=(SWEEPS[3] + 40.0) { "learning rate" }
        @for (index, (line, sweep)) in lines.iter().zip(&table.sweeps).enumerate() {
            @let colour = COLOURS[index % COLOURS.len()];
            polyline points=(place.points(line)) stroke=(colour) {}
            @if lines.len() > 1 && lines.len() <= COLOURS.len() {
                @let above = 15.0 * (lines.len() - 1 - index) as f64;
                text x=(SWEEPS[0] + 10.0) y=(SWEEPS[3] - 10.0 - above) style=(format!("fill:{colour}")) {
                    "decay " (sweep.weight_decay) ", smoothing " (sweep.label_smoothing)
                }
            }
        }
    }
}

/// The rungs of trials.
fn trials(table: &Table) -> Markup {
    let ranking = table.ranking();
    let line = |trial: &Trial| -> Vec<(f64, f64)> {
        trial.scores.iter().map(|score| (f64::from(score.epochs), score.score.values[1])).collect()
    };
    let lines: Vec<Vec<(f64, f64)>> = ranking.iter().map(|&index| line(&table.trials[index])).collect();
    let place = Place::of(TRIALS, lines.iter().flatten());
    let mut epochs: Vec<u32> =
        table.trials.iter().flat_map(|t| &t.scores).map(|score| score.epochs).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let last = lines.iter().map_while(|line| line.last().filter(|point| point.0 == place.x.1));
    let heights = label_heights(last.take(LABELS).map(|point| place.at_y(point.1)));
    html! {
        text x=(TRIALS[0]) y="48" { "Halving: validation loss after each rung, by rate" }
        (place.frame())
        @for epoch in epochs {
            text.m x=(place.at_x(epoch.into())) y=(TRIALS[3] + 18.0) { (epoch) }
        }
        text.m x=((TRIALS[0] + TRIALS[2]) / 2.0) y=(TRIALS[3] + 40.0) { "epochs" }
        // The best is drawn last, above the others.
        @for (rank, (line, &index)) in lines.iter().zip(&ranking).enumerate().rev() {
            g class=(if rank == 0 { "on" } else { "off" }) {
                polyline points=(place.points(line)) {}
                @for (x, y) in line {
                    circle cx=(place.at_x(*x)) cy=(place.at_y(*y)) r="2.5" {}
                }
                @if let Some(height) = heights.get(rank) {
                    text x=(TRIALS[2] + 8.0) y=(height + 4.0) { (table.trials[index].learning_rate) }
                }
            }
        }
    }
}

/// The positions of labels near these heights: in the same order, apart from each other.
fn label_heights(wanted: impl Iterator<Item = f64>) -> Vec<f64> {
    const GAP: f64 = 14.0;
    let wanted: Vec<f64> = wanted.collect();
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut heights = wanted.clone();
    let mut lowest = f64::MIN;
    for &index in &order {
        heights[index] = wanted[index].max(lowest + GAP);
        lowest = heights[index];
    }
    let over = (lowest - TRIALS[3]).max(0.0);
    heights.iter().map(|height| tenth(height - over)).collect()
}

/// Converts values to positions.
struct Place {
    area: [f64; 4],
    x: (f64, f64),
    ys: Vec<f64>,
}

impl Place {
    fn of<'a>(area: [f64; 4], points: impl Iterator<Item = &'a (f64, f64)>) -> Place {
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        let wider = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (x, y) = points.fold((none, none), |(x, y), point| (wider(x, point.0), wider(y, point.1)));
        let or = |(low, high): (f64, f64)| {
            if low < high { (low, high) } else { (low.min(1e9) - 1.0, high.max(-1e9) + 1.0) }
        };
        Place { area, x: or(x), ys: ticks(or(y), false) }
    }

    fn at_x(&self, x: f64) -> f64 {
        let [left, _, right, _] = self.area;
        tenth(left + (x - self.x.0) / (self.x.1 - self.x.0) * (right - left))
    }

    fn at_y(&self, y: f64) -> f64 {
        let [_, top, _, bottom] = self.area;
        let (low, high) = (self.ys[0], self.ys[self.ys.len() - 1]);
        tenth(bottom - (y - low) / (high - low) * (bottom - top))
    }

    fn points(&self, line: &[(f64, f64)]) -> String {
        let point = |(x, y): &(f64, f64)| format!("{},{}", self.at_x(*x), self.at_y(*y));
        line.iter().map(point).collect::<Vec<_>>().join(" ")
    }

    /// Lines at round numbers.
    fn frame(&self) -> Markup {
        let decimals = decimals(&self.ys);
        html! {
            @for y in &self.ys {
                line.g x1=(self.area[0]) x2=(self.area[2]) y1=(self.at_y(*y)) y2=(self.at_y(*y)) {}
                text.e x=(self.area[0] - 7.0) y=(self.at_y(*y) + 4.0) { (format!("{y:.decimals$}")) }
            }
        }
    }
}

/// A power of ten as people write it.
fn power(decade: i32) -> String {
    match decade {
        -3..=3 => 10_f64.powi(decade).to_string(),
        _ => format!("1e{decade}"),
    }
}
