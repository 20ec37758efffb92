//! [`Mesh`]: the connections of a worker with all others of its group.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Handle,
    sync::watch,
};

use crate::{
    codec::{Message, Worker},
    link::{Link, Passed, Received, Receiver, SendError},
    place::{self, Name, Place},
};

/// How long a connection may say nothing about who has opened it.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Time before a link that has ended is opened again, if the other worker is still there, and before another connection is
/// accepted after an error.
const RETRY: Duration = Duration::from_millis(100);

/// Time between two looks at what is not written yet, at the end of a worker.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);

/// How often a worker is called that has no room for one more connection.
const CALLS: usize = 20;

/// What a worker does with what others send to it. No method may wait.
pub trait Member: Send + Sync + 'static {
    /// Does what a message says.
    fn handle(&self, mesh: &Mesh, from: Worker, message: Message);

    /// Answers a request for a session of this worker.
    fn answer(&self, passed: Box<Passed>);

    /// Answers a request that was for the session of a worker, which is gone or does not take it.
    fn take_back(&self, passed: Box<Passed>);

    /// Forgets what another worker owes, which is gone.
    fn forget(&self, worker: Worker);

    /// Reports that messages were lost.
    fn report(&self, text: String);
}

struct Inner {
    name: Name,
    member: Arc<dyn Member>,
    runtime: Handle,
    links: RwLock<HashMap<Worker, Arc<Link>>>,
    /// The descriptors of its connections and its socket.
    descriptors: Mutex<HashSet<RawFd>>,
    stop: watch::Sender<bool>,
}

/// A descriptor among those of the mesh. It must be dropped before what it belongs to.
struct Listed<'a>(&'a Inner, RawFd);

impl<'a> Listed<'a> {
    fn new(inner: &'a Inner, descriptor: &impl AsRawFd) -> Self {
        let descriptor = descriptor.as_raw_fd();
        inner.descriptors.lock().insert(descriptor);
        Self(inner, descriptor)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.descriptors.lock().remove(&self.1);
    }
}

/// The connections of a worker with all others of its group. A cheap handle.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mesh").field(&self.0.name.worker).finish()
    }
}

impl Mesh {
    /// Connects a worker with those that are in the folder of its place, and lets others connect.
    ///
    /// # Errors
    /// When the runtime cannot use the socket.
    pub fn start(place: Place, member: Arc<dyn Member>, runtime: &Handle) -> io::Result<Self> {
        let inside = runtime.enter();
        let listener = UnixListener::from_std(place.listener)?;
        drop(inside);
        let mesh = Self(Arc::new(Inner {
            name: place.name,
            member,
            runtime: runtime.clone(),
            links: RwLock::default(),
            descriptors: Mutex::default(),
            stop: watch::Sender::new(false),
        }));
        let accepting = mesh.clone();
        mesh.spawn(async move { accepting.accept(listener).await });
        // Every worker listens before it looks, so that of two that begin at once, one finds the other.
        for worker in place::workers_in(&mesh.0.name.folder) {
            mesh.link(worker);
        }
        Ok(mesh)
    }

    /// Returns the bytes of this worker.
    pub fn worker(&self) -> Worker {
        self.0.name.worker
    }

    /// Returns whether a worker is connected with this one.
    pub fn knows(&self, worker: Worker) -> bool {
        self.0.links.read().contains_key(&worker)
    }

    /// Returns whether no other worker is connected with this one.
    pub fn is_alone(&self) -> bool {
        self.0.links.read().is_empty()
    }

    /// Returns how many others are connected with this one.
    pub fn other_workers(&self) -> usize {
        self.0.links.read().len()
    }

    /// Returns the link to a worker, which is opened if necessary. `None` if there is no such worker, or it is this one.
    pub fn link(&self, worker: Worker) -> Option<Arc<Link>> {
        if worker == self.0.name.worker || *self.0.stop.borrow() {
            return None;
        }
        if let Some(link) = self.0.links.read().get(&worker) {
            return Some(Arc::clone(link));
        }
        if !place::path_of(&self.0.name.folder, worker).exists() {
            return None;
        }
        let mut links = self.0.links.write();
        if let Some(link) = links.get(&worker) {
            return Some(Arc::clone(link));
        }
        let link = Arc::new(Link::default());
        links.insert(worker, Arc::clone(&link));
        drop(links);
        let (mesh, carried) = (self.clone(), Arc::clone(&link));
        let carrying = async move { mesh.carry(worker, &carried).await };
        self.0.runtime.spawn(carrying);
        Some(link)
    }

    /// Sends a message to one worker. Returns whether there is such a worker.
    pub fn send(&self, worker: Worker, frame: Bytes) -> bool {
        let link = self.link(worker);
        link.is_some_and(|link| self.send_on(&link, worker, frame))
    }

    /// Sends a request with its connection to one worker. If it does not go there, the [`Member`] takes it back.
    pub fn pass(&self, worker: Worker, passed: Box<Passed>) {
        let passed = match self.link(worker) {
            Some(link) => link.pass(passed),
            None => Err(passed),
        };
        if let Err(passed) = passed {
            self.0.member.take_back(passed);
        }
    }

