//! Trains a whole network from scratch on images that are drawn when they are needed: this made the weights
//! of `baton_small`.
//!
//! burn's autodiff on burn-flex computes the gradients of mean cross-entropy; AdamW with warm-up and a cosine
//! makes the steps. Every image is seen once, so the network learns the classes and not the images.

use crate::burn_net::{BurnNet, Parameter};
use crate::images::Preprocessing;
use crate::untrained::Untrained;
use crate::weights::{TensorSpec, write_safetensors};
use crate::{Error, Result};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use networks::Network;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::io::{self, Write};
use std::sync::mpsc::sync_channel;

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Optimizer steps.
    pub steps: u64,
    /// Images in a step.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Decoupled weight decay of AdamW, on weights only.
    pub weight_decay: f64,
    /// Seed of the first weights.
    pub seed: u64,
    /// The preprocessing of an image.
    pub preprocessing: Preprocessing,
}

/// Labelled images of the network's input size.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// `[n, size, size, 3]`.
    pub images: Vec<u8>,
    /// `[n]`.
    pub labels: Vec<u32>,
}

/// The result of a step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Steps made, this one included.
    pub done: u64,
    /// Mean cross-entropy of its images before the step, in nats.
    pub loss: f64,
    /// Share of its images that were classified rightly before the step.
    pub top1: f64,
}

/// A network in training or trained, with its parameters.
pub struct Pretrained {
    net: BurnNet,
    network: Network,
    preprocessing: Preprocessing,
}

/// Trains a network. `examples` returns the images of a step; those of the next are drawn while one is
/// computed.
///
/// The result depends on the arguments only, whatever the number of threads.
///
/// # Errors
/// [`Error::Argument`] if the examples do not fit or the loss is no longer finite; [`Error::Burn`].
pub fn pretrain(
    network: &Network,
    options: &Options,
    examples: impl Fn(u64) -> Examples + Send,
    mut progress: impl FnMut(Step),
) -> Result<Pretrained> {
    let device = Device::flex().autodiff();
    let net = BurnNet::new(network, &Untrained { seed: options.seed }, &device)?;
    let mut trained = Pretrained { net, network: network.clone(), preprocessing: options.preprocessing };
    let mut moments = BTreeMap::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(2);
        scope.spawn(move || {
            (0..options.steps).take_while(|&step| sender.send(examples(step)).is_ok()).count()
        });
        for (done, examples) in (1..).zip(receiver) {
            let (loss, top1) = trained.step(options, done, &examples, &mut moments)?;
            if !loss.is_finite() {
                return Err(Error::argument("loss", "a finite number", format!("{loss} in step {done}")));
            }
            progress(Step { done, loss, top1 });
        }
        Ok(())
    })?;
    Ok(trained)
}

/// AdamW's means of a parameter's gradient and of its square.
struct Moments {
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Pretrained {
    /// One step; returns the loss and the share of right predictions before it.
    fn step(
        &mut self,
        options: &Options,
        done: u64,
        examples: &Examples,
        moments: &mut BTreeMap<String, Moments>,
    ) -> Result<(f64, f64)> {
        let device = Device::flex().autodiff();
        for parameter in self.net.parameters_mut().values_mut() {
            *parameter = parameter.clone().require_grad();
        }
        let scores = self.net.forward(self.input(examples, &device)?, false)?; // [batch, classes]
        let classes = scores.dims()[1];
        let top1 = share_right(&values(scores.clone())?, &examples.labels, classes);
        let loss = cross_entropy(scores, &examples.labels, &device)?; // [1]
        let mut gradients = loss.backward();
        let rate = rate(options, done - 1);
        for networks::Parameter { name, shape, .. } in self.network.parameters() {
            let parameter =
                self.net.parameters_mut().get_mut(&name).expect("the network has its own parameters");
            let gradient = parameter.take_gradient(&mut gradients)?.ok_or_else(|| Error::Burn {
                action: "find the gradient of a parameter",
                reason: format!("{name} has none"),
            })?;
            let mut weights = parameter.values()?;
            let decay = if shape.len() > 1 { options.weight_decay } else { 0.0 };
            let moments = moments.entry(name).or_insert_with(|| Moments::new(weights.len()));
            moments.step(&mut weights, &gradient, rate, decay, done);
            *parameter = Parameter::new(weights, &shape, &device)?;
        }
        Ok((f64::from(values(loss.reshape([1, 1]))?[0]), top1))
    }

    /// `[batch, 3, size, size]`
    fn input(&self, examples: &Examples, device: &Device) -> Result<Tensor<4>> {
        let (side, n) = (self.preprocessing.size, examples.labels.len());
        let mut prepared = vec![0.0; n * self.preprocessing.len()];
        if examples.images.len() != prepared.len() {
            let expected = format!("{n} of {side} by {side} pixels");
            return Err(Error::argument("examples", expected, format!("{} bytes", examples.images.len())));
        }
        let images = examples.images.chunks_exact(self.preprocessing.len());
        for (image, out) in images.zip(prepared.chunks_exact_mut(self.preprocessing.len())) {
            self.preprocessing.prepare(image, (side, side), out)?;
        }
        let data = TensorData::new(prepared, [n, side, side, 3]);
        Ok(Tensor::<4>::from_data(data, (device, DType::F32)).permute([0, 3, 1, 2]))
    }

    /// The share of examples that are classified rightly.
    ///
    /// # Errors
    /// As [`pretrain`].
    pub fn top1(&self, examples: &Examples) -> Result<f64> {
        let scores = self.net.forward(self.input(examples, &Device::flex().autodiff())?, false)?;
        let classes = scores.dims()[1];
        Ok(share_right(&values(scores)?, &examples.labels, classes))
    }

    /// Writes the parameters as safetensors.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let needed = self.network.parameters();
        let tensors: Vec<_> =
            needed.iter().map(|needed| TensorSpec::f32(&needed.name, &needed.shape)).collect();
        write_safetensors(out, &tensors, |tensor| {
            let values = self.net.parameters()[&tensor.name].values();
            Ok(Cow::Owned(values.map_err(io::Error::other)?))
        })
    }
}

