//! [`Engine`]: a server whose handlers are events in a queue, and whose methods never wait.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{Empty, Full};
use kokanee_engineio::Outgoing;
use kokanee_server::{AckError, CookieAttributes, EmitError, JoinError, NoUpgrade, Socket};
use kokanee_workers::{Forwarded, Handed, Head, Passed};
use parking_lot::{Mutex, RwLock};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    sync::MutexExt,
    types::{PyByteArray, PyBytes, PyDict, PyTuple},
};
use tokio::runtime::Handle;

use crate::{
    adopt::{self, Taken},
    clients::{self, Joining, Session, UserSession, session_of},
    config,
    direct::Functions,
    feed::{self, Channel},
    here::{Here, Rooms, opens_session, socket_id},
    notices,
    queue::{self, Event, Queue},
    request::{self, Pending, request_of},
    runtime,
    test_runtime::TestRuntime,
    value,
    workers::{self, Group, Owner, handover},
};

/// The server in this process.
struct Running {
    generation: u64,
    here: Arc<Here>,
    /// The other workers of the host.
    group: OnceLock<Group>,
}

/// Puts a session with its environ into a request that opens one.
pub(crate) type Open = dyn Fn(&mut http::request::Parts, Option<Py<PyAny>>) + Send + Sync;

/// Finds the owner of the session that a request names, if that is another worker.
pub(crate) type OwnerOf = dyn Fn(&http::Uri) -> Option<Owner> + Send + Sync;

/// A server as the package's own host needs it.
pub(crate) struct Site {
    pub(crate) here: Arc<Here>,
    /// Without a slash at its end.
    pub(crate) path: String,
    pub(crate) open: Arc<Open>,
    pub(crate) owner: Arc<OwnerOf>,
}

/// Namespaces that exist at a time because a client has asked for them, if an application opens all.
const MOST_OPEN_NAMESPACES: usize = 10_000;

/// How much longer than its deadline the end of a server may take.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How long after its end an engine can still send to other workers, if nobody says that it need not any more.
const LEAVE_DELAY: Duration = Duration::from_secs(5);

