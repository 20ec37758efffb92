//! The peers of a bridge: who is there, and how to reach it.

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

/// What clients learn of a peer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) transport: &'static str,
    pub(crate) direction: &'static str,
}

impl Facts {
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

/// A peer, as the handlers of clients see it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) facts: Facts,
    pub(crate) sink: Sink,
    /// Who has dialled it.
    pub(crate) owner: Option<SocketId>,
    /// Asks its task to end it.
    pub(crate) close: Notify,
}

/// How a message gets to a peer.
#[derive(Debug)]
pub(crate) enum Sink {
    Stream(SendQueue),
    /// A datagram that has come from it, to be answered.
    Datagram(Datagram),
}

impl Peer {
    /// Sends a frame. Waits for room, so that whoever sends goes at the peer's pace.
    pub(crate) async fn send(&self, frame: Bytes) -> Result<(), NetError> {
        match &self.sink {
            Sink::Stream(queue) => queue.send(frame).await,
            Sink::Datagram(datagram) => datagram.reply(&frame).await,
        }
    }

    /// The room of those who watch this peer.
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

    /// Adds a peer, and gives it its id.
    pub(crate) fn add(&self, facts: Facts, sink: Sink, owner: Option<SocketId>) -> Arc<Peer> {
        let id = (self.next_id.fetch_add(1, Ordering::Relaxed) + 1).to_string();
        let peer = Arc::new(Peer {
            facts: Facts { id, ..facts },
            sink,
            owner,
            close: Notify::new(),
        });
        self.lock().insert(peer.facts.id.clone(), Arc::clone(&peer));
        peer
    }

    /// Removes a peer. `false` if it was removed before.
    pub(crate) fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Peer>> {
        self.lock().get(id).cloned()
    }

    /// The facts of all peers, the oldest first.
    pub(crate) fn list(&self) -> Vec<Facts> {
        let mut list: Vec<_> = self
            .lock()
            .values()
            .map(|peer| peer.facts.clone())
            .collect();
        list.sort_by_key(|facts| facts.id.parse::<u64>().unwrap_or(u64::MAX));
        list
    }

    /// Ends the peers that this client has dialled.
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
