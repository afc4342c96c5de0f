//! Labels in CSVs as people have them.

use super::*;
use crate::files::FoundFile;
use std::fs;

fn listing(paths: &[&str]) -> Listing {
    let file = |path: &&str| FoundFile { path: path.to_string(), bytes: 1 };
    Listing { files: paths.iter().map(file).collect(), ..Listing::default() }
}

/// Sides with each file's class, and the notes.
fn read(paths: &[&str], csv: &str, column: Option<&str>) -> Result<(Vec<String>, String)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.csv");
    fs::write(&path, csv).unwrap();
    let made = layout(Path::new("photos"), &listing(paths), &path, column)?;
    let shown = |side: &Side| {
        let file =
            |(file, label): &(usize, u32)| format!("{} {}", paths[*file], made.classes[*label as usize]);
        format!("{}: {}", side.name, side.files.iter().map(file).collect::<Vec<_>>().join(", "))
    };
    Ok((made.sides.iter().map(shown).collect(), made.notes.join("; ")))
}

const FILES: [&str; 3] = ["a.jpg", "b.jpg", "c.jpg"];

#[test]
fn columns_are_told_by_what_is_in_them() {
    let expected = ["images: a.jpg ant, b.jpg bee, c.jpg ant"];
    for csv in [
        "file,label\na.jpg,ant\nb.jpg,bee\nc.jpg,ant\n",
        "a.jpg,ant\nb.jpg,bee\nc.jpg,ant\n",
        "\u{feff}breed;id\r\nant;a\r\nbee;b\r\nant;c\r\n",
        "id\tx\tlabel\na\t1\tant\nb\t2\tbee\nc\t3\tant",
        "path,class\nphotos/a.jpg,ant\n./b.jpg,\" bee \"\nC:\\photos\\c.jpg,ant\n",
    ] {
        let (sides, notes) = read(&FILES, csv, None).unwrap();
        assert_eq!((&sides[..], &notes[..]), (&expected.map(String::from)[..], ""), "{csv}");
    }
    let several = "file,colour,size\na.jpg,red,1\nb.jpg,blue,2\nc.jpg,red,10\n";
    let error = read(&FILES, several, None).unwrap_err().to_string();
    assert!(error.contains("--label-column, found several: colour, size"), "{error}");
    assert_eq!(
        read(&FILES, several, Some("colour")).unwrap().0,
        ["images: a.jpg red, b.jpg blue, c.jpg red"]
    );
    assert!(
        read(&FILES, several, Some("shape")).unwrap_err().to_string().contains("colour, size, found shape")
    );
}

#[test]
fn numbers_are_in_their_own_order_and_sides_come_from_a_column_or_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.csv");
    fs::write(&path, "a.jpg,10\nb.jpg,9\nc.jpg,9\n").unwrap();
    assert_eq!(layout(Path::new("photos"), &listing(&FILES), &path, None).unwrap().classes, ["9", "10"]);
    let csv = "file,label,split\na.jpg,ant,train\nb.jpg,bee,Validation\nc.jpg,ant,test\n";
    assert_eq!(read(&FILES, csv, None).unwrap().0, ["train: a.jpg ant", "val: b.jpg bee", "test: c.jpg ant"]);
    let error = read(&FILES, &csv.replace("Validation", "maybe"), None).unwrap_err().to_string();
    assert!(error.contains("train, val or test, found maybe in row 3"), "{error}");
    let folders = ["train/a.jpg", "train/b.jpg", "test/c.jpg"];
    let (sides, notes) = read(&folders, "a,ant\nb,bee\nc,ant\n", None).unwrap();
    assert_eq!(sides, ["train: train/a.jpg ant, train/b.jpg bee", "test: test/c.jpg ant"]);
    assert_eq!(notes, "");
}

#[test]
fn rows_and_files_that_do_not_fit_are_told() {
    let (sides, notes) = read(&FILES, "file,label\na.jpg,ant\nb.jpg,bee\nz.jpg,ant\n", None).unwrap();
    assert_eq!(sides, ["images: a.jpg ant, b.jpg bee"]);
    assert!(notes.contains("name files that are not there: z.jpg"), "{notes}");
    assert!(notes.contains("images without a label: c.jpg"), "{notes}");
    let error = |csv: &str| read(&FILES, csv, None).unwrap_err().to_string();
    assert!(
        error("a.jpg,ant\na.jpg,bee\n")
            .contains("one label for each file, found ant and bee for a.jpg in row 2")
    );
    assert!(error("a.jpg,ant\nb.jpg,\n").contains("found none for b.jpg in row 2"));
    assert!(
        error("x.jpg,ant\ny.jpg,bee\n").contains("names of files in photos, found none in the first 2 rows")
    );
    assert!(error("a.jpg,ant\nb.jpg\n").contains("rows of one width"));
    assert!(error("").contains("an empty file") && error("a.jpg\n").contains("one column"));
    let same = ["x/1.jpg", "y/1.jpg", "2.jpg"];
    let error = read(&same, "1.jpg,ant\n2.jpg,bee\n", None).unwrap_err().to_string();
    assert!(error.contains("names of one file each, found 1.jpg, which several have"), "{error}");
    assert_eq!(read(&same, "x/1.jpg,ant\n2.jpg,bee\n", None).unwrap().0, ["images: x/1.jpg ant, 2.jpg bee"]);
}
