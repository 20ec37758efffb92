//! Random runs of sessions. The first byte chooses the settings, the others the actions: see `machine.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/engineio/tests/session/machine.rs"]
mod machine;
#[path = "../../crates/engineio/tests/session/pair.rs"]
#[allow(dead_code, reason = "other tests use all of it")]
mod pair;

fuzz_target!(|script: &[u8]| machine::live(script));
