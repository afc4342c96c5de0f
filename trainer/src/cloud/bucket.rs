//! Objects in S3.

use super::client::words;
use crate::Error;
use crate::errand::{Bucket, Take};
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// Bytes a second of an upload that is slow, and not yet given up.
const SLOWEST: u64 = 1_000_000;

/// A bucket in S3.
pub struct S3Bucket {
    client: Client,
    name: String,
    runtime: Handle,
}

impl S3Bucket {
    /// The bucket `name`, with calls carried out on `runtime`.
    pub fn new(config: &aws_config::SdkConfig, name: String, runtime: Handle) -> S3Bucket {
        let own = aws_sdk_s3::config::Builder::from(config)
            // A custom endpoint, of a test for instance, does not accept bucket names before its host name.
            .force_path_style(config.endpoint_url().is_some())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        S3Bucket { client: Client::from_conf(own), name, runtime }
    }

    /// Puts an empty object.
    pub(super) async fn touch(&self, key: &str) -> Result<(), String> {
        let put = self.client.put_object().bucket(&self.name).key(key);
        put.send().await.map(drop).map_err(words)
    }

    async fn get(&self, key: &str, from: u64) -> Result<GetObjectOutput, Error> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let get = self.client.get_object().bucket(&self.name).key(key).set_range(range);
        get.send().await.map_err(|error| failed(key, words(error)))
    }
}

fn failed(key: &str, reason: impl ToString) -> Error {
    Error::Bucket { key: key.to_owned(), reason: reason.to_string() }
}

impl Bucket for S3Bucket {
    fn stream(&self, key: &str, from: u64, take: &mut Take<'_>) -> Result<(), Error> {
        let mut object = self.runtime.block_on(self.get(key, from))?;
        // Writing a piece is not a task of the runtime: it may take long.
        while let Some(piece) = self.runtime.block_on(object.body.next()) {
            if !take(&piece.map_err(|error| failed(key, error))?)? {
                break;
            }
        }
        Ok(())
    }

    fn put(&self, key: &str, file: &Path, bytes: u64) -> Result<(), Error> {
        // What the file takes at a slow rate: a stall ends it earlier, by the SDK's own watch.
        let patience = Duration::from_secs(30 + bytes / SLOWEST);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(patience)
            .operation_attempt_timeout(patience)
            .operation_timeout(2 * patience)
            .build();
        let own = aws_sdk_s3::Config::builder().timeout_config(timeouts);
        self.runtime.block_on(async {
            let body = ByteStream::from_path(file).await.map_err(|error| failed(key, error))?;
            let put = self.client.put_object().bucket(&self.name).key(key).body(body);
            put.customize()
                .config_override(own)
                .send()
                .await
                .map(drop)
                .map_err(|error| failed(key, words(error)))
        })
    }
}
