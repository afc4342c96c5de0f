//! The results of a share so far, and the results of all shares of a run together.

use crate::Letter;
use protocol::{At, FileRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use work::{Failed, Stage};

/// The results of a share: its place while it is computed, and its result at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    pub(crate) stage: u32,
    pub(crate) share: u32,
    /// The number of the share's units that are settled, in their order.
    pub(crate) settled: usize,
    pub(crate) lost: Vec<Letter>,
    /// The files in the run's results: one for each leg that had some, in the order of the units.
    pub(crate) files: Vec<FileRef>,
}

/// The results of the stages so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The files of each share of the first stage, and then those of the other stages, if they have any.
    pub(crate) files: Vec<Vec<FileRef>>,
    pub(crate) again: Vec<FileRef>,
    /// Units with a result.
    pub(crate) done: u64,
    /// The other units, in the order of their numbers.
    pub(crate) lost: Vec<Letter>,
}

/// The folder of the results that shares publish.
pub(crate) fn results(at: &Stage<'_>) -> PathBuf {
    at.root.run(at.run).path().join("results")
}

/// The first part of the names of a share's files.
pub(crate) fn stem(stage: u32, share: u32) -> String {
    format!("share-{stage}-{share:05}")
}

impl Share {
    /// A share of a stage, with no unit settled.
    pub(crate) fn begun(at: &Stage<'_>, share: u32) -> Share {
        Share { stage: at.number, share, ..Share::default() }
    }

    pub(crate) fn read(folder: &Path, file: &FileRef) -> Result<Share, Failed> {
        read(folder, file, "what a share has given")
    }

    /// Returns the share if it is the same one as `begun` and at most `units` of its units are settled.
    pub(crate) fn checked(self, begun: &Share, units: usize, path: &Path) -> Result<Share, Failed> {
        if (self.stage, self.share) == (begun.stage, begun.share) && self.settled <= units {
            return Ok(self);
        }
        let expected = format!("share {} of stage {}, {units} units", begun.share, begun.stage);
        let found = format!("share {} of stage {}, {} units settled", self.share, self.stage, self.settled);
        Err(Failed::damaged(path, expected, found))
    }

    pub(crate) fn write(&self, folder: &Path, stem: &str) -> Result<FileRef, storage::Error> {
        write(folder, stem, self)
    }
}

impl State {
    /// The results of the stages before; none before the first one.
    pub(crate) fn before(at: &Stage<'_>) -> Result<State, Failed> {
        if at.course.at(at.number) == At::Before(0) {
            return Ok(State::default());
        }
        let folder = at.root.run(at.run).combined();
        match at.state {
            Some(file) => read(&folder, file, "what the units before have given"),
            None => Err(Failed::argument(at.course.words(at.number), "the units before it", "none")),
        }
    }

    /// Adds the results of a share of a stage.
    pub(crate) fn add(&mut self, at: &Stage<'_>, share: Share) {
        match at.course.at(at.number) {
            At::Before(0) => self.files.push(share.files),
            _ => self.again.extend(share.files),
        }
        self.lost.extend(share.lost);
    }

    pub(crate) fn read(folder: &Path, file: &FileRef) -> Result<State, Failed> {
        read(folder, file, "what all units have given")
    }

    pub(crate) fn write(&self, at: &Stage<'_>) -> Result<FileRef, storage::Error> {
        write(&at.root.run(at.run).combined(), &format!("{:04}", at.number), self)
    }
}

pub(crate) fn read<T: DeserializeOwned>(folder: &Path, file: &FileRef, what: &str) -> Result<T, Failed> {
    let text = storage::open(folder, file)?.read()?;
    serde_json::from_slice(&text)
        .map_err(|error| Failed::damaged(&folder.join(&file.name), what, error.to_string()))
}

pub(crate) fn write(folder: &Path, stem: &str, of: &impl Serialize) -> Result<FileRef, storage::Error> {
    let text =
        serde_json::to_vec(of).map_err(|error| storage::Error::io("write to", folder)(error.into()))?;
    storage::publish(folder, stem, "json", |file| file.write_all(&text))
}
