//! Compressed messages (RFC 7692): the examples of its 7.2.3, its rules, and hostile data.

use kokanee_websocket::{
    CloseCode, Compressor, DecodeError, Decoder, DeflateAgreement, DeflateOptions, Limits, OpCode,
    Role, encode_header,
};

use crate::frames::{
    Event, Frame, Outcome, ROLES, binary, binary_start, close, encode, end, feed_in_chunks, middle,
    ping, pong, text, text_start,
};

pub(crate) const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// An agreement with contexts kept on both sides, or on none.
pub(crate) fn agreement(keep: bool) -> DeflateAgreement {
    let options = DeflateOptions {
        threshold_bytes: 0,
        keep_own_context: keep,
        keep_peer_context: keep,
        ..DeflateOptions::default()
    };
    let (agreement, _) = options.accept_offer([options.offer().as_str()]).unwrap();
    assert_eq!(agreement.keeps_own_context(), keep);
    assert_eq!(agreement.keeps_peer_context(), keep);
    agreement
}

/// Decodes these frames with either role, in one piece and byte by byte, with or without context.
fn decode_all(frames: &[Frame], keep: bool, limits: Limits) -> Outcome {
    let outcomes = ROLES.iter().flat_map(|&role| {
        let bytes = encode(frames, role);
        [bytes.len(), 1].map(|size| {
            let mut decoder = Decoder::with_deflate(role, limits, &agreement(keep));
            feed_in_chunks(&mut decoder, &bytes, &[size])
        })
    });
    let outcomes: Vec<_> = outcomes.collect();
    assert!(
        outcomes.windows(2).all(|pair| pair[0] == pair[1]),
        "{outcomes:?}"
    );
    outcomes[0].clone()
}

fn decoded(frames: &[Frame], keep: bool) -> Result<Vec<Event>, DecodeError> {
    let outcome = decode_all(frames, keep, Limits::default());
    match outcome.error {
        Some(error) => Err(error),
        None => Ok(outcome.events),
    }
}

fn hello() -> Event {
    Event::Text("Hello".to_owned())
}

pub(crate) fn compress(content: &[u8]) -> Vec<u8> {
    Compressor::new(agreement(false)).compress(content).unwrap()
}

/// Bytes that nothing compresses: xorshift.
pub(crate) fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    })
    .take(len)
    .collect()
}

#[test]
fn compressed_message_of_the_rfc() {
    assert_eq!(
        decoded(&[text(HELLO).compressed()], false),
        Ok(vec![hello()])
    );
    assert_eq!(
        encode(&[text(HELLO).compressed()], Role::Client)[..2],
        [0xc1, 0x07]
    );
}

#[test]
fn fragmented_compressed_message_of_the_rfc() {
    let frames = [text_start(&HELLO[..3]).compressed(), end(&HELLO[3..])];
    assert_eq!(encode(&frames, Role::Client)[..2], [0x41, 0x03]);
    assert_eq!(decoded(&frames, false), Ok(vec![hello()]));
    let around_a_ping = [
        text_start(&HELLO[..3]).compressed(),
        ping("?"),
        middle(""),
        end(&HELLO[3..]),
    ];
    assert_eq!(
        decoded(&around_a_ping, false),
        Ok(vec![Event::Ping(b"?".to_vec()), hello()])
    );
}

#[test]
fn shared_window_of_the_rfc() {
    let frames = [
        text(HELLO).compressed(),
        text([0xf2, 0x00, 0x11, 0x00, 0x00]).compressed(),
    ];
    assert_eq!(decoded(&frames, true), Ok(vec![hello(), hello()]));
    // Without a context there is nothing to refer to.
    assert_eq!(
        decoded(&frames, false),
        Err(DecodeError::InvalidCompression)
    );
}

#[test]
fn stored_block_of_the_rfc() {
    let payload = b"\x00\x05\x00\xfa\xffHello\x00";
    for keep in [false, true] {
        assert_eq!(
            decoded(&[text(payload).compressed()], keep),
            Ok(vec![hello()])
        );
    }
}

#[test]
fn final_block_of_the_rfc() {
    let payload = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    for keep in [false, true] {
        let frames = [
            text(payload).compressed(),
            text(HELLO).compressed(),
            // Without the empty block after it, as sloppy compressors write it.
            text(&payload[..7]).compressed(),
            text(HELLO).compressed(),
        ];
        assert_eq!(decoded(&frames, keep), Ok(vec![hello(); 4]));
    }
}

#[test]
fn two_blocks_of_the_rfc() {
    let payload = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(
        decoded(&[text(payload).compressed()], false),
        Ok(vec![hello()])
    );
}

#[test]
fn empty_message_of_the_rfc() {
    for keep in [false, true] {
        assert_eq!(
            decoded(
                &[text([0x00]).compressed(), binary([0x00]).compressed()],
                keep
            ),
            Ok(vec![Event::Text(String::new()), Event::Binary(Vec::new())])
        );
    }
}

