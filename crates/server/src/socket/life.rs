//! The life of a socket, as its session leads it: entering the namespace, connecting, leaving; and what of it is kept for a
//! client whose connection is lost.

use std::sync::atomic::Ordering;

use kokanee_cluster::{Key, Position, Rooms};
use kokanee_engineio::{CloseReason, RunText, SendOptions};
use kokanee_handler::EmitError;
use kokanee_socketio::EncodedPacket;
use tokio::sync::oneshot;

use super::{CONNECTED, DISCONNECTED, JOINING, OVER, REPLACED, Socket};
use crate::{
    mailbox::Command,
    namespace::SocketKey,
    recovery::{Gone, Left, Recoverable, Recoveries, Recovering, SocketData},
    socket_id::SocketId,
};

impl Socket {
    /// Returns the recoverable state of the namespace, and that of this socket, if its client may come back.
    #[inline]
    fn recovery(&self) -> Option<(&Recoveries<Self>, &Recovering)> {
        self.0.namespace.recoveries().zip(self.recovering())
    }

    /// Enters the namespace. The socket is not connected yet, so broadcasts skip it.
    pub(crate) fn enter(&self) {
        self.0.key.get_or_init(|| self.0.namespace.insert(self));
        if let Some((recoveries, recovering)) = self.recovery() {
            recoveries.admit(self, recovering);
            self.0.server.sweep_recoveries();
        }
    }

    /// Enters the rooms, and gets the data, of the socket that it was before.
    pub(crate) fn restore(&self, rooms: &[String], data: SocketData) {
        if let Some(&socket) = self.0.key.get() {
            self.0.namespace.with_rooms_mut(socket, |all, key| {
                for room in rooms {
                    all.join(key, room);
                }
            });
        }
        if !data.is_empty() {
            self.with_extra(|extra| extra.extensions = data);
        }
    }

    /// Connects the socket: from now on, it is a recipient. Returns what it has missed, if it was recovered. `None` if another
    /// connection has taken its place, or if too much has happened since it was found.
    pub(crate) fn connect(&self) -> Option<Vec<EncodedPacket>> {
        let missed = match self.recovery() {
            None => self.set_connected().then(Vec::new),
            Some((recoveries, recovering)) => recoveries.connect(self, recovering).ok(),
        };
        if missed.is_some() {
            let metrics = &self.0.mailbox.metrics;
            metrics.socket_connected(self.counted_as());
            if self.recovering().is_some_and(Recovering::is_recovered) {
                metrics.recovered();
            }
        }
        missed
    }

    /// The namespace, in metrics: not one whose name a client has chosen.
    fn counted_as(&self) -> Option<&str> {
        let namespace = &self.0.namespace;
        (!namespace.is_on_demand()).then(|| namespace.name())
    }

    /// Leaves the namespace and all rooms, and fails the pending acknowledgements. Does nothing the second time. `keep` says
    /// that the client may come back. Returns whether the socket was connected.
    pub(crate) fn exit(&self, keep: bool) -> bool {
        let left = match self.recovery() {
            None => self.leave_namespace(),
            Some((recoveries, recovering)) => recoveries.leave(self, recovering, keep),
        };
        if !left.is_first {
            return false;
        }
        if !left.rooms.is_empty() {
            self.with_extra(|extra| extra.last_rooms = left.rooms);
        }
        self.0.server.forget_if_empty(&self.0.namespace);
        self.0.acks.fail_all();
        if left.was_connected {
            let metrics = &self.0.mailbox.metrics;
            metrics.socket_disconnected(self.counted_as());
        } else {
            self.drop_listeners();
        }
        left.was_connected
    }

    fn leave_as(&self, state: u8) -> Left {
        let before = self.0.state.swap(state, Ordering::AcqRel);
        let key = self.0.key.get().filter(|_| before < DISCONNECTED);
        Left {
            is_first: before != DISCONNECTED,
            was_connected: matches!(before, CONNECTED | REPLACED),
            rooms: key.map_or_else(Vec::new, |key| self.0.namespace.remove(*key)),
        }
    }

