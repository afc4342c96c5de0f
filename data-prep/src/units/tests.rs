//! Each common input is read correctly or refused by name; a refused input leaves nothing behind.

use super::*;
use std::fs;
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn make(&self, source: &str, options: impl FnOnce(&mut Options)) -> Result<Summary> {
        let mut asked = Options { out: self.path("made"), links: Links::Inside, replace: false };
        options(&mut asked);
        prepare(&self.path(source), &asked, &|_| {})
    }

    /// The units of a source.
    fn units(&self, source: &str) -> Vec<String> {
        let summary = self.make(source, |options| options.replace = true).unwrap();
        let units = Units::open(&summary.folder).unwrap();
        units.lines(0..units.count()).unwrap()
    }

    /// The reason why a source is refused; it leaves nothing behind.
    fn refusal(&self, source: &str) -> String {
        let error = self.make(source, |_| ()).expect_err(source);
        assert!(error.is_bad_input(), "{error}");
        assert!(!self.path("made").exists() && !self.path(".made.partial").exists(), "{error}");
        let told = error.to_string();
        assert!(told.contains(source.split('/').next().unwrap()), "{told}");
        told
    }
}

#[test]
fn lines_of_json_come_as_they_are() {
    let place = Place::new();
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("plain", b"{\"a\": 1}\n[2]\n\"x\"\nnull\n4.50", &["{\"a\": 1}", "[2]", "\"x\"", "null", "4.50"]),
        ("mark and CRLF", b"\xef\xbb\xbf{\"b\":\t1}\r\n2\r\n", &["{\"b\":\t1}", "2"]),
        ("blank lines", b"\n1\n  \n\t2 \n\n", &["1", "2"]),
        ("escapes", "\"\\u0000\\n\u{2028}ü\"\n".as_bytes(), &["\"\\u0000\\n\u{2028}ü\""]),
    ];
    for (name, text, expected) in cases {
        place.write("a.jsonl", text);
        assert_eq!(place.units("a.jsonl"), expected, "{name}");
        place.write("a.NDJSON", text);
        assert_eq!(place.units("a.NDJSON"), expected, "{name}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    place.write("a.jsonl", &deep);
    assert_eq!(place.units("a.jsonl"), [deep]);
    place.write("a.jsonl", "\n1\n\n");
    let summary = place.make("a.jsonl", |options| options.replace = true).unwrap();
    assert_eq!(summary.manifest.notes, ["left out 2 blank lines"]);
    let longest = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    place.write("a.jsonl", format!("{longest}\r\n{longest}"));
    assert_eq!(place.units("a.jsonl"), [longest.clone(), longest]);
}

#[test]
fn lines_that_are_no_json_are_refused_by_their_number() {
    let place = Place::new();
    let cases: [(&[u8], &str); 15] = [
        (b"1\n\n{\"a\": }\n", "in line 3 no JSON, at byte 7: expected value"),
        (b"1\n2 3\n", "in line 2 no JSON, at byte 3: trailing characters"),
        (b"{'a': 1}\n", "in line 1 no JSON, at byte 2: key must be a string"),
        (b"NaN\n", "in line 1 no JSON"),
        (b"1\n{\"a\": 1", "in line 2 no JSON, at byte 7: EOF while parsing an object"),
        (b"{\n\"a\": 1}\n", "a document of several lines becomes one a line with jq -c"),
        (b"\"\xfc\"\n", "in line 1 bytes that are no UTF-8, from byte 2 on"),
        (b"\"a\0\"\n", "in line 1 a zero byte"),
        (b"\"a\nb\"\n", "in line 1 no JSON, at byte 2: EOF while parsing a string"),
        (b"1\r2\r3\r", "in line 1 a carriage return within the line"),
        (b"\xff\xfe1\0\n\0", "one in UTF-16; save it as UTF-8"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "found a gzipped file"),
        (b"PK\x03\x04\0\0\0\0", "found a zip archive"),
        (b"", "expected one unit or more, found none"),
        (b"\n \n\r\n", "expected one unit or more, found none"),
    ];
    for (text, words) in cases {
        place.write("a.jsonl", text);
        let told = place.refusal("a.jsonl");
        assert!(told.contains(words), "{told}");
    }
    for bytes in [(1 << 20) - 1, (1 << 20) + 1, 3 << 20] {
        place.write("a.jsonl", format!("1\n\"{}\"\n", "x".repeat(bytes)));
        let told = place.refusal("a.jsonl");
        assert!(told.contains("expected at most 1048576 bytes in a line, found more in line 2"), "{told}");
    }
}

/// One line of a gigabyte, most of which takes no space on the disk.
#[test]
fn a_line_without_an_end_is_refused_at_the_bound() {
    let place = Place::new();
    for name in ["a.jsonl", "a.csv"] {
        fs::File::create(place.path(name)).unwrap().set_len(1 << 30).unwrap();
        let begun = std::time::Instant::now();
        let told = place.refusal(name);
        assert!(told.contains("at most 1048576 bytes") || told.contains("a table with a heading"), "{told}");
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
    place.write("b.csv", format!("a,b\n1,\"{}", "x,\n".repeat(3 << 20)));
    let told = place.refusal("b.csv");
    assert!(
        told.contains(
            "at most 1048576 bytes in a row, and an end of each quote, found more in the row of line 2"
        ),
        "{told}"
    );
    let wide = format!("\"{}\"", "\"\"".repeat(600_000));
    place.write("b.csv", format!("a,b\n1,{wide}\n"));
    assert!(place.refusal("b.csv").contains("at most 1048576 bytes in a row"), "quotes are escaped");
}

#[test]
fn rows_become_objects_of_strings() {
    let place = Place::new();
    let expected = [r#"{"id":"1","na\"me":"a, b","":""}"#, r#"{"id":"2","na\"me":"c\nd\"","":"ü"}"#];
    let comma = "id,\"na\"\"me\",\n1,\"a, b\",\n2,\"c\nd\"\"\",ü\n";
    let cases = [
        ("a.csv", comma.to_owned()),
        ("a.CSV", format!("\u{feff}{}", comma.replace(",\n", ",\r\n").replace("ü\n", "ü\r\n"))),
        ("no-end.csv", comma.trim_end().to_owned()),
        ("tab.csv", "id\t\"na\"\"me\"\t\n1\ta, b\t\n2\t\"c\nd\"\"\"\tü\n".to_owned()),
        ("semicolon.csv", "id;\"na\"\"me\";\n1;a, b;\n2;\"c\nd\"\"\";ü\n".to_owned()),
        ("a.tsv", "id\t\"na\"\"me\"\t\n1\ta, b\t\n2\t\"c\nd\"\"\"\tü\n".to_owned()),
        ("blank.csv", comma.replace("2,", "\n2,")),
    ];
    for (name, text) in cases {
        place.write(name, text);
        assert_eq!(place.units(name), expected, "{name}");
    }
    place.write("one.csv", "BMI\nx\n5\" pipe\n");
    assert_eq!(place.units("one.csv"), [r#"{"BMI":"x"}"#, r#"{"BMI":"5\" pipe"}"#]);
}

#[test]
fn tables_that_are_not_clear_are_refused_by_the_line() {
    let place = Place::new();
    let cases: [(&[u8], &str); 13] = [
        (
            b"a,b\n1,2\n\n3\n",
            "expected 2 columns in each row, as in the heading, found 1 in the row of line 4",
        ),
        (b"a,b\r\n1,2\r\n\r\n\"3\r\n\",4\r\n5\r\n", "found 1 in the row of line 6"),
        (b"a,b\n\"1\n\",2\n3", "found 1 in the row of line 4"),
        (b"a,b\n1,2,3\n", "found 3 in the row of line 2"),
        (b"a,b,a\n1,2,3\n", "two columns of the name \"a\"; give each a name of its own"),
        (b"a,b\n1,\"2\n3,4\n", "a quote without an end in the row of line 2"),
        (b"a\n\"", "a quote without an end in the row of line 2"),
        (b"a,b\n1,x\0y\n2,3\n", "a zero byte in the row of line 2"),
        (b"a,b\n1,\xfc\n", "expected a text, saved as UTF-8, found other bytes in the row of line 2"),
        (b"a,b\n", "expected one unit or more, found none"),
        (b"", "expected a table with a heading, found an empty file"),
        (b"PK\x03\x04\x14\0\x06\0,b\n", "found a zip archive"),
        (b"\xff\xfea\0,\0b\0", "one in UTF-16; save it as UTF-8"),
    ];
    for (text, words) in cases {
        place.write("a.csv", text);
        let told = place.refusal("a.csv");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn files_of_a_folder_are_copied_and_named() {
    let place = Place::new();
    let long = format!("{}.txt", "n".repeat(200));
    let names = ["b.txt", "a/x.png", "a/y z.png", "a/ü/1", &long, "empty"];
    for name in names {
        place.write(&format!("files/{name}"), if name == "empty" { "" } else { name });
    }
    place.write("files/.hidden", "x");
    place.write("files/Thumbs.db", "x");
    place.write("outside", "x");
    std::os::unix::fs::symlink(place.path("outside"), place.path("files/out")).unwrap();
    std::os::unix::fs::symlink("b.txt", place.path("files/in")).unwrap();
    let summary = place.make("files", |_| ()).unwrap();
    assert!(
        summary.manifest.notes[0].starts_with("left out out: a link that leads out"),
        "{:?}",
        summary.manifest
    );
    let units = Units::open(&summary.folder).unwrap();
    units.verify().unwrap();
    let lines = units.lines(0..units.count()).unwrap();
    let found: Vec<_> = lines.iter().map(|line| units.file(line).unwrap()).collect();
    let sources: Vec<&str> =
        found.iter().map(|unit| unit.name.as_deref().unwrap_or(&unit.file["files/".len()..])).collect();
    assert_eq!(sources, ["a/x.png", "a/y z.png", "a/ü/1", "b.txt", "empty", "in", &long]);
    assert_eq!(found[0].name, None);
    for (unit, source) in found.iter().zip(sources) {
        let content = fs::read(place.path("made").join(&unit.file)).unwrap();
        assert_eq!(content, fs::read(place.path("files").join(source)).unwrap(), "{source}");
        assert_eq!(unit.bytes, content.len() as u64);
    }
    // Only what the manifest lists is there.
    let mut there: Vec<_> =
        fs::read_dir(place.path("made")).unwrap().map(|e| e.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["dataset.json", "files", "units-00000.jsonl", "units-blocks.npy"]);

    let again = place.make("files", |_| ()).unwrap();
    assert!(again.was_there && again.key == summary.key);
    place.write("files/new", "x");
    assert!(matches!(place.make("files", |_| ()), Err(Error::Exists { .. })));
    let more = place.make("files", |options| {
        options.replace = true;
        options.links = Links::Anywhere;
    });
    assert_eq!(more.unwrap().manifest.units, 9);
}

#[test]
fn folders_without_a_file_are_refused_and_special_files_are_left_out() {
    let place = Place::new();
    fs::create_dir_all(place.path("empty/sub")).unwrap();
    let told = place.refusal("empty");
    assert!(told.contains("expected one unit or more, found none"), "{told}");
    place.write("files/a", "x");
    let _socket = std::os::unix::net::UnixListener::bind(place.path("files/socket")).unwrap();
    let summary = place.make("files", |_| ()).unwrap();
    assert_eq!(summary.manifest.notes, ["left out socket: a socket"]);
}

#[test]
fn the_same_command_does_nothing_and_another_source_is_refused() {
    let place = Place::new();
    place.write("a.jsonl", "1\n2\n");
    let first = place.make("a.jsonl", |_| ()).unwrap();
    assert!(!first.was_there && first.manifest.units == 2 && first.bytes > 4);
    let modified = |name: &str| fs::metadata(place.path("made").join(name)).unwrap().modified().unwrap();
    let before = modified("units-00000.jsonl");
    let again = place.make("a.jsonl", |_| ()).unwrap();
    assert!(again.was_there && again.key == first.key && modified("units-00000.jsonl") == before);
    // Another content of the same length is also another source.
    for (name, text) in [("a.jsonl", "1\n3\n"), ("a.csv", "1\n2\n")] {
        place.write(name, text);
        let error = place.make(name, |_| ()).unwrap_err();
        assert!(matches!(&error, Error::Exists { found, .. } if found == OTHER_RECIPE), "{error}");
    }
    let replaced = place.make("a.jsonl", |options| options.replace = true).unwrap();
    assert_ne!(replaced.key, first.key);
    let shard = place.path("made/units-00000.jsonl");
    fs::write(&shard, "1\n4\n").unwrap();
    let error = place.make("a.jsonl", |_| ()).unwrap_err();
    assert!(error.to_string().contains("is damaged") && error.to_string().contains("--replace"), "{error}");
    place.write("photos/1.jpg", "x");
    let error = place.make("a.jsonl", |options| {
        options.out = place.path("photos");
        options.replace = true;
    });
    assert!(error.unwrap_err().to_string().contains("even --replace keeps it"));
}

#[test]
fn sources_of_other_kinds_are_refused_by_name() {
    let place = Place::new();
    for (name, words) in [
        ("a.json", "jq -c '.[]'"),
        ("a.jsonl.gz", "gunzip -c"),
        ("a", "expected .jsonl, .ndjson, .csv or .tsv, a folder of files, or - for standard input"),
    ] {
        place.write(name, "[1]");
        let told = place.refusal(name);
        assert!(told.contains(words), "{told}");
    }
    let error = place.make("nowhere.jsonl", |_| ()).unwrap_err();
    assert!(!error.is_bad_input(), "{error}");
    place.write("a.jsonl", "1");
    let error = place.make("a.jsonl", |options| options.out = place.path("Made")).unwrap_err();
    assert!(matches!(error, Error::Option { option: "--out", .. }), "{error}");
}
