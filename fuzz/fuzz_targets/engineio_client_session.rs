//! Random runs of a client's sessions. The first byte chooses revision and transport, the others the actions: see
//! `machine.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/engineio/tests/client_session/client.rs"]
#[allow(dead_code, reason = "other tests use all of it")]
mod client;
#[path = "../../crates/engineio/tests/client_session/machine.rs"]
mod machine;

fuzz_target!(|script: &[u8]| machine::live(script));
