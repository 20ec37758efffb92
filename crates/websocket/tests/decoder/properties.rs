//! Rules that hold for any message and any bytes.

use kokanee_websocket::{
    CloseCode, CloseFrame, DecodeError, Decoder, Limits, MaskKey, OpCode, Role, apply_mask,
    encode_header,
};
use proptest::prelude::*;

use crate::frames::{Event, ROLES, decode_at_once, decode_chunk, decode_in_chunks, encode, text};

fn event() -> impl Strategy<Value = Event> {
    let payload = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        "\\PC{0,60}".prop_map(Event::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Event::Binary),
        (60_000_usize..70_000).prop_map(|len| Event::Binary(vec![7; len])),
        payload().prop_map(Event::Ping),
        payload().prop_map(Event::Pong),
    ]
}

/// Encodes with the public encoder, as the peer of a decoder with this role does.
fn encode_event(event: &Event, mask: Option<MaskKey>, bytes: &mut Vec<u8>) {
    let close_payload;
    let (opcode, payload) = match event {
        Event::Text(text) => (OpCode::Text, text.as_bytes()),
        Event::Binary(bytes) => (OpCode::Binary, bytes.as_slice()),
        Event::Ping(payload) => (OpCode::Ping, payload.as_slice()),
        Event::Pong(payload) => (OpCode::Pong, payload.as_slice()),
        Event::Close(None) => (OpCode::Close, [].as_slice()),
        Event::Close(Some((code, reason))) => {
            let code = CloseCode::new(*code).unwrap();
            close_payload = CloseFrame { code, reason }.encode();
            (OpCode::Close, close_payload.as_slice())
        }
    };
    bytes.extend_from_slice(encode_header(opcode, payload.len(), mask).as_slice());
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = mask {
        apply_mask(&mut bytes[start..], key, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(
        mut events in prop::collection::vec(event(), 0..8),
        close in prop::option::of(prop::option::of((3000_u16..5000, "[a-z€]{0,30}"))),
        key in any::<MaskKey>(),
        sizes in prop::collection::vec(1_usize..5000, 1..10),
    ) {
        events.extend(close.map(Event::Close));
        for (role, mask) in [(Role::Server, Some(key)), (Role::Client, None)] {
            let mut bytes = Vec::new();
            for event in &events {
                encode_event(event, mask, &mut bytes);
            }
            let outcome = decode_at_once(&bytes, role, Limits::default());
            prop_assert_eq!(outcome.error, None);
            prop_assert_eq!(&outcome.events, &events);
            prop_assert_eq!(decode_in_chunks(&bytes, &sizes, role, Limits::default()), outcome);
        }
    }

    #[test]
    fn payload_is_masked_the_same_in_pieces(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        key in any::<MaskKey>(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut whole = payload.clone();
        apply_mask(&mut whole, key, 0);
        let mut pieces = payload.clone();
        let (front, back) = pieces.split_at_mut(at.index(payload.len() + 1));
        apply_mask(front, key, 0);
        apply_mask(back, key, front.len());
        prop_assert_eq!(&pieces, &whole);
        apply_mask(&mut whole, key, 0);
        prop_assert_eq!(whole, payload);
    }

    #[test]
    fn arbitrary_bytes_end_the_same_in_any_chunks(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x80), Just(0x81), Just(0x01)], 0..400),
        sizes in prop::collection::vec(1_usize..30, 1..10),
    ) {
        for role in ROLES {
            let limits = Limits { max_message_bytes: 300, max_fragments: 3 };
            prop_assert_eq!(
                decode_in_chunks(&bytes, &sizes, role, limits),
                decode_at_once(&bytes, role, limits)
            );
        }
    }

    #[test]
    fn text_fails_at_the_first_bad_byte(
        payload in prop::collection::vec(
            prop_oneof![4 => "[aé€😀]".prop_map(String::into_bytes), 1 => any::<u8>().prop_map(|byte| vec![byte])],
            1..20,
        ),
    ) {
        let payload = payload.concat();
        let bytes = encode(&[text(&payload)], Role::Client);
        let header_len = bytes.len() - payload.len();
        let error = str::from_utf8(&payload).err();
        // A byte is invalid if no continuation can complete the text that ends with it.
        let first_bad = (0..payload.len()).find(|&at| {
            str::from_utf8(&payload[..=at]).is_err_and(|error| error.error_len().is_some())
        });

        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let failed_at = bytes.iter().position(|&byte| {
            decode_chunk(&mut decoder, &mut [byte], &mut Vec::new()).is_err()
        });
        let expected = match (error, first_bad) {
            (None, _) => None,
            (Some(_), Some(at)) => Some(header_len + at),
            // The text ends within a code point.
            (Some(_), None) => Some(bytes.len() - 1),
        };
        prop_assert_eq!(failed_at, expected);
        let outcome = decode_at_once(&bytes, Role::Client, Limits::default());
        prop_assert_eq!(
            outcome.error,
            error.map(|error| DecodeError::InvalidUtf8 { offset: error.valid_up_to() })
        );
    }
}
