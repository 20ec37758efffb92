//! A WebSocket over a stream: reads into the worker thread's buffer, decodes every frame of a read, and writes all
//! queued frames with one call.
//!
//! Owned by the task of a session. It has no buffer of its own between messages.

use std::{
    cell::RefCell,
    future::Future as _,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use kokanee_engineio::{Message, Session, Str, Transport};
use kokanee_websocket::{
    CloseCode, CloseFrame, Decoder, Limits, MaskKey, Message as Frame, OpCode, Role, apply_mask,
    encode_header,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::stream::{Stream, tune_websocket, watch_acknowledgements};

/// The size of each worker thread's read buffer: the most bytes of one read.
pub const READ_BYTES: usize = 64 * 1024;
/// The payload of a ping that checks whether the peer has read everything before it.
pub const PING_PAYLOAD: &[u8] = b"read?";
/// Most frames of one write.
const MAX_SLICES: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A session's queue of finished frames.
pub trait Frames {
    /// Returns whether a frame is partly written: no other frame may be written then.
    fn is_mid_frame(&self) -> bool;

    /// Returns whether no frames are queued for a WebSocket.
    fn is_drained(&self) -> bool;

    /// Returns the bytes to write, if they are a single slice.
    fn only_frame(&self) -> Option<&[u8]>;

    /// Fills `slices` with the bytes to write and returns how many it used.
    fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize;

    /// Notes that `count` bytes were written.
    fn advance(&mut self, now: Instant, count: usize);
}

impl Frames for Session {
    fn is_mid_frame(&self) -> bool {
        Self::is_mid_frame(self)
    }

    fn is_drained(&self) -> bool {
        Self::is_drained(self) || self.transport() != Transport::WebSocket
    }

    fn only_frame(&self) -> Option<&[u8]> {
        Self::only_frame(self)
    }

    fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        Self::frames(self, slices)
    }

    fn advance(&mut self, now: Instant, count: usize) {
        Self::advance(self, now, count);
    }
}

/// Why reading has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadEnd {
    /// A close frame, or the end of the stream.
    Closed,
    /// The stream failed, or the peer violated the protocol.
    Failed,
    /// The peer sent a message that is larger than the limit.
    TooLarge,
    /// The peer acknowledged nothing for too long; see [`WebSocketIo::watch_peer`].
    TimedOut,
}

/// Whether more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// There may be more: read again.
    Perhaps,
    /// Not now: the task is woken when there is more.
    Nothing,
}

/// The state of a peer, as far as it is known without reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// It may be connected.
    Unknown,
    /// It has closed its side. There may be unread data.
    Ended,
    /// The connection is broken. Unread data is lost.
    Gone,
}

/// A WebSocket after its opening handshake.
pub struct WebSocketIo {
    stream: Stream,
    decoder: Decoder,
    /// Bytes that were read but not decoded: the handshake left them, or reading was paused in the middle of a read.
    unread: BytesMut,
    control: ControlFrames,
    unflushed: bool,
    /// The kernel detects a peer that acknowledges nothing.
    is_peer_watched: bool,
    /// Bytes that were read since they were last asked for.
    read_bytes: usize,
    read_end: Option<ReadEnd>,
    /// The peer has answered a ping with [`PING_PAYLOAD`].
    has_pong: bool,
    /// The code and the reason of the peer's close frame.
    close_frame: Option<(CloseCode, Box<str>)>,
    /// When the unfinished message began.
    message_since: Option<Instant>,
}

/// The queued control frames, which are written between other frames.
#[derive(Debug)]
pub struct ControlFrames {
    /// The frame being written, or the response head and the frames after it, and how many of its bytes were written.
    current: Option<(Vec<u8>, usize)>,
    /// The answer to the newest ping. Spec, RFC 6455 5.5.3: older pings need no answer.
    pong: Option<Vec<u8>>,
    /// The payload of the close frame to send; no frame follows it.
    close: Option<Vec<u8>>,
    close_sent: bool,
    /// The source of a client's masking keys. `None` for a server, which does not mask.
    mask: Option<fn() -> MaskKey>,
}

