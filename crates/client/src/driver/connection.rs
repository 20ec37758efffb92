//! [`Connection`]: the connection to the server and the namespaces on it. It decides nothing by itself: the
//! [`Manager`](super::manager::Manager) opens, closes and replaces it.
//!
//! ```text
//!            connect()                opened                     lost
//!   Closed ─────────────► Opening ───────────► Open ────────────────────┐
//!    ▲                      ▲  │ failed                                 ▼
//!    │ disconnect(), gave up│  └──────────────────────────────────► Waiting
//!    └──────────────────────┴───────────── back-off is over ───────────┘
//! ```

use std::time::{Duration, Instant};

use kokanee_engineio::{Outgoing, SendOptions, Str};
use kokanee_socketio::{ClientConnection, EncodedPacket, ParserKind, encode_disconnect};

use crate::{engine::wire::Wire, options::Options};

/// Time for the server to end a connection that the client has closed, before
/// [`disconnect`](crate::Socket::disconnect) returns.
const END_GRACE: Duration = Duration::from_secs(1);

/// How far the connection is.
pub(super) enum State<W> {
    Closed,
    /// The driver is to open a wire.
    Opening,
    Open(Box<Open<W>>),
    /// The next attempt begins at this time.
    Waiting {
        until: Instant,
    },
}

/// A connection that is open.
pub(super) struct Open<W> {
    pub(super) wire: W,
    /// Each namespace and the key of its socket.
    pub(super) namespaces: ClientConnection<u64>,
    /// The client has ended it.
    pub(super) closing: bool,
    /// When a disconnection counts as done, even if the server has not ended the connection by then. Set when the end of the
    /// session is on the wire.
    end_deadline: Option<Instant>,
}

/// The connection to the server.
pub(super) struct Connection<W> {
    pub(super) state: State<W>,
    parser: ParserKind,
}

impl<W: Wire> Connection<W> {
    pub(super) fn new(parser: ParserKind) -> Self {
        Self {
            state: State::Closed,
            parser,
        }
    }

    pub(super) fn opened(&mut self, options: &Options, wire: W) {
        let version = wire.revision().into();
        self.state = State::Open(Box::new(Open {
            wire,
            namespaces: ClientConnection::new(self.parser, options.decoder.clone(), version),
            closing: false,
            end_deadline: None,
        }));
    }

    pub(super) fn open(&self) -> Option<&Open<W>> {
        match &self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Open<W>> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Takes what is open, and leaves the connection closed.
    pub(super) fn take_open(&mut self) -> Option<Box<Open<W>>> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(open) => Some(open),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Whether the client has ended the connection, and the server has not yet.
    pub(super) fn is_closing(&self) -> bool {
        self.open().is_some_and(|open| open.closing)
    }

    /// Whether something that was sent has not left.
    pub(super) fn has_unsent(&self) -> bool {
        self.open().is_some_and(|open| !open.wire.is_flushed())
    }

    /// Sends a packet in the encoding of this client. Without a connection it is dropped.
    pub(super) fn send(&mut self, now: Instant, packet: &EncodedPacket, options: SendOptions) {
        let is_msgpack = self.parser == ParserKind::Msgpack;
        let Some(open) = self.open_mut() else {
            return;
        };
        if is_msgpack {
            open.wire.send(now, &packet.msgpack(), &[], options);
        } else {
            open.wire
                .send(now, packet.first(), packet.attachments(), options);
        }
    }

    /// Sends the packet with which a socket joins its namespace, some time after one has left.
    pub(super) fn send_connect(&mut self, now: Instant, packet: &EncodedPacket) {
        self.send_apart(now, packet, W::send_connect);
    }

    /// Takes a socket out of its namespace, and says so to the server some time after everything before it.
    pub(super) fn send_disconnect(&mut self, now: Instant, namespace: &str, key: u64) {
        self.send_apart(now, &encode_disconnect(namespace), W::send_disconnect);
        self.leave(key);
    }

    fn send_apart(
        &mut self,
        now: Instant,
        packet: &EncodedPacket,
        send: fn(&mut W, Instant, &Outgoing),
    ) {
        let is_msgpack = self.parser == ParserKind::Msgpack;
        let Some(open) = self.open_mut() else {
            return;
        };
        if is_msgpack {
            send(&mut open.wire, now, &packet.msgpack());
        } else {
            send(&mut open.wire, now, packet.first());
        }
    }

    /// Takes a socket out of its namespace, of which the server knows.
    pub(super) fn leave(&mut self, key: u64) {
        if let Some(open) = self.open_mut() {
            let index = open.namespaces.sockets().position(|&other| other == key);
            index.and_then(|index| open.namespaces.leave(index));
        }
    }

    /// Returns the id of a socket whose server does not name it: revision 4 and older derive it from the session's.
    pub(super) fn legacy_id(&self, namespace: &str) -> Option<Str> {
        let sid = self.open()?.wire.sid()?;
        Some(Str::from(if namespace == "/" {
            sid.to_owned()
        } else {
            format!("{namespace}#{sid}")
        }))
    }

    /// Begins to close what is open.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(open) = self.open_mut()
            && !std::mem::replace(&mut open.closing, true)
        {
            open.wire.close(now);
        }
    }
}

impl<W> Open<W> {
    /// Notes that the end of the session is on the wire: the time for the server to end it, too, begins.
    pub(super) fn on_end_written(&mut self, now: Instant) {
        self.end_deadline.get_or_insert(now + END_GRACE);
    }

    pub(super) fn end_deadline(&self) -> Option<Instant> {
        self.end_deadline
    }
}
