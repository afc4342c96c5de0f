//! One call of CloudWatch Logs, FilterLogEvents, signed with the SDK's own credentials.
//!
//! The SDK's crate for this service would add a minute to every build for this one call.

use crate::Failure;
use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

const TARGET: &str = "Logs_20140328.FilterLogEvents";
const JSON: &str = "application/x-amz-json-1.1";

/// A log group.
pub(super) struct CloudWatch {
    config: SdkConfig,
    region: String,
    endpoint: String,
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
    pub(super) fn new(config: &SdkConfig, group: String) -> Result<CloudWatch, Failure> {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let own = config.endpoint_url().map(str::to_owned);
        let endpoint = own.unwrap_or_else(|| format!("https://logs.{region}.amazonaws.com"));
        Ok(CloudWatch { config: config.clone(), region, endpoint, group })
    }

    /// All events since a time; with `run` only those of one run.
    pub(super) async fn events(&self, since_ms: u64, run: Option<&str>) -> Result<Vec<Event>, Failure> {
        let mut ask = json!({"logGroupName": self.group, "startTime": since_ms});
        if let Some(run) = run {
            ask["filterPattern"] = json!(format!("\"{run}\""));
        }
        let mut events = Vec::new();
        loop {
            let page = self.call(&ask).await?;
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

    async fn call(&self, ask: &Value) -> Result<Page, Failure> {
        let body = ask.to_string();
        let failed = |why: String| Failure::from(format!("cannot read the log {}: {why}", self.group));
        let mut request =
            ureq::post(&self.endpoint).header("content-type", JSON).header("x-amz-target", TARGET);
        for (name, value) in self.signature(&body).await.map_err(failed)? {
            request = request.header(name, value);
        }
        let call = move || {
            let request = request.config().timeout_global(Some(Duration::from_secs(30)));
            let mut reply =
                request.http_status_as_error(false).build().send(body).map_err(|e| e.to_string())?;
            let text = reply.body_mut().read_to_string().map_err(|e| e.to_string())?;
            if !reply.status().is_success() {
                return Err(format!("{}: {text}", reply.status()));
            }
            serde_json::from_str(&text).map_err(|error| format!("an answer that cannot be read: {error}"))
        };
        let page = tokio::task::spawn_blocking(call).await.map_err(|error| failed(error.to_string()))?;
        page.map_err(failed)
    }

    /// The headers that sign a call.
    async fn signature(&self, body: &str) -> Result<Vec<(String, String)>, String> {
        let provider = self.config.credentials_provider().ok_or("no credentials: see baton doctor")?;
        let identity = provider.provide_credentials().await.map_err(|error| error.to_string())?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("logs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers = [("content-type", JSON), ("x-amz-target", TARGET)];
        let request = SignableRequest::new(
            "POST",
            &self.endpoint,
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| error.to_string())?;
        let (instructions, _) = sign(request, &params).map_err(|error| error.to_string())?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
