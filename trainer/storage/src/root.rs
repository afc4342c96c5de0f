//! The places of all files on the shared file system.

use crate::disk::{self, Access};
use crate::folder::{create_folder, refresh, remove_folder, sync_folder};
use crate::log::Log;
use crate::names::check_name;
use crate::{Error, Result};
use protocol::RunId;
use std::io;
use std::path::{Path, PathBuf};

/// The shared file system.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
}

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes in use, by anyone.
    pub used: u64,
}

impl Root {
    /// Opens a folder as the shared file system, if it is a folder and can be written to.
    ///
    /// # Errors
    /// [`Error::Unfit`] or [`Error::Io`], with what to do.
    pub fn open(path: impl Into<PathBuf>) -> Result<Root> {
        let path = path.into();
        let unfit = |found: &str| {
            let expected = "a folder: mount the file system there or make the folder";
            Err(Error::unfit(format!("the root {}", path.display()), expected, found))
        };
        match disk::on(|disk| disk.is_dir(&path)) {
            Ok(true) => {}
            Ok(false) => return unfit("a file"),
            Err(source) if source.kind() == io::ErrorKind::NotFound => return unfit("nothing"),
            Err(source) => return Err(Error::io("look at the root", &path)(source)),
        }
        let probe = tempfile_name(&path);
        disk::open(&probe, Access::CreateNew).map_err(Error::io("write to the root", &path))?;
        disk::on(|disk| disk.remove_file(&probe)).map_err(Error::io("remove", &probe))?;
        Ok(Root { path })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes the file system has left for us, and how many are in use, by its own count.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn space(&self) -> Result<Space> {
        let found = fs2::statvfs(&self.path).map_err(Error::io("look at", &self.path))?;
        Ok(Space {
            free: found.available_space(),
            used: found.total_space().saturating_sub(found.free_space()),
        })
    }

    /// The job of a `start` without one: `job.json`.
    pub fn job_json(&self) -> PathBuf {
        self.path.join("job.json")
    }

    /// A run's folder.
    pub fn run(&self, run: &RunId) -> RunFolder {
        RunFolder { path: self.path.join("runs").join(run.as_str()) }
    }

    /// The log of all run ids, made if it is missing; the last one is the current run. It only leads to the
    /// ledgers, so damage costs only the entry that it has hit, which the next start of that run adds again.
    /// Its name is no run's: it has a dot.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn runs_index(&self) -> Result<Log> {
        Ok(Log::open_or_create(self.path.join("runs").join("index.log"))?.forgiving())
    }

    /// The log of all runs' shares of the operator's ceiling, made when it is not there. A run's last share
    /// says all of it, so that damage costs what its last one has added. The name is no run's: it has a dot.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn spent_log(&self) -> Result<Log> {
        Ok(Log::open_or_create(self.path.join("runs").join("spent.log"))?.forgiving())
    }

    /// The folder of a data set.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn dataset(&self, name: &str) -> Result<PathBuf> {
        self.named("datasets", "data set", name)
    }

    /// The folder of a network's pretrained weights.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn weights(&self, name: &str) -> Result<PathBuf> {
        self.named("weights", "weights", name)
    }

    /// The folder of a user's program.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        self.named("programs", "program", name)
    }

    /// The folder of a feature store.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn features(&self, key: &str) -> Result<PathBuf> {
        self.named("features", "feature key", key)
    }

    fn named(&self, folder: &str, what: &'static str, name: &str) -> Result<PathBuf> {
        check_name(what, name)?;
        Ok(self.path.join(folder).join(name))
    }
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log of facts, which is also the run's lock.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// The run's job.
    pub fn job_json(&self) -> PathBuf {
        self.path.join("job.json")
    }

    /// The folder for the results of a stage's workers: `stages/0004`.
    pub fn stage(&self, stage: u32) -> PathBuf {
        self.path.join("stages").join(format!("{stage:04}"))
    }

    /// The folder for the results of the combines.
    pub fn combined(&self) -> PathBuf {
        self.path.join("combined")
    }

    /// The run's model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Makes the run's folders; existing ones are kept.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(&self) -> Result<()> {
        create_folder(&self.combined())?;
        create_folder(&self.model())?;
        create_folder(&self.path.join("stages"))
    }

    /// Makes the folder of a stage, for a worker that is about to publish there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create_stage(&self, stage: u32) -> Result<PathBuf> {
        let folder = self.stage(stage);
        create_folder(&folder)?;
        Ok(folder)
    }

    /// Removes the results of a stage's workers; a stage that is already gone is fine.
    ///
    /// Returns `false` if something is left for a later try.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_stage(&self, stage: u32) -> Result<bool> {
        remove_folder(&self.stage(stage))
    }

    /// Removes the results of a stage's combines (`combined/0004-…`), and unfinished files of a dead combine,
    /// except for the files named in `keep`.
    ///
    /// The folder is listed to find waste, never to decide what a run does.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_combined(&self, stage: u32, keep: &[&str]) -> Result<()> {
        let folder = self.combined();
        refresh(&folder)?;
        let (published, unfinished) = (format!("{stage:04}-"), format!(".{stage:04}-"));
        for name in disk::on(|disk| disk.list(&folder)).map_err(Error::io("list", &folder))? {
            if !(name.starts_with(&published) || name.starts_with(&unfinished))
                || keep.contains(&name.as_str())
            {
                continue;
            }
            let path = folder.join(&name);
            match disk::on(|disk| disk.remove_file(&path)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(source));
                }
                _ => {}
            }
        }
        sync_folder(&folder)
    }
}

