//! The data-prep command.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod ratings_form;
mod units_form;

use clap::{Args, Parser, Subcommand};
use data_prep::generate::{ClassSet, Generated};
use data_prep::{
    Deal, Error, Links, Options, Pictures, Progress, Reading, Selection, Source, Summary, prepare, printable,
};
use indicatif::{ProgressBar, ProgressStyle};
use ratings_form::RatingsForm;
use std::path::PathBuf;
use std::process::ExitCode;
use terminal::{note, say};
use units_form::UnitsForm;

/// Makes a dataset folder for Baton: of images, from the usual forms of data sets, of units for a program, or
/// of ratings.
///
/// The folder appears when it is complete. After an interruption the same command continues; with units and
/// ratings it starts over. If the folder exists, the command only verifies it. numpy opens every array.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    form: Form,
}

const EXAMPLES: &str = "\
Examples:
  data-prep cifar cifar-10-python.tar.gz --out datasets/cifar10
  data-prep cifar cifar-10-batches-py --out datasets/cifar10 \\
      --train 'data_batch_1[:2000]' --val 'data_batch_5[:2000]' --test test_batch
  data-prep folder photos --out datasets/photos --val-share 0.2 --seed 7
  data-prep folder hymenoptera_data --out datasets/ants-bees --size 256
  data-prep folder photos.zip --out datasets/photos --val-share 0.2
  data-prep folder scans --labels scans.csv --out datasets/scans --val-share 0.2 --bits 12
  data-prep idx mnist --out datasets/mnist
  data-prep npy images.npy --labels labels.npy --out datasets/mine --val-share 0.1
  data-prep npy bloodmnist.npz --out datasets/blood
  data-prep generate --set novel --images-per-class 30 --out datasets/shapes
  data-prep units addresses.csv --out datasets/addresses
  data-prep units scans --out datasets/raw-scans
  seq 1000 | data-prep units - --out datasets/numbers
  data-prep ratings ml-1m/ratings.dat --out datasets/ml-1m
  data-prep ratings ratings.csv --out datasets/films --split time --scale 0.5:5

Exit codes: 0 made or already there, 2 wrong usage, 3 bad input, 4 could not read or write,
5 something else is at --out or another data-prep is writing it.";

