//! A web server in the test's own process, with answers that the test chooses.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The server's answer to one request.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// The requested bytes.
    Right,
    /// The requested bytes, cut off after this many.
    Cut(usize),
    /// So many bytes of what was asked for, and then nothing.
    Stall(usize),
    /// Everything, whatever range was requested.
    Whole,
    /// This status.
    Status(u16),
}

/// Serves `content` with one answer for each request, and returns its URL and the start of each requested
/// range.
pub(super) fn serve(content: Vec<u8>, answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<u64>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
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
    (base, asked)
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
        Answer::Right | Answer::Cut(_) | Answer::Stall(_) if from > 0 && from >= content.len() => {
            return stream.write_all(head(416, 0).as_bytes());
        }
        Answer::Right => (if from > 0 { 206 } else { 200 }, from, content.len() - from),
        Answer::Cut(length) | Answer::Stall(length) => (if from > 0 { 206 } else { 200 }, from, length),
        Answer::Whole => (200, 0, content.len()),
    };
    stream.write_all(head(status, content.len() - from).as_bytes())?;
    stream.write_all(&content[from..from + length])?;
    if let Answer::Stall(_) = answer {
        // The connection stays open, and nothing comes.
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs(5));
            drop(stream);
        });
    }
    Ok(())
}
