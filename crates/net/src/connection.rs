//! [`Connection`]: what a handler does with its peer. It is a [`Reader`] and a [`Writer`], which can also go separate ways.

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
    endpoint::Endpoint,
    error::NetError,
    limits::Limits,
    link::{Deadline, Link},
    scratch,
    stop::Stop,
    stream::Stream,
};

/// Pieces that are handed to the system at once.
const MAX_SLICES: usize = 64;
/// Time and bytes that [`Connection::close`] spends on what the peer still sends.
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
        let link = Arc::new(Link::new(stream, peer, local, limits, server));
        Self {
            reader: Reader {
                link: Arc::clone(&link),
                deadline: Deadline::default(),
                waits_since: None,
            },
            writer: Writer {
                link,
                deadline: Deadline::default(),
            },
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.reader.link
    }

    /// Receives whatever has arrived, at most 64 KiB of it. `None` when the peer has ended its side, or the server is
    /// closing and everything that has arrived was received.
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
    /// [`NetError::ReadTimeout`], [`NetError::Idle`] or what happened to the connection.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, NetError> {
        self.reader.recv().await
    }

    /// Receives as many bytes as fit into `buffer`. Not cancel safe: what was received until then is in the buffer, and
    /// nobody knows how much.
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
    /// [`NetError::UnexpectedEnd`] if the peer ends before, or as [`recv`](Self::recv).
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), NetError> {
        self.reader.read_exact(buffer).await
    }

    /// Sends all bytes: returns when the system has taken the last of them. Not cancel safe: some may have left.
    ///
    /// # Errors
    /// [`NetError::WriteTimeout`] if the peer reads nothing for [`Limits::write_timeout`], or what happened to the
    /// connection.
    pub async fn send_all(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.writer.send_all(bytes).await
    }

    /// Ends our side: the peer sees the end of our data, and can still send its own.
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
    /// What happened to the connection.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        self.writer.finish().await
    }

    /// Ends the connection so that nothing is lost that was sent: ends our side, then waits a little for the peer's end.
    /// A connection that is dropped while the peer still sends is reset by most systems, and a reset overtakes data.
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
        // However it ends, nothing more can be done for the peer.
        let _ = tokio::time::timeout(LINGER, linger).await;
    }

    /// Separates reading and writing, so that two tasks can do them at the same time.
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

    /// The other end.
    pub fn peer(&self) -> &Endpoint {
        &self.reader.link.peer
    }

    /// This end.
    pub fn local(&self) -> &Endpoint {
        &self.reader.link.local
    }

    /// Whether it is encrypted.
    pub fn is_secure(&self) -> bool {
        self.reader.link.is_secure
    }

    /// Number of bytes received.
    pub fn received(&self) -> u64 {
        self.reader.received()
    }

    /// Number of bytes sent.
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// Time since the connection was made.
    pub fn age(&self) -> Duration {
        self.reader.link.age()
    }
}

