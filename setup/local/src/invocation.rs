//! One event on its way through the local cloud, and how an attempt at it can end.

use axum::body::Bytes;
use tokio::sync::oneshot;

use crate::{lineage::Trace, system::random};

/// The account and region that the local cloud pretends to be.
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "000000000000";

/// An event that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// The same for every attempt, and for a duplicate.
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) trace: Trace,
    /// How many attempts were made before this one.
    pub(crate) attempt: usize,
}

impl Invocation {
    pub(crate) fn new(payload: Bytes, trace: Trace) -> Self {
        Self { request_id: uuid(), payload, trace, attempt: 0 }
    }
}

/// The one who waits for the end of an invocation.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// Nobody: an event, which is retried when it fails.
    Nobody,
    /// A caller of `RequestResponse`, who gets the result of the one attempt.
    Caller(oneshot::Sender<Outcome>),
    /// The owner of the local cloud, who has a place beside the others.
    Owner(oneshot::Sender<Outcome>),
}

/// How one attempt ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The function answered.
    Answered(Bytes),
    /// The function, or its process, failed.
    Failed(Failed),
}

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) kind: FailedKind,
    /// Lambda's error object: `errorType`, `errorMessage`.
    pub(crate) payload: Bytes,
}

/// The ways to fail that are counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedKind {
    /// The handler returned an error; the process lives on.
    Error,
    /// The time limit passed.
    TimedOut,
    /// The process ended.
    Crashed,
    /// The process used more memory than the function has.
    OutOfMemory,
}

impl Failed {
    pub(crate) fn new(kind: FailedKind, error_type: &str, message: String) -> Self {
        let payload = serde_json::json!({ "errorType": error_type, "errorMessage": message });
        Self { kind, payload: payload.to_string().into() }
    }
}

fn uuid() -> String {
    let (a, b) = (random(), random());
    let b = (b & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 48,
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_look_like_lambdas_and_differ() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| uuid()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert_eq!(id.as_bytes()[14], b'4', "{id}");
        }
    }
}
