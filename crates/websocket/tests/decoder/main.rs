//! The decoder seen from outside: conformance, limits, and agreement with another implementation.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod bounds;
mod conformance;
mod differential;
mod frames;
mod lifecycle;
mod properties;
