//! What server and client share of their I/O: a WebSocket over a tokio stream, and the queue through which handles reach a
//! task.
//!
//! The protocol crates make all decisions; this crate reads and writes. Used by `kokanee-server` and `kokanee-client`.

mod command_queue;
mod stream;
mod websocket;

pub use self::{
    command_queue::{CommandQueue, Commands, Gone, LockedQueue},
    stream::{Duplex, Stream, tune},
    websocket::{
        ControlFrames, Frames, PING_PAYLOAD, PeerState, READ_BYTES, ReadEnd, Rest, WebSocketIo,
    },
};
