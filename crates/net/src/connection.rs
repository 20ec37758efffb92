//! [`Connection`]: receives from and sends to a peer. It consists of a [`Reader`] and a [`Writer`], which can also be
//! split.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    connection_inner::{ConnectionInner, Deadline},
    endpoint::Endpoint,
    error::NetError,
    limits::Limits,
    scratch,
    stop::Stop,
    stream::Stream,
};

/// Most slices of one write.
const MAX_SLICES: usize = 64;
/// Most time and bytes for which [`Connection::close`] reads what the peer still sends.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// A connection to a peer, over TCP, TLS or a Unix socket. Dropping it closes it.
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/echo_server.md")]
/// use kokanee_net::TcpClient;
///
/// let mut conn = TcpClient::new(address).connect().await?;
/// conn.send_all(b"hello").await?;
/// assert_eq!(conn.recv().await?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!((conn.sent(), conn.received()), (5, 5));
/// conn.close().await;
/// # Ok(()) }
/// ```
pub struct Connection {
    reader: Reader,
    writer: Writer,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        peer: Endpoint,
        local: Endpoint,
        limits: Arc<Limits>,
        server: Option<Arc<Stop>>,
    ) -> Self {
        let inner = Arc::new(ConnectionInner::new(stream, peer, local, limits, server));
        Self {
            reader: Reader {
                inner: Arc::clone(&inner),
                deadline: Deadline::default(),
                waiting_since: None,
            },
            writer: Writer {
                inner,
                deadline: Deadline::default(),
            },
        }
    }

    pub(crate) fn inner(&self) -> &Arc<ConnectionInner> {
        &self.reader.inner
    }

    /// Receives the data that has arrived, at most 64 KiB. Returns `None` when the peer has closed its side, or when
    /// the server is closing and all data that has arrived was received.
    ///
    /// Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use std::time::Duration;
    /// use kokanee_net::{NetError, TcpClient};
    ///
    /// let client = TcpClient::new(address)
    ///     .with_limits(|limits| limits.read_timeout = Some(Duration::from_millis(10)));
    /// let mut conn = client.connect().await?;
    /// match conn.recv().await {
    ///     Ok(Some(data)) => println!("{} bytes", data.len()),
    ///     Ok(None) => println!("the peer has ended its side"),
    ///     Err(NetError::ReadTimeout { after, .. }) => println!("nothing for {after:?}"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::ReadTimeout`], [`NetError::Idle`] or the error of the connection.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, NetError> {
        self.reader.recv().await
    }

    /// Receives exactly as many bytes as fit into `buffer`. Not cancel safe: the number of bytes received until then is
    /// lost.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// let mut conn = TcpClient::new(address).connect().await?;
    /// conn.send_all(&[0, 3, b'a', b'b', b'c']).await?;
    /// let mut length = [0; 2];
    /// conn.read_exact(&mut length).await?;
    /// let mut body = vec![0; u16::from_be_bytes(length).into()];
    /// conn.read_exact(&mut body).await?;
    /// assert_eq!(body, b"abc");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::UnexpectedEnd`] if the peer closes its side before that, or as [`recv`](Self::recv).
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), NetError> {
        self.reader.read_exact(buffer).await
    }

    /// Sends all bytes: returns when the system has buffered the last of them. Not cancel safe: some may have been
    /// sent.
    ///
    /// # Errors
    /// [`NetError::WriteTimeout`] if the peer reads nothing for [`Limits::write_timeout`], or the error of the
    /// connection.
    pub async fn send_all(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.writer.send_all(bytes).await
    }

    /// Closes this side: the peer sees the end of the data, and can still send.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// let mut conn = TcpClient::new(address).connect().await?;
    /// conn.send_all(b"the whole request").await?;
    /// conn.finish().await?; // The peer sees that this was all, and can still answer.
    /// let mut answer = Vec::new();
    /// while let Some(data) = conn.recv().await? {
    ///     answer.extend_from_slice(&data);
    /// }
    /// assert_eq!(answer, b"the whole request");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The error of the connection.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        self.writer.finish().await
    }

    /// Closes the connection without losing sent data: closes this side, then waits up to 2 s for the peer to close its
    /// side. If a connection is dropped while the peer still sends, most systems reset it, and the peer may lose data
    /// that it has not read.
    pub async fn close(mut self) {
        let linger = async {
            self.finish().await?;
            let mut left = LINGER_BYTES;
            while let Some(data) = self.recv().await? {
                left = left.saturating_sub(data.len());
                if left == 0 {
                    break;
                }
            }
            Ok::<_, NetError>(())
        };
        // An error or a timeout changes nothing: the connection is closed anyway.
        let _ = tokio::time::timeout(LINGER, linger).await;
    }

    /// Splits the connection, so that two tasks can read and write at the same time.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// let (mut reader, mut writer) = TcpClient::new(address).connect().await?.into_split();
    /// let sending = async {
    ///     writer.send_all(&[0; 100_000]).await?;
    ///     writer.finish().await
    /// };
    /// let receiving = async {
    ///     while let Some(data) = reader.recv().await? {
    ///         println!("{} bytes", data.len());
    ///     }
    ///     Ok(reader.received())
    /// };
    /// let ((), received) = tokio::try_join!(sending, receiving)?;
    /// assert_eq!(received, 100_000);
    /// # Ok(()) }
    /// ```
    pub fn into_split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// Returns the remote end.
    pub fn peer(&self) -> &Endpoint {
        &self.reader.inner.peer
    }

    /// Returns the local end.
    pub fn local(&self) -> &Endpoint {
        &self.reader.inner.local
    }

    /// Returns whether it is encrypted.
    pub fn is_secure(&self) -> bool {
        self.reader.inner.is_secure
    }

    /// Returns the number of bytes received.
    pub fn received(&self) -> u64 {
        self.reader.received()
    }

    /// Returns the number of bytes sent.
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// Returns the time since the connection was established.
    pub fn age(&self) -> Duration {
        self.reader.inner.age()
    }
}

