//! Several workers of one host: each session belongs to one of them, and any of them may get its requests.
//!
//! [`Group`] is this worker's view of the others. [`moving`], [`relay`] and [`handover`] give requests to the worker whose session they name;
//! the rest is about events and rooms: what this worker asks of others, and does for them. Where the workers meet is decided
//! in Python, and how they are connected by the crate `kokanee-workers`.

pub(crate) mod handover;
pub(crate) mod moving;
mod relay;

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    io,
    os::fd::RawFd,
    path::PathBuf,
    sync::Arc,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use kokanee_engineio::owner_of;
use kokanee_server::{AckError, Args};
use kokanee_workers::{
    Emitted, Handed, Member, Mesh, Message, Passed, Place, Worker, encode_event,
};
use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeWarning, prelude::*, types::PyDict};

pub(crate) use self::relay::Owner;
use self::relay::Relays;
use crate::{here::Here, queue::Event};

/// Takes a place among the workers of the host. Where they meet is what the option `meet`, a function of the package, returns:
/// `None` if this process is not one of several.
pub(crate) fn place(options: &Bound<'_, PyDict>) -> PyResult<Option<Place>> {
    let Some(meet) = options.get_item("meet")?.filter(|meet| !meet.is_none()) else {
        return Ok(None);
    };
    let mut tries = 0;
    loop {
        let Some(folder): Option<PathBuf> = meet.call0()?.extract()? else {
            return Ok(None);
        };
        let error = match Place::take(&folder) {
            Ok(place) => return Ok(Some(place)),
            Err(error) => error,
        };
        tries += 1;
        // The last worker that has left may have removed the folder in this moment.
        if error.kind() != io::ErrorKind::NotFound || tries == 3 {
            let text = format!(
                "this worker cannot meet the others in {}: {error}",
                folder.display()
            );
            let text = CString::new(text).unwrap_or_default();
            PyErr::warn(
                options.py(),
                &options.py().get_type::<PyRuntimeWarning>(),
                &text,
                1,
            )?;
            return Ok(None);
        }
    }
}

/// What is known of a call of which other workers were asked.
#[derive(Debug)]
struct Asking {
    /// Those that have not said yet that they have no more answers.
    workers: HashSet<Worker>,
    /// The answers that have come.
    answers: u64,
}

/// The calls of which other workers were asked.
type Asked = Mutex<HashMap<u64, Asking>>;

/// This worker as others see it.
struct Own {
    here: Arc<Here>,
    asked: Arc<Asked>,
    relays: Arc<Relays>,
}

/// The workers of a host, as one of them sees them.
#[derive(Debug)]
pub(crate) struct Group {
    mesh: Mesh,
    asked: Arc<Asked>,
    relays: Arc<Relays>,
    /// Events and rooms concern all workers. Otherwise something else connects them, or nothing does.
    is_shared: bool,
}

impl Group {
    /// Joins the workers in the folder of a place.
    pub(crate) fn join(place: Place, here: &Arc<Here>, is_shared: bool) -> io::Result<Self> {
        let asked = Arc::<Asked>::default();
        let relays = Arc::<Relays>::default();
        let own = Own {
            here: Arc::clone(here),
            asked: Arc::clone(&asked),
            relays: Arc::clone(&relays),
        };
        Ok(Self {
            mesh: Mesh::start(place, Arc::new(own), &here.runtime)?,
            asked,
            relays,
            is_shared,
        })
    }

    /// Returns the owner of the session that a request names, if that is another worker.
    pub(crate) fn owner_of_request(&self, target: &str) -> Option<Owner> {
        let (_, query) = target.split_once('?')?;
        let worker = kokanee_server::owner_of_request(query)?;
        Some(Owner {
            worker,
            mesh: self.mesh.clone(),
            relays: Arc::clone(&self.relays),
            link: self.mesh.link(worker)?,
        })
    }

    /// Returns the other worker whose client this is.
    fn owner_of_client(&self, sid: &str) -> Option<Worker> {
        let owner = owner_of(sid)?;
        (self.is_shared && self.mesh.link(owner).is_some()).then_some(owner)
    }

