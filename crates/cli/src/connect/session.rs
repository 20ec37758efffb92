//! The state of a session: its namespaces, the events that ask for an acknowledgement, the status line. Reading and printing
//! lines is done by [`plain`](super::plain) and [`terminal`](super::terminal).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use kokanee::Ack;
use kokanee_client::{ConnectFailure, DisconnectReason, Socket};
use kokanee_socketio::Value;
use tokio::sync::mpsc;

use super::{
    command::{COMMANDS, Command},
    names::Names,
    status::{State, Status},
};
use crate::{
    args::ConnectArgs,
    entry::{Entry, What},
    escape,
    notice::{Notice, NoticeKind, Reporter},
    peer::{self, PeerError},
};

/// Timeout for an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of received events that can still be acknowledged.
const MAX_UNANSWERED: usize = 1000;

/// The output of a session.
#[derive(Debug)]
pub(crate) enum Said {
    Entry(Entry),
    /// A message of the program itself.
    Note(String),
    Clear,
    Quit,
}

/// The result of joining a namespace.
#[derive(Debug)]
pub(crate) struct Joined {
    namespace: String,
    result: Result<(), ConnectFailure>,
}

/// A session.
pub(crate) struct Session {
    sockets: BTreeMap<String, Socket>,
    states: BTreeMap<String, State>,
    /// The namespace that events are sent to.
    current: String,
    reporter: Reporter,
    joined: mpsc::UnboundedSender<Joined>,
    /// Received events that ask for an acknowledgement, with their namespaces, by number.
    unanswered: BTreeMap<u64, (String, Ack)>,
    /// The last number of a received event that asks for an acknowledgement.
    received: u64,
    /// The last number of a sent event that asks for one.
    asked: u64,
    names: Names,
    /// Names of hidden events.
    muted: BTreeSet<String>,
    status: Status,
}

impl Session {
    /// Returns a session with the namespace of the URL, which is not connected yet.
    pub(crate) fn new(
        args: &ConnectArgs,
        reporter: Reporter,
        joined: mpsc::UnboundedSender<Joined>,
    ) -> Result<Self, PeerError> {
        let socket = peer::socket(&args.connection, true)?;
        reporter.watch(&socket);
        let current = socket.namespace().to_owned();
        let status = Status {
            url: args.connection.url.clone(),
            namespace: current.clone(),
            namespaces: 1,
            ..Status::default()
        };
        Ok(Self {
            sockets: BTreeMap::from([(current.clone(), socket)]),
            states: BTreeMap::from([(current.clone(), State::Connecting)]),
            current,
            reporter,
            joined,
            unanswered: BTreeMap::new(),
            received: 0,
            asked: 0,
            names: Names::default(),
            muted: args.mute.iter().cloned().collect(),
            status,
        })
    }

    /// Returns the socket of the current namespace.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.sockets.get(&self.current)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the current content of the status line.
    pub(crate) fn status(&mut self) -> &Status {
        let transport = self.socket().and_then(Socket::transport);
        let id = self.socket().and_then(Socket::id);
        let state = self.states.get(&self.current).copied();
        self.status.transport = transport.map(kokanee::Transport::as_str);
        self.status.id = id;
        self.status.state = state.unwrap_or_default();
        self.status.namespace.clone_from(&self.current);
        self.status.namespaces = self.sockets.len();
        self.status.muted = self.muted.len();
        &self.status
    }

    fn is_active(&self, namespace: &str) -> bool {
        self.sockets.get(namespace).is_some_and(Socket::is_active)
    }

    /// Returns the number of pending acknowledgements.
    pub(crate) fn pending(&self) -> usize {
        self.status.pending
    }

