//! Downloads from a server in this process that loses connections, ignores ranges or sends something else.

use super::*;
use crate::fetch::server::{Answer, serve};

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn download(folder: &Path, base: String, content: &[u8]) -> Download {
    let url = format!("{base}/file.bin");
    let sha256 = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let (patience, waits) = (Duration::from_millis(400), vec![Duration::ZERO; 3]);
    Download { url, path: folder.join("file.bin"), sha256, most: 300_000, patience, waits }
}

#[test]
fn a_lost_connection_is_taken_up_where_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let (base, asked) = serve(content(), vec![Answer::Cut(100_000), Answer::Cut(1), Answer::Right]);
    let download = download(folder.path(), base, &content());
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [0, 100_000, 100_001]);
    assert!(!download.part().exists());
}

#[test]
fn a_connection_that_stands_is_taken_up_anew_as_long_as_something_comes() {
    let folder = tempfile::tempdir().unwrap();
    let stalls = [Answer::Stall(1_000); 6];
    let (base, asked) = serve(content(), stalls.into_iter().chain([Answer::Right]).collect());
    let download = download(folder.path(), base, &content());
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000]);
    // Where nothing comes any more it ends.
    let (base, _) = serve(content(), vec![Answer::Stall(0); 8]);
    let error = self::download(&folder.path().join("."), base, &content());
    let error = Download { path: folder.path().join("other.bin"), ..error }.run(&|_| {}).unwrap_err();
    assert!(matches!(error, Error::Network(_)), "{error}");
}

#[test]
fn what_is_longer_than_the_file_that_is_meant_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let longer = [content(), vec![7; 1_000_000]].concat();
    let (base, _) = serve(longer, vec![Answer::Right]);
    let download = download(folder.path(), base, &content());
    let error = download.run(&|_| {}).unwrap_err().to_string();
    assert!(error.contains("1300000 bytes or more, expected 300000"), "{error}");
    assert!(!download.path.exists());
}

#[test]
fn another_process_continues_what_one_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let (base, asked) = serve(content(), vec![Answer::Right]);
    let download = download(folder.path(), base, &content());
    fs::write(download.part(), &content()[..200_000]).unwrap();
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [200_000]);
}

#[test]
fn a_part_that_has_everything_is_only_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = serve(content(), vec![Answer::Right]);
    let download = download(folder.path(), base, &content());
    fs::write(download.part(), content()).unwrap();
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
}

#[test]
fn a_server_without_ranges_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = serve(content(), vec![Answer::Cut(1_000), Answer::Whole]);
    let download = download(folder.path(), base, &content());
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
}

#[test]
fn another_file_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = serve(content(), vec![Answer::Right]);
    let download = download(folder.path(), base, b"something else");
    let error = download.run(&|_| {}).unwrap_err();
    assert!(matches!(&error, Error::Checksum { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_not_there_is_not_asked_for_again_but_a_server_in_trouble_is() {
    let folder = tempfile::tempdir().unwrap();
    let (base, asked) = serve(content(), vec![Answer::Status(404)]);
    let error = download(folder.path(), base, &content()).run(&|_| {}).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    let (base, asked) = serve(content(), vec![Answer::Status(503), Answer::Right]);
    download(folder.path(), base, &content()).run(&|_| {}).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_file_that_is_there_is_verified_without_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let download = download(folder.path(), "http://127.0.0.1:1".into(), &content());
    fs::write(&download.path, content()).unwrap();
    download.run(&|_| {}).unwrap();
    fs::write(&download.path, b"damaged").unwrap();
    assert!(matches!(download.run(&|_| {}), Err(Error::Checksum { .. })));
    assert!(download.path.exists(), "what a user has put there is not removed");
}

#[test]
fn no_server_is_an_error_after_the_last_try() {
    let folder = tempfile::tempdir().unwrap();
    let error = download(folder.path(), "http://127.0.0.1:1".into(), b"").run(&|_| {}).unwrap_err();
    assert!(matches!(&error, Error::Network(why) if why.contains("127.0.0.1:1")), "{error}");
}
