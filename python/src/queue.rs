//! What happened, on its way to Python, and the tuples that Python gets.

use std::{ops::Deref, sync::Arc, task::Waker};

use kokanee_engineio::{Message, Record};
use kokanee_server::{Ack, Args, ConnectError, DisconnectReason, EmitError, RawEvent, Socket};
use parking_lot::Mutex;
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyString, PyTuple},
};
use tokio::sync::oneshot;

use crate::{
    client::{self, ClientEvent},
    clients::{Session, session_of},
    host::Opening,
    request::PendingState,
    value::{self, Json},
    waitable::{Item, Waitable},
};

/// Events that may wait for Python before clients are no longer read.
const HIGH_WATER: usize = 4096;

pub(crate) const CONNECT: u8 = 0;
pub(crate) const EVENT: u8 = 1;
pub(crate) const DISCONNECT: u8 = 2;
pub(crate) const ANSWER: u8 = 3;
pub(crate) const DONE: u8 = 4;
pub(crate) const SESSION_END: u8 = 5;
pub(crate) const CHANNEL: u8 = 6;
pub(crate) const LOG: u8 = 7;
pub(crate) const TROUBLE: u8 = 8;
pub(crate) const ONE_ANSWER: u8 = 9;
pub(crate) const LAST_ANSWER: u8 = 10;
/// An event whose handler has raised an exception.
pub(crate) const FAILED: u8 = 11;
pub(crate) const NOTICE: u8 = 12;

/// The kinds of events, as constants of the module.
pub(crate) const KINDS: &[(&str, u8)] = &[
    ("CONNECT", CONNECT),
    ("EVENT", EVENT),
    ("DISCONNECT", DISCONNECT),
    ("ANSWER", ANSWER),
    ("DONE", DONE),
    ("SESSION_END", SESSION_END),
    ("CHANNEL", CHANNEL),
    ("LOG", LOG),
    ("TROUBLE", TROUBLE),
    ("ONE_ANSWER", ONE_ANSWER),
    ("LAST_ANSWER", LAST_ANSWER),
    ("FAILED", FAILED),
    ("NOTICE", NOTICE),
];

#[expect(
    clippy::enum_variant_names,
    reason = "an event of a client, of JavaScript's words"
)]
pub(crate) enum Event {
    /// A client asks to join a namespace.
    Connect {
        socket: Socket,
        decide: oneshot::Sender<Result<(), ConnectError>>,
    },
    /// A client has emitted.
    Event {
        socket: Socket,
        event: RawEvent,
        ack: Option<Ack>,
        /// Dropped when Python has handled the event, if events of one client are handled one after the other.
        turn: Option<oneshot::Sender<()>>,
    },
    /// A socket has left its namespace.
    Disconnect {
        socket: Socket,
        reason: DisconnectReason,
        /// Dropped when Python has handled it, if the client may come back: that waits for it.
        ended: Option<oneshot::Sender<()>>,
    },
    /// The client has answered an event; `None`: it will not.
    Answer { call: u64, args: Option<Args> },
    /// A client has answered an event, and others may, too.
    OneAnswer { call: u64, args: Args },
    /// Nobody answers an event any more. So many have, whose answers Python may still be handling.
    LastAnswer { call: u64, answers: u64 },
    /// A request has its response.
    Done(Arc<PendingState>),
    /// A session has ended, with all its sockets.
    SessionEnd(Arc<str>),
    /// A channel has messages for its client.
    Channel(u64),
    /// What a session has done, for the log.
    Log { session: Arc<str>, record: Record },
    /// Something has gone wrong that the application's log must say.
    Trouble(String),
    /// The engine logs a warning or an error.
    Notice { is_error: bool, text: String },
    /// Something has happened to a client.
    Client(Box<ClientEvent>),
    /// Something that Python itself has made of what has happened.
    Made(Py<PyTuple>),
}

impl Item for Event {
    /// A client that asks to join has gone: nobody waits for the decision.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Connect { decide, .. } if decide.is_closed())
    }
}

/// The events of an engine. A handler of the server that pushes one waits while there is no room, so that its client is not read.
pub(crate) struct Queue {
    /// What reads and writes the values of events.
    pub(crate) json: Json,
    events: Waitable<Event>,
    /// Readers of WebSocket connections that a host has fed since it last said so.
    fed: Mutex<Vec<Waker>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl Deref for Queue {
    type Target = Waitable<Event>;

    fn deref(&self) -> &Waitable<Event> {
        &self.events
    }
}

impl Queue {
    pub(crate) fn new(json: Json) -> Self {
        Self {
            json,
            events: Waitable::new(HIGH_WATER),
            fed: Mutex::default(),
        }
    }

