//! Tables and samples of a model, for people: its confusion matrix, and predictions for some images.

use crate::confusion::Confusion;
use crate::score::Example;
use protocol::items::{Cell, Sample, Samples, Shown, Table};
use std::cmp::Reverse;

/// The most classes with a whole confusion matrix; with more, the worst mistakes are shown.
pub const MOST_CLASSES: usize = 20;
/// Mistakes that are shown if there are more classes.
const MOST_MISTAKES: usize = 20;
/// Characters of a class's name that are kept: the most with which everything fits.
const CLASS_CHARS: [usize; 3] = [24, 8, 2];

/// A model's predictions on the validation split of a data set.
pub(crate) struct Answers<'a> {
    /// The data set's name.
    pub(crate) dataset: &'a str,
    /// Its classes.
    pub(crate) classes: &'a [String],
    /// The confusion matrix.
    pub(crate) confusion: &'a Confusion,
    /// Some images, and the surest mistakes.
    pub(crate) examples: [&'a [Example]; 2],
}

/// The tables and samples of a model.
pub(crate) fn shown(answers: &Answers<'_>) -> Shown {
    let of = |chars: usize| {
        let classes: Vec<String> =
            answers.classes.iter().map(|name| name.chars().take(chars).collect()).collect();
        Shown { tables: vec![confusion(&classes, answers.confusion)], samples: samples(answers, &classes) }
    };
    let [shown, shorter, shortest] = CLASS_CHARS.map(of);
    [shown, shorter].into_iter().find(Shown::fits).unwrap_or(shortest)
}

/// The confusion of classes: the whole matrix of few classes, the worst mistakes of many.
fn confusion(classes: &[String], confusion: &Confusion) -> Table {
    let title = "What the model takes for what".to_owned();
    if classes.len() > MOST_CLASSES {
        let row = |(images, truth, predicted): (u64, usize, usize)| {
            let name = |class: usize| Cell::Text(classes.get(class).cloned().unwrap_or_default());
            vec![Cell::Count(images), name(truth), name(predicted)]
        };
        return Table {
            title,
            note: format!(
                "On the validation split, images. Of {} classes, what is most often mistaken.",
                classes.len()
            ),
            columns: ["images", "of class", "taken for"].map(str::to_owned).into(),
            rows: worst(confusion).into_iter().map(row).collect(),
            matrix: false,
        };
    }
    let row = |(truth, (name, counts)): (usize, (&String, &Vec<u64>))| {
        let total: u64 = counts.iter().sum();
        let share =
            if total == 0 { 0.0 } else { counts.get(truth).copied().unwrap_or(0) as f64 / total as f64 };
        let right = Cell::Number((share * 1_000.0).round() / 1_000.0);
        [Cell::Text(name.clone())]
            .into_iter()
            .chain(counts.iter().map(|n| Cell::Count(*n)))
            .chain([right])
            .collect()
    };
    let ends = |name: &str| [name.to_owned()];
    Table {
        title,
        note: "On the validation split, images.".into(),
        columns: [&ends("true ╲ taken for")[..], classes, &ends("right")].concat(),
        rows: classes.iter().zip(confusion.matrix().unwrap_or_default()).enumerate().map(row).collect(),
        matrix: true,
    }
}

/// Predictions for some images, and the surest mistakes.
fn samples(answers: &Answers<'_>, classes: &[String]) -> Vec<Samples> {
    let name =
        |class: u32| classes.get(class as usize).map_or_else(|| format!("class {class}"), String::clone);
    let sample = |example: &Example| Sample {
        caption: format!("{} {:.0}\u{a0}%", name(example.predicted), 100.0 * example.probability),
        truth: (example.truth != example.predicted).then(|| format!("is {}", name(example.truth))),
        image: Some(example.image),
    };
    let group =
        |(title, examples): (&str, &[Example])| (title.to_owned(), examples.iter().map(sample).collect());
    let groups = ["Evenly spread", "The surest mistakes"].into_iter().zip(answers.examples);
    let groups: Vec<_> = groups.filter(|(_, examples)| !examples.is_empty()).map(group).collect();
    if groups.is_empty() {
        return Vec::new();
    }
    vec![Samples {
        title: "What it says of some images".into(),
        note: "Of the validation split; a number is the image's place in it.".into(),
        images_of: Some((answers.dataset.to_owned(), "val".into())),
        groups,
    }]
}

