//! AWS for the commands: clients with the SDK's own credentials, and a stack's outputs by their names.

use crate::Failure;
use crate::cloud::{CONNECT, Cloud, configuration};
use crate::trouble::kind;
pub(crate) use crate::trouble::words;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_s3::config::RequestChecksumCalculation;
use protocol::Errand;
use serde_json::Value;
use std::collections::BTreeMap;

/// Clients of AWS.
pub struct Aws {
    /// The configuration of the clients.
    pub config: SdkConfig,
    /// Stacks.
    pub stacks: aws_sdk_cloudformation::Client,
    /// Objects.
    pub objects: aws_sdk_s3::Client,
    /// Lambda and DynamoDB.
    pub cloud: Cloud,
}

/// An existing stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// CREATE_COMPLETE and the like.
    pub status: String,
    /// Its outputs by their names.
    pub outputs: BTreeMap<String, String>,
    /// Its parameters by their names.
    pub parameters: BTreeMap<String, String>,
}

impl Aws {
    /// Connects with the credentials, region and endpoint of the environment.
    ///
    /// # Errors
    /// In words: no region.
    pub async fn connect() -> Result<Aws, Failure> {
        let config = configuration().load().await;
        if config.region().is_none() {
            return Err(Failure::input(
                "no region: set AWS_REGION, or `region` in ~/.aws/config (labs: us-east-1 or us-west-2)",
            ));
        }
        // A part takes as long as its bytes take; the SDK itself ends what stands still.
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).build();
        let objects = aws_sdk_s3::config::Builder::from(&config)
            .timeout_config(timeouts)
            .force_path_style(config.endpoint_url().is_some())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Ok(Aws {
            stacks: aws_sdk_cloudformation::Client::new(&config),
            objects: aws_sdk_s3::Client::from_conf(objects),
            cloud: Cloud::with(&config),
            config,
        })
    }

    /// The region.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", |region| region.as_ref())
    }

    /// A stack, if there is one of that name.
    ///
    /// # Errors
    /// CloudFormation's error.
    pub async fn stack(&self, name: &str) -> Result<Option<Stack>, Failure> {
        let described = match self.stacks.describe_stacks().stack_name(name).send().await {
            Ok(described) => described,
            Err(error) if error.message().is_some_and(|said| said.contains("does not exist")) => {
                return Ok(None);
            }
            Err(error) => return Err(said("describe the stack", name, error)),
        };
        let stack = described
            .stacks()
            .iter()
            .find(|stack| stack.stack_status().is_none_or(|status| status.as_str() != "DELETE_COMPLETE"));
        Ok(stack.map(|stack| Stack {
            status: stack.stack_status().map_or(String::new(), |status| status.as_str().to_owned()),
            outputs: pairs(stack.outputs().iter().map(|o| (o.output_key(), o.output_value()))),
            parameters: pairs(stack.parameters().iter().map(|p| (p.parameter_key(), p.parameter_value()))),
        }))
    }

    /// One output of an existing stack.
    ///
    /// # Errors
    /// In words: no such stack, or its deployment is not complete.
    pub async fn output(&self, name: &str, output: &str) -> Result<String, Failure> {
        let Some(stack) = self.stack(name).await? else {
            return Err(Failure::input(format!(
                "there is no stack {name} in {}: baton deploy",
                self.region()
            )));
        };
        stack.outputs.get(output).cloned().ok_or_else(|| {
            Failure::input(format!("the stack {name} ({}) has no {output}: baton deploy", stack.status))
        })
    }

    /// Sends an errand to the function and waits for its answer.
    ///
    /// # Errors
    /// The error of Lambda or the function, or its refusal.
    pub async fn ask(&self, function: &str, errand: &Errand) -> Result<Value, Failure> {
        let reply = self.cloud.send_value(function, &errand.to_json(), true).await?;
        let reply: Value =
            serde_json::from_str(&reply).map_err(|e| Failure::input(format!("{e}: {reply}")))?;
        match reply.get("refused").and_then(Value::as_str) {
            Some(why) => Err(Failure::input(format!("refused: {why}"))),
            None => Ok(reply),
        }
    }
}

fn pairs<'a>(pairs: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> BTreeMap<String, String> {
    pairs.filter_map(|(key, value)| Some((key?.to_owned(), value?.to_owned()))).collect()
}

/// A service's refusal, in words.
pub(crate) fn said(
    action: &str,
    what: &str,
    error: impl ProvideErrorMetadata + std::error::Error,
) -> Failure {
    let words = words(error);
    Failure {
        code: kind(&words).map_or(1, |kind| kind.code),
        message: format!("cannot {action} {what}: {words}"),
    }
}
