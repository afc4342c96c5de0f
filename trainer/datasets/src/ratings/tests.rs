//! A data set of ratings is read as it was written, in both orders, and damage is found.

use super::*;
use std::fs;
use tempfile::TempDir;

/// Users a to e and items p to s; user number u has rated the first u + 1 items, except the last.
fn content() -> Content {
    let ids = |names: &str| names.chars().map(String::from).collect();
    let mut train = Vec::new();
    for user in 0..5 {
        for item in 0..=user.min(3) {
            train.push(Rating { user, item, value: user as f32 + item as f32 / 10.0 });
        }
    }
    let val = vec![Rating { user: 4, item: 3, value: 1.0 }, Rating { user: 0, item: 1, value: 2.0 }];
    train.retain(|rating| (rating.user, rating.item) != (4, 3));
    Content { users: ids("abcde"), items: ids("pqrs"), train, val, test: Vec::new() }
}

fn about() -> About {
    About { name: "some".into(), recipe: "r".into(), scale: [0.0, 5.0], notes: vec!["a note".into()] }
}

fn made(content: Content) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), content, about()).unwrap();
    fs::write(folder.path().join(crate::MANIFEST), manifest.to_json()).unwrap();
    folder
}

#[test]
fn ratings_are_read_in_both_orders_by_the_numbers_of_users_and_items() {
    let folder = made(content());
    let ratings = Ratings::open(folder.path()).unwrap();
    ratings.verify().unwrap();
    let (users, items) = (ratings.ids(Side::Users).unwrap(), ratings.ids(Side::Items).unwrap());
    // d has four training ratings, c and e three: those with the most first, then by the ids.
    assert_eq!((users.join(""), items.join("")), ("dceba".into(), "pqrs".into()));
    assert_eq!(ratings.starts(Side::Users).unwrap(), [0, 4, 7, 10, 12, 13]);
    let all: f32 = content().train.iter().map(|rating| rating.value).sum();
    assert!((ratings.manifest().mean - f64::from(all) / 13.0).abs() < 1e-6);
    for side in [Side::Users, Side::Items] {
        let (starts, mut found) = (ratings.starts(side).unwrap(), Vec::new());
        for (row, places) in starts.windows(2).enumerate() {
            let rated = ratings.rated(side, places[0]..places[1]).unwrap();
            assert!(rated.others.is_sorted());
            for (other, value) in rated.others.iter().zip(&rated.values) {
                let (user, item) =
                    if side == Side::Users { (row, *other as usize) } else { (*other as usize, row) };
                found.push((users[user].clone(), items[item].clone(), *value));
            }
        }
        let of = |rating: &Rating| {
            let content = content();
            (
                content.users[rating.user as usize].clone(),
                content.items[rating.item as usize].clone(),
                rating.value,
            )
        };
        let mut expected: Vec<_> = content().train.iter().map(of).collect();
        let by_ids = |a: &(String, String, f32), b: &(String, String, f32)| (&a.0, &a.1).cmp(&(&b.0, &b.1));
        expected.sort_by(by_ids);
        found.sort_by(by_ids);
        assert_eq!(found, expected, "{side:?}");
    }
    let val = ratings.held_out(Split::Val).unwrap();
    assert_eq!((val.users, val.items, val.values), (vec![2, 4], vec![3, 1], vec![1.0, 2.0]));
    assert_eq!(ratings.held_out(Split::Test).unwrap(), HeldOut::default());
}

#[test]
fn the_files_do_not_depend_on_the_order_of_ratings_and_ids() {
    let mut turned = content();
    turned.train.reverse();
    turned.val.reverse();
    let last = turned.users.len() as u32 - 1;
    turned.users.reverse();
    for rating in turned.train.iter_mut().chain(&mut turned.val) {
        rating.user = last - rating.user;
    }
    let (a, b) = (made(content()), made(turned));
    let text = |folder: &TempDir| fs::read_to_string(folder.path().join(crate::MANIFEST)).unwrap();
    assert_eq!(text(&a), text(&b));
}

#[test]
fn every_damaged_file_is_found() {
    let names: Vec<String> = {
        let folder = made(content());
        Ratings::open(folder.path()).unwrap().files().into_iter().map(|file| file.name).collect()
    };
    assert_eq!(names.len(), 11);
    for name in names {
        let folder = made(content());
        let path = folder.path().join(&name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = Ratings::open(folder.path()).unwrap().verify().unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("damaged"), "{error}");
    }
}

#[test]
fn a_data_set_of_another_kind_is_refused_with_what_to_do() {
    let folder = made(content());
    assert_eq!(crate::Kind::of(folder.path()).unwrap(), crate::Kind::Ratings);
    let error = crate::units::Units::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("ratings") && error.contains("data-prep units"), "{error}");
    let error = write(folder.path(), Content::default(), about()).unwrap_err().to_string();
    assert!(error.contains("training rating"), "{error}");
}
