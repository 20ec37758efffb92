//! What a driver relies on from call to call.

use kokanee_websocket::{DecodeError, Decoder, Limits, Message, Role};

use crate::frames::{close_with, encode, end, ping, text, text_start};

fn server() -> Decoder {
    Decoder::new(Role::Server, Limits::default())
}

#[test]
fn whole_frame_is_lent_from_the_input() {
    let mut decoder = server();
    let mut bytes = encode(&[text("Hello"), text("again")], Role::Server);
    let range = bytes.as_ptr_range();
    let mut input = bytes.as_mut_slice();
    for expected in ["Hello", "again"] {
        let Ok(Some(Message::Text(text))) = decoder.decode(&mut input) else {
            panic!("no text");
        };
        assert_eq!(text, expected);
        assert!(range.contains(&text.as_ptr()));
        assert_eq!(decoder.buffered_bytes(), 0);
    }
    assert_eq!(decoder.decode(&mut input), Ok(None));
}

#[test]
fn part_of_a_frame_is_mid_message() {
    let bytes = encode(&[text("Hello")], Role::Server);
    for at in 1..bytes.len() {
        let mut decoder = server();
        let (mut front, mut back) = (bytes[..at].to_vec(), bytes[at..].to_vec());
        assert_eq!(decoder.decode(&mut front.as_mut_slice()), Ok(None));
        assert!(decoder.is_mid_message());
        assert!(decoder.buffered_bytes() > 0);
        let mut input = back.as_mut_slice();
        assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Text("Hello"))));
        assert!(!decoder.is_mid_message());
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert_eq!(decoder.buffered_bytes(), 0);
    }
}

#[test]
fn fragmented_message_is_mid_message_between_its_frames() {
    let mut decoder = server();
    let mut bytes = encode(&[text_start("a"), ping("?")], Role::Server);
    let mut input = bytes.as_mut_slice();
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Ping(b"?"))));
    assert!(decoder.is_mid_message());
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(decoder.is_mid_message());
    let mut bytes = encode(&[end("b"), text("c")], Role::Server);
    let mut input = bytes.as_mut_slice();
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Text("ab"))));
    assert!(!decoder.is_mid_message());
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Text("c"))));
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn failed_decoder_stays_failed_and_consumes_nothing() {
    let mut decoder = server();
    let mut bytes = encode(&[end("stray")], Role::Server);
    let error = DecodeError::StrayContinuation;
    assert_eq!(decoder.decode(&mut bytes.as_mut_slice()), Err(error));
    let mut bytes = encode(&[text("Hello")], Role::Server);
    let mut input = bytes.as_mut_slice();
    for _ in 0..2 {
        assert_eq!(decoder.decode(&mut input), Err(error));
        assert_eq!(input.len(), 11);
    }
    assert!(!decoder.is_mid_message());
}

#[test]
fn input_after_a_close_frame_is_discarded() {
    let bytes = encode(
        &[close_with(1000, "bye"), text("Hello"), end("stray")],
        Role::Server,
    );
    for split in [0, 3, bytes.len()] {
        let mut decoder = server();
        let (mut front, mut back) = (bytes[..split].to_vec(), bytes[split..].to_vec());
        let mut closes = 0;
        for mut input in [front.as_mut_slice(), back.as_mut_slice()] {
            while let Some(message) = decoder.decode(&mut input).unwrap() {
                assert!(matches!(message, Message::Close(Some(frame)) if frame.reason == "bye"));
                closes += 1;
            }
            assert!(input.is_empty());
        }
        assert_eq!(closes, 1);
        assert!(!decoder.is_mid_message());
        assert_eq!(decoder.buffered_bytes(), 0);
    }
}

#[test]
fn empty_input_changes_nothing() {
    let mut decoder = server();
    assert_eq!(decoder.decode(&mut [].as_mut_slice()), Ok(None));
    assert_eq!(decoder.buffered_bytes(), 0);
    assert!(!decoder.is_mid_message());
}
