//! Blocking sockets, for programs without async code: thin wrappers of the async ones.
//!
//! ```no_run
//! use kokanee_net::{NetError, blocking::TcpClient};
//!
//! # fn main() -> Result<(), NetError> {
//! let mut conn = TcpClient::new("localhost:5000").connect()?;
//! conn.send_all(b"hello world")?;
//! println!("received {:?}", conn.recv()?);
//! # Ok(()) }
//! ```
//!
//! They must not be called from async code, which they would block: then they panic.

use std::{io, net::SocketAddr, sync::OnceLock, time::Duration};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::{endpoint::Endpoint, error::NetError, registry::ServerHandle, tcp::TcpServerBuilder};

/// Returns the runtime of all blocking sockets of the process. One thread waits for I/O events; the calling threads do
/// everything else.
fn runtime() -> Result<&'static Runtime, NetError> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kokanee-net")
            .enable_all()
            .build()
    });
    runtime.as_ref().map_err(|error| NetError::Io {
        action: "start",
        address: "the thread of blocking sockets".to_owned(),
        source: io::Error::new(error.kind(), error.to_string()),
    })
}

fn wait<R>(future: impl Future<Output = Result<R, NetError>>) -> Result<R, NetError> {
    runtime()?.block_on(future)
}

/// [`crate::TcpServer`], blocking.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use kokanee_net::{NetError, blocking::{Connection, TcpClient, TcpServer}};
///
/// # fn main() -> Result<(), NetError> {
/// let server = TcpServer::bind("127.0.0.1:0")?;
/// let address = server.local_addr().to_string();
/// thread::spawn(|| server.serve(|mut conn: Connection| {
///     while let Ok(Some(data)) = conn.recv() {
///         if conn.send_all(&data).is_err() {
///             break;
///         }
///     }
/// }));
///
/// let mut conn = TcpClient::new(&address).connect()?;
/// conn.send_all(b"hello")?;
/// let mut answer = [0; 5];
/// conn.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TcpServer(crate::TcpServer);

impl TcpServer {
    /// Binds a server, as [`crate::TcpServer::bind`].
    ///
    /// # Errors
    /// As the async method.
    pub fn bind(address: &str) -> Result<Self, NetError> {
        Self::bind_with(crate::TcpServer::builder(), address)
    }

    /// Binds a server with other settings, as [`TcpServerBuilder::bind`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::blocking::TcpServer;
    ///
    /// # fn main() -> Result<(), kokanee_net::NetError> {
    /// let settings = kokanee_net::TcpServer::builder().with_limits(|limits| limits.max_connections = 10);
    /// let server = TcpServer::bind_with(settings, "127.0.0.1:0")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As the async method.
    pub fn bind_with(builder: TcpServerBuilder, address: &str) -> Result<Self, NetError> {
        wait(builder.bind(address)).map(Self)
    }

    /// Returns the address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Accepts a connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::blocking::{TcpClient, TcpServer};
    ///
    /// # fn main() -> Result<(), kokanee_net::NetError> {
    /// let server = TcpServer::bind("127.0.0.1:0")?;
    /// let client = TcpClient::new(&server.local_addr().to_string());
    /// let mut connected = client.connect()?;
    /// server.accept()?.send_all(b"hello")?;
    /// assert_eq!(connected.recv()?.as_deref(), Some(&b"hello"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`crate::TcpServer::accept`].
    pub fn accept(&self) -> Result<Connection, NetError> {
        wait(self.0.accept()).map(Connection)
    }

    /// Returns a handle that closes the server from another thread; see [`close`].
    pub fn handle(&self) -> ServerHandle {
        self.0.handle()
    }

    /// Runs a handler for every connection, each on its own thread, until the server is closed.
    ///
    /// # Errors
    /// If the thread of the runtime cannot be started.
    pub fn serve<F>(self, handler: F) -> Result<(), NetError>
    where
        F: Fn(Connection) + Send + Sync + Clone + 'static,
    {
        let serving = self.0.serve(move |connection| {
            let handler = handler.clone();
            async move {
                // A panic ends only the handler, as in async code.
                let _ = tokio::task::spawn_blocking(move || handler(Connection(connection))).await;
            }
        });
        wait(async {
            serving.await;
            Ok(())
        })
    }
}

/// Closes a server as [`ServerHandle::close`] does.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
/// use kokanee_net::blocking::{TcpServer, close};
///
/// # fn main() -> Result<(), kokanee_net::NetError> {
/// let server = TcpServer::bind("127.0.0.1:0")?;
/// let handle = server.handle();
/// let serving = thread::spawn(|| server.serve(|conn| println!("{}", conn.peer())));
/// assert!(close(&handle, Duration::from_secs(5))?);
/// serving.join().expect("no panic")?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// If the thread of the runtime cannot be started.
pub fn close(handle: &ServerHandle, deadline: Duration) -> Result<bool, NetError> {
    wait(async { Ok(handle.close(deadline).await) })
}