    /// Adds a line of the log, unless too many events wait for Python: then it is left out.
    pub(crate) fn log(&self, session: Arc<str>, record: Record) {
        let _ = self.try_push(Event::Log { session, record });
    }

    /// Adds a warning or an error of the engine, unless too many events wait for Python: then it is left out.
    pub(crate) fn notice(&self, is_error: bool, text: String) {
        let _ = self.try_push(Event::Notice { is_error, text });
    }

    /// Puts a reader that has something to read to those that `wake_fed` wakes.
    pub(crate) fn add_fed(&self, reader: Waker) {
        self.fed.lock().push(reader);
    }

    /// Wakes the readers of what the host has fed: all at once, as each wake alone costs a change of threads.
    pub(crate) fn wake_fed(&self) {
        let readers = std::mem::take(&mut *self.fed.lock());
        for reader in readers {
            reader.wake();
        }
    }
}

/// A client that asks to join a namespace, until Python has decided. Undecided when it is dropped: refused.
#[pyclass(frozen, module = "kokanee._engine")]
#[derive(Debug)]
pub(crate) struct Connecting {
    decide: Mutex<Option<oneshot::Sender<Result<(), ConnectError>>>>,
    json: Json,
    /// The end of the session is reported after this is done.
    session: Mutex<Option<Arc<Session>>>,
}

#[pymethods]
impl Connecting {
    /// Lets the client in. `False` if it is gone.
    fn accept(&self) -> bool {
        self.decide(Ok(()))
    }

    /// Refuses the client with a message and perhaps data for it. `False` if it is gone.
    #[pyo3(signature = (message, data = None))]
    fn refuse(&self, message: String, data: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let mut error = ConnectError::new(message);
        if let Some(data) = data {
            error = error.data(value::to_json(&self.json, data)?);
        }
        Ok(self.decide(Err(error)))
    }

    /// Says that nothing more is done for the client's wish to join.
    fn done(&self) {
        let session = self.session.lock().take();
        drop(session);
    }
}

impl Connecting {
    fn decide(&self, verdict: Result<(), ConnectError>) -> bool {
        let decide = self.decide.lock().take();
        decide.is_some_and(|decide| decide.send(verdict).is_ok())
    }
}

/// An event that is being handled: answers it if its client asked, and ends its client's turn when it is dropped or done.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct Answer {
    json: Json,
    // Both hold the session, which must not end with what Python keeps of a handler that has failed.
    ack: Mutex<Option<Ack>>,
    turn: Mutex<Option<oneshot::Sender<()>>>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl Answer {
    pub(crate) fn new(json: Json, ack: Option<Ack>, turn: Option<oneshot::Sender<()>>) -> Self {
        Self {
            json,
            ack: Mutex::new(ack),
            turn: Mutex::new(turn),
        }
    }
}

#[pymethods]
impl Answer {
    /// Whether the client asked for an answer and has not got it.
    fn is_wanted(&self) -> bool {
        self.ack.lock().as_ref().is_some_and(Ack::is_wanted)
    }

    /// The client's id of the acknowledgement.
    #[getter]
    fn id(&self) -> Option<u64> {
        self.ack.lock().as_ref()?.id().map(|id| id.0)
    }

    /// Answers with what the handler has returned: a tuple is several values, `None` is none. `False` if it was answered or the
    /// client is gone. Ends the turn of the event's client, too.
    fn send_result(&self, result: &Bound<'_, PyAny>) -> PyResult<bool> {
        let args = value::args_of_data(&self.json, result)?;
        let ack = self.ack.lock().take();
        let sent = ack.map(|ack| send_answer(&ack, &args));
        self.done();
        sent.unwrap_or(Ok(false))
    }

