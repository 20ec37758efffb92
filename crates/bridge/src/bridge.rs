//! [`Bridge`]: what all transports share, and the peers that clients have been notified of.

use std::sync::Arc;

use bytes::Bytes;
use kokanee_net::Framing;
use kokanee_server::{Namespace, Socket};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    limits::BridgeLimits,
    peers::{Peer, PeerInfo, Peers, Sink},
    targets::Rule,
    watchers::{Notice, Watchers},
};

/// The bridge of one namespace. Cheap to clone.
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/server.md")]
/// use kokanee_bridge::Bridge;
/// use kokanee_net::{TcpClient, TcpServer};
///
/// let bridge = Bridge::builder().attach(&io.of("/tcp"));
/// let raw = TcpServer::bind("127.0.0.1:0").await?;
/// let address = raw.local_addr().to_string();
/// let it = bridge.clone();
/// tokio::spawn(async move { it.serve_tcp(raw).await });
///
/// let peer = TcpClient::new(&address).connect().await?;
/// println!("{} peers", bridge.peer_count());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Bridge(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) namespace: Namespace,
    pub(crate) framing: Framing,
    pub(crate) limits: BridgeLimits,
    pub(crate) rules: Vec<Rule>,
    pub(crate) peers: Peers,
    pub(crate) watchers: Arc<Watchers>,
    /// One permit for each dialled connection.
    pub(crate) dial_permits: Arc<Semaphore>,
}

impl Bridge {
    /// Returns the number of peers.
    pub fn peer_count(&self) -> usize {
        self.0.peers.list().len()
    }

    /// Adds a peer and notifies its watchers.
    pub(crate) async fn open(
        &self,
        info: PeerInfo,
        sink: Sink,
        owner: Option<&Socket>,
    ) -> OpenPeer {
        let peer = self.0.peers.add(info, sink, owner.map(Socket::id));
        let open = OpenPeer {
            bridge: self.clone(),
            peer,
        };
        open.notify(Notice::Change, "open", &open.peer.info).await;
        open
    }
}

/// A peer that watchers have been notified of. When it is dropped, they are notified of its end.
pub(crate) struct OpenPeer {
    bridge: Bridge,
    pub(crate) peer: Arc<Peer>,
}

impl OpenPeer {
    /// Sends a message to the watchers of this peer, at the pace of the slowest of them.
    pub(crate) async fn received(&self, frame: Bytes) {
        let id = &self.peer.info.id;
        let is_textual = self.bridge.0.framing.is_textual();
        match str::from_utf8(&frame) {
            Ok(text) if is_textual => self.notify(Notice::Message, "data", &(id, text)).await,
            _ => self.notify(Notice::Message, "data", &(id, &frame)).await,
        }
    }

    /// Notifies the watchers that the peer has closed its side.
    pub(crate) async fn ended(&self) {
        self.notify(Notice::Change, "end", &self.peer.info.id).await;
    }

    /// Removes the peer and notifies its watchers.
    pub(crate) async fn close(self, reason: &str) {
        if self.bridge.0.peers.remove(&self.peer.info.id) {
            self.notify(Notice::Change, "close", &(&self.peer.info.id, reason))
                .await;
            // A client may be in a limited number of rooms only.
            let room = Peer::room(&self.peer.info.id);
            let watchers = self.bridge.0.namespace.to(&room);
            watchers.sockets_leave(&room).await;
        }
    }

    async fn notify<T: Serialize>(&self, notice: Notice, event: &str, args: &T) {
        let id = &self.peer.info.id;
        self.bridge.0.watchers.notify(id, notice, event, args).await;
    }
}

impl Drop for OpenPeer {
    /// Handles a task that was aborted; otherwise the peer was removed before.
    fn drop(&mut self) {
        let id = self.peer.info.id.clone();
        if self.bridge.0.peers.remove(&id)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let watchers = self.bridge.0.watchers.of(&id);
            runtime.spawn(watchers.emit("close", (id, "cut off")));
        }
    }
}
