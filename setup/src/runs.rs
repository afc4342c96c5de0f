//! The runs under a root, as a command reads them from their folders.

use crate::Failure;
use crate::view::View;
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

/// A run as it is in a folder.
///
/// # Errors
/// A name that no run can have, no such run, or a ledger that cannot be read.
pub(crate) fn view(root: &Root, run: &str) -> Result<View, Failure> {
    let run = RunId::new(run).map_err(Failure::input)?;
    View::of_folder(root, &run)?.ok_or_else(|| {
        let runs = root.path().join("runs");
        Failure::input(format!("run {run}: found none in {}; `baton list` shows them", runs.display()))
    })
}

/// A run with its state, or the reason why it cannot be read.
pub(crate) type Found = (RunId, Result<View, String>);

/// Every run in a folder.
///
/// # Errors
/// The folder of the runs cannot be listed.
pub(crate) fn views(root: &Root) -> Result<Vec<Found>, Failure> {
    let runs = names(&root.path().join("runs"))?.into_iter().filter_map(|name| RunId::new(name).ok());
    let view = |run: RunId| {
        let view = View::of_folder(root, &run).transpose()?;
        Some((run, view))
    };
    Ok(runs.filter_map(view).collect())
}

/// The run that started last.
///
/// # Errors
/// There is none.
pub(crate) fn last(root: &Root) -> Result<View, Failure> {
    newest(root, |_| true, "none yet")
}

/// The run that started last of those that have published a file of this name.
///
/// # Errors
/// There is none.
pub(crate) fn last_with(root: &Root, file: &str) -> Result<RunId, Failure> {
    let published = |view: &View| {
        let run = RunId::new(&view.run);
        view.state.model.is_some() && run.is_ok_and(|run| root.run(&run).model().join(file).is_file())
    };
    let view = newest(root, published, &format!("none with a {file} yet"))?;
    RunId::new(view.run).map_err(Failure::input)
}

fn newest(root: &Root, wanted: impl Fn(&View) -> bool, found: &str) -> Result<View, Failure> {
    let runs = views(root)?.into_iter().filter_map(|(_, view)| view.ok()).filter(wanted);
    runs.max_by_key(|view| view.state.started_ms).ok_or_else(|| {
        let folder = root.path().join("runs");
        Failure::input(format!(
            "{}: expected a run, found {found}; `baton train` makes one",
            folder.display()
        ))
    })
}

/// The bytes of the files in a folder and the folders in it.
///
/// # Errors
/// A folder that cannot be listed.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let entry = entry.map_err(Failure::io("list", folder))?;
        // A file may be gone by now; a link is not followed.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { bytes_below(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
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
