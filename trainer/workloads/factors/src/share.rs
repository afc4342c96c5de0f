//! A worker's share of a stage: rows that it owns, each made from its own ratings, in legs.

use crate::data::Data;
use crate::deal::{cost, deal};
use datasets::ratings::{Rated, Side};
use protocol::FileRef;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Tensor, read_tensors, write_tensors};
use work::{Failed, Progress, Stage, Work};

/// Work that a thread does in a step, as [`cost`] counts: some hundredths of a second.
const STEP: u64 = 30_000_000;
/// Below this work it is not worth while to start threads.
const WORTH: u64 = 2_000_000;

/// The array of a result.
const ROWS: &str = "rows";

/// How a row is made from its ratings.
pub(crate) trait Rows: Sync {
    /// The buffers of a thread.
    type Desk: Default;

    /// Numbers of a row.
    fn width(&self) -> usize;

    /// Makes row `row` of its side, of `width` numbers, from its ratings.
    fn row(
        &self,
        row: usize,
        others: &[u32],
        values: &[f32],
        desk: (&mut Self::Desk, &mut [f32]),
    ) -> Result<(), Failed>;
}

/// The rules of a stage.
pub(crate) struct Rules<'a, R> {
    pub(crate) data: &'a Data,
    /// The numbers of a row that its equations have, by which its work is counted.
    pub(crate) unknowns: u64,
    /// The sides whose rows the stage makes, and how.
    pub(crate) sides: Vec<(Side, R)>,
}

/// Some rows of one side, and how they are made.
pub(crate) struct Part<R> {
    rule: R,
    rows: Range<usize>,
    starts: Arc<Vec<u64>>,
    rated: Arc<Rated>,
}

/// A worker's share.
pub(crate) struct Share<R> {
    stage: PathBuf,
    worker: u32,
    parts: Vec<Part<R>>,
    unknowns: u64,
    threads: usize,
    /// The rows that are done, of all parts one after the other.
    done: usize,
    /// Their numbers, `[done, width]`.
    made: Vec<f32>,
}

/// The rows of a side that each worker owns.
pub(crate) fn owned(
    data: &Data,
    side: Side,
    unknowns: u64,
    workers: u32,
) -> Result<Vec<Range<usize>>, Failed> {
    Ok(deal(&data.starts(side)?, unknowns, workers))
}

impl<R: Rows> Share<R> {
    /// A worker's share where its last leg left it.
    pub(crate) fn open(
        at: &Stage<'_>,
        worker: u32,
        rules: Rules<'_, R>,
        place: Option<&FileRef>,
    ) -> Result<Share<R>, Failed> {
        let Rules { data, unknowns, sides } = rules;
        let stage = at.root.run(at.run).create_stage(at.number)?;
        let part = |(side, rule)| -> Result<Part<R>, Failed> {
            let rows = owned(data, side, unknowns, at.workers)?.swap_remove(worker as usize);
            let starts = data.starts(side)?;
            let rated = data.rated(side, starts[rows.start]..starts[rows.end])?;
            Ok(Part { rule, rows, starts, rated })
        };
        let parts = sides.into_iter().map(part).collect::<Result<Vec<_>, Failed>>()?;
        let threads = at.threads.max(1);
        let mut share = Share { stage, worker, parts, unknowns, threads, done: 0, made: Vec::new() };
        if let Some(place) = place {
            (share.made, share.done) = read_rows(&share.stage, place, (worker, share.width()), share.rows())?;
        }
        Ok(share)
    }

    fn width(&self) -> usize {
        self.parts.first().map_or(1, |part| part.rule.width())
    }

    fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    /// The part of the next row, and the row.
    fn next(&self) -> Option<(&Part<R>, usize)> {
        let mut left = self.done;
        for part in &self.parts {
            if left < part.rows.len() {
                return Some((part, part.rows.start + left));
            }
            left -= part.rows.len();
        }
        None
    }

