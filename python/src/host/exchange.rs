//! A request at the host's own listener, and the response that Python gives: `Exchange` (in `python.rs`).
//!
//! ```text
//! connection ──request──▶ queue ──▶ Python: read, then respond, or start, write and end
//!     ▲                                │
//!     └── response, piece by piece ◀───┘   or: an engine answers (`Verdict::Engine`)
//! ```
//!
//! Both bodies have a bound: the connection is not read while Python does not, and Python waits while the client does not read.
//! Threads wait without the GIL. An event loop asks to be woken (`armed`) with an event of the queue.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kokanee_server::{Server, StreamEnd};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::AbortHandle,
};

use super::{
    body::{ReplyBody, RequestBody, Stream},
    queue::{Event, Queue},
};

/// Bytes of a body that may wait in one direction.
const MOST_BYTES: usize = 256 * 1024;

/// Who answers a request.
pub(crate) enum Verdict {
    Reply(Response<ReplyBody>),
    Engine(Server, Request<RequestBody>),
}

/// What a request's body may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    pub(crate) most_bytes: u64,
    /// How long nothing may come.
    pub(crate) timeout: Duration,
}

/// Why the rest of a body will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
    /// Its chunks are not those of HTTP.
    Malformed,
    Gone,
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        let source = std::error::Error::source(&error);
        let kind = source.and_then(|source| Some(source.downcast_ref::<io::Error>()?.kind()));
        match kind {
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Self::Malformed,
            _ => Self::Gone,
        }
    }
}

/// How far a request's body was read.
enum Reading {
    /// Nobody has asked for it.
    Not(RequestBody),
    Going(AbortHandle),
    Ended(Result<(), BodyError>),
}

enum Writing {
    Not(oneshot::Sender<Verdict>),
    /// The response is a stream.
    Going,
    Ended,
    /// Python has given up in the middle. What was written leaves first, if it can at once.
    Aborting,
    Aborted,
}

struct State {
    head: Option<Parts>,
    reading: Reading,
    /// What is left of a body that was not read to its end.
    unread: Option<Incoming>,
    received: VecDeque<Bytes>,
    received_bytes: usize,
    writing: Writing,
    written: VecDeque<Bytes>,
    written_bytes: usize,
    /// The connection, which waits for the next piece.
    taker: Option<Waker>,
    /// The client has left, or has got the whole response.
    gone: bool,
    /// It has ended its stream, and may still read.
    ended: bool,
    /// An event loop is to be woken when anything changes.
    armed: bool,
}

pub(crate) struct Shared {
    pub(crate) id: u64,
    queue: Arc<Queue>,
    runtime: Handle,
    limits: BodyLimits,
    /// Of the client.
    end: Option<StreamEnd>,
    state: Mutex<State>,
    changed: Condvar,
    /// There is room for more of the request's body.
    room: Notify,
}

/// The response cannot be given: it was already, or the client has left.
pub(crate) enum Late {
    Answered,
    Gone,
}

