//! Tests of `opened`.

use super::*;
use crate::publish::publish;
use crate::test_folders::temporary;
use crate::test_trouble::refuse_each_call;
use std::fs;
use std::io::Write;
use std::thread;

const SOON: Duration = Duration::from_millis(50);

fn published(folder: &Path, bytes: &[u8]) -> FileRef {
    publish(folder, "shard", "bin", |file| file.write_all(bytes)).unwrap()
}

#[test]
fn what_was_published_is_read_whole_and_in_parts() {
    let folder = temporary();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let opened = open(folder.path(), &published(folder.path(), &bytes)).unwrap();
    opened.verify().unwrap();
    assert_eq!(opened.read().unwrap(), bytes);
    let mut part = [0; 1_000];
    opened.read_exact_at(&mut part, 2_999_000).unwrap();
    assert_eq!(part, bytes[2_999_000..]);
    assert!(opened.read_exact_at(&mut part, 2_999_001).is_err());
    let empty = open(folder.path(), &published(folder.path(), b"")).unwrap();
    assert!(empty.verify().is_ok() && empty.read().unwrap().is_empty());
}

#[test]
fn damage_at_any_place_is_named() {
    let folder = temporary();
    let file = published(folder.path(), &[1; 100]);
    let path = folder.path().join(&file.name);
    for at in 0..100 {
        let mut bytes = [1; 100];
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let opened = open(folder.path(), &file).unwrap();
        for error in [opened.verify().unwrap_err(), opened.read().unwrap_err()] {
            assert!(matches!(&error, Error::Damaged { file, .. } if *file == path), "{error}");
            assert!(error.to_string().contains(&file.xxh3), "{error}");
        }
    }
    fs::write(&path, [1; 99]).unwrap();
    let error = open(folder.path(), &file).unwrap_err().to_string();
    assert!(error.contains("expected 100 bytes, found 99 bytes"), "{error}");
}

#[test]
fn a_file_that_comes_late_is_awaited_and_one_that_does_not_is_named() {
    let folder = temporary();
    let file = published(folder.path(), b"x");
    let (path, away) = (folder.path().join(&file.name), folder.path().join("away"));
    fs::rename(&path, &away).unwrap();
    let error = open_within(folder.path(), &file, SOON).unwrap_err();
    assert!(matches!(&error, Error::Missing { path: missing, .. } if *missing == path), "{error}");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            fs::rename(&away, &path).unwrap();
        });
        assert_eq!(open(folder.path(), &file).unwrap().read().unwrap(), b"x");
    });
}

#[test]
fn a_name_that_leaves_the_folder_is_not_opened() {
    let folder = temporary();
    let file = FileRef { name: "../x".into(), bytes: 1, xxh3: String::new() };
    assert!(matches!(open(folder.path(), &file).unwrap_err(), Error::Name { .. }));
}

#[test]
fn looking_for_files_leaves_nothing_behind() {
    let folder = temporary();
    assert!(find(&folder.path().join("x")).unwrap().is_none());
    assert!(find(&folder.path().join("not/there")).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_looked_at_or_read_once_is_neither_damaged_nor_gone() {
    let folder = temporary();
    let file = published(folder.path(), &[7; 100]);
    let calls = refuse_each_call(|| {
        let opened = open(folder.path(), &file)?;
        opened.verify()?;
        opened.read_exact_at(&mut [0; 10], 50)?;
        Ok((opened.read()?, read_whole(opened.path())?))
    });
    assert!(calls >= 14, "{calls} calls");
}

#[test]
fn a_file_that_shrank_since_it_was_opened_is_damaged() {
    let folder = temporary();
    let file = published(folder.path(), &[7; 100]);
    let opened = open(folder.path(), &file).unwrap();
    fs::OpenOptions::new().write(true).open(opened.path()).unwrap().set_len(50).unwrap();
    let error = opened.read_exact_at(&mut [0; 10], 50).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}
