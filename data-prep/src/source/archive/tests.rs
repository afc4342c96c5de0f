//! Archives of images: zips, tars, and malicious ones.

use super::found::{MAX_HEADER_BYTES, MAX_NAME_BYTES};
use super::*;
use crate::samples::{gzip, tar, zip};
use ::tar::EntryType;
use std::fs;
use std::io::Write;

const FILE: EntryType = EntryType::Regular;

fn opened(content: &[u8], bounds: Bounds) -> Result<Archive> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    fs::write(&path, content).unwrap();
    Archive::open(&path, bounds, &|name| name.ends_with(".jpg"))
}

fn refused(content: &[u8], bounds: Bounds) -> String {
    let error = opened(content, bounds).err().unwrap().to_string();
    assert!(error.contains("a.bin: expected"), "{error}");
    error
}

fn tight(change: impl FnOnce(&mut Bounds)) -> Bounds {
    let mut bounds = Bounds::USUAL;
    change(&mut bounds);
    bounds
}

/// A member whose name is in a header before it: GNU's, or a PAX header.
fn with_header(kind: EntryType, header: &[u8]) -> Vec<u8> {
    tar(&[("././@LongLink", kind, header), ("short.jpg", FILE, b"1")])
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let mut length = key.len() + value.len() + 3;
    while length != length.to_string().len() + key.len() + value.len() + 3 {
        length = length.to_string().len() + key.len() + value.len() + 3;
    }
    format!("{length} {key}={value}\n").into_bytes()
}

#[test]
fn members_are_listed_and_read_in_every_kind_of_archive() {
    let tared = tar(&[
        ("./photos/", EntryType::Directory, b""),
        ("./photos/b/2.jpg", FILE, b"two"),
        ("./photos/a/1.jpg", FILE, b"one"),
        ("./photos/readme", FILE, b"no"),
        ("./photos/._1.jpg", FILE, b"left by a Mac"),
        ("./__MACOSX/1.jpg", FILE, b"left by a Mac"),
    ]);
    let zipped = zip(&[
        ("photos\\b\\2.jpg", b"two"),
        ("photos/a/1.jpg", b"one"),
        ("photos/readme", b"no"),
        ("__MACOSX/photos/._1.jpg", b"left by a Mac"),
    ]);
    for content in [tared.clone(), gzip(&tared), zipped] {
        let archive = opened(&content, Bounds::USUAL).unwrap();
        let paths: Vec<&str> = archive.listing.files.iter().map(|file| &file.path[..]).collect();
        assert_eq!(paths, ["photos/a/1.jpg", "photos/b/2.jpg"]);
        assert_eq!(archive.listing.folders, ["photos", "photos/a", "photos/b"]);
        assert_eq!(
            (archive.read(paths[0], 3).unwrap(), archive.read(paths[1], 9).unwrap()),
            (b"one".into(), b"two".into())
        );
        assert_eq!(archive.read(paths[0], 2).unwrap_err(), "3 bytes; at most 2 are read");
        assert_eq!(archive.read("photos/readme", 9).unwrap_err(), "no such member");
    }
}

#[test]
fn long_names_are_taken_from_their_headers() {
    let name = format!("{}.jpg", "n".repeat(300));
    let gnu = with_header(EntryType::GNULongName, format!("{name}\0").as_bytes());
    let local = with_header(EntryType::XHeader, &pax("path", &name));
    for content in [gnu, local] {
        assert_eq!(opened(&content, Bounds::USUAL).unwrap().listing.files[0].path, name);
    }
    let comment = with_header(EntryType::XHeader, &pax("comment", "x"));
    assert_eq!(opened(&comment, Bounds::USUAL).unwrap().listing.files[0].path, "short.jpg");
}

#[test]
fn headers_that_claim_to_be_vast_are_not_read() {
    let long = vec![b'n'; MAX_NAME_BYTES as usize + 1];
    assert!(
        refused(&with_header(EntryType::GNULongName, &long), Bounds::USUAL)
            .contains("headers of at most 4096")
    );
    assert!(
        refused(&with_header(EntryType::GNULongLink, &long), Bounds::USUAL)
            .contains("headers of at most 4096")
    );
    let vast = vec![b'n'; MAX_HEADER_BYTES as usize + 1];
    assert!(
        refused(&with_header(EntryType::XHeader, &vast), Bounds::USUAL)
            .contains("headers of at most 1048576")
    );
    let name = "n".repeat(MAX_NAME_BYTES as usize + 1);
    let error = refused(&with_header(EntryType::XHeader, &pax("path", &name)), Bounds::USUAL);
    assert!(error.contains("names of at most 4096"), "{error}");
}

