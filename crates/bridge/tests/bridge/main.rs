//! The bridge between plain sockets and Socket.IO clients, over loopback.

mod access;
mod peers;
mod pressure;
mod support;
mod watchers;
