//! Compressed frames of any kind, split into chunks anywhere: the result does not depend on the chunks, stays within
//! the limit, and can be compressed again. Offers and answers of any kind: every agreement respects the options.

#![no_main]

use kokanee_websocket::{
    Compressor, DecodeError, Decoder, DeflateAgreement, DeflateOptions, Limits, Message, OpCode,
    Role, WindowBits, encode_header,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    max_message_bytes: 10_000,
    max_fragments: 100,
};

/// Everything that a decoder returns, including control frames and their kinds, as bytes.
fn decode(
    bytes: &[u8],
    size: usize,
    agreement: &DeflateAgreement,
) -> (Vec<Vec<u8>>, Option<DecodeError>) {
    let mut decoder = Decoder::with_deflate(Role::Client, LIMITS, agreement);
    let mut messages = Vec::new();
    for chunk in bytes.chunks(size) {
        let mut chunk = chunk.to_vec();
        let mut input = chunk.as_mut_slice();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(Message::Text(text))) => messages.push(text.as_bytes().to_vec()),
                Ok(Some(Message::Binary(bytes))) => messages.push(bytes.to_vec()),
                Ok(Some(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        // The size of a compressed message is limited before and after it is inflated.
        assert!(decoder.buffered_bytes() <= 2 * LIMITS.max_message_bytes + 512);
        assert!(agreement.keeps_peer_context() || decoder.context_bytes() == 0);
    }
    (messages, None)
}

/// Compresses these messages, and decodes them again.
fn round_trip(messages: &[Vec<u8>], agreement: DeflateAgreement) {
    let mut compressor = Compressor::new(agreement);
    let mut bytes = Vec::new();
    for message in messages {
        if let Some(payload) = compressor.compress(message) {
            let header = encode_header(OpCode::Binary, payload.len(), None).compressed();
            bytes.extend_from_slice(header.as_slice());
            bytes.extend_from_slice(&payload);
        } else {
            let header = encode_header(OpCode::Binary, message.len(), None);
            bytes.extend_from_slice(header.as_slice());
            bytes.extend_from_slice(message);
        }
    }
    let size = bytes.len().max(1);
    assert_eq!(decode(&bytes, size, &agreement), (messages.to_vec(), None));
}

fn negotiate(options: &DeflateOptions, header: &str) {
    let keeps_to_options = |agreement: &DeflateAgreement| {
        assert!(agreement.keeps_own_context() <= options.keep_own_context);
        assert!(agreement.keeps_peer_context() <= options.keep_peer_context);
        assert!(agreement.own_window() <= options.own_window);
        assert!(!agreement.keeps_peer_context() || agreement.peer_window() <= options.peer_window);
    };
    if let Some((agreement, answer)) = options.accept_offer([header]) {
        keeps_to_options(&agreement);
        let client = DeflateOptions {
            keep_own_context: true,
            keep_peer_context: true,
            ..DeflateOptions::default()
        };
        client
            .accept_answer([answer.as_str()])
            .expect("this server's answers are valid")
            .expect("this server always answers");
    }
    if let Ok(Some(agreement)) = options.accept_answer([header]) {
        keeps_to_options(&agreement);
    }
}

fuzz_target!(|input: &[u8]| {
    let [settings, size, bytes @ ..] = input else {
        return;
    };
    let window = WindowBits::new(8 + (settings >> 3 & 7)).expect("8 to 15");
    let options = DeflateOptions {
        threshold_bytes: 0,
        level: [1, 4, 6, 9][usize::from(settings >> 1 & 3)],
        keep_own_context: settings & 1 != 0,
        keep_peer_context: settings & 1 != 0,
        own_window: window,
        peer_window: window,
    };
    if settings & 0x80 != 0 {
        if let Ok(header) = std::str::from_utf8(bytes) {
            negotiate(&options, header);
        }
        return;
    }
    let offer = "permessage-deflate; client_max_window_bits";
    let Some((agreement, _)) = options.accept_offer([offer]) else {
        return;
    };
    let whole = decode(bytes, bytes.len().max(1), &agreement);
    assert_eq!(decode(bytes, usize::from(*size).max(1), &agreement), whole);
    round_trip(&whole.0, agreement);
    if bytes.len() <= LIMITS.max_message_bytes {
        round_trip(&[bytes.to_vec(), bytes.to_vec()], agreement);
    }
});