/// The receiving half of a [`Connection`].
pub struct Reader {
    inner: Arc<ConnectionInner>,
    deadline: Deadline,
    /// When the current call began to wait, if there is a read timeout.
    waiting_since: Option<Instant>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("peer", &self.inner.peer)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Receives data, as [`Connection::recv`].
    ///
    /// # Errors
    /// As that method.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, NetError> {
        self.recv_with(Bytes::copy_from_slice).await
    }

    /// Receives the data that has arrived and passes it to `take` without a copy. Returns `None` at the end.
    pub(crate) async fn recv_with<R>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> R,
    ) -> Result<Option<R>, NetError> {
        self.waiting_since = None;
        std::future::poll_fn(|cx| {
            let read = scratch::with(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                let read = self
                    .inner
                    .poll_stream(|stream| stream.poll_read(cx, &mut buffer));
                read.map_ok(|()| match buffer.filled() {
                    [] => None,
                    data => {
                        self.inner.note_received(data.len());
                        Some(take(data))
                    }
                })
            });
            match read {
                Poll::Ready(Ok(taken)) => Poll::Ready(Ok(taken)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.inner.fail("receive from", error))),
                Poll::Pending => self.poll_timeouts(cx).map(|end| end.map(|()| None)),
            }
        })
        .await
    }

    /// Fills `buffer`, as [`Connection::read_exact`].
    ///
    /// # Errors
    /// As that method.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), NetError> {
        let expected = buffer.len();
        let mut read = 0;
        while read < expected {
            let count = self.read(&mut buffer[read..]).await?;
            if count == 0 {
                return Err(NetError::UnexpectedEnd {
                    peer: self.inner.peer.to_string(),
                    received: read,
                    expected,
                });
            }
            read += count;
        }
        Ok(())
    }

    /// Receives into `buffer` and returns the number of bytes; 0 at the end. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// let (mut reader, mut writer) = TcpClient::new(address).connect().await?.into_split();
    /// writer.send_all(b"hello").await?;
    /// let mut buffer = [0; 1024]; // Used again for every read.
    /// let count = reader.read(&mut buffer).await?;
    /// assert_eq!(&buffer[..count], b"hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NetError> {
        self.waiting_since = None;
        std::future::poll_fn(|cx| {
            let mut filled = ReadBuf::new(buffer);
            let read = self
                .inner
                .poll_stream(|stream| stream.poll_read(cx, &mut filled));
            match read {
                Poll::Ready(Ok(())) => {
                    let count = filled.filled().len();
                    self.inner.note_received(count);
                    Poll::Ready(Ok(count))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.inner.fail("receive from", error))),
                Poll::Pending => self.poll_timeouts(cx).map(|end| end.map(|()| 0)),
            }
        })
        .await
    }

    /// Checks the timeouts when no data has arrived. Ready with `Ok` if the server closes.
    fn poll_timeouts(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        // Registered first, so that a stop after the check of the flag wakes this task.
        self.inner.stop.register(cx.waker());
        if self.inner.is_stopping() {
            return Poll::Ready(Ok(()));
        }
        let limits = &self.inner.limits;
        let silent_at = limits
            .read_timeout
            .map(|after| *self.waiting_since.get_or_insert_with(Instant::now) + after);
        let idle_at = limits
            .idle_timeout
            .map(|after| self.inner.active_at() + after);
        let Some(at) = silent_at.into_iter().chain(idle_at).min() else {
            return Poll::Pending;
        };
        ready!(self.deadline.poll(cx, at));
        let peer = self.inner.peer.to_string();
        Poll::Ready(Err(if silent_at == Some(at) {
            NetError::ReadTimeout {
                peer,
                after: limits.read_timeout.unwrap_or_default(),
            }
        } else {
            NetError::Idle {
                peer,
                after: limits.idle_timeout.unwrap_or_default(),
            }
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Returns the remote end.
    pub fn peer(&self) -> &Endpoint {
        &self.inner.peer
    }

    /// Returns the number of bytes received.
    pub fn received(&self) -> u64 {
        self.inner.received.load(Ordering::Relaxed)
    }
}

/// The sending half of a [`Connection`].
pub struct Writer {
    inner: Arc<ConnectionInner>,
    deadline: Deadline,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("peer", &self.inner.peer)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Sends all bytes, as [`Connection::send_all`].
    ///
    /// # Errors
    /// As that method.
    pub async fn send_all(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self
                .progress(|stream, cx| stream.poll_write(cx, rest))
                .await?;
            rest = &rest[count..];
        }
        self.flush().await
    }

    /// Sends several slices, with as few system calls as possible. Sent bytes are removed from them.
    pub(crate) async fn send_pieces(&mut self, pieces: &mut [Bytes]) -> Result<(), NetError> {
        let mut rest = pieces;
        while let Some(first) = rest.iter().position(|piece| !piece.is_empty()) {
            rest = &mut rest[first..];
            let mut count = self
                .progress(|stream, cx| {
                    let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
                    let used = rest.len().min(MAX_SLICES);
                    for (slice, piece) in slices.iter_mut().zip(rest.iter()) {
                        *slice = io::IoSlice::new(piece);
                    }
                    stream.poll_write_vectored(cx, &slices[..used])
                })
                .await?;
            for piece in &mut *rest {
                let taken = count.min(piece.len());
                piece.advance(taken);
                count -= taken;
            }
        }
        self.flush().await
    }

    /// Closes this side, as [`Connection::finish`].
    ///
    /// # Errors
    /// As that method.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        let finished = self.with_timeout(AsyncWrite::poll_shutdown).await?;
        match finished {
            Ok(()) => Ok(()),
            // The peer has closed the connection before.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            Err(error) => Err(self.inner.fail("send to", error)),
        }
    }

    async fn flush(&mut self) -> Result<(), NetError> {
        // TCP and Unix sockets have no buffer to flush.
        if !self.inner.is_secure {
            return Ok(());
        }
        let flushed = self.with_timeout(AsyncWrite::poll_flush).await?;
        flushed.map_err(|error| self.inner.fail("send to", error))
    }

    async fn progress(
        &mut self,
        write: impl FnMut(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Result<usize, NetError> {
        let written = self.with_timeout(write).await?;
        match written {
            Ok(0) => Err(NetError::Reset {
                peer: self.inner.peer.to_string(),
            }),
            Ok(count) => {
                self.inner.note_sent(count);
                Ok(count)
            }
            Err(error) => Err(self.inner.fail("send to", error)),
        }
    }

    /// Polls the stream until it is ready, for [`Limits::write_timeout`] at most.
    async fn with_timeout<R>(
        &mut self,
        mut poll: impl FnMut(Pin<&mut Stream>, &mut Context<'_>) -> Poll<R>,
    ) -> Result<R, NetError> {
        let mut since = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(ready) = self.inner.poll_stream(|stream| poll(stream, cx)) {
                return Poll::Ready(Ok(ready));
            }
            let Some(after) = self.inner.limits.write_timeout else {
                return Poll::Pending;
            };
            let at = *since.get_or_insert_with(Instant::now) + after;
            ready!(self.deadline.poll(cx, at));
            Poll::Ready(Err(NetError::WriteTimeout {
                peer: self.inner.peer.to_string(),
                after,
            }))
        })
        .await
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Returns the remote end.
    pub fn peer(&self) -> &Endpoint {
        &self.inner.peer
    }

    /// Returns the number of bytes sent.
    pub fn sent(&self) -> u64 {
        self.inner.sent.load(Ordering::Relaxed)
    }
}
