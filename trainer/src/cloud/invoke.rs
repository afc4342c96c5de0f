//! Sends events to this function itself through Lambda's Invoke.

use crate::Error;
use crate::services::Invoke;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use protocol::Event;
use tokio::runtime::Handle;

/// Invokes this function asynchronously.
pub struct LambdaInvoke {
    client: Client,
    function: String,
    runtime: Handle,
}

impl LambdaInvoke {
    /// Sends to `function`, with calls carried out on `runtime`.
    pub fn new(config: &aws_config::SdkConfig, function: String, runtime: Handle) -> LambdaInvoke {
        LambdaInvoke { client: Client::new(config), function, runtime }
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
}
