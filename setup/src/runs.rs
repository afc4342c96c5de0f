//! The runs under a root, as a command reads them from their folders.

use crate::Failure;
use protocol::{Fact, Ledger, RunId};
use std::fs;
use std::path::Path;
use std::time::Duration;
use storage::{FactLog, Root};

/// The ledger of a run in a folder.
///
/// # Errors
/// In words: no such run, or a damaged ledger.
pub fn read_ledger(root: &Path, run: &RunId) -> Result<Ledger, String> {
    let root = Root::open(root).map_err(|error| error.to_string())?;
    let log = FactLog::<Fact>::open(root.run(run).ledger()).map_err(|error| error.to_string())?;
    let facts = log.read(Duration::from_secs(30)).map_err(|error| error.to_string())?;
    let ledger = Ledger::fold(facts).map_err(|error| error.to_string())?;
    ledger.ok_or_else(|| format!("run {run} has an empty ledger: start it again"))
}

/// The ledgers of all runs that have not ended, as far as they can be read.
///
/// # Errors
/// The folder of the runs cannot be listed.
pub(crate) fn active(root: &Root) -> Result<Vec<Ledger>, Failure> {
    let runs = names(&root.path().join("runs"))?.into_iter().filter_map(|name| RunId::new(name).ok());
    let ledgers = runs.filter_map(|run| read_ledger(root.path(), &run).ok());
    Ok(ledgers.filter(|ledger| ledger.ending.is_none()).collect())
}

/// The names of the folders in a folder, sorted; none if it is not there.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let entry = entry.map_err(Failure::io("list", folder))?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
