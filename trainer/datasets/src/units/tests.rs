//! Written units are read back, damage is found and named, and a failed read is not called damage.

use super::*;
use crate::images::Dataset;
use crate::{Kind, MANIFEST};
use std::fs;
use storage::Fate;
use tempfile::TempDir;

fn about() -> About {
    About { name: "a".into(), source: "jsonl".into(), recipe: "r".into(), notes: vec![] }
}

fn line(unit: u64) -> String {
    format!("{{\"unit\":{unit},\"text\":\"{}\"}}", "ä".repeat((unit * 7 % 40) as usize))
}

/// A data set of this many units in shards of 20 kB.
fn made(units: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path(), Form::Lines).with_shards_of(20_000);
    (0..units).for_each(|unit| writer.push(&line(unit)).unwrap());
    let manifest = writer.finish(about()).unwrap();
    fs::write(folder.path().join(MANIFEST), manifest.to_json()).unwrap();
    folder
}

#[test]
fn every_range_of_units_is_read_back() {
    let folder = made(1_500);
    let units = Units::open(folder.path()).unwrap();
    assert_eq!((units.count(), units.form(), units.key().len()), (1_500, Form::Lines, 64));
    assert!(units.manifest().shards.len() > 2 && units.blocks.len() > 5, "{:?}", units.manifest());
    for range in [0..1_500, 0..0, 1_500..1_500, 255..257, 256..512, 700..701, 1_499..1_500, 3..1_400] {
        let expected: Vec<String> = range.clone().map(line).collect();
        assert_eq!(units.lines(range.clone()).unwrap(), expected, "{range:?}");
    }
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..1_501, 2..1] {
        assert!(matches!(units.lines(range), Err(Error::Unfit { .. })));
    }
    assert_eq!(units.files().unwrap().len(), 1 + units.manifest().shards.len());
    units.verify().unwrap();
    assert_eq!(Units::open(made(1_500).path()).unwrap().key(), units.key());
    assert_ne!(Units::open(made(1_499).path()).unwrap().key(), units.key());
}

#[test]
fn a_block_has_at_most_256_units_or_a_mebibyte_and_at_least_one_unit() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path(), Form::Lines);
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let lengths = [vec![2; 300], vec![400_000, 400_000, 400_000, MAX_UNIT_BYTES, 2]].concat();
    lengths.iter().for_each(|&bytes| writer.push(&long(bytes)).unwrap());
    for bad in ["", "1\n2", "1\r", &long(MAX_UNIT_BYTES + 1)] {
        assert!(matches!(writer.push(bad), Err(Error::Unfit { .. })), "{} bytes", bad.len());
    }
    let manifest = writer.finish(about()).unwrap();
    fs::write(folder.path().join(MANIFEST), manifest.to_json()).unwrap();
    let units = Units::open(folder.path()).unwrap();
    let blocks: Vec<u64> = (0..units.blocks.len()).map(|block| units.blocks.place(block).units).collect();
    assert_eq!(blocks, [256, 46, 1, 1, 1]);
    let read: Vec<usize> = units.lines(0..305).unwrap().iter().map(String::len).collect();
    assert_eq!(read, lengths);
    let nothing = Writer::new(folder.path(), Form::Lines).finish(about()).unwrap_err().to_string();
    assert!(nothing.contains("expected one unit or more, found none"), "{nothing}");
}

/// Reads the whole data set.
fn read(folder: &Path) -> Result<Vec<String>> {
    let units = Units::open(folder)?;
    units.lines(0..units.count())
}

#[test]
fn every_changed_byte_is_damage_and_names_the_file() {
    let folder = made(300);
    let whole = read(folder.path()).unwrap();
    let mut names: Vec<String> =
        Units::open(folder.path()).unwrap().files().unwrap().into_iter().map(|f| f.name).collect();
    names.push(MANIFEST.into());
    for name in names {
        let path = folder.path().join(&name);
        let content = fs::read(&path).unwrap();
        for at in (0..content.len()).step_by(content.len() / 150 + 1) {
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            match read(folder.path()) {
                Err(error) => {
                    assert_eq!(error.fate(), Fate::Halt, "{name} byte {at}: {error}");
                    assert!(error.to_string().contains(&name), "{name} byte {at}: {error}");
                }
                Ok(lines) => panic!("{name} byte {at}: read {} lines, {}", lines.len(), lines == whole),
            }
        }
        fs::write(&path, &content[..content.len() - 1]).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains(&name), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(read(folder.path()).unwrap_err(), Error::Missing { .. }), "{name}");
        fs::write(&path, &content).unwrap();
    }
    assert_eq!(read(folder.path()).unwrap(), whole);
}

