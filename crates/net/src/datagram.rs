//! Datagrams: the socket that UDP and Unix servers and clients share, and [`Datagram`], which can be replied to.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{Interest, Ready},
    net::UdpSocket,
};

use crate::{
    endpoint::Endpoint, error::NetError, limits::Limits, outcome::Outcome, registry::Registry,
    scratch,
};

/// Pause after an unexpected error of the socket.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// A received datagram and its sender.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// The content.
    pub data: Bytes,
    /// The sender.
    pub peer: Endpoint,
    socket: Arc<DatagramSocket>,
}

impl Datagram {
    /// Sends a datagram to the sender of this one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{Datagram, UdpServer};
    ///
    /// let server = UdpServer::bind("127.0.0.1:0").await?;
    /// tokio::spawn(server.serve(async |datagram: Datagram| {
    ///     datagram.reply(format!("{} bytes received", datagram.data.len()).as_bytes()).await
    /// }));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`UdpServer::send_to`](crate::UdpServer::send_to).
    pub async fn reply(&self, data: &[u8]) -> Result<(), NetError> {
        self.socket.send_to(data, &self.peer).await
    }

    /// Drops the content and keeps the sender, for later replies.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::Datagram;
    ///
    /// /// Remembers who has sent something, and not what.
    /// fn remember(senders: &mut Vec<Datagram>, datagram: Datagram) {
    ///     senders.push(datagram.without_data());
    /// }
    ///
    /// async fn broadcast(senders: &[Datagram], news: &[u8]) {
    ///     for sender in senders {
    ///         let _ = sender.reply(news).await; // It may be gone.
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn without_data(self) -> Self {
        Self {
            data: Bytes::new(),
            ..self
        }
    }
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(tokio::net::UnixDatagram),
}

/// A bound socket.
pub(crate) struct DatagramSocket {
    socket: Socket,
    local: Endpoint,
    limits: Limits,
    over_limit: AtomicU64,
    pub(crate) registry: Arc<Registry>,
}