/// The receiving half of a [`Connection`].
pub struct Reader {
    link: Arc<Link>,
    deadline: Deadline,
    /// When the current call began to wait, if that matters.
    waits_since: Option<Instant>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("peer", &self.link.peer)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// As [`Connection::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, NetError> {
        self.recv_with(Bytes::copy_from_slice).await
    }

    /// Receives what has arrived, and hands it to `take` where it lies. `None` at the end.
    pub(crate) async fn recv_with<R>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> R,
    ) -> Result<Option<R>, NetError> {
        self.waits_since = None;
        std::future::poll_fn(|cx| {
            let read = scratch::with(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                let read = self
                    .link
                    .poll_stream(|stream| stream.poll_read(cx, &mut buffer));
                read.map_ok(|()| match buffer.filled() {
                    [] => None,
                    data => {
                        self.link.note_received(data.len());
                        Some(take(data))
                    }
                })
            });
            match read {
                Poll::Ready(Ok(taken)) => Poll::Ready(Ok(taken)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.link.fail("receive from", error))),
                Poll::Pending => self.poll_end_of_patience(cx).map(|end| end.map(|()| None)),
            }
        })
        .await
    }

    /// As [`Connection::read_exact`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), NetError> {
        let expected = buffer.len();
        let mut read = 0;
        while read < expected {
            let count = self.read(&mut buffer[read..]).await?;
            if count == 0 {
                return Err(NetError::UnexpectedEnd {
                    peer: self.link.peer.to_string(),
                    received: read,
                    expected,
                });
            }
            read += count;
        }
        Ok(())
    }

    /// Receives into `buffer`, and returns how many bytes that were; 0 at the end. Cancel safe.
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
        self.waits_since = None;
        std::future::poll_fn(|cx| {
            let mut filled = ReadBuf::new(buffer);
            let read = self
                .link
                .poll_stream(|stream| stream.poll_read(cx, &mut filled));
            match read {
                Poll::Ready(Ok(())) => {
                    let count = filled.filled().len();
                    self.link.note_received(count);
                    Poll::Ready(Ok(count))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.link.fail("receive from", error))),
                Poll::Pending => self.poll_end_of_patience(cx).map(|end| end.map(|()| 0)),
            }
        })
        .await
    }

    /// When nothing has arrived: whether to wait on. Ready with `Ok` if the server closes.
    fn poll_end_of_patience(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        // Registered first: a stop after the look at the flag wakes this task.
        self.link.stop.register(cx.waker());
        if self.link.is_stopping() {
            return Poll::Ready(Ok(()));
        }
        let limits = &self.link.limits;
        let silent_at = limits
            .read_timeout
            .map(|after| *self.waits_since.get_or_insert_with(Instant::now) + after);
        let idle_at = limits
            .idle_timeout
            .map(|after| self.link.active_at() + after);
        let Some(at) = silent_at.into_iter().chain(idle_at).min() else {
            return Poll::Pending;
        };
        ready!(self.deadline.poll(cx, at));
        let peer = self.link.peer.to_string();
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
        &self.link.limits
    }

    /// The other end.
    pub fn peer(&self) -> &Endpoint {
        &self.link.peer
    }

    /// Number of bytes received.
    pub fn received(&self) -> u64 {
        self.link.received.load(Ordering::Relaxed)
    }
}

/// The sending half of a [`Connection`].
pub struct Writer {
    link: Arc<Link>,
    deadline: Deadline,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("peer", &self.link.peer)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// As [`Connection::send_all`].
    ///
    /// # Errors
    /// As there.
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

    /// Sends several pieces, with as few system calls as possible. What was sent is taken off them.
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

    /// As [`Connection::finish`].
    ///
    /// # Errors
    /// As there.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        let finished = self.patiently(AsyncWrite::poll_shutdown).await?;
        match finished {
            Ok(()) => Ok(()),
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            Err(error) => Err(self.link.fail("send to", error)),
        }
    }

    async fn flush(&mut self) -> Result<(), NetError> {
        // TCP and Unix sockets keep nothing back.
        if !self.link.is_secure {
            return Ok(());
        }
        let flushed = self.patiently(AsyncWrite::poll_flush).await?;
        flushed.map_err(|error| self.link.fail("send to", error))
    }

    async fn progress(
        &mut self,
        write: impl FnMut(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Result<usize, NetError> {
        let written = self.patiently(write).await?;
        match written {
            Ok(0) => Err(NetError::Reset {
                peer: self.link.peer.to_string(),
            }),
            Ok(count) => {
                self.link.note_sent(count);
                Ok(count)
            }
            Err(error) => Err(self.link.fail("send to", error)),
        }
    }

    /// Polls the stream until it is ready, but no longer than [`Limits::write_timeout`].
    async fn patiently<R>(
        &mut self,
        mut poll: impl FnMut(Pin<&mut Stream>, &mut Context<'_>) -> Poll<R>,
    ) -> Result<R, NetError> {
        let mut since = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(ready) = self.link.poll_stream(|stream| poll(stream, cx)) {
                return Poll::Ready(Ok(ready));
            }
            let Some(after) = self.link.limits.write_timeout else {
                return Poll::Pending;
            };
            let at = *since.get_or_insert_with(Instant::now) + after;
            ready!(self.deadline.poll(cx, at));
            Poll::Ready(Err(NetError::WriteTimeout {
                peer: self.link.peer.to_string(),
                after,
            }))
        })
        .await
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.link.limits
    }

    /// The other end.
    pub fn peer(&self) -> &Endpoint {
        &self.link.peer
    }

    /// Number of bytes sent.
    pub fn sent(&self) -> u64 {
        self.link.sent.load(Ordering::Relaxed)
    }
}