    /// Sends an event to this client by `emit`, which returns the packet if there is no room. If the client may come back, it
    /// is stored as well.
    #[inline]
    pub(super) fn send_recoverably(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
        emit: impl FnOnce(EncodedPacket) -> Result<Option<EncodedPacket>, EmitError>,
    ) -> Result<Option<EncodedPacket>, EmitError> {
        let Some((recoveries, recovering)) = self.recovery() else {
            return emit(packet);
        };
        packet.check_attachments(self.0.max_attachments)?;
        let emit = |packet| emit(packet).map_err(|_disconnected| Gone);
        recoveries
            .send(self, recovering, packet, options, emit)
            .map_err(|Gone| EmitError::Disconnected)
    }

    /// Appends the offset to an event that is about to be staged, and stores it, if the client may come back. Returns `false` if
    /// the event cannot be staged after all.
    #[inline]
    pub(super) fn seal(&self, text: &mut RunText<'_>) -> bool {
        match self.recovery() {
            None => true,
            Some((recoveries, recovering)) => {
                // Asked under the lock: what another thread has sent meanwhile must come first.
                recoveries.seal(self, recovering, text, || !self.0.mailbox.has_commands())
            }
        }
    }

    /// Changes the rooms of this socket. `change` calls the function that it gets with each room that was joined (true) or left.
    pub(super) fn change_rooms<R>(
        &self,
        key: SocketKey,
        change: impl FnOnce(&mut Rooms<Self>, Key, &mut dyn FnMut(&str, bool)) -> R,
    ) -> Option<R> {
        let namespace = &self.0.namespace;
        match self.recovery() {
            None => namespace.with_rooms_mut(key, |rooms, key| change(rooms, key, &mut |_, _| {})),
            Some((recoveries, recovering)) => recoveries.change_rooms(recovering, |note| {
                namespace.with_rooms_mut(key, |rooms, key| change(rooms, key, note))
            }),
        }
    }
}

impl Recoverable for Socket {
    fn socket_id(&self) -> SocketId {
        self.0.id
    }

    fn is(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }

    #[inline]
    fn recovering(&self) -> Option<&Recovering> {
        self.0.recovering.as_deref()
    }

    fn joined_rooms(&self) -> Vec<String> {
        self.rooms()
    }

    fn data(&self) -> SocketData {
        let extra = self.lock_extra();
        extra
            .as_ref()
            .map_or_else(SocketData::default, |extra| extra.extensions.clone())
    }

    fn send_again(&self, packet: EncodedPacket, options: SendOptions, position: Position) {
        if let Some(recovering) = self.recovering()
            && self.is_connected()
        {
            recovering.set_sent(position);
            // It is stored: if the socket has gone in this moment, it gets it when it comes back.
            let _ = self.0.mailbox.emit(packet, options);
        }
    }

    fn set_connected(&self) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.0
            .state
            .compare_exchange(JOINING, CONNECTED, success, failure)
            .is_ok()
    }

    fn leave_namespace(&self) -> Left {
        self.leave_as(DISCONNECTED)
    }

    fn replace(&self) -> Left {
        let is_connected = self.is_connected();
        // The session handles the end of one that was connected.
        let left = self.leave_as(if is_connected { REPLACED } else { DISCONNECTED });
        if !left.rooms.is_empty() {
            self.with_extra(|extra| extra.last_rooms.clone_from(&left.rooms));
        }
        left
    }

    fn end_replaced(&self) {
        if self.0.state.load(Ordering::Acquire) == DISCONNECTED {
            self.0.acks.fail_all();
            self.drop_listeners();
        }
        let reason = CloseReason::TransportClose;
        // If the session has ended, there is nothing to do.
        let _ = self.0.mailbox.send(Command::Fail { reason });
    }

    fn end_signal(&self) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        self.with_extra(|extra| {
            // Asked under the lock: `drop_listeners` sets it there.
            (!self.is_listening(OVER)).then(|| {
                extra.ending.push(sender);
                receiver
            })
        })
    }
}
