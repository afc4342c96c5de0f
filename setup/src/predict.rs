//! `baton predict`: a run's model on images: the five likeliest classes of each, as text, JSON or a picture.
//! On a run of factors: predicted ratings.

mod ratings;

use crate::Failure;
use crate::evaluate::open_same_classes;
use crate::output::write_whole;
use crate::sheet::{Entry, write_sheet};
use data_prep::{Links, NoImage, Reading, list_folder, read_image};
use datasets::images::Image;
use ratings::RatingsArgs;
use serde_json::json;
use std::path::{Path, PathBuf};
use storage::Root;
use terminal::{note, say};
use transfer::model::MODEL;
use transfer::predict::Predictor;

/// Images are read no larger than data-prep stores them.
const SHORT_SIDE: u32 = 256;
/// Classes that are printed for each image.
const TOP: usize = 5;
/// Images that are read and classified together.
const BATCH: usize = 64;

/// Classifies images with a run's model: the five likeliest classes with their probabilities.
///
/// If an image is in a folder that has the name of a class, or comes from a data set, its true class is
/// shown, too. On a run of factors: the predicted ratings of pairs, or the items that a user would rate
/// highest.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton predict --root efs --run my-run photo.jpg another.png\n  \
    baton predict --root efs --run my-run photos --sheet sheet.png   a folder, drawn as a grid\n  \
    baton predict --root efs --run my-run --dataset cifar10 --split test --count 26 --sheet sheet.png\n  \
    baton predict --root efs --run films --user 42 --top 10   a run of factors\n\
    \n\
    Exit codes: 0 classified, 2 wrong usage, \
    3 no model or an image that cannot be read, 4 could not read or write.")]
pub struct Predict {
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// The run; without it the last one with a model.
    #[arg(long)]
    pub run: Option<String>,
    /// Images, or folders of images.
    #[arg(required_unless_present_any = ["dataset", "user", "pairs"], conflicts_with = "dataset")]
    #[arg(value_name = "IMAGE|FOLDER")]
    pub images: Vec<PathBuf>,
    /// Take the images from this data set.
    #[arg(long)]
    pub dataset: Option<String>,
    /// From this split of the data set.
    #[arg(long, default_value = "val", value_parser = ["train", "val", "test"])]
    pub split: String,
    /// At most this many images, spread evenly over all.
    #[arg(long)]
    pub count: Option<usize>,
    /// The number of bits of the values in 16-bit files: as in `data-prep folder --bits`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(8..=16))]
    pub bits: Option<u8>,
    /// Draw the images with predicted and true class into this PNG.
    #[arg(long, value_name = "PNG")]
    pub sheet: Option<PathBuf>,
    /// Compute threads; without it as many as there are cores.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub json: bool,
    /// The options for a run of factors.
    #[command(flatten)]
    pub ratings: RatingsArgs,
}

/// An image with its name and, if known, its true class.
struct Sample {
    name: String,
    truth: Option<usize>,
    image: Image,
}

/// A sample with the model's prediction.
struct Answer {
    sample: Sample,
    /// Class and probability, the likeliest first.
    top: Vec<(usize, f32)>,
}

impl Predict {
    /// Classifies, prints and draws; or predicts ratings.
    ///
    /// # Errors
    /// A run without a model; an image that cannot be read (the others are classified nevertheless).
    pub fn run(&self) -> Result<(), Failure> {
        if self.ratings.are_given() {
            return self.ratings.run(&self.root, self.run.as_deref(), self.json);
        }
        let root = Root::open(&self.root)?;
        let run = crate::chosen_run(&root, self.run.as_deref(), MODEL)?;
        let mut predictor =
            Predictor::open(&root, &run, crate::threads(self.threads)).map_err(Failure::of)?;
        let classes = predictor.model().classes.clone();
        let (mut answers, mut unreadable, mut right, mut known) = (Vec::new(), 0, 0, 0);
        self.each_batch(&root, &classes, &mut unreadable, &mut |samples| {
            let images: Vec<Image> = samples.iter().map(|sample| sample.image.clone()).collect();
            for (sample, probabilities) in
                samples.into_iter().zip(predictor.probabilities(&images).map_err(Failure::of)?)
            {
                let answer = Answer { top: likeliest(&probabilities), sample };
                self.print(&answer, &classes);
                known += usize::from(answer.sample.truth.is_some());
                right += usize::from(answer.sample.truth == Some(answer.top[0].0));
                if self.sheet.is_some() {
                    answers.push(answer);
                }
            }
            Ok(())
        })?;
        if known > 0 && !self.json {
            say!("{right} of {known} right ({:.1} %)", 100.0 * right as f64 / known as f64);
        }
        if let Some(path) = &self.sheet {
            draw_sheet(&answers, &classes, path)?;
        }
        match unreadable {
            0 => Ok(()),
            1 => Err(Failure::input("1 image could not be read")),
            n => Err(Failure::input(format!("{n} images could not be read"))),
        }
    }