impl ControlFrames {
    /// Sends a close frame when the frame being written is complete. Later frames are not sent. A reason that is too long for a
    /// frame is cut.
    pub fn start_close(&mut self, frame: Option<CloseFrame<'_>>) {
        if self.close.is_none() && !self.close_sent {
            self.close = Some(match frame {
                Some(frame) => frame.encode().as_slice().to_vec(),
                None => Vec::new(),
            });
        }
    }

    /// Queues one finished frame that is not in the session's queue: a packet of a probe.
    pub fn send_now(&mut self, frame: &[u8]) {
        // A probe sends one packet at a time, but the response head may still be queued.
        let (waiting, _) = self.current.get_or_insert_default();
        waiting.extend_from_slice(frame);
    }

    fn is_empty(&self) -> bool {
        self.current.is_none() && self.pong.is_none() && self.close.is_none() && !self.close_sent
    }

    fn begin(&mut self, opcode: OpCode, mut payload: Vec<u8>) {
        let key = self.mask.map(|mask| mask());
        if let Some(key) = key {
            apply_mask(&mut payload, key, 0);
        }
        let header = encode_header(opcode, payload.len(), key);
        self.current = Some(([header.as_slice(), &payload].concat(), 0));
    }

    /// Begins the frame that is written before the session's frames, if there is one: a pong, or with `closes_now`, the close
    /// frame. Returns whether there is.
    #[inline]
    fn begin_next(&mut self, closes_now: bool) -> bool {
        if let Some(payload) = self.pong.take() {
            self.begin(OpCode::Pong, payload);
            return true;
        }
        let closes = self.close.is_some() && closes_now;
        if closes {
            self.begin_close();
        }
        closes
    }

    fn begin_close(&mut self) {
        let payload = self.close.take().unwrap_or_default();
        self.begin(OpCode::Close, payload);
        self.close_sent = true;
    }
}

impl std::fmt::Debug for WebSocketIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocketIo")
            .field("read_end", &self.read_end)
            .finish_non_exhaustive()
    }
}

impl WebSocketIo {
    /// Creates the server's end. `unread` are the bytes that were read after the request.
    pub fn new(stream: Stream, unread: &[u8], limits: Limits) -> Self {
        if let Stream::Tcp(stream) = &stream {
            tune_websocket(stream);
        }
        Self::with_decoder(stream, unread, Decoder::new(Role::Server, limits), None)
    }

    /// Creates the client's end, with a decoder of the client's role. `mask` returns a fresh, unpredictable key for
    /// each frame.
    pub fn client(stream: Stream, unread: &[u8], decoder: Decoder, mask: fn() -> MaskKey) -> Self {
        Self::with_decoder(stream, unread, decoder, Some(mask))
    }

    fn with_decoder(
        stream: Stream,
        unread: &[u8],
        decoder: Decoder,
        mask: Option<fn() -> MaskKey>,
    ) -> Self {
        Self {
            stream,
            decoder,
            unread: unread.into(),
            control: ControlFrames {
                current: None,
                pong: None,
                close: None,
                close_sent: false,
                mask,
            },
            unflushed: false,
            is_peer_watched: false,
            read_bytes: unread.len(),
            read_end: None,
            has_pong: false,
            close_frame: None,
            message_since: None,
        }
    }

    /// Queues the response to the opening handshake, which is written before everything else and together with the
    /// first frames.
    pub fn send_head(&mut self, head: Vec<u8>) {
        self.control.current = Some((head, 0));
    }

    /// Returns whether nothing except the session's frames is to be written.
    pub fn is_idle(&self) -> bool {
        self.control.is_empty() && !self.unflushed
    }

    /// Returns since when a message has been incomplete.
    pub fn message_since(&self) -> Option<Instant> {
        self.message_since
    }

    /// Moves the beginning of an incomplete message by `time`, during which nothing was read.
    pub fn postpone(&mut self, time: Duration) {
        self.message_since = self.message_since.map(|since| since + time);
    }

    /// Returns why reading has ended, if it has.
    pub fn read_end(&self) -> Option<ReadEnd> {
        self.read_end
    }

