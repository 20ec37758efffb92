//! `dial`: a client asks for a connection to a target on the allow list.

use std::sync::Arc;

use kokanee_net::{NetError, TcpClient, resolve};
use kokanee_server::Socket;

use crate::{
    bridge::Bridge,
    error::BridgeError,
    stream::Stream,
    targets::{allowed, concern},
};

/// Connects and returns the peer's id.
pub(crate) async fn dial(
    bridge: &Bridge,
    socket: &Socket,
    target: &str,
) -> Result<String, BridgeError> {
    let refused = || BridgeError::NotAllowed(target.to_owned());
    let parts = target.rsplit_once(':');
    let Some((host, Ok(port))) = parts.map(|(host, port)| (host, port.parse())) else {
        let text = target.to_owned();
        return Err(NetError::NotAnAddress { text }.into());
    };
    let host = host.trim_matches(['[', ']']);
    // Only names on the list are resolved, so that clients cannot scan names through the bridge.
    if !concern(&bridge.0.rules, host, port) {
        return Err(refused());
    }
    // Checked before resolving the name, which takes time and a thread.
    let max = bridge.0.limits.max_dialled;
    let permits = Arc::clone(&bridge.0.dial_permits);
    let permit = permits
        .try_acquire_owned()
        .map_err(|_none| BridgeError::TooManyDialled { max })?;
    let addresses = resolve(target).await?;
    let addresses = allowed(&bridge.0.rules, host, &addresses);
    if addresses.is_empty() {
        return Err(refused());
    }
    let connection = TcpClient::new(target).connect_to(&addresses).await?;
    let stream = Stream::open(bridge, connection, "out", Some(socket)).await;
    let id = stream.id();
    tokio::spawn(async move {
        stream.run().await;
        drop(permit);
    });
    if !socket.is_connected() {
        // The client disconnected meanwhile, and its peers may have been closed before this one was added.
        bridge.0.peers.close_those_of(socket.id());
    }
    Ok(id)
}
