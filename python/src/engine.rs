//! [`Engine`]: a server whose handlers are events in a queue, and whose methods never wait.

use std::{
    collections::HashMap,
    future::ready,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{Empty, Full};
use kokanee_engineio::{CloseReason, Outgoing};
use kokanee_server::{
    Ack, AckError, Args, ConnectError, CookieAttributes, DisconnectReason, JoinError, Namespace,
    NoUpgrade, RawEvent, Server, Socket, SocketId,
};
use parking_lot::{Mutex, RwLock};
use pyo3::{
    exceptions::{PyOSError, PyValueError},
    prelude::*,
    types::{PyByteArray, PyBytes, PyDict, PyTuple},
};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    adopt, config,
    feed::{self, Channel},
    queue::{self, Event, Queue},
    request::{self, Head, Pending},
    runtime, value,
};

/// What Python knows of a session: its public id, and the environ of the request that opened it. It ends with the session.
#[derive(Debug)]
pub(crate) struct Session {
    id: Arc<str>,
    environ: Option<Py<PyAny>>,
    queue: Weak<Queue>,
}

impl Session {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn environ<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.environ
            .as_ref()
            .map(|environ| environ.bind(py).clone())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.push(Event::SessionEnd(Arc::clone(&self.id)));
        }
    }
}

/// The session of a socket.
pub(crate) fn session_of(socket: &Socket) -> Option<Arc<Session>> {
    let handshake = socket.handshake();
    handshake.extensions().get::<Arc<Session>>().cloned()
}

/// The server in this process.
struct Running {
    generation: u64,
    runtime: Handle,
    server: Server,
    queue: Arc<Queue>,
    joining: Joining,
    ids: Arc<AtomicU64>,
}

/// A socket that Python is deciding on, and what it has sent to it: that leaves after the answer to CONNECT.
struct Joiner {
    socket: Socket,
    waiting: Vec<(String, Args)>,
}

/// Puts a session with its environ into a request that opens one.
pub(crate) type Open = dyn Fn(&mut http::request::Parts, Option<Py<PyAny>>) + Send + Sync;

/// A server as the package's own host needs it.
pub(crate) struct Site {
    pub(crate) server: Server,
    /// Without a slash at its end.
    pub(crate) path: String,
    pub(crate) open: Arc<Open>,
}

type Joining = Arc<Mutex<HashMap<SocketId, Joiner>>>;

/// Namespaces that exist at a time because a client has asked for them, if an application opens all.
const MOST_OPEN_NAMESPACES: usize = 10_000;

/// A Socket.IO server for Python.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct Engine {
    options: Py<PyDict>,
    /// Events of one client are handled one after the other.
    serial: bool,
    namespaces: Mutex<Vec<String>>,
    running: RwLock<Option<Arc<Running>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

