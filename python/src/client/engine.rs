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
use kokanee_client::{EmitError, Socket, Transport};
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
    event::{Origin, failure_reason},
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

/// What is sent with CONNECT: Python may say it anew for each connection.
type Auth = Arc<Mutex<Value>>;

/// A connection to a server. It ends when this is dropped.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct ClientEngine {
    origin: Arc<Origin>,
    runtime: Handle,
    generation: u64,
    auth: Auth,
    /// Events of a namespace that is not connected wait for it.
    buffers: bool,
    sockets: Mutex<Sockets>,
}

/// The first socket is that of the connection, from which those of the namespaces are made.
struct Sockets(Vec<Socket>);

impl Sockets {
    fn find(&self, namespace: &str) -> Option<&Socket> {
        let mut sockets = self.namespaces().iter();
        sockets.find(|socket| socket.namespace() == namespace)
    }

    fn namespaces(&self) -> &[Socket] {
        self.0.get(1..).unwrap_or_default()
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
            let _ = ManuallyDrop::new(std::mem::take(&mut self.sockets.get_mut().0));
        }
    }
}

impl ClientEngine {
    fn socket(&self, namespace: &str) -> Option<Socket> {
        self.sockets.lock().find(namespace).cloned()
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
        let auth: Auth = Arc::new(Mutex::new(auth));
        let origin = Arc::new(Origin {
            client,
            json,
            queue: Arc::clone(&queue.queue),
            reconnects: flag(options, "reconnection")?,
            serial: flag(options, "serial")?,
        });
        let mut builder = options::builder(url, options)?;
        let given = Arc::clone(&auth);
        builder = builder.any_auth_with(move || {
            let auth = given.lock().clone();
            std::future::ready(auth)
        });
        if flag(options, "prepares")? {
            let (is_first, asking) = (AtomicBool::new(true), Arc::clone(&origin));
            builder = builder.endpoint_with(move || {
                // Those of the first connection are in the options.
                let is_first = is_first.swap(false, Ordering::Relaxed);
                let asking = Arc::clone(&asking);
                async move {
                    if is_first {
                        return Ok(kokanee_client::Endpoint::default());
                    }
                    asking.prepare().await
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
            sockets: Mutex::new(Sockets(vec![base])),
        })
    }

    /// Joins a namespace, and stays in it over reconnections. What comes of it comes as events.
    fn join(&self, namespace: &str) -> PyResult<()> {
        if self.generation != runtime::generation() {
            return Err(PyRuntimeError::new_err(
                "this client belongs to the parent process: make one after the fork",
            ));
        }
        let mut sockets = self.sockets.lock();
        let socket = match sockets.find(namespace) {
            Some(socket) => socket.clone(),
            None => {
                let socket = sockets.0[0].of(namespace);
                self.origin.attach(&socket);
                sockets.0.push(socket.clone());
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
    fn leave(&self, namespace: &str, call: u64) -> bool {
        let Some(socket) = self.socket(namespace) else {
            return false;
        };
        let origin = Arc::clone(&self.origin);
        self.finish(Box::pin(async move {
            let left = socket.disconnect().await;
            origin.done(call, left.err().map(|error| error.to_string()));
        }));
        true
    }

    /// Leaves all namespaces and ends the connection. The call is done when that is on the wire.
    fn disconnect(&self, call: u64) {
        let sockets = self.sockets.lock().namespaces().to_vec();
        let origin = Arc::clone(&self.origin);
        self.finish(Box::pin(async move {
            let leaving = sockets.iter().map(Socket::disconnect);
            futures_util::future::join_all(leaving).await;
            origin.done(call, None);
        }));
    }

    /// Leaves all namespaces, and waits at most so many seconds until that is on the wire.
    fn close(&self, py: Python<'_>, timeout: f64) {
        if self.generation != runtime::generation() || runtime::has_ended() {
            return;
        }
        let sockets = self.sockets.lock().namespaces().to_vec();
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
        let origin = Arc::clone(&self.origin);
        self.finish(Box::pin(async move {
            let emitted = emit.await;
            origin.done(call, emitted.err().map(|error| error.to_string()));
        }));
        Ok(SENT)
    }

    /// Whether an event would leave, or be buffered, at once.
    fn has_room(&self, namespace: &str) -> bool {
        let socket = self.socket(namespace);
        socket.is_none_or(|socket| socket.writable().now_or_never().is_some())
    }

    /// Waits for room: the call is done when an event would leave at once, or there is no connection any more.
    fn when_room(&self, namespace: &str, call: u64) {
        let socket = self.socket(namespace);
        let origin = Arc::clone(&self.origin);
        self.finish(Box::pin(async move {
            if let Some(socket) = socket {
                socket.writable().await;
            }
            origin.done(call, None);
        }));
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
        let Some(socket) = self.socket(namespace) else {
            return Ok(NOT_CONNECTED);
        };
        if !self.buffers && !socket.is_connected() {
            return Ok(NOT_CONNECTED);
        }
        let args = value::args_of_data(&self.origin.json, data)?;
        let mut emit = socket.emit_args_with_ack::<()>(event, &args);
        if let Some(seconds) = timeout {
            emit = emit.timeout(duration(seconds).min(MAX_ACK_TIMEOUT));
        }
        let origin = Arc::clone(&self.origin);
        // It leaves now, before whatever is emitted after it; a task waits for the answer.
        self.finish(Box::pin(async move {
            let answer = emit.args().await;
            origin.answered(call, answer);
        }));
        Ok(SENT)
    }

    /// Emits an event and waits for its acknowledgement, without the GIL; for a thread that may wait. Returns its arguments, why
    /// there is none, or that the namespace is not connected (-1).
    #[pyo3(signature = (namespace, event, data, timeout = None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        event: &str,
        data: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let socket = self.socket(namespace);
        let Some(socket) = socket.filter(|socket| self.buffers || socket.is_connected()) else {
            return Ok(NOT_CONNECTED.into_pyobject(py)?.into_any());
        };
        let args = value::args_of_data(&self.origin.json, data)?;
        let mut emit = socket.emit_args_with_ack::<()>(event, &args);
        if let Some(seconds) = timeout {
            emit = emit.timeout(duration(seconds).min(MAX_ACK_TIMEOUT));
        }
        let (answered, answers) = mpsc::sync_channel(1);
        self.finish(Box::pin(async move {
            let _ = answered.send(emit.args().await);
        }));
        let answers = Mutex::new(answers);
        loop {
            let answer = py.detach(|| answers.lock().recv_timeout(SIGNALS_EVERY));
            match answer {
                Ok(Ok(args)) => {
                    return Ok(value::args_to_python(py, &self.origin.json, &args)?.into_any());
                }
                Ok(Err(error)) => return Ok(error.to_string().into_pyobject(py)?.into_any()),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok("the client is closed".into_pyobject(py)?.into_any());
                }
            }
        }
    }

    /// Sets what is sent with CONNECT from now on.
    fn set_auth(&self, auth: &Bound<'_, PyAny>) -> PyResult<()> {
        *self.auth.lock() = value::to_json(&self.origin.json, auth)?;
        Ok(())
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
        self.sockets.lock().0[0].session_id()
    }

    /// `"polling"` or `"websocket"`, while a connection is open.
    fn transport(&self) -> Option<&'static str> {
        match self.sockets.lock().0[0].transport()? {
            Transport::Polling => Some("polling"),
            Transport::WebSocket => Some("websocket"),
        }
    }

    /// Whether a WebSocket is about to take over from polling. Then the call is done when that has an end.
    fn awaits_upgrade(&self, call: u64) -> bool {
        let Some(base) = self.sockets.lock().0.first().cloned() else {
            return false;
        };
        if !base.is_upgrading() {
            return false;
        }
        let origin = Arc::clone(&self.origin);
        self.finish(Box::pin(async move {
            base.upgraded().await;
            origin.done(call, None);
        }));
        true
    }

    /// Ends the connection as a failure would, so that it is made again.
    fn reconnect(&self) {
        self.sockets.lock().0[0].reconnect();
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
