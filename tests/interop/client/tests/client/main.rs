//! The Rust client against published servers, and against networks that fail. `servers/events.mjs` lists what the servers
//! do.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod cases;
mod last_words;
mod load;
mod network;
mod servers;
mod support;
mod upgrades;
mod wrong_servers;