impl Shared {
    /// Makes an exchange, and what its connection waits for.
    pub(crate) fn new(
        id: u64,
        queue: Arc<Queue>,
        limits: BodyLimits,
        head: Parts,
        body: RequestBody,
    ) -> (Arc<Self>, oneshot::Receiver<Verdict>) {
        let (verdict, decided) = oneshot::channel();
        let end = head.extensions.get().cloned();
        let state = State {
            head: Some(head),
            reading: Reading::Not(body),
            unread: None,
            received: VecDeque::new(),
            received_bytes: 0,
            writing: Writing::Not(verdict),
            written: VecDeque::new(),
            written_bytes: 0,
            taker: None,
            gone: false,
            ended: false,
            armed: false,
        };
        let shared = Self {
            id,
            queue,
            runtime: Handle::current(),
            limits,
            end,
            state: Mutex::new(state),
            changed: Condvar::new(),
            room: Notify::new(),
        };
        (Arc::new(shared), decided)
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    fn wake(&self, state: &mut State) {
        self.changed.notify_all();
        if std::mem::take(&mut state.armed) {
            self.queue.push(Event::Ready(self.id));
        }
    }

    /// Looks at the request's head. `None` if an engine has the request.
    pub(crate) fn with_head<R>(&self, f: impl FnOnce(&mut Parts) -> R) -> Option<R> {
        self.state.lock().head.as_mut().map(f)
    }

    // The request's body.

    /// The body, if all of it is there. It stays, for an engine that may get the request.
    pub(crate) fn read_whole(&self) -> Option<Bytes> {
        match &self.state.lock().reading {
            Reading::Not(RequestBody::Read(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }

    fn begin_to_read(self: &Arc<Self>, state: &mut State) {
        let Reading::Not(_) = &state.reading else {
            return;
        };
        let reading = std::mem::replace(&mut state.reading, Reading::Ended(Ok(())));
        match reading {
            Reading::Not(RequestBody::Unread(incoming)) => {
                let going = self.runtime.spawn(read(Arc::clone(self), incoming));
                state.reading = Reading::Going(going.abort_handle());
            }
            Reading::Not(RequestBody::Read(bytes)) if !bytes.is_empty() => {
                state.received_bytes += bytes.len();
                state.received.push_back(bytes);
            }
            _ => {}
        }
    }

    fn take(&self, state: &mut State, most: usize) -> Option<Result<Bytes, BodyError>> {
        if let Some(first) = state.received.front_mut() {
            let piece = first.split_to(first.len().min(most));
            if first.is_empty() {
                state.received.pop_front();
            }
            state.received_bytes -= piece.len();
            self.room.notify_one();
            return Some(Ok(piece));
        }
        match state.reading {
            Reading::Ended(end) => Some(end.map(|()| Bytes::new())),
            _ if state.gone => Some(Err(BodyError::Gone)),
            _ => None,
        }
    }

    /// Waits for a piece of the body, of at most so many bytes; an empty one is the end.
    pub(crate) fn read(self: &Arc<Self>, most: usize) -> Result<Bytes, BodyError> {
        let mut state = self.state.lock();
        self.begin_to_read(&mut state);
        loop {
            if let Some(taken) = self.take(&mut state, most) {
                return taken;
            }
            self.changed.wait(&mut state);
        }
    }

    /// As `read`, without waiting: `None` if nothing is there, and the loop will be woken.
    pub(crate) fn try_read(self: &Arc<Self>, most: usize) -> Option<Result<Bytes, BodyError>> {
        let mut state = self.state.lock();
        self.begin_to_read(&mut state);
        let taken = self.take(&mut state, most);
        state.armed |= taken.is_none();
        taken
    }

    // The response.

    /// Gives the whole response.
    pub(crate) fn answer(&self, response: Response<ReplyBody>) -> Result<(), Late> {
        let verdict = take_verdict(&mut self.state.lock(), Writing::Ended)?;
        reply(verdict, response)
    }

    /// Gives the head of a response; its body is written then.
    pub(crate) fn begin(self: &Arc<Self>, head: Response<()>) -> Result<(), Late> {
        let verdict = take_verdict(&mut self.state.lock(), Writing::Going)?;
        reply(
            verdict,
            head.map(|()| ReplyBody::Stream(Stream::new(Arc::clone(self)))),
        )
    }

    /// Gives the request to an engine. `None` if its body was read, or it was answered.
    pub(crate) fn give<E>(
        &self,
        server: Server,
        prepare: impl FnOnce(Parts) -> Result<Parts, E>,
    ) -> Option<Result<(), E>> {
        let mut state = self.state.lock();
        if !matches!(state.reading, Reading::Not(_)) || !matches!(state.writing, Writing::Not(_)) {
            return None;
        }
        let head = match prepare(state.head.take()?) {
            Ok(head) => head,
            Err(error) => return Some(Err(error)),
        };
        let reading = std::mem::replace(&mut state.reading, Reading::Ended(Ok(())));
        let (Reading::Not(body), Ok(verdict)) = (reading, take_verdict(&mut state, Writing::Ended))
        else {
            return None;
        };
        drop(state);
        // A client that has left needs no answer.
        let _ = verdict.send(Verdict::Engine(server, Request::from_parts(head, body)));
        Some(Ok(()))
    }

    /// Writes a piece, and waits while too much is not sent.
    pub(crate) fn write(&self, piece: Bytes) -> Result<(), Late> {
        let mut state = self.state.lock();
        push(&mut state, piece)?;
        while state.written_bytes > MOST_BYTES && !state.gone {
            self.changed.wait(&mut state);
        }
        Ok(())
    }

    /// Writes a piece. `false` if the loop should wait until it is woken.
    pub(crate) fn try_write(&self, piece: Bytes) -> Result<bool, Late> {
        let mut state = self.state.lock();
        push(&mut state, piece)?;
        let has_room = state.written_bytes <= MOST_BYTES;
        state.armed |= !has_room;
        Ok(has_room)
    }

    /// Returns whether there is room to write; otherwise the loop will be woken.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        let has_room = state.written_bytes <= MOST_BYTES || state.gone;
        state.armed |= !has_room;
        has_room
    }

    /// Ends the stream of a response.
    pub(crate) fn end(&self) {
        self.finish(Writing::Ended);
    }

    /// Gives up: the client gets 500, or the connection ends in the middle of the response.
    pub(crate) fn abort(&self) {
        let mut state = self.state.lock();
        if let Reading::Going(reading) = &state.reading {
            reading.abort();
        }
        let state_of_writing = std::mem::replace(&mut state.writing, Writing::Ended);
        match state_of_writing {
            // The connection finds that nobody answers.
            Writing::Not(verdict) => drop(verdict),
            Writing::Going => {
                state.writing = Writing::Going;
                drop(state);
                self.finish(Writing::Aborting);
            }
            other => state.writing = other,
        }
    }

    fn finish(&self, how: Writing) {
        let mut state = self.state.lock();
        if let Writing::Going = state.writing {
            state.writing = how;
            if let Some(taker) = state.taker.take() {
                taker.wake();
            }
        }
    }

    /// Looks whether the client has ended its stream. Called by the connection when it is woken.
    pub(crate) fn look_for_end(&self) {
        if self.end.as_ref().is_some_and(StreamEnd::has_come) {
            let mut state = self.state.lock();
            if !state.ended {
                state.ended = true;
                self.wake(&mut state);
            }
        }
    }

    /// The next piece of the response for the connection.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.look_for_end();
        let mut state = self.state.lock();
        if let Some(piece) = state.written.pop_front() {
            let was_full = state.written_bytes > MOST_BYTES;
            state.written_bytes -= piece.len();
            if was_full && state.written_bytes <= MOST_BYTES {
                self.wake(&mut state);
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.writing {
            Writing::Ended => Poll::Ready(None),
            Writing::Aborting => {
                state.writing = Writing::Aborted;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Writing::Aborted => Poll::Ready(Some(Err(io::Error::other("the application failed")))),
            _ => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The connection does not need this exchange any more.
    pub(crate) fn leave(&self) {
        let mut state = self.state.lock();
        state.gone = true;
        if let Reading::Going(reading) = &state.reading {
            reading.abort();
        }
        self.wake(&mut state);
    }

    /// Returns whether the client has left, or has got the whole response.
    pub(crate) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    /// As `is_gone`, also if the client has only ended its stream; if not, the loop will be woken then.
    pub(crate) fn has_ended(&self) -> bool {
        let mut state = self.state.lock();
        let has_ended = state.gone || state.ended;
        state.armed |= !has_ended;
        has_ended
    }

    /// Returns whether the response was given, or its head.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.state.lock().writing, Writing::Not(_))
    }
}

fn take_verdict(
    state: &mut MutexGuard<'_, State>,
    next: Writing,
) -> Result<oneshot::Sender<Verdict>, Late> {
    match std::mem::replace(&mut state.writing, next) {
        Writing::Not(verdict) if verdict.is_closed() => Err(Late::Gone),
        Writing::Not(verdict) => Ok(verdict),
        other => {
            state.writing = other;
            Err(Late::Answered)
        }
    }
}

fn reply(verdict: oneshot::Sender<Verdict>, response: Response<ReplyBody>) -> Result<(), Late> {
    let sent = verdict.send(Verdict::Reply(response));
    sent.map_err(|_| Late::Gone)
}

fn push(state: &mut State, piece: Bytes) -> Result<(), Late> {
    if state.gone {
        return Err(Late::Gone);
    }
    let Writing::Going = state.writing else {
        return Err(Late::Answered);
    };
    if !piece.is_empty() {
        state.written_bytes += piece.len();
        state.written.push_back(piece);
        if let Some(taker) = state.taker.take() {
            taker.wake();
        }
    }
    Ok(())
}

/// Reads the body of a request as Python takes it.
async fn read(shared: Arc<Shared>, mut incoming: Incoming) {
    let mut size = 0;
    let end = loop {
        while shared.state.lock().received_bytes >= MOST_BYTES {
            shared.room.notified().await;
        }
        let frame = match tokio::time::timeout(shared.limits.timeout, incoming.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => break Err(error.into()),
            Ok(None) => break Ok(()),
            Err(_) => break Err(BodyError::TooSlow),
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        size += piece.len() as u64;
        if size > shared.limits.most_bytes {
            break Err(BodyError::TooLarge);
        }
        let mut state = shared.state.lock();
        state.received_bytes += piece.len();
        state.received.push_back(piece);
        shared.wake(&mut state);
    };
    let mut state = shared.state.lock();
    state.reading = Reading::Ended(end);
    // If it is dropped before its end, so is the connection: not before the response was given.
    state.unread = Some(incoming);
    shared.wake(&mut state);
}
