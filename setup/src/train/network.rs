//! The network of `baton train`, and its weights: given, installed, or which file to get.

use super::Train;
use crate::Failure;
use crate::assets::install_baton_small;
use crate::fetch::offered;
use crate::runs::names;
use networks::Network;
use std::path::Path;
use storage::Root;
use terminal::note;
use transfer::Error;
use transfer::weights::{Installed, Normalisation, Weights, install, open_installed};

/// The network that is inside this program.
const OWN: &str = "baton_small";
/// The side at which the work of networks is compared, in pixels.
const SIDE: usize = 224;
/// Weights of one network that are tried.
const TRIES: usize = 99;

/// Weights under `ROOT/weights`.
pub(super) struct Found {
    /// The folder's name.
    pub(super) name: String,
    /// The network.
    pub(super) network: String,
}

/// Finds the weights to train with.
///
/// # Errors
/// A file that is not a network's; none installed: the message says which file to get.
pub(super) fn find(train: &Train, root: &Root) -> Result<Found, Failure> {
    if let Some(name) = &train.network {
        networks::network(name).map_err(Failure::input)?;
    }
    let (found, how) = match (&train.weights, train.network.as_deref()) {
        (Some(file), network) => (given(root, file, network)?, format!("weights from {}", file.display())),
        (None, Some(OWN)) => {
            install_baton_small(&train.root)?;
            (Found { name: OWN.into(), network: OWN.into() }, "the small one inside this program".into())
        }
        (None, network) => installed(root, network)?,
    };
    train.say("network", &format!("{}, {how}", found.network));
    Ok(found)
}

/// Installs a weights file.
fn given(root: &Root, file: &Path, network: Option<&str>) -> Result<Found, Failure> {
    if !file.is_file() {
        let there = known(root)?;
        let there: Vec<&str> = there.iter().map(|found| found.name.as_str()).collect();
        let there = if there.is_empty() { "none".into() } else { there.join(", ") };
        return Err(Failure::input(format!(
            "--weights: expected a .safetensors or .pth file, found none at {}. Installed in {}: {there}",
            file.display(),
            root.path().display()
        )));
    }
    let network = match network {
        Some(name) => networks::network(name).map_err(Failure::input)?,
        None => Weights::open(file).map_err(Failure::of)?.network().ok_or_else(|| unknown(file))?,
    };
    for number in 1..=TRIES {
        let name = if number == 1 { network.name.to_owned() } else { format!("{}-{number}", network.name) };
        match install(&root.weights(&name)?, file, &network, Normalisation::IMAGENET) {
            Ok(Installed { .. }) => return Ok(Found { name, network: network.name.to_owned() }),
            Err(Error::Taken { .. }) => {}
            Err(error) => return Err(Failure::of(error)),
        }
    }
    Err(Failure::input(format!("{TRIES} weights of {} are installed: remove some", network.name)))
}

fn unknown(file: &Path) -> Failure {
    Failure::input(format!(
        "{}: expected the weights of one of {}; found those of no network that Baton knows",
        file.display(),
        networks::names().join(", ")
    ))
}

/// The installed weights of a network, or of the one with the least work.
fn installed(root: &Root, network: Option<&str>) -> Result<(Found, String), Failure> {
    let mut all = known(root)?;
    all.retain(|found| network.map_or(found.network != OWN, |name| found.network == name));
    all.sort_by_key(|found| (work(&found.network), found.name.clone()));
    let others: Vec<String> = all.iter().skip(1).map(|found| found.name.clone()).collect();
    let Some(found) = all.into_iter().next() else { return Err(none(root, network)) };
    let how = match others.is_empty() {
        true => "which is installed".to_owned(),
        false => format!("the fastest that is installed; also {}: --network", others.join(", ")),
    };
    Ok((found, how))
}

/// Everything that is installed, as far as it can be read.
fn known(root: &Root) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    for name in names(&root.path().join("weights"))? {
        let opened = root.weights(&name).ok().and_then(|folder| open_installed(&folder).ok());
        all.extend(opened.map(|installed| Found { name, network: installed.network }));
    }
    Ok(all)
}

/// The work of a network on a photo, in multiply-adds.
fn work(network: &str) -> u64 {
    let of = |network: Network| network.up_to(network.default_cut)?.multiply_adds(SIDE, SIDE);
    networks::network(network).and_then(of).unwrap_or(u64::MAX)
}

/// Lists the files to get, and says that there are no weights.
fn none(root: &Root, network: Option<&str>) -> Failure {
    let root = root.path().display();
    note!("Weights are pretrained by others. Get some in one of these ways:");
    for source in offered(network) {
        let (name, megabytes) = (source.name, source.bytes.div_ceil(1_000_000));
        let twice = if source.is_pinned { "" } else { " --unpinned" };
        note!("  baton fetch {name} --root {root}{twice}   downloads {megabytes} MB");
        note!("    or by hand: {}/{}", source.base, source.file);
        note!("    and then the same command with --weights {}", source.file);
    }
    note!("  --network {OWN} needs no file: it is inside this program, and weak on photos");
    let what = network.map_or("no weights".into(), |name| format!("no weights of {name}"));
    Failure::input(format!(
        "found {what} in {root}: get some as listed above, then run the same command again"
    ))
}
