//! What the fuzz targets share: how an input is cut into messages.
//!
//! The first bytes of an input choose the settings, the rest is what a peer sends. A message begins with a head of two
//! bytes, little-endian: its lowest bit says whether it is binary, the others are its length. The last one may be shorter.

use bytes::Bytes;
use kokanee_engineio::{Message, Str};

/// Cuts `input` into messages. Bytes that are no text are sent as binary whatever their head says.
pub fn messages(mut input: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = input.split_first_chunk::<2>() {
        let head = u16::from_le_bytes(*head);
        let (content, rest) = rest.split_at(usize::from(head >> 1).min(rest.len()));
        input = rest;
        messages.push(match std::str::from_utf8(content) {
            Ok(text) if head & 1 == 0 => Message::Text(Str::from(text)),
            _ => Message::Binary(Bytes::copy_from_slice(content)),
        });
    }
    messages
}
