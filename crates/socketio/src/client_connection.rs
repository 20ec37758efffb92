//! All namespaces of one session, client side: which are being joined, which have accepted, what may come for each.
//!
//! The mirror image of [`Connection`](crate::Connection). The driver feeds it messages and does what [`ClientInput`] says;
//! the state of each socket that it needs beside it (`S`) is kept here. Spec: Socket.IO protocol v5, "Exchange protocol".
//!
//! ```text
//!   join()             CONNECT             DISCONNECT, leave(), end of the session
//!  ─────────► Joining ──────────► Connected ───────────────────────────────────────► (gone)
//!                │ CONNECT_ERROR                                                     ▲
//!                └────────────────────────────────────────────────────────────────────┘
//! ```

use kokanee_engineio::{Message, Str};
use serde::Deserialize;

use crate::{
    AckId, Args, DecodeError, Decoder, DecoderLimits, Packet, ParserKind, ProtocolVersion,
    RawEvent, from_json,
};

/// What a received message asks for.
#[derive(Debug)]
pub enum ClientInput {
    /// A namespace has accepted.
    Connected {
        /// Index of the socket, see [`ClientConnection::get_mut`].
        index: usize,
        /// The socket's id. Servers of revision 4 and older do not send it.
        sid: Option<Str>,
        /// The private id, for servers that can recover the connection's state.
        pid: Option<Str>,
    },
    /// A namespace has refused.
    Refused {
        /// Index of the socket.
        index: usize,
        /// The server's message.
        message: String,
        /// The data that it sent along.
        data: Option<serde_json::Value>,
    },
    /// The namespace was accepted in a way that only servers of an older revision use.
    OlderServer {
        /// Index of the socket.
        index: usize,
    },
    /// An event.
    Event {
        /// Index of the socket.
        index: usize,
        /// The id to answer with, if the server asked for an acknowledgement.
        id: Option<AckId>,
        /// Name and arguments.
        event: RawEvent,
    },
    /// The answer to an event that we sent.
    Ack {
        /// Index of the socket.
        index: usize,
        /// The id that we sent.
        id: AckId,
        /// The server's arguments.
        args: Args,
    },
    /// The server has disconnected the socket. [`ClientConnection::leave`] takes it out.
    Disconnected {
        /// Index of the socket.
        index: usize,
    },
}

/// What joining a namespace takes, see [`ClientConnection::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The CONNECT packet must be sent.
    Send,
    /// The CONNECT packet must be sent, but servers of revision 4 may leave it without an answer: they have once said of `/`
    /// that they have connected it.
    SendAgain,
    /// The server connects the namespace by itself.
    Wait,
    /// The server has connected it already.
    Done,
}

/// How `/` is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// By the server, which has not said so yet. Spec: Socket.IO protocol v4, "Connection to a namespace".
    Expected,
    /// The server has connected it, before anybody wanted it.
    Connected,
    /// By CONNECT, as every other namespace.
    Asked,
}

#[derive(Debug)]
struct Membership<S> {
    namespace: Str,
    socket: S,
}

/// The namespaces of one session, client side.
#[derive(Debug)]
pub struct ClientConnection<S> {
    decoder: Decoder,
    memberships: Vec<Membership<S>>,
    version: ProtocolVersion,
    root: Root,
}

impl<S> ClientConnection<S> {
    /// Starts when the session has opened.
    pub fn new(parser: ParserKind, limits: DecoderLimits, version: ProtocolVersion) -> Self {
        Self {
            decoder: Decoder::new(parser, limits),
            memberships: Vec::new(),
            version,
            root: match version {
                ProtocolVersion::V4 => Root::Expected,
                ProtocolVersion::V5 => Root::Asked,
            },
        }
    }

