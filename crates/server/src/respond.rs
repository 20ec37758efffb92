//! Answers that consist of their status.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;

pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Returns 400 without a body: for requests that overlap, or a body of the wrong kind.
pub(crate) fn bad_request() -> Response<Body> {
    status(StatusCode::BAD_REQUEST)
}

pub(crate) fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::full("Not Found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// Returns the answer to a POST whose body was not read to its end: its connection is closed after it.
pub(crate) fn refused(reason: StatusCode) -> Response<Body> {
    let mut response = status(reason);
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