#[test]
fn every_bound_is_held() {
    let members: [(&str, &[u8]); 3] = [("1.jpg", &[1; 600]), ("2.jpg", &[2; 600]), ("3.jpg", &[3; 600])];
    let tared = tar(&members.map(|(name, content)| (name, FILE, content)));
    for content in [&tared, &gzip(&tared), &zip(&members)] {
        assert!(opened(content, Bounds::USUAL).is_ok());
        assert!(
            refused(content, tight(|b| b.member = 599)).contains("at most 599 bytes, found 1.jpg of 600")
        );
        assert!(refused(content, tight(|b| b.members = 2)).contains("at most 2 members"));
    }
    for content in [&tared, &gzip(&tared)] {
        assert!(refused(content, tight(|b| b.kept = 1799)).contains("unpack it, and name the folder"));
    }
    // Endless zeros, to which a small file unpacks.
    assert!(
        refused(&gzip(&[&tared[..], &[0; 100_000]].concat()), tight(|b| b.stream = 9000))
            .contains("at most 9000")
    );
}

#[test]
fn links_and_ways_out_are_refused_and_special_files_left_out() {
    for (name, kind) in
        [("../1.jpg", FILE), ("/1.jpg", FILE), ("1.jpg", EntryType::Symlink), ("1.jpg", EntryType::Link)]
    {
        assert!(refused(&tar(&[(name, kind, b"")]), Bounds::USUAL).contains("leads out of it"), "{name}");
    }
    for name in ["../1.jpg", "/1.jpg", "a/../../1.jpg", "..\\1.jpg"] {
        assert!(refused(&zip(&[(name, b"1")]), Bounds::USUAL).contains("leads out of it"), "{name}");
    }
    assert!(refused(&tar(&[("1.jpg", EntryType::GNUSparse, b"")]), Bounds::USUAL).contains("a sparse file"));
    let header = with_header(EntryType::XHeader, &pax("GNU.sparse.major", "1"));
    assert!(refused(&header, Bounds::USUAL).contains("a sparse file"));
    let special =
        tar(&[("1.jpg", EntryType::Char, b""), ("2.jpg", EntryType::Fifo, b""), ("3.jpg", FILE, b"3")]);
    let listing = opened(&special, Bounds::USUAL).unwrap().listing;
    assert_eq!((listing.files.len(), listing.left_out.len()), (1, 2));
    assert!(
        refused(&tar(&[("1.jpg", FILE, b"1"), ("./1.jpg", FILE, b"2")]), Bounds::USUAL)
            .contains("1.jpg again")
    );
}

#[test]
fn a_zip_whose_members_share_their_bytes_is_refused() {
    let mut bytes = zip(&[("1.jpg", &[7; 400]), ("2.jpg", &[7; 400])]);
    // Both claim so many packed bytes that they must share them.
    let central = |bytes: &[u8]| {
        let places = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"PK\x01\x02");
        places.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let whole = bytes.len() as u32;
    for at in central(&bytes) {
        bytes[at + 20..at + 24].copy_from_slice(&(whole - 60).to_le_bytes());
    }
    assert!(refused(&bytes, Bounds::USUAL).contains("share their bytes"));
}

#[test]
fn damage_and_other_kinds_of_files_are_named() {
    let whole = zip(&[("1.jpg", &[7; 400])]);
    assert!(refused(&whole[..whole.len() - 10], Bounds::USUAL).contains("a whole zip archive"));
    let mut damaged = whole;
    let at = damaged.windows(5).position(|five| five == b"1.jpg").unwrap() + 7;
    damaged[at] ^= 1;
    let archive = opened(&damaged, Bounds::USUAL).unwrap();
    assert!(archive.read("1.jpg", 1000).unwrap_err().contains("damaged in the zip"));
    assert!(refused(b"7z\xbc\xaf\x27\x1crest", Bounds::USUAL).contains("found a 7z archive"));
    assert!(refused(b"<!DOCTYPE html><html>", Bounds::USUAL).contains("found a web page"));

    let mut locked = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let other =
        ::zip::write::SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored);
    locked.start_file("1.jpg", other).unwrap();
    locked.write_all(b"one").unwrap();
    let mut bytes = locked.finish().unwrap().into_inner();
    // The flag of a member with a password, in both of its headers.
    let central = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    (bytes[6], bytes[central + 8]) = (bytes[6] | 1, bytes[central + 8] | 1);
    assert!(refused(&bytes, Bounds::USUAL).contains("1.jpg, which has one"));
    bytes[6] &= !1;
    bytes[central + 8] &= !1;
    (bytes[8], bytes[central + 10]) = (12, 12);
    assert!(refused(&bytes, Bounds::USUAL).contains("stored or deflated"));
}
