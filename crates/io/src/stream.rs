//! A byte stream that carries HTTP or a WebSocket: plain TCP, or any other stream in a box.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A stream that carries a WebSocket: plain TCP, or any other stream in a box.
pub enum Stream {
    /// Plain TCP, the fast path.
    Tcp(TcpStream),
    /// TLS, a Unix socket, a proxy's tunnel.
    Other(Pin<Box<dyn Duplex>>),
}

/// How many bytes of an HTTP connection the kernel buffers in addition to those that it has sent.
///
/// Without such a limit it buffers up to some megabytes, and accepts more only when a third of them is acknowledged:
/// over a slow link that takes longer than any deadline, although the peer reads everything. With it, the socket
/// becomes writable after each few kilobytes that the peer has acknowledged, so that progress is visible.
const UNSENT_BYTES: u32 = 16 * 1024;

/// Sets the options of a TCP connection that carries HTTP. If one cannot be set, the connection is only slower, or a
/// slow peer is disconnected earlier.
pub fn tune(stream: &TcpStream) {
    // Small frames must not wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    set_unsent_bytes(stream, UNSENT_BYTES);
}

/// Sets the options of a TCP connection that carries a WebSocket: the kernel buffers as much as by default, because a
/// burst of messages does not mean that the peer is slow. [`watch_acknowledgements`] detects a slow peer instead.
pub(crate) fn tune_websocket(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    set_unsent_bytes(stream, 0);
}

/// Sets [`UNSENT_BYTES`]. 0 is the system's default.
fn set_unsent_bytes(stream: &TcpStream, bytes: u32) {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    let _ = (stream, bytes);
}

/// Sets after which time the kernel breaks the connection if the peer acknowledges nothing although data is to be sent;
/// `None` disables that. Returns whether the kernel does so now.
///
/// Only the kernel sees each acknowledgement: a program only sees that the kernel accepts more data, in steps of up to
/// a megabyte.
pub(crate) fn watch_acknowledgements(stream: &TcpStream, timeout: Option<Duration>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket2::SockRef::from(stream)
        .set_tcp_user_timeout(timeout)
        .is_ok_and(|()| timeout.is_some());
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (stream, timeout);
        false
    }
}

/// A stream that can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Stream::Tcp",
            Self::Other(_) => "Stream::Other",
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Other(stream) => stream.as_mut().poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Other(stream) => stream.as_mut().poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self.get_mut(), slices) {
            (Self::Tcp(stream), [only]) => Pin::new(stream).poll_write(cx, only),
            (Self::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Self::Other(stream), _) if stream.is_write_vectored() => {
                stream.as_mut().poll_write_vectored(cx, slices)
            }
            (Self::Other(stream), [only]) => stream.as_mut().poll_write(cx, only),
            (Self::Other(stream), _) => stream.as_mut().poll_write(cx, &join(slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // The kernel sends its buffer by itself.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Other(stream) => stream.as_mut().poll_shutdown(cx),
        }
    }
}

/// Joins slices in one buffer for streams (TLS) that would write a record for every slice; as long as a record at most.
fn join(slices: &[IoSlice<'_>]) -> Vec<u8> {
    const RECORD_BYTES: usize = 16 * 1024;
    let mut joined = Vec::with_capacity(
        slices
            .iter()
            .map(|slice| slice.len())
            .sum::<usize>()
            .min(RECORD_BYTES),
    );
    for slice in slices {
        if joined.len() + slice.len() > RECORD_BYTES && !joined.is_empty() {
            break;
        }
        joined.extend_from_slice(slice);
    }
    joined
}
