//! The command as a process: exit codes, kills, full and read-only folders, and output on the right stream.

#[allow(dead_code)]
#[path = "../src/samples.rs"]
mod samples;

use datasets::images::Dataset;
use image::RgbImage;
use samples::{class_folders, gzip, idx, python_batch, tar, zip};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn data_prep(arguments: &[&str], root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-prep"));
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], root: &Path) -> (i32, String, String) {
    let Output { status, stdout, stderr } = data_prep(arguments, root).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Two classes of BMPs that take a while to shrink.
fn photos(root: &Path, per_class: usize, side: u32) {
    for (c, class) in ["day", "night"].iter().enumerate() {
        let folder = root.join("photos").join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..per_class {
            let seed = (c * 1000 + i) as u32;
            let image = RgbImage::from_fn(side, side + i as u32, |x, y| {
                image::Rgb([x as u8, y as u8, (seed * x / 7) as u8])
            });
            image.save(folder.join(format!("{i}.bmp"))).unwrap();
        }
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into(), fs::read(e.path()).unwrap())).collect()
}

fn wait(mut child: Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn exit_codes_tell_what_is_at_fault() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 4, 20);
    let code = |arguments: &[&str]| run(arguments, root.path());
    let (made, stdout, stderr) = code(&["folder", "photos", "--out", "data/a", "--val-share", "0.25"]);
    assert_eq!((made, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("data/a made: 2 classes") && stdout.contains("train        6 images"),
        "{stdout}"
    );
    assert!(code(&["folder", "photos", "--out", "data/a", "--val-share", "0.25"]).1.contains("was there"));

    let (status, stdout, _) = code(&["folder", "photos", "--out", "data/a", "--val-share", "0.25", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (status, &summary["was_there"], &summary["manifest"]["splits"]["val"]["images"]),
        (0, &true.into(), &2.into())
    );

    assert_eq!(code(&["folder"]).0, 2);
    assert_eq!(code(&["folder", "photos", "--out", "b", "--max-unreadable", "200%"]).0, 2);
    assert_eq!(code(&["folder", "photos", "--out", "b"]).0, 2, "no validation images");
    assert_eq!(code(&["folder", "photos", "--out", "b", "--val-share", "0.2", "--train", "nights"]).0, 2);
    assert_eq!(code(&["cifar", "photos", "--out", "b"]).0, 3);
    fs::write(root.path().join("photos/day/1.bmp"), "words").unwrap();
    let (status, stdout, stderr) = code(&["folder", "photos", "--out", "b", "--val-share", "0.25"]);
    assert_eq!((status, stdout.as_str()), (3, ""));
    assert!(stderr.contains("left out day/1.bmp") && stderr.contains("1 of 8 images"), "{stderr}");
    assert_eq!(
        code(&["folder", "photos", "--out", "b", "--val-share", "0.25", "--max-unreadable", "15%"]).0,
        0
    );
    assert_eq!(code(&["folder", "nowhere", "--out", "c", "--val-share", "0.25"]).0, 4);
    let (status, _, stderr) = code(&["folder", "photos", "--out", "photos", "--val-share", "0.25"]);
    assert_eq!(status, 5);
    assert!(stderr.contains("--replace"), "{stderr}");
    fs::create_dir_all(root.path().join("one/ants")).unwrap();
    fs::copy(root.path().join("photos/day/0.bmp"), root.path().join("one/ants/0.bmp")).unwrap();
    assert_eq!(code(&["folder", "one", "--out", "b", "--val-share", "0"]).0, 3, "one class");
    assert_eq!(code(&["folder", "/dev/zero", "--out", "b", "--val-share", "0"]).0, 3);
    assert!(!root.path().join("c").exists() && !root.path().join(".c.partial").exists());
}

#[test]
fn help_has_examples() {
    let root = tempfile::tempdir().unwrap();
    let (status, help, _) = run(&["--help"], root.path());
    assert_eq!(status, 0);
    assert!(
        help.contains("data-prep cifar cifar-10-python.tar.gz --out") && help.contains("Exit codes"),
        "{help}"
    );
    for form in ["cifar", "folder", "idx", "npy"] {
        let (status, help, _) = run(&[form, "--help"], root.path());
        assert!(status == 0 && help.contains("--max-unreadable") && help.contains("--val-share"));
    }
}

#[test]
fn a_killed_job_continues_to_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 30, 700);
    let arguments =
        |out| ["folder", "photos", "--out", out, "--val-share", "0.1", "--size", "512", "--shard-mib", "4"];
    assert_eq!(run(&arguments("whole/data"), root.path()).0, 0);
    let whole = contents(&root.path().join("whole/data"));

    let mut kills = 0;
    for shards in 1..=100 {
        let child = data_prep(&arguments("data"), root.path()).stdout(Stdio::null()).spawn().unwrap();
        let child = kill_after(child, &root.path().join(".data.partial"), shards);
        match child {
            None => kills += 1,
            Some(code) => {
                assert_eq!(code, 0);
                break;
            }
        }
        assert!(!root.path().join("data").exists(), "nothing half-written");
    }
    println!("killed {kills} times");
    assert!(kills >= 3, "{kills} kills");
    assert_eq!(contents(&root.path().join("data")), whole);
    assert!(!root.path().join(".data.partial").exists());
}

