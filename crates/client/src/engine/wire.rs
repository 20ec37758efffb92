//! [`Wire`]: what the rules of a connection need of its engine, so that they can be tested without one.

use std::time::Instant;

use kokanee_engineio::{CloseReason, Outgoing, Revision, SendOptions, Transport};

use crate::reason::CloseDetails;

/// What carries the messages of an open connection: the [`Engine`](super::Engine), and in tests a script.
pub(crate) trait Wire {
    /// Sends a message and its attachments, after everything before them. Returns whether they were taken: not if the session
    /// has ended, or if a volatile message would have to wait.
    fn send(
        &mut self,
        now: Instant,
        message: &Outgoing,
        attachments: &[Outgoing],
        options: SendOptions,
    ) -> bool;
    /// Sends the packet with which a socket joins its namespace, some time after one has left.
    fn send_connect(&mut self, now: Instant, message: &Outgoing);
    /// Sends the packet with which a socket leaves its namespace, some time after everything before it.
    fn send_disconnect(&mut self, now: Instant, message: &Outgoing);
    /// Ends the session in order: what waits is sent first.
    fn close(&mut self, now: Instant);
    /// Ends the session if its time is over. Returns why, if it has ended.
    fn expire(&mut self, now: Instant) -> Option<CloseReason>;
    /// Returns the session's id.
    fn sid(&self) -> Option<&str>;
    /// Returns the protocol's revision.
    fn revision(&self) -> Revision;
    /// Returns the transport that carries the session now.
    fn transport(&self) -> Transport;
    /// Whether everything that was sent has left.
    fn is_flushed(&self) -> bool;
    /// Whether everything that was sent has left, now that the session has ended.
    fn is_complete(&self) -> bool;
    /// Returns what the server has said as it closed the WebSocket.
    fn close_details(&self) -> Option<CloseDetails>;
}
