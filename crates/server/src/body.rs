//! The body of a response: bytes, or a file that is read as the client takes it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

use crate::delivery::Delivery;

/// Bytes that are given at a time. The connection copies them after its head, into a buffer that it keeps.
const CHUNK_BYTES: usize = 8 * 1024;

/// Carries the content of the server's responses: bytes, or a file that is read as the client takes it.
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
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Body {
    fn left(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(open) => open.left,
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
