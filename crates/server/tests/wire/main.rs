//! Raw bytes against the running server: what a client, a proxy or an attacker may send, and exactly what must come back.
//!
//! Every test is a rule or a table of them; a table names the rows that fail. Each test has servers of its own
//! ([`Bed`](bed::Bed)), so that any of them can run alone.

#[path = "../support/mod.rs"]
mod support;

mod bed;

mod admission;
mod bad_packets;
mod bad_posts;
mod browser;
mod frames;
mod handshake;
mod heartbeat;
mod legacy;
mod logs;
mod lost_answers;
mod msgpack;
mod namespaces;
mod new_sessions;
mod packets;
mod polling;
mod proxies;
mod secrets;
mod slow;
mod upgrade;
mod volume;
