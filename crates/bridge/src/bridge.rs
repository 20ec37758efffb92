//! [`Bridge`]: what every transport needs, and the peers that clients know of.

use std::sync::Arc;

use bytes::Bytes;
use kokanee_net::Framing;
use kokanee_server::{Namespace, Socket};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    limits::BridgeLimits,
    peers::{Facts, Peer, Peers, Sink},
    targets::Rule,
    watchers::{News, Watchers},
};

/// The bridge of one namespace. A cheap handle.
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
    /// One for each connection that clients have asked for.
    pub(crate) dial_permits: Arc<Semaphore>,
}

impl Bridge {
    /// Number of peers.
    pub fn peer_count(&self) -> usize {
        self.0.peers.list().len()
    }

    /// Tells clients of a new peer.
    pub(crate) async fn open(&self, facts: Facts, sink: Sink, owner: Option<&Socket>) -> OpenPeer {
        let peer = self.0.peers.add(facts, sink, owner.map(Socket::id));
        let open = OpenPeer {
            bridge: self.clone(),
            peer,
        };
        open.tell(News::Change, "open", &open.peer.facts).await;
        open
    }
}

/// A peer that clients know of. When it is dropped, they learn that it has gone.
pub(crate) struct OpenPeer {
    bridge: Bridge,
    pub(crate) peer: Arc<Peer>,
}

impl OpenPeer {
    /// Hands a message to the clients that watch this peer, at the pace of the slowest of them.
    pub(crate) async fn received(&self, frame: Bytes) {
        let id = &self.peer.facts.id;
        let is_textual = self.bridge.0.framing.is_textual();
        match str::from_utf8(&frame) {
            Ok(text) if is_textual => self.tell(News::Message, "data", &(id, text)).await,
            _ => self.tell(News::Message, "data", &(id, &frame)).await,
        }
    }

    /// Tells that the peer sends nothing more.
    pub(crate) async fn ended(&self) {
        self.tell(News::Change, "end", &self.peer.facts.id).await;
    }

    /// Tells that the peer has gone.
    pub(crate) async fn close(self, reason: &str) {
        if self.bridge.0.peers.remove(&self.peer.facts.id) {
            self.tell(News::Change, "close", &(&self.peer.facts.id, reason))
                .await;
            // Clients may be in a limited number of rooms.
            let room = Peer::room(&self.peer.facts.id);
            let watchers = self.bridge.0.namespace.to(&room);
            watchers.sockets_leave(&room).await;
        }
    }

    async fn tell<T: Serialize>(&self, news: News, event: &str, args: &T) {
        let id = &self.peer.facts.id;
        self.bridge.0.watchers.tell(id, news, event, args).await;
    }
}

impl Drop for OpenPeer {
    /// For a task that was cut off; otherwise the peer was removed before.
    fn drop(&mut self) {
        let id = self.peer.facts.id.clone();
        if self.bridge.0.peers.remove(&id)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let watchers = self.bridge.0.watchers.of(&id);
            runtime.spawn(watchers.emit("close", (id, "cut off")));
        }
    }
}