impl std::fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatagramSocket")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl DatagramSocket {
    pub(crate) fn udp(socket: UdpSocket, local: Endpoint, limits: Limits) -> Self {
        Self::new(Socket::Udp(socket), local, limits)
    }

    #[cfg(unix)]
    pub(crate) fn unix(socket: tokio::net::UnixDatagram, local: Endpoint, limits: Limits) -> Self {
        Self::new(Socket::Unix(socket), local, limits)
    }

    fn new(socket: Socket, local: Endpoint, limits: Limits) -> Self {
        Self {
            socket,
            local,
            limits,
            over_limit: AtomicU64::new(0),
            registry: Arc::default(),
        }
    }

    pub(crate) fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Returns the UDP socket inside. `None` for Unix.
    pub(crate) fn as_udp(&self) -> Option<&UdpSocket> {
        match &self.socket {
            Socket::Udp(socket) => Some(socket),
            #[cfg(unix)]
            Socket::Unix(_) => None,
        }
    }

    pub(crate) fn over_limit(&self) -> u64 {
        self.over_limit.load(Ordering::Relaxed)
    }

    /// Receives a datagram and its sender. Cancel safe.
    pub(crate) async fn recv(&self) -> Result<(Bytes, Endpoint), NetError> {
        let max = self.limits.max_datagram_bytes;
        loop {
            let received: io::Result<_> = match &self.socket {
                Socket::Udp(socket) => {
                    let ready = socket.ready(Interest::READABLE | Interest::ERROR).await;
                    self.check(ready, |take| socket.try_io(Interest::ERROR, take))?;
                    scratch::with(|scratch| {
                        let (length, peer) = socket.try_recv_from(scratch)?;
                        Ok((within(&scratch[..length], max), Endpoint::from(peer)))
                    })
                }
                #[cfg(unix)]
                Socket::Unix(socket) => {
                    let ready = socket.ready(Interest::READABLE | Interest::ERROR).await;
                    self.check(ready, |take| socket.try_io(Interest::ERROR, take))?;
                    scratch::with(|scratch| {
                        let (length, peer) = socket.try_recv_from(scratch)?;
                        Ok((within(&scratch[..length], max), Endpoint::from(peer)))
                    })
                }
            };
            match received {
                Ok((Some(data), peer)) => return Ok((data, peer)),
                Ok((None, peer)) => {
                    self.over_limit.fetch_add(1, Ordering::Relaxed);
                    let peer = peer.to_string();
                    return Err(NetError::DatagramOverLimit { peer, max });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(fail("receive on", &self.local, error)),
            }
        }
    }

    /// Checks the result of a call for an error of an earlier datagram, such as that no program listens on the peer's
    /// port.
    fn check(
        &self,
        ready: io::Result<Ready>,
        try_io: impl FnOnce(&dyn Fn() -> io::Result<()>) -> io::Result<()>,
    ) -> Result<(), NetError> {
        let failed = |error| Err(fail("receive on", &self.local, error));
        match ready {
            Err(error) => failed(error),
            Ok(ready) if !ready.is_error() => Ok(()),
            Ok(_) => match try_io(&|| self.take_error()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(error) => failed(error),
                Ok(()) => Ok(()),
            },
        }
    }

    /// Takes the pending error of the socket. Returns `WouldBlock` if there is none, so that tokio waits for the next
    /// one.
    fn take_error(&self) -> io::Result<()> {
        let error = match &self.socket {
            Socket::Udp(socket) => socket.take_error(),
            #[cfg(unix)]
            Socket::Unix(socket) => socket.take_error(),
        };
        Err(error?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
    }

    /// Sends a datagram.
    pub(crate) async fn send_to(&self, data: &[u8], peer: &Endpoint) -> Result<(), NetError> {
        let sent = match (&self.socket, peer) {
            (Socket::Udp(socket), Endpoint::Inet(address)) => {
                // A dual-stack socket addresses IPv4 peers by their mapped address.
                let mut address = *address;
                if let (true, std::net::IpAddr::V4(ip)) = (
                    self.local.inet().is_some_and(|local| local.is_ipv6()),
                    address.ip(),
                ) {
                    address.set_ip(ip.to_ipv6_mapped().into());
                }
                socket.send_to(data, address).await
            }
            #[cfg(unix)]
            (Socket::Unix(socket), Endpoint::Unix(path)) => socket.send_to(data, path).await,
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the sender has no address to reply to",
            )),
        };
        sent_to(sent, data.len(), peer)
    }

    /// Sends a datagram to the peer that the socket is connected to.
    pub(crate) async fn send(&self, data: &[u8], peer: &Endpoint) -> Result<(), NetError> {
        let sent = match &self.socket {
            Socket::Udp(socket) => socket.send(data).await,
            #[cfg(unix)]
            Socket::Unix(socket) => socket.send(data).await,
        };
        sent_to(sent, data.len(), peer)
    }

    /// Runs a handler for every datagram, one after another, until the server closes.
    pub(crate) async fn serve<F, Fut>(self: Arc<Self>, handler: F)
    where
        F: Fn(Datagram) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        loop {
            let received = tokio::select! {
                received = self.recv() => received,
                () = self.registry.stopped() => return,
            };
            match received {
                Ok((data, peer)) => {
                    let socket = Arc::clone(&self);
                    let datagram = Datagram { data, peer, socket };
                    if let Some(error) = handler(datagram).await.into_error() {
                        tracing::debug!(%error, "handler ended with an error");
                    }
                }
                Err(error @ NetError::DatagramOverLimit { .. }) => {
                    tracing::debug!(%error, "datagram dropped");
                }
                // Usually the report that an earlier datagram was not delivered.
                Err(error) => {
                    tracing::debug!(%error, "an error while receiving, continuing");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    pub(crate) fn datagram(self: &Arc<Self>, (data, peer): (Bytes, Endpoint)) -> Datagram {
        Datagram {
            data,
            peer,
            socket: Arc::clone(self),
        }
    }
}

/// Returns the datagram, unless it is too large. One that fills the buffer may have been truncated, as those of Unix
/// sockets can be larger.
fn within(data: &[u8], max: usize) -> Option<Bytes> {
    (data.len() <= max && data.len() < scratch::SCRATCH_BYTES).then(|| Bytes::copy_from_slice(data))
}

fn sent_to(sent: io::Result<usize>, size: usize, peer: &Endpoint) -> Result<(), NetError> {
    match sent {
        Ok(_) => Ok(()),
        Err(error) if is_too_large(&error) => Err(NetError::DatagramTooLarge {
            peer: peer.to_string(),
            size,
        }),
        Err(error) => Err(fail("send to", peer, error)),
    }
}

fn fail(action: &'static str, at: &Endpoint, source: io::Error) -> NetError {
    NetError::from_io(action, at.to_string(), source)
}

/// Checks for EMSGSIZE, which has no `ErrorKind`.
fn is_too_large(error: &io::Error) -> bool {
    let code = if cfg!(target_os = "linux") {
        90
    } else if cfg!(windows) {
        10040
    } else {
        40
    };
    error.raw_os_error() == Some(code)
}
