//! The decoder seen from outside: conformance, limits, compression, and agreement with other implementations.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod bounds;
mod conformance;
mod deflate;
mod deflate_properties;
mod differential;
mod frames;
mod lifecycle;
mod properties;
