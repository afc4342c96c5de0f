//! A share of units, which are done one after the other, in legs.

use crate::dealing::Dealt;
use crate::state::{Share, stem};
use crate::{Doing, Letter, Settled, Units};
use protocol::FileRef;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use work::{Failed, Opened, Progress, Stage, Work, resumed};

/// Continues a share of a stage of units where its last leg stopped.
///
/// # Errors
/// [`Failed`], when a file is damaged, cannot be read or cannot be written.
pub fn open(at: &Stage<'_>, share: u32, place: Option<&FileRef>, units: Arc<dyn Units>) -> Opened {
    resumed(at, place, |place| Ok(Box::new(ShareWork::open(at, share, place, units.clone())?)))
}

struct ShareWork {
    units: Arc<dyn Units>,
    numbers: Vec<u64>,
    /// Begun at the first step: a leg that only publishes does not need it.
    doing: Option<Box<dyn Doing>>,
    share: Share,
    /// Results of this leg, a line each.
    lines: Vec<u8>,
    /// The folders of the share's own files and of the results.
    stage: PathBuf,
    results: PathBuf,
    /// The number of this try.
    tries: u32,
}

impl ShareWork {
    fn open(
        at: &Stage<'_>,
        share: u32,
        place: Option<&FileRef>,
        units: Arc<dyn Units>,
    ) -> Result<ShareWork, Failed> {
        let stage = at.root.run(at.run).create_stage(at.number)?;
        let numbers = Dealt::open(at, units.numbers())?.share(share);
        let begun = Share::begun(at, share);
        let share = match place {
            Some(place) => {
                Share::read(&stage, place)?.checked(&begun, numbers.len(), &stage.join(&place.name))?
            }
            None => begun,
        };
        let results = crate::state::results(at);
        storage::create_folder(&results)?;
        let (doing, lines, tries) = (None, Vec::new(), at.number + 1);
        Ok(ShareWork { units, numbers, doing, share, lines, stage, results, tries })
    }

    fn settle(&mut self, settled: Settled) {
        let unit = self.numbers[self.share.settled];
        self.share.settled += 1;
        match settled {
            Settled::Done(result) => {
                self.lines.extend(format!("{{\"unit\":{unit},\"result\":{result}}}\n").as_bytes());
            }
            Settled::Lost { why, said } => {
                self.share.lost.push(Letter { unit, why, said, tries: self.tries });
            }
        }
    }

    /// Publishes the results of this leg, and then the share's progress.
    fn write(&mut self) -> Result<FileRef, Failed> {
        let stem = stem(self.share.stage, self.share.share);
        if !self.lines.is_empty() {
            let lines = &self.lines;
            let file = storage::publish(&self.results, &stem, "jsonl", |file| file.write_all(lines))?;
            self.share.files.push(file);
            self.lines.clear();
        }
        Ok(self.share.write(&self.stage, &stem)?)
    }
}

impl Work for ShareWork {
    fn step(&mut self) -> Result<(), Failed> {
        let left = &self.numbers[self.share.settled..];
        let doing = match &mut self.doing {
            Some(doing) => doing,
            None => self.doing.insert(self.units.begin(left.to_vec(), self.tries)?),
        };
        let mut settled = Vec::new();
        doing.step(&mut settled)?;
        let left = self.numbers.len() - self.share.settled;
        if settled.len() > left {
            return Err(Failed::halt(format!(
                "{} units were settled of {left} that are left",
                settled.len()
            )));
        }
        settled.into_iter().for_each(|settled| self.settle(settled));
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.share.settled as u64, of: self.numbers.len() as u64 }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        // The next leg begins unfinished units again.
        self.doing = None;
        self.write()
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        self.write()
    }
}
