//! The server's public API and what it promises, seen from both sides: handlers in this process, clients on the wire.

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod broadcast;
mod disconnect;
mod errors;
mod extractors;
mod fallback;
mod handlers;
mod hosting;
mod journal;
mod middleware;
mod open;
mod order;
mod paused;
mod payloads;
mod read_pauses;
mod recovery;
mod rooms;
mod send_room;
mod shutdown;
mod slow_consumer;
mod tls;
mod turns;