/// Kills a job when `shards` shards are finished; returns its exit code if it ended before.
fn kill_after(mut child: Child, partial: &Path, shards: usize) -> Option<i32> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        let names = fs::read_dir(partial).into_iter().flatten().filter_map(|e| e.ok());
        if names.filter(|e| e.path().extension().is_some_and(|e| e == "finished")).count() >= shards {
            child.kill().unwrap();
            return wait(child);
        }
        assert!(since.elapsed() < Duration::from_secs(120), "a job that does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_full_disk_leaves_nothing_and_is_told() {
    let root = tempfile::tempdir().unwrap();
    let small = root.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small).output();
    if !mount.is_ok_and(|m| m.status.success()) {
        println!("SKIPPED: a full disk: no right to mount a small tmpfs");
        return;
    }
    photos(root.path(), 20, 200);
    let arguments = ["folder", "photos", "--out", "small/data", "--val-share", "0.1", "--shard-mib", "1"];
    let (status, _, stderr) = run(&arguments, root.path());
    let left: Vec<_> = fs::read_dir(&small).unwrap().map(|e| e.unwrap().file_name()).collect();
    let parts = fs::read_dir(small.join(".data.partial")).unwrap().map(|e| e.unwrap().path());
    let temporary = parts.filter(|path| path.extension().is_some_and(|e| e == "tmp")).count();

    Command::new("mount").args(["-o", "remount,size=64m"]).arg(&small).status().unwrap();
    let (again, _, _) = run(&arguments, root.path());
    let opened = Dataset::open(small.join("data")).map(|d| d.split("train").unwrap().len());
    Command::new("umount").arg(&small).status().unwrap();
    assert_eq!(status, 4);
    assert!(stderr.contains("small/.data.partial") && stderr.contains("free some space"), "{stderr}");
    assert_eq!((left, temporary), (vec![".data.partial".into()], 0));
    assert_eq!((again, opened.unwrap()), (0, 36), "the same command continues once there is space");
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 4, 20);
    // For every user, root included: a file where a folder should be, and /proc, where nothing can be
    // created.
    fs::write(root.path().join("file"), "").unwrap();
    for out in ["file/data", "/proc/data"] {
        let (status, _, stderr) =
            run(&["folder", "photos", "--out", out, "--val-share", "0.25"], root.path());
        assert_eq!(status, 4, "{stderr}");
        assert!(stderr.contains("cannot create"), "{stderr}");
    }
}

/// Lines that standard error cannot take are lost, and nothing else is.
#[test]
fn a_closed_or_full_standard_error_stops_no_work() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 4, 20);
    fs::write(root.path().join("photos/day/readme.txt"), "words").unwrap();
    fs::write(root.path().join("photos/day/bad.jpg"), "words").unwrap();
    for (number, to) in ["2>&-", "2>/dev/full"].iter().enumerate() {
        for (share, expected) in [("0.5", 0), ("0", 3)] {
            let command = format!(
                "\"$0\" folder photos --out out{number} --val-share 0.25 --max-unreadable {share} {to}"
            );
            let mut shell = Command::new("sh");
            shell.args(["-c", &command, env!("CARGO_BIN_EXE_data-prep")]).current_dir(root.path());
            let status = shell.stdout(Stdio::null()).status().unwrap();
            assert_eq!(status.code(), Some(expected), "{command}");
            let _ = fs::remove_dir_all(root.path().join(format!("out{number}")));
        }
    }
}

