//! An Invoke as its caller sends it: the function, the kind, and the body.

use axum::http::StatusCode;
use serde_json::Value;

use crate::{
    invocation::{ACCOUNT, REGION},
    payload::LARGEST,
};

/// The largest event: 1 MB.
const LARGEST_EVENT: usize = 1 << 20;

/// How a function is invoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The event is queued, and nobody waits.
    Event,
    /// The caller waits for the answer.
    RequestResponse,
    /// Nothing runs.
    DryRun,
}

/// A refused Invoke, in the words of Lambda.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, message: String) -> Self {
        Self { status, kind, message }
    }

    /// The body is larger than this kind allows.
    pub(crate) fn too_large(limit: usize, kind: Kind) -> Self {
        let message =
            format!("the payload is too large for the {kind:?} invocation type (limit {limit} bytes)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", message)
    }
}

/// Checks an Invoke of the function `ours`: the name in its path, the kind in its header, its body.
pub(crate) fn read(ours: &str, name: &str, kind: Option<&str>, body: &[u8]) -> Result<Kind, Refused> {
    if function_name(name) != ours {
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
        let message = format!("Function not found: {arn}; the local cloud has {ours}");
        return Err(Refused::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message));
    }
    let kind = match kind.unwrap_or("RequestResponse") {
        "Event" => Kind::Event,
        "RequestResponse" => Kind::RequestResponse,
        "DryRun" => Kind::DryRun,
        other => {
            let message = format!("invocation type {other:?}, expected Event, RequestResponse or DryRun");
            return Err(Refused::new(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message));
        }
    };
    let limit = if kind == Kind::Event { LARGEST_EVENT } else { LARGEST };
    if body.len() > limit {
        return Err(Refused::too_large(limit, kind));
    }
    check_json(body)
        .map(|()| kind)
        .map_err(|message| Refused::new(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message))
}

/// Checks an event as Invoke does: at most 1 MB of JSON.
pub(crate) fn check_event(payload: &[u8]) -> Result<(), String> {
    match payload.len() > LARGEST_EVENT {
        true => Err(Refused::too_large(LARGEST_EVENT, Kind::Event).message),
        false => check_json(payload),
    }
}

/// The name in `name`, `name:qualifier`, or a whole or partial ARN.
fn function_name(given: &str) -> &str {
    let name = given.rsplit_once("function:").map_or(given, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

fn check_json(payload: &[u8]) -> Result<(), String> {
    let parsed = serde_json::from_slice::<Value>(payload);
    parsed.map(drop).map_err(|error| format!("Could not parse request body into json: {error}"))
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