/// A Socket.IO server for Python.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct Engine {
    options: Py<PyDict>,
    /// Events of one client are handled one after the other.
    serial: bool,
    namespaces: Mutex<Vec<String>>,
    running: RwLock<Option<Arc<Running>>>,
    /// Where it runs when it starts next, if a test says so.
    test_runtime: Mutex<Option<Py<TestRuntime>>>,
    /// Held while the server is started: once in a process, although threads need it at the same time.
    starting: std::sync::Mutex<()>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// The server, started if it is not running in this process.
    fn running(&self, py: Python<'_>) -> PyResult<Arc<Running>> {
        if let Some(running) = &*self.running.read()
            && running.generation == runtime::generation()
        {
            return Ok(Arc::clone(running));
        }
        self.start(py)
    }

    /// The server, started if it is not running in this process or was closed: a host may start again.
    fn serving(&self, py: Python<'_>) -> PyResult<Arc<Running>> {
        let running = self.running(py)?;
        if running.here.queue.is_closed() {
            return self.start(py);
        }
        Ok(running)
    }

    fn start(&self, py: Python<'_>) -> PyResult<Arc<Running>> {
        let _starting = self.starting.lock_py_attached(py);
        let generation = runtime::generation();
        if let Some(running) = &*self.running.read()
            && running.generation == generation
            && !running.here.queue.is_closed()
        {
            // Another thread was faster.
            return Ok(Arc::clone(running));
        }
        let runtime = match self.test_runtime(py) {
            Some(runtime) => runtime,
            None => runtime::handle()?,
        };
        let options = self.options.bind(py);
        let json = options.get_item("json")?.filter(|json| !json.is_none());
        let queue = Arc::new(Queue::new(json.map(Bound::unbind)));
        notices::give_to(&queue);
        let joining = Joining::default();
        let mut builder = config::builder(options)?;
        let recovery = config::recovery(options)?;
        let recovers = recovery.is_some();
        if let Some(recovery) = recovery {
            builder = builder.recovery(recovery);
        }
        if option(options, "open_namespaces")? {
            let (queue, joining, serial) = (Arc::clone(&queue), Arc::clone(&joining), self.serial);
            builder = builder.open_namespaces(MOST_OPEN_NAMESPACES, move |namespace| {
                clients::attach(&queue, &joining, serial, recovers, namespace);
            });
        }
        if config::logs_packets(options)? {
            let queue = Arc::downgrade(&queue);
            builder = builder.packet_log(move |extensions, record| {
                if let Some(queue) = queue.upgrade()
                    && let Some(session) = extensions.get::<Arc<Session>>()
                {
                    queue.log(Arc::clone(&session.id), record);
                }
            });
        }
        let place = workers::place(options)?;
        if let Some(place) = &place {
            builder = builder.owner(place.worker());
        }
        let is_shared = option(options, "shared")?;
        let server = builder.build();
        let here = Here::new(runtime, server, queue, joining, self.serial, recovers);
        let running = Arc::new(Running {
            generation,
            here: Arc::new(here),
            group: OnceLock::new(),
        });
        // One that is opened meanwhile is opened in what runs then.
        let namespaces = self.namespaces.lock();
        for name in &*namespaces {
            running.here.open(name);
        }
        if let Some(place) = place {
            let group = Group::join(place, &running.here, is_shared);
            let _ = running.group.set(group?);
        }
        let mut slot = self.running.write();
        // Of a server of the parent process nothing may be dropped: its tasks do not exist here.
        if let Some(old) = slot.replace(Arc::clone(&running))
            && old.generation != generation
        {
            let _ = std::mem::ManuallyDrop::new(old);
        }
        Ok(running)
    }

    /// The runtime that a test has given it.
    fn test_runtime(&self, py: Python<'_>) -> Option<Handle> {
        let runtime = self.test_runtime.lock();
        let runtime = runtime.as_ref()?.bind(py).get();
        runtime.handle()
    }

    /// What runs in this process, if anything does and the interpreter does not end.
    fn open(&self) -> Option<Arc<Running>> {
        let running = self.running.read().clone();
        let running = running.filter(|running| running.generation == runtime::generation());
        running.filter(|_| !runtime::has_ended())
    }

    /// The server for the package's own host, with its path and what puts a session into a request that opens one.
    pub(crate) fn site(&self, py: Python<'_>) -> PyResult<Site> {
        let running = self.serving(py)?;
        let path = self.options.bind(py).get_item("path")?;
        let path: Option<String> = path.and_then(|path| path.extract().ok());
        let path = path.unwrap_or_else(|| "socket.io".to_owned());
        let its = Arc::clone(&running);
        Ok(Site {
            here: Arc::clone(&running.here),
            path: format!("/{}", path.trim_matches('/')),
            open: Arc::new(move |parts, environ| {
                if opens_session(&parts.uri) {
                    parts.extensions.insert(running.here.session(environ));
                }
            }),
            owner: Arc::new(move |uri| its.owner_of_request(uri.path_and_query()?.as_str())),
        })
    }

    /// The attributes of the cookie of a session that a request opens, if each has its own.
    pub(crate) fn cookie_of(
        &self,
        py: Python<'_>,
        uri: &http::Uri,
    ) -> PyResult<Option<CookieAttributes>> {
        if opens_session(uri) {
            config::own_cookie_attributes(self.options.bind(py))
        } else {
            Ok(None)
        }
    }

    /// A client's socket, also while Python is deciding on it.
    fn socket(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<Option<Socket>> {
        Ok(self.running(py)?.here.socket(sid, namespace))
    }
}

/// Whether an option is true.
fn option(options: &Bound<'_, PyDict>, name: &str) -> PyResult<bool> {
    match options.get_item(name)? {
        Some(value) => value.is_truthy(),
        None => Ok(false),
    }
}

