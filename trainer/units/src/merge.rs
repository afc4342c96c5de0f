//! Joins the results of shares in the order of the units.

use crate::Dealing;
use crate::numbers::Numbers;
use protocol::FileRef;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::Opened;
use work::Failed;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// The results of a run, one after the other.
pub(crate) struct Merge {
    folder: PathBuf,
    /// The shares of the first stage, in the order of their first units.
    waiting: Vec<(u64, Vec<FileRef>)>,
    open: Vec<Lines>,
    /// The results of later tries.
    again: BTreeMap<u64, Vec<u8>>,
}

impl Merge {
    /// Joins these files of shares, and those of later tries.
    pub(crate) fn new(
        folder: &Path,
        (dealing, numbers): (&Dealing, &Numbers),
        files: &[Vec<FileRef>],
        again: &[FileRef],
    ) -> Result<Merge, Failed> {
        let first = |share: u32| dealing.places(share).next().map_or(u64::MAX, |place| numbers.at(place));
        let some = (0..).zip(files).filter(|(_, files)| !files.is_empty());
        let mut waiting: Vec<_> = some.map(|(share, files)| (first(share), files.clone())).collect();
        waiting.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
        let mut merge =
            Merge { folder: folder.to_owned(), waiting, open: Vec::new(), again: BTreeMap::new() };
        for file in again {
            let mut lines = Lines::open(folder, vec![file.clone()])?;
            while let Some(unit) = lines.unit()? {
                merge.again.insert(unit, lines.take());
            }
        }
        Ok(merge)
    }

    /// The lines of all units below `end` that were not returned before.
    pub(crate) fn below(&mut self, end: u64) -> Result<BTreeMap<u64, Vec<u8>>, Failed> {
        let later = self.again.split_off(&end);
        let mut all = std::mem::replace(&mut self.again, later);
        while self.waiting.last().is_some_and(|(first, _)| *first < end) {
            let (_, files) = self.waiting.pop().unwrap_or_default();
            self.open.push(Lines::open(&self.folder, files)?);
        }
        let mut over = Vec::new();
        for (at, lines) in self.open.iter_mut().enumerate() {
            let next = loop {
                match lines.unit()? {
                    Some(unit) if unit < end => drop(all.insert(unit, lines.take())),
                    next => break next,
                }
            };
            if next.is_none() {
                over.push(at);
            }
        }
        over.into_iter().rev().for_each(|at| drop(self.open.swap_remove(at)));
        Ok(all)
    }
}

/// The lines of consecutive files.
struct Lines {
    folder: PathBuf,
    /// The files that were not read yet, the next one last.
    files: Vec<FileRef>,
    at_hand: Option<(Opened, u64)>,
    buffer: Vec<u8>,
    /// The begin and the end of the current line in the buffer.
    begin: usize,
    end: usize,
}

impl Lines {
    fn open(folder: &Path, mut files: Vec<FileRef>) -> Result<Lines, Failed> {
        files.reverse();
        let folder = folder.to_owned();
        Ok(Lines { folder, files, at_hand: None, buffer: Vec::new(), begin: 0, end: 0 })
    }

    /// The unit of the current line; none if no line is left.
    fn unit(&mut self) -> Result<Option<u64>, Failed> {
        while self.begin == self.end {
            match self.buffer[self.begin..].iter().position(|byte| *byte == b'\n') {
                Some(length) => self.end = self.begin + length + 1,
                None if !self.fill()? => return Ok(None),
                None => {}
            }
        }
        let line = &self.buffer[self.begin..self.end];
        let digits =
            line.strip_prefix(b"{\"unit\":").and_then(|rest| rest.split(|byte| *byte == b',').next());
        let unit = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let damaged = || Failed::damaged(&self.path(), "a line for each unit", String::from_utf8_lossy(line));
        unit.map(Some).ok_or_else(damaged)
    }

    /// Returns the current line and moves to the next one.
    fn take(&mut self) -> Vec<u8> {
        let line = self.buffer[self.begin..self.end].to_vec();
        self.begin = self.end;
        line
    }

    /// Reads more of the files; false if nothing is left.
    fn fill(&mut self) -> Result<bool, Failed> {
        self.buffer.drain(..self.begin);
        (self.begin, self.end) = (0, 0);
        loop {
            if let Some((opened, offset)) = &mut self.at_hand {
                let left = opened.bytes().saturating_sub(*offset).min(PIECE as u64) as usize;
                if left > 0 {
                    let had = self.buffer.len();
                    self.buffer.resize(had + left, 0);
                    opened.read_exact_at(&mut self.buffer[had..], *offset)?;
                    *offset += left as u64;
                    return Ok(true);
                }
            }
            if !self.buffer.is_empty() {
                return Err(Failed::damaged(&self.path(), "lines that end", "one that does not"));
            }
            let Some(file) = self.files.pop() else { return Ok(false) };
            self.at_hand = Some((storage::open(&self.folder, &file)?, 0));
        }
    }

    fn path(&self) -> PathBuf {
        self.at_hand.as_ref().map_or_else(|| self.folder.clone(), |(opened, _)| opened.path().to_owned())
    }
}
