//! Peers without a connection: senders of datagrams. A sender is a peer from its first datagram until it has been
//! silent for some time.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kokanee_net::{Datagram, Endpoint, UdpServer};
use tokio::time::{Instant, interval};

use crate::{
    bridge::{Bridge, OpenPeer},
    peers::{PeerInfo, Sink},
};

/// How often silent peers are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_millis(200);

/// The senders that are peers.
#[derive(Default)]
struct Senders {
    known: Mutex<HashMap<Endpoint, Sender>>,
    /// Datagrams of senders beyond the limit.
    dropped: AtomicU64,
}

struct Sender {
    // Taken out while the receiving task uses it.
    peer: Option<OpenPeer>,
    heard_at: Instant,
}

impl Senders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Endpoint, Sender>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes and returns the peers that have been silent for `timeout`, or that a client has closed.
    fn take_gone(&self, timeout: Duration) -> Vec<(OpenPeer, &'static str)> {
        let mut known = self.lock();
        let mut gone = Vec::new();
        known.retain(|_, sender| {
            let is_closed = sender
                .peer
                .as_ref()
                .is_some_and(|open| is_notified(&open.peer.close));
            let is_silent = sender.heard_at.elapsed() >= timeout;
            if sender.peer.is_none() || !(is_closed || is_silent) {
                return true;
            }
            let reason = if is_closed {
                "closed by a client"
            } else {
                "idle"
            };
            gone.extend(sender.peer.take().map(|peer| (peer, reason)));
            false
        });
        gone
    }
}

/// Returns whether `notify_one` was called, and resets that.
fn is_notified(notify: &tokio::sync::Notify) -> bool {
    let mut notified = std::pin::pin!(notify.notified());
    notified.as_mut().enable()
}

impl Bridge {
    /// Makes every sender of datagrams a peer, until the server is [closed](kokanee_net::ServerHandle::close).
    ///
    /// The address of a sender can be forged, so a datagram does not prove who has sent it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_bridge::Bridge;
    /// use kokanee_client::SimpleClient;
    /// use kokanee_net::{UdpClient, UdpServer};
    ///
    /// let bridge = Bridge::builder().attach(&io.of("/tcp"));
    /// let raw = UdpServer::bind("127.0.0.1:0").await?;
    /// let address = raw.local_addr().to_string();
    /// tokio::spawn(async move { bridge.serve_udp(raw).await });
    ///
    /// let mut client = SimpleClient::connect(url).await?;
    /// UdpClient::connect(&address).await?.send(b"hello").await?;
    /// while client.receive(std::time::Duration::from_secs(5)).await?.name() != "data" {}
    /// # Ok(()) }
    /// ```
    pub async fn serve_udp(&self, server: UdpServer) {
        let senders = Senders::default();
        let receiving = server.serve(|datagram| self.datagram(&senders, datagram));
        tokio::select! {
            () = receiving => {}
            () = self.sweep(&senders) => {}
        }
        let known = std::mem::take(&mut *senders.lock());
        for open in known.into_values().filter_map(|sender| sender.peer) {
            open.close("the server is closing").await;
        }
    }

    async fn datagram(&self, senders: &Senders, datagram: Datagram) {
        let limits = &self.0.limits;
        let frames = match self
            .0
            .framing
            .decode_all(&datagram.data, limits.max_message_bytes)
        {
            Ok(frames) => frames,
            Err(error) => {
                tracing::debug!(peer = %datagram.peer, %error, "datagram dropped");
                return;
            }
        };
        let address = datagram.peer.clone();
        let known = {
            let mut known = senders.lock();
            if !known.contains_key(&address) && known.len() >= limits.max_datagram_peers {
                let dropped = senders.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                if dropped.is_power_of_two() {
                    tracing::warn!(dropped, "datagrams dropped: too many senders");
                }
                return;
            }
            let sender = known.entry(address.clone()).or_insert_with(|| Sender {
                peer: None,
                heard_at: Instant::now(),
            });
            sender.heard_at = Instant::now();
            sender.peer.take()
        };
        let peer = match known {
            Some(peer) => peer,
            None => {
                let info = PeerInfo::new(&address, "udp", "in");
                let way_back = datagram.without_data();
                self.open(info, Sink::Datagram(way_back), None).await
            }
        };
        for frame in frames {
            peer.received(frame).await;
        }
        if let Some(sender) = senders.lock().get_mut(&address) {
            sender.peer = Some(peer);
        }
    }

    async fn sweep(&self, senders: &Senders) {
        let mut ticks = interval(SWEEP_INTERVAL.min(self.0.limits.datagram_idle_timeout));
        loop {
            ticks.tick().await;
            for (peer, reason) in senders.take_gone(self.0.limits.datagram_idle_timeout) {
                peer.close(reason).await;
            }
        }
    }
}
