//! The end of a run: the best state is scored and published as a model.

use crate::data::Data;
use crate::job::Job;
use crate::model::{ARRAYS, MODEL, Model, SCHEMA, Scored, names};
use crate::score::{Scale, score};
use crate::tables::Tables;
use datasets::ratings::{Ids, Side, Split};
use protocol::FileRef;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use storage::{Tensor, publish_same, write_tensors_same};
use work::{Failed, Last, Stage};

/// Publishes the model of the best state, the index last.
pub(crate) fn ending(stage: &Stage<'_>, last: Last<'_>, job: &Job, data: &Data) -> Result<FileRef, Failed> {
    let folder = stage.root.run(stage.run);
    let product = folder.model();
    storage::create_folder(&product)?;
    let tables = Tables::read(&folder.combined(), last.state()?, job, data)?;
    let scored = |split| match last.unscored {
        None => scored(&tables, job, data, split),
        Some(_) => Ok(None),
    };
    let (val, test) = (scored(Split::Val)?, scored(Split::Test)?);
    let manifest = data.ratings.manifest();
    let model = Model {
        schema: SCHEMA,
        dataset: job.dataset.clone(),
        dataset_key: data.ratings.key().to_owned(),
        solve: job.solve,
        factors: job.factors,
        regularisation: job.regularisation,
        mean: manifest.mean,
        scale: manifest.scale,
        ratings: manifest.train,
        arrays: write_arrays(&product, &tables, job.factors as usize)?,
        users: write_ids(&product, data, Side::Users)?,
        items: write_ids(&product, data, Side::Items)?,
        val,
        test,
        unscored: last.unscored.map(str::to_owned),
    };
    let encoding = |error: serde_json::Error| storage::Error::io("write to", &product)(error.into());
    let text = storage::seal(&serde_json::to_string_pretty(&model).map_err(encoding)?);
    Ok(publish_same(&product, MODEL, |file| file.write_all(text.as_bytes()))?)
}

/// The score on a split; none if the data set does not have it.
fn scored(tables: &Tables, job: &Job, data: &Data, split: Split) -> Result<Option<Scored>, Failed> {
    let held_out = data.held_out(split)?;
    if held_out.values.is_empty() {
        return Ok(None);
    }
    let scale = Scale::of(data.ratings.manifest());
    let found = score(tables, job.factors as usize, scale, &held_out);
    let squares = held_out.values.iter().map(|value| (f64::from(*value) - scale.mean).powi(2));
    let rmse_of_mean = (squares.sum::<f64>() / found.of as f64).sqrt();
    Ok(Some(Scored { rmse: found.values[0], mae: found.values[1], rmse_of_mean, of: found.of }))
}

/// Publishes factors and biases, without velocities.
fn write_arrays(product: &Path, tables: &Tables, factors: usize) -> Result<FileRef, Failed> {
    let mut arrays = Vec::new();
    for side in [Side::Users, Side::Items] {
        let (table, [factors_name, biases_name]) = (tables.of(side), names(side));
        let rows = || table.values.chunks_exact(table.width);
        let of_factors: Vec<f32> = rows().flat_map(|row| row[1..=factors].iter().copied()).collect();
        let biases: Vec<f32> = rows().map(|row| row[0]).collect();
        arrays.push(Tensor::f32(factors_name, &[table.rows(), factors], of_factors));
        arrays.push(Tensor::f32(biases_name, &[table.rows()], biases));
    }
    Ok(write_tensors_same(product, ARRAYS, &arrays, &BTreeMap::new())?)
}

fn write_ids(product: &Path, data: &Data, side: Side) -> Result<Ids, Failed> {
    let ids = data.ratings.ids(side)?;
    let name = format!("{}.txt", side.name());
    let file = publish_same(product, &name, |file| ids.iter().try_for_each(|id| writeln!(file, "{id}")))?;
    Ok(Ids { count: ids.len() as u64, file })
}
