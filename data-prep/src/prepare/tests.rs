//! Whole jobs on small sources: always the same bytes, continued after interruptions, complete or missing.

use super::*;
use crate::Pictures;
use crate::samples::{class_folders, encoded, picture, zip};
use image::ImageFormat;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tempfile::TempDir;

fn folder_source(root: &Path) -> Source {
    Source::Folder { path: root.join("src"), pictures: Pictures::new(16) }
}

/// Nine shards of training images and a few for validation.
fn options(root: &Path) -> Options {
    let mut options = Options::new(root.join("out"));
    options.deal.val_share = Some(0.2);
    options.shard_bytes = 16 * 16 * 4 * 8;
    options
}

fn made(root: &Path, options: &Options) -> Result<Summary> {
    prepare(&folder_source(root), options, &|_| {})
}

fn source(per_class: usize) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("src"), per_class);
    root
}

/// Every file of a folder with its content.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_becomes_a_dataset() {
    let root = source(30);
    let summary = made(root.path(), &options(root.path())).unwrap();
    assert_eq!(names(root.path()), ["out", "src"]);
    let dataset = Dataset::open(root.path().join("out")).unwrap();
    assert_eq!(
        (dataset.classes(), dataset.digest()),
        (&["ants", "bees", "cats"].map(String::from)[..], summary.digest)
    );
    let (train, val) = (dataset.split("train").unwrap(), dataset.split("val").unwrap());
    assert_eq!((train.per_class(), val.per_class()), (&[24; 3][..], &[6; 3][..]));
    // Every image of the source is there once, with its label: the pictures of each class have their own
    // height.
    let mut images = Vec::new();
    let mut widths = vec![vec![]; 3];
    for split in [train, val] {
        split.read_images(0..split.len(), &mut images).unwrap();
        for (image, label) in images.iter().zip(split.labels().unwrap()) {
            assert_eq!(image.height, 16);
            widths[label as usize].push(image.width);
        }
    }
    for (class, mut widths) in widths.into_iter().enumerate() {
        widths.sort();
        let short = 20 + class;
        let expected: Vec<usize> = (0..30).map(|i| ((30 + i) * 16 * 2 + short) / (2 * short)).collect();
        assert_eq!(widths, expected);
    }
    assert!(summary.manifest.splits["train"].shards.len() >= 9);
}

#[test]
fn threads_and_repetition_change_no_byte() {
    let root = source(20);
    let mut first = None;
    for (threads, out) in [(1, "one"), (2, "two"), (7, "seven")] {
        let mut options = options(root.path());
        (options.threads, options.out) = (Some(threads), root.path().join(out).join("same-name"));
        made(root.path(), &options).unwrap();
        let contents = contents(&options.out);
        assert_eq!(*first.get_or_insert_with(|| contents.clone()), contents, "{threads} threads");
    }
}

#[test]
fn an_interrupted_job_continues_and_makes_the_same_bytes() {
    let root = source(30);
    let mut reference = options(root.path());
    reference.out = root.path().join("reference").join("out");
    made(root.path(), &reference).unwrap();

    let options = options(root.path());
    let partial = root.path().join(".out.partial");
    for stop_after in [10, 25, 26, 50] {
        let done = AtomicUsize::new(0);
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            prepare(&folder_source(root.path()), &options, &|progress| {
                if let Progress::Done { images } = progress {
                    assert!(done.fetch_add(images, Ordering::Relaxed) + images < stop_after, "interrupted");
                }
            })
        }));
        assert!(stopped.is_err() && !options.out.exists());
    }
    let finished = |name: &String| name.ends_with(".finished");
    assert!(names(&partial).iter().filter(|name| finished(name)).count() >= 5);
    // A finished shard whose file was damaged later is made again; the others stay as they are.
    let (damaged, kept) = (partial.join("train-images-00001.npy"), partial.join("train-images-00002.npy"));
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let kept_since: SystemTime = modified(&kept);
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, bytes).unwrap();

    made(root.path(), &options).unwrap();
    assert_eq!(contents(&options.out), contents(&reference.out));
    assert_eq!(modified(&options.out.join("train-images-00002.npy")), kept_since);
    assert_eq!(names(root.path()), ["out", "reference", "src"]);
}

