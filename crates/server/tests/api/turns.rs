//! What a session takes in before other tasks get their chance, whatever its client has sent at once.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use kokanee_server::Server;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::{frame, http, opcode, within};

/// A client that has sent all this already, and takes whatever it is sent. Nothing here is a resource of the runtime, which
/// would interrupt a task by itself.
struct Flood {
    bytes: Vec<u8>,
    taken: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.bytes[self.taken.load(Ordering::Relaxed)..];
        if rest.is_empty() {
            return Poll::Pending;
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.taken.fetch_add(count, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The frames of an event of this many bytes, in so many pieces.
fn event(bytes: usize, pieces: usize) -> Vec<u8> {
    let text = format!("42[\"x\",\"{}\"]", "x".repeat(bytes));
    let mut frames = Vec::new();
    let mut chunks = text
        .as_bytes()
        .chunks(text.len().div_ceil(pieces))
        .peekable();
    let mut kind = opcode::TEXT;
    while let Some(chunk) = chunks.next() {
        let fin = if chunks.peek().is_none() { 0x80 } else { 0 };
        frames.extend(frame(fin | kind, chunk));
        kind = opcode::CONTINUATION;
    }
    frames
}

#[tokio::test]
async fn one_turn_is_bounded_in_bytes_whatever_they_belong_to() {
    const MOST: usize = 256 * 1024;
    const EVENT_BYTES: usize = 900_000;
    for (what, pieces) in [("whole messages", 1), ("messages in pieces", 10_000)] {
        let mut bytes = http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]);
        bytes.extend(frame(0x80 | opcode::TEXT, b"40"));
        for _ in 0..5 {
            bytes.extend(event(EVENT_BYTES, pieces));
        }
        let (all, taken) = (bytes.len(), Arc::new(AtomicUsize::new(0)));
        let flood = Flood {
            bytes,
            taken: Arc::clone(&taken),
        };
        let io = Server::new();
        let served = tokio::spawn({
            let io = io.clone();
            async move { io.serve_stream(flood, None).await }
        });
        // This task gets its chance whenever the other one has taken its turn: there is one thread.
        let mut most = 0;
        let taking = async {
            let mut before = 0;
            while before < all {
                tokio::task::yield_now().await;
                let now = taken.load(Ordering::Relaxed);
                most = most.max(now - before);
                before = now;
            }
        };
        within("all is taken in", taking).await;
        assert!(most <= MOST, "{what}: {most} bytes in one turn");
        assert_eq!(io.of("/").socket_count(), 1, "{what}");
        served.abort();
    }
}
