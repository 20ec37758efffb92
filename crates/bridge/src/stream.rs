//! Peers with a connection: TCP and Unix sockets, accepted or dialled.

use std::time::Duration;

use kokanee_net::{Connection, Endpoint, NetError, TcpServer};
use kokanee_server::Socket;

use crate::{
    bridge::{Bridge, OpenPeer},
    peers::{PeerInfo, Sink},
};

/// Time in which queued messages must be sent when a peer is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

impl Bridge {
    /// Makes every connection of a TCP server a peer, until the server is [closed](kokanee_net::ServerHandle::close).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_bridge::Bridge;
    /// use kokanee_net::TcpServer;
    ///
    /// let bridge = Bridge::builder().attach(&io.of("/tcp"));
    /// // One bridge can have several servers.
    /// for address in ["127.0.0.1:0", "127.0.0.1:0"] {
    ///     let (bridge, raw) = (bridge.clone(), TcpServer::bind(address).await?);
    ///     println!("raw peers connect to {}", raw.local_addr());
    ///     tokio::spawn(async move { bridge.serve_tcp(raw).await });
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn serve_tcp(&self, server: TcpServer) {
        let bridge = self.clone();
        server
            .serve(move |connection| bridge.clone().accepted(connection))
            .await;
    }

    /// Makes every connection of a Unix server a peer, as [`serve_tcp`](Self::serve_tcp).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(bridge: kokanee_bridge::Bridge) -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{Limits, UnixServer};
    ///
    /// let raw = UnixServer::bind("/run/sensors.sock", Limits::default()).await?;
    /// bridge.serve_unix(raw).await;
    /// # Ok(()) }
    /// ```
    #[cfg(unix)]
    pub async fn serve_unix(&self, server: kokanee_net::UnixServer) {
        let bridge = self.clone();
        server
            .serve(move |connection| bridge.clone().accepted(connection))
            .await;
    }

    async fn accepted(self, connection: Connection) {
        let stream = Stream::open(&self, connection, "in", None).await;
        stream.run().await;
    }
}

/// A connection that is a peer.
pub(crate) struct Stream {
    peer: OpenPeer,
    frames: kokanee_net::FrameReader,
    drain: kokanee_net::Drain,
    half_open_timeout: Duration,
}

impl Stream {
    pub(crate) async fn open(
        bridge: &Bridge,
        connection: Connection,
        direction: &'static str,
        owner: Option<&Socket>,
    ) -> Self {
        let transport = match connection.local() {
            Endpoint::Inet(_) => "tcp",
            Endpoint::Unix(_) | Endpoint::Unnamed => "unix",
        };
        let info = PeerInfo::new(connection.peer(), transport, direction);
        let (reader, writer) = connection.into_split();
        let (queue, drain) = writer.queued();
        let peer = bridge.open(info, Sink::Stream(queue), owner).await;
        Self {
            peer,
            frames: reader
                .framed(&bridge.0.framing)
                .at_most(bridge.0.limits.max_message_bytes),
            drain,
            half_open_timeout: bridge.0.limits.half_open_timeout,
        }
    }

    pub(crate) fn id(&self) -> String {
        self.peer.peer.info.id.clone()
    }

    /// Forwards messages in both directions until one side closes the connection.
    pub(crate) async fn run(self) {
        let Self {
            peer,
            mut frames,
            drain,
            half_open_timeout,
        } = self;
        let reading = async {
            while let Some(frame) = frames.next().await? {
                peer.received(frame).await;
            }
            if half_open_timeout > Duration::ZERO {
                peer.ended().await;
                tokio::time::sleep(half_open_timeout).await;
            }
            Ok::<_, NetError>(())
        };
        let mut draining = std::pin::pin!(drain.run());
        let (reason, is_drained) = tokio::select! {
            read = reading => (reason(read, "ended by the peer"), false),
            drained = &mut draining => (reason(drained, "closed"), true),
            () = peer.peer.close.notified() => ("closed by a client".to_owned(), false),
        };
        if let (false, Sink::Stream(queue)) = (is_drained, &peer.peer.sink) {
            queue.finish();
            // A peer that does not read loses its queued messages.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, draining).await;
        }
        peer.close(&reason).await;
    }
}

fn reason(ended: Result<(), NetError>, otherwise: &str) -> String {
    match ended {
        Ok(()) => otherwise.to_owned(),
        Err(error) => error.to_string(),
    }
}
