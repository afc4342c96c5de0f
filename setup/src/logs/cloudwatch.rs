//! One call of CloudWatch Logs, FilterLogEvents.

use crate::Failure;
use crate::signed::Service;
use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};

const TARGET: &str = "Logs_20140328.FilterLogEvents";
const JSON: &str = "application/x-amz-json-1.1";

/// A log group.
pub(super) struct CloudWatch {
    config: SdkConfig,
    group: String,
}

/// A line that was logged.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    /// Its id; MiniStack leaves it out.
    #[serde(default)]
    pub(super) event_id: String,
    /// In milliseconds since 1970.
    pub(super) timestamp: u64,
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    events: Vec<Event>,
    next_token: Option<String>,
}

impl CloudWatch {
    pub(super) fn new(config: &SdkConfig, group: String) -> CloudWatch {
        CloudWatch { config: config.clone(), group }
    }

    /// All events since a time; with `run` only those of one run.
    pub(super) async fn events(&self, since_ms: u64, run: Option<&str>) -> Result<Vec<Event>, Failure> {
        let mut ask = json!({"logGroupName": self.group, "startTime": since_ms});
        if let Some(run) = run {
            ask["filterPattern"] = json!(format!("\"{run}\""));
        }
        let mut events = Vec::new();
        loop {
            let logs = Service { config: &self.config, name: "logs", media: JSON };
            let page = logs.ask::<Page>(TARGET, &ask).await;
            let page = page.map_err(|why| format!("cannot read the log {}: {why}", self.group))?;
            events.extend(page.events);
            match page.next_token {
                // A token that stays the same also means the end.
                Some(token) if ask.get("nextToken").and_then(Value::as_str) != Some(&token) => {
                    ask["nextToken"] = json!(token);
                }
                _ => break,
            }
        }
        events.sort_by_key(|event| event.timestamp);
        Ok(events)
    }
}
