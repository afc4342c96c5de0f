//! The commands of `baton` that need no cloud, as processes, on the result of `baton demo`.

use data_prep::generate::ClassSet;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{baton, binary, stdout};

fn json_lines(arguments: &[&str]) -> Vec<Value> {
    stdout(arguments).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The exit code and the output of a command that fails.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = baton(arguments);
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An uncompressed BMP of 24 bits: rows from the bottom, blue first.
fn bmp(side: u32, rgb: &[u8]) -> Vec<u8> {
    let bytes = 54 + side * side * 3; // a side that is a multiple of 4 needs no padding
    let mut file = b"BM".to_vec();
    for word in [bytes, 0, 54, 40, side, side, 1 | 24 << 16, 0, side * side * 3, 2835, 2835, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for row in rgb.chunks_exact(side as usize * 3).rev() {
        file.extend(row.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
    }
    file
}

/// Images that the demo has not generated, in a folder for each class.
fn photos(folder: &Path, per_class: u64) {
    for (class, name) in ClassSet::Novel.names().into_iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..per_class {
            let image = ClassSet::Novel.draw(class, number, 48, 77);
            fs::write(folder.join(name).join(format!("{number}.bmp")), bmp(48, &image)).unwrap();
        }
    }
}

#[test]
fn what_the_demo_made_predicts_scores_and_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let root = path("efs");
    let demo = json_lines(&["demo", "--root", &root, "--json"]).pop().expect("the demo's result");
    let share = |key: &str| demo[key].as_f64().expect(key);
    println!("pretrained {}, untrained {}, raw {}", share("top1"), share("untrained"), share("raw_pixels"));
    assert!(share("top1") > 0.85 && share("untrained") < 0.5 && share("raw_pixels") < 0.3, "{demo}");

    let on_run = ["--root", &root, "--run", "demo"];
    let with = |command: &'static str, more: &[&'static str]| [&[command][..], &on_run, more].concat();
    let evaluated = json_lines(&with("evaluate", &["--json"])).remove(0);
    assert_eq!(evaluated["score"]["top1"], demo["top1"]);
    assert!(stdout(&with("evaluate", &[])).contains("hourglass"));

    let answers = json_lines(&with("predict", &["--dataset", "patterns", "--json"]));
    let right = answers.iter().filter(|answer| answer["top"][0]["class"] == answer["true"]).count();
    assert_eq!(right as f64 / answers.len() as f64, share("top1"));

    photos(&folder.path().join("photos"), 3);
    let (photos, sheet) = (path("photos"), path("sheet.png"));
    let text = stdout(&[&["predict"][..], &on_run, &[&photos, "--sheet", &sheet]].concat());
    let counted = text.lines().last().and_then(|line| line.split(' ').next()?.parse::<u32>().ok());
    assert!(counted.is_some_and(|right| right >= 24) && text.contains(" of 30 right"), "{text}");
    assert_eq!(&fs::read(&sheet).unwrap()[..8], b"\x89PNG\r\n\x1a\n");

    let exported = path("exported");
    stdout(&[&["export"][..], &on_run, &["--out", &exported]].concat());
    let labels: Vec<String> =
        serde_json::from_slice(&fs::read(Path::new(&exported).join("labels.json")).unwrap()).unwrap();
    assert_eq!(labels, ClassSet::Novel.names());

    // Weights that are not those of the run are never used with its head.
    let weights = Path::new(&root).join("weights/baton_small/weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let (code, words) = failure(&with("predict", &["--dataset", "patterns"]));
    assert!(code == 3 && words.contains("weights.safetensors"), "{code} {words}");
}

#[test]
fn a_command_whose_reader_has_gone_ends_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(binary("baton"));
    command.args(["features", "list", "--root"]).arg(folder.path()).stdout(writer);
    let output = command.output().expect("baton runs");
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn what_cannot_be_done_is_said_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let text = folder.path().join("weights.pth");
    fs::write(&text, "no weights at all").unwrap();
    let text = text.display().to_string();
    for (arguments, code, words) in [
        (&["predict", "--root", &root, "--run", "x"][..], 2, "IMAGE"),
        (&["predict", "--root", &root, "--run", "../x", "a.png"], 3, "a-z"),
        (&["predict", "--root", &root, "--run", "x", "a.png"], 3, "run x was never started here"),
        (&["evaluate", "--root", "/no/such/folder", "--run", "x"], 3, "/no/such/folder"),
        (&["weights", "add", "vgg19", &text, "--root", &root], 3, "no weights file"),
        (&["weights", "add", "vgg99", &text, "--root", &root], 3, "vgg99"),
        (&["weights", "add", "vgg19", &text, "--root", &root, "--mean", "1,2"], 2, "--mean"),
        (&["fetch", "vgg99", "--root", &root], 3, "vgg99"),
        (&["fetch", "vgg19", "--root", &root, "--mirror", "http://127.0.0.1:1"], 4, "vgg19-dcbb9e9d.pth"),
    ] {
        let (found, said) = failure(arguments);
        assert!(found == code && said.contains(words), "{arguments:?} gave {found} and said {said:?}");
    }
    assert!(!folder.path().join("weights").join("vgg19").join("weights.json").exists());
}