    /// Sets after which time the kernel breaks the connection if the peer acknowledges nothing although data is to be
    /// sent; `None` disables that. Then reading ends with [`ReadEnd::TimedOut`], or writing fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut). Does nothing for streams other than plain TCP.
    pub fn watch_peer(&mut self, timeout: Option<Duration>) {
        if let Stream::Tcp(stream) = &self.stream {
            self.is_peer_watched = watch_acknowledgements(stream, timeout);
        }
    }

    /// Returns whether the kernel detects a peer that does not read: then a stalled write does not mean that it is
    /// slow.
    #[inline]
    pub fn is_peer_watched(&self) -> bool {
        self.is_peer_watched
    }

    /// Returns the state of the peer, without reading and without a system call. It is unknown for streams other than
    /// plain TCP.
    pub fn peer_state(&self) -> PeerState {
        let Stream::Tcp(stream) = &self.stream else {
            return PeerState::Unknown;
        };
        let ready = pin!(stream.ready(Interest::READABLE | Interest::WRITABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) if ready.is_write_closed() => PeerState::Gone,
            Poll::Ready(Ok(ready)) if ready.is_read_closed() => PeerState::Ended,
            Poll::Ready(Err(_)) => PeerState::Gone,
            Poll::Ready(Ok(_)) | Poll::Pending => PeerState::Unknown,
        }
    }

    /// Returns the code and reason of the close frame with which the peer has closed the connection.
    pub fn close_frame(&self) -> Option<(CloseCode, &str)> {
        let (code, reason) = self.close_frame.as_ref()?;
        Some((*code, reason))
    }

    /// Returns how many bytes were read since the last call, those that came with the handshake included.
    #[inline]
    pub fn take_read_bytes(&mut self) -> usize {
        std::mem::take(&mut self.read_bytes)
    }

