//! `baton export`: a run's model as one file for use elsewhere, as torchvision's own class if there is one.

use crate::Failure;
use serde_json::json;
use std::path::{Path, PathBuf};
use storage::{Root, TensorData};
use terminal::say;
use transfer::export::{Linear, Model, export};
use transfer::model;
use transfer::weights::open_installed;

/// Writes a run's whole network with its new head as safetensors, and labels and preprocessing as JSON. Of a
/// run of factors it writes the arrays as .npy and as safetensors, and the ids.
///
/// At the default cut with a softmax head the file is torchvision's own model with its last layer replaced;
/// at any other cut model.json in the folder says what to compute.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  baton export --root efs --run my-run --out exported\n\nThen, in Python:\n  \
    model = torchvision.models.vgg19(num_classes=10)\n  \
    model.load_state_dict(safetensors.torch.load_file('exported/model.safetensors'))"
)]
pub struct Export {
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// The run; without it the last one with a model.
    #[arg(long)]
    pub run: Option<String>,
    /// The folder to write into.
    #[arg(long)]
    pub out: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Export {
    /// Writes the files.
    ///
    /// # Errors
    /// A run without a model, weights that are no longer those of the run, files that exist already.
    pub fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.root)?;
        let chosen = |file| crate::chosen_run(&root, self.run.as_deref(), file);
        if self.run.is_some()
            && let Ok(run) = chosen(factors::model::MODEL)
        {
            return self.factors(&root.run(&run).model());
        }
        let run = chosen(model::MODEL)?;
        let folder = root.run(&run).model();
        let model = model::Model::open(&folder).map_err(Failure::of)?;
        let installed = open_installed(&root.weights(&model.weights)?).map_err(Failure::of)?;
        if installed.sha256 != model.weights_sha256 {
            let (name, sha256) = (&model.weights, &model.weights_sha256);
            return Err(Failure::input(format!(
                "weights {name:?} are not those that run {run} was trained on (sha256 {sha256}): \
                 install those again"
            )));
        }
        let (layers, trained) = model.tensors(&folder).map_err(Failure::of)?;
        let head = layers.into_iter().map(|(weight, bias)| match (weight.data, bias.data) {
            (TensorData::F32(weight), TensorData::F32(bias)) => {
                Ok(Linear { weight: weight.into_owned(), bias: bias.into_owned() })
            }
            _ => Err(Failure::input(format!("the head of run {run} is not in f32"))),
        });
        let head = head.collect::<Result<Vec<_>, _>>()?;
        let network = networks::network(&model.network).map_err(Failure::input)?;
        let exported = export(
            &Model {
                network: &network,
                cut: &model.cut,
                pool: model.pool,
                backbone: &trained.over(&installed.weights),
                head: &head,
                labels: &model.classes,
                preprocessing: model.preprocessing,
            },
            &self.out,
        )
        .map_err(Failure::of)?;
        if self.json {
            say!("{}", serde_json::to_string(&exported).map_err(|error| error.to_string())?);
        } else {
            say!("{}: {}", self.out.display(), exported.how);
        }
        Ok(())
    }

    /// Writes the arrays of a model of ratings.
    fn factors(&self, folder: &Path) -> Result<(), Failure> {
        let files = factors::export::export(folder, &self.out)?;
        if self.json {
            say!("{}", json!({"files": files}));
        } else {
            say!("{}: {}", self.out.display(), files.join(", "));
        }
        Ok(())
    }
}
