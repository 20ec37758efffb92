//! [`ClientEngine`]: one connection to a server, whose methods never wait.

use std::{
    mem::ManuallyDrop,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use kokanee_client::{EmitError, EmitWithAck, Socket, Transport};
use kokanee_engineio::Outgoing;
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyByteArray, PyBytes, PyDict},
};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    auth::Auth,
    event::{CLOSED, Origin, failure_reason},
    options::{self, duration, flag},
    queue::ClientQueue,
};
use crate::{
    runtime,
    value::{self, Json},
};

/// An event has left, or waits in a buffer.
const SENT: i64 = 0;
/// The namespace is not connected.
const NOT_CONNECTED: i64 = -1;
/// Too much waits for the connection.
const BUFFER_FULL: i64 = -2;
/// The server reads so slowly that the event must wait.
const NO_ROOM: i64 = -3;

/// A connection to a server. It ends when this is dropped.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct ClientEngine {
    origin: Arc<Origin>,
    runtime: Handle,
    generation: u64,
    auth: Arc<Auth>,
    /// Events of a namespace that is not connected wait for it.
    buffers: bool,
    /// That of the connection, from which those of the namespaces are made.
    base: Socket,
    sockets: Arc<Mutex<Sockets>>,
}

/// The sockets of namespaces.
#[derive(Default)]
struct Sockets {
    joined: Vec<Socket>,
    /// Those that leave, until that is on the wire.
    leaving: Vec<Socket>,
}

impl Sockets {
    fn find(&self, namespace: &str) -> Option<&Socket> {
        let mut sockets = self.joined.iter();
        sockets.find(|socket| socket.namespace() == namespace)
    }

    /// Returns the socket of a namespace that is left, which is not used any more from now on.
    fn begin_leave(&mut self, namespace: &str) -> Option<Socket> {
        let found = |socket: &Socket| socket.namespace() == namespace;
        let socket = self.joined.swap_remove(self.joined.iter().position(found)?);
        self.leaving.push(socket.clone());
        Some(socket)
    }

    fn end_leave(&mut self, namespace: &str) {
        let found = |socket: &Socket| socket.namespace() == namespace;
        if let Some(index) = self.leaving.iter().position(found) {
            drop(self.leaving.swap_remove(index));
        }
    }

    fn all(&self) -> Vec<Socket> {
        self.joined.iter().chain(&self.leaving).cloned().collect()
    }
}

impl std::fmt::Debug for ClientEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientEngine")
    }
}

impl Drop for ClientEngine {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            // A connection of the parent process: its tasks do not exist here, so nobody is told that it ends.
            let _ = ManuallyDrop::new((self.base.clone(), Arc::clone(&self.sockets)));
        }
    }
}

impl ClientEngine {
    /// Whether this is the process that has made it. In a child of that, its tasks do not exist, and its locks may stay locked.
    fn is_of_this_process(&self) -> bool {
        self.generation == runtime::generation()
    }

    fn check_process(&self) -> PyResult<()> {
        if self.is_of_this_process() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "this client belongs to the parent process: make one after the fork",
        ))
    }

    fn socket(&self, namespace: &str) -> Option<Socket> {
        if !self.is_of_this_process() {
            return None;
        }
        self.sockets.lock().find(namespace).cloned()
    }

    /// An event that asks for an acknowledgement, if the namespace is connected or its events wait for that.
    fn asking(
        &self,
        namespace: &str,
        event: &str,
        data: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Option<EmitWithAck<()>>> {
        self.check_process()?;
        let socket = self.socket(namespace);
        let Some(socket) = socket.filter(|socket| self.buffers || socket.is_connected()) else {
            return Ok(None);
        };
        let args = value::args_of_data(&self.origin.json, data)?;
        let mut emit = socket.emit_args_with_ack::<()>(event, &args);
        if !self.buffers {
            emit = emit.unbuffered();
        }
        if let Some(seconds) = timeout {
            emit = emit.timeout(duration(seconds).min(MAX_ACK_TIMEOUT));
        }
        Ok(Some(emit))
    }

    /// Runs what has begun already until its end.
    fn finish<F>(&self, mut future: Pin<Box<F>>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let entered = self.runtime.enter();
        if (&mut future).now_or_never().is_none() {
            drop(entered);
            self.runtime.spawn(future);
        }
    }
}

