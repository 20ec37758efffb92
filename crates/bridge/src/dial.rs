//! `dial`: a client asks for a connection to a target on the allow list.

use kokanee_net::{NetError, TcpClient, resolve};
use kokanee_server::Socket;

use crate::{
    Bridge,
    bridge::BridgeError,
    stream::Stream,
    targets::{allowed, concern},
};

/// Connects, and returns the peer's id.
pub(crate) async fn dial(
    bridge: &Bridge,
    socket: &Socket,
    target: &str,
) -> Result<String, BridgeError> {
    let refused = || BridgeError::NotAllowed(target.to_owned());
    let host = match target.rsplit_once(':') {
        Some((host, _)) => host.trim_matches(['[', ']']),
        None => {
            let text = target.to_owned();
            return Err(NetError::NotAnAddress { text }.into());
        }
    };
    // Names that no rule concerns are not even looked up: nobody scans names through us.
    if !concern(&bridge.0.rules, host) {
        return Err(refused());
    }
    let addresses = resolve(target).await?;
    let addresses = allowed(&bridge.0.rules, host, &addresses);
    if addresses.is_empty() {
        return Err(refused());
    }
    let max = bridge.0.limits.max_dialled;
    if bridge.0.peers.dialled_count() >= max {
        return Err(BridgeError::TooManyDialled { max });
    }
    let connection = TcpClient::new(target).connect_to(&addresses).await?;
    let stream = Stream::open(bridge, connection, "out", Some(socket)).await;
    let id = stream.id();
    tokio::spawn(stream.run());
    if !socket.is_connected() {
        // It has left meanwhile, and its peers may have been closed before this one was there.
        bridge.0.peers.close_those_of(socket.id());
    }
    Ok(id)
}
