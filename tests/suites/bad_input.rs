//! Bad input through the real commands: each has its exit code and says what was found, what was expected and
//! what to do. No half-written file is left.

#[path = "bad_input/disk.rs"]
mod disk;
#[path = "bad_input/server.rs"]
mod server;

use disk::Disk;
use serde_json::{Value, json};
use server::{invoke, serve};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use storage::arrays::write_npy;
use tests::tree::{changes, tree};
use tests::{World, binary};

/// Exit codes: bad input, and reading or writing.
const INPUT: i32 = 3;
const STORAGE: i32 = 4;

/// A command that must fail, and the folder that it must not change.
struct Case<'a> {
    program: &'a str,
    /// The folder that is compared before and after.
    folder: &'a Path,
}

impl Case<'_> {
    /// Runs it: the exit code must be `code`, its output must have all of `words`, and no file may differ
    /// afterwards.
    fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let before = tree(self.folder);
        let output = Command::new(binary(self.program)).args(arguments).current_dir(self.folder).output();
        let output = output.expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("$ {} {}\n{said}", self.program, arguments.join(" "));
        assert_eq!(output.status.code(), Some(code), "{arguments:?} said {said:?}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} said nothing of {word:?}: {said:?}");
        }
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(changes(&before, &tree(self.folder)), [""; 0], "{arguments:?} left something behind");
        said
    }
}

fn baton(folder: &Path) -> Case<'_> {
    Case { program: "baton", folder }
}

/// A job that runs within a second.
fn job(folder: &Path, changes: Value) {
    let mut job = json!({
        "dataset": "patterns", "network": "baton_small", "image_size": 48, "rounds": 3, "batch": 16,
        "unit_images": 8, "learning_rate": 0.05,
    });
    for (key, value) in changes.as_object().expect("an object") {
        job[key] = value.clone();
    }
    fs::write(folder.join("the-job.json"), job.to_string()).unwrap();
}

/// `baton local` on the folder where it is run.
const LOCAL: [&str; 7] = ["local", "--root", ".", "--job", "the-job.json", "--run", "bad"];

fn local(more: &[&'static str]) -> Vec<&'static str> {
    [&LOCAL, more].concat()
}

/// Changes one byte of the file whose name begins like this; returns its path.
fn flip(folder: &Path, name: &str) -> PathBuf {
    let path = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let path = path.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(name));
    let path = path.min().unwrap_or_else(|| panic!("no {name} in {}", folder.display()));
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 16;
    fs::write(&path, bytes).unwrap();
    path
}

/// A small CIFAR-10 archive in the binary form.
fn archive() -> Vec<u8> {
    let record = |n: u32| [vec![(n % 10) as u8], (0..3072).map(|i| (i * n * n / 7) as u8).collect()].concat();
    let records: Vec<u8> = (0..60).flat_map(record).collect();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for name in ["data_batch_1.bin", "test_batch.bin"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &records[..]).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn sources_that_are_not_what_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data_prep = Case { program: "data-prep", folder };
    let make = |form: &'static str, source: &'static str, more: &[&'static str]| {
        [&[form, source, "--out", "datasets/made"], more].concat()
    };
    let whole = archive();
    fs::write(folder.join("cut.tar.gz"), &whole[..whole.len() * 3 / 5]).unwrap();
    data_prep.refuses(
        &make("cifar", "cut.tar.gz", &[]),
        INPUT,
        &["cut.tar.gz", "expected a whole tar archive", "found a truncated or damaged one", "again"],
    );
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.join("damaged.tar.gz"), damaged).unwrap();
    data_prep.refuses(
        &make("cifar", "damaged.tar.gz", &[]),
        INPUT,
        &["damaged.tar.gz", "a whole tar archive"],
    );

    fs::create_dir_all(folder.join("photos/ants")).unwrap();
    fs::create_dir_all(folder.join("photos/bees")).unwrap();
    let picture = |path: &str| World::picture(&folder.join(path));
    (0..6).for_each(|n| picture(&format!("photos/ants/{n}.bmp")));
    let photos = make("folder", "photos", &["--val-share", "0.3"]);
    data_prep.refuses(&photos, INPUT, &["photos/bees", "expected images", "found an empty folder", "remove"]);
    (0..6).for_each(|n| picture(&format!("photos/bees/{n}.bmp")));
    fs::write(folder.join("photos/bees/2.jpg"), "a letter about bees").unwrap();
    data_prep.refuses(&photos, INPUT, &["bees/2.jpg", "no JPEG, PNG", "but a text", "--max-unreadable"]);

    let npy = |name: &str, shape: &[u64]| {
        let values = vec![7_u8; shape.iter().product::<u64>() as usize];
        write_npy(&mut File::create(folder.join(name)).unwrap(), shape, &values).unwrap();
    };
    npy("labels.npy", &[9]);
    npy("images.npy", &[10, 8, 8, 3]);
    npy("layers.npy", &[9, 8, 8, 5]);
    let pair = |images| make("npy", images, &["--labels", "labels.npy", "--val-share", "0.3"]);
    data_prep.refuses(&pair("images.npy"), INPUT, &["labels.npy", "expected labels", "[10]", "found", "[9]"]);
    data_prep.refuses(&pair("layers.npy"), INPUT, &["layers.npy", "1 or 3]", "found |u1 [9, 8, 8, 5]"]);
    fs::write(folder.join("cut.npy"), &fs::read(folder.join("images.npy")).unwrap()[..500]).unwrap();
    data_prep.refuses(&pair("cut.npy"), INPUT, &["cut.npy", "expected a payload of 1920 bytes"]);
}

