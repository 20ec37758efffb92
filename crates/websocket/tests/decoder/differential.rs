//! The decoder against tungstenite, over random streams of mostly sensible frames.

use std::io::{self, Cursor, Read, Write};

use kokanee_websocket::{Limits, Role};
use proptest::prelude::*;
use tungstenite::{
    Error, Message, WebSocket,
    error::ProtocolError,
    protocol::{Role as OtherRole, WebSocketConfig},
};

use crate::frames::{Event, Frame, decode_at_once, decode_in_chunks, encode};

const MAX_MESSAGE_BYTES: usize = 70_000;

/// How a stream of frames ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    Failed,
}

/// A stream that returns the bytes and discards the answers.
struct Received(Cursor<Vec<u8>>);

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Received {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn decode_with_tungstenite(bytes: &[u8], role: Role) -> (Vec<Event>, End) {
    let role = match role {
        Role::Server => OtherRole::Server,
        Role::Client => OtherRole::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(None);
    let stream = Received(Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Event::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Event::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Event::Pong(payload.to_vec()),
            // This is how an invalid code is reported.
            Ok(Message::Close(Some(frame))) if frame.reason.as_str() == "Protocol violation" => {
                return (events, End::Failed);
            }
            Ok(Message::Close(frame)) => {
                let frame =
                    frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
                events.push(Event::Close(frame));
                return (events, End::Closed);
            }
            Ok(Message::Frame(frame)) => panic!("raw {frame:?}"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (events, End::Open);
            }
            Err(Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => {
                return (events, End::Failed);
            }
            Err(error) => panic!("{error}"),
        });
    }
}

fn decode_with_kokanee(bytes: &[u8], sizes: &[usize], role: Role) -> (Vec<Event>, End) {
    let limits = Limits {
        max_message_bytes: MAX_MESSAGE_BYTES,
        ..Limits::default()
    };
    let outcome = decode_at_once(bytes, role, limits);
    assert_eq!(outcome, decode_in_chunks(bytes, sizes, role, limits));
    let end = match (outcome.events.last(), outcome.error) {
        (_, Some(_)) => End::Failed,
        (Some(Event::Close(_)), None) => End::Closed,
        _ => End::Open,
    };
    (outcome.events, end)
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        40 => "[a-zé€😀]{0,20}".prop_map(String::into_bytes),
        // Parts of code points, some of which form a whole one together.
        3 => prop::sample::select(vec![
            b"\xe2".as_slice(), b"\x82\xac", b"\xe2\x82", b"\xac", b"\xf0\x9f", b"\x98\x80", b"",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        2 => (120_usize..132).prop_map(|len| vec![b'a'; len]),
        1 => prop::sample::select(vec![65_535_usize, 65_536, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1])
            .prop_map(|len| vec![b'b'; len]),
    ]
}

fn close_payload() -> impl Strategy<Value = Vec<u8>> {
    // Not 1014, which tungstenite does not know.
    let code = prop_oneof![
        4 => 1000_u16..1014,
        1 => 1015_u16..1020,
        2 => 2990_u16..3010,
        2 => 4990_u16..5010,
        1 => Just(0),
        1 => Just(u16::MAX),
    ];
    prop_oneof![
        1 => Just(Vec::new()),
        1 => Just(vec![3]),
        6 => (code, payload()).prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_slice()].concat()),
    ]
}

/// One or more frames that belong together, or a single odd one.
fn burst() -> impl Strategy<Value = Vec<Frame>> {
    let data = prop_oneof![Just(0x01_u8), Just(0x02_u8)];
    let control = prop_oneof![Just(0x89_u8), Just(0x8a_u8)];
    let fragmented = (
        data.clone(),
        prop::collection::vec((payload(), prop::option::weighted(0.2, payload())), 1..5),
        prop::bool::weighted(0.95),
    )
        .prop_map(|(opcode, parts, ends)| {
            let mut frames = Vec::new();
            let last = parts.len() - 1;
            for (at, (part, between)) in parts.into_iter().enumerate() {
                let fin = if at == last && ends { 0x80 } else { 0 };
                let opcode = if at == 0 { opcode } else { 0 };
                frames.push(Frame::new(fin | opcode, part));
                frames.extend(between.map(|payload| Frame::new(0x89, payload)));
            }
            frames
        });
    let odd = (any::<u8>(), payload(), any::<bool>())
        .prop_map(|(first, payload, odd_mask)| Frame::new(first, payload).wrongly_masked(odd_mask));
    prop_oneof![
        16 => (data, payload()).prop_map(|(opcode, payload)| vec![Frame::new(0x80 | opcode, payload)]),
        12 => fragmented,
        8 => (control, payload()).prop_map(|(first, payload)| vec![Frame::new(first, payload)]),
        1 => close_payload().prop_map(|payload| vec![Frame::new(0x88, payload)]),
        1 => odd.prop_map(|frame| vec![frame]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tungstenite_decodes_the_same_messages_and_refuses_the_same_streams(
        bursts in prop::collection::vec(burst(), 1..12),
        sizes in prop::collection::vec(1_usize..200, 1..20),
        role in prop::sample::select(vec![Role::Server, Role::Client]),
    ) {
        let bytes = encode(&bursts.concat(), role);
        let ours = decode_with_kokanee(&bytes, &sizes, role);
        let theirs = decode_with_tungstenite(&bytes, role);
        prop_assert!(ours == theirs, "ours: {ours:?}\ntheirs: {theirs:?}");
    }
}
