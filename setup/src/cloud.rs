//! The cloud that a command talks to: AWS with the SDK's own credentials, or a local cloud found by its
//! folder.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use local_cloud::Address;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The table's name in a local cloud, and the default on AWS.
pub const TABLE: &str = "baton";
/// The function's name in a local cloud, and the default on AWS.
pub const FUNCTION: &str = "baton";

/// How long to try for an answer while the platform throttles, and how long for a place in its queue: an
/// invocation lasts at most 15 minutes, then there is room.
const ANSWERED: Duration = Duration::from_secs(10);
const QUEUED: Duration = Duration::from_secs(15 * 60);

/// Clients of one cloud.
pub struct Cloud {
    /// Sends events.
    pub lambda: aws_sdk_lambda::Client,
    /// Reads progress.
    pub tables: aws_sdk_dynamodb::Client,
}

/// The file with the address of the local cloud on `root`, for its user alone: whoever reads it can start and
/// stop runs.
pub fn address_path(root: &Path) -> PathBuf {
    root.join("local-cloud.json")
}

impl Cloud {
    /// The local cloud that works on `root`, or AWS.
    ///
    /// # Errors
    /// In words: no local cloud works on that folder.
    pub async fn find(root: Option<&Path>) -> Result<Cloud, String> {
        let Some(root) = root else { return Ok(Cloud::with(&configuration().load().await)) };
        let path = address_path(root);
        let text = std::fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => {
                format!("{}: {error}; the local cloud on this folder is another user's", path.display())
            }
            _ => format!(
                "{}: {error}; start the local cloud first: baton local --root {}",
                path.display(),
                root.display()
            ),
        })?;
        let address: Address =
            serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Cloud::local(&address).await)
    }

    /// The local cloud at an address.
    pub async fn local(address: &Address) -> Cloud {
        let token = Some(address.token.text().to_owned());
        let credentials =
            aws_sdk_lambda::config::Credentials::new("local", "local", token, None, "local cloud");
        let config = configuration()
            .endpoint_url(&address.endpoint)
            .region("us-east-1")
            .credentials_provider(credentials)
            .load()
            .await;
        Cloud::with(&config)
    }

    /// The cloud of the configuration.
    pub(crate) fn with(config: &SdkConfig) -> Cloud {
        Cloud { lambda: aws_sdk_lambda::Client::new(config), tables: aws_sdk_dynamodb::Client::new(config) }
    }

    /// Sends an event and, if `wait` is set, waits for its answer.
    ///
    /// # Errors
    /// In words: the error of Lambda or the function.
    pub async fn send(&self, function: &str, event: &protocol::Event, wait: bool) -> Result<String, String> {
        self.send_value(function, &event.to_json(), wait).await
    }

    /// Sends any JSON; see [`Cloud::send`].
    pub(crate) async fn send_value(
        &self,
        function: &str,
        value: &serde_json::Value,
        wait: bool,
    ) -> Result<String, String> {
        self.invoke(function, value, wait).await.map_err(|unsent| unsent.why)
    }

    /// Sends an event and waits for its answer, and tries again while the platform throttles; none if that
    /// lasts.
    ///
    /// # Errors
    /// In words: the error of Lambda or the function.
    pub(crate) async fn ask(
        &self,
        function: &str,
        event: &protocol::Event,
    ) -> Result<Option<String>, String> {
        self.try_until(Instant::now() + ANSWERED, function, event, true).await
    }

    /// Puts an event into the platform's queue, which delivers it as soon as the function has room, and tries
    /// again while even this is throttled.
    ///
    /// # Errors
    /// In words: Lambda's error, or that it throttles for longer than an invocation lasts.
    pub(crate) async fn queue(&self, function: &str, event: &protocol::Event) -> Result<(), String> {
        match self.try_until(Instant::now() + QUEUED, function, event, false).await? {
            Some(_) => Ok(()),
            None => Err(format!(
                "{function} has accepted no event for {} minutes: throttled",
                QUEUED.as_secs() / 60
            )),
        }
    }

    /// Tries until the answer is no longer that it is throttled; none if the time is up before.
    async fn try_until(
        &self,
        end: Instant,
        function: &str,
        event: &protocol::Event,
        wait: bool,
    ) -> Result<Option<String>, String> {
        let mut pause = Duration::from_millis(250);
        loop {
            match self.invoke(function, &event.to_json(), wait).await {
                Ok(reply) => return Ok(Some(reply)),
                Err(Unsent { throttled: false, why }) => return Err(why),
                Err(_) if Instant::now() >= end => return Ok(None),
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn invoke(&self, function: &str, value: &serde_json::Value, wait: bool) -> Result<String, Unsent> {
        let kind = if wait { InvocationType::RequestResponse } else { InvocationType::Event };
        let payload = Blob::new(value.to_string().into_bytes());
        let call = self.lambda.invoke().function_name(function).invocation_type(kind).payload(payload);
        let reply = call.send().await.map_err(|error| Unsent {
            throttled: error.as_service_error().is_some_and(InvokeError::is_too_many_requests_exception),
            why: format!("{function}: {}", DisplayErrorContext(error)),
        })?;
        let text =
            reply.payload.map(|blob| String::from_utf8_lossy(blob.as_ref()).into_owned()).unwrap_or_default();
        match reply.function_error {
            Some(error) => {
                Err(Unsent { throttled: false, why: format!("the function failed ({error}): {text}") })
            }
            None => Ok(text),
        }
    }
}

/// An event that was not accepted, or not carried out.
struct Unsent {
    /// Whether the platform has no room for it now.
    throttled: bool,
    why: String,
}

pub(crate) fn configuration() -> aws_config::ConfigLoader {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
}
