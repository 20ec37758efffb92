//! The other end of an HTTP connection, as the server's host knows it.

use std::{net::SocketAddr, sync::Arc};

use crate::delivery::Deliveries;

/// The other end of the HTTP connection that a request came on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) secure: bool,
    /// The answers to polls that are not sent yet, if the host reports when they are.
    pub(crate) deliveries: Option<Arc<Deliveries>>,
    /// Whether the host reads the rest of a request that was answered early, so that the client can read the answer.
    pub(crate) lingers: bool,
    /// Whether requests of HTTP/1.1 must have a `Host` field. A host application may have removed it.
    pub(crate) needs_host: bool,
}
