//! Requests that the owner of their session answers over the link, while this worker keeps the connection.
//!
//! ```text
//! client ──request──▶ this worker ──Relay──▶ owner
//!    ◀──response──                ◀──Part, …, Reply──
//! ```

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use kokanee_server::Server;
use kokanee_workers::{Head, Link, Mesh, Message, Passed, Relayed, Worker};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, task::AbortHandle};

use super::handover;
use crate::request::{self, Reply, request_of};

/// The largest body that goes over the link, where what comes after it waits.
pub(super) const MOST_BODY_BYTES: usize = 64 * 1024;

/// The largest part of a response.
const PART_BYTES: usize = 1024 * 1024;

/// The largest response.
const MOST_RESPONSE_BYTES: usize = 256 * 1024 * 1024;

/// Time between two looks whether a part of a response was written.
const PART_INTERVAL: Duration = Duration::from_millis(2);

/// A response that is expected.
struct Expected {
    owner: Worker,
    /// The parts that have come.
    body: Vec<u8>,
    reply: oneshot::Sender<Reply>,
}

/// What is relayed to and from this worker.
#[derive(Default)]
pub(crate) struct Relays {
    last: AtomicU64,
    expected: Mutex<HashMap<u64, Expected>>,
    answering: Mutex<HashMap<(Worker, u64), AbortHandle>>,
}

impl std::fmt::Debug for Relays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relays")
    }
}

/// The worker that owns the session of a request, and is not this one.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(super) worker: Worker,
    pub(super) mesh: Mesh,
    pub(super) relays: Arc<Relays>,
    /// The way to it.
    pub(crate) link: Arc<Link>,
}

impl Owner {
    /// Hands a request over with its connection. If the owner has gone, this worker answers.
    pub(crate) fn pass(&self, passed: Passed) {
        self.mesh.pass(self.worker, Box::new(passed));
    }

    /// Has the owner answer a request, and returns the response. If it has gone, `server` answers.
    pub(crate) async fn relay(
        self,
        server: Server,
        head: Head,
        request: Request<Full<Bytes>>,
        body: Bytes,
    ) -> Reply {
        let limits = server.limits();
        let timeout = if head.method == "GET" {
            // A poll is answered with a ping at the latest.
            limits.ping_interval + limits.ping_timeout
        } else {
            handover::TIMEOUT
        };
        let answer = async {
            if body.len() > MOST_BODY_BYTES {
                handover::relay(&self.link, &head, &body).await
            } else {
                self.over_link(head, body).await
            }
        };
        match tokio::time::timeout(timeout, answer).await {
            Err(_elapsed) => Reply::unavailable(),
            Ok(Some(reply)) => reply,
            Ok(None) => request::answer(server, request).await,
        }
    }

    async fn over_link(&self, head: Head, body: Bytes) -> Option<Reply> {
        let number = self.relays.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (reply, replied) = oneshot::channel();
        let expected = Expected {
            owner: self.worker,
            body: Vec::new(),
            reply,
        };
        self.relays.expected.lock().insert(number, expected);
        let _waiting = Waiting {
            owner: self,
            number,
        };
        let relayed = Relayed { number, head, body };
        let frame = Message::Relay(relayed).encode();
        if !self.mesh.send(self.worker, frame) {
            return None;
        }
        replied.await.ok()
    }
}

/// Somebody who waits for a response. If the client leaves, the owner learns that the request was given up.
struct Waiting<'a> {
    owner: &'a Owner,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Owner {
            worker,
            mesh,
            relays,
            ..
        } = self.owner;
        let expected = relays.expected.lock().remove(&self.number);
        if expected.is_some() {
            mesh.send(*worker, Message::GiveUp(self.number).encode());
        }
    }
}

impl Relays {
    /// Takes a part of the body of a response.
    pub(super) fn part(&self, from: Worker, number: u64, part: &[u8]) {
        let mut expected = self.expected.lock();
        let Some(it) = expected.get_mut(&number).filter(|it| it.owner == from) else {
            return;
        };
        if it.body.len() + part.len() > MOST_RESPONSE_BYTES {
            let too_large = expected.remove(&number);
            drop(expected);
            if let Some(it) = too_large {
                let _ = it.reply.send(Reply::unavailable());
            }
            return;
        }
        it.body.extend_from_slice(part);
    }

    /// Takes a response, or the rest of it.
    pub(super) fn reply(&self, from: Worker, reply: kokanee_workers::Reply) {
        let mut expected = self.expected.lock();
        if expected
            .get(&reply.number)
            .is_none_or(|it| it.owner != from)
        {
            return;
        }
        let Some(it) = expected.remove(&reply.number) else {
            return;
        };
        drop(expected);
        let body = if it.body.is_empty() {
            reply.body
        } else {
            let mut whole = it.body;
            whole.extend_from_slice(&reply.body);
            whole.into()
        };
        // Who has waited may have left in this moment.
        let _ = it.reply.send(Reply::new(reply.status, reply.headers, body));
    }

    /// Answers a request of another worker.
    pub(super) fn answer(
        self: &Arc<Self>,
        runtime: &Handle,
        server: Server,
        mesh: &Mesh,
        from: Worker,
        relayed: Relayed,
    ) {
        let (relays, mesh) = (Arc::clone(self), mesh.clone());
        let number = relayed.number;
        let mut task = Box::pin(async move {
            let reply = match request_of(&relayed.head, Full::from(relayed.body)) {
                Ok(request) => request::answer(server, request).await,
                Err(_) => Reply::new(400, Vec::new(), Bytes::new()),
            };
            relays.answering.lock().remove(&(from, number));
            send(&mesh, from, number, reply).await;
        });
        // The session has the request now; a task waits for the response.
        let entered = runtime.enter();
        if (&mut task).now_or_never().is_none() {
            drop(entered);
            // The task cannot take itself off the list before it is on it.
            let mut answering = self.answering.lock();
            let task = runtime.spawn(task);
            answering.insert((from, number), task.abort_handle());
        }
    }

    /// Ends the answering of a request: its session learns that it was given up.
    pub(super) fn give_up(&self, from: Worker, number: u64) {
        let task = self.answering.lock().remove(&(from, number));
        if let Some(task) = task {
            task.abort();
        }
    }

    /// Expects nothing any more of a worker that is gone, and answers it nothing.
    pub(super) fn forget(&self, worker: Worker) {
        let gone: Vec<_> = {
            let mut expected = self.expected.lock();
            expected.extract_if(|_, it| it.owner == worker).collect()
        };
        drop(gone);
        let tasks: Vec<_> = {
            let mut answering = self.answering.lock();
            answering
                .extract_if(|(from, _), _| *from == worker)
                .collect()
        };
        for (_, task) in tasks {
            task.abort();
        }
    }
}

/// Sends a response. Parts of a large one wait until the one before was written, so that others get their turn.
async fn send(mesh: &Mesh, to: Worker, number: u64, reply: Reply) {
    let (status, headers, mut body) = reply.into_parts();
    while body.len() > PART_BYTES {
        let part = body.split_to(PART_BYTES);
        mesh.send(to, Message::Part(number, part).encode());
        let Some(link) = mesh.link(to) else {
            return;
        };
        while !link.is_flushed() {
            tokio::time::sleep(PART_INTERVAL).await;
        }
    }
    let reply = kokanee_workers::Reply {
        number,
        status,
        headers,
        body,
    };
    mesh.send(to, Message::Reply(reply).encode());
}
