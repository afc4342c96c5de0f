//! The one listener for callers: Lambda's Invoke, the DynamoDB calls, and the local cloud's own status.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;

use crate::{
    Address, Door, Options, Shown, Status,
    dynamodb::{self, Tables},
    invocation::Outcome,
    invoke::{self, Kind, Refused},
    payload::{LARGEST, Payload, Unread},
    queue::{Queue, RECURSIVE, RECURSIVE_MESSAGE, Refusal},
};

/// How many connections there may be besides those of the processes, and how many for each process.
const CONNECTIONS: usize = 64;
const CONNECTIONS_EACH: usize = 8;

#[derive(Clone)]
struct Services {
    queue: Arc<Queue>,
    tables: Arc<Tables>,
}

/// The door for everyone with the token. Each process may have a few connections to Lambda and to the table,
/// and commands some.
pub(crate) fn door(options: &Options, address: &Address) -> Door {
    let most = CONNECTIONS + CONNECTIONS_EACH * options.concurrency;
    Door { token: address.token.clone(), shown: Shown::Session, most, refuse }
}

/// The routes of the local cloud.
pub(crate) fn router(queue: Arc<Queue>, tables: Tables) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .route("/", post(table_call))
        .route("/_baton/status", get(status))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(Services { queue, tables: Arc::new(tables) })
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
    body: Result<Payload, Unread>,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    match body {
        Ok(Payload(body)) => {
            dynamodb::answer(&services.tables, services.queue.faults().table, target, &body).await
        }
        Err(unread) => unread.into_response(),
    }
}

async fn invoke(
    State(Services { queue, .. }): State<Services>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Payload, Unread>,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let body = match body {
        Ok(Payload(body)) if body.is_empty() => Bytes::from_static(b"{}"),
        Ok(Payload(body)) => body,
        Err(Unread::TooLarge) => return Refused::too_large(LARGEST, Kind::RequestResponse).into_response(),
        Err(broken) => return broken.into_response(),
    };
    let trace = text("x-amzn-trace-id");
    match invoke::read(&queue.options().function, &name, text("x-amz-invocation-type"), &body) {
        Ok(Kind::Event) => event(&queue, body, trace),
        Ok(Kind::RequestResponse) => call(&queue, body, trace).await,
        Ok(Kind::DryRun) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => refused.into_response(),
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

fn too_many() -> Response {
    refuse(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
}

/// An error in the form that the Lambda SDK reads.
fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body =
        json!({ "Type": if status.is_server_error() { "Service" } else { "User" }, "message": message });
    (status, [("x-amzn-errortype", error_type)], Json(body)).into_response()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refuse(self.status, self.kind, &self.message)
    }
}
