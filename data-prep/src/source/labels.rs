//! Labels from a CSV. The column with the file names is found by comparing with the files, not by its
//! heading.

use super::layout::{Layout, Side};
use crate::collection::Role;
use crate::decode::is_named_like_an_image;
use crate::files::{Listing, load, some_of};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The longest CSV that is read.
const MAX_BYTES: u64 = 256 << 20;

/// Rows that are read to find the column of the files.
const LOOKED_AT: usize = 100;

/// Headings of the column with the labels, and of the one with the side of a split.
const LABEL_HEADINGS: [&str; 9] =
    ["label", "labels", "class", "class_name", "category", "target", "species", "breed", "y"];
const SPLIT_HEADINGS: [&str; 5] = ["split", "set", "subset", "partition", "data_set"];

/// Reads the layout of a folder from a CSV.
///
/// # Errors
/// [`Error::Input`] for a CSV that cannot be read, or whose columns are not clear; [`Error::Option`] for a
/// column that it does not have.
pub(super) fn layout(source: &Path, listing: &Listing, csv: &Path, column: Option<&str>) -> Result<Layout> {
    let table = Table::read(csv)?;
    let files = Files::new(listing);
    let file_column = table.file_column(source, &files)?;
    let has_heading = files.find(&table.rows[0][file_column]) == Named::None;
    let heading = if has_heading { &table.rows[0][..] } else { &[] };
    let split_column = heading.iter().position(|name| SPLIT_HEADINGS.contains(&&name.to_lowercase()[..]));
    let label_column = table.label_column(heading, column, file_column, split_column)?;

    let (mut labels, mut absent) = (HashMap::<usize, (&str, Option<Role>)>::new(), Vec::new());
    for (number, row) in table.rows.iter().enumerate().skip(usize::from(has_heading)) {
        let wrong = |expected: &str, found: String| {
            Error::input(csv, expected, format!("{found} in row {}", number + 1))
        };
        let (name, label) = (&row[file_column], row[label_column].trim());
        let file = match files.find(name) {
            Named::One(file) => file,
            Named::None => {
                absent.push(name.as_str());
                continue;
            }
            Named::Several => {
                return Err(wrong("names of one file each", format!("{name}, which several have")));
            }
        };
        if label.is_empty() {
            return Err(wrong("a label for each file", format!("none for {name}")));
        }
        let role = match split_column {
            Some(column) => {
                let known = Role::of_folder(&row[column]);
                Some(known.ok_or_else(|| wrong("train, val or test", row[column].clone()))?)
            }
            None => listing.files[file].path.split('/').find_map(Role::of_folder),
        };
        if let Some((before, _)) = labels.insert(file, (label, role)).filter(|(before, _)| *before != label) {
            return Err(wrong("one label for each file", format!("{before} and {label} for {name}")));
        }
    }
    let mut made = arranged(&labels);
    if !absent.is_empty() {
        made.notes.push(format!(
            "rows of {} name files that are not there: {}",
            csv.display(),
            some_of(&absent)
        ));
    }
    let unnamed = listing.files.iter().enumerate().filter(|(index, _)| !labels.contains_key(index));
    let unnamed: Vec<&str> =
        unnamed.map(|(_, file)| &file.path[..]).filter(|path| is_named_like_an_image(path)).collect();
    if !unnamed.is_empty() {
        made.notes.push(format!("left out as images without a label: {}", some_of(&unnamed)));
    }
    Ok(made)
}

/// Classes and sides of the labelled files.
fn arranged(labels: &HashMap<usize, (&str, Option<Role>)>) -> Layout {
    let mut classes: Vec<&str> =
        labels.values().map(|(label, _)| *label).collect::<BTreeSet<_>>().into_iter().collect();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(0));
    }
    let places: HashMap<&str, u32> =
        classes.iter().enumerate().map(|(at, class)| (*class, at as u32)).collect();
    let is_split = labels.values().all(|(_, role)| role.is_some());
    let mut sides = Vec::<Side>::new();
    let mut files: Vec<_> = labels.iter().collect();
    files.sort();
    for (&file, &(label, role)) in files {
        let (name, role) = match role.filter(|_| is_split) {
            None => ("images", Role::Train),
            Some(Role::Train) => ("train", Role::Train),
            Some(Role::Val) => ("val", Role::Val),
            Some(Role::Test) => ("test", Role::Test),
        };
        let side = sides.iter().position(|side| side.role == role).unwrap_or_else(|| {
            sides.push(Side { name: name.into(), role, files: vec![] });
            sides.len() - 1
        });
        sides[side].files.push((file, places[label]));
    }
    sides.sort_by_key(|side| side.role);
    Layout { classes: classes.into_iter().map(String::from).collect(), sides, notes: vec![] }
}

