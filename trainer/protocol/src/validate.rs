//! A job is read and checked: the ranges of its numbers and names.

use crate::error::short;
use crate::event::MAX_WORKERS;
use crate::{Agreement, Error, JOB_SCHEMA, Job, Optimizer, Precision, Schedule};
use crate::{Augment, Head, Limits, Pooling, Reduce, Tune};
use serde_json::Value;

impl Job {
    /// Takes and checks a job.
    ///
    /// # Errors
    /// [`Error::Schema`] for a later schema, [`Error::Refused`] with the key for anything else.
    pub fn from_value(value: Value) -> Result<Job, Error> {
        if !value.is_object() {
            return Err(Error::refused("job", short(&value), "an object"));
        }
        if let Some(found) = value.get("schema").and_then(Value::as_u64)
            && found > u64::from(JOB_SCHEMA)
        {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(Error::Schema { what: "the job".into(), found, known: JOB_SCHEMA });
        }
        let job: Job = serde_json::from_value(value).map_err(|e| {
            Error::refused("job", e.to_string(), "the keys and values of docs/formats.md, \"job.json\"")
        })?;
        self::job(&job)?;
        Ok(job.read_back())
    }

    /// The job as everybody reads it: JSON may move the last bit of a number, and then the same text, read
    /// and written once more, would be another job.
    fn read_back(self) -> Job {
        let read =
            |job: &Job| -> Option<Job> { serde_json::from_str(&serde_json::to_string(job).ok()?).ok() };
        let mut job = self;
        // Each reading moves a number by one bit at most, to one that is written shorter.
        for _ in 0..8 {
            match read(&job) {
                Some(again) if again != job => job = again,
                _ => break,
            }
        }
        job
    }

    /// Parses and checks a job's text, as [`Job::from_value`].
    pub fn parse(text: &[u8]) -> Result<Job, Error> {
        let value = serde_json::from_slice(text)
            .map_err(|e| Error::refused("job", e.to_string(), "JSON text with one object"))?;
        Job::from_value(value)
    }
}

/// Checks every key of a job.
fn job(job: &Job) -> Result<(), Error> {
    whole("schema", job.schema, 1, JOB_SCHEMA)?;
    name("dataset", &job.dataset)?;
    name("network", &job.network)?;
    if let Some(weights) = &job.weights {
        name("weights", weights)?;
    }
    if let Some(cut) = &job.cut {
        name("cut", cut)?;
    }
    whole("image_size", job.image_size, 8, 2_048)?;
    if let Some(augment) = &job.augment {
        self::augment(augment)?;
    }
    whole("unit_images", job.unit_images, 1, 65_536)?;
    if let Some(workers) = job.workers {
        whole("workers", workers, 1, MAX_WORKERS)?;
    }
    head(job)?;
    whole("rounds", job.rounds, 1, 1_000_000)?;
    agreement(job)?;
    passes(job)?;
    whole("batch", job.batch, 1, 1 << 24)?;
    optimizer(&job.optimizer)?;
    number("learning_rate", job.learning_rate, "above 0, at most 1000", |x| x > 0.0 && x <= 1e3)?;
    if let Schedule::Step { every, factor } = job.schedule {
        whole("schedule.every", every, 1, u32::MAX)?;
        number("schedule.factor", factor, "above 0, at most 1", |x| x > 0.0 && x <= 1.0)?;
    }
    whole("warmup_rounds", job.warmup_rounds, 0, job.rounds)?;
    number("weight_decay", job.weight_decay, "0 to 10", |x| (0.0..=10.0).contains(&x))?;
    number("dropout", job.dropout, "0 to below 1", |x| (0.0..1.0).contains(&x))?;
    if let Some(decay) = job.average_decay {
        number("average_decay", decay, "above 0, below 1", |x| x > 0.0 && x < 1.0)?;
    }
    number("label_smoothing", job.label_smoothing, "0 to below 1", |x| (0.0..1.0).contains(&x))?;
    whole("score_every", job.score_every, 1, 1_000_000)?;
    if let Some(patience) = job.patience {
        whole("patience", patience, 1, u32::MAX)?;
    }
    if let Some(tune) = &job.tune {
        tuning(job, tune)?;
    }
    limits(&job.limits)
}