    /// Ends the turn of the event's client: its next event may come, and this one has no answer any more.
    fn done(&self) {
        self.ack.lock().take();
        self.turn.lock().take();
    }
}

/// Answers an event. `false` if it was answered or the client is gone. An answer that cannot be sent raises.
pub(crate) fn send_answer(ack: &Ack, args: &Args) -> PyResult<bool> {
    match ack.send_args(args) {
        Ok(()) => Ok(true),
        Err(EmitError::Encode(error)) => Err(PyValueError::new_err(error.to_string())),
        Err(_) => Ok(false),
    }
}

/// The event as a tuple that begins with its kind.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    json: &Json,
    event: Event,
) -> PyResult<Bound<'py, PyTuple>> {
    let own = || json.as_ref().map(|json| json.clone_ref(py));
    match event {
        Event::Connect { socket, decide } => {
            let auth = match socket.auth_json() {
                Some(text) => value::loads_with(py, json, text)?,
                None => py.None().into_bound(py),
            };
            let session = session_of(&socket);
            let (eio_sid, environ) = match &session {
                Some(session) => (session.id().to_owned(), session.environ(py)),
                None => (String::new(), None),
            };
            // The package's own host has not shown the request to Python.
            let environ = match environ {
                Some(environ) => environ,
                None => Bound::new(py, Opening::of(&socket))?.into_any(),
            };
            let connecting = Connecting {
                decide: Mutex::new(Some(decide)),
                json: own(),
                session: Mutex::new(session),
            };
            (
                CONNECT,
                socket.id().as_str(),
                socket.namespace().name(),
                eio_sid,
                environ,
                auth,
                connecting,
            )
                .into_pyobject(py)
        }
        Event::Event {
            socket,
            event,
            ack,
            turn,
        } => {
            let args = value::args_to_python(py, json, event.args())?;
            let answer = (ack.is_some() || turn.is_some()).then(|| Answer::new(own(), ack, turn));
            (
                EVENT,
                socket.id().as_str(),
                PyString::new(py, socket.namespace().name()),
                event.name(),
                args,
                answer,
            )
                .into_pyobject(py)
        }
        Event::Disconnect {
            socket,
            reason,
            ended,
        } => {
            let ended = ended.map(|ended| Answer::new(None, None, Some(ended)));
            let (id, namespace) = (socket.id(), socket.namespace());
            let (id, name, rooms) = (id.as_str(), namespace.name(), socket.rooms());
            (DISCONNECT, id, name, reason.as_str(), rooms, ended).into_pyobject(py)
        }
        Event::Answer { call, args } => {
            let args = args.map(|args| value::args_to_python(py, json, &args));
            // Who waits for one that cannot be converted has none.
            let args = args.and_then(|args| {
                let report = |error: PyErr| error.write_unraisable(py, None);
                args.map_err(report).ok()
            });
            (ANSWER, call, args).into_pyobject(py)
        }
        Event::OneAnswer { call, args } => {
            let args = value::args_to_python(py, json, &args)?;
            (ONE_ANSWER, call, args).into_pyobject(py)
        }
        Event::LastAnswer { call, answers } => (LAST_ANSWER, call, answers).into_pyobject(py),
        Event::Done(pending) => (DONE, pending.id).into_pyobject(py),
        Event::SessionEnd(id) => (SESSION_END, &*id).into_pyobject(py),
        Event::Channel(id) => (CHANNEL, id).into_pyobject(py),
        Event::Log { session, record } => {
            let (what, kind, data) = match record {
                Record::Received(kind, data) => ("received", Some(kind as u8), data),
                Record::Sent(kind, data) => ("sent", Some(kind as u8), data),
                Record::UpgradeRequested => ("upgrade", None, None),
                Record::Upgraded => ("upgraded", None, None),
            };
            let data = match data {
                None => None,
                Some(Message::Text(text)) => Some(PyString::new(py, &text).into_any()),
                Some(Message::Binary(bytes)) => Some(PyBytes::new(py, &bytes).into_any()),
            };
            (LOG, &*session, what, kind, data).into_pyobject(py)
        }
        Event::Trouble(text) => (TROUBLE, text).into_pyobject(py),
        Event::Notice { is_error, text } => (NOTICE, is_error, text).into_pyobject(py),
        Event::Client(event) => client::event_to_python(py, *event),
        Event::Made(event) => Ok(event.into_bound(py)),
    }
}

/// Turns events into tuples. One whose arguments cannot be converted is reported and left out.
pub(crate) fn all_to_python<'py>(
    py: Python<'py>,
    json: &Json,
    events: Vec<Event>,
) -> Vec<Bound<'py, PyTuple>> {
    let mut tuples = Vec::with_capacity(events.len());
    for event in events {
        match to_python(py, json, event) {
            Ok(tuple) => tuples.push(tuple),
            Err(error) => error.write_unraisable(py, None),
        }
    }
    tuples
}