    /// Handles a notice. Returns nothing for hidden events.
    pub(crate) fn on_notice(&mut self, notice: &Notice) -> Option<Said> {
        let state = match &notice.kind {
            NoticeKind::Connect { .. } => {
                if let Some(State::Reconnecting(_)) = self.states.get(&notice.namespace) {
                    self.status.reconnections += 1;
                }
                Some(State::Connected)
            }
            NoticeKind::Disconnect(DisconnectReason::Client | DisconnectReason::Server, _)
            | NoticeKind::GaveUp => Some(State::Disconnected),
            NoticeKind::Disconnect(..) => Some(State::Reconnecting(0)),
            NoticeKind::Attempt(attempt) => Some(State::Reconnecting(*attempt)),
            // The server refused the client, so no further attempt is made.
            NoticeKind::Failure(_) if !self.is_active(&notice.namespace) => {
                Some(State::Disconnected)
            }
            NoticeKind::Upgrade
            | NoticeKind::Failure(_)
            | NoticeKind::Event(..)
            | NoticeKind::Sent(_)
            | NoticeKind::Answer(_) => None,
        };
        if let Some(state) = state {
            self.states.insert(notice.namespace.clone(), state);
        }
        let number = match &notice.kind {
            NoticeKind::Event(event, ack) => {
                self.names.add(event.name());
                let number = ack.is_wanted().then(|| self.remember(notice, ack));
                if self.muted.contains(event.name()) {
                    return None;
                }
                number
            }
            NoticeKind::Answer(what) => {
                self.status.pending = self.status.pending.saturating_sub(1);
                if let What::Answer { elapsed, .. } = what {
                    self.status.latency = Some(*elapsed);
                }
                None
            }
            _ => None,
        };
        Some(Said::Entry(notice.entry(number)))
    }

    fn remember(&mut self, notice: &Notice, ack: &Ack) -> u64 {
        self.received += 1;
        let unanswered = (notice.namespace.clone(), ack.clone());
        self.unanswered.insert(self.received, unanswered);
        if self.unanswered.len() > MAX_UNANSWERED {
            self.unanswered.pop_first();
        }
        self.received
    }

    /// Handles the result of joining a namespace.
    pub(crate) fn on_joined(&mut self, joined: Joined) -> Vec<Said> {
        let Joined { namespace, result } = joined;
        match result {
            Ok(()) => Vec::new(),
            Err(failure) => {
                // The failure itself was reported by the socket's notice.
                self.states.insert(namespace.clone(), State::Disconnected);
                vec![Said::Note(format!(
                    "{} is not connected: {failure}",
                    escape::text(&namespace)
                ))]
            }
        }
    }

    /// Runs a command.
    pub(crate) async fn on_command(&mut self, command: Command) -> Vec<Said> {
        match command {
            Command::Emit {
                name,
                args,
                with_ack,
            } => self.emit(name, args, with_ack),
            Command::Answer { number, args } => self.answer(number, args),
            Command::Namespace(Some(name)) => self.join(&name),
            Command::Namespace(None) => self.list_namespaces(),
            Command::Disconnect => {
                self.disconnect().await;
                Vec::new()
            }
            Command::Reconnect => self.reconnect(),
            Command::Events => self.list_events(),
            Command::Mute(names) => self.mute(names),
            Command::Unmute(names) => self.unmute(&names),
            Command::Clear => vec![Said::Clear],
            Command::Help => help(),
            Command::Quit => vec![Said::Quit],
        }
    }

    fn emit(&mut self, name: String, values: Vec<Value>, with_ack: bool) -> Vec<Said> {
        let Some(socket) = self.socket().cloned() else {
            return Vec::new();
        };
        let args = match peer::pack(values) {
            Ok(args) => args,
            Err(error) => return vec![Said::Note(error.to_string())],
        };
        self.names.add(&name);
        let mut said = Vec::new();
        if !socket.is_connected() {
            let note = "not connected: the event is buffered until the connection is back";
            said.push(Said::Note(note.to_owned()));
        }
        let number = with_ack.then(|| {
            self.asked += 1;
            self.status.pending += 1;
            self.asked
        });
        let sent = What::Send {
            name: name.clone(),
            args: args.clone(),
            ack: number,
        };
        match number {
            Some(number) => {
                let call = socket.emit_args_with_ack::<()>(&name, &args);
                let call = call.timeout(ACK_TIMEOUT).args();
                let asking = async move {
                    let start = Instant::now();
                    Some(NoticeKind::Answer(match call.await {
                        Ok(args) => What::Answer {
                            name,
                            number,
                            args,
                            elapsed: start.elapsed(),
                        },
                        Err(error) => What::Failure {
                            name,
                            reason: format!("no ack {number}: {error}"),
                        },
                    }))
                };
                self.reporter.emit(&socket, sent, asking);
            }
            None => {
                let emit = socket.emit_args(&name, &args);
                let emitting = async move {
                    let reason = emit.await.err()?.to_string();
                    Some(NoticeKind::Sent(What::Failure { name, reason }))
                };
                self.reporter.emit(&socket, sent, emitting);
            }
        }
        said
    }

