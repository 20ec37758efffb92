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

/// A TCP server: it listens from the moment it exists.
pub struct TcpServer(StreamServer);

impl std::fmt::Debug for TcpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpServer")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

impl TcpServer {
    /// Listens on `host:port`. Port 0 is any free one; the host `[::]` is every address of this machine, IPv4 and IPv6.
    ///
    /// # Errors
    /// [`NetError::AddressInUse`] and its kin.
    pub async fn bind(address: &str) -> Result<Self, NetError> {
        Self::builder().bind(address).await
    }

    /// Begins a server with settings of your own.
    pub fn builder() -> TcpServerBuilder {
        TcpServerBuilder::default()
    }

    /// The address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        // A TCP server has no other.
        self.0
            .address
            .inet()
            .unwrap_or_else(|| SocketAddr::from(([0; 4], 0)))
    }

    /// What closes the server later.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.0.registry))
    }

    /// Accepts one connection, for programs that take them one by one. [`Limits::max_connections`] and
    /// [`ServerHandle::close`] know nothing of it. Cancel safe without TLS.
    ///
    /// # Errors
    /// When the system has none to give, or the TLS handshake fails.
    pub async fn accept(&self) -> Result<Connection, NetError> {
        self.0.accept().await
    }

    /// Runs a handler for every connection, all at the same time, until [`ServerHandle::close`].
    ///
    /// A handler that panics or returns an error costs its own connection only.
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
    /// Changes some of the socket options.
    pub fn with_options(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes some of the limits.
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Encrypts the connections.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Listens; see [`TcpServer::bind`].
    ///
    /// # Errors
    /// As there.
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

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct TcpClient {
    address: String,
    options: TcpOptions,
    limits: Arc<Limits>,
    tls: Option<ClientTls>,
}

impl TcpClient {
    /// A client of `host:port`. Nothing is connected yet.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            options: TcpOptions::default(),
            limits: Arc::default(),
            tls: None,
        }
    }

    /// Changes some of the socket options.
    #[must_use]
    pub fn with_options(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes some of the limits.
    #[must_use]
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(Arc::make_mut(&mut self.limits));
        self
    }

    /// Encrypts the connection.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects to the first address of the host that answers.
    ///
    /// # Errors
    /// [`NetError::Refused`], [`NetError::ConnectTimeout`] and their kin, of the last address that was tried.
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

    /// Connects to the first of these addresses that answers, without resolving the host again. For those who look at
    /// the addresses before; [`Limits::connect_timeout`] holds for all of them together.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_to(&self, addresses: &[SocketAddr]) -> Result<Connection, NetError> {
        let end = Instant::now() + self.limits.connect_timeout;
        let mut failed = NetError::UnknownHost {
            host: self.address.clone(),
        };
        for (index, address) in addresses.iter().enumerate() {
            // One that does not answer must leave some time for those behind it.
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