fn invalid(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The request of a host.
fn head_of(
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    address: Option<(String, u16)>,
    secure: bool,
) -> Head {
    // That of a Unix socket is none.
    let address =
        address.and_then(|(host, port)| Some((host.parse::<IpAddr>().ok()?, port).into()));
    Head {
        method,
        target,
        headers,
        address,
        secure,
    }
}

impl Running {
    /// Sends other workers what waits for them, within a time, and ends the connections with them.
    async fn leave_group(&self, timeout: Duration) {
        if let Some(group) = self.group.get() {
            let _ = tokio::time::timeout(timeout, group.flush()).await;
            group.close();
        }
    }

    /// The link to the owner of the session that a request names, if that is another worker.
    fn owner_of_request(&self, target: &str) -> Option<Owner> {
        self.group.get()?.owner_of_request(target)
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (options, serial = false))]
    fn new(options: Py<PyDict>, serial: bool) -> Self {
        Self {
            options,
            serial,
            namespaces: Mutex::default(),
            running: RwLock::new(None),
            test_runtime: Mutex::new(None),
            starting: std::sync::Mutex::default(),
        }
    }

    /// Opens a namespace: its clients are asked for, and those of others refused.
    fn open_namespace(&self, name: String) {
        let mut namespaces = self.namespaces.lock();
        if namespaces.contains(&name) {
            return;
        }
        if let Some(running) = &*self.running.read()
            && running.generation == runtime::generation()
        {
            running.here.open(&name);
        }
        namespaces.push(name);
    }

    /// Has sessions that open from now on use the heartbeat of the options, which have changed. `False`: the engine has not
    /// started, so that all options have an effect.
    fn update_heartbeat(&self, py: Python<'_>) -> PyResult<bool> {
        let running = self.running.read().clone();
        let Some(running) = running.filter(|running| running.generation == runtime::generation())
        else {
            return Ok(false);
        };
        let (interval, timeout, allow_upgrades) = config::heartbeat(self.options.bind(py))?;
        let server = &running.here.server;
        server.set_heartbeat(interval, timeout, allow_upgrades);
        Ok(true)
    }

    /// Has it run on the runtime of a test when it starts next; without one, as it does outside of tests.
    #[pyo3(signature = (runtime = None))]
    fn run_on(&self, runtime: Option<Py<TestRuntime>>) {
        let before = std::mem::replace(&mut *self.test_runtime.lock(), runtime);
        drop(before);
    }

    // Events.

    /// The descriptor that is readable while events wait.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        Ok(self.serving(py)?.here.queue.fileno()?)
    }

    /// Takes up to `max` events as tuples.
    fn drain<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let running = self.running(py)?;
        let events = running.here.queue.drain(max);
        Ok(queue::all_to_python(py, &running.here.queue.json, events))
    }

    /// Waits for the next event without the GIL. `None` after the timeout in seconds, or when the engine is closed.
    #[pyo3(signature = (timeout = None))]
    fn wait_event<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let queue = Arc::clone(&self.running(py)?.here.queue);
        let timeout =
            timeout.map(|timeout| Duration::try_from_secs_f64(timeout).unwrap_or_default());
        loop {
            let Some(event) = queue.wait(py, timeout) else {
                return Ok(None);
            };
            match queue::to_python(py, &queue.json, event) {
                Ok(tuple) => return Ok(Some(tuple)),
                Err(error) => error.write_unraisable(py, None),
            }
        }
    }

    /// Waits for events as `wait_event` does, and handles those for which `find_functions` has a function: it is called with the
    /// client's id and the arguments, and what it returns is the answer, except `no_answer`. Returns the next event that has
    /// none, or the exception of a function as an event of the kind `FAILED`. `None` after the timeout in seconds without an
    /// event, or when the engine is closed.
    fn handle_events<'py>(
        &self,
        py: Python<'py>,
        find_functions: &Bound<'py, PyAny>,
        no_answer: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let queue = Arc::clone(&self.running(py)?.here.queue);
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
        let mut functions = Functions::new(find_functions, no_answer);
        Ok(functions.handle_events(&queue, timeout))
    }

    /// How many events wait, and how many threads wait for one.
    fn load(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        Ok(self.running(py)?.here.queue.load())
    }

    /// Waits, without the GIL, until all threads that handle events are busy and for so many seconds none was taken though
    /// some wait, and returns how many do. 0: the engine is closed.
    fn wait_busy(&self, py: Python<'_>, patience: f64) -> PyResult<usize> {
        let queue = Arc::clone(&self.running(py)?.here.queue);
        let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
        Ok(py.detach(|| queue.wait_busy(patience)))
    }

    /// Whether `close` was called.
    fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.running(py)?.here.queue.is_closed())
    }

    // Sending.

    /// Emits an event to one room or several, or to all clients of the namespace without any; not to those in the rooms of `skip`. A
    /// tuple as data is spread over the arguments. With `here`, only clients of this process get it, with `elsewhere` only
    /// those of other workers. Returns for how many clients of this process it was.
    #[pyo3(signature = (event, data, namespace, rooms = None, skip = None, here = false, elsewhere = false))]
    #[expect(clippy::too_many_arguments, reason = "the parts of an event")]
    fn emit(
        &self,
        py: Python<'_>,
        event: &str,
        data: &Bound<'_, PyAny>,
        namespace: &str,
        rooms: Option<Rooms>,
        skip: Option<Vec<String>>,
        here: bool,
        elsewhere: bool,
    ) -> PyResult<usize> {
        let running = self.running(py)?;
        let args = value::args_of_data(&running.here.queue.json, data)?;
        let rooms = rooms.as_ref().map(Rooms::as_slice).unwrap_or_default();
        let skip = skip.unwrap_or_default();
        let emit = || {
            let emitted = if elsewhere {
                Ok(0)
            } else {
                running.here.emit(event, &args, namespace, rooms, &skip)
            };
            if !here && let Some(group) = running.group.get() {
                group.emit(event, &args, namespace, rooms, &skip);
            }
            emitted
        };
        // For one client of this process, other threads would gain less than a change of the GIL costs.
        let is_short = matches!(rooms, [room] if socket_id(room).is_some());
        let emitted = if is_short && running.group.get().is_none() {
            emit()
        } else {
            py.detach(emit)
        };
        emitted.map_err(invalid)
    }

    /// Returns a number for a call of `emit_with_ack` or `ask_elsewhere`. The answer may come before those return.
    fn next_call(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.running(py)?.here.next_id())
    }

    /// Emits an event to clients of other workers and asks for their answers, which come as events with this number; the last
    /// one of them without arguments. `False`: there are no other workers that may have such clients, and no answers.
    #[pyo3(signature = (call, event, data, namespace, rooms = None, skip = None))]
    #[expect(clippy::too_many_arguments, reason = "the parts of an event")]
    fn ask_elsewhere(
        &self,
        py: Python<'_>,
        call: u64,
        event: &str,
        data: &Bound<'_, PyAny>,
        namespace: &str,
        rooms: Option<Vec<String>>,
        skip: Option<Vec<String>>,
    ) -> PyResult<bool> {
        let running = self.running(py)?;
        let Some(group) = running.group.get() else {
            return Ok(false);
        };
        let args = value::args_of_data(&running.here.queue.json, data)?;
        let (rooms, skip) = (rooms.unwrap_or_default(), skip.unwrap_or_default());
        Ok(py.detach(|| group.ask(call, event, &args, namespace, &rooms, &skip)))
    }

    /// Emits an event to one client and asks for its answer, which comes as an event with this number; without arguments if
    /// the client is gone. `False`: it is gone already, and there will be no answer.
    fn emit_with_ack(
        &self,
        py: Python<'_>,
        call: u64,
        event: &str,
        data: &Bound<'_, PyAny>,
        namespace: &str,
        sid: &str,
    ) -> PyResult<bool> {
        let running = self.running(py)?;
        let args = value::args_of_data(&running.here.queue.json, data)?;
        let Some(socket) = self.socket(py, sid, namespace)? else {
            return Ok(false);
        };
        let emit = socket.emit_args_with_ack::<()>(event, &args);
        let mut asking = Box::pin(emit.args());
        let queue = Arc::clone(&running.here.queue);
        // It leaves now, before whatever is emitted after it; a task waits for the answer.
        let entered = running.here.runtime.enter();
        let args = match (&mut asking).now_or_never() {
            None => {
                drop(entered);
                running.here.runtime.spawn(async move {
                    let args = asking.await.ok();
                    queue.push(Event::Answer { call, args });
                });
                return Ok(true);
            }
            Some(Ok(args)) => Some(args),
            Some(Err(AckError::Disconnected | AckError::Emit(EmitError::Disconnected))) => None,
            Some(Err(error)) => return Err(invalid(error)),
        };
        queue.push(Event::Answer { call, args });
        Ok(true)
    }

    /// Sends a message as it is to a client that speaks a protocol of the application's.
    fn send_message(
        &self,
        py: Python<'_>,
        sid: &str,
        message: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let Some(socket) = self.socket(py, sid, "/")? else {
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

    // Rooms.

    fn enter_room(
        &self,
        py: Python<'_>,
        sid: &str,
        namespace: &str,
        room: String,
    ) -> PyResult<bool> {
        let running = self.running(py)?;
        let Some(socket) = running.here.socket(sid, namespace) else {
            let group = running.group.get();
            return Ok(group.is_some_and(|group| group.enter(sid, namespace, room)));
        };
        match socket.join(room) {
            Ok(()) => Ok(true),
            // Its handlers may not know yet that it is gone.
            Err(JoinError::Disconnected) => Ok(false),
            Err(error) => Err(invalid(error)),
        }
    }

    fn leave_room(
        &self,
        py: Python<'_>,
        sid: &str,
        namespace: &str,
        room: String,
    ) -> PyResult<bool> {
        let running = self.running(py)?;
        let Some(socket) = running.here.socket(sid, namespace) else {
            let group = running.group.get();
            return Ok(group.is_some_and(|group| group.leave(sid, namespace, room)));
        };
        socket.leave(room);
        Ok(true)
    }

    fn close_room(&self, py: Python<'_>, namespace: String, room: String) -> PyResult<()> {
        let running = self.running(py)?;
        running.here.close_room(&namespace, &room);
        if let Some(group) = running.group.get() {
            group.close_room(namespace, room);
        }
        Ok(())
    }

    /// The rooms of a client, its own included.
    fn rooms(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<Option<Vec<String>>> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.map(|socket| {
            let mut rooms = socket.rooms();
            rooms.insert(0, socket.id().as_str().to_owned());
            rooms
        }))
    }

    /// The names of the rooms of a namespace.
    fn room_names(&self, py: Python<'_>, namespace: &str) -> PyResult<Vec<String>> {
        let namespace = self.running(py)?.here.namespace(namespace);
        let rooms = namespace.map(|namespace| namespace.rooms());
        let rooms = rooms.unwrap_or_default().into_iter();
        Ok(rooms.map(|(name, _)| name).collect())
    }

    /// The clients in a room, or in the namespace, with the ids of their sessions.
    #[pyo3(signature = (namespace, room = None))]
    fn participants(
        &self,
        py: Python<'_>,
        namespace: &str,
        room: Option<String>,
    ) -> PyResult<Vec<(String, String)>> {
        let rooms: Vec<String> = room.into_iter().collect();
        let sockets = self.running(py)?.here.sockets(namespace, &rooms, &[]);
        let clients = sockets.into_iter().map(|socket| {
            let session = session_of(&socket);
            let session = session.map_or_else(String::new, |session| session.id().to_owned());
            (socket.id().as_str().to_owned(), session)
        });
        Ok(clients.collect())
    }

    // Clients.

    fn is_connected(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.is_some_and(|socket| socket.is_connected()))
    }

    /// Whether a client has come back after its connection was lost.
    fn is_recovered(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.is_some_and(|socket| socket.recovered()))
    }

    /// Keeps the session of a client, which returns with it.
    fn keep_session(
        &self,
        py: Python<'_>,
        sid: &str,
        namespace: &str,
        session: Py<PyAny>,
    ) -> PyResult<()> {
        if let Some(socket) = self.socket(py, sid, namespace)? {
            socket.insert(UserSession(session));
        }
        Ok(())
    }

    /// Returns the session that was kept of a client.
    fn kept_session(
        &self,
        py: Python<'_>,
        sid: &str,
        namespace: &str,
    ) -> PyResult<Option<Py<PyAny>>> {
        let socket = self.socket(py, sid, namespace)?;
        let session = socket.and_then(|socket| socket.extension::<UserSession>());
        Ok(session.map(|session| session.0.clone_ref(py)))
    }

    fn disconnect(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.map(|socket| socket.disconnect()).is_some())
    }

    /// Has the worker that a client belongs to disconnect it. `False`: it is not of another worker.
    fn disconnect_elsewhere(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let running = self.running(py)?;
        let group = running.group.get();
        Ok(group.is_some_and(|group| group.disconnect(sid, namespace)))
    }

    /// Closes the connection of a client, and so leaves all its namespaces.
    fn close_connection(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.map(|socket| socket.close_connection()).is_some())
    }

    fn transport(
        &self,
        py: Python<'_>,
        sid: &str,
        namespace: &str,
    ) -> PyResult<Option<&'static str>> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.map(|socket| match socket.transport() {
            kokanee_server::Transport::WebSocket => "websocket",
            kokanee_server::Transport::Polling => "polling",
        }))
    }

    // Hosts.

    /// Answers a request that the host has read; the host writes the response. `upgrades`: whether the host's connections can
    /// become a WebSocket.
    #[pyo3(signature = (method, target, headers, body, address = None, secure = false, environ = None, notify = false, upgrades = true))]
    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    fn request(
        &self,
        py: Python<'_>,
        method: String,
        target: String,
        headers: Vec<(String, String)>,
        body: &Bound<'_, PyBytes>,
        address: Option<(String, u16)>,
        secure: bool,
        environ: Option<Py<PyAny>>,
        notify: bool,
        upgrades: bool,
    ) -> PyResult<Pending> {
        let running = self.serving(py)?;
        let here = &running.here;
        let head = head_of(method, target, headers, address, secure);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let mut request = request_of(&head, Full::new(body.clone())).map_err(invalid)?;
        let (runtime, queue, server) = (&here.runtime, &here.queue, here.server.clone());
        let id = here.next_id();
        if let Some(owner) = running.owner_of_request(&head.target) {
            let answering = owner.relay(server, head, request, body);
            return Ok(request::start(runtime, queue, answering, id, notify, false));
        }
        let opens = opens_session(request.uri());
        here.open_session(self.options.bind(py), &mut request, environ)?;
        if !upgrades {
            request.extensions_mut().insert(NoUpgrade);
        }
        let answering = request::answer(server, request);
        Ok(request::start(runtime, queue, answering, id, notify, opens))
    }

    /// Takes over a connection of the host by its descriptor, which is duplicated, and answers its request. `answered`: the
    /// host has sent 101 already, without extensions.
    #[pyo3(signature = (fd, method, target, headers, unread, address = None, environ = None, secure = false, answered = false))]
    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    fn adopt(
        &self,
        py: Python<'_>,
        fd: i32,
        method: String,
        target: String,
        headers: Vec<(String, String)>,
        unread: Vec<u8>,
        address: Option<(String, u16)>,
        environ: Option<Py<PyAny>>,
        secure: bool,
        answered: bool,
    ) -> PyResult<()> {
        let running = self.serving(py)?;
        let here = &running.here;
        let head = head_of(method, target, headers, address, secure);
        if let Some(owner) = running.owner_of_request(&head.target) {
            let passed = Passed {
                forwarded: Forwarded {
                    handed: if answered {
                        Handed::WebSocket
                    } else {
                        Handed::Request
                    },
                    head,
                    body: 0,
                    unread,
                },
                connection: adopt::duplicate(fd)?,
            };
            owner.pass(passed);
            return Ok(());
        }
        let mut request = request_of(&head, Empty::new()).map_err(invalid)?;
        if answered {
            feed::complete(request.headers_mut());
        }
        here.open_session(self.options.bind(py), &mut request, environ)?;
        let taken = Taken::new(&here.runtime, fd)?;
        let (address, server) = (head.address, here.server.clone());
        here.runtime.spawn(async move {
            adopt::accept(&server, taken, request, &unread, address, answered).await;
        });
        Ok(())
    }

    /// Opens a WebSocket whose messages the host hands over.
    #[pyo3(signature = (target, headers, address = None, secure = false, environ = None))]
    fn websocket(
        &self,
        py: Python<'_>,
        target: String,
        headers: Vec<(String, String)>,
        address: Option<(String, u16)>,
        secure: bool,
        environ: Option<Py<PyAny>>,
    ) -> PyResult<Channel> {
        let running = self.serving(py)?;
        let here = &running.here;
        let head = head_of("GET".to_owned(), target, headers, address, secure);
        let mut request = request_of(&head, Empty::new()).map_err(invalid)?;
        feed::complete(request.headers_mut());
        let (runtime, queue, server) = (&here.runtime, &here.queue, here.server.clone());
        let id = here.next_id();
        if let Some(owner) = running.owner_of_request(&head.target) {
            let mut head = head;
            request::set_headers(&mut head, request.headers());
            return Ok(feed::open(runtime, queue, id, |stream| {
                handover::relay_websocket(owner.link, server, head, request, stream)
            }));
        }
        here.open_session(self.options.bind(py), &mut request, environ)?;
        let address = head.address;
        Ok(feed::open(runtime, queue, id, |stream| {
            feed::accept(server, stream, request, address)
        }))
    }

    /// Has the engine read what channels were fed.
    fn flush_fed(&self, py: Python<'_>) -> PyResult<()> {
        self.running(py)?.here.queue.wake_fed();
        Ok(())
    }

    /// How many sessions are open.
    fn session_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.running(py)?.here.server.session_count())
    }

    /// How many other workers of the host there are; `None` if this process is not one of several.
    fn other_workers(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        Ok(self.running(py)?.group.get().map(Group::others))
    }

    /// The descriptors of the connections with other workers, which a child of this process has to close.
    fn group_descriptors(&self) -> Vec<i32> {
        let running = self.running.try_read();
        let running = running.as_deref().and_then(Option::as_ref);
        let group = running.and_then(|running| running.group.get());
        group.map_or_else(Vec::new, Group::descriptors)
    }

    /// Ends all sessions within so many seconds, and then the waits of threads for events. Handlers of the ends may still emit
    /// to clients of other workers: see `leave_group`.
    #[pyo3(signature = (timeout = 1.0))]
    fn close(&self, py: Python<'_>, timeout: f64) {
        let Some(running) = self.open() else {
            return;
        };
        py.detach(|| {
            let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
            // First of all, nothing more may come from other workers.
            if let Some(group) = running.group.get() {
                group.withdraw();
            }
            let server = running.here.server.clone();
            let (closed, closing) = std::sync::mpsc::channel();
            running.here.runtime.spawn(async move {
                let result = server.close(timeout).await;
                let _ = closed.send(result);
            });
            // Not the runtime waits: uWSGI calls this so late that the runtime has no thread-local values here any more.
            let _ = closing.recv_timeout(timeout + CLOSE_GRACE);
            running.here.queue.close();
            // In a process that goes on, nobody says when the last handler has returned.
            let runtime = running.here.runtime.clone();
            runtime.spawn(async move {
                tokio::time::sleep(LEAVE_DELAY).await;
                running.leave_group(timeout).await;
            });
        });
    }

    /// Sends other workers what waits for them, for at most so many seconds, and ends the connections with them. After `close`,
    /// when the handlers that this has called have returned.
    #[pyo3(signature = (timeout = 1.0))]
    fn leave_group(&self, py: Python<'_>, timeout: f64) {
        let Some(running) = self.open().filter(|running| running.group.get().is_some()) else {
            return;
        };
        py.detach(|| {
            let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
            let (left, leaving) = std::sync::mpsc::channel();
            let runtime = running.here.runtime.clone();
            runtime.spawn(async move {
                running.leave_group(timeout).await;
                let _ = left.send(());
            });
            let _ = leaving.recv_timeout(timeout + CLOSE_GRACE);
        });
    }
}
