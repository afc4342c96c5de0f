//! A model for use elsewhere: arrays as `.npy` and as safetensors, ids as texts.

use crate::model::{ARRAYS, Model, names};
use datasets::ratings::Side;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use storage::arrays::write_npy;
use storage::{Error, create_folder};
use work::Failed;

/// The description of the exported arrays.
const DESCRIPTION: &str = "model.json";

/// Writes the model in `folder` into the folder `out`; returns the names of the files.
///
/// # Errors
/// [`Failed`], if the model is damaged or cannot be read, or a file exists already or cannot be written.
pub fn export(folder: &Path, out: &Path) -> Result<Vec<String>, Failed> {
    let model = Model::open(folder)?;
    let tables = model.tables(folder)?;
    create_folder(out)?;
    let mut written = Vec::new();
    let mut write = |name: String, content: &dyn Fn(&mut BufWriter<File>) -> std::io::Result<()>| {
        let path = out.join(&name);
        let file = File::create_new(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failed::argument(path.display(), "no file of this name", "one; choose another --out")
            }
            _ => Error::io("create", &path)(error).into(),
        })?;
        let mut file = BufWriter::new(file);
        content(&mut file).and_then(|()| file.flush()).map_err(Error::io("write", &path))?;
        written.push(name);
        Ok::<_, Failed>(())
    };
    for (side, table) in [Side::Users, Side::Items].into_iter().zip(&tables) {
        let [factors, biases] = names(side);
        let rows = || table.values.chunks_exact(table.width);
        let shape = [table.rows() as u64, u64::from(model.factors)];
        let of_factors: Vec<f32> = rows().flat_map(|row| row[1..].iter().copied()).collect();
        let of_biases: Vec<f32> = rows().map(|row| row[0]).collect();
        write(format!("{factors}.npy"), &|file| write_npy(file, &shape, &of_factors))?;
        write(format!("{biases}.npy"), &|file| write_npy(file, &shape[..1], &of_biases))?;
        let ids = model.ids(folder, side)?;
        write(format!("{}.txt", side.name()), &|file| ids.iter().try_for_each(|id| writeln!(file, "{id}")))?;
    }
    let arrays = storage::open(folder, &model.arrays)?.read()?;
    write(ARRAYS.into(), &|file| file.write_all(&arrays))?;
    let rule = "mean + user_biases[u] + item_biases[i] + user_factors[u] . item_factors[i], within scale";
    let described = json!({"mean": model.mean, "scale": model.scale, "factors": model.factors, "rating": rule,
        "dataset": model.dataset, "val": model.val, "test": model.test});
    write(DESCRIPTION.into(), &|file| Ok(serde_json::to_writer_pretty(file, &described)?))?;
    Ok(written)
}
