//! How much memory a hostile peer can make a decoder use.

use kokanee_websocket::{CloseCode, DecodeError, Decoder, Limits, Role};

use crate::frames::{
    Event, Frame, binary, binary_start, decode_at_once, decode_chunk, encode, middle, ping, text,
    text_start,
};

/// What an unfinished message may need in addition to its own bytes.
const OVERHEAD_BYTES: usize = 512;

fn server() -> Decoder {
    Decoder::new(Role::Server, Limits::default())
}

/// Feeds fragments with this payload until the decoder fails, and returns how many it accepted.
fn flood(first: fn(&[u8]) -> Frame, payload: &[u8]) -> (usize, DecodeError) {
    let mut decoder = server();
    let mut events = Vec::new();
    for taken in 0..200_000 {
        let frame = if taken == 0 {
            first(payload)
        } else {
            middle(payload)
        };
        let mut bytes = encode(&[frame], Role::Server);
        if let Err(error) = decode_chunk(&mut decoder, &mut bytes, &mut events) {
            assert_eq!(
                decoder.buffered_bytes(),
                0,
                "a failed decoder holds nothing"
            );
            return (taken, error);
        }
        let received = (taken + 1) * payload.len();
        assert!(decoder.buffered_bytes() <= 2 * received + OVERHEAD_BYTES);
    }
    panic!("200,000 fragments were taken");
}

#[test]
fn one_byte_fragments_stop_at_the_limit() {
    let too_many = DecodeError::TooManyFragments { max: 16_384 };
    assert_eq!(
        flood(|payload| binary_start(payload), b"a"),
        (16_384, too_many)
    );
    assert_eq!(
        flood(|payload| text_start(payload), b"a"),
        (16_384, too_many)
    );
    assert_eq!(too_many.close_code(), CloseCode::POLICY_VIOLATION);
}

#[test]
fn empty_fragments_count() {
    let too_many = DecodeError::TooManyFragments { max: 16_384 };
    assert_eq!(
        flood(|payload| text_start(payload), b""),
        (16_384, too_many)
    );
}

#[test]
fn fragments_stop_at_the_sum_of_their_bytes() {
    let payload = vec![b'a'; 10_000];
    let (taken, error) = flood(|payload| text_start(payload), &payload);
    let too_large = DecodeError::TooLarge {
        size: 1_010_000,
        max: 1_000_000,
    };
    assert_eq!((taken, error), (100, too_large));
    assert_eq!(error.close_code(), CloseCode::TOO_LARGE);
}

#[test]
fn length_beyond_the_limit_is_refused_on_the_header() {
    for size in [1_000_001, 15_000_000, 1 << 62, 1 << 63, u64::MAX] {
        let mut decoder = server();
        let mut bytes = vec![0x82, 0xff];
        bytes.extend(size.to_be_bytes());
        let error = decode_chunk(&mut decoder, &mut bytes, &mut Vec::new());
        let max = 1_000_000;
        assert_eq!(error, Err(DecodeError::TooLarge { size, max }));
        assert_eq!(decoder.buffered_bytes(), 0);
    }
}

#[test]
fn length_beyond_the_limit_is_refused_on_the_header_of_a_fragment() {
    let mut bytes = encode(&[binary_start("abc")], Role::Server);
    bytes.extend([0x00, 0xff]);
    bytes.extend(u64::MAX.to_be_bytes());
    let outcome = decode_at_once(&bytes, Role::Server, Limits::default());
    let too_large = DecodeError::TooLarge {
        size: u64::MAX,
        max: 1_000_000,
    };
    assert_eq!(outcome.error, Some(too_large));
}