#[test]
fn names_are_shown_and_not_obeyed() {
    let root = tempfile::tempdir().unwrap();
    photos(root.path(), 4, 20);
    fs::write(root.path().join("photos/day/\u{1b}[2J.jpg"), "words").unwrap();
    fs::rename(root.path().join("photos/night"), root.path().join("photos/ni\nght\u{1b}[31m")).unwrap();
    let (status, stdout, stderr) = run(
        &["folder", "photos", "--out", "a", "--val-share", "0.25", "--max-unreadable", "50%"],
        root.path(),
    );
    assert_eq!(status, 0, "{stderr}");
    assert!(stderr.contains("left out day/\\u001b[2J.jpg"), "{stderr}");
    fs::create_dir(root.path().join("photos/e\u{7}mpty")).unwrap();
    let (status, _, error) = run(&["folder", "photos", "--out", "b", "--val-share", "0.25"], root.path());
    assert!(status == 3 && error.contains("photos/e\\u0007mpty"), "{error}");
    for text in [stdout, stderr, error] {
        assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text:?}");
    }
}

/// The sources that the help's examples name.
fn example_sources(root: &Path) {
    let write = |name: &str, content: &[u8]| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), content).unwrap();
    };
    let labels: Vec<u8> = (0..2000).map(|i| (i % 10) as u8).collect();
    let batch = python_batch("labels", &labels);
    let file = ::tar::EntryType::Regular;
    let members = [("data_batch_1", file, &batch[..]), ("test_batch", file, &batch[..])];
    write("cifar-10-python.tar.gz", &gzip(&tar(&members)));
    for name in ["data_batch_1", "data_batch_5", "test_batch"] {
        write(&format!("cifar-10-batches-py/{name}"), &batch);
    }
    class_folders(&root.join("photos"), 5);
    class_folders(&root.join("hymenoptera_data/train"), 3);
    class_folders(&root.join("hymenoptera_data/val"), 2);
    let photo = |path: &str| (path.to_owned(), fs::read(root.join("photos").join(path)).unwrap());
    let photos = ["ants/000.png", "ants/001.png", "bees/000.png", "bees/001.png"].map(photo);
    write("photos.zip", &zip(&photos.each_ref().map(|(path, content)| (&path[..], &content[..]))));
    let deep =
        image::ImageBuffer::<image::Luma<u16>, _>::from_fn(9, 9, |x, y| image::Luma([(x * y * 60) as u16]));
    for (number, label) in ["flat", "flat", "round", "round"].iter().enumerate() {
        write(&format!("scans/{number}.png"), &samples::encoded(deep.clone(), image::ImageFormat::Png));
        let rows = fs::read_to_string(root.join("scans.csv")).unwrap_or("file,label\n".into());
        write("scans.csv", format!("{rows}{number}.png,{label}\n").as_bytes());
    }
    for side in ["train", "t10k"] {
        write(
            &format!("mnist/{side}-images-idx3-ubyte.gz"),
            &gzip(&idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8])),
        );
        write(&format!("mnist/{side}-labels-idx1-ubyte.gz"), &gzip(&idx(&[2], &[3, 4])));
    }
    let npy = |shape: &[u64], values: &[u8]| {
        let mut bytes = Vec::new();
        storage::arrays::write_npy(&mut bytes, shape, values).unwrap();
        bytes
    };
    let (images, labels) = (npy(&[20, 2, 2], &[9; 80]), npy(&[20], &[0, 1].repeat(10)));
    write("images.npy", &images);
    write("labels.npy", &labels);
    let members = ["train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy"];
    let members = members.map(|name| (name, if name.contains("images") { &images[..] } else { &labels }));
    write("bloodmnist.npz", &zip(&members));
    write("addresses.csv", b"name,city\nA,X\nB,Y\n");
    let ratings = |mark: &str| {
        let row = |row: u32| {
            let (user, item, rating, time) = (row % 7, row / 7, row % 5 + 1, 978_300_000 + row);
            format!("{user}{mark}{item}{mark}{rating}{mark}{time}\n")
        };
        (0..60).map(row).collect::<String>()
    };
    write("ml-1m/ratings.dat", ratings("::").as_bytes());
    write("ratings.csv", format!("userId,movieId,rating,timestamp\n{}", ratings(",")).as_bytes());
}

