//! Bodies between the listener and Python: that of a request, perhaps read already, and that of a response, perhaps a stream
//! that Python writes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use kokanee_server::Body;

use super::exchange::Shared;

/// Bytes that the connection is given at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of a request.
pub(crate) enum RequestBody {
    /// It was read.
    Read(Bytes),
    Unread(Incoming),
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Read(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Unread(incoming) => Pin::new(incoming).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Read(bytes) => bytes.is_empty(),
            Self::Unread(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Read(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Unread(incoming) => incoming.size_hint(),
        }
    }
}

/// The body of a response.
pub(crate) enum ReplyBody {
    Whole(Bytes),
    /// What Python writes.
    Stream(Stream),
    /// That of an engine.
    Engine(Body),
}

/// The end of a stream that the connection reads. When it is dropped early, the client has gone.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    /// Until then, the request is being answered.
    running: Option<Running>,
}

impl Stream {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            running: None,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl ReplyBody {
    /// Has a request count as being answered until its response has ended.
    pub(crate) fn keep(&mut self, running: Running) {
        if let Self::Stream(stream) = self {
            stream.running = Some(running);
        }
    }
}

/// Counts a request until it is answered.
pub(crate) struct Running(Arc<AtomicUsize>);

impl Running {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
            }
            Self::Stream(stream) => {
                let piece = stream.shared.poll_written(cx);
                piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
            Self::Engine(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
            Self::Engine(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
            Self::Engine(body) => body.size_hint(),
        }
    }
}