#[test]
fn downloads_with_a_wrong_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = serve(b"<html>please log in first</html>");
    let fetch = ["fetch", "squeezenet1_1", "--root", ".", "--mirror", &mirror];
    let words = ["squeezenet1_1-b8a52dc0.pth", "expected b8a52dc0", "has SHA-256", "try again"];
    baton(folder.path()).refuses(&fetch, INPUT, &words);
    // A file that was put there by hand is kept.
    fs::write(folder.path().join("downloads/squeezenet1_1-b8a52dc0.pth"), "something else").unwrap();
    baton(folder.path()).refuses(&fetch, INPUT, &["expected b8a52dc0", "Remove it"]);
}

#[test]
fn weights_that_are_damaged_or_of_another_network() {
    let world = World::new(4);
    let folder = world.root();
    job(folder, json!({"network": "vgg11", "weights": "baton_small"}));
    baton(folder).refuses(
        &LOCAL,
        INPUT,
        &["job.weights", "expected weights of vgg11", "found those of baton_small"],
    );
    let weights = "weights/baton_small/weights.safetensors";
    baton(folder).refuses(
        &["weights", "add", "vgg11", weights, "--root", "."],
        INPUT,
        &["does not fit `vgg11`", "expected [64, 3, 3, 3]", "looks like `baton_small`"],
    );
    job(folder, json!({}));
    flip(&folder.join("weights/baton_small"), "weights.safetensors");
    baton(folder).refuses(
        &LOCAL,
        INPUT,
        &[weights, "is damaged", "expected sha256", "found sha256", "remove it"],
    );
}

#[test]
fn arguments_and_jobs_that_are_not_allowed() {
    let world = World::new(4);
    let folder = world.root();
    job(folder, json!({}));
    baton(folder).refuses(&local(&["--workers", "0"]), INPUT, &["workers", "found 0", "from 1 to 1000"]);
    let million = local(&["--workers", "1000000"]);
    baton(folder).refuses(&million, INPUT, &["workers", "found 1000000", "from 1 to 1000"]);
    let outside = ["local", "--root", ".", "--job", "the-job.json", "--run", "../x"];
    baton(folder).refuses(&outside, INPUT, &["run", "found \"../x\"", "a-z, 0-9"]);
    baton(folder).refuses(&["start", "--run", "../x", "--print"], INPUT, &["found \"../x\""]);
    baton(folder).refuses(&["stop", "--run", "../x"], INPUT, &["found \"../x\""]);
    job(folder, json!({"learning_rate": -0.1}));
    baton(folder).refuses(&LOCAL, INPUT, &["job.learning_rate", "found -0.1", "a number above 0"]);
    job(folder, json!({"learning_rote": 0.1}));
    baton(folder).refuses(&LOCAL, INPUT, &["the-job.json", "learning_rote", "`learning_rate`"]);
}

