//! A line plot as SVG: axes with round numbers, units, and a label at the end of each line.

use maud::{Markup, html};

/// The most points of a line; if there are more, some are left out.
const POINTS: usize = 400;
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 210.0;
/// Left, top, right and bottom of the plotting area.
const AREA: [f64; 4] = [44.0, 26.0, 344.0, 172.0];

/// One line.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// The content of a plot.
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x_name: String,
    pub(super) series: Vec<Series>,
    /// The x of the point that is marked on the first line.
    pub(super) marked: Option<f64>,
}

impl Plot {
    /// Draws it.
    pub(super) fn draw(mut self) -> Markup {
        for series in &mut self.series {
            series.points.retain(|(x, y)| x.is_finite() && y.is_finite());
            thin(&mut series.points, self.marked);
        }
        let (first, last) = range(self.series.iter().flat_map(|s| s.points.iter().map(|p| p.0)));
        let last = last.max(first + 1.0);
        let xs: Vec<f64> =
            ticks((first, last), true).into_iter().filter(|x| (first..=last).contains(x)).collect();
        let ys = ticks(range(self.series.iter().flat_map(|s| s.points.iter().map(|p| p.1))), false);
        let place = Scale { x: (first, last), y: ends(&ys) };
        let decimals = decimals(&ys);
        html! {
            svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.in_words()) {
                text.title x="0" y="13" { (self.title) }
                @for y in &ys {
                    @let at = place.y(*y);
                    line.grid x1=(AREA[0]) x2=(AREA[2]) y1=(at) y2=(at) {}
                    text.y x=(AREA[0] - 6.0) y=(at + 4.0) { (format!("{y:.decimals$}")) }
                }
                @for x in &xs {
                    text.x x=(place.x(*x)) y=(AREA[3] + 15.0) { (format!("{x:.0}")) }
                }
                text.x x=((AREA[0] + AREA[2]) / 2.0) y=(HEIGHT - 6.0) { (self.x_name) }
                @for (number, label) in self.label_heights(&place).into_iter().enumerate() {
                    (self.draw_line(number, &place, label))
                }
            }
        }
    }

    fn in_words(&self) -> String {
        let lines = self.series.iter().filter_map(|series| {
            let (first, last) = (series.points.first()?, series.points.last()?);
            let of = format!("{}: {:.4} in {} {}", series.name, first.1, self.x_name, first.0);
            Some(format!("{of}, {:.4} in {} {}", last.1, self.x_name, last.0))
        });
        format!("{} by {}; {}", self.title, self.x_name, lines.collect::<Vec<_>>().join("; "))
    }

    /// The heights of the lines' labels, apart from each other.
    fn label_heights(&self, place: &Scale) -> Vec<f64> {
        let lowest = AREA[3] - 14.0;
        let wanted =
            self.series.iter().map(|s| s.points.last().map_or(lowest, |last| place.y(last.1).min(lowest)));
        apart(&wanted.collect::<Vec<f64>>(), 26.0)
    }

    /// A line, by its place in the plot: the first is the main one.
    fn draw_line(&self, number: usize, place: &Scale, label: f64) -> Markup {
        let Series { name, points } = &self.series[number];
        let marked = self.marked.filter(|_| number == 0);
        let best = points.iter().find(|(x, _)| Some(*x) == marked);
        let path = points.iter().map(|(x, y)| format!("{:.1},{:.1}", place.x(*x), place.y(*y)));
        html! {
            g class=(if number == 0 { "first" } else { "other" }) {
                @if points.len() > 1 {
                    polyline points=(path.collect::<Vec<_>>().join(" ")) {}
                } @else if let Some((x, y)) = points.first() {
                    circle.dot cx=(place.x(*x)) cy=(place.y(*y)) r="2.5" {}
                }
                @if let Some((x, y)) = best {
                    circle.best cx=(place.x(*x)) cy=(place.y(*y)) r="4" {
                        title { "best: " (self.x_name) " " (x) ", " (y) }
                    }
                }
                @if let Some((_, y)) = points.last() {
                    text x=(AREA[2] + 6.0) y=(label) { (name) }
                    text.value x=(AREA[2] + 6.0) y=(label + 12.0) { (format!("{y:.4}")) }
                }
            }
        }
    }
}

