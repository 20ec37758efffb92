//! [`Here`]: the server of this process and its clients, for Python's calls and for those of other workers. Nothing here needs
//! the GIL.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use futures_util::FutureExt;
use kokanee_server::{
    Adopter, Args, EmitError, Namespace, OriginChecked, Server, Socket, SocketId,
};
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyDict};
use tokio::runtime::Handle;

use crate::{
    clients::{self, Joining, Session},
    config,
    queue::Queue,
};

/// Parses the id of a socket.
pub(crate) fn socket_id(sid: &str) -> Option<SocketId> {
    sid.parse().ok()
}

/// Returns whether a request opens a session, as its query names none.
pub(crate) fn opens_session(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    !query.split('&').any(|pair| pair.starts_with("sid="))
}

/// The rooms that an event is for, as Python names them.
#[derive(FromPyObject)]
pub(crate) enum Rooms {
    One(String),
    Several(Vec<String>),
}

impl Rooms {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(room) => std::slice::from_ref(room),
            Self::Several(rooms) => rooms,
        }
    }
}

/// The server of this process.
pub(crate) struct Here {
    pub(crate) runtime: Handle,
    pub(crate) server: Server,
    pub(crate) queue: Arc<Queue>,
    pub(crate) joining: Joining,
    /// Events of one client are handled one after the other.
    pub(crate) serial: bool,
    /// Clients whose connection is lost may come back.
    recovers: bool,
    /// What serves connections of other workers as the host's own.
    adopter: Mutex<Weak<Adopter>>,
    ids: AtomicU64,
}

impl Here {
    pub(crate) fn new(
        runtime: Handle,
        server: Server,
        queue: Arc<Queue>,
        joining: Joining,
        serial: bool,
        recovers: bool,
    ) -> Self {
        Self {
            runtime,
            server,
            queue,
            joining,
            serial,
            recovers,
            adopter: Mutex::default(),
            ids: AtomicU64::new(0),
        }
    }

    /// Has connections that come from other workers served as those of a listener, as long as that exists.
    pub(crate) fn adopt_with(&self, adopter: &Arc<Adopter>) {
        *self.adopter.lock() = Arc::downgrade(adopter);
    }

    /// Returns what serves connections that come from other workers.
    pub(crate) fn adopter(&self) -> Arc<Adopter> {
        let adopter = self.adopter.lock().upgrade();
        adopter.unwrap_or_else(|| Arc::new(self.server.adopter()))
    }

    /// Opens a namespace for clients.
    pub(crate) fn open(&self, name: &str) {
        let namespace = self.server.of(name);
        let (queue, joining) = (&self.queue, &self.joining);
        clients::attach(queue, joining, self.serial, self.recovers, &namespace);
    }

    /// Returns a number that this process has not used yet.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a new session into a request that opens one, and the attributes of its cookie if each has its own.
    pub(crate) fn open_session<B>(
        &self,
        options: &Bound<'_, PyDict>,
        request: &mut http::Request<B>,
        environ: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        if !opens_session(request.uri()) {
            return Ok(());
        }
        // `Server._accepts_origin` was asked.
        request.extensions_mut().insert(OriginChecked);
        if let Some(attributes) = config::own_cookie_attributes(options)? {
            request.extensions_mut().insert(attributes);
        }
        request.extensions_mut().insert(self.session(environ));
        Ok(())
    }

    /// Makes a new session.
    pub(crate) fn session(&self, environ: Option<Py<PyAny>>) -> Arc<Session> {
        let mut random = [0; 15];
        // Public, so it need not be secret, but it must be unique.
        random[..8].copy_from_slice(&std::process::id().rotate_left(16).to_be_bytes().repeat(2));
        random[7..].copy_from_slice(&self.next_id().to_be_bytes());
        let id = kokanee_engineio::Sid::from_random(random);
        Arc::new(Session::new(id.as_str(), environ, &self.queue))
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<Namespace> {
        self.server.find_namespace(name)
    }

    /// A client's socket, also while Python is deciding on it.
    pub(crate) fn socket(&self, sid: &str, namespace: &str) -> Option<Socket> {
        let id = socket_id(sid)?;
        let namespace = self.namespace(namespace)?;
        namespace.socket(id).or_else(|| {
            let joining = self.joining.lock();
            let joiner = joining.get(&id)?;
            (joiner.socket.namespace().name() == namespace.name()).then(|| joiner.socket.clone())
        })
    }

    /// Emits an event to rooms, or to all clients of the namespace if there are none; not to those in the rooms of `skip`. A
    /// room may be that of a client on which Python is deciding. Returns for how many clients it was.
    pub(crate) fn emit(
        &self,
        event: &str,
        args: &Args,
        namespace: &str,
        rooms: &[String],
        skip: &[String],
    ) -> Result<usize, EmitError> {
        let Some(namespace) = self.namespace(namespace) else {
            return Ok(0);
        };
        // A broadcast that finds long queues makes a timer, on whichever thread this is.
        let _inside = self.runtime.enter();
        if let [room] = rooms
            && skip.is_empty()
            && let Some(id) = socket_id(room)
        {
            if let Some(joiner) = self.joining.lock().get_mut(&id)
                && joiner.socket.namespace().name() == namespace.name()
            {
                joiner.waiting.push((event.to_owned(), args.clone()));
                return Ok(1);
            }
            // Otherwise it is the name of a room that looks like an id.
            if let Some(socket) = namespace.socket(id) {
                return match socket.send_args(event, args) {
                    Ok(()) => Ok(1),
                    Err(EmitError::Disconnected) => Ok(0),
                    Err(error) => Err(error),
                };
            }
        }
        let mut target = namespace.to(rooms.to_vec());
        if !skip.is_empty() {
            target = target.except(skip.to_vec());
        }
        match target.emit_args(event, args).now_or_never() {
            Some(emitted) => emitted.map(kokanee_server::Recipients::count),
            None => Ok(0),
        }
    }

    /// Returns the clients in rooms, or all of the namespace if there are none; without those in the rooms of `skip`.
    pub(crate) fn sockets(
        &self,
        namespace: &str,
        rooms: &[String],
        skip: &[String],
    ) -> Vec<Socket> {
        let Some(namespace) = self.namespace(namespace) else {
            return Vec::new();
        };
        let _inside = self.runtime.enter();
        let target = namespace.to(rooms.to_vec()).except(skip.to_vec());
        target.fetch_sockets().now_or_never().unwrap_or_default()
    }

    /// Takes all clients out of a room.
    pub(crate) fn close_room(&self, namespace: &str, room: &str) {
        if let Some(namespace) = self.namespace(namespace) {
            let _inside = self.runtime.enter();
            let leaving = namespace.to(room.to_owned()).sockets_leave(room.to_owned());
            let _ = leaving.now_or_never();
        }
    }
}