/// The same, and events that no command sends, to the function itself.
#[test]
fn events_that_are_not_allowed() {
    let world = World::new(4);
    let mut cloud = Command::new(binary("baton"))
        .args(["local", "--root"])
        .arg(world.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(cloud.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = fs::read(world.root().join("local-cloud.json")).unwrap();
    let address = &serde_json::from_slice(&address).unwrap();
    invoke(address, r#"{"tick": true}"#); // makes the index of runs
    let before = tree(world.root());
    let job = |key: &str, value: Value| {
        let mut job = json!({"dataset": "patterns", "network": "baton_small"});
        job[key] = value;
        json!({"start": true, "run": "bad", "job": job})
    };
    for (event, words) in [
        (json!({"start": true, "wrokers": 3}), &["wrokers", "expected"][..]),
        (json!({"start": true, "tick": true}), &["tick"]),
        (json!({"workerno": 5, "workers": 5, "epochsdone": 0}), &["workerno", "found 5", "0 to 4"]),
        (json!({"workerno": 0, "workers": 0, "epochsdone": 0}), &["workers", "found 0"]),
        (json!({"start": true, "workers": 1_000_000}), &["workers", "found 1000000", "from 1 to 1000"]),
        (json!({"start": true, "run": "../x"}), &["run", "found \"../x\"", "a-z"]),
        (json!({"stop": true, "run": "never-started"}), &["never-started"]),
        (job("learning_rate", json!(-0.1)), &["job.learning_rate", "found -0.1", "above 0"]),
        (job("dataset", json!("../../etc")), &["../../etc", "expected"]),
        (job("dataset", json!("nowhere")), &["nowhere"]),
    ] {
        let reply = invoke(address, &event.to_string());
        println!("{event}\n  {reply}");
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let refused = reply["refused"].as_str().unwrap_or_else(|| panic!("{event} was not refused: {reply}"));
        for word in words {
            assert!(refused.contains(word), "{event}: nothing of {word:?} in {refused:?}");
        }
    }
    let after = tree(world.root());
    cloud.kill().unwrap();
    cloud.wait().unwrap();
    assert_eq!(changes(&before, &after), [""; 0], "refused events left something behind");
}

#[test]
fn a_full_disk_is_told_and_left_clean_and_the_same_command_continues_when_there_is_space() {
    let Some(disk) = Disk::mount("a full disk", 8) else { return };
    let world = World::new_in(disk.path(), 6);
    let folder = world.root();
    job(folder, json!({}));
    let run = |name: &str| -> (Option<i32>, String) {
        // Ticks that come as often as they may send again what fails, all the time.
        let tick = if name.ends_with('2') { "400ms" } else { "10s" };
        let arguments = [
            "local",
            "--root",
            ".",
            "--job",
            "the-job.json",
            "--workers",
            "2",
            "--give-up",
            "1s",
            "--tick",
            tick,
        ];
        let command =
            Command::new(binary("baton")).args(arguments).args(["--run", name]).current_dir(folder).output();
        let command = command.unwrap();
        (command.status.code(), String::from_utf8_lossy(&command.stderr).into_owned())
    };
    assert_eq!(run("calm").0, Some(0));
    // No space for the cloud's address, for the run's ledger, for its features, for its rounds.
    for kilobytes in [0, 4, 32, 80] {
        world.forget_features();
        let name = format!("full-{kilobytes}");
        let filler = disk.fill_but(kilobytes);
        let (code, said) = run(&name);
        println!("{kilobytes} KB left: {said}");
        assert_eq!(code, Some(STORAGE), "{kilobytes} KB: {said}");
        assert!(said.contains("No space left") && said.contains("free some space"), "{kilobytes} KB: {said}");
        let left: Vec<String> = tree(folder).into_keys().filter(|name| is_temporary(name)).collect();
        assert_eq!(left, [""; 0], "{kilobytes} KB: half-written files are left");
        fs::remove_file(filler).unwrap();
        let (code, said) = run(&name);
        assert_eq!(code, Some(0), "with space again: {said}");
        assert!(
            world.model(&name) == world.model("calm"),
            "{kilobytes} KB: the full disk shows in the model"
        );
    }
}

fn is_temporary(name: &str) -> bool {
    [".tmp", ".part", "local-cloud.json"].iter().any(|end| name.ends_with(end))
}

#[test]
fn a_read_only_folder_is_told() {
    let Some(disk) = Disk::mount("a read-only folder", 16) else { return };
    let world = World::new_in(disk.path(), 6);
    let folder = world.root();
    let given = world.job(json!({"rounds": 1}));
    world.run(&world.local(), "done", 2, &given);
    job(folder, json!({}));
    fs::create_dir(folder.join("photos")).unwrap();
    for class in ["a", "b"] {
        fs::create_dir(folder.join("photos").join(class)).unwrap();
        (0..4).for_each(|n| World::picture(&folder.join(format!("photos/{class}/{n}.bmp"))));
    }
    let mut copy = File::create(folder.join("weights.safetensors")).unwrap();
    copy.write_all(&fs::read(folder.join("weights/baton_small/weights.safetensors")).unwrap()).unwrap();
    drop(copy);
    disk.read_only();
    let words = ["cannot", "Read-only", "mount it for writing, or choose another folder"];
    for arguments in [
        &LOCAL[..],
        &["demo", "--root", "demo"],
        &["fetch", "vgg19", "--root", "."],
        &["weights", "add", "other", "weights.safetensors", "--network", "baton_small", "--root", "."],
        &["export", "--root", ".", "--run", "done", "--out", "exported"],
        &["predict", "--root", ".", "--run", "done", "--dataset", "patterns", "--sheet", "sheet.png"],
    ] {
        baton(folder).refuses(arguments, STORAGE, &words);
    }
    let data_prep = Case { program: "data-prep", folder };
    data_prep.refuses(&["folder", "photos", "--out", "made", "--val-share", "0.3"], STORAGE, &words);
}

/// A shard with another byte than was written is never used for training: it is computed again, or named.
#[test]
fn a_damaged_feature_shard_is_made_good_or_named() {
    let world = World::new(4);
    let folder = world.root();
    job(folder, json!({}));
    let run = |name: &str| {
        let arguments = ["local", "--root", ".", "--job", "the-job.json", "--run", name];
        let output = Command::new(binary("baton")).args(arguments).current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{said}");
        (output.status.code(), said)
    };
    assert_eq!(run("calm").0, Some(0));
    let store = fs::read_dir(folder.join("features")).unwrap().next().unwrap().unwrap().path();
    let whole = tree(&store);
    flip(&store, "train-000002");
    assert_eq!(run("made-good").0, Some(0));
    assert!(world.model("made-good") == world.model("calm"), "the damage shows in the model");
    assert_eq!(changes(&whole, &tree(&store)), [""; 0], "the store is not as it was");

    let shard = flip(&store, "train-000002");
    flip(&folder.join("datasets/patterns"), "train-images");
    let (code, said) = run("lost");
    assert_eq!(code, Some(1), "{said}");
    let name = shard.file_name().unwrap().to_string_lossy();
    for word in [&*name, "is damaged", "expected xxh3", "found xxh3", "train-images-00000.npy", "remove it"] {
        assert!(said.contains(word), "nothing of {word:?}: {said}");
    }
    let left: Vec<String> = tree(&folder.join("runs/lost")).into_keys().collect();
    assert_eq!(left, ["ledger"], "the run's end is on record, and nothing else of it");
    assert_eq!(world.ledger("lost").ending.unwrap().model, None);
}
