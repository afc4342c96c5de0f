//! Tests of `publish`.

use super::*;
use crate::test_folders::{SmallDisk, temporary};
use crate::test_trouble::refuse_each_call;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use twox_hash::XxHash3_128;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_published_is_whole_and_described() {
    let folder = temporary();
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
    let file = publish(folder.path(), "worker-003", "bin", |file| {
        bytes.chunks(1_000).try_for_each(|chunk| file.write_all(chunk))
    })
    .unwrap();
    assert_eq!(file.bytes, 700_000);
    assert_eq!(file.xxh3, format!("{:032x}", XxHash3_128::oneshot(&bytes)));
    assert!(file.name.starts_with("worker-003-") && file.name.ends_with(".bin"), "{}", file.name);
    assert_eq!(fs::read(folder.path().join(&file.name)).unwrap(), bytes);
    assert_eq!(names(folder.path()), [file.name]);
}

#[test]
fn every_attempt_has_a_name_of_its_own() {
    let folder = temporary();
    fs::create_dir(folder.path().join("stage")).unwrap();
    let files = [0, 1]
        .map(|_| publish(folder.path(), "stage/worker-003", "bin", |file| file.write_all(b"x")).unwrap());
    assert_ne!(files[0].name, files[1].name);
    assert!(files.iter().all(|file| folder.path().join(&file.name).is_file()));
}

#[test]
fn a_writer_that_fails_leaves_nothing_and_its_error_comes_out() {
    let folder = temporary();
    let error = publish(folder.path(), "x", "bin", |file| {
        file.write_all(&[0; 1_000_000])?;
        Err(Error::damaged(Path::new("shard"), "this", "that").into())
    })
    .unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(names(folder.path()).is_empty());
    assert!(publish(folder.path(), "../x", "bin", |_| Ok(())).is_err());
    assert!(publish(&folder.path().join("not-there"), "x", "bin", |_| Ok(())).is_err());
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let Some(disk) = SmallDisk::mount() else { return };
    let write = |file: &mut Publication| file.write_all(&vec![1; 1 << 20]);
    let errors = [
        publish(disk.path(), "x", "bin", write).unwrap_err(),
        publish_once(disk.path(), "x", write).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("free some space"), "{error}");
    }
    // Small enough to fail only when the buffer is flushed.
    publish(disk.path(), "x", "bin", |file| file.write_all(&vec![1; 100_000])).unwrap_err();
    assert!(names(disk.path()).is_empty());
    publish(disk.path(), "x", "bin", |file| file.write_all(&[1; 1_000])).unwrap();
}

#[test]
fn a_folder_that_is_read_only_is_named() {
    let folder = temporary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    match publish(folder.path(), "x", "bin", |_| Ok(())) {
        Err(error) => assert!(error.to_string().contains("give this user access"), "{error}"),
        Ok(_) => println!("this user is root: modes do not stop it"),
    }
    let Some(disk) = SmallDisk::mount() else { return };
    disk.make_read_only();
    let error = publish(disk.path(), "x", "bin", |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("mount it for writing"), "{error}");
    assert!(crate::Root::open(disk.path()).unwrap_err().to_string().contains("write to the root"));
}

#[test]
fn of_many_that_publish_once_the_first_wins_and_stays() {
    let folder = temporary();
    for round in 0..20 {
        let (folder, name) = (folder.path(), format!("model-{round}.json"));
        let once = |n: u8| publish_once(folder, &name, |file| file.write_all(&[n; 1_000])).unwrap();
        let once = &once;
        let results: Vec<(u8, Once)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || (n, once(n)))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<_> = results.iter().filter(|(_, once)| *once != Once::AlreadyThere).collect();
        let [(winner, Once::Published(file))] = winners[..] else { panic!("{results:?}") };
        assert_eq!(fs::read(folder.join(&file.name)).unwrap(), vec![*winner; 1_000]);
    }
    assert_eq!(names(folder.path()).len(), 20);
}

#[test]
fn what_everybody_publishes_the_same_is_checked_when_it_is_there() {
    let folder = temporary();
    let same = |text: &'static [u8]| publish_same(folder.path(), "head", |file| file.write_all(text));
    let file = same(b"weights").unwrap();
    assert_eq!(same(b"weights").unwrap(), file);
    for other in [&b"weightS"[..], b"more weights"] {
        let error = same(other).unwrap_err();
        assert!(matches!(&error, Error::Damaged { file, .. } if file.ends_with("head")), "{error}");
    }
    assert_eq!(names(folder.path()), ["head"]);
}

#[test]
fn a_damaged_file_gives_way_to_what_was_published_and_to_nothing_else() {
    let folder = temporary();
    let file = publish(folder.path(), "train-000001", "npy", |file| file.write_all(b"features")).unwrap();
    let path = folder.path().join(&file.name);
    fs::write(&path, b"feXtures").unwrap();
    let error = restore(folder.path(), &file, |out| out.write_all(b"others!!")).unwrap_err();
    assert!(error.to_string().contains(&file.name) && error.to_string().contains("made again"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"feXtures");
    restore(folder.path(), &file, |out| out.write_all(b"features")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"features");
    assert_eq!(names(folder.path()), [file.name]);
}

#[test]
fn a_publication_of_which_one_call_is_refused_is_done_or_done_again() {
    let folder = temporary();
    let deeper = folder.path().join("a/b");
    let calls = refuse_each_call(|| {
        crate::create_folder(&deeper)?;
        let file = publish_same(&deeper, "head", |file| file.write_all(b"weights"))?;
        crate::remove_folder(folder.path().join("a").as_path())?;
        Ok(file)
    });
    assert!(calls > 12, "{calls} calls");
    refuse_each_call(|| publish_same(folder.path(), "head", |file| file.write_all(b"weights")));
    let published: Vec<_> = names(folder.path()).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(published, ["head"]);
}
