//! A byte stream that carries HTTP or a WebSocket: plain TCP, or anything else behind a box.

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

/// A stream that carries a WebSocket: plain TCP, or anything else behind a box.
pub enum Stream {
    /// Plain TCP, the fast path.
    Tcp(TcpStream),
    /// TLS, a Unix socket, a proxy's tunnel.
    Other(Pin<Box<dyn Duplex>>),
}

/// Bytes that the kernel takes for an HTTP connection beside those that are on their way to the peer.
///
/// Without such a bound it takes up to some megabytes, and asks for more only when a third of that has left: over a slow link
/// that is longer than any deadline, although the peer takes all that comes. With it, each few kilobytes that the peer has
/// acknowledged let us write again, so that progress is seen.
const UNSENT_BYTES: u32 = 16 * 1024;

/// Sets the options of a TCP connection that carries HTTP. If one cannot be set, the connection is only slower, or a slow peer is
/// cut off earlier.
pub fn tune(stream: &TcpStream) {
    // Small frames must not wait for each other.
    let _ = stream.set_nodelay(true);
    set_unsent_bytes(stream, UNSENT_BYTES);
}

/// Sets those of one that carries a WebSocket: the kernel takes what it likes, as a burst of messages is no sign of a slow peer,
/// and is asked to watch a peer for which something waits.
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

/// Asks the kernel to break the connection when the peer has acknowledged nothing for so long although something is to be sent,
/// or not to any more. Returns whether it does so.
///
/// Only the kernel sees each acknowledgement: what we see is that it takes more from us, which it does in steps of up to a megabyte.
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
            // The kernel sends what it has.
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

/// One buffer for streams (TLS) that would make a record of every slice; bounded, as a record is.
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
