//! The kind of a data set, which its manifest names, so that one kind is never read as another.

use serde::Deserialize;
use std::fmt::{self, Display};
use std::path::Path;
use storage::{Error, Result, read_whole, unseal};

/// The manifest's name in a dataset folder, whatever its kind.
pub const MANIFEST: &str = "dataset.json";

/// A kind of data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Images with classes: [`crate::images`].
    Images,
    /// Units for a program: [`crate::units`].
    Units,
    /// Ratings of items by users: [`crate::ratings`].
    Ratings,
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Images => "images",
            Kind::Units => "units",
            Kind::Ratings => "ratings",
        })
    }
}

/// The fields that determine how the rest of a manifest is read; manifests of images name no kind.
#[derive(Deserialize)]
struct Head {
    schema: u32,
    kind: Option<String>,
}

impl Kind {
    /// The kind of the data set in a folder.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Damaged`]; [`Error::Array`] for a kind that this version
    /// does not know.
    pub fn of(folder: &Path) -> Result<Kind> {
        let path = folder.join(MANIFEST);
        let text = unseal(&path, &read_whole(&path)?.0)?;
        head(&path, &text).map(|(kind, _)| kind)
    }

    /// Reads the text of a manifest, without its seal, as a manifest of this kind with a known schema.
    pub(crate) fn parse<T: for<'a> Deserialize<'a>>(self, path: &Path, text: &[u8], known: u32) -> Result<T> {
        let (kind, schema) = head(path, text)?;
        if kind != self {
            let way_out = match self {
                Kind::Images => "to train on images, make them with `data-prep folder`",
                Kind::Units => "to run a program over it, make units with `data-prep units`",
                Kind::Ratings => "to factorise ratings, make them with `data-prep ratings`",
            };
            return Err(Error::array(
                path,
                format!("a data set of {self}"),
                format!("one of {kind}; {way_out}"),
            ));
        }
        if schema > known {
            return Err(Error::Schema { file: path.to_owned(), found: schema, known });
        }
        serde_json::from_slice(text).map_err(damaged(path))
    }
}

fn head(path: &Path, text: &[u8]) -> Result<(Kind, u32)> {
    let Head { schema, kind } = serde_json::from_slice(text).map_err(damaged(path))?;
    match kind.as_deref() {
        None => Ok((Kind::Images, schema)),
        Some("units") => Ok((Kind::Units, schema)),
        Some("ratings") => Ok((Kind::Ratings, schema)),
        Some(other) => {
            let found = format!("one of {other:?}; use the version of Baton that made it");
            Err(Error::array(path, "a data set of images, units or ratings", found))
        }
    }
}

fn damaged(path: &Path) -> impl Fn(serde_json::Error) -> Error {
    move |error| Error::damaged(path, "a dataset's manifest", error.to_string())
}