    /// Returns whether a pong with [`PING_PAYLOAD`] has come since the last call.
    pub fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.has_pong)
    }

    /// Reads once and passes every message to `f` until it returns `false`; the rest is kept for the next call. Ready
    /// when something was read or reading has ended.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        f: impl FnMut(&mut ControlFrames, Message) -> bool,
    ) -> Poll<Rest> {
        if self.read_end.is_some() {
            return Poll::Pending;
        }
        if !self.unread.is_empty() {
            let mut unread = std::mem::take(&mut self.unread);
            let left = self.decode(now, &mut unread, f);
            if left > 0 {
                // It stays where it is, however often `f` stops.
                unread.advance(unread.len() - left);
                self.unread = unread;
            }
            return Poll::Ready(Rest::Perhaps);
        }
        SCRATCH.with(|scratch| {
            // A handler that runs inside `f` cannot call this, unless it blocks on its own runtime.
            let mut own;
            let mut shared;
            let buffer: &mut Vec<u8> = if let Ok(borrowed) = scratch.try_borrow_mut() {
                shared = borrowed;
                &mut shared
            } else {
                own = vec![0; READ_BYTES];
                &mut own
            };
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => self.read_end = Some(ReadEnd::Closed),
                Ok(()) => {
                    self.read_bytes += read.filled().len();
                    let is_short = read.remaining() > 0;
                    let left = self.decode(now, read.filled_mut(), f);
                    if left > 0 {
                        let filled = read.filled();
                        self.unread = filled[filled.len() - left..].into();
                    } else if is_short {
                        return Poll::Ready(self.rest(cx));
                    }
                }
                Err(error) if self.is_peer_watched && is_timeout(&error) => {
                    self.read_end = Some(ReadEnd::TimedOut);
                }
                Err(_) => self.read_end = Some(ReadEnd::Failed),
            }
            Poll::Ready(Rest::Perhaps)
        })
    }

    /// Returns whether more can be read after a read that did not fill the buffer: only if the stream has become
    /// readable again since then.
    fn rest(&self, cx: &mut Context<'_>) -> Rest {
        match &self.stream {
            Stream::Tcp(stream) if stream.poll_read_ready(cx).is_pending() => Rest::Nothing,
            Stream::Tcp(_) | Stream::Other(_) => Rest::Perhaps,
        }
    }

    /// Hands the messages of `input` to `f` until it returns `false`. Returns how many bytes are left then.
    fn decode(
        &mut self,
        now: Instant,
        mut input: &mut [u8],
        mut f: impl FnMut(&mut ControlFrames, Message) -> bool,
    ) -> usize {
        let Self {
            decoder, control, ..
        } = self;
        let mut left = 0;
        loop {
            let message = match decoder.decode(&mut input) {
                Ok(Some(Frame::Text(text))) => Message::Text(Str::received(text)),
                Ok(Some(Frame::Binary(bytes))) => Message::Binary(Bytes::copy_from_slice(bytes)),
                Ok(Some(Frame::Ping(payload))) => {
                    control.pong = Some(payload.to_vec());
                    continue;
                }
                Ok(Some(Frame::Pong(payload))) => {
                    self.has_pong |= payload == PING_PAYLOAD;
                    continue;
                }
                // Spec, RFC 6455 5.5.1: a close frame is answered with its own code.
                Ok(Some(Frame::Close(frame))) => {
                    self.read_end = Some(ReadEnd::Closed);
                    self.close_frame = frame.map(|frame| (frame.code, frame.reason.into()));
                    control.start_close(frame.map(|frame| frame.code.into()));
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "websocket protocol error, closing");
                    let code = error.close_code();
                    self.read_end = Some(if code == CloseCode::TOO_LARGE {
                        ReadEnd::TooLarge
                    } else {
                        ReadEnd::Failed
                    });
                    control.start_close(Some(code.into()));
                    break;
                }
            };
            let goes_on = f(control, message);
            if !goes_on || input.is_empty() {
                decoder.release();
                left = input.len();
                break;
            }
        }
        self.message_since = decoder
            .is_mid_message()
            .then(|| self.message_since.unwrap_or(now));
        left
    }

    /// Sends a close frame when the frame being written is complete. Later frames are not sent.
    pub fn start_close(&mut self, frame: Option<CloseFrame<'_>>) {
        self.control.start_close(frame);
    }

    /// Writes queued control frames, then the session's frames. Ready when all are written.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_write<F: Frames>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        mut session: Option<&mut F>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.control.current.is_some() {
                ready!(self.poll_write_control(cx, now, session.as_deref_mut()))?;
                continue;
            }
            let Self {
                stream, control, ..
            } = self;
            let mid_frame = session
                .as_ref()
                .is_some_and(|session| session.is_mid_frame());
            if !mid_frame {
                if control.close_sent {
                    break;
                }
                // A close frame that answers the peer's, or an error, is written before queued frames: the peer does not
                // read them any more.
                if control.begin_next(self.read_end.is_some() || session.is_none()) {
                    continue;
                }
            }
            let Some(session) = session.as_mut() else {
                break;
            };
            let written = if let Some(frame) = session.only_frame() {
                Pin::new(&mut *stream).poll_write_vectored(cx, &[IoSlice::new(frame)])
            } else {
                if session.is_drained() {
                    if control.close.is_some() {
                        control.begin_close();
                        continue;
                    }
                    break;
                }
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let used = session.frames(&mut slices);
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..used])
            };
            let count = not_zero(ready!(written)?)?;
            self.unflushed = true;
            session.advance(now, count);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the control frame that is being written, and the session's frames together with it if they come next. Ready
    /// when something was written.
    fn poll_write_control<F: Frames>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        session: Option<&mut F>,
    ) -> Poll<io::Result<()>> {
        let Self {
            stream, control, ..
        } = self;
        let is_last = control.pong.is_none() && control.close.is_none() && !control.close_sent;
        let Some((frame, written)) = &mut control.current else {
            return Poll::Ready(Ok(()));
        };
        let rest = &frame[*written..];
        let next = session.filter(|session| is_last && !session.is_drained());
        let count = match &next {
            None => Pin::new(stream).poll_write_vectored(cx, &[IoSlice::new(rest)]),
            Some(session) => {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                slices[0] = IoSlice::new(rest);
                let used = 1 + session.frames(&mut slices[1..]);
                Pin::new(stream).poll_write_vectored(cx, &slices[..used])
            }
        };
        let count = not_zero(ready!(count)?)?;
        self.unflushed = true;
        if count < rest.len() {
            *written += count;
            return Poll::Ready(Ok(()));
        }
        let beyond = count - rest.len();
        if let Some(session) = next.filter(|_| beyond > 0) {
            session.advance(now, beyond);
        }
        control.current = None;
        Poll::Ready(Ok(()))
    }

    /// Writes a frame of the session directly, if possible, before anything else. Returns how many bytes were written.
    ///
    /// The rest must be written with [`poll_write`](Self::poll_write): this call does not ensure that the task is
    /// woken.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_write_frame(
        &mut self,
        cx: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Stream::Tcp(stream) = &self.stream {
            // Does not register for a wake-up, which is necessary only if this fails.
            return match stream.try_write(frame) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                written => Poll::Ready(written),
            };
        }
        let written =
            ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &[IoSlice::new(frame)]))?;
        self.unflushed = true;
        Poll::Ready(Ok(written))
    }

    /// Shuts down writing after the close frame, then waits until the peer closes its side, so that the peer reads the
    /// close frame before a reset.
    pub fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.stream).poll_shutdown(cx).is_pending() {
            return Poll::Pending;
        }
        let mut sink = [0; 4096];
        // Bounded: the deadline of the caller ends a peer that sends endlessly.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut sink);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Makes an error of a write that has taken no bytes: the stream will not take any later.
