//! Names of classes in every order, twice, and without images.

use super::*;
use crate::collection::{Images, Part, Role, Unread};
use datasets::images::{Geometry, Image};

struct NoImages;

impl Images for NoImages {
    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn read(&self, _: usize) -> Result<Image, Unread> {
        Ok(Image::default())
    }
}

fn collection(classes: &[&str], labels: &[u32]) -> Collection {
    let part =
        Part { name: "a".into(), role: Role::Train, labels: labels.to_vec(), images: Box::new(NoImages) };
    Collection {
        kind: "test",
        classes: owned(classes),
        geometry: Geometry::VARIED,
        image_bytes: 1,
        parts: vec![part],
        by_class: false,
        files: vec![],
        notes: vec![],
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Classes, labels and notes.
fn named(mut collection: Collection, asked: &[&str]) -> Result<(Vec<String>, Vec<u32>, String)> {
    let asked = owned(asked);
    name_classes(Path::new("src"), &mut collection, (!asked.is_empty()).then_some(&asked))?;
    Ok((collection.classes, collection.parts.remove(0).labels, collection.notes.join("; ")))
}

fn refused(collection: Collection, asked: &[&str]) -> String {
    named(collection, asked).unwrap_err().to_string()
}

#[test]
fn names_in_another_order_stay_with_their_images() {
    let folders = || collection(&["ants", "bees", "cats"], &[0, 1, 2, 2]);
    let (classes, labels, notes) = named(folders(), &["cats", "ants", "bees"]).unwrap();
    assert_eq!((classes, labels, &notes[..]), (owned(&["cats", "ants", "bees"]), vec![1, 2, 0, 0], ""));
    let (classes, labels, notes) = named(folders(), &["Ameise", "bees", "Katze"]).unwrap();
    assert_eq!((classes, labels), (owned(&["Ameise", "bees", "Katze"]), vec![0, 1, 2, 2]));
    assert_eq!(notes, "classes renamed: ants is Ameise, cats is Katze");
    let error = refused(folders(), &["bees", "dogs", "cats"]);
    assert!(error.contains("--classes") && error.contains("\"bees\" in the place of \"ants\""), "{error}");
    assert!(refused(folders(), &["ants", "bees", "ants"]).contains("\"ants\" again"));
    assert!(refused(folders(), &["ants", "bees"]).contains("3 names, found 2"));
    assert!(
        refused(collection(&["a", "b", "a"], &[0, 1]), &[]).contains("each class once, found \"a\" again")
    );
}

#[test]
fn numbers_without_an_image_are_no_classes() {
    let letters = || collection(&[], &[1, 2, 3, 3]);
    let (classes, labels, notes) = named(letters(), &[]).unwrap();
    assert_eq!((classes, labels), (owned(&["1", "2", "3"]), vec![0, 1, 2, 2]));
    assert_eq!(notes, "labels without an image are left out, the first: 0");
    let (classes, labels, _) = named(letters(), &["a", "b", "c"]).unwrap();
    assert_eq!((classes, labels), (owned(&["a", "b", "c"]), vec![0, 1, 2, 2]));
    let (classes, labels, notes) = named(letters(), &["none", "a", "b", "c"]).unwrap();
    assert_eq!((classes, labels), (owned(&["a", "b", "c"]), vec![0, 1, 2, 2]));
    assert!(notes.contains("1 names of --classes have no image"), "{notes}");
    assert!(
        refused(letters(), &["a", "b"])
            .contains("3 names, one for each label, or 4 from label 0 on, found 2")
    );
    assert_eq!(
        named(collection(&[], &[0, 1, 1]), &[]).unwrap(),
        (owned(&["0", "1"]), vec![0, 1, 1], String::new())
    );
    let vast: Vec<u32> = (0..100_001).collect();
    assert!(refused(collection(&[], &vast), &[]).contains("at most 100000 classes"));
}

#[test]
fn named_classes_without_an_image_are_told_and_one_class_is_refused() {
    let (classes, _, notes) = named(collection(&["a", "b\u{1b}", "c"], &[0, 2]), &[]).unwrap();
    assert_eq!((classes.len(), &notes[..]), (3, "classes without an image: b\\u001b"));
    assert!(refused(collection(&["ants"], &[0, 0]), &[]).contains("two classes or more, found one, ants"));
    assert!(refused(collection(&[], &[7, 7]), &[]).contains("found one, 7"));
    assert!(refused(collection(&["a", "b"], &[]), &[]).contains("none with an image"));
}
