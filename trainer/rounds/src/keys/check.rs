//! The ranges of the keys that rounds read.

use super::{Agreement, OptimizerKind, Precision, Reduce, Schedule, Training, Tune};
use protocol::Error;
use protocol::check::{number, values, whole};

impl Training {
    /// Checks every key.
    ///
    /// # Errors
    /// [`Error::Refused`] with the key.
    pub fn check(&self) -> Result<(), Error> {
        whole("rounds", self.rounds, 1, 1_000_000)?;
        agreement(self)?;
        passes(self)?;
        whole("batch", self.batch.unwrap_or(1), 1, 1 << 24)?;
        self.optimizer.as_ref().map_or(Ok(()), optimizer)?;
        if let Some(rate) = self.learning_rate {
            number("learning_rate", rate, "above 0, at most 1000", |x| x > 0.0 && x <= 1e3)?;
        }
        if let Schedule::Step { every, factor } = self.schedule {
            whole("schedule.every", every, 1, u32::MAX)?;
            number("schedule.factor", factor, "above 0, at most 1", |x| x > 0.0 && x <= 1.0)?;
        }
        whole("warmup_rounds", self.warmup_rounds, 0, self.rounds)?;
        number("weight_decay", self.weight_decay, "0 to 10", |x| (0.0..=10.0).contains(&x))?;
        if let Some(decay) = self.average_decay {
            number("average_decay", decay, "above 0, below 1", |x| x > 0.0 && x < 1.0)?;
        }
        number("label_smoothing", self.label_smoothing, "0 to below 1", |x| (0.0..1.0).contains(&x))?;
        whole("score_every", self.score_every, 1, 1_000_000)?;
        if let Some(patience) = self.patience {
            whole("patience", patience, 1, u32::MAX)?;
        }
        self.tune.as_ref().map_or(Ok(()), |tune| tuning(self, tune))
    }
}

fn optimizer(optimizer: &OptimizerKind) -> Result<(), Error> {
    let decay = |key: &str, x: f64| number(key, x, "0 to below 1", |x| (0.0..1.0).contains(&x));
    match *optimizer {
        OptimizerKind::Sgd { momentum, .. } => decay("optimizer.momentum", momentum),
        OptimizerKind::Adamw { beta1, beta2, epsilon } => {
            decay("optimizer.beta1", beta1)?;
            decay("optimizer.beta2", beta2)?;
            number("optimizer.epsilon", epsilon, "above 0, at most 1", |x| x > 0.0 && x <= 1.0)
        }
    }
}

fn passes(training: &Training) -> Result<(), Error> {
    whole("epochs_per_round", training.epochs_per_round, 1, 10_000)?;
    whole("rounds_per_epoch", training.rounds_per_epoch, 1, 10_000)?;
    let expected = match (training.rounds_per_epoch, training.epochs_per_round, training.agree) {
        (2.., 2.., _) => "1, or `epochs_per_round` of 1: a round is several passes or a part of one",
        (2.., _, Agreement::Gradient) => "1 with `gradient`: a round is a batch",
        _ => return Ok(()),
    };
    Err(Error::refused("job.rounds_per_epoch", training.rounds_per_epoch.to_string(), expected))
}

fn agreement(training: &Training) -> Result<(), Error> {
    if training.agree == Agreement::Gradient && training.precision != Precision::F32 {
        let expected = "f32: with `gradient` the workers' sum is exact";
        return Err(Error::refused(
            "job.precision",
            format!("{:?}", training.precision).to_lowercase(),
            expected,
        ));
    }
    if let Some(clip) = training.clip {
        number("clip", clip, "above 0", |x| x > 0.0)?;
        if training.agree == Agreement::Gradient {
            let expected = "nothing with `gradient`: no worker has the whole gradient";
            return Err(Error::refused("job.clip", clip.to_string(), expected));
        }
    }
    let Some(outer) = training.outer else { return Ok(()) };
    if training.agree != Agreement::Diloco {
        return Err(Error::refused("job.outer", "a step", "nothing, unless `agree` is `diloco`"));
    }
    number("outer.rate", outer.rate, "above 0, at most 10", |x| x > 0.0 && x <= 10.0)?;
    number("outer.momentum", outer.momentum, "0 to below 1", |x| (0.0..1.0).contains(&x))
}

/// The most trials of a tuning, and the most passes of the last trial in a rung.
const MAX_TRIALS: u32 = 1_000;
const MAX_EPOCHS: u32 = 10_000;

fn tuning(training: &Training, tune: &Tune) -> Result<(), Error> {
    let [low, high] = tune.rates;
    if !(low > 0.0 && low < high && high <= 1e3) {
        let expected = "a rate above 0 and a higher one, at most 1000";
        return Err(Error::refused("job.tune.rates", format!("{low} to {high}"), expected));
    }
    values("tune.weight_decay", &tune.weight_decay, "0 to 10", |x| (0.0..=10.0).contains(&x))?;
    values("tune.label_smoothing", &tune.label_smoothing, "0 to below 1", |x| (0.0..1.0).contains(&x))?;
    // Each pair of these is tried with at least one rate.
    let pairs = tune.weight_decay.len().max(1) * tune.label_smoothing.len().max(1);
    whole("tune.trials", tune.trials, u32::try_from(pairs).unwrap_or(u32::MAX), MAX_TRIALS)?;
    whole("tune.keep", tune.keep, 2, 1_000)?;
    whole("tune.epochs", tune.epochs, 1, MAX_EPOCHS)?;
    if tune.epochs_in(tune.rungs()) > MAX_EPOCHS {
        let expected = format!("so few that the last rung has at most {MAX_EPOCHS}");
        return Err(Error::refused("job.tune.epochs", tune.epochs.to_string(), expected));
    }
    goes_with_tuning(training)
}

/// Checks the keys that a tuning does not use: one worker trains a trial, from its first step to its last.
fn goes_with_tuning(training: &Training) -> Result<(), Error> {
    let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let (key, found, expected) = if training.agree != Agreement::Average {
        ("agree", word(&training.agree), "`average` in a tuning: the worker of a trial agrees with nobody")
    } else if training.precision != Precision::F32 {
        ("precision", word(&training.precision), "`f32` in a tuning: trials are never rounded")
    } else if let Some(Reduce::Sliced) = training.reduce {
        ("reduce", "sliced".into(), "`single` in a tuning: trials are compared, not summed")
    } else if let Some(patience) = training.patience {
        ("patience", patience.to_string(), "none in a tuning: every rung is done")
    } else if let Some(decay) = training.average_decay {
        (
            "average_decay",
            decay.to_string(),
            "none in a tuning: the weights of a trial are scored as they are",
        )
    } else {
        return Ok(());
    };
    Err(Error::refused(&format!("job.{key}"), found, expected))
}
