//! Lambda's Invoke: sends events to this function itself, and switches its watchdog.

use crate::Error;
use crate::services::Invoke;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use protocol::Event;
use tokio::runtime::Handle;

/// Invokes this function asynchronously, and the one that switches the watchdog.
pub struct LambdaInvoke {
    client: Client,
    function: String,
    watchdog: Option<String>,
    runtime: Handle,
}

impl LambdaInvoke {
    /// Sends to `function`, with calls carried out on `runtime`; `watchdog` is the function that switches it.
    pub fn new(
        config: &aws_config::SdkConfig,
        function: String,
        watchdog: Option<String>,
        runtime: Handle,
    ) -> LambdaInvoke {
        LambdaInvoke { client: Client::new(config), function, watchdog, runtime }
    }
}

impl Invoke for LambdaInvoke {
    fn send(&self, event: &Event) -> Result<(), Error> {
        let text = event.to_json().to_string();
        let call = self
            .client
            .invoke()
            .function_name(&self.function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(text.clone().into_bytes()));
        match self.runtime.block_on(call.send()) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Send { event: text, reason: DisplayErrorContext(error).to_string() }),
        }
    }
    fn watch(&self, on: bool) -> Result<(), Error> {
        let Some(watchdog) = &self.watchdog else { return Ok(()) };
        let text = serde_json::json!({"on": on}).to_string();
        let failed = |reason| Error::Send { event: text.clone(), reason };
        // Synchronous: two switches in a queue could overtake each other.
        let call = self.client.invoke().function_name(watchdog).payload(Blob::new(text.clone()));
        match self.runtime.block_on(call.send()) {
            Ok(reply) => match reply.function_error {
                None => Ok(()),
                Some(error) => {
                    let said = reply.payload.unwrap_or_else(|| Blob::new(""));
                    Err(failed(format!("{watchdog}: {error}: {}", String::from_utf8_lossy(said.as_ref()))))
                }
            },
            Err(error) => Err(failed(DisplayErrorContext(error).to_string())),
        }
    }
}
