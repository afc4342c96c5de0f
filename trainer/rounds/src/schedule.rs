//! The learning rate as a function of how many rounds are done.
//!
//! With `x` rounds done (a fraction within a round), `d` the length in rounds of the step that is about to be
//! made, `W` warm-up rounds and `R` rounds in all:
//!
//! ```text
//! rate(x) = learning_rate · rise(x) · fall(x)
//! rise(x) = min(1, (x + d) / W)                          the last step of the warm-up has the full height
//! fall(x) = 1                                            constant
//!         = ½ (1 + cos(π (x − W) / (R − W)))  for x > W  cosine
//!         = factor ^ ⌊x / every⌋                         step
//! ```

use crate::keys::{Schedule, Training};
use std::f64::consts::PI;

/// The rate of the step that begins when `done` rounds are done and that is `length` rounds long.
pub fn rate(training: &Training, done: f64, length: f64) -> f64 {
    let warmup = f64::from(training.warmup_rounds);
    let rise = if warmup > 0.0 { ((done + length) / warmup).min(1.0) } else { 1.0 };
    let fall = match training.schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => {
            let through = ((done - warmup) / (f64::from(training.rounds) - warmup).max(1.0)).clamp(0.0, 1.0);
            0.5 * (1.0 + (PI * through).cos())
        }
        Schedule::Step { every, factor } => factor.powi((done / f64::from(every.max(1))).floor() as i32),
    };
    training.learning_rate() * rise * fall
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(schedule: serde_json::Value, warmup: u32) -> Training {
        let job = serde_json::json!({"rounds": 10, "learning_rate": 2.0,
            "schedule": schedule, "warmup_rounds": warmup});
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn the_formulas_hold() {
        let constant = job(serde_json::json!({"kind": "constant"}), 0);
        assert_eq!(rate(&constant, 9.5, 0.5), 2.0);
        let cosine = job(serde_json::json!({"kind": "cosine"}), 0);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(rate(&cosine, 0.0, 1.0), 2.0);
        near(rate(&cosine, 5.0, 1.0), 1.0);
        near(rate(&cosine, 10.0, 1.0), 0.0);
        let step = job(serde_json::json!({"kind": "step", "every": 3, "factor": 0.1}), 0);
        near(rate(&step, 2.99, 0.01), 2.0);
        near(rate(&step, 3.0, 0.01), 0.2);
        near(rate(&step, 9.0, 0.01), 0.002);
    }

    #[test]
    fn warm_up_rises_to_the_full_height_and_the_fall_begins_there() {
        let warm = job(serde_json::json!({"kind": "cosine"}), 2);
        let rates: Vec<f64> = (0..5).map(|i| rate(&warm, f64::from(i) * 0.5, 0.5)).collect();
        assert_eq!(rates[..4], [0.5, 1.0, 1.5, 2.0]);
        assert_eq!(rates[4], 2.0);
        assert!((rate(&warm, 6.0, 0.5) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_rate_is_never_negative_or_infinite_when_all_rounds_warm_up() {
        let warm = job(serde_json::json!({"kind": "cosine"}), 10);
        assert!((0..=100).all(|i| (0.0..=2.0).contains(&rate(&warm, f64::from(i) * 0.1, 0.1))));
    }
}
