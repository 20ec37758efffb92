//! The part of a connection that its reader and its writer share: the stream, its endpoints, its limits.
//!
//! A connection costs this allocation and the task of its handler. Everything else exists only while it is needed.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep_until},
};

use crate::{endpoint::Endpoint, error::NetError, limits::Limits, stop::Stop, stream::Stream};

/// Time in which the end of a TLS connection must be sent.
const END_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct ConnectionInner {
    stream: Mutex<Stream>,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    pub(crate) limits: Arc<Limits>,
    pub(crate) is_secure: bool,
    /// The flag of the server that accepted it.
    server: Option<Arc<Stop>>,
    /// Wakes a task that waits for data when the server closes.
    pub(crate) stop: AtomicWaker,
    start: Instant,
    /// When data was last sent or received, in milliseconds since the start. Updated only if there is an idle timeout.
    active_ms: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl ConnectionInner {
    pub(crate) fn new(
        stream: Stream,
        peer: Endpoint,
        local: Endpoint,
        limits: Arc<Limits>,
        server: Option<Arc<Stop>>,
    ) -> Self {
        let is_secure = matches!(stream, Stream::Tls(_));
        Self {
            stream: Mutex::new(stream),
            peer,
            local,
            limits,
            is_secure,
            server,
            stop: AtomicWaker::new(),
            start: Instant::now(),
            active_ms: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stream> {
        // No code panics while the lock is held.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls the stream. The lock is held for this one system call only.
    pub(crate) fn poll_stream<R>(&self, poll: impl FnOnce(Pin<&mut Stream>) -> R) -> R {
        poll(Pin::new(&mut *self.lock()))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.is_set())
    }

    pub(crate) fn note_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.note_active();
    }

    pub(crate) fn note_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.note_active();
    }

    fn note_active(&self) {
        if self.limits.idle_timeout.is_some() {
            let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.active_ms.store(millis, Ordering::Relaxed);
        }
    }

    /// Returns when data was last sent or received.
    pub(crate) fn active_at(&self) -> Instant {
        self.start + Duration::from_millis(self.active_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn age(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sends the end of the connection (for TLS, `close_notify`), with a timeout.
    pub(crate) async fn end(&self) {
        let end = std::future::poll_fn(|cx| self.poll_stream(|stream| stream.poll_shutdown(cx)));
        // A peer that does not read only misses the end.
        let _ = tokio::time::timeout(END_TIMEOUT, end).await;
    }

    pub(crate) fn fail(&self, action: &'static str, source: io::Error) -> NetError {
        // rustls reports the end of a stream without close_notify like this.
        if self.is_secure && source.kind() == io::ErrorKind::UnexpectedEof {
            return NetError::Tls {
                context: self.peer.to_string(),
                reason:
                    "the peer has closed the connection without close_notify: data may be missing"
                        .to_owned(),
            };
        }
        NetError::from_io(action, self.peer.to_string(), source)
    }
}

/// A timer that exists only while a call waits with a deadline.
///
/// The deadline moves with all data. The timer moves only when it fires: then it is set to the remaining time.
#[derive(Default)]
pub(crate) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Waits until `at`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if at <= tokio::time::Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}
