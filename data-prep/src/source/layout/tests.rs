//! Folders as people name them.

use super::*;
use crate::files::FoundFile;
use std::collections::BTreeSet;

/// A listing of such paths; one that ends with `/` is an empty folder.
fn listing(paths: &[&str]) -> Listing {
    let mut listing = Listing::default();
    let mut folders = BTreeSet::new();
    for path in paths {
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_string()));
        if !path.ends_with('/') {
            listing.files.push(FoundFile { path: path.to_string(), bytes: 1 });
        }
    }
    listing.folders = folders.into_iter().collect();
    listing
}

/// Each side with its role and how many images of each class it has, and the classes.
fn sides(paths: &[&str]) -> (Vec<(String, Role, Vec<usize>)>, String) {
    let made = layout(Path::new("src"), &listing(paths)).unwrap();
    let count = |side: &Side, label| side.files.iter().filter(|(_, l)| *l as usize == label).count();
    let counts = |side: &Side| (0..made.classes.len()).map(|label| count(side, label)).collect();
    let sides = made.sides.iter().map(|side| (side.name.clone(), side.role, counts(side))).collect();
    (sides, format!("{} | {}", made.classes.join(" "), made.notes.join("; ")))
}

fn refused(paths: &[&str]) -> String {
    layout(Path::new("src"), &listing(paths)).unwrap_err().to_string()
}

#[test]
fn sides_of_a_split_have_many_names() {
    for [train, val, test] in [
        ["train", "val", "test"],
        ["Train", "Valid", "Test"],
        ["TRAIN", "VALIDATION", "TESTING"],
        ["Training", "validation", "Testing"],
        ["training_set", "validation_set", "test_set"],
        ["train-images", "val-images", "test-images"],
        ["trainset", "valset", "testset"],
        ["training data", "dev", "test data"],
    ] {
        let paths =
            [train, val, test].map(|side| [format!("{side}/ants/1"), format!("{side}/bees/2")]).concat();
        let (found, text) = sides(&paths.iter().map(|path| &path[..]).collect::<Vec<_>>());
        let roles: BTreeSet<_> =
            found.iter().map(|(name, role, counts)| (*role, &name[..], &counts[..])).collect();
        let all = |role, name| (role, name, &[1, 1][..]);
        let expected = [all(Role::Train, train), all(Role::Val, val), all(Role::Test, test)];
        assert_eq!((roles, &text[..]), (BTreeSet::from(expected), "ants bees | "));
    }
}

#[test]
fn sides_that_can_be_read_in_two_ways_are_refused() {
    let error = refused(&["val/ants/1", "val/bees/2", "test/ants/1", "test/bees/2"]);
    assert!(error.contains("a folder of training images") && error.contains("only test and val"), "{error}");
    let error = refused(&["train/1.jpg", "train/2.jpg", "test/3.jpg"]);
    assert!(error.contains("src/test: expected one sub-folder for each class, found 1 files"), "{error}");
    assert!(error.contains("--labels"), "{error}");
    let error = refused(&["train/ants/1", "train/bees/2", "bus/3"]);
    assert!(error.contains("beside train only the other sides") && error.contains("found bus"), "{error}");
    let error = refused(&["train/ants/1", "train/bees/2", "val/ants/1", "valid/bees/2"]);
    assert!(error.contains("one folder for each side of the split, found val and valid"), "{error}");
    assert!(refused(&["1.jpg", "2.jpg"]).contains("one sub-folder for each class, found 2 files"));
}

#[test]
fn a_train_is_a_vehicle_beside_the_bus() {
    let (found, text) = sides(&["train/1", "train/2", "bus/3"]);
    assert_eq!(found, [("images".into(), Role::Train, vec![1, 2])]);
    assert_eq!(text, "bus train | ");
}

#[test]
fn a_folder_around_the_data_set_is_passed_and_told() {
    let (found, text) = sides(&["dataset/dataset/ants/1", "dataset/dataset/bees/2/3"]);
    assert_eq!(found, [("images".into(), Role::Train, vec![1, 1])]);
    assert!(text.ends_with("read as the data set: dataset/dataset, the only folder"), "{text}");
    let (found, _) = sides(&["hymenoptera_data/train/ants/1", "hymenoptera_data/train/bees/2"]);
    assert_eq!(found, [("train".into(), Role::Train, vec![1, 1])]);
    let (found, text) = sides(&["training_set/training_set/cats/1", "training_set/training_set/dogs/2"]);
    assert_eq!(
        (&found[..], &text[..]),
        (&[("training_set".into(), Role::Train, vec![1, 1])][..], "cats dogs | ")
    );
}

#[test]
fn files_beside_the_classes_are_told() {
    let (_, text) = sides(&["readme.txt", "train/ants/1", "train/bees/2", "train/labels.csv", "val/ants/3"]);
    assert!(text.contains("val: no images of class bees; 2 files beside the folders"), "{text}");
}

#[test]
fn empty_classes_are_refused_with_the_reason() {
    assert!(
        refused(&["ants/1", "bees/"])
            .contains("src/bees: expected images of this class, found an empty folder")
    );
    let mut linked = listing(&["ants/1", "bees/"]);
    linked.left_out.push(("bees/2.jpg".into(), "a link that leads out of the folder".into()));
    let error = layout(Path::new("src"), &linked).unwrap_err().to_string();
    assert!(error.contains("1 left out; the first, bees/2.jpg, is a link that leads out"), "{error}");
}
