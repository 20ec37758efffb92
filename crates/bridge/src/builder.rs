//! [`BridgeBuilder`]: the settings of a bridge until it is attached to its namespace.

use std::sync::Arc;

use kokanee_net::Framing;
use kokanee_server::Namespace;
use tokio::sync::Semaphore;

use crate::{
    bridge::{Bridge, Inner},
    handlers,
    limits::BridgeLimits,
    peers::Peers,
    targets::Rule,
    watchers::{SlowWatcher, Watchers},
};

impl Bridge {
    /// Returns a builder with the default settings.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_bridge::{Bridge, SlowWatcher};
    /// use kokanee_net::Framing;
    ///
    /// # fn example(io: kokanee_server::Server) {
    /// let bridge = Bridge::builder()
    ///     .framing(Framing::Lines)
    ///     .slow_watcher(SlowWatcher::IsDisconnected)
    ///     .attach(&io.of("/tcp"));
    /// # }
    /// ```
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder::default()
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
    /// Sets how the byte streams of peers are split into messages. Default [`Framing::Raw`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_bridge::Bridge;
    /// use kokanee_client::SimpleClient;
    /// use kokanee_net::{Framing, TcpClient, TcpServer};
    ///
    /// // Each line of a peer is one event, and its argument is text.
    /// let bridge = Bridge::builder().framing(Framing::Lines).attach(&io.of("/tcp"));
    /// let raw = TcpServer::bind("127.0.0.1:0").await?;
    /// let address = raw.local_addr().to_string();
    /// tokio::spawn(async move { bridge.serve_tcp(raw).await });
    ///
    /// let mut client = SimpleClient::connect(url).await?;
    /// let mut peer = TcpClient::new(&address).connect().await?;
    /// peer.send_all(b"21.5\n").await?;
    /// loop {
    ///     let received = client.receive(std::time::Duration::from_secs(5)).await?;
    ///     if received.name() == "data" {
    ///         let (id, line): (String, String) = received.data()?;
    ///         assert_eq!(line, "21.5");
    ///         client.emit("data", (id, "thanks")).await?;
    ///         break;
    ///     }
    /// }
    /// assert_eq!(peer.recv().await?.as_deref(), Some(&b"thanks\n"[..]));
    /// # Ok(()) }
    /// ```
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Changes some of the limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_bridge::Bridge;
    ///
    /// let builder = Bridge::builder().with_limits(|limits| {
    ///     limits.max_message_bytes = 4096;
    ///     limits.half_open_timeout = Duration::from_secs(10); // Clients can answer a peer that has ended its side.
    /// });
    /// ```
    pub fn with_limits(mut self, change: impl FnOnce(&mut BridgeLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets what happens to a client that delays others for [`BridgeLimits::max_hold_up`]. Default
    /// [`SlowWatcher::DropMessages`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_bridge::{Bridge, SlowWatcher};
    ///
    /// // Who needs every message reconnects, and reads them from a database.
    /// let builder = Bridge::builder()
    ///     .with_limits(|limits| limits.max_hold_up = Duration::from_millis(200))
    ///     .slow_watcher(SlowWatcher::IsDisconnected);
    /// ```
    pub fn slow_watcher(mut self, slow_watcher: SlowWatcher) -> Self {
        self.slow_watcher = slow_watcher;
        self
    }

    /// Allows clients to have targets dialled. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_bridge::Bridge;
    /// use kokanee_client::{AckError, SimpleClient};
    ///
    /// let bridge = Bridge::builder()
    ///     .allow_target("plc.local:502".parse()?)
    ///     .allow_target("10.0.0.0/8:502".parse()?)
    ///     .attach(&io.of("/tcp"));
    ///
    /// let client = SimpleClient::connect(url).await?;
    /// match client.call::<String>("dial", "127.0.0.1:22").await {
    ///     Err(AckError::Remote(error)) => assert_eq!(error.code, "not_allowed"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn allow_target(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Creates the bridge and adds its handlers to a namespace. One namespace has one bridge.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_bridge::Bridge;
    /// use kokanee_server::{Auth, ConnectError, Server};
    ///
    /// let io = Server::new();
    /// let namespace = io.of("/tcp");
    /// // Decides who sees and reaches the peers.
    /// namespace.middleware(async |Auth(auth): Auth<serde_json::Value>| match auth["token"].as_str() {
    ///     Some("secret") => Ok(()),
    ///     _ => Err(ConnectError::new("not allowed")),
    /// });
    /// let bridge = Bridge::builder().attach(&namespace);
    /// assert_eq!(bridge.peer_count(), 0);
    /// ```
    pub fn attach(self, namespace: &Namespace) -> Bridge {
        let max_dialled = self.limits.max_dialled.min(Semaphore::MAX_PERMITS);
        let watchers = Watchers::new(namespace, self.limits.max_hold_up, self.slow_watcher);
        let bridge = Bridge(Arc::new(Inner {
            namespace: namespace.clone(),
            framing: self.framing,
            limits: self.limits,
            rules: self.rules,
            peers: Peers::default(),
            watchers: Arc::new(watchers),
            dial_permits: Arc::new(Semaphore::new(max_dialled)),
        }));
        handlers::register(&bridge, namespace);
        bridge
    }
}
