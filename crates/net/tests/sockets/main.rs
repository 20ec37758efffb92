//! TCP, UDP and Unix sockets through the public API, over loopback.

mod datagrams;
mod deadlines;
mod errors;
mod frames;
mod queue;
mod servers;
mod support;
mod tls;
#[cfg(unix)]
mod unix;
