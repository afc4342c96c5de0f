//! Fetching from a server in this process: the results, and the messages when it fails.

use super::server::{Answer, serve};
use super::*;

fn fetch(root: &Path, mirror: &str) -> Fetch {
    Fetch { names: Vec::new(), root: root.into(), mirror: Some(mirror.into()), unpinned: false, json: false }
}

/// The small network as if it were torchvision's.
fn small() -> Source {
    Source {
        name: "baton_small",
        base: "https://nowhere.invalid/models",
        file: "baton_small-3d8e4b6c.safetensors",
        sha256: "3d8e4b6c04ca6eb8837b46ce861d42ad8c397578fafe26a4ecd66e9c35c15513",
        bytes: 876_848,
        kind: Kind::Weights,
    }
}

fn weights() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/baton_small.safetensors")).unwrap()
}

#[test]
fn weights_are_downloaded_verified_and_installed_and_a_second_time_needs_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    let (mirror, _) = serve(weights(), vec![Answer::Right]);
    fetch(folder.path(), &mirror).fetch(&root, &small()).unwrap();
    let installed = transfer::weights::open_installed(&root.weights("baton_small").unwrap()).unwrap();
    assert_eq!((installed.network.as_str(), installed.reaches.as_str()), ("baton_small", "logits"));
    fetch(folder.path(), "http://127.0.0.1:1").fetch(&root, &small()).unwrap();
}

#[test]
fn without_a_network_it_is_said_what_to_fetch_and_where_to_put_it_and_doing_so_helps() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    let offline = fetch(folder.path(), "http://127.0.0.1:1");
    let failure = offline.fetch(&root, &small()).unwrap_err();
    let path = folder.path().join("downloads/baton_small-3d8e4b6c.safetensors");
    for needed in
        ["https://nowhere.invalid/models/baton_small-3d8e4b6c.safetensors", &path.display().to_string()]
    {
        assert!(failure.message.contains(needed), "{failure}");
    }
    assert_eq!(failure.code, 4);
    std::fs::write(&path, weights()).unwrap();
    offline.fetch(&root, &small()).unwrap();
}

#[test]
fn another_file_under_the_right_name_installs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    let (mirror, _) = serve(b"<html>please log in</html>".to_vec(), vec![Answer::Right]);
    let failure = fetch(folder.path(), &mirror).fetch(&root, &small()).unwrap_err();
    assert!(failure.message.contains("expected 3d8e4b6c"), "{failure}");
    assert_eq!(failure.code, 3);
    assert!(!folder.path().join("weights").exists());
}

#[test]
fn a_forgery_that_has_the_first_bits_of_the_checksum_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    // Whoever finds another file with these 32 bits has not found one with all 256.
    let pinned = Source {
        sha256: concat!("3d8e4b6c", "00000000000000000000000000000000000000000000000000000000"),
        ..small()
    };
    let (mirror, _) = serve(weights(), vec![Answer::Right]);
    let failure = fetch(folder.path(), &mirror).fetch(&root, &pinned).unwrap_err();
    assert!(failure.code == 3 && failure.message.contains("has SHA-256 3d8e4b6c"), "{failure}");
    // Where only so much is known nothing is taken unasked.
    let short = Source { sha256: "3d8e4b6c", ..small() };
    let (mirror, asked) = serve(weights(), vec![Answer::Right]);
    let failure = fetch(folder.path(), &mirror).fetch(&root, &short).unwrap_err();
    assert!(failure.message.contains("--unpinned") && asked.lock().unwrap().is_empty(), "{failure}");
    Fetch { unpinned: true, ..fetch(folder.path(), &mirror) }.fetch(&root, &short).unwrap();
}

#[test]
fn an_unknown_name_is_refused_with_those_that_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut unknown = fetch(folder.path(), "http://127.0.0.1:1");
    unknown.names = vec!["cifar11".into()];
    let failure = unknown.run().unwrap_err();
    assert!(failure.message.contains("cifar11") && failure.message.contains("cifar10,"), "{failure}");
}