/// The rate rises over the first twentieth of the steps and falls along half a cosine.
fn rate(options: &Options, done: u64) -> f64 {
    let through = done as f64 / options.steps as f64;
    options.rate
        * (20.0 * (through + 1.0 / options.steps as f64)).min(1.0)
        * 0.5
        * (1.0 + (PI * through).cos())
}

/// Mean cross-entropy.
fn cross_entropy(scores: Tensor<2>, labels: &[u32], device: &Device) -> Result<Tensor<1>> {
    let [n, classes] = scores.dims();
    let mut targets = vec![0.0_f32; n * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        let target = row.get_mut(label as usize);
        let target =
            target.ok_or_else(|| Error::argument("label", format!("below {classes}"), label.to_string()))?;
        *target = 1.0 / n as f32;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [n, classes]), (device, DType::F32));
    Ok((activation::log_softmax(scores, 1) * targets).sum().neg())
}

fn share_right(scores: &[f32], labels: &[u32], classes: usize) -> f64 {
    let best =
        |row: &[f32]| (0..classes).fold(0, |best, class| if row[class] > row[best] { class } else { best });
    let right = scores.chunks_exact(classes).zip(labels).filter(|(row, label)| best(row) == **label as usize);
    right.count() as f64 / labels.len().max(1) as f64
}

fn values(scores: Tensor<2>) -> Result<Vec<f32>> {
    let values = scores.try_into_vec_as::<f32>();
    values.map_err(|error| Error::Burn { action: "read scores", reason: error.to_string() })
}

impl Moments {
    fn new(length: usize) -> Moments {
        Moments { mean: vec![0.0; length], square: vec![0.0; length] }
    }

    /// AdamW with PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8.
    fn step(&mut self, weights: &mut [f32], gradient: &[f32], rate: f64, decay: f64, steps: u64) {
        let correction = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powf(steps as f64));
        let (keep, rate) = ((1.0 - rate * decay) as f32, (rate / correction[0]) as f32);
        let root = correction[1].sqrt() as f32;
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((weight, &g), (mean, square)) in weights.iter_mut().zip(gradient).zip(moments) {
            *mean = 0.9 * *mean + 0.1 * g;
            *square = 0.999 * *square + 0.001 * g * g;
            *weight = keep * *weight - rate * *mean / (square.sqrt() / root + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Normalisation;
    use rounds::random::{Purpose, Stream};

    const SIDE: usize = 16;

    fn options(steps: u64, rate: f64) -> Options {
        let normalisation = Normalisation { mean: [0.5; 3], std: [0.25; 3] };
        let preprocessing = Preprocessing { size: SIDE, normalisation };
        Options { steps, batch: 8, rate, weight_decay: 0.02, seed: 3, preprocessing }
    }

    /// Images with stripes across or along, in turn.
    fn stripes(step: u64) -> Examples {
        let mut examples = Examples::default();
        for index in 0..8 {
            let mut stream = Stream::new(5, Purpose::Order, step as u32, index);
            let (phase, light) = (stream.below(4) as usize, stream.below(80) as u8);
            let byte = |i: usize| {
                let (x, y) = (i / 3 % SIDE, i / 3 / SIDE);
                let at = if index % 2 == 0 { x } else { y };
                if (at + phase) % 4 < 2 { 150 + light } else { light }
            };
            examples.images.extend((0..SIDE * SIDE * 3).map(byte));
            examples.labels.push(index % 2);
        }
        examples
    }

    #[test]
    fn the_weights_do_not_depend_on_the_number_of_threads() {
        let weights = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let network = networks::network("baton_small").unwrap();
            let trained = pool.install(|| pretrain(&network, &options(3, 1e-3), stripes, |_| {})).unwrap();
            let mut bytes = Vec::new();
            trained.write(&mut bytes).unwrap();
            bytes
        };
        let one = weights(1);
        assert!(one.len() > 4 * 218_924);
        assert_eq!(one, weights(2));
        assert_eq!(one, weights(3));
    }

    #[test]
    fn a_network_learns_what_it_is_shown() {
        let network = networks::network("baton_small").unwrap();
        let mut losses = Vec::new();
        let trained = pretrain(&network, &options(40, 2e-3), stripes, |step| losses.push(step.loss)).unwrap();
        assert!(losses[0] > 2.0 && losses[39] < 0.3, "{losses:?}");
        assert_eq!(trained.top1(&stripes(1_000)).unwrap(), 1.0);
    }

    #[test]
    fn examples_that_do_not_fit_are_refused() {
        let network = networks::network("baton_small").unwrap();
        let short = |_| Examples { images: vec![0; 5], labels: vec![0] };
        assert!(matches!(pretrain(&network, &options(1, 1e-3), short, |_| {}), Err(Error::Argument { .. })));
        let other = |_| Examples { images: vec![0; SIDE * SIDE * 3], labels: vec![28] };
        assert!(matches!(pretrain(&network, &options(1, 1e-3), other, |_| {}), Err(Error::Argument { .. })));
    }
}
