//! The Runtime API that one process polls: `next`, `response`, `error`, `init/error`.
//!
//! Each process has a listener of its own, which ends with it, and a token of its own in the path: nobody
//! else can fetch its events or answer them.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::{
    Door, Shown, Token,
    invocation::{Failed, FailedKind, Invocation, Outcome},
    payload::{LARGEST, Payload, Unread},
};

/// How many connections a process may have: `lambda_runtime` needs two.
const CONNECTIONS: usize = 16;

/// The event for the process in one attempt.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) invocation: Invocation,
    pub(crate) deadline_ms: u64,
}

/// The desk between the sandbox, which puts deliveries on it, and the process, which fetches and answers
/// them.
#[derive(Debug)]
pub(crate) struct Desk {
    arn: String,
    give: mpsc::UnboundedSender<Delivery>,
    take: Mutex<mpsc::UnboundedReceiver<Delivery>>,
    /// How often the process has asked for work.
    polls: watch::Sender<u64>,
    /// The current attempt: its request id, and the receiver of the answer.
    current: StdMutex<Option<(String, oneshot::Sender<Outcome>)>>,
    init_error: StdMutex<Option<Bytes>>,
}

impl Desk {
    pub(crate) fn new(arn: String) -> Arc<Self> {
        let (give, take) = mpsc::unbounded_channel();
        Arc::new(Self {
            arn,
            give,
            take: Mutex::new(take),
            polls: watch::Sender::new(0),
            current: StdMutex::new(None),
            init_error: StdMutex::new(None),
        })
    }

    /// Puts an attempt on the desk; the receiver gets its answer.
    pub(crate) fn hand_over(&self, delivery: Delivery) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        *lock(&self.current) = Some((delivery.invocation.request_id.clone(), tell));
        // The receiver is a field of this struct.
        let _ = self.give.send(delivery);
        told
    }

    /// Removes an attempt that got no answer: an answer of the process to it is now refused.
    pub(crate) fn clear(&self) {
        lock(&self.current).take();
    }

    /// Waits until the process has asked for work more than `times` times.
    pub(crate) async fn polled_more_than(&self, times: u64) {
        // The sender is a field of this struct, so the wait cannot fail.
        let _ = self.polls.subscribe().wait_for(|polls| *polls > times).await;
    }

    /// The current attempt.
    pub(crate) fn request_id(&self) -> Option<String> {
        lock(&self.current).as_ref().map(|(id, _)| id.clone())
    }

    pub(crate) fn init_error(&self) -> Option<Bytes> {
        lock(&self.init_error).clone()
    }

    fn answer(&self, id: &str, outcome: Outcome) -> Response {
        let mut current = lock(&self.current);
        match current.take_if(|(current, _)| current == id) {
            Some((_, tell)) => {
                let _ = tell.send(outcome);
                (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
            }
            None => refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        }
    }

    /// Handles an answer that did not arrive: one that is too large fails the attempt, an incomplete one may
    /// come again.
    fn unread(&self, id: &str, unread: Unread, kind: &str) -> Response {
        if unread == Unread::TooLarge {
            let message =
                format!("Response payload size exceeded maximum allowed payload size ({LARGEST} bytes).");
            self.answer(id, Outcome::Failed(Failed::new(FailedKind::Error, kind, message)));
        }
        unread.into_response()
    }
}

fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The door for the one process that has the token.
pub(crate) fn door(token: Token) -> Door {
    Door { token, shown: Shown::Path, most: CONNECTIONS, refuse }
}

/// The routes of one process's Runtime API.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(desk)
}

/// Waits with the answer until there is an event.
async fn next(State(desk): State<Arc<Desk>>) -> Response {
    desk.polls.send_modify(|polls| *polls += 1);
    let Some(Delivery { invocation, deadline_ms }) = desk.take.lock().await.recv().await else {
        return refuse(StatusCode::GONE, "Gone", "the sandbox is closed");
    };
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", desk.arn.clone()),
        ("lambda-runtime-trace-id", invocation.trace.header()),
    ];
    (headers, invocation.payload).into_response()
}

async fn response(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    body: Result<Payload, Unread>,
) -> Response {
    match body {
        Ok(Payload(body)) => desk.answer(&id, Outcome::Answered(body)),
        Err(unread) => desk.unread(&id, unread, "Function.ResponseSizeTooLarge"),
    }
}

async fn error(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    body: Result<Payload, Unread>,
) -> Response {
    match body {
        Ok(Payload(payload)) => {
            desk.answer(&id, Outcome::Failed(Failed { kind: FailedKind::Error, payload }))
        }
        Err(unread) => desk.unread(&id, unread, "Function.ErrorSizeTooLarge"),
    }
}

async fn init_error(State(desk): State<Arc<Desk>>, body: Result<Payload, Unread>) -> Response {
    match body {
        Ok(Payload(payload)) => {
            *lock(&desk.init_error) = Some(payload);
            (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
        }
        Err(unread) => unread.into_response(),
    }
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response {
    (status, Json(json!({ "errorType": error_type, "errorMessage": message }))).into_response()
}