/// Heights in the same order, apart from each other, and centred on the wanted heights.
fn apart(wanted: &[f64], gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let (mut heights, mut lowest, mut moved) = (wanted.to_vec(), f64::MIN, 0.0);
    for index in order {
        heights[index] = wanted[index].max(lowest + gap);
        lowest = heights[index];
        moved += lowest - wanted[index];
    }
    let back = moved / wanted.len().max(1) as f64;
    heights.iter().map(|height| height - back).collect()
}

/// Converts values to positions.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

impl Scale {
    fn x(&self, x: f64) -> f64 {
        tenth(AREA[0] + (x - self.x.0) / (self.x.1 - self.x.0) * (AREA[2] - AREA[0]))
    }
    fn y(&self, y: f64) -> f64 {
        tenth(AREA[3] - (y - self.y.0) / (self.y.1 - self.y.0) * (AREA[3] - AREA[1]))
    }
}

/// Short numbers keep the page small.
pub(crate) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// Three to seven round numbers from at or below the least value to at or above the greatest.
pub(crate) fn ticks((low, high): (f64, f64), whole: bool) -> Vec<f64> {
    let span = (high - low).max(low.abs() * 0.02).max(if whole { 1.0 } else { 0.002 });
    let rough = span / 4.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|step| step * magnitude >= rough).unwrap_or(10.0);
    let step = if whole { (step * magnitude).round().max(1.0) } else { step * magnitude };
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    (first..=last.max(first + 1).min(first + 12)).map(|n| n as f64 * step).collect()
}

fn ends(ticks: &[f64]) -> (f64, f64) {
    (ticks.first().copied().unwrap_or(0.0), ticks.last().copied().unwrap_or(1.0))
}

/// The decimals that distinguish the ticks.
pub(crate) fn decimals(ticks: &[f64]) -> usize {
    let [first, second, ..] = ticks else { return 0 };
    let step = second - first;
    (0..6).find(|&d| (step * 10_f64.powi(d) - (step * 10_f64.powi(d)).round()).abs() < 1e-6).unwrap_or(6)
        as usize
}

/// Leaves out points evenly, but never an end or the marked one.
fn thin(points: &mut Vec<(f64, f64)>, marked: Option<f64>) {
    let every = points.len().div_ceil(POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let mut number = 0;
    points.retain(|(x, _)| {
        number += 1;
        (number - 1) % every == 0 || number - 1 == last || Some(*x) == marked
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(ticks((0.0, 1.0), false), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks((1.0, 20.0), true), [0.0, 5.0, 10.0, 15.0, 20.0]);
        for (low, high) in [(0.031, 0.0311), (5.0, 5.0), (-3.0, 1e9), (0.0, 0.0), (0.87, 0.93), (1.0, 1.0)] {
            for whole in [false, true] {
                let ticks = ticks((low, high), whole);
                assert!((2..=13).contains(&ticks.len()), "{low} {high}: {ticks:?}");
                assert!(ticks[0] <= low && *ticks.last().unwrap() >= high, "{low} {high}: {ticks:?}");
            }
        }
    }

    #[test]
    fn a_long_line_is_thinned_and_keeps_its_best() {
        let points: Vec<_> = (1..=100_000).map(|round| (f64::from(round), 0.5)).collect();
        let series = vec![Series { name: "top-1".into(), points }];
        let (title, x_name) = ("Accuracy".into(), "round".into());
        let drawn = Plot { title, x_name, series, marked: Some(7.0) }.draw().into_string();
        assert!(drawn.len() < 10_000 && drawn.contains("class=\"best\""), "{} bytes", drawn.len());
    }

    #[test]
    fn labels_stand_apart_in_the_middle_of_where_they_are_wanted() {
        assert_eq!(apart(&[50.0, 90.0], 26.0), [50.0, 90.0]);
        assert_eq!(apart(&[60.0, 50.0], 26.0), [68.0, 42.0]);
        assert_eq!(apart(&[50.0, 50.0, 50.0], 10.0), [40.0, 50.0, 60.0]);
        assert!(apart(&[], 26.0).is_empty());
    }

    #[test]
    fn values_that_are_no_numbers_do_not_spoil_a_plot() {
        let points = vec![(1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 1e300), (4.0, -1e300), (5.0, 0.5)];
        let series = vec![Series { name: "loss".into(), points }];
        let (title, x_name) = ("Loss".into(), "round".into());
        let drawn = Plot { title, x_name, series, marked: None }.draw().into_string();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