    /// Emits an event to clients of other workers: to rooms, or to all of the namespace if there are none.
    pub(crate) fn emit(
        &self,
        event: &str,
        args: &Args,
        namespace: &str,
        rooms: &[String],
        skip: &[String],
    ) {
        if self.is_shared && !self.mesh.is_alone() {
            let encode = || encode_event(None, event, namespace, rooms, skip, args);
            self.send(rooms, encode);
        }
    }

    /// Emits an event to clients of other workers, whose answers come as events with this number. Returns whether there are
    /// workers that may have such clients.
    pub(crate) fn ask(
        &self,
        call: u64,
        event: &str,
        args: &Args,
        namespace: &str,
        rooms: &[String],
        skip: &[String],
    ) -> bool {
        if !self.is_shared || self.mesh.is_alone() {
            return false;
        }
        // None of them may answer before it is known who was asked.
        let mut asked = self.asked.lock();
        let encode = || encode_event(Some(call), event, namespace, rooms, skip, args);
        let workers = self.send(rooms, encode);
        if workers.is_empty() {
            return false;
        }
        let workers = workers.into_iter().collect();
        let answers = 0;
        asked.insert(call, Asking { workers, answers });
        true
    }

    /// Sends a message about rooms to the workers that may have clients in them, and returns these.
    fn send(&self, rooms: &[String], encode: impl FnOnce() -> bytes::Bytes) -> Vec<Worker> {
        let owner = |room: &String| {
            let owner = owner_of(room)?;
            (owner == self.mesh.worker() || self.mesh.knows(owner)).then_some(owner)
        };
        // The rooms of single clients are with their owners, all others are everywhere.
        let owners: Option<HashSet<Worker>> = rooms.iter().map(owner).collect();
        let Some(mut owners) = owners.filter(|owners| !owners.is_empty()) else {
            return self.mesh.send_to_all(&encode());
        };
        owners.remove(&self.mesh.worker());
        if owners.is_empty() {
            return Vec::new();
        }
        let frame = encode();
        let mut sent: Vec<_> = owners.into_iter().collect();
        sent.retain(|worker| self.mesh.send(*worker, frame.clone()));
        sent
    }

    /// Puts a client of another worker into a room. `false`: it is none.
    pub(crate) fn enter(&self, sid: &str, namespace: &str, room: String) -> bool {
        self.tell(sid, |sid| Message::Enter {
            sid,
            namespace: namespace.to_owned(),
            room,
        })
    }

    /// Takes a client of another worker out of a room. `false`: it is none.
    pub(crate) fn leave(&self, sid: &str, namespace: &str, room: String) -> bool {
        self.tell(sid, |sid| Message::Leave {
            sid,
            namespace: namespace.to_owned(),
            room,
        })
    }

    /// Disconnects a client of another worker. `false`: it is none.
    pub(crate) fn disconnect(&self, sid: &str, namespace: &str) -> bool {
        self.tell(sid, |sid| Message::Disconnect {
            sid,
            namespace: namespace.to_owned(),
        })
    }

    fn tell(&self, sid: &str, message: impl FnOnce(String) -> Message) -> bool {
        let Some(owner) = self.owner_of_client(sid) else {
            return false;
        };
        self.mesh.send(owner, message(sid.to_owned()).encode())
    }

    /// Takes all clients of other workers out of a room.
    pub(crate) fn close_room(&self, namespace: String, room: String) {
        if self.is_shared {
            let message = Message::CloseRoom { namespace, room };
            self.mesh.send_to_all(&message.encode());
        }
    }

    /// How many other workers there are.
    pub(crate) fn others(&self) -> usize {
        self.mesh.other_workers()
    }

    /// Returns the descriptors that a child of this process has no use for.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.mesh.descriptors()
    }

    /// Lets no other worker come any more.
    pub(crate) fn withdraw(&self) {
        self.mesh.leave();
    }

    /// Waits until other workers were sent all that is for them. The caller sets a limit.
    pub(crate) async fn flush(&self) {
        self.mesh.flush().await;
    }

    /// Ends the connections with other workers.
    pub(crate) fn close(&self) {
        self.mesh.close();
    }
}

impl Own {
    /// Answers a request on the connection that came with it. One that `is_back` does not leave again.
    fn serve(&self, passed: Box<Passed>, is_back: bool) {
        let runtime = self.here.runtime.clone();
        if passed.forwarded.handed == Handed::Connection {
            runtime.spawn(moving::serve(self.here.adopter(), passed, is_back));
        } else {
            let server = self.here.server.clone();
            runtime
                .clone()
                .spawn(handover::serve(runtime, server, passed));
        }
    }

