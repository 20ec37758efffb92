//! Shared by the fuzz targets: how an input is split into messages, and when values are equal.
//!
//! The first bytes of an input choose the settings, the rest is the data of a peer. A message begins with a head of two
//! bytes, little-endian: its lowest bit says whether it is binary, the others are its length. The last one may be
//! shorter.

use bytes::Bytes;
use kokanee_engineio::{Message, Str};
use kokanee_socketio::Value;

/// Splits `input` into messages. Bytes that are not UTF-8 are always binary.
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

/// Whether JavaScript considers these values equal: there `1.0` is `1`, and msgpack writes it so.
pub fn are_same(one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| is_same(one, other))
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => are_same(one, other),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|((key, one), (other_key, other))| key == other_key && is_same(one, other))
        }
        _ => one == other,
    }
}
