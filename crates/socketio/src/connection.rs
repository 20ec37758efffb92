//! All namespaces of one session, server side: which the client has joined, which it is joining, and which packets are
//! allowed in each state.
//!
//! The driver passes it messages and handles the [`Input`] that it returns. The driver's own state of each socket (`S`)
//! is stored here, so that one look-up finds both. Spec: Socket.IO protocol v5, "Exchange protocol".
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

/// What the driver must do for a received message.
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
    /// The acknowledgement of an event that the server sent.
    Ack {
        /// Index of the socket.
        index: usize,
        /// The id of the event.
        id: AckId,
        /// The client's arguments.
        args: Args,
    },
    /// The client leaves a namespace. Remove the socket with [`Connection::leave`].
    Disconnect {
        /// Index of the socket.
        index: usize,
    },
}

/// The client violated the protocol; the connection must be closed.
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
    // Few, usually one: a linear search is faster than a map.
    memberships: Vec<Membership<S>>,
    /// Set while the client is not in any namespace.
    connect_by: Option<Instant>,
    /// Set while attachments are outstanding.
    attachments_by: Option<Instant>,
    version: ProtocolVersion,
}

impl<S> Connection<S> {
    /// Creates the connection of a session that has just opened.
    pub fn new(config: &ConnectionConfig, version: ProtocolVersion, now: Instant) -> Self {
        Self {
            decoder: Decoder::new(config.parser, config.decoder.clone()),
            memberships: Vec::new(),
            connect_by: Some(now + config.connect_timeout),
            attachments_by: None,
            version,
        }
    }

    /// Returns the protocol's revision.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Returns the decoder, which knows the parser that the client uses.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Handles the most frequent message on a fast path: an event without attachments, for a joined namespace. Returns
    /// the socket's index, the id to answer with, and the event.
    ///
    /// # Errors
    /// Returns `text` for all other messages, valid or not: pass it to [`handle_message`](Self::handle_message).
    #[inline]
    pub fn handle_event(&mut self, text: Str) -> Result<(usize, Option<AckId>, RawEvent), Str> {
        let Some(event) = self.decoder.plain_event(text.as_bytes()) else {
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

    /// Decodes one message and checks that it is allowed now. Returns `None` while attachments are outstanding.
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

    /// Extends the deadlines by `time`, during which the client was not read from.
    pub fn postpone(&mut self, time: Duration) {
        for deadline in [&mut self.connect_by, &mut self.attachments_by] {
            *deadline = deadline.map(|at| at + time);
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.connect_by, self.attachments_by) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Begins to join a namespace: from now on its events are accepted, and the driver keeps them until the socket is
    /// connected.
    pub fn join(&mut self, namespace: Str, socket: S) {
        // Grows by one: nearly every connection has a single namespace.
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

    /// Removes a socket that was refused or leaves. A client without a namespace must join one in time again.
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

    /// Returns the number of namespaces joined or being joined.
    pub fn len(&self) -> usize {
        self.memberships.len()
    }

    /// Returns whether the client is not in any namespace.
    pub fn is_empty(&self) -> bool {
        self.memberships.is_empty()
    }

    /// Removes and returns all sockets, because the session has ended.
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

/// Splits the query off a namespace, in which old clients send their auth: `/admin?token=1` is `/admin` with
/// `{"token":"1"}`.
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
