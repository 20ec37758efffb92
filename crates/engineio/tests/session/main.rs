//! The session seen from both ends: wire text in the tests, and a clock that only the tests advance.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod closing;
mod heartbeat;
mod machine;
mod pair;
mod polling;
mod properties;
mod slow_consumer;
mod upgrade;
mod websocket;