fn augment(augment: &Augment) -> Result<(), Error> {
    number("augment.crop", augment.crop, "0 to 0.5", |x| (0.0..=0.5).contains(&x))?;
    number("augment.colour", augment.colour, "0 to 1", |x| (0.0..=1.0).contains(&x))?;
    whole("augment.copies", augment.copies, 2, 64)?;
    if augment.flip || augment.crop > 0.0 || augment.colour > 0.0 {
        return Ok(());
    }
    let expected = "at least one of `flip`, `crop` and `colour`, or no `augment`";
    Err(Error::refused("job.augment", "copies that are all alike", expected))
}

fn head(job: &Job) -> Result<(), Error> {
    match &job.head {
        Head::Softmax | Head::Classifier => {}
        Head::Mlp { hidden } => whole("head.hidden", *hidden, 1, 65_536)?,
        Head::Layers { up_to, rate } => {
            number("head.rate", rate.unwrap_or(1.0), "0 to 10", |x| (0.0..=10.0).contains(&x))?;
            if let Some(up_to) = up_to {
                name("head.up_to", up_to)?;
            }
            if job.cut.is_none() {
                let expected = "a point of the network: the layers above it are trained";
                return Err(Error::refused("job.cut", "none", expected));
            }
            if job.pool != Pooling::None {
                let expected = "`none`: the layers above the cut read whole maps";
                return Err(Error::refused("job.pool", "average", expected));
            }
        }
    }
    let own = matches!(job.head, Head::Classifier | Head::Layers { .. });
    if job.standardises() && (own || job.from.is_some()) {
        let expected = "false: these layers were trained on features as they come";
        return Err(Error::refused("job.standardise", "true", expected));
    }
    Ok(())
}

fn optimizer(optimizer: &Optimizer) -> Result<(), Error> {
    let decay = |key: &str, x: f64| number(key, x, "0 to below 1", |x| (0.0..1.0).contains(&x));
    match *optimizer {
        Optimizer::Sgd { momentum, .. } => decay("optimizer.momentum", momentum),
        Optimizer::Adamw { beta1, beta2, epsilon } => {
            decay("optimizer.beta1", beta1)?;
            decay("optimizer.beta2", beta2)?;
            number("optimizer.epsilon", epsilon, "above 0, at most 1", |x| x > 0.0 && x <= 1.0)
        }
    }
}

fn passes(job: &Job) -> Result<(), Error> {
    whole("epochs_per_round", job.epochs_per_round, 1, 10_000)?;
    whole("rounds_per_epoch", job.rounds_per_epoch, 1, 10_000)?;
    let expected = match (job.rounds_per_epoch, job.epochs_per_round, job.agree) {
        (2.., 2.., _) => "1, or `epochs_per_round` of 1: a round is several passes or a part of one",
        (2.., _, Agreement::Gradient) => "1 with `gradient`: a round is a batch",
        _ => return Ok(()),
    };
    Err(Error::refused("job.rounds_per_epoch", job.rounds_per_epoch.to_string(), expected))
}

fn agreement(job: &Job) -> Result<(), Error> {
    if job.agree == Agreement::Gradient && job.precision != Precision::F32 {
        let expected = "f32: with `gradient` the workers' sum is exact";
        return Err(Error::refused("job.precision", format!("{:?}", job.precision).to_lowercase(), expected));
    }
    if let Some(clip) = job.clip {
        number("clip", clip, "above 0", |x| x > 0.0)?;
        if job.agree == Agreement::Gradient {
            let expected = "nothing with `gradient`: no worker has the whole gradient";
            return Err(Error::refused("job.clip", clip.to_string(), expected));
        }
    }
    let Some(outer) = job.outer else { return Ok(()) };
    if job.agree != Agreement::Diloco {
        return Err(Error::refused("job.outer", "a step", "nothing, unless `agree` is `diloco`"));
    }
    number("outer.rate", outer.rate, "above 0, at most 10", |x| x > 0.0 && x <= 10.0)?;
    number("outer.momentum", outer.momentum, "0 to below 1", |x| (0.0..1.0).contains(&x))
}

