//! Calls of services for which the SDK's crate is not in the tree, signed with the SDK's own credentials.
//!
//! Each such crate would add a minute to every build, for one call.

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// How long a call is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service that is asked in JSON.
pub(crate) struct Service<'a> {
    /// Credentials, region and endpoint of the calls.
    pub(crate) config: &'a SdkConfig,
    /// Its name in a signature and in front of its host's: `logs`.
    pub(crate) name: &'static str,
    /// The media type of what is asked.
    pub(crate) media: &'static str,
}

impl Service<'_> {
    /// Asks one thing: `target` is its name with that of the service's version.
    ///
    /// # Errors
    /// In words: no credentials, no answer, a refusal, an answer that is not understood.
    pub(crate) async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        target: &'static str,
        ask: &Value,
    ) -> Result<T, String> {
        let region = self.config.region().map(ToString::to_string).unwrap_or_default();
        let own = self.config.endpoint_url().map(str::to_owned);
        let endpoint = own.unwrap_or_else(|| format!("https://{}.{region}.amazonaws.com", self.name));
        let body = ask.to_string();
        let headers = [("content-type", self.media), ("x-amz-target", target)];
        let mut request = ureq::post(&endpoint);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in self.signature((&region, &endpoint), headers, &body).await? {
            request = request.header(name, value);
        }
        let call = move || {
            let request = request.config().timeout_global(Some(PATIENCE)).http_status_as_error(false);
            let mut reply = request.build().send(body).map_err(|error| error.to_string())?;
            let text = reply.body_mut().read_to_string().map_err(|error| error.to_string())?;
            if !reply.status().is_success() {
                return Err(format!("{}: {text}", reply.status()));
            }
            serde_json::from_str(&text).map_err(|error| format!("an answer that is not understood: {error}"))
        };
        tokio::task::spawn_blocking(call).await.map_err(|error| error.to_string())?
    }

    /// The headers that sign a call.
    async fn signature(
        &self,
        (region, endpoint): (&str, &str),
        headers: [(&str, &str); 2],
        body: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let provider = self.config.credentials_provider().ok_or("no credentials: see baton doctor")?;
        let identity = provider.provide_credentials().await.map_err(|error| error.to_string())?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(self.name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let body = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", endpoint, headers.into_iter(), body);
        let request = request.map_err(|error| error.to_string())?;
        let (instructions, _) = sign(request, &params).map_err(|error| error.to_string())?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
