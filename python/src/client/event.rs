//! What happens to a client, on its way to Python: `(kind, client, namespace, …)`.

use std::{future::ready, sync::Arc};

use kokanee_client::{
    Ack, AckError, Args, Attempt, BoxError, CloseDetails, ConnectFailure, DisconnectReason,
    Endpoint, Failure, RawEvent, Socket,
};
use parking_lot::Mutex;
use pyo3::{
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};
use serde_json::Value;
use tokio::sync::oneshot;

use super::auth::AuthRequest;
use crate::{
    queue::{Answer, Event, Queue},
    value::{self, Json},
};

const CONNECTED: u8 = 20;
const RECEIVED: u8 = 21;
const DISCONNECTED: u8 = 22;
const CONNECT_ERROR: u8 = 23;
const ANSWERED: u8 = 24;
const PREPARE: u8 = 25;
const DONE: u8 = 26;
const RECONNECT_ATTEMPT: u8 = 27;
const RECONNECT_FAILED: u8 = 28;
const NOT_JOINED: u8 = 29;
const AUTH: u8 = 30;

/// The kinds of events, as constants of the module.
pub(crate) const KINDS: &[(&str, u8)] = &[
    ("CLIENT_CONNECTED", CONNECTED),
    ("CLIENT_RECEIVED", RECEIVED),
    ("CLIENT_DISCONNECTED", DISCONNECTED),
    ("CLIENT_CONNECT_ERROR", CONNECT_ERROR),
    ("CLIENT_ANSWERED", ANSWERED),
    ("CLIENT_PREPARE", PREPARE),
    ("CLIENT_DONE", DONE),
    ("CLIENT_RECONNECT_ATTEMPT", RECONNECT_ATTEMPT),
    ("CLIENT_RECONNECT_FAILED", RECONNECT_FAILED),
    ("CLIENT_NOT_JOINED", NOT_JOINED),
    ("CLIENT_AUTH", AUTH),
];

/// What the events of one client have in common.
pub(crate) struct Origin {
    /// The client's number in Python.
    pub(crate) client: u64,
    pub(crate) json: Json,
    pub(crate) queue: Arc<Queue>,
    /// Whether a lost connection is made again.
    pub(crate) reconnects: bool,
    /// Events are handled one after the other.
    pub(crate) serial: bool,
}

/// Something that happened to a client.
pub(crate) struct ClientEvent {
    origin: Arc<Origin>,
    what: What,
}

enum What {
    Connected {
        socket: Socket,
        attempt: u32,
    },
    Received {
        socket: Socket,
        event: RawEvent,
        ack: Option<Ack>,
        /// The last argument may be the offset that a server appends which recovers connections.
        may_have_offset: bool,
        /// Dropped when Python has handled the event, if events are handled one after the other.
        turn: Option<oneshot::Sender<()>>,
    },
    Disconnected {
        socket: Socket,
        reason: DisconnectReason,
        details: CloseDetails,
    },
    ConnectError {
        socket: Socket,
        failure: Arc<ConnectFailure>,
    },
    NotJoined {
        socket: Socket,
        failure: ConnectFailure,
    },
    Answered {
        call: u64,
        answer: Result<Args, AckError>,
    },
    Prepare(oneshot::Sender<Endpoint>),
    Auth(oneshot::Sender<Result<Value, String>>),
    Done {
        call: u64,
        error: Option<String>,
    },
    ReconnectAttempt {
        namespace: String,
        attempt: u32,
    },
    ReconnectFailed {
        namespace: String,
    },
}

impl Origin {
    fn push(self: &Arc<Self>, what: What) {
        self.queue.push_open(Event::Client(Box::new(ClientEvent {
            origin: Arc::clone(self),
            what,
        })));
    }

    /// Owes Python the end of a call.
    pub(crate) fn owes_end(self: &Arc<Self>, call: u64) -> Owed {
        self.owes(call, |call| What::Done {
            call,
            error: Some(CLOSED.to_owned()),
        })
    }

    /// Owes Python the answer to one of its events.
    pub(crate) fn owes_answer(self: &Arc<Self>, call: u64) -> Owed {
        self.owes(call, |call| What::Answered {
            call,
            answer: Err(AckError::Disconnected),
        })
    }

    fn owes(self: &Arc<Self>, call: u64, ended_early: fn(u64) -> What) -> Owed {
        Owed {
            origin: Arc::clone(self),
            call,
            ended_early,
            is_pending: true,
        }
    }

    /// Says that a socket will not be connected, after the first attempt or the last one.
    pub(crate) fn not_joined(self: &Arc<Self>, socket: Socket, failure: ConnectFailure) {
        self.push(What::NotJoined { socket, failure });
    }

