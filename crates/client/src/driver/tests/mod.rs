//! The rules of a connection, as transcripts on a virtual clock.

mod joining;
mod pair;
mod reconnecting;
mod sending;