#[test]
fn compressed_header_has_the_bit_of_the_rfc() {
    let header = encode_header(OpCode::Text, 7, None).compressed();
    assert_eq!(header.as_slice(), [0xc1, 0x07]);
}

#[test]
fn message_may_be_uncompressed_in_between() {
    let frames = [
        text(HELLO).compressed(),
        text("Hello"),
        binary([1, 2]),
        text([0xf2, 0x00, 0x11, 0x00, 0x00]).compressed(),
    ];
    assert_eq!(
        decoded(&frames, true),
        Ok(vec![hello(), hello(), Event::Binary(vec![1, 2]), hello()])
    );
}

#[test]
fn compressed_bit_without_negotiation_is_an_error() {
    for role in ROLES {
        let bytes = encode(&[text(HELLO).compressed()], role);
        let mut decoder = Decoder::new(role, Limits::default());
        let outcome = feed_in_chunks(&mut decoder, &bytes, &[bytes.len()]);
        assert_eq!(outcome.error, Some(DecodeError::ReservedBits { bits: 4 }));
    }
}

#[test]
fn compressed_bit_is_for_the_first_frame_of_a_message_alone() {
    let refused = DecodeError::ReservedBits { bits: 4 };
    let cases = [
        vec![ping("").compressed()],
        vec![pong("").compressed()],
        vec![close("").compressed()],
        vec![text_start("a").compressed(), middle("").compressed()],
        vec![text_start("a"), end("b").compressed()],
        vec![end("").compressed()],
    ];
    for frames in cases {
        let outcome = decode_all(&frames, false, Limits::default());
        assert_eq!((outcome.events, outcome.error), (vec![], Some(refused)));
    }
    assert_eq!(refused.close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn other_reserved_bits_stay_errors() {
    for bits in [1, 2, 3, 5, 6, 7] {
        let outcome = decode_all(&[text("").reserved_bits(bits)], false, Limits::default());
        assert_eq!(outcome.error, Some(DecodeError::ReservedBits { bits }));
    }
}

#[test]
fn reserved_opcode_stays_an_error() {
    let frames = [Frame::new(0x83, "").compressed()];
    let outcome = decode_all(&frames, false, Limits::default());
    assert_eq!(outcome.error, Some(DecodeError::ReservedBits { bits: 4 }));
}

#[test]
fn text_is_checked_after_inflating() {
    let payload = compress(b"a long enough text, a long enough text \xff");
    for frames in [
        vec![text(&payload).compressed()],
        vec![text_start(&payload[..4]).compressed(), end(&payload[4..])],
    ] {
        assert_eq!(
            decoded(&frames, false),
            Err(DecodeError::InvalidUtf8 { offset: 39 })
        );
    }
    let as_bytes = decoded(&[binary(&payload).compressed()], false).unwrap();
    assert!(matches!(as_bytes.as_slice(), [Event::Binary(bytes)] if bytes.len() == 40));
}

#[test]
fn message_of_the_limit_is_accepted_and_one_byte_more_is_not() {
    for max in [0, 1, 511, 512, 513, 2048, 65_535, 65_536, 100_000] {
        let limits = Limits {
            max_message_bytes: max.max(64),
            ..Limits::default()
        };
        let max = limits.max_message_bytes;
        let fits = compress(&vec![7; max]);
        let exceeds = compress(&vec![7; max + 1]);
        let outcome = decode_all(&[binary(fits).compressed()], false, limits);
        assert_eq!(outcome.events, [Event::Binary(vec![7; max])]);
        let outcome = decode_all(&[binary(exceeds).compressed()], true, limits);
        let size = max as u64 + 1;
        assert_eq!(outcome.error, Some(DecodeError::TooLarge { size, max }));
    }
}

#[test]
fn limit_of_zero_rejects_compressed_messages() {
    let limits = Limits {
        max_message_bytes: 0,
        ..Limits::default()
    };
    let outcome = decode_all(&[binary("").compressed()], false, limits);
    assert_eq!(outcome.error, Some(DecodeError::InvalidCompression));
}

#[test]
fn bomb_is_refused_at_the_limit() {
    // 64 MB in 63 KB, by blocks that each refer to the ones before.
    let bomb = compress(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let started = binary_start(&bomb[..1000]).compressed();
    for frames in [
        vec![binary(&bomb).compressed()],
        vec![text(&bomb).compressed()],
        vec![started, end(&bomb[1000..])],
    ] {
        let outcome = decode_all(&frames, false, Limits::default());
        let (size, max) = (1_000_001, 1_000_000);
        let error = DecodeError::TooLarge { size, max };
        assert_eq!((outcome.events, outcome.error), (vec![], Some(error)));
        assert_eq!(error.close_code(), CloseCode::TOO_LARGE);
    }
}

#[test]
fn blocks_without_content_are_bounded_by_their_own_size() {
    let payload = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(200_000);
    let limits = Limits::default();
    let fits = &payload[..999_995];
    let outcome = decode_all(&[binary([fits, &[0]].concat()).compressed()], false, limits);
    assert_eq!(outcome.events, [Event::Binary(Vec::new())]);
    let exceeds = [&payload[..], &[0]].concat();
    let outcome = decode_all(&[binary(exceeds).compressed()], false, limits);
    assert!(matches!(outcome.error, Some(DecodeError::TooLarge { .. })));
}

#[test]
fn truncated_data_is_an_error_wherever_it_ends() {
    let content: Vec<u8> = (0..3000_u32)
        .flat_map(|at| (at * at % 251).to_string().into_bytes())
        .collect();
    for payload in [HELLO.to_vec(), compress(&content), compress(&[b'a'; 300])] {
        for len in 0..payload.len() {
            for keep in [false, true] {
                let mut decoder =
                    Decoder::with_deflate(Role::Client, Limits::default(), &agreement(keep));
                let bytes = encode(&[binary(&payload[..len]).compressed()], Role::Client);
                let outcome = feed_in_chunks(&mut decoder, &bytes, &[bytes.len()]);
                assert_eq!(
                    outcome.error,
                    Some(DecodeError::InvalidCompression),
                    "{len}"
                );
            }
        }
    }
    assert_eq!(
        DecodeError::InvalidCompression.close_code(),
        CloseCode::INVALID_PAYLOAD
    );
}

#[test]
fn garbage_is_an_error() {
    let garbage: [&[u8]; 6] = [
        // A block of the reserved kind, and stored blocks of a wrong length.
        &[0x07],
        &[0x00, 0x01, 0x00, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, b'H'],
        // A distance beyond the start of the data, an invalid code.
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0xff; 40],
        // Data after the end of a message.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x01],
    ];
    for payload in garbage {
        for keep in [false, true] {
            assert_eq!(
                decoded(&[binary(payload).compressed()], keep),
                Err(DecodeError::InvalidCompression),
                "{payload:x?}"
            );
        }
    }
}

#[test]
fn idle_decoder_and_compressor_use_no_heap() {
    let agreement = agreement(false);
    let mut decoder = Decoder::with_deflate(Role::Client, Limits::default(), &agreement);
    let mut compressor = Compressor::new(agreement);
    for _ in 0..3 {
        let payload = compressor.compress(&[b'x'; 5000]).unwrap();
        let bytes = encode(&[text(payload).compressed()], Role::Client);
        feed_in_chunks(&mut decoder, &bytes, &[700]);
        assert_eq!(decoder.buffered_bytes(), 0);
        assert_eq!(decoder.context_bytes(), 0);
    }
    assert!(size_of::<Decoder>() <= 56, "{}", size_of::<Decoder>());
    assert!(size_of::<DeflateAgreement>() <= 32);
}

#[test]
fn kept_context_is_counted() {
    let mut decoder = Decoder::with_deflate(Role::Client, Limits::default(), &agreement(true));
    assert_eq!(decoder.context_bytes(), 0);
    let bytes = encode(&[text(HELLO).compressed()], Role::Client);
    feed_in_chunks(&mut decoder, &bytes, &[bytes.len()]);
    assert!(decoder.context_bytes() > 1 << 15);
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn unfinished_compressed_message_buffers_only_received_bytes() {
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let payload = compress(&content[..400_000]);
    let bytes = encode(&[binary(&payload).compressed()], Role::Client);
    let mut decoder = Decoder::with_deflate(Role::Client, Limits::default(), &agreement(false));
    let half = bytes.len() / 2;
    let outcome = feed_in_chunks(&mut decoder, &bytes[..half], &[1000]);
    assert!(outcome.is_mid_message);
    assert!(decoder.buffered_bytes() <= 2 * half + 512);
    let outcome = feed_in_chunks(&mut decoder, &bytes[half..], &[1000]);
    assert_eq!(outcome.events, [Event::Binary(content[..400_000].to_vec())]);
}

#[test]
fn short_and_incompressible_messages_are_sent_as_they_are() {
    let mut compressor = Compressor::new(
        DeflateOptions::default()
            .accept_offer(["permessage-deflate"])
            .unwrap()
            .0,
    );
    assert_eq!(compressor.compress(&[b'a'; 1023]), None);
    assert!(compressor.compress(&[b'a'; 1024]).unwrap().len() < 20);
    let noise = noise(7, 2000);
    assert_eq!(compressor.compress(&noise), None);
    assert_eq!(Compressor::new(agreement(false)).compress(b""), None);
    // With a context, all output of the compressor has to be sent.
    let mut compressor = Compressor::new(agreement(true));
    assert!(compressor.compress(&noise).is_some());
    assert!(compressor.compress(&noise).unwrap().len() < 100);
}

#[test]
fn end_that_is_limited_to_the_smallest_window_does_not_compress() {
    let options = DeflateOptions {
        threshold_bytes: 0,
        ..DeflateOptions::default()
    };
    let answer = "permessage-deflate; server_no_context_takeover; client_max_window_bits=8";
    let agreement = options.accept_answer([answer]).unwrap().unwrap();
    assert_eq!(Compressor::new(agreement).compress(&[b'a'; 5000]), None);
}
