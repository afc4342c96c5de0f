//! The function of the tests: it does what the event says, through the Runtime API and without any SDK.

use std::{env, fs::OpenOptions, io::Write, process::Command, thread, time::Duration};

use serde_json::{Value, json};

use super::http::{Response, request};

/// Polls and serves events until the Runtime API is gone, then ends the process, as `lambda_runtime` does.
pub fn serve() -> ! {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    loop {
        let Ok(event) = request(&api, "GET", "/2018-06-01/runtime/invocation/next", &[], b"") else {
            std::process::exit(1)
        };
        let id = event.header("lambda-runtime-aws-request-id").unwrap().to_owned();
        let (end, body) = match handle(&event, &id) {
            Ok(answer) => ("response", answer),
            Err(message) => ("error", json!({ "errorType": "Scripted", "errorMessage": message })),
        };
        let path = format!("/2018-06-01/runtime/invocation/{id}/{end}");
        let _ = request(&api, "POST", &path, &[], body.to_string().as_bytes());
    }
}

fn handle(event: &Response, id: &str) -> Result<Value, String> {
    let body = event.json();
    let trace = event.header("lambda-runtime-trace-id").unwrap().to_owned();
    let runs = note(&body, id);
    match body["do"].as_str().unwrap_or("answer") {
        "answer" => Ok(json!({ "pid": std::process::id(), "echo": body["echo"], "trace": trace })),
        "environment" => {
            let all: serde_json::Map<String, Value> =
                env::vars().map(|(name, value)| (name, value.into())).collect();
            Ok(json!({ "environment": all, "deadline": event.header("lambda-runtime-deadline-ms"),
                "arn": event.header("lambda-runtime-invoked-function-arn") }))
        }
        "sleep" => {
            thread::sleep(Duration::from_millis(body["ms"].as_u64().unwrap()));
            Ok(json!({}))
        }
        "sleep then note" => {
            thread::sleep(Duration::from_millis(body["ms"].as_u64().unwrap()));
            note(&body, id);
            Ok(json!({}))
        }
        "error" => Err("as told".into()),
        "fail twice" if runs < 3 => Err(format!("run {runs} fails")),
        "fail twice" => Ok(json!({})),
        "crash" => std::process::exit(3),
        "hang" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        "hang with a child" => {
            // A grandchild, too, which must not survive the time limit either.
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            note_line(&body, &format!("grandchild {}", child.id()));
            child.wait().map_err(|error| error.to_string()).map(|_| json!({}))
        }
        "allocate" => {
            // Hidden from the optimizer, which would remove memory that nobody reads.
            let block = std::hint::black_box(vec![1u8; (body["mb"].as_u64().unwrap() as usize) << 20]);
            thread::sleep(Duration::from_secs(5));
            Ok(json!({ "last": block.last() }))
        }
        "chain" => match body["left"].as_u64().unwrap() {
            0 => Ok(json!({})),
            left => {
                let mut next = body.clone();
                next["left"] = json!(left - 1);
                invoke(&next, &trace)
            }
        },
        other => Err(format!("unknown script {other:?}")),
    }
}

/// Sends an event to this function itself, as the SDK would.
fn invoke(event: &Value, trace: &str) -> Result<Value, String> {
    let endpoint = env::var("AWS_ENDPOINT_URL_LAMBDA").unwrap();
    let name = env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap();
    let path = format!("/2015-03-31/functions/{name}/invocations");
    let token = env::var("AWS_SESSION_TOKEN").unwrap();
    let headers = [
        ("x-amz-invocation-type", "Event"),
        ("x-amzn-trace-id", trace),
        ("x-amz-security-token", token.as_str()),
    ];
    let sent = request(&endpoint, "POST", &path, &headers, event.to_string().as_bytes());
    match sent.map(|answer| answer.status) {
        Ok(202) => Ok(json!({})),
        other => Err(format!("Invoke: {other:?}")),
    }
}

/// Notes the run in the event's log file, and returns how many lines it has now.
fn note(body: &Value, id: &str) -> usize {
    note_line(body, &format!("{} {id}", std::process::id()))
}

fn note_line(body: &Value, line: &str) -> usize {
    let Some(path) = body["log"].as_str() else { return 0 };
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
    std::fs::read_to_string(path).unwrap().lines().count()
}
