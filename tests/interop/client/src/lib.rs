//! What the tests of the Rust client share: servers of all kinds on free ports of the loopback interface, and a relay
//! whose connections can be cut.
//!
//! The tests start programs of other languages, so they are ignored unless asked for: `cargo xtask interop` installs
//! what they need and runs them.

mod kokanee_server;
mod program;
mod relay;
mod wait;

pub use self::{
    kokanee_server::KokaneeServer,
    program::{Kind, Program, free_port},
    relay::Relay,
    wait::{LIMIT, until, within},
};
