//! Sockets below Socket.IO: TCP, UDP and Unix-domain servers and clients on tokio, usable on their own.
//!
//! ```no_run
//! use kokanee_net::{Connection, NetError, TcpClient, TcpServer};
//!
//! # async fn run() -> Result<(), NetError> {
//! let server = TcpServer::bind("127.0.0.1:5000").await?;
//! tokio::spawn(server.serve(async |mut conn: Connection| {
//!     while let Some(data) = conn.recv().await? {
//!         conn.send_all(&data).await?;
//!     }
//!     Ok::<_, NetError>(())
//! }));
//!
//! let mut conn = TcpClient::new("127.0.0.1:5000").connect().await?;
//! conn.send_all(b"hello world").await?;
//! println!("received {:?}", conn.recv().await?);
//! # Ok(()) }
//! ```
//!
//! * A handler runs for each connection, thousands at a time; [`ServerHandle::close`] lets them finish.
//! * [`Framing`] splits the stream of bytes into messages; [`ServerTls`] and [`ClientTls`] encrypt it.
//! * [`Limits`] bound the cost of a peer, [`TcpOptions`] and [`UdpOptions`] are the socket options.
//! * [`Reconnecting`] reconnects after a loss, with the delays of [`Backoff`].
//! * Errors state what failed, where, and what to do: [`NetError`].
//! * [`blocking`] has the same sockets for programs without async code.

mod backoff;
pub mod blocking;
mod connection;
mod connection_inner;
mod datagram;
mod endpoint;
mod error;
mod framing;
mod limits;
mod options;
mod outcome;
mod queue;
mod reconnect;
mod registry;
mod scratch;
mod serve;
mod stop;
mod stream;
mod tcp;
mod tls;
mod udp;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use self::unix::{UnixClient, UnixDatagramClient, UnixDatagramServer, UnixServer};
pub use self::{
    backoff::Backoff,
    connection::{Connection, Reader, Writer},
    datagram::Datagram,
    endpoint::{Endpoint, resolve},
    error::NetError,
    framing::{FrameReader, Framed, Framing, InvalidFraming},
    limits::Limits,
    options::{TcpOptions, UdpOptions},
    outcome::Outcome,
    queue::{Drain, SendQueue},
    reconnect::Reconnecting,
    registry::ServerHandle,
    tcp::{TcpClient, TcpServer, TcpServerBuilder},
    tls::{ClientTls, ServerTls, TlsOptions, tls_hint},
    udp::{UdpClient, UdpServer, UdpServerBuilder},
};
