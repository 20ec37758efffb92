//! What a session knows and does: its namespaces, the events that want an answer, what the status line shows. How lines
//! come in and go out is none of its business.

use std::{
    collections::BTreeMap,
    task::Poll,
    time::{Duration, Instant},
};

use kokanee::{Ack, Args};
use kokanee_client::{AckError, ConnectFailure, DisconnectReason, Socket};
use kokanee_socketio::Value;
use tokio::sync::mpsc;

use super::{
    command::{COMMANDS, Command},
    names::Names,
    status::{State, Status},
};
use crate::{
    args::ConnectionArgs,
    entry::{Entry, What},
    escape,
    peer::{self, Notice, NoticeKind, PeerError, Reporter},
};

/// Time that an answer gets.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// Events whose answer is remembered as still to be given.
const MAX_UNANSWERED: usize = 1000;

/// What a session has to say.
#[derive(Debug)]
pub(crate) enum Said {
    Entry(Entry),
    /// Text of the program itself.
    Note(String),
    Clear,
    Quit,
}

/// An answer that came, or did not.
#[derive(Debug)]
pub(crate) struct Answer {
    namespace: String,
    name: String,
    number: u64,
    result: Result<Args, AckError>,
    elapsed: Duration,
}

/// What became of an attempt to join a namespace.
#[derive(Debug)]
pub(crate) struct Joined {
    namespace: String,
    result: Result<(), ConnectFailure>,
}

/// What the session's own tasks report.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Answer),
    Joined(Joined),
    /// An event could not be sent.
    Failed(Entry),
}

/// A session.
pub(crate) struct Session {
    sockets: BTreeMap<String, Socket>,
    states: BTreeMap<String, State>,
    /// The namespace that events are sent in.
    current: String,
    reporter: Reporter,
    outcomes: mpsc::UnboundedSender<Outcome>,
    /// Events that want an answer, by their number.
    unanswered: BTreeMap<u64, Ack>,
    /// The last number of an event that wants an answer.
    received: u64,
    /// The last number of an event that asked for one.
    asked: u64,
    names: Names,
    status: Status,
}

impl Session {
    /// A session with the namespace of the URL, which is not connected yet.
    pub(crate) fn new(
        args: &ConnectionArgs,
        reporter: Reporter,
        outcomes: mpsc::UnboundedSender<Outcome>,
    ) -> Result<Self, PeerError> {
        let socket = peer::socket(args, true)?;
        peer::watch(&socket, &reporter);
        let current = socket.namespace().to_owned();
        let status = Status {
            url: args.url.clone(),
            namespace: current.clone(),
            namespaces: 1,
            ..Status::default()
        };
        Ok(Self {
            sockets: BTreeMap::from([(current.clone(), socket)]),
            states: BTreeMap::from([(current.clone(), State::Connecting)]),
            current,
            reporter,
            outcomes,
            unanswered: BTreeMap::new(),
            received: 0,
            asked: 0,
            names: Names::default(),
            status,
        })
    }

    /// The socket of the current namespace.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.sockets.get(&self.current)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// What the status line shows now.
    pub(crate) fn status(&mut self) -> &Status {
        let transport = self.socket().and_then(Socket::transport);
        let id = self.socket().and_then(Socket::id);
        let state = self.states.get(&self.current).copied();
        self.status.transport = transport.map(kokanee::Transport::as_str);
        self.status.id = id;
        self.status.state = state.unwrap_or_default();
        self.status.namespace.clone_from(&self.current);
        self.status.namespaces = self.sockets.len();
        &self.status
    }

    fn is_active(&self, namespace: &str) -> bool {
        self.sockets.get(namespace).is_some_and(Socket::is_active)
    }

    /// How many answers are still to come.
    pub(crate) fn waiting(&self) -> usize {
        self.status.waiting
    }

