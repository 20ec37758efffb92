//! The progress of an HTTP connection: what it is doing, since when, and when it is to be closed.

use std::{
    any::TypeId,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{clock, delivery::Deliveries, limits::Limits, moving::Moved, stream_end::StreamEnd};

/// Bytes that are read to find the end of a stream while hyper reads nothing, as a request is being answered.
const MAX_AHEAD_BYTES: usize = 16 * 1024;

/// How an HTTP connection ends.
pub(crate) enum Ending {
    /// After the last answer.
    Answered,
    /// In the middle of a request's head, after an answer to it.
    LateHead,
    /// Without an answer: it was idle, or does not take what is written.
    Cut,
    /// It goes to another listener.
    Moved(Moved),
}

/// The progress of an HTTP connection, in milliseconds since it began; 0 is never.
#[derive(Debug)]
pub(crate) struct Watch {
    start: Instant,
    /// A request is being answered: the limits of the answer apply, not those of the connection.
    busy: AtomicBool,
    /// The last request was for a file or the fallback.
    is_other: AtomicBool,
    /// When the last answer was given, or the connection was accepted.
    idle_since: AtomicU64,
    /// When the first byte of the next request arrived.
    head_since: AtomicU64,
    /// Since when a write has made no progress.
    blocked_since: AtomicU64,
    served: AtomicBool,
    /// The next response upgrades the connection to a WebSocket.
    upgrades: AtomicBool,
    /// Dropped with the last handle of the connection: undelivered packets then go back to their sessions.
    pub(crate) deliveries: Arc<Deliveries>,
    /// Of the client, while a request is being answered.
    pub(crate) end: StreamEnd,
    /// The connection can leave its listener.
    can_move: bool,
    /// What it leaves with.
    moved: Mutex<Option<Moved>>,
}

impl Watch {
    pub(crate) fn new(can_move: bool) -> Self {
        Self {
            start: clock::now(),
            busy: AtomicBool::new(false),
            is_other: AtomicBool::new(false),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            served: AtomicBool::new(false),
            upgrades: AtomicBool::new(false),
            deliveries: Arc::default(),
            end: StreamEnd::default(),
            can_move,
            moved: Mutex::default(),
        }
    }

    /// Returns how the connection ends if it does before its last response: its client has left, or it moves away, and all
    /// earlier responses are written.
    pub(crate) fn over(&self) -> Option<Ending> {
        if self.end.has_left() {
            return Some(Ending::Cut);
        }
        if !self.end.is_leaving() || self.blocked_since.load(Ordering::Relaxed) != 0 {
            return None;
        }
        self.moved.lock().take().map(Ending::Moved)
    }

    /// Has the connection leave its listener, as soon as all earlier responses are written. The future that answers its request
    /// is dropped, and must not end before.
    pub(crate) fn leave(&self, moved: Moved) {
        *self.moved.lock() = Some(moved);
        self.end.leave();
    }

    fn now(&self) -> u64 {
        u64::try_from(clock::now().duration_since(self.start).as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn at(&self, since: &AtomicU64) -> Option<Instant> {
        match since.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(self.start + Duration::from_millis(millis)),
        }
    }

    /// Returns when the connection is to be closed because of what it is doing: taking what is written, or sending a head.
    pub(crate) fn short_deadline(&self, limits: &Limits) -> Option<Instant> {
        if let Some(since) = self.at(&self.blocked_since) {
            let is_other = self.is_other.load(Ordering::Relaxed);
            return Some(
                since
                    + if is_other {
                        limits.response_timeout
                    } else {
                        limits.write_timeout
                    },
            );
        }
        if self.busy.load(Ordering::Relaxed) {
            return None;
        }
        self.at(&self.head_since)
            .map(|since| since + limits.header_timeout)
    }

    /// Returns how a connection ends after its deadline.
    pub(crate) fn ending(&self) -> Ending {
        let has = |since: &AtomicU64| since.load(Ordering::Relaxed) != 0;
        if has(&self.head_since) && !has(&self.blocked_since) && !self.busy.load(Ordering::Relaxed)
        {
            Ending::LateHead
        } else {
            Ending::Cut
        }
    }

    /// Returns when the connection is to be closed.
    pub(crate) fn deadline(&self, limits: &Limits) -> Instant {
        if let Some(deadline) = self.short_deadline(limits) {
            return deadline;
        }
        if self.busy.load(Ordering::Relaxed) {
            // Checked again at a time when the answer may have been given.
            return clock::now() + limits.header_timeout;
        }
        let idle = if self.served.load(Ordering::Relaxed) {
            limits.keep_alive_timeout
        } else {
            limits.header_timeout
        };
        self.at(&self.idle_since).unwrap_or(self.start) + idle
    }
}

/// Marks that a request is being answered, until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Watch>);

impl Busy {
    pub(crate) fn new(watch: &Arc<Watch>) -> Self {
        watch.busy.store(true, Ordering::Relaxed);
        watch.is_other.store(false, Ordering::Relaxed);
        watch.served.store(true, Ordering::Relaxed);
        watch.head_since.store(0, Ordering::Relaxed);
        Self(Arc::clone(watch))
    }

    /// Marks that the request is for a file or the fallback: its client may take its time.
    pub(crate) fn note_other(&self) {
        self.0.is_other.store(true, Ordering::Relaxed);
    }

    /// Returns what the end of the client's stream means for this request.
    pub(crate) fn end(&self) -> &StreamEnd {
        &self.0.end
    }

    /// Returns the connection, if it can leave its listener.
    pub(crate) fn movable(&self) -> Option<&Arc<Watch>> {
        self.0.can_move.then_some(&self.0)
    }

    /// Marks that the response upgrades the connection to a WebSocket: it is kept, and sent with the session's first packet.
    pub(crate) fn note_upgrade(&self) {
        // The rest of an earlier answer, to a pipelined request, is written first.
        if self.0.deliveries.is_empty() {
            self.0.upgrades.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.busy.store(false, Ordering::Relaxed);
        self.0.end.ignore();
    }
}

/// A stream that records when bytes are read and written.
#[derive(Debug)]
pub(crate) struct WatchedStream<S> {
    stream: S,
    watch: Arc<Watch>,
    /// The response that upgrades a TCP stream to a WebSocket, which is sent with the first packet of the session.
    unsent: Vec<u8>,
    /// What was read while hyper did not read.
    ahead: Vec<u8>,
}

impl<S: 'static> WatchedStream<S> {
    /// Watches a stream of which something was read already.
    pub(crate) fn new(stream: S, read: Vec<u8>, watch: Arc<Watch>) -> Self {
        Self {
            stream,
            watch,
            unsent: Vec::new(),
            ahead: read,
        }
    }

    /// Returns the stream, what was read of it and nobody has taken, and what is still to be written to it.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>, Vec<u8>) {
        (self.stream, self.ahead, self.unsent)
    }

    /// Returns whether what is written now is kept for the WebSocket that takes over the stream.
    fn keeps_response(&self) -> bool {
        self.watch.upgrades.load(Ordering::Relaxed)
            && TypeId::of::<S>() == TypeId::of::<TcpStream>()
    }
}

impl<S> WatchedStream<S> {
    fn note_write<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let blocked = &self.watch.blocked_since;
        if result.is_ready() {
            if blocked.load(Ordering::Relaxed) != 0 {
                blocked.store(0, Ordering::Relaxed);
            }
        } else if blocked.load(Ordering::Relaxed) == 0 {
            blocked.store(self.watch.now(), Ordering::Relaxed);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> WatchedStream<S> {
    /// Reads ahead until nothing is there or the stream has ended, and notes that. Beyond a limit, the end is not noticed: it comes
    /// after more requests than are read ahead.
    fn look_for_end(&mut self, cx: &mut Context<'_>) {
        let before = self.ahead.len();
        let mut bytes = [MaybeUninit::uninit(); 1024];
        while self.ahead.len() < MAX_AHEAD_BYTES {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.ahead.extend_from_slice(buffer.filled());
                }
                Poll::Ready(_) => {
                    self.watch.end.note();
                    break;
                }
            }
        }
        if self.ahead.len() > before || self.watch.end.has_come() {
            // Who waits for bytes or for the end is not woken by the stream.
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = if self.ahead.is_empty() {
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        } else {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            Poll::Ready(Ok(()))
        };
        let watch = &self.watch;
        if buffer.filled().len() > before
            && !watch.busy.load(Ordering::Relaxed)
            && watch.head_since.load(Ordering::Relaxed) == 0
        {
            watch.head_since.store(watch.now(), Ordering::Relaxed);
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.keeps_response() {
            self.unsent.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Confirms the deliveries: hyper flushes after it has written everything, and TLS may buffer until then. It also flushes while it
    /// waits for a response, and does not read then.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = result {
            self.watch.deliveries.confirm();
        }
        if self.watch.end.is_awaited() {
            self.look_for_end(cx);
        }
        self.note_write(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::BufStream;

    use super::*;

    /// As TLS does: takes what is written, and passes it on when it is flushed.
    #[test]
    fn an_answer_that_cannot_be_flushed_is_blocked() {
        let (stream, mut peer) = tokio::io::duplex(4);
        let watch = Arc::new(Watch::new(false));
        let stream = BufStream::new(stream);
        let mut stream = WatchedStream::new(stream, Vec::new(), Arc::clone(&watch));
        let mut cx = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut stream).poll_write(&mut cx, b"eight by");
        assert!(matches!(written, Poll::Ready(Ok(8))));
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_pending());
        let limits = Limits::default();
        assert!(watch.short_deadline(&limits).is_some());

        let mut bytes = [0; 4];
        let mut bytes = ReadBuf::new(&mut bytes);
        assert!(
            Pin::new(&mut peer)
                .poll_read(&mut cx, &mut bytes)
                .is_ready()
        );
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        assert!(watch.short_deadline(&limits).is_none());
    }
}
