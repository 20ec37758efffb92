//! A WebSocket of an application under ASGI: what the client sends waits for the event loop, and the other way round.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::IoSlice,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kokanee_engineio::Message;
use kokanee_io::{Frames, ReadEnd, Stream, WebSocketIo};
use kokanee_websocket::{CloseCode, CloseFrame, Limits, OpCode, encode_header};
use parking_lot::Mutex;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};

use super::queue::{Event, Queue};

/// Bytes that may wait in one direction.
const MOST_BYTES: usize = 256 * 1024;

/// How long the client may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a message counts for: one without content takes memory, too.
fn weight(message: &Message) -> usize {
    message.len() + size_of::<Message>()
}

#[derive(Default)]
struct State {
    received: VecDeque<Message>,
    received_bytes: usize,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
    /// The application closes it, with a code and a reason.
    closing: Option<(u16, String)>,
    /// It has ended, with the code of the close frame and its reason.
    ended: Option<(u16, String)>,
    /// The event loop is to be woken.
    armed: bool,
    /// The task that reads and writes.
    task: Option<Waker>,
}

struct Shared {
    id: u64,
    queue: Arc<Queue>,
    state: Mutex<State>,
}

impl Shared {
    fn wake_loop(&self, state: &mut State) {
        if std::mem::take(&mut state.armed) {
            self.queue.push(Event::Ready(self.id));
        }
    }
}

fn wake_task(state: &mut State) {
    if let Some(task) = state.task.take() {
        task.wake();
    }
}

/// A WebSocket that the application has accepted.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct HostWebSocket(Arc<Shared>);

impl std::fmt::Debug for HostWebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostWebSocket")
    }
}

#[pymethods]
impl HostWebSocket {
    /// Takes the next message, a text or bytes; when it has ended, code and reason of its end. `None`: nothing is there, and
    /// the loop will be woken.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = self.0.state.lock();
        let Some(message) = state.received.pop_front() else {
            let Some((code, reason)) = state.ended.clone() else {
                state.armed = true;
                return Ok(None);
            };
            return Ok(Some((code, reason).into_pyobject(py)?.into_any()));
        };
        let was_full = state.received_bytes >= MOST_BYTES;
        state.received_bytes -= weight(&message);
        if was_full && state.received_bytes < MOST_BYTES {
            wake_task(&mut state);
        }
        drop(state);
        Ok(Some(match &message {
            Message::Text(text) => PyString::new(py, text).into_any(),
            Message::Binary(bytes) => PyBytes::new(py, bytes).into_any(),
        }))
    }

    /// Sends a message. `false`: the loop should wait until it is woken. `None`: it has ended.
    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        let frame = if let Ok(bytes) = message.cast::<PyBytes>() {
            frame(OpCode::Binary, bytes.as_bytes())
        } else if let Ok(text) = message.cast::<PyString>() {
            frame(OpCode::Text, text.to_cow()?.as_bytes())
        } else {
            let bytes: Vec<u8> = message.extract()?;
            frame(OpCode::Binary, &bytes)
        };
        let mut state = self.0.state.lock();
        if state.ended.is_some() || state.closing.is_some() {
            return Ok(None);
        }
        state.outgoing_bytes += frame.len();
        state.outgoing.push_back(frame);
        let has_room = state.outgoing_bytes <= MOST_BYTES;
        state.armed |= !has_room;
        wake_task(&mut state);
        Ok(Some(has_room))
    }

    /// Returns whether there is room to send; otherwise the loop will be woken.
    fn has_room(&self) -> bool {
        let mut state = self.0.state.lock();
        let has_room = state.outgoing_bytes <= MOST_BYTES || state.ended.is_some();
        state.armed |= !has_room;
        has_room
    }

    /// Closes it, after what was sent. Of the reason, the client gets as much as a close frame holds.
    #[pyo3(signature = (code, reason = ""))]
    fn close(&self, code: u16, reason: &str) {
        let mut state = self.0.state.lock();
        if state.closing.is_none() {
            state.closing = Some((code, reason.to_owned()));
        }
        wake_task(&mut state);
    }
}

impl Drop for HostWebSocket {
    fn drop(&mut self) {
        self.close(1011, "");
    }
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = encode_header(opcode, payload.len(), None);
    [header.as_slice(), payload].concat().into()
}

/// Frames that are being written.
#[derive(Default)]
struct Queued {
    frames: VecDeque<Bytes>,
    /// How much of the first was written.
    written: usize,
    /// Since the last look.
    sent: usize,
}

impl Frames for Queued {
    fn is_mid_frame(&self) -> bool {
        self.written > 0
    }