#[test]
fn every_example_of_the_help_runs() {
    let root = tempfile::tempdir().unwrap();
    example_sources(root.path());
    let (_, help, _) = run(&["--help"], root.path());
    let examples = help.split("Examples:").nth(1).unwrap().split("Exit codes").next().unwrap();
    let examples = examples.replace("\\\n", " ");
    let examples: Vec<&str> = examples.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(examples.len() >= 15, "{examples:?}");
    let program = Path::new(env!("CARGO_BIN_EXE_data-prep")).parent().unwrap();
    for example in examples {
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", example]).current_dir(root.path()).env("PATH", path).output().unwrap();
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
        let _ = fs::remove_dir_all(root.path().join("datasets"));
    }
}

#[test]
fn units_come_from_standard_input_and_say_so() {
    let root = tempfile::tempdir().unwrap();
    let with_input = |arguments: &[&str], input: &str| {
        fs::write(root.path().join("input"), input).unwrap();
        let mut command = data_prep(arguments, root.path());
        command.stdin(fs::File::open(root.path().join("input")).unwrap());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let make = ["units", "-", "--out", "data/a"];
    let (status, stdout, stderr) = with_input(&make, "1\n\n2\n");
    assert_eq!((status, &stderr[..]), (0, "data-prep: left out 1 blank line\n"));
    assert!(stdout.starts_with("data/a made: 2 units from jsonl, "), "{stdout}");
    let (status, stdout, _) = with_input(&["units", "-", "--out", "data/a", "--json"], "1\n\n2\n");
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &summary["was_there"], &summary["manifest"]["units"]), (0, &true.into(), &2.into()));
    let (status, _, stderr) = with_input(&make, "1\n3\n");
    assert!(status == 5 && stderr.contains("--replace"), "{stderr}");
    let (status, stdout, stderr) = with_input(&["units", "-", "--out", "b"], "1\n{\n");
    assert_eq!((status, &stdout[..]), (3, ""));
    assert!(
        stderr.contains("standard input: expected a JSON value in each line, found in line 2"),
        "{stderr}"
    );
    assert!(!root.path().join("b").exists() && !root.path().join(".b.partial").exists());
    // A data set of one kind blocks the output of another kind, with a clear error.
    photos(root.path(), 4, 20);
    let (status, _, stderr) =
        run(&["folder", "photos", "--out", "data/a", "--val-share", "0.25"], root.path());
    assert!(status == 5 && stderr.contains("expected a data set of images, found one of units"), "{stderr}");
}

/// A half-written folder is never a data set, and does not block the next one.
#[test]
fn units_that_are_interrupted_are_made_anew() {
    let root = tempfile::tempdir().unwrap();
    // As good as without an end, and yet not for ever.
    let mut numbers = Command::new("seq").args(["1", "300000000"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = data_prep(&["units", "-", "--out", "data"], root.path());
    child.stdin(numbers.stdout.take().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let partial = root.path().join(".data.partial");
    let begun = Instant::now();
    let has_shard = || fs::read_dir(&partial).is_ok_and(|entries| entries.count() > 1);
    while !has_shard() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    numbers.kill().unwrap();
    numbers.wait().unwrap();
    assert!(!root.path().join("data").exists() && partial.exists());
    fs::write(root.path().join("a.jsonl"), "1\n2\n").unwrap();
    let (status, _, stderr) = run(&["units", "a.jsonl", "--out", "data"], root.path());
    assert_eq!((status, &stderr[..]), (0, ""));
    assert!(!partial.exists());
    let names: Vec<PathBuf> = contents(&root.path().join("data")).into_keys().collect();
    assert_eq!(names, ["dataset.json", "units-00000.jsonl", "units-blocks.npy"].map(PathBuf::from));
}
