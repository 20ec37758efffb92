//! The I/O that server and client share: a WebSocket over a tokio stream.
//!
//! The protocol crates make all decisions; this crate reads and writes. Used by `kokanee-server` and `kokanee-client`.

mod stream;
mod websocket;

pub use self::{
    stream::{Duplex, Stream, tune},
    websocket::{
        ControlFrames, Frames, PING_PAYLOAD, PeerState, READ_BYTES, ReadEnd, Rest, WebSocketIo,
    },
};
