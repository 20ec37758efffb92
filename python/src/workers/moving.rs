//! Connections of the package's own host that move to the owner of a session with the first request for it, so that the next
//! ones are there at once. The owner gets the bytes of the request, and serves the connection as one that it has accepted.

use std::sync::Arc;

use bytes::Bytes;
use http::{Version, header, request::Parts};
use kokanee_server::{Adopter, Moving, PeerAddress};
use kokanee_workers::{Forwarded, Handed, Head, Passed};

use super::relay::{MOST_BODY_BYTES, Owner};
use crate::request::address_of;

/// Moves the connection of a request with the target that the client has sent. `false`: it cannot move.
pub(crate) fn move_to(owner: &Owner, parts: &Parts, target: &str, body: &Bytes) -> bool {
    let Some(moving) = parts.extensions.get::<Moving>() else {
        return false;
    };
    // What was read in chunks has lost their form. The connection of an old client ends after the response.
    let is_whole =
        parts.version == Version::HTTP_11 && !parts.headers.contains_key(header::TRANSFER_ENCODING);
    if !is_whole || body.len() > MOST_BODY_BYTES {
        return false;
    }
    let mut read = request_bytes(parts, target, body);
    let peer = parts.extensions.get::<PeerAddress>();
    let head = Head {
        method: String::new(),
        target: String::new(),
        headers: Vec::new(),
        address: peer.map(|peer| (peer.0.ip().to_string(), peer.0.port())),
        secure: false,
    };
    let owner = owner.clone();
    moving.give(move |connection, unread| {
        read.extend_from_slice(&unread);
        let forwarded = Forwarded {
            handed: Handed::Connection,
            head,
            body: 0,
            unread: read,
        };
        owner.pass(Passed {
            forwarded,
            connection,
        });
    });
    true
}

/// Returns a request as its client has sent it, except for the case of the names of its headers.
fn request_bytes(parts: &Parts, target: &str, body: &Bytes) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024 + body.len());
    for word in [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        bytes.extend_from_slice(word.as_bytes());
    }
    for (name, value) in &parts.headers {
        // The body was read, and is not waited for.
        if name != header::EXPECT {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b":");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Serves a connection that has moved here, or that `is_back` as its owner has gone.
pub(super) async fn serve(adopter: Arc<Adopter>, passed: Box<Passed>, is_back: bool) {
    let Passed {
        forwarded,
        connection,
    } = *passed;
    let address = address_of(&forwarded.head);
    let served = adopter.serve(connection, forwarded.unread, address, is_back);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of another worker was not served");
    }
}
