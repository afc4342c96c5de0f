//! The cloud that a command talks to: AWS with the SDK's own credentials, or a local cloud found by its
//! folder.

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use local_cloud::Address;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use terminal::note;

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
        let call = call.customize().config_override(patient(wait)).send();
        let reply = told(function, call).await.map_err(|error| Unsent {
            throttled: error.as_service_error().is_some_and(InvokeError::is_too_many_requests_exception),
            why: format!("{function}: {}", crate::trouble::words(error)),
        })?;
        if !wait && reply.status_code != ACCEPTED {
            let status = reply.status_code;
            return Err(Unsent {
                throttled: false,
                why: format!(
                    "{function}: what answered is not Lambda (status {status}, expected {ACCEPTED}): is \
                     there a log-in page, or a proxy, between?"
                ),
            });
        }
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

/// Lambda's answer to an event that it has queued.
const ACCEPTED: i32 = 202;

/// An invocation that is waited for lasts 15 minutes at most.
fn patient(wait: bool) -> aws_sdk_lambda::config::Builder {
    let patience = if wait { Duration::from_secs(15 * 60 + 30) } else { ANSWER };
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(patience).build();
    aws_sdk_lambda::Config::builder().timeout_config(timeouts)
}

/// Waits for an answer, and says so when that takes long.
async fn told<T>(function: &str, call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    let begun = Instant::now();
    loop {
        match tokio::time::timeout(SILENCE, &mut call).await {
            Ok(answer) => return answer,
            Err(_) => note!("  {function} has not answered for {} s", begun.elapsed().as_secs()),
        }
    }
}

/// An event that was not accepted, or not carried out.
struct Unsent {
    /// Whether the platform has no room for it now.
    throttled: bool,
    why: String,
}

/// How long a connection and an answer are waited for.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
/// How long a command is silent while it waits.
const SILENCE: Duration = Duration::from_secs(20);

pub(crate) fn configuration() -> aws_config::ConfigLoader {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A network with a log-in page: its answer to every call.
    fn portal() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 8_192]);
                let page = "<html>please log in</html>";
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close", page.len());
                let _ = write!(stream, "{head}\r\n\r\n{page}");
            }
        });
        address
    }

    #[tokio::test]
    async fn a_log_in_page_is_no_success() {
        let credentials = aws_sdk_lambda::config::Credentials::new("a", "b", None, None, "test");
        let loader = configuration().endpoint_url(portal()).region("us-east-1");
        let cloud = Cloud::with(&loader.credentials_provider(credentials).load().await);
        let event = protocol::Event::Tick { run: None };
        let queued = cloud.send("f", &event, false).await.unwrap_err();
        assert!(queued.contains("is not Lambda"), "{queued}");
        let reply = cloud.send("f", &event, true).await.unwrap();
        assert!(crate::start::answer(&reply).is_err(), "{reply}");
    }
}
