//! The requests of clients: the handlers of a bridge's namespace.

use kokanee_server::{Ack, BoxError, ClientError, Data, Namespace, Socket, Value};

use crate::{bridge::Bridge, dial, error::BridgeError, peers::Peer, watchers::ALL};

/// Adds the handlers of a bridge to its namespace.
pub(crate) fn register(bridge: &Bridge, namespace: &Namespace) {
    let it = bridge.clone();
    namespace.on_connect(move |socket: Socket| {
        let it = it.clone();
        async move {
            socket.join(ALL)?;
            socket.emit("peers", it.0.peers.list()).await?;
            Ok::<_, BoxError>(())
        }
    });
    let it = bridge.clone();
    namespace.on("peers", move |ack: Ack| {
        let list = it.0.peers.list();
        async move { ack.send(list) }
    });
    let it = bridge.clone();
    namespace.on(
        "data",
        move |Data((id, payload)): Data<(String, Value)>, ack: Ack| {
            let it = it.clone();
            async move {
                send(&it, id, &payload).await.map_err(ClientError::from)?;
                Ok::<_, BoxError>(ack.send("ok")?)
            }
        },
    );
    let it = bridge.clone();
    namespace.on("close", move |Data(id): Data<String>, ack: Ack| {
        let found = it.0.peers.find(&id);
        let found = found.ok_or_else(|| ClientError::from(BridgeError::NoSuchPeer(id)));
        async move {
            found?.close.notify_one();
            Ok::<_, BoxError>(ack.send("ok")?)
        }
    });
    let it = bridge.clone();
    namespace.on(
        "watch",
        move |socket: Socket, Data(id): Data<String>, ack: Ack| {
            let room = room(&it, id).map_err(ClientError::from);
            async move {
                socket.join(room?)?;
                Ok::<_, BoxError>(ack.send("ok")?)
            }
        },
    );
    namespace.on(
        "unwatch",
        async |socket: Socket, Data(id): Data<String>, ack: Ack| {
            socket.leave(if id == ALL { id } else { Peer::room(&id) });
            ack.send("ok")
        },
    );
    let it = bridge.clone();
    namespace.on(
        "dial",
        move |socket: Socket, Data(target): Data<String>, ack: Ack| {
            let it = it.clone();
            async move {
                let id = dial::dial(&it, &socket, &target).await;
                let id = id.map_err(ClientError::from)?;
                Ok::<_, BoxError>(ack.send(id)?)
            }
        },
    );
    let it = bridge.clone();
    namespace.on_disconnect(move |socket: Socket| {
        it.0.peers.close_those_of(socket.id());
        it.0.watchers.remove(socket.id());
        async {}
    });
}

fn room(bridge: &Bridge, id: String) -> Result<String, BridgeError> {
    if id == ALL {
        return Ok(id);
    }
    match bridge.0.peers.find(&id) {
        Some(_) => Ok(Peer::room(&id)),
        None => Err(BridgeError::NoSuchPeer(id)),
    }
}

async fn send(bridge: &Bridge, id: String, payload: &Value) -> Result<(), BridgeError> {
    let bytes: &[u8] = match payload {
        Value::String(text) => text.as_bytes(),
        Value::Binary(bytes) => bytes,
        _ => return Err(BridgeError::NotData),
    };
    let max = bridge.0.limits.max_message_bytes;
    if bytes.len() > max {
        let size = bytes.len();
        return Err(BridgeError::TooLarge { size, max });
    }
    let frame = bridge.0.framing.encode(bytes)?;
    let peer = bridge
        .0
        .peers
        .find(&id)
        .ok_or(BridgeError::NoSuchPeer(id))?;
    Ok(peer.send(frame).await?)
}
