//! All namespaces of one client over one session: which it has joined, which it is joining, what it may send in each state.
//!
//! The driver feeds it messages and does what [`Input`] says. The state of each socket that the driver needs beside it
//! (`S`) is kept here, so that one look-up finds both. Spec: Socket.IO protocol v5, "Exchange protocol".
//!
//! ```text
//!   CONNECT            accept()               DISCONNECT, leave()
//!  ─────────► Joining ──────────► Connected ─────────────────────► (gone)
//!                │ refuse(), DISCONNECT                              ▲
//!                └────────────────────────────────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use kokanee_engineio::{Message, Str};

use crate::{AckId, Args, DecodeError, Decoder, DecoderLimits, Packet, ParserKind, RawEvent};

/// The revision of the Socket.IO protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    /// Revision 4 and older: clients v1 and v2. The server connects them to `/` by itself.
    V4,
    /// Revision 5: clients v3 and v4.
    V5,
}

/// The times and limits of a connection. One value is shared by all connections of a server.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// How packets are encoded.
    pub parser: ParserKind,
    /// Limits of the decoder.
    pub decoder: DecoderLimits,
    /// Time that a client may spend without being in a namespace. Default 45 s.
    pub connect_timeout: Duration,
    /// Time in which the attachments of a packet must come. Default 30 s.
    pub attachments_timeout: Duration,
    /// Number of namespaces that one connection may join. Default 100.
    pub max_namespaces: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            parser: ParserKind::Default,
            decoder: DecoderLimits::default(),
            connect_timeout: Duration::from_secs(45),
            attachments_timeout: Duration::from_secs(30),
            max_namespaces: 100,
        }
    }
}

/// What a received message asks for.
#[derive(Debug)]
pub enum Input {
    /// The client asks to join a namespace. Answer with [`Connection::join`], or refuse it.
    Connect {
        /// The namespace's name.
        namespace: Str,
        /// The JSON object that the client sent with it.
        auth: Option<Str>,
    },
    /// An event for a socket that is connected or still joining.
    Event {
        /// Index of the socket, see [`Connection::get_mut`].
        index: usize,
        /// The id to answer with, if the client asked for an acknowledgement.
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
        /// The client's arguments.
        args: Args,
    },
    /// The client leaves a namespace. [`Connection::leave`] takes it out.
    Disconnect {
        /// Index of the socket.
        index: usize,
    },
}

/// The client broke the protocol; the connection must be closed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProtocolError {
    /// A packet could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A packet for a namespace that the client has not joined.
    #[error("packet for a namespace that was not joined")]
    NotJoined,
    /// A second CONNECT for the same namespace.
    #[error("the namespace is joined already")]
    AlreadyJoined,
    /// Clients do not refuse connections.
    #[error("unexpected CONNECT_ERROR")]
    UnexpectedConnectError,
    /// More namespaces than one connection may join.
    #[error("more than {max} namespaces on one connection")]
    TooManyNamespaces {
        /// The limit.
        max: usize,
    },
    /// Nothing was joined in time.
    #[error("no namespace joined in time")]
    ConnectTimeout,
    /// The attachments of a packet did not come in time.
    #[error("attachments missing")]
    AttachmentsTimeout,
}

#[derive(Debug)]
struct Membership<S> {
    namespace: Str,
    connected: bool,
    socket: S,
}

/// The namespaces of one client over one session, server side.
#[derive(Debug)]
pub struct Connection<S> {
    decoder: Decoder,
    // Few, mostly one: a linear search beats a map.
    memberships: Vec<Membership<S>>,
    /// Set while the client is in no namespace.
    connect_by: Option<Instant>,
    /// Set while attachments are outstanding.
    attachments_by: Option<Instant>,
    version: ProtocolVersion,
}

impl<S> Connection<S> {
    /// Starts when the session has opened.
    pub fn new(config: &ConnectionConfig, version: ProtocolVersion, now: Instant) -> Self {
        Self {
            decoder: Decoder::new(config.parser, config.decoder.clone()),
            memberships: Vec::new(),
            connect_by: Some(now + config.connect_timeout),
            attachments_by: None,
            version,
        }
    }

    /// The protocol's revision.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The decoder, which knows the parser that the client uses.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The straight way of the most frequent message: an event without attachments, for a namespace that was joined. Returns
    /// the socket's index, the id to answer with, and the event; for all other messages, and for whatever is wrong,
    /// `text` itself, which [`handle_message`](Self::handle_message) takes.
    ///
    /// # Errors
    /// The text.
    #[inline]
    pub fn handle_event(&mut self, text: Str) -> Result<(usize, Option<AckId>, RawEvent), Str> {
        let Some(event) = self.decoder.straight_event(text.as_bytes()) else {
            return Err(text);
        };
        let index = match event.namespace {
            None => self.find("/"),
            Some((start, end)) => self.joined(text.part(start, end).unwrap_or_default()).ok(),
        };
        match index {
            Some(index) => Ok((index, event.id, event.take(text))),
            None => Err(text),
        }
    }