fn socket_id(sid: &str) -> Option<SocketId> {
    sid.parse().ok()
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
        if running.queue.is_closed() {
            return self.start(py);
        }
        Ok(running)
    }

    fn start(&self, py: Python<'_>) -> PyResult<Arc<Running>> {
        let generation = runtime::generation();
        let runtime = runtime::handle()?;
        let options = self.options.bind(py);
        let json = options.get_item("json")?.filter(|json| !json.is_none());
        let queue = Arc::new(Queue::new(json.map(Bound::unbind)));
        let joining = Joining::default();
        let mut builder = config::builder(options)?;
        if options
            .get_item("open_namespaces")?
            .is_some_and(|open| open.is_truthy().unwrap_or(false))
        {
            let (queue, joining, serial) = (Arc::clone(&queue), Arc::clone(&joining), self.serial);
            builder = builder.open_namespaces(MOST_OPEN_NAMESPACES, move |namespace| {
                attach(&queue, &joining, serial, namespace);
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
        let running = Arc::new(Running {
            generation,
            runtime,
            server: builder.build(),
            queue,
            joining,
            ids: Arc::default(),
        });
        for name in &*self.namespaces.lock() {
            self.attach(&running, name);
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

    /// The server for the package's own host, with its path and what puts a session into a request that opens one.
    pub(crate) fn site(&self, py: Python<'_>) -> PyResult<Site> {
        let running = self.serving(py)?;
        let path = self.options.bind(py).get_item("path")?;
        let path: Option<String> = path.and_then(|path| path.extract().ok());
        let path = path.unwrap_or_else(|| "socket.io".to_owned());
        Ok(Site {
            server: running.server.clone(),
            path: format!("/{}", path.trim_matches('/')),
            open: Arc::new(move |parts, environ| {
                if opens_session(&parts.uri) {
                    parts.extensions.insert(running.session(environ));
                }
            }),
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

    fn attach(&self, running: &Running, name: &str) {
        let namespace = running.server.of(name);
        attach(&running.queue, &running.joining, self.serial, &namespace);
    }

    fn namespace(&self, py: Python<'_>, name: &str) -> PyResult<Option<(Arc<Running>, Namespace)>> {
        let running = self.running(py)?;
        let namespace = running.server.find_namespace(name);
        Ok(namespace.map(|namespace| (running, namespace)))
    }

    /// A client's socket, also while Python is deciding on it.
    fn socket(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<Option<Socket>> {
        let Some(id) = socket_id(sid) else {
            return Ok(None);
        };
        let Some((running, namespace)) = self.namespace(py, namespace)? else {
            return Ok(None);
        };
        Ok(namespace.socket(id).or_else(|| {
            let joining = running.joining.lock();
            let joiner = joining.get(&id)?;
            (joiner.socket.namespace().name() == namespace.name()).then(|| joiner.socket.clone())
        }))
    }
}

/// Turns what happens in a namespace into events.
fn attach(queue: &Arc<Queue>, joining: &Joining, serial: bool, namespace: &Namespace) {
    let (its_queue, its_joining) = (Arc::clone(queue), Arc::clone(joining));
    namespace.middleware(move |socket: Socket| {
        ask(Arc::clone(&its_queue), Arc::clone(&its_joining), socket)
    });
    let its_joining = Arc::clone(joining);
    namespace.on_connect(move |socket: Socket| {
        let joiner = its_joining.lock().remove(&socket.id());
        for (event, args) in joiner.into_iter().flat_map(|joiner| joiner.waiting) {
            let _ = socket.send_args(&event, &args);
        }
        ready(())
    });
    let its_queue = Arc::clone(queue);
    namespace.on_fallback(move |socket: Socket, event: RawEvent, ack: Ack| {
        handle(Arc::clone(&its_queue), serial, socket, event, ack)
    });
    let (its_queue, its_joining) = (Arc::clone(queue), Arc::clone(joining));
    namespace.on_disconnect(move |socket: Socket, reason: DisconnectReason| {
        its_joining.lock().remove(&socket.id());
        its_queue.push(Event::Disconnect { socket, reason });
        ready(())
    });
}

/// Waits for Python's decision on a socket. If the client goes before it is let in, the socket is forgotten; and Python, if
/// it had let the client in, gets the event of its end.
struct Asked {
    queue: Arc<Queue>,
    joining: Joining,
    socket: Socket,
    decision: oneshot::Receiver<Result<(), ConnectError>>,
    is_let_in: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_let_in {
            return;
        }
        let joiner = self.joining.lock().remove(&self.socket.id());
        drop(joiner);
        self.decision.close();
        if let Ok(Ok(())) = self.decision.try_recv() {
            let reason = DisconnectReason::Session(CloseReason::TransportClose);
            let socket = self.socket.clone();
            self.queue.push(Event::Disconnect { socket, reason });
        }
    }
}

/// Asks Python whether a client may join, and waits for the decision.
async fn ask(queue: Arc<Queue>, joining: Joining, socket: Socket) -> Result<(), ConnectError> {
    let (decide, decision) = oneshot::channel();
    let joiner = Joiner {
        socket: socket.clone(),
        waiting: Vec::new(),
    };
    joining.lock().insert(socket.id(), joiner);
    let mut asked = Asked {
        queue: Arc::clone(&queue),
        joining,
        socket: socket.clone(),
        decision,
        is_let_in: false,
    };
    queue.push(Event::Connect { socket, decide });
    let verdict = (&mut asked.decision)
        .await
        .unwrap_or_else(|_| Err(ConnectError::new("Connection rejected by server")));
    asked.is_let_in = verdict.is_ok();
    verdict
}

/// Gives an event to Python; with `serial`, waits until it has handled it.
async fn handle(queue: Arc<Queue>, serial: bool, socket: Socket, event: RawEvent, ack: Ack) {
    queue.room().await;
    let ack = ack.is_wanted().then_some(ack);
    if !serial {
        let turn = None;
        queue.push(Event::Event {
            socket,
            event,
            ack,
            turn,
        });
        return;
    }
    let (turn, ended) = oneshot::channel();
    let turn = Some(turn);
    queue.push(Event::Event {
        socket,
        event,
        ack,
        turn,
    });
    let _ = ended.await;
}

/// The request of a host, with the session it opens if it has no id yet.
fn head_of(
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    address: Option<(String, u16)>,
    secure: bool,
) -> Head {
    Head {
        method,
        target,
        headers,
        address,
        secure,
    }
}

/// Returns whether a request opens a session, as its query names none.
fn opens_session(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    !query.split('&').any(|pair| pair.starts_with("sid="))
}

impl Running {
    /// Puts a new session into a request that opens one, and the attributes of its cookie if each has its own.
    fn open_session<B>(
        &self,
        options: &Bound<'_, PyDict>,
        request: &mut http::Request<B>,
        environ: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        if opens_session(request.uri()) {
            if let Some(attributes) = config::own_cookie_attributes(options)? {
                request.extensions_mut().insert(attributes);
            }
            request.extensions_mut().insert(self.session(environ));
        }
        Ok(())
    }

    /// Makes a new session.
    fn session(&self, environ: Option<Py<PyAny>>) -> Arc<Session> {
        let mut random = [0; 15];
        // Public, so it need not be secret, but it must be unique.
        random[..8].copy_from_slice(&std::process::id().rotate_left(16).to_be_bytes().repeat(2));
        random[7..].copy_from_slice(&self.next_id().to_be_bytes());
        let id = kokanee_engineio::Sid::from_random(random);
        Arc::new(Session {
            id: id.as_str().into(),
            environ,
            queue: Arc::downgrade(&self.queue),
        })
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
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
            self.attach(running, &name);
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
        running
            .server
            .set_heartbeat(interval, timeout, allow_upgrades);
        Ok(true)
    }

    // Events.

    /// The descriptor that is readable while events wait.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        Ok(self.serving(py)?.queue.fileno()?)
    }

    /// Takes up to `max` events as tuples.
    fn drain<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let running = self.running(py)?;
        let events = running.queue.drain(max);
        Ok(queue::all_to_python(py, &running.queue.json, events))
    }

    /// Waits for the next event without the GIL. `None` after the timeout in seconds, or when the engine is closed.
    #[pyo3(signature = (timeout = None))]
    fn wait_event<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let queue = Arc::clone(&self.running(py)?.queue);
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

    /// How many events wait, and how many threads wait for one.
    fn load(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        Ok(self.running(py)?.queue.load())
    }

    /// Waits, without the GIL, until all threads that handle events are busy and for so many seconds none was taken though
    /// some wait, and returns how many do. 0: the engine is closed.
    fn wait_busy(&self, py: Python<'_>, patience: f64) -> PyResult<usize> {
        let queue = Arc::clone(&self.running(py)?.queue);
        let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
        Ok(py.detach(|| queue.wait_busy(patience)))
    }

    /// Whether `close` was called.
    fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.running(py)?.queue.is_closed())
    }

    // Sending.

    /// Emits an event to rooms, or to all clients of the namespace without any; not to those in the rooms of `skip`. A
    /// tuple as data is spread over the arguments. Returns for how many clients it was.
    #[pyo3(signature = (event, data, namespace, rooms = None, skip = None))]
    fn emit(
        &self,
        py: Python<'_>,
        event: &str,
        data: &Bound<'_, PyAny>,
        namespace: &str,
        rooms: Option<Vec<String>>,
        skip: Option<Vec<String>>,
    ) -> PyResult<usize> {
        let args = value::args_of_data(&self.running(py)?.queue.json, data)?;
        let Some((running, namespace)) = self.namespace(py, namespace)? else {
            return Ok(0);
        };
        if let Some([room]) = rooms.as_deref()
            && skip.is_none()
            && let Some(id) = socket_id(room)
        {
            if let Some(joiner) = running.joining.lock().get_mut(&id) {
                joiner.waiting.push((event.to_owned(), args));
                return Ok(1);
            }
            // Otherwise it is the name of a room that looks like an id.
            if let Some(socket) = namespace.socket(id) {
                return match socket.send_args(event, &args) {
                    Ok(()) => Ok(1),
                    Err(kokanee_server::EmitError::Disconnected) => Ok(0),
                    Err(error) => Err(PyValueError::new_err(error.to_string())),
                };
            }
        }
        let mut target = namespace.to(rooms.unwrap_or_default());
        if let Some(skip) = skip {
            target = target.except(skip);
        }
        let emitted = py.detach(|| target.emit_args(event, &args).now_or_never());
        match emitted {
            Some(Ok(recipients)) => Ok(recipients.count()),
            Some(Err(error)) => Err(PyValueError::new_err(error.to_string())),
            None => Ok(0),
        }
    }

    /// Emits an event to one client and asks for its answer, which comes as an event with the number that is returned;
    /// without arguments if the client is gone.
    fn emit_with_ack(
        &self,
        py: Python<'_>,
        event: &str,
        data: &Bound<'_, PyAny>,
        namespace: &str,
        sid: &str,
    ) -> PyResult<Option<u64>> {
        let running = self.running(py)?;
        let args = value::args_of_data(&running.queue.json, data)?;
        let Some(socket) = self.socket(py, sid, namespace)? else {
            return Ok(None);
        };
        let call = running.next_id();
        let emit = socket.emit_args_with_ack::<()>(event, &args);
        let queue = Arc::clone(&running.queue);
        let mut asking = Box::pin(async move {
            let args: Result<Args, AckError> = emit.args().await;
            queue.push(Event::Answer {
                call,
                args: args.ok(),
            });
        });
        // It leaves now, before whatever is emitted after it; a task waits for the answer.
        let entered = running.runtime.enter();
        if (&mut asking).now_or_never().is_none() {
            drop(entered);
            running.runtime.spawn(asking);
        }
        Ok(Some(call))
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
        let Some(socket) = self.socket(py, sid, namespace)? else {
            return Ok(false);
        };
        match socket.join(room) {
            Ok(()) => Ok(true),
            // Its handlers may not know yet that it is gone.
            Err(JoinError::Disconnected) => Ok(false),
            Err(error) => Err(PyValueError::new_err(error.to_string())),
        }
    }

    fn leave_room(
        &self,
        py: Python<'_>,
        sid: &str,
        namespace: &str,
        room: String,
    ) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.map(|socket| socket.leave(room)).is_some())
    }

    fn close_room(&self, py: Python<'_>, namespace: &str, room: String) -> PyResult<()> {
        if let Some((_, namespace)) = self.namespace(py, namespace)? {
            let _ = namespace
                .to(room.clone())
                .sockets_leave(room)
                .now_or_never();
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
        let namespace = self.namespace(py, namespace)?;
        let rooms = namespace
            .map(|(_, namespace)| namespace.rooms())
            .unwrap_or_default();
        Ok(rooms.into_iter().map(|(name, _)| name).collect())
    }

    /// The clients in a room, or in the namespace, with the ids of their sessions.
    #[pyo3(signature = (namespace, room = None))]
    fn participants(
        &self,
        py: Python<'_>,
        namespace: &str,
        room: Option<String>,
    ) -> PyResult<Vec<(String, String)>> {
        let Some((_, namespace)) = self.namespace(py, namespace)? else {
            return Ok(Vec::new());
        };
        let sockets = match room {
            Some(room) => namespace.to(room).fetch_sockets().now_or_never(),
            None => namespace.fetch_sockets().now_or_never(),
        };
        let sockets = sockets.into_iter().flatten();
        Ok(sockets
            .map(|socket| {
                let session = session_of(&socket);
                let session = session.map_or_else(String::new, |session| session.id().to_owned());
                (socket.id().as_str().to_owned(), session)
            })
            .collect())
    }

    // Clients.

    fn is_connected(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.is_some_and(|socket| socket.is_connected()))
    }

    fn disconnect(&self, py: Python<'_>, sid: &str, namespace: &str) -> PyResult<bool> {
        let socket = self.socket(py, sid, namespace)?;
        Ok(socket.map(|socket| socket.disconnect()).is_some())
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
        let head = head_of(method, target, headers, address, secure);
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let mut request = head.request(body)?;
        running.open_session(self.options.bind(py), &mut request, environ)?;
        if !upgrades {
            request.extensions_mut().insert(NoUpgrade);
        }
        let id = running.next_id();
        Ok(request::start(
            &running.server,
            &running.runtime,
            &running.queue,
            request,
            id,
            notify,
        ))
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
        let head = head_of(method, target, headers, address, secure);
        let mut request = head.request(Empty::new())?;
        if answered {
            feed::complete(request.headers_mut());
        }
        running.open_session(self.options.bind(py), &mut request, environ)?;
        let address = head.socket_address();
        adopt::adopt(
            &running.server,
            &running.runtime,
            fd,
            request,
            unread,
            address,
            answered,
        )
        .map_err(|error| PyOSError::new_err(error.to_string()))
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
        let head = head_of("GET".to_owned(), target, headers, address, secure);
        let mut request = head.request(Empty::new())?;
        feed::complete(request.headers_mut());
        running.open_session(self.options.bind(py), &mut request, environ)?;
        let (address, id) = (head.socket_address(), running.next_id());
        Ok(feed::open(
            &running.server,
            &running.runtime,
            &running.queue,
            request,
            address,
            id,
        ))
    }

    /// Has the engine read what channels were fed.
    fn flush_fed(&self, py: Python<'_>) -> PyResult<()> {
        self.running(py)?.queue.wake_fed();
        Ok(())
    }

    /// How many sessions are open.
    fn session_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.running(py)?.server.session_count())
    }

    /// Ends all sessions within so many seconds, and then the waits of threads for events.
    #[pyo3(signature = (timeout = 1.0))]
    fn close(&self, py: Python<'_>, timeout: f64) {
        let running = self.running.read().clone();
        let Some(running) = running.filter(|running| running.generation == runtime::generation())
        else {
            return;
        };
        if runtime::has_ended() {
            return;
        }
        py.detach(|| {
            let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
            let server = running.server.clone();
            let closing = async move { server.close(timeout).await };
            let _ = running.runtime.block_on(closing);
            running.queue.close();
        });
    }
}
