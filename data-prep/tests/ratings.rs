//! The form `ratings` of the data-prep command.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The exit code of a command, its output and its messages.
fn run(arguments: &[&str], folder: &Path) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-prep"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn ratings_are_made_found_again_and_refused_with_their_line() {
    let root = tempfile::tempdir().unwrap();
    let row = |row: u32| format!("{},{},{},{row}\n", row % 7, row / 7, row % 5 + 1);
    let rows: String = (0..60).map(row).collect();
    fs::write(root.path().join("ratings.csv"), format!("userId,movieId,rating,timestamp\n{rows}")).unwrap();
    let make = ["ratings", "ratings.csv", "--out", "data/films", "--scale", "1:5"];
    let (status, stdout, stderr) = run(&make, root.path());
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.starts_with("data/films made: 7 users, 9 items, ratings from 1 to 5, "), "{stdout}");
    assert!(stdout.contains("train 48, val 6, test 6"), "{stdout}");
    let (status, stdout, _) = run(&[&make[..], &["--json"]].concat(), root.path());
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (status, &summary["was_there"], &summary["manifest"]["kind"]),
        (0, &true.into(), &"ratings".into())
    );
    let (status, _, stderr) = run(&[&make[..], &["--seed", "2"]].concat(), root.path());
    assert!(status == 5 && stderr.contains("--replace"), "{stderr}");
    fs::write(root.path().join("bad.dat"), "1::2::3::4\n1::2::x::4\n").unwrap();
    let (status, stdout, stderr) = run(&["ratings", "bad.dat", "--out", "data/bad"], root.path());
    assert_eq!((status, &stdout[..]), (3, ""));
    assert!(
        stderr.contains("bad.dat: expected a rating that is a number, found \"x\" in line 2"),
        "{stderr}"
    );
    assert!(!root.path().join("data/bad").exists());
    for wrong in [["--scale", "5:1"], ["--val-share", "2"], ["--split", "week"], ["--item", "film"]] {
        let (status, _, stderr) =
            run(&[&["ratings", "ratings.csv", "--out", "data/other"][..], &wrong].concat(), root.path());
        assert!(status == 2 && stderr.contains(wrong[0]), "{stderr}");
    }
}
