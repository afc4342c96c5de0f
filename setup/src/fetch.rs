//! `baton fetch`: downloads public data sets and pretrained weights from their official places to where a job
//! finds them.

pub(crate) mod download;
#[cfg(test)]
mod server;
mod sources;
#[cfg(test)]
mod tests;

use crate::Failure;
use data_prep::{Options, Source as Images, prepare};
pub(crate) use download::sha256;
use download::{Download, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sources::{Kind, SOURCES, Source};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::Root;
use terminal::say;
use transfer::weights::{Normalisation, install};

/// How long a part of a download may take to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Waits between two tries in which nothing came.
pub(crate) const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30)];

/// Downloads a data set or pretrained weights and puts them where a job finds them.
///
/// A download that was interrupted is continued; its SHA-256 is verified.
/// Downloads are kept in ROOT/downloads.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Fetch {
    /// The names to fetch; see the list below.
    #[arg(required = true)]
    pub names: Vec<String>,
    /// The folder that stands for EFS.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Take the files from this folder's URL instead of the official ones; checksums stay the same.
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Take also files of which only a part of the checksum is known, 32 bits: who is between you and the
    /// server can forge those.
    #[arg(long)]
    pub unpinned: bool,
    /// Print the result as JSON, and no progress.
    #[arg(long)]
    pub json: bool,
}

fn after_help() -> String {
    let mut text = String::from("Known names:\n");
    for Source { name, base, file, bytes, .. } in SOURCES {
        let _ = writeln!(text, "  {name:15} {:>4} MB  {base}/{file}", bytes.div_ceil(1_000_000));
    }
    text + "\nExamples:\n  \
        baton fetch cifar10 vgg19 --root efs   the data set and the network of the README's real job\n\
        \n\
        Without a network, or behind a proxy that forbids it: put the file into ROOT/downloads by hand and\n\
        run the same command again."
}

impl Fetch {
    /// Fetches one after the other.
    ///
    /// # Errors
    /// An unknown name, no network (the message says what to fetch by hand), a wrong checksum.
    pub fn run(&self) -> Result<(), Failure> {
        let sources = self.names.iter().map(|name| {
            sources::find(name).ok_or_else(|| {
                let known: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
                Failure::input(format!("unknown name {name:?}; known are {}", known.join(", ")))
            })
        });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        std::fs::create_dir_all(&self.root).map_err(Failure::io("create", &self.root))?;
        let root = Root::open(&self.root)?;
        for source in sources {
            self.fetch(&root, source)?;
        }
        Ok(())
    }

    fn fetch(&self, root: &Root, source: &Source) -> Result<(), Failure> {
        let file = self.download(source)?;
        let made = match source.kind {
            Kind::Cifar => self.make_dataset(root, source, &file)?,
            Kind::Weights => {
                let network = networks::network(source.name).map_err(Failure::input)?;
                let folder = root.weights(source.name)?;
                install(&folder, &file, &network, Normalisation::IMAGENET).map_err(Failure::of)?;
                folder
            }
        };
        if self.json {
            say!("{}", json!({"name": source.name, "file": file, "made": made}));
        } else {
            say!("{}: {}", source.name, made.display());
        }
        Ok(())
    }

    fn download(&self, source: &Source) -> Result<PathBuf, Failure> {
        if !source.is_pinned() && !self.unpinned {
            return Err(Failure::input(unpinned(source)));
        }
        let folder = self.root.join("downloads");
        std::fs::create_dir_all(&folder).map_err(Failure::io("create", &folder))?;
        let base = self.mirror.as_deref().unwrap_or(source.base).trim_end_matches('/');
        let path = folder.join(source.file);
        let download = Download {
            url: format!("{base}/{}", source.file),
            path: path.clone(),
            sha256: source.sha256.into(),
            most: source.bytes,
            patience: PATIENCE,
            waits: if self.mirror.is_some() { Vec::new() } else { WAITS.to_vec() },
        };
        let bar = self.bar("{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left");
        bar.set_message(source.file);
        let result = download.run(&|Progress { done, of }| {
            bar.set_length(of.unwrap_or(source.bytes));
            bar.set_position(done);
        });
        bar.finish_and_clear();
        result.map_err(|error| explain(error, source, &path))?;
        Ok(path)
    }