    fn file(&self) -> Result<FileRef, Failed> {
        let array = Tensor::f32(ROWS, &[self.done, self.width()], &self.made[..]);
        let text = BTreeMap::from([("worker".to_owned(), self.worker.to_string())]);
        Ok(write_tensors(&self.stage, &format!("worker-{:03}", self.worker), &[array], &text)?)
    }
}

impl<R: Rows> Part<R> {
    /// The places of a row's ratings in this part.
    fn places(&self, row: usize) -> Range<usize> {
        let first = self.starts[self.rows.start];
        (self.starts[row] - first) as usize..(self.starts[row + 1] - first) as usize
    }

    /// The end of the rows from `first` on that are so much work, at least one.
    fn up_to(&self, first: usize, most: u64, unknowns: u64) -> (usize, u64) {
        let (mut end, mut work) = (first, 0);
        while end < self.rows.end && work < most {
            work += cost(self.places(end).len() as u64, unknowns);
            end += 1;
        }
        (end, work)
    }

    /// Makes some rows, `[rows, width]`.
    fn make(&self, rows: Range<usize>, to: &mut [f32]) -> Result<(), Failed> {
        let (mut desk, width) = (R::Desk::default(), self.rule.width());
        rows.zip(to.chunks_exact_mut(width)).try_for_each(|(row, to)| {
            let places = self.places(row);
            let (others, values) = (&self.rated.others[places.clone()], &self.rated.values[places]);
            self.rule.row(row, others, values, (&mut desk, to))
        })
    }
}

impl<R: Rows> Work for Share<R> {
    fn step(&mut self) -> Result<(), Failed> {
        let Some((part, first)) = self.next() else { return Ok(()) };
        let (unknowns, width) = (self.unknowns, part.rule.width());
        let (end, work) = part.up_to(first, STEP * self.threads as u64, unknowns);
        let mut made = vec![0.0; (end - first) * width];
        let threads = if work < WORTH { 1 } else { self.threads as u64 };
        if threads == 1 {
            part.make(first..end, &mut made)?;
        } else {
            std::thread::scope(|scope| {
                let (mut begun, mut row, mut left) = (Vec::new(), first, &mut made[..]);
                while row < end {
                    let until = part.up_to(row, work.div_ceil(threads), unknowns).0.min(end);
                    let (own, rest) = left.split_at_mut((until - row) * width);
                    let rows = row..until;
                    begun.push(scope.spawn(move || part.make(rows, own)));
                    (row, left) = (until, rest);
                }
                let mut joined = begun.into_iter().map(|thread| thread.join());
                joined.try_for_each(|made| made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })?;
        }
        self.made.extend(made);
        self.done += end - first;
        Ok(())
    }

    fn progress(&self) -> Progress {
        let places = |rows: Range<usize>, part: &Part<R>| part.starts[rows.end] - part.starts[rows.start];
        let of = self.parts.iter().map(|part| places(part.rows.clone(), part)).sum();
        let mut left = self.done;
        let done = self.parts.iter().map(|part| {
            let rows = left.min(part.rows.len());
            left -= rows;
            places(part.rows.start..part.rows.start + rows, part)
        });
        Progress { done: done.sum(), of }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        self.file()
    }

    fn publish(&mut self) -> Result<FileRef, Failed> {
        self.file()
    }
}

/// The rows in a worker's place or result, at most `most` of them: their numbers and how many.
pub(crate) fn read_rows(
    stage: &Path,
    file: &FileRef,
    (worker, width): (u32, usize),
    most: usize,
) -> Result<(Vec<f32>, usize), Failed> {
    let mut tensors = read_tensors(stage, file)?;
    let rows = tensors.tensors.get(ROWS).and_then(|array| array.shape.first()).copied().unwrap_or(0);
    let of = tensors.metadata.get("worker").map_or("none", String::as_str);
    if of != worker.to_string() || rows > most {
        let expected = format!("at most {most} rows of worker {worker}");
        return Err(Failed::damaged(
            &stage.join(&file.name),
            expected,
            format!("{rows} rows of worker {of}"),
        ));
    }
    Ok((tensors.take_f32(ROWS, &[rows, width])?, rows))
}
