//! A request that leaves its listener with its connection: see `moving.rs`.

use std::{future::pending, time::Duration};

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    http::Outcome,
    moving::{Moved, Taker},
    respond::refused,
};

/// Moves a connection away with a request, whose body may take so long.
pub(crate) async fn leave(
    go: impl FnOnce(Moved),
    mut read: Vec<u8>,
    mut body: Incoming,
    timeout: Duration,
    taker: Taker,
) -> Outcome {
    let whole = async {
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame?.into_data() {
                read.extend_from_slice(&piece);
            }
        }
        Ok::<_, hyper::Error>(())
    };
    match tokio::time::timeout(timeout, whole).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return refused(StatusCode::BAD_REQUEST).into(),
        Err(_elapsed) => return refused(StatusCode::REQUEST_TIMEOUT).into(),
    }
    go(Moved { taker, read });
    pending().await
}
