//! The result of a learning-rate range test: the rates from the fastest fall of the loss to its minimum.
//!
//! The rate grows by one factor from step to step; the losses are smoothed by an exponential mean. Source:
//! Smith, "Cyclical learning rates for training neural networks", 2017.

use std::ops::RangeInclusive;

/// Steps of a sweep: the rates of neighbours differ by 7 % over the default's six decades.
pub(super) const STEPS: usize = 200;
/// How much of the mean each further loss leaves.
const MEMORY: f64 = 0.9;
/// Steps over which a fall is measured.
const FALL: usize = 10;
/// A sweep ends when the loss is this many times the lowest one.
const DIVERGED: f64 = 4.0;
/// The trials' highest rate is at least this many times the lowest: a test of a few steps shows how high a
/// rate may be, but longer training may need a lower one.
const SPAN: f64 = 100.0;

/// The rate of a step.
pub(super) fn rate([low, high]: [f64; 2], step: usize) -> f64 {
    low * (high / low).powf(step as f64 / (STEPS - 1) as f64)
}

/// Whether a sweep is over: all steps are made, or the loss has diverged.
pub(super) fn is_over(losses: &[f32]) -> bool {
    let smooth = smooth(losses);
    let lowest = smooth.iter().copied().fold(f64::INFINITY, f64::min);
    losses.len() >= STEPS || smooth.last().is_some_and(|last| !last.is_finite() || *last > DIVERGED * lowest)
}

/// The rates worth trying after a sweep with these losses.
pub(super) fn bounds(rates: [f64; 2], losses: &[f32]) -> [f64; 2] {
    let smooth = smooth(losses);
    let lowest = |best: usize, at: usize| if smooth[at] < smooth[best] { at } else { best };
    let turn = (1..smooth.len()).fold(0, lowest);
    if turn < FALL {
        return rates; // nothing was learned, and nothing is known
    }
    let fall = |at: usize| smooth[at - FALL] - smooth[at];
    let falls: RangeInclusive<usize> = FALL..=turn;
    let steepest = falls.fold(FALL, |best, at| if fall(at) > fall(best) { at } else { best });
    let (low, high) = (rate(rates, steepest - FALL / 2), rate(rates, turn));
    [low.min(high / SPAN).max(rates[0]), high]
}

/// `count` rates in equal ratios, to three digits.
pub(super) fn grid([low, high]: [f64; 2], count: usize) -> Vec<f64> {
    let share = |at: usize| if count > 1 { at as f64 / (count - 1) as f64 } else { 0.5 };
    (0..count).map(|at| three_digits(low * (high / low).powf(share(at)))).collect()
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The exponential mean, without the weight of what was before the first loss.
fn smooth(losses: &[f32]) -> Vec<f64> {
    let (mut mean, mut weight) = (0.0, 0.0);
    let next = |&loss: &f32| {
        mean = MEMORY * mean + (1.0 - MEMORY) * f64::from(loss);
        weight = MEMORY * weight + (1.0 - MEMORY);
        mean / weight
    };
    losses.iter().map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [f64; 2] = [1e-5, 10.0];

    /// A loss that falls around one rate and rises from another on, both logarithms.
    fn losses(falls: f64, rises: f64) -> Vec<f32> {
        let loss = |at| {
            let x = rate(RATES, at).log10();
            (2.3 - 2.0 / (1.0 + (-4.0 * (x - falls)).exp()) + (3.0 * (x - rises)).exp()) as f32
        };
        let mut all: Vec<f32> = Vec::new();
        while !is_over(&all) {
            all.push(loss(all.len()));
        }
        all
    }

    #[test]
    fn the_rates_go_from_the_steepest_fall_to_the_turn() {
        let found = losses(-3.0, 0.0);
        assert!(found.len() < STEPS, "it ends where it diverges");
        let [low, high] = bounds(RATES, &found);
        println!("from {low:.1e} to {high:.1e} of {} steps", found.len());
        assert!((3e-4..4e-3).contains(&low) && (0.05..1.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn a_sharp_turn_still_gives_two_decades_and_no_fall_gives_everything() {
        let [low, high] = bounds(RATES, &losses(-1.0, -0.9));
        assert!((high / low - 100.0).abs() < 1e-9, "{low} {high}");
        assert_eq!(bounds(RATES, &[1.0; STEPS]), RATES);
        assert_eq!(bounds(RATES, &[1.0, 9.0]), RATES);
        let narrow = bounds([0.1, 0.2], &(0..STEPS).map(|at| 2.0 - at as f32 * 0.01).collect::<Vec<_>>());
        assert_eq!(narrow[0], 0.1, "never below what was asked for");
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_sweep() {
        assert!(!is_over(&[]) && !is_over(&[1.0, 0.5]));
        assert!(is_over(&[1.0, f32::NAN]) && is_over(&[1.0, f32::INFINITY]) && is_over(&[1.0; STEPS]));
    }

    #[test]
    fn grid_rates_are_short_and_in_equal_ratios() {
        assert_eq!(grid([1e-3, 0.1], 3), [0.001, 0.01, 0.1]);
        assert_eq!(grid([1e-3, 0.1], 1), [0.01]);
        assert_eq!(grid([1.23456e-3, 0.1], 2)[0], 0.00123);
    }
}
