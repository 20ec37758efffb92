//! UDP: [`UdpServer`] and [`UdpClient`].

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    datagram::{Datagram, DatagramSocket},
    endpoint::{self, Endpoint},
    error::NetError,
    limits::Limits,
    options::UdpOptions,
    outcome::Outcome,
    registry::ServerHandle,
};

/// A UDP server: a bound socket that receives datagrams of any sender.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
/// use kokanee_net::{Datagram, UdpClient, UdpServer};
///
/// let server = UdpServer::bind("127.0.0.1:0").await?;
/// let address = server.local_addr().to_string();
/// tokio::spawn(server.serve(async |datagram: Datagram| datagram.reply(&datagram.data).await));
///
/// let client = UdpClient::connect(&address).await?;
/// client.send(b"hello").await?;
/// assert_eq!(client.recv().await?, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UdpServer(Arc<DatagramSocket>);

impl UdpServer {
    /// Binds `host:port`. Port 0 means any free port, the host `[::]` all addresses of this machine, IPv4 and IPv6.
    ///
    /// # Errors
    /// [`NetError::AddressInUse`] and similar errors.
    pub async fn bind(address: &str) -> Result<Self, NetError> {
        Self::builder().bind(address).await
    }

    /// Returns a builder with other settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::UdpServer;
    ///
    /// // Several processes share the port.
    /// let server = UdpServer::builder()
    ///     .with_options(|options| options.reuse_port = true)
    ///     .bind("127.0.0.1:0")
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> UdpServerBuilder {
        UdpServerBuilder::default()
    }

    /// Returns the address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        // A UDP server always has an IP address.
        self.0
            .local()
            .inet()
            .unwrap_or_else(|| SocketAddr::from(([0; 4], 0)))
    }

    /// Returns a handle that closes the server.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.0.registry))
    }

    /// Receives a datagram. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{NetError, UdpClient, UdpServer};
    ///
    /// let limits = |limits: &mut kokanee_net::Limits| limits.max_datagram_bytes = 4;
    /// let server = UdpServer::builder().with_limits(limits).bind("127.0.0.1:0").await?;
    /// let client = UdpClient::connect(&server.local_addr().to_string()).await?;
    /// client.send(b"hello").await?;
    /// client.send(b"hi").await?;
    /// // An error concerns one datagram: call it again.
    /// assert!(matches!(server.recv().await, Err(NetError::DatagramOverLimit { max: 4, .. })));
    /// assert_eq!(server.recv().await?.data, "hi");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::DatagramOverLimit`] for a dropped datagram, or an error of the system. The next call may succeed.
    pub async fn recv(&self) -> Result<Datagram, NetError> {
        Ok(self.0.datagram(self.0.recv().await?))
    }

    /// Sends a datagram.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{Endpoint, UdpServer};
    ///
    /// let (first, second) = (UdpServer::bind("127.0.0.1:0").await?, UdpServer::bind("127.0.0.1:0").await?);
    /// first.send_to(b"hello", &Endpoint::from(second.local_addr())).await?;
    /// assert_eq!(second.recv().await?.data, "hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::DatagramTooLarge`], or an error of the system.
    pub async fn send_to(&self, data: &[u8], peer: &Endpoint) -> Result<(), NetError> {
        self.0.send_to(data, peer).await
    }

    /// Runs a handler for every datagram, one after another, until [`ServerHandle::close`]. While a handler waits, the
    /// system buffers datagrams, as far as its buffer suffices.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use std::time::Duration;
    /// use kokanee_net::{Datagram, UdpServer};
    ///
    /// let server = UdpServer::bind("127.0.0.1:0").await?;
    /// let handle = server.handle();
    /// let serving = tokio::spawn(server.serve(async |datagram: Datagram| {
    ///     println!("{} bytes from {}", datagram.data.len(), datagram.peer);
    /// }));
    /// handle.close(Duration::from_secs(1)).await;
    /// serving.await.expect("serve returns");
    /// # Ok(()) }
    /// ```
    pub async fn serve<F, Fut>(self, handler: F)
    where
        F: Fn(Datagram) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        self.0.serve(handler).await;
    }

    /// Returns the number of datagrams that were dropped because they exceeded [`Limits::max_datagram_bytes`].
    pub fn over_limit_count(&self) -> u64 {
        self.0.over_limit()
    }

    /// Joins a multicast group. `interface` is the address of an IPv4 interface; the default is
    /// [`UdpOptions::multicast_interface`], or the system's choice.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::UdpServer;
    ///
    /// let server = UdpServer::bind("0.0.0.0:5353").await?;
    /// server.join_multicast([224, 0, 0, 251].into(), None)?;
    /// println!("{:?}", server.recv().await?.data);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the address is not a multicast group, or the system has no such interface.
    pub fn join_multicast(
        &self,
        group: IpAddr,
        interface: Option<Ipv4Addr>,
    ) -> Result<(), NetError> {
        let Some(socket) = self.0.as_udp() else {
            return Ok(());
        };
        let joined = match group {
            IpAddr::V4(group) => {
                socket.join_multicast_v4(group, interface.unwrap_or(Ipv4Addr::UNSPECIFIED))
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, 0),
        };
        joined.map_err(|source| NetError::Io {
            action: "join the multicast group",
            address: group.to_string(),
            source,
        })
    }
}