    /// Asks Python for what the next connection is made with.
    pub(crate) async fn prepare(self: Arc<Self>) -> Result<Endpoint, BoxError> {
        let (go, gone) = oneshot::channel();
        self.push(What::Prepare(go));
        gone.await
            .map_err(|_| "a function for the URL or headers has failed".into())
    }

    /// Asks Python for what is sent with CONNECT.
    pub(super) fn ask_auth(self: &Arc<Self>, give: oneshot::Sender<Result<Value, String>>) {
        self.push(What::Auth(give));
    }

    /// Turns what happens to a socket into events.
    pub(crate) fn attach(self: &Arc<Self>, socket: &Socket) {
        let origin = Arc::clone(self);
        socket.on_connect(move |socket: Socket| {
            // How often it was tried comes with the reconnection.
            origin.push(What::Connected { socket, attempt: 0 });
            ready(())
        });
        let origin = Arc::clone(self);
        socket.on_reconnect(move |socket: Socket, attempt: Attempt| {
            let attempt = attempt.0;
            origin.push(What::Connected { socket, attempt });
            ready(())
        });
        let origin = Arc::clone(self);
        socket.on_fallback(move |socket: Socket, event: RawEvent, ack: Ack| {
            let origin = Arc::clone(&origin);
            async move {
                origin.queue.room().await;
                let ack = ack.is_wanted().then_some(ack);
                let may_have_offset = ack.is_none() && socket.is_recoverable();
                let (turn, ended) = origin.serial.then(oneshot::channel).unzip();
                origin.push(What::Received {
                    socket,
                    event,
                    ack,
                    may_have_offset,
                    turn,
                });
                if let Some(ended) = ended {
                    let _ = ended.await;
                }
            }
        });
        let origin = Arc::clone(self);
        socket.on_disconnect(
            move |socket: Socket, reason: DisconnectReason, details: CloseDetails| {
                origin.push(What::Disconnected {
                    socket,
                    reason,
                    details,
                });
                ready(())
            },
        );
        let origin = Arc::clone(self);
        socket.on_connect_error(move |socket: Socket, failure: Failure| {
            origin.push(What::ConnectError {
                socket,
                failure: failure.0,
            });
            ready(())
        });
        let origin = Arc::clone(self);
        socket.on_reconnect_attempt(move |socket: Socket, attempt: Attempt| {
            origin.push(What::ReconnectAttempt {
                namespace: socket.namespace().to_owned(),
                attempt: attempt.0,
            });
            ready(())
        });
        let origin = Arc::clone(self);
        socket.on_reconnect_failed(move |socket: Socket| {
            origin.push(What::ReconnectFailed {
                namespace: socket.namespace().to_owned(),
            });
            ready(())
        });
    }
}

/// Why a call has ended with the client.
pub(crate) const CLOSED: &str = "the client is closed";

/// The end of a call that Python waits for. If it is dropped, as the runtime ends, the call has ended, too.
pub(crate) struct Owed {
    origin: Arc<Origin>,
    call: u64,
    ended_early: fn(u64) -> What,
    is_pending: bool,
}

impl Owed {
    /// Says how the call has ended.
    pub(crate) fn done(self, error: Option<String>) {
        let call = self.call;
        self.pay(What::Done { call, error });
    }

    /// Gives Python the answer.
    pub(crate) fn answered(self, answer: Result<Args, AckError>) {
        let call = self.call;
        self.pay(What::Answered { call, answer });
    }

    fn pay(mut self, what: What) {
        self.is_pending = false;
        self.origin.push(what);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if self.is_pending {
            self.origin.push((self.ended_early)(self.call));
        }
    }
}

/// A connection that is about to be made, until Python has said with what. Dropped without that: it fails.
#[pyclass(frozen, module = "kokanee._engine")]
#[derive(Debug)]
pub(crate) struct Prepare(Mutex<Option<oneshot::Sender<Endpoint>>>);

#[pymethods]
impl Prepare {
    /// Lets the connection be made with this URL and these headers.
    fn go(&self, url: String, headers: Vec<(String, String)>) {
        if let Some(go) = self.0.lock().take() {
            // The client may have given up meanwhile.
            let _ = go.send(Endpoint {
                url: Some(url),
                headers: Some(headers),
            });
        }
    }

    /// Lets the attempt fail.
    fn fail(&self) {
        self.0.lock().take();
    }
}

