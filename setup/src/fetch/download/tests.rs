//! Downloads from a server in this process that loses connections, ignores ranges or sends something else.

use super::*;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Answer {
    /// What was asked for.
    Right,
    /// What was asked for, cut off after so many bytes.
    Cut(usize),
    /// Everything, whatever range was asked for.
    Whole,
    /// This status.
    Status(u16),
}

/// Serves `content` with one answer for each request, and gives the ranges that were asked for.
fn serve(content: Vec<u8>, answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<u64>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let from = read_range(&stream);
            log.lock().unwrap().push(from);
            respond(stream, &content, from as usize, answer).unwrap();
        }
    });
    (url, asked)
}

fn read_range(stream: &TcpStream) -> u64 {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let ranges: Vec<u64> = lines
        .filter_map(|line| {
            let line = line.to_ascii_lowercase();
            line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
        })
        .collect();
    ranges.first().copied().unwrap_or(0)
}

fn respond(mut stream: TcpStream, content: &[u8], from: usize, answer: Answer) -> io::Result<()> {
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    let (status, from, length) = match answer {
        Answer::Status(status) => return stream.write_all(head(status, 0).as_bytes()),
        Answer::Right | Answer::Cut(_) if from > 0 && from >= content.len() => {
            return stream.write_all(head(416, 0).as_bytes());
        }
        Answer::Right => (if from > 0 { 206 } else { 200 }, from, content.len() - from),
        Answer::Cut(length) => (if from > 0 { 206 } else { 200 }, from, length),
        Answer::Whole => (200, 0, content.len()),
    };
    stream.write_all(head(status, content.len() - from).as_bytes())?;
    stream.write_all(&content[from..from + length])
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn download(folder: &Path, url: String, content: &[u8]) -> Download {
    let sha256 = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    Download { url, path: folder.join("file.bin"), sha256, waits: vec![Duration::ZERO; 3] }
}

#[test]
fn a_lost_connection_is_taken_up_where_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let (url, asked) = serve(content(), vec![Answer::Cut(100_000), Answer::Cut(1), Answer::Right]);
    let download = download(folder.path(), url, &content());
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [0, 100_000, 100_001]);
    assert!(!download.part().exists());
}

#[test]
fn another_process_continues_what_one_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let (url, asked) = serve(content(), vec![Answer::Right]);
    let download = download(folder.path(), url, &content());
    fs::write(download.part(), &content()[..200_000]).unwrap();
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [200_000]);
}

#[test]
fn a_part_that_has_everything_is_only_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = serve(content(), vec![Answer::Right]);
    let download = download(folder.path(), url, &content());
    fs::write(download.part(), content()).unwrap();
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
}

#[test]
fn a_server_without_ranges_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = serve(content(), vec![Answer::Cut(1_000), Answer::Whole]);
    let download = download(folder.path(), url, &content());
    download.run(&|_| {}).unwrap();
    assert_eq!(fs::read(&download.path).unwrap(), content());
}

#[test]
fn another_file_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = serve(content(), vec![Answer::Right]);
    let download = download(folder.path(), url, b"something else");
    let error = download.run(&|_| {}).unwrap_err();
    assert!(matches!(&error, Error::Checksum { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_not_there_is_not_asked_for_again_but_a_server_in_trouble_is() {
    let folder = tempfile::tempdir().unwrap();
    let (url, asked) = serve(content(), vec![Answer::Status(404)]);
    let error = download(folder.path(), url, &content()).run(&|_| {}).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    let (url, asked) = serve(content(), vec![Answer::Status(503), Answer::Right]);
    download(folder.path(), url, &content()).run(&|_| {}).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_file_that_is_there_is_verified_without_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let download = download(folder.path(), "http://127.0.0.1:1/file.bin".into(), &content());
    fs::write(&download.path, content()).unwrap();
    download.run(&|_| {}).unwrap();
    fs::write(&download.path, b"damaged").unwrap();
    assert!(matches!(download.run(&|_| {}), Err(Error::Checksum { .. })));
    assert!(download.path.exists(), "what a user has put there is not removed");
}

#[test]
fn no_server_is_an_error_after_the_last_try() {
    let folder = tempfile::tempdir().unwrap();
    let error = download(folder.path(), "http://127.0.0.1:1/file.bin".into(), b"").run(&|_| {}).unwrap_err();
    assert!(matches!(&error, Error::Network(why) if why.contains("127.0.0.1:1")), "{error}");
}
