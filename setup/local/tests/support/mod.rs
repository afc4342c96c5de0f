//! Shared by the tests: the scripted function, an HTTP client, and a look at processes.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod function;
pub mod http;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use local_cloud::{Address, LocalCloud, Options};
use serde_json::Value;

/// The options for a local cloud whose function is this very test binary, at its test `scripted_function`.
pub fn options() -> Options {
    let mut options = Options::new(env::current_exe().unwrap());
    options.arguments = ["--exact", "scripted_function", "--nocapture"].map(String::from).to_vec();
    options.retry_waits = vec![Duration::from_millis(20), Duration::from_millis(40)];
    options.time_limit = Duration::from_secs(30);
    options
}

pub async fn start(change: impl FnOnce(&mut Options)) -> LocalCloud {
    let mut options = options();
    change(&mut options);
    LocalCloud::start(options).await.unwrap()
}

/// The header that opens a local cloud.
pub const TOKEN: &str = "x-amz-security-token";

/// Invokes over HTTP as the SDK does, without blocking the runtime that serves it.
pub async fn invoke(cloud: &LocalCloud, kind: &'static str, body: impl Into<Vec<u8>>) -> http::Response {
    let headers = vec![("x-amz-invocation-type", kind)];
    send(cloud, "POST", "/2015-03-31/functions/baton/invocations", headers, body.into()).await
}

/// Sends a request with the token of the local cloud.
pub async fn send(
    cloud: &LocalCloud,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
) -> http::Response {
    let Address { endpoint, token } = cloud.address().clone();
    let sent = tokio::task::spawn_blocking(move || {
        let headers: Vec<_> = headers.into_iter().chain([(TOKEN, token.text())]).collect();
        http::request(&endpoint, method, path, &headers, &body)
    });
    sent.await.unwrap().unwrap()
}

/// The events must end within the time allowed for a test.
pub async fn idle(cloud: &LocalCloud) {
    let ended = tokio::time::timeout(Duration::from_secs(30), cloud.idle()).await;
    ended.unwrap_or_else(|_| panic!("events did not end within 30 s: {:?}", cloud.status()));
}

/// A log file for the scripted function.
pub struct Notes(tempfile::TempDir);

impl Notes {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("notes")
    }

    /// The event with this log file in it.
    pub fn event(&self, mut event: Value) -> String {
        event["log"] = self.path().to_str().unwrap().into();
        event.to_string()
    }

    /// Each run as its process and request id.
    pub fn runs(&self) -> Vec<(u32, String)> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        let runs = text.lines().filter(|line| !line.starts_with("grandchild"));
        runs.map(|line| line.split_once(' ').map(|(pid, id)| (pid.parse().unwrap(), id.into())).unwrap())
            .collect()
    }

    pub fn grandchildren(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix("grandchild ")?.parse().ok()).collect()
    }
}

/// The state letter of a process; none if it is gone or only waits to be reaped.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    (!matches!(state, 'Z' | 'X')).then_some(state)
}

/// Waits until the condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
