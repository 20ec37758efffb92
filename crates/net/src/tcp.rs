//! TCP: [`TcpServer`] and [`TcpClient`].

use std::{net::SocketAddr, sync::Arc, time::Instant};

use socket2::SockRef;

use crate::{
    connection::Connection,
    endpoint::{self, Endpoint},
    error::NetError,
    limits::Limits,
    options::TcpOptions,
    outcome::Outcome,
    registry::ServerHandle,
    serve::{Listener, Setup, StreamServer},
    stream::Stream,
    tls::{ClientTls, ServerTls},
};

/// A TCP server, which is already listening.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
/// use kokanee_net::{Connection, NetError, TcpServer};
///
/// let server = TcpServer::bind("127.0.0.1:0").await?;
/// println!("listening on {}", server.local_addr());
/// tokio::spawn(server.serve(async |mut conn: Connection| {
///     println!("{} has connected", conn.peer());
///     while let Some(data) = conn.recv().await? {
///         conn.send_all(&data).await?;
///     }
///     Ok::<_, NetError>(())
/// }));
/// # Ok(()) }
/// ```
pub struct TcpServer(StreamServer);

impl std::fmt::Debug for TcpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpServer")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

impl TcpServer {
    /// Listens on `host:port`. Port 0 means any free port, the host `[::]` all addresses of this machine, IPv4 and
    /// IPv6.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{NetError, TcpServer};
    ///
    /// let server = TcpServer::bind("127.0.0.1:0").await?;
    /// // A second one at the same address.
    /// match TcpServer::bind(&server.local_addr().to_string()).await {
    ///     Err(error @ NetError::AddressInUse { .. }) => println!("{error}"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
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
    /// use std::time::Duration;
    /// use kokanee_net::TcpServer;
    ///
    /// let server = TcpServer::builder()
    ///     .with_limits(|limits| {
    ///         limits.max_connections = 100;
    ///         limits.idle_timeout = Some(Duration::from_secs(300));
    ///     })
    ///     .bind("127.0.0.1:0")
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> TcpServerBuilder {
        TcpServerBuilder::default()
    }

    /// Returns the address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        // A TCP server always has an IP address.
        self.0
            .address
            .inet()
            .unwrap_or_else(|| SocketAddr::from(([0; 4], 0)))
    }

    /// Returns a handle that closes the server.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use std::time::Duration;
    /// use kokanee_net::{Connection, TcpServer};
    ///
    /// let server = TcpServer::bind("127.0.0.1:0").await?;
    /// let handle = server.handle();
    /// let serving = tokio::spawn(server.serve(async |mut conn: Connection| conn.send_all(b"hello").await));
    ///
    /// assert!(handle.close(Duration::from_secs(5)).await);
    /// serving.await.expect("serve returns");
    /// # Ok(()) }
    /// ```
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.0.registry))
    }

    /// Accepts one connection, for programs that do not use [`serve`](Self::serve). [`Limits::max_connections`] and
    /// [`ServerHandle::close`] do not apply to it. Cancel safe without TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{TcpClient, TcpServer};
    ///
    /// let server = TcpServer::bind("127.0.0.1:0").await?;
    /// let client = TcpClient::new(&server.local_addr().to_string());
    /// let (accepted, connected) = tokio::join!(server.accept(), client.connect());
    /// accepted?.send_all(b"hello").await?;
    /// assert_eq!(connected?.recv().await?.as_deref(), Some(&b"hello"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If accepting or the TLS handshake fails.
    pub async fn accept(&self) -> Result<Connection, NetError> {
        self.0.accept().await
    }

    /// Runs a handler for every connection, concurrently, until [`ServerHandle::close`].
    ///
    /// A handler that panics or returns an error ends only its own connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{Connection, Framing, NetError, TcpClient, TcpServer};
    ///
    /// let server = TcpServer::bind("127.0.0.1:0").await?;
    /// let address = server.local_addr().to_string();
    /// tokio::spawn(server.serve(async |conn: Connection| {
    ///     let mut lines = conn.framed(Framing::Lines);
    ///     while let Some(line) = lines.next().await? {
    ///         lines.send(&line.to_ascii_uppercase()).await?;
    ///     }
    ///     Ok::<_, NetError>(())
    /// }));
    ///
    /// let mut client = TcpClient::new(&address).connect().await?.framed(Framing::Lines);
    /// client.send(b"hello").await?;
    /// assert_eq!(client.next().await?.as_deref(), Some(&b"HELLO"[..]));
    /// # Ok(()) }
    /// ```
    pub async fn serve<F, Fut>(self, handler: F)
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.0.serve(handler).await;
    }
}

