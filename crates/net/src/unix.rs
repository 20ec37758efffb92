//! Unix-domain sockets: [`UnixServer`] and [`UnixClient`] for streams, [`UnixDatagramServer`] and [`UnixDatagramClient`].

use std::{
    fmt, fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tokio::net::{UnixDatagram, UnixListener, UnixStream};

use crate::{
    connection::Connection,
    datagram::{Datagram, DatagramSocket},
    endpoint::Endpoint,
    error::NetError,
    limits::Limits,
    options::TcpOptions,
    outcome::Outcome,
    registry::ServerHandle,
    serve::{Listener, Setup, StreamServer},
    stream::Stream,
};

/// The file of a bound socket. Removed when dropped, if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // The file may have been removed before.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn fail<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> NetError + 'a {
    move |source| NetError::from_io(action, path.display().to_string(), source)
}

/// Binds with `bind`. Replaces a socket file on which no program listens, left by a program that was killed.
fn bind<T>(
    path: &Path,
    bind: impl Fn(&Path) -> io::Result<T>,
    is_alive: impl Fn(&Path) -> bool,
) -> Result<(T, SocketFile), NetError> {
    let bound = bind(path).or_else(|error| {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        if error.kind() != io::ErrorKind::AddrInUse || !is_socket || is_alive(path) {
            return Err(error);
        }
        fs::remove_file(path)?;
        bind(path)
    });
    let socket = bound.map_err(fail("listen on", path))?;
    Ok((socket, SocketFile::new(path)))
}

/// A server on a Unix socket.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
/// use kokanee_net::{Connection, Limits, UnixClient, UnixServer};
///
/// # let path = std::env::temp_dir().join(format!("kokanee-doc-{}.sock", std::process::id()));
/// let server = UnixServer::bind(&path, Limits::default()).await?;
/// tokio::spawn(server.serve(async |mut conn: Connection| conn.send_all(b"hello").await));
///
/// let mut conn = UnixClient::new(&path).connect().await?;
/// assert_eq!(conn.recv().await?.as_deref(), Some(&b"hello"[..]));
/// # Ok(()) }
/// ```
pub struct UnixServer {
    server: StreamServer,
    file: SocketFile,
}

impl fmt::Debug for UnixServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixServer")
            .field("path", &self.file.path)
            .finish_non_exhaustive()
    }
}

impl UnixServer {
    /// Listens on a path, which the server removes when it is dropped. The permissions of its directory and the
    /// process's umask decide which users may connect.
    ///
    /// # Errors
    /// [`NetError::AddressInUse`] if another program listens there or the path is another file, and similar errors.
    #[expect(clippy::unused_async, reason = "needs a runtime, as TcpServer::bind")]
    pub async fn bind(path: impl AsRef<Path>, limits: Limits) -> Result<Self, NetError> {
        let path = path.as_ref();
        let is_alive = |path: &Path| std::os::unix::net::UnixStream::connect(path).is_ok();
        let (listener, file) = bind(path, |path| UnixListener::bind(path), is_alive)?;
        let setup = Setup {
            options: TcpOptions::default(),
            limits: Arc::new(limits),
            tls: None,
        };
        let address = Endpoint::Unix(path.to_owned());
        let server = StreamServer::new(Listener::Unix(listener), address, setup);
        Ok(Self { server, file })
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Returns a handle that closes the server.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.server.registry))
    }

    /// Accepts one connection, as [`TcpServer::accept`](crate::TcpServer::accept).
    ///
    /// # Errors
    /// As that method.
    pub async fn accept(&self) -> Result<Connection, NetError> {
        self.server.accept().await
    }

    /// Runs a handler for every connection, as [`TcpServer::serve`](crate::TcpServer::serve).
    pub async fn serve<F, Fut>(self, handler: F)
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let Self { server, file } = self;
        server.serve(handler).await;
        drop(file);
    }
}

/// Connects to Unix sockets.
#[derive(Debug, Clone)]
pub struct UnixClient {
    path: PathBuf,
    limits: Limits,
}

impl UnixClient {
    /// Creates a client of the socket at a path. Nothing is connected yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            limits: Limits::default(),
        }
    }

    /// Changes the limits.
    #[must_use]
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Connects.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use kokanee_net::{NetError, UnixClient};
    ///
    /// // There is no such file.
    /// let failed = UnixClient::new("/tmp/no-such-directory/chat.sock").connect().await;
    /// assert!(matches!(failed, Err(NetError::Refused { .. })));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::Refused`] and similar errors.
    pub async fn connect(&self) -> Result<Connection, NetError> {
        let fail = fail("connect to", &self.path);
        let stream = UnixStream::connect(&self.path).await.map_err(&fail)?;
        let local = Endpoint::from(stream.local_addr().map_err(&fail)?);
        Ok(Connection::new(
            Stream::Unix(stream),
            Endpoint::Unix(self.path.clone()),
            local,
            Arc::new(self.limits.clone()),
            None,
        ))
    }
}

