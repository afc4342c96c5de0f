//! Folders with links, pipes, devices and files that systems leave behind.

use super::*;
use std::os::unix::fs::symlink;
use std::process::Command;
use tempfile::TempDir;

fn folder(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.files.iter().map(|file| &file.path[..]).collect()
}

fn left_out(listing: &Listing) -> Vec<(&str, &str)> {
    listing.left_out.iter().map(|(path, why)| (&path[..], &why[..])).collect()
}

#[test]
fn what_systems_leave_behind_is_passed_over_in_any_case() {
    let root = folder(&[
        "ants/1.jpg",
        "ants/Thumbs.db",
        "ants/THUMBS.DB",
        "ants/Desktop.ini",
        "ants/.DS_Store",
        "ants/._1.jpg",
        "__MACOSX/ants/._1.jpg",
        "ants/@eaDir/1.jpg/thumb.jpg",
        ".ipynb_checkpoints/x.jpg",
        "a-1/x.jpg",
        "a/x.jpg",
    ]);
    let listing = list_folder(root.path(), Links::Inside).unwrap();
    assert_eq!(paths(&listing), ["a/x.jpg", "a-1/x.jpg", "ants/1.jpg"]);
    assert_eq!(
        (listing.folders, listing.left_out),
        (["a", "a-1", "ants"].map(String::from).to_vec(), vec![])
    );
}

#[test]
fn pipes_and_devices_are_never_opened() {
    let root = folder(&["ants/1.jpg"]);
    let pipe = root.path().join("ants/pipe.jpg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    symlink("/dev/zero", root.path().join("ants/zero.jpg")).unwrap();
    for links in [Links::Inside, Links::Anywhere] {
        let listing = list_folder(root.path(), links).unwrap();
        assert_eq!(paths(&listing), ["ants/1.jpg"]);
        let zero = if links == Links::Inside {
            "a link that leads out of the folder; --follow-links reads such"
        } else {
            "a device"
        };
        assert_eq!(left_out(&listing), [("ants/pipe.jpg", "a named pipe"), ("ants/zero.jpg", zero)]);
    }
    // Opening the pipe would wait for a writer for ever.
    for path in [&pipe, &root.path().join("ants/zero.jpg"), &root.path().join("ants")] {
        assert!(load(path, 100).unwrap_err().to_string().contains("a plain file, found a"), "{path:?}");
    }
    assert_eq!(names(&root.path().join("ants")).unwrap(), [("1.jpg".to_string(), false)]);
}

#[test]
fn links_within_are_read_and_links_out_only_when_asked_for() {
    let outside = folder(&["raw/7.jpg"]);
    let root = folder(&["ants/1.jpg", "bees/2.jpg"]);
    symlink(outside.path().join("raw/7.jpg"), root.path().join("ants/7.jpg")).unwrap();
    symlink(outside.path().join("raw"), root.path().join("cats")).unwrap();
    symlink("../bees/2.jpg", root.path().join("ants/2.jpg")).unwrap();
    symlink("nowhere", root.path().join("ants/3.jpg")).unwrap();
    let listing = list_folder(root.path(), Links::Inside).unwrap();
    assert_eq!(paths(&listing), ["ants/1.jpg", "ants/2.jpg", "bees/2.jpg"]);
    let out = "a link that leads out of the folder; --follow-links reads such";
    let expected = [("ants/3.jpg", "a link that leads nowhere"), ("ants/7.jpg", out), ("cats", out)];
    assert_eq!(left_out(&listing), expected);
    let listing = list_folder(root.path(), Links::Anywhere).unwrap();
    assert_eq!(paths(&listing), ["ants/1.jpg", "ants/2.jpg", "ants/7.jpg", "bees/2.jpg", "cats/7.jpg"]);
}

#[test]
fn folders_are_walked_once_wherever_links_lead() {
    let outside = folder(&["raw/7.jpg"]);
    let root = folder(&["ants/1.jpg", "bees/2.jpg"]);
    for (target, link) in [("..", "ants/up"), (".", "ants/here"), ("../bees", "ants/bees")] {
        symlink(target, root.path().join(link)).unwrap();
    }
    symlink(root.path(), outside.path().join("raw/back")).unwrap();
    symlink(outside.path().join("raw"), root.path().join("bees/out")).unwrap();
    symlink(outside.path().join("raw"), root.path().join("bees/out-again")).unwrap();
    assert_eq!(paths(&list_folder(root.path(), Links::Inside).unwrap()), ["ants/1.jpg", "bees/2.jpg"]);
    let listing = list_folder(root.path(), Links::Anywhere).unwrap();
    assert_eq!(listing.files.iter().filter(|file| file.path.ends_with("7.jpg")).count(), 1);
    assert_eq!(listing.files.len(), 3, "{:?}", paths(&listing));
}

#[test]
fn files_are_bounded_whatever_their_length_says() {
    let root = folder(&["a"]);
    let vast = root.path().join("vast.jpg");
    File::create(&vast).unwrap().set_len(5 << 40).unwrap();
    assert!(
        load(&vast, 100).unwrap_err().to_string().contains("at most 100 bytes, found 5497558138880 bytes")
    );
    // A file of the kernel says that it is empty, and is not.
    assert!(
        load(Path::new("/proc/self/maps"), 100).unwrap_err().to_string().contains("at most 100 bytes, found")
    );
    assert_eq!(load(&root.path().join("a"), 1).unwrap(), b"a");
}