    fn answer(&mut self, number: u64, values: Vec<Value>) -> Vec<Said> {
        let Some((namespace, ack)) = self.unanswered.remove(&number) else {
            return vec![Said::Note(format!("no event is waiting for ack {number}"))];
        };
        let args = match peer::pack(values) {
            Ok(args) => args,
            Err(error) => return vec![Said::Note(error.to_string())],
        };
        match ack.send_args(&args) {
            Ok(()) => {
                let what = What::Answered { number, args };
                self.reporter.sent(&namespace, what);
                Vec::new()
            }
            Err(error) => vec![Said::Note(format!("the ack was not sent: {error}"))],
        }
    }

    /// Switches to a namespace, and joins it if it is not connected.
    fn join(&mut self, name: &str) -> Vec<Said> {
        let Some(current) = self.socket().cloned() else {
            return Vec::new();
        };
        let reporter = &self.reporter;
        let socket = self
            .sockets
            .entry(name.to_owned())
            .or_insert_with(|| {
                let socket = current.of(name);
                reporter.watch(&socket);
                socket
            })
            .clone();
        name.clone_into(&mut self.current);
        if !socket.is_connected() {
            self.connect(socket);
        }
        vec![Said::Note(format!("switched to {}", escape::text(name)))]
    }

    fn list_namespaces(&self) -> Vec<Said> {
        let line = |(name, socket): (&String, &Socket)| {
            let state = if socket.is_connected() {
                "connected"
            } else {
                "not connected"
            };
            let mark = if *name == self.current { "*" } else { " " };
            Said::Note(format!("{mark} {}  {state}", escape::text(name)))
        };
        self.sockets.iter().map(line).collect()
    }

    fn list_events(&self) -> Vec<Said> {
        let names: Vec<_> = self.names.all().map(escape::name).collect();
        vec![Said::Note(if names.is_empty() {
            "no events received yet".to_owned()
        } else {
            names.join("  ")
        })]
    }

    fn mute(&mut self, names: Vec<String>) -> Vec<Said> {
        self.muted.extend(names);
        let muted: Vec<_> = self.muted.iter().map(|name| escape::name(name)).collect();
        vec![Said::Note(match &*muted {
            [] => "no events are muted".to_owned(),
            muted => format!("muted: {}", muted.join("  ")),
        })]
    }

    fn unmute(&mut self, names: &[String]) -> Vec<Said> {
        if names.is_empty() {
            self.muted.clear();
        }
        let unknown = names.iter().filter(|name| !self.muted.remove(*name));
        let mut said: Vec<_> = unknown
            .map(|name| Said::Note(format!("{} was not muted", escape::name(name))))
            .collect();
        said.extend(self.mute(Vec::new()));
        said
    }

    async fn disconnect(&mut self) {
        if let Some(socket) = self.socket().cloned() {
            peer::leave(&socket).await;
        }
        self.states
            .insert(self.current.clone(), State::Disconnected);
    }

    fn reconnect(&mut self) -> Vec<Said> {
        let Some(socket) = self.socket().cloned() else {
            return Vec::new();
        };
        if socket.is_connected() {
            socket.reconnect();
            return vec![Said::Note("reconnecting".to_owned())];
        }
        self.connect(socket);
        Vec::new()
    }

    /// Connects in a separate task.
    pub(crate) fn connect(&mut self, socket: Socket) {
        let namespace = socket.namespace().to_owned();
        self.states.insert(namespace.clone(), State::Connecting);
        let joined = self.joined.clone();
        tokio::spawn(async move {
            let result = socket.connect().await;
            // The session may have ended.
            let _ = joined.send(Joined { namespace, result });
        });
    }

    /// Returns the sockets of all namespaces.
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.sockets.values().cloned().collect()
    }

    /// Disconnects from all namespaces, with a short timeout.
    pub(crate) async fn leave(&self) {
        futures_util::future::join_all(self.sockets.values().map(peer::leave)).await;
    }
}

fn help() -> Vec<Said> {
    let events = [
        (
            "EVENT ARGS…",
            "sends an event; arguments are JSON, words, or @FILE for binary data",
        ),
        ("?EVENT ARGS…", "sends it and asks for an acknowledgement"),
    ];
    let line = |(name, text): &(&str, &str)| Said::Note(format!("{name:12}  {text}"));
    events.iter().chain(&COMMANDS).map(line).collect()
}
