//! The client's API against servers in this process.

mod connect;
mod events;
mod reconnect;
mod support;