#[pymethods]
impl ClientEngine {
    #[new]
    fn new(
        py: Python<'_>,
        queue: &ClientQueue,
        client: u64,
        url: &str,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let json = options.get_item("json")?.filter(|json| !json.is_none());
        let json: Json = json.map(Bound::unbind);
        let auth = options.get_item("auth")?;
        let auth = auth.map_or(Ok(Value::Null), |auth| value::to_json(&json, &auth))?;
        let origin = Arc::new(Origin {
            client,
            json,
            queue: Arc::clone(&queue.queue),
            reconnects: flag(options, "reconnection")?,
            serial: flag(options, "serial")?,
        });
        let (prepares, asks_auth) = (flag(options, "prepares")?, flag(options, "asks_auth")?);
        let auth = Arc::new(Auth::new(&origin, auth, asks_auth));
        let mut builder = options::builder(url, options)?;
        let next = Arc::clone(&auth);
        builder = builder.try_auth_with(move || next.next());
        if prepares || asks_auth {
            let is_first = AtomicBool::new(true);
            let (asking, renewed) = (Arc::clone(&origin), Arc::clone(&auth));
            builder = builder.endpoint_with(move || {
                // What is for the first connection is in the options.
                let is_first = is_first.swap(false, Ordering::Relaxed);
                if !is_first {
                    renewed.renew();
                }
                let asking = (prepares && !is_first).then(|| Arc::clone(&asking));
                async move {
                    match asking {
                        Some(asking) => asking.prepare().await,
                        None => Ok(kokanee_client::Endpoint::default()),
                    }
                }
            });
        }
        let buffers = flag(options, "buffers")?;
        let runtime = runtime::handle()?;
        let base = py.detach(|| {
            let _entered = runtime.enter();
            builder.build()
        });
        let base = base.map_err(|failure| {
            PyValueError::new_err((failure.to_string(), failure_reason(&failure)))
        })?;
        Ok(Self {
            origin,
            runtime,
            generation: runtime::generation(),
            auth,
            buffers,
            base,
            sockets: Arc::default(),
        })
    }

    /// Joins a namespace, and stays in it over reconnections. What comes of it comes as events. `later`: after the others, with an
    /// `auth` of its own.
    #[pyo3(signature = (namespace, later = false))]
    fn join(&self, namespace: &str, later: bool) -> PyResult<()> {
        self.check_process()?;
        if later {
            self.auth.renew();
        }
        let mut sockets = self.sockets.lock();
        let socket = match sockets.find(namespace) {
            Some(socket) => socket.clone(),
            None => {
                let socket = self.base.of(namespace);
                // It is the one that was left, if something still has that.
                if !socket.has_fallback() {
                    self.origin.attach(&socket);
                }
                sockets.joined.push(socket.clone());
                socket
            }
        };
        drop(sockets);
        let origin = Arc::clone(&self.origin);
        self.finish(Box::pin(async move {
            if let Err(failure) = socket.connect().await {
                origin.not_joined(socket, failure);
            }
        }));
        Ok(())
    }

    /// Leaves a namespace. The call is done when that is on the wire.
    fn leave(&self, namespace: &str, call: u64) -> PyResult<bool> {
        self.check_process()?;
        let Some(socket) = self.sockets.lock().begin_leave(namespace) else {
            return Ok(false);
        };
        let (sockets, owed) = (Arc::clone(&self.sockets), self.origin.owes_end(call));
        self.finish(Box::pin(async move {
            let left = socket.disconnect().await;
            sockets.lock().end_leave(socket.namespace());
            owed.done(left.err().map(|error| error.to_string()));
        }));
        Ok(true)
    }

