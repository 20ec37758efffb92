//! Requests for a session of another worker: the session's owner answers, and this host's connection carries its bytes.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{Extensions, Method, Request, Response, Uri, request::Parts};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kokanee_server::{
    PeerAddress, Requester, Server, StreamEnd, accept_websocket, first_protocol,
    is_websocket_request, read_body,
};
use kokanee_workers::Head;
use tokio::net::UnixStream;
use tower_service::Service;

use super::{
    body::{ReplyBody, RequestBody},
    status,
};
use crate::{
    here::opens_session,
    request,
    workers::{Owner, handover},
};

/// Says, among the extensions of a request, that it is for the session of another worker.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    pub(crate) owner: Owner,
    /// The engine that answers if the owner has gone.
    pub(crate) server: Server,
    /// The request's target as the engine has it.
    pub(crate) target: Uri,
}

/// Counts a client that ends its stream as one that has left, if its request waits until there is something to send.
fn drop_at_end(method: &Method, uri: &Uri, extensions: &Extensions) {
    if method == Method::GET
        && !opens_session(uri)
        && let Some(end) = extensions.get::<StreamEnd>()
    {
        end.drop_request();
    }
}

/// Has the owner of a session answer a request. Each part of its body must come within the timeout.
pub(super) async fn answer(
    elsewhere: Elsewhere,
    timeout: Duration,
    mut parts: Parts,
    body: RequestBody,
) -> Response<ReplyBody> {
    let Elsewhere {
        owner,
        server,
        target,
    } = elsewhere;
    parts.uri = target;
    drop_at_end(&parts.method, &parts.uri, &parts.extensions);
    if let Some(response) = pass_websocket(&owner, &mut parts) {
        return response;
    }
    let limit = server.limits().max_message_bytes;
    let mut read = Vec::new();
    if let Err(refusal) = read_body(body, &mut read, limit, timeout).await {
        return status(refusal);
    }
    let body = Bytes::from(read);
    let head = head_of(&parts);
    let request = Request::from_parts(parts, Full::new(body.clone()));
    let reply = owner.relay(server, head, request, body).await;
    reply.into_response().map(ReplyBody::Whole)
}

/// Accepts a WebSocket and hands it over to its owner. `None` if the request is not for one, or the owner has gone.
fn pass_websocket(owner: &Owner, parts: &mut Parts) -> Option<Response<ReplyBody>> {
    if !is_websocket_request(&parts.headers) {
        return None;
    }
    let upgrade = parts.extensions.remove::<OnUpgrade>()?;
    let response = accept_websocket(parts, first_protocol(&parts.headers)).ok()?;
    let carrier = handover::pass_upgraded(&owner.link, &head_of(parts)).ok()?;
    tokio::spawn(carry(upgrade, carrier));
    Some(response.map(ReplyBody::Engine))
}

/// Answers a request as the engine does, or as the owner of its session.
pub(super) async fn engine(
    mut server: Server,
    timeout: Duration,
    mut request: Request<RequestBody>,
) -> Response<ReplyBody> {
    if let Some(elsewhere) = request.extensions_mut().remove::<Elsewhere>() {
        let (parts, body) = request.into_parts();
        return answer(elsewhere, timeout, parts, body).await;
    }
    drop_at_end(request.method(), request.uri(), request.extensions());
    let Ok(response) = server.call(request).await;
    response.map(ReplyBody::Engine)
}

fn head_of(parts: &Parts) -> Head {
    let requester = parts.extensions.get::<Requester>();
    let address = requester.and_then(Requester::address);
    let address = address.or_else(|| parts.extensions.get::<PeerAddress>().map(|peer| peer.0));
    let target = parts.uri.path_and_query();
    let mut head = Head {
        method: parts.method.as_str().to_owned(),
        target: target.map_or_else(String::new, |target| target.as_str().to_owned()),
        headers: Vec::new(),
        address,
        secure: requester.is_some_and(Requester::is_secure)
            || parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
    };
    request::set_headers(&mut head, &parts.headers);
    head
}

/// Carries the bytes of a WebSocket until both sides have ended.
async fn carry(upgrade: OnUpgrade, mut owner: UnixStream) -> io::Result<()> {
    let client = upgrade.await.map_err(io::Error::other)?;
    tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut owner).await?;
    Ok(())
}
