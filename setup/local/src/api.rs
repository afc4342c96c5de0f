//! The one listener for callers: Lambda's Invoke, the DynamoDB calls, and the local cloud's own status.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    Status,
    dynamodb::{self, Tables},
    invocation::{ACCOUNT, Outcome, REGION},
    queue::{LARGEST_EVENT, LARGEST_REQUEST, Queue, RECURSIVE, RECURSIVE_MESSAGE, Refusal},
};

#[derive(Clone)]
struct Services {
    queue: Arc<Queue>,
    tables: Arc<Tables>,
}

/// The routes of the local cloud.
pub(crate) fn router(queue: Arc<Queue>, tables: Tables) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .route("/", post(table_call))
        .route("/_baton/status", get(status))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST + 1))
        .layer(middleware::from_fn(programs_only))
        .with_state(Services { queue, tables: Arc::new(tables) })
}

/// Refuses what a web page could send: its requests carry an `Origin`, or another host's name that leads here.
async fn programs_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let loopback = host.is_none_or(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    if loopback && !request.headers().contains_key(header::ORIGIN) {
        return next.run(request).await;
    }
    refuse(
        StatusCode::FORBIDDEN,
        "AccessDeniedException",
        "the local cloud serves programs on this machine only",
    )
}

async fn status(State(services): State<Services>) -> Json<Status> {
    Json(services.queue.status())
}

async fn unknown(uri: Uri) -> Response {
    let message = format!("the local cloud has no {uri}; it serves Invoke, DynamoDB and /_baton/status");
    refuse(StatusCode::NOT_FOUND, "UnknownOperationException", &message)
}

async fn table_call(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let body = body.unwrap_or_default();
    dynamodb::answer(&services.tables, services.queue.faults().table, target, &body).await
}

async fn invoke(
    State(Services { queue, .. }): State<Services>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let function = queue.options().function.as_str();
    if function_name(&name) != function {
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
        let message = format!("Function not found: {arn}; the local cloud has {function}");
        return refuse(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Ok(body) = body else { return too_large(LARGEST_REQUEST, "RequestResponse") };
    let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    let kind = text("x-amz-invocation-type").unwrap_or("RequestResponse");
    let limit = if kind == "Event" { LARGEST_EVENT } else { LARGEST_REQUEST };
    if body.len() > limit {
        return too_large(limit, kind);
    }
    if let Err(message) = check_json(&body) {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
    }
    let trace = text("x-amzn-trace-id");
    match kind {
        "Event" => event(&queue, body, trace),
        "RequestResponse" => call(&queue, body, trace).await,
        "DryRun" => StatusCode::NO_CONTENT.into_response(),
        other => {
            let message = format!("invocation type {other:?}, expected Event, RequestResponse or DryRun");
            refuse(StatusCode::BAD_REQUEST, "InvalidParameterValueException", &message)
        }
    }
}

fn event(queue: &Arc<Queue>, body: Bytes, trace: Option<&str>) -> Response {
    let (throttled, lost) = queue.invoke_faults();
    if throttled {
        return too_many();
    }
    match queue.event(body, trace) {
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceException", &error.to_string()),
        Ok(_) if lost => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", "the reply was lost on purpose")
        }
        Ok(id) => (StatusCode::ACCEPTED, [("x-amzn-requestid", id)]).into_response(),
    }
}

async fn call(queue: &Arc<Queue>, body: Bytes, trace: Option<&str>) -> Response {
    let (throttled, _) = queue.invoke_faults();
    if throttled {
        return too_many();
    }
    let closed =
        || refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceException", "the local cloud is shutting down");
    let (id, answer) = match queue.call(body, trace) {
        Ok(accepted) => accepted,
        Err(Refusal::Throttled) => return too_many(),
        Err(Refusal::Recursive) => return refuse(StatusCode::BAD_REQUEST, RECURSIVE, RECURSIVE_MESSAGE),
        Err(Refusal::Closed) => return closed(),
    };
    let headers = [("x-amzn-requestid", id), ("x-amz-executed-version", "$LATEST".into())];
    match answer.await {
        Ok(Outcome::Answered(payload)) => (headers, payload).into_response(),
        Ok(Outcome::Failed(failed)) => {
            (headers, [("x-amz-function-error", "Unhandled")], failed.payload).into_response()
        }
        Err(_) => closed(),
    }
}

/// The name in `name`, `name:qualifier`, or a whole or partial ARN.
fn function_name(given: &str) -> &str {
    let name = given.rsplit_once("function:").map_or(given, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

/// Checks an event as Invoke does: at most 1 MB of JSON.
pub(crate) fn check_event(payload: &[u8]) -> Result<(), String> {
    match payload.len() > LARGEST_EVENT {
        true => Err(too_large_message(LARGEST_EVENT, "Event")),
        false => check_json(payload),
    }
}

fn check_json(payload: &[u8]) -> Result<(), String> {
    let parsed = serde_json::from_slice::<Value>(payload);
    parsed.map(drop).map_err(|error| format!("Could not parse request body into json: {error}"))
}

fn too_large(limit: usize, kind: &str) -> Response {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &too_large_message(limit, kind))
}

fn too_large_message(limit: usize, kind: &str) -> String {
    format!("the payload is too large for the {kind} invocation type (limit {limit} bytes)")
}

fn too_many() -> Response {
    refuse(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
}

/// An error in the form that the Lambda SDK reads.
fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body =
        json!({ "Type": if status.is_server_error() { "Service" } else { "User" }, "message": message });
    (status, [("x-amzn-errortype", error_type)], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_function_name_is_understood() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:baton";
        for given in ["baton", "baton:$LATEST", arn, &format!("{arn}:3"), "000000000000:function:baton"] {
            assert_eq!(function_name(given), "baton", "{given}");
        }
        assert_ne!(function_name("baton2"), "baton");
    }
}
