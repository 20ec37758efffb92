//! The peers of a bridge, and how to send to them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use kokanee_net::{Datagram, Endpoint, NetError, SendQueue};
use kokanee_server::SocketId;
use serde::Serialize;
use tokio::sync::Notify;

/// The information on a peer that clients get.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PeerInfo {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) transport: &'static str,
    pub(crate) direction: &'static str,
}

impl PeerInfo {
    pub(crate) fn new(
        address: &Endpoint,
        transport: &'static str,
        direction: &'static str,
    ) -> Self {
        Self {
            id: String::new(),
            address: address.to_string(),
            transport,
            direction,
        }
    }
}

/// A peer, as the handlers of clients use it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) info: PeerInfo,
    pub(crate) sink: Sink,
    /// The client that has dialled it.
    pub(crate) owner: Option<SocketId>,
    /// Asks its task to close it.
    pub(crate) close: Notify,
}

/// How messages are sent to a peer.
#[derive(Debug)]
pub(crate) enum Sink {
    Stream(SendQueue),
    /// A datagram of the peer, to reply to.
    Datagram(Datagram),
}

impl Peer {
    /// Sends a frame. Waits while the queue is full, so that the sender is slowed down to the peer's pace.
    pub(crate) async fn send(&self, frame: Bytes) -> Result<(), NetError> {
        match &self.sink {
            Sink::Stream(queue) => queue.send(frame).await,
            Sink::Datagram(datagram) => datagram.reply(&frame).await,
        }
    }

    /// Returns the room of this peer's watchers.
    pub(crate) fn room(id: &str) -> String {
        format!("peer {id}")
    }
}

/// All peers, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    next_id: AtomicU64,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Peers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a peer and assigns its id.
    pub(crate) fn add(&self, info: PeerInfo, sink: Sink, owner: Option<SocketId>) -> Arc<Peer> {
        let id = (self.next_id.fetch_add(1, Ordering::Relaxed) + 1).to_string();
        let peer = Arc::new(Peer {
            info: PeerInfo { id, ..info },
            sink,
            owner,
            close: Notify::new(),
        });
        self.lock().insert(peer.info.id.clone(), Arc::clone(&peer));
        peer
    }

    /// Removes a peer. Returns `false` if it was removed before.
    pub(crate) fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Peer>> {
        self.lock().get(id).cloned()
    }

    /// Returns the information on all peers, the oldest first.
    pub(crate) fn list(&self) -> Vec<PeerInfo> {
        let mut list: Vec<_> = self.lock().values().map(|peer| peer.info.clone()).collect();
        list.sort_by_key(|info| info.id.parse::<u64>().unwrap_or(u64::MAX));
        list
    }

    /// Closes the peers that this client has dialled.
    pub(crate) fn close_those_of(&self, owner: SocketId) {
        for peer in self
            .lock()
            .values()
            .filter(|peer| peer.owner == Some(owner))
        {
            peer.close.notify_one();
        }
    }
}
