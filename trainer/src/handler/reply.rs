//! The answer of an invocation: JSON for people at the test console, never needed by the protocol.

use protocol::{Ledger, RunId, Target};
use serde_json::{Value, json};

/// The answer to one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply(Value);

impl Reply {
    pub(super) fn done(ledger: &Ledger, sent: &[Target]) -> Reply {
        let sent: Vec<_> = sent.iter().map(Target::to_string).collect();
        let mut reply = json!({"run": ledger.run, "stage": ledger.stage, "sent": sent});
        if let Some(ending) = &ledger.ending {
            reply["ended"] = json!(ledger.words(&ending.why));
            reply["model"] = json!(ending.model.as_ref().map(|model| &model.name));
        }
        Reply(reply)
    }

    pub(super) fn ignored(why: String) -> Reply {
        Reply(json!({"ignored": why}))
    }

    pub(super) fn refused(why: String) -> Reply {
        Reply(json!({"refused": why}))
    }

    pub(super) fn ticked(replies: Vec<(RunId, Reply)>) -> Reply {
        Reply(replies.into_iter().map(|(run, reply)| (run.to_string(), reply.0)).collect())
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> &Value {
        &self.0
    }

    /// Whether the event was refused, with the reason.
    pub fn refusal(&self) -> Option<&str> {
        self.0.get("refused").and_then(Value::as_str)
    }
}
