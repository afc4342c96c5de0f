//! `baton features`: lists the stored features of frozen layers, and removes them.

use crate::Failure;
use crate::runs::{active, names};
use clap::Subcommand;
use indicatif::HumanBytes;
use protocol::RunId;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use storage::{FeatureManifest, Root, remove_folder};
use terminal::say;

/// Feature stores under ROOT/features.
#[derive(Clone, Debug, clap::Args)]
pub struct Features {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// Actions on feature stores.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Lists the stores: what they were made of, how large they are, and the runs that use them.
    #[command(after_help = "Example:\n  baton features list --root efs")]
    List {
        /// The folder that stands for EFS.
        #[arg(long, default_value_os_t = crate::usual_root())]
        root: PathBuf,
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Removes stores; a later run that needs one computes it again.
    ///
    /// A store that an unfinished run uses is kept, unless --force says that the run is given up.
    #[command(after_help = "Examples:\n  \
        baton features rm cifar10-vgg19-fc2-224px-0123 --root efs   the beginning of a key is enough\n  \
        baton features rm --unfinished --root efs   stores that were begun and never finished")]
    Rm {
        /// The keys, or the beginning of each.
        #[arg(required_unless_present = "unfinished")]
        keys: Vec<String>,
        /// Stores that were begun and never finished.
        #[arg(long)]
        unfinished: bool,
        /// Even if a run uses it.
        #[arg(long)]
        force: bool,
        /// The folder that stands for EFS.
        #[arg(long, default_value_os_t = crate::usual_root())]
        root: PathBuf,
    },
}

impl Features {
    /// Lists or removes.
    ///
    /// # Errors
    /// A key that is the beginning of no store's or of several stores' keys; a store that is in use.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.action {
            Action::List { root, json } => {
                let stores = stores(&Root::open(root)?)?;
                if stores.is_empty() && !json {
                    say!("none in {}; a run makes one", root.join("features").display());
                }
                stores.iter().for_each(|store| if *json { store.tell_json() } else { store.tell() });
                Ok(())
            }
            Action::Rm { keys, unfinished, force, root } => {
                let stores = stores(&Root::open(root)?)?;
                let mut chosen = Vec::new();
                for key in keys {
                    chosen.push(chosen_by(&stores, key)?);
                }
                if *unfinished {
                    chosen.extend(
                        stores.iter().filter(|store| store.manifest.is_none() && store.runs.is_empty()),
                    );
                }
                chosen.iter().try_for_each(|store| store.remove(*force))
            }
        }
    }
}

/// A store in its folder.
struct Store {
    key: String,
    folder: PathBuf,
    bytes: u64,
    /// Missing while the store is computed.
    manifest: Option<FeatureManifest>,
    /// Why the manifest cannot be read although there is a file.
    damage: Option<String>,
    /// The unfinished runs that use it.
    runs: Vec<RunId>,
}

/// All stores, in the order of their keys.
fn stores(root: &Root) -> Result<Vec<Store>, Failure> {
    let users = users(root)?;
    let mut stores = Vec::new();
    for key in names(&root.path().join("features"))? {
        // A name that cannot be a key is not ours.
        let Ok(folder) = root.features(&key) else { continue };
        let (manifest, damage) = match FeatureManifest::find(&folder) {
            Ok(manifest) => (manifest, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let runs = users.get(&key).cloned().unwrap_or_default();
        stores.push(Store { bytes: bytes_in(&folder)?, manifest, damage, runs, key, folder });
    }
    Ok(stores)
}

/// The unfinished runs, by the key of the store that they use.
fn users(root: &Root) -> Result<BTreeMap<String, Vec<RunId>>, Failure> {
    let mut users: BTreeMap<String, Vec<RunId>> = BTreeMap::new();
    for ledger in active(root)? {
        users.entry(ledger.features.key).or_default().push(ledger.run);
    }
    Ok(users)
}

fn bytes_in(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        // A temporary file of an active run may be gone by now.
        bytes += entry.and_then(|entry| entry.metadata()).map_or(0, |data| data.len());
    }
    Ok(bytes)
}

fn chosen_by<'a>(stores: &'a [Store], key: &str) -> Result<&'a Store, Failure> {
    let mut found = stores.iter().filter(|store| store.key.starts_with(key));
    match (found.next(), found.next()) {
        (Some(store), None) => Ok(store),
        (Some(one), Some(two)) => Err(Failure::input(format!(
            "{key} is the beginning of {} and of {}: give more of it",
            one.key, two.key
        ))),
        (None, _) => {
            Err(Failure::input(format!("no store's key begins with {key}: `baton features list` shows them")))
        }
    }
}

impl Store {
    fn state(&self) -> String {
        match (&self.manifest, &self.damage) {
            (Some(manifest), _) => format!("{} images of {} features", manifest.rows, manifest.columns),
            (None, Some(damage)) => damage.clone(),
            (None, None) => "not finished".into(),
        }
    }

    fn tell(&self) {
        let runs: Vec<&str> = self.runs.iter().map(RunId::as_str).collect();
        let used = if runs.is_empty() { String::new() } else { format!(", in use by {}", runs.join(", ")) };
        say!("{}", self.key);
        say!("  {}, {}{used}", HumanBytes(self.bytes), self.state());
    }

    fn tell_json(&self) {
        let manifest = self.manifest.as_ref();
        say!(
            "{}",
            json!({
                "key": self.key, "bytes": self.bytes, "finished": manifest.is_some(), "damage": self.damage,
                "images": manifest.map(|m| m.rows), "features": manifest.map(|m| m.columns),
                "dtype": manifest.map(|m| m.dtype), "made_of": manifest.map(|m| &m.made_of),
                "runs": self.runs,
            })
        );
    }

    fn remove(&self, force: bool) -> Result<(), Failure> {
        if let (Some(run), false) = (self.runs.first(), force) {
            let why = format!("run {run} works with {}: stop it first, or add --force", self.key);
            return Err(Failure::input(why));
        }
        if !remove_folder(&self.folder)? {
            return Err(Failure::input(format!("{} is still read by someone: try again later", self.key)));
        }
        say!("removed {}, {}", self.key, HumanBytes(self.bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(key: &str) -> Store {
        let folder = PathBuf::from("nowhere");
        Store { key: key.into(), folder, bytes: 0, manifest: None, damage: None, runs: Vec::new() }
    }

    #[test]
    fn the_beginning_of_a_key_will_do_if_only_one_has_it() {
        let stores = [store("cifar-vgg19-0123"), store("cifar-vgg19-0199")];
        assert_eq!(chosen_by(&stores, "cifar-vgg19-012").unwrap().key, "cifar-vgg19-0123");
        assert!(chosen_by(&stores, "cifar").err().unwrap().message.contains("give more of it"));
        assert!(chosen_by(&stores, "mnist").err().unwrap().message.contains("no store's key"));
    }

    #[test]
    fn a_store_that_a_run_works_with_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("features").join("a-key");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("train-000000-x.npy"), "12345").unwrap();
        let mut found = stores(&Root::open(root.path()).unwrap()).unwrap();
        assert_eq!((found[0].bytes, found[0].state().as_str()), (5, "not finished"));
        found[0].runs = vec![RunId::new("at-work").unwrap()];
        assert!(found[0].remove(false).unwrap_err().message.contains("at-work"));
        assert!(folder.is_dir());
        found[0].remove(true).unwrap();
        assert!(!folder.exists());
    }
}
