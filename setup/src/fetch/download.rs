//! One download: it continues where it was interrupted, and the file gets its name only when it is right.

use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use ureq::Agent;
use ureq::http::StatusCode;

/// A file to download.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    /// Its URL.
    pub(crate) url: String,
    /// The path of the file here.
    pub(crate) path: PathBuf,
    /// How its SHA-256 begins, in hex: whole, or as much as is known.
    pub(crate) sha256: String,
    /// The most bytes that it has: a longer one is another file.
    pub(crate) most: u64,
    /// How long a part of it may take, before the rest is asked for again.
    pub(crate) patience: Duration,
    /// Waits before each further try after the connection was lost and nothing new had come.
    pub(crate) waits: Vec<Duration>,
}

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server was not reached, or did not deliver, in all tries.
    #[error("{0}")]
    Network(String),
    /// The downloaded file is not the expected one.
    #[error("{} has SHA-256 {found}, expected {expected}", .path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The expected beginning of its checksum.
        expected: String,
        /// The checksum that it has.
        found: String,
    },
    /// The server has more bytes than the file that is meant.
    #[error("{url} has {found} bytes or more, expected {expected} at the most")]
    Length {
        /// Where it lies.
        url: String,
        /// The most bytes that it may have.
        expected: u64,
        /// The bytes that the server has.
        found: u64,
    },
    /// The file could not be written or read.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// How far a download is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes downloaded.
    pub(crate) done: u64,
    /// Bytes in all, if the server says.
    pub(crate) of: Option<u64>,
}

/// The result of one try to download the rest.
enum Try {
    Complete,
    /// The connection was lost, or the server has trouble: worth trying again.
    Lost(String),
}

impl Download {
    /// Downloads the file, or finds it there; either way its checksum is verified.
    ///
    /// An interrupted download is kept as `.part` and is continued. A file with a wrong checksum is removed
    /// if it was downloaded, and kept if it was put there by hand.
    ///
    /// # Errors
    /// Any [`Error`].
    pub(crate) fn run(&self, progress: &dyn Fn(Progress)) -> Result<(), Error> {
        if self.path.exists() {
            return self.verify(&self.path);
        }
        let part = self.part();
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_recv_body(Some(self.patience))
            .build()
            .into();
        let length = || fs::metadata(&part).map_or(0, |about| about.len());
        let (mut waits, mut before) = (self.waits.iter(), length());
        while let Try::Lost(why) = self.resume(&agent, &part, progress)? {
            let now = length();
            if now > before {
                (waits, before) = (self.waits.iter(), now);
            }
            let Some(wait) = waits.next() else { return Err(Error::Network(why)) };
            sleep(*wait);
        }
        if let Err(error) = self.verify(&part) {
            fs::remove_file(&part).map_err(failed("remove", &part))?;
            return Err(error);
        }
        fs::rename(&part, &self.path).map_err(failed("rename", &part))
    }

    /// The address without what signs it, which is nobody else's.
    fn place(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    fn part(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".part");
        name.into()
    }

    /// Requests the missing bytes, and appends them.
    fn resume(&self, agent: &Agent, part: &Path, progress: &dyn Fn(Progress)) -> Result<Try, Error> {
        let mut file =
            OpenOptions::new().create(true).append(true).open(part).map_err(failed("open", part))?;
        let mut done = file.metadata().map_err(failed("open", part))?.len();
        let mut request = agent.get(&self.url);
        if done > 0 {
            request = request.header("Range", format!("bytes={done}-"));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Try::Lost(format!("{}: {error}", self.place()))),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                // The server sends everything from the start.
                file.set_len(0).map_err(failed("truncate", part))?;
                done = 0;
            }
            // Nothing is missing; the checksum decides whether it is right.
            StatusCode::RANGE_NOT_SATISFIABLE if done > 0 => return Ok(Try::Complete),
            status if status.is_server_error() => {
                return Ok(Try::Lost(format!("{}: {status}", self.place())));
            }
            status => return Err(Error::Network(format!("{}: the server answers {status}", self.place()))),
        }
        let of = response.body().content_length().map(|length| done + length);
        if let Some(of) = of.filter(|of| *of > self.most) {
            return Err(Error::Length { url: self.place().to_owned(), expected: self.most, found: of });
        }
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut chunk = vec![0; 1 << 17];
        loop {
            progress(Progress { done, of });
            let read = match body.read(&mut chunk) {
                Ok(0) if of.is_some_and(|of| done < of) => return Ok(Try::Lost(self.ended(done))),
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Try::Lost(format!("{}: {error}", self.ended(done)))),
            };
            done += read as u64;
            if done > self.most {
                file.set_len(0).map_err(failed("truncate", part))?;
                return Err(Error::Length { url: self.place().to_owned(), expected: self.most, found: done });
            }
            file.write_all(&chunk[..read]).map_err(failed("write", part))?;
        }
        file.sync_all().map_err(failed("write", part))?;
        Ok(Try::Complete)
    }

    fn ended(&self, done: u64) -> String {
        format!("{}: the connection was lost after {done} bytes", self.place())
    }

    fn verify(&self, path: &Path) -> Result<(), Error> {
        let found = sha256(path).map_err(failed("read", path))?;
        if found.starts_with(&self.sha256) {
            return Ok(());
        }
        Err(Error::Checksum { path: path.to_owned(), expected: self.sha256.clone(), found })
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// The SHA-256 of a file, in hex.
pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