/// The event as a tuple that begins with its kind and the number of its client.
pub(crate) fn event_to_python(py: Python<'_>, event: ClientEvent) -> PyResult<Bound<'_, PyTuple>> {
    let ClientEvent { origin, what } = event;
    let client = origin.client;
    match what {
        What::Received {
            socket,
            event,
            ack,
            may_have_offset,
            turn,
        } => {
            let args = value::args_to_python(py, &origin.json, event.args())?;
            let json = || origin.json.as_ref().map(|json| json.clone_ref(py));
            let answer = (ack.is_some() || turn.is_some()).then(|| Answer::new(json(), ack, turn));
            let namespace = PyString::intern(py, socket.namespace());
            (
                RECEIVED,
                client,
                namespace,
                event.name(),
                args,
                answer,
                may_have_offset,
            )
                .into_pyobject(py)
        }
        What::Connected { socket, attempt } => {
            let sid = socket.id();
            let recovered = socket.is_recovered();
            (
                CONNECTED,
                client,
                socket.namespace(),
                sid,
                recovered,
                attempt,
            )
                .into_pyobject(py)
        }
        What::Disconnected {
            socket,
            reason,
            details,
        } => {
            let is_final = !origin.reconnects
                || matches!(reason, DisconnectReason::Server | DisconnectReason::Client);
            (
                DISCONNECTED,
                client,
                socket.namespace(),
                reason.as_str(),
                is_final,
                details.code,
                details.reason,
            )
                .into_pyobject(py)
        }
        What::ConnectError { socket, failure } => {
            failed(py, CONNECT_ERROR, client, &socket, &failure)
        }
        What::NotJoined { socket, failure } => failed(py, NOT_JOINED, client, &socket, &failure),
        What::Answered { call, answer } => match answer {
            // Who waits for it learns why it cannot be read.
            Ok(args) => match value::args_to_python(py, &origin.json, &args) {
                Ok(args) => (ANSWERED, client, call, args, py.None()).into_pyobject(py),
                Err(error) => {
                    (ANSWERED, client, call, py.None(), error.into_value(py)).into_pyobject(py)
                }
            },
            Err(error) => (ANSWERED, client, call, py.None(), error.to_string()).into_pyobject(py),
        },
        What::Prepare(go) => {
            let prepare = Prepare(Mutex::new(Some(go)));
            (PREPARE, client, prepare).into_pyobject(py)
        }
        What::Auth(give) => {
            let json = origin.json.as_ref().map(|json| json.clone_ref(py));
            (AUTH, client, AuthRequest::new(json, give)).into_pyobject(py)
        }
        What::Done { call, error } => (DONE, client, call, error).into_pyobject(py),
        What::ReconnectAttempt { namespace, attempt } => {
            (RECONNECT_ATTEMPT, client, namespace, attempt).into_pyobject(py)
        }
        What::ReconnectFailed { namespace } => {
            (RECONNECT_FAILED, client, namespace).into_pyobject(py)
        }
    }
}

fn failed<'py>(
    py: Python<'py>,
    kind: u8,
    client: u64,
    socket: &Socket,
    failure: &ConnectFailure,
) -> PyResult<Bound<'py, PyTuple>> {
    let data = failure_data(py, failure)?;
    let (reason, text) = (failure_reason(failure), failure.to_string());
    (kind, client, socket.namespace(), reason, text, data).into_pyobject(py)
}

/// The word for what has failed, for programs.
pub(crate) fn failure_reason(failure: &ConnectFailure) -> &'static str {
    match failure {
        ConnectFailure::Url { .. } => "url",
        ConnectFailure::Option { .. } => "option",
        ConnectFailure::Dns { .. } => "dns",
        ConnectFailure::Unreachable { .. } => "unreachable",
        ConnectFailure::Proxy { .. } => "proxy",
        ConnectFailure::Tls { .. } => "tls",
        ConnectFailure::Timeout { .. } => "timeout",
        ConnectFailure::Interrupted { .. } => "interrupted",
        ConnectFailure::Unavailable { .. } => "unavailable",
        ConnectFailure::NoUpgrade { .. } => "no upgrade",
        ConnectFailure::NotSocketIo { .. } => "not socket.io",
        ConnectFailure::WrongRevision { .. } => "wrong revision",
        ConnectFailure::Rejected { .. } => "rejected",
        ConnectFailure::Transport { .. } => "transport",
        ConnectFailure::Refused { .. } => "refused",
        _ => "given up",
    }
}

/// What the server has said, if it has.
fn failure_data<'py>(
    py: Python<'py>,
    failure: &ConnectFailure,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let data = PyDict::new(py);
    match failure {
        ConnectFailure::Refused {
            payload: Some(payload),
            ..
        } => return Ok(Some(from_json(py, payload))),
        ConnectFailure::Refused { message, .. } => data.set_item("message", message)?,
        ConnectFailure::Rejected { code, message, .. } => {
            data.set_item("code", code)?;
            data.set_item("message", message)?;
        }
        _ => return Ok(None),
    }
    Ok(Some(data.into_any()))
}

/// The value, or its text if Python does not read it: who waits for the refusal must learn of it.
fn from_json<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyAny> {
    value::loads_text(py, text).unwrap_or_else(|_| PyString::new(py, text).into_any())
}