#[test]
fn parts_of_another_recipe_are_not_used() {
    let root = source(10);
    let mut options = options(root.path());
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        prepare(&folder_source(root.path()), &options, &|p| assert!(!matches!(p, Progress::Done { .. })))
    }));
    assert!(stopped.is_err());
    fs::write(root.path().join(".out.partial/train-images-00099.npy"), b"left over").unwrap();
    options.deal.seed = 2;
    made(root.path(), &options).unwrap();
    let other = contents(&options.out);
    assert!(!other.contains_key("train-images-00099.npy"));
    options.replace = true;
    options.deal.seed = 1;
    made(root.path(), &options).unwrap();
    assert_ne!(contents(&options.out), other);
}

#[test]
fn the_same_command_again_verifies_and_another_one_is_refused() {
    let root = source(10);
    let mut options = options(root.path());
    assert!(!made(root.path(), &options).unwrap().was_there);
    assert!(made(root.path(), &options).unwrap().was_there);
    options.deal.seed = 9;
    let error = made(root.path(), &options).unwrap_err().to_string();
    assert!(error.contains("other options") && error.contains("--replace"), "{error}");
    options.replace = true;
    assert!(!made(root.path(), &options).unwrap().was_there);
    options.replace = false;

    let shard = options.out.join("val-images-00000.npy");
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[1..]).unwrap();
    assert!(made(root.path(), &options).unwrap_err().to_string().contains("val-images-00000.npy"));
    options.out = root.path().join("src");
    assert!(made(root.path(), &options).unwrap_err().to_string().contains("dataset.json"));
    options.replace = true;
    assert!(made(root.path(), &options).unwrap_err().to_string().contains("keeps it"), "the source itself");
    for out in ["..", "Upper", ".hidden", "a b"] {
        options.out = root.path().join(out);
        assert!(made(root.path(), &options).unwrap_err().to_string().contains("--out"), "{out}");
    }
}

#[test]
fn two_jobs_do_not_write_one_folder() {
    let root = source(10);
    let options = options(root.path());
    let refused = AtomicUsize::new(0);
    prepare(&folder_source(root.path()), &options, &|progress| {
        if matches!(progress, Progress::Done { .. }) && refused.load(Ordering::Relaxed) == 0 {
            let error = made(root.path(), &options).unwrap_err();
            assert!(matches!(error, Error::Busy { .. }), "{error}");
            refused.fetch_add(1, Ordering::Relaxed);
        }
    })
    .unwrap();
    assert!(refused.into_inner() > 0);
}

