//! Requests for a session of another worker: this one hands each to the session's owner, which answers as it answers its own.
//!
//! | connection | what goes there |
//! |---|---|
//! | that its host has given away | The connection, for this one request. |
//! | of the package's own host | The connection, which stays with the owner (`moving.rs`). |
//! | that its host keeps, or that is encrypted | A small request, over the link (`relay.rs`). For a WebSocket, and for a large request, an end of a socket pair: what the owner writes to it is the bytes of the WebSocket, or the response. |

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{Empty, Full};
use kokanee_server::Server;
use kokanee_workers::{Forwarded, Handed, Head, Link, Passed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::Handle,
};

use crate::{
    adopt::{self, Taken},
    feed::{self, Stream},
    request::{self, Reply, request_of},
};

/// How long the body of a request, and the first bytes for a WebSocket, may take from one worker to the other; and how long
/// a POST may take, whose client may have to wait for handlers.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest response.
const MOST_RESPONSE_BYTES: u64 = 256 * 1024 * 1024;

fn forwarded(handed: Handed, head: &Head, body: &Bytes) -> Forwarded {
    Forwarded {
        handed,
        head: head.clone(),
        body: body.len() as u64,
        unread: Vec::new(),
    }
}

/// Answers a request that another worker has handed over, or one that nobody has taken.
pub(crate) async fn serve(runtime: Handle, server: Server, passed: Box<Passed>) {
    let Passed {
        forwarded,
        connection,
    } = *passed;
    if let Err(error) = try_serve(&runtime, server, forwarded, connection).await {
        tracing::debug!(%error, "a request of another worker was not answered");
    }
}

async fn try_serve(
    runtime: &Handle,
    server: Server,
    forwarded: Forwarded,
    connection: OwnedFd,
) -> io::Result<()> {
    let head = &forwarded.head;
    let mut taken = Taken::of(runtime, connection)?;
    if is_websocket(head) {
        let mut request = request_of(head, Empty::new()).map_err(io::Error::other)?;
        let answered = forwarded.handed == Handed::WebSocket;
        if answered {
            feed::complete(request.headers_mut());
        }
        let unread = &forwarded.unread;
        adopt::accept(&server, taken, request, unread, head.address, answered).await;
        return Ok(());
    }
    let body = tokio::time::timeout(TIMEOUT, taken.read(forwarded.body)).await??;
    let request = request_of(head, Full::from(body)).map_err(io::Error::other)?;
    request::answer_on(taken, server, request).await;
    Ok(())
}

fn is_websocket(head: &Head) -> bool {
    let mut headers = head.headers.iter();
    headers.any(|(name, value)| name == "upgrade" && value.eq_ignore_ascii_case("websocket"))
}

/// Has the owner of a session answer a request with a large body, and returns the response: `None` if it has gone.
pub(super) async fn relay(link: &Link, head: &Head, body: &Bytes) -> Option<Reply> {
    match exchange(link, head, body).await {
        Ok(response) if !response.is_empty() => {
            Some(Reply::parse(&response).unwrap_or_else(Reply::unavailable))
        }
        _ => None,
    }
}

async fn exchange(link: &Link, head: &Head, body: &Bytes) -> io::Result<Vec<u8>> {
    let mut stream = pass(link, forwarded(Handed::Request, head, body))?;
    stream.write_all(body).await?;
    let mut response = Vec::new();
    let mut limited = stream.take(MOST_RESPONSE_BYTES);
    limited.read_to_end(&mut response).await?;
    Ok(response)
}

/// Hands a request over with an end of a socket pair, and returns the other one.
fn pass(link: &Link, forwarded: Forwarded) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let connection = OwnedFd::from(theirs.into_std()?);
    let passed = Passed {
        forwarded,
        connection,
    };
    match link.pass(Box::new(passed)) {
        Ok(()) => Ok(ours),
        Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Hands over a WebSocket whose host has sent 101, and returns what carries its bytes.
pub(crate) fn pass_upgraded(link: &Link, head: &Head) -> io::Result<UnixStream> {
    pass(link, forwarded(Handed::WebSocket, head, &Bytes::new()))
}

/// Carries the bytes of a WebSocket between its host, which hands over messages, and the owner of its session.
pub(crate) async fn relay_websocket(
    link: Arc<Link>,
    server: Server,
    head: Head,
    request: Request<Empty<Bytes>>,
    stream: Stream,
) {
    let mut stream = stream;
    let mut first = vec![0; 1024];
    let opened = async {
        let mut owner = pass(&link, forwarded(Handed::Request, &head, &Bytes::new()))?;
        let read = owner.read(&mut first).await?;
        Ok::<_, io::Error>((owner, read))
    };
    match tokio::time::timeout(TIMEOUT, opened).await {
        Ok(Ok((mut owner, read @ 1..))) => {
            if stream.write_all(&first[..read]).await.is_ok() {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut owner).await;
            }
        }
        // It has gone.
        _ => feed::accept(server, stream, request, head.address).await,
    }
}
