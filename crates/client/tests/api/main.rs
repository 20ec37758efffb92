//! The client's API against servers in this process, and against scripted ones.

mod attach;
mod blocking;
mod connect;
mod early;
mod events;
mod misbehaving;
mod raw;
mod reconnect;
mod simple;
mod support;
mod transports;