    fn make_dataset(&self, root: &Root, source: &Source, archive: &Path) -> Result<PathBuf, Failure> {
        let folder = root.dataset(source.name)?;
        let bar = self.bar("{msg} {bar:30} {pos}/{len} images, {per_sec}");
        bar.set_message(source.name);
        let images = Images::Cifar { path: archive.into(), coarse: false };
        let made = prepare(&images, &Options::new(&folder), &|progress| match progress {
            data_prep::Progress::Planned { images } => bar.set_length(images as u64),
            data_prep::Progress::Done { images } => bar.inc(images as u64),
            data_prep::Progress::Unreadable(_) | data_prep::Progress::Note(_) => {}
        });
        bar.finish_and_clear();
        made?;
        Ok(folder)
    }

    fn bar(&self, template: &str) -> ProgressBar {
        let bar = if self.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
        bar.with_style(ProgressStyle::with_template(template).expect("a valid template"))
    }
}

/// A weights file of a network that can be downloaded.
pub(crate) struct Offered {
    /// The network, which is the name for `baton fetch`.
    pub(crate) name: &'static str,
    /// The address of its folder, and its name there.
    pub(crate) base: &'static str,
    pub(crate) file: &'static str,
    pub(crate) bytes: u64,
    /// Whether `baton fetch` takes it without being asked twice.
    pub(crate) is_pinned: bool,
}

/// The largest file that is offered to somebody who has named no network.
const SMALL: u64 = 50_000_000;

/// The weights files of a network; without a name the small ones, the smallest first.
pub(crate) fn offered(network: Option<&str>) -> Vec<Offered> {
    let wanted = |source: &&Source| {
        let small = source.is_pinned() && source.bytes <= SMALL;
        source.kind == Kind::Weights && network.map_or(small, |name| source.name == name)
    };
    let offered = |source: &Source| Offered {
        name: source.name,
        base: source.base,
        file: source.file,
        bytes: source.bytes,
        is_pinned: source.is_pinned(),
    };
    let mut all: Vec<Offered> = SOURCES.iter().filter(wanted).map(offered).collect();
    all.sort_by_key(|offered| offered.bytes);
    all
}

/// Why a file is not taken without being asked for, and what to do.
fn unpinned(source: &Source) -> String {
    let Source { name, base, file, sha256, .. } = source;
    format!(
        "of {name} only the first 32 bits of the checksum are known ({sha256}), which a forgery can have, \
         too: fetch {base}/{file} from where you trust the way, look at it, and install it with `baton \
         weights`; or give --unpinned"
    )
}

/// The message with the steps to do by hand.
fn explain(error: download::Error, source: &Source, path: &Path) -> Failure {
    let Source { base, file, sha256, bytes, .. } = source;
    let megabytes = bytes.div_ceil(1_000_000);
    match error {
        download::Error::Network(why) => Failure {
            code: 4,
            message: format!(
                "could not download {file}: {why}. Fetch it by hand, on any machine: {base}/{file} (about \
                 {megabytes} MB, SHA-256 {sha256}{}). Put it here: {}. Then run the same command again; it \
                 verifies the file and continues without the network.",
                if sha256.len() < 64 { "…" } else { "" },
                path.display()
            ),
        },
        download::Error::Checksum { .. } | download::Error::Length { .. } => Failure {
            code: 3,
            message: format!(
                "{error}: it is damaged or another file. Remove it if it is still there, and try again."
            ),
        },
        error => Failure { code: 4, message: error.to_string() },
    }
}
