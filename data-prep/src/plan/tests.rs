//! Which image goes where.

use super::*;
use crate::collection::{Images, Part, Unread};
use datasets::images::{Geometry, Image};

struct Named(&'static str);

impl Images for Named {
    fn name(&self, index: usize) -> String {
        format!("{}/{index}", self.0)
    }

    fn read(&self, _: usize) -> Result<Image, Unread> {
        Ok(Image::default())
    }
}

fn collection(parts: &[(&'static str, Role, usize)]) -> Collection {
    let part = |&(name, role, images): &(&'static str, Role, usize)| Part {
        name: name.into(),
        role,
        labels: (0..images).map(|i| (i % 3) as u32).collect(),
        images: Box::new(Named(name)),
    };
    Collection {
        kind: "test",
        classes: vec![],
        geometry: Geometry::VARIED,
        image_bytes: 1,
        parts: parts.iter().map(part).collect(),
        by_class: false,
        files: vec![],
        notes: vec![],
    }
}

fn counts(plan: &Plan) -> Vec<(&str, usize)> {
    plan.iter().map(|(name, picks)| (*name, picks.len())).collect()
}

fn refused(collection: &Collection, deal: &Deal) -> String {
    plan(collection, deal).unwrap_err().to_string()
}

#[test]
fn selections_are_parsed() {
    let selection = |part: &str, from, to| Ok(Selection { part: part.into(), from, to });
    assert_eq!("data_batch_1".parse(), selection("data_batch_1", 0, None));
    assert_eq!("b[:2000]".parse(), selection("b", 0, Some(2000)));
    assert_eq!("b[10:20]".parse(), selection("b", 10, Some(20)));
    assert_eq!("b[10:]".parse(), selection("b", 10, None));
    for wrong in ["b[", "b[1]", "b[a:b]", "b[1:2", "b[-1:2]", "b[1:2]x"] {
        assert!(wrong.parse::<Selection>().unwrap_err().contains("NAME[FROM:TO]"), "{wrong}");
    }
}

#[test]
fn the_sources_own_split_is_taken() {
    let cifar = collection(&[("a", Role::Train, 6), ("b", Role::Train, 3), ("t", Role::Test, 2)]);
    assert_eq!(counts(&plan(&cifar, &Deal::default()).unwrap()), [("train", 9), ("val", 2)]);
    let drawn = Deal { val_share: Some(0.34), ..Deal::default() };
    assert_eq!(counts(&plan(&cifar, &drawn).unwrap()), [("train", 6), ("val", 3), ("test", 2)]);
    let three = collection(&[("a", Role::Train, 6), ("v", Role::Val, 3), ("t", Role::Test, 2)]);
    assert_eq!(counts(&plan(&three, &Deal::default()).unwrap()), [("train", 6), ("val", 3), ("test", 2)]);
    assert!(refused(&three, &drawn).contains("--val-share"));
    let none = collection(&[("a", Role::Train, 6)]);
    assert!(refused(&none, &Deal::default()).contains("--val-share 0.2"));
    let asked = Deal { val_share: Some(0.0), ..Deal::default() };
    assert_eq!(counts(&plan(&none, &asked).unwrap()), [("train", 6)]);
}

#[test]
fn selections_are_taken_in_order() {
    let source = collection(&[("a", Role::Train, 6), ("b", Role::Train, 5)]);
    let select = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<Selection>>();
    let deal = Deal { train: select(&["b[1:3]", "a[4:]"]), val: select(&["a[:2]"]), ..Deal::default() };
    let made = plan(&source, &deal).unwrap();
    let pick = |part, index| Pick { part, index };
    assert_eq!(
        made,
        [
            ("train", vec![pick(1, 1), pick(1, 2), pick(0, 4), pick(0, 5)]),
            ("val", vec![pick(0, 0), pick(0, 1)])
        ]
    );
    let limited = Deal { limit_train: Some(3), limit_val: Some(1), ..deal.clone() };
    assert_eq!(counts(&plan(&source, &limited).unwrap()), [("train", 3), ("val", 1)]);
    assert!(refused(&source, &Deal { val: select(&["a[:5]"]), ..deal.clone() }).contains("a[4] again"));
    assert!(refused(&source, &Deal { val: select(&["c"]), ..deal.clone() }).contains("one of a, b"));
    assert!(refused(&source, &Deal { val: select(&["b[:6]"]), ..deal.clone() }).contains("within 0:5"));
    assert!(refused(&source, &Deal { train: vec![], ..deal }).contains("--train"));
}

#[test]
fn drawing_is_stratified_and_keyed_by_the_seed() {
    let source = collection(&[("a", Role::Train, 300)]);
    let draw = |seed| plan(&source, &Deal { val_share: Some(0.2), seed, ..Deal::default() }).unwrap();
    let made = draw(1);
    assert_eq!(counts(&made), [("train", 240), ("val", 60)]);
    for (_, picks) in &made {
        assert!(picks.is_sorted(), "the source's order is kept");
        for class in 0..3 {
            assert_eq!(picks.iter().filter(|pick| pick.index % 3 == class).count(), picks.len() / 3);
        }
    }
    assert_eq!(made, draw(1));
    assert_ne!(made, draw(2));
    let tiny = collection(&[("a", Role::Train, 6)]);
    let made = plan(&tiny, &Deal { val_share: Some(0.01), ..Deal::default() }).unwrap();
    assert_eq!(counts(&made), [("train", 3), ("val", 3)], "each class keeps one image on either side");
    for share in [1.0, -0.1, f64::NAN] {
        assert!(refused(&source, &Deal { val_share: Some(share), ..Deal::default() }).contains("below 1"));
    }
}

#[test]
fn images_that_come_by_class_are_mixed() {
    let mut source = collection(&[("a", Role::Train, 300), ("v", Role::Val, 30)]);
    source.parts[0].labels.sort();
    source.by_class = true;
    let made = plan(&source, &Deal { limit_train: Some(60), ..Deal::default() }).unwrap();
    let mut per_class = [0; 3];
    made[0].1.iter().for_each(|pick| per_class[pick.index / 100] += 1);
    assert!(per_class.iter().all(|&n| n > 8), "{per_class:?}");
}