fn tempfile_name(folder: &Path) -> PathBuf {
    folder.join(format!(".probe-{:016x}", disk::random()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folders::temporary;
    use std::fs;

    fn run(root: &Root) -> RunFolder {
        root.run(&RunId::new("a-run").unwrap())
    }

    #[test]
    fn a_root_that_is_no_folder_is_refused_with_what_to_do() {
        let folder = temporary();
        let missing = Root::open(folder.path().join("x")).unwrap_err().to_string();
        assert!(missing.contains("found nothing") && missing.contains("mount the file system"), "{missing}");
        fs::write(folder.path().join("file"), "").unwrap();
        let file = Root::open(folder.path().join("file")).unwrap_err().to_string();
        assert!(file.contains("found a file"), "{file}");
    }

    #[test]
    fn names_from_outside_do_not_leave_the_root() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        for name in ["../x", ".hidden", "", "a/b"] {
            assert!(
                root.dataset(name).is_err() && root.weights(name).is_err() && root.features(name).is_err()
            );
        }
        assert_eq!(root.dataset("cifar10").unwrap(), folder.path().join("datasets/cifar10"));
    }

    #[test]
    fn an_old_stage_goes_and_its_neighbours_stay() {
        let folder = temporary();
        let run = run(&Root::open(folder.path()).unwrap());
        run.create().unwrap();
        run.create().unwrap();
        for stage in [4, 5] {
            fs::write(run.create_stage(stage).unwrap().join("worker-000-x.safetensors"), "x").unwrap();
            for name in [format!("{stage:04}-a.safetensors"), format!(".{stage:04}-b.safetensors-1.tmp")] {
                fs::write(run.combined().join(name), "x").unwrap();
            }
        }
        fs::write(run.combined().join("0004-best.safetensors"), "x").unwrap();
        for _ in 0..2 {
            assert!(run.remove_stage(4).unwrap());
            run.remove_combined(4, &["0004-best.safetensors"]).unwrap();
        }
        assert!(!run.stage(4).exists() && run.stage(5).join("worker-000-x.safetensors").exists());
        let mut left: Vec<_> =
            fs::read_dir(run.combined()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".0005-b.safetensors-1.tmp", "0004-best.safetensors", "0005-a.safetensors"]);
    }

    #[test]
    fn the_last_run_in_the_index_is_the_current_one() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        let wait = std::time::Duration::from_secs(5);
        for id in ["a", "b"] {
            let index = root.runs_index().unwrap();
            index.update(wait, |_| Ok::<_, Error>((vec![id.into()], ()))).unwrap();
        }
        assert_eq!(root.runs_index().unwrap().read(wait).unwrap().last().unwrap(), b"b");
    }

    #[test]
    fn a_damaged_byte_of_the_index_costs_at_most_the_entry_that_it_has_hit() {
        let folder = temporary();
        let root = Root::open(folder.path()).unwrap();
        let wait = std::time::Duration::from_secs(5);
        let append = |id: &str| {
            let index = root.runs_index().unwrap();
            index.update(wait, |_| Ok::<_, Error>((vec![id.into()], ()))).unwrap();
        };
        ["a", "b", "c"].iter().for_each(|id| append(id));
        let path = folder.path().join("runs/index.log");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            fs::write(&path, bytes).unwrap();
            append("d");
            append("e");
            let ids = root.runs_index().unwrap().read(wait).unwrap();
            let names: String = ids.iter().map(|id| String::from_utf8_lossy(id)).collect();
            assert!(["abcde", "bcde", "acde", "abde"].contains(&names.as_str()), "byte {at}: {names}");
        }
    }
}
