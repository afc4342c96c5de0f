//! The input of a run of a program: the program, the data set, and the numbers of its units.

use crate::batches::{Batches, Lines};
use crate::executable;
use crate::identity::{RUN, identity};
use crate::job::Job;
use crate::process::Limits;
use datasets::units::{Form, Units as Data};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::Root;
use units::{Doing, Index, Numbers, Units};
use work::Failed;

/// Program and units of a job.
pub(crate) struct Source {
    pub(crate) job: Job,
    limits: Arc<Limits>,
    data: Arc<Data>,
    numbers: Numbers,
    program: String,
}

impl Source {
    /// Opens the program and the units of a job.
    ///
    /// # Errors
    /// [`Failed`], with the key of the job, or the file.
    pub(crate) fn open(root: &Root, job: Job, threads: usize) -> Result<Source, Failed> {
        let folder = root.program(&job.program)?;
        let dataset = root.dataset(&job.dataset)?;
        let data = Data::open(&dataset)?;
        let program = identity(&folder)?;
        let limits = Limits {
            run: folder.join(RUN),
            arguments: job.arguments.clone(),
            folder,
            dataset,
            time: Duration::from_secs_f64(job.seconds),
            memory_mb: job.memory_mb,
            batch: job.batch as usize,
            threads,
        };
        let numbers = numbers(root, &job, &data)?;
        Ok(Source { job, limits: Arc::new(limits), data: Arc::new(data), numbers, program })
    }

    /// Checks that this machine can run the program.
    ///
    /// # Errors
    /// [`Failed`], with what was found and what is expected.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        make_executable(&self.limits.run);
        executable::check(&self.limits.run)
    }

    /// The sources of the results.
    pub(crate) fn made_of(&self) -> Value {
        let Job { program, dataset, arguments, again, .. } = &self.job;
        json!({
            "program": program, "program_xxh3": self.program, "arguments": arguments,
            "dataset": dataset, "dataset_key": self.data.key(), "again": again,
        })
    }

    /// A key of the program and the units, which must stay the same during a run.
    pub(crate) fn key(&self) -> String {
        let start = |text: &str| text.chars().take(40).collect::<String>();
        let Job { program, dataset, .. } = &self.job;
        let (of, units) = (&self.program[..16], &self.data.key()[..16]);
        format!("{}-{of}-{}-{units}", start(program), start(dataset))
    }
}

/// The units of a job: all units, or the dead letters of another run.
fn numbers(root: &Root, job: &Job, data: &Data) -> Result<Numbers, Failed> {
    let Some(run) = &job.again else { return Ok(Numbers::All(data.count())) };
    let folder = root.run(run).model();
    let index = Index::open(&folder).map_err(|failed| Failed {
        words: format!("job.again: expected a run of units that has ended: {}", failed.words),
        ..failed
    })?;
    if index.made_of["dataset_key"] != data.key() {
        let expected = format!("a run over the units of data set {:?}", job.dataset);
        let found = format!("run {run}, over {}", index.made_of["dataset"]);
        return Err(Failed::argument("job.again", expected, found));
    }
    let dead: Vec<u64> = index.letters(&folder)?.into_iter().map(|letter| letter.unit).collect();
    if dead.is_empty() {
        let found = format!("run {run}, which has none");
        return Err(Failed::argument("job.again", "a run with dead letters", found));
    }
    Ok(Numbers::These(dead))
}

/// Makes it executable for everybody who may read it. If that is not allowed, the check reports it.
fn make_executable(run: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::metadata(run) else { return };
    let mode = found.permissions().mode();
    let wanted = mode | (mode & 0o444) >> 2;
    if found.is_file() && wanted != mode {
        let _ = std::fs::set_permissions(run, std::fs::Permissions::from_mode(wanted));
    }
}

impl Units for Source {
    fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    fn begin(&self, units: Vec<u64>, tries: u32) -> Result<Box<dyn Doing>, Failed> {
        // Of units that were lost before, many may be lost again: that does not mean that the program fails.
        let keep_going = self.job.keep_going || self.job.again.is_some() || tries > 1;
        let lines = Arc::new(Of(self.data.clone()));
        Ok(Box::new(Batches::new(self.limits.clone(), lines, units, keep_going)))
    }
}

/// Lines of a data set; if its units are files, each file is checked first.
struct Of(Arc<Data>);

impl Lines for Of {
    fn lines(&self, units: &[u64]) -> Result<Vec<String>, Failed> {
        let mut lines = Vec::with_capacity(units.len());
        for side_by_side in units.chunk_by(|a, b| a + 1 == *b) {
            let (first, last) = (side_by_side[0], side_by_side[side_by_side.len() - 1]);
            lines.extend(self.0.lines(first..last + 1)?);
        }
        if self.0.form() == Form::Files {
            for line in &lines {
                storage::open(self.0.folder(), &self.0.file(line)?.reference())?.verify()?;
            }
        }
        Ok(lines)
    }
}
