//! The body of a response: bytes, a file that is read as the client takes it, or a stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use kokanee_handler::BoxError;
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

use crate::{delivery::Delivery, watched::Busy};

/// Bytes that are given at a time. The connection copies them after its head, into a buffer that it keeps.
const CHUNK_BYTES: usize = 8 * 1024;

/// Carries the content of the server's responses: bytes, a file that is read as the client takes it, or a stream.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// The packets in the body, until all of it has been given to the connection.
    delivery: Option<Delivery>,
}

#[derive(Debug)]
enum Content {
    /// What is left of bytes in memory.
    Bytes(Bytes),
    File(Box<OpenFile>),
    Stream(Box<Stream>),
}

struct Stream {
    body: Pin<Box<dyn HttpBody<Data = Bytes, Error = io::Error> + Send>>,
    /// The connection is not idle while the stream lasts.
    busy: Option<Busy>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    left: u64,
}

impl Body {
    /// Creates a body from bytes in memory.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            content: Content::Bytes(bytes.into()),
            delivery: None,
        }
    }

    /// Creates an empty body.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Creates a body from another one, which is asked for its content as the client takes it. One with an error ends the
    /// connection, so that the client notices.
    ///
    /// ```
    /// use http_body_util::StreamBody;
    /// use kokanee_server::Body;
    ///
    /// let pieces = ["one, ", "two"].map(|piece| {
    ///     Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from(piece)))
    /// });
    /// let body = Body::stream(StreamBody::new(futures_util::stream::iter(pieces)));
    /// assert!(!http_body::Body::is_end_stream(&body));
    /// ```
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut body = Some(body);
        let any: &mut dyn std::any::Any = &mut body;
        if let Some(own) = any.downcast_mut::<Option<Self>>().and_then(Option::take) {
            return own;
        }
        let Some(body) = body else {
            return Self::empty();
        };
        Self {
            content: Content::Stream(Box::new(Stream {
                body: Box::pin(body.map_err(io::Error::other)),
                busy: None,
            })),
            delivery: None,
        }
    }

    /// Keeps the mark that a request is being answered until a stream has ended.
    pub(crate) fn keep_busy(&mut self, busy: Busy) {
        if let Content::Stream(stream) = &mut self.content {
            stream.busy = Some(busy);
        }
    }

    pub(crate) fn file(file: File, size: u64) -> Self {
        Self {
            content: Content::File(Box::new(OpenFile { file, left: size })),
            delivery: None,
        }
    }

    /// Creates the body of the answer to a poll.
    pub(crate) fn packets(bytes: Bytes, delivery: Delivery) -> Self {
        Self {
            content: Content::Bytes(bytes),
            delivery: Some(delivery),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.content {
            Content::Bytes(bytes) => {
                let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
                if bytes.is_empty()
                    && let Some(delivery) = self.delivery.take()
                {
                    delivery.pass_on();
                }
                Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
            }
            Content::File(open) => open.poll_frame(cx),
            Content::Stream(stream) => stream.body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_empty(),
            Content::File(open) => open.left == 0,
            Content::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::File(open) => SizeHint::with_exact(open.left),
            Content::Stream(stream) => stream.body.size_hint(),
        }
    }
}

impl OpenFile {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = CHUNK_BYTES.min(usize::try_from(self.left).unwrap_or(CHUNK_BYTES));
        let mut chunk = vec![0; size];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        if count == 0 {
            // It was cut since its size was announced.
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        chunk.truncate(count);
        self.left -= count as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
    }
}
