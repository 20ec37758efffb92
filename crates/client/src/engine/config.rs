//! [`EngineConfig`]: what all connections of a client have in common.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use kokanee_engineio::{ClientSessionConfig, Transport};

use super::{proxy::Proxy, url::Target};

/// Where and how to connect. Shared by all connections that a client makes one after the other. Full of secrets, so it cannot
/// be printed.
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
#[derive(Clone)]
pub(crate) struct EngineConfig {
    pub(crate) target: Target,
    /// The server's path, with the slash at its end.
    pub(crate) path: String,
    /// Parameters of the application, encoded.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) cookies: bool,
    /// The transports to use, the first one first. Never empty.
    pub(crate) transports: Vec<Transport>,
    pub(crate) try_all_transports: bool,
    /// Begin with a WebSocket if the last connection got as far.
    pub(crate) remember_upgrade: bool,
    pub(crate) proxy: Option<Proxy>,
    /// Set for `https` and `wss`.
    pub(crate) tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
    pub(crate) unix_socket: Option<PathBuf>,
    /// Offer permessage-deflate.
    pub(crate) compression: bool,
    /// Time for dialling and handshakes, until the open packet.
    pub(crate) connect_timeout: Duration,
    /// Longest message or body that is received.
    pub(crate) max_message_bytes: usize,
    pub(crate) session: Arc<ClientSessionConfig>,
    /// Whether the last connection was a WebSocket in the end.
    pub(crate) upgraded: Arc<AtomicBool>,
}

impl EngineConfig {
    /// The transports to try, in order.
    pub(crate) fn order(&self) -> Vec<Transport> {
        let mut order = self.transports.clone();
        if self.remember_upgrade
            && self.upgraded.load(Ordering::Relaxed)
            && let Some(at) = order
                .iter()
                .position(|&transport| transport == Transport::WebSocket)
        {
            order.rotate_left(at);
        }
        order
    }
}
