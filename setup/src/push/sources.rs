//! The files of programs and of data sets of units and ratings that are pushed.

use crate::Failure;
use data_prep::is_litter;
use datasets::ratings::Ratings;
use datasets::units::Units;
use datasets::{Kind, MANIFEST};
use std::fs;
use std::path::{Path, PathBuf};
use terminal::note;

/// The paths on the function's file system, and the local files.
type Files = Vec<(String, PathBuf)>;

/// The files of a data set of units or ratings, with the manifest last; none for a data set of images.
///
/// Only the files in the manifest are sent, and a link in place of a file is refused.
pub(super) fn listed(folder: &Path, path: &str) -> Result<Option<Files>, Failure> {
    let files = match Kind::of(folder)? {
        Kind::Images => return Ok(None),
        Kind::Units => Units::open(folder)?.files()?,
        Kind::Ratings => Ratings::open(folder)?.files(),
    };
    let mut names: Vec<String> = files.into_iter().map(|file| file.name).collect();
    names.push(MANIFEST.to_owned());
    let file = |name: String| {
        let file = folder.join(&name);
        let kind = fs::symlink_metadata(&file).map_err(Failure::io("look at", &file))?.file_type();
        if !kind.is_file() {
            return Err(Failure::input(format!(
                "{}: expected a file, found a link or a folder",
                file.display()
            )));
        }
        Ok((format!("{path}/{name}"), file))
    };
    names.into_iter().map(file).collect::<Result<_, _>>().map(Some)
}

/// All files of a program's folder. Hidden files are left out with a note. A link is refused, because it may
/// lead to any file of this machine.
pub(super) fn program(folder: &Path, path: &str) -> Result<Files, Failure> {
    let mut files = Vec::new();
    walk(folder, path, &mut files)?;
    if files.is_empty() {
        let why = format!("{}: expected the files of a program, found none", folder.display());
        return Err(Failure::input(why));
    }
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, path: &str, files: &mut Files) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let entry = entry.map_err(Failure::io("list", folder))?;
        let (file, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let path = format!("{path}/{name}");
        if is_litter(&name) {
            note!("  left out {path}: hidden");
            continue;
        }
        storage::check_file_name(&path)?;
        let kind = entry.file_type().map_err(Failure::io("look at", &file))?;
        if kind.is_dir() {
            walk(&file, &path, files)?;
        } else if kind.is_file() {
            files.push((path, file));
        } else {
            let found =
                if kind.is_symlink() { "a link; put what it leads to in its place" } else { "another" };
            return Err(Failure::input(format!("{}: expected a plain file, found {found}", file.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn paths(files: Files) -> Vec<String> {
        files.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn of_units_what_the_manifest_lists_is_pushed() {
        let place = tempfile::tempdir().unwrap();
        let (source, out) = (place.path().join("source"), place.path().join("a"));
        fs::create_dir_all(source.join("x")).unwrap();
        fs::write(source.join("x/1.png"), "1").unwrap();
        fs::write(source.join("2 3.png"), "2").unwrap();
        let options =
            data_prep::units::Options { out: out.clone(), links: data_prep::Links::Inside, replace: false };
        data_prep::units::prepare(&source, &options, &|_| {}).unwrap();
        fs::write(out.join("private-key"), "x").unwrap();
        let found = paths(listed(&out, "datasets/a").unwrap().unwrap());
        assert_eq!(found[..2], ["datasets/a/units-blocks.npy", "datasets/a/units-00000.jsonl"]);
        assert!(found[2].starts_with("datasets/a/files/") && found[2].ends_with("-2_3.png"), "{found:?}");
        assert_eq!(found[3..], ["datasets/a/files/x/1.png", "datasets/a/dataset.json"]);
        fs::remove_file(out.join("files/x/1.png")).unwrap();
        symlink("../../private-key", out.join("files/x/1.png")).unwrap();
        assert!(listed(&out, "datasets/a").unwrap_err().message.contains("found a link"));
        fs::write(out.join(MANIFEST), "{\"schema\": 2}").unwrap();
        assert!(listed(&out, "datasets/a").unwrap().is_none(), "images");
    }

    #[test]
    fn a_program_is_pushed_whole_and_no_link_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("p");
        fs::create_dir_all(folder.join("lib")).unwrap();
        assert!(program(&folder, "programs/p").unwrap_err().message.contains("found none"));
        for name in ["run", "lib/a.py", ".hidden"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        let found = paths(program(&folder, "programs/p").unwrap());
        assert_eq!(found, ["programs/p/lib/a.py", "programs/p/run"]);
        symlink("/etc/passwd", folder.join("link")).unwrap();
        assert!(program(&folder, "programs/p").unwrap_err().message.contains("found a link"));
        fs::remove_file(folder.join("link")).unwrap();
        fs::write(folder.join("a b"), "x").unwrap();
        assert!(program(&folder, "programs/p").unwrap_err().message.contains("is not allowed"));
    }
}
