//! A run's model at work: images in, a probability for each class out.

use crate::images::Preprocessing;
use crate::model::{LayerTensors, Model};
use crate::score::{Example, Scored, Tally};
use crate::weights::{BoxError, Parameters, open_installed};
use crate::{Error, Result};
use datasets::images::{Image, Split};
use frozen::{Compiled, Options};
use protocol::RunId;
use std::borrow::Cow;
use std::path::Path;
use storage::{Root, TensorData};

/// Images that go through the network together.
const BATCH: usize = 32;

/// A run's model, ready for images.
pub struct Predictor {
    model: Model,
    net: Compiled,
    head: Vec<Layer>,
}

/// One linear layer of the head.
struct Layer {
    /// `[outputs, inputs]`
    weight: Vec<f32>,
    /// `[outputs]`
    bias: Vec<f32>,
}

impl Predictor {
    /// Opens the model of a run, with the installed weights that it was trained on.
    ///
    /// # Errors
    /// [`Error::Storage`] if the run has no model; [`Error::Damaged`] if the weights are others or the head
    /// does not fit the network.
    pub fn open(root: &Root, run: &RunId, threads: usize) -> Result<Predictor> {
        let folder = root.run(run).model();
        let model = Model::open(&folder)?;
        let weights_folder = root.weights(&model.weights)?;
        let installed = open_installed(&weights_folder)?;
        if installed.sha256 != model.weights_sha256 {
            let expected = format!("the weights of run {run}, sha256 {}", model.weights_sha256);
            return Err(Error::damaged(&weights_folder, expected, format!("sha256 {}", installed.sha256)));
        }
        let network = networks::network(&model.network)?.up_to(&model.cut)?;
        let side = model.preprocessing.size;
        let options = Options { threads: threads.max(1), pool: model.pool, ..Options::default() };
        let (layers, trained) = model.tensors(&folder)?;
        let net = Compiled::new(&network, (side, side), &trained.over(&installed.weights), options)?;
        let head = head(&model, &folder, layers, net.features())?;
        Ok(Predictor { model, net, head })
    }

    /// The content of `model.json`.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The probability of each class for each image.
    ///
    /// # Errors
    /// [`Error::Argument`] if an image has no pixels.
    pub fn probabilities(&mut self, images: &[Image]) -> Result<Vec<Vec<f32>>> {
        let scores = self.scores(images)?;
        Ok(scores.chunks_exact(self.model.classes.len()).map(softmax).collect())
    }

    /// Scores a split of a data set whose labels mean this model's classes.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Argument`] when a score is not finite.
    pub fn evaluate(&mut self, split: &Split, progress: impl FnMut(usize)) -> Result<Scored> {
        Ok(self.tally(split, progress)?.scored())
    }

    /// Every mistake on such a split, the surest first.
    ///
    /// # Errors
    /// As [`Predictor::evaluate`].
    pub fn mistakes(&mut self, split: &Split, progress: impl FnMut(usize)) -> Result<Vec<Example>> {
        Ok(self.tally(split, progress)?.mistakes())
    }

    fn tally(&mut self, split: &Split, mut progress: impl FnMut(usize)) -> Result<Tally> {
        let labels = split.labels()?;
        let mut tally = Tally::new(self.model.classes.len());
        let mut images = Vec::new();
        for first in (0..split.len()).step_by(BATCH) {
            let range = first..split.len().min(first + BATCH);
            split.read_images(range.clone(), &mut images)?;
            tally.add(&self.scores(&images)?, &labels[range])?;
            progress(images.len());
        }
        Ok(tally)
    }

    /// The scores before softmax, `[images, classes]`.
    fn scores(&mut self, images: &[Image]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(images.len() * self.model.classes.len());
        for images in images.chunks(BATCH) {
            let prepared = prepare(&self.model.preprocessing, images)?; // [n, size, size, 3]
            let mut rows = vec![0.0; images.len() * self.net.features()]; // [n, features]
            self.net.run(&prepared, images.len(), &mut rows)?;
            for (index, layer) in self.head.iter().enumerate() {
                if index > 0 {
                    rows.iter_mut().for_each(|value| *value = value.max(0.0));
                }
                rows = layer.apply(&rows); // [n, outputs]
            }
            scores.extend(rows);
        }
        Ok(scores)
    }
}

/// `[n, size, size, 3]`
pub(crate) fn prepare(preprocessing: &Preprocessing, images: &[Image]) -> Result<Vec<f32>> {
    let mut prepared = vec![0.0; images.len() * preprocessing.len()];
    for (image, out) in images.iter().zip(prepared.chunks_exact_mut(preprocessing.len())) {
        preprocessing.prepare(&image.pixels, (image.height, image.width), out)?;
    }
    Ok(prepared)
}

fn head(model: &Model, folder: &Path, layers: Vec<LayerTensors>, features: usize) -> Result<Vec<Layer>> {
    let mut inputs = features;
    let mut head = Vec::new();
    for (weight, bias) in layers {
        let damaged = |found: String| {
            let expected = format!("f32 weights of {inputs} inputs and as many biases as outputs");
            Error::damaged(&folder.join(&model.head.name), expected, found)
        };
        let shapes = format!("{:?} and {:?}", weight.shape, bias.shape);
        let (TensorData::F32(weight), TensorData::F32(bias)) = (weight.data, bias.data) else {
            return Err(damaged("another type".into()));
        };
        if bias.is_empty() || weight.len() != inputs * bias.len() {
            return Err(damaged(shapes));
        }
        inputs = bias.len();
        head.push(Layer { weight: weight.into_owned(), bias: bias.into_owned() });
    }
    if inputs != model.classes.len() || head.is_empty() {
        let expected = format!("a head of {} classes", model.classes.len());
        return Err(Error::damaged(&folder.join(&model.head.name), expected, format!("{inputs} outputs")));
    }
    Ok(head)
}

impl Layer {
    /// `[n, inputs]` to `[n, outputs]`.
    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let inputs = self.weight.len() / self.bias.len();
        let dot = |row: &[f32], weights: &[f32]| {
            // Eight sums at a time, always added in the same order.
            let mut sums = [0.0_f32; 8];
            let (rows, weights) = (row.chunks(8), weights.chunks(8));
            rows.zip(weights)
                .for_each(|(r, w)| r.iter().zip(w).zip(&mut sums).for_each(|((r, w), s)| *s += r * w));
            sums.iter().sum::<f32>()
        };
        let outputs =
            |row| self.weight.chunks_exact(inputs).zip(&self.bias).map(move |(w, bias)| dot(row, w) + bias);
        rows.chunks_exact(inputs).flat_map(outputs).collect()
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

/// Our parameters in the form that the compiled network needs.
pub(crate) struct Adapted<'a>(pub(crate) &'a dyn Parameters);

impl frozen::Parameters for Adapted<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, BoxError> {
        self.0.get(name, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_rows_times_weights_plus_bias() {
        let weight: Vec<f32> = (0..22).map(|i| i as f32).collect();
        let layer = Layer { weight, bias: vec![0.5, -1.0] };
        let rows: Vec<f32> = (0..11).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        // Σ±i for 0..11 is 5; the second row of weights is 11 larger everywhere, and one more 1 than -1 is
        // added.
        assert_eq!(layer.apply(&rows), [5.5, 15.0]);
    }

    #[test]
    fn probabilities_sum_to_one_whatever_the_scores() {
        let found = softmax(&[1000.0, 999.0, -1000.0]);
        assert!(
            (found.iter().sum::<f32>() - 1.0).abs() < 1e-6 && found[0] > 0.73 && found[2] == 0.0,
            "{found:?}"
        );
    }
}