/// The rows of a CSV, all of one width.
struct Table<'a> {
    csv: &'a Path,
    rows: Vec<Vec<String>>,
}

impl Table<'_> {
    fn read(csv: &Path) -> Result<Table<'_>> {
        let content = load(csv, MAX_BYTES)?;
        let text =
            std::str::from_utf8(&content).map_err(|e| Error::input(csv, "a CSV in UTF-8", e.to_string()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let first = text.lines().next().unwrap_or_default();
        let of_line = |mark: &&char| first.matches(**mark).count();
        let mark = [',', '\t', ';'].iter().rev().max_by_key(of_line).map_or(b',', |mark| *mark as u8);
        let reader =
            csv::ReaderBuilder::new().has_headers(false).delimiter(mark).from_reader(text.as_bytes());
        let rows = reader.into_records().map(|row| row.map(|row| row.iter().map(String::from).collect()));
        let rows: Vec<Vec<String>> = rows
            .collect::<Result<_, csv::Error>>()
            .map_err(|e| Error::input(csv, "rows of one width", e.to_string()))?;
        match rows.first().map(Vec::len) {
            None => Err(Error::input(csv, "a CSV with a row for each file", "an empty file")),
            Some(1) => Err(Error::input(csv, "columns with files and labels", "one column")),
            Some(_) => Ok(Table { csv, rows }),
        }
    }

    /// The column in which most rows name an existing file.
    fn file_column(&self, source: &Path, files: &Files) -> Result<usize> {
        let rows = &self.rows[..self.rows.len().min(LOOKED_AT)];
        let hits = |column: usize| rows.iter().filter(|row| files.find(&row[column]) != Named::None).count();
        let best =
            (0..rows[0].len()).rev().max_by_key(|&column| hits(column)).filter(|&column| hits(column) > 0);
        best.ok_or_else(|| {
            let expected = format!("a column with names of files in {}", source.display());
            Error::input(self.csv, expected, format!("none in the first {} rows", rows.len()))
        })
    }

    fn label_column(
        &self,
        heading: &[String],
        asked: Option<&str>,
        files: usize,
        split: Option<usize>,
    ) -> Result<usize> {
        if let Some(asked) = asked {
            let found = heading.iter().position(|name| name == asked);
            let expected = || format!("one of the columns {}", heading.join(", "));
            return found.ok_or_else(|| Error::option("--label-column", expected(), asked));
        }
        let others: Vec<usize> =
            (0..self.rows[0].len()).filter(|&column| column != files && Some(column) != split).collect();
        if let [only] = others[..] {
            return Ok(only);
        }
        let is_label = |&&column: &&usize| {
            heading.get(column).is_some_and(|name| LABEL_HEADINGS.contains(&&name.to_lowercase()[..]))
        };
        let mut named = others.iter().filter(is_label);
        match (named.next(), named.next()) {
            (Some(&only), None) => Ok(only),
            _ => {
                let names = others.iter().map(|&column| heading.get(column).map_or("?", |name| &name[..]));
                let found = format!("several: {}", names.collect::<Vec<_>>().join(", "));
                Err(Error::input(self.csv, "one column of labels, or its name by --label-column", found))
            }
        }
    }
}

/// How many files a row's cell names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    None,
    One(usize),
    Several,
}

/// The files that a row may name: by path, by the end of a path, with or without its ending.
struct Files<'a> {
    by_name: HashMap<&'a str, Named>,
}

impl<'a> Files<'a> {
    fn new(listing: &'a Listing) -> Files<'a> {
        let mut by_name = HashMap::new();
        let images = listing.files.iter().enumerate().filter(|(_, file)| is_named_like_an_image(&file.path));
        for (index, file) in images.clone() {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            let ending = name.rsplit_once('.').map_or(0, |(_, ending)| ending.len() + 1);
            let stem = &file.path[..file.path.len() - ending];
            let forms = if ending == 0 { &[stem][..] } else { &[&file.path[..], stem] };
            for whole in forms {
                let ends = whole.match_indices('/').map(|(at, _)| &whole[at + 1..]);
                for name in ends.chain([*whole]) {
                    by_name
                        .entry(name)
                        .and_modify(|known| *known = Named::Several)
                        .or_insert(Named::One(index));
                }
            }
        }
        // A file's whole path means that file, whatever other paths end in the same way.
        by_name.extend(images.map(|(index, file)| (&file.path[..], Named::One(index))));
        Files { by_name }
    }

    fn find(&self, cell: &str) -> Named {
        let cell = cell.trim().trim_start_matches("./").replace('\\', "/");
        let ends = cell.match_indices('/').map(|(at, _)| &cell[at + 1..]);
        let mut found = [&cell[..]].into_iter().chain(ends).filter_map(|end| self.by_name.get(end));
        found.next().copied().unwrap_or(Named::None)
    }
}

#[cfg(test)]
mod tests;
