//! Sockets that a [`Listener`](crate::Listener) accepts connections on.

use std::{future::Future, io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Is a socket that listens: of TCP or, on Unix, of the Unix domain.
pub trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection. Returns it with the address of its other end, if that has one.
    ///
    /// # Errors
    /// The socket's, mostly that the process has no more file descriptors.
    fn accept(&self)
    -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;

    /// Returns a connection as one of TCP, if it is one.
    fn as_tcp(stream: &mut Self::Stream) -> Option<&mut TcpStream>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, address) = self.accept().await?;
        kokanee_io::tune(&stream);
        Ok((stream, Some(address)))
    }

    fn as_tcp(stream: &mut TcpStream) -> Option<&mut TcpStream> {
        Some(stream)
    }
}

#[cfg(unix)]
impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, _) = self.accept().await?;
        Ok((stream, None))
    }

    fn as_tcp(_: &mut Self::Stream) -> Option<&mut TcpStream> {
        None
    }
}
