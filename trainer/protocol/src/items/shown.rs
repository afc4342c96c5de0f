//! Tables and samples of a run's product, for people. The workload makes them, the page draws them without
//! knowing their meaning, and no decision depends on them.

use super::MOST_TEXT;
use serde::{Deserialize, Serialize};

/// Tables and samples, as much of them as fits into an item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// Tables, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Samples, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Samples>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// Its title.
    pub title: String,
    /// A sentence below the title.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows, each with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// Whether it is a matrix: a row has its name and then as many counts as there are rows; the diagonal is
    /// right and the others are wrong.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub matrix: bool,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A count.
    Count(u64),
    /// A number, shown with three decimals.
    Number(f64),
    /// A text.
    Text(String),
}

/// Samples with a title.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Samples {
    /// Their title.
    pub title: String,
    /// A sentence below the title.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The data set and the split of their images, if they have images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_of: Option<(String, String)>,
    /// The samples, in groups with a title each.
    pub groups: Vec<(String, Vec<Sample>)>,
}

/// One sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Its caption.
    pub caption: String,
    /// The true answer, if the caption is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
    /// Its image's place in the split, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<u64>,
}

impl Shown {
    /// Whether all of it fits into an item.
    pub fn fits(&self) -> bool {
        serde_json::to_string(self).is_ok_and(|text| text.len() <= MOST_TEXT)
    }

    /// As much of it as fits into an item: the last samples are left out first, then the last rows of the
    /// last table.
    pub(super) fn bounded(mut self) -> Shown {
        while !self.fits() && self.shorten() {}
        self
    }

    /// Leaves something out; false if nothing is left.
    fn shorten(&mut self) -> bool {
        if let Some(samples) = self.samples.last_mut() {
            let left_out = samples.groups.last_mut().and_then(|(_, samples)| samples.pop());
            if left_out.is_none() && samples.groups.pop().is_none() {
                self.samples.pop();
            }
            return true;
        }
        let Some(table) = self.tables.last_mut() else { return false };
        // A matrix is shown whole or not at all.
        if table.matrix || table.rows.pop().is_none() {
            self.tables.pop();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u64, bytes: usize) -> Vec<Samples> {
        let sample = |image| Sample { caption: "c".repeat(bytes), image: Some(image), truth: None };
        let groups = vec![("a group".to_owned(), (0..count).map(sample).collect())];
        vec![Samples { title: "Samples".into(), groups, ..Samples::default() }]
    }

    fn table(rows: usize, matrix: bool) -> Table {
        let row = |row| vec![Cell::Text(format!("row {row}")), Cell::Count(u64::MAX), Cell::Number(1.0)];
        let rows = (0..rows).map(row).collect();
        Table { title: "A table".into(), columns: vec!["a".into(); 3], rows, matrix, ..Table::default() }
    }

    #[test]
    fn what_is_shown_is_read_as_it_was_written() {
        let shown = Shown { tables: vec![table(2, true)], samples: samples(2, 9) };
        let text = serde_json::to_string(&shown).unwrap();
        assert_eq!(serde_json::from_str::<Shown>(&text).unwrap(), shown, "{text}");
    }

    #[test]
    fn what_an_item_does_not_hold_is_left_out_from_the_end() {
        let tables = || vec![table(3, false), table(9, false)];
        let many = Shown { tables: tables(), samples: samples(1_000, 9) }.bounded();
        let left = &many.samples[0].groups[0].1;
        assert!(many.fits() && many.tables == tables() && left.len() > 50, "{many:?}");
        assert_eq!(left[..], samples(1_000, 9)[0].groups[0].1[..left.len()]);
        let long =
            Shown { tables: vec![table(3, false), table(1_000, false)], samples: samples(9, 9) }.bounded();
        assert!(long.fits() && long.samples.is_empty() && long.tables[1].rows.len() > 50, "{long:?}");
        let wide =
            Shown { tables: vec![table(3, false), table(1_000, true)], samples: samples(1, 9) }.bounded();
        assert_eq!(wide, Shown { tables: vec![table(3, false)], samples: Vec::new() });
        let title = Table { title: "t".repeat(MOST_TEXT), ..Table::default() };
        assert_eq!(Shown { tables: vec![title], samples: Vec::new() }.bounded(), Shown::default());
    }
}
