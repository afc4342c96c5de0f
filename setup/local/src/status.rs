//! The status of the local cloud: counts, live processes, and the events that it gave up on.

use serde::{Deserialize, Serialize};

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events and requests accepted.
    pub accepted: u64,
    /// Attempts handed to a process: what Lambda bills as requests.
    pub invocations: u64,
    /// Sum of the attempts' durations, each rounded up to a millisecond.
    pub billed_ms: u64,
    /// The most memory of its own that any process was measured to use, ten times per second.
    pub peak_memory_mb: u64,
    /// Processes started.
    pub cold_starts: u64,
    /// Attempts that ended in an error that the function returned.
    pub errors: u64,
    /// Attempts ended by the time limit.
    pub timeouts: u64,
    /// Attempts whose process ended by itself or by a signal.
    pub crashes: u64,
    /// Attempts in which the faults stopped the process until its time limit had passed.
    pub frozen: u64,
    /// Attempts whose process used more memory than it has.
    pub out_of_memory: u64,
    /// Failed attempts that were queued for another.
    pub retries: u64,
    /// Events that waited because the concurrency was used up.
    pub requeued: u64,
    /// Requests answered 429.
    pub throttles: u64,
    /// Chains that loop detection cut.
    pub recursions: u64,
    /// Events that the faults delivered twice.
    pub duplicates: u64,
    /// Events that the faults lost.
    pub dropped: u64,
    /// Processes alive now.
    pub live: u64,
}

/// An event that was given up: the on-failure record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The event's request id.
    pub request_id: String,
    /// `RetriesExhausted` or `RecursiveInvocationException`.
    pub condition: String,
    /// How many attempts were made.
    pub attempts: usize,
    /// The event.
    pub request_payload: String,
    /// The last attempt's error object.
    pub response_payload: String,
    /// When it was given up, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A process that the faults killed while it had an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// The event.
    pub request_payload: String,
    /// When it got the event, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it was killed.
    pub at_ms: u64,
}

/// A process of the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProcess {
    /// Its number, which is also that of its process group.
    pub pid: u32,
    /// Its current event; none if it is idle.
    pub request_id: Option<String>,
}

/// The whole state, as in `GET /_baton/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The function's name.
    pub function: String,
    /// Its address.
    pub endpoint: String,
    /// Counts since the start.
    pub counts: Counts,
    /// Events accepted and not yet ended, including those that wait for a retry.
    pub outstanding: usize,
    /// Those of them that have failed and wait for a retry.
    pub retrying: usize,
    /// Those of them that wait for a process.
    pub queued: usize,
    /// The processes.
    pub processes: Vec<LiveProcess>,
    /// The events that were given up.
    pub failures: Vec<Failure>,
    /// The processes that the faults killed.
    pub kills: Vec<Kill>,
}