/// [`crate::TcpClient`], blocking.
#[derive(Debug, Clone)]
pub struct TcpClient(crate::TcpClient);

impl TcpClient {
    /// Creates a client, as [`crate::TcpClient::new`].
    pub fn new(address: &str) -> Self {
        Self(crate::TcpClient::new(address))
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`crate::TcpClient::connect`].
    pub fn connect(&self) -> Result<Connection, NetError> {
        wait(self.0.connect()).map(Connection)
    }
}

impl From<crate::TcpClient> for TcpClient {
    /// Creates a blocking client with the settings of the async one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_net::blocking::TcpClient;
    ///
    /// let client = kokanee_net::TcpClient::new("sensor.local:5000")
    ///     .with_limits(|limits| limits.read_timeout = Some(Duration::from_secs(30)));
    /// let client = TcpClient::from(client);
    /// ```
    fn from(client: crate::TcpClient) -> Self {
        Self(client)
    }
}

/// [`crate::Connection`], blocking.
#[derive(Debug)]
pub struct Connection(crate::Connection);

impl Connection {
    /// Receives data, as [`crate::Connection::recv`].
    ///
    /// # Errors
    /// As the async method.
    pub fn recv(&mut self) -> Result<Option<Bytes>, NetError> {
        wait(self.0.recv())
    }

    /// Fills `buffer`, as [`crate::Connection::read_exact`].
    ///
    /// # Errors
    /// As the async method.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), NetError> {
        wait(self.0.read_exact(buffer))
    }

    /// Sends all bytes, as [`crate::Connection::send_all`].
    ///
    /// # Errors
    /// As the async method.
    pub fn send_all(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        wait(self.0.send_all(bytes))
    }

    /// Closes this side, as [`crate::Connection::finish`].
    ///
    /// # Errors
    /// As the async method.
    pub fn finish(&mut self) -> Result<(), NetError> {
        wait(self.0.finish())
    }

    /// Returns the remote end.
    pub fn peer(&self) -> &Endpoint {
        self.0.peer()
    }

    /// Returns the local end.
    pub fn local(&self) -> &Endpoint {
        self.0.local()
    }
}

/// [`crate::UdpServer`], blocking.
///
/// # Examples
///
/// ```
/// use kokanee_net::blocking::{UdpClient, UdpServer};
///
/// # fn main() -> Result<(), kokanee_net::NetError> {
/// let server = UdpServer::bind("127.0.0.1:0")?;
/// let client = UdpClient::connect(&server.local_addr().to_string())?;
/// client.send(b"hello")?;
/// let (data, peer) = server.recv()?;
/// server.send_to(&data, &peer)?;
/// assert_eq!(client.recv()?, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UdpServer(crate::UdpServer);

impl UdpServer {
    /// Binds a server, as [`crate::UdpServer::bind`].
    ///
    /// # Errors
    /// As the async method.
    pub fn bind(address: &str) -> Result<Self, NetError> {
        wait(crate::UdpServer::bind(address)).map(Self)
    }

    /// Returns the address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Receives a datagram.
    ///
    /// # Errors
    /// As [`crate::UdpServer::recv`].
    pub fn recv(&self) -> Result<(Bytes, Endpoint), NetError> {
        let datagram = wait(self.0.recv())?;
        Ok((datagram.data, datagram.peer))
    }

    /// Sends a datagram, as [`crate::UdpServer::send_to`].
    ///
    /// # Errors
    /// As the async method.
    pub fn send_to(&self, data: &[u8], peer: &Endpoint) -> Result<(), NetError> {
        wait(self.0.send_to(data, peer))
    }
}

/// [`crate::UdpClient`], blocking.
#[derive(Debug)]
pub struct UdpClient(crate::UdpClient);

impl UdpClient {
    /// Connects a socket, as [`crate::UdpClient::connect`].
    ///
    /// # Errors
    /// As the async method.
    pub fn connect(address: &str) -> Result<Self, NetError> {
        wait(crate::UdpClient::connect(address)).map(Self)
    }

    /// Sends a datagram, as [`crate::UdpClient::send`].
    ///
    /// # Errors
    /// As the async method.
    pub fn send(&self, data: &[u8]) -> Result<(), NetError> {
        wait(self.0.send(data))
    }

    /// Receives a datagram of the peer.
    ///
    /// # Errors
    /// As [`crate::UdpClient::recv`].
    pub fn recv(&self) -> Result<Bytes, NetError> {
        wait(self.0.recv())
    }
}
