//! A request that leaves its listener with its connection: see `moving.rs`.

use std::{future::pending, time::Duration};

use hyper::body::Incoming;

use crate::{
    http::Outcome,
    moving::{MOST_BODY_BYTES, Moved, Taker},
    respond::refused,
    whole_body::read_body,
};

/// Moves a connection away with a request, each part of whose body must come within a time.
pub(crate) async fn leave(
    go: impl FnOnce(Moved),
    mut read: Vec<u8>,
    body: Incoming,
    timeout: Duration,
    taker: Taker,
) -> Outcome {
    if let Err(status) = read_body(body, &mut read, MOST_BODY_BYTES, timeout).await {
        return refused(status).into();
    }
    go(Moved { taker, read });
    pending().await
}
