//! The numbers of all users and all items: drawn first, then made in one stage after the other.

use crate::data::Data;
use crate::job::{Job, Solve};
use datasets::ratings::Side;
use protocol::FileRef;
use rounds::random::{Purpose, Stream};
use std::collections::BTreeMap;
use std::path::Path;
use storage::{Tensor, read_tensors, write_tensors};
use work::{Failed, Stage};

/// The numbers of one side. A row has a bias and factors; with gradient descent their velocities follow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    /// Numbers of a row.
    pub(crate) width: usize,
    /// `[rows, width]`.
    pub(crate) values: Vec<f32>,
}

/// The numbers of both sides.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tables {
    pub(crate) users: Table,
    pub(crate) items: Table,
}

impl Table {
    /// Rows of zeros.
    pub(crate) fn zeros(rows: usize, width: usize) -> Table {
        Table { width, values: vec![0.0; rows * width] }
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// A row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// Factors that are drawn from their place alone, and biases of zero. Rows without ratings are zeros.
    fn drawn(job: &Job, side: Side, (rows, rated): (usize, usize)) -> Table {
        let mut table = Table::zeros(rows, width(job));
        let (factors, width, number) = (job.factors as usize, table.width, side as u32);
        for (row, values) in table.values.chunks_exact_mut(width).take(rated).enumerate() {
            let mut stream = Stream::new(job.seed, Purpose::Factors, number, row as u32);
            values[1..=factors].iter_mut().for_each(|value| *value = stream.symmetric(job.spread as f32));
        }
        table
    }
}

/// Numbers of a row in the state of a run.
pub(crate) fn width(job: &Job) -> usize {
    let numbers = job.factors as usize + 1;
    match job.solve {
        Solve::Als => numbers,
        Solve::Gradient => 2 * numbers,
    }
}

impl Tables {
    /// Those that a stage begins with.
    pub(crate) fn before(at: &Stage<'_>, job: &Job, data: &Data) -> Result<Tables, Failed> {
        match at.state {
            Some(file) => Tables::read(&at.root.run(at.run).combined(), file, job, data),
            None if at.number == 0 => {
                let drawn = |side| Ok::<_, Failed>(Table::drawn(job, side, data.rows(side)?));
                Ok(Tables { users: drawn(Side::Users)?, items: drawn(Side::Items)? })
            }
            None => Err(Failed::argument(at.course.words(at.number), "the state before it", "none")),
        }
    }

    /// Those of a combined state.
    pub(crate) fn read(folder: &Path, file: &FileRef, job: &Job, data: &Data) -> Result<Tables, Failed> {
        let (mut tensors, width) = (read_tensors(folder, file)?, width(job));
        let mut take = |side: Side| -> Result<Table, Failed> {
            let values = tensors.take_f32(side.name(), &[data.ratings.count(side), width])?;
            Ok(Table { width, values })
        };
        Ok(Tables { users: take(Side::Users)?, items: take(Side::Items)? })
    }

    /// Publishes them as the state of a stage.
    pub(crate) fn write(&self, folder: &Path, stage: u32) -> Result<FileRef, Failed> {
        let array = |side: Side| {
            let table = self.of(side);
            Tensor::f32(side.name(), &[table.rows(), table.width], &table.values[..])
        };
        let arrays = [array(Side::Users), array(Side::Items)];
        Ok(write_tensors(folder, &format!("{stage:04}"), &arrays, &BTreeMap::new())?)
    }

    /// Those of a side.
    pub(crate) fn of(&self, side: Side) -> &Table {
        match side {
            Side::Users => &self.users,
            Side::Items => &self.items,
        }
    }

    /// The same, to be replaced.
    pub(crate) fn of_mut(&mut self, side: Side) -> &mut Table {
        match side {
            Side::Users => &mut self.users,
            Side::Items => &mut self.items,
        }
    }
}
