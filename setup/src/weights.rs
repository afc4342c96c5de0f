//! `baton weights`: installs pretrained weights from a file, and lists those that are there.

use crate::Failure;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;
use storage::Root;
use terminal::say;
use transfer::weights::{Normalisation, install, open_installed};

/// Pretrained weights under ROOT/weights.
#[derive(Clone, Debug, clap::Args)]
pub struct Weights {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// Actions on weights.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Installs a .safetensors or .pth file with torchvision's names.
    ///
    /// Every tensor's name and shape is checked against the network. A file with only the convolutional part
    /// is fine for a job that cuts there.
    #[command(after_help = "Examples:\n  \
        baton weights add vgg19 vgg19-dcbb9e9d.pth --root efs\n  \
        baton weights add mine best.safetensors --network resnet50 \
        --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25 --root efs")]
    Add {
        /// The name under which jobs find them.
        name: String,
        /// The weights file.
        file: PathBuf,
        /// The folder that stands for EFS.
        #[arg(long, default_value_os_t = crate::usual_root())]
        root: PathBuf,
        /// The network of the weights; without it the one of that name.
        #[arg(long)]
        network: Option<String>,
        /// The mean of red, green and blue, in 0..1, that the network was trained with; ImageNet's without
        /// it.
        #[arg(long, value_name = "R,G,B", value_delimiter = ',', num_args = 3)]
        mean: Option<Vec<f32>>,
        /// The deviations that the difference is divided by.
        #[arg(long, value_name = "R,G,B", value_delimiter = ',', num_args = 3)]
        std: Option<Vec<f32>>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the installed weights.
    #[command(after_help = "Example:\n  baton weights list --root efs")]
    List {
        /// The folder that stands for EFS.
        #[arg(long, default_value_os_t = crate::usual_root())]
        root: PathBuf,
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
}

impl Weights {
    /// Adds or lists.
    ///
    /// # Errors
    /// A file that does not fit the network, a name that is taken by other weights.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Add { name, file, root, network, mean, std, json } => {
                let network = networks::network(network.as_ref().unwrap_or(name)).map_err(Failure::input)?;
                let usual = Normalisation::IMAGENET;
                let three = |given: &Option<Vec<f32>>, usual: [f32; 3]| {
                    given.as_deref().map_or(Ok(usual), |given| {
                        given
                            .try_into()
                            .map_err(|_| Failure::input("--mean and --std take three numbers: R,G,B"))
                    })
                };
                let normalisation =
                    Normalisation { mean: three(mean, usual.mean)?, std: three(std, usual.std)? };
                let root = Root::open(root)?;
                install(&root.weights(name)?, file, &network, normalisation).map_err(Failure::of)?;
                tell(&root, name, *json)
            }
            Action::List { root, json } => {
                let root = Root::open(root)?;
                let folder = root.path().join("weights");
                let mut names = Vec::new();
                if folder.is_dir() {
                    for entry in std::fs::read_dir(&folder).map_err(Failure::io("list", &folder))? {
                        let entry = entry.map_err(Failure::io("list", &folder))?;
                        names.extend(entry.file_name().into_string());
                    }
                }
                names.sort();
                if names.is_empty() && !json {
                    say!("none in {}; `baton fetch` and `baton weights add` install some", folder.display());
                }
                names.iter().try_for_each(|name| tell(&root, name, *json))
            }
        }
    }
}

/// One line about installed weights.
fn tell(root: &Root, name: &str, json: bool) -> Result<(), Failure> {
    let folder = root.weights(name)?;
    let installed = match open_installed(&folder) {
        Ok(installed) => installed,
        Err(error) if !json => {
            say!("{name:16} {error}");
            return Ok(());
        }
        Err(error) => return Err(Failure::of(error)),
    };
    let (network, reaches, sha256) = (&installed.network, &installed.reaches, &installed.sha256);
    if json {
        say!(
            "{}",
            json!({"name": name, "network": network, "reaches": reaches, "sha256": sha256,
            "normalisation": installed.normalisation, "folder": folder})
        );
    } else {
        let part = if reaches == "logits" { "whole".into() } else { format!("up to {reaches}") };
        say!("{name:16} {network}, {part}, sha256 {}…", &sha256[..16]);
    }
    Ok(())
}
