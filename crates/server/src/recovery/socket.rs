//! What recovery needs of one socket.

use std::{
    any::{Any, TypeId},
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use kokanee_cluster::{History, Position};
use kokanee_engineio::{SendOptions, Sid};
use kokanee_socketio::EncodedPacket;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::socket_id::SocketId;

/// What the application stores in a socket, by type.
pub(crate) type SocketData = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// What a socket was when it left its namespace.
#[derive(Clone)]
pub(crate) struct Left {
    /// It was not left before.
    pub(crate) is_first: bool,
    /// It was connected, not only about to be.
    pub(crate) was_connected: bool,
    pub(crate) rooms: Vec<String>,
}

/// A socket, as far as recovery is concerned.
pub(crate) trait Recoverable: Clone {
    fn socket_id(&self) -> SocketId;
    /// Whether both are the same, not only of one id.
    fn is(&self, other: &Self) -> bool;
    /// Returns what recovery needs of it, if its client may come back.
    fn recovering(&self) -> Option<&Recovering>;
    fn joined_rooms(&self) -> Vec<String>;
    fn data(&self) -> SocketData;
    /// Sends a packet that was meant for the socket that it was before, if it is connected. If not, it gets that with all that
    /// it has missed.
    fn send_again(&self, packet: EncodedPacket, options: SendOptions, position: Position);
    /// Makes it a recipient. Returns `false` if it has left.
    fn set_connected(&self) -> bool;
    /// Leaves the namespace and all rooms.
    fn leave_namespace(&self) -> Left;
    /// Leaves the namespace because another connection takes the place of this one, whose session has not ended.
    fn replace(&self) -> Left;
    /// Ends the session after that.
    fn end_replaced(&self);
    /// Returns what closes when the end of the socket was handled. `None` if it was.
    fn end_signal(&self) -> Option<oneshot::Receiver<()>>;
}

/// What a client asks for in its `auth`.
pub(super) struct Asked {
    /// The secret under which the state of its socket is kept, an id like that of a session.
    pub(super) pid: Sid,
    /// `None` if the client has not received any.
    pub(super) offset: Option<Result<Position, kokanee_cluster::InvalidPosition>>,
}

impl Asked {
    /// Reads the `auth` of a client. `None` if it does not ask for recovery: the names are the application's as well.
    pub(super) fn read(auth: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            pid: Cow<'a, str>,
            #[serde(borrow, default)]
            offset: Option<Cow<'a, str>>,
        }
        if !auth.contains("\"pid\"") {
            return None;
        }
        let fields: Fields<'_> = serde_json::from_str(auth).ok()?;
        Some(Self {
            pid: Sid::parse(&fields.pid)?,
            offset: fields.offset.map(|offset| offset.parse()),
        })
    }
}

/// From where on a socket receives events, and how its rooms have changed since.
#[derive(Debug, Clone)]
pub(super) struct Past {
    pub(super) start: Position,
    pub(super) history: History,
}

impl Past {
    pub(super) fn new(start: Position) -> Self {
        Self {
            start,
            history: History::new(start),
        }
    }
}

/// What is known of a socket that can be recovered.
pub(crate) struct Recovering {
    pub(super) pid: Sid,
    /// Changed under the lock of the namespace's log.
    pub(super) past: Mutex<Past>,
    /// The last event that was sent to it.
    sent: AtomicU64,
    /// After which event it has missed what it will be sent, if it was recovered.
    pub(super) recovered_from: Option<Position>,
}

impl Recovering {
    pub(super) fn new(pid: Sid, past: Past, sent: Position, from: Option<Position>) -> Self {
        Self {
            pid,
            past: Mutex::new(past),
            sent: AtomicU64::new(sent.number()),
            recovered_from: from,
        }
    }

    pub(crate) fn pid(&self) -> &Sid {
        &self.pid
    }

    pub(crate) fn is_recovered(&self) -> bool {
        self.recovered_from.is_some()
    }

    /// Changed under the lock of the namespace's log.
    #[inline]
    pub(crate) fn set_sent(&self, position: Position) {
        self.sent.store(position.number(), Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> Position {
        Position::from_number(self.sent.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_asks_for_recovery_is_understood_to() {
        let pid = "AAAAAAAAAAAAAAAAAAAA";
        let asked = |auth: String| Asked::read(&auth).map(|asked| asked.offset);
        assert_eq!(
            asked(format!(r#"{{"pid":"{pid}","offset":"1f","a":[1]}}"#)),
            Some(Some(Ok(Position::from_number(31))))
        );
        assert_eq!(asked(format!(r#"{{"a":null,"pid":"{pid}"}}"#)), Some(None));
        assert_eq!(
            asked(format!(r#"{{"pid":"{pid}","offset":"Q84fmOU"}}"#)),
            Some(Some(Err(kokanee_cluster::InvalidPosition)))
        );
        for auth in [
            "{}".to_owned(),
            r#"{"pid":7}"#.to_owned(),
            r#"{"pid":"own"}"#.to_owned(),
            format!(r#"{{"pid":"{pid}","offset":7}}"#),
            format!(r#"{{"login":{{"pid":"{pid}"}}}}"#),
            format!(r#""pid" {pid}"#),
        ] {
            assert!(asked(auth.clone()).is_none(), "{auth}");
        }
    }
}