    /// Leaves all namespaces and ends the connection. The call is done when that is on the wire.
    fn disconnect(&self, call: u64) -> PyResult<()> {
        self.check_process()?;
        let sockets = self.sockets.lock().all();
        let owed = self.origin.owes_end(call);
        self.finish(Box::pin(async move {
            let leaving = sockets.iter().map(Socket::disconnect);
            futures_util::future::join_all(leaving).await;
            owed.done(None);
        }));
        Ok(())
    }

    /// Leaves all namespaces, and waits at most so many seconds until that is on the wire.
    fn close(&self, py: Python<'_>, timeout: f64) {
        if !self.is_of_this_process() || runtime::has_ended() {
            return;
        }
        let sockets = self.sockets.lock().all();
        let (closed, closing) = mpsc::channel();
        self.finish(Box::pin(async move {
            let leaving = sockets.iter().map(Socket::disconnect);
            futures_util::future::join_all(leaving).await;
            let _ = closed.send(());
        }));
        if timeout > 0.0 {
            py.detach(move || {
                let _ = closing.recv_timeout(duration(timeout));
            });
        }
    }

    /// Emits an event. 0: it has left, or waits for the connection; -1: the namespace is not connected; -2: too much waits
    /// for the connection; -3: the server reads so slowly that there is no room. With a number of a call, the event waits for
    /// room, and the call is done when it has left.
    #[pyo3(signature = (namespace, event, data, call = None))]
    fn emit(
        &self,
        namespace: &str,
        event: &str,
        data: &Bound<'_, PyAny>,
        call: Option<u64>,
    ) -> PyResult<i64> {
        self.check_process()?;
        let Some(socket) = self.socket(namespace) else {
            return Ok(NOT_CONNECTED);
        };
        if !self.buffers && !socket.is_connected() {
            return Ok(NOT_CONNECTED);
        }
        let args = value::args_of_data(&self.origin.json, data)?;
        let mut emit = socket.emit_args(event, &args);
        let Some(call) = call else {
            return (&mut emit).now_or_never().map_or(Ok(NO_ROOM), sent);
        };
        let owed = self.origin.owes_end(call);
        self.finish(Box::pin(async move {
            let emitted = emit.await;
            owed.done(emitted.err().map(|error| error.to_string()));
        }));
        Ok(SENT)
    }

    /// Whether an event would leave, or be buffered, at once.
    fn has_room(&self, namespace: &str) -> bool {
        let socket = self.socket(namespace);
        socket.is_none_or(|socket| socket.writable().now_or_never().is_some())
    }

    /// Waits for room: the call is done when an event would leave at once, or there is no connection any more.
    fn when_room(&self, namespace: &str, call: u64) -> PyResult<()> {
        self.check_process()?;
        let socket = self.socket(namespace);
        let owed = self.origin.owes_end(call);
        self.finish(Box::pin(async move {
            if let Some(socket) = socket {
                socket.writable().await;
            }
            owed.done(None);
        }));
        Ok(())
    }

    /// Sends a message as it is, on a connection whose packets Python reads and writes. `False`: it is not connected.
    fn send_message(&self, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(socket) = self.socket("/").filter(Socket::is_connected) else {
            return Ok(false);
        };
        let message = if let Ok(bytes) = message.cast::<PyBytes>() {
            Outgoing::binary(Bytes::copy_from_slice(bytes.as_bytes()))
        } else if let Ok(bytes) = message.cast::<PyByteArray>() {
            Outgoing::binary(Bytes::from(bytes.to_vec()))
        } else {
            Outgoing::text(message.extract()?)
        };
        Ok(socket.send_message(message).is_ok())
    }

