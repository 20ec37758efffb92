//! Decoded packets with raw arguments.
//!
//! Binary is a property of the encoding: `BINARY_EVENT` and `BINARY_ACK` become [`Packet::Event`] and [`Packet::Ack`]
//! once their attachments have arrived.

use std::fmt;

use kokanee_engineio::Str;

use crate::args::Args;

/// Identifies an acknowledgement within one namespace of one connection. At most 2^63 − 1 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AckId(pub u64);

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One received packet.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// The client asks to join a namespace, or the server confirms it.
    Connect {
        /// The namespace, with its `?query` where an old client sent one.
        namespace: Str,
        /// The payload, a JSON object as text.
        auth: Option<Str>,
    },
    /// The peer leaves a namespace.
    Disconnect {
        /// The namespace.
        namespace: Str,
    },
    /// An event.
    Event {
        /// The namespace.
        namespace: Str,
        /// Set if the peer asks for an acknowledgement.
        id: Option<AckId>,
        /// Name and arguments.
        event: RawEvent,
    },
    /// The acknowledgement of an event that was sent with this id.
    Ack {
        /// The namespace.
        namespace: Str,
        /// The id of the event.
        id: AckId,
        /// The arguments of the acknowledgement.
        args: Args,
    },
    /// A server's refusal of a namespace.
    ConnectError {
        /// The namespace.
        namespace: Str,
        /// The payload, a JSON object or (revisions 3 and 4) string as text.
        data: Option<Str>,
    },
}

/// Name and arguments of an event. The name shares the memory of the arguments' text.
#[derive(Clone, PartialEq)]
pub struct RawEvent {
    name: Name,
    args: Args,
}

/// Where the name is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Name {
    /// A part of the arguments' text without escapes.
    InText { start: usize, end: usize },
    /// Any other name.
    Own(Box<str>),
}

impl RawEvent {
    /// An event from its parts.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_socketio::{Args, RawEvent};
    ///
    /// # fn main() -> Result<(), kokanee_socketio::EncodeError> {
    /// let event = RawEvent::new("move", Args::from_serialize(&(3, 4))?);
    /// assert_eq!((event.name(), event.args().json()), ("move", "3,4"));
    /// # Ok(()) }
    /// ```
    pub fn new(name: &str, args: Args) -> Self {
        Self {
            name: Name::Own(name.into()),
            args,
        }
    }

    #[inline]
    pub(crate) fn received(name: Name, args: Args) -> Self {
        Self { name, args }
    }

    /// Returns the name. A number is delivered as its text.
    #[inline]
    pub fn name(&self) -> &str {
        match &self.name {
            Name::InText { start, end } => self.args.text_part(*start, *end),
            Name::Own(name) => name,
        }
    }

    /// Returns the arguments.
    #[inline]
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// Returns the name and the arguments, for the step that adds attachments.
    pub(crate) fn into_parts(self) -> (Name, Args) {
        (self.name, self.args)
    }

    pub(crate) fn map_args(self, change: impl FnOnce(Args) -> Args) -> Self {
        Self {
            name: self.name,
            args: change(self.args),
        }
    }

    /// Drops the event, and keeps its memory for the thread's next event if there is no other reference to it.
    #[inline]
    #[doc(hidden)]
    pub fn reuse(self) {
        self.args.reuse();
    }

    /// Returns the arguments, without a copy.
    pub fn into_args(self) -> Args {
        self.args
    }
}

impl fmt::Debug for RawEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEvent")
            .field("name", &self.name())
            .field("args", &self.args)
            .finish()
    }
}

/// Returns whether an event cannot have this name because the peers' libraries use it themselves.
pub fn is_reserved_event_name(name: impl AsRef<[u8]>) -> bool {
    matches!(
        name.as_ref(),
        b"connect"
            | b"connect_error"
            | b"disconnect"
            | b"disconnecting"
            | b"newListener"
            | b"removeListener"
    )
}
