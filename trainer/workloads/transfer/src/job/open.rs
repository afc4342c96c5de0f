//! The keys that a job leaves open, as its start settles them: by the images, the trained layers and the
//! optimizer. A key that the job has is never changed.
//!
//! **The rate of new linear layers.** AdamW's first steps change every weight by the rate, whatever the
//! gradient. Over *d* standardised features, each about 1, these changes add up to *d* times the rate in a
//! score of a class if they all agree. So the rate is [`MOVE`] / *d*: a step never moves a score by more. SGD
//! has a bound of the same form: the longest stable step falls with the largest eigenvalue of the features'
//! correlation, which is a share of *d*.
//!
//! **The rate of pretrained layers** is small, so that they are changed and not replaced.

use super::{Head, Job, Pooling};
use rounds::keys::{Agreement, BATCH, OptimizerKind};

/// The most by which a step of AdamW moves a score of new linear layers.
const MOVE: f64 = 1.0;
/// The same bound for SGD with momentum.
const SGD_MOVE: f64 = 5.0;
/// The highest rate of these: with few features the bound says nothing.
const HIGHEST: f64 = 0.02;
/// AdamW's and SGD's rate of pretrained layers.
const PRETRAINED: [f64; 2] = [1e-4, 1e-3];
/// Steps of a pass that batches leave, as long as they have [`SMALLEST`] images.
const STEPS: usize = 32;
/// The fewest images in a step.
const SMALLEST: u32 = 8;

/// The network and the images, as far as they decide the open keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// The point at which the network is cut.
    pub(crate) cut: &'a str,
    /// Whether a map there is averaged.
    pub(crate) pool: bool,
    /// Features of an image.
    pub(crate) columns: usize,
    /// Training images.
    pub(crate) images: usize,
}

impl Job {
    /// Fills in the keys that the job leaves open.
    pub(crate) fn settle(&mut self, known: Known<'_>) {
        self.cut.get_or_insert_with(|| known.cut.to_owned());
        self.pool.get_or_insert(if known.pool { Pooling::Average } else { Pooling::None });
        let training = &mut self.training;
        let batch = if training.agree == Agreement::Gradient { BATCH } else { batch(known.images) };
        training.batch.get_or_insert(batch);
        // A rate without an optimizer is one of SGD, which is the oldest of the defaults.
        let optimizer =
            if training.learning_rate.is_some() { OptimizerKind::default() } else { OptimizerKind::ADAMW };
        let optimizer = *training.optimizer.get_or_insert(optimizer);
        training.learning_rate.get_or_insert(rate(&self.head, optimizer, known.columns));
    }
}

/// The images in a step: a power of two, so that a pass of a small set has many steps.
fn batch(images: usize) -> u32 {
    let most = (images / STEPS).clamp(SMALLEST as usize, BATCH as usize);
    1 << most.ilog2()
}

/// The rate for layers and an optimizer.
fn rate(head: &Head, optimizer: OptimizerKind, columns: usize) -> f64 {
    let [adamw, sgd] = match head {
        Head::Softmax | Head::Mlp { .. } => {
            [MOVE, SGD_MOVE].map(|bound| (bound / columns as f64).min(HIGHEST))
        }
        Head::Classifier | Head::Layers { .. } => PRETRAINED,
    };
    match optimizer {
        OptimizerKind::Adamw { .. } => two_digits(adamw),
        OptimizerKind::Sgd { .. } => two_digits(sgd),
    }
}

/// The number with two digits, which people can read and type.
fn two_digits(number: f64) -> f64 {
    format!("{number:.1e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rounds::Training;
    use serde_json::{Value, json};

    fn settled(changes: Value, columns: usize, images: usize) -> Job {
        let mut job = json!({"dataset": "d", "network": "squeezenet1_0"});
        job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let mut job = Job::of(&protocol::Job::from_value(job).unwrap()).unwrap();
        job.settle(Known { cut: "fire9", pool: true, columns, images });
        job
    }

    #[test]
    fn a_minimal_job_has_adamw_at_a_rate_for_the_number_of_its_features() {
        for (columns, rate) in [(10, 0.02), (128, 0.0078), (512, 0.002), (4_096, 0.00024)] {
            let Training { optimizer, learning_rate, .. } = settled(json!({}), columns, 5_000).training;
            assert_eq!((optimizer, learning_rate), (Some(OptimizerKind::ADAMW), Some(rate)), "{columns}");
        }
        let job = settled(json!({}), 512, 5_000);
        assert_eq!((job.cut.as_deref(), job.pool), (Some("fire9"), Some(Pooling::Average)));
        let sgd = settled(json!({"optimizer": {"kind": "sgd"}}), 512, 5_000).training;
        assert_eq!(sgd.learning_rate, Some(0.0098));
    }

    #[test]
    fn pretrained_layers_have_a_small_rate() {
        let layers = json!({"cut": "pool3", "head": {"kind": "layers"}});
        assert_eq!(settled(layers, 86_528, 5_000).training.learning_rate, Some(1e-4));
        let classifier = json!({"head": {"kind": "classifier"}, "optimizer": {"kind": "sgd"}});
        assert_eq!(settled(classifier, 25_088, 5_000).training.learning_rate, Some(1e-3));
    }

    #[test]
    fn a_pass_of_a_small_set_has_many_steps() {
        let batch = |images| settled(json!({}), 512, images).training.batch;
        assert_eq!([10, 104, 500, 1_000, 2_100, 60_000].map(batch), [8, 8, 8, 16, 64, 64].map(Some));
        assert_eq!(settled(json!({"agree": "gradient"}), 512, 104).training.batch, Some(BATCH));
    }

    #[test]
    fn a_key_of_the_job_stays_and_a_rate_alone_is_one_of_sgd() {
        let keys = json!({"cut": "pool1", "pool": "none", "batch": 3, "learning_rate": 0.5});
        let job = settled(keys, 512, 104);
        assert_eq!((job.cut.as_deref(), job.pool), (Some("pool1"), Some(Pooling::None)));
        let Training { batch, learning_rate, optimizer, .. } = job.training;
        assert_eq!((batch, learning_rate), (Some(3), Some(0.5)));
        assert_eq!(optimizer, Some(OptimizerKind::default()));
    }

    #[test]
    fn a_settled_job_is_not_changed_by_another_start() {
        let once = settled(json!({}), 512, 104);
        let mut again = once.clone();
        again.settle(Known { cut: "logits", pool: false, columns: 7, images: 9 });
        assert_eq!(again, once);
    }
}