    /// Sends a message to all other workers, and returns those that get it.
    pub fn send_to_all(&self, frame: &Bytes) -> Vec<Worker> {
        let links: Vec<_> = {
            let links = self.0.links.read();
            let links = links.iter();
            links
                .map(|(worker, link)| (*worker, Arc::clone(link)))
                .collect()
        };
        let mut sent = Vec::with_capacity(links.len());
        for (worker, link) in links {
            if self.send_on(&link, worker, frame.clone()) {
                sent.push(worker);
            }
        }
        sent
    }

    fn send_on(&self, link: &Link, worker: Worker, frame: Bytes) -> bool {
        let size = frame.len();
        let error = match link.send(frame) {
            Ok(()) => return true,
            Err(SendError::Ended) => return false,
            Err(SendError::TooLarge) => {
                format!(
                    "a message of {size} bytes is too large for other workers: they do not get it"
                )
            }
            Err(SendError::Full) => {
                let [a, b, c] = worker;
                format!(
                    "worker {a:02x}{b:02x}{c:02x} does not take messages any more: those that wait for it are lost"
                )
            }
        };
        self.0.member.report(error);
        false
    }

    /// Leaves the folder, so that no other worker comes any more. Those that are connected stay so.
    pub fn leave(&self) {
        self.0.name.remove();
    }

    /// Waits until all that was sent to other workers is written. The caller sets a limit.
    pub async fn flush(&self) {
        while !self.0.links.read().values().all(|link| link.is_flushed()) {
            tokio::time::sleep(FLUSH_INTERVAL).await;
        }
    }

    /// Leaves the folder, and ends all connections.
    pub fn close(&self) {
        self.leave();
        self.0.stop.send_replace(true);
    }

    /// Returns the descriptors of all connections and of the worker's socket. A child of this process closes its copies, as
    /// otherwise this worker would seem to live on in it. In a child it returns none if a thread of the parent has just
    /// changed them.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let descriptors = self.0.descriptors.try_lock();
        descriptors.map_or_else(Vec::new, |descriptors| {
            descriptors.iter().copied().collect()
        })
    }

    /// Runs a task until the mesh is closed.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stop = self.0.stop.subscribe();
        self.0.runtime.spawn(async move {
            tokio::select! {
                () = task => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    /// Opens a link, writes what is sent on it, and cleans up at its end.
    async fn carry(&self, worker: Worker, link: &Arc<Link>) {
        let mut stop = self.0.stop.subscribe();
        let result = tokio::select! {
            result = self.call(worker, link) => result,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        tracing::debug!(?result, ?worker, "the link to a worker has ended");
        let lost = link.end(|passed| self.0.member.take_back(passed));
        // Nothing is lost by the end of the other worker, whose clients have gone with it.
        let is_there = place::path_of(&self.0.name.folder, worker).exists();
        if lost > 0 && is_there && !*self.0.stop.borrow() {
            let [a, b, c] = worker;
            let reason = result
                .err()
                .map_or_else(String::new, |error| format!(": {error}"));
            self.0.member.report(format!(
                "the connection with worker {a:02x}{b:02x}{c:02x} has ended, and {lost} messages for it are lost{reason}"
            ));
        }
        self.forget(worker, link);
        // If it is not gone, it is called until it takes messages again.
        tokio::time::sleep(RETRY).await;
        self.link(worker);
    }

    fn forget(&self, worker: Worker, link: &Arc<Link>) {
        let mut links = self.0.links.write();
        if links
            .get(&worker)
            .is_some_and(|known| Arc::ptr_eq(known, link))
        {
            links.remove(&worker);
        }
        drop(links);
        self.0.member.forget(worker);
    }

    async fn call(&self, worker: Worker, link: &Link) -> io::Result<()> {
        let path = place::path_of(&self.0.name.folder, worker);
        let mut calls = 0;
        let stream = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => break stream,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    // Its worker was killed.
                    let _ = std::fs::remove_file(&path);
                    return Err(error);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && calls < CALLS => {
                    calls += 1;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        };
        check_user(&stream)?;
        let stream = Arc::new(stream.into_std()?);
        let _listed = Listed::new(&self.0, &*stream);
        let hello = Message::Hello(self.0.name.worker).encode();
        link.carry(&stream, hello).await
    }

    async fn accept(&self, listener: UnixListener) {
        let _listed = Listed::new(&self.0, &listener);
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // No descriptor is left, for example.
                tokio::time::sleep(RETRY).await;
                continue;
            };
            let mesh = self.clone();
            self.spawn(async move {
                if let Err(error) = mesh.receive(stream).await {
                    tracing::debug!(%error, "a connection of another worker is closed");
                }
            });
        }
    }

    async fn receive(&self, stream: UnixStream) -> io::Result<()> {
        check_user(&stream)?;
        let _listed = Listed::new(&self.0, &stream);
        let mut receiver = Receiver::new(&stream);
        let hello = tokio::time::timeout(HELLO_TIMEOUT, receiver.next()).await??;
        let Some(Received::Message(Message::Hello(from))) = hello else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        self.link(from);
        while let Some(received) = receiver.next().await? {
            match received {
                Received::Message(message) => self.0.member.handle(self, from, message),
                Received::Request(passed) => self.0.member.answer(passed),
            }
        }
        Ok(())
    }
}

/// Checks that the other end is a process of the same user.
fn check_user(stream: &UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}
