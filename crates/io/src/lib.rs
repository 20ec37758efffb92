//! What server and client share of their I/O: a WebSocket over a tokio stream, the queue through which handles reach a
//! task, and a map of what waits for an answer.
//!
//! The protocol crates make all decisions; this crate reads and writes. Used by `kokanee-server` and `kokanee-client`.

mod command_queue;
mod pending;
mod stream;
mod websocket;

pub use self::{
    command_queue::{CommandQueue, Commands, Gone, LockedQueue},
    pending::PendingMap,
    stream::{Duplex, Stream, tune},
    websocket::{
        ControlFrames, Frames, PING_PAYLOAD, PeerState, READ_BYTES, ReadEnd, Rest, WebSocketIo,
    },
};
