//! Connections of the package's own host that move to the owner of a session with the first request for it, so that the next
//! ones are there at once. The owner gets the bytes of the request, and serves the connection as one that it has accepted.

use std::{net::SocketAddr, sync::Arc};

use kokanee_server::{Adopter, Taker};
use kokanee_workers::{Forwarded, Handed, Head, Passed};

use super::relay::Owner;

/// Returns what takes the connection of a client with this address to the owner of a session.
pub(crate) fn taker(owner: Owner, address: Option<SocketAddr>) -> Taker {
    Box::new(move |connection, read| {
        let head = Head {
            method: String::new(),
            target: String::new(),
            headers: Vec::new(),
            address,
            secure: false,
        };
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
    })
}

/// Serves a connection that has moved here, or that `is_back` as its owner has gone.
pub(super) async fn serve(adopter: Arc<Adopter>, passed: Box<Passed>, is_back: bool) {
    let Passed {
        forwarded,
        connection,
    } = *passed;
    let served = adopter.serve(
        connection,
        forwarded.unread,
        forwarded.head.address,
        is_back,
    );
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of another worker was not served");
    }
}
