//! The ranges of the keys of transfer learning.

use super::{Augment, Head, Job, Pooling};
use protocol::Error;
use protocol::check::{name, number, whole};

impl Job {
    /// Checks every key.
    pub(super) fn check(&self) -> Result<(), Error> {
        name("dataset", &self.dataset)?;
        name("network", &self.network)?;
        if let Some(weights) = &self.weights {
            name("weights", weights)?;
        }
        if let Some(cut) = &self.cut {
            name("cut", cut)?;
        }
        whole("image_size", self.image_size, 8, 2_048)?;
        if let Some(augment) = &self.augment {
            self::augment(augment)?;
        }
        whole("unit_images", self.unit_images, 1, 65_536)?;
        head(self)?;
        number("dropout", self.dropout, "0 to below 1", |x| (0.0..1.0).contains(&x))?;
        self.training.check()?;
        if self.training.tune.is_some() && self.head != Head::Softmax {
            let found = serde_json::to_string(&self.head).unwrap_or_default();
            let expected = "`softmax` in a tuning: trials of deeper layers would be too large to keep";
            return Err(Error::refused("job.head", found, expected));
        }
        Ok(())
    }
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
            if job.pool == Some(Pooling::Average) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Keys;
    use serde_json::{Map, Value, json};

    fn read(changes: Value) -> Result<Job, Error> {
        let mut job = json!({"dataset": "d", "network": "vgg19"});
        job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Job::of(&protocol::Job::from_value(job)?)
    }

    #[test]
    fn a_job_needs_only_its_dataset_and_network() {
        let job = read(json!({})).unwrap();
        assert_eq!((job.weights(), job.image_size, job.training.rounds), ("vgg19", 224, 20));
        let written = job.written(&protocol::Job::from_value(json!({"workers": 3})).unwrap());
        assert_eq!((Job::of(&written).unwrap(), written.workers), (job, Some(3)));
        assert!(Job::of(&protocol::Job::from_value(json!({"dataset": "d"})).unwrap()).is_err());
    }

    #[test]
    fn every_key_has_a_name_and_every_name_a_key() {
        let all = json!({"weights": "w", "cut": "pool5", "pool": "average", "augment": {"flip": true},
            "standardise": false, "from": "a-run"});
        let mut keys = Map::new();
        read(all).unwrap().put(&mut keys);
        let mut names = Job::NAMES.to_vec();
        names.sort_unstable();
        assert_eq!(keys.keys().collect::<Vec<_>>(), names);
    }

    #[test]
    fn bad_jobs_are_refused_by_key() {
        for (key, value) in [
            ("dataset", json!("../secret")),
            ("dropout", json!(1.0)),
            ("batch", json!(0)),
            ("momentum", json!(0.9)),
            ("augment", json!({"copies": 4})),
            ("augment.crop", json!({"crop": 4})),
            ("augment.colour", json!({"colour": -0.1})),
            ("augment.copies", json!({"flip": true, "copies": 1})),
            ("head", json!({"kind": "mlp"})),
            ("model", json!("vgg19")),
        ] {
            let error = read(json!({key.split('.').next().unwrap(): value})).unwrap_err().to_string();
            assert!(error.contains(&format!("job.{key}")), "{key}: {error}");
        }
    }

    #[test]
    fn a_tuning_takes_one_layer() {
        for head in [json!({"kind": "mlp", "hidden": 4}), json!({"kind": "classifier"})] {
            let error = read(json!({"tune": {}, "head": head})).unwrap_err().to_string();
            assert!(error.contains("job.head") && error.contains("tuning"), "{error}");
        }
    }
}