/// A server of datagrams on a Unix socket.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
/// use kokanee_net::{Datagram, Limits, UnixDatagramClient, UnixDatagramServer};
///
/// # let file = |name| std::env::temp_dir().join(format!("kokanee-doc-{name}-{}.sock", std::process::id()));
/// # let (path, own) = (file("server"), file("client"));
/// let server = UnixDatagramServer::bind(&path, Limits::default()).await?;
/// tokio::spawn(server.serve(async |datagram: Datagram| datagram.reply(b"thanks").await));
///
/// // A client needs a path of its own, where the answers arrive.
/// let client = UnixDatagramClient::connect(&path, &own, Limits::default()).await?;
/// client.send(b"hello").await?;
/// assert_eq!(client.recv().await?, "thanks");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UnixDatagramServer {
    socket: Arc<DatagramSocket>,
    file: SocketFile,
}

impl UnixDatagramServer {
    /// Binds a path, as [`UnixServer::bind`].
    ///
    /// # Errors
    /// As that method.
    #[expect(clippy::unused_async, reason = "needs a runtime, as UdpServer::bind")]
    pub async fn bind(path: impl AsRef<Path>, limits: Limits) -> Result<Self, NetError> {
        let path = path.as_ref();
        let is_alive = |path: &Path| {
            std::os::unix::net::UnixDatagram::unbound()
                .is_ok_and(|socket| socket.connect(path).is_ok())
        };
        let (socket, file) = bind(path, |path| UnixDatagram::bind(path), is_alive)?;
        let local = Endpoint::Unix(path.to_owned());
        let socket = Arc::new(DatagramSocket::unix(socket, local, limits));
        Ok(Self { socket, file })
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Returns a handle that closes the server.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.socket.registry))
    }

    /// Receives a datagram, as [`UdpServer::recv`](crate::UdpServer::recv).
    ///
    /// # Errors
    /// As that method.
    pub async fn recv(&self) -> Result<Datagram, NetError> {
        Ok(self.socket.datagram(self.socket.recv().await?))
    }

    /// Runs a handler for every datagram, as [`UdpServer::serve`](crate::UdpServer::serve).
    pub async fn serve<F, Fut>(self, handler: F)
    where
        F: Fn(Datagram) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        self.socket.serve(handler).await;
        drop(self.file);
    }
}

/// A Unix datagram socket with one peer.
#[derive(Debug)]
pub struct UnixDatagramClient {
    socket: DatagramSocket,
    peer: Endpoint,
    /// The file at which replies arrive.
    _file: SocketFile,
}

impl UnixDatagramClient {
    /// Binds `own`, where replies arrive, and connects to the socket at `path`.
    ///
    /// # Errors
    /// [`NetError::Refused`] if no program listens there, and similar errors.
    #[expect(
        clippy::unused_async,
        reason = "needs a runtime, as UdpClient::connect"
    )]
    pub async fn connect(
        path: impl AsRef<Path>,
        own: impl AsRef<Path>,
        limits: Limits,
    ) -> Result<Self, NetError> {
        let (path, own) = (path.as_ref(), own.as_ref());
        let (socket, file) = bind(own, |path| UnixDatagram::bind(path), |_| true)?;
        socket.connect(path).map_err(fail("connect to", path))?;
        let local = Endpoint::Unix(own.to_owned());
        Ok(Self {
            socket: DatagramSocket::unix(socket, local, limits),
            peer: Endpoint::Unix(path.to_owned()),
            _file: file,
        })
    }

    /// Sends a datagram, and waits while the peer's queue is full.
    ///
    /// # Errors
    /// As [`UdpClient::send`](crate::UdpClient::send).
    pub async fn send(&self, data: &[u8]) -> Result<(), NetError> {
        self.socket.send(data, &self.peer).await
    }

    /// Receives a datagram. Cancel safe.
    ///
    /// # Errors
    /// As [`UdpClient::recv`](crate::UdpClient::recv).
    pub async fn recv(&self) -> Result<Bytes, NetError> {
        Ok(self.socket.recv().await?.0)
    }
}