#[test]
fn unreadable_images_are_named_and_counted() {
    let root = source(50);
    let src = root.path().join("src");
    fs::write(src.join("bees/notes.jpg"), "These are words").unwrap();
    let summary = made(root.path(), &options(root.path())).unwrap();
    let [unreadable] = &summary.manifest.unreadable[..] else { panic!("one") };
    assert_eq!(unreadable.file, "bees/notes.jpg");
    assert!(unreadable.reason.contains("but a text"), "{}", unreadable.reason);
    let images: usize = summary.manifest.splits.values().map(|split| split.images).sum();
    assert_eq!(images, 150);

    let whole = encoded(picture(1, 40, 40), ImageFormat::Jpeg);
    fs::write(src.join("ants/cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    let mut options = options(root.path());
    options.out = root.path().join("second");
    let error = made(root.path(), &options).unwrap_err();
    assert!(matches!(error, Error::TooManyUnreadable { count: 2, total: 152, .. }), "{error}");
    assert!(error.is_bad_input());
    assert_eq!(names(root.path()), ["out", "src"], "nothing half-written");
    options.max_unreadable = 0.02;
    assert_eq!(made(root.path(), &options).unwrap().manifest.unreadable.len(), 2);
}

#[test]
fn folders_that_are_wrong_say_how_and_leave_nothing() {
    let root = source(3);
    let src = root.path().join("src");
    let refused = |options: &Options| {
        let error = made(root.path(), options).unwrap_err().to_string();
        assert_eq!(names(root.path()), ["src"], "nothing half-written");
        error
    };
    let options = options(root.path());
    fs::create_dir(src.join("empty-class")).unwrap();
    let error = refused(&options);
    assert!(error.contains("src/empty-class") && error.contains("an empty folder"), "{error}");
    fs::write(src.join("empty-class/Thumbs.db"), b"").unwrap();
    fs::write(src.join("empty-class/.hidden.png"), b"").unwrap();
    assert!(refused(&options).contains("an empty folder"));
    fs::remove_dir_all(src.join("empty-class")).unwrap();
    let none = Options { deal: Deal::default(), ..options.clone() };
    assert!(refused(&none).contains("--val-share 0.2"));
    let three = Options { classes: Some(vec!["a".into(), "b".into()]), ..options.clone() };
    assert!(refused(&three).contains("3 names"));
    fs::remove_dir_all(&src).unwrap();
    fs::create_dir(&src).unwrap();
    fs::write(src.join("image.png"), b"").unwrap();
    assert!(refused(&options).contains("one sub-folder for each class"));
}

#[test]
fn a_given_split_of_folders_is_kept() {
    let root = tempfile::tempdir().unwrap();
    for (side, per_class) in [("train", 4), ("val", 2), ("test", 1)] {
        class_folders(&root.path().join("src").join(side), per_class);
    }
    fs::remove_dir_all(root.path().join("src/val/cats")).unwrap();
    let mut options = options(root.path());
    options.deal.val_share = None;
    let splits = made(root.path(), &options).unwrap().manifest.splits;
    let per_class: Vec<(&str, &[usize])> =
        splits.iter().map(|(name, s)| (&name[..], &s.per_class[..])).collect();
    assert_eq!(per_class, [("test", &[1, 1, 1][..]), ("train", &[4, 4, 4]), ("val", &[2, 2, 0])]);

    fs::create_dir_all(root.path().join("src/train/dogs")).unwrap();
    assert!(made(root.path(), &options).unwrap_err().to_string().contains("train/dogs"));
    fs::remove_dir_all(root.path().join("src/train/dogs")).unwrap();
    class_folders(&root.path().join("src/val"), 1);
    fs::rename(root.path().join("src/val/cats"), root.path().join("src/val/dogs")).unwrap();
    let error = made(root.path(), &options).unwrap_err().to_string();
    assert!(error.contains("class dogs"), "{error}");
}

#[test]
fn images_keep_the_names_of_their_files() {
    let root = source(10);
    made(root.path(), &options(root.path())).unwrap();
    let dataset = Dataset::open(root.path().join("out")).unwrap();
    let mut names = Vec::new();
    for split in ["train", "val"].map(|name| dataset.split(name).unwrap()) {
        let (labels, mut images) = (split.labels().unwrap(), Vec::new());
        split.read_images(0..split.len(), &mut images).unwrap();
        for (i, image) in images.iter().enumerate() {
            let name = split.name(i).unwrap().unwrap();
            // The file of that name is the image.
            let content = fs::read(root.path().join("src").join(name)).unwrap();
            assert_eq!(crate::decode(&content, &crate::Reading::new(16)).unwrap(), *image, "{name}");
            assert!(name.starts_with(["ants/", "bees/", "cats/"][labels[i] as usize]), "{name}");
            names.push(name.to_owned());
        }
    }
    names.sort();
    assert_eq!((names.len(), &names[0][..], &names[29][..]), (30, "ants/000.png", "cats/009.png"));
}

#[test]
fn a_zip_of_a_folder_and_its_labels_in_a_csv_make_the_same_data_set() {
    let root = source(6);
    let digest = made(root.path(), &options(root.path())).unwrap().digest;
    let listing = crate::list_folder(&root.path().join("src"), crate::Links::Inside).unwrap();
    let contents: Vec<(String, Vec<u8>)> = listing
        .files
        .iter()
        .map(|file| (file.path.clone(), fs::read(root.path().join("src").join(&file.path)).unwrap()))
        .collect();
    let members: Vec<(&str, &[u8])> =
        contents.iter().map(|(path, content)| (&path[..], &content[..])).collect();
    fs::write(root.path().join("src.zip"), zip(&members)).unwrap();
    let rows: Vec<String> = contents.iter().map(|(path, _)| format!("{path},{}\n", &path[..4])).collect();
    fs::write(root.path().join("labels.csv"), rows.concat()).unwrap();
    let mut options = options(root.path());
    for (number, (path, labels)) in
        [("src.zip", None), ("src", Some("labels.csv")), ("src.zip", Some("labels.csv"))]
            .into_iter()
            .enumerate()
    {
        options.out = root.path().join(format!("again-{number}"));
        let labels = labels.map(|name| root.path().join(name));
        let source = Source::Folder {
            path: root.path().join(path),
            pictures: Pictures { labels, ..Pictures::new(16) },
        };
        assert_eq!(prepare(&source, &options, &|_| {}).unwrap().digest, digest, "{path} {number}");
    }
}

#[test]
fn files_that_are_no_images_are_told_and_cost_no_share() {
    let root = source(10);
    let src = root.path().join("src");
    for (n, name) in ["ants/readme.txt", "ants/labels.xml", "bees/notes.md"].iter().enumerate() {
        fs::write(src.join(name), format!("words {n}")).unwrap();
    }
    let mut said = std::sync::Mutex::new(Vec::new());
    let summary = prepare(&folder_source(root.path()), &options(root.path()), &|progress| {
        if let Progress::Note(note) = progress {
            said.lock().unwrap().push(note.to_owned());
        }
    })
    .unwrap();
    assert_eq!(summary.manifest.unreadable.len(), 3);
    assert!(
        summary.notes[0].starts_with("left out as no images: 3 files, the first: "),
        "{:?}",
        summary.notes
    );
    assert_eq!(*said.get_mut().unwrap(), summary.notes);
    let text = fs::read_to_string(root.path().join("out").join(MANIFEST)).unwrap();
    assert!(
        text.contains("bees/notes.md") && !text.contains("words"),
        "a file's content is repeated: {text}"
    );
}

#[test]
fn a_class_whose_images_are_all_unreadable_is_refused() {
    let root = source(10);
    fs::create_dir(root.path().join("src/dogs")).unwrap();
    for i in 0..2 {
        fs::write(root.path().join(format!("src/dogs/{i}.jpg")), "words").unwrap();
    }
    let mut options = options(root.path());
    options.max_unreadable = 0.5;
    let error = made(root.path(), &options).unwrap_err();
    assert!(error.is_bad_input() && !options.out.exists());
    let words = error.to_string();
    assert!(
        words.contains("images of class dogs to train on that can be read, found none; the first, dogs/"),
        "{words}"
    );
}

#[test]
fn one_class_is_refused_and_classes_that_are_not_trained_are_told() {
    let root = source(3);
    fs::remove_dir_all(root.path().join("src/bees")).unwrap();
    fs::remove_dir_all(root.path().join("src/cats")).unwrap();
    let error = made(root.path(), &options(root.path())).unwrap_err();
    assert!(
        error.is_bad_input() && error.to_string().contains("two classes or more, found one, ants"),
        "{error}"
    );

    let root = source(6);
    let mut options = options(root.path());
    options.deal.limit_train = Some(1);
    let notes = made(root.path(), &options).unwrap().notes;
    assert!(notes[0].starts_with("classes without an image to train on: "), "{notes:?}");
}