#[inline]
fn not_zero(count: usize) -> io::Result<usize> {
    if count == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(count)
}

fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::stream::Duplex;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

    /// Queued frames without a session.
    struct Waiting(Vec<u8>);

    impl Frames for Waiting {
        fn is_mid_frame(&self) -> bool {
            false
        }

        fn is_drained(&self) -> bool {
            self.0.is_empty()
        }

        fn only_frame(&self) -> Option<&[u8]> {
            None
        }

        fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
            let (first, second) = self.0.split_at(self.0.len() / 2);
            slices[0] = IoSlice::new(first);
            slices[1] = IoSlice::new(second);
            2
        }

        fn advance(&mut self, _: Instant, count: usize) {
            self.0.drain(..count);
        }
    }

    fn websocket(stream: impl Duplex + 'static) -> WebSocketIo {
        WebSocketIo::new(Stream::Other(Box::pin(stream)), b"", Limits::default())
    }

    #[tokio::test]
    async fn frames_follow_the_head_in_partial_writes() {
        for capacity in [1, 7, HEAD.len() - 1, HEAD.len(), HEAD.len() + 1, 4096] {
            let (mut client, stream) = tokio::io::duplex(capacity);
            let mut websocket = websocket(stream);
            let mut frames = Waiting(b"first, second, third".to_vec());
            websocket.send_head(HEAD.to_vec());
            let now = Instant::now();
            let write = async {
                poll_fn(|cx| websocket.poll_write(cx, now, Some(&mut frames)))
                    .await
                    .expect("the stream is open");
                assert!(websocket.is_idle());
                drop(websocket);
            };
            let mut received = Vec::new();
            let read = client.read_to_end(&mut received);
            let ((), read) = tokio::join!(write, read);
            read.expect("the stream is open");
            assert_eq!(received, [HEAD, b"first, second, third"].concat());
        }
    }

    #[tokio::test]
    async fn a_close_frame_follows_the_frames_after_the_head() {
        let (mut client, stream) = tokio::io::duplex(4096);
        let mut websocket = websocket(stream);
        let mut frames = Waiting(b"waiting".to_vec());
        websocket.send_head(HEAD.to_vec());
        websocket.start_close(Some(CloseCode::NORMAL.into()));
        poll_fn(|cx| websocket.poll_write(cx, Instant::now(), Some(&mut frames)))
            .await
            .expect("the stream is open");
        drop(websocket);
        let mut received = Vec::new();
        client
            .read_to_end(&mut received)
            .await
            .expect("the stream is open");
        assert_eq!(received, [HEAD, b"waiting", b"\x88\x02\x03\xe8"].concat());
    }
}
