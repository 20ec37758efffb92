//! Frames of any kind, split into chunks anywhere: the result does not depend on the chunks, no more memory is used
//! than bytes were received, and every decoded message can be encoded and is then decoded to the same message.

#![no_main]

use kokanee_websocket::{
    CloseCode, CloseFrame, DecodeError, Decoder, Limits, Message, OpCode, Role, apply_mask,
    encode_header,
};
use libfuzzer_sys::fuzz_target;

/// A message that outlives its decoder.
#[derive(Debug, PartialEq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(payload) => Self::Ping(payload.to_vec()),
            Message::Pong(payload) => Self::Pong(payload.to_vec()),
            Message::Close(frame) => {
                Self::Close(frame.map(|frame| (frame.code.as_u16(), frame.reason.to_owned())))
            }
        }
    }
}

fn decode(
    bytes: &[u8],
    size: usize,
    role: Role,
    limits: Limits,
) -> (Vec<Owned>, Option<DecodeError>) {
    let mut decoder = Decoder::new(role, limits);
    let mut messages = Vec::new();
    let mut received = 0;
    for chunk in bytes.chunks(size) {
        received += chunk.len();
        let mut chunk = chunk.to_vec();
        let mut input = chunk.as_mut_slice();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut [7; 3].as_mut_slice()), Err(error));
                    return (messages, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "all input is consumed");
        // Buffers grow by doubling.
        assert!(decoder.buffered_bytes() <= 2 * received + 512);
        if !decoder.is_mid_message() {
            assert_eq!(decoder.buffered_bytes(), 0);
        }
    }
    (messages, None)
}

/// Encodes a message as the peer of a decoder with this role does.
fn encode(message: &Owned, role: Role, bytes: &mut Vec<u8>) {
    let close;
    let (opcode, payload) = match message {
        Owned::Text(text) => (OpCode::Text, text.as_bytes()),
        Owned::Binary(bytes) => (OpCode::Binary, bytes.as_slice()),
        Owned::Ping(payload) => (OpCode::Ping, payload.as_slice()),
        Owned::Pong(payload) => (OpCode::Pong, payload.as_slice()),
        Owned::Close(None) => (OpCode::Close, [].as_slice()),
        Owned::Close(Some((code, reason))) => {
            let code = CloseCode::new(*code).expect("it was received");
            close = CloseFrame { code, reason }.encode();
            (OpCode::Close, close.as_slice())
        }
    };
    let mask = (role == Role::Server).then_some([1, 2, 3, 4]);
    bytes.extend_from_slice(encode_header(opcode, payload.len(), mask).as_slice());
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = mask {
        apply_mask(&mut bytes[start..], key, 0);
    }
}

fuzz_target!(|input: &[u8]| {
    let [settings, size, bytes @ ..] = input else {
        return;
    };
    let role = [Role::Server, Role::Client][usize::from(settings & 1)];
    let limits = Limits {
        max_message_bytes: [1_000_000, 200, 10, 70_000][usize::from(settings >> 1 & 3)],
        max_fragments: [16_384, 3][usize::from(settings >> 3 & 1)],
    };
    let whole = decode(bytes, bytes.len().max(1), role, limits);
    assert_eq!(
        decode(bytes, usize::from(*size).max(1), role, limits),
        whole
    );
    let mut again = Vec::new();
    for message in &whole.0 {
        encode(message, role, &mut again);
    }
    assert_eq!(
        decode(&again, again.len().max(1), role, limits),
        (whole.0, None)
    );
});
