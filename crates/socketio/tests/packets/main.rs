//! The text encoding of every packet, in both directions: what valid peers send, and invalid packets.

mod arguments;
mod json;
mod placeholders;
mod specification;
mod support;
mod validity;