    /// Reads all images, some at a time; those that cannot be read are named and counted.
    fn each_batch(
        &self,
        root: &Root,
        classes: &[String],
        unreadable: &mut usize,
        classify: &mut dyn FnMut(Vec<Sample>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(name) = &self.dataset {
            let dataset = open_same_classes(root, name, classes)?;
            let split = dataset.split(&self.split)?;
            let labels = split.labels()?;
            for chosen in spread(split.len(), self.count).chunks(BATCH) {
                let mut samples = Vec::new();
                for &index in chosen {
                    let mut images = Vec::new();
                    split.read_images(index..index + 1, &mut images)?;
                    let name = crate::mistakes::name(Some(split), &self.split, index);
                    let truth = Some(labels[index] as usize);
                    samples.extend(images.pop().map(|image| Sample { name, truth, image }));
                }
                classify(samples)?;
            }
            return Ok(());
        }
        let mut files = Vec::new();
        self.images.iter().try_for_each(|path| list(path, &mut files))?;
        let reading = Reading { short_side: SHORT_SIDE, bits: self.bits };
        for chosen in spread(files.len(), self.count).chunks(BATCH) {
            let mut samples = Vec::new();
            for Listed { path, is_named } in chosen.iter().map(|&index| &files[index]) {
                match read_image(path, &reading) {
                    Ok(image) => {
                        let folder = path.parent().and_then(Path::file_name);
                        let truth =
                            classes.iter().position(|class| folder.is_some_and(|f| f == class.as_str()));
                        samples.push(Sample { name: path.display().to_string(), truth, image });
                    }
                    Err(why) => {
                        // A text among the images of a folder is not an error; an unreadable file that the
                        // user named is one.
                        *unreadable += usize::from(*is_named || matches!(why, NoImage::Unreadable(_)));
                        note!("baton: {}: {why}", path.display());
                    }
                }
            }
            classify(samples)?;
        }
        Ok(())
    }

    fn print(&self, answer: &Answer, classes: &[String]) {
        let Answer { sample, top } = answer;
        let truth = sample.truth.map(|truth| classes[truth].as_str());
        if self.json {
            let top: Vec<_> =
                top.iter().map(|(c, p)| json!({"class": classes[*c], "probability": p})).collect();
            say!("{}", json!({"image": sample.name, "true": truth, "top": top}));
            return;
        }
        let list: Vec<String> = top.iter().map(|(class, p)| format!("{} {p:.3}", classes[*class])).collect();
        let mark =
            truth.map(|t| if t == classes[top[0].0] { "  (right)".into() } else { format!("  (is {t})") });
        say!("{}: {}{}", sample.name, list.join(", "), mark.unwrap_or_default());
    }
}

/// `count` of `len` places, evenly spread.
fn spread(len: usize, count: Option<usize>) -> Vec<usize> {
    let count = count.unwrap_or(len).min(len);
    (0..count).map(|i| i * len / count).collect()
}

/// A file to read.
struct Listed {
    path: PathBuf,
    /// Whether the user named it, rather than its folder.
    is_named: bool,
}

/// The files below a path, by the rule of `data-prep`, or the path itself.
fn list(path: &Path, files: &mut Vec<Listed>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(Listed { path: path.to_owned(), is_named: true });
        return Ok(());
    }
    let listing = list_folder(path, Links::Inside)?;
    listing
        .left_out
        .iter()
        .for_each(|(left_out, why)| tell(&path.join(left_out), &format!("left out, {why}")));
    files.extend(listing.files.iter().map(|file| Listed { path: path.join(&file.path), is_named: false }));
    Ok(())
}

/// Prints a note about a file on standard error.
fn tell(path: &Path, words: &str) {
    note!("baton: {}: {words}", path.display());
}

fn likeliest(probabilities: &[f32]) -> Vec<(usize, f32)> {
    let mut all: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(TOP);
    all
}

fn draw_sheet(answers: &[Answer], classes: &[String], path: &Path) -> Result<(), Failure> {
    let entry = |answer: &Answer| {
        let (class, probability) = answer.top[0];
        Entry {
            image: answer.sample.image.clone(),
            predicted: format!("{} {:.0}%", classes[class], 100.0 * probability),
            truth: answer.sample.truth.map(|truth| classes[truth].clone()),
            right: answer.sample.truth.map(|truth| truth == class),
        }
    };
    let entries: Vec<Entry> = answers.iter().map(entry).collect();
    write_whole(path, &write_sheet(&entries)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_spread_over_all() {
        assert_eq!(spread(10, Some(4)), [0, 2, 5, 7]);
        assert_eq!(spread(3, Some(9)), [0, 1, 2]);
        assert_eq!(spread(0, None), [0; 0]);
    }

    #[test]
    fn the_likeliest_come_first_and_equal_ones_in_the_order_of_the_classes() {
        let found = likeliest(&[0.1, 0.3, 0.05, 0.3, 0.05, 0.2]);
        assert_eq!(found.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [1, 3, 5, 0, 2]);
    }
}