#[derive(Subcommand)]
enum Form {
    /// CIFAR-10 or CIFAR-100: an archive (tar, .tar.gz, zip) or a folder of batches, in the Python or the
    /// binary form.
    Cifar {
        /// The archive or the folder.
        #[arg(value_name = "SRC")]
        source: PathBuf,
        /// The 20 coarse labels of CIFAR-100 in place of the 100 fine ones.
        #[arg(long)]
        coarse: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Image files in a folder or an archive: one sub-folder per class, or train, val and test with the
    /// classes in each.
    ///
    /// JPEG, PNG, GIF (first frame), BMP, WebP and TIFF (first page), recognised by content. Transparent
    /// images are laid over white, a camera's orientation is applied, colour profiles are not. An archive is
    /// a tar, a .tar.gz or a zip.
    Folder {
        /// The folder or the archive.
        #[arg(value_name = "SRC")]
        source: PathBuf,
        /// The shorter side of a stored image is at most this; none is enlarged or cropped.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
        size: u32,
        /// Take the classes from this CSV: a row for each file, with its name and its label.
        #[arg(long, value_name = "CSV")]
        labels: Option<PathBuf>,
        /// The heading of the column with the labels, if the CSV has several columns.
        #[arg(long, value_name = "HEADING", requires = "labels")]
        label_column: Option<String>,
        /// The number of bits of the values in 16-bit files, such as a camera's or a microscope's.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(8..=16))]
        bits: Option<u8>,
        /// Follow links that lead out of the folder.
        #[arg(long)]
        follow_links: bool,
        #[command(flatten)]
        common: Common,
    },
    /// A folder of MNIST-style IDX files, gzipped or not; grey images are stored grey and read as RGB.
    Idx {
        /// The folder, or one that contains it as torchvision's MNIST/raw.
        #[arg(value_name = "SRC")]
        source: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// .npy or .npz: images [n, h, w], [n, h, w, 1 or 3] or [n, 1 or 3, h, w], and integer labels [n].
    ///
    /// Images are bytes, whole numbers from 0 to 255, or fractions from 0 to 1.
    Npy {
        /// The images' file, a .npz with both, or a folder of files whose names differ in "images" and
        /// "labels".
        #[arg(value_name = "SRC")]
        source: PathBuf,
        /// The labels' file, if SRC is the images'.
        #[arg(long)]
        labels: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Procedural images of shapes and textures: base classes, or novel ones, which are not among the base
    /// classes.
    Generate {
        /// Which of the two disjoint sets of classes.
        #[arg(long, value_enum)]
        set: ClassSet,
        /// Training images of each class.
        #[arg(long, value_name = "N", default_value_t = 30)]
        images_per_class: u32,
        /// Validation images of each class.
        #[arg(long, value_name = "N", default_value_t = 50)]
        val_per_class: u32,
        /// Side of the square images, in pixels.
        #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(8..=1024))]
        size: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Units for a program: lines of JSON, the rows of a table, or the files of a folder.
    ///
    /// Each line is a JSON value. Each row becomes an object of strings, by the names in the heading. Each
    /// file is copied into the data set, and its unit is {"file": "files/...", "bytes": ..., "xxh3": ...}.
    /// A unit has at most 1048576 bytes.
    Units(#[command(flatten)] UnitsForm),
    /// Ratings of items by users: a table with a row for each.
    ///
    /// Columns are separated by ::, a tab, a comma, a semicolon or a space. A heading is recognised by the
    /// usual names (userId, movieId, rating, timestamp); without one the columns are user, item, rating and
    /// time. Ids are any texts of at most 256 bytes.
    Ratings(#[command(flatten)] RatingsForm),
}

#[derive(Args)]
struct Common {
    /// The dataset folder to make; its last name is the dataset's.
    #[arg(long)]
    out: PathBuf,
    /// Train on this part of the source, or some of it: NAME, NAME[:N], NAME[FROM:TO]; may be repeated.
    ///
    /// Parts are batches or files by their names without ending, or the folders train, val, test. Without
    /// --train, --val and --test the source's own split is taken;
    /// its test images validate when it has no others.
    #[arg(long, value_name = "PART")]
    train: Vec<Selection>,
    /// Validate on this part.
    #[arg(long, value_name = "PART")]
    val: Vec<Selection>,
    /// Keep this part for a final test.
    #[arg(long, value_name = "PART")]
    test: Vec<Selection>,
    /// Draw this share of each class's training images for validation; 0 for no validation images.
    #[arg(long, value_name = "SHARE")]
    val_share: Option<f64>,
    /// At most N training images, the first ones.
    #[arg(long, value_name = "N")]
    limit_train: Option<usize>,
    /// At most N validation images, the first ones.
    #[arg(long, value_name = "N")]
    limit_val: Option<usize>,
    /// Keys the draw for validation and the order of a folder's images.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Class names in the order of the labels: the source's names in another order, or new names in their
    /// place.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// The size of a shard.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    shard_mib: u32,
    /// Stop when more than this share of the images cannot be read, e.g. 0.01 or 1%.
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    max_unreadable: f64,
    /// Threads; one per core if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Make it again in place of the dataset at --out, also if images changed but kept names and lengths.
    #[arg(long)]
    replace: bool,
    /// Print a summary as JSON, and no progress.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share = number.trim().parse::<f64>().map_err(|e| e.to_string())? / unit;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share from 0 to 1, or 0% to 100%".into()) }
}

fn main() -> ExitCode {
    let made = match Cli::parse().form.source() {
        Made::Images(source, common) => images(&source, *common),
        Made::Units(form) => units_form::run(form),
        Made::Ratings(form) => ratings_form::run(form),
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note!("data-prep: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// The product of a form, and its source.
enum Made {
    Images(Source, Box<Common>),
    Units(UnitsForm),
    Ratings(RatingsForm),
}

impl Form {
    fn source(self) -> Made {
        let (source, common) = match self {
            Form::Units(form) => return Made::Units(form),
            Form::Ratings(form) => return Made::Ratings(form),
            Form::Cifar { source, coarse, common } => (Source::Cifar { path: source, coarse }, common),
            Form::Folder { source, size, labels, label_column, bits, follow_links, common } => {
                let links = if follow_links { Links::Anywhere } else { Links::Inside };
                let reading = Reading { short_side: size, bits };
                let pictures = Pictures { reading, links, labels, label_column };
                (Source::Folder { path: source, pictures }, common)
            }
            Form::Idx { source, common } => (Source::Idx { path: source }, common),
            Form::Npy { source, labels, common } => (Source::Npy { path: source, labels }, common),
            Form::Generate { set: classes, images_per_class: per_class, val_per_class, size, common } => {
                let seed = common.seed;
                (Source::Generate(Generated { classes, per_class, val_per_class, size, seed }), common)
            }
        };
        Made::Images(source, Box::new(common))
    }
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Option { .. } => 2,
        Error::Exists { .. } | Error::Busy { .. } => 5,
        error if error.is_bad_input() => 3,
        _ => 4,
    }
}

/// Makes a data set of images and prints the summary.
fn images(source: &Source, common: Common) -> Result<(), Error> {
    let json = common.json;
    // indicatif draws nothing when standard error is not a terminal.
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let style = "{bar:40} {pos}/{len} images, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let summary = prepare(source, &options(common), &|progress| match progress {
        Progress::Planned { images } => bar.set_length(images as u64),
        Progress::Done { images } => bar.inc(images as u64),
        Progress::Unreadable(image) if !json => {
            bar.suspend(|| note!("data-prep: left out {}: {}", image.file, image.reason));
        }
        Progress::Note(note) if !json => bar.suspend(|| note!("data-prep: {note}")),
        Progress::Unreadable(_) | Progress::Note(_) => {}
    });
    bar.finish_and_clear();
    print(&summary?, json);
    Ok(())
}

fn options(common: Common) -> Options {
    Options {
        out: common.out,
        deal: Deal {
            train: common.train,
            val: common.val,
            test: common.test,
            val_share: common.val_share,
            spare: None,
            limit_train: common.limit_train,
            limit_val: common.limit_val,
            seed: common.seed,
        },
        classes: common.classes,
        shard_bytes: (common.shard_mib as usize) << 20,
        max_unreadable: common.max_unreadable,
        threads: common.threads,
        replace: common.replace,
    }
}

fn print(summary: &Summary, json: bool) {
    let text = if json {
        serde_json::to_string_pretty(summary).expect("a summary has only string keys")
    } else {
        describe(summary)
    };
    text.lines().for_each(|line| say!("{line}"));
}

fn describe(summary: &Summary) -> String {
    let manifest = &summary.manifest;
    let size = match manifest.image.size() {
        Some((height, width)) => format!("{height} x {width}"),
        None => "many sizes".into(),
    };
    let made = if summary.was_there { "was there, and is whole" } else { "made" };
    let mut lines = vec![format!(
        "{} {made}: {} classes, images of {size}, {:.1} MB",
        printable(&summary.folder.to_string_lossy()),
        manifest.classes.len(),
        summary.bytes as f64 / 1e6
    )];
    for name in ["train", "val", "test"] {
        if let Some(split) = manifest.splits.get(name) {
            let (least, most) = (split.per_class.iter().min(), split.per_class.iter().max());
            let range = format!("{} to {} per class", least.unwrap_or(&0), most.unwrap_or(&0));
            lines.push(format!(
                "  {name:5} {:>8} images, {range}, {} shards",
                split.images,
                split.shards.len()
            ));
        }
    }
    let three = |values: [f64; 3]| values.map(|v| format!("{v:.4}")).join(" ");
    lines.push(format!("  mean {}  std {}", three(manifest.mean), three(manifest.std)));
    if !manifest.unreadable.is_empty() {
        lines.push(format!("  {} files could not be read and are left out", manifest.unreadable.len()));
    }
    lines.join("\n")
}