#[test]
fn damage_of_one_block_leaves_the_others_to_be_read() {
    let folder = made(700);
    let units = Units::open(folder.path()).unwrap();
    let at = units.blocks.place(1);
    let path = folder.path().join(&units.manifest().shards[at.shard].lines.name);
    let mut content = fs::read(&path).unwrap();
    content[at.offset as usize + 3] ^= 1;
    fs::write(&path, content).unwrap();
    let bad = units.blocks.units(1);
    let error = units.lines(bad.end - 1..bad.end + 1).unwrap_err().to_string();
    assert!(error.contains(".jsonl is damaged: expected xxh3 ") && error.contains("in bytes "), "{error}");
    for good in [0..bad.start, bad.end..700] {
        assert_eq!(units.lines(good.clone()).unwrap(), good.map(line).collect::<Vec<_>>());
    }
    let list = units.manifest().blocks.clone();
    assert!(units.verify().is_err() && list.name == "units-blocks.npy");
}

#[test]
fn a_list_of_blocks_that_does_not_fit_its_shards_is_damage() {
    let folder = made(700);
    let (manifest, blocks) = {
        let units = Units::open(folder.path()).unwrap();
        let blocks: Vec<_> = (0..units.blocks.len()).map(|block| units.blocks.place(block)).collect();
        (units.manifest().clone(), blocks)
    };
    type Change = fn(&mut Vec<blocks::Block>);
    let changes: [Change; 7] = [
        |blocks| blocks[0].units = 0,
        |blocks| blocks[0].units += 1,
        |blocks| blocks[1].offset += 1,
        |blocks| blocks[0].bytes = usize::MAX,
        |blocks| blocks[0].shard = usize::MAX,
        |blocks| blocks.truncate(1),
        |blocks| blocks.push(blocks[0]),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut changed = blocks.clone();
        change(&mut changed);
        let file = blocks::write_blocks(folder.path(), &changed).unwrap();
        let text = Manifest { blocks: file, ..manifest.clone() }.to_json();
        fs::write(folder.path().join(MANIFEST), text).unwrap();
        let error = Units::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{number}: {error}");
    }
}

#[test]
fn trouble_is_not_damage() {
    let folder = made(300);
    let units = Units::open(folder.path()).unwrap();
    let path = folder.path().join(&units.manifest().shards[0].lines.name);
    fs::remove_file(&path).unwrap();
    assert_eq!(units.lines(0..1).unwrap_err().fate(), Fate::Retry, "a shard that is not to be seen");
    fs::create_dir(&path).unwrap();
    let folder_in_place = units.lines(0..1).unwrap_err();
    assert!(folder_in_place.to_string().contains("units-00000.jsonl"), "{folder_in_place}");
}

#[test]
fn one_kind_of_data_set_is_never_read_as_another() {
    let folder = made(3);
    assert_eq!(Kind::of(folder.path()).unwrap(), Kind::Units);
    let error = Dataset::open(folder.path()).unwrap_err();
    let words = "expected a data set of images, found one of units; to train on images, make them with";
    assert!(matches!(error, Error::Array { .. }) && error.to_string().contains(words), "{error}");
    let write = |text: &str| fs::write(folder.path().join(MANIFEST), text).unwrap();
    write("{\"schema\": 2, \"classes\": []}");
    assert_eq!(Kind::of(folder.path()).unwrap(), Kind::Images);
    let error = Units::open(folder.path()).unwrap_err();
    let words = "expected a data set of units, found one of images; to run a program over it, make units";
    assert!(matches!(error, Error::Array { .. }) && error.to_string().contains(words), "{error}");
    write("{\"schema\": 1, \"kind\": \"series\"}");
    let error = Units::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("one of \"series\"; use the version of Baton that made it"), "{error}");
    write("{\"schema\": 9, \"kind\": \"units\"}");
    assert!(matches!(Units::open(folder.path()), Err(Error::Schema { found: 9, .. })));
}

#[test]
fn units_that_are_files_name_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("files")).unwrap();
    fs::write(folder.path().join("files/a.png"), "hello").unwrap();
    let xxh3 = format!("{:032x}", twox_hash::XxHash3_128::oneshot(b"hello"));
    let unit = FileUnit { file: "files/a.png".into(), name: Some("ä.png".into()), bytes: 5, xxh3 };
    let mut writer = Writer::new(folder.path(), Form::Files);
    writer.push(&unit.to_line()).unwrap();
    fs::write(folder.path().join(MANIFEST), writer.finish(about()).unwrap().to_json()).unwrap();
    let units = Units::open(folder.path()).unwrap();
    let lines = units.lines(0..1).unwrap();
    assert_eq!((units.form(), units.file(&lines[0]).unwrap()), (Form::Files, unit.clone()));
    assert_eq!(units.files().unwrap().last(), Some(&unit.reference()));
    units.verify().unwrap();
    fs::write(folder.path().join("files/a.png"), "hallo").unwrap();
    assert!(units.verify().unwrap_err().to_string().contains("files/a.png is damaged"));
    for file in ["a.png", "files/../x", "/files/a", "files/.a"] {
        let line = FileUnit { file: file.into(), ..unit.clone() }.to_line();
        assert!(matches!(units.file(&line), Err(Error::Damaged { .. })), "{file}");
    }
}