/// The worst mistakes: how many images of a class were predicted as another.
pub fn worst(confusion: &Confusion) -> Vec<(u64, usize, usize)> {
    let wrong = confusion.pairs().into_iter().filter(|(truth, predicted, _)| truth != predicted);
    let mut found: Vec<_> = wrong.map(|(truth, predicted, images)| (images, truth, predicted)).collect();
    found.sort_by_key(|&(images, truth, predicted)| (Reverse(images), truth, predicted));
    found.truncate(MOST_MISTAKES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(image: u64, truth: u32, predicted: u32) -> Example {
        Example { image, truth, predicted, probability: 0.98765 }
    }

    #[test]
    fn of_few_classes_the_matrix_is_shown() {
        let (classes, confusion) =
            (["cat".into(), "d".repeat(99)], Confusion::Matrix(vec![vec![2, 0], vec![1, 1]]));
        let examples: [&[Example]; 2] = [&[example(7, 1, 0), example(8, 1, 1)], &[]];
        let shown = shown(&Answers { dataset: "pets", classes: &classes, confusion: &confusion, examples });
        let (table, dog) = (&shown.tables[0], "d".repeat(24));
        assert_eq!(table.columns, ["true ╲ taken for", "cat", &dog, "right"]);
        let text = |text: &str| Cell::Text(text.into());
        assert_eq!(table.rows[0], [text("cat"), Cell::Count(2), Cell::Count(0), Cell::Number(1.0)]);
        assert_eq!(table.rows[1], [text(&dog), Cell::Count(1), Cell::Count(1), Cell::Number(0.5)]);
        assert!(table.matrix && shown.samples[0].groups.len() == 1, "{shown:?}");
        let said = &shown.samples[0].groups[0].1;
        assert_eq!((said[0].caption.as_str(), &said[0].truth), ("cat 99\u{a0}%", &Some(format!("is {dog}"))));
        assert_eq!((said[0].image, &said[1].truth), (Some(7), &None));
        assert_eq!(shown.samples[0].images_of, Some(("pets".into(), "val".into())));
    }

    #[test]
    fn of_many_classes_the_worst_mistakes_are_shown_and_all_of_it_fits() {
        let many: Vec<String> = (0..1_000).map(|class| format!("class {class} {}", "é".repeat(80))).collect();
        let mut confusion = vec![vec![1_000_000; 1_000]; 1_000];
        (confusion[3][4], confusion[9][1]) = (1_000_007, 1_000_008);
        let confusion = Confusion::Matrix(confusion);
        let examples: Vec<Example> =
            (0..8).map(|n| example(49_990 + u64::from(n), 900 + n, 800 + n)).collect();
        let examples: [&[Example]; 2] = [&examples, &examples];
        let shown = shown(&Answers { dataset: "pets", classes: &many, confusion: &confusion, examples });
        let rows = &shown.tables[0].rows;
        let row = |images, truth: &str, predicted: &str| {
            [Cell::Count(images), Cell::Text(truth.into()), Cell::Text(predicted.into())]
        };
        assert_eq!(rows.len(), MOST_MISTAKES);
        assert_eq!(rows[0], row(1_000_008, "class 9 ", "class 1 "));
        assert_eq!(rows[1], row(1_000_007, "class 3 ", "class 4 "));
        assert_eq!(shown.samples[0].groups[1].1[3].truth.as_deref(), Some("is class 90"));
        assert!(shown.fits(), "{shown:?}");
    }
}
