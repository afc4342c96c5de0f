//! The body of a request: whole, within a size and a time.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{
        FromRequest, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

/// The largest body, as on Lambda for requests and answers: 6 MB. Routers have it as their body limit.
pub(crate) const LARGEST: usize = 6 << 20;
/// How long a body may take to arrive on the loopback.
const LONGEST: Duration = Duration::from_secs(10);

/// A body that has arrived.
#[derive(Debug)]
pub(crate) struct Payload(pub(crate) Bytes);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than [`LARGEST`].
    TooLarge,
    /// It broke off, or took too long.
    Broken,
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Unread;

    async fn from_request(request: Request, state: &S) -> Result<Self, Unread> {
        match timeout(LONGEST, Bytes::from_request(request, state)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
                Err(Unread::TooLarge)
            }
            _ => Err(Unread::Broken),
        }
    }
}

impl IntoResponse for Unread {
    fn into_response(self) -> Response {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::REQUEST_TIMEOUT,
        }
        .into_response()
    }
}
