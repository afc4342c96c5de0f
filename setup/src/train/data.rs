//! The data set of `baton train`: prepared once, and known again.

use super::Train;
use crate::Failure;
use data_prep::{Error, Options, Progress, Source, Summary, prepare as make};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use storage::Root;
use terminal::{note, shown};

/// The share of each class that is set aside to validate on, if the source has no images for it.
const SPARE: f64 = 0.2;
/// Data sets of one name that are tried.
const TRIES: usize = 99;

/// Prepares the data set, or finds that it is prepared; returns its name.
///
/// # Errors
/// Data that cannot be read; a folder that cannot be written.
pub(super) fn prepare(train: &Train, root: &Root) -> Result<String, Failure> {
    let source = Source::detect(&train.data, train.labels.as_deref())?;
    let usual = name(&train.data)?;
    for number in 1..=TRIES {
        let name = if number == 1 { usual.clone() } else { format!("{usual}-{number}") };
        let mut options = Options::new(root.dataset(&name)?);
        options.deal.spare = Some(SPARE);
        let bar = bar(train);
        let made = make(&source, &options, &|progress| match progress {
            Progress::Planned { images } => bar.set_length(images as u64),
            Progress::Done { images } => bar.inc(images as u64),
            Progress::Unreadable(image) if !train.json => {
                bar.suspend(|| note!("baton: left out {}: {}", image.file, image.reason));
            }
            Progress::Unreadable(_) | Progress::Note(_) => {}
        });
        bar.finish_and_clear();
        match made {
            Ok(summary) => {
                tell(train, &source, &name, &summary);
                return Ok(name);
            }
            Err(Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let folder = root.path().join("datasets");
    Err(Failure::input(format!("{}: {TRIES} data sets are named {usual}: remove some", folder.display())))
}

fn bar(train: &Train) -> ProgressBar {
    let bar = if train.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let style = "data     {bar:30} {pos} of {len} images, {eta} left";
    bar.with_style(ProgressStyle::with_template(style).expect("a valid template"))
}

fn tell(train: &Train, source: &Source, name: &str, summary: &Summary) {
    let manifest = &summary.manifest;
    let images = |split: &str| manifest.splits.get(split).map_or(0, |split| split.images);
    let (form, classes) = (source.form(), manifest.classes.len());
    train.say("data", &format!("{name}, from {form}"));
    train.say("", &format!("{classes} classes: {}", list(&manifest.classes)));
    let test = match images("test") {
        0 => String::new(),
        test => format!(", {test} to test"),
    };
    let there = if summary.was_there { "; it was there" } else { "" };
    train.say(
        "",
        &format!("{} images to train on, {} to validate{test}{there}", images("train"), images("val")),
    );
    summary.notes.iter().for_each(|note| train.say("", note));
    if !manifest.unreadable.is_empty() {
        train.say("", &format!("{} files could not be read and are left out", manifest.unreadable.len()));
    }
}

/// The first names of a list that has room in a line.
fn list(names: &[String]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().enumerate() {
        let name = shown(name);
        if text.chars().count() + name.chars().count() > 50 {
            return if place == 0 { "…".into() } else { format!("{text}, …") };
        }
        text += if place == 0 { "" } else { ", " };
        text += &name;
    }
    text
}

/// A name for the data set, from that of its folder or file.
fn name(data: &Path) -> Result<String, Failure> {
    let whole = data.canonicalize().map_err(Failure::io("open", data))?;
    let name = whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
    let mut stem = name.as_str();
    if !whole.is_dir() {
        for ending in [".gz", ".tgz", ".tar", ".zip", ".npy", ".npz"] {
            stem = stem.strip_suffix(ending).unwrap_or(stem);
        }
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = stem.chars().map(plain).take(40).collect();
    let name = name.trim_matches(['-', '.']);
    Ok(if name.is_empty() { "pictures".into() } else { name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_is_named_after_its_folder_or_file() {
        let folder = tempfile::tempdir().unwrap();
        for (given, expected) in [
            ("My Photos (2)", "my-photos--2"),
            ("cifar-10.tar.gz", "cifar-10"),
            ("café", "caf"),
            ("...", "pictures"),
        ] {
            let path = folder.path().join(given);
            std::fs::write(&path, "").unwrap();
            assert_eq!(name(&path).unwrap(), expected, "{given}");
        }
        assert_eq!(name(&folder.path().join("gone")).unwrap_err().code, 4);
    }

    #[test]
    fn a_list_of_classes_fits_into_a_line() {
        let names = |names: &[&str]| list(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["ants", "bees"]), "ants, bees");
        let many: Vec<String> = (0..100).map(|n| format!("class{n}")).collect();
        assert!(list(&many).ends_with(", …") && list(&many).chars().count() < 60);
        assert_eq!(names(&[&"x".repeat(60)]), "…");
    }
}
