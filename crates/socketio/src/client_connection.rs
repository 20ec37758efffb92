//! All namespaces of one session, client side: which are being joined, which are connected, and which packets are
//! allowed for each.
//!
//! The counterpart of [`Connection`](crate::Connection). The driver passes it messages and handles the [`ClientInput`]
//! that it returns. The driver's own state of each socket (`S`) is stored here. Spec: Socket.IO protocol v5, "Exchange
//! protocol".
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

/// What the driver must do for a received message.
#[derive(Debug)]
pub enum ClientInput {
    /// The server has accepted the socket.
    Connected {
        /// Index of the socket, see [`ClientConnection::get_mut`].
        index: usize,
        /// The socket's id. Servers of revision 4 and older do not send it.
        sid: Option<Str>,
        /// The private id, for servers that can recover the connection's state.
        pid: Option<Str>,
    },
    /// The server has refused the socket.
    Refused {
        /// Index of the socket.
        index: usize,
        /// The server's message.
        message: String,
        /// The data of the refusal.
        data: Option<serde_json::Value>,
        /// All that the server has sent, as JSON: an object with the two, or of older servers anything.
        payload: Option<Str>,
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
    /// The acknowledgement of an event that the client sent.
    Ack {
        /// Index of the socket.
        index: usize,
        /// The id of the event.
        id: AckId,
        /// The server's arguments.
        args: Args,
    },
    /// The server has disconnected the socket. Remove it with [`ClientConnection::leave`].
    Disconnected {
        /// Index of the socket.
        index: usize,
    },
}

/// What is necessary to join a namespace; see [`ClientConnection::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The CONNECT packet must be sent.
    Send,
    /// The CONNECT packet must be sent, but servers of revision 4 may not answer it, as they have already connected `/`
    /// once.
    SendAgain,
    /// The server connects the namespace by itself.
    Wait,
    /// The server has connected it already.
    Done,
}

/// How `/` is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// By the server, whose CONNECT has not come yet. Spec: Socket.IO protocol v4, "Connection to a namespace".
    Expected,
    /// The server has connected it, before the client joined it.
    Connected,
    /// By the client's CONNECT, as every other namespace.
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
    /// Creates the connection of a session that has just opened.
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

    /// Decodes one message. Returns `None` while attachments are outstanding, and for packets of namespaces that were
    /// left.
    ///
    /// # Errors
    /// [`DecodeError`]: the session must be closed.
    pub fn handle_message(&mut self, message: Message) -> Result<Option<ClientInput>, DecodeError> {
        let message = match message {
            // The most frequent message, without building a packet.
            Message::Text(text) => match self.decoder.plain_event(text.as_bytes()) {
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
            // Packets sent before the server read the client's DISCONNECT are ignored.
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

    /// Returns the socket of a namespace. Servers of revision 4 repeat its query.
    fn find(&self, namespace: &str) -> Option<usize> {
        let name = namespace.split('?').next().unwrap_or_default();
        self.memberships
            .iter()
            .position(|membership| *membership.namespace == *name)
    }

    /// Handles a packet for `/` while the client has not joined it.
    fn note_root(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect { .. } if self.root == Root::Expected => self.root = Root::Connected,
            // From now on joining it needs a CONNECT.
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

    /// Begins to join a namespace, and returns what is necessary: servers of revision 4 connect `/` by themselves.
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

    /// Removes a socket that was refused or leaves.
    pub fn leave(&mut self, index: usize) -> Option<S> {
        let left = (index < self.memberships.len()).then(|| self.memberships.remove(index));
        left.map(|Membership { namespace, socket }| {
            if *namespace == *"/" {
                self.root = Root::Asked;
            }
            socket
        })
    }

    /// Returns the socket at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut S> {
        self.memberships
            .get_mut(index)
            .map(|membership| &mut membership.socket)
    }

    /// Returns all sockets, mutably.
    pub fn sockets_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.memberships
            .iter_mut()
            .map(|membership| &mut membership.socket)
    }

    /// Returns all sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &S> {
        self.memberships.iter().map(|membership| &membership.socket)
    }

    /// Returns the number of namespaces.
    pub fn len(&self) -> usize {
        self.memberships.len()
    }

    /// Returns whether there are no namespaces.
    pub fn is_empty(&self) -> bool {
        self.memberships.is_empty()
    }

    /// Returns the protocol's revision.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }
}

/// Reads a refusal: an object with a message; older servers send only the message or only the data.
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
        payload: payload.cloned(),
    }
}