    /// Takes what has happened to a socket.
    pub(crate) fn on_notice(&mut self, notice: &Notice) -> Said {
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
            // Refused: no further attempt is made.
            NoticeKind::Failure(_) if !self.is_active(&notice.namespace) => {
                Some(State::Disconnected)
            }
            NoticeKind::Upgrade | NoticeKind::Failure(_) | NoticeKind::Event(..) => None,
        };
        if let Some(state) = state {
            self.states.insert(notice.namespace.clone(), state);
        }
        let number = match &notice.kind {
            NoticeKind::Event(event, ack) => {
                self.names.add(event.name());
                ack.is_wanted().then(|| self.remember(ack.clone()))
            }
            _ => None,
        };
        Said::Entry(notice.entry(number))
    }

    fn remember(&mut self, ack: Ack) -> u64 {
        self.received += 1;
        self.unanswered.insert(self.received, ack);
        if self.unanswered.len() > MAX_UNANSWERED {
            self.unanswered.pop_first();
        }
        self.received
    }

    /// Takes what one of the session's tasks has to report.
    pub(crate) fn on_outcome(&mut self, outcome: Outcome) -> Vec<Said> {
        match outcome {
            Outcome::Answer(answer) => vec![self.on_answer(answer)],
            Outcome::Failed(entry) => vec![Said::Entry(entry)],
            Outcome::Joined(Joined { namespace, result }) => match result {
                Ok(()) => Vec::new(),
                Err(failure) => {
                    // The failure itself was noticed by the socket.
                    self.states.insert(namespace.clone(), State::Disconnected);
                    vec![Said::Note(format!(
                        "{} is not connected: {failure}",
                        escape::text(&namespace)
                    ))]
                }
            },
        }
    }

    fn on_answer(&mut self, answer: Answer) -> Said {
        let Answer {
            namespace,
            name,
            number,
            result,
            elapsed,
        } = answer;
        self.status.waiting = self.status.waiting.saturating_sub(1);
        let what = match result {
            Ok(args) => {
                self.status.latency = Some(elapsed);
                What::Answer {
                    name,
                    number,
                    args,
                    elapsed,
                }
            }
            Err(error) => What::Failure {
                name,
                reason: format!("no answer to {number}: {error}"),
            },
        };
        Said::Entry(Entry::now(&namespace, what))
    }

    /// Does what a line asks for.
    pub(crate) async fn on_command(&mut self, command: Command) -> Vec<Said> {
        match command {
            Command::Emit {
                name,
                args,
                with_ack,
            } => self.emit(name, args, with_ack).await,
            Command::Answer { number, args } => self.answer(number, args),
            Command::Namespace(Some(name)) => self.join(&name),
            Command::Namespace(None) => self.list_namespaces(),
            Command::Disconnect => {
                self.disconnect().await;
                Vec::new()
            }
            Command::Reconnect => self.reconnect(),
            Command::Events => self.list_events(),
            Command::Clear => vec![Said::Clear],
            Command::Help => help(),
            Command::Quit => vec![Said::Quit],
        }
    }

    async fn emit(&mut self, name: String, values: Vec<Value>, with_ack: bool) -> Vec<Said> {
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
            let note = "not connected: this waits until the connection is there again";
            said.push(Said::Note(note.to_owned()));
        }
        let namespace = self.current.clone();
        let sent = |ack| {
            let (name, args) = (name.clone(), args.clone());
            Said::Entry(Entry::now(&namespace, What::Send { name, args, ack }))
        };
        if with_ack {
            self.asked += 1;
            self.status.waiting += 1;
            let number = self.asked;
            said.push(sent(Some(number)));
            let call = socket.emit_args_with_ack::<()>(&name, &args);
            let mut call = Box::pin(call.timeout(ACK_TIMEOUT).args());
            let start = Instant::now();
            let begun = peer::begin(&mut call).await;
            let outcomes = self.outcomes.clone();
            tokio::spawn(async move {
                let result = match begun {
                    Poll::Ready(result) => result,
                    Poll::Pending => call.await,
                };
                let answer = Answer {
                    namespace,
                    name,
                    number,
                    result,
                    elapsed: start.elapsed(),
                };
                // Without the session nobody wants to know.
                let _ = outcomes.send(Outcome::Answer(answer));
            });
        } else {
            said.push(sent(None));
            let mut emit = Box::pin(socket.emit_args(&name, &args));
            let begun = peer::begin(&mut emit).await;
            let outcomes = self.outcomes.clone();
            tokio::spawn(async move {
                let result = match begun {
                    Poll::Ready(result) => result,
                    Poll::Pending => emit.await,
                };
                if let Err(error) = result {
                    let reason = error.to_string();
                    let entry = Entry::now(&namespace, What::Failure { name, reason });
                    let _ = outcomes.send(Outcome::Failed(entry));
                }
            });
        }
        said
    }

    fn answer(&mut self, number: u64, values: Vec<Value>) -> Vec<Said> {
        let Some(ack) = self.unanswered.remove(&number) else {
            return vec![Said::Note(format!(
                "no event waits for the answer {number}"
            ))];
        };
        let args = match peer::pack(values) {
            Ok(args) => args,
            Err(error) => return vec![Said::Note(error.to_string())],
        };
        match ack.send_args(&args) {
            Ok(()) => {
                let what = What::Answered { number, args };
                vec![Said::Entry(Entry::now(&self.current, what))]
            }
            Err(error) => vec![Said::Note(format!("the answer was not sent: {error}"))],
        }
    }

    /// Moves to a namespace, which is joined if it is not connected.
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
                peer::watch(&socket, reporter);
                socket
            })
            .clone();
        name.clone_into(&mut self.current);
        if !socket.is_connected() {
            self.connect(socket);
        }
        vec![Said::Note(format!("this is {} now", escape::text(name)))]
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
            "no event has come yet".to_owned()
        } else {
            names.join("  ")
        })]
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
            return vec![Said::Note(
                "the connection is cut, and made again".to_owned(),
            )];
        }
        self.connect(socket);
        Vec::new()
    }

    /// Connects in a task of its own.
    pub(crate) fn connect(&mut self, socket: Socket) {
        let namespace = socket.namespace().to_owned();
        self.states.insert(namespace.clone(), State::Connecting);
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let result = socket.connect().await;
            let _ = outcomes.send(Outcome::Joined(Joined { namespace, result }));
        });
    }

    /// The sockets of all namespaces.
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.sockets.values().cloned().collect()
    }

    /// Leaves all namespaces, without waiting for long.
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
        ("?EVENT ARGS…", "sends it and waits for the answer"),
    ];
    let line = |(name, text): &(&str, &str)| Said::Note(format!("{name:12}  {text}"));
    events.iter().chain(&COMMANDS).map(line).collect()
}