/// The settings of a [`TcpServer`].
#[derive(Debug, Clone, Default)]
#[must_use = "call bind"]
pub struct TcpServerBuilder {
    options: TcpOptions,
    limits: Limits,
    tls: Option<ServerTls>,
}

impl TcpServerBuilder {
    /// Changes the socket options.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_net::TcpServer;
    ///
    /// // Finds peers that have lost power within a minute, and listens on IPv6 alone.
    /// let server = TcpServer::builder().with_options(|options| {
    ///     options.keepalive = Some(Duration::from_secs(20));
    ///     options.only_v6 = true;
    /// });
    /// ```
    pub fn with_options(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes the limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_net::TcpServer;
    ///
    /// let server = TcpServer::builder().with_limits(|limits| {
    ///     limits.read_timeout = Some(Duration::from_secs(30));
    ///     limits.max_frame_bytes = 4096;
    /// });
    /// ```
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Encrypts the connections.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kokanee_net::{ServerTls, TcpServer};
    ///
    /// # async fn example() -> Result<(), kokanee_net::NetError> {
    /// let tls = ServerTls::from_pem_files("chain.pem".as_ref(), "key.pem".as_ref())?;
    /// let server = TcpServer::builder().tls(tls).bind("[::]:5001").await?;
    /// # Ok(()) }
    /// ```
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Listens; see [`TcpServer::bind`].
    ///
    /// # Errors
    /// As that method.
    pub async fn bind(self, address: &str) -> Result<TcpServer, NetError> {
        let candidates = endpoint::resolve(address).await?;
        let mut failed = None;
        for candidate in candidates {
            match self.options.listen(candidate) {
                Ok(listener) => {
                    let local = listener.local_addr().map_err(|source| {
                        NetError::from_io("listen on", address.to_owned(), source)
                    })?;
                    let setup = Setup {
                        options: self.options,
                        limits: Arc::new(self.limits),
                        tls: self.tls,
                    };
                    let listener = Listener::Tcp(listener);
                    return Ok(TcpServer(StreamServer::new(
                        listener,
                        Endpoint::Inet(local),
                        setup,
                    )));
                }
                Err(source) => {
                    failed = Some(NetError::from_io(
                        "listen on",
                        candidate.to_string(),
                        source,
                    ));
                }
            }
        }
        Err(failed.unwrap_or_else(|| NetError::UnknownHost {
            host: address.to_owned(),
        }))
    }
}

/// A client that connects to one TCP server.
#[derive(Debug, Clone)]
pub struct TcpClient {
    address: String,
    options: TcpOptions,
    limits: Arc<Limits>,
    tls: Option<ClientTls>,
}

impl TcpClient {
    /// Creates a client of `host:port`. Nothing is connected yet.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// // One client makes any number of connections.
    /// let client = TcpClient::new(address);
    /// let (mut first, mut second) = (client.connect().await?, client.connect().await?);
    /// first.send_all(b"1").await?;
    /// second.send_all(b"2").await?;
    /// assert_eq!(second.recv().await?.as_deref(), Some(&b"2"[..]));
    /// # Ok(()) }
    /// ```
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            options: TcpOptions::default(),
            limits: Arc::default(),
            tls: None,
        }
    }

    /// Changes the socket options.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::TcpClient;
    ///
    /// // For bulk data: lets the system collect small pieces.
    /// let client = TcpClient::new("backup.local:5000").with_options(|options| options.nodelay = false);
    /// ```
    #[must_use]
    pub fn with_options(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes the limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_net::TcpClient;
    ///
    /// let client = TcpClient::new("sensor.local:5000").with_limits(|limits| {
    ///     limits.connect_timeout = Duration::from_secs(2);
    ///     limits.read_timeout = Some(Duration::from_secs(30));
    /// });
    /// ```
    #[must_use]
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(Arc::make_mut(&mut self.limits));
        self
    }

    /// Encrypts the connection.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kokanee_net::{ClientTls, TcpClient};
    ///
    /// # async fn example() -> Result<(), kokanee_net::NetError> {
    /// let client = TcpClient::new("example.com:5001").tls(ClientTls::system());
    /// let mut conn = client.connect().await?;
    /// assert!(conn.is_secure());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects to the first address of the host that accepts.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{NetError, TcpClient};
    ///
    /// # let address = &*std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    /// match TcpClient::new(address).connect().await {
    ///     Ok(conn) => println!("connected to {}", conn.peer()),
    ///     Err(NetError::Refused { address }) => println!("nobody listens on {address}"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::Refused`], [`NetError::ConnectTimeout`] and similar errors of the last address.
    pub async fn connect(&self) -> Result<Connection, NetError> {
        let after = self.limits.connect_timeout;
        let connecting = async {
            let candidates = endpoint::resolve(&self.address).await?;
            self.connect_to(&candidates).await
        };
        match tokio::time::timeout(after, connecting).await {
            Ok(connected) => connected,
            Err(_late) => Err(NetError::ConnectTimeout {
                address: self.address.clone(),
                after,
            }),
        }
    }

    /// Connects to the first of these addresses that accepts, without resolving the host again. For programs that check
    /// the addresses before. [`Limits::connect_timeout`] applies to all of them together.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kokanee_net::{TcpClient, resolve};
    ///
    /// # async fn example() -> Result<(), kokanee_net::NetError> {
    /// // Connects to public addresses only, whatever the name resolves to.
    /// let mut addresses = resolve("example.com:80").await?;
    /// addresses.retain(|address| !address.ip().is_loopback());
    /// let conn = TcpClient::new("example.com:80").connect_to(&addresses).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_to(&self, addresses: &[SocketAddr]) -> Result<Connection, NetError> {
        let end = Instant::now() + self.limits.connect_timeout;
        let mut failed = NetError::UnknownHost {
            host: self.address.clone(),
        };
        for (index, address) in addresses.iter().enumerate() {
            // An address that does not answer must leave time for those after it.
            let left = end.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let connected = tokio::time::timeout(share, self.connect_one(*address)).await;
            match connected {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = error,
                Err(_late) => {
                    failed = NetError::ConnectTimeout {
                        address: address.to_string(),
                        after: self.limits.connect_timeout,
                    };
                }
            }
        }
        Err(failed)
    }

    async fn connect_one(&self, address: SocketAddr) -> Result<Connection, NetError> {
        let fail = |source| NetError::from_io("connect to", address.to_string(), source);
        let socket = self.options.socket(address).map_err(fail)?;
        let stream = socket.connect(address).await.map_err(fail)?;
        self.options.apply(&SockRef::from(&stream)).map_err(fail)?;
        let local = stream.local_addr().map_err(fail)?;
        let stream = match &self.tls {
            None => Stream::Tcp(stream),
            Some(tls) => {
                let (host, _) = endpoint::split(&self.address)?;
                tls.connect(stream, host).await?
            }
        };
        Ok(Connection::new(
            stream,
            Endpoint::from(address),
            Endpoint::from(local),
            Arc::clone(&self.limits),
            None,
        ))
    }
}