/// The settings of a [`UdpServer`].
#[derive(Debug, Clone, Default)]
#[must_use = "call bind"]
pub struct UdpServerBuilder {
    options: UdpOptions,
    limits: Limits,
}

impl UdpServerBuilder {
    /// Changes the socket options.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::UdpServer;
    ///
    /// // A large buffer of the system, for bursts.
    /// let server = UdpServer::builder().with_options(|options| options.receive_buffer_bytes = Some(1 << 20));
    /// ```
    pub fn with_options(mut self, change: impl FnOnce(&mut UdpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes the limits.
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Binds; see [`UdpServer::bind`].
    ///
    /// # Errors
    /// As that method.
    pub async fn bind(self, address: &str) -> Result<UdpServer, NetError> {
        let mut failed = NetError::UnknownHost {
            host: address.to_owned(),
        };
        for candidate in endpoint::resolve(address).await? {
            match bind(&self.options, candidate) {
                Ok((socket, local)) => {
                    let socket = DatagramSocket::udp(socket, Endpoint::Inet(local), self.limits);
                    return Ok(UdpServer(Arc::new(socket)));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn bind(
    options: &UdpOptions,
    address: SocketAddr,
) -> Result<(tokio::net::UdpSocket, SocketAddr), NetError> {
    let fail = |source| NetError::from_io("listen on", address.to_string(), source);
    let socket = options.bind(address).map_err(fail)?;
    let local = socket.local_addr().map_err(fail)?;
    Ok((socket, local))
}

/// A UDP socket with one peer.
#[derive(Debug)]
pub struct UdpClient {
    socket: DatagramSocket,
    peer: Endpoint,
}

impl UdpClient {
    /// Connects the socket to the peer `host:port`. Nothing is sent yet, so this succeeds even if the peer does not
    /// exist.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{NetError, UdpClient};
    ///
    /// # let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    /// let client = UdpClient::connect(&free).await?;
    /// client.send(b"hello").await?;
    /// // Nobody listens there. The answer of that machine is the error of a later call.
    /// # if cfg!(target_os = "linux") {
    /// assert!(matches!(client.recv().await, Err(NetError::Refused { .. })));
    /// # }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the host is unknown, or there is no route to it.
    pub async fn connect(address: &str) -> Result<Self, NetError> {
        Self::connect_with(address, &UdpOptions::default(), Limits::default()).await
    }

    /// Connects a socket with other settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{Limits, UdpClient, UdpOptions};
    ///
    /// let mut options = UdpOptions::default();
    /// options.broadcast = true;
    /// let client = UdpClient::connect_with("127.0.0.1:5000", &options, Limits::default()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        address: &str,
        options: &UdpOptions,
        limits: Limits,
    ) -> Result<Self, NetError> {
        let mut failed = NetError::UnknownHost {
            host: address.to_owned(),
        };
        for peer in endpoint::resolve(address).await? {
            let any = if peer.is_ipv4() {
                SocketAddr::from(([0; 4], 0))
            } else {
                SocketAddr::from(([0; 16], 0))
            };
            let fail = |source| NetError::from_io("send to", peer.to_string(), source);
            let connected = async {
                let socket = options.bind(any).map_err(fail)?;
                socket.connect(peer).await.map_err(fail)?;
                let local = socket.local_addr().map_err(fail)?;
                Ok::<_, NetError>((socket, local))
            };
            match connected.await {
                Ok((socket, local)) => {
                    let socket = DatagramSocket::udp(socket, local.into(), limits);
                    let peer = peer.into();
                    return Ok(Self { socket, peer });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// [`NetError::DatagramTooLarge`]; [`NetError::Refused`] if the peer's machine reported for an earlier datagram
    /// that no program listens there; or an error of the system.
    pub async fn send(&self, data: &[u8]) -> Result<(), NetError> {
        self.socket.send(data, &self.peer).await
    }

    /// Receives a datagram of the peer. Cancel safe.
    ///
    /// # Errors
    /// [`NetError::Refused`] as for [`send`](Self::send), [`NetError::DatagramOverLimit`], or an error of the system.
    pub async fn recv(&self) -> Result<Bytes, NetError> {
        match self.socket.recv().await {
            Ok((data, _)) => Ok(data),
            Err(NetError::Refused { .. }) => Err(NetError::Refused {
                address: self.peer.to_string(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Returns the peer.
    pub fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// Returns the local end.
    pub fn local(&self) -> &Endpoint {
        self.socket.local()
    }
}