    /// Decodes one message and checks that it is allowed now. `None` while attachments are outstanding.
    ///
    /// # Errors
    /// [`ProtocolError`]: the connection must be closed.
    pub fn handle_message(
        &mut self,
        config: &ConnectionConfig,
        now: Instant,
        message: Message,
    ) -> Result<Option<Input>, ProtocolError> {
        let packet = self.decoder.decode(message)?;
        if self.decoder.is_waiting() {
            self.attachments_by
                .get_or_insert(now + config.attachments_timeout);
        } else {
            self.attachments_by = None;
        }
        let Some(packet) = packet else {
            return Ok(None);
        };
        let input = match packet {
            Packet::Connect { namespace, auth } => {
                let (namespace, auth) = match self.version {
                    ProtocolVersion::V5 => (namespace, auth),
                    ProtocolVersion::V4 => split_query(&namespace),
                };
                if self.find(&namespace).is_some() {
                    return Err(ProtocolError::AlreadyJoined);
                }
                if self.memberships.len() >= config.max_namespaces {
                    return Err(ProtocolError::TooManyNamespaces {
                        max: config.max_namespaces,
                    });
                }
                Input::Connect { namespace, auth }
            }
            Packet::Event {
                namespace,
                id,
                event,
            } => Input::Event {
                index: self.joined(&namespace)?,
                id,
                event,
            },
            Packet::Ack {
                namespace,
                id,
                args,
            } => Input::Ack {
                index: self.joined(&namespace)?,
                id,
                args,
            },
            Packet::Disconnect { namespace } => Input::Disconnect {
                index: self.joined(&namespace)?,
            },
            Packet::ConnectError { .. } => return Err(ProtocolError::UnexpectedConnectError),
        };
        Ok(Some(input))
    }

    /// Checks the deadlines.
    ///
    /// # Errors
    /// [`ProtocolError`] of the deadline that has passed: the connection must be closed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if self.connect_by.is_some_and(|at| at <= now) {
            return Err(ProtocolError::ConnectTimeout);
        }
        if self.attachments_by.is_some_and(|at| at <= now) {
            return Err(ProtocolError::AttachmentsTimeout);
        }
        Ok(())
    }

    /// Moves the deadlines, because the client was not read from for so long.
    pub fn postpone(&mut self, time: Duration) {
        for deadline in [&mut self.connect_by, &mut self.attachments_by] {
            *deadline = deadline.map(|at| at + time);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.connect_by, self.attachments_by) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Begins to join a namespace: from now on its events are accepted, to be kept until the socket is connected.
    pub fn join(&mut self, namespace: Str, socket: S) {
        // Grow by one: nearly every connection has a single namespace.
        self.memberships.reserve_exact(1);
        self.memberships.push(Membership {
            namespace,
            connected: false,
            socket,
        });
    }

    /// Marks a socket as connected.
    pub fn accept(&mut self, index: usize) {
        if let Some(membership) = self.memberships.get_mut(index) {
            membership.connected = true;
            self.connect_by = None;
        }
    }

    /// Takes a socket out: it was refused, or it leaves. A client in no namespace must join one in time again.
    pub fn leave(&mut self, config: &ConnectionConfig, now: Instant, index: usize) -> Option<S> {
        if index >= self.memberships.len() {
            return None;
        }
        let left = self.memberships.remove(index);
        if self.connect_by.is_none()
            && !self
                .memberships
                .iter()
                .any(|membership| membership.connected)
        {
            self.connect_by = Some(now + config.connect_timeout);
        }
        Some(left.socket)
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

    /// Number of namespaces joined or being joined.
    pub fn len(&self) -> usize {
        self.memberships.len()
    }

    /// Whether the client is in no namespace.
    pub fn is_empty(&self) -> bool {
        self.memberships.is_empty()
    }

    /// Takes all sockets out, because the session has ended.
    pub fn take_all(&mut self) -> Vec<S> {
        self.connect_by = None;
        self.attachments_by = None;
        std::mem::take(&mut self.memberships)
            .into_iter()
            .map(|membership| membership.socket)
            .collect()
    }

    #[inline]
    fn find(&self, namespace: &str) -> Option<usize> {
        // All begin with a slash.
        let is_root = namespace.len() == 1;
        self.memberships.iter().position(|membership| {
            let own = membership.namespace.as_bytes();
            own.len() == namespace.len() && (is_root || own == namespace.as_bytes())
        })
    }

    #[inline]
    fn joined(&self, namespace: &str) -> Result<usize, ProtocolError> {
        match self.version {
            ProtocolVersion::V5 => self.find(namespace),
            ProtocolVersion::V4 => self.find(
                namespace
                    .split_once('?')
                    .map_or(namespace, |(path, _)| path),
            ),
        }
        .ok_or(ProtocolError::NotJoined)
    }
}

/// Old clients send their auth as the query of the namespace: `/admin?token=1` is `/admin` with `{"token":"1"}`.
fn split_query(namespace: &Str) -> (Str, Option<Str>) {
    let Some(at) = memchr::memchr(b'?', namespace.as_bytes()) else {
        return (namespace.clone(), None);
    };
    let path = namespace.slice(0, at).unwrap_or_default();
    let query = namespace.as_bytes().get(at + 1..).unwrap_or_default();
    let pairs: serde_json::Map<String, serde_json::Value> = form_urlencoded::parse(query)
        .map(|(name, value)| {
            (
                name.into_owned(),
                serde_json::Value::String(value.into_owned()),
            )
        })
        .collect();
    (
        path,
        Some(Str::from(serde_json::Value::Object(pairs).to_string())),
    )
}
