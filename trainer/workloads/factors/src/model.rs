//! The product of a run: factors, biases and ids, and an index with the scores.

use crate::job::Solve;
use crate::tables::Table;
use datasets::ratings::{Ids, Side, read_ids};
use protocol::FileRef;
use serde::{Deserialize, Serialize};
use std::path::Path;
use storage::read_tensors;
use work::Failed;

/// The index's file.
pub const MODEL: &str = "factors.json";
/// The file of the arrays.
pub const ARRAYS: &str = "factors.safetensors";
/// The newest schema of the index.
pub(crate) const SCHEMA: u32 = 1;

/// The index of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The schema of this description.
    pub schema: u32,
    /// The name of the data set.
    pub dataset: String,
    /// The key of its content.
    pub dataset_key: String,
    /// How the factors were found.
    pub solve: Solve,
    /// The number of factors.
    pub factors: u32,
    /// The weight of the squared numbers.
    pub regularisation: f64,
    /// The mean of the training ratings.
    pub mean: f64,
    /// The lowest and the highest rating: a prediction is never outside.
    pub scale: [f64; 2],
    /// The number of training ratings.
    pub ratings: u64,
    /// `user_factors` and `item_factors` `[count, factors]`, `user_biases` and `item_biases` `[count]`.
    pub arrays: FileRef,
    /// The users' ids, in the order of the arrays.
    pub users: Ids,
    /// The items' ids.
    pub items: Ids,
    /// The score on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<Scored>,
    /// The score on the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Scored>,
    /// Why it has no scores, if the run was to have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unscored: Option<String>,
}

/// The score on a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The root of the mean square of the errors.
    pub rmse: f64,
    /// The mean of the absolute errors.
    pub mae: f64,
    /// The root of the mean square of the errors if every prediction is the mean of the training ratings.
    pub rmse_of_mean: f64,
    /// The number of ratings.
    pub of: u64,
}

impl Model {
    /// Reads the index of a run's `model` folder.
    ///
    /// # Errors
    /// [`Failed`], if it is missing, cannot be read, is damaged, or has a later schema.
    pub fn open(folder: &Path) -> Result<Model, Failed> {
        let path = folder.join(MODEL);
        let (text, _) = storage::read_whole(&path)?;
        let text = storage::unseal(&path, &text)?;
        let damaged =
            |error: serde_json::Error| Failed::damaged(&path, "an index of factors", error.to_string());
        let model: Model = serde_json::from_slice(&text).map_err(damaged)?;
        if model.schema > SCHEMA {
            let found = format!("schema {}", model.schema);
            return Err(Failed::argument(path.display(), format!("schema {SCHEMA}"), found));
        }
        Ok(model)
    }

    /// The ids of a side.
    ///
    /// # Errors
    /// [`Failed`], if their file is missing, cannot be read or is damaged.
    pub fn ids(&self, folder: &Path, side: Side) -> Result<Vec<String>, Failed> {
        let ids = self.side(side);
        Ok(read_ids(folder, &ids.file, ids.count)?)
    }

    pub(crate) fn side(&self, side: Side) -> &Ids {
        match side {
            Side::Users => &self.users,
            Side::Items => &self.items,
        }
    }

    /// The numbers of users and items: rows of a bias and factors.
    pub(crate) fn tables(&self, folder: &Path) -> Result<[Table; 2], Failed> {
        let mut tensors = read_tensors(folder, &self.arrays)?;
        let factors = self.factors as usize;
        let mut take = |side: Side| -> Result<Table, Failed> {
            let (count, [factors_name, biases_name]) = (self.side(side).count as usize, names(side));
            let of_factors = tensors.take_f32(factors_name, &[count, factors])?;
            let biases = tensors.take_f32(biases_name, &[count])?;
            let rows = of_factors.chunks_exact(factors).zip(biases);
            let values = rows.flat_map(|(row, bias)| std::iter::once(bias).chain(row.iter().copied()));
            Ok(Table { width: factors + 1, values: values.collect() })
        };
        Ok([take(Side::Users)?, take(Side::Items)?])
    }
}

/// The arrays of a side: its factors and its biases.
pub(crate) fn names(side: Side) -> [&'static str; 2] {
    match side {
        Side::Users => ["user_factors", "user_biases"],
        Side::Items => ["item_factors", "item_biases"],
    }
}
