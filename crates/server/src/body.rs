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

/// Bytes of a file that are in memory at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// The body of the server's responses.
#[derive(Debug)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Full(Option<Bytes>),
    File { file: File, left: u64 },
}

impl Body {
    /// A body that is in memory.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Full(Some(bytes.into())))
    }

    /// No body.
    pub fn empty() -> Self {
        Self(Inner::Full(None))
    }

    pub(crate) fn file(file: File, size: u64) -> Self {
        Self(Inner::File { file, left: size })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::File { left: 0, .. } => Poll::Ready(None),
            Inner::File { file, left } => {
                let size = CHUNK_BYTES.min(usize::try_from(*left).unwrap_or(CHUNK_BYTES));
                let mut chunk = vec![0; size];
                let mut buffer = ReadBuf::new(&mut chunk);
                ready!(Pin::new(file).poll_read(cx, &mut buffer))?;
                let count = buffer.filled().len();
                if count == 0 {
                    // It was cut since its size was announced.
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                chunk.truncate(count);
                *left -= count as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Inner::Full(None) | Inner::File { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Inner::Full(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Inner::File { left, .. } => *left,
        })
    }
}
