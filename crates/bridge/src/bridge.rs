//! [`Bridge`]: the handlers of its namespace, and what every transport needs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kokanee_net::{Framing, NetError};
use kokanee_server::{
    Ack, BoxError, BroadcastOperator, ClientError, Data, Namespace, Socket, Value,
};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    dial,
    peers::{Facts, Peer, Peers, Sink},
    targets::Rule,
    watchers::{News, SlowWatcher, Watchers},
};

/// The room of those who watch every peer.
const ALL: &str = "all";

/// Times and sizes that bound what a bridge costs, beside the [limits](kokanee_net::Limits) of its servers.
///
/// | limit | default | on breach |
/// |---|---|---|
/// | `max_dialled` | 100 connections that clients have asked for, those in the making included | `dial` fails |
/// | `max_datagram_peers` | 1,000 | datagrams of further senders are thrown away, and counted in the log |
/// | `datagram_idle_timeout` | 60 s without a datagram | the peer is closed (`idle`) |
/// | `half_open_timeout` | 0: a peer that ends its side is closed | the peer is closed |
/// | `max_message_bytes` | 64 KiB either way | from a client: `data` fails; from a peer: it is closed |
/// | `max_hold_up` | 1 s at once, 10 % of the time in the long run | the client [misses messages](SlowWatcher), and gets their number |
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BridgeLimits {
    /// Number of connections that clients have asked for, at the same time. One counts from before its name is resolved
    /// until it is closed.
    pub max_dialled: usize,
    /// Number of senders of datagrams that count as peers at the same time.
    pub max_datagram_peers: usize,
    /// Time after which a sender of datagrams counts as gone.
    pub datagram_idle_timeout: Duration,
    /// Time that clients get to answer a peer that has ended its side.
    pub half_open_timeout: Duration,
    /// Size of a message in bytes, either way. As JSON, control characters take six times their size: the default leaves
    /// such a message well below half of [`Limits::max_outbound_bytes`](kokanee_server::Limits::max_outbound_bytes), so
    /// that no peer can make a client a slow consumer.
    pub max_message_bytes: usize,
    /// Time that a client that has no room for a message of a peer holds up others that have it. What it has used up comes
    /// back at a tenth of the time that passes. Beyond it, [`BridgeBuilder::slow_watcher`] decides what becomes of the client.
    /// [`Duration::MAX`] makes all wait until [`Limits::write_timeout`](kokanee_server::Limits::write_timeout) ends it.
    ///
    /// Clients that are equally slow, or a single one, hold up nobody but the peer.
    pub max_hold_up: Duration,
}

impl Default for BridgeLimits {
    fn default() -> Self {
        Self {
            max_dialled: 100,
            max_datagram_peers: 1_000,
            datagram_idle_timeout: Duration::from_secs(60),
            half_open_timeout: Duration::ZERO,
            max_message_bytes: 64 * 1024,
            max_hold_up: Duration::from_secs(1),
        }
    }
}

/// What a client asked for was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("no such peer: {0}")]
    NoSuchPeer(String),
    #[error("text or bytes are expected")]
    NotData,
    #[error("message of {size} bytes exceeds the limit of {max}")]
    TooLarge { size: usize, max: usize },
    #[error("target not allowed: {0}")]
    NotAllowed(String),
    #[error("{max} connections were asked for already, which is the limit")]
    TooManyDialled { max: usize },
    #[error(transparent)]
    Net(#[from] NetError),
}

/// All of it is for the client.
impl From<BridgeError> for ClientError {
    fn from(error: BridgeError) -> Self {
        let code = match &error {
            BridgeError::NoSuchPeer(_) => "no_such_peer",
            BridgeError::NotData => "not_data",
            BridgeError::TooLarge { .. } => "too_large",
            BridgeError::NotAllowed(_) => "not_allowed",
            BridgeError::TooManyDialled { .. } => "too_many_dialled",
            BridgeError::Net(_) => "net",
        };
        Self::new(error.to_string()).code(code)
    }
}

/// The bridge of one namespace. A cheap handle.
#[derive(Debug, Clone)]
pub struct Bridge(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) namespace: Namespace,
    pub(crate) framing: Framing,
    pub(crate) limits: BridgeLimits,
    pub(crate) slow_watcher: SlowWatcher,
    pub(crate) rules: Vec<Rule>,
    pub(crate) peers: Peers,
    pub(crate) watchers: Watchers,
    /// One for each connection that clients have asked for.
    pub(crate) dial_permits: Arc<Semaphore>,
}

impl Bridge {
    /// Begins a bridge.
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder::default()
    }

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

    /// Those who watch a peer.
    pub(crate) fn watchers_of(&self, peer: &str) -> BroadcastOperator {
        self.0.namespace.to([ALL.to_owned(), Peer::room(peer)])
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
        self.bridge.tell(id, news, event, args).await;
    }
}

impl Drop for OpenPeer {
    /// For a task that was cut off; otherwise the peer was removed before.
    fn drop(&mut self) {
        let id = self.peer.facts.id.clone();
        if self.bridge.0.peers.remove(&id)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let watchers = self.bridge.watchers_of(&id);
            runtime.spawn(watchers.emit("close", (id, "cut off")));
        }
    }
}

/// The settings of a [`Bridge`].
#[derive(Debug, Clone, Default)]
#[must_use = "call attach"]
pub struct BridgeBuilder {
    framing: Framing,
    limits: BridgeLimits,
    slow_watcher: SlowWatcher,
    rules: Vec<Rule>,
}

impl BridgeBuilder {
    /// Sets how the bytes of peers become messages, and messages bytes. Default [`Framing::Raw`].
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Changes some of the limits.
    pub fn with_limits(mut self, change: impl FnOnce(&mut BridgeLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets what becomes of a client that holds up others for [`BridgeLimits::max_hold_up`]. Default
    /// [`SlowWatcher::Misses`].
    pub fn slow_watcher(mut self, slow_watcher: SlowWatcher) -> Self {
        self.slow_watcher = slow_watcher;
        self
    }

    /// Allows clients to have targets dialled. Default: none.
    pub fn allow_target(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Makes the bridge, and adds its handlers to a namespace. One namespace has one bridge.
    pub fn attach(self, namespace: &Namespace) -> Bridge {
        let max_dialled = self.limits.max_dialled.min(Semaphore::MAX_PERMITS);
        let bridge = Bridge(Arc::new(Inner {
            namespace: namespace.clone(),
            framing: self.framing,
            limits: self.limits,
            slow_watcher: self.slow_watcher,
            rules: self.rules,
            peers: Peers::default(),
            watchers: Watchers::default(),
            dial_permits: Arc::new(Semaphore::new(max_dialled)),
        }));
        register(&bridge, namespace);
        bridge
    }
}

fn register(bridge: &Bridge, namespace: &Namespace) {
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
