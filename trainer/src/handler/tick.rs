//! The watchdog's tick: every run that has not ended is asked what is overdue.

use super::{Reply, Turn, act, start};
use crate::Error;
use crate::services::{Invocation, Services};
use protocol::Event;

/// Ticks every run, the newest first. One run's trouble does not keep the others waiting.
pub(super) fn tick_all(services: &Services, event: &Event, invocation: &Invocation) -> Result<Reply, Error> {
    let mut replies = Vec::new();
    let mut failed = None;
    for run in start::runs(services)?.into_iter().rev() {
        match Turn::open(services, invocation, &run).and_then(|turn| act(turn, event)) {
            Ok(reply) => replies.push((run, reply)),
            Err(error) => {
                tracing::warn!(%run, %error, "the tick of a run failed");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if replies.is_empty() => Err(error),
        _ => Ok(Reply::ticked(replies)),
    }
}
