//! The model of a run: a head's file with plain linear layers, and `model.json`, which names it and describes
//! its use.
//!
//! Standardisation is folded into the first layer (W/σ, b − Wμ/σ), so the layers read features as the cut
//! gives them. Both files depend on nothing but the run's job and its best state. `model.json` is published
//! once; the head is named by its content. A description of another head that is there already is an error,
//! never taken for the run's own.

use crate::confusion::Confusion;
use crate::images::Preprocessing;
use crate::score::{Example, Score, Scored};
use crate::shown::{Answers, shown};
use crate::weights::{BoxError, Parameters};
use crate::{Error, Result};
use protocol::FileRef;
use protocol::items::ModelItem;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use storage::{Tensor, TensorData, read_whole};

/// The description's file.
pub const MODEL: &str = "model.json";
/// The newest schema of `model.json`.
pub(crate) const SCHEMA: u32 = 1;

/// `model.json`: everything that is needed to use a head, and its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub(crate) schema: u32,
    /// The tensors.
    pub head: FileRef,
    /// The network's name.
    pub network: String,
    /// Folder under `weights/` of the frozen part.
    pub weights: String,
    /// Checksum of the frozen part's tensors, in hex.
    pub weights_sha256: String,
    /// The point whose output the head's linear layers read.
    pub cut: String,
    /// Whether they read the mean of each map.
    pub pool: bool,
    /// The preprocessing of an image for the network.
    pub preprocessing: Preprocessing,
    /// The head's layers, from the features to the scores, with ReLU between two of them: names of their
    /// tensors.
    pub layers: Vec<LayerNames>,
    /// Names of tensors of the head's file that replace the pretrained ones, because they were trained, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trained: Vec<String>,
    /// The classes, in the order of the scores.
    pub classes: Vec<String>,
    /// The data set that it was trained on.
    pub dataset: String,
    /// The validation split's score; none when the run could not score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<Evaluation>,
    /// The test split's score, if there is one. It had no part in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Evaluation>,
    /// Why there are no scores, if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unscored: Option<String>,
}

/// The names of one layer's tensors, `[outputs, inputs]` and `[outputs]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerNames {
    /// The weight's.
    pub weight: String,
    /// The bias's.
    pub bias: String,
}

/// A score with the confusion matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Loss, top-1, top-5.
    pub score: Score,
    /// The confusion matrix.
    pub confusion: Confusion,
    /// Predictions for some images, evenly spread over the split.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// Its surest mistakes.
    #[serde(default)]
    pub mistakes: Vec<Example>,
}

impl From<Scored> for Evaluation {
    fn from(scored: Scored) -> Evaluation {
        let Scored { score, confusion, examples, mistakes } = scored;
        Evaluation { score, confusion, examples, mistakes }
    }
}

impl Model {
    /// Reads the model of a run's `model` folder.
    ///
    /// # Errors
    /// [`Error::Storage`] if there is none; [`Error::Damaged`].
    pub fn open(folder: &Path) -> Result<Model> {
        let path = folder.join(MODEL);
        Model::read(&path, &read_whole(&path)?.0)
    }

    pub(crate) fn read(path: &Path, text: &[u8]) -> Result<Model> {
        let model: Model = serde_json::from_slice(&storage::unseal(path, text)?)
            .map_err(|error| Error::damaged(path, "a model", error.to_string()))?;
        if model.schema > SCHEMA {
            let (found, known) = (model.schema, SCHEMA);
            return Err(storage::Error::Schema { file: path.to_owned(), found, known }.into());
        }
        Ok(model)
    }

    /// The item of the progress table.
    pub fn item(&self) -> Option<ModelItem> {
        let Evaluation { confusion, examples, mistakes, .. } = self.val.as_ref()?;
        let (dataset, classes, examples) = (&self.dataset, &self.classes, [&examples[..], mistakes]);
        Some(ModelItem::of(shown(&Answers { dataset, classes, confusion, examples })))
    }

    /// The head's layers as `(weight, bias)`, and the trained layers below them, read from the same folder
    /// and checked.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Damaged`] if a tensor is missing.
    pub fn tensors(&self, folder: &Path) -> Result<(Vec<LayerTensors>, Trained)> {
        let mut tensors = storage::read_tensors(folder, &self.head)?.tensors;
        let mut take = |name: &String| {
            let missing =
                || Error::damaged(&folder.join(&self.head.name), format!("a tensor {name:?}"), "none");
            tensors.remove(name).ok_or_else(missing)
        };
        let trained = self.trained.iter().map(|name| Ok((name.clone(), take(name)?)));
        let trained = Trained(trained.collect::<Result<_>>()?);
        let layers = self.layers.iter().map(|names| Ok((take(&names.weight)?, take(&names.bias)?)));
        Ok((layers.collect::<Result<_>>()?, trained))
    }
}

/// A linear layer's weight, `[outputs, inputs]`, and bias, `[outputs]`.
pub type LayerTensors = (Tensor<'static>, Tensor<'static>);

/// The trained parameters of the network itself, by torchvision's names.
#[derive(Debug)]
pub struct Trained(BTreeMap<String, Tensor<'static>>);

impl Trained {
    /// The network's parameters: these, and the pretrained ones for the rest.
    pub fn over<'a>(&'a self, pretrained: &'a dyn Parameters) -> impl Parameters + 'a {
        Over { trained: self, pretrained }
    }
}

struct Over<'a> {
    trained: &'a Trained,
    pretrained: &'a dyn Parameters,
}

impl Parameters for Over<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> std::result::Result<Cow<'_, [f32]>, BoxError> {
        let Some(tensor) = self.trained.0.get(name) else { return self.pretrained.get(name, shape) };
        match &tensor.data {
            TensorData::F32(values) if tensor.shape == shape => Ok(Cow::Borrowed(values)),
            _ => Err(format!("expected f32 values {shape:?}, found {:?}", tensor.shape).into()),
        }
    }
}
