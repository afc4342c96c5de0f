//! The cloud that a command talks to: AWS with the SDK's own credentials, or a local cloud found by its folder.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The table's name in a local cloud, and the default on AWS.
pub const TABLE: &str = "baton";
/// The function's name in a local cloud, and the default on AWS.
pub const FUNCTION: &str = "baton";

/// Clients of one cloud.
pub struct Cloud {
    /// Sends events.
    pub lambda: aws_sdk_lambda::Client,
    /// Reads progress.
    pub tables: aws_sdk_dynamodb::Client,
}

/// What a local cloud leaves in its folder, so that other commands find it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Address {
    /// Where it listens.
    pub endpoint: String,
}

impl Address {
    /// Where the address of the local cloud on `root` stands.
    pub fn path(root: &Path) -> PathBuf {
        root.join("local-cloud.json")
    }
}

impl Cloud {
    /// The local cloud that works on `root`, or AWS.
    ///
    /// # Errors
    /// In words: no local cloud works on that folder.
    pub async fn find(root: Option<&Path>) -> Result<Cloud, String> {
        let Some(root) = root else { return Ok(Cloud::with(&configuration().load().await)) };
        let path = Address::path(root);
        let text = std::fs::read(&path).map_err(|error| {
            format!(
                "{}: {error}; start the local cloud first: baton local --root {}",
                path.display(),
                root.display()
            )
        })?;
        let address: Address =
            serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Cloud::local(&address.endpoint).await)
    }

    /// The local cloud that listens at `endpoint`.
    pub async fn local(endpoint: &str) -> Cloud {
        let credentials =
            aws_sdk_lambda::config::Credentials::new("local", "local", None, None, "local cloud");
        let config = configuration()
            .endpoint_url(endpoint)
            .region("us-east-1")
            .credentials_provider(credentials)
            .load()
            .await;
        Cloud::with(&config)
    }

    /// The cloud that the configuration leads to.
    pub(crate) fn with(config: &SdkConfig) -> Cloud {
        Cloud { lambda: aws_sdk_lambda::Client::new(config), tables: aws_sdk_dynamodb::Client::new(config) }
    }

    /// Sends an event and, when `wait` is set, waits for its answer.
    ///
    /// # Errors
    /// In words: what Lambda or the function said.
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
        let kind = if wait { InvocationType::RequestResponse } else { InvocationType::Event };
        let payload = Blob::new(value.to_string().into_bytes());
        let call = self.lambda.invoke().function_name(function).invocation_type(kind).payload(payload);
        let reply =
            call.send().await.map_err(|error| format!("{function}: {}", DisplayErrorContext(error)))?;
        let text =
            reply.payload.map(|blob| String::from_utf8_lossy(blob.as_ref()).into_owned()).unwrap_or_default();
        match reply.function_error {
            Some(error) => Err(format!("the function failed ({error}): {text}")),
            None => Ok(text),
        }
    }
}

pub(crate) fn configuration() -> aws_config::ConfigLoader {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
}