    /// Decodes one message. `None` while attachments are outstanding, and for packets of namespaces that were left.
    ///
    /// # Errors
    /// [`DecodeError`]: the session must be closed.
    pub fn handle_message(&mut self, message: Message) -> Result<Option<ClientInput>, DecodeError> {
        let message = match message {
            // The frequent case, without the detour over a packet.
            Message::Text(text) => match self.decoder.straight_event(text.as_bytes()) {
                Some(event) => {
                    let index = match event.namespace {
                        None => self.find("/"),
                        Some((start, end)) => self.find(text.part(start, end).unwrap_or_default()),
                    };
                    return Ok(index.map(|index| ClientInput::Event {
                        index,
                        id: event.id,
                        event: event.take(text),
                    }));
                }
                None => Message::Text(text),
            },
            binary @ Message::Binary(_) => binary,
        };
        let Some(packet) = self.decoder.decode(message)? else {
            return Ok(None);
        };
        let (Packet::Connect { namespace, .. }
        | Packet::ConnectError { namespace, .. }
        | Packet::Event { namespace, .. }
        | Packet::Ack { namespace, .. }
        | Packet::Disconnect { namespace }) = &packet;
        let Some(index) = self.find(namespace) else {
            // What crosses our own leaving is for nobody.
            if **namespace == *"/" {
                self.note_root(&packet);
            }
            return Ok(None);
        };
        Ok(Some(match packet {
            Packet::Connect { auth, .. } => self.on_connect(index, auth.as_ref()),
            Packet::ConnectError { data, .. } => on_refused(index, data.as_ref()),
            Packet::Event { id, event, .. } => ClientInput::Event { index, id, event },
            Packet::Ack { id, args, .. } => ClientInput::Ack { index, id, args },
            Packet::Disconnect { .. } => ClientInput::Disconnected { index },
        }))
    }

    /// The socket of a namespace. Servers of revision 4 send its query back.
    fn find(&self, namespace: &str) -> Option<usize> {
        let name = namespace.split('?').next().unwrap_or_default();
        self.memberships
            .iter()
            .position(|membership| *membership.namespace == *name)
    }

    /// What the server says of `/` while nobody has joined it.
    fn note_root(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect { .. } if self.root == Root::Expected => self.root = Root::Connected,
            // Whoever wants it has to ask for it.
            Packet::ConnectError { .. } | Packet::Disconnect { .. } => self.root = Root::Asked,
            _ => {}
        }
    }

    fn on_connect(&self, index: usize, payload: Option<&Str>) -> ClientInput {
        #[derive(Deserialize)]
        struct Accepted {
            sid: Option<String>,
            pid: Option<String>,
        }
        let accepted = payload.and_then(|json| from_json::<Accepted>(json).ok());
        let (sid, pid) = accepted.map_or((None, None), |accepted| (accepted.sid, accepted.pid));
        if sid.is_none() && self.version == ProtocolVersion::V5 {
            return ClientInput::OlderServer { index };
        }
        ClientInput::Connected {
            index,
            sid: sid.map(Str::from),
            pid: pid.map(Str::from),
        }
    }

    /// Begins to join a namespace. Says what that takes: servers of revision 4 connect `/` by themselves.
    pub fn join(&mut self, namespace: Str, socket: S) -> Join {
        let join = match self.root {
            Root::Expected if *namespace == *"/" => Join::Wait,
            Root::Connected if *namespace == *"/" => Join::Done,
            Root::Asked if *namespace == *"/" && self.version == ProtocolVersion::V4 => {
                Join::SendAgain
            }
            _ => Join::Send,
        };
        self.memberships.reserve_exact(1);
        self.memberships.push(Membership { namespace, socket });
        join
    }

    /// Takes a socket out: it was refused, or it leaves.
    pub fn leave(&mut self, index: usize) -> Option<S> {
        let left = (index < self.memberships.len()).then(|| self.memberships.remove(index));
        left.map(|Membership { namespace, socket }| {
            if *namespace == *"/" {
                self.root = Root::Asked;
            }
            socket
        })
    }

    /// The socket at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut S> {
        self.memberships
            .get_mut(index)
            .map(|membership| &mut membership.socket)
    }

    /// All sockets, to be changed.
    pub fn sockets_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.memberships
            .iter_mut()
            .map(|membership| &mut membership.socket)
    }

    /// All sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &S> {
        self.memberships.iter().map(|membership| &membership.socket)
    }

    /// Number of namespaces.
    pub fn len(&self) -> usize {
        self.memberships.len()
    }

    /// Whether there is no namespace.
    pub fn is_empty(&self) -> bool {
        self.memberships.is_empty()
    }

    /// The protocol's revision.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }
}

/// The payload is an object with a message; older servers send the message or the data alone.
fn on_refused(index: usize, payload: Option<&Str>) -> ClientInput {
    let value = payload.and_then(|json| from_json::<serde_json::Value>(json).ok());
    let (message, data) = match value {
        Some(serde_json::Value::Object(mut object)) => {
            match object.get("message").and_then(|message| message.as_str()) {
                Some(message) => (message.to_owned(), object.remove("data")),
                None => (
                    "not accepted".to_owned(),
                    Some(serde_json::Value::Object(object)),
                ),
            }
        }
        Some(serde_json::Value::String(message)) => (message, None),
        other => ("not accepted".to_owned(), other),
    };
    ClientInput::Refused {
        index,
        message,
        data,
    }
}