    /// Emits an event and asks for its acknowledgement, which comes as an event with this number. Returns as `emit`.
    #[pyo3(signature = (namespace, event, data, call, timeout = None))]
    fn emit_with_ack(
        &self,
        namespace: &str,
        event: &str,
        data: &Bound<'_, PyAny>,
        call: u64,
        timeout: Option<f64>,
    ) -> PyResult<i64> {
        let Some(emit) = self.asking(namespace, event, data, timeout)? else {
            return Ok(NOT_CONNECTED);
        };
        let owed = self.origin.owes_answer(call);
        // It leaves now, before whatever is emitted after it; a task waits for the answer.
        self.finish(Box::pin(async move {
            let answer = emit.args().await;
            owed.answered(answer);
        }));
        Ok(SENT)
    }

    /// Emits an event and waits for its acknowledgement, without the GIL; for a thread that may wait. Returns its arguments; why
    /// there is none, as a text, or as an exception if it cannot be converted; or that the namespace is not connected (-1).
    #[pyo3(signature = (namespace, event, data, timeout = None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        event: &str,
        data: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(emit) = self.asking(namespace, event, data, timeout)? else {
            return Ok(NOT_CONNECTED.into_pyobject(py)?.into_any());
        };
        let (answered, answers) = mpsc::sync_channel(1);
        self.finish(Box::pin(async move {
            let _ = answered.send(emit.args().await);
        }));
        let answers = Mutex::new(answers);
        loop {
            let answer = py.detach(|| answers.lock().recv_timeout(SIGNALS_EVERY));
            match answer {
                Ok(Ok(args)) => {
                    return match value::args_to_python(py, &self.origin.json, &args) {
                        Ok(args) => Ok(args.into_any()),
                        Err(error) => Ok(error.into_value(py).into_bound(py).into_any()),
                    };
                }
                Ok(Err(error)) => return Ok(error.to_string().into_pyobject(py)?.into_any()),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(CLOSED.into_pyobject(py)?.into_any());
                }
            }
        }
    }

    /// The id of a namespace's socket, while it is connected.
    fn sid(&self, namespace: &str) -> Option<String> {
        self.socket(namespace)?.id()
    }

    fn is_connected(&self, namespace: &str) -> bool {
        self.socket(namespace)
            .is_some_and(|socket| socket.is_connected())
    }

    /// The id of the session that is open.
    fn session_id(&self) -> Option<String> {
        self.is_of_this_process().then(|| self.base.session_id())?
    }

    /// `"polling"` or `"websocket"`, while a connection is open.
    fn transport(&self) -> Option<&'static str> {
        if !self.is_of_this_process() {
            return None;
        }
        match self.base.transport()? {
            Transport::Polling => Some("polling"),
            Transport::WebSocket => Some("websocket"),
        }
    }

    /// Whether a WebSocket is about to take over from polling. Then the call is done when that has an end.
    fn awaits_upgrade(&self, call: u64) -> bool {
        if !self.is_of_this_process() || !self.base.is_upgrading() {
            return false;
        }
        let (base, owed) = (self.base.clone(), self.origin.owes_end(call));
        self.finish(Box::pin(async move {
            base.upgraded().await;
            owed.done(None);
        }));
        true
    }

    /// Ends the connection as a failure would, so that it is made again.
    fn reconnect(&self) -> PyResult<()> {
        self.check_process()?;
        self.base.reconnect();
        Ok(())
    }
}

/// How often a thread that waits looks whether a signal, such as that of Ctrl-C, has come.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// Longest wait for an acknowledgement.
const MAX_ACK_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn sent(emitted: Result<(), EmitError>) -> PyResult<i64> {
    match emitted {
        Ok(()) => Ok(SENT),
        Err(EmitError::Disconnected) => Ok(NOT_CONNECTED),
        Err(EmitError::BufferFull { .. }) => Ok(BUFFER_FULL),
        Err(error) => Err(PyValueError::new_err(error.to_string())),
    }
}
