//! A WebSocket over a stream: reads into the worker thread's buffer, decodes every frame that a read has brought, and
//! writes what waits with one call.
//!
//! Owned by the [driver](crate::driver). It keeps no buffer while nothing is unfinished.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use kokanee_engineio::{Message, OutPacket, Revision, Session, Str, Transport};
use kokanee_websocket::{
    CloseCode, CloseFrame, DecodeError, Decoder, Limits, Message as Frame, OpCode, Role,
    encode_header,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Size of the read buffer that each worker thread has.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Frames that one write takes at most.
const MAX_SLICES: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A stream that carries a WebSocket: plain TCP, or anything else behind a box.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Other(Pin<Box<dyn Duplex>>),
}

/// A stream that can be read and written.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Other(stream) => stream.as_mut().poll_read(cx, buffer),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(stream), [only]) => Pin::new(stream).poll_write(cx, only),
            (Self::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Self::Other(stream), _) if stream.is_write_vectored() => {
                stream.as_mut().poll_write_vectored(cx, slices)
            }
            (Self::Other(stream), [only]) => stream.as_mut().poll_write(cx, only),
            (Self::Other(stream), _) => stream.as_mut().poll_write(cx, &join(slices)),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // The kernel sends what it has.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
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

/// Why reading has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// A close frame, or the end of the stream.
    Closed,
    /// The stream failed, or the peer broke the protocol.
    Failed,
}

/// A WebSocket, server side, after its opening handshake.
pub(crate) struct WebSocketIo {
    stream: Stream,
    decoder: Decoder,
    /// Bytes that were read but not decoded: the handshake left them, or reading was paused in the middle of a read.
    unread: Vec<u8>,
    /// A control frame on its way and how much of it was written. Control frames go between other frames.
    control: Option<(Vec<u8>, usize)>,
    /// The answer to the newest ping. Spec, RFC 6455 5.5.3: older pings need no answer.
    pong: Option<Vec<u8>>,
    /// The payload of the close frame to send; nothing follows it.
    close: Option<Vec<u8>>,
    close_sent: bool,
    unflushed: bool,
    read_end: Option<ReadEnd>,
    /// When the unfinished message began.
    message_since: Option<Instant>,
}

impl std::fmt::Debug for WebSocketIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocketIo")
            .field("read_end", &self.read_end)
            .finish_non_exhaustive()
    }
}

impl WebSocketIo {
    pub(crate) fn new(stream: Stream, unread: &[u8], limits: Limits) -> Self {
        Self {
            stream,
            decoder: Decoder::new(Role::Server, limits),
            unread: unread.to_vec(),
            control: None,
            pong: None,
            close: None,
            close_sent: false,
            unflushed: false,
            read_end: None,
            message_since: None,
        }
    }

