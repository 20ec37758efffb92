//! What server and client share of their I/O: a WebSocket over a tokio stream.
//!
//! The sans-I/O crates decide; this one reads and writes. Used by `kokanee-server` and `kokanee-client`.

mod stream;
mod websocket;

pub use self::{
    stream::{Duplex, Stream, tune},
    websocket::{
        ControlFrames, Frames, PING_PAYLOAD, PeerState, READ_BYTES, ReadEnd, Rest, WebSocketIo,
    },
};
