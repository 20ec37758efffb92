//! The whole body of a request, for who passes it on or hands it to an application at once.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;

/// Appends a body to what was read, at most so many bytes; each of its parts must come within a time.
///
/// # Errors
/// The status of the response: the body is larger, cannot be read, or does not go on.
#[doc(hidden)]
pub async fn read_body<B>(
    mut body: B,
    read: &mut Vec<u8>,
    most_bytes: usize,
    timeout: Duration,
) -> Result<(), StatusCode>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = most_bytes;
    let size = body.size_hint().exact().map(usize::try_from);
    if let Some(Ok(size)) = size {
        read.reserve(size.min(most_bytes));
    }
    loop {
        match tokio::time::timeout(timeout, body.frame()).await {
            Err(_elapsed) => return Err(StatusCode::REQUEST_TIMEOUT),
            Ok(Some(Err(_))) => return Err(StatusCode::BAD_REQUEST),
            Ok(None) => return Ok(()),
            Ok(Some(Ok(frame))) => {
                // Trailers are nobody's.
                let data = frame.into_data().unwrap_or_default();
                left = left
                    .checked_sub(data.remaining())
                    .ok_or(StatusCode::PAYLOAD_TOO_LARGE)?;
                read.extend_from_slice(&data);
            }
        }
    }
}