#[test]
fn limit_holds_for_short_texts() {
    for max in [0, 1, 100, 124] {
        let limits = Limits {
            max_message_bytes: max,
            ..Limits::default()
        };
        let fits = encode(&[text("a".repeat(max))], Role::Server);
        let outcome = decode_at_once(&fits, Role::Server, limits);
        assert_eq!(outcome.events, [Event::Text("a".repeat(max))]);
        assert_eq!(outcome.error, None);
        let exceeds = encode(&[text("a".repeat(max + 1))], Role::Server);
        let size = max as u64 + 1;
        for bytes in [&exceeds[..], &exceeds[..2]] {
            let outcome = decode_at_once(bytes, Role::Server, limits);
            assert_eq!(outcome.error, Some(DecodeError::TooLarge { size, max }));
        }
    }
}

#[test]
fn message_of_exactly_the_limit_is_accepted() {
    let limits = Limits {
        max_message_bytes: 300,
        max_fragments: 2,
    };
    let fragments = [binary_start([1; 200]), Frame::new(0x80, [1; 100])];
    for frames in [vec![binary([1; 300])], fragments.to_vec()] {
        let outcome = decode_at_once(&encode(&frames, Role::Server), Role::Server, limits);
        assert_eq!(outcome.events, [Event::Binary(vec![1; 300])]);
        assert_eq!(outcome.error, None);
    }
}

#[test]
fn largest_limit_does_not_overflow() {
    let limits = Limits {
        max_message_bytes: usize::MAX,
        max_fragments: usize::MAX,
    };
    let mut bytes = encode(&[binary_start("abc")], Role::Server);
    bytes.extend([0x80, 0xff]);
    bytes.extend((u64::MAX - 3).to_be_bytes());
    bytes.extend([0; 4 + 5]);
    let outcome = decode_at_once(&bytes, Role::Server, limits);
    assert_eq!((outcome.error, outcome.is_mid_message), (None, true));
}

#[test]
fn announced_bytes_are_not_allocated() {
    let mut decoder = server();
    let frame = binary(vec![0; 1_000_000]).cut_after(10);
    let mut bytes = encode(&[frame], Role::Server);
    decode_chunk(&mut decoder, &mut bytes, &mut Vec::new()).unwrap();
    assert!(decoder.is_mid_message());
    assert!(decoder.buffered_bytes() <= OVERHEAD_BYTES);
}

#[test]
fn buffered_bytes_grow_with_the_received_bytes() {
    let mut decoder = server();
    let bytes = encode(&[binary(vec![0; 600_000])], Role::Server);
    let mut received = 0;
    for chunk in bytes.chunks(1_000) {
        let mut input = chunk.to_vec();
        let mut input = input.as_mut_slice();
        received += chunk.len();
        decoder.decode(&mut input).unwrap();
        assert!(decoder.buffered_bytes() <= (2 * received).min(600_000) + OVERHEAD_BYTES);
    }
    assert_eq!(received, bytes.len());
}

#[test]
fn idle_decoder_holds_nothing_after_a_large_message() {
    let mut decoder = server();
    let mut events = Vec::new();
    let bytes = encode(&[binary(vec![0; 900_000])], Role::Server);
    for chunk in bytes.chunks(65_536) {
        decode_chunk(&mut decoder, &mut chunk.to_vec(), &mut events).unwrap();
    }
    assert_eq!(events.len(), 1);
    assert_eq!(decoder.buffered_bytes(), 0);
    assert!(!decoder.is_mid_message());
}

#[test]
fn pings_between_fragments_need_no_more_memory() {
    let mut decoder = server();
    let mut events = Vec::new();
    let mut start = encode(&[text_start("a")], Role::Server);
    decode_chunk(&mut decoder, &mut start, &mut events).unwrap();
    let held = decoder.buffered_bytes();
    for _ in 0..10_000 {
        let mut bytes = encode(&[ping([7; 125])], Role::Server);
        decode_chunk(&mut decoder, &mut bytes, &mut events).unwrap();
    }
    assert_eq!(events.len(), 10_000);
    assert_eq!(decoder.buffered_bytes(), held);
}

#[test]
fn idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 56, "{} bytes", size_of::<Decoder>());
}