    /// Emits an event for another worker, and sends it the answers.
    fn ask(&self, mesh: &Mesh, from: Worker, call: u64, emitted: &Emitted) {
        let Emitted {
            event,
            namespace,
            rooms,
            skip,
            args,
        } = emitted;
        let sockets = self.here.sockets(namespace, rooms, skip);
        let answers = sockets.into_iter().map(|socket| {
            let emit = socket.emit_args_with_ack::<()>(event, args);
            async move {
                let args: Result<Args, AckError> = emit.args().await;
                args
            }
        });
        let mut answers: FuturesUnordered<_> = answers.collect();
        let mesh = mesh.clone();
        let mut asking = Box::pin(async move {
            while let Some(answer) = answers.next().await {
                if let Ok(args) = answer {
                    mesh.send(from, Message::Answer(call, args).encode());
                }
            }
            mesh.send(from, Message::Answered(call).encode());
        });
        // It leaves now, before whatever is emitted after it; a task waits for the answers.
        if (&mut asking).now_or_never().is_none() {
            self.here.runtime.spawn(asking);
        }
    }

    /// Notes that a worker has no more answers for a call.
    fn no_more(&self, asked: &mut HashMap<u64, Asking>, call: u64, worker: Worker) {
        let Some(asking) = asked.get_mut(&call) else {
            return;
        };
        if asking.workers.remove(&worker) && asking.workers.is_empty() {
            let answers = asking.answers;
            asked.remove(&call);
            self.here.queue.push(Event::LastAnswer { call, answers });
        }
    }
}

impl Member for Own {
    fn handle(&self, mesh: &Mesh, from: Worker, message: Message) {
        match message {
            Message::Emit(it) => {
                let emitted =
                    self.here
                        .emit(&it.event, &it.args, &it.namespace, &it.rooms, &it.skip);
                if let Err(error) = emitted {
                    tracing::debug!(%error, "an event of another worker was not emitted");
                }
            }
            Message::Ask(call, emitted) => self.ask(mesh, from, call, &emitted),
            Message::Answer(call, args) => {
                if let Some(asking) = self.asked.lock().get_mut(&call) {
                    asking.answers += 1;
                    self.here.queue.push(Event::OneAnswer { call, args });
                }
            }
            Message::Answered(call) => self.no_more(&mut self.asked.lock(), call, from),
            Message::Enter {
                sid,
                namespace,
                room,
            } => {
                if let Some(socket) = self.here.socket(&sid, &namespace) {
                    let _ = socket.join(room);
                }
            }
            Message::Leave {
                sid,
                namespace,
                room,
            } => {
                if let Some(socket) = self.here.socket(&sid, &namespace) {
                    socket.leave(room);
                }
            }
            Message::CloseRoom { namespace, room } => self.here.close_room(&namespace, &room),
            Message::Disconnect { sid, namespace } => {
                if let Some(socket) = self.here.socket(&sid, &namespace) {
                    socket.disconnect();
                }
            }
            Message::Relay(relayed) => {
                let Here {
                    runtime, server, ..
                } = &*self.here;
                self.relays
                    .answer(runtime, server.clone(), mesh, from, relayed);
            }
            Message::Part(number, part) => self.relays.part(from, number, &part),
            Message::Reply(reply) => self.relays.reply(from, reply),
            Message::GiveUp(number) => self.relays.give_up(from, number),
            // The first has been, the others come with a connection.
            Message::Hello(_) | Message::Request(_) => {}
        }
    }

    fn answer(&self, passed: Box<Passed>) {
        self.serve(passed, false);
    }

    fn take_back(&self, passed: Box<Passed>) {
        self.serve(passed, true);
    }

    fn forget(&self, worker: Worker) {
        self.relays.forget(worker);
        let mut asked = self.asked.lock();
        let calls: Vec<u64> = asked.keys().copied().collect();
        for call in calls {
            self.no_more(&mut asked, call, worker);
        }
    }

    fn report(&self, text: String) {
        self.here.queue.push(Event::Trouble(text));
    }
}
