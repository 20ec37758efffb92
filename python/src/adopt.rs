//! Connections that a host has accepted and whose request it has read: the engine answers on a duplicate of the descriptor.
//!
//! The host goes on with what the package puts in the descriptor's place: an end of a socket pair, whose other end is read
//! here until the host has closed it ([`swallow`]), so that nothing the host still writes fails.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use kokanee_server::Server;
use pyo3::prelude::*;
use socket2::{Domain, Socket};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    runtime::Handle,
};

use crate::runtime;

/// How long a host may do nothing with the descriptor that it got in place of its connection.
const SWALLOW_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to read the last of a response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Duplicates a descriptor of the host.
#[expect(
    unsafe_code,
    reason = "a descriptor's number comes from Python, where it has no type"
)]
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the number is only used for this call, which fails if it is not an open descriptor. The duplicate is new.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned()
}

/// A connection of the host.
#[derive(Debug)]
pub(crate) enum Taken {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Taken {
    /// Takes a duplicate of the host's descriptor.
    pub(crate) fn new(runtime: &Handle, fd: RawFd) -> io::Result<Self> {
        let socket = Socket::from(duplicate(fd)?);
        socket.set_nonblocking(true)?;
        let is_unix = socket.domain()? == Domain::UNIX;
        let _inside = runtime.enter();
        Ok(if is_unix {
            Self::Unix(UnixStream::from_std(socket.into())?)
        } else {
            Self::Tcp(TcpStream::from_std(socket.into())?)
        })
    }

    /// Returns when the client has closed the connection, or has sent something that nobody expects.
    pub(crate) async fn ended(&self) {
        // Readiness may be false, so that it is read.
        loop {
            let read = match self {
                Self::Tcp(stream) => match stream.readable().await {
                    Ok(()) => stream.try_read(&mut [0; 1]),
                    Err(error) => Err(error),
                },
                Self::Unix(stream) => match stream.readable().await {
                    Ok(()) => stream.try_read(&mut [0; 1]),
                    Err(error) => Err(error),
                },
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// Writes the last response of the connection.
    pub(crate) async fn finish(self, response: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => finish(stream, response).await,
            Self::Unix(stream) => finish(stream, response).await,
        }
    }
}

async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    response: &[u8],
) -> io::Result<()> {
    stream.write_all(response).await?;
    stream.shutdown().await?;
    // Unread bytes would reset the connection, and the client could lose the response.
    let mut nowhere = tokio::io::sink();
    let rest = tokio::io::copy(&mut stream, &mut nowhere);
    let _ = tokio::time::timeout(LINGER_TIMEOUT, rest).await;
    Ok(())
}

/// Answers a request on the host's connection; the host does not use it any more. `answered`: the host has sent 101.
pub(crate) fn adopt(
    server: &Server,
    runtime: &Handle,
    fd: RawFd,
    request: Request<Empty<Bytes>>,
    unread: Vec<u8>,
    address: Option<std::net::SocketAddr>,
    answered: bool,
) -> io::Result<()> {
    let taken = Taken::new(runtime, fd)?;
    let server = server.clone();
    runtime.spawn(async move {
        let accepted = match taken {
            Taken::Tcp(stream) if answered => {
                let stream = Headless::new(stream);
                server.accept(stream, request, &unread, address).await
            }
            Taken::Tcp(stream) => server.accept(stream, request, &unread, address).await,
            Taken::Unix(stream) if answered => {
                let stream = Headless::new(stream);
                server.accept(stream, request, &unread, address).await
            }
            Taken::Unix(stream) => server.accept(stream, request, &unread, address).await,
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "a connection ended before its answer was written");
        }
    });
    Ok(())
}

/// A WebSocket whose response the host has sent: that of the engine is left out. If it is a refusal, the WebSocket is closed.
struct Headless<S> {
    stream: S,
    /// The engine's response so far, until its head is complete.
    head: Option<Vec<u8>>,
    /// What is sent in place of a refusal, as far as it is not sent yet.
    close: Option<Vec<u8>>,
}

impl<S> Headless<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            head: Some(Vec::new()),
            close: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Headless<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Headless<S> {
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(close) = self.close.as_mut().filter(|close| !close.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, close))?;
            close.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Headless<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.close.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let Some(head) = &mut self.head else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        // The engine writes a head at once, and nothing with it if it is that of a WebSocket.
        head.extend_from_slice(bytes);
        if head.windows(4).any(|four| four == b"\r\n\r\n") {
            if !head.starts_with(b"HTTP/1.1 101") {
                // A close frame with code 1008, policy violation.
                self.close = Some(vec![0x88, 2, 0x03, 0xf0]);
            }
            self.head = None;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_close(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_close(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Reads a duplicate of a descriptor, the other end of what the host got in place of its connection, until the host has
/// closed it.
#[pyfunction]
pub(crate) fn swallow(fd: RawFd) -> PyResult<()> {
    let runtime = runtime::handle()?;
    let socket = Socket::from(duplicate(fd)?);
    socket.set_nonblocking(true)?;
    // A host that reads finds that its client has gone.
    socket.shutdown(std::net::Shutdown::Write)?;
    let inside = runtime.enter();
    let mut stream = UnixStream::from_std(socket.into())?;
    drop(inside);
    runtime.spawn(async move {
        let mut bytes = [0; 1024];
        while let Ok(Ok(1..)) = tokio::time::timeout(SWALLOW_TIMEOUT, stream.read(&mut bytes)).await
        {
        }
    });
    Ok(())
}
