//! The other end of an HTTP connection, as its host knows it.

use std::{net::SocketAddr, sync::Arc};

use crate::delivery::Deliveries;

/// The other end of the HTTP connection that a request came on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) secure: bool,
    /// Where the answers of polls are noted until they have left, if the host can tell.
    pub(crate) deliveries: Option<Arc<Deliveries>>,
    /// Whether the host reads on after an answer that came before the request's end, so that the client can read it.
    pub(crate) lingers: bool,
    /// Whether requests of HTTP/1.1 must name their host. A host in front of us may have taken the field away.
    pub(crate) needs_host: bool,
}
