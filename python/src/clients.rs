//! The clients of this process: what Python knows of each, and how what they do becomes events.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, Weak},
};

use kokanee_engineio::CloseReason;
use kokanee_server::{
    Ack, Args, ConnectError, DisconnectReason, EmitError, Namespace, RawEvent, Socket, SocketId,
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use tokio::sync::oneshot;

use crate::queue::{Event, Queue};

/// What Python knows of a session: its public id, and the environ of the request that opened it. It ends with the session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    environ: Option<Py<PyAny>>,
    queue: Weak<Queue>,
}

impl Session {
    pub(crate) fn new(id: &str, environ: Option<Py<PyAny>>, queue: &Arc<Queue>) -> Self {
        Self {
            id: id.into(),
            environ,
            queue: Arc::downgrade(queue),
        }
    }

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

/// The session of a client, as `save_session` keeps it: it returns with the client.
pub(crate) struct UserSession(pub(crate) Py<PyAny>);

/// A socket that Python is deciding on, and what it has sent to it: that leaves after the answer to CONNECT.
pub(crate) struct Joiner {
    pub(crate) socket: Socket,
    pub(crate) waiting: Vec<(String, Args)>,
}

/// The sockets that Python is deciding on.
pub(crate) type Joining = Arc<Mutex<HashMap<SocketId, Joiner>>>;

/// Turns what happens in a namespace into events.
pub(crate) fn attach(
    queue: &Arc<Queue>,
    joining: &Joining,
    serial: bool,
    recovers: bool,
    namespace: &Namespace,
) {
    let (its_queue, its_joining) = (Arc::clone(queue), Arc::clone(joining));
    namespace.middleware(move |socket: Socket| {
        ask(Arc::clone(&its_queue), Arc::clone(&its_joining), socket)
    });
    let its_joining = Arc::clone(joining);
    namespace.on_connect(move |socket: Socket| {
        let joiner = its_joining.lock().remove(&socket.id());
        for (event, args) in joiner.into_iter().flat_map(|joiner| joiner.waiting) {
            if let Err(EmitError::Encode(error)) = socket.send_args(&event, &args) {
                tracing::warn!(event, socket = %socket.id(), %error, "an event of a connect handler cannot be sent");
            }
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
        let (ended, has_ended) = recovers.then(oneshot::channel).unzip();
        its_queue.push(Event::Disconnect {
            socket,
            reason,
            ended,
        });
        async move {
            // A client that comes back is shown to Python after this.
            if let Some(has_ended) = has_ended {
                let _ = has_ended.await;
            }
        }
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
            let ended = None;
            self.queue.push(Event::Disconnect {
                socket,
                reason,
                ended,
            });
        }
    }
}

/// Asks Python whether a client may join, and waits for the decision.
async fn ask(queue: Arc<Queue>, joining: Joining, socket: Socket) -> Result<(), ConnectError> {
    queue.room().await;
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