/// The most trials of a tuning, and the most passes that the last one left makes in a rung.
const MAX_TRIALS: u32 = 1_000;
const MAX_EPOCHS: u32 = 10_000;

fn tuning(job: &Job, tune: &Tune) -> Result<(), Error> {
    let [low, high] = tune.rates;
    if !(low > 0.0 && low < high && high <= 1e3) {
        let expected = "a rate above 0 and a higher one, at most 1000";
        return Err(Error::refused("job.tune.rates", format!("{low} to {high}"), expected));
    }
    values("tune.weight_decay", &tune.weight_decay, "0 to 10", |x| (0.0..=10.0).contains(&x))?;
    values("tune.label_smoothing", &tune.label_smoothing, "0 to below 1", |x| (0.0..1.0).contains(&x))?;
    // Each pair of these is tried with one rate at least.
    let pairs = tune.weight_decay.len().max(1) * tune.label_smoothing.len().max(1);
    whole("tune.trials", tune.trials, u32::try_from(pairs).unwrap_or(u32::MAX), MAX_TRIALS)?;
    whole("tune.keep", tune.keep, 2, 1_000)?;
    whole("tune.epochs", tune.epochs, 1, MAX_EPOCHS)?;
    if tune.epochs_in(tune.rungs()) > MAX_EPOCHS {
        let expected = format!("so few that the last rung has at most {MAX_EPOCHS}");
        return Err(Error::refused("job.tune.epochs", tune.epochs.to_string(), expected));
    }
    goes_with_tuning(job)
}