    /// Whether nothing but the session's frames waits to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.control.is_none()
            && self.pong.is_none()
            && self.close.is_none()
            && !self.close_sent
            && !self.unflushed
    }

    /// Since when a message is unfinished.
    pub(crate) fn message_since(&self) -> Option<Instant> {
        self.message_since
    }

    pub(crate) fn read_end(&self) -> Option<ReadEnd> {
        self.read_end
    }

    /// Reads once and hands every message to `f` until it returns `false`; what is not decoded then is kept for the next
    /// call. Ready when something was read or reading has ended.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        f: impl FnMut(&mut Self, Message) -> bool,
    ) -> Poll<()> {
        if self.read_end.is_some() {
            return Poll::Pending;
        }
        if !self.unread.is_empty() {
            let mut unread = std::mem::take(&mut self.unread);
            self.decode(now, &mut unread, f);
            return Poll::Ready(());
        }
        SCRATCH.with(|scratch| {
            // A handler that runs inside `f` cannot come back here, unless it blocks on a runtime of its own.
            let mut own;
            let mut shared;
            let buffer: &mut Vec<u8> = if let Ok(borrowed) = scratch.try_borrow_mut() {
                shared = borrowed;
                &mut shared
            } else {
                own = vec![0; SCRATCH_BYTES];
                &mut own
            };
            let mut read = ReadBuf::new(buffer);
            match ready!(self.stream.poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => self.read_end = Some(ReadEnd::Closed),
                Ok(()) => self.decode(now, read.filled_mut(), f),
                Err(_) => self.read_end = Some(ReadEnd::Failed),
            }
            Poll::Ready(())
        })
    }

    fn decode(
        &mut self,
        now: Instant,
        mut input: &mut [u8],
        mut f: impl FnMut(&mut Self, Message) -> bool,
    ) {
        // Taken out, so that `f` may use the rest of `self`. An idle decoder costs nothing to make.
        let mut decoder = std::mem::replace(
            &mut self.decoder,
            Decoder::new(Role::Server, Limits::default()),
        );
        loop {
            let message = match decoder.decode(&mut input) {
                Ok(Some(Frame::Text(text))) => Message::Text(Str::received(text)),
                Ok(Some(Frame::Binary(bytes))) => Message::Binary(Bytes::copy_from_slice(bytes)),
                Ok(Some(Frame::Ping(payload))) => {
                    self.pong = Some(payload.to_vec());
                    continue;
                }
                Ok(Some(Frame::Pong(_))) => continue,
                Ok(Some(Frame::Close(frame))) => {
                    self.on_close(frame);
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    self.on_error(error);
                    break;
                }
            };
            if !f(self, message) {
                self.unread = input.to_vec();
                break;
            }
        }
        self.message_since = decoder
            .is_mid_message()
            .then(|| self.message_since.unwrap_or(now));
        self.decoder = decoder;
    }

    /// Spec, RFC 6455 5.5.1: a close frame is answered with its own code.
    fn on_close(&mut self, frame: Option<CloseFrame<'_>>) {
        self.read_end = Some(ReadEnd::Closed);
        let code = frame.map(|frame| frame.code);
        self.start_close(code);
    }

    fn on_error(&mut self, error: DecodeError) {
        tracing::debug!(%error, "websocket protocol error, closing");
        self.read_end = Some(ReadEnd::Failed);
        self.start_close(Some(error.close_code()));
    }

    /// Sends a close frame when the frame being written is complete. Frames after it are not sent.
    pub(crate) fn start_close(&mut self, code: Option<CloseCode>) {
        if self.close.is_none() && !self.close_sent {
            self.close = Some(match code {
                Some(code) => CloseFrame { code, reason: "" }.encode().as_slice().to_vec(),
                None => Vec::new(),
            });
        }
    }

    /// Writes one packet that the session does not carry: the answer to a probe.
    pub(crate) fn send_now(&mut self, revision: Revision, packet: &OutPacket) {
        // A probe is the first and only packet before the upgrade, so nothing can be in the way.
        self.control = Some((packet.websocket_slice(revision, false).to_vec(), 0));
    }

    /// Writes what waits: control frames, then the session's. Ready when all is written.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        mut session: Option<&mut Session>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some((frame, written)) = &mut self.control {
                let count = ready!(
                    self.stream
                        .poll_write(cx, &[IoSlice::new(&frame[*written..])])
                )?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                *written += count;
                self.unflushed = true;
                if *written == frame.len() {
                    self.control = None;
                }
                continue;
            }
            let mid_frame = session
                .as_ref()
                .is_some_and(|session| session.is_mid_frame());
            if !mid_frame && self.close_sent {
                break;
            }
            if !mid_frame && let Some(payload) = self.pong.take() {
                self.control = Some((control_frame(OpCode::Pong, &payload), 0));
                continue;
            }
            // A close frame that answers the peer's, or an error, overtakes what waits: nobody reads that any more.
            let closes_now = self.close.is_some() && (self.read_end.is_some() || session.is_none());
            if !mid_frame && closes_now {
                self.begin_close_frame();
                continue;
            }
            let Some(session) = session.as_mut() else {
                break;
            };
            let written = if let Some(frame) = session.only_frame() {
                self.stream.poll_write(cx, &[IoSlice::new(frame)])
            } else {
                if session.is_drained() || session.transport() != Transport::WebSocket {
                    if self.close.is_some() {
                        self.begin_close_frame();
                        continue;
                    }
                    break;
                }
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let used = session.frames(&mut slices);
                self.stream.poll_write(cx, &slices[..used])
            };
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            session.advance(now, count);
        }
        if self.unflushed {
            ready!(self.stream.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a frame of the session if it can, before anything else. Returns how much of it was taken.
    pub(crate) fn poll_write_frame(
        &mut self,
        cx: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write(cx, &[IoSlice::new(frame)]))?;
        self.unflushed = !matches!(self.stream, Stream::Tcp(_));
        Poll::Ready(Ok(written))
    }

    fn begin_close_frame(&mut self) {
        let payload = self.close.take().unwrap_or_default();
        self.control = Some((control_frame(OpCode::Close, &payload), 0));
        self.close_sent = true;
    }

    /// After the close frame: ends our side, then waits for the peer's end, so that no reset overtakes the close frame.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.poll_shutdown(cx).is_pending() {
            return Poll::Pending;
        }
        let mut sink = [0; 4096];
        // Bounded: a peer that floods is left to the deadline of the caller, a piece at a time.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut sink);
            match ready!(self.stream.poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn control_frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = encode_header(opcode, payload.len(), None)
        .as_slice()
        .to_vec();
    frame.extend_from_slice(payload);
    frame
}