    fn is_drained(&self) -> bool {
        self.frames.is_empty()
    }

    fn only_frame(&self) -> Option<&[u8]> {
        match self.frames.len() {
            1 => self.frames.front().map(|frame| &frame[self.written..]),
            _ => None,
        }
    }

    fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            let from = if used == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[from..]);
            used += 1;
        }
        used
    }

    fn advance(&mut self, _: Instant, count: usize) {
        self.sent += count;
        self.written += count;
        while let Some(first) = self.frames.front() {
            if self.written < first.len() {
                break;
            }
            self.written -= first.len();
            self.frames.pop_front();
        }
    }
}

/// Opens a WebSocket on the connection of a request, whose response is under way.
pub(crate) fn open(
    runtime: &tokio::runtime::Handle,
    id: u64,
    queue: Arc<Queue>,
    upgrade: OnUpgrade,
    most_bytes: usize,
) -> HostWebSocket {
    let shared = Arc::new(Shared {
        id,
        queue,
        state: Mutex::default(),
    });
    let its = Arc::clone(&shared);
    runtime.spawn(async move {
        let end = match upgrade.await {
            Ok(upgraded) => {
                let stream = Stream::Other(Box::pin(TokioIo::new(upgraded)));
                let limits = Limits {
                    max_message_bytes: most_bytes,
                    ..Limits::default()
                };
                run(&its, WebSocketIo::new(stream, b"", limits)).await
            }
            Err(_) => (1006, String::new()),
        };
        let mut state = its.state.lock();
        state.ended = Some(end);
        its.wake_loop(&mut state);
    });
    HostWebSocket(shared)
}

/// Reads and writes until both sides have ended. Returns the code and the reason.
async fn run(shared: &Shared, mut io: WebSocketIo) -> (u16, String) {
    let mut queued = Queued::default();
    let mut closing = None;
    let finished = poll_fn(|cx| turn(shared, &mut io, &mut queued, &mut closing, cx));
    finished.await;
    let end = match (io.close_frame(), io.read_end(), closing) {
        (Some((code, reason)), _, _) => (code.as_u16(), reason.to_owned()),
        (None, _, Some(code)) => (code, String::new()),
        (None, Some(ReadEnd::TooLarge), None) => (1009, String::new()),
        // A close frame without a code, which is answered; at the end of the stream alone, there is nothing to write.
        (None, Some(ReadEnd::Closed), None) if !io.is_idle() => (1005, String::new()),
        (None, _, None) => (1006, String::new()),
    };
    // The client learns of the end before the connection is closed.
    let lingering = async {
        let written = poll_fn(|cx| io.poll_write::<Queued>(cx, Instant::now(), None)).await;
        if written.is_ok() {
            poll_fn(|cx| io.poll_linger(cx)).await;
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, lingering).await;
    end
}

/// Ready when nothing more is to be read, or the close frame of the application was written.
fn turn(
    shared: &Shared,
    io: &mut WebSocketIo,
    queued: &mut Queued,
    closing: &mut Option<u16>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    {
        let mut state = shared.state.lock();
        state.task = Some(cx.waker().clone());
        queued.frames.append(&mut state.outgoing);
        if closing.is_none()
            && let Some((code, reason)) = &state.closing
        {
            *closing = Some(*code);
            let code = CloseCode::new(*code).unwrap_or(CloseCode::NORMAL);
            io.start_close(Some(CloseFrame { code, reason }));
        }
    }
    let now = Instant::now();
    loop {
        if shared.state.lock().received_bytes >= MOST_BYTES || io.read_end().is_some() {
            break;
        }
        let read = io.poll_read(cx, now, |_, message| {
            let mut state = shared.state.lock();
            state.received_bytes += weight(&message);
            state.received.push_back(message);
            shared.wake_loop(&mut state);
            state.received_bytes < MOST_BYTES
        });
        if read.is_pending() {
            break;
        }
    }
    let written = io.poll_write(cx, now, Some(&mut *queued));
    let sent = std::mem::take(&mut queued.sent);
    if sent > 0 {
        let mut state = shared.state.lock();
        let was_full = state.outgoing_bytes > MOST_BYTES;
        state.outgoing_bytes = state.outgoing_bytes.saturating_sub(sent);
        if was_full && state.outgoing_bytes <= MOST_BYTES {
            shared.wake_loop(&mut state);
        }
    }
    match written {
        Poll::Ready(Err(_)) => Poll::Ready(()),
        _ if io.read_end().is_some() => Poll::Ready(()),
        Poll::Ready(Ok(())) if closing.is_some() && queued.frames.is_empty() => Poll::Ready(()),
        _ => Poll::Pending,
    }
}
