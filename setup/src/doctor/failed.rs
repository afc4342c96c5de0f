//! The queue of events that the function failed with, however often they were delivered.

use crate::signed::Service;
use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};

const JSON: &str = "application/x-amz-json-1.0";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct About {
    attributes: Counts,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Counts {
    approximate_number_of_messages: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    body: String,
}

/// The state of the queue, in words; an error if an event waits there, or it cannot be read.
pub(super) async fn look(config: &SdkConfig, queue: &str) -> Result<String, String> {
    let sqs = Service { config, name: "sqs", media: JSON };
    let ask = json!({"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"]});
    let about: About = sqs.ask("AmazonSQS.GetQueueAttributes", &ask).await?;
    let count = about.attributes.approximate_number_of_messages;
    if count == "0" {
        return Ok("no event was given up".into());
    }
    // One is looked at, and stays in the queue for others.
    let ask = json!({"QueueUrl": queue, "VisibilityTimeout": 0, "WaitTimeSeconds": 1});
    let received = sqs.ask::<Received>("AmazonSQS.ReceiveMessage", &ask).await;
    let one = received.ok().and_then(|found| Some(told(&found.messages.first()?.body)));
    Err(format!(
        "about {count} events were given up{}. Their runs go on by the watchdog; read the rest in the \
         console, then purge the queue: aws sqs purge-queue --queue-url {queue}",
        one.map_or(String::new(), |one| format!(", for instance {one}"))
    ))
}

/// An event that was given up, and why, as Lambda writes it down.
fn told(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let short = |value: Option<&Value>| -> String {
        let text =
            value.map_or(String::new(), |it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
        text.chars().take(200).collect()
    };
    let why =
        body.pointer("/responsePayload/errorMessage").or_else(|| body.pointer("/requestContext/condition"));
    format!("{} ({})", short(body.get("requestPayload")), short(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_was_given_up_is_told_with_its_reason() {
        let body = json!({
            "requestContext": {"condition": "RetriesExhausted"},
            "requestPayload": {"Records": []},
            "responsePayload": {"errorType": "Protocol", "errorMessage": "the event is not understood"},
        });
        assert_eq!(told(&body.to_string()), "{\"Records\":[]} (the event is not understood)");
        assert_eq!(told("?"), " ()");
    }
}