/// Checks the keys that a tuning has no use for: one worker trains a trial, from its first step to its last.
fn goes_with_tuning(job: &Job) -> Result<(), Error> {
    let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let (key, found, expected) = if job.head != Head::Softmax {
        let found = serde_json::to_string(&job.head).unwrap_or_default();
        ("head", found, "`softmax` in a tuning: trials of deeper layers would be too large to keep")
    } else if job.agree != Agreement::Average {
        ("agree", word(&job.agree), "`average` in a tuning: the worker of a trial agrees with nobody")
    } else if job.precision != Precision::F32 {
        ("precision", word(&job.precision), "`f32` in a tuning: trials are never rounded")
    } else if let Some(Reduce::Sliced) = job.reduce {
        ("reduce", "sliced".into(), "`single` in a tuning: trials are compared, not summed")
    } else if let Some(patience) = job.patience {
        ("patience", patience.to_string(), "none in a tuning: every rung is done")
    } else if let Some(decay) = job.average_decay {
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

/// Checks a list of numbers to try, each once.
fn values(key: &str, found: &[f64], expected: &str, allowed: impl Fn(f64) -> bool) -> Result<(), Error> {
    for (at, &value) in found.iter().enumerate() {
        number(key, value, expected, &allowed)?;
        if found[..at].contains(&value) {
            return Err(Error::refused(&format!("job.{key}"), format!("{value} twice"), "each once"));
        }
    }
    Ok(())
}

/// The most events of a run.
const MAX_INVOCATIONS: u64 = 1_000_000_000;

fn limits(limits: &Limits) -> Result<(), Error> {
    if !(1..=MAX_INVOCATIONS).contains(&limits.invocations) {
        let (found, expected) = (limits.invocations.to_string(), format!("1 to {MAX_INVOCATIONS}"));
        return Err(Error::refused("job.limits.invocations", found, expected));
    }
    number("limits.dollars", limits.dollars, "from 0.000000001 to 1000000", |x| (1e-9..=1e6).contains(&x))?;
    number("limits.hours", limits.hours, "from 0.000000001 to 8760", |x| (1e-9..=8_760.0).contains(&x))?;
    whole("limits.legs_per_worker", limits.legs_per_worker, 1, 1_000_000)
}

fn whole(key: &str, found: u32, low: u32, high: u32) -> Result<(), Error> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(Error::refused(
        &format!("job.{key}"),
        found.to_string(),
        format!("a whole number from {low} to {high}"),
    ))
}

fn number(key: &str, found: f64, expected: &str, allowed: impl Fn(f64) -> bool) -> Result<(), Error> {
    if found.is_finite() && allowed(found) {
        return Ok(());
    }
    Err(Error::refused(&format!("job.{key}"), found.to_string(), format!("a number {expected}")))
}

fn name(key: &str, found: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if !found.is_empty() && found.len() <= 100 && !found.starts_with('.') && found.chars().all(allowed) {
        return Ok(());
    }
    let expected = "1 to 100 characters of a-z, 0-9, '.', '_' and '-', not starting with '.'";
    Err(Error::refused(&format!("job.{key}"), format!("{found:?}"), expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_needs_only_its_dataset_and_network() {
        let job = Job::from_value(json!({"dataset": "cifar10", "network": "vgg19"})).unwrap();
        assert_eq!((job.weights(), job.image_size, job.rounds), ("vgg19", 224, 20));
        let again = Job::from_value(serde_json::to_value(&job).unwrap()).unwrap();
        assert_eq!(job, again);
    }

    #[test]
    fn a_sum_of_gradients_is_exact() {
        let job = json!({"dataset": "d", "network": "vgg19", "agree": "gradient", "precision": "int8"});
        assert!(Job::from_value(job).unwrap_err().to_string().contains("precision"));
    }

    #[test]
    fn a_round_is_several_passes_or_a_part_of_one() {
        let job = |changes: serde_json::Value| {
            let mut job = json!({"dataset": "d", "network": "vgg19", "rounds_per_epoch": 3});
            changes.as_object().unwrap().iter().for_each(|(key, value)| job[key] = value.clone());
            Job::from_value(job)
        };
        assert_eq!(job(json!({"agree": "diloco"})).unwrap().rounds_per_epoch, 3);
        for changes in [json!({"epochs_per_round": 2}), json!({"agree": "gradient"})] {
            let error = job(changes).unwrap_err().to_string();
            assert!(error.contains("rounds_per_epoch") && error.contains('3'), "{error}");
        }
    }

    #[test]
    fn bad_jobs_are_refused_by_key() {
        for (key, value) in [
            ("learning_rate", json!(-0.1)),
            ("learning_rate", json!("fast")),
            ("dataset", json!("../secret")),
            ("batch", json!(0)),
            ("momentum", json!(0.9)),
            ("label_smoothing", json!(1.0)),
            ("average_decay", json!(1.0)),
            ("dropout", json!(1.0)),
            ("optimizer", json!({"kind": "sgd", "momentum": 1.5})),
            ("optimizer", json!({"kind": "lion"})),
            ("limits", json!({"dollars": 0})),
            ("limits", json!({"euros": 1})),
            ("limits.dollars", json!({"dollars": 1e300})),
            ("limits.dollars", json!({"dollars": 1e-300})),
            ("limits.hours", json!({"hours": 8761})),
            ("limits.invocations", json!({"invocations": u64::MAX})),
            ("limits.invocations", json!({"invocations": 0})),
            ("schema", json!(2)),
            ("outer", json!({"rate": 0.5})),
            ("rounds_per_epoch", json!(0)),
            ("score_every", json!(0)),
            ("augment", json!({"copies": 4})),
            ("augment.crop", json!({"crop": 4})),
            ("augment.colour", json!({"colour": -0.1})),
            ("augment.copies", json!({"flip": true, "copies": 1})),
        ] {
            let mut text = json!({"dataset": "d", "network": "vgg19"});
            text[key.split('.').next().unwrap()] = value;
            let error = Job::from_value(text).unwrap_err().to_string();
            let named = error.contains(key) || error.contains("euros") || error.contains("lion");
            assert!(named || error.contains("fast"), "{key}: {error}");
        }
    }
}
